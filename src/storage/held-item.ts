/**
 * The item that one worker has in hand: its key, the stripe lock of that key, and the record and the
 * slot that were found under it. Hot path: every operation of the store begins here.
 *
 *     begin() -> useKey() -> lock() -> seek() -> (look at it, change it) -> unlock()
 *
 * Invariant: what is known of the record and the slot holds only until unlock(). At most one stripe
 * is held, which is asserted, and nobody waits for memory or makes room while it is.
 */

import { assert } from '../base/assert.ts'
import type { ByteBlock } from '../base/bytes.ts'
import { HalfSipHash } from '../base/hash.ts'
import { KEY_BYTES_MAX } from '../base/key-bytes-max.ts'
import { acquire, release } from '../base/lock.ts'
import { frequencyAt, raiseFrequencyAt, tagOf } from './bucket.ts'
import {
  FLUSH_AT_WORD,
  MAIN_QUEUE,
  SEGMENT_EPOCH,
  SEGMENT_GROUP,
  SEGMENT_SEQUENCE,
  STRIPE_COUNT,
  STRIPE_WORDS,
} from './control-block.ts'
import { BYTES, ITEMS } from './counters.ts'
import { flushDue } from './flush.ts'
import { type Groups, queueOf } from './group.ts'
import type { HashIndex } from './hash-index.ts'
import {
  casHighAt,
  clientFlagsAt,
  expiryAt,
  headerBytesOf,
  ITEM_CAS_LOW_WORD,
  keyLengthOf,
  layoutOf,
  recordBytesAt,
  recordBytesOf,
  STATE_FETCHED,
  STATE_MASK,
  setExpiryAt,
  setLastAccessAt,
  TRAITS_WORD,
  valueLengthAt,
} from './item.ts'
import { LastBlock } from './last-block.ts'
import type { MemoryView } from './memory-view.ts'
import type { StoreParts } from './parts.ts'
import type { SegmentPool } from './pool.ts'
import type { RecordFate } from './record-fate.ts'
import { MISS_EXPIRED, MISS_FLUSHED, MISS_NONE } from './result.ts'
import { retire } from './retire.ts'
import type { TouchedKeys } from './touched-keys.ts'

export class HeldItem {
  /** The second in which the operation under way began. */
  nowSeconds = 0
  /** The key in use: its length, its words and its hash, of which `hash.more` is the other half. */
  keyLength = 0
  keyLow = 0
  keyTag = 0
  hash: HalfSipHash
  /** Why seek() has found nothing. */
  missReason: number = MISS_NONE
  /** What was found: the record and its slot. */
  words: Int32Array
  base = 0
  location = 0
  slotWords: Int32Array
  slot = 0
  /** Undefined unless a snapshot is being restored: who changes a key notes it here. */
  touched: TouchedKeys | undefined = undefined

  private readonly view: MemoryView
  private readonly control: Int32Array
  private readonly pool: SegmentPool
  private readonly index: HashIndex
  private readonly groups: Groups
  private readonly fates: RecordFate
  private readonly counters: Float64Array
  private readonly isShared: boolean
  private readonly stripesWord: number
  private readonly unitShift: number
  private readonly keys: LastBlock = new LastBlock()
  private stripe = 0
  /** The stripe lock that is held, 0 for none. */
  private heldStripe = 0

  constructor(parts: StoreParts) {
    const { geometry, view } = parts
    this.view = view
    this.control = parts.control
    this.pool = parts.pool
    this.index = parts.index
    this.groups = parts.groups
    this.fates = parts.fates
    this.counters = parts.counters
    this.isShared = parts.isShared
    this.stripesWord = geometry.stripesWord
    this.unitShift = geometry.unitShift
    this.hash = new HalfSipHash(geometry.seed0, geometry.seed1)
    this.words = view.words[0]!
    this.slotWords = view.words[0]!
  }

  /** What every operation begins with: a delayed flush that is due. */
  begin(nowSeconds: number): void {
    assert(this.heldStripe === 0, 'a lookup was not released')
    this.nowSeconds = nowSeconds
    const flushAt = this.control[FLUSH_AT_WORD]!
    if (flushAt !== 0 && flushAt >>> 0 <= nowSeconds) flushDue(this.control, nowSeconds)
  }

  get isHeld(): boolean {
    return this.heldStripe !== 0
  }

  useKey(key: Uint8Array, keyOffset: number, keyLength: number): void {
    assert(keyLength > 0 && keyLength <= KEY_BYTES_MAX, 'the key length was not checked')
    const hash = this.hash
    const low = hash.hash(this.keys.of(key).view, keyOffset, keyLength)
    this.keyLength = keyLength
    this.keyLow = low
    this.keyTag = tagOf(hash.more)
    this.stripe = this.stripesWord + (low & (STRIPE_COUNT - 1)) * STRIPE_WORDS
  }

  /** The same for a key that `hash` hashed last, to `low`; nobody else hashes with it while the key is in use. */
  useHashed(hash: HalfSipHash, low: number, keyLength: number): void {
    this.hash = hash
    this.keyLength = keyLength
    this.keyLow = low
    this.keyTag = tagOf(hash.more)
    this.stripe = this.stripesWord + (low & (STRIPE_COUNT - 1)) * STRIPE_WORDS
  }

  /** Says that the key in use is about to be changed, before its stripe is locked. */
  noteChange(): void {
    if (this.touched !== undefined) this.touched.add(this.hash.more)
  }

  /** Instead of a key: the items of that bucket of the index. */
  useBucket(bucket: number): void {
    this.stripe = this.stripesWord + (bucket & (STRIPE_COUNT - 1)) * STRIPE_WORDS
  }

  lock(): void {
    if (this.isShared) acquire(this.control, this.stripe)
    this.heldStripe = this.stripe
  }

  unlock(): void {
    const stripe = this.heldStripe
    assert(stripe !== 0, 'nothing is locked')
    this.heldStripe = 0
    if (this.isShared) release(this.control, stripe)
  }

  /** Finds the key's item under its lock. A dead one is dropped and counts as not found. */
  seek(): boolean {
    const index = this.index
    const slot = index.find(this.keyLow, this.keyTag, this.hash, this.keyLength)
    this.missReason = MISS_NONE
    if (slot < 0) return false
    this.select(index.slotWords, slot, index.slotWords[slot]!)
    const reason = this.deadReason()
    if (reason === MISS_NONE) return true
    this.missReason = reason
    const traits = this.words[this.base + TRAITS_WORD]!
    index.removeSlot(this.keyLow, this.slotWords, slot)
    const recordBytes = retire(this.view, this.pool, this.location)
    this.fates.countDead(reason === MISS_EXPIRED, traits, recordBytes)
    return false
  }

  /** Takes in hand what a slot refers to; its stripe is held. */
  select(slotWords: Int32Array, slot: number, location: number): void {
    this.slotWords = slotWords
    this.slot = slot
    this.location = location
    this.words = this.view.locationArena(location)
    this.base = this.view.locationBase(location)
  }

  /** MISS_NONE if it is alive. */
  deadReason(): number {
    const expiry = expiryAt(this.words, this.base)
    if (expiry !== 0 && expiry <= this.nowSeconds) return MISS_EXPIRED
    const segment = this.view.locationSegment(this.location)
    const epoch = this.control[this.view.segmentRecord(segment) + SEGMENT_EPOCH]
    return epoch === this.view.epoch ? MISS_NONE : MISS_FLUSHED
  }

  layout(): number {
    return layoutOf(this.words[this.base + TRAITS_WORD]!)
  }

  valueLength(): number {
    return valueLengthAt(this.words, this.base)
  }

  expiry(): number {
    return expiryAt(this.words, this.base)
  }

  recordBytes(): number {
    return recordBytesAt(this.words, this.base, this.unitShift)
  }

  clientFlags(): number {
    return clientFlagsAt(this.words, this.base)
  }

  /** The segment in which the record begins. */
  segment(): number {
    return this.view.locationSegment(this.location)
  }

  /** Where the value begins, counted from the start of its segment. */
  valuePosition(): number {
    const traits = this.words[this.base + TRAITS_WORD]!
    return this.view.locationOffset(this.location) + headerBytesOf(traits) + keyLengthOf(traits)
  }

  /** When its first segment was sealed: a number that no later one has. */
  sequence(): number {
    return this.control[this.view.segmentRecord(this.segment()) + SEGMENT_SEQUENCE]!
  }

  /** The group in which a longer value of the item belongs: it stays in its queue. */
  group(): number {
    const group = this.control[this.view.segmentRecord(this.segment()) + SEGMENT_GROUP]!
    return this.groups.same(group, this.expiry(), this.nowSeconds)
  }

  /** Whether it lies in the main queue, and how many of its reads count. */
  get isInMainQueue(): boolean {
    return (
      queueOf(this.control[this.view.segmentRecord(this.segment()) + SEGMENT_GROUP]!) === MAIN_QUEUE
    )
  }

  get frequency(): number {
    return frequencyAt(this.slotWords, this.slot)
  }

  hasCas(casHigh: number, casLow: number): boolean {
    const words = this.words
    const base = this.base
    return words[base + ITEM_CAS_LOW_WORD] === (casLow | 0) && casHighAt(words, base) === casHigh
  }

  isNewerThan(casHigh: number, casLow: number): boolean {
    const foundHigh = casHighAt(this.words, this.base)
    if (foundHigh !== casHigh) return foundHigh > casHigh
    return this.words[this.base + ITEM_CAS_LOW_WORD]! >>> 0 > casLow
  }

  /** Whether what needs `layout` can be put into the record without changing its size. */
  fits(layout: number, valueLength: number): boolean {
    const foundLayout = this.layout()
    return (
      (layout & ~foundLayout) === 0 &&
      recordBytesOf(foundLayout, this.keyLength, valueLength, this.unitShift) ===
        recordBytesAt(this.words, this.base, this.unitShift)
    )
  }

  /** Copies a part of the value out. */
  copyValue(valueOffset: number, length: number, target: ByteBlock, targetOffset: number): void {
    const position = this.valuePosition() + valueOffset
    this.view.copyOut(this.segment(), position, target, targetOffset, length)
  }

  /** Copies bytes over the value, whose length has been set. */
  overwriteValue(source: ByteBlock, offset: number, length: number): void {
    this.view.copyIn(this.segment(), this.valuePosition(), source, offset, length)
  }

  /** Counts a read: the item is fetched, was accessed now, and is more likely to stay. */
  markRead(nowSeconds: number): void {
    const words = this.words
    const base = this.base
    const traits = words[base + TRAITS_WORD]!
    if ((traits & (STATE_FETCHED << 24)) === 0) {
      words[base + TRAITS_WORD] = traits | (STATE_FETCHED << 24)
    }
    setLastAccessAt(words, base, nowSeconds)
    raiseFrequencyAt(this.slotWords, this.slot)
  }

  /** The record has the word for it, unless `expiry` is 0. */
  setExpiry(expiry: number): void {
    setExpiryAt(this.words, this.base, expiry)
    this.pool.noteExpiry(this.segment(), expiry)
  }

  /** Replaces the state bits (STATE_MASK). */
  setState(bits: number): void {
    const at = this.base + TRAITS_WORD
    this.words[at] = (this.words[at]! & ~(STATE_MASK << 24)) | ((bits & STATE_MASK) << 24)
  }

  /** Deletes the item; only unlock() may follow. */
  unlink(): void {
    this.index.removeSlot(this.keyLow, this.slotWords, this.slot)
    const recordBytes = retire(this.view, this.pool, this.location)
    const counters = this.counters
    counters[ITEMS] = counters[ITEMS]! - 1
    counters[BYTES] = counters[BYTES]! - recordBytes
  }
}
