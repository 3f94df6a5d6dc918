/**
 * A server as a process of its own, run as an operator runs it, with nothing of the test's own between them: for tests
 * of how it starts, refuses to start, ends, and what it leaves in the system. It is killed at the end of its test.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, type TestContext } from 'vitest'
import { BinaryClient } from './binary-client.ts'
import { AUTHORITIES, isContinuousIntegration } from './program.ts'
import { SERVER_NODE, SERVER_PROGRAM } from './server.ts'

const NOOP = 0x0a
const OK = 0x00

export const EXIT_SOFTWARE = 70
export const EXIT_OS = 71
export const EXIT_CONFIG = 78
/** A start on a busy machine takes seconds. */
const DEADLINE_MS = 50_000
/** A server without clients ends in a fraction of this, and waits for its log for a second. */
const STUCK_LOG_END_MS = 20_000
export const PASSWORD = 'Xyzzy-plugh-42'
export const isRoot: boolean = process.getuid?.() === 0
/** A user and a group that own nothing. */
export const NOBODY = 65_534

export interface Run {
  readonly child: ChildProcess
  readonly pid: number
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>
  stdout: string
  stderr: string
}

export interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>
  /** Where standard output goes; a pipe that is read if absent. */
  readonly stdout?: number
  readonly directory?: string
  /** `ulimit -n`; that of this process if absent. */
  readonly openFilesMax?: number
  /** `ulimit -v`. */
  readonly addressSpaceKib?: number
  readonly nodeFlags?: readonly string[]
  /** What the command is given to, and executes it. */
  readonly launcher?: readonly string[]
  /** Descriptors that it finds from 3 on, and is told of as systemd tells it. */
  readonly passed?: readonly number[]
}

/** A command of root's that runs the rest as that user, who is in these groups and no others. */
export function asUser(uid: number, gid: number, ...groups: readonly number[]): string[] {
  const others = groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, others]
}

/** For tests in which another user runs the program: skipped where it is below a folder of root alone, a failure under CI. */
export function needProgramForAll(context: TestContext): void {
  const look = `require('fs').accessSync(process.argv[1])`
  const command = [...asUser(NOBODY, NOBODY), SERVER_NODE, '-e', look, SERVER_PROGRAM]
  const [file = '', ...args] = command
  if (spawnSync(file, args, { cwd: '/', stdio: 'ignore' }).status === 0) return
  const reason = `others than root cannot reach ${SERVER_PROGRAM} or run ${SERVER_NODE}, or there is no setpriv`
  if (isContinuousIntegration()) throw new Error(reason)
  console.warn(`skipped: ${reason}`)
  context.skip(`skipped: ${reason}`)
}

export function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-process-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Starts the program with exactly these arguments, away from any configuration of this machine. */
export function run(args: readonly string[], options: RunOptions = {}): Run {
  const inherited = Object.entries(process.env).filter(
    ([name]) => name !== AUTHORITIES && !/^_?(SASLCACHED|MEMCACHED)_/.test(name),
  )
  const { openFilesMax, addressSpaceKib, nodeFlags = [], launcher = [], passed } = options
  const files = openFilesMax === undefined ? '' : `ulimit -n ${openFilesMax}; `
  const limit = addressSpaceKib === undefined ? files : `${files}ulimit -v ${addressSpaceKib}; `
  // The process of the shell becomes that of the server.
  const told = passed === undefined ? '' : 'export LISTEN_PID=$$; '
  const count = passed === undefined ? {} : { LISTEN_FDS: String(passed.length) }
  const command = [...launcher, SERVER_NODE, ...nodeFlags, SERVER_PROGRAM, ...args]
  const child = spawn('sh', ['-c', `${told}${limit}exec "$0" "$@"`, ...command], {
    env: { ...Object.fromEntries(inherited), ...count, ...options.environment },
    stdio: ['ignore', options.stdout ?? 'pipe', 'pipe', ...(passed ?? [])],
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

export async function until<Value>(look: () => Value | undefined, what: string): Promise<Value> {
  const endMs = performance.now() + DEADLINE_MS
  for (;;) {
    const value = look()
    if (value !== undefined) return value
    if (performance.now() > endMs) throw new Error(`${what}: not within ${DEADLINE_MS} ms`)
    await delay(5)
  }
}

export interface Serving extends Run {
  readonly host: string
  readonly port: number
}

/** Starts a server on a free port and waits for the file that tells it. */
export async function serve(args: readonly string[], options: RunOptions = {}): Promise<Serving> {
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

export async function connect(server: { host: string; port: number }): Promise<BinaryClient> {
  const client = await BinaryClient.connect(server)
  onTestFinished(() => client.destroy())
  return client
}

export async function expectServed(client: BinaryClient): Promise<void> {
  expect((await client.request({ opcode: NOOP })).status).toBe(OK)
}

/** Ends a server and fails unless it ends well. */
export async function stop(server: Run, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  server.child.kill(signal)
  expect(await server.exited).toEqual({ code: 0, signal: null })
}

export async function untilStarted(server: Run): Promise<void> {
  let isOver = false
  void server.exited.then(() => {
    isOver = true
  })
  await until(() => {
    if (isOver) throw new Error(`the server ended: ${server.stdout}${server.stderr}`)
    return events(server).includes('started') ? true : undefined
  }, 'the start')
}

export async function connectUnix(path: string): Promise<BinaryClient> {
  const socket = connectSocket({ path })
  await once(socket, 'connect')
  const client = new BinaryClient(socket)
  onTestFinished(() => client.destroy())
  return client
}

export function warnings(server: Run): string[] {
  return server.stdout
    .split('\n')
    .filter((line) => line.startsWith('{"level":"warn"') && line.endsWith('}'))
    .map((line) => String((JSON.parse(line) as { message: unknown }).message))
}

export function events(server: Run): string[] {
  return server.stdout
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => String((JSON.parse(line) as { event: unknown }).event))
}

export function usersFile(directory: string, content?: string): string {
  const path = join(directory, 'users.toml')
  writeFileSync(path, content ?? `[users.alice]\npassword = ${JSON.stringify(PASSWORD)}\n`, {
    mode: 0o600,
  })
  return path
}

export async function expectEndSoon(server: Run): Promise<void> {
  server.child.kill('SIGTERM')
  const patience = new AbortController()
  const late = delay(STUCK_LOG_END_MS, 'still running', { signal: patience.signal })
  late.catch(() => undefined)
  const end = await Promise.race([server.exited, late])
  patience.abort()
  expect(end).toEqual({ code: 0, signal: null })
}
