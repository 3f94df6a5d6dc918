/**
 * A small load: some connections, each with a bounded number of requests under way, on keys of its own
 * that nobody else has. Each connection sends a request as soon as one is answered, and what is measured
 * is from the sending of a request to its answer.
 *
 * Invariant: all keys begin with the prefix of this run, live for a few minutes at most, and are deleted at
 * the end, also of a run that failed or was interrupted, as far as the server can be reached.
 */
import { randomBytes } from 'node:crypto'
import { LatencyHistogram } from './latency-histogram.ts'
import type { Session } from './session.ts'

export interface BenchLoad {
  readonly connections: number
  /** Requests under way on each. */
  readonly pipeline: number
  readonly seconds: number
  readonly valueBytes: number
  readonly keyCount: number
  /** Of a thousand requests; the others are sets. */
  readonly getsOfThousand: number
}

export interface BenchResult {
  readonly seconds: number
  readonly get: LatencyHistogram
  readonly set: LatencyHistogram
  readonly misses: number
  /** Sets that the server did not carry out. */
  readonly notStored: number
  /** Keys that the server has not deleted: they expire, LEFT_SECONDS after they were written at the latest. */
  readonly leftKeys: number
}

export interface BenchParts {
  readonly open: () => Promise<Session>
  readonly prefix: string
  readonly nowMs: () => number
  /** From 0 to 1. */
  readonly random: () => number
  /** Ends the run early; what was measured counts. */
  readonly interrupted: AbortSignal
}

/** Longer than the longest run. */
const TTL_SECONDS = 600
export const LEFT_SECONDS: number = TTL_SECONDS
/** Keys written or deleted at a time. */
const BATCH_KEYS = 256

/** What the keys of one run begin with. */
export function benchPrefix(): string {
  return `saslcached-bench:${randomBytes(8).toString('hex')}:`
}

/** Throws ClientError. */
export async function runBench(load: BenchLoad, parts: BenchParts): Promise<BenchResult> {
  const keys = Array.from({ length: load.keyCount }, (_, index) =>
    Buffer.from(`${parts.prefix}${index}`),
  )
  const value = Buffer.alloc(load.valueBytes, 'x')
  const sessions: Session[] = []
  const counts = { misses: 0, notStored: 0 }
  const get = new LatencyHistogram()
  const set = new LatencyHistogram()
  const run = async (): Promise<Omit<BenchResult, 'leftKeys'>> => {
    for (let index = 0; index < load.connections; index++) sessions.push(await parts.open())
    const [first] = sessions
    if (first === undefined) throw new RangeError('a load has a connection at least')
    await inBatches(keys, (key) => first.set(key, value, TTL_SECONDS, 0))
    const beganMs = parts.nowMs()
    const endMs = beganMs + load.seconds * 1000
    const isOver = (): boolean => parts.interrupted.aborted || parts.nowMs() >= endMs
    const client = async (session: Session): Promise<void> => {
      while (!isOver()) {
        const key = keys[Math.floor(parts.random() * keys.length)] ?? keys[0] ?? value
        const isGet = parts.random() * 1000 < load.getsOfThousand
        const sentMs = parts.nowMs()
        if (isGet) {
          if ((await session.get(key)) === undefined) counts.misses++
        } else if (!(await session.set(key, value, TTL_SECONDS, 0))) {
          counts.notStored++
        }
        const histogram = isGet ? get : set
        histogram.add((parts.nowMs() - sentMs) * 1000)
      }
    }
    const clients = sessions.flatMap((session) =>
      Array.from({ length: load.pipeline }, () => client(session)),
    )
    await Promise.all(clients)
    return { seconds: (parts.nowMs() - beganMs) / 1000, get, set, ...counts }
  }
  try {
    const result = await run()
    return { ...result, leftKeys: await cleanUp(keys, parts) }
  } catch (error) {
    await cleanUp(keys, parts)
    throw error
  } finally {
    for (const session of sessions) session.close()
  }
}

/**
 * On a connection of its own: those of the run may be in the middle of something. Returns how many keys may be
 * left: all that were not there to be deleted are gone.
 */
async function cleanUp(keys: readonly Buffer[], parts: BenchParts): Promise<number> {
  let goneCount = 0
  try {
    const session = await parts.open()
    try {
      await inBatches(keys, async (key) => {
        await session.delete(key)
        goneCount++
      })
    } finally {
      session.close()
    }
  } catch {
    // A user without the right, or a server that is gone: what it keeps expires by itself.
  }
  return keys.length - goneCount
}

async function inBatches(
  keys: readonly Buffer[],
  act: (key: Buffer) => Promise<unknown>,
): Promise<void> {
  for (let at = 0; at < keys.length; at += BATCH_KEYS) {
    await Promise.all(keys.slice(at, at + BATCH_KEYS).map(act))
  }
}
