/**
 * Adds to and subtracts from decimal numbers. Hot path.
 *
 * Invariant: a number whose record keeps its size changes in place, under the lock. Only one that grows
 * needs room, and whether it does shows under the lock: then room is reserved without it, and the
 * number is looked at again.
 */
import { ByteBlock } from '../base/bytes.ts'
import { Decimal } from '../base/decimal.ts'
import type { CasSource } from './cas-source.ts'
import { TOTAL_ITEMS } from './counters.ts'
import type { HeldItem } from './held-item.ts'
import { recordBytesOf, setCasAt, setValueLengthAt, stateOf, TRAITS_WORD } from './item.ts'
import type { Log } from './log.ts'
import { ATTEMPTS_MAX, type NewRecord } from './new-record.ts'
import type { StoreParts } from './parts.ts'
import { EXISTS, NON_NUMERIC, NOT_FOUND, STORED } from './result.ts'

/**
 * The longest value that is read as a number, with the white space and zeros around it. Differs from
 * memcached: there it is any value that is not chunked.
 */
const NUMBER_BYTES_MAX = 2048

export class Numbers {
  /** The number that was read or made last. */
  readonly decimal: Decimal = new Decimal()
  private readonly digits: ByteBlock = new ByteBlock(new Uint8Array(NUMBER_BYTES_MAX))
  private readonly item: HeldItem
  private readonly record: NewRecord
  private readonly cas: CasSource
  private readonly log: Log
  private readonly counters: Float64Array
  private readonly unitShift: number

  constructor(parts: StoreParts, item: HeldItem, record: NewRecord, cas: CasSource) {
    this.item = item
    this.record = record
    this.cas = cas
    this.log = parts.log
    this.counters = parts.counters
    this.unitShift = parts.view.unitShift
  }

  /** See Store.arithmetic(); the key is in use. */
  add(
    increment: boolean,
    deltaHigh: number,
    deltaLow: number,
    casHigh: number,
    casLow: number,
  ): number {
    const { item, record, log, decimal } = this
    let reservedBytes = 0
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      item.lock()
      const refusal = item.seek() ? this.refusalOf(casHigh, casLow) : NOT_FOUND
      if (refusal !== 0) {
        item.unlock()
        if (reservedBytes !== 0) log.abandon()
        return refusal
      }
      if (increment) decimal.add(deltaHigh, deltaLow)
      else decimal.subtract(deltaHigh, deltaLow)
      const length = this.format()
      const layout = item.layout() | record.layoutFor(0, 0, length, 0)
      if (item.fits(layout, length)) {
        this.overwrite(length)
        item.unlock()
        if (reservedBytes !== 0) log.abandon()
        return STORED
      }
      const recordBytes = recordBytesOf(layout, item.keyLength, length, this.unitShift)
      if (this.isReserved(reservedBytes, recordBytes)) {
        if (recordBytes !== reservedBytes) log.shrink(recordBytes)
        this.store(layout, length, recordBytes)
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

  /** Why the item found is not counted with; 0 if it is, and `decimal` is its number. */
  private refusalOf(casHigh: number, casLow: number): number {
    const { item } = this
    // Before the CAS is looked at, as in memcached.
    if (item.valueLength() === 0) return NON_NUMERIC
    if ((casHigh | casLow) !== 0 && !item.hasCas(casHigh, casLow)) return EXISTS
    return this.parse() ? 0 : NON_NUMERIC
  }

  /** Reads the value of the item found as a number. */
  private parse(): boolean {
    const length = this.item.valueLength()
    if (length > NUMBER_BYTES_MAX) return false
    this.item.copyValue(0, length, this.digits, 0)
    return this.decimal.parseValue(this.digits.bytes, 0, length)
  }

  /** Writes the number, padded with spaces to the length of the value found; returns its length. */
  private format(): number {
    const digits = this.digits.bytes
    const digitCount = this.decimal.format(digits, 0)
    const oldLength = this.item.valueLength()
    if (digitCount < oldLength) digits.fill(0x20, digitCount, oldLength)
    return Math.max(digitCount, oldLength)
  }

  private overwrite(length: number): void {
    const { item, cas } = this
    const { words, base } = item
    // To memcached a longer number is a new item.
    if (length > item.valueLength()) this.counters[TOTAL_ITEMS] = this.counters[TOTAL_ITEMS]! + 1
    setValueLengthAt(words, base, length)
    item.overwriteValue(this.digits, 0, length)
    cas.takeNext()
    setCasAt(words, base, cas.high, cas.low)
  }

  /** Whether the room that is reserved will do for a record of that size. */
  private isReserved(reservedBytes: number, recordBytes: number): boolean {
    if (reservedBytes === 0) return false
    const { log } = this
    const fits = log.reservedSpans ? reservedBytes === recordBytes : reservedBytes >= recordBytes
    return fits && !log.isFlushed()
  }

  /** Links the number in the reserved room, and lets go of the item. */
  private store(layout: number, length: number, recordBytes: number): void {
    const { item, record } = this
    const expiry = item.expiry()
    const state = stateOf(item.words[item.base + TRAITS_WORD]!)
    record.fill(layout, length, item.clientFlags(), expiry, state)
    record.fillValue(this.digits, 0, length)
    record.link(true, recordBytes, 0, 0)
    item.unlock()
    record.commit(recordBytes, expiry)
  }
}
