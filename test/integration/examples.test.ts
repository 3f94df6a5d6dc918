/**
 * The examples of README.md and docs/clients.md, taken from there and run as they stand, against
 * servers of the test's own; only the ports are put in.
 */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../support/free-port.js'
import { hasPrerequisites, type Prerequisite, runProgram } from '../support/program.ts'
import { SERVER_PROGRAM, startSaslcached, type TestServer } from '../support/server.ts'
import { STUNNEL } from '../support/stunnel.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const CLIENTS = readFileSync(join(ROOT, 'docs', 'clients.md'), 'utf8')
const DOCUMENTS = readFileSync(join(ROOT, 'README.md'), 'utf8') + CLIENTS
const SPYMEMCACHED = '/usr/share/java/spymemcached.jar'

interface Example {
  readonly name: string
  readonly needs: readonly Prerequisite[]
  readonly file: string
  readonly command: readonly string[]
  /** Against the server that speaks TLS. */
  readonly tls?: true
  /** The last line that it prints; `hello` if absent. */
  readonly prints?: string
}

const TOOLS: Prerequisite = {
  packages: 'libmemcached-tools',
  probe: ['sh', '-c', 'command -v memccat'],
}
const PYMEMCACHE: Prerequisite = {
  packages: 'python3 python3-pymemcache',
  probe: ['/usr/bin/python3', '-c', 'import pymemcache'],
}
const DALLI: Prerequisite = {
  packages: 'ruby ruby-dalli',
  probe: ['ruby', '-e', "require 'dalli'"],
}

const EXAMPLES: readonly Example[] = [
  {
    name: 'libmemcached-tools',
    needs: [TOOLS],
    file: 'example.sh',
    command: ['sh', '-e', 'example.sh'],
  },
  {
    name: 'php-memcached',
    needs: [
      {
        packages: 'php-cli php-memcached',
        probe: ['/usr/bin/php', '-r', 'exit(extension_loaded("memcached") ? 0 : 1);'],
      },
    ],
    file: 'example.php',
    command: ['/usr/bin/php', 'example.php'],
  },
  {
    name: 'pylibmc',
    needs: [{ packages: 'python3-pylibmc', probe: ['/usr/bin/python3', '-c', 'import pylibmc'] }],
    file: 'example.py',
    command: ['/usr/bin/python3', 'example.py'],
  },
  {
    name: 'pymemcache',
    needs: [PYMEMCACHE],
    file: 'example-text.py',
    command: ['/usr/bin/python3', 'example-text.py'],
  },
  {
    name: 'dalli',
    needs: [DALLI],
    file: 'example.rb',
    command: ['ruby', 'example.rb'],
  },
  {
    name: 'spymemcached',
    needs: [
      {
        packages: 'default-jdk-headless libspymemcached-java',
        probe: ['sh', '-c', `command -v javac && command -v java && test -e ${SPYMEMCACHED}`],
      },
    ],
    file: 'Example.java',
    command: [
      'sh',
      '-ec',
      `javac -cp ${SPYMEMCACHED} Example.java && java -cp ${SPYMEMCACHED}:. Example`,
    ],
  },
  { name: 'memjs', needs: [], file: 'example.mjs', command: [process.execPath, 'example.mjs'] },
  {
    ...{ name: 'openssl', needs: [{ packages: 'openssl', probe: ['openssl', 'version'] }] },
    ...{ file: 'by-hand.sh', command: ['sh', '-e', 'by-hand.sh'], tls: true, prints: 'END' },
  },
  {
    ...{ name: 'pymemcache-tls', needs: [PYMEMCACHE], file: 'tls-text.py' },
    ...{ command: ['/usr/bin/python3', 'tls-text.py'], tls: true },
  },
  {
    name: 'python-binary-memcached-tls',
    needs: [
      {
        packages: 'python3 python3-binary-memcached',
        probe: ['/usr/bin/python3', '-c', 'import bmemcached'],
      },
    ],
    ...{ file: 'tls.py', command: ['/usr/bin/python3', 'tls.py'], tls: true },
  },
  {
    ...{ name: 'dalli-tls', needs: [DALLI], file: 'tls.rb' },
    ...{ command: ['ruby', 'tls.rb'], tls: true },
  },
  {
    ...{ name: 'memcache-client-tls', needs: [], file: 'tls.mjs' },
    ...{ command: [process.execPath, 'tls.mjs'], tls: true },
  },
  {
    ...{ name: 'stunnel', needs: [TOOLS, STUNNEL], file: 'stunnel.sh' },
    ...{ command: ['sh', '-e', 'stunnel.sh'], tls: true },
  },
]

/** The fenced block behind `<!-- example: name -->`. */
function exampleText(name: string): string {
  const block = new RegExp(`<!-- example: ${name} -->\\n\`\`\`\\w+\\n([^]*?)\\n\`\`\``).exec(
    DOCUMENTS,
  )
  if (block?.[1] === undefined) throw new Error(`no document has an example ${name}`)
  return `${block[1]}\n`
}

test('every example of the documents is among those that are run', () => {
  const marked = [...DOCUMENTS.matchAll(/<!-- example: ([\w-]+) -->/g)].map((match) => match[1])
  expect(marked).toEqual(EXAMPLES.map(({ name }) => name))
})

test('every client of the suite stands in the table of clients', () => {
  const table = /<!-- table: clients -->\n\n([\s\S]*?)\n\n/.exec(`${CLIENTS}\n`)?.[1] ?? ''
  const words = table.toLowerCase().replaceAll(/[^a-z\n]+/g, '-')
  const clients = readdirSync(join(import.meta.dirname, 'clients'))
  expect(clients.filter((name) => !words.includes(name.replaceAll(/[^a-z]+/g, '-')))).toEqual([])
})

describe('the documented example of', () => {
  let server: TestServer
  let tlsServer: TestServer
  const folder = mkdtempSync(join(tmpdir(), 'saslcached-examples-'))

  beforeAll(async () => {
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    const users = [{ name: 'alice', password: 'wonderland' }]
    const selfSigned = [process.execPath, SERVER_PROGRAM, 'tls', 'self-signed']
    expect(await runProgram(selfSigned, { directory: folder })).toMatchObject({ exitCode: 0 })
    const pair = ['--tls-cert', join(folder, 'tls.crt'), '--tls-key', join(folder, 'tls.key')]
    server = await startSaslcached({ users, throttles: true })
    tlsServer = await startSaslcached({ users, flags: ['-Z', ...pair] })
  })
  afterAll(async () => {
    // A tunnel of an example that failed.
    const pidFile = join(folder, 'stunnel.pid')
    if (existsSync(pidFile)) process.kill(Number(readFileSync(pidFile, 'utf8')))
    rmSync(folder, { recursive: true, force: true })
    await server.stop()
    await tlsServer.stop()
  })

  for (const { name, needs, file, command, tls, prints } of EXAMPLES) {
    if (!hasPrerequisites(name, needs)) continue
    test(`${name} logs in, stores and reads back`, async () => {
      const { port } = tls ? tlsServer : server
      const text = exampleText(name)
        .replaceAll('11211', String(port))
        .replaceAll('11210', String(await freePort()))
      writeFileSync(join(folder, file), text)
      const run = await runProgram(command, { directory: folder })
      expect(run).toMatchObject({ exitCode: 0, overran: false })
      // dalli logs to standard output that it logs in; memccat ends a value with a line of its own.
      expect(run.stdout).toContain('hello')
      expect(run.stdout.trimEnd().split('\n').at(-1)).toBe(prints ?? 'hello')
    })
  }
})
