/**
 * Hot path. What the classic and the meta commands do alike to an item: look it up, write it, count
 * with it, compare its CAS; and the registers in which both leave what an outcome carries.
 *
 * Keys go as `(key, keyOffset, keyLength)`. Answers are OUTCOME_ numbers, except where the name says
 * that it is the store's own. After OUTCOME_HIT the item is held until `release`.
 *
 * Invariant: each outcome for want of memory is counted once, through `refuseMemory`.
 */

import { DECIMAL_DIGITS_MAX, Decimal } from '../../base/decimal.ts'
import { COUNTER } from '../../observe/counters.ts'
import {
  OUTCOME_EXISTS,
  OUTCOME_HIT,
  OUTCOME_NO_MEMORY,
  OUTCOME_NON_NUMERIC,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_NUMBER,
  type Request,
} from '../../protocol/request.ts'
import { EXISTS, HIT, NO_MEMORY, NON_NUMERIC, NOT_FOUND, STORED } from '../../storage/result.ts'
import type { Store } from '../../storage/store.ts'
import { WRITE_ADD, WriteOrder } from '../../storage/write-order.ts'
import type { CommandResult, LargeExtension, PinnedParts, ReceivedValue } from '../commands.ts'
import { ResultRegisters } from '../result-registers.ts'
import { absoluteExpiry } from './absolute-expiry.ts'
import { countSwap } from './access-counts.ts'

/** Times that a command starts over because others changed the item; more is not contention. */
export const COMMAND_ATTEMPTS_MAX = 100

export class ItemAccess extends ResultRegisters implements CommandResult {
  /** Unix seconds; the worker sets it ten times a second. */
  nowSeconds = 0

  /** The value of the request under way, if it is in the store already, and what made it: see LargeWrites. */
  received: ReceivedValue | undefined = undefined
  extension: LargeExtension | undefined = undefined

  readonly store: Store
  readonly lane: Float64Array
  private readonly order: WriteOrder = new WriteOrder()
  private readonly casEnabled: boolean
  private readonly initial: Decimal = new Decimal()
  private readonly digits: Uint8Array = new Uint8Array(DECIMAL_DIGITS_MAX)

  constructor(store: Store, lane: Float64Array, casEnabled: boolean) {
    super()
    this.store = store
    this.lane = lane
    this.casEnabled = casEnabled
  }

  /** A wire expiry as an absolute one. */
  expiryOf(wireExpiry: number): number {
    return absoluteExpiry(wireExpiry, this.nowSeconds)
  }

  /** OUTCOME_HIT, with flags, length and CAS in the registers, or OUTCOME_NOT_FOUND. */
  find(key: Uint8Array, keyOffset: number, keyLength: number): number {
    const { store } = this
    if (store.lookup(key, keyOffset, keyLength, this.nowSeconds) !== HIT) return OUTCOME_NOT_FOUND
    this.loadItem()
    return OUTCOME_HIT
  }

  /**
   * find() of an item that is to get `expiry`, or the CAS of which `givenCasHigh` is the upper half: 0
   * for neither. Also OUTCOME_NO_MEMORY: there is no room for it with that.
   */
  findToChange(
    key: Uint8Array,
    keyOffset: number,
    keyLength: number,
    expiry: number,
    givenCasHigh: number,
  ): number {
    const now = this.nowSeconds
    const found = this.store.lookupToChange(key, keyOffset, keyLength, expiry, givenCasHigh, now)
    if (found === HIT) {
      this.loadItem()
      return OUTCOME_HIT
    }
    return found === NO_MEMORY ? this.refuseMemory() : OUTCOME_NOT_FOUND
  }

  private loadItem(): void {
    const { store } = this
    this.flags = store.flags
    this.valueBytes = store.valueBytes
    this.loadCas()
  }

  loadCas(): void {
    this.casHigh = this.casEnabled ? this.store.casHigh : 0
    this.casLow = this.casEnabled ? this.store.casLow : 0
  }

  clearCas(): void {
    this.casHigh = 0
    this.casLow = 0
  }

  /** An order to write that key now, with the (absolute) expiry; all else of it is at its default. */
  beginOrder(
    mode: number,
    key: Uint8Array,
    keyOffset: number,
    keyLength: number,
    expiry: number,
  ): WriteOrder {
    const { order } = this
    order.mode = mode
    order.setKey(key, keyOffset, keyLength)
    order.expiry = expiry
    order.nowSeconds = this.nowSeconds
    return order
  }

  /** The same for what a request brings, value and flags, wherever its value is. */
  beginOrderOf(
    mode: number,
    request: Request,
    bytes: Uint8Array,
    key: Uint8Array,
    keyOffset: number,
    expiry: number,
  ): WriteOrder {
    const order = this.beginOrder(mode, key, keyOffset, request.keyLength, expiry)
    order.setValue(bytes, request.valueOffset, request.valueLength)
    order.flags = request.flags
    order.received = this.received
    order.extension = this.extension
    return order
  }

  /**
   * A swap with the unique 0, which no item has: it fails, while the store would take it for none.
   * OUTCOME_EXISTS or OUTCOME_NOT_FOUND.
   */
  refuseSwap(key: Uint8Array, keyOffset: number, keyLength: number): number {
    const { store } = this
    const isFound = store.lookup(key, keyOffset, keyLength, this.nowSeconds) === HIT
    if (isFound) store.release()
    countSwap(this.lane, isFound ? EXISTS : NOT_FOUND)
    return isFound ? OUTCOME_EXISTS : OUTCOME_NOT_FOUND
  }

  /** Deletes the item, if there is one, whatever its CAS. */
  discard(key: Uint8Array, keyOffset: number, keyLength: number): void {
    this.store.remove(key, keyOffset, keyLength, 0, 0, this.nowSeconds)
  }

  /**
   * Counts up or down. OUTCOME_NUMBER, with number and CAS in the registers; `isCreated` if there was
   * none and `createsMissing` had it made, to expire at `newExpiry`.
   */
  count(
    request: Request,
    key: Uint8Array,
    keyOffset: number,
    isIncrement: boolean,
    createsMissing: boolean,
    newExpiry: number,
  ): number {
    const { store, lane } = this
    this.isCreated = false
    for (let attempt = 0; attempt < COMMAND_ATTEMPTS_MAX; attempt++) {
      const counted = store.arithmetic(
        isIncrement,
        key,
        keyOffset,
        request.keyLength,
        request.deltaHigh,
        request.deltaLow,
        request.casHigh,
        request.casLow,
        this.nowSeconds,
      )
      switch (counted) {
        case STORED:
          lane[isIncrement ? COUNTER.incr_hits : COUNTER.decr_hits]!++
          this.numberHigh = store.numberHigh
          this.numberLow = store.numberLow
          this.loadCas()
          return OUTCOME_NUMBER
        case EXISTS:
          return OUTCOME_EXISTS
        case NON_NUMERIC:
          return OUTCOME_NON_NUMERIC
        case NO_MEMORY:
          return this.refuseMemory()
      }
      if (!createsMissing) {
        lane[isIncrement ? COUNTER.incr_misses : COUNTER.decr_misses]!++
        return OUTCOME_NOT_FOUND
      }
      const created = this.createNumber(request, key, keyOffset, newExpiry)
      // Somebody else made the item in between: count on top of theirs.
      if (created !== OUTCOME_EXISTS) return created
    }
    return OUTCOME_NOT_STORED
  }

  private createNumber(
    request: Request,
    key: Uint8Array,
    keyOffset: number,
    expiry: number,
  ): number {
    const { initial, digits } = this
    initial.high = request.initialHigh
    initial.low = request.initialLow
    const digitCount = initial.format(digits, 0)
    const order = this.beginOrder(WRITE_ADD, key, keyOffset, request.keyLength, expiry)
    order.setValue(digits, 0, digitCount)
    const written = this.store.write(order)
    if (written === EXISTS) return OUTCOME_EXISTS
    if (written !== STORED) return this.refuseMemory()
    this.isCreated = true
    this.numberHigh = request.initialHigh
    this.numberLow = request.initialLow
    this.loadCas()
    return OUTCOME_NUMBER
  }

  refuseMemory(): number {
    this.lane[COUNTER.store_no_memory]!++
    return OUTCOME_NO_MEMORY
  }

  /** After OUTCOME_HIT: copies the value, `valueBytes` long, into `target`. */
  copyValue(target: Uint8Array, targetOffset: number): void {
    this.store.copyValue(target, targetOffset)
  }

  /** After OUTCOME_HIT: has the value stay where it is until `parts` have released it. */
  pinValue(parts: PinnedParts): boolean {
    return this.store.pinValue(parts)
  }

  /** After OUTCOME_HIT: ends the hold on the item. */
  release(): void {
    this.store.release()
  }
}
