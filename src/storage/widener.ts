/**
 * Finds an item that is to get an optional word (an expiry, or a CAS of more than 40 bits) which its
 * record may lack: then it is written anew with it, while its stripe is held.
 *
 * Invariant: only narrow records ever lack a word, so no more than 64 KiB are copied. The work that a
 * write does is owed until the item is let go.
 */

import { SEGMENT_EPOCH } from './control-block.ts'
import { BYTES } from './counters.ts'
import type { HeldItem } from './held-item.ts'
import {
  casHighAt,
  fillHeader,
  HEADER_BYTES_MAX,
  headerBytesOf,
  ITEM_CAS_LOW_WORD,
  lastAccessAt,
  recordBytesOf,
  STATE_SPANS,
  setCasAt,
  stateOf,
  TRAITS_WORD,
} from './item.ts'
import { ATTEMPTS_MAX, type NewRecord } from './new-record.ts'
import type { StoreParts } from './parts.ts'
import { HIT, MISS, NO_MEMORY } from './result.ts'
import { retire } from './retire.ts'
import type { Upkeep } from './upkeep.ts'

export class Widener {
  /** Bytes that were written for the item that is held. */
  owedBytes = 0
  /** How many segments were ever sealed before they were committed. */
  private owedSince = 0
  private readonly parts: StoreParts
  private readonly item: HeldItem
  private readonly record: NewRecord
  private readonly upkeep: Upkeep

  constructor(parts: StoreParts, item: HeldItem, record: NewRecord, upkeep: Upkeep) {
    this.parts = parts
    this.item = item
    this.record = record
    this.upkeep = upkeep
  }

  /** HIT: the item is held, and has the words for that expiry and CAS. Else nothing is locked. */
  seek(expiry: number, casHigh: number): number {
    const { item, record } = this
    const { log, reclaimer, geometry } = this.parts
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const layout = record.layoutFor(expiry, 0, 0, casHigh)
      item.lock()
      if (!item.seek()) {
        item.unlock()
        return MISS
      }
      const foundLayout = item.layout()
      if ((layout & ~foundLayout) === 0 || this.widen(layout | foundLayout)) return HIT
      item.unlock()
      const missing = log.segmentsMissing + geometry.reserveSegments
      if (!reclaimer.makeFree(missing, item.nowSeconds)) break
    }
    record.refuse()
    return NO_MEMORY
  }

  /** Does the work that is owed; the item has been let go. */
  pay(): void {
    const owed = this.owedBytes
    this.owedBytes = 0
    this.upkeep.leave(owed, this.item.nowSeconds, this.owedSince)
  }

  /** False: there is no room, or a flush has come since the item was found. */
  private widen(layout: number): boolean {
    const { item } = this
    const { control, counters, geometry, log, pool, view } = this.parts
    const { words, base, location, keyLength } = item
    const traits = words[base + TRAITS_WORD]!
    const valueLength = item.valueLength()
    const recordBytes = recordBytesOf(layout, keyLength, valueLength, view.unitShift)
    const keep = geometry.reserveSegments
    log.segmentsMissing = 0
    if (!log.reserve(recordBytes, HEADER_BYTES_MAX + keyLength, keep, item.group())) return false
    const from = item.segment()
    const epoch = control[view.segmentRecord(from) + SEGMENT_EPOCH]
    if (control[view.segmentRecord(log.segment) + SEGMENT_EPOCH] !== epoch) {
      log.abandon()
      return false
    }
    const target = view.segmentArena(log.segment)
    const targetBase = view.locationBase(log.location)
    const state = stateOf(traits) | (log.reservedSpans ? STATE_SPANS : 0)
    const expiry = item.expiry()
    const flags = item.clientFlags()
    const accessed = lastAccessAt(words, base, item.nowSeconds)
    fillHeader(target, targetBase, layout, keyLength, valueLength, state, flags, expiry, accessed)
    setCasAt(target, targetBase, casHighAt(words, base), words[base + ITEM_CAS_LOW_WORD]!)
    view.copyAcross(
      from,
      view.locationOffset(location) + headerBytesOf(traits),
      log.segment,
      log.offset + headerBytesOf(target[targetBase + TRAITS_WORD]!),
      keyLength + valueLength,
    )
    item.slotWords[item.slot] = log.location
    const gained = recordBytes - retire(view, pool, location)
    counters[BYTES] = counters[BYTES]! + gained
    item.select(item.slotWords, item.slot, log.location)
    this.owedSince = this.parts.pool.sealedEver
    log.commit(expiry)
    this.owedBytes = recordBytes
    return true
  }
}
