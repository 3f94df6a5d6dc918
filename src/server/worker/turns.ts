/**
 * The connections of one worker that gave their turn away, so that others are read from. They are gone
 * on with in rounds: one that gives its turn away again waits for the next. A round ends after
 * ROUND_MS_MAX, so that what arrives meanwhile is read; those that are left come first in the next.
 *
 * Strangers have a line of their own (stranger-turns.ts).
 */
import type { ThreadClock } from './thread-clock.ts'

const ROUND_MS_MAX = 4

/** A connection, as far as it is called here. */
export interface Deferred {
  continueServing(): void
}

export class Turns {
  private readonly clock: Pick<ThreadClock, 'nowMs' | 'soon'>
  private readonly runRound: () => void = () => this.run()
  private deferred: Deferred[] = []

  constructor(clock: Pick<ThreadClock, 'nowMs' | 'soon'>) {
    this.clock = clock
  }

  defer(connection: Deferred): void {
    if (this.deferred.length === 0) this.clock.soon(this.runRound)
    this.deferred.push(connection)
  }

  private run(): void {
    const endMs = this.clock.nowMs() + ROUND_MS_MAX
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
