/**
 * The connections of one worker that gave their turn away, so that others are read from. They are gone
 * on with in rounds: one that gives its turn away again waits for the next. A round ends after
 * ROUND_MS_MAX, so that what arrives meanwhile is read; those that are left come first in the next.
 *
 * Strangers have rounds of their own, shorter ones (StrangerTurns): whoever is logged in waits for a part of a
 * millisecond in each turn of the event loop, however many of them ask at once, and a stranger for as many
 * others as there may be.
 */
import type { ThreadClock } from './thread-clock.ts'

const ROUND_MS_MAX = 4
/** A login takes about a third of it, without the derivation of its key. */
const STRANGER_ROUND_MS_MAX = 0.25
/** In each such time strangers are served at once for one round at most; all others wait for theirs. */
const STRANGER_PERIOD_MS = 1

/** A connection, as far as it is called here. */
export interface Deferred {
  continueServing(): void
}

export class Turns {
  protected readonly clock: Pick<ThreadClock, 'nowMs' | 'soon'>
  private readonly roundMsMax: number
  private readonly runRound: () => void = () => this.run()
  private deferred: Deferred[] = []

  constructor(clock: Pick<ThreadClock, 'nowMs' | 'soon'>, roundMsMax: number = ROUND_MS_MAX) {
    this.clock = clock
    this.roundMsMax = roundMsMax
  }

  get isEmpty(): boolean {
    return this.deferred.length === 0
  }

  defer(connection: Deferred): void {
    if (this.deferred.length === 0) this.clock.soon(this.runRound)
    this.deferred.push(connection)
  }

  private run(): void {
    const endMs = this.clock.nowMs() + this.roundMsMax
    const round = this.deferred
    this.deferred = []
    let served = 0
    do round[served++]!.continueServing()
    while (served < round.length && this.clock.nowMs() < endMs)
    if (served === round.length) return
    if (this.deferred.length === 0) this.clock.soon(this.runRound)
    this.deferred = [...round.slice(served), ...this.deferred]
  }
}

export class StrangerTurns extends Turns {
  private periodMs = Number.NEGATIVE_INFINITY

  constructor(clock: Pick<ThreadClock, 'nowMs' | 'soon'>) {
    super(clock, STRANGER_ROUND_MS_MAX)
  }

  /** Whether a stranger who has just been heard is served at once; if not, it is to be deferred. */
  isOpen(): boolean {
    if (!this.isEmpty) return false
    const nowMs = this.clock.nowMs()
    if (nowMs - this.periodMs >= STRANGER_PERIOD_MS) this.periodMs = nowMs
    return nowMs - this.periodMs < STRANGER_ROUND_MS_MAX
  }
}
