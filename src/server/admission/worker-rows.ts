/**
 * The rows of the workers of one process, as one of them has them, and the lock over all that they share.
 *
 *     | wake-ups | connections | strangers | waiting | oldest ticket | silent | wanted ... | beats | held ...
 *
 * Invariants: the counts of a row are written by its worker, or by another that takes a place over or asks for one, always
 * under the lock, which nobody holds for longer than a walk over the rows, however many sources there are. The
 * sum of `connections` is what the limit is held against.
 *
 * A worker is woken up through the word `wake-ups` of its row: whoever has something for it adds to
 * the word and notifies whoever waits on it, which is its event loop. What there is to do stands in the
 * row, so two wake-ups may become one.
 */
import { acquire, release } from '../../base/lock.ts'
import { LOCK_WORD, rowOf, type WorkerTableMemory } from './worker-table-memory.ts'

const WAKE_UPS = 0
export const CONNECTIONS = 1
export const STRANGERS = 2
export const WAITING = 3
export const OLDEST_TICKET = 4
export const SILENT = 5
export const WANTED_PLACES = 6
export const ACCEPTS = 7
export const BEATS = 8
export const HELD = 9
export const WANTED_FIRST = 10
export const WANTED_HELD = 11

/** No row. */
export const NOBODY = -1

/** How often each worker's timer has ticked, for whoever watches over them. */
export function readBeats(memory: WorkerTableMemory): readonly number[] {
  const words = new Int32Array(memory.buffer)
  return Array.from({ length: memory.workerCount }, (_, index) =>
    Atomics.load(words, rowOf(index) + BEATS),
  )
}

export class WorkerRows {
  readonly words: Int32Array
  readonly workerCount: number
  readonly workerIndex: number
  /** Where this worker's row begins, and where each one's does. */
  readonly row: number
  readonly offsets: readonly number[]

  constructor(memory: WorkerTableMemory, workerIndex: number) {
    this.words = new Int32Array(memory.buffer)
    this.workerCount = memory.workerCount
    this.workerIndex = workerIndex
    this.row = rowOf(workerIndex)
    this.offsets = Array.from({ length: memory.workerCount }, (_, index) => rowOf(index))
  }

  lock(): void {
    acquire(this.words, LOCK_WORD)
  }

  unlock(): void {
    release(this.words, LOCK_WORD)
  }

  /** With the lock held: a column of all rows. By index, as are others that each newcomer comes by: an iterator is garbage. */
  sum(column: number): number {
    const { words, offsets } = this
    let sum = 0
    for (let index = 0; index < offsets.length; index++) sum += words[offsets[index]! + column]!
    return sum
  }

  /** Calls `run` now and, from the event loop, whenever another worker has woken this one up. */
  onWakeUp(run: () => void): void {
    const { words, row } = this
    for (;;) {
      const seen = Atomics.load(words, row + WAKE_UPS)
      run()
      const next = Atomics.waitAsync(words, row + WAKE_UPS, seen)
      if (!next.async) continue
      void next.value.then(() => this.onWakeUp(run))
      return
    }
  }

  wake(row: number): void {
    Atomics.add(this.words, row + WAKE_UPS, 1)
    Atomics.notify(this.words, row + WAKE_UPS)
  }
}
