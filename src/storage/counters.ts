/**
 * What the store counts. Each worker adds to lanes of its own, without atomics; a reader sums them.
 *
 * Invariant: only the worker itself writes its lanes. A lane of one worker may be negative (an item
 * stored by one and deleted by another); the sum over all workers is what means something. What is
 * counted, and what else the store tells, is listed in observe/metrics.ts.
 */
import {
  metricsOf,
  placesOf,
  type StoreCounterName,
  type StoreMetricName,
} from '../observe/metrics.ts'
import {
  BUCKET_COUNT_WORD,
  EXCESS_WORD,
  FREE_COUNT_WORD,
  GUARANTEED_WORD,
  LIMIT_BYTES_WORD,
  LIMIT_SEGMENTS_WORD,
  OPEN_ID,
  OPEN_WORDS,
  OPENS_MAX,
  OVERFLOW_PAGES_WORD,
  PRIMARY_PAGES_WORD,
  SEALED_COUNT_WORD,
  SMALL_COUNT_WORD,
  WORKER_COUNTERS_WORD,
  WORKER_OPENS_WORD,
  WORKER_WORDS,
} from './control-block.ts'
import type { StoreMemory } from './geometry.ts'

/** Every counter, in the order of its lane. */
const LANES: readonly StoreCounterName[] = metricsOf('items')

const LANE: Readonly<Record<StoreCounterName, number>> = placesOf(LANES)

export const ITEMS: number = LANE.items
export const TOTAL_ITEMS: number = LANE.total_items
export const BYTES: number = LANE.bytes
export const EVICTIONS: number = LANE.evictions
export const EVICTED_UNFETCHED: number = LANE.evicted_unfetched
export const EVICTED_ACTIVE: number = LANE.evicted_active
export const EXPIRED_UNFETCHED: number = LANE.expired_unfetched
export const RECLAIMED: number = LANE.reclaimed
export const CRAWLER_RECLAIMED: number = LANE.crawler_reclaimed
export const CRAWLER_CHECKED: number = LANE.crawler_checked
export const REINSERTED: number = LANE.reinserted
export const COMPACTED_SEGMENTS: number = LANE.compacted_segments
export const NO_MEMORY_WRITES: number = LANE.no_memory_writes
export const PROMOTED: number = LANE.promoted
export const GHOST_HITS: number = LANE.ghost_hits

/** Whole cache lines. */
export const COUNTER_LANES: number = Math.ceil(LANES.length / 8) * 8

type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Rest}`
  ? `${Head}${Capitalize<CamelCase<Rest>>}`
  : Name

/** What the store tells, under the names of the table of metrics as our own code writes names. */
export type StoreCounters = {
  readonly [Name in StoreMetricName as CamelCase<Name>]: number
}

/** The lanes of one worker. */
export function counterLanes(memory: StoreMemory, workerIndex: number): Float64Array {
  const { workersWord } = memory.geometry
  const word = workersWord + workerIndex * WORKER_WORDS + WORKER_COUNTERS_WORD
  return new Float64Array(memory.control, word * 4, COUNTER_LANES)
}

/** What is guaranteed in bytes: the limit in force, without what is guaranteed to other namespaces. */
export function memoryLimitOf(memory: StoreMemory): number {
  return new Float64Array(memory.control, LIMIT_BYTES_WORD * 4, 1)[0]!
}

/** Sums the counters of all workers. May be called from any thread at any time. */
export function readStoreMetrics(memory: StoreMemory): Readonly<Record<StoreMetricName, number>> {
  const { geometry } = memory
  const control = new Int32Array(memory.control)
  const counted = {} as Record<StoreCounterName, number>
  for (const name of LANES) counted[name] = 0
  let open = 0
  for (let worker = 0; worker < geometry.workerCount; worker++) {
    const lanes = counterLanes(memory, worker)
    for (const [lane, name] of LANES.entries()) counted[name] += lanes[lane]!
    const opens = geometry.workersWord + worker * WORKER_WORDS + WORKER_OPENS_WORD
    for (let group = 0; group < OPENS_MAX; group++) {
      if (control[opens + group * OPEN_WORDS + OPEN_ID] !== 0) open++
    }
  }
  const pages = control[PRIMARY_PAGES_WORD]! + control[OVERFLOW_PAGES_WORD]!
  return {
    ...counted,
    bucket_count: control[BUCKET_COUNT_WORD]!,
    index_bytes: pages * geometry.segmentBytes,
    segment_bytes: geometry.segmentBytes,
    segments: control[LIMIT_SEGMENTS_WORD]!,
    segments_free: control[FREE_COUNT_WORD]!,
    segments_sealed: control[SEALED_COUNT_WORD]!,
    segments_small: control[SMALL_COUNT_WORD]!,
    segments_open: open,
    memory_bytes: memoryLimitOf(memory),
  }
}

/**
 * The segments as a tenant is told them: those that it uses, and what is free of those that are guaranteed. How many
 * are lent or borrowed without being used follows from what others write, and is left out.
 */
export function readOwnSegments(
  memory: StoreMemory,
): Readonly<Pick<Record<StoreMetricName, number>, 'segments' | 'segments_free'>> {
  const control = new Int32Array(memory.control)
  const held = control[LIMIT_SEGMENTS_WORD]! + control[EXCESS_WORD]!
  const used = Math.max(0, held - control[FREE_COUNT_WORD]!)
  const guaranteed = control[GUARANTEED_WORD]!
  return { segments: Math.max(guaranteed, used), segments_free: Math.max(0, guaranteed - used) }
}

/** What readStoreMetrics() tells, under names of our own code. */
export function readStoreCounters(memory: StoreMemory): StoreCounters {
  return Object.fromEntries(
    Object.entries(readStoreMetrics(memory)).map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  ) as StoreCounters
}
