/**
 * A picture of the segments: what each is used for, whose it is, and how much of it is live. For whoever
 * shows the memory to an operator; any thread may look, at any time.
 *
 * Invariant: looking takes no lock and writes nothing. What changes meanwhile is shown as it was before or
 * after, so a picture of a busy store may count a segment too many or too few; the counters do not.
 */
import {
  EXCESS_WORD,
  FREE_SEGMENT,
  HEAP_FRESH_WORD,
  HEAP_UNASSIGNED_WORD,
  LIMIT_SEGMENTS_WORD,
  OPEN_ID,
  OPEN_LINKED,
  OPEN_SEGMENT,
  OPEN_WORDS,
  OPENS_MAX,
  OVERFLOW_SEGMENT,
  OWNED_COUNT_WORD,
  PINNED_SEGMENT,
  PRIMARY_SEGMENT,
  RECEIVING_SEGMENT,
  SEGMENT_GROUP,
  SEGMENT_LIVE,
  SEGMENT_STATE,
  SEGMENT_WORDS,
  SMALL_QUEUE,
  VICTIM_SEGMENT,
  WORKER_OPENS_WORD,
  WORKER_WORDS,
} from './control-block.ts'
import type { StoreMemory } from './geometry.ts'
import { queueOf } from './group.ts'

/** What a segment is used for. `small` and `main` are the sealed ones of the two queues. */
export const SEGMENT_USES = [
  'free',
  'index',
  'small',
  'main',
  'open',
  'emptied',
  'receiving',
] as const
export type SegmentUse = (typeof SEGMENT_USES)[number]

const FREE: number = SEGMENT_USES.indexOf('free')
const INDEX: number = SEGMENT_USES.indexOf('index')
const SMALL: number = SEGMENT_USES.indexOf('small')
const MAIN: number = SEGMENT_USES.indexOf('main')
const OPEN: number = SEGMENT_USES.indexOf('open')
const EMPTIED: number = SEGMENT_USES.indexOf('emptied')
const RECEIVING: number = SEGMENT_USES.indexOf('receiving')

/** A cell is one segment, or several neighbours where there are more than cells. */
export interface SegmentMap {
  readonly segmentBytes: number
  readonly segmentCount: number
  readonly segmentsPerCell: number
  /** By cell: the place in SEGMENT_USES of what most of it is used for. */
  readonly uses: Uint8Array
  /** By cell: how much of that is live, in percent. */
  readonly livePercents: Uint8Array
  /** By cell: the place of its owner among the memories. */
  readonly owners: Uint8Array
  /** By use. */
  readonly sums: readonly SegmentSum[]
}

export interface SegmentSum {
  readonly use: SegmentUse
  readonly segmentCount: number
  /** Of the index and of what is being received all bytes are, for none can be taken. */
  readonly liveBytes: number
}

/** All segments, of at most 256 memories; the first is the one that the others share. */
export function readSegmentMap(memories: readonly StoreMemory[], cellsMax: number): SegmentMap {
  const segmentCount = segmentCountOf(memories)
  const { segmentBytes = 1 } = memories[0]?.geometry ?? {}
  const segments: Segments = {
    uses: new Uint8Array(segmentCount),
    live: new Int32Array(segmentCount),
    owners: new Uint8Array(segmentCount),
  }
  for (const [owner, memory] of memories.entries()) look(memory, owner, segments)
  const segmentsPerCell = Math.max(1, Math.ceil(segmentCount / cellsMax))
  return {
    segmentBytes,
    segmentCount,
    segmentsPerCell,
    ...cellsOf(segments, segmentsPerCell, segmentBytes),
    sums: sumsOf(segments),
  }
}

/** By segment. */
interface Segments {
  readonly uses: Uint8Array
  readonly live: Int32Array
  readonly owners: Uint8Array
}

/** Those there may be at the limit in force, and those beyond it that were used before it was lowered. */
function segmentCountOf(memories: readonly StoreMemory[]): number {
  const [first] = memories
  if (first === undefined) return 0
  const heap = new Int32Array(first.heap)
  let held = Math.max(0, heap[HEAP_UNASSIGNED_WORD]!)
  for (const memory of memories) {
    const control = new Int32Array(memory.control)
    held += control[LIMIT_SEGMENTS_WORD]! + control[EXCESS_WORD]!
  }
  return Math.min(Math.max(held, heap[HEAP_FRESH_WORD]!), first.geometry.segmentCount)
}

/** Enters what a namespace has. */
function look({ control, geometry }: StoreMemory, owner: number, segments: Segments): void {
  const words = new Int32Array(control)
  const { ownedWord, segmentsWord, segmentBytes } = geometry
  const { uses, live, owners } = segments
  const end = ownedWord + Math.min(words[OWNED_COUNT_WORD]!, geometry.segmentCount)
  const linked = linkedBytes(words, geometry)
  for (let word = ownedWord; word < end; word++) {
    const segment = words[word]!
    if (segment < 0 || segment >= uses.length) continue
    const record = segmentsWord + segment * SEGMENT_WORDS
    const use = useOf(words[record + SEGMENT_STATE]!, words[record + SEGMENT_GROUP]!)
    const bytes = words[record + SEGMENT_LIVE]! + (use === OPEN ? (linked.get(segment) ?? 0) : 0)
    uses[segment] = use
    owners[segment] = owner
    live[segment] = isWhole(use) ? segmentBytes : Math.min(Math.max(bytes, 0), segmentBytes)
    if (use === FREE) live[segment] = 0
  }
}

/** By open segment: what was linked in it, of which the segment itself only knows what has died. */
function linkedBytes(
  words: Int32Array,
  { workersWord, workerCount }: StoreMemory['geometry'],
): ReadonlyMap<number, number> {
  const linked = new Map<number, number>()
  for (let worker = 0; worker < workerCount; worker++) {
    const opens = workersWord + worker * WORKER_WORDS + WORKER_OPENS_WORD
    for (let word = opens; word < opens + OPENS_MAX * OPEN_WORDS; word += OPEN_WORDS) {
      const id = words[word + OPEN_ID]!
      if (id !== 0) linked.set(id - 1, words[word + OPEN_LINKED]!)
    }
  }
  return linked
}

function useOf(state: number, group: number): number {
  switch (state) {
    case FREE_SEGMENT:
      return FREE
    case OPEN_SEGMENT:
      return OPEN
    case VICTIM_SEGMENT:
    case PINNED_SEGMENT:
      return EMPTIED
    case PRIMARY_SEGMENT:
    case OVERFLOW_SEGMENT:
      return INDEX
    case RECEIVING_SEGMENT:
      return RECEIVING
    default:
      return queueOf(group) === SMALL_QUEUE ? SMALL : MAIN
  }
}

function isWhole(use: number): boolean {
  return use === INDEX || use === RECEIVING
}

function cellsOf(
  { uses, live, owners }: Segments,
  segmentsPerCell: number,
  segmentBytes: number,
): Pick<SegmentMap, 'uses' | 'livePercents' | 'owners'> {
  const cellCount = Math.ceil(uses.length / segmentsPerCell)
  const cells = {
    uses: new Uint8Array(cellCount),
    livePercents: new Uint8Array(cellCount),
    owners: new Uint8Array(cellCount),
  }
  for (let cell = 0; cell < cellCount; cell++) {
    const start = cell * segmentsPerCell
    const end = Math.min(start + segmentsPerCell, uses.length)
    const use = mostFrequent(uses.subarray(start, end))
    let count = 0
    let bytes = 0
    for (let segment = start; segment < end; segment++) {
      if (uses[segment] !== use) continue
      if (count === 0) cells.owners[cell] = owners[segment]!
      count++
      bytes += live[segment]!
    }
    cells.uses[cell] = use
    // What has anything live does not look empty.
    const percent = Math.round((100 * bytes) / (count * segmentBytes))
    cells.livePercents[cell] = bytes > 0 ? Math.max(percent, 1) : 0
  }
  return cells
}

function mostFrequent(uses: Uint8Array): number {
  const counts = new Int32Array(SEGMENT_USES.length)
  for (const use of uses) counts[use]!++
  let found = 0
  for (const [use, count] of counts.entries()) if (count > counts[found]!) found = use
  return found
}

function sumsOf({ uses, live }: Segments): SegmentSum[] {
  const counts = new Int32Array(SEGMENT_USES.length)
  const bytes = new Float64Array(SEGMENT_USES.length)
  for (const [segment, use] of uses.entries()) {
    counts[use]!++
    bytes[use]! += live[segment]!
  }
  return SEGMENT_USES.map((use, index) => ({
    use,
    segmentCount: counts[index]!,
    liveBytes: bytes[index]!,
  }))
}
