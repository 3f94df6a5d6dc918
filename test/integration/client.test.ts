/**
 * `saslcached stats`, `get` and the others as processes, against saslcached (in the clear, over TLS, on a
 * Unix socket) and against memcached: without login, with SASL, with a password file.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  hasPrerequisites,
  type ProgramOptions,
  type ProgramResult,
  runProgram,
} from '../support/program.ts'
import {
  MEMCACHED,
  SERVER_NODE,
  SERVER_PROGRAM,
  startMemcached,
  startSaslcached,
  type TestServer,
} from '../support/server.ts'
import {
  runInTerminal,
  TERMINAL,
  type TerminalOptions,
  type TerminalStep,
} from '../support/terminal.ts'
import { TestTls } from '../support/tls.ts'

const ALICE = { name: 'alice', password: 'wonderland' }
const READER = { name: 'reader', password: 'r' }
const LISTENERS = ['notls:tag_clear_', 'btls:tag_tls_', 'mtls:tag_mtls_']
  .map((which) => `${which}:127.0.0.1:-1`)
  .join()
const ENVIRONMENT = { SASLCACHED_USERNAME: ALICE.name, SASLCACHED_PASSWORD: ALICE.password }

function run(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  // A busy machine may take longer for an answer than users wait for it.
  const patience = argv.includes('--timeout') ? [] : ['--timeout', '60']
  const command = [SERVER_NODE, SERVER_PROGRAM, ...argv, ...patience]
  return runProgram(command, { ...options, environment: { HOME: '/nonexistent', ...environment } })
}

async function lines(argv: readonly string[], environment = {}): Promise<string[]> {
  const { exitCode, stdout, stderr } = await run(argv, environment)
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout.split('\n').slice(0, -1)
}

describe('the client', () => {
  let tls: TestTls
  let server: TestServer
  let at: (tag: string) => string
  let socket: string

  beforeAll(async () => {
    tls = new TestTls()
    socket = join(tls.directory, 'cache.sock')
    server = await startSaslcached({
      users: [ALICE, READER],
      usersFileEnd:
        'roles = ["readonly"]\n[users.machine]\npassword_login = false\n' +
        `[namespaces.shop]\nmemory = "8m"\n[users.tenant]\npassword = "${READER.password}"\nnamespace = "shop"\n`,
      flags: [
        ...tls.server.flags,
        ...['--tls-ca', tls.caFile, '--tls-user-from', 'cn'],
        ...['-t', '1', '-v', '-l', LISTENERS],
        ...['--listen-as', `alice=${socket}`],
      ],
    })
    await server.waitForLog(({ event }) => event === 'started')
    at = (tag) => {
      const line = server.log().find((record) => record.event === 'listening' && record.tag === tag)
      return `localhost:${line?.port}`
    }
  })
  afterAll(async () => {
    await server.stop()
    tls.remove()
  })

  const clear = () => ({ ...ENVIRONMENT, SASLCACHED_SERVER: at('clear') })
  const loggedInBy = (name: string) =>
    server.waitForLog(({ event, mechanism }) => event === 'login' && mechanism === name)

  test('stores, reads, lists and deletes, any bytes', async () => {
    const input = Buffer.from([0, 1, 27, 13, 10, 255])
    expect((await run(['set', 'bin key', '--flags', '7'], clear(), { input })).exitCode).toBe(0)
    const read = await run(['get', 'bin key'], clear())
    expect(read.stdoutBytes.equals(input)).toBe(true)
    const [json = ''] = await lines(['get', 'bin key', '--json'], clear())
    expect(JSON.parse(json)).toMatchObject({
      key: 'bin key',
      value_base64: input.toString('base64'),
      flags: 7,
      ttl: null,
    })
    // The same of an item, whoever tells it.
    const { cas } = JSON.parse(json) as { cas: string }
    expect(cas).toMatch(/^\d+$/)
    for (const flags of [[], ['--values']]) {
      const [dumped = ''] = await lines(['dump', '--prefix', 'bin', '--json', ...flags], clear())
      expect(JSON.parse(dumped)).toMatchObject({ key: 'bin key', cas })
    }
    expect(await lines(['dump', '--values', '--prefix', 'bin'], clear())).toEqual([
      'bin%20key\t\\x00\\x01\\x1b\\r\\n\\xff',
    ])
    expect(await lines(['get', 'bin%20key', '--encoded', '--json'], clear())).toHaveLength(1)
    expect(await lines(['delete', 'bin key'], clear())).toEqual([])
    expect(await run(['get', 'bin key'], clear())).toMatchObject({ exitCode: 1, stdout: '' })
    expect(await run(['delete', 'bin key'], clear())).toMatchObject({ exitCode: 1 })
  })

  test('what takes the most memory is listed, the largest first', async () => {
    const sizes = { 'size-a': 10, 'size-b': 3000, 'size-c': 200, 'size-d': 20 }
    for (const [key, bytes] of Object.entries(sizes)) {
      expect((await run(['set', key, 'v'.repeat(bytes)], clear())).exitCode).toBe(0)
    }
    const largest = await lines(['dump', '--prefix', 'size-', '--largest', '2'], clear())
    expect(largest.map((line) => line.split(' ')[0])).toEqual(['size-b', 'size-c'])
    expect(Number(largest[0]?.split('size=')[1])).toBeGreaterThan(3000)
    const all = ['dump', '--prefix', 'size-', '--largest', '9', '--json']
    const keys = (await lines(all, clear())).map(
      (line) => (JSON.parse(line) as { key: string }).key,
    )
    expect(keys).toEqual(['size-b', 'size-c', 'size-d', 'size-a'])
    for (const key of keys) await run(['delete', key], clear())
  })

  test('statistics, a ping, a line of top, a small load that leaves nothing', async () => {
    expect((await lines(['stats'], clear())).some((line) => /^curr_items +\d+$/.test(line))).toBe(
      true,
    )
    const [json = ''] = await lines(['stats', 'auth', '--json'], clear())
    expect(JSON.parse(json)).toMatchObject({ login_successes: expect.any(Number) })
    expect((await lines(['ping', '--count', '1'], clear()))[0]).toContain('1.6.45-saslcached')
    expect(await lines(['top', '--interval', '0.1', '--count', '2'], clear())).toHaveLength(2)
    const load = ['--seconds', '0.1', '--keys', '10', '--pipeline', '4', '--json']
    const [result = ''] = await lines(['bench', ...load], clear())
    const { get, ...rest } = JSON.parse(result) as { get: { requests: number } }
    expect(get.requests).toBeGreaterThan(0)
    expect(rest).toMatchObject({ misses: 0, left_keys: 0 })
    expect(await lines(['dump', '--prefix', 'saslcached-bench:'], clear())).toEqual([])
  })

  test('a load whose user may not delete says what it leaves', async () => {
    const limited = await startSaslcached({
      users: [ALICE],
      usersFileEnd: `[users.writer]\npassword = "s3cret"\nrights = ["read", "write"]\n`,
      flags: ['-t', '1'],
    })
    onTestFinished(async () => {
      await limited.stop()
    })
    const as = {
      ...ENVIRONMENT,
      SASLCACHED_SERVER: `127.0.0.1:${limited.port}`,
      SASLCACHED_USERNAME: 'writer',
      SASLCACHED_PASSWORD: 's3cret',
    }
    const load = ['bench', '--seconds', '0.1', '--keys', '10']
    expect((await lines(load, as)).at(-1)).toMatch(
      /^warning: 10 keys could not be deleted .* within 10 minutes$/,
    )
    const [json = ''] = await lines([...load, '--json'], as)
    expect(JSON.parse(json)).toMatchObject({ left_keys: 10 })
  })

  test('in the clear it is SCRAM; over TLS it is bound to the connection, and PLAIN may go', async () => {
    const secure = { ...ENVIRONMENT, SASLCACHED_SERVER: at('tls') }
    const ca = ['--tls-ca', tls.caFile]
    expect(await run(['ping'], clear())).toMatchObject({ exitCode: 0 })
    await loggedInBy('SCRAM-SHA-256')
    expect(await run(['ping', ...ca], secure)).toMatchObject({ exitCode: 0 })
    await loggedInBy('SCRAM-SHA-256-PLUS')
    const plain = ['ping', '--mechanism', 'PLAIN']
    expect(await run([...plain, ...ca], secure)).toMatchObject({ exitCode: 0 })
    await loggedInBy('PLAIN')
    const stderr = expect.stringContaining('would go over the network as it is')
    expect(await run(plain, clear())).toMatchObject({ exitCode: 67, stderr })
    const insecure = [...plain, '--tls-insecure']
    expect(await run(insecure, secure)).toMatchObject({
      exitCode: 67,
      stderr: expect.stringContaining('name the authority with --tls-ca FILE'),
    })
  })

  test('each sort of trouble has its exit code and a sentence', async () => {
    const secure = { ...ENVIRONMENT, SASLCACHED_SERVER: at('tls') }
    const wrong = { ...clear(), SASLCACHED_PASSWORD: 'rabbit' }
    const trouble = async (argv: readonly string[], environment: Record<string, string>) => {
      const { exitCode, stdout, stderr } = await run(argv, environment)
      expect(stdout + stderr).not.toMatch(/wonderland|rabbit/)
      expect(stderr.trimEnd().split('\n')).toHaveLength(1)
      return [exitCode, stderr] as const
    }
    expect(await trouble(['ping'], wrong)).toEqual([
      67,
      expect.stringMatching(/let us in as "alice"/),
    ])
    expect(await trouble(['ping', '--tls'], secure)).toEqual([
      68,
      expect.stringMatching(/--tls-ca/),
    ])
    const misnamed = ['ping', '--tls-ca', tls.caFile, '--tls-name', 'other.example']
    expect(await trouble(misnamed, secure)).toEqual([68, expect.stringMatching(/another name/)])
    expect(await trouble(['ping'], secure)).toEqual([69, expect.stringMatching(/give --tls/)])
    expect(await trouble(['ping', '--tls'], clear())).toEqual([69, expect.any(String)])
    expect(await trouble(['stats'], { SASLCACHED_SERVER: at('clear') })).toEqual([
      67,
      expect.stringMatching(/wants a login/),
    ])
    expect(await trouble(['stats', 'nonsense'], clear())).toEqual([1, expect.any(String)])
    expect(await trouble(['flush'], clear())).toEqual([78, expect.stringMatching(/--yes/)])
  })

  test('a socket that stands for a user needs no login, and a user may lack a right', async () => {
    const target = { SASLCACHED_SERVER: socket }
    expect(await run(['set', 'a', 'b'], target)).toMatchObject({ exitCode: 0 })
    expect(await run(['get', 'a'], target)).toMatchObject({ stdout: 'b' })
    expect(await run(['flush', '--yes'], target)).toMatchObject({ exitCode: 0 })
    expect(await run(['get', 'a'], target)).toMatchObject({ exitCode: 1 })
    const reader = {
      SASLCACHED_SERVER: at('clear'),
      SASLCACHED_USERNAME: READER.name,
      SASLCACHED_PASSWORD: READER.password,
    }
    expect(await run(['set', 'a', 'b'], reader)).toMatchObject({
      exitCode: 77,
      stderr: expect.stringContaining('lacks the right'),
    })
  })

  test('an administrator lists and flushes another namespace by its name', async () => {
    const tenant = {
      SASLCACHED_SERVER: at('clear'),
      SASLCACHED_USERNAME: 'tenant',
      SASLCACHED_PASSWORD: READER.password,
    }
    expect(await run(['set', 'theirs', 'x'], tenant)).toMatchObject({ exitCode: 0 })
    expect(await lines(['dump', '--namespace', 'shop'], clear())).toEqual(['theirs'])
    expect(await run(['flush', '--namespace', 'shop', '--yes'], clear())).toMatchObject({
      exitCode: 0,
    })
    expect(await run(['get', 'theirs'], tenant)).toMatchObject({ exitCode: 1 })
    for (const group of [['namespaces'], ['namespace', 'shop'], ['namespace', 'none']]) {
      expect(await run(['stats', ...group], tenant)).toMatchObject({
        exitCode: 77,
        stderr: expect.stringContaining('permission denied'),
      })
    }
    for (const [words, reason] of [
      [['stats', 'namespace', 'none'], 'no such namespace'],
      [['flush', '--namespace', 'none', '--yes'], 'no such namespace'],
      [['flush', '--namespace', 'a b', '--yes'], 'no name of a namespace'],
      [['dump', '--namespace', 'shop', '--values'], '--values goes without --namespace'],
    ] as const) {
      const { exitCode, stderr } = await run([...words], clear())
      expect([exitCode === 0, stderr]).toEqual([false, expect.stringContaining(reason)])
    }
  })

  test('watch shows what happens, and ends by itself', async () => {
    const watching = run(['watch', 'mutations', '--count', '1', '--json'], clear())
    let isSeen = false
    const seen = watching.then((result) => {
      isSeen = true
      return result
    })
    // It is not known when it has begun.
    for (let index = 0; !isSeen; index++) await run(['set', 'seen', String(index)], clear())
    const { stdout } = await seen
    expect(JSON.parse(stdout)).toMatchObject({ type: 'item_store', key: 'seen' })
  })

  test('logs in by its certificate, and binds to that of the server where TLS has no exporter', async () => {
    const ca = ['--tls-ca', tls.caFile]
    const { certificateFile, keyFile } = tls.issue('machine', { subject: '/CN=machine' })
    const shown = ['ping', ...ca, '--tls-cert', certificateFile, '--tls-key', keyFile]
    const mutual = { SASLCACHED_SERVER: at('mtls') }
    expect((await lines(shown, mutual))[1]).toMatch(/^connected and logged in in /)
    expect((await loggedInBy('EXTERNAL')).user).toBe('machine')
    // Nobody asks for the certificate there.
    expect((await lines(shown, { SASLCACHED_SERVER: at('tls') }))[1]).toMatch(/^connected in /)
    const asAlice = [...shown, '--mechanism', 'EXTERNAL', '--user', 'alice']
    expect(await run(asAlice, mutual)).toMatchObject({ exitCode: 67 })

    const older = { ...ENVIRONMENT, SASLCACHED_SERVER: at('tls'), NODE_OPTIONS: '--tls-max-v1.2' }
    const bound = ['ping', ...ca, '--mechanism', 'SCRAM-SHA-1-PLUS']
    expect(await run(bound, older)).toMatchObject({ exitCode: 0 })
    const login = await loggedInBy('SCRAM-SHA-1-PLUS')
    expect(login).toMatchObject({ user: 'alice' })
  })

  if (hasPrerequisites('the client in a terminal', [TERMINAL])) {
    const inTerminal = (
      steps: readonly TerminalStep[],
      argv: readonly string[],
      options: TerminalOptions = {},
    ) =>
      runInTerminal(steps, argv, {
        ...options,
        environment: { ...clear(), HOME: '/nonexistent', ...options.environment },
      })
    const top = ['top', '--interval', '0.1']

    /** The lines that were drawn last. */
    const rowsOf = (screen: string): string[] => {
      const drawn = screen.slice(screen.lastIndexOf('\u001b[H'), screen.lastIndexOf('\u001b[J'))
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out.
      return drawn.replaceAll(/\u001b\[[?0-9]*[A-Za-z]/g, '').split(/\r*\n/)
    }

    // A terminal that does not know its size is taken for one of 80 columns.
    test.each([
      [80, 80],
      [40, 40],
      [0, 80],
    ])('top at %i columns draws within %i and leaves the screen', async (columns, widest) => {
      const steps = [{ shows: 'q quits', types: 'q' }]
      const rows = columns === 0 ? 0 : 24
      const { screen, exitCode, echoes } = await inTerminal(steps, top, { columns, rows })
      expect({ exitCode, echoes }).toEqual({ exitCode: 0, echoes: true })
      expect(screen.startsWith('\u001b[?1049h\u001b[?25l')).toBe(true)
      expect(screen.endsWith('\u001b[?25h\u001b[?1049l')).toBe(true)
      const lengths = rowsOf(screen).map((row) => row.length)
      expect(Math.max(...lengths)).toBeLessThanOrEqual(widest)
      expect(Math.max(...lengths)).toBeGreaterThan(widest / 2)
      expect(rowsOf(screen).join('\n')).toMatch(/hit ratio[\s\S]*requests\/s[\s\S]*q quits/)
    })

    test('top takes the width that a window is pulled to', async () => {
      // The third number of a line begins the second one only where there is room for two.
      const narrow = '\u001b[Knew/s'
      const steps = [
        { shows: 'q quits', columns: 40 },
        { shows: narrow, types: 'q' },
      ]
      const { screen, exitCode } = await inTerminal(steps, top)
      expect(exitCode).toBe(0)
      expect(screen.slice(0, screen.indexOf('q quits'))).not.toContain(narrow)
      expect(Math.max(...rowsOf(screen).map((row) => row.length))).toBeLessThanOrEqual(40)
    })

    test('a password is asked for once and not shown, and Control-C leaves', async () => {
      const environment = { SASLCACHED_USERNAME: 'alice', SASLCACHED_PASSWORD: '' }
      const argv = ['ping', '--count', '1']
      const asks = 'Password for "alice": '
      const right = await inTerminal([{ shows: asks, types: `${ALICE.password}\r` }], argv, {
        environment,
      })
      expect(right).toMatchObject({ exitCode: 0, echoes: true })
      expect(right.screen).not.toContain(ALICE.password)
      expect(right.screen).toContain('\r\n1 round trip, min/mean/max')
      const wrong = await inTerminal([{ shows: asks, types: 'rabbit\r' }], argv, { environment })
      expect(wrong).toMatchObject({ exitCode: 67, echoes: true })
      expect(wrong.screen).not.toContain('rabbit')
      const left = await inTerminal([{ shows: asks, types: 'rab\u0003' }], argv, { environment })
      expect(left).toMatchObject({ exitCode: 130, echoes: true })
    })
  }
})

if (hasPrerequisites('the client against memcached', [MEMCACHED])) {
  describe('against memcached', () => {
    test('without login: everything', async () => {
      const server = await startMemcached()
      const target = { SASLCACHED_SERVER: server.address }
      try {
        expect(await run(['set', 'a b', 'c', '--ttl', '99'], target)).toMatchObject({ exitCode: 0 })
        expect(await run(['get', 'a b'], target)).toMatchObject({ stdout: 'c' })
        expect(await lines(['dump', '--values'], target)).toEqual(['a%20b\tc'])
        expect((await lines(['stats'], target)).length).toBeGreaterThan(50)
        const other = await run(['get', 'a'], { ...target, ...ENVIRONMENT })
        expect(other).toMatchObject({
          exitCode: 67,
          stderr: expect.stringContaining('takes no logins'),
        })
      } finally {
        await server.stop()
      }
    })

    test('with SASL, by SCRAM over the binary protocol: what that has', async () => {
      const server = await startMemcached({ users: [ALICE] })
      const target = { SASLCACHED_SERVER: server.address, ...ENVIRONMENT }
      try {
        expect(await run(['set', 'a', 'b'], target)).toMatchObject({ exitCode: 0 })
        expect(await run(['get', 'a'], target)).toMatchObject({ stdout: 'b' })
        expect((await lines(['stats'], target)).length).toBeGreaterThan(50)
        expect((await server.waitForLogins(1))[0]?.mechanism).toMatch(/^SCRAM-SHA-/)
        expect(await run(['dump'], target)).toMatchObject({ exitCode: 1 })
        const wrong = { ...target, SASLCACHED_PASSWORD: 'rabbit' }
        expect(await run(['get', 'a'], wrong)).toMatchObject({ exitCode: 67 })
      } finally {
        await server.stop()
      }
    })

    test('with a password file: only if the password may go in the clear', async () => {
      const server = await startMemcached({ users: [ALICE], textLogin: true })
      const target = { SASLCACHED_SERVER: server.address, ...ENVIRONMENT }
      try {
        expect(await run(['get', 'a'], target)).toMatchObject({ exitCode: 67 })
        const asked = ['--plain-in-the-clear']
        expect(await run(['set', 'a', 'b', ...asked], target)).toMatchObject({ exitCode: 0 })
        expect(await run(['get', 'a', ...asked], target)).toMatchObject({ stdout: 'b' })
      } finally {
        await server.stop()
      }
    })
  })
}

/** The sources of what loading a file of dist/bin loads before it runs. */
function sourcesLoadedWith(file: string, seen: Set<string> = new Set()): string[] {
  seen.add(file)
  const path = join(dirname(SERVER_PROGRAM), file)
  const text = readFileSync(path, 'utf8')
  const sources: string[] = existsSync(`${path}.map`)
    ? JSON.parse(readFileSync(`${path}.map`, 'utf8')).sources
    : []
  for (const [, name = ''] of text.matchAll(/^(?:import|export) .*["']\.\/([\w-]+\.js)["']/gm)) {
    if (!seen.has(name)) sources.push(...sourcesLoadedWith(name, seen))
  }
  return sources.map((source) => source.replace(/^(\.\.\/)+/, ''))
}

test('the server loads nothing of the client, and the client nothing of the server', () => {
  const server = sourcesLoadedWith('main.js')
  const client = sourcesLoadedWith('client-main.js')
  expect(server.filter((source) => /^src\/(client|cli\/client)\//.test(source))).toEqual([])
  const ofServer = /^src\/(server|storage|command|connection|observe)\/(?!main\/signals\.ts)/
  expect(client.filter((source) => ofServer.test(source))).toEqual([])
  expect(server).toContain('src/cli/main.ts')
  expect(client).toContain('src/cli/client/client-main.ts')
})
