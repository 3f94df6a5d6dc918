/**
 * A value of 64 KiB and more on its way into the log: its room is there before its bytes are, among the
 * records of others, so each byte is copied once, from the read buffer to where it stays. Values that are
 * worth segments of their own are in large-value.ts.
 *
 *     a segment:   | records | header key value.. (arrives) | records ...
 *                              dead, but its bytes count as live
 *
 * Invariant: until it is linked the record is marked dead, so whoever walks through its segments passes
 * it over, and no slot refers to it. Its bytes count as live, so none of its segments becomes free; and a
 * segment with an arrival in it is not emptied (`isIn`), so nobody who has passed the record over waits
 * for its bytes to die. Both counts are taken before anybody else can see the segments, and given back by
 * commit() or abandon(), which may be called at any moment and as often as one likes.
 *
 * What is announced is held before it comes. So it begins when a 16th of it is here; all that arrive
 * hold a quarter of the segments at most, counted as if each were alone in its own; and beyond that, and with -M,
 * values wait elsewhere until they are complete.
 */
import type { ByteBlock } from '../base/bytes.ts'
import { ARRIVING_COUNT_WORD, SEGMENT_EPOCH } from './control-block.ts'
import { HEADER_BYTES_MAX, LAYOUT_ALL, recordBytesOf, STATE_DEAD } from './item.ts'
import type { LargeValue } from './large-value.ts'
import type { NewRecord } from './new-record.ts'
import type { StoreParts } from './parts.ts'
import { retire } from './retire.ts'

/** Shorter values are not wide, and most come in one read, from which they are copied once anyway. */
const ARRIVING_BYTES_MIN = 64 * 1024
/** Of a value so much must be here before it gets its room: a 16th. */
const BEGUN_SHARE_SHIFT = 4
/** Of the segments, a quarter. */
const HELD_SHARE_SHIFT = 2

/** Of how many bytes of a value the coming is to be waited for, of which `arrivedBytes` are here. */
export function bytesToAwait(valueLength: number, arrivedBytes: number): number {
  if (valueLength < ARRIVING_BYTES_MIN) return valueLength
  const begunBytes = valueLength >>> BEGUN_SHARE_SHIFT
  return arrivedBytes < begunBytes ? begunBytes : valueLength
}

/** Whether enough of a value is here for it to get its room. */
export function mayBegin(valueLength: number, arrivedBytes: number): boolean {
  return valueLength >= ARRIVING_BYTES_MIN && arrivedBytes >= valueLength >>> BEGUN_SHARE_SHIFT
}

/** A value that is in the store, and that nothing refers to yet. */
export type ReceivedValue = LargeValue | ArrivingValue

export class ArrivingValue {
  /** That of the store to which it goes. */
  readonly namespace: number
  readonly keyLength: number
  readonly valueLength: number
  /** Where its record begins; the segment is -1 before place() and after the end. */
  segment = -1
  offset = 0
  private readonly parts: StoreParts
  private readonly record: NewRecord
  private readonly control: Int32Array
  private readonly recordBytes: number
  private readonly group: number
  private readonly expiry: number
  /** The segments in which it lies. */
  private readonly segments: number[] = []
  private receivedBytes = 0
  /** What it has put into the count of segments held by values that arrive. */
  private heldCount = 0

  /** `expiry` is what its item will be given, as far as is known. */
  constructor(
    parts: StoreParts,
    record: NewRecord,
    keyLength: number,
    valueLength: number,
    group: number,
    expiry: number,
  ) {
    this.parts = parts
    this.record = record
    this.control = parts.control
    this.namespace = parts.geometry.namespace
    this.keyLength = keyLength
    this.valueLength = valueLength
    this.recordBytes = recordBytesOf(LAYOUT_ALL, keyLength, valueLength, parts.view.unitShift)
    this.group = group
    this.expiry = expiry
  }

  /** Bytes of the value that are here. */
  get arrivedBytes(): number {
    return this.receivedBytes
  }

  /** Bytes of the value that are still to come. */
  get missingBytes(): number {
    return this.valueLength - this.receivedBytes
  }

  /** Gets its room, for the key that is in use; false if too much arrives already, or there is none. */
  begin(): boolean {
    const { control, parts, recordBytes } = this
    const { pool, view } = parts
    const count = Math.ceil(recordBytes / view.segmentBytes) + 1
    const countMax = pool.holdings.segmentCount >> HELD_SHARE_SHIFT
    if (Atomics.add(control, ARRIVING_COUNT_WORD, count) + count > countMax) {
      Atomics.sub(control, ARRIVING_COUNT_WORD, count)
      return false
    }
    this.heldCount = count
    parts.log.receivingSegments += count
    if (this.place()) return true
    this.abandon()
    return false
  }

  /** Takes the next bytes of the value. */
  append(source: ByteBlock, offset: number, length: number): void {
    const { view } = this.parts
    view.copyIn(this.segment, this.valuePosition + this.receivedBytes, source, offset, length)
    this.receivedBytes += length
  }

  /**
   * Where the next bytes belong, as far as they lie together: `lengthMax` at most. Whoever puts some there says so
   * by advance(), and puts none there once the value has ended.
   */
  room(lengthMax: number): Uint8Array {
    return this.parts.view.bytesAt(
      this.segment,
      this.valuePosition + this.receivedBytes,
      Math.min(lengthMax, this.missingBytes),
    )
  }

  /** So many bytes were put where room() said. */
  advance(length: number): void {
    // The kernel has copied them, which took as long.
    this.parts.view.copiedBytes += length
    this.receivedBytes += length
  }

  /** Whether what is linked there now is of that epoch: else a flush came in between. */
  isOf(epoch: number): boolean {
    return this.control[this.parts.view.segmentRecord(this.segment) + SEGMENT_EPOCH] === epoch
  }

  /** Moves to new room, of the epoch of now; false if there is none. No stripe is held. */
  moveOn(): boolean {
    const { view } = this.parts
    const { segment } = this
    const position = this.valuePosition
    const location = view.locationOf(segment, this.offset)
    const segments = this.segments.splice(0)
    const isPlaced = this.place()
    if (isPlaced) {
      view.copyAcross(segment, position, this.segment, this.valuePosition, this.receivedBytes)
    }
    this.giveBack(location, segments)
    if (isPlaced) return true
    this.segment = -1
    this.abandon()
    return false
  }

  /** The record is filled, is not marked dead any more, and is about to be linked. */
  beforeLink(_recordBytes: number, _group: number, _epoch: number, expiry: number): void {
    // Whoever dropped the dead of a segment meanwhile passed it over, and has to come again.
    for (const segment of this.segments) this.parts.pool.noteExpiry(segment, expiry)
  }

  /** Says that the record is linked. */
  commit(): void {
    this.segment = -1
    this.release(this.segments.splice(0))
    this.forgetCount()
  }

  /** Gives back everything that was taken. */
  abandon(): void {
    const { segment } = this
    this.segment = -1
    if (segment >= 0) {
      const location = this.parts.view.locationOf(segment, this.offset)
      this.giveBack(location, this.segments.splice(0))
    }
    this.forgetCount()
  }

  private get valuePosition(): number {
    return this.offset + HEADER_BYTES_MAX + this.keyLength
  }

  private place(): boolean {
    const { record, recordBytes, segments, expiry } = this
    const { log, view, geometry } = this.parts
    if (!record.reserve(recordBytes, this.group)) return false
    record.fill(LAYOUT_ALL, this.valueLength, 0, expiry, STATE_DEAD)
    this.segment = log.segment
    this.offset = log.offset
    let part = log.segment
    for (let left = recordBytes - (view.segmentBytes - log.offset); ; left -= view.segmentBytes) {
      segments.push(part)
      Atomics.add(this.control, geometry.arrivalsWord + part, 1)
      if (left <= 0) break
      part = view.continuation(part)
    }
    record.commit(recordBytes, expiry)
    return true
  }

  private giveBack(location: number, segments: readonly number[]): void {
    // The bytes die before others are let in, or an empty segment would be left.
    retire(this.parts.view, this.parts.pool, location)
    this.release(segments)
  }

  private release(segments: readonly number[]): void {
    const { arrivalsWord } = this.parts.geometry
    for (const segment of segments) Atomics.sub(this.control, arrivalsWord + segment, 1)
  }

  private forgetCount(): void {
    Atomics.sub(this.control, ARRIVING_COUNT_WORD, this.heldCount)
    this.parts.log.receivingSegments -= this.heldCount
    this.heldCount = 0
  }
}
