/**
 * The server as a process: how it starts, refuses to start, stops, and what it leaves in the system. Here
 * it is run as an operator runs it, with nothing of the test's own between them.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chownSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { requestFrame, storeFrame } from '../support/binary-frames.ts'
import { SERVER_NODE, SERVER_PROGRAM, startSaslcached } from '../support/server.ts'

const SET = 0x01
const GET = 0x00
const NOOP = 0x0a
const STAT = 0x10
const OK = 0x00
const REFUSED = 0x20

const EXIT_SOFTWARE = 70
const EXIT_OS = 71
const EXIT_CONFIG = 78
const DEADLINE_MS = 10_000
/** A server without clients ends in a fraction of this, and waits for its log for a second. */
const STUCK_LOG_END_MS = 10_000
const BREAKER = join(import.meta.dirname, '..', 'support', 'break-worker.mjs')
const LOADED_MODULES = join(import.meta.dirname, '..', 'support', 'loaded-modules.cjs')
const PASSWORD = 'Xyzzy-plugh-42'
const isRoot = process.getuid?.() === 0

interface Run {
  readonly child: ChildProcess
  readonly pid: number
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>
  stdout: string
  stderr: string
}

interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>
  /** Where standard output goes; a pipe that is read if absent. */
  readonly stdout?: number
  readonly directory?: string
  /** `ulimit -n`; that of this process if absent. */
  readonly openFilesMax?: number
  /** `ulimit -v`. */
  readonly addressSpaceKib?: number
  readonly nodeFlags?: readonly string[]
}

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-process-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Starts the program with exactly these arguments, away from any configuration of this machine. */
function run(args: readonly string[], options: RunOptions = {}): Run {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^_?(SASLCACHED|MEMCACHED)_/.test(name),
  )
  const { openFilesMax, addressSpaceKib, nodeFlags = [] } = options
  const files = openFilesMax === undefined ? '' : `ulimit -n ${openFilesMax}; `
  const limit = addressSpaceKib === undefined ? files : `${files}ulimit -v ${addressSpaceKib}; `
  const command = [SERVER_NODE, ...nodeFlags, SERVER_PROGRAM, ...args]
  const child = spawn('sh', ['-c', `${limit}exec "$0" "$@"`, ...command], {
    env: { ...Object.fromEntries(inherited), ...options.environment },
    stdio: ['ignore', options.stdout ?? 'pipe', 'pipe'],
    cwd: options.directory,
  })
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  const started: Run = { child, pid: child.pid ?? 0, exited, stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    started.stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    started.stderr += text
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return started
}

async function until<Value>(look: () => Value | undefined, what: string): Promise<Value> {
  const endMs = performance.now() + DEADLINE_MS
  for (;;) {
    const value = look()
    if (value !== undefined) return value
    if (performance.now() > endMs) throw new Error(`${what}: not within ${DEADLINE_MS} ms`)
    await delay(5)
  }
}

interface Serving extends Run {
  readonly host: string
  readonly port: number
}

/** Starts a server on a free port and waits for the file that tells it. */
async function serve(args: readonly string[], options: RunOptions = {}): Promise<Serving> {
  const portFile = join(temporary(), 'port')
  const environment = { ...options.environment, MEMCACHED_PORT_FILENAME: portFile }
  const started = run(['-l', '127.0.0.1', '-p', '-1', ...args], { ...options, environment })
  let isOver = false
  started.exited.then(() => {
    isOver = true
  })
  const port = await until(() => {
    if (isOver) throw new Error(`the server ended: ${started.stdout}${started.stderr}`)
    return existsSync(portFile)
      ? Number(/^TCP INET: (\d+)$/m.exec(readFileSync(portFile, 'utf8'))?.[1])
      : undefined
  }, 'the port file')
  return Object.assign(started, { host: '127.0.0.1', port })
}

async function connect(server: { host: string; port: number }): Promise<BinaryClient> {
  const client = await BinaryClient.connect(server)
  onTestFinished(() => client.destroy())
  return client
}

async function expectServed(client: BinaryClient): Promise<void> {
  expect((await client.request({ opcode: NOOP })).status).toBe(OK)
}

/** Ends a server and fails unless it ends well. */
async function stop(server: Run, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  server.child.kill(signal)
  expect(await server.exited).toEqual({ code: 0, signal: null })
}

async function untilStarted(server: Run): Promise<void> {
  let isOver = false
  void server.exited.then(() => {
    isOver = true
  })
  await until(() => {
    if (isOver) throw new Error(`the server ended: ${server.stdout}${server.stderr}`)
    return events(server).includes('started') ? true : undefined
  }, 'the start')
}

async function connectUnix(path: string): Promise<BinaryClient> {
  const socket = connectSocket({ path })
  await once(socket, 'connect')
  const client = new BinaryClient(socket)
  onTestFinished(() => client.destroy())
  return client
}

function warnings(server: Run): string[] {
  return server.stdout
    .split('\n')
    .filter((line) => line.startsWith('{"level":"warn"'))
    .map((line) => String((JSON.parse(line) as { message: unknown }).message))
}

function events(server: Run): string[] {
  return server.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => String((JSON.parse(line) as { event: unknown }).event))
}

function usersFile(directory: string, content?: string): string {
  const path = join(directory, 'users.toml')
  writeFileSync(path, content ?? `[users.alice]\npassword = ${JSON.stringify(PASSWORD)}\n`, {
    mode: 0o600,
  })
  return path
}

test('what is not used of -m takes no memory: 64 GiB start as 64 MiB do', async () => {
  const resident = async (memoryMib: string): Promise<number> => {
    const server = await startSaslcached({ flags: ['-m', memoryMib, '-t', '1'] })
    onTestFinished(async () => await server.stop())
    return server.residentBytes
  }
  const small = await resident('64')
  const large = await resident('65536')
  expect(large - small).toBeLessThan(12 * 1024 * 1024)
})

test('a port in use is said on stderr, with exit code 71', async () => {
  const first = await serve(['--no-auth'])
  const second = run(['--no-auth', '-l', '127.0.0.1', '-p', String(first.port)])
  expect(await second.exited).toEqual({ code: EXIT_OS, signal: null })
  expect(second.stderr).toContain(`cannot listen on 127.0.0.1:${first.port}`)
  expect(second.stderr).toContain('the address is in use')
  expect(second.stderr).not.toMatch(/\n\s+at /)
  await expectServed(await connect(first))
  await stop(first)
})

test('an address of another machine is said on stderr, with exit code 71', async () => {
  const refused = run(['--no-auth', '-l', '192.0.2.1', '-p', '-1'])
  expect((await refused.exited).code).toBe(EXIT_OS)
  expect(refused.stderr).toContain('no interface of this machine has that address')
})

test('all problems of the command line are told at once, with exit code 78', async () => {
  const refused = run(['-c', '0', '-I', '2g', '--no-such-flag', '--users-file', '/no/such/file'])
  expect((await refused.exited).code).toBe(EXIT_CONFIG)
  for (const part of ['-c', '-I', '--no-such-flag', '/no/such/file']) {
    expect(refused.stderr).toContain(part)
  }
  expect(refused.stderr).not.toMatch(/\n\s+at /)
  expect(refused.stdout).toBe('')
})

test('a broken configuration file is refused with its line', async () => {
  const file = join(temporary(), 'saslcached.toml')
  writeFileSync(file, '[network]\nport = 11211\n\n[memory]\nmemory_limit_mib = "much"\n')
  const refused = run(['--config', file])
  expect((await refused.exited).code).toBe(EXIT_CONFIG)
  expect(refused.stderr).toContain(`${file}:5`)
})

test.each([
  ['is broken', '[users.alice]\npassword = "unfinished\n', ':2'],
  ['is empty', '', 'empty'],
  ['has an unknown key', '[users.alice]\npasword = "x"\n', ':'],
])('a users file that %s is refused, with exit code 78', async (_, content, told) => {
  const file = usersFile(temporary(), content)
  const refused = run(['--users-file', file, '-l', '127.0.0.1', '-p', '-1'])
  expect((await refused.exited).code).toBe(EXIT_CONFIG)
  expect(refused.stderr).toContain(file)
  expect(refused.stderr).toContain(told)
  expect(refused.stderr).not.toContain('unfinished')
  expect(refused.stderr).not.toMatch(/\n\s+at /)
})

test('a pipe in the place of a file of the configuration ends the start with 78, and no reload', async () => {
  const directory = temporary()
  const pipe = join(directory, 'pipe')
  expect(spawnSync('mkfifo', [pipe]).status).toBe(0)
  const common = ['-l', '127.0.0.1', '-p', '-1']
  for (const [flags, sentence] of [
    [['--users-file', pipe], 'this is a pipe, not a regular file'],
    [['-Y', pipe], 'this is a pipe, not a regular file'],
    [['--no-auth', '--config', pipe], 'is a pipe that nobody writes into'],
  ] as const) {
    const refused = run([...common, ...flags])
    expect(await refused.exited).toEqual({ code: EXIT_CONFIG, signal: null })
    expect(refused.stderr + refused.stdout).toContain(sentence)
  }
  const users = usersFile(directory)
  const server = await serve(['--log-format', 'json', '--users-file', users])
  renameSync(pipe, users)
  server.child.kill('SIGHUP')
  await until(() => events(server).find((event) => event === 'credentials_refused'), 'the refusal')
  await expectEndSoon(server)
})

test('a users file that is a directory is refused, with exit code 78', async () => {
  const refused = run(['--users-file', temporary(), '-l', '127.0.0.1', '-p', '-1'])
  expect((await refused.exited).code).toBe(EXIT_CONFIG)
  expect(refused.stderr).toContain('directory')
})

test.runIf(isRoot)('a users file that only root may read is refused to others', async () => {
  // Root may read everything, so the one who may not is made by setpriv.
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-process-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const file = usersFile(directory)
  const child = spawn(
    'setpriv',
    ['--reuid=65534', '--regid=65534', '--clear-groups', SERVER_NODE, SERVER_PROGRAM].concat([
      '--users-file',
      file,
      '-l',
      '127.0.0.1',
      '-p',
      '-1',
    ]),
    { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' },
  )
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [code] = (await once(child, 'close')) as [number]
  expect([code, stderr]).toEqual([EXIT_CONFIG, expect.stringContaining(file)])
})

test('a pid file or a port file that cannot be written is warned of, and the server serves', async () => {
  const server = run(['--no-auth', '-l', '127.0.0.1', '-p', '-1', '-P', '/no/such/directory/pid'], {
    environment: { MEMCACHED_PORT_FILENAME: '/dev/null/port' },
  })
  await untilStarted(server)
  for (const path of ['/no/such/directory/pid', '/dev/null/port']) {
    expect(warnings(server)).toContainEqual(expect.stringContaining(path))
  }
  await stop(server)
})

test('a pid file replaces a symbolic link, and does not follow it', async () => {
  const directory = temporary()
  const victim = join(directory, 'victim')
  writeFileSync(victim, 'precious')
  const pidFile = join(directory, 'pid')
  const portFile = join(directory, 'port')
  for (const link of [pidFile, portFile]) symlinkSync(victim, link)
  const server = run(['--no-auth', '-l', '127.0.0.1', '-p', '-1', '-P', pidFile], {
    environment: { MEMCACHED_PORT_FILENAME: portFile },
  })
  await untilStarted(server)
  expect(readFileSync(victim, 'utf8')).toBe('precious')
  for (const file of [pidFile, portFile]) expect(lstatSync(file).isFile()).toBe(true)
  expect(readFileSync(pidFile, 'utf8')).toBe(`${server.pid}\n`)
  expect(readdirSync(directory).sort()).toEqual(['pid', 'port', 'victim'])
  await stop(server)
  expect(existsSync(pidFile)).toBe(false)
  expect(readFileSync(victim, 'utf8')).toBe('precious')
})

test('a device is not replaced by a pid file', async () => {
  const directory = temporary()
  const fifo = join(directory, 'pid')
  expect(spawnSync('mkfifo', [fifo]).status).toBe(0)
  const server = await serve(['--no-auth', '-P', fifo])
  await untilStarted(server)
  expect(warnings(server)).toContainEqual(expect.stringContaining('something else than a file'))
  await stop(server)
  expect(statSync(fifo).isFIFO()).toBe(true)
})

test('a pid file that another server has written meanwhile stays when the first one ends', async () => {
  const pidFile = join(temporary(), 'pid')
  const first = await serve(['--no-auth', '-P', pidFile])
  await untilStarted(first)
  const second = await serve(['--no-auth', '-P', pidFile])
  await untilStarted(second)
  await stop(first)
  expect(readFileSync(pidFile, 'utf8')).toBe(`${second.pid}\n`)
  await stop(second)
  expect(existsSync(pidFile)).toBe(false)
})

test('a file with the pid of another in the place of ours stays', async () => {
  const pidFile = join(temporary(), 'pid')
  const server = await serve(['--no-auth', '-P', pidFile])
  await untilStarted(server)
  writeFileSync(pidFile, '1\n')
  await stop(server)
  expect(readFileSync(pidFile, 'utf8')).toBe('1\n')
})

test.runIf(isRoot)(
  'after -u a pid file in a directory of root is emptied, one in a directory of the user removed',
  async () => {
    const ofRoot = temporary()
    const ofUser = temporary()
    chownSync(ofUser, 65534, 65534)
    for (const directory of [ofRoot, ofUser]) {
      const server = await serve(['--no-auth', '-u', 'nobody', '-P', join(directory, 'pid')])
      await untilStarted(server)
      await stop(server)
    }
    expect(readFileSync(join(ofRoot, 'pid'), 'utf8')).toBe('')
    expect(readdirSync(ofUser)).toEqual([])
  },
)

test.runIf(isRoot)('with -u the Unix socket belongs to the user, as in memcached', async () => {
  const path = join(temporary(), 'server.sock')
  const server = run(['--no-auth', '-u', 'nobody', '-s', path])
  await untilStarted(server)
  expect([lstatSync(path).uid, lstatSync(path).gid]).toEqual([65534, 65534])
  await stop(server)
})

test('a Unix socket that is served is not taken, and its server goes on', async () => {
  const directory = temporary()
  const path = join(directory, 'server.sock')
  const first = run(['--no-auth', '-s', path])
  await untilStarted(first)
  const second = run(['--no-auth', '-s', path])
  expect((await second.exited).code).toBe(EXIT_OS)
  expect(second.stderr).toBe(
    `saslcached: cannot listen on ${path}: a server is running there (stop it, or choose another path with -s or --http)\n`,
  )
  await expectServed(await connectUnix(path))
  expect(readdirSync(directory)).toEqual(['server.sock'])
  await stop(first)
  expect(readdirSync(directory)).toEqual([])
})

test('a Unix socket that another server has put in the place of ours stays when we end', async () => {
  const directory = temporary()
  const path = join(directory, 'server.sock')
  const first = run(['--no-auth', '-s', path])
  await untilStarted(first)
  // What memcached does to it.
  unlinkSync(path)
  const second = run(['--no-auth', '-s', path])
  await untilStarted(second)
  await stop(first)
  await expectServed(await connectUnix(path))
  await stop(second)
  expect(readdirSync(directory)).toEqual([])
})

test('a server that crashes takes its Unix socket and its pid file along', async () => {
  const directory = temporary()
  const [path, pidFile] = [join(directory, 'server.sock'), join(directory, 'pid')]
  const breaker = join(directory, 'break')
  const server = run(['--no-auth', '-t', '2', '-s', path, '-P', pidFile], {
    environment: { BREAK_WORKER: breaker },
    nodeFlags: ['--import', BREAKER],
  })
  await untilStarted(server)
  writeFileSync(breaker, 'throw')
  expect((await server.exited).code).toBe(EXIT_SOFTWARE)
  expect(readdirSync(directory)).toEqual(['break'])
})

test.each([
  ['is not there', 'no/server.sock', 'the directory of the socket does not exist'],
  ['is a file', 'file/server.sock', 'is not a directory'],
])('a Unix socket in a directory that %s is told as such', async (_, name, told) => {
  const directory = temporary()
  writeFileSync(join(directory, 'file'), '')
  const refused = run(['--no-auth', '-s', join(directory, name)])
  expect((await refused.exited).code).toBe(EXIT_OS)
  expect(refused.stderr).toContain(told)
  expect(refused.stderr).not.toContain('permission')
})

test('a Unix socket of the longest path there is, with a name of one letter, is served', async () => {
  const directory = join(temporary(), 'x')
  const long = `${directory}${'x'.repeat(105 - directory.length)}`
  mkdirSync(long)
  const path = join(long, 's')
  expect(path).toHaveLength(107)
  const server = run(['--no-auth', '-s', path])
  await untilStarted(server)
  await expectServed(await connectUnix(path))
  await stop(server)
})

test.each([
  ['open files', { openFilesMax: 64 }, ['-t', '16'], 'ulimit -n'],
  ['open files, from the first one', { openFilesMax: 26 }, [], 'ulimit -n'],
  ['memory', { addressSpaceKib: 8_000_000 }, ['-m', '30000'], 'lower -m'],
])('a start that is short of %s says so, with exit code 71', async (_, options, flags, told) => {
  const refused = run(['--no-auth', '-l', '127.0.0.1', '-p', '-1', ...flags], options)
  expect((await refused.exited).code).toBe(EXIT_OS)
  expect(refused.stderr).toContain(told)
  expect(refused.stderr).not.toMatch(/\n\s+at /)
  expect(events(refused)).not.toContain('crashed')
})

// Imported rather than required, node:http brings along undici: 10 MiB and, on Node 22, 10 GB of addresses.
test.each([
  ['nothing of HTTP', [], []],
  ['no client of HTTP where it serves it', ['--http', '127.0.0.1:0'], ['http']],
])('a server loads %s', async (_, flags, loaded) => {
  const list = join(temporary(), 'modules')
  const server = run(['--no-auth', '-l', '127.0.0.1', '-p', '-1', ...flags], {
    environment: { LOADED_MODULES: list },
    nodeFlags: ['--require', LOADED_MODULES],
  })
  await untilStarted(server)
  await stop(server)
  const modules = JSON.parse(readFileSync(list, 'utf8')) as string[]
  const found = ['http', 'http2', 'internal/deps/undici/undici'].filter((name) =>
    modules.includes(`NativeModule ${name}`),
  )
  expect(found).toEqual(loaded)
})

test('each port that was bound is in the port file, for every address', async () => {
  const portFile = join(temporary(), 'port')
  const environment = { MEMCACHED_PORT_FILENAME: portFile }
  // Without -l, --no-auth is on both loopback addresses, on one port.
  const server = run(['--no-auth', '-p', '-1'], { environment })
  await untilStarted(server)
  const [, port] = /^TCP INET: (\d+)\nTCP INET6: \1\n$/.exec(readFileSync(portFile, 'utf8')) ?? []
  for (const host of ['127.0.0.1', '::1']) {
    await expectServed(await connect({ host, port: Number(port) }))
  }
  await stop(server)
})

test(':: is IPv6 alone where it is given, so that 0.0.0.0 can stand beside it', async () => {
  const first = await serve(['--no-auth'])
  await stop(first)
  const server = run(['--no-auth', '-l', '0.0.0.0,::', '-p', String(first.port)])
  await untilStarted(server)
  for (const host of ['127.0.0.1', '::1']) {
    await expectServed(await connect({ host, port: first.port }))
  }
  await stop(server)
})

test.each(['SIGTERM', 'SIGINT', 'SIGUSR1'] as const)(
  '%s closes idle connections and ends with exit code 0',
  async (signal) => {
    const server = await serve(['--no-auth'])
    const clients = await Promise.all(Array.from({ length: 5 }, () => connect(server)))
    for (const client of clients) await expectServed(client)
    const startedMs = performance.now()
    await stop(server, signal)
    expect(performance.now() - startedMs).toBeLessThan(4_000)
    for (const client of clients) expect(await client.closed()).toEqual([])
    expect(events(server)).toContain('stopped')
  },
)

async function bytesRead(client: BinaryClient): Promise<number> {
  let read = 0
  client.send(requestFrame({ opcode: STAT }))
  for (;;) {
    const { key, value } = await client.receive()
    if (key.length === 0) return read
    if (key.toString() === 'bytes_read') read = Number(value.toString())
  }
}

test.each([
  ['SIGTERM', 1],
  ['SIGTERM', 4],
  ['SIGUSR1', 4],
] as const)(
  'a request under way when %s comes at -t %d is finished; newcomers are not accepted',
  async (signal, threads) => {
    const server = await serve(['--no-auth', '-t', String(threads)])
    const clients = await Promise.all(Array.from({ length: 2 * threads }, () => connect(server)))
    const idle = await connect(server)
    for (const client of clients) await expectServed(client)
    const frame = storeFrame(SET, 'k', 'x'.repeat(1000))
    const readBefore = await bytesRead(idle)
    for (const client of clients) client.send(frame.subarray(0, 500))
    // Of the difference, the questions themselves are 24 bytes each.
    for (let asked = 1; ; asked++) {
      const halves = (await bytesRead(idle)) - readBefore - 24 * asked
      if (halves >= 500 * clients.length) break
      await delay(5)
    }
    server.child.kill(signal)
    expect(await idle.closed()).toEqual([])
    await until(
      () => (server.stdout.includes('no more connections') ? true : undefined),
      'the stop',
    )
    const late = connectSocket({ host: server.host, port: server.port })
    const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNREFUSED')
    for (const client of clients) {
      client.send(frame.subarray(500))
      expect((await client.receive()).status).toBe(OK)
      expect(await client.closed()).toEqual([])
    }
    expect(await server.exited).toEqual({ code: 0, signal: null })
  },
)

test('who does not finish is cut off at the drain deadline, still with exit code 0', async () => {
  const server = await serve(['--no-auth', '--drain-timeout', '0.5'])
  const client = await connect(server)
  await expectServed(client)
  const other = await connect(server)
  client.send(storeFrame(SET, 'k', 'x'.repeat(1000)).subarray(0, 500))
  await expectServed(other)
  await stop(server)
  await client.closed()
})

test('a second SIGTERM while stopping changes nothing', async () => {
  const server = await serve(['--no-auth'])
  await expectServed(await connect(server))
  server.child.kill('SIGTERM')
  server.child.kill('SIGTERM')
  expect(await server.exited).toEqual({ code: 0, signal: null })
})

test('SIGHUP without users to read again does no harm', async () => {
  const server = await serve(['--no-auth'])
  server.child.kill('SIGHUP')
  await until(
    () => (events(server).includes('reload_requested') ? true : undefined),
    'the line about SIGHUP',
  )
  await expectServed(await connect(server))
  await stop(server)
})

test('more connections than the system allows open files are warned of at the start', async () => {
  const few = await serve(['-c', '1000'], { openFilesMax: 300 })
  const warning = JSON.parse(
    few.stdout.split('\n').find((line) => line.includes('open_files_limited')) ?? '{}',
  )
  expect(warning).toMatchObject({ level: 'warn', connections: 1000, open_files: 300 })
  await stop(few)
  const enough = await serve(['-c', '200'], { openFilesMax: 300 })
  expect(events(enough)).not.toContain('open_files_limited')
  await stop(enough)
})

test('-p -1 picks a port and MEMCACHED_PORT_FILENAME names it, for each address', async () => {
  const portFile = join(temporary(), 'port')
  const server = run(['--no-auth', '-l', '127.0.0.1', '-l', '::1', '-p', '-1'], {
    environment: { MEMCACHED_PORT_FILENAME: portFile },
  })
  const text = await until(
    () => (existsSync(portFile) ? readFileSync(portFile, 'utf8') : undefined),
    'the port file',
  )
  expect(text).toMatch(/^TCP INET: \d+\nTCP INET6: \d+\n$/)
  const port = Number(/INET6: (\d+)/.exec(text)?.[1])
  await expectServed(await connect({ host: '::1', port }))
  await stop(server)
})

test('-s with -a listens on a socket of that mode, also where an old one was left', async () => {
  const path = join(temporary(), 'server.sock')
  for (const mode of ['700', '666']) {
    const server = run(['--no-auth', '-s', path, '-a', mode])
    await until(() => (events(server).includes('started') ? true : undefined), 'the start')
    expect((statSync(path).mode & 0o777).toString(8)).toBe(mode)
    const socket = connectSocket({ path })
    await once(socket, 'connect')
    const client = new BinaryClient(socket)
    await expectServed(client)
    client.destroy()
    // The second server finds what the first left when it was killed.
    if (mode === '700') {
      server.child.kill('SIGKILL')
      await server.exited
      expect(existsSync(path)).toBe(true)
    } else {
      await stop(server)
      expect(existsSync(path)).toBe(false)
    }
  }
})

test('four workers share several addresses, or a Unix socket, and one store', async () => {
  const portFile = join(temporary(), 'port')
  const tcp = run(['--no-auth', '-t', '4', '-l', '127.0.0.1', '-l', '127.0.0.2', '-p', '-1'], {
    environment: { MEMCACHED_PORT_FILENAME: portFile },
  })
  const text = await until(
    () => (existsSync(portFile) ? readFileSync(portFile, 'utf8') : undefined),
    'the port file',
  )
  const ports = [...text.matchAll(/^TCP INET: (\d+)$/gm)].map(([, port]) => Number(port))
  expect(ports).toHaveLength(2)
  const overTcp = (index: number) =>
    connect({ host: index % 2 === 0 ? '127.0.0.1' : '127.0.0.2', port: ports[index % 2] ?? 0 })
  await expectOneStore(await Promise.all(Array.from({ length: 16 }, (_, index) => overTcp(index))))
  await stop(tcp)

  const path = join(temporary(), 'server.sock')
  const unix = run(['--no-auth', '-t', '4', '-s', path])
  await until(() => (events(unix).includes('started') ? true : undefined), 'the start')
  const overUnix = async () => {
    const socket = connectSocket({ path })
    await once(socket, 'connect')
    const client = new BinaryClient(socket)
    onTestFinished(() => client.destroy())
    return client
  }
  await expectOneStore(await Promise.all(Array.from({ length: 16 }, overUnix)))
  await stop(unix, 'SIGUSR1')
  expect(existsSync(path)).toBe(false)
})

/** What each client stores, every other reads. */
async function expectOneStore(clients: readonly BinaryClient[]): Promise<void> {
  for (const [index, client] of clients.entries()) {
    client.send(storeFrame(SET, `k${index}`, String(index)))
    expect((await client.receive()).status).toBe(OK)
  }
  for (const client of clients) {
    for (const index of clients.keys()) {
      const { value } = await client.request({ opcode: GET, key: `k${index}` })
      expect(value.toString()).toBe(String(index))
    }
  }
}

test('-s refuses to replace what is no socket', async () => {
  const path = join(temporary(), 'precious')
  writeFileSync(path, 'data')
  const refused = run(['--no-auth', '-s', path])
  expect((await refused.exited).code).toBe(EXIT_OS)
  expect(refused.stderr).toContain(path)
  expect(readFileSync(path, 'utf8')).toBe('data')
})

test('-d with -P returns once it serves; the pid file names who answers', async () => {
  const directory = temporary()
  const portFile = join(directory, 'port')
  const pidFile = join(directory, 'pid')
  const first = run(['-d', '-P', pidFile, '--no-auth', '-l', '127.0.0.1', '-p', '-1'], {
    environment: { MEMCACHED_PORT_FILENAME: portFile },
  })
  expect(await first.exited).toEqual({ code: 0, signal: null })
  const pid = Number(readFileSync(pidFile, 'utf8'))
  onTestFinished(() => {
    if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
  })
  expect(pid).not.toBe(first.pid)
  const port = Number(/INET: (\d+)/.exec(readFileSync(portFile, 'utf8'))?.[1])
  const client = await connect({ host: '127.0.0.1', port })
  client.send(requestFrame({ opcode: STAT }))
  const told = await client.receive()
  expect([told.key.toString(), told.value.toString()]).toEqual(['pid', String(pid)])
  process.kill(pid, 'SIGTERM')
  await client.closed()
  await until(() => (existsSync(pidFile) ? undefined : true), 'the end of the pid file')
})

test('-d takes over the exit code and the message of a start that fails', async () => {
  const taken = await serve(['--no-auth'])
  const first = run(['-d', '--no-auth', '-l', '127.0.0.1', '-p', String(taken.port)])
  expect((await first.exited).code).toBe(EXIT_OS)
  expect(first.stderr).toContain('the address is in use')
  await stop(taken)
})

test.runIf(isRoot)('-u gives root up, groups included, after binding', async () => {
  const server = await serve(['--no-auth', '-u', 'nobody'])
  await until(() => (events(server).includes('started') ? true : undefined), 'the start')
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8')
  expect(/^Uid:\s+(.*)$/m.exec(status)?.[1]?.split('\t')).toEqual(Array(4).fill('65534'))
  expect(/^Gid:\s+(.*)$/m.exec(status)?.[1]?.split('\t')).toEqual(Array(4).fill('65534'))
  expect(/^Groups:\s*(.*?)\s*$/m.exec(status)?.[1]).toBe('65534')
  await expectServed(await connect(server))
  await stop(server)
})

test.runIf(isRoot)(
  '-d with -P and -u: the daemon is the user, and takes its pid file away',
  async () => {
    const directory = temporary()
    // What a service manager does for a daemon of another user: a directory of its own.
    chownSync(directory, 65534, 65534)
    const pidFile = join(directory, 'pid')
    const portFile = join(directory, 'port')
    const first = run(
      ['-d', '-P', pidFile, '-u', 'nobody', '--no-auth', '-l', '127.0.0.1', '-p', '-1'],
      { environment: { MEMCACHED_PORT_FILENAME: portFile } },
    )
    expect(await first.exited).toEqual({ code: 0, signal: null })
    const pid = Number(readFileSync(pidFile, 'utf8'))
    onTestFinished(() => {
      if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
    })
    expect(statSync(`/proc/${pid}`).uid).toBe(65534)
    const port = Number(/INET: (\d+)/.exec(readFileSync(portFile, 'utf8'))?.[1])
    const client = await connect({ host: '127.0.0.1', port })
    await expectServed(client)
    process.kill(pid, 'SIGTERM')
    await client.closed()
    await until(() => (existsSync(pidFile) ? undefined : true), 'the end of the pid file')
  },
)

test('-p 0 turns TCP off: alone it is refused, with -s the socket is all there is', async () => {
  const refused = run(['--no-auth', '-p', '0'])
  expect((await refused.exited).code).toBe(EXIT_CONFIG)
  expect(refused.stderr).toContain('-p: 0 turns TCP off, and there is no Unix socket')
  const path = join(temporary(), 'server.sock')
  const server = run(['--no-auth', '-p', '0', '-s', path])
  await until(() => (events(server).includes('started') ? true : undefined), 'the start')
  expect(events(server).filter((event) => event === 'listening')).toHaveLength(1)
  const socket = connectSocket({ path })
  await once(socket, 'connect')
  const client = new BinaryClient(socket)
  await expectServed(client)
  client.destroy()
  await stop(server)
})

test.runIf(isRoot)('-u with nobody of that name is refused, with exit code 71', async () => {
  const refused = run(['--no-auth', '-l', '127.0.0.1', '-p', '-1', '-u', 'no-such-user'])
  expect((await refused.exited).code).toBe(EXIT_OS)
  expect(refused.stderr).toContain('no-such-user')
})

test('without users one is made, told once, and can log in; the log never has its password', async () => {
  const server = await serve(['-vvv'])
  const text = await until(
    () => (server.stderr.includes('password  ') ? server.stderr : undefined),
    'the password',
  )
  const name = /^ {4}user {6}(\S+)$/m.exec(text)?.[1] ?? ''
  const password = /^ {4}password {2}(\S+)$/m.exec(text)?.[1] ?? ''
  expect(password.length).toBeGreaterThanOrEqual(20)
  expect(text).toContain(`node ${SERVER_PROGRAM} user add NAME`)
  const client = await connect(server)
  await client.loginPlain(name, password)
  await expectServed(client)
  await stop(server)
  expect(server.stdout).not.toContain(password)
  expect(server.stderr.split(password).length - 1).toBe(1)
})

test.each([
  ['SASLCACHED_USERNAME', 'SASLCACHED_PASSWORD'],
  ['MEMCACHED_USERNAME', 'MEMCACHED_PASSWORD'],
])('a user of %s and %s can log in', async (nameVariable, passwordVariable) => {
  const server = await serve([], {
    environment: { [nameVariable]: 'carol', [passwordVariable]: PASSWORD },
  })
  const client = await connect(server)
  expect((await client.attemptPlain('carol', 'wrong')).status).toBe(REFUSED)
  await client.loginPlain('carol', PASSWORD)
  await stop(server)
})

test('a password of SASLCACHED_PASSWORD_FILE lets its user in, without the line end', async () => {
  const file = join(temporary(), 'secret')
  writeFileSync(file, `${PASSWORD}\n`, { mode: 0o600 })
  const server = await serve([], {
    environment: { SASLCACHED_USERNAME: 'carol', SASLCACHED_PASSWORD_FILE: file },
  })
  await (await connect(server)).loginPlain('carol', PASSWORD)
  await stop(server)
})

test('a password is in no log, no command line and no printed configuration', async () => {
  const environment = { SASLCACHED_USERNAME: 'carol', SASLCACHED_PASSWORD: PASSWORD }
  const printed = run(['--print-config'], { environment })
  expect((await printed.exited).code).toBe(0)
  expect(printed.stdout.length).toBeGreaterThan(1000)
  expect(printed.stdout + printed.stderr).not.toContain(PASSWORD)

  const file = usersFile(temporary(), `[users.dave]\npassword = "${PASSWORD}"\n`)
  const server = await serve(['-vvv', '--users-file', file], { environment })
  const client = await connect(server)
  for (const user of ['carol', 'dave']) await client.loginPlain(user, PASSWORD)
  // Someone types the password into the name, or another's; neither may show.
  const wrong = `${PASSWORD}-mistyped`
  await client.attemptPlain('carol', wrong)
  await client.startSasl('SCRAM-SHA-256', `n,,n=carol,r=${PASSWORD}`)
  const commandLine = readFileSync(`/proc/${server.pid}/cmdline`, 'utf8')
  expect(commandLine).toContain('--users-file')
  expect(commandLine).not.toContain(PASSWORD)
  server.child.kill('SIGHUP')
  await until(() => (events(server).includes('credentials_reloaded') ? true : undefined), 'reload')
  await stop(server)
  expect(events(server)).toContain('login_failed')
  expect(server.stdout + server.stderr).not.toContain(PASSWORD)
})

/** A server whose standard output is a full disk, after logins that it could not log. */
async function serveOnFullDisk(): Promise<Serving> {
  const full = openSync('/dev/full', 'w')
  onTestFinished(() => closeSync(full))
  const server = await serve(['-vvv', '--users-file', usersFile(temporary())], { stdout: full })
  for (let round = 0; round < 10; round++) {
    const client = await BinaryClient.connect(server)
    await client.attemptPlain('alice', 'wrong')
    await client.loginPlain('alice', PASSWORD)
    await expectServed(client)
    client.destroy()
  }
  return server
}

test('a full disk under the log does not keep the server from serving', async () => {
  await expectRefusedThenServed(await serveOnFullDisk())
})

test('a full disk under the log does not keep the server from ending', async () => {
  await expectEndSoon(await serveOnFullDisk())
})

async function expectEndSoon(server: Run): Promise<void> {
  server.child.kill('SIGTERM')
  const patience = new AbortController()
  const late = delay(STUCK_LOG_END_MS, 'still running', { signal: patience.signal })
  late.catch(() => undefined)
  const end = await Promise.race([server.exited, late])
  patience.abort()
  expect(end).toEqual({ code: 0, signal: null })
}

test('a pipe that nobody reads, full from the start, keeps the server neither from serving nor from ending', async () => {
  const fifo = join(temporary(), 'log')
  expect(spawnSync('mkfifo', [fifo]).status).toBe(0)
  const filler = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
  onTestFinished(() => closeSync(filler))
  const lines = Buffer.alloc(4096, 10)
  expect(() => {
    for (;;) writeSync(filler, lines)
  }).toThrow('EAGAIN')
  const stdout = openSync(fifo, constants.O_WRONLY)
  onTestFinished(() => closeSync(stdout))
  const server = await serve(['--log-format', 'json', '--users-file', usersFile(temporary())], {
    stdout,
  })
  await expectRefusedThenServed(server)
  await expectEndSoon(server)
})

test('the last lines of the log are in the order of what happened', async () => {
  for (let round = 0; round < 3; round++) {
    const server = await serve(['-vvv', '-t', '4', '--no-auth', '--log-format', 'json'])
    const clients = await Promise.all(Array.from({ length: 30 }, () => connect(server)))
    for (const client of clients) await expectServed(client)
    await stop(server)
    const told = events(server)
    expect(told.filter((event) => event === 'disconnected')).toHaveLength(clients.length)
    expect(
      told.slice(told.indexOf('stopping')).filter((event) => event !== 'disconnected'),
    ).toEqual(['stopping', 'stopped'])
    expect(told.at(-1)).toBe('stopped')
  }
})

async function expectRefusedThenServed(server: Serving): Promise<void> {
  const client = await connect(server)
  expect((await client.attemptPlain('alice', 'wrong')).status).toBe(REFUSED)
  await client.loginPlain('alice', PASSWORD)
  await expectServed(client)
}

test('a log whose reader has gone does not stop the server', async () => {
  const server = await serve(['-vvv', '--no-auth'])
  server.child.stdout?.destroy()
  for (let round = 0; round < 10; round++) {
    const client = await BinaryClient.connect(server)
    await client.request({ opcode: GET, key: 'k' })
    client.destroy()
  }
  await expectServed(await connect(server))
  await stop(server)
})

test('a log whose reader has stopped reading does not stop the server', async () => {
  const users = usersFile(temporary())
  const server = await serve(['-vvv', '--users-file', users, '--throttle', 'off'])
  server.child.stdout?.pause()
  for (let round = 0; round < 100; round++) {
    const client = await BinaryClient.connect(server)
    await client.attemptPlain('x'.repeat(1000), 'wrong')
    client.destroy()
  }
  const client = await connect(server)
  await client.loginPlain('alice', PASSWORD)
  await expectServed(client)
  server.child.stdout?.resume()
  await stop(server)
})
