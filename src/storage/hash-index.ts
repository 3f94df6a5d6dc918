/**
 * The index: one linear-hashing table from key hash to item location, in pages cut from the pool.
 * Hot path.
 *
 * The table has n buckets, 2^L <= n < 2^(L+1), each with a chain of overflow buckets. A hash belongs
 * to bucket hash mod 2^(L+1) if that is below n, else to hash mod 2^L. It grows by one bucket at a
 * time: bucket n - 2^L is split into itself and the new bucket n. Both have the same lowest eight
 * bits, hence the same stripe lock. Which slots go to the new one is in their tags; only of an item
 * that has been through four splits is the key read and hashed anew.
 *
 * Invariants: in a chain of buckets all used slots come before all empty ones; an overflow bucket in a
 * chain is not empty; a chain has at most CHAIN_BUCKETS_MAX buckets, so nothing ever probes more, nor
 * hashes more keys than are in so many; every slot refers to a live record. All of it is read and
 * written under the stripe lock of the hash, except the bucket count, which only changes the place of
 * hashes whose stripe its writer holds. What a bucket looks like is left to bucket.ts.
 */
import { HalfSipHash } from '../base/hash.ts'
import { acquire, release, tryAcquire } from '../base/lock.ts'
import {
  clearBucket,
  frequencyAt,
  isPathSpent,
  LINK_WORD,
  matchedSlot,
  matchesOf,
  nextBitOf,
  SLOTS_PER_BUCKET,
  setTagAt,
  tagAt,
  withoutNextBit,
  withPath,
} from './bucket.ts'
import {
  BUCKET_COUNT_WORD,
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
} from './control-block.ts'
import { BUCKET_SHIFT } from './geometry.ts'
import { headerWordsOf, keyLengthOf, TRAITS_WORD } from './item.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'

/**
 * The longest chain of buckets. Chance makes none that long in the life of the universe; it bounds what
 * keys can do that were chosen by somebody who knows the seed.
 */
export const CHAIN_BUCKETS_MAX = 8

/** Items per bucket at which the table grows: 80 % of the slots. */
const ITEMS_PER_BUCKET_MAX = 8

const CHAIN_SLOTS_MAX: number = CHAIN_BUCKETS_MAX * SLOTS_PER_BUCKET

export class HashIndex {
  /** Where find() found the slot: the words of its arena; the slot is the result. */
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
  /** The slots of the chain that is being split. */
  private readonly splitLocations: Int32Array = new Int32Array(CHAIN_SLOTS_MAX)
  private readonly splitTags: Int32Array = new Int32Array(CHAIN_SLOTS_MAX)
  private readonly hash: HalfSipHash
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
    this.hash = new HalfSipHash(view.geometry.seed0, view.geometry.seed1)
  }

  /** The bucket of a hash. The stripe of the hash must be locked. */
  bucketOf(low: number): number {
    const count = this.control[BUCKET_COUNT_WORD]!
    const mask = 0x7fffffff >>> (Math.clz32(count) - 1)
    const bucket = low & mask
    return bucket < count ? bucket : bucket & (mask >>> 1)
  }

  /** How many bits of a hash it takes to be in that bucket: one more once it was split, or made by that. */
  levelOf(bucket: number): number {
    const count = this.control[BUCKET_COUNT_WORD]!
    const level = 31 - Math.clz32(count)
    const topBit = 1 << level
    return (bucket & (topBit - 1)) < count - topBit ? level + 1 : level
  }

  /** Finds the slot of the key that was hashed last, or -1. */
  find(low: number, tag: number, key: HalfSipHash, keyLength: number): number {
    let base = this.primary(this.bucketOf(low))
    let words = this.bucketWords
    for (;;) {
      let matches = matchesOf(words, base, tag)
      while (matches !== 0) {
        const bit = 31 - Math.clz32(matches)
        const slot = base + matchedSlot(bit)
        const location = words[slot]!
        if (location !== 0 && this.hasKey(location, key, keyLength)) {
          this.slotWords = words
          return slot
        }
        matches ^= 1 << bit
      }
      const link = words[base + LINK_WORD]!
      if (link === 0) return -1
      base = this.overflow(link)
      words = this.bucketWords
    }
  }

  /** Finds the slot that refers to a location, or -1. */
  findLocation(low: number, location: number): number {
    let base = this.primary(this.bucketOf(low))
    let words = this.bucketWords
    for (;;) {
      for (let slot = base; slot < base + SLOTS_PER_BUCKET; slot++) {
        const found = words[slot]!
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
    const bucket = this.bucketOf(low)
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
    while (slot < end && words[slot] !== 0) slot++
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
    words[slot] = location
    setTagAt(words, slot, withPath(tag, low, this.levelOf(bucket)))
    return true
  }

  /** The slot read least in the first bucket of a hash, which is full; `slotWords` is set. */
  leastRead(low: number): number {
    const base = this.primary(this.bucketOf(low))
    const words = this.bucketWords
    let least = base
    for (let slot = base + 1; slot < base + SLOTS_PER_BUCKET; slot++) {
      if (frequencyAt(words, slot) < frequencyAt(words, least)) least = slot
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
    while (words[last] === 0) last--
    slotWords[slot] = words[last]!
    setTagAt(slotWords, slot, tagAt(words, last))
    words[last] = 0
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
    if (this.pageCount * 2 >= this.pool.holdings.segmentCount) return false
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

  /** Segments that the index has; it never gives them back. */
  get pageCount(): number {
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

  private addPrimaryPage(count: number): boolean {
    const control = this.control
    const page = count >>> this.pageShift
    if (control[PRIMARY_PAGES_WORD]! > page) return true
    if (this.pageCount * 2 >= this.pool.holdings.segmentCount) return false
    const segment = this.pool.take(PRIMARY_SEGMENT, this.reserveSegments)
    if (segment < 0) return false
    control[this.pagesWord + page] = segment
    control[PRIMARY_PAGES_WORD] = page + 1
    return true
  }

  /** Splits the bucket whose turn it is. The grow lock is held. */
  private splitBucket(count: number): void {
    const control = this.control
    const level = 31 - Math.clz32(count)
    const bucket = count - (1 << level)
    const stripe = this.view.geometry.stripesWord + (bucket & (STRIPE_COUNT - 1)) * STRIPE_WORDS
    acquire(control, stripe)
    const used = this.takeApart(bucket)
    const { splitLocations, splitTags } = this
    for (let index = 0; index < used; index++) {
      const tag = splitTags[index]!
      if (isPathSpent(tag)) {
        splitTags[index] = withPath(tag, this.hashAt(splitLocations[index]!), level)
      }
    }
    this.fill(bucket, used, 0)
    this.fill(count, used, 1)
    Atomics.store(control, BUCKET_COUNT_WORD, count + 1)
    release(control, stripe)
    if (this.spareLink !== 0) this.freeSpares()
  }

  /** The lower hash of the item there. */
  private hashAt(location: number): number {
    const view = this.view
    const words = view.locationArena(location)
    const base = view.locationBase(location)
    const traits = words[base + TRAITS_WORD]!
    return this.hash.hashWords(words, base + headerWordsOf(traits), keyLengthOf(traits))
  }

  /**
   * Copies the slots of a chain to where they are split and puts its overflow buckets into the spare
   * list; returns how many slots are used. The buckets suffice for both new chains, so filling those
   * cannot fail.
   */
  private takeApart(bucket: number): number {
    const { splitLocations, splitTags } = this
    let base = this.primary(bucket)
    let words = this.bucketWords
    let link = 0
    let used = 0
    for (;;) {
      for (let slot = base; slot < base + SLOTS_PER_BUCKET; slot++) {
        const location = words[slot]!
        if (location === 0) break
        splitLocations[used] = location
        splitTags[used] = tagAt(words, slot)
        used++
      }
      const next = words[base + LINK_WORD]!
      if (link !== 0) {
        words[base + LINK_WORD] = this.spareLink
        this.spareLink = link
      }
      if (next === 0) return used
      link = next
      base = this.overflow(link)
      words = this.bucketWords
    }
  }

  /** Makes the chain of a bucket of those slots of the split that have `bit` next in their path. */
  private fill(bucket: number, used: number, bit: number): void {
    const { splitLocations, splitTags } = this
    let base = this.primary(bucket)
    let words = this.bucketWords
    clearBucket(words, base)
    let slot = base
    for (let index = 0; index < used; index++) {
      const tag = splitTags[index]!
      if (nextBitOf(tag) !== bit) continue
      if (slot === base + SLOTS_PER_BUCKET) {
        const link = this.takeOverflow()
        words[base + LINK_WORD] = link
        base = this.overflow(link)
        words = this.bucketWords
        clearBucket(words, base)
        slot = base
      }
      words[slot] = splitLocations[index]!
      setTagAt(words, slot, withoutNextBit(tag))
      slot++
    }
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
