/**
 * Goes through the index, bucket by bucket, and stops at each item that is alive, with its stripe
 * held.
 *
 *     begin() -> next() -> (look at the item) -> next() -> ... -> next(), false: `cursor` is where to go on
 *
 * Invariant: between two calls of next(), the first of which returned true, the stripe of the bucket is
 * held; after one that returned false nothing is. A bucket is gone through in one hold, so none of its
 * items can move meanwhile; while nothing is held, buckets may be split.
 */

import { ByteBlock } from '../base/bytes.ts'
import { KEY_BYTES_MAX } from '../base/key-bytes-max.ts'
import { LINK_WORD, SLOTS_PER_BUCKET } from './bucket.ts'
import { BUCKET_COUNT_WORD } from './control-block.ts'
import type { HashIndex } from './hash-index.ts'
import type { HeldItem } from './held-item.ts'
import { headerBytesOf, keyLengthOf, TRAITS_WORD } from './item.ts'
import type { MemoryView } from './memory-view.ts'
import type { StoreParts } from './parts.ts'
import { MISS_NONE } from './result.ts'

export class Scan {
  /** The next bucket; -1 after the last. */
  cursor = 0
  /** The key of the item in hand, after copyKey(). */
  readonly key: Uint8Array = new Uint8Array(KEY_BYTES_MAX)
  private readonly keyBlock: ByteBlock = new ByteBlock(this.key)
  private readonly item: HeldItem
  private readonly view: MemoryView
  private readonly index: HashIndex
  private readonly control: Int32Array
  private bucketsLeft = 0
  private isInBucket = false
  /** The bucket, or the overflow bucket behind it, that is gone through, and the slot that comes next. */
  private words: Int32Array
  private base = 0
  private slot = 0
  /** What was read for no other purpose; kept, so that it is read at all. */
  warmth = 0

  constructor(parts: StoreParts, item: HeldItem) {
    this.item = item
    this.view = parts.view
    this.index = parts.index
    this.control = parts.control
    this.words = parts.view.words[0]!
  }

  begin(cursor: number, bucketCount: number, nowSeconds: number): void {
    this.item.begin(nowSeconds)
    this.cursor = cursor
    this.bucketsLeft = bucketCount
  }

  /** True: the next item is in hand. False: that was the last for now. */
  next(): boolean {
    const { item } = this
    while (this.isInBucket || this.enterBucket()) {
      const end = this.base + SLOTS_PER_BUCKET
      while (this.slot < end) {
        const location = this.words[this.slot]!
        if (location === 0) break
        item.select(this.words, this.slot++, location)
        if (item.deadReason() === MISS_NONE) return true
      }
      this.goOn()
    }
    return false
  }

  /** Copies the key of the item in hand; returns its length. */
  copyKey(): number {
    const { item, view } = this
    const traits = item.words[item.base + TRAITS_WORD]!
    const keyLength = keyLengthOf(traits)
    const position = view.locationOffset(item.location) + headerBytesOf(traits)
    view.copyOut(item.segment(), position, this.keyBlock, 0, keyLength)
    return keyLength
  }

  /** Locks the next bucket; false if there is none, or enough were gone through. */
  private enterBucket(): boolean {
    const { item, cursor } = this
    if (this.bucketsLeft === 0) return false
    item.useBucket(cursor)
    item.lock()
    if (cursor >= this.control[BUCKET_COUNT_WORD]!) {
      item.unlock()
      this.bucketsLeft = 0
      this.cursor = -1
      return false
    }
    this.isInBucket = true
    this.enter(this.index.primary(cursor))
    return true
  }

  private enter(base: number): void {
    this.words = this.index.bucketWords
    this.base = base
    this.slot = base
    this.warm()
  }

  /**
   * Reads a word of each record, so that their cache lines come at the same time and not one after the
   * other: records of a bucket lie anywhere.
   */
  private warm(): void {
    const { words, base, view } = this
    let read = 0
    for (let slot = base; slot < base + SLOTS_PER_BUCKET; slot++) {
      const location = words[slot]!
      if (location === 0) break
      read ^= view.locationArena(location)[view.locationBase(location) + TRAITS_WORD]!
    }
    this.warmth = read
  }

  /** Goes on with the overflow bucket, or leaves the bucket if there is none. */
  private goOn(): void {
    const link = this.words[this.base + LINK_WORD]!
    if (link !== 0) {
      this.enter(this.index.overflow(link))
      return
    }
    this.item.unlock()
    this.isInBucket = false
    this.bucketsLeft--
    this.cursor++
  }
}
