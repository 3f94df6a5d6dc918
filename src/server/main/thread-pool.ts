/**
 * The threads on which keys are derived from passwords, libuv's pool: they get to run when the event
 * loops do not want to. A flood of wrong passwords, which costs strangers nothing and us 2 ms each,
 * then takes what is left of the processors, and not half of what who is logged in needs.
 *
 * libuv names its threads since the version in Node 22. On Node 20 they are found by their work: they are
 * given pieces of it, and whose processor time grew are they, when as many as there must be stand out clearly
 * from all others. One that does not get to run before the others have taken all pieces has its share of the next ones.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { getPriority, setPriority } from 'node:os'
import { deriveSaltedPassword, SCRAM_HASHES } from '../../credential/verifier.ts'
import type { Say } from './say.ts'

const TASKS = '/proc/self/task'
const POOL_THREAD = /^libuv-worker/
/** Steps of nice below an event loop: about a tenth of its time on the same processor. */
const NICE_STEPS = 10
const NICE_MAX = 19
/** libuv's own; UV_THREADPOOL_SIZE is another. Of a larger one not all would be found at a reasonable cost. */
const POOL_SIZE = 4
const POOL_SIZE_MAX = 16
/** Pieces of work that each has on the average before it is looked, and how often it is looked. */
const PIECES = 2
const LOOKS_MAX = 10
/** Processor time of a thread that worked, and the largest part of it that another may have had meanwhile. */
const WORKED_NS_MIN = 1_000_000
const OTHERS_SHARE_MAX = 0.3

/** As `yieldToEventLoops`, and tells the operator where it could not be. */
export async function letClientsGoFirst(say: Say): Promise<void> {
  const count = await yieldToEventLoops(deriveAnyKey)
  if (count > 0 || process.platform !== 'linux') return
  const message =
    'the threads that derive keys cannot be told from others, or cannot be set: floods of wrong passwords compete with clients for the processors'
  say('info', 'keys_beside_clients', message)
}

/** A millisecond of work for the thread pool. */
export function deriveAnyKey(): Promise<unknown> {
  const parameters = {
    hash: SCRAM_HASHES[0]!,
    iterations: 2000,
    salt: new Uint8Array(16),
  }
  return deriveSaltedPassword('any', parameters)
}

/**
 * Resolves to how many threads give way from now on; none where they cannot be told or changed. To be
 * called while the process has nothing else to do. `work` keeps one thread of the pool busy for a
 * millisecond or more.
 */
export async function yieldToEventLoops(
  work: () => Promise<unknown>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<number> {
  try {
    // The pool begins with its first work.
    await stat('/')
    const named = threads().filter((thread) =>
      POOL_THREAD.test(readFileSync(`${TASKS}/${thread}/comm`, 'latin1')),
    )
    const found = named.length > 0 ? named : await findByWork(work, poolSize(environment))
    // On Linux a thread is set by its own number.
    const nice = nicerThan(getPriority(process.pid))
    for (const thread of found) setPriority(Number(thread), nice)
    return found.length
  } catch {
    // Without /proc, or where a sandbox forbids it, logins compete with requests.
    return 0
  }
}

/** The server may have been started with a priority of its own (nice, systemd's Nice=). */
export function nicerThan(nice: number): number {
  return Math.min(nice + NICE_STEPS, NICE_MAX)
}

function poolSize(environment: Readonly<Record<string, string | undefined>>): number {
  const size = Number(environment.UV_THREADPOOL_SIZE ?? POOL_SIZE)
  return Number.isInteger(size) && size > 0 && size <= POOL_SIZE_MAX ? size : 0
}

function threads(): string[] {
  return readdirSync(TASKS)
}

async function findByWork(work: () => Promise<unknown>, size: number): Promise<string[]> {
  const before = new Map(threads().map((thread) => [thread, processorNs(thread)]))
  for (let looks = 0; size > 0 && looks < LOOKS_MAX; looks++) {
    await Promise.all(Array.from({ length: size * PIECES }, work))
    const grown = [...before].map(([thread, ns]) => ({ thread, ns: processorNs(thread) - ns }))
    const found = standOut(grown, size)
    if (found !== undefined) return found
  }
  return []
}

/** The `size` threads that have worked, this one apart; undefined where it is not clear which. */
export function standOut(
  grown: readonly { readonly thread: string; readonly ns: number }[],
  size: number,
): string[] | undefined {
  const others = grown
    .filter(({ thread }) => Number(thread) !== process.pid)
    .sort((one, other) => other.ns - one.ns)
  const least = others[size - 1]?.ns ?? 0
  const next = others[size]?.ns ?? 0
  if (least < WORKED_NS_MIN || next > least * OTHERS_SHARE_MAX) return undefined
  return others.slice(0, size).map(({ thread }) => thread)
}

/** What a thread has run for, in ns (proc(5), schedstat). */
function processorNs(thread: string): number {
  return Number(readFileSync(`${TASKS}/${thread}/schedstat`, 'latin1').split(' ')[0])
}
