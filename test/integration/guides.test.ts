/**
 * The pages of docs/ that have something to run, those of programs and migrations among them, each carried out as it stands, from its top to its end.
 * Comments before its blocks say what they are:
 *
 *   file: PATH   what that file has
 *   serve        the command of a server, which runs until the page ends or serves again
 *   run          a shell script; what it reads from its input is a password
 *   prints       what the script before it prints, line for line; others may stand in between and behind
 *
 * /etc and /run are folders of the test's own, and so are the ports.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { freePort } from '../support/free-port.js'
import {
  hasPrerequisites,
  inheritedEnvironment,
  type Prerequisite,
  runProgram,
} from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM } from '../support/server.ts'

const DOCS = join(import.meta.dirname, '..', '..', 'docs')
const MODULES = join(import.meta.dirname, '..', '..', 'node_modules')
const FOLDERS = ['', 'programs', 'migration']
const PASSWORD = 'wonderland'
const PORTS = ['11211', '11212', '11213', '8080']
const PORT = new RegExp(PORTS.join('|'), 'g')
const BLOCK = /<!-- (file: \S+|serve|run|prints) -->\n```\w*\n([\s\S]*?\n)```/g

const TOOLS = { packages: 'libmemcached-tools', probe: ['sh', '-c', 'command -v memccat'] }
const NETCAT = { packages: 'netcat-openbsd', probe: ['sh', '-c', 'nc -h 2>&1 | grep OpenBSD'] }

function installed(packages: string, command: string): Prerequisite {
  return { packages, probe: ['sh', '-c', `command -v ${command}`] }
}

const OPENSSL = { packages: 'openssl', probe: ['openssl', 'version'] }

/** What each page needs; a page that has nothing to run has no row. */
const PAGES: Readonly<Record<string, readonly Prerequisite[]>> = {
  'tls.md': [OPENSSL],
  'users.md': [OPENSSL, NETCAT],
  'oauth.md': [OPENSSL],
  'programs/monit.md': [{ packages: 'monit', probe: ['sh', '-c', 'command -v monit'] }],
  'programs/collectd.md': [
    { packages: 'collectd-core', probe: ['sh', '-c', 'PATH=$PATH:/usr/sbin; command -v collectd'] },
  ],
  'programs/zabbix.md': [
    {
      packages: 'zabbix-agent2',
      probe: ['sh', '-c', 'PATH=$PATH:/usr/sbin; command -v zabbix_agent2'],
    },
  ],
  'programs/django.md': [
    {
      packages: 'python3-django python3-pylibmc python3-pymemcache',
      probe: ['/usr/bin/python3', '-c', 'import django, pylibmc, pymemcache'],
    },
  ],
  'programs/php-sessions.md': [
    {
      packages: 'php-cli php-memcached',
      probe: ['php', '-r', 'exit(extension_loaded("memcached") ? 0 : 1);'],
    },
  ],
  'programs/nginx.md': [
    NETCAT,
    { packages: 'curl', probe: ['curl', '--version'] },
    // A group that one is not in can be given by root alone.
    {
      packages: 'nginx-light',
      probe: ['sh', '-c', 'PATH=$PATH:/usr/sbin; command -v nginx && test "$(id -u)" = 0'],
    },
  ],
  'migration/sasldb.md': [
    TOOLS,
    {
      packages: 'sasl2-bin',
      probe: ['sh', '-c', 'PATH=$PATH:/usr/sbin; command -v sasldblistusers2'],
    },
    installed('db5.3-util', 'db5.3_dump'),
  ],
  'migration/auth-file.md': [NETCAT],
  'migration/bitnami.md': [TOOLS],
  'migration/hosted.md': [],
}

/** What a page takes for granted. */
const BEFORE: Readonly<Record<string, string>> = {
  'migration/sasldb.md':
    'printf lookingglass | saslpasswd2 -p -c -f /etc/sasldb2 -a memcached -u cache.example alice\n' +
    'printf "tweedle dum" | saslpasswd2 -p -c -f /etc/sasldb2 -a memcached bob\n',
}

test('every page with something to run is among those that are run', () => {
  const pages = FOLDERS.flatMap((folder) =>
    readdirSync(join(DOCS, folder)).map((name) => join(folder, name)),
  )
  const runnable = pages.filter(
    (page) =>
      page.endsWith('.md') && readFileSync(join(DOCS, page), 'utf8').includes('<!-- run -->'),
  )
  expect(runnable.sort()).toEqual(Object.keys(PAGES).sort())
})

class Guide {
  private readonly folder: string
  private readonly environment: Readonly<Record<string, string>>
  private readonly ports: ReadonlyMap<string, string>
  private server: ChildProcess | undefined
  private printed: readonly string[] = []

  constructor(page: string, ports: ReadonlyMap<string, string>) {
    this.ports = ports
    this.folder = mkdtempSync(join(tmpdir(), 'saslcached-guide-'))
    // Servers of other programs become other users.
    chmodSync(this.folder, 0o755)
    for (const name of ['bin', 'etc/saslcached', 'run/saslcached']) {
      mkdirSync(join(this.folder, name), { recursive: true })
    }
    symlinkSync(MODULES, join(this.folder, 'node_modules'))
    const program = join(this.folder, 'bin', 'saslcached')
    writeFileSync(program, `#!/bin/sh\nexec "${SERVER_NODE}" "${SERVER_PROGRAM}" "$@"\n`)
    chmodSync(program, 0o755)
    const users = join(this.folder, 'etc', 'saslcached', 'users.toml')
    this.environment = {
      PATH: `${join(this.folder, 'bin')}:${process.env.PATH}:/usr/sbin`,
      ...(page.includes('saslcached user') ? { SASLCACHED_USERS_FILE: users } : {}),
      SASLCACHED_PORT: ports.get('11211') ?? '',
      SASLCACHED_THREADS: '1',
    }
    writeFileSync(users, '[users]\n')
  }

  end(): void {
    this.server?.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }

  write(path: string, text: string): void {
    const file = resolve(this.folder, this.moved(path))
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, this.moved(text))
  }

  async serve(command: string): Promise<void> {
    await this.endServer()
    const trouble = await this.start(command)
    if (trouble !== undefined) throw new Error(`the server ended: ${trouble}`)
  }

  private async endServer(): Promise<void> {
    const { server } = this
    this.server = undefined
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return
    const closed = once(server, 'close')
    server.kill('SIGKILL')
    await closed
  }

  /** What the server has said, if it ended instead of serving. */
  private async start(command: string): Promise<string | undefined> {
    const child = spawn(
      'sh',
      ['-c', this.moved(command).replace(/(^|\s)(saslcached)/, '$1exec $2')],
      {
        cwd: this.folder,
        env: { ...inheritedEnvironment(), ...this.environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    this.server = child
    let text = ''
    return await new Promise<string | undefined>((settle) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (part: string) => {
          text += part
          if (text.includes('"started"')) settle(undefined)
        })
      }
      child.once('close', () => settle(text))
    })
  }

  async run(script: string): Promise<void> {
    const result = await runProgram(['sh', '-ec', this.moved(script)], {
      directory: this.folder,
      environment: this.environment,
      input: `${PASSWORD}\n`,
    })
    expect(result, result.stderr).toMatchObject({ exitCode: 0, overran: false })
    this.printed = result.stdout.split(/\r?\n/)
  }

  /** Each line stands at the beginning of one that was printed, in this order. */
  expectPrinted(text: string): void {
    const rest = [...this.printed]
    const wanted = this.moved(text).trimEnd().split('\n')
    const missing = wanted.filter((line) => {
      const index = rest.findIndex((printed) => printed.trim().startsWith(line.trim()))
      rest.splice(0, index + 1)
      return index === -1
    })
    expect([missing, this.printed]).toEqual([[], this.printed])
  }

  private moved(text: string): string {
    const here = text.replaceAll(/(?<![\w.])\/(?:etc|run)\//g, (path) => `${this.folder}${path}`)
    return here.replaceAll(PORT, (port) => this.ports.get(port) ?? port)
  }
}

for (const [page, needs] of Object.entries(PAGES)) {
  if (!hasPrerequisites(page, needs)) continue
  // Beside each other: they wait for other programs.
  test.concurrent(`docs/${page} does what it says`, async ({ onTestFinished }) => {
    const text = readFileSync(join(DOCS, page), 'utf8')
    const ports = new Map<string, string>()
    for (const port of PORTS) ports.set(port, String(await freePort()))
    const guide = new Guide(text, ports)
    onTestFinished(() => guide.end())
    const before = BEFORE[page]
    if (before !== undefined) await guide.run(before)
    for (const [, kind = '', block = ''] of text.matchAll(BLOCK)) {
      if (kind === 'serve') await guide.serve(block)
      else if (kind === 'run') await guide.run(block)
      else if (kind === 'prints') guide.expectPrinted(block)
      else guide.write(kind.slice('file: '.length), block)
    }
  })
}
