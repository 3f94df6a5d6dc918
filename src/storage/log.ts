/**
 * Hot path. One worker's end of the log: it reserves room for a new record before the record is written and linked, and
 * commits it afterwards. A reservation that fits an open segment touches no word that other workers write.
 *
 *     open segment:  | records ... | reserved | free            |
 *                                  ^ OPEN_OFFSET, moves on commit only
 *
 * Invariants: an open segment belongs to one worker, so its offset needs no lock. What lies before the offset is never
 * overwritten while the segment is open; what lies behind it is no record. There is at most one reservation at a
 * time, which commit() or abandon() ends; abandon() is allowed at any time, also without one.
 *
 * A record longer than spanBytesMin may begin at the end of one segment and continue at the start of others, which are
 * all taken at once. With -M a record longer than ownSegmentsBytesMin begins in a new segment instead; where the last
 * of its segments has room behind it, that is used for other records. If no segment is free, reserve() only says how
 * many are missing: to make room is left to the reclaimer.
 */
import { assert } from '../base/assert.ts'
import {
  EPOCH_WORD,
  GROUPS_MAX,
  OPEN_ID,
  OPEN_LINKED,
  OPEN_OFFSET,
  OPEN_WORDS,
  OPENS_MAX,
  QUEUE_GROUPS,
  SEGMENT_CONTINUES,
  SEGMENT_EPOCH,
  SEGMENT_EXPIRES_BY,
  SEGMENT_FIRST,
  SEGMENT_HEAD_ITEM,
  WORKER_OPENS_WORD,
  WORKER_WORDS,
} from './control-block.ts'
import { distanceOf, type Groups } from './group.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'

/** With -M: so little of an open segment (a 64th) is given up where that saves a whole one. */
const WASTED_SHIFT = 6

export class Log {
  /** The reservation: where the record begins and whether it continues elsewhere. */
  segment = 0
  offset = 0
  location = 0
  reservedSpans = false
  /** After reserve() has failed: how many free segments it needs. */
  segmentsMissing = 0
  /** Segments held by values on their way to this worker, in the log or in segments of their own. */
  receivingSegments = 0
  /** Groups that may be open at the same time; see MemoryShares. */
  private opensMax = OPENS_MAX
  private openCount = 0
  /** 0 while nothing is reserved. */
  private reservedBytes = 0
  /** Whether the record reserved lies in segments of its own, none of which is open. */
  private reservedOwn = false
  private readonly view: MemoryView
  private readonly pool: SegmentPool
  private readonly control: Int32Array
  private readonly opens: number
  /** The entry of the open segment in which the reservation begins. */
  private reservedOpen = 0
  private readonly segmentBytes: number
  private readonly spanBytesMin: number
  private readonly ownSegmentsBytesMin: number
  private readonly evicts: boolean

  constructor(view: MemoryView, pool: SegmentPool, workerIndex: number) {
    this.view = view
    this.pool = pool
    this.control = view.control
    this.opens = view.geometry.workersWord + workerIndex * WORKER_WORDS + WORKER_OPENS_WORD
    this.segmentBytes = view.segmentBytes
    this.spanBytesMin = view.geometry.spanBytesMin
    this.ownSegmentsBytesMin = view.geometry.ownSegmentsBytesMin
    this.evicts = view.geometry.evicts
    for (let group = 0; group < OPENS_MAX; group++) if (this.openOf(group) >= 0) this.openCount++
  }

  /** Works with a limit of the memory from now on. */
  adopt(opensMax: number): void {
    this.opensMax = opensMax
  }

  /**
   * The group in whose segment an item of `group` comes: that itself, or the nearest one of its queue that
   * is open, if there are as many open as may be.
   */
  private openGroupOf(group: number): number {
    if (this.openCount < this.opensMax || group >= GROUPS_MAX || this.openOf(group) >= 0)
      return group
    const first = group < QUEUE_GROUPS ? 0 : QUEUE_GROUPS
    let nearest = group
    let least = QUEUE_GROUPS
    for (let other = first; other < first + QUEUE_GROUPS; other++) {
      const distance = distanceOf(group, other)
      if (distance < least && this.openOf(other) >= 0) {
        nearest = other
        least = distance
      }
    }
    return nearest
  }

  /**
   * Reserves room for a record whose first `prefixBytes` (header and key) must not be torn apart.
   * Leaves at least `keep` segments free. It comes in the open segment of the group `wanted`, or of the nearest that
   * may be open. False: segmentsMissing says what it takes.
   */
  reserve(recordBytes: number, prefixBytes: number, keep: number, wanted: number): boolean {
    const control = this.control
    const group = this.openGroupOf(wanted)
    const entry = this.opens + group * OPEN_WORDS
    const epoch = this.view.epoch
    if (recordBytes > this.ownSegmentsBytesMin) {
      return this.reserveOwn(recordBytes, keep, epoch, group)
    }
    const open = control[entry + OPEN_ID]! - 1
    let isTorn = false
    if (open >= 0) {
      if (this.epochOf(open) !== epoch) {
        this.seal(entry)
      } else {
        const offset = control[entry + OPEN_OFFSET]!
        const room = this.segmentBytes - offset
        if (recordBytes <= room) return this.reserveIn(open, offset, recordBytes, entry)
        if (recordBytes > this.spanBytesMin && prefixBytes <= room) {
          // Whole segments are left to large items as long as that wastes little.
          const wastesLittle = !this.evicts && room < this.segmentBytes >> WASTED_SHIFT
          if (wastesLittle && this.openEnd(entry, recordBytes, group)) {
            return this.reserve(recordBytes, prefixBytes, keep, group)
          }
          if (this.reserveSpan(entry, open, offset, recordBytes, keep, epoch, group)) return true
          if (this.evicts) return false
          isTorn = true
        }
      }
    }
    if (!this.evicts) {
      if (this.openEnd(entry, recordBytes, group)) {
        return this.reserve(recordBytes, prefixBytes, keep, group)
      }
      // What is left of the open segment is not to be wasted.
      if (isTorn) return false
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
    this.openCount++
    control[entry + OPEN_ID] = next + 1
    control[entry + OPEN_OFFSET] = 0
    control[entry + OPEN_LINKED] = 0
    if (recordBytes > this.segmentBytes) {
      return this.reserveSpan(entry, next, 0, recordBytes, keep, epoch, group)
    }
    return this.reserveIn(next, 0, recordBytes, entry)
  }

  /**
   * Reserves room for a record that is too short to span in the segment in which reserve() would look
   * first, without taking one or a lock. False: there is none, or a flush has made it old.
   */
  reserveOpen(recordBytes: number, wanted: number): boolean {
    const { control } = this
    const entry = this.opens + this.openGroupOf(wanted) * OPEN_WORDS
    const open = control[entry + OPEN_ID]! - 1
    if (open < 0 || this.epochOf(open) !== this.view.epoch) return false
    const offset = control[entry + OPEN_OFFSET]!
    if (recordBytes > this.segmentBytes - offset) return false
    return this.reserveIn(open, offset, recordBytes, entry)
  }

  private reserveIn(segment: number, offset: number, recordBytes: number, entry: number): true {
    this.segment = segment
    this.offset = offset
    this.location = this.view.locationOf(segment, offset)
    this.reservedSpans = false
    this.reservedOwn = false
    this.reservedBytes = recordBytes
    this.reservedOpen = entry
    return true
  }

  /** Reserves room in any open segment that has it, of the groups below `groupsEnd`, when there is no free one. */
  reserveAnywhere(recordBytes: number, groupsEnd: number): boolean {
    const control = this.control
    const epoch = Atomics.load(control, EPOCH_WORD)
    for (let group = groupsEnd - 1; group >= 0; group--) {
      const open = this.openOf(group)
      if (open < 0 || this.epochOf(open) !== epoch) continue
      const entry = this.opens + group * OPEN_WORDS
      const offset = control[entry + OPEN_OFFSET]!
      if (recordBytes <= this.segmentBytes - offset) {
        return this.reserveIn(open, offset, recordBytes, entry)
      }
    }
    return false
  }

  /** Says that the reserved record is linked. `expiry` is that of its item. */
  commit(expiry: number): void {
    const control = this.control
    const recordBytes = this.reservedBytes
    this.reservedBytes = 0
    if (this.reservedOwn) {
      this.commitOwn(this.segment, recordBytes, expiry)
      return
    }
    const entry = this.reservedOpen
    this.pool.noteExpiry(this.segment, expiry)
    const linked = control[entry + OPEN_LINKED]!
    if (!this.reservedSpans) {
      control[entry + OPEN_OFFSET] = this.offset + recordBytes
      control[entry + OPEN_LINKED] = linked + recordBytes
      return
    }
    const segmentBytes = this.segmentBytes
    const firstPart = segmentBytes - this.offset
    let left = recordBytes - firstPart
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

  /** Seals segments that belong to one record alone, which is linked. */
  commitOwn(segment: number, recordBytes: number, expiry: number): void {
    const { pool, segmentBytes } = this
    let part = segment
    for (let left = recordBytes; left > 0; left -= segmentBytes) {
      // Once sealed, a part may be freed and reused by others: its successor is read before.
      const next = this.view.continuation(part)
      const used = Math.min(left, segmentBytes)
      pool.noteExpiry(part, expiry)
      if (this.evicts || part === segment || left > segmentBytes) pool.seal(part, used, used)
      else pool.sealEnd(part, used, used)
      part = next
    }
  }

  /** Makes a record that has its room already the one to be filled. */
  show(segment: number, offset: number, spans: boolean): void {
    this.segment = segment
    this.offset = offset
    this.location = this.view.locationOf(segment, offset)
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
    const recordBytes = this.reservedBytes
    this.reservedBytes = 0
    if (!this.reservedSpans) return
    this.reservedSpans = false
    const firstBytes = this.reservedOwn ? 0 : this.segmentBytes - this.offset
    let left = recordBytes - firstBytes
    let part = this.reservedOwn ? this.segment : this.view.continuation(this.segment)
    while (left > 0) {
      const next = this.view.continuation(part)
      this.pool.free(part)
      left -= this.segmentBytes
      part = next
    }
  }

  /** Whether room is reserved that is neither committed nor given up. */
  get isReserved(): boolean {
    return this.reservedBytes !== 0
  }

  /** The open segment of a group, -1 for none, and where its records end. */
  openOf(group: number): number {
    return this.control[this.opens + group * OPEN_WORDS + OPEN_ID]! - 1
  }

  openOffset(group: number): number {
    return this.control[this.opens + group * OPEN_WORDS + OPEN_OFFSET]!
  }

  /**
   * Seals open segments that are due, or where there are no ranks, since whose opening the whole log was
   * sealed once, so that their items have their turn. Though not full they are not to be compacted: that
   * would gain nothing, and begin the time of their items anew.
   */
  sealAged(): void {
    const { control, pool } = this
    for (let group = 0; group < OPENS_MAX; group++) {
      const open = this.openOf(group)
      if (open < 0 || !pool.isAged(open)) continue
      const entry = this.opens + group * OPEN_WORDS
      pool.keepAsIs(open, control[entry + OPEN_LINKED]!)
      this.seal(entry)
    }
  }

  /** Seals open segments that a flush has made old, or in which all has expired, so that their memory can come back. */
  sealDead(nowSeconds: number): void {
    const control = this.control
    const epoch = Atomics.load(control, EPOCH_WORD)
    for (let group = 0; group < OPENS_MAX; group++) {
      const open = this.openOf(group)
      if (open < 0) continue
      const expiresBy = control[this.view.segmentRecord(open) + SEGMENT_EXPIRES_BY]! >>> 0
      if (this.epochOf(open) !== epoch || expiresBy <= nowSeconds) {
        this.seal(this.opens + group * OPEN_WORDS)
      }
    }
  }

  /** Seals the open segments of groups into which no new items come any more. */
  sealUnused(groups: Groups): void {
    for (let group = 0; group < OPENS_MAX; group++) {
      if (!groups.isUsed(group)) this.seal(this.opens + group * OPEN_WORDS)
    }
  }

  /** Seals all that is open. */
  sealAll(): void {
    for (let group = 0; group < OPENS_MAX; group++) this.seal(this.opens + group * OPEN_WORDS)
  }

  private epochOf(open: number): number {
    return this.control[this.view.segmentRecord(open) + SEGMENT_EPOCH]!
  }

  private seal(entry: number): void {
    const control = this.control
    const open = control[entry + OPEN_ID]! - 1
    if (open < 0) return
    this.openCount--
    control[entry + OPEN_ID] = 0
    this.pool.seal(open, control[entry + OPEN_OFFSET]!, control[entry + OPEN_LINKED]!)
  }

  /** Opens what is free behind the end of a large item; false if the record fits nowhere there. */
  private openEnd(entry: number, recordBytes: number, group: number): boolean {
    const end = this.pool.takeEnd(recordBytes, group)
    if (end < 0) return false
    const control = this.control
    const used = control[this.view.segmentRecord(end) + SEGMENT_FIRST]!
    this.seal(entry)
    this.openCount++
    control[entry + OPEN_ID] = end + 1
    control[entry + OPEN_OFFSET] = used
    control[entry + OPEN_LINKED] = used
    return true
  }

  private reserveOwn(recordBytes: number, keep: number, epoch: number, group: number): boolean {
    const missing = Math.ceil(recordBytes / this.segmentBytes)
    const first = this.pool.freeCount < keep + missing ? -1 : this.pool.takeOpen(keep, epoch, group)
    if (first < 0) {
      this.segmentsMissing = missing
      return false
    }
    this.reservedOwn = true
    return this.reserveParts(first, 0, recordBytes, keep, epoch, group)
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
    const missing = Math.ceil((recordBytes - (this.segmentBytes - offset)) / this.segmentBytes)
    if (this.pool.freeCount < keep + missing) {
      this.segmentsMissing = missing
      return false
    }
    this.reservedOpen = entry
    this.reservedOwn = false
    return this.reserveParts(segment, offset, recordBytes, keep, epoch, group)
  }

  /** Takes the segments in which a record that begins in `segment` continues. */
  private reserveParts(
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
    this.segment = segment
    this.offset = offset
    this.location = view.locationOf(segment, offset)
    this.reservedSpans = true
    let part = segment
    let taken = segmentBytes - offset
    while (taken < recordBytes) {
      const next = this.pool.takeOpen(keep, epoch, group)
      if (next < 0) {
        // Another worker was faster: give back what was taken so far.
        this.segmentsMissing = Math.ceil((recordBytes - (segmentBytes - offset)) / segmentBytes)
        if (this.reservedOwn) this.segmentsMissing++
        this.reservedBytes = taken
        this.abandon()
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
