/**
 * What one worker does for strangers, who have not logged in: all of it goes through here, so that whoever is
 * logged in waits for one thing of theirs at a time, whatever they do and however many they are.
 *
 *   poll       a newcomer is accepted, or one stranger served at once; all others are put into the line, or
 *              dropped where there is no room for what they sent
 *   the line   requests to be gone on with, late answers to logins, ends of connections
 *   keys       what somebody waits for was derived: goes before the line
 *   immediate  one step of these, unless this turn has had its newcomer or stranger; then poll again
 *
 * A step is what takes a stranger some 10 to 200 us. There are more in one turn of the event loop only where
 * they are short, or the turn is long for what clients ask: strangers have a fifth of the time then, so that
 * those who want to log in come to it.
 *
 * Beside all that, what ends TLS handshakes is read as it comes, of four clients at a time (net/tls-answers.ts).
 *
 * Deadlines do not stand in the line, or a crowd would decide when its time is up: their step has one turn of two, of
 * four while newcomers come.
 *
 * Keys go first because no other is derived in the place of one until it is compared; so there are no more of them than are
 * derived at a time.
 *
 * Invariants: the line moves on in one of four turns at least, whoever comes, but for keys. What is put into it by a step waits
 * for another turn. A step whose connection has gone stays in the line until it is reached, and then takes no time.
 */
import type { ThreadClock } from './thread-clock.ts'

/** Steps shorter than this together have one turn. */
const SHORT_MS = 0.05
/** What a step is taken for that only settles a promise: the work follows when the turn is over. */
const SETTLED_MS = 0.1
/** Of a turn in which the line waited, and of the longest one that counts. */
const SHARE = 0.25
const SHARED_MS_MAX = 16
/** The part of the line that is over is dropped when it is so long. */
const DROPPED_STEPS = 64

export interface StrangerStep {
  /** False: there was nothing to do any more. */
  continueServing(): unknown
  /** What follows from it when the step is over, in the same turn. */
  readonly takesMs?: number
}

export class StrangerTurns {
  private readonly clock: Pick<ThreadClock, 'nowMs' | 'soon'>
  private readonly runTurn: () => void = () => this.run()
  private line: StrangerStep[] = []
  /** Of the line, what is over. */
  private doneCount = 0
  /** Beside the line. */
  private readonly keys: (() => void)[] = []
  private deadlines: (() => void) | undefined = undefined
  private haveHadTurn = false
  private isAwaited = false
  /** This turn has had its stranger or newcomer. */
  private isTaken = false
  private hasStoodStill = false
  /** When the last step of a line ended that had more. */
  private endedMs = Number.NaN
  /** What followed from the steps of that turn: strangers' own part of it. */
  private followedMs = 0

  constructor(clock: Pick<ThreadClock, 'nowMs' | 'soon'>) {
    this.clock = clock
  }

  /**
   * Whether a stranger who has just been heard is served at once; if not, it is to be deferred. One for whose bytes
   * there is no room cannot wait: it goes before the line, but is the one of this turn like any other.
   */
  isOpen(canWait: boolean): boolean {
    if (this.isTaken || (canWait && this.line.length > this.doneCount)) return false
    this.take()
    return true
  }

  /** Something was done for a stranger that cannot wait: it was accepted. */
  take(): void {
    this.isTaken = true
    this.comeSoon()
  }

  defer(step: StrangerStep): void {
    this.line.push(step)
    this.comeSoon()
  }

  /** The same for what is no request: what follows from it may come when `run` has returned. */
  soon(run: () => unknown): void {
    this.line.push({ continueServing: run, takesMs: SETTLED_MS })
    this.comeSoon()
  }

  /** A key was derived, for which somebody waits; what follows from it comes when `run` has returned. */
  derived(run: () => void): void {
    this.keys.push(run)
    this.comeSoon()
  }

  /** The next step of a walk along the deadlines, however long the line is. */
  lookAtDeadlines(step: () => void): void {
    this.deadlines = step
    this.comeSoon()
  }

  private comeSoon(): void {
    if (this.isAwaited) return
    this.isAwaited = true
    this.clock.soon(this.runTurn)
  }

  private run(): void {
    this.isAwaited = false
    const { line, isTaken } = this
    this.isTaken = false
    const { deadlines } = this
    if (this.doneCount === line.length && deadlines === undefined && this.keys.length === 0) return
    this.comeSoon()
    this.hasStoodStill = isTaken && !this.hasStoodStill
    if (this.hasStoodStill) return
    const key = this.keys.shift()
    if (key !== undefined) {
      key()
      return
    }
    this.haveHadTurn = deadlines !== undefined && !this.haveHadTurn
    if (deadlines !== undefined && (this.haveHadTurn || this.doneCount === line.length)) {
      this.deadlines = undefined
      deadlines()
      return
    }
    const startMs = this.clock.nowMs()
    const othersMs = Math.max(0, startMs - this.endedMs - this.followedMs)
    const turnMs = Number.isNaN(othersMs) ? 0 : Math.min(othersMs, SHARED_MS_MAX)
    const endMs = startMs + Math.max(SHORT_MS, SHARE * turnMs)
    const { length } = line
    let followingMs = 0
    do {
      const step = line[this.doneCount++]!
      if (step.continueServing() !== false) followingMs += step.takesMs ?? 0
    } while (this.doneCount < length && this.clock.nowMs() + followingMs < endMs)
    this.endedMs = this.doneCount < length ? this.clock.nowMs() : Number.NaN
    this.followedMs = followingMs
    this.dropDone()
  }

  private dropDone(): void {
    if (this.doneCount < DROPPED_STEPS && this.doneCount < this.line.length) return
    this.line = this.line.slice(this.doneCount)
    this.doneCount = 0
  }
}
