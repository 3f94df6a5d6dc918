/** What the last outcome of a store elsewhere carries: registers, and the value that came. */
import type { CopyCount } from '../../storage/memory-view.ts'
import type { CommandResult } from '../commands.ts'

const NOTHING: Buffer = Buffer.alloc(0)

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
  private item: Buffer = NOTHING
  private valueOffset = 0

  clearCas(): void {
    this.casHigh = 0
    this.casLow = 0
  }

  /** The value is `item[from, end)`. */
  hold(item: Buffer, from: number): void {
    this.item = item
    this.valueOffset = from
    this.valueBytes = item.length - from
  }

  copyValue(target: Uint8Array, targetOffset: number): void {
    this.copiedBytes += this.item.copy(target, targetOffset, this.valueOffset)
  }

  pinValue(): boolean {
    return false
  }

  release(): void {
    this.item = NOTHING
    this.valueOffset = 0
  }
}
