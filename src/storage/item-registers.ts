/**
 * Hot path. What an operation of a store leaves behind beside its one number: public fields that stay as they are until
 * the next operation. They are properties of the item that was found or shown, or the CAS of the item that was written.
 */
import type { CasSource } from './cas-source.ts'
import type { HeldItem } from './held-item.ts'
import {
  casHighAt,
  clientFlagsAt,
  expiryAt,
  ITEM_CAS_LOW_WORD,
  lastAccessAt,
  recordBytesAt,
  stateOf,
  TRAITS_WORD,
  valueLengthAt,
} from './item.ts'
import { MISS_NONE } from './result.ts'

export class ItemRegisters {
  valueBytes = 0
  flags = 0
  casHigh = 0
  casLow = 0
  /** Unix seconds; 0: never. */
  expiry = 0
  lastAccess = 0
  /** Bits of STATE_MASK. */
  state = 0
  /** Bytes of the item's record, header and padding included. */
  itemBytes = 0
  /** The new number after arithmetic. */
  numberHigh = 0
  numberLow = 0
  /** Why the last MISS was one: a MISS_ number. */
  missReason: number = MISS_NONE
  /** Of a scan: how long the key of the item is that is shown. */
  keyBytes = 0

  private readonly unitShift: number

  constructor(unitShift: number) {
    this.unitShift = unitShift
  }

  protected loadItem(item: HeldItem): void {
    const { words, base } = item
    this.valueBytes = valueLengthAt(words, base)
    this.casLow = words[base + ITEM_CAS_LOW_WORD]! >>> 0
    this.casHigh = casHighAt(words, base)
    this.state = stateOf(words[base + TRAITS_WORD]!)
    this.expiry = expiryAt(words, base)
    this.flags = clientFlagsAt(words, base)
    this.lastAccess = lastAccessAt(words, base, item.nowSeconds)
    this.itemBytes = recordBytesAt(words, base, this.unitShift)
  }

  protected loadCas(cas: CasSource): void {
    this.casHigh = cas.high
    this.casLow = cas.low
  }
}
