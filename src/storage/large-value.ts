/**
 * A large value on its way into the store: it is copied into segments of its own as it arrives, so
 * nobody waits while a gigabyte is copied, and no memory beside the store's own holds it.
 *
 *     | header key value.. |   | ..value.. |   | ..value |  (rest unused)
 *       room is left for the first two         ^ as far as it has arrived
 *
 * Invariant: until commit() the segments belong to this value alone, are in the state RECEIVING and
 * refer to nothing; abandon() gives them all back, at any moment and as often as it is called. They
 * are taken one by one as bytes arrive, so who announces much and sends little holds little. All
 * values under way together hold at most half of the memory, and one alone three quarters.
 *
 * When to store it, and under which key and conditions, is left to the Store.
 */
import type { ByteBlock } from '../base/bytes.ts'
import {
  EPOCH_WORD,
  RECEIVING_COUNT_WORD,
  RECEIVING_SEGMENT,
  SEALED_EVER_WORD,
  SEGMENT_CONTINUES,
  SEGMENT_DUE,
  SEGMENT_EPOCH,
  SEGMENT_FIRST,
  SEGMENT_GROUP,
  SEGMENT_HEAD_ITEM,
  SEGMENT_SEQUENCE,
} from './control-block.ts'
import { HEADER_BYTES_MAX } from './item.ts'
import type { Log } from './log.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'
import type { Reclaimer } from './reclaimer.ts'

export class LargeValue {
  /** That of the store to which it goes. */
  readonly namespace: number
  readonly keyLength: number
  readonly valueLength: number
  /** The first segment, -1 before the first byte and after the end. */
  segment = -1
  /** Its record begins at the start of that. */
  readonly offset = 0
  private readonly view: MemoryView
  private readonly pool: SegmentPool
  private readonly log: Log
  private readonly reclaimer: Reclaimer
  private readonly control: Int32Array
  private readonly reserveSegments: number
  private readonly prefixBytes: number
  /** False: it is too large for this memory, and the first byte is refused. */
  private readonly fits: boolean
  private lastSegment = -1
  private segmentCount = 0
  private receivedBytes = 0

  constructor(
    view: MemoryView,
    pool: SegmentPool,
    log: Log,
    reclaimer: Reclaimer,
    keyLength: number,
    valueLength: number,
    fits: boolean,
  ) {
    this.view = view
    this.pool = pool
    this.log = log
    this.reclaimer = reclaimer
    this.control = view.control
    this.namespace = view.geometry.namespace
    this.reserveSegments = view.geometry.reserveSegments
    this.keyLength = keyLength
    this.valueLength = valueLength
    this.fits = fits
    this.prefixBytes = HEADER_BYTES_MAX + keyLength
  }

  /** Bytes of the value that are here. */
  get arrivedBytes(): number {
    return this.receivedBytes
  }

  /** Bytes of the value that are still to come. */
  get missingBytes(): number {
    return this.valueLength - this.receivedBytes
  }

  /** Takes the next bytes of the value; false if there is no room for them, and all is given back. */
  append(source: ByteBlock, offset: number, length: number, nowSeconds: number): boolean {
    let done = 0
    while (done < length) {
      const room = this.makeRoom(nowSeconds)
      if (room === 0) return false
      const chunk = Math.min(room, length - done)
      const within = this.view.segmentBytes - room
      this.view.copyIn(this.lastSegment, within, source, offset + done, chunk)
      done += chunk
      this.receivedBytes += chunk
    }
    return true
  }

  /**
   * How many bytes can be taken without a further segment; takes one if there is no room, for which
   * no stripe may be held. 0: there is none to be had, and all is given back.
   */
  makeRoom(nowSeconds: number): number {
    const { segmentBytes } = this.view
    const position = this.prefixBytes + this.receivedBytes
    while (this.segmentCount * segmentBytes <= position) {
      if (!this.takeSegment(nowSeconds)) {
        this.abandon()
        return 0
      }
    }
    return this.segmentCount * segmentBytes - position
  }

  /** Takes the next bytes, no more than there is room for, from a record that may span. */
  appendFrom(segment: number, position: number, length: number): void {
    const { segmentBytes } = this.view
    const within = this.prefixBytes + this.receivedBytes - (this.segmentCount - 1) * segmentBytes
    this.view.copyAcross(segment, position, this.lastSegment, within, length)
    this.receivedBytes += length
  }

  /** As that of ArrivingValue; of no length where the next byte takes a further segment. */
  room(lengthMax: number): Uint8Array {
    const { view, lastSegment } = this
    const { segmentBytes } = view
    const end = this.segmentCount * segmentBytes
    const left = end - this.prefixBytes - this.receivedBytes
    const length = Math.min(lengthMax, left, this.missingBytes)
    return view.bytesAt(lastSegment, segmentBytes - left, length)
  }

  advance(length: number): void {
    this.view.copiedBytes += length
    this.receivedBytes += length
  }

  /** Gives back everything that was taken. */
  abandon(): void {
    let part = this.segment
    this.segment = -1
    while (part >= 0) {
      const next = this.view.continuation(part)
      this.pool.free(part)
      part = next
    }
    this.forgetCount()
  }

  /** The epoch is written into its segments with beforeLink(), whatever it is. */
  isOf(_epoch: number): boolean {
    return true
  }

  moveOn(): boolean {
    return true
  }

  /**
   * Makes the segments ones of a record that is about to be linked: of the age of now, of its group
   * and of the epoch in which its key was looked up, each naming the record that continues in it.
   */
  beforeLink(recordBytes: number, group: number, epoch: number, _expiry: number): void {
    const { control, view } = this
    const location = view.locationOf(this.segment, 0)
    const due = this.pool.dueOf(group)
    let left = recordBytes
    for (let part = this.segment; part >= 0; part = view.continuation(part)) {
      const record = view.segmentRecord(part)
      control[record + SEGMENT_EPOCH] = epoch
      control[record + SEGMENT_GROUP] = group
      control[record + SEGMENT_SEQUENCE] = control[SEALED_EVER_WORD]!
      control[record + SEGMENT_DUE] = due
      if (part !== this.segment) {
        control[record + SEGMENT_HEAD_ITEM] = location
        control[record + SEGMENT_FIRST] = Math.min(left, view.segmentBytes)
      }
      left -= view.segmentBytes
    }
  }

  /** Says that the record, `recordBytes` long, is linked: its segments are sealed. */
  commit(recordBytes: number, expiry: number): void {
    const { segment } = this
    this.segment = -1
    this.log.commitOwn(segment, recordBytes, expiry)
    this.forgetCount()
  }

  private takeSegment(nowSeconds: number): boolean {
    if (!this.fits) return false
    const { control, pool, reserveSegments } = this
    const held = Atomics.add(control, RECEIVING_COUNT_WORD, 1)
    const isAlone = held === this.segmentCount
    if (!isAlone && held >= pool.holdings.segmentCount >> 1) {
      Atomics.sub(control, RECEIVING_COUNT_WORD, 1)
      return false
    }
    const epoch = Atomics.load(control, EPOCH_WORD)
    let segment = -1
    while (
      segment < 0 &&
      (pool.freeCount > reserveSegments || this.reclaimer.makeFree(1 + reserveSegments, nowSeconds))
    ) {
      // The group is known when the value is stored.
      segment = pool.takeOpen(reserveSegments, epoch, 0, RECEIVING_SEGMENT)
    }
    if (segment < 0) {
      Atomics.sub(control, RECEIVING_COUNT_WORD, 1)
      return false
    }
    if (this.segment < 0) this.segment = segment
    else control[this.view.segmentRecord(this.lastSegment) + SEGMENT_CONTINUES] = segment + 1
    this.lastSegment = segment
    this.segmentCount++
    this.log.receivingSegments++
    return true
  }

  private forgetCount(): void {
    Atomics.sub(this.control, RECEIVING_COUNT_WORD, this.segmentCount)
    this.log.receivingSegments -= this.segmentCount
    this.segmentCount = 0
  }
}
