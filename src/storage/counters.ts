/**
 * What the store counts. Each worker adds to lanes of its own, without atomics; a reader sums them.
 *
 * Invariant: only the worker itself writes its lanes. A lane of one worker may be negative (an item
 * stored by one and deleted by another); the sum over all workers is what means something.
 */
import {
  BUCKET_COUNT_WORD,
  FREE_COUNT_WORD,
  LIMIT_BYTES_WORD,
  LIMIT_SEGMENTS_WORD,
  OPEN_ID,
  OPEN_WORDS,
  OPENS_MAX,
  OVERFLOW_PAGES_WORD,
  PRIMARY_PAGES_WORD,
  SEALED_COUNT_WORD,
  SMALL_COUNT_WORD,
  type StoreMemory,
  WORKER_COUNTERS_WORD,
  WORKER_OPENS_WORD,
  WORKER_WORDS,
} from './geometry.ts'

export const ITEMS = 0
export const TOTAL_ITEMS = 1
export const BYTES = 2
export const EVICTIONS = 3
export const EVICTED_UNFETCHED = 4
export const EVICTED_ACTIVE = 5
export const EXPIRED_UNFETCHED = 6
export const RECLAIMED = 7
export const CRAWLER_RECLAIMED = 8
export const CRAWLER_CHECKED = 9
export const REINSERTED = 10
export const COMPACTED_SEGMENTS = 11
export const NO_MEMORY_WRITES = 12
export const PROMOTED = 13
export const GHOST_HITS = 14
export const COUNTER_LANES = 16

export interface StoreCounters {
  /** Items in the index; expired ones count until something meets them. */
  readonly items: number
  /** Items ever stored. */
  readonly totalItems: number
  /** Bytes of those items with header and padding. */
  readonly bytes: number
  readonly evictions: number
  /** Evicted without ever having been read; evicted although read since the last time round. */
  readonly evictedUnfetched: number
  readonly evictedActive: number
  readonly expiredUnfetched: number
  /** Dead items (expired or flushed) that eviction met, and that the crawler met. */
  readonly reclaimed: number
  readonly crawlerReclaimed: number
  readonly crawlerChecked: number
  readonly reinserted: number
  /** Of the reinserted those that went from the small queue to the main one. */
  readonly promoted: number
  /** Items that went to the main queue at once, because the ghost table knew them. */
  readonly ghostHits: number
  readonly compactedSegments: number
  /** Writes refused because no room could be made. */
  readonly noMemoryWrites: number
  readonly bucketCount: number
  readonly indexBytes: number
  readonly segmentBytes: number
  readonly segments: number
  readonly segmentsFree: number
  readonly segmentsSealed: number
  /** Of those the ones in the small queue. */
  readonly segmentsSmall: number
  readonly segmentsOpen: number
  readonly memoryBytes: number
}

/** The lanes of one worker. */
export function counterLanes(memory: StoreMemory, workerIndex: number): Float64Array {
  const { workersWord } = memory.geometry
  const word = workersWord + workerIndex * WORKER_WORDS + WORKER_COUNTERS_WORD
  return new Float64Array(memory.control, word * 4, COUNTER_LANES)
}

/** The limit in force, in bytes. */
export function memoryLimitOf(memory: StoreMemory): number {
  return new Float64Array(memory.control, LIMIT_BYTES_WORD * 4, 1)[0]!
}

/** Sums the counters of all workers. May be called from any thread at any time. */
export function readStoreCounters(memory: StoreMemory): StoreCounters {
  const { geometry } = memory
  const control = new Int32Array(memory.control)
  const sums = new Float64Array(COUNTER_LANES)
  let open = 0
  for (let worker = 0; worker < geometry.workerCount; worker++) {
    const lanes = counterLanes(memory, worker)
    for (let lane = 0; lane < COUNTER_LANES; lane++) sums[lane]! += lanes[lane]!
    const opens = geometry.workersWord + worker * WORKER_WORDS + WORKER_OPENS_WORD
    for (let group = 0; group < OPENS_MAX; group++) {
      if (control[opens + group * OPEN_WORDS + OPEN_ID] !== 0) open++
    }
  }
  const pages = control[PRIMARY_PAGES_WORD]! + control[OVERFLOW_PAGES_WORD]!
  return {
    items: sums[ITEMS]!,
    totalItems: sums[TOTAL_ITEMS]!,
    bytes: sums[BYTES]!,
    evictions: sums[EVICTIONS]!,
    evictedUnfetched: sums[EVICTED_UNFETCHED]!,
    evictedActive: sums[EVICTED_ACTIVE]!,
    expiredUnfetched: sums[EXPIRED_UNFETCHED]!,
    reclaimed: sums[RECLAIMED]!,
    crawlerReclaimed: sums[CRAWLER_RECLAIMED]!,
    crawlerChecked: sums[CRAWLER_CHECKED]!,
    reinserted: sums[REINSERTED]!,
    promoted: sums[PROMOTED]!,
    ghostHits: sums[GHOST_HITS]!,
    compactedSegments: sums[COMPACTED_SEGMENTS]!,
    noMemoryWrites: sums[NO_MEMORY_WRITES]!,
    bucketCount: control[BUCKET_COUNT_WORD]!,
    indexBytes: pages * geometry.segmentBytes,
    segmentBytes: geometry.segmentBytes,
    segments: control[LIMIT_SEGMENTS_WORD]!,
    segmentsFree: control[FREE_COUNT_WORD]!,
    segmentsSealed: control[SEALED_COUNT_WORD]!,
    segmentsSmall: control[SMALL_COUNT_WORD]!,
    segmentsOpen: open,
    memoryBytes: memoryLimitOf(memory),
  }
}
