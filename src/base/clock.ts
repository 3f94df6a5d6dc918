/**
 * The server's clock: the wall clock as it was when the server started, carried on by the monotonic
 * one, as memcached's is. Whoever steps the wall clock neither expires items nor lets them live on;
 * expiries that are dates, and dates in answers, count by the server's clock. It stands still while the
 * machine is suspended, as CLOCK_MONOTONIC does.
 *
 * Invariant: all threads count from one ClockBase, so they agree on when a second begins. Times that a
 * thread measures itself are those of `performance.now()`, which counts from the thread's own start.
 */

/** One moment, on both clocks. */
export interface ClockBase {
  /** Milliseconds since 1970. */
  readonly epochMs: number
  /** Milliseconds on the clock that `process.hrtime` reads in every thread. */
  readonly monotonicMs: number
}

/** Reads of two clocks, of which the tightest counts. */
const READS = 8

/**
 * One moment on two clocks, in ms: of several reads the one during which least time went by, so that a thread that is stopped
 * in between is not ahead of the others for as long as it lives.
 */
function sameMoment(one: () => number, other: () => number): [one: number, other: number] {
  let least = Number.POSITIVE_INFINITY
  let moment: [number, number] = [0, 0]
  for (let read = 0; read < READS; read++) {
    const before = one()
    const between = other()
    const after = one()
    if (after - before >= least) continue
    least = after - before
    moment = [before + least / 2, between]
  }
  return moment
}

export function clockBase(): ClockBase {
  const [monotonic, epochMs] = sameMoment(monotonicMs, Date.now)
  return { epochMs, monotonicMs: monotonic }
}

export class Clock {
  private readonly base: ClockBase
  /** What `performance.now()` of this thread has to gain to be in step with the base. */
  private readonly offsetMs: number

  /** `threadMs` and `sharedMs` are one moment, by `performance.now()` and on the base's clock. */
  constructor(base: ClockBase, threadMs: number, sharedMs: number) {
    this.base = base
    this.offsetMs = sharedMs - base.monotonicMs - threadMs
  }

  static ofThread(base: ClockBase): Clock {
    return Clock.of(base, { nowMs: () => performance.now(), sharedMs: monotonicMs })
  }

  /** Of a thread that reads its own clock and the shared one with these. */
  static of(base: ClockBase, thread: { nowMs(): number; sharedMs(): number }): Clock {
    const moment = sameMoment(
      () => thread.nowMs(),
      () => thread.sharedMs(),
    )
    return new Clock(base, ...moment)
  }

  /** Seconds since the base, whole. */
  uptimeSeconds(threadMs: number): number {
    return Math.floor((threadMs + this.offsetMs) / 1000)
  }

  /** Milliseconds since 1970. */
  epochMs(threadMs: number): number {
    return this.base.epochMs + threadMs + this.offsetMs
  }

  /** Seconds since 1970, whole. */
  epochSeconds(threadMs: number): number {
    return Math.floor(this.epochMs(threadMs) / 1000)
  }
}

/** On the clock that all threads share. Each newcomer asks for it: taken apart as a list, the pair would leave an iterator behind. */
export function monotonicMs(): number {
  const time = process.hrtime()
  return time[0] * 1000 + time[1] / 1e6
}
