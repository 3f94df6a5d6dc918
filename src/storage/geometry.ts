/**
 * The sizes of a store and the memory behind it: which numbers follow from `-m`, and where each
 * table lies in the control block. src/storage/README.md has the pictures.
 *
 * Invariant: item log and index use no more segments than together with the ghost table are within the
 * limit, which is `memoryBytes` at first (`Store.setMemoryLimit` moves it). `segmentCount` segments are laid
 * out, for the highest limit there may be; the rest of the control block (locks, 64 bytes a segment,
 * counters) comes on top and is fixed.
 * Making the memory touches one page of it; the rest costs nothing until it is used.
 *
 * A further namespace is a store of its own, control block and all, over the segments of the first
 * (heap.ts). Segments and arenas have the same numbers in all of them.
 */
import { assert } from '../base/assert.ts'
import {
  BUCKET_COUNT_WORD,
  CAS_LOW_WORD,
  FREE_COUNT_WORD,
  GLOBAL_WORDS,
  GUARANTEED_WORD,
  HEAP_FRESH_WORD,
  HEAP_NAMESPACES_WORD,
  HEAP_NEXT_WORD,
  LIMIT_BYTES_WORD,
  LIMIT_SEGMENTS_WORD,
  OPENS_MAX,
  OWNED_COUNT_WORD,
  PRIMARY_PAGES_WORD,
  PRIMARY_SEGMENT,
  SEGMENT_STATE,
  SEGMENT_WORDS,
  STRIPE_COUNT,
  STRIPE_WORDS,
  TTL_CLASSES_MAX,
  WORKER_KEEP_CREDIT,
  WORKER_WORDS,
} from './control-block.ts'

export interface StoreOptions {
  /** Bytes for items and index together (`-m`). */
  readonly memoryBytes: number
  /** The highest value that may become while the store is in use; no higher one if it is left out. */
  readonly memoryBytesMax?: number
  /** The largest item, as memcached counts it (`-I`): key + value + ITEM_OVERHEAD_BYTES. */
  readonly itemBytesMax: number
  /** False is `-M`: a full store refuses writes instead of evicting. */
  readonly evicts: boolean
  /** Whether eviction weighs reads against size; false is plain S3-FIFO. True if it is left out. */
  readonly ranksBySize?: boolean
  /** How many workers may open the store, each with its own index from 0. */
  readonly workerCount: number
  /** The key of the hash, two 32-bit lanes of randomness. */
  readonly seed: readonly [number, number]
  /** The least memory that a namespace is to have: segments are small enough for it. */
  readonly quotaBytesMin?: number
}

/** Everything about a store that is a number and never changes. */
export interface Geometry {
  /** Whose items they are: 0 is the namespace that the memory was made for. */
  readonly namespace: number
  /** The limit at the start, and the highest one that the segments were laid out for. */
  readonly memoryBytes: number
  readonly memoryBytesMax: number
  readonly itemBytesMax: number
  readonly evicts: boolean
  readonly ranksBySize: boolean
  readonly workerCount: number
  readonly seed0: number
  readonly seed1: number
  /** Bytes of one segment, a power of two, and its logarithm. */
  readonly segmentBytes: number
  readonly segmentShift: number
  readonly segmentCount: number
  /** A location counts units of 1 << unitShift bytes; items are aligned to it. */
  readonly unitShift: number
  /** Items above this size may continue in a further segment. */
  readonly spanBytesMin: number
  /** Items above this size begin in a segment of their own, so that they never need to be moved. */
  readonly ownSegmentsBytesMin: number
  /** Free segments that only moving items may take; without them nothing could be moved. */
  readonly reserveSegments: number
  /** The ghost table: buckets of GHOST_BUCKET_BYTES, a power of two, 0 if there is none. */
  readonly ghostBuckets: number
  /** Where the tables start in the control block, in words. */
  readonly stripesWord: number
  readonly segmentsWord: number
  readonly ownedWord: number
  /** How many replies are being sent from each segment: while there are any, it is not free (pins.ts). */
  readonly pinsWord: number
  /** How many values are arriving in each segment: while there are any, it is not emptied (arriving-value.ts). */
  readonly arrivalsWord: number
  readonly pagesWord: number
  readonly workersWord: number
  readonly ghostWord: number
  readonly controlWords: number
}

/** The numbers that follow from the limit in force. */
export interface MemoryShares {
  readonly segmentCount: number
  /** Below this many free segments each write does a share of the work that makes more. */
  readonly freeSegmentsGoal: number
  /** Whether there is a small queue; without it there is only the main one. */
  readonly hasSmallQueue: boolean
  readonly ttlClassCount: number
  /** Whether items are told apart by what they are worth. */
  readonly hasRanks: boolean
  /** Groups of which one worker has an open segment at the same time; what more there are share them. */
  readonly opensMax: number
  readonly ghostBuckets: number
}

/** What the workers share. Structured-cloneable: made once, posted to every worker. */
export interface StoreMemory {
  readonly geometry: Geometry
  readonly control: SharedArrayBuffer
  /** Which segments are whose; the same for all namespaces. */
  readonly heap: SharedArrayBuffer
  readonly arenas: readonly SharedArrayBuffer[]
  /** The first page of the index where it is not a segment: of every namespace but the first. */
  readonly home: SharedArrayBuffer | undefined
}

/** The smallest store: a few segments of the smallest size. Tests use it to keep eviction busy. */
export const MEMORY_BYTES_MIN: number = 16 * 16384
/** 2^32 units of 16 bytes. */
export const MEMORY_BYTES_MAX: number = 64 * 2 ** 30
/** memcached counts its item header against -I: a value of 1 MiB is too large for -I 1m. */
export const ITEM_OVERHEAD_BYTES = 48

const SEGMENT_SHIFT_MIN = 14
const SEGMENT_SHIFT_MAX = 20
/** An arena is one SharedArrayBuffer of at most 1 GiB: byte offsets inside stay small integers. */
export const ARENA_SHIFT = 30

/** A bucket of the ghost table: 16 fingerprints of 16 bits, newest first. */
export const GHOST_BUCKET_BYTES = 32
/** One part of so many of the memory is the ghost table's. */
const GHOST_SHARE = 128
/** At least so many segments there must be for each that may be open; with -M, where no room may be lost. */
const OPEN_SHARE = 8
const OPEN_SHARE_NO_EVICTION = 32
/** One of each queue is always open. */
const OPENS_LEAST = 2
/**
 * With -M, items of more than so many segments (of at least so many, in a small memory) are not moved;
 * no more than that is to be kept free to move the others.
 */
const MOVED_SEGMENTS_MAX = 8
const MOVED_SEGMENTS_MIN = 2
/** A namespace's quota has at least so many segments, where the memory is not too large for that. */
const QUOTA_SEGMENTS = 64
const QUOTA_SEGMENTS_LAID_OUT_MAX: number = 2 ** 17
/** Segments that the lowest limit has beside the reserve and twice what the index has already. */
const LIMIT_SEGMENTS_MIN = 8
const LIMIT_SEGMENTS_PER_WORKER = 4
/** With so many segments, two more of them are kept free: writes then need not empty a victim at once. */
const PACED_SEGMENTS_MIN = 128

/** A bucket is one cache line. */
export const BUCKET_SHIFT = 6
/**
 * As few as there may be, as many as fit the smallest page: a bucket has the stripe of what it is split into. With
 * more than its items need, the index of a small cache would have a cache line for each.
 */
const BUCKETS_AT_START: number = STRIPE_COUNT

function geometryOf(options: StoreOptions): Geometry {
  const { memoryBytes, workerCount } = options
  const memoryBytesMax = options.memoryBytesMax ?? memoryBytes
  assert(
    memoryBytes >= MEMORY_BYTES_MIN && memoryBytes <= MEMORY_BYTES_MAX,
    `store memory of ${memoryBytes} bytes is outside ${MEMORY_BYTES_MIN} to ${MEMORY_BYTES_MAX}`,
  )
  assert(
    memoryBytesMax >= memoryBytes && memoryBytesMax <= MEMORY_BYTES_MAX,
    `a limit of up to ${memoryBytesMax} bytes is outside ${memoryBytes} to ${MEMORY_BYTES_MAX}`,
  )
  assert(workerCount >= 1 && workerCount <= 1024, `${workerCount} workers`)
  return layoutOf(options, 0, segmentShiftOf(options))
}

function segmentShiftOf({ memoryBytes, memoryBytesMax, quotaBytesMin }: StoreOptions): number {
  let bytes = memoryBytes / 512
  if (quotaBytesMin !== undefined) {
    const laidOut = (memoryBytesMax ?? memoryBytes) / QUOTA_SEGMENTS_LAID_OUT_MAX
    bytes = Math.min(bytes, Math.max(quotaBytesMin / QUOTA_SEGMENTS, laidOut))
  }
  return Math.min(Math.max(Math.floor(Math.log2(bytes)), SEGMENT_SHIFT_MIN), SEGMENT_SHIFT_MAX)
}

/** The numbers of a namespace to which `memoryBytes` are guaranteed. */
function layoutOf(options: StoreOptions, namespace: number, segmentShift: number): Geometry {
  const { memoryBytes, workerCount, evicts } = options
  const memoryBytesMax = options.memoryBytesMax ?? memoryBytes
  const segmentBytes = 2 ** segmentShift
  const largest = sharesOf(memoryBytesMax, segmentBytes, workerCount, evicts)
  const atStart = sharesOf(memoryBytes, segmentBytes, workerCount, evicts).segmentCount
  const movedSegments = movedSegmentsOf(atStart)
  const { segmentCount, ghostBuckets } = largest
  const stripesWord = GLOBAL_WORDS
  const segmentsWord = stripesWord + STRIPE_COUNT * STRIPE_WORDS
  const workersWord = segmentsWord + segmentCount * SEGMENT_WORDS
  const pagesWord = workersWord + workerCount * WORKER_WORDS
  const ownedWord = pagesWord + segmentCount
  const pinsWord = ownedWord + segmentCount
  const arrivalsWord = pinsWord + segmentCount
  const ghostWord = arrivalsWord + segmentCount
  return {
    namespace,
    memoryBytes,
    memoryBytesMax,
    itemBytesMax: options.itemBytesMax,
    evicts,
    ranksBySize: evicts && (options.ranksBySize ?? true),
    workerCount,
    seed0: options.seed[0] | 0,
    seed1: options.seed[1] | 0,
    segmentBytes,
    segmentShift,
    segmentCount,
    unitShift: unitShiftOf(memoryBytesMax),
    spanBytesMin: evicts ? segmentBytes >> 5 : 0,
    ownSegmentsBytesMin: evicts ? 0x7fff_ffff : movedSegments * segmentBytes,
    reserveSegments: reserveSegmentsOf(atStart, workerCount, evicts),
    ghostBuckets,
    stripesWord,
    segmentsWord,
    ownedWord,
    pinsWord,
    arrivalsWord,
    pagesWord,
    workersWord,
    ghostWord,
    controlWords: ghostWord + (ghostBuckets * GHOST_BUCKET_BYTES) / 4,
  }
}

function movedSegmentsOf(segmentCount: number): number {
  return Math.min(Math.max(segmentCount >> 6, MOVED_SEGMENTS_MIN), MOVED_SEGMENTS_MAX)
}

/** With -M each worker empties one victim, and one of them at a time moves a large item. */
function reserveSegmentsOf(segmentCount: number, workerCount: number, evicts: boolean): number {
  const moved = evicts ? 0 : movedSegmentsOf(segmentCount) + 1
  return spareSegmentsOf(segmentCount, workerCount) + moved
}

function spareSegmentsOf(segmentCount: number, workerCount: number): number {
  return Math.min(workerCount, Math.max(1, segmentCount >> 5))
}

/** What a limit of so many bytes comes to in segments of that size; the goal is without the reserve. */
function sharesOf(
  limitBytes: number,
  segmentBytes: number,
  workerCount: number,
  evicts: boolean,
): MemoryShares {
  const ghostBytesMax = limitBytes / GHOST_SHARE
  const ghostBuckets = evicts ? 2 ** Math.floor(Math.log2(ghostBytesMax / GHOST_BUCKET_BYTES)) : 0
  const segmentCount = Math.floor((limitBytes - ghostBuckets * GHOST_BUCKET_BYTES) / segmentBytes)
  const groups = segmentCount / ((evicts ? OPEN_SHARE : OPEN_SHARE_NO_EVICTION) * workerCount)
  const hasSmallQueue = evicts && groups >= 1
  return {
    segmentCount,
    freeSegmentsGoal:
      spareSegmentsOf(segmentCount, workerCount) + (segmentCount < PACED_SEGMENTS_MIN ? 1 : 2),
    hasSmallQueue,
    ttlClassCount: Math.min(Math.max(Math.floor(groups / 2), 1), TTL_CLASSES_MAX),
    hasRanks: hasSmallQueue,
    opensMax: evicts ? Math.max(Math.floor(groups), OPENS_LEAST) : OPENS_MAX,
    ghostBuckets,
  }
}

/** The numbers that follow from a limit of so many bytes. */
export function memorySharesOf(geometry: Geometry, limitBytes: number): MemoryShares {
  const { segmentBytes, workerCount, evicts, reserveSegments, namespace } = geometry
  const shares = sharesOf(limitBytes, segmentBytes, workerCount, evicts)
  return {
    ...shares,
    hasRanks: geometry.ranksBySize && shares.hasRanks,
    // The first page of the index of any other namespace comes on top of its segments.
    segmentCount: shares.segmentCount - (namespace === 0 ? 0 : 1),
    freeSegmentsGoal: reserveSegments + shares.freeSegmentsGoal,
  }
}

/** The lowest limit, or quota, with which a store can work whose index has so many segments. */
export function limitBytesMinOf(geometry: Geometry, indexPages: number): number {
  const { reserveSegments, segmentBytes, workerCount, itemBytesMax } = geometry
  const segments = reserveSegments + LIMIT_SEGMENTS_PER_WORKER * workerCount + LIMIT_SEGMENTS_MIN
  return Math.max(MEMORY_BYTES_MIN, 2 * itemBytesMax, (segments + 2 * indexPages) * segmentBytes)
}

/** The lowest quota of a namespace over that memory. */
export function quotaBytesMinOf({ geometry }: StoreMemory): number {
  const { segmentBytes, itemBytesMax, workerCount, evicts } = geometry
  const least = Math.max(MEMORY_BYTES_MIN, 2 * itemBytesMax) / segmentBytes
  for (let segmentCount = Math.ceil(least); ; segmentCount++) {
    const reserveSegments = reserveSegmentsOf(segmentCount, workerCount, evicts)
    const bytes = limitBytesMinOf({ ...geometry, reserveSegments }, 2)
    if (bytes <= segmentCount * segmentBytes) return bytes
  }
}

/** A location is 32 bits: the smallest unit of 4, 8 or 16 bytes with which it reaches everything. */
function unitShiftOf(memoryBytes: number): number {
  if (memoryBytes <= 16 * 2 ** 30) return 2
  return memoryBytes <= 32 * 2 ** 30 ? 3 : 4
}

/**
 * Makes the memory of an empty store. Throws on options that configuration should have refused. Where
 * the system does not give address space for the highest limit, the one at the start is the highest.
 */
export function createStoreMemory(options: StoreOptions): StoreMemory {
  if ((options.memoryBytesMax ?? options.memoryBytes) === options.memoryBytes)
    return layOut(options)
  try {
    return layOut(options)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return layOut({ ...options, memoryBytesMax: options.memoryBytes })
  }
}

function layOut(options: StoreOptions): StoreMemory {
  // Keys are hashed as little-endian words and stored through word views.
  assert(
    new Uint8Array(new Uint32Array([1]).buffer)[0] === 1,
    'the store needs a little-endian CPU',
  )
  const geometry = geometryOf(options)
  const { segmentCount } = memorySharesOf(geometry, geometry.memoryBytes)
  const control = createControl(geometry, segmentCount)
  const arenas: SharedArrayBuffer[] = []
  let left = geometry.segmentCount * geometry.segmentBytes
  while (left > 0) {
    const bytes = Math.min(left, 2 ** ARENA_SHIFT)
    arenas.push(new SharedArrayBuffer(bytes))
    left -= bytes
  }
  const words = new Int32Array(control)
  // The first segment is the first page of the index, so no item ever has location 0.
  words[geometry.segmentsWord + SEGMENT_STATE] = PRIMARY_SEGMENT
  words[OWNED_COUNT_WORD] = 1
  words[LIMIT_SEGMENTS_WORD] = segmentCount
  words[FREE_COUNT_WORD] = segmentCount - 1
  return { geometry, control, arenas, heap: createHeap(geometry.segmentCount), home: undefined }
}

/** The control block of an empty store, but for what it has of the heap. */
function createControl(geometry: Geometry, guaranteedSegments: number): SharedArrayBuffer {
  const control = new SharedArrayBuffer(geometry.controlWords * 4)
  const words = new Int32Array(control)
  new Float64Array(control, LIMIT_BYTES_WORD * 4, 1)[0] = geometry.memoryBytes
  words[GUARANTEED_WORD] = guaranteedSegments
  words[PRIMARY_PAGES_WORD] = 1
  words[BUCKET_COUNT_WORD] = BUCKETS_AT_START
  words[CAS_LOW_WORD] = 1
  for (let worker = 0; worker < geometry.workerCount; worker++) {
    const record = geometry.workersWord + worker * WORKER_WORDS
    words[record + WORKER_KEEP_CREDIT] = geometry.segmentBytes
  }
  return control
}

export interface NamespaceOptions {
  /** Not 0, and not that of any other namespace over the same memory. */
  readonly namespace: number
  /** What is guaranteed to it: quotaBytesMinOf() at least. */
  readonly quotaBytes: number
  readonly seed: readonly [number, number]
}

/**
 * Makes the store of a further namespace over the memory of the first. It has nothing yet, and whoever
 * makes it lowers what is guaranteed to the first by as much (namespaces.ts).
 */
export function createNamespaceMemory(
  first: StoreMemory,
  { namespace, quotaBytes, seed }: NamespaceOptions,
): StoreMemory {
  const { memoryBytesMax, itemBytesMax, evicts, ranksBySize, workerCount, segmentShift } =
    first.geometry
  assert(namespace > 0, 'namespace 0 is the one that the memory was made for')
  assert(quotaBytes >= quotaBytesMinOf(first), `a quota of ${quotaBytes} bytes is too small`)
  const memoryBytes = quotaBytes
  const sizes = { memoryBytes, memoryBytesMax, itemBytesMax }
  const options = { ...sizes, evicts, ranksBySize, workerCount, seed }
  const geometry = layoutOf(options, namespace, segmentShift)
  const control = createControl(geometry, memorySharesOf(geometry, quotaBytes).segmentCount)
  // The page has the number behind those of all segments, in an arena of its own (memory-view.ts).
  const words = new Int32Array(control)
  words[geometry.pagesWord] = first.arenas.length << (ARENA_SHIFT - segmentShift)
  const home = new SharedArrayBuffer(geometry.segmentBytes)
  return { geometry, control, arenas: first.arenas, heap: first.heap, home }
}

function createHeap(segmentCount: number): SharedArrayBuffer {
  const heap = new SharedArrayBuffer((HEAP_NEXT_WORD + segmentCount) * 4)
  const words = new Int32Array(heap)
  words[HEAP_FRESH_WORD] = 1
  words[HEAP_NAMESPACES_WORD] = 1
  return heap
}
