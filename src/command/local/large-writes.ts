/**
 * Hot path. Values that go into the store in pieces: those that are filled as they arrive, and the
 * results of appending and prepending to large ones. Also the hold on an item from which a large value
 * is copied out.
 *
 * Invariant: what was received or extended belongs to one request: it is given to the store for that
 * request and taken back behind it.
 */

import { COUNTER } from '../../observe/counters.ts'
import { FLAG_C, FLAG_N, FLAG_T, MODE_APPEND, MODE_PREPEND } from '../../protocol/meta/decode.ts'
import {
  OUTCOME_CHANGED,
  OUTCOME_NO_MEMORY,
  OUTCOME_OK,
  type Request,
} from '../../protocol/request.ts'
import { keyBytesOf, keyOffsetOf } from '../../protocol/request-key.ts'
import {
  VERB_ADD,
  VERB_APPEND,
  VERB_CAS,
  VERB_META_SET,
  VERB_REPLACE,
  VERB_SET,
} from '../../protocol/verbs.ts'
import { mayBegin } from '../../storage/arriving-value.ts'
import { CHANGED, HIT, STORED } from '../../storage/result.ts'
import type { Store } from '../../storage/store.ts'
import { WRITE_APPEND, WRITE_PREPEND, WriteOrder } from '../../storage/write-order.ts'
import type { LargeExtension, LargeStore, ReceivedValue } from '../commands.ts'
import type { ItemAccess } from './item-access.ts'

export class LargeWrites implements LargeStore {
  private readonly items: ItemAccess
  private readonly store: Store
  private readonly lane: Float64Array
  private readonly order: WriteOrder = new WriteOrder()
  private isHolding = false

  constructor(items: ItemAccess) {
    this.items = items
    this.store = items.store
    this.lane = items.lane
  }

  begin(request: Request, bytes: Uint8Array, arrivedBytes: number): ReceivedValue | undefined {
    const { store, order } = this
    const { keyLength, valueLength } = request
    const isLarge = valueLength >= store.largeBytesMin
    if ((!isLarge && !mayBegin(valueLength, arrivedBytes)) || !isStoring(request)) return undefined
    if (isLarge) return store.beginLarge(keyLength, valueLength)
    order.setKey(keyBytesOf(request, bytes), keyOffsetOf(request), keyLength)
    order.valueLength = valueLength
    const hasExpiry = request.verb !== VERB_META_SET || (request.upperFlags & FLAG_T) !== 0
    order.expiry = hasExpiry ? this.items.expiryOf(request.expiry) : 0
    order.nowSeconds = this.items.nowSeconds
    return store.beginArriving(order)
  }

  append(
    large: ReceivedValue,
    bytes: Uint8Array | undefined,
    offset: number,
    length: number,
  ): boolean {
    return this.store.appendLarge(large, bytes, offset, length, this.items.nowSeconds)
  }

  useValue(large: ReceivedValue | undefined): void {
    this.items.received = large
  }

  refuse(request: Request, bytes: Uint8Array): number {
    if (request.verb === VERB_SET || request.verb === VERB_META_SET) {
      this.items.discard(keyBytesOf(request, bytes), keyOffsetOf(request), request.keyLength)
    }
    return this.items.refuseMemory()
  }

  get extendedBytesMin(): number {
    return this.store.extendedBytesMin
  }

  beginExtension(request: Request, bytes: Uint8Array): LargeExtension | undefined {
    const isMeta = request.verb === VERB_META_SET
    const usesCas = !isMeta || (request.upperFlags & FLAG_C) !== 0
    const { order } = this
    const isAfter = isMeta ? request.mode === MODE_APPEND : request.verb === VERB_APPEND
    order.mode = isAfter ? WRITE_APPEND : WRITE_PREPEND
    order.setKey(keyBytesOf(request, bytes), keyOffsetOf(request), request.keyLength)
    order.valueLength = request.valueLength
    order.casHigh = usesCas ? request.casHigh : 0
    order.casLow = usesCas ? request.casLow : 0
    order.nowSeconds = this.items.nowSeconds
    return this.store.beginExtension(order, isMeta && (request.upperFlags & FLAG_N) !== 0)
  }

  proceedExtension(
    extension: LargeExtension,
    request: Request,
    bytes: Uint8Array,
    lengthMax: number,
  ): number {
    const { order } = this
    order.setKey(keyBytesOf(request, bytes), keyOffsetOf(request), request.keyLength)
    order.setValue(bytes, request.valueOffset, request.valueLength)
    order.nowSeconds = this.items.nowSeconds
    const proceeded = this.store.proceedExtension(extension, order, lengthMax)
    if (proceeded === STORED) return OUTCOME_OK
    return proceeded === CHANGED ? OUTCOME_CHANGED : OUTCOME_NO_MEMORY
  }

  useExtension(extension: LargeExtension | undefined): void {
    this.items.extension = extension
    this.items.received = extension?.value
  }

  refuseExtension(outcome: number): number {
    this.lane[COUNTER.cmd_set]!++
    return outcome === OUTCOME_NO_MEMORY ? this.items.refuseMemory() : outcome
  }

  hold(key: Uint8Array, keyOffset: number, keyLength: number): boolean {
    this.isHolding = this.store.lookup(key, keyOffset, keyLength, this.items.nowSeconds) === HIT
    return this.isHolding
  }

  letGo(): void {
    if (this.isHolding) this.store.release()
    this.isHolding = false
  }

  get heldBytes(): number {
    return this.store.valueBytes
  }

  get heldLocation(): number {
    return this.store.heldLocation
  }

  get heldSequence(): number {
    return this.store.heldSequence
  }

  copyHeldRange(from: number, length: number, target: Uint8Array, targetOffset: number): void {
    this.store.copyValueRange(from, length, target, targetOffset)
  }
}

/** Whether it brings a whole value. */
function isStoring({ verb, mode }: Request): boolean {
  if (verb === VERB_META_SET) return mode !== MODE_APPEND && mode !== MODE_PREPEND
  return verb === VERB_SET || verb === VERB_ADD || verb === VERB_REPLACE || verb === VERB_CAS
}
