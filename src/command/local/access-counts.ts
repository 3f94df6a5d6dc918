/**
 * Hot path. What look-ups and compare-and-swaps add to the counters, the same for the classic verbs
 * and the meta commands. A fetch that also touches counts as a touch and not as a get, as in
 * memcached; an expired or flushed item is counted as such by whoever meets it.
 */

import { COUNTER } from '../../observe/counters.ts'
import { EXISTS, MISS_EXPIRED, MISS_FLUSHED, NOT_FOUND, STORED } from '../../storage/result.ts'

export function countFetch(lane: Float64Array, touches: boolean): void {
  lane[touches ? COUNTER.cmd_touch : COUNTER.cmd_get]!++
}

export function countHit(lane: Float64Array, touches: boolean): void {
  lane[touches ? COUNTER.touch_hits : COUNTER.get_hits]!++
}

/** `reason`: the store's, for a look-up that found nothing. */
export function countMiss(lane: Float64Array, touches: boolean, reason: number): void {
  lane[touches ? COUNTER.touch_misses : COUNTER.get_misses]!++
  if (reason === MISS_EXPIRED) lane[COUNTER.get_expired]!++
  else if (reason === MISS_FLUSHED) lane[COUNTER.get_flushed]!++
}

/** `written`: what the store answered to a write that compared the CAS. */
export function countSwap(lane: Float64Array, written: number): void {
  if (written === STORED) lane[COUNTER.cas_hits]!++
  else if (written === EXISTS) lane[COUNTER.cas_badval]!++
  else if (written === NOT_FOUND) lane[COUNTER.cas_misses]!++
}
