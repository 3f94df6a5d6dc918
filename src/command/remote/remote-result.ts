/** What the last outcome of a store elsewhere carries: registers, and the value that came. */
import type { CopyCount } from '../../storage/memory-view.ts'
import type { CommandResult } from '../commands.ts'

const NOTHING: Uint8Array = new Uint8Array(0)

export class RemoteResult implements CommandResult, CopyCount {
  copiedBytes = 0
  flags = 0
  casHigh = 0
  casLow = 0
  /** Of the value, or of what meta says about it where none was asked for. */
  valueBytes = 0
  numberHigh = 0
  numberLow = 0
  expiryBefore = 0
  expiryTouched = 0
  expiryVivified = 0
  expiry = 0
  lastAccess = 0
  wasFetched = false
  itemBytes = 0
  isCreated = false
  marks = 0
  private value: Uint8Array = NOTHING

  clearCas(): void {
    this.casHigh = 0
    this.casLow = 0
  }

  /** The value is `item[from, end)`. */
  hold(item: Uint8Array, from: number): void {
    this.value = item.subarray(from)
    this.valueBytes = this.value.length
  }

  copyValue(target: Uint8Array, targetOffset: number): void {
    target.set(this.value, targetOffset)
    this.copiedBytes += this.value.length
  }

  pinValue(): boolean {
    return false
  }

  release(): void {
    this.value = NOTHING
  }
}
