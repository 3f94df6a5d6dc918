/**
 * Appends and prepends: of what stays short in one go, as any write; of what becomes long in pieces,
 * as a value under way of its own (`large-extension.ts`). Hot path.
 *
 * Invariant: how long the result will be shows only under the lock, so room is reserved for what was
 * seen, and the item is looked at again before it is used.
 */
import { ITEM_OVERHEAD_BYTES } from './geometry.ts'
import type { HeldItem } from './held-item.ts'
import { COPIED_LOCKED_BYTES_MAX, HEADER_BYTES_MAX, recordBytesOf } from './item.ts'
import { LargeExtension } from './large-extension.ts'
import type { LastBlock } from './last-block.ts'
import type { Log } from './log.ts'
import type { MemoryView } from './memory-view.ts'
import { ATTEMPTS_MAX, type NewRecord } from './new-record.ts'
import type { StoreParts } from './parts.ts'
import { CHANGED, EXISTS, NOT_STORED, STORED, TOO_LARGE } from './result.ts'
import type { Upkeep } from './upkeep.ts'
import type { ValueReceiver } from './value-receiver.ts'
import { WRITE_APPEND, type WriteOrder } from './write-order.ts'

export class Extender {
  private readonly item: HeldItem
  private readonly record: NewRecord
  private readonly receiver: ValueReceiver
  private readonly upkeep: Upkeep
  private readonly sources: LastBlock
  private readonly view: MemoryView
  private readonly log: Log
  private readonly itemBytesMax: number
  private readonly extendedBytesMin: number

  constructor(
    parts: StoreParts,
    item: HeldItem,
    record: NewRecord,
    receiver: ValueReceiver,
    upkeep: Upkeep,
    sources: LastBlock,
    extendedBytesMin: number,
  ) {
    this.item = item
    this.record = record
    this.receiver = receiver
    this.upkeep = upkeep
    this.sources = sources
    this.view = parts.view
    this.log = parts.log
    this.itemBytesMax = parts.geometry.itemBytesMax
    this.extendedBytesMin = extendedBytesMin
  }

  /** An append or prepend in one go; the key of the order is in use. */
  extend(order: WriteOrder): number {
    const { item, record, log } = this
    const { keyLength, valueLength: addedBytes } = order
    let reservedBytes = 0
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      item.lock()
      const refusal = item.seek() ? this.refusalOf(order) : NOT_STORED
      const oldBytes = refusal === 0 ? item.valueLength() : 0
      if (refusal !== 0 || oldBytes + addedBytes >= this.extendedBytesMin) {
        item.unlock()
        if (reservedBytes !== 0) log.abandon()
        // Longer than when it was looked at to begin an extension.
        return refusal === 0 ? CHANGED : refusal
      }
      const valueLength = oldBytes + addedBytes
      const layout = item.layout() | record.layoutFor(0, 0, valueLength, order.givenCasHigh)
      const recordBytes = recordBytesOf(layout, keyLength, valueLength, this.view.unitShift)
      if (reservedBytes === recordBytes && !log.isFlushed()) {
        const expiry = item.expiry()
        record.fill(layout, valueLength, item.clientFlags(), expiry, 0)
        this.fillExtended(order, oldBytes)
        record.link(true, recordBytes, order.givenCasHigh, order.givenCasLow)
        item.unlock()
        record.commit(recordBytes, expiry)
        return STORED
      }
      const group = item.group()
      item.unlock()
      if (reservedBytes !== 0) log.abandon()
      reservedBytes = 0
      if (!record.reserve(recordBytes, group)) break
      reservedBytes = recordBytes
    }
    if (reservedBytes !== 0) log.abandon()
    return record.refuse()
  }

  /** Copies the old value and what is added to it into the reserved record. */
  private fillExtended(order: WriteOrder, oldBytes: number): void {
    const { item, view, log } = this
    const addedBytes = order.valueLength
    const isAfter = order.mode === WRITE_APPEND
    const position = this.record.valuePosition()
    const oldPosition = isAfter ? position : position + addedBytes
    const addedPosition = isAfter ? position + oldBytes : position
    const source = this.sources.of(order.value)
    view.copyAcross(item.segment(), item.valuePosition(), log.segment, oldPosition, oldBytes)
    view.copyIn(log.segment, addedPosition, source, order.valueOffset, addedBytes)
  }

  /** Why nothing can be appended to the item found; 0 if it can. */
  private refusalOf(order: WriteOrder): number {
    const { keyLength, valueLength: addedBytes, casHigh, casLow } = order
    if ((casHigh | casLow) !== 0 && !this.item.hasCas(casHigh, casLow)) return EXISTS
    const valueBytes = this.item.valueLength() + addedBytes
    return keyLength + valueBytes + ITEM_OVERHEAD_BYTES > this.itemBytesMax ? TOO_LARGE : 0
  }

  /** See Store.beginExtension(). */
  begin(order: WriteOrder, createsMissing: boolean): LargeExtension | undefined {
    const { item } = this
    const { keyLength, valueLength: addedBytes } = order
    const isAfter = order.mode === WRITE_APPEND
    if (!this.find(order)) {
      if (!createsMissing || addedBytes < this.extendedBytesMin) return undefined
      return new LargeExtension(this.receiver.begin(keyLength, addedBytes), isAfter, 0, 0, 0)
    }
    const oldBytes = item.valueLength()
    const isRefused = this.refusalOf(order) !== 0
    const { location } = item
    const sequence = item.sequence()
    item.unlock()
    if (isRefused || oldBytes + addedBytes < this.extendedBytesMin) return undefined
    const value = this.receiver.begin(keyLength, oldBytes + addedBytes)
    return new LargeExtension(value, isAfter, oldBytes, location, sequence)
  }

  /** See Store.proceedExtension(). */
  proceed(extension: LargeExtension, order: WriteOrder, lengthMax: number): number {
    const { value } = extension
    let left = Math.min(lengthMax, value.missingBytes)
    while (left > 0) {
      const before = value.missingBytes
      const proceeded = this.proceedOnce(extension, order, left)
      if (proceeded !== STORED) return proceeded
      left -= before - value.missingBytes
    }
    return STORED
  }

  /** Fills some of the next `lengthMax` bytes: of the old value, or of what is added. */
  private proceedOnce(extension: LargeExtension, order: WriteOrder, lengthMax: number): number {
    const { item } = this
    const { nowSeconds } = order
    const { value, oldBytes, addedBytes } = extension
    const fromOld = value.arrivedBytes - extension.oldOffset
    if (fromOld < 0 || fromOld >= oldBytes) {
      const from = value.arrivedBytes - extension.addedOffset
      const length = Math.min(lengthMax, addedBytes - from)
      const offset = order.valueOffset + from
      const isTaken = this.receiver.append(value, order.value, offset, length, nowSeconds)
      return isTaken ? STORED : this.record.refuse()
    }
    item.begin(nowSeconds)
    const room = value.makeRoom(nowSeconds)
    if (room === 0) return this.record.refuse()
    if (!this.find(order)) return CHANGED
    const isSame = this.isOfHeld(extension)
    const length = Math.min(lengthMax, room, oldBytes - fromOld)
    if (isSame) value.appendFrom(item.segment(), item.valuePosition() + fromOld, length)
    item.unlock()
    if (!isSame) return CHANGED
    this.upkeep.leave(length, nowSeconds)
    return STORED
  }

  /** What an extension of the item, found or found missing, comes to; its stripe is held. */
  judge(extension: LargeExtension, order: WriteOrder, found: boolean): number {
    const { casHigh, casLow } = order
    if (!found) return extension.location === 0 ? NOT_STORED : CHANGED
    if (!this.isOfHeld(extension)) return CHANGED
    return (casHigh | casLow) === 0 || this.item.hasCas(casHigh, casLow) ? STORED : EXISTS
  }

  /**
   * What a short value is now, in the place of what it was when it was copied: unlike a long one it is written over where it
   * lies. With the stripe held in which the result is linked.
   */
  renew({ value, oldBytes, oldOffset }: LargeExtension): void {
    if (oldBytes >= COPIED_LOCKED_BYTES_MAX) return
    const { item, view } = this
    const position = value.offset + HEADER_BYTES_MAX + value.keyLength + oldOffset
    view.copyAcross(item.segment(), item.valuePosition(), value.segment, position, oldBytes)
  }

  /** Whether the item found is the one that an extension was begun for. */
  private isOfHeld(extension: LargeExtension): boolean {
    const { item } = this
    return (
      item.location === extension.location &&
      item.valueLength() === extension.oldBytes &&
      item.sequence() === extension.sequence
    )
  }

  /** True: the item of the order is held. */
  private find(order: WriteOrder): boolean {
    const { item } = this
    item.begin(order.nowSeconds)
    item.useKey(order.key, order.keyOffset, order.keyLength)
    item.lock()
    if (item.seek()) return true
    item.unlock()
    return false
  }
}
