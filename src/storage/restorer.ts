/**
 * Puts items back that a snapshot has, while clients are served.
 *
 * Invariant: what is restored never takes the place of anything. It is linked under the stripe of its key, and
 * only if there is no item, no client has changed the key since the server began to restore
 * (touched-keys.ts), and nothing was flushed since. Nothing is evicted for it, and as many segments stay
 * free as clients' writes count on: what does not fit is not restored.
 */

import { assert } from '../base/assert.ts'
import { HalfSipHash } from '../base/hash.ts'
import { raiseFrequencyAt } from './bucket.ts'
import { EPOCH_WORD } from './control-block.ts'
import { ITEM_OVERHEAD_BYTES } from './geometry.ts'
import type { HeldItem } from './held-item.ts'
import {
  HEADER_BYTES_MAX,
  LAYOUT_ALL,
  recordBytesOf,
  STATE_MASK,
  setLastAccessAt,
  TRAITS_WORD,
} from './item.ts'
import type { LargeValue } from './large-value.ts'
import { LastBlock } from './last-block.ts'
import { ATTEMPTS_MAX, type NewRecord } from './new-record.ts'
import type { StoreParts } from './parts.ts'
import { CHANGED, EXISTS, NO_MEMORY, STORED, TOO_LARGE } from './result.ts'
import { TouchedKeys } from './touched-keys.ts'
import type { Upkeep } from './upkeep.ts'
import { WriteOrder } from './write-order.ts'
import type { Writer } from './writer.ts'

/** An item as a snapshot has it. `givenCasHigh` and `givenCasLow` are its CAS, 0 and 0 for the next one. */
export class RestoreOrder extends WriteOrder {
  /** Of STATE_MASK. */
  state = 0
  /** Unix seconds. */
  lastAccess = 0
  /** Reads that count for it, and whether it had come into the main queue. */
  frequency = 0
  isMain = false
}

/** Items whose memory is asked for together. */
export const TOGETHER_MAX = 32

export class Restorer {
  private readonly parts: StoreParts
  private readonly item: HeldItem
  private readonly record: NewRecord
  private readonly upkeep: Upkeep
  private readonly writer: Writer
  private readonly touched: TouchedKeys
  private readonly sources: LastBlock = new LastBlock()
  private readonly keys: LastBlock = new LastBlock()
  /** Of the items that come together: their keys' hashes. */
  private readonly hashes: HalfSipHash[] = []
  private readonly lows: Int32Array = new Int32Array(TOGETHER_MAX)
  /** Where their buckets and their bits are. */
  private readonly bucketWords: Int32Array[] = []
  private readonly bases: Int32Array = new Int32Array(TOGETHER_MAX)
  private readonly touchedAt: Int32Array = new Int32Array(TOGETHER_MAX)
  /** What was read for no other purpose; kept, so that it is read at all. */
  warmth = 0
  /** Of the flushes: what was stored before another one is dead. */
  readonly epoch: number

  /** `epoch` is that of the first restorer of the same snapshot, so that a flush since then ends all of them. */
  constructor(
    parts: StoreParts,
    item: HeldItem,
    record: NewRecord,
    upkeep: Upkeep,
    writer: Writer,
    touched: SharedArrayBuffer,
    epoch: number = Atomics.load(parts.control, EPOCH_WORD),
  ) {
    this.parts = parts
    this.item = item
    this.record = record
    this.upkeep = upkeep
    this.writer = writer
    this.touched = new TouchedKeys(touched)
    this.epoch = epoch
    const { seed0, seed1 } = parts.geometry
    for (let place = 0; place < TOGETHER_MAX; place++) {
      this.hashes.push(new HalfSipHash(seed0, seed1))
      this.bucketWords.push(parts.control)
    }
  }

  /** There was a flush: nothing more of the snapshot comes back. */
  get isFlushed(): boolean {
    return Atomics.load(this.parts.control, EPOCH_WORD) !== this.epoch
  }

  /**
   * STORED. EXISTS: there is a newer one, or there was. CHANGED: all was flushed. NO_MEMORY: it does not fit
   * beside what is there. TOO_LARGE: the largest item is smaller now.
   */
  restore(order: RestoreOrder): number {
    const { item } = this
    item.begin(order.nowSeconds)
    item.useKey(order.key, order.keyOffset, order.keyLength)
    return this.isTooLarge(order) ? TOO_LARGE : this.store(order)
  }

  /**
   * Hashes the keys of the first `count` orders and reads the words of the index and of the touched keys that
   * restoreWarm() will. Nothing stands between those reads, so that the cache lines come at the same time and not
   * one after the other (test/bench/README.md, "Snapshots").
   */
  warm(orders: readonly RestoreOrder[], count: number): void {
    const { hashes, lows, bucketWords, bases, touchedAt } = this
    const { index } = this.parts
    for (let place = 0; place < count; place++) {
      const { key, keyOffset, keyLength } = orders[place]!
      const hash = hashes[place]!
      const low = hash.hash(this.keys.of(key).view, keyOffset, keyLength)
      lows[place] = low
      // Without a lock: where it is may have changed by then.
      bases[place] = index.primary(index.bucketOf(low))
      bucketWords[place] = index.bucketWords
      touchedAt[place] = this.touched.wordOf(hash.more)
    }
    const touchedWords = this.touched.words
    let read = 0
    for (let place = 0; place < count; place++) {
      read ^= bucketWords[place]![bases[place]!]! ^ touchedWords[touchedAt[place]!]!
    }
    this.warmth = read
  }

  /** restore() of an order that warm() was given in that place. */
  restoreWarm(order: RestoreOrder, place: number): number {
    const { item } = this
    item.begin(order.nowSeconds)
    item.useHashed(this.hashes[place]!, this.lows[place]!, order.keyLength)
    return this.isTooLarge(order) ? TOO_LARGE : this.store(order)
  }

  /** Stores an item whose key is in use. */
  private store(order: RestoreOrder): number {
    const { item, record } = this
    const { log, view } = this.parts
    const { valueLength, flags, expiry } = order
    const layout = record.layoutFor(expiry, flags, valueLength, order.givenCasHigh)
    const recordBytes = recordBytesOf(layout, item.keyLength, valueLength, view.unitShift)
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (!this.reserve(recordBytes, this.groupFor(order, recordBytes))) return NO_MEMORY
      record.fill(layout, valueLength, flags, expiry, order.state & STATE_MASK)
      record.fillValue(this.sources.of(order.value), order.valueOffset, valueLength)
      setLastAccessAt(
        view.segmentArena(log.segment),
        view.locationBase(log.location),
        order.lastAccess,
      )
      item.lock()
      const verdict = this.judge()
      const isLinked =
        verdict === STORED && record.link(false, recordBytes, order.givenCasHigh, order.givenCasLow)
      if (isLinked) this.raiseFrequency(order.frequency)
      item.unlock()
      if (isLinked) {
        log.commit(expiry)
        this.upkeep.leaveWithoutWork()
        return STORED
      }
      log.abandon()
      if (verdict !== STORED) return verdict
      if (!this.makeRoomInIndex()) break
    }
    return NO_MEMORY
  }

  /** Nobody uses this worker's place any more: what it has open may be emptied as everything else. */
  leave(): void {
    const { log } = this.parts
    assert(!log.isReserved, 'a restorer leaves in the middle of an item')
    log.sealAll()
  }

  /** Makes the index as large as so many items need, a bounded number of buckets at a time; false if that was the end. */
  growIndex(itemCount: number): boolean {
    return this.upkeep.growIndexFor(itemCount)
  }

  /** Whether segments for a value that arrives in pieces can be had without evicting anything. */
  hasRoomFor(keyLength: number, valueLength: number): boolean {
    const { view } = this.parts
    const recordBytes = recordBytesOf(LAYOUT_ALL, keyLength, valueLength, view.unitShift)
    if (recordBytes > this.upkeep.recordBytesMax) return false
    return this.hasFree(Math.ceil((HEADER_BYTES_MAX + recordBytes) / view.segmentBytes))
  }

  /** The same as restore() for a value that has arrived in pieces; it is stored, or given back. */
  restoreReceived(order: RestoreOrder, received: LargeValue): number {
    const { item, record } = this
    const { log, view } = this.parts
    assert(received.missingBytes === 0, 'a large value is restored before it has arrived')
    const { expiry } = order
    item.begin(order.nowSeconds)
    item.useKey(order.key, order.keyOffset, order.keyLength)
    let verdict = this.isTooLarge(order) ? TOO_LARGE : STORED
    const recordBytes = recordBytesOf(LAYOUT_ALL, item.keyLength, order.valueLength, view.unitShift)
    for (let attempt = 0; verdict === STORED; attempt++) {
      item.lock()
      verdict = this.judge()
      let isLinked = false
      if (verdict === STORED) {
        this.writer.fillReceived(order, received, undefined, false)
        const words = view.segmentArena(log.segment)
        const base = view.locationBase(log.location)
        words[base + TRAITS_WORD] = words[base + TRAITS_WORD]! | ((order.state & STATE_MASK) << 24)
        setLastAccessAt(words, base, order.lastAccess)
        received.beforeLink(recordBytes, this.groupFor(order, recordBytes), this.epoch, expiry)
        isLinked = record.link(false, recordBytes, order.givenCasHigh, order.givenCasLow)
        if (isLinked) this.raiseFrequency(order.frequency)
      }
      item.unlock()
      if (isLinked) {
        received.commit(recordBytes, expiry)
        break
      }
      if (verdict === STORED && (attempt === ATTEMPTS_MAX || !this.makeRoomInIndex())) {
        verdict = NO_MEMORY
      }
    }
    if (verdict !== STORED) received.abandon()
    else this.upkeep.leaveWithoutWork()
    return verdict
  }

  /** Whether the index, which had no slot, may have one now. Nothing is evicted for it. */
  private makeRoomInIndex(): boolean {
    const { index } = this.parts
    return !index.isChainFull && index.addOverflowPage()
  }

  private isTooLarge({ keyLength, valueLength }: RestoreOrder): boolean {
    return keyLength + valueLength + ITEM_OVERHEAD_BYTES > this.parts.geometry.itemBytesMax
  }

  /**
   * While the stripe is held: STORED if the item may be linked. If nothing was flushed until now, the room that
   * was reserved is of the same epoch.
   */
  private judge(): number {
    const { item } = this
    if (this.isFlushed) return CHANGED
    return this.touched.has(item.hash.more) || item.seek() ? EXISTS : STORED
  }

  private groupFor(order: RestoreOrder, recordBytes: number): number {
    const isMain = order.isMain || recordBytes > this.upkeep.smallRecordBytesMax
    const { groups } = this.parts
    return isMain
      ? groups.main(recordBytes, Math.max(order.frequency, 1), order.expiry, order.nowSeconds)
      : groups.small(recordBytes, order.expiry, order.nowSeconds)
  }

  private reserve(recordBytes: number, group: number): boolean {
    if (recordBytes > this.upkeep.recordBytesMax) return false
    const { log } = this.parts
    const keep = this.upkeep.freeSegmentsKept
    const prefixBytes = HEADER_BYTES_MAX + this.item.keyLength
    // What is free for it may be taken by another thread before.
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (log.reserve(recordBytes, prefixBytes, keep, group)) return true
      if (!this.hasFree(log.segmentsMissing)) return false
    }
    return false
  }

  /** Where there are other namespaces, this one takes what is guaranteed to it, and no more. */
  private hasFree(segments: number): boolean {
    const { pool } = this.parts
    for (;;) {
      const missing = this.upkeep.freeSegmentsKept + segments - pool.freeCount
      if (missing <= 0) return true
      const wanted = Math.min(missing, -pool.holdings.borrowedCount)
      // What is claimed is free for all threads: another may have it before this one.
      if (wanted <= 0 || pool.holdings.claim(wanted) === 0) return false
    }
  }

  /** Of the item that was linked just now. */
  private raiseFrequency(frequency: number): void {
    if (frequency === 0) return
    const { index } = this.parts
    const { item } = this
    const slot = index.find(item.keyLow, item.keyTag, item.hash, item.keyLength)
    for (let reads = 0; reads < frequency; reads++) raiseFrequencyAt(index.slotWords, slot)
  }
}
