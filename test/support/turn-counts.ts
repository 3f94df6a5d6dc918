/** What a turn amounts to, for connections that nobody asks about. */
import { LATENCY_SLOTS, TurnCounts, VERB_SLOTS } from '../../src/connection/turn-counts.ts'
import { createUserMemory, UserCounts, type UserMemory } from '../../src/observe/user-counts.ts'

export interface ManualCounts {
  readonly counts: TurnCounts
  readonly requests: Float64Array
  readonly latencies: Float64Array
  readonly users: UserCounts
  readonly userMemory: UserMemory
}

/** `nowMs`: times are taken by it. */
export function manualCounts(lane: Float64Array, nowMs?: () => number): ManualCounts {
  const userMemory = createUserMemory(1)
  const users = new UserCounts(userMemory, 0)
  const requests = new Float64Array(VERB_SLOTS)
  const latencies = new Float64Array(LATENCY_SLOTS)
  const counts = new TurnCounts({
    lane,
    users: users.lane,
    requests,
    latencies: nowMs && latencies,
    itemLane: () => lane,
    nowMs: nowMs ?? (() => 0),
  })
  return { counts, requests, latencies, users, userMemory }
}
