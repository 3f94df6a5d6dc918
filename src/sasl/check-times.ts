/**
 * How long checks take these days, from the message to the result. Who is refused without a check is answered
 * when a check would be over, or the time tells that there was none: see session.ts.
 *
 * - What checks themselves take is said by checks alone. It does not fade with time: where they are rare the
 *   next one takes as long, and whoever waits for the fading would be told by it. One that took much longer than
 *   the others says that the process stood still, and counts for nothing.
 * - What they wait fades: nobody waits any more once the queue is empty.
 *
 * No two checks take equally long, so it is whole steps, and more than was taken. Whoever was checked is
 * answered at the end of the step as well. The very first check is one that nobody could foresee.
 */

/** The last ones say how long the next one takes: as long as any of them but one. */
const RECENT_CHECKS = 8
/** The longest wait counts for half as much after each of these. */
const WAIT_HALF_LIFE_MS = 1000
const STEP_MS = 50

export class CheckTimes {
  #recentMs: number[] = []
  #workMs = 0
  #waitMs = 0
  #waitedAtMs = 0

  /** A check took so long. */
  worked(ms: number): void {
    this.#recentMs = [...this.#recentMs, ms].slice(-RECENT_CHECKS)
    const [longest = 0, next = longest] = [...this.#recentMs].sort((one, other) => other - one)
    this.#workMs = next
  }

  /** Somebody waited so long for a check, until now. */
  waited(ms: number, nowMs: number): void {
    if (ms < this.#waitAt(nowMs)) return
    this.#waitMs = ms
    this.#waitedAtMs = nowMs
  }

  /** From the message to the result; 0 before the first check. */
  expectedMs(nowMs: number): number {
    const ms = this.#workMs + this.#waitAt(nowMs)
    return ms === 0 ? 0 : (Math.floor(ms / STEP_MS) + 1) * STEP_MS
  }

  #waitAt(nowMs: number): number {
    return this.#waitMs / 2 ** ((nowMs - this.#waitedAtMs) / WAIT_HALF_LIFE_MS)
  }
}
