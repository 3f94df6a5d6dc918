/**
 * What one worker does beside its operations: each write's share of the work for free segments and
 * for the index, the background work, and what follows from the limit of the memory. Hot path:
 * leave() ends every write.
 *
 * Invariant: no stripe is held when anything here is called. How room is made is left to the
 * reclaimer; here is decided how much of it comes when.
 */

import { BUCKET_COUNT_WORD, ITEM_COUNT_WORD, LIMIT_CHANGES_WORD } from './control-block.ts'
import { ITEMS, memoryLimitOf } from './counters.ts'
import { limitBytesMinOf, memorySharesOf, type StoreMemory } from './geometry.ts'
import type { GhostTable } from './ghost.ts'
import type { Groups } from './group.ts'
import type { HashIndex } from './hash-index.ts'
import type { Borrower, Lender } from './lender.ts'
import type { Log } from './log.ts'
import type { StoreParts } from './parts.ts'
import type { SegmentPool } from './pool.ts'
import { setMemoryLimit } from './quotas.ts'
import type { Reclaimer } from './reclaimer.ts'

/** New items between two looks at whether the index must grow; each look adds at most a bucket. */
const GROWTH_LOT = 4
/** Buckets that growIndexFor() adds at a time. */
const GROWTH_AHEAD = 1000
/** What a write adds to its own size when it works for free segments, in bytes of a victim. */
const STEP_BYTES_MIN = 512
const STEP_FACTOR = 4
/** With more segments missing than so many it works for one more. */
const EASY_DEFICIT = 2
/** A larger record than this works for no more: it makes the rest of its room when it comes to it. */
const STEP_RECORD_BYTES_MAX = 16 * 1024
/** With -M a write works for what it took and so much more, or twice that if segments run short. */
const COMPACT_RECORD_BYTES = 64
const COMPACT_DEFICIT_MAX = 2
/** What maintain() takes an item for, in bytes of a victim; and while there are segments to withdraw. */
const RECORD_BYTES = 64
const WITHDRAWN_BYTES = 512
/** Items over this part of the memory would leave the small queue before anyone could read them. */
const SMALL_RECORD_SHARE = 64

export class Upkeep implements Borrower {
  /** These follow from the limit in force: the longest record, and the longest one of the small queue. */
  recordBytesMax = 0
  smallRecordBytesMax = 0
  /** Undefined while there is no other namespace. */
  lender: Lender | undefined = undefined

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

  /**
   * What a write ends with: its share of the work for free segments and for the index. `sealedBefore`:
   * pool.sealedEver before it was committed, if it stored an item; that is not evicted here.
   */
  leave(
    recordBytes: number,
    nowSeconds: number,
    sealedBefore: number = this.pool.sealedEver,
  ): void {
    if (this.newItems >= GROWTH_LOT) this.growIndex()
    const deficit = this.freeSegmentsGoal - this.pool.freeCount
    if (deficit > 0) {
      const bytes = stepBytesOf(deficit, recordBytes)
      if (this.takesFromOthers(deficit, bytes, nowSeconds)) return
      if (!this.evicts) {
        const gained = Math.min(recordBytes, STEP_RECORD_BYTES_MAX) + COMPACT_RECORD_BYTES
        this.reclaimer.compact(Math.min(deficit, COMPACT_DEFICIT_MAX) * gained, nowSeconds)
        return
      }
      this.reclaimer.step(bytes, nowSeconds, sealedBefore)
    }
  }

  /** What a write ends with that made no room, or made it before: the index grows with it. */
  leaveWithoutWork(): void {
    if (this.newItems >= GROWTH_LOT) this.growIndex()
  }

  /**
   * Splits some buckets towards an index for so many items, while there are few: to split what is full takes
   * longer. False: it is large enough, or has all that it may have.
   */
  growIndexFor(itemCount: number): boolean {
    const { index, control } = this
    for (let left = GROWTH_AHEAD; left > 0; left--) {
      if (!index.isCrowded(itemCount) || this.pool.freeCount <= this.freeSegmentsGoal) return false
      const before = control[BUCKET_COUNT_WORD]!
      index.grow()
      if (control[BUCKET_COUNT_WORD] === before) return false
    }
    return true
  }

  /** Free segments that writes count on. */
  get freeSegmentsKept(): number {
    return this.freeSegmentsGoal
  }

  /**
   * Where there are other namespaces, what nobody needs is taken before anything is evicted; and what is
   * guaranteed here and lent to another is taken back, for which it evicts as much as would be evicted
   * here. False: this namespace has to make room itself.
   */
  private takesFromOthers(deficit: number, budgetBytes: number, nowSeconds: number): boolean {
    const { pool, lender } = this
    if (lender === undefined) return false
    const missing = deficit - pool.holdings.claim(deficit)
    if (missing <= 0) return true
    // With -M nothing is lent, and what another has beyond its quota it gives up as its own items go.
    if (!this.evicts || pool.holdings.borrowedCount >= 0) return false
    return lender.takeBack(missing, budgetBytes, nowSeconds)
  }

  /** Another namespace wants what it lent: gives up what it asks for, for so many bytes of victims' work. */
  giveBack(budgetBytes: number, nowSeconds: number): void {
    this.pool.holdings.settle(this.freeSegmentsGoal)
    if (this.pool.holdings.hasExcess) this.reclaimer.payExcess()
    if (this.pool.holdings.hasExcess) this.reclaimer.step(budgetBytes, nowSeconds)
  }

  /** The same, until all that was asked for is given up; false if that cannot be. */
  giveBackAll(nowSeconds: number): boolean {
    this.pool.holdings.settle(this.freeSegmentsGoal)
    return this.reclaimer.payAll(nowSeconds)
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
    else if (this.lender !== undefined) this.settle()
    this.log.sealDead(nowSeconds)
    this.reclaimer.crawler.crawl(budget, nowSeconds)
    const { hasExcess } = this.pool.holdings
    const deficit = this.freeSegmentsGoal - this.pool.freeCount
    if (hasExcess || deficit > 0) {
      const bytes = budget * (hasExcess ? WITHDRAWN_BYTES : RECORD_BYTES)
      if (!hasExcess && this.takesFromOthers(deficit, bytes, nowSeconds)) return
      this.reclaimer.step(bytes, nowSeconds)
    }
  }

  /** See Store.setMemoryLimit(). */
  setMemoryLimit(limitBytes: number): boolean {
    const isSet = setMemoryLimit(this.memory, this.pool, limitBytes, this.memoryBytesMin)
    if (isSet) this.adoptLimit()
    return isSet
  }

  /** The least that may be guaranteed now. */
  get memoryBytesMin(): number {
    return limitBytesMinOf(this.memory.geometry, this.index.pageCount)
  }

  /** Takes its part in what namespaces lend each other. */
  private settle(): void {
    this.pool.holdings.settle(this.freeSegmentsGoal)
    if (this.pool.holdings.hasExcess) this.reclaimer.payExcess()
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
    this.log.adopt(shares.opensMax)
    this.ghost.resize(shares.ghostBuckets)
    this.reclaimer.adopt(shares.freeSegmentsGoal)
    this.log.sealUnused(this.groups)
    this.settle()
  }
}

/** Bytes of victims for which a write works. */
function stepBytesOf(deficit: number, recordBytes: number): number {
  // Dearer as segments run short, and once more for the last ones, so that victims that gain little cannot
  // exhaust them: a write that finds none has to empty whole ones.
  const urgency = deficit > EASY_DEFICIT ? deficit + 1 : deficit
  return urgency * (STEP_FACTOR * Math.min(recordBytes, STEP_RECORD_BYTES_MAX) + STEP_BYTES_MIN)
}
