/**
 * Other people's programs, run as children: the clients that the suite logs in with, and the tools
 * of this package. A program always ends, by itself or at its deadline, and what it printed comes
 * back whole; nothing is looked up by name and killed.
 *
 * What must be installed is described by a `Prerequisite`. Where it is missing, a test is skipped
 * and says what to install; under CI it fails, because a client that nobody runs proves nothing.
 */
import { spawn, spawnSync } from 'node:child_process'
import { test } from 'vitest'

const DEADLINE_MS = 60_000
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024

export interface ProgramOptions {
  readonly environment?: Readonly<Record<string, string>>
  readonly input?: string | Uint8Array
  readonly directory?: string
  readonly deadlineMs?: number
}

export interface ProgramResult {
  /** `undefined` if a signal ended it. */
  readonly exitCode: number | undefined
  /** The deadline passed and the program was killed. */
  readonly overran: boolean
  readonly stdout: string
  readonly stdoutBytes: Buffer
  readonly stderr: string
  readonly elapsedMs: number
}

export interface Prerequisite {
  /** Debian packages that bring it, as one would write them behind `apt-get install`. */
  readonly packages: string
  /** Runs successfully exactly where the thing is installed. */
  readonly probe: readonly string[]
}

export async function runProgram(
  command: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  const [file, ...args] = command
  if (file === undefined) throw new Error('runProgram needs a command')
  const startedMs = performance.now()
  const child = spawn(file, args, {
    cwd: options.directory,
    env: { ...inheritedEnvironment(), ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  let outputBytes = 0
  let overran = false
  const collect = (into: Buffer[]) => (chunk: Buffer) => {
    outputBytes += chunk.length
    if (outputBytes > OUTPUT_BYTES_MAX) child.kill('SIGKILL')
    else into.push(chunk)
  }
  child.stdout.on('data', collect(stdout))
  child.stderr.on('data', collect(stderr))
  // A program may end without reading its input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  const deadline = setTimeout(() => {
    overran = true
    child.kill('SIGKILL')
  }, options.deadlineMs ?? DEADLINE_MS)
  try {
    const exitCode = await new Promise<number | undefined>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => resolve(code ?? undefined))
    })
    const stdoutBytes = Buffer.concat(stdout)
    return {
      exitCode,
      overran,
      stdoutBytes,
      stdout: stdoutBytes.toString('utf8'),
      stderr: Buffer.concat(stderr).toString('utf8'),
      elapsedMs: performance.now() - startedMs,
    }
  } finally {
    clearTimeout(deadline)
  }
}

/** A machine's own authorities say nothing to a test, and to read them takes a Node a tenth of a second at its start. */
export const AUTHORITIES = 'NODE_EXTRA_CA_CERTS'

/** Ours without what would configure a server or its clients: they get what the test says. */
export function inheritedEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => name !== AUTHORITIES && !/^(SASLCACHED|MEMCACHED|SASL)_/.test(name),
    ),
  )
}

/** The sentence that says what to install, or `undefined` if everything is there. */
export function missingPrerequisite(prerequisites: readonly Prerequisite[]): string | undefined {
  const missing = prerequisites.filter((prerequisite) => {
    const [file, ...args] = prerequisite.probe
    if (file === undefined) throw new Error('a prerequisite needs a probe')
    return spawnSync(file, args, { stdio: 'ignore', timeout: DEADLINE_MS }).status !== 0
  })
  if (missing.length === 0) return undefined
  return `not installed (apt-get install ${missing.map(({ packages }) => packages).join(' ')})`
}

/**
 * True if the tests that need `prerequisites` can run. If not, registers the one test that stands
 * for them: skipped with the reason, or failing under CI.
 */
export function hasPrerequisites(name: string, prerequisites: readonly Prerequisite[]): boolean {
  const missing = missingPrerequisite(prerequisites)
  if (missing === undefined) return true
  if (isContinuousIntegration()) {
    test(name, () => {
      throw new Error(missing)
    })
  } else {
    // Most reporters print no reason of a skipped test.
    console.warn(`${name}: skipped: ${missing}`)
    test(name, (context) => context.skip(`skipped: ${missing}`))
  }
  return false
}

/** Under CI what cannot run is a failure. */
export function isContinuousIntegration(): boolean {
  return !['', '0', 'false', undefined].includes(process.env.CI)
}
