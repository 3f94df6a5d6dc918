/**
 * The index: one linear-hashing table from key hash to item location, in pages cut from the pool.
 * Hot path.
 *
 *      bucket, 64 bytes:   word 0..6       7..13          14              15
 *                          +-----------+--------------+---------------+--------+
 *                          | 7 tags    | 7 locations  | overflow link | unused |
 *                          +-----------+--------------+---------------+--------+
 *
 *      tag:    31                             8 7            2 1        0
 *             +--------------------------------+--------------+----------+
 *             | hash, bits 31..8               | 6 bits of    | frequency|
 *             | (bits 7..0 are the stripe)     | hash high    |          |
 *             +--------------------------------+--------------+----------+
 *
 * A tag and its bucket number together give back the whole lower hash, so a bucket is split without
 * looking at a single item. The table has n buckets, 2^L <= n < 2^(L+1); a hash belongs to bucket
 * hash mod 2^(L+1) if that is below n, else to hash mod 2^L. It grows by one bucket at a time: bucket
 * n - 2^L is split into itself and the new bucket n. Both have the same lowest eight bits, hence the
 * same stripe lock.
 *
 * Invariants: location 0 is an empty slot; in a chain of buckets all used slots come before all
 * empty ones; an overflow bucket in a chain is not empty; a chain has at most CHAIN_BUCKETS_MAX
 * buckets, so nothing ever probes more; every slot refers to a live record. All
 * of it is read and written under the stripe lock of the hash, except the bucket count, which only
 * changes the place of hashes whose stripe its writer holds.
 */
import type { HalfSipHash } from '../base/hash.ts'
import {
  BUCKET_COUNT_WORD,
  BUCKET_SHIFT,
  GROW_LOCK_WORD,
  OVERFLOW_CUT_WORD,
  OVERFLOW_FREE_COUNT_WORD,
  OVERFLOW_FREE_WORD,
  OVERFLOW_PAGE_WORD,
  OVERFLOW_PAGES_WORD,
  OVERFLOW_SEGMENT,
  POOL_LOCK_WORD,
  PRIMARY_PAGES_WORD,
  PRIMARY_SEGMENT,
  STRIPE_COUNT,
  STRIPE_WORDS,
} from './geometry.ts'
import { headerWordsOf, keyLengthOf, TRAITS_WORD } from './item.ts'
import { acquire, release, tryAcquire } from './lock.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'

export const SLOTS_PER_BUCKET = 7
export const BUCKET_WORDS = 16
export const LOCATIONS_WORD = 7
export const LINK_WORD = 14
export const FREQUENCY_MASK = 3

/**
 * The longest chain of buckets. Chance makes none that long in the life of the universe; it bounds what
 * keys can do that were chosen by somebody who knows the seed.
 */
export const CHAIN_BUCKETS_MAX = 8

/** Items per bucket at which the table grows: 75 % of the slots. */
const ITEMS_PER_BUCKET_MAX = 5.25

export class HashIndex {
  /** Where find() found the slot: the words of its arena; its tag's index is the result. */
  slotWords: Int32Array
  private readonly view: MemoryView
  private readonly pool: SegmentPool
  private readonly control: Int32Array
  private readonly words: readonly Int32Array[]
  private readonly pagesWord: number
  private readonly pageShift: number
  private readonly bucketMask: number
  /** After insert() has failed: whether the chain is as long as it may be. */
  isChainFull = false
  private readonly split: Int32Array = new Int32Array(2 * SLOTS_PER_BUCKET * CHAIN_BUCKETS_MAX)
  /** The arena of the bucket that primary() or overflow() named last. */
  bucketWords: Int32Array
  /** While a bucket is split: overflow buckets to use before any from the pool. */
  private spareLink = 0
  private readonly reserveSegments: number

  constructor(view: MemoryView, pool: SegmentPool) {
    this.view = view
    this.pool = pool
    this.control = view.control
    this.words = view.words
    this.pagesWord = view.geometry.pagesWord
    this.pageShift = view.segmentShift - BUCKET_SHIFT
    this.bucketMask = (1 << this.pageShift) - 1
    this.slotWords = view.words[0]!
    this.bucketWords = view.words[0]!
    this.reserveSegments = view.geometry.reserveSegments
  }

  /** The tag of a hash, frequency 0. */
  tagOf(low: number, more: number): number {
    return (low & 0xffffff00) | (more & 0xfc)
  }

  /** The bucket of a hash. The stripe of the hash must be locked. */
  bucketOf(low: number): number {
    const count = this.control[BUCKET_COUNT_WORD]!
    const mask = 0x7fffffff >>> (Math.clz32(count) - 1)
    const bucket = low & mask
    return bucket < count ? bucket : bucket & (mask >>> 1)
  }

  /** Finds the slot of the key that was hashed last; the index of its tag, or -1. */
  find(low: number, tag: number, key: HalfSipHash, keyLength: number): number {
    let base = this.primary(this.bucketOf(low))
    let words = this.bucketWords
    for (;;) {
      for (let slot = base; slot < base + SLOTS_PER_BUCKET; slot++) {
        const location = words[slot + LOCATIONS_WORD]!
        if (location === 0) return -1
        if (((words[slot]! ^ tag) & ~FREQUENCY_MASK) === 0) {
          if (this.hasKey(location, key, keyLength)) {
            this.slotWords = words
            return slot
          }
        }
      }
      const link = words[base + LINK_WORD]!
      if (link === 0) return -1
      base = this.overflow(link)
      words = this.bucketWords
    }
  }

  /** Finds the slot that refers to a location; the index of its tag, or -1. */
  findLocation(low: number, location: number): number {
    let base = this.primary(this.bucketOf(low))
    let words = this.bucketWords
    for (;;) {
      for (let slot = base; slot < base + SLOTS_PER_BUCKET; slot++) {
        const found = words[slot + LOCATIONS_WORD]!
        if (found === location) {
          this.slotWords = words
          return slot
        }
        if (found === 0) return -1
      }
      const link = words[base + LINK_WORD]!
      if (link === 0) return -1
      base = this.overflow(link)
      words = this.bucketWords
    }
  }

  /** Adds a slot; false if the chain is as long as it may be or there is no free overflow bucket. */
  insert(low: number, tag: number, location: number): boolean {
    return this.append(this.bucketOf(low), tag, location)
  }

  /** The slot read least in the first bucket of a hash, which is full; `slotWords` is set. */
  leastRead(low: number): number {
    const base = this.primary(this.bucketOf(low))
    const words = this.bucketWords
    let least = base
    for (let slot = base + 1; slot < base + SLOTS_PER_BUCKET; slot++) {
      if ((words[slot]! & FREQUENCY_MASK) < (words[least]! & FREQUENCY_MASK)) least = slot
    }
    this.slotWords = words
    return least
  }

  /** Removes a slot that find() found; the last slot of its chain takes its place. */
  removeSlot(low: number, slotWords: Int32Array, slot: number): void {
    let base = this.primary(this.bucketOf(low))
    let words = this.bucketWords
    let beforeWords = words
    let beforeBase = -1
    while (words[base + LINK_WORD] !== 0) {
      beforeWords = words
      beforeBase = base
      base = this.overflow(words[base + LINK_WORD]!)
      words = this.bucketWords
    }
    let last = base + SLOTS_PER_BUCKET - 1
    while (words[last + LOCATIONS_WORD] === 0) last--
    slotWords[slot] = words[last]!
    slotWords[slot + LOCATIONS_WORD] = words[last + LOCATIONS_WORD]!
    words[last + LOCATIONS_WORD] = 0
    if (last === base && beforeBase >= 0) {
      this.freeOverflow(beforeWords[beforeBase + LINK_WORD]!)
      beforeWords[beforeBase + LINK_WORD] = 0
    }
  }

  /** Whether the table is due to grow with that many items. */
  isCrowded(itemCount: number): boolean {
    return itemCount > this.control[BUCKET_COUNT_WORD]! * ITEMS_PER_BUCKET_MAX
  }

  /**
   * Splits one bucket. May do nothing: another worker is growing the table, or no segment is free
   * for a page. No stripe may be held.
   */
  grow(): void {
    const control = this.control
    if (!tryAcquire(control, GROW_LOCK_WORD)) return
    const count = control[BUCKET_COUNT_WORD]!
    if ((count & this.bucketMask) !== 0 || this.addPrimaryPage(count)) this.splitBucket(count)
    release(control, GROW_LOCK_WORD)
  }

  /** Makes overflow buckets out of a free segment; false if there is none to spare. */
  addOverflowPage(): boolean {
    const control = this.control
    if (this.pageCount() * 2 >= this.pool.segmentCount) return false
    const segment = this.pool.take(OVERFLOW_SEGMENT, this.reserveSegments)
    if (segment < 0) return false
    acquire(control, POOL_LOCK_WORD)
    const needed =
      control[OVERFLOW_FREE_WORD] === 0 &&
      (control[OVERFLOW_PAGE_WORD] === 0 || control[OVERFLOW_CUT_WORD]! > this.bucketMask)
    if (needed) {
      control[OVERFLOW_PAGE_WORD] = segment + 1
      control[OVERFLOW_CUT_WORD] = 0
      control[OVERFLOW_PAGES_WORD] = control[OVERFLOW_PAGES_WORD]! + 1
    }
    release(control, POOL_LOCK_WORD)
    // Another worker may have added a page in the meantime.
    if (!needed) this.pool.free(segment)
    return true
  }

  /** Index of the first word of a primary bucket; its arena is left in `bucketWords`. */
  primary(bucket: number): number {
    const page = this.control[this.pagesWord + (bucket >>> this.pageShift)]!
    const view = this.view
    this.bucketWords = this.words[page >>> view.arenaSegmentShift]!
    return view.segmentBase(page) + ((bucket & this.bucketMask) << 4)
  }

  /** The same for an overflow bucket, named by its link. */
  overflow(link: number): number {
    const page = link >>> this.pageShift
    const view = this.view
    this.bucketWords = this.words[page >>> view.arenaSegmentShift]!
    return view.segmentBase(page) + ((link & this.bucketMask) << 4)
  }

  private pageCount(): number {
    return this.control[PRIMARY_PAGES_WORD]! + this.control[OVERFLOW_PAGES_WORD]!
  }

  private hasKey(location: number, key: HalfSipHash, keyLength: number): boolean {
    const view = this.view
    const words = view.locationArena(location)
    const base = view.locationBase(location)
    const traits = words[base + TRAITS_WORD]!
    if (keyLengthOf(traits) !== keyLength) return false
    const keyWords = key.words
    const at = base + headerWordsOf(traits)
    const wordCount = keyLength >> 2
    for (let index = 0; index < wordCount; index++) {
      if (words[at + index] !== keyWords[index]) return false
    }
    const tailBits = (keyLength & 3) << 3
    if (tailBits === 0) return true
    return ((words[at + wordCount]! ^ keyWords[wordCount]!) & ((1 << tailBits) - 1)) === 0
  }

  /** Adds a slot at the end of a bucket's chain; false if there is no overflow bucket to take. */
  private append(bucket: number, tag: number, location: number): boolean {
    let base = this.primary(bucket)
    let words = this.bucketWords
    let length = 1
    while (words[base + LINK_WORD] !== 0) {
      base = this.overflow(words[base + LINK_WORD]!)
      words = this.bucketWords
      length++
    }
    this.isChainFull = false
    let slot = base
    const end = base + SLOTS_PER_BUCKET
    while (slot < end && words[slot + LOCATIONS_WORD] !== 0) slot++
    if (slot === end) {
      this.isChainFull = length === CHAIN_BUCKETS_MAX
      if (this.isChainFull) return false
      const link = this.takeOverflow()
      if (link === 0) return false
      words[base + LINK_WORD] = link
      slot = this.overflow(link)
      words = this.bucketWords
      clearBucket(words, slot)
    }
    words[slot] = tag
    words[slot + LOCATIONS_WORD] = location
    return true
  }

  private addPrimaryPage(count: number): boolean {
    const control = this.control
    const page = count >>> this.pageShift
    if (control[PRIMARY_PAGES_WORD]! > page) return true
    if (this.pageCount() * 2 >= this.pool.segmentCount) return false
    const segment = this.pool.take(PRIMARY_SEGMENT, this.reserveSegments)
    if (segment < 0) return false
    control[this.pagesWord + page] = segment
    control[PRIMARY_PAGES_WORD] = page + 1
    return true
  }

  /** Splits the bucket whose turn it is. The grow lock is held. */
  private splitBucket(count: number): void {
    const control = this.control
    const topBit = 1 << (31 - Math.clz32(count))
    const bucket = count - topBit
    const stripe = this.view.geometry.stripesWord + (bucket & (STRIPE_COUNT - 1)) * STRIPE_WORDS
    acquire(control, stripe)
    // Take the chain apart: its slots into `split`, its overflow buckets into the spare list. They
    // suffice for both new chains, so putting the slots back cannot fail.
    let base = this.primary(bucket)
    let words = this.bucketWords
    let used = this.readSlots(words, base, 0)
    let link = words[base + LINK_WORD]!
    clearBucket(words, base)
    while (link !== 0) {
      base = this.overflow(link)
      words = this.bucketWords
      used = this.readSlots(words, base, used)
      const next = words[base + LINK_WORD]!
      words[base + LINK_WORD] = this.spareLink
      this.spareLink = link
      link = next
    }
    base = this.primary(count)
    clearBucket(this.bucketWords, base)
    const split = this.split
    for (let index = 0; index < used; index += 2) {
      const tag = split[index]!
      this.append((tag & topBit) === 0 ? bucket : count, tag, split[index + 1]!)
    }
    Atomics.store(control, BUCKET_COUNT_WORD, count + 1)
    release(control, stripe)
    if (this.spareLink !== 0) this.freeSpares()
  }

  /** Copies the used slots of one bucket into `split`. */
  private readSlots(words: Int32Array, base: number, start: number): number {
    let used = start
    for (let slot = base; slot < base + SLOTS_PER_BUCKET; slot++) {
      const location = words[slot + LOCATIONS_WORD]!
      if (location === 0) break
      this.split[used] = words[slot]!
      this.split[used + 1] = location
      used += 2
    }
    return used
  }

  /** Takes an overflow bucket, not cleared; its link, or 0 if there is none. */
  private takeOverflow(): number {
    let link = this.spareLink
    if (link !== 0) {
      this.spareLink = this.linkAfter(link)
      return link
    }
    const control = this.control
    acquire(control, POOL_LOCK_WORD)
    link = control[OVERFLOW_FREE_WORD]!
    if (link !== 0) {
      control[OVERFLOW_FREE_WORD] = this.linkAfter(link)
      control[OVERFLOW_FREE_COUNT_WORD] = control[OVERFLOW_FREE_COUNT_WORD]! - 1
    } else {
      const page = control[OVERFLOW_PAGE_WORD]! - 1
      const cut = control[OVERFLOW_CUT_WORD]!
      if (page >= 0 && cut <= this.bucketMask) {
        link = (page << this.pageShift) | cut
        control[OVERFLOW_CUT_WORD] = cut + 1
      }
    }
    release(control, POOL_LOCK_WORD)
    return link
  }

  private freeOverflow(link: number): void {
    acquire(this.control, POOL_LOCK_WORD)
    this.pushFreeOverflow(link)
    release(this.control, POOL_LOCK_WORD)
  }

  private freeSpares(): void {
    acquire(this.control, POOL_LOCK_WORD)
    while (this.spareLink !== 0) {
      const link = this.spareLink
      this.spareLink = this.linkAfter(link)
      this.pushFreeOverflow(link)
    }
    release(this.control, POOL_LOCK_WORD)
  }

  /** The pool lock is held. */
  private pushFreeOverflow(link: number): void {
    const control = this.control
    const base = this.overflow(link)
    this.bucketWords[base + LINK_WORD] = control[OVERFLOW_FREE_WORD]!
    control[OVERFLOW_FREE_WORD] = link
    control[OVERFLOW_FREE_COUNT_WORD] = control[OVERFLOW_FREE_COUNT_WORD]! + 1
  }

  private linkAfter(link: number): number {
    const base = this.overflow(link)
    return this.bucketWords[base + LINK_WORD]!
  }
}

function clearBucket(words: Int32Array, base: number): void {
  for (let word = base; word < base + BUCKET_WORDS; word++) words[word] = 0
}
