/** What the last outcome of a store elsewhere carries: registers, and the value that came. */
import { copyPart } from '../../base/bytes.ts'
import type { CopyCount } from '../../storage/memory-view.ts'
import type { CommandResult } from '../commands.ts'
import { ResultRegisters } from '../result-registers.ts'

const NOTHING: Buffer = Buffer.alloc(0)

export class RemoteResult extends ResultRegisters implements CommandResult, CopyCount {
  copiedBytes = 0
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
    const { item, valueOffset, valueBytes } = this
    copyPart(item, valueOffset, target, targetOffset, valueBytes)
    this.copiedBytes += valueBytes
  }

  pinValue(): boolean {
    return false
  }

  release(): void {
    this.item = NOTHING
    this.valueOffset = 0
  }
}
