/**
 * A server of the test's own: saslcached from dist/, or Debian's memcached as the reference that
 * shows what a client and a test expect of the real thing. Both have the same interface.
 *
 * Each server listens on a free port of 127.0.0.1, has a directory of its own under the system's
 * temporary folder, and is stopped by `stop()`, which insists on a clean exit. A server that a
 * crashed test left behind is killed when the test process ends.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { inheritedEnvironment, type Prerequisite } from './program.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const HOST = '127.0.0.1'
const START_DEADLINE_MS = 60_000
const STOP_DEADLINE_MS = 30_000
/** The server looks at its files every five seconds where it is told of no change. */
const LOG_DEADLINE_MS = 30_000
const POLL_INTERVAL_MS = 5

export type ServerKind = 'saslcached' | 'memcached'

export interface User {
  readonly name: string
  readonly password: string
}

export interface ServerOptions {
  /** None means that the server runs without authentication. */
  readonly users?: readonly User[]
  /** What else the users file of saslcached has, behind its users. */
  readonly usersFileEnd?: string
  /** The announced list, in order; the server's own default if absent. */
  readonly mechanisms?: readonly string[]
  /** Users log in over text. memcached serves this or SASL over binary, saslcached always both. */
  readonly textLogin?: boolean
  /** Failed logins are held against whoever fails, as they are where nothing is configured. */
  readonly throttles?: boolean
  /** Further flags of the command line. */
  readonly flags?: readonly string[]
  /** Of Node, besides those that every server is started with. */
  readonly nodeFlags?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** What the command is given to, and executes it. */
  readonly launcher?: readonly string[]
}

export interface Login {
  readonly succeeded: boolean
  readonly mechanism: string
}

export interface ServerExit {
  readonly code: number | undefined
  readonly signal: string | undefined
}

export type LogRecord = Readonly<Record<string, unknown>>

/** The reference: Debian's memcached, or another that the environment names. */
export const MEMCACHED_PROGRAM: string = process.env.MEMCACHED ?? 'memcached'

export const MEMCACHED: Prerequisite = {
  packages: 'memcached libsasl2-modules sasl2-bin',
  probe: ['sh', '-c', '"$0" -V && command -v saslpasswd2', MEMCACHED_PROGRAM],
}

/** The `node` that runs the server under test; by default the one that runs the tests. */
export const SERVER_NODE: string = process.env.TEST_NODE ?? process.execPath
/** Worker threads of the servers under test; a test's own -t comes after it and wins. */
const SERVER_THREADS: readonly string[] =
  process.env.SERVER_THREADS === undefined ? [] : ['-t', process.env.SERVER_THREADS]
/** As `npm start` and the image have it. */
const SERVER_NODE_FLAGS: readonly string[] = ['--single-threaded-gc']
export const SERVER_PROGRAM: string = join(ROOT, 'dist', 'bin', 'saslcached.js')

/** What saslcached announces by itself; the reference is told to announce the same. */
const DEFAULT_MECHANISMS: readonly string[] = ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN']

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class TestServer {
  readonly kind: ServerKind
  readonly host: string = HOST
  readonly port: number
  readonly directory: string
  /** saslcached's users file; does not exist without users. */
  readonly usersFile: string
  readonly exited: Promise<ServerExit>
  readonly #child: ChildProcess
  readonly #output: OutputOf

  constructor(kind: ServerKind, port: number, directory: string, started: StartedChild) {
    this.kind = kind
    this.port = port
    this.directory = directory
    this.usersFile = usersFileIn(directory)
    this.exited = started.exited
    this.#child = started.child
    this.#output = started.output
  }

  get address(): string {
    return `${this.host}:${this.port}`
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Memory of the process that is in use at this moment. */
  get residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
  }

  /** All that the server printed so far, standard output and standard error in order of arrival. */
  output(): string {
    return this.#output.text
  }

  /** The log lines so far. */
  log(): readonly LogRecord[] {
    return parseLog(this.#output.text)
  }

  /** Resolves with the first log line, past or future, that satisfies `predicate`. */
  async waitForLog(
    predicate: (record: LogRecord) => boolean,
    deadlineMs: number = LOG_DEADLINE_MS,
  ): Promise<LogRecord> {
    return await poll(
      () => this.log().find(predicate),
      deadlineMs,
      () => `the server did not log what was waited for; it printed:\n${this.output()}`,
    )
  }

  /** Login attempts that were decided so far, in order. */
  logins(): readonly Login[] {
    return this.kind === 'saslcached'
      ? loginsOfSaslcached(this.log())
      : loginsOfMemcached(this.output())
  }

  /** Resolves with all logins once there are `count`; the log may lag behind the replies. */
  async waitForLogins(count: number): Promise<readonly Login[]> {
    return await poll(
      () => {
        const logins = this.logins()
        return logins.length >= count ? logins : undefined
      },
      LOG_DEADLINE_MS,
      () => `fewer than ${count} logins in the log; the server printed:\n${this.output()}`,
    )
  }

  /**
   * Puts another users file over the old one, as an editor does, in one step: a server that looks in
   * the middle of writing would find no users, or half of them, refuse that, and say so.
   */
  replaceUsers(text: string): void {
    const next = join(this.directory, 'users.toml.next')
    writeFileSync(next, text, { mode: 0o600 })
    renameSync(next, this.usersFile)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Ends the server as an operator would and fails if it does not end cleanly and in time. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    const exit = await Promise.race([
      this.exited,
      delay(STOP_DEADLINE_MS, undefined, { ref: false }),
    ])
    this.#child.kill('SIGKILL')
    rmSync(this.directory, { recursive: true, force: true })
    if (exit === undefined) {
      throw new Error(`the server did not stop in ${STOP_DEADLINE_MS} ms:\n${this.output()}`)
    }
    if (exit.code !== 0) {
      throw new Error(`the server ended with ${describeExit(exit)}:\n${this.output()}`)
    }
  }
}

export async function startSaslcached(options: ServerOptions = {}): Promise<TestServer> {
  if (!existsSync(SERVER_PROGRAM)) throw new Error('dist/ is missing: run npm run build')
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-test-'))
  const users = options.users ?? []
  const flags = users.length === 0 ? ['--no-auth'] : ['--users-file', usersFileIn(directory)]
  if (users.length > 0) {
    const lines = users.map(
      ({ name, password }) =>
        `[users.${JSON.stringify(name)}]\npassword = ${JSON.stringify(password)}\n`,
    )
    const text = [...lines, options.usersFileEnd ?? ''].join('\n')
    writeFileSync(usersFileIn(directory), text, { mode: 0o600 })
  }
  if (options.mechanisms !== undefined) flags.push('--mechanisms', options.mechanisms.join(','))
  return await start('saslcached', directory, options, [
    ...[SERVER_NODE, ...SERVER_NODE_FLAGS, ...(options.nodeFlags ?? []), SERVER_PROGRAM],
    ...['-l', HOST, '-p', '-1', '--log-format', 'json'],
    // Tests fail logins from one address as attackers do. Those of throttling turn it on, for flags that
    // come later win.
    ...(options.throttles === true ? [] : ['--throttle', 'off']),
    ...SERVER_THREADS,
    ...flags,
    ...(options.flags ?? []),
  ])
}

/**
 * Debian's memcached. Cyrus SASL looks users up in a realm, the host's name, which `saslpasswd2`
 * also assumes, so plain user names work.
 */
export async function startMemcached(options: ServerOptions = {}): Promise<TestServer> {
  const directory = mkdtempSync(join(tmpdir(), 'memcached-test-'))
  const users = options.users ?? []
  const flags: string[] = []
  if (users.length > 0 && options.textLogin === true) {
    const passwords = join(directory, 'passwords')
    const lines = users.map(({ name, password }) => `${name}:${password}\n`)
    writeFileSync(passwords, lines.join(''), { mode: 0o600 })
    flags.push('-Y', passwords)
  } else if (users.length > 0) {
    const database = join(directory, 'sasldb')
    const mechanisms = options.mechanisms ?? DEFAULT_MECHANISMS
    mkdirSync(join(directory, 'sasl'))
    writeFileSync(
      join(directory, 'sasl', 'memcached.conf'),
      `mech_list: ${mechanisms.join(' ')}\npwcheck_method: auxprop\n` +
        `auxprop_plugin: sasldb\nsasldb_path: ${database}\n`,
    )
    for (const { name, password } of users) {
      const made = spawnSync('saslpasswd2', ['-p', '-c', '-f', database, '-a', 'memcached', name], {
        input: password,
        encoding: 'utf8',
      })
      if (made.status !== 0) throw new Error(`saslpasswd2 failed: ${made.stderr}`)
    }
    flags.push('-S')
  }
  // memcached refuses to run as root unless told so.
  if (process.getuid?.() === 0) flags.push('-u', 'root')
  return await start(
    'memcached',
    directory,
    {
      ...options,
      environment: { SASL_CONF_PATH: join(directory, 'sasl'), ...options.environment },
    },
    [
      MEMCACHED_PROGRAM,
      '-v',
      '-l',
      HOST,
      '-p',
      '-1',
      '-U',
      '0',
      ...flags,
      ...(options.flags ?? []),
    ],
  )
}

function usersFileIn(directory: string): string {
  return join(directory, 'users.toml')
}

interface OutputOf {
  text: string
}

interface StartedChild {
  readonly child: ChildProcess
  readonly exited: Promise<ServerExit>
  readonly output: OutputOf
}

async function start(
  kind: ServerKind,
  directory: string,
  options: ServerOptions,
  command: readonly string[],
): Promise<TestServer> {
  const portFile = join(directory, 'port')
  const started = spawnServer([...(options.launcher ?? []), ...command], {
    ...options.environment,
    MEMCACHED_PORT_FILENAME: portFile,
  })
  let exit: ServerExit | undefined
  started.exited.then((value) => {
    exit = value
  })
  try {
    const port = await poll(
      () => {
        if (exit !== undefined) throw new Error(`${kind} ended with ${describeExit(exit)}`)
        return portIn(portFile)
      },
      START_DEADLINE_MS,
      () => `${kind} did not listen within ${START_DEADLINE_MS} ms`,
    )
    return new TestServer(kind, port, directory, started)
  } catch (cause) {
    started.child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${why}; it printed:\n${started.output.text}`, { cause })
  }
}

function spawnServer(
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
): StartedChild {
  const [file, ...args] = command
  if (file === undefined) throw new Error('a server needs a command')
  const child = spawn(file, args, {
    env: { ...inheritedEnvironment(), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  const output: OutputOf = { text: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output.text += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output.text += text
  })
  const exited = new Promise<ServerExit>((resolve) => {
    child.once('error', (error) => {
      output.text += `${error.message}\n`
      running.delete(child)
      resolve({ code: undefined, signal: undefined })
    })
    child.once('close', (code, signal) => {
      running.delete(child)
      resolve({ code: code ?? undefined, signal: signal ?? undefined })
    })
  })
  return { child, exited, output }
}

/** memcached renames the file into place, so it is whole as soon as it is there. */
function portIn(portFile: string): number | undefined {
  if (!existsSync(portFile)) return undefined
  const port = /^TCP INET: (\d+)$/m.exec(readFileSync(portFile, 'utf8'))?.[1]
  return port === undefined ? undefined : Number(port)
}

async function poll<Value>(
  look: () => Value | undefined,
  deadlineMs: number,
  explain: () => string,
): Promise<Value> {
  const endMs = performance.now() + deadlineMs
  for (;;) {
    const value = look()
    if (value !== undefined) return value
    if (performance.now() > endMs) throw new Error(explain())
    await delay(POLL_INTERVAL_MS)
  }
}

function parseLog(text: string): LogRecord[] {
  return text.split('\n').flatMap((line) => {
    if (!line.startsWith('{') || !line.endsWith('}')) return []
    return [JSON.parse(line) as LogRecord]
  })
}

function loginsOfSaslcached(log: readonly LogRecord[]): Login[] {
  return log.flatMap(({ event, mechanism }) =>
    event === 'login' || event === 'login_failed'
      ? [{ succeeded: event === 'login', mechanism: String(mechanism) }]
      : [],
  )
}

/**
 * With -v memcached prints the mechanism of each message and Cyrus' result: 1 asks for more, 0 is
 * a success, what is below is a refusal.
 */
function loginsOfMemcached(output: string): Login[] {
  const logins: Login[] = []
  let mechanism = ''
  for (const line of output.split('\n')) {
    mechanism = /^mech: {2}``(.*)'' with/.exec(line)?.[1] ?? mechanism
    const result = /^sasl result code: {2}(-?\d+)$/.exec(line)?.[1]
    if (result !== undefined && result !== '1')
      logins.push({ succeeded: result === '0', mechanism })
  }
  return logins
}

function describeExit(exit: ServerExit): string {
  return exit.signal === undefined ? `exit code ${exit.code}` : `signal ${exit.signal}`
}
