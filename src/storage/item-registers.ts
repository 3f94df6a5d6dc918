/**
 * Hot path. What an operation of a store leaves behind beside its one number: public fields that stay as they are until
 * the next operation. They are properties of the item that was found or shown, or the CAS of the item that was written.
 */
import type { CasSource } from './cas-source.ts'
import type { HeldItem } from './held-item.ts'
import { casHighAt, clientFlagsAt, ITEM_CAS_LOW_WORD, valueLengthAt } from './item.ts'
import { MISS_NONE } from './result.ts'

export class ItemRegisters {
  valueBytes = 0
  flags = 0
  casHigh = 0
  casLow = 0
  /** The new number after arithmetic. */
  numberHigh = 0
  numberLow = 0
  /** Why the last MISS was one: a MISS_ number. */
  missReason: number = MISS_NONE
  /** Of a scan: how long the key of the item is that is shown. */
  keyBytes = 0

  protected loadItem(item: HeldItem): void {
    const { words, base } = item
    this.valueBytes = valueLengthAt(words, base)
    this.casLow = words[base + ITEM_CAS_LOW_WORD]! >>> 0
    this.casHigh = casHighAt(words, base)
    this.flags = clientFlagsAt(words, base)
  }

  protected loadCas(cas: CasSource): void {
    this.casHigh = cas.high
    this.casLow = cas.low
  }
}
