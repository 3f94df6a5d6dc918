/**
 * Hot path. What becomes of the requests of one worker at a store elsewhere, counted in its lane, whatever namespace
 * they are for.
 */
import { COUNTER } from '../../observe/counters.ts'
import {
  FAILURE_BUSY,
  FAILURE_DOWN,
  FAILURE_FULL,
  FAILURE_NONE,
  FAILURE_REFUSED,
  FAILURE_TIMEOUT,
} from '../../remote/failure.ts'
import { isReached } from '../../remote/reach.ts'

/** The slot by the failure. */
const SLOTS: readonly number[] = slots()

function slots(): number[] {
  const by: number[] = []
  by[FAILURE_NONE] = COUNTER.cluster_answered
  by[FAILURE_TIMEOUT] = COUNTER.cluster_late
  by[FAILURE_DOWN] = COUNTER.cluster_down
  by[FAILURE_BUSY] = COUNTER.cluster_busy
  by[FAILURE_FULL] = COUNTER.cluster_full
  by[FAILURE_REFUSED] = COUNTER.cluster_refused
  return by
}

export class RequestCounts {
  private readonly lane: Float64Array
  private isHeard = false

  constructor(lane: Float64Array) {
    this.lane = lane
  }

  begin(): void {
    this.lane[COUNTER.cluster_waiting]!++
  }

  end(failure: number): void {
    const { lane } = this
    lane[COUNTER.cluster_waiting]!--
    lane[SLOTS[failure]!]!++
    if (isReached(failure)) this.isHeard = true
  }

  /** Whether a node has carried something out, or refused it for what it is, since the last call. */
  takeHeard(): boolean {
    const { isHeard } = this
    this.isHeard = false
    return isHeard
  }
}
