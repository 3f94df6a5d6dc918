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
  SEGMENT_CONTINUES,
  SEGMENT_EPOCH,
  SEGMENT_FIRST,
  SEGMENT_HEAD_ITEM,
  WORKER_OPEN,
  WORKER_OPEN_LINKED,
  WORKER_OPEN_OFFSET,
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
  private readonly worker: number
  private readonly segmentBytes: number
  private readonly spanBytesMin: number

  constructor(view: MemoryView, pool: SegmentPool, workerIndex: number) {
    this.view = view
    this.pool = pool
    this.control = view.control
    this.worker = view.geometry.workersWord + workerIndex * WORKER_WORDS
    this.segmentBytes = view.segmentBytes
    this.spanBytesMin = view.geometry.spanBytesMin
  }

  /**
   * Reserves room for a record whose first `prefixBytes` (header and key) must not be torn apart.
   * Leaves at least `keep` segments free. False: segmentsMissing says what it takes.
   */
  reserve(recordBytes: number, prefixBytes: number, keep: number): boolean {
    const control = this.control
    const worker = this.worker
    const epoch = Atomics.load(control, EPOCH_WORD)
    const open = control[worker + WORKER_OPEN]! - 1
    if (open >= 0) {
      if (this.openEpoch(open) !== epoch) {
        this.sealOpen()
      } else {
        const offset = control[worker + WORKER_OPEN_OFFSET]!
        const room = this.segmentBytes - offset
        if (recordBytes <= room) {
          this.segment = open
          this.offset = offset
          this.location = this.view.locationOf(open, offset)
          this.reservedSpans = false
          this.reservedBytes = recordBytes
          return true
        }
        if (recordBytes > this.spanBytesMin && prefixBytes <= room) {
          return this.reserveSpan(open, offset, recordBytes, keep, epoch)
        }
      }
    }
    const missing = Math.ceil(recordBytes / this.segmentBytes)
    if (this.pool.freeCount < keep + missing) {
      this.segmentsMissing = missing
      return false
    }
    const next = this.pool.takeOpen(keep, epoch)
    if (next < 0) {
      this.segmentsMissing = missing
      return false
    }
    this.sealOpen()
    control[worker + WORKER_OPEN] = next + 1
    control[worker + WORKER_OPEN_OFFSET] = 0
    control[worker + WORKER_OPEN_LINKED] = 0
    if (recordBytes > this.segmentBytes) return this.reserveSpan(next, 0, recordBytes, keep, epoch)
    this.segment = next
    this.offset = 0
    this.location = this.view.locationOf(next, 0)
    this.reservedSpans = false
    this.reservedBytes = recordBytes
    return true
  }

  /** Says that the reserved record is linked. `expiry` is that of its item. */
  commit(expiry: number): void {
    const control = this.control
    const worker = this.worker
    if (expiry !== 0) this.pool.lowerExpiresFrom(this.segment, expiry)
    const linked = control[worker + WORKER_OPEN_LINKED]!
    if (!this.reservedSpans) {
      control[worker + WORKER_OPEN_OFFSET] = this.offset + this.reservedBytes
      control[worker + WORKER_OPEN_LINKED] = linked + this.reservedBytes
      return
    }
    const segmentBytes = this.segmentBytes
    const firstPart = segmentBytes - this.offset
    let left = this.reservedBytes - firstPart
    let part = this.view.continuation(this.segment)
    this.pool.seal(this.segment, segmentBytes, linked + firstPart)
    while (left > segmentBytes) {
      // Once sealed, a part may be freed and reused by others: its successor is read before.
      const next = this.view.continuation(part)
      this.pool.seal(part, segmentBytes, segmentBytes)
      left -= segmentBytes
      part = next
    }
    control[worker + WORKER_OPEN] = part + 1
    control[worker + WORKER_OPEN_OFFSET] = left
    control[worker + WORKER_OPEN_LINKED] = left
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
    return this.openEpoch(this.segment) !== Atomics.load(this.control, EPOCH_WORD)
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

  /** Seals the open segment if a flush has made it old, so that its memory can come back. */
  sealIfFlushed(): void {
    const open = this.control[this.worker + WORKER_OPEN]! - 1
    if (open >= 0 && this.openEpoch(open) !== Atomics.load(this.control, EPOCH_WORD))
      this.sealOpen()
  }

  private openEpoch(open: number): number {
    return this.control[this.view.segmentRecord(open) + SEGMENT_EPOCH]!
  }

  private sealOpen(): void {
    const control = this.control
    const worker = this.worker
    const open = control[worker + WORKER_OPEN]! - 1
    if (open < 0) return
    control[worker + WORKER_OPEN] = 0
    this.pool.seal(
      open,
      control[worker + WORKER_OPEN_OFFSET]!,
      control[worker + WORKER_OPEN_LINKED]!,
    )
  }

  private reserveSpan(
    segment: number,
    offset: number,
    recordBytes: number,
    keep: number,
    epoch: number,
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
    let part = segment
    let taken = segmentBytes - offset
    while (taken < recordBytes) {
      const next = this.pool.takeOpen(keep, epoch)
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
