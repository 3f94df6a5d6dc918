/**
 * Hot path. Counters shared by all threads without a lock: each worker owns one lane of doubles in
 * a SharedArrayBuffer and only it writes there; readers add the lanes up. A double counts exactly
 * to 2^53 and an aligned 8-byte store is seen whole or not at all.
 *
 * Invariant: a lane has a single writer. Gauges (curr_connections) go up and down in the lane of
 * the worker that owns the connection. `stats reset` does not write into the lanes of others: behind
 * the last of them stand the zeros, one for each metric of the table, which the reset sets
 * (metric-reader.ts).
 */
import {
  type CounterName,
  LANE_GROUPS,
  METRIC_LIST,
  type MetricName,
  metricsOf,
  placesOf,
} from './metrics.ts'

/** Every counter, in the order of its slot. */
export const COUNTER_NAMES: readonly CounterName[] = metricsOf(...LANE_GROUPS)

/** The slot of each counter in a lane. */
export const COUNTER: Readonly<Record<CounterName, number>> = placesOf(COUNTER_NAMES)

/** The place of each metric among the zeros. */
export const ZERO_SLOT: Readonly<Record<MetricName, number>> = placesOf(
  METRIC_LIST.map(({ name }) => name),
)

/** Doubles a lane: a whole number of 64-byte cache lines, so that no two workers share one. */
const LANE_DOUBLES = Math.ceil(COUNTER_NAMES.length / 8) * 8

export interface CounterMemory {
  readonly buffer: SharedArrayBuffer
  readonly laneCount: number
}

export function createCounterMemory(laneCount: number): CounterMemory {
  const doubles = laneCount * LANE_DOUBLES + METRIC_LIST.length
  return { buffer: new SharedArrayBuffer(doubles * 8), laneCount }
}

/** One worker's own lane: `lane[COUNTER.cmd_get]!++`. */
export function counterLane(memory: CounterMemory, laneIndex: number): Float64Array {
  return new Float64Array(memory.buffer, laneIndex * LANE_DOUBLES * 8, LANE_DOUBLES)
}

/** The sum of one counter over all lanes since the last reset, or, whatever was reset, since the start. */
export function sumCounter(
  memory: CounterMemory,
  name: CounterName,
  since: 'since-reset' | 'since-start' = 'since-reset',
): number {
  const all = new Float64Array(memory.buffer)
  const { laneCount } = memory
  const sum = sumSlot(all, laneCount, COUNTER[name])
  return since === 'since-start' ? sum : sum - all[laneCount * LANE_DOUBLES + ZERO_SLOT[name]]!
}

/** The sums of all counters over all lanes, in the order of their slots, whatever was reset. */
export function sumLanes(memory: CounterMemory): Float64Array {
  const all = new Float64Array(memory.buffer)
  return Float64Array.from(COUNTER_NAMES, (_, slot) => sumSlot(all, memory.laneCount, slot))
}

/** What each metric was at the last reset; whoever resets writes here. */
export function metricZeros(memory: CounterMemory): Float64Array {
  return new Float64Array(memory.buffer, memory.laneCount * LANE_DOUBLES * 8, METRIC_LIST.length)
}

function sumSlot(all: Float64Array, laneCount: number, slot: number): number {
  let sum = 0
  for (let lane = 0; lane < laneCount; lane++) sum += all[lane * LANE_DOUBLES + slot]!
  return sum
}
