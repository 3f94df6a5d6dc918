/**
 * Hot path. What a Store is to write: one reused record of each caller, so that a request allocates
 * nothing and nobody has to count positions in a list of numbers.
 *
 * Invariant: an order is good for one call. Every field has a default that asks for nothing; the
 * caller sets those that it needs, and the store clears the order before it answers, whatever the
 * answer is. So nothing of one write can come into the next, and an order that was not filled is
 * refused: its key is empty, which is asserted.
 */

import type { ReceivedValue } from './arriving-value.ts'
import type { LargeExtension } from './large-extension.ts'

/** Modes of write(). */
export const WRITE_SET = 1
export const WRITE_ADD = 2
export const WRITE_REPLACE = 3
export const WRITE_APPEND = 4
export const WRITE_PREPEND = 5

/** Also keeps an order from holding on to the memory of a request that is done. */
const NO_BYTES = new Uint8Array(0)

export class WriteOrder {
  mode: number = WRITE_SET
  key: Uint8Array = NO_BYTES
  keyOffset = 0
  keyLength = 0
  /** The value, or what is added to one. */
  value: Uint8Array = NO_BYTES
  valueOffset = 0
  valueLength = 0
  flags = 0
  /** Unix seconds, 0 for never. */
  expiry = 0
  nowSeconds = 0
  /** The CAS that the item must have, 0 and 0 for any. */
  casHigh = 0
  casLow = 0
  /** The CAS that the item gets, 0 and 0 for the next one. */
  givenCasHigh = 0
  givenCasLow = 0
  /**
   * A CAS older than the item's does not refuse the value but stores it as stale, with the expiry
   * and the token of the item it replaces.
   */
  mayGoStale = false
  /** The value, if it is in the store already: see Store.beginLarge() and beginArriving(). */
  received: ReceivedValue | undefined = undefined
  /** What made it, if this appends or prepends: see Store.beginExtension(). */
  extension: LargeExtension | undefined = undefined

  setKey(key: Uint8Array, keyOffset: number, keyLength: number): void {
    this.key = key
    this.keyOffset = keyOffset
    this.keyLength = keyLength
  }

  setValue(value: Uint8Array, valueOffset: number, valueLength: number): void {
    this.value = value
    this.valueOffset = valueOffset
    this.valueLength = valueLength
  }

  /** Gives every field its default. */
  clear(): void {
    this.mode = WRITE_SET
    this.setKey(NO_BYTES, 0, 0)
    this.setValue(NO_BYTES, 0, 0)
    this.flags = 0
    this.expiry = 0
    this.nowSeconds = 0
    this.casHigh = 0
    this.casLow = 0
    this.givenCasHigh = 0
    this.givenCasLow = 0
    this.mayGoStale = false
    this.received = undefined
    this.extension = undefined
  }
}
