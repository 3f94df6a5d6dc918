/**
 * Watches over the workers: one whose event loop has not turned for seconds serves nobody, and may
 * hold a lock that the others come to need. First no worker accepts any more, so that whoever checks
 * the server's health sees it; if that worker does not come back, the process is to end.
 *
 * Time is counted in looks of the main thread, not on a clock: a process that was stopped as a whole,
 * or a machine that slept, has missed none.
 */
import { readBeats } from '../admission/worker-rows.ts'
import type { WorkerTableMemory } from '../admission/worker-table-memory.ts'

/** One look a second. */
export const LOOK_INTERVAL_MS = 1000
/** Looks without a sign of life after which a worker is stuck, and lost. */
const STUCK_LOOKS = 5
const LOST_LOOKS = 30

export type WorkerHealth = 'well' | 'stuck' | 'lost'

export class Watchdog {
  private readonly workerTable: WorkerTableMemory
  private seen: readonly number[]
  private readonly missed: number[]

  constructor(workerTable: WorkerTableMemory) {
    this.workerTable = workerTable
    this.seen = readBeats(workerTable)
    this.missed = this.seen.map(() => 0)
  }

  /** To be called once in LOOK_INTERVAL_MS. */
  look(): WorkerHealth {
    const beats = readBeats(this.workerTable)
    for (const [index, count] of beats.entries()) {
      this.missed[index] = count === this.seen[index] ? (this.missed[index] ?? 0) + 1 : 0
    }
    this.seen = beats
    const longest = Math.max(...this.missed)
    if (longest >= LOST_LOOKS) return 'lost'
    return longest >= STUCK_LOOKS ? 'stuck' : 'well'
  }
}
