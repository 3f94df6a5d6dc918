/**
 * The shared memory behind a worker table: a few words of the process, a row of words for each worker, and the
 * strangers of the process by where they come from.
 *
 *     | lock | last ticket | last connection id | resumes | last crowd |      one row of 64 bytes for each worker (worker-rows.ts)
 *     ... and then, see source-counts.ts, the strangers of the process by where they come from, with
 *     a share for each source and worker (stranger-places.ts), once more those of them that wait, and once more
 *     those that nobody knows: all but the first PROVEN_MAX of each source that somebody logged in rightly
 *     from lately
 *
 * Invariant: where a part begins and ends is known here alone; each part is given its own.
 */
import { type SourceCountsLayout, sourceCountsWords } from './source-counts.ts'

export const LOCK_WORD = 0
export const TICKET_WORD = 1
export const CONNECTION_ID_WORD = 2
export const RESUMES_WORD = 3
export const CROWD_SAID_WORD = 4
const ROW_WORDS = 16

/** Words of a share, of one source and one worker. */
export const SHARE_WORDS = 5

/** Beside the places of -c: those taken over that their worker has not answered for yet. */
const TAKEN_SHIFT = 3
const TAKEN_MIN = 64

export interface WorkerTableMemory {
  readonly buffer: SharedArrayBuffer
  readonly workerCount: number
  readonly sourcesMax: number
  readonly seed: readonly [number, number]
}

/**
 * Connection ids count on from `lastConnectionId`. There is room for as many sources as connections
 * can be, with four workers one kilobyte for each, which are the system's until they are used; a
 * newcomer for whose source there is none finds the server full. `seed` is secret: who
 * knows it can choose addresses that take long to find.
 */
export function createWorkerTableMemory(
  workerCount: number,
  lastConnectionId: number,
  connectionsMax = 1024,
  seed: readonly [number, number] = [0, 0],
): WorkerTableMemory {
  const sourcesMax = connectionsMax + TAKEN_MIN + (connectionsMax >>> TAKEN_SHIFT)
  const layouts = layoutsOf({ sourcesMax, workerCount })
  const wordCount =
    rowOf(workerCount) +
    sourceCountsWords(layouts.strangers) +
    2 * sourceCountsWords(layouts.waiting)
  const words = new Int32Array(new SharedArrayBuffer(wordCount * 4))
  words[CONNECTION_ID_WORD] = lastConnectionId
  const { buffer } = words
  return { buffer, workerCount, sourcesMax, seed }
}

/** The parts that count strangers. */
export interface SourceMemory {
  /** With shares. */
  readonly strangers: Int32Array
  readonly waiting: Int32Array
  readonly unknown: Int32Array
  readonly layouts: ReturnType<typeof layoutsOf>
}

export function sourceMemoryOf(memory: WorkerTableMemory): SourceMemory {
  const words = new Int32Array(memory.buffer)
  const layouts = layoutsOf(memory)
  const start = rowOf(memory.workerCount)
  const waitingStart = start + sourceCountsWords(layouts.strangers)
  const unknownStart = waitingStart + sourceCountsWords(layouts.waiting)
  return {
    strangers: words.subarray(start, waitingStart),
    waiting: words.subarray(waitingStart, unknownStart),
    unknown: words.subarray(unknownStart),
    layouts,
  }
}

/** Of those that wait, or that nobody knows, there are no shares of their own: they are strangers. */
function layoutsOf(memory: { readonly sourcesMax: number; readonly workerCount: number }): {
  readonly strangers: SourceCountsLayout
  readonly waiting: SourceCountsLayout
} {
  const { sourcesMax, workerCount } = memory
  return {
    strangers: { sourcesMax, workerCount, shareWords: SHARE_WORDS },
    waiting: { sourcesMax, workerCount, shareWords: 0 },
  }
}

/** Where the row of a worker begins. */
export function rowOf(workerIndex: number): number {
  return (workerIndex + 1) * ROW_WORDS
}
