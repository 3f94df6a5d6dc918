/**
 * What one worker does for strangers, who have not logged in: all of it goes through here, so that whoever is
 * logged in waits for one thing of theirs at a time, whatever they do and however many they are.
 *
 *   poll        a newcomer is accepted, or one stranger served at once; all others are put into the line
 *   the line    requests to be gone on with, late answers to logins, ends of connections
 *   beside it   what keys were derived for; what newcomers take after they were accepted; deadlines
 *   immediate   one step, unless this turn has served a stranger; then poll again
 *
 * A step is what takes a stranger some 10 to 100 us. There are more in one turn of the event loop only where
 * they are short, or the turn is long for what clients ask: strangers have a fifth of the time then, so that
 * those who want to log in come to it.
 *
 * What goes beside the line does so because a crowd would decide otherwise when it comes: every second step is one of
 * newcomers, of the others every second one of deadlines. A key goes first: until it is compared, no other may be derived
 * in its place, and so there are no more of them than threads that derive.
 *
 * Invariants: one step of four at least is of the line, whoever comes, but for keys. It is not kept waiting by who is served at once:
 * nobody is while it is not empty. What is put into it by a step waits for another turn. A step whose connection has gone stays in the
 * line until it is reached, and then takes no time.
 */
import type { ThreadClock } from './thread-clock.ts'
import type { Deferred } from './turns.ts'

/** Steps shorter than this together have one turn. */
const SHORT_MS = 0.05
/** What a step is taken for that only settles a promise: the work follows when the turn is over. */
const SETTLED_MS = 0.1
/** Of a turn in which the line waited, and of the longest one that counts. */
const SHARE = 0.25
const SHARED_MS_MAX = 16
/** The part of the line that is over is dropped when it is so long. */
const DROPPED_STEPS = 64

interface Step {
  /** False: there was nothing to do any more. */
  continueServing(): unknown
  readonly takesMs?: number
}

export class StrangerTurns {
  private readonly clock: Pick<ThreadClock, 'nowMs' | 'soon'>
  private readonly runTurn: () => void = () => this.run()
  private line: Step[] = []
  /** Of the line, what is over. */
  private doneCount = 0
  /** Beside the line. */
  private readonly keys: (() => void)[] = []
  private newcomers: (() => void) | undefined = undefined
  private haveNewcomersHadStep = false
  private deadlines: (() => void) | undefined = undefined
  private haveDeadlinesHadStep = false
  private isAwaited = false
  /** This turn has had its stranger or newcomer. */
  private isTaken = false
  private hasServed = false
  private hasStoodStill = false
  /** When the last step of a line ended that had more. */
  private endedMs = Number.NaN

  constructor(clock: Pick<ThreadClock, 'nowMs' | 'soon'>) {
    this.clock = clock
  }

  /** Whether a stranger who has just been heard is served at once; if not, it is to be deferred. */
  isOpen(): boolean {
    if (this.isTaken || this.line.length > this.doneCount) return false
    this.hasServed = true
    this.take()
    return true
  }

  /** Something was done for a stranger that cannot wait: it was accepted. */
  take(): void {
    this.isTaken = true
    this.comeSoon()
  }

  defer(step: Deferred): void {
    this.line.push(step)
    this.comeSoon()
  }

  /** The same for what is no request: what follows from it may come when `run` has returned. */
  soon(run: () => unknown): void {
    this.line.push({ continueServing: run, takesMs: SETTLED_MS })
    this.comeSoon()
  }

  /** A key was derived, for which somebody waits; what follows from it may come when `run` has returned. */
  derived(run: () => void): void {
    this.keys.push(run)
    this.comeSoon()
  }

  /** The next step of what newcomers take, however long the line is. */
  welcome(step: () => void): void {
    this.newcomers = step
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
    const { hasServed } = this
    this.hasServed = false
    this.isTaken = false
    if (!this.hasMore(this.line.length)) return
    this.hasStoodStill = hasServed && !this.hasStoodStill
    if (!this.hasStoodStill) this.moveOn()
    // A turn for nothing takes as long as a short step.
    if (this.hasMore(this.line.length)) this.comeSoon()
  }

  /** `end`: of the line, what was there when the turn began. */
  private hasMore(end: number): boolean {
    return (
      this.doneCount < end ||
      this.keys.length > 0 ||
      this.newcomers !== undefined ||
      this.deadlines !== undefined
    )
  }

  private moveOn(): void {
    const { line } = this
    const startMs = this.clock.nowMs()
    const turnMs = Number.isNaN(this.endedMs) ? 0 : Math.min(startMs - this.endedMs, SHARED_MS_MAX)
    const endMs = startMs + Math.max(SHORT_MS, SHARE * turnMs)
    const { length } = line
    let followingMs = 0
    do {
      const key = this.keys.shift()
      if (key !== undefined) {
        key()
        followingMs += SETTLED_MS
        continue
      }
      const beside = this.takeBeside(this.doneCount === length)
      if (beside !== undefined) {
        beside()
        continue
      }
      const step = line[this.doneCount++]!
      if (step.continueServing() !== false) followingMs += step.takesMs ?? 0
    } while (this.hasMore(length) && this.clock.nowMs() + followingMs < endMs)
    this.endedMs = this.hasMore(length) ? this.clock.nowMs() : Number.NaN
    this.dropDone()
  }

  /** The step that comes before those in the line; there is one if the line is over. */
  private takeBeside(isLineOver: boolean): (() => void) | undefined {
    const { newcomers, deadlines, haveNewcomersHadStep, haveDeadlinesHadStep } = this
    const areNewcomersAlone = isLineOver && deadlines === undefined
    this.haveNewcomersHadStep =
      newcomers !== undefined && (areNewcomersAlone || !haveNewcomersHadStep)
    if (this.haveNewcomersHadStep) {
      this.newcomers = undefined
      return newcomers
    }
    this.haveDeadlinesHadStep = deadlines !== undefined && (isLineOver || !haveDeadlinesHadStep)
    if (!this.haveDeadlinesHadStep) return undefined
    this.deadlines = undefined
    return deadlines
  }

  private dropDone(): void {
    if (this.doneCount < DROPPED_STEPS && this.doneCount < this.line.length) return
    this.line = this.line.slice(this.doneCount)
    this.doneCount = 0
  }
}
