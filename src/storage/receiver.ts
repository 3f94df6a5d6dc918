/**
 * Takes large values as they arrive: begins them, and appends to them. When they are complete they
 * are stored by the writer.
 */
import type { HeldItem } from './held-item.ts'
import { LAYOUT_ALL, recordBytesOf } from './item.ts'
import { LargeValue } from './large-value.ts'
import type { LastBlock } from './last-block.ts'
import type { StoreParts } from './parts.ts'
import type { Upkeep } from './upkeep.ts'

export class Receiver {
  private readonly parts: StoreParts
  private readonly item: HeldItem
  private readonly upkeep: Upkeep
  private readonly sources: LastBlock

  constructor(parts: StoreParts, item: HeldItem, upkeep: Upkeep, sources: LastBlock) {
    this.parts = parts
    this.item = item
    this.upkeep = upkeep
    this.sources = sources
  }

  begin(keyLength: number, valueLength: number): LargeValue {
    const { view, pool, log, reclaimer } = this.parts
    const recordBytes = recordBytesOf(LAYOUT_ALL, keyLength, valueLength, view.unitShift)
    const fits = recordBytes <= this.upkeep.recordBytesMax
    return new LargeValue(view, pool, log, reclaimer, keyLength, valueLength, fits)
  }

  /** Takes the next bytes, and does the share of the work that a write does; false if there is no room. */
  append(
    large: LargeValue,
    source: Uint8Array,
    offset: number,
    length: number,
    nowSeconds: number,
  ): boolean {
    this.item.begin(nowSeconds)
    if (!large.append(this.sources.of(source), offset, length, nowSeconds)) return false
    this.upkeep.leave(length, nowSeconds)
    return true
  }
}
