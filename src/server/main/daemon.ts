/**
 * -d: the server in the background. Node cannot fork, so the same command line is started again,
 * detached from the terminal; the first process waits until the second one listens, shows what it
 * says until then, and takes its exit code if it fails.
 *
 * As with memcached's -d, the output of the first process is left behind, unless a log was asked for: then the second one has
 * both, and writes to them what a server in the foreground would.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { constants, fstatSync, openSync } from 'node:fs'
import { EXIT_OK, EXIT_SOFTWARE } from '../../base/exit-code.ts'
import { type StopSignal, signals } from './signals.ts'

/** Tells the second process that it is the second one, and whether its output is left behind. */
const MARK = '_SASLCACHED_DETACHED'
const SILENT = 'silent'
const LOGGING = 'logging'
const STANDARD_OUTPUT = 1

export function isDetached(): boolean {
  return process.env[MARK] === SILENT || process.env[MARK] === LOGGING
}

/** Starts the detached process; resolves to 0 once it serves, or to its exit code. */
export async function detach(keepsOutput: boolean): Promise<number> {
  const child: ChildProcess = spawn(
    process.execPath,
    [...process.execArgv, ...process.argv.slice(1)],
    {
      detached: true,
      // What goes wrong at start is shown here; afterwards nobody listens any more.
      stdio: keepsOutput
        ? ['ignore', 'inherit', 'inherit', 'ipc']
        : ['ignore', 'ignore', 'pipe', 'ipc'],
      // As in the image (see Dockerfile); the allocator reads it when a process starts and never again.
      env: { MALLOC_ARENA_MAX: '1', ...process.env, [MARK]: keepsOutput ? LOGGING : SILENT },
    },
  )
  child.stderr?.pipe(process.stderr)
  let stopSignal: StopSignal | undefined
  let isReloadAsked = false
  // Who signals this process means the server; one that is not ready reads the users only now.
  signals.handTo({
    stop: (signal) => {
      stopSignal = signal
      child.kill(signal === 'SIGUSR1' ? 'SIGTERM' : signal)
    },
    reload: () => {
      isReloadAsked = true
    },
  })
  return await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    // Before its first line the signal ends it: an end that was asked for.
    child.once('exit', (code, signal) =>
      resolve(code ?? (signal !== null && stopSignal !== undefined ? EXIT_OK : EXIT_SOFTWARE)),
    )
    child.once('message', () => {
      if (isReloadAsked) child.kill('SIGHUP')
      child.disconnect()
      child.stderr?.destroy()
      child.unref()
      resolve(EXIT_OK)
    })
  })
}

/**
 * What the log is written to. The first process has a pipe in common with the second one, and makes it blocking when it ends, as
 * Node does: a write to one that nobody reads would hold a thread for good. So the second one opens it anew.
 */
export function logOutput(): number {
  if (!isDetached() || !fstatSync(STANDARD_OUTPUT).isFIFO()) return STANDARD_OUTPUT
  try {
    const { O_WRONLY, O_NONBLOCK } = constants
    return openSync(`/proc/self/fd/${STANDARD_OUTPUT}`, O_WRONLY | O_NONBLOCK)
  } catch {
    // Its reader has gone, or it is another user's.
    return STANDARD_OUTPUT
  }
}

/** In a detached process whose log goes nowhere: whoever starts it sees the message. */
export function tellStarter(message: string): void {
  if (process.env[MARK] === SILENT) process.stderr.write(`saslcached: ${message}\n`)
}

/** In the detached process: the start succeeded. */
export function reportReady(): void {
  if (!isDetached() || process.send === undefined) return
  // The pipe to the first process breaks when it ends; writing to it must not end this one.
  process.stderr.on('error', () => undefined)
  // One that was killed hears no more; without somebody who takes the error it would end this one.
  process.send('ready', undefined, undefined, () => undefined)
}
