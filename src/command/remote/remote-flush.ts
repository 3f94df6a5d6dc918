/**
 * flush_all of a namespace whose items are elsewhere. It is answered when every gate that reaches the engine knows of
 * it, see remote/generation.ts.
 */
import { COUNTER } from '../../observe/counters.ts'
import { OUTCOME_OK } from '../../protocol/request.ts'
import { FAILURE_NONE } from '../../remote/failure.ts'
import { CONFIRMED_MS } from '../../remote/generation.ts'
import type { PendingOutcome } from '../commands.ts'
import { outcomeOf, type RemoteParts } from './remote-request.ts'

export class RemoteFlush implements PendingOutcome {
  isSettled = false
  private wake: (() => void) | undefined = undefined
  private readonly parts: RemoteParts
  private failure = FAILURE_NONE

  constructor(
    parts: RemoteParts,
    delayMs: number,
    after: (delayMs: number, run: () => void) => void,
  ) {
    this.parts = parts
    parts.generation.flush(delayMs, (failure) => {
      this.failure = failure
      if (failure === FAILURE_NONE) after(CONFIRMED_MS, () => this.end())
      else this.end()
    })
  }

  private end(): void {
    this.isSettled = true
    if (this.wake !== undefined) this.parts.wakes.add(this.wake)
  }

  onSettled(run: () => void): void {
    if (this.isSettled) this.parts.wakes.add(run)
    else this.wake = run
  }

  load(): number {
    const { parts, failure } = this
    if (failure !== FAILURE_NONE) return outcomeOf(failure)
    parts.lane[COUNTER.cmd_flush]!++
    parts.result.clearCas()
    return OUTCOME_OK
  }

  cancel(): void {}
}
