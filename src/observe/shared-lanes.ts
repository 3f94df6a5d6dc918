/**
 * Doubles in shared memory, as many to each worker, which alone writes them: what counters.ts does for the
 * metrics of the table, for whatever else is counted. Readers add the lanes up, from any thread.
 *
 * Invariant: a lane has a single writer, and no cache line belongs to two lanes.
 */

const LINE_DOUBLES = 8

export interface SharedLanes {
  readonly buffer: SharedArrayBuffer
  readonly laneCount: number
  /** Doubles from one lane to the next. */
  readonly stride: number
}

export function createSharedLanes(laneCount: number, slotCount: number): SharedLanes {
  const stride = Math.ceil(slotCount / LINE_DOUBLES) * LINE_DOUBLES
  return { buffer: new SharedArrayBuffer(laneCount * stride * 8), laneCount, stride }
}

/** One worker's own. */
export function sharedLane({ buffer, stride }: SharedLanes, laneIndex: number): Float64Array {
  return new Float64Array(buffer, laneIndex * stride * 8, stride)
}

/** The sum of each slot over all lanes. */
export function sumSharedLanes(lanes: SharedLanes): Float64Array {
  const sums = new Float64Array(lanes.stride)
  for (let index = 0; index < lanes.laneCount; index++) {
    const lane = sharedLane(lanes, index)
    for (let slot = 0; slot < sums.length; slot++) sums[slot]! += lane[slot]!
  }
  return sums
}
