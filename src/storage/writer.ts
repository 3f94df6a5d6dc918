/**
 * Carries out orders to write. Hot path: lock the stripe, decide, and overwrite the old record if it has
 * the same size, else fill and link a new one in this worker's open segment. Where that has no room, or
 * the value is not small, room is reserved first, which may evict, and then the same is done.
 *
 * Invariant: what an order asks of the item (that it is there, or is not, or has that CAS) is looked at
 * under the lock under which the value is linked. Records that are not small are filled before that
 * lock is taken, so nobody waits for a large copy.
 */
import { assert } from '../base/assert.ts'
import { ByteBlock } from '../base/bytes.ts'
import type { ReceivedValue } from './arriving-value.ts'
import { frequencyAt, raiseFrequencyAt } from './bucket.ts'
import type { CasSource } from './cas-source.ts'
import { EPOCH_WORD } from './control-block.ts'
import { GHOST_HITS, TOTAL_ITEMS } from './counters.ts'
import type { Extender } from './extender.ts'
import { ITEM_OVERHEAD_BYTES } from './geometry.ts'
import type { GhostTable } from './ghost.ts'
import type { HeldItem } from './held-item.ts'
import {
  COPIED_LOCKED_BYTES_MAX,
  expiryAt,
  HEADER_BYTES_MAX,
  LAYOUT_ALL,
  LAYOUT_EXPIRY,
  recordBytesOf,
  STATE_MASK,
  STATE_STALE,
  STATE_WIN_SENT,
  setCasAt,
  setClientFlagsAt,
  setExpiryAt,
  setLastAccessAt,
  setValueLengthAt,
  stateOf,
  TRAITS_WORD,
} from './item.ts'
import type { LargeExtension } from './large-extension.ts'
import type { LastBlock } from './last-block.ts'
import type { Log } from './log.ts'
import type { MemoryView } from './memory-view.ts'
import { ATTEMPTS_MAX, type NewRecord } from './new-record.ts'
import type { StoreParts } from './parts.ts'
import { EXISTS, NO_MEMORY, NOT_FOUND, STORED, TOO_LARGE } from './result.ts'
import type { Upkeep } from './upkeep.ts'
import {
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_PREPEND,
  WRITE_REPLACE,
  WRITE_SET,
  type WriteOrder,
} from './write-order.ts'

/** Beside the results of a write: it is stored, but as stale. */
const STORED_STALE = 11
/** There is no room yet: nothing was changed. */
const UNDECIDED = 12

/** How often a value that has its room is linked at most: again if the index had none, or after a flush. */
const LINK_ATTEMPTS_MAX = 16

export class Writer {
  private readonly item: HeldItem
  private readonly record: NewRecord
  private readonly extender: Extender
  private readonly cas: CasSource
  private readonly upkeep: Upkeep
  private readonly sources: LastBlock
  private readonly view: MemoryView
  private readonly control: Int32Array
  private readonly log: Log
  private readonly ghost: GhostTable
  private readonly counters: Float64Array
  private readonly itemBytesMax: number
  /** Bytes of a value that the key is written over. */
  private readonly kept: ByteBlock = new ByteBlock(new Uint8Array(4))

  constructor(
    parts: StoreParts,
    item: HeldItem,
    record: NewRecord,
    extender: Extender,
    cas: CasSource,
    upkeep: Upkeep,
    sources: LastBlock,
  ) {
    this.item = item
    this.record = record
    this.extender = extender
    this.cas = cas
    this.upkeep = upkeep
    this.sources = sources
    this.view = parts.view
    this.control = parts.control
    this.log = parts.log
    this.ghost = parts.ghost
    this.counters = parts.counters
    this.itemBytesMax = parts.geometry.itemBytesMax
  }

  /** See Store.write(). */
  write(order: WriteOrder): number {
    const { mode, keyLength, received } = order
    const item = this.item
    item.begin(order.nowSeconds)
    item.useKey(order.key, order.keyOffset, keyLength)
    item.noteChange()
    if (keyLength + order.valueLength + ITEM_OVERHEAD_BYTES > this.itemBytesMax) {
      return this.refuse(mode, TOO_LARGE)
    }
    if (received !== undefined) return this.storeReceived(order, received)
    if (mode === WRITE_APPEND || mode === WRITE_PREPEND) return this.extender.extend(order)
    return this.store(order)
  }

  private store(order: WriteOrder): number {
    const { item, record, log } = this
    const { valueLength, flags, expiry } = order
    const source = this.sources.of(order.value)
    // What takes over the expiry of a stale item needs the word for it.
    const layout =
      record.layoutFor(expiry, flags, valueLength, order.givenCasHigh) |
      (order.mayGoStale ? LAYOUT_EXPIRY : 0)
    const recordBytes = recordBytesOf(layout, item.keyLength, valueLength, this.view.unitShift)
    // A small value is copied under the lock, and if the old record has the same size, into it.
    const small = recordBytes <= COPIED_LOCKED_BYTES_MAX
    if (small) {
      const result = this.storeAtOnce(order, source, layout, recordBytes)
      if (result !== UNDECIDED) return result
    }
    const isRecalled = this.ghost.recall(item.keyLow, item.hash.more)
    const group = record.groupFor(isRecalled, recordBytes, expiry)
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (!record.reserve(recordBytes, group)) break
      if (!small) {
        record.fill(layout, valueLength, flags, expiry, 0)
        record.fillValue(source, order.valueOffset, valueLength)
      }
      item.lock()
      const found = item.seek()
      const verdict = this.judge(order, found)
      const stale = verdict === STORED_STALE
      if (verdict !== STORED && !stale) {
        item.unlock()
        log.abandon()
        return verdict
      }
      // After the item was looked at: what it is, is then still so.
      if (log.isFlushed()) {
        item.unlock()
        log.abandon()
        continue
      }
      if (small) {
        if (found && !stale && item.fits(layout, valueLength)) {
          this.overwrite(order, source)
          item.unlock()
          log.abandon()
          return STORED
        }
        record.fill(layout, valueLength, flags, expiry, 0)
        record.fillValue(source, order.valueOffset, valueLength)
      }
      const storedExpiry = stale ? this.inheritStale() : expiry
      const linked = record.link(found, recordBytes, order.givenCasHigh, order.givenCasLow)
      item.unlock()
      if (linked) {
        if (isRecalled && !found) this.counters[GHOST_HITS] = this.counters[GHOST_HITS]! + 1
        record.commit(recordBytes, storedExpiry)
        return STORED
      }
      log.abandon()
      if (!record.makeRoomInIndex()) break
    }
    return this.refuse(order.mode, NO_MEMORY)
  }

  /**
   * Most small values are written over the old one, or fit into the segment that is open: no room is made
   * for them ahead, and the lock is taken once. UNDECIDED: this one is another.
   */
  private storeAtOnce(
    order: WriteOrder,
    source: ByteBlock,
    layout: number,
    recordBytes: number,
  ): number {
    const { item, record, log } = this
    const { valueLength, flags, expiry } = order
    item.lock()
    const found = item.seek()
    const verdict = this.judge(order, found)
    if (verdict !== STORED) {
      item.unlock()
      return verdict === STORED_STALE ? UNDECIDED : verdict
    }
    if (found && item.fits(layout, valueLength)) {
      this.overwrite(order, source)
      item.unlock()
      return STORED
    }
    const isRecalled = this.ghost.recall(item.keyLow, item.hash.more)
    // Looks at the flushes after the item was looked at: what it is, is then still so.
    if (!log.reserveOpen(recordBytes, record.groupFor(isRecalled, recordBytes, expiry))) {
      item.unlock()
      return UNDECIDED
    }
    record.fill(layout, valueLength, flags, expiry, 0)
    record.fillValue(source, order.valueOffset, valueLength)
    const linked = record.link(found, recordBytes, order.givenCasHigh, order.givenCasLow)
    item.unlock()
    if (!linked) {
      log.abandon()
      return UNDECIDED
    }
    if (isRecalled && !found) this.counters[GHOST_HITS] = this.counters[GHOST_HITS]! + 1
    record.commit(recordBytes, expiry)
    return STORED
  }

  /** Stores a value that is in its segments already. */
  private storeReceived(order: WriteOrder, received: ReceivedValue): number {
    const { item, record } = this
    const { mode } = order
    const extendsItem = mode === WRITE_APPEND || mode === WRITE_PREPEND
    const extension = extendsItem ? order.extension : undefined
    const { keyLength, valueLength } = received
    assert(received.missingBytes === 0, 'a large value is stored before it has arrived')
    const recordBytes = recordBytesOf(LAYOUT_ALL, keyLength, valueLength, this.view.unitShift)
    const isRecalled = this.ghost.recall(item.keyLow, item.hash.more)
    for (let attempt = 0; attempt < LINK_ATTEMPTS_MAX; attempt++) {
      item.lock()
      // A flush that comes later than this makes the new value dead as it does the one it replaces.
      let epoch: number
      let found: boolean
      do {
        epoch = Atomics.load(this.control, EPOCH_WORD)
        found = item.seek()
      } while (epoch !== Atomics.load(this.control, EPOCH_WORD))
      const verdict =
        extension === undefined
          ? this.judge(order, found)
          : this.extender.judge(extension, order, found)
      const stale = verdict === STORED_STALE
      if (verdict !== STORED && !stale) {
        item.unlock()
        // What was to be appended to nothing may yet be added.
        if (extension === undefined) received.abandon()
        return verdict
      }
      if (!received.isOf(epoch)) {
        item.unlock()
        if (!received.moveOn()) break
        continue
      }
      if (extension !== undefined && found) this.extender.renew(extension)
      const storedExpiry = this.fillReceived(order, received, extension, stale)
      // With up to 512 MiB of memory such a value is always too large for the small queue. With more,
      // the smaller of them have to be read to come into the main queue, as any other item.
      const group =
        extension === undefined
          ? record.groupFor(isRecalled, recordBytes, storedExpiry)
          : item.group()
      received.beforeLink(recordBytes, group, epoch, storedExpiry)
      const linked = record.link(found, recordBytes, order.givenCasHigh, order.givenCasLow)
      item.unlock()
      if (linked) {
        if (isRecalled && !found) this.counters[GHOST_HITS] = this.counters[GHOST_HITS]! + 1
        received.commit(recordBytes, storedExpiry)
        // Its share of the work was done as it came; and what it lies in may be sealed, and the next to be emptied.
        this.upkeep.leaveWithoutWork()
        return STORED
      }
      if (!record.makeRoomInIndex()) break
    }
    received.abandon()
    return this.refuse(mode, NO_MEMORY)
  }

  /** Writes header and key before a value that is there already; returns the expiry of its item. */
  fillReceived(
    order: WriteOrder,
    received: ReceivedValue,
    extension: LargeExtension | undefined,
    stale: boolean,
  ): number {
    const { item, view, kept } = this
    const { keyLength, valueLength, segment, offset } = received
    const flags = extension === undefined ? order.flags : item.clientFlags()
    const expiry = extension === undefined ? order.expiry : item.expiry()
    const position = offset + HEADER_BYTES_MAX + keyLength
    this.log.show(segment, offset, position + valueLength > view.segmentBytes)
    // The key is written in whole words, over the first bytes of the value.
    view.copyOut(segment, position, kept, 0, 4)
    this.record.fill(LAYOUT_ALL, valueLength, flags, expiry, 0)
    view.copyIn(segment, position, kept, 0, 4)
    return stale ? this.inheritStale() : expiry
  }

  /** What an order is to do about the item found, or found missing. */
  private judge(order: WriteOrder, found: boolean): number {
    const { mode, casHigh, casLow } = order
    const item = this.item
    if ((casHigh | casLow) !== 0) {
      if (!found) return NOT_FOUND
      if (item.hasCas(casHigh, casLow)) return STORED
      return order.mayGoStale && item.isNewerThan(casHigh, casLow) ? STORED_STALE : EXISTS
    }
    if (mode === WRITE_ADD && found) return EXISTS
    if (mode === WRITE_REPLACE && !found) return NOT_FOUND
    return STORED
  }

  /** Puts a new value into the record that was found, which keeps its size. */
  private overwrite(order: WriteOrder, source: ByteBlock): void {
    const { item, cas } = this
    const { words, base } = item
    cas.take(order.givenCasHigh, order.givenCasLow)
    words[base + TRAITS_WORD] = words[base + TRAITS_WORD]! & ~(STATE_MASK << 24)
    setValueLengthAt(words, base, order.valueLength)
    setCasAt(words, base, cas.high, cas.low)
    setClientFlagsAt(words, base, order.flags)
    setLastAccessAt(words, base, order.nowSeconds)
    item.setExpiry(order.expiry)
    item.overwriteValue(source, order.valueOffset, order.valueLength)
    // The record is as old as it was, but the value is new: it shall not be the next to leave.
    if (frequencyAt(item.slotWords, item.slot) === 0) raiseFrequencyAt(item.slotWords, item.slot)
    this.counters[TOTAL_ITEMS] = this.counters[TOTAL_ITEMS]! + 1
  }

  /** The reserved record takes over what a stale value keeps of the item; returns its expiry. */
  private inheritStale(): number {
    const { log, item } = this
    const words = this.view.segmentArena(log.segment)
    const base = this.view.locationBase(log.location)
    const state = stateOf(item.words[item.base + TRAITS_WORD]!) & STATE_WIN_SENT
    words[base + TRAITS_WORD] = words[base + TRAITS_WORD]! | ((state | STATE_STALE) << 24)
    const expiry = expiryAt(item.words, item.base)
    setExpiryAt(words, base, expiry)
    return expiry
  }

  /** Ends a write that cannot be done; a SET deletes what it was to replace. */
  private refuse(mode: number, result: number): number {
    const item = this.item
    if (mode === WRITE_SET) {
      item.lock()
      if (item.seek()) item.unlink()
      item.unlock()
    }
    return result === NO_MEMORY ? this.record.refuse() : result
  }
}
