/**
 * Takes values that arrive in pieces: begins them, and appends to them. When they are complete they
 * are stored by the writer.
 */
import { ArrivingValue, type ReceivedValue } from './arriving-value.ts'
import type { GhostTable } from './ghost.ts'
import type { HeldItem } from './held-item.ts'
import { LAYOUT_ALL, recordBytesOf } from './item.ts'
import { LargeValue } from './large-value.ts'
import type { LastBlock } from './last-block.ts'
import type { NewRecord } from './new-record.ts'
import type { StoreParts } from './parts.ts'
import type { Upkeep } from './upkeep.ts'
import type { WriteOrder } from './write-order.ts'

/** From this length on a value is worth segments of its own: on average half of the last one stays unused. */
const LARGE_SEGMENTS_MIN = 8
const LARGE_BYTES_MIN: number = 1024 * 1024
/** What appending makes longer than this is not copied while the stripe is held, but in pieces. */
const EXTENDED_SEGMENTS_MIN = 4

export function largeBytesMinOf(segmentBytes: number): number {
  return Math.max(LARGE_BYTES_MIN, LARGE_SEGMENTS_MIN * segmentBytes)
}

export function extendedBytesMinOf(segmentBytes: number): number {
  return Math.max(LARGE_BYTES_MIN, EXTENDED_SEGMENTS_MIN * segmentBytes)
}

export class ValueReceiver {
  private readonly parts: StoreParts
  private readonly item: HeldItem
  private readonly record: NewRecord
  private readonly upkeep: Upkeep
  private readonly sources: LastBlock
  private readonly ghost: GhostTable

  constructor(
    parts: StoreParts,
    item: HeldItem,
    record: NewRecord,
    upkeep: Upkeep,
    sources: LastBlock,
  ) {
    this.parts = parts
    this.item = item
    this.record = record
    this.upkeep = upkeep
    this.sources = sources
    this.ghost = parts.ghost
  }

  begin(keyLength: number, valueLength: number): LargeValue {
    const { view, pool, log, reclaimer } = this.parts
    const recordBytes = recordBytesOf(LAYOUT_ALL, keyLength, valueLength, view.unitShift)
    const fits = recordBytes <= this.upkeep.recordBytesMax
    return new LargeValue(view, pool, log, reclaimer, keyLength, valueLength, fits)
  }

  /** Gives a value that an order announces its room in the log; undefined: it has to wait elsewhere. */
  beginArriving(order: WriteOrder): ArrivingValue | undefined {
    const { parts, item, record } = this
    const { keyLength, valueLength, expiry } = order
    item.begin(order.nowSeconds)
    item.useKey(order.key, order.keyOffset, keyLength)
    const recordBytes = recordBytesOf(LAYOUT_ALL, keyLength, valueLength, parts.view.unitShift)
    const isRecalled = this.ghost.recall(item.keyLow, item.hash.more)
    const group = record.groupFor(isRecalled, recordBytes, expiry)
    const arriving = new ArrivingValue(parts, record, keyLength, valueLength, group, expiry)
    order.clear()
    // With -M room is never taken before it is needed.
    return parts.geometry.evicts && arriving.begin() ? arriving : undefined
  }

  /**
   * Takes the next bytes, or knows that they are where room() of the value said, and does the share of the work
   * that a write does; false if there is no room.
   */
  append(
    value: ReceivedValue,
    source: Uint8Array | undefined,
    offset: number,
    length: number,
    nowSeconds: number,
  ): boolean {
    this.item.begin(nowSeconds)
    if (source === undefined) {
      value.advance(length)
      if (value instanceof LargeValue) this.upkeep.leave(length, nowSeconds)
      return true
    }
    const block = this.sources.of(source)
    if (value instanceof ArrivingValue) {
      value.append(block, offset, length)
      return true
    }
    if (!value.append(block, offset, length, nowSeconds)) return false
    this.upkeep.leave(length, nowSeconds)
    return true
  }
}
