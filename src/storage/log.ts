/**
 * One worker's end of the log: room for a new record, reserved before the record is linked and
 * committed after. Hot path: a reservation that fits the open segment touches no shared word.
 *
 *     open segment:  | records ... | reserved | free            |
 *                                  ^ WORKER_OPEN_OFFSET, moves on commit only
 *
 * Invariant: the open segment belongs to this worker alone, so the offset needs no lock; nothing
 * before it is ever overwritten while the segment is open, and what lies after it is not a record.
 * A reservation that is not committed needs abandon() only if it took further segments, but calling
 * it is always right. At most one reservation is open at a time.
 *
 * A record larger than spanBytesMin may begin at the end of one segment and continue at the start
 * of further ones, which are taken all at once. Making room when no segment is free is left to the
 * reclaimer: reserve() only says how many segments are missing.
 */
import { assert } from '../base/assert.ts'
import {
  EPOCH_WORD,
  GROUPS_MAX,
  OPEN_ID,
  OPEN_LINKED,
  OPEN_OFFSET,
  OPEN_WORDS,
  SEALED_EVER_WORD,
  SEGMENT_CONTINUES,
  SEGMENT_EPOCH,
  SEGMENT_EXPIRES_BY,
  SEGMENT_FIRST,
  SEGMENT_HEAD_ITEM,
  SEGMENT_SEQUENCE,
  WORKER_OPENS_WORD,
  WORKER_WORDS,
} from './geometry.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'

export class Log {
  /** The reservation: where the record begins and whether it continues elsewhere. */
  segment = 0
  offset = 0
  location = 0
  reservedSpans = false
  /** After reserve() has failed: how many free segments it needs. */
  segmentsMissing = 0
  private reservedBytes = 0
  private readonly view: MemoryView
  private readonly pool: SegmentPool
  private readonly control: Int32Array
  private readonly opens: number
  /** The entry of the open segment in which the reservation begins. */
  private reservedOpen = 0
  private readonly segmentBytes: number
  private readonly spanBytesMin: number

  constructor(view: MemoryView, pool: SegmentPool, workerIndex: number) {
    this.view = view
    this.pool = pool
    this.control = view.control
    this.opens = view.geometry.workersWord + workerIndex * WORKER_WORDS + WORKER_OPENS_WORD
    this.segmentBytes = view.segmentBytes
    this.spanBytesMin = view.geometry.spanBytesMin
  }

  /**
   * Reserves room for a record whose first `prefixBytes` (header and key) must not be torn apart.
   * Leaves at least `keep` segments free. False: segmentsMissing says what it takes.
   */
  reserve(recordBytes: number, prefixBytes: number, keep: number, group: number): boolean {
    const control = this.control
    const entry = this.opens + group * OPEN_WORDS
    const epoch = this.view.epoch
    const open = control[entry + OPEN_ID]! - 1
    if (open >= 0) {
      if (this.epochOf(open) !== epoch) {
        this.seal(entry)
      } else {
        const offset = control[entry + OPEN_OFFSET]!
        const room = this.segmentBytes - offset
        if (recordBytes <= room) {
          this.segment = open
          this.offset = offset
          this.location = this.view.locationOf(open, offset)
          this.reservedSpans = false
          this.reservedBytes = recordBytes
          this.reservedOpen = entry
          return true
        }
        if (recordBytes > this.spanBytesMin && prefixBytes <= room) {
          return this.reserveSpan(entry, open, offset, recordBytes, keep, epoch, group)
        }
      }
    }
    const missing = Math.ceil(recordBytes / this.segmentBytes)
    if (this.pool.freeCount < keep + missing) {
      this.segmentsMissing = missing
      return false
    }
    const next = this.pool.takeOpen(keep, epoch, group)
    if (next < 0) {
      this.segmentsMissing = missing
      return false
    }
    this.seal(entry)
    control[entry + OPEN_ID] = next + 1
    control[entry + OPEN_OFFSET] = 0
    control[entry + OPEN_LINKED] = 0
    if (recordBytes > this.segmentBytes) {
      return this.reserveSpan(entry, next, 0, recordBytes, keep, epoch, group)
    }
    this.segment = next
    this.offset = 0
    this.location = this.view.locationOf(next, 0)
    this.reservedSpans = false
    this.reservedBytes = recordBytes
    this.reservedOpen = entry
    return true
  }

  /** Reserves room in any open segment that has it, when there is no free one. */
  reserveAnywhere(recordBytes: number): boolean {
    const control = this.control
    const epoch = Atomics.load(control, EPOCH_WORD)
    for (let group = GROUPS_MAX - 1; group >= 0; group--) {
      const open = this.openOf(group)
      if (open < 0 || this.epochOf(open) !== epoch) continue
      const entry = this.opens + group * OPEN_WORDS
      const offset = control[entry + OPEN_OFFSET]!
      if (recordBytes > this.segmentBytes - offset) continue
      this.segment = open
      this.offset = offset
      this.location = this.view.locationOf(open, offset)
      this.reservedSpans = false
      this.reservedBytes = recordBytes
      this.reservedOpen = entry
      return true
    }
    return false
  }

  /** Says that the reserved record is linked. `expiry` is that of its item. */
  commit(expiry: number): void {
    const control = this.control
    const entry = this.reservedOpen
    this.pool.noteExpiry(this.segment, expiry)
    const linked = control[entry + OPEN_LINKED]!
    if (!this.reservedSpans) {
      control[entry + OPEN_OFFSET] = this.offset + this.reservedBytes
      control[entry + OPEN_LINKED] = linked + this.reservedBytes
      return
    }
    const segmentBytes = this.segmentBytes
    const firstPart = segmentBytes - this.offset
    let left = this.reservedBytes - firstPart
    let part = this.view.continuation(this.segment)
    this.pool.seal(this.segment, segmentBytes, linked + firstPart)
    while (left > segmentBytes) {
      this.pool.noteExpiry(part, expiry)
      // Once sealed, a part may be freed and reused by others: its successor is read before.
      const next = this.view.continuation(part)
      this.pool.seal(part, segmentBytes, segmentBytes)
      left -= segmentBytes
      part = next
    }
    this.pool.noteExpiry(part, expiry)
    control[entry + OPEN_ID] = part + 1
    control[entry + OPEN_OFFSET] = left
    control[entry + OPEN_LINKED] = left
  }

  /** Makes a record that lies at the start of `segment`, which is not the log's, the one to be filled. */
  show(segment: number, spans: boolean): void {
    this.segment = segment
    this.offset = 0
    this.location = this.view.locationOf(segment, 0)
    this.reservedSpans = spans
  }

  /** Makes the reservation smaller. Only for records that are too small to span. */
  shrink(recordBytes: number): void {
    assert(
      !this.reservedSpans && recordBytes <= this.reservedBytes,
      'a reservation may only shrink',
    )
    this.reservedBytes = recordBytes
  }

  /** Whether there was a flush since the reservation: what is linked there now would be dead. */
  isFlushed(): boolean {
    return this.epochOf(this.segment) !== this.view.epoch
  }

  /** Gives up the reservation. */
  abandon(): void {
    if (!this.reservedSpans) return
    this.reservedSpans = false
    let left = this.reservedBytes - (this.segmentBytes - this.offset)
    let part = this.view.continuation(this.segment)
    while (left > 0) {
      const next = this.view.continuation(part)
      this.pool.free(part)
      left -= this.segmentBytes
      part = next
    }
  }

  /** The open segment of a group, -1 for none, and where its records end. */
  openOf(group: number): number {
    return this.control[this.opens + group * OPEN_WORDS + OPEN_ID]! - 1
  }

  openOffset(group: number): number {
    return this.control[this.opens + group * OPEN_WORDS + OPEN_OFFSET]!
  }

  /**
   * Seals open segments since whose opening the whole log was sealed once, so that their items have
   * their turn. Though not full they are not to be compacted: that would gain nothing, and begin the
   * time of their items anew.
   */
  sealAged(): void {
    const control = this.control
    const sealedEver = control[SEALED_EVER_WORD]!
    for (let group = 0; group < GROUPS_MAX; group++) {
      const open = this.openOf(group)
      if (open < 0) continue
      const openedAt = control[this.view.segmentRecord(open) + SEGMENT_SEQUENCE]!
      if (((sealedEver - openedAt) | 0) > this.pool.segmentCount) {
        const entry = this.opens + group * OPEN_WORDS
        this.pool.keepAsIs(open, control[entry + OPEN_LINKED]!)
        this.seal(entry)
      }
    }
  }

  /** Seals open segments that a flush has made old, or in which all has expired, so that their memory can come back. */
  sealDead(nowSeconds: number): void {
    const control = this.control
    const epoch = Atomics.load(control, EPOCH_WORD)
    for (let group = 0; group < GROUPS_MAX; group++) {
      const open = this.openOf(group)
      if (open < 0) continue
      const expiresBy = control[this.view.segmentRecord(open) + SEGMENT_EXPIRES_BY]! >>> 0
      if (this.epochOf(open) !== epoch || expiresBy <= nowSeconds) {
        this.seal(this.opens + group * OPEN_WORDS)
      }
    }
  }

  private epochOf(open: number): number {
    return this.control[this.view.segmentRecord(open) + SEGMENT_EPOCH]!
  }

  private seal(entry: number): void {
    const control = this.control
    const open = control[entry + OPEN_ID]! - 1
    if (open < 0) return
    control[entry + OPEN_ID] = 0
    this.pool.seal(open, control[entry + OPEN_OFFSET]!, control[entry + OPEN_LINKED]!)
  }

  private reserveSpan(
    entry: number,
    segment: number,
    offset: number,
    recordBytes: number,
    keep: number,
    epoch: number,
    group: number,
  ): boolean {
    const control = this.control
    const view = this.view
    const segmentBytes = this.segmentBytes
    const missing = Math.ceil((recordBytes - (segmentBytes - offset)) / segmentBytes)
    if (this.pool.freeCount < keep + missing) {
      this.segmentsMissing = missing
      return false
    }
    this.segment = segment
    this.offset = offset
    this.location = view.locationOf(segment, offset)
    this.reservedSpans = true
    this.reservedOpen = entry
    let part = segment
    let taken = segmentBytes - offset
    while (taken < recordBytes) {
      const next = this.pool.takeOpen(keep, epoch, group)
      if (next < 0) {
        // Another worker was faster: give back what was taken so far.
        this.reservedBytes = taken
        this.abandon()
        this.segmentsMissing = missing
        return false
      }
      control[view.segmentRecord(part) + SEGMENT_CONTINUES] = next + 1
      const left = recordBytes - taken
      const record = view.segmentRecord(next)
      control[record + SEGMENT_HEAD_ITEM] = this.location
      control[record + SEGMENT_FIRST] = Math.min(left, segmentBytes)
      part = next
      taken += segmentBytes
    }
    this.reservedBytes = recordBytes
    return true
  }
}
