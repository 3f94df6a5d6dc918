/**
 * Time as a worker takes it: the clock that deadlines are measured by, and the calls that come later.
 * A test has one that it moves by hand.
 */
import { monotonicMs } from '../../base/clock.ts'

export interface ThreadClock {
  /** Milliseconds since this thread began. */
  nowMs(): number
  /** The same moment on the clock that all threads count by, see ClockBase. */
  sharedMs(): number
  /** Calls `run` each time that a period is over; the result ends that. */
  every(periodMs: number, run: () => void): () => void
  /** Calls `run` once, unless the thread has ended before: it does not wait for that. */
  after(delayMs: number, run: () => void): void
  /** Calls `run` when what has arrived meanwhile was looked at. */
  soon(run: () => void): void
}

export const threadClock: ThreadClock = {
  nowMs: () => performance.now(),
  sharedMs: monotonicMs,
  every(periodMs, run) {
    const timer = setInterval(run, periodMs)
    return () => clearInterval(timer)
  },
  after: (delayMs, run) => void setTimeout(run, delayMs).unref(),
  soon: (run) => void setImmediate(run),
}

/** The time that a worker's connections go by: read when its timer ticks, or a newcomer comes. */
export interface CoarseTime {
  nowMs: number
}
