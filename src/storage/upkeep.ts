/**
 * What one worker does beside its operations: each write's share of the work for free segments and
 * for the index, the background work, and what follows from the limit of the memory. Hot path:
 * leave() ends every write.
 *
 * Invariant: no stripe is held when anything here is called. How room is made is left to the
 * reclaimer; here is decided how much of it comes when.
 */
import { ITEMS, memoryLimitOf } from './counters.ts'
import {
  ITEM_COUNT_WORD,
  LIMIT_CHANGES_WORD,
  MEMORY_BYTES_MIN,
  memorySharesOf,
  type StoreMemory,
} from './geometry.ts'
import type { GhostTable } from './ghost.ts'
import type { Groups } from './group.ts'
import type { HashIndex } from './hash-index.ts'
import type { Log } from './log.ts'
import type { StoreParts } from './parts.ts'
import type { SegmentPool } from './pool.ts'
import type { Reclaimer } from './reclaimer.ts'

/** New items between two looks at whether the index must grow; each look adds at most a bucket. */
const GROWTH_LOT = 4
/** What a write adds to its own size when it works for free segments, in bytes of a victim. */
const STEP_BYTES_MIN = 512
const STEP_FACTOR = 4
/** A larger record than this works for no more: it makes the rest of its room when it comes to it. */
const STEP_RECORD_BYTES_MAX = 16 * 1024
/** With -M a write works for what it took and so much more, or twice that if segments run short. */
const COMPACT_RECORD_BYTES = 64
const COMPACT_DEFICIT_MAX = 2
/** What maintain() takes an item for, in bytes of a victim; and while there are segments to withdraw. */
const RECORD_BYTES = 64
const WITHDRAWN_BYTES = 512
/** Segments that the lowest limit has beside the reserve and twice what the index has already. */
const LIMIT_SEGMENTS_MIN = 8
const LIMIT_SEGMENTS_PER_WORKER = 4
/** Items over this part of the memory would leave the small queue before anyone could read them. */
const SMALL_RECORD_SHARE = 64

export class Upkeep {
  /** These follow from the limit in force: the longest record, and the longest one of the small queue. */
  recordBytesMax = 0
  smallRecordBytesMax = 0

  private readonly memory: StoreMemory
  private readonly control: Int32Array
  private readonly pool: SegmentPool
  private readonly index: HashIndex
  private readonly log: Log
  private readonly groups: Groups
  private readonly ghost: GhostTable
  private readonly reclaimer: Reclaimer
  private readonly counters: Float64Array
  private readonly evicts: boolean
  private freeSegmentsGoal = 0
  /** How often the limit had been changed when it was adopted. */
  private limitChanges = -1
  private newItems = 0
  private publishedItems: number

  constructor(parts: StoreParts) {
    this.memory = parts.memory
    this.control = parts.control
    this.pool = parts.pool
    this.index = parts.index
    this.log = parts.log
    this.groups = parts.groups
    this.ghost = parts.ghost
    this.reclaimer = parts.reclaimer
    this.counters = parts.counters
    this.evicts = parts.geometry.evicts
    this.publishedItems = parts.counters[ITEMS]!
    this.adoptLimit()
  }

  /** An item was linked that replaces none. */
  countNew(): void {
    this.newItems++
  }

  /** What a write ends with: its share of the work for free segments and for the index. */
  leave(recordBytes: number, nowSeconds: number): void {
    if (this.newItems >= GROWTH_LOT) this.growIndex()
    const deficit = this.freeSegmentsGoal - this.pool.freeCount
    if (deficit > 0) {
      if (!this.evicts) {
        const gained = Math.min(recordBytes, STEP_RECORD_BYTES_MAX) + COMPACT_RECORD_BYTES
        this.reclaimer.compact(Math.min(deficit, COMPACT_DEFICIT_MAX) * gained, nowSeconds)
        return
      }
      // Dearer as segments run short, so that a victim that gains little cannot exhaust them.
      const paced = Math.min(recordBytes, STEP_RECORD_BYTES_MAX)
      this.reclaimer.step(deficit * (STEP_FACTOR * paced + STEP_BYTES_MIN), nowSeconds)
    }
  }

  private growIndex(): void {
    this.newItems = 0
    const items = this.counters[ITEMS]!
    const before = Atomics.add(this.control, ITEM_COUNT_WORD, items - this.publishedItems)
    const count = before + items - this.publishedItems
    this.publishedItems = items
    if (this.index.isCrowded(count)) this.index.grow()
  }

  /** See Store.maintain(). */
  maintain(nowSeconds: number, budget: number): void {
    if (this.control[LIMIT_CHANGES_WORD] !== this.limitChanges) this.adoptLimit()
    this.log.sealDead(nowSeconds)
    this.reclaimer.crawl(budget, nowSeconds)
    const { hasExcess } = this.pool
    if (hasExcess || this.pool.freeCount < this.freeSegmentsGoal) {
      const bytes = hasExcess ? WITHDRAWN_BYTES : RECORD_BYTES
      this.reclaimer.step(budget * bytes, nowSeconds)
    }
  }

  /** See Store.setMemoryLimit(). */
  setMemoryLimit(limitBytes: number): boolean {
    const { geometry } = this.memory
    if (limitBytes < this.memoryBytesMin || limitBytes > geometry.memoryBytesMax) return false
    const { segmentCount } = memorySharesOf(geometry, limitBytes)
    this.pool.moveLimit(segmentCount, limitBytes)
    this.adoptLimit()
    return true
  }

  /** The lowest limit that there may be now. */
  get memoryBytesMin(): number {
    const { reserveSegments, segmentBytes, workerCount, itemBytesMax } = this.memory.geometry
    const segments = reserveSegments + LIMIT_SEGMENTS_PER_WORKER * workerCount + LIMIT_SEGMENTS_MIN
    return Math.max(
      MEMORY_BYTES_MIN,
      2 * itemBytesMax,
      (segments + 2 * this.index.pageCount) * segmentBytes,
    )
  }

  /** Works with the limit in force from now on. */
  private adoptLimit(): void {
    const { geometry } = this.memory
    this.limitChanges = this.control[LIMIT_CHANGES_WORD]!
    const limitBytes = memoryLimitOf(this.memory)
    const shares = memorySharesOf(geometry, limitBytes)
    this.recordBytesMax = Math.floor(shares.segmentCount * 0.75) * geometry.segmentBytes
    this.smallRecordBytesMax = limitBytes / SMALL_RECORD_SHARE
    this.freeSegmentsGoal = shares.freeSegmentsGoal
    this.groups.adopt(shares)
    this.ghost.resize(shares.ghostBuckets)
    this.reclaimer.adopt(shares.freeSegmentsGoal)
    this.log.sealUnused(this.groups)
    if (this.pool.hasExcess) this.reclaimer.payExcess()
  }
}
