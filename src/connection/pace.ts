/**
 * How fast a peer moves what memory is held for: it takes its replies, or sends the rest of a request. Looked at by the
 * worker's coarse timer, a second after the other; what is done with whoever is slow depends on whether others lack that
 * memory (wanted-room.ts).
 *
 * Invariant: a second counts only as far as it was looked at. Where the worker itself stood still, nobody is slow for it.
 */

/** What has to move in a second while others are refused for want of room. */
export const PACE_BYTES_MIN: number = 128 * 1024
const WINDOW_MS = 1000
/** Between two looks: twice the period of the timer, and a little. */
const LOOK_MS_MAX = 250

export class Pace {
  /** In the last whole second less was moved. */
  isSlow = false
  private movedBytes = 0
  private windowMs = 0
  private lookedMs = 0

  /** From now on there is something to move, or the peer can move it again. */
  begin(nowMs: number): void {
    this.isSlow = false
    this.movedBytes = 0
    this.windowMs = 0
    this.lookedMs = nowMs
  }

  moved(bytes: number): void {
    this.movedBytes += bytes
  }

  /** To be called ten times a second. */
  look(nowMs: number): void {
    this.windowMs += Math.min(nowMs - this.lookedMs, LOOK_MS_MAX)
    this.lookedMs = nowMs
    if (this.windowMs < WINDOW_MS) return
    this.isSlow = this.movedBytes < (PACE_BYTES_MIN * this.windowMs) / WINDOW_MS
    this.movedBytes = 0
    this.windowMs = 0
  }
}
