/**
 * The record that one worker is writing: room for it in the log, header, key and value, and its slot in
 * the index. Hot path.
 *
 *     reserve() -> fill() -> fillValue() -> link() -> commit()       or at any point before link():
 *                                                                    log.abandon()
 *
 * Invariant: nothing refers to a reserved record before link(), which is called under the stripe of
 * its key, as fill() may be, and what is reserved in the open segment (Log.reserveOpen). reserve(), commit() and
 * whatever makes room are called while no stripe is held. The key is that of the item in hand.
 */
import type { ByteBlock } from '../base/bytes.ts'
import type { CasSource } from './cas-source.ts'
import { GROUPS_MAX } from './control-block.ts'
import { BYTES, ITEMS, NO_MEMORY_WRITES, TOTAL_ITEMS } from './counters.ts'
import type { Groups } from './group.ts'
import type { HashIndex } from './hash-index.ts'
import type { HeldItem } from './held-item.ts'
import {
  fillHeader,
  HEADER_BYTES_MAX,
  headerBytesOf,
  headerWordsOf,
  keyLengthOf,
  LAYOUT_EXPIRY,
  layoutFor,
  STATE_SPANS,
  setCasAt,
  TRAITS_WORD,
} from './item.ts'
import type { Log } from './log.ts'
import type { MemoryView } from './memory-view.ts'
import type { StoreParts } from './parts.ts'
import type { SegmentPool } from './pool.ts'
import type { Reclaimer } from './reclaimer.ts'
import type { RecordFate } from './record-fate.ts'
import { NO_MEMORY } from './result.ts'
import { retire } from './retire.ts'
import type { Upkeep } from './upkeep.ts'

/** Times that a write starts over because others took the room or changed the item. */
export const ATTEMPTS_MAX = 1000

export class NewRecord {
  private readonly item: HeldItem
  private readonly cas: CasSource
  private readonly upkeep: Upkeep
  private readonly view: MemoryView
  private readonly pool: SegmentPool
  private readonly index: HashIndex
  private readonly log: Log
  private readonly groups: Groups
  private readonly fates: RecordFate
  private readonly reclaimer: Reclaimer
  private readonly counters: Float64Array
  private readonly evicts: boolean
  private readonly reserveSegments: number
  /** Optional words that every record has: with -M a touch must not need room that is not there. */
  private readonly layoutMin: number

  constructor(parts: StoreParts, item: HeldItem, cas: CasSource, upkeep: Upkeep) {
    this.item = item
    this.cas = cas
    this.upkeep = upkeep
    this.view = parts.view
    this.pool = parts.pool
    this.index = parts.index
    this.log = parts.log
    this.groups = parts.groups
    this.fates = parts.fates
    this.reclaimer = parts.reclaimer
    this.counters = parts.counters
    this.evicts = parts.geometry.evicts
    this.reserveSegments = parts.geometry.reserveSegments
    this.layoutMin = parts.geometry.evicts ? 0 : LAYOUT_EXPIRY
  }

  /** The optional words that a record needs, for a CAS whose upper word is `casHigh` or the next one. */
  layoutFor(expiry: number, flags: number, valueLength: number, casHigh: number): number {
    return this.layoutMin | layoutFor(expiry, flags, valueLength, this.cas.isWide(casHigh))
  }

  /** The group of a new value: of the main queue if its key came back, or it is too large for the small one. */
  groupFor(isRecalled: boolean, recordBytes: number, expiry: number): number {
    return isRecalled || recordBytes > this.upkeep.smallRecordBytesMax
      ? this.groups.main(recordBytes, 1, expiry, this.item.nowSeconds)
      : this.groups.small(recordBytes, expiry, this.item.nowSeconds)
  }

  /** Reserves room for a record, evicting if need be. */
  reserve(recordBytes: number, group: number): boolean {
    if (recordBytes > this.upkeep.recordBytesMax) return false
    const { log, item } = this
    const keep = this.reserveSegments
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (log.reserve(recordBytes, HEADER_BYTES_MAX + item.keyLength, keep, group)) return true
      const endBytes = recordBytes <= this.view.segmentBytes ? recordBytes : 0
      if (!this.reclaimer.makeFree(log.segmentsMissing + keep, item.nowSeconds, endBytes)) {
        return !this.evicts && log.reserveAnywhere(recordBytes, GROUPS_MAX)
      }
    }
    return false
  }

  /** Writes header and key of the reserved record. The CAS comes when it is linked. */
  fill(layout: number, valueLength: number, flags: number, expiry: number, state: number): void {
    const { view, log, item } = this
    const { keyLength } = item
    const words = view.segmentArena(log.segment)
    const base = view.locationBase(log.location)
    const bits = log.reservedSpans ? state | STATE_SPANS : state
    const now = item.nowSeconds
    fillHeader(words, base, layout, keyLength, valueLength, bits, flags, expiry, now)
    const keyWords = item.hash.words
    const keyBase = base + headerWordsOf(words[base + TRAITS_WORD]!)
    const keyWordCount = (keyLength + 3) >> 2
    for (let word = 0; word < keyWordCount; word++) words[keyBase + word] = keyWords[word]!
  }

  /** Copies a value into the reserved record, whose header is filled. */
  fillValue(source: ByteBlock, valueOffset: number, valueLength: number): void {
    this.view.copyIn(this.log.segment, this.valuePosition(), source, valueOffset, valueLength)
  }

  /** Where the value of the reserved record begins, counted from the start of its segment. */
  valuePosition(): number {
    const { view, log } = this
    const traits = view.segmentArena(log.segment)[view.locationBase(log.location) + TRAITS_WORD]!
    return log.offset + headerBytesOf(traits) + keyLengthOf(traits)
  }

  /**
   * Gives the reserved record its CAS (that given, or for 0 and 0 the next one) and points the index at
   * it, in place of the item in hand if it was `found`, or as a new one. False if the index has no
   * room. The stripe is locked.
   */
  link(found: boolean, recordBytes: number, givenCasHigh: number, givenCasLow: number): boolean {
    const { log, item, cas, counters } = this
    if (!found && !this.insert()) return false
    cas.take(givenCasHigh, givenCasLow)
    const words = this.view.segmentArena(log.segment)
    const base = this.view.locationBase(log.location)
    setCasAt(words, base, cas.high, cas.low)
    let gained = recordBytes
    if (found) {
      // The slot keeps its frequency: a key that is read a lot is so with its new value, too.
      item.slotWords[item.slot] = log.location
      gained -= retire(this.view, this.pool, item.location)
    } else {
      counters[ITEMS] = counters[ITEMS]! + 1
      this.upkeep.countNew()
    }
    counters[BYTES] = counters[BYTES]! + gained
    counters[TOTAL_ITEMS] = counters[TOTAL_ITEMS]! + 1
    return true
  }

  /** Adds a slot for the reserved record; where the chain is full, the item in it that was read least goes. */
  private insert(): boolean {
    const { index, item } = this
    const { keyLow, keyTag } = item
    const location = this.log.location
    if (index.insert(keyLow, keyTag, location)) return true
    if (!index.isChainFull || !this.evicts) return false
    const slot = index.leastRead(keyLow)
    this.fates.evict(keyLow, index.slotWords, slot, item.nowSeconds)
    return index.insert(keyLow, keyTag, location)
  }

  /** Says that the reserved record is linked, and does the share of the work of a write. */
  commit(recordBytes: number, expiry: number): void {
    const { sealedEver } = this.pool
    this.log.commit(expiry)
    this.upkeep.leave(recordBytes, this.item.nowSeconds, sealedEver)
  }

  /** Whether link() may succeed now that it has failed. */
  makeRoomInIndex(): boolean {
    const { index } = this
    if (index.isChainFull) return false
    if (index.addOverflowPage()) return true
    const isFree = this.reclaimer.makeFree(1 + this.reserveSegments, this.item.nowSeconds)
    return isFree && index.addOverflowPage()
  }

  /** Counts a write that there is no room for. */
  refuse(): number {
    this.counters[NO_MEMORY_WRITES] = this.counters[NO_MEMORY_WRITES]! + 1
    return NO_MEMORY
  }
}
