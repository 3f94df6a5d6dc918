/**
 * Values that are sent from where they are stored. A pin keeps the bytes of one part of a value as they are
 * while the kernel may still read them; the item may be overwritten, deleted or evicted meanwhile. Hot
 * path of values of many KiB.
 *
 *     pins > 0:   sealed ... -- nothing alive in it --> PINNED -- last pin released --> FREE
 *
 * Invariants: a part is pinned while the item is held, so its segment is not free then, and does not become
 * free before the pin is released: SegmentPool asks for pins where a segment would come to be so. Only
 * values are pinned that are never overwritten where they lie, which Writer does to small records. No
 * more than a 16th of the segments that a namespace has are pinned, whoever does not take its replies:
 * beyond that nothing is, and the value has to be copied.
 */
import { assert } from '../base/assert.ts'
import { PINNED_COUNT_WORD } from './control-block.ts'
import { COPIED_LOCKED_BYTES_MAX } from './item.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'

/** Of the segments, a 16th. */
const PINNED_SHARE_SHIFT = 4

/** Takes the parts of a value, each of which is to be released once. */
export interface PinnedParts {
  addPart(bytes: Uint8Array, pins: Pins, segment: number): void
}

export class Pins {
  private readonly view: MemoryView
  private readonly pool: SegmentPool
  private readonly control: Int32Array
  /** One word for each segment. */
  private readonly pinsWord: number

  constructor(view: MemoryView, pool: SegmentPool) {
    this.view = view
    this.pool = pool
    this.control = view.control
    this.pinsWord = view.geometry.pinsWord
  }

  /**
   * Pins `length` bytes from `position` on of a record that begins in `segment` and is held. False: too
   * much is pinned already, and nothing was.
   */
  pin(segment: number, position: number, length: number, parts: PinnedParts): boolean {
    const { view, control } = this
    const { segmentBytes } = view
    assert(length >= COPIED_LOCKED_BYTES_MAX, 'what may be overwritten where it lies is not pinned')
    let at = view.segmentAt(segment, position)
    let offset = position & (segmentBytes - 1)
    const count = Math.ceil((offset + length) / segmentBytes)
    const countMax = this.pool.holdings.segmentCount >> PINNED_SHARE_SHIFT
    if (Atomics.add(control, PINNED_COUNT_WORD, count) + count > countMax) {
      Atomics.sub(control, PINNED_COUNT_WORD, count)
      return false
    }
    // It takes as long as copying them would.
    view.copiedBytes += length
    for (let left = length; left > 0; ) {
      const room = Math.min(left, segmentBytes - offset)
      Atomics.add(control, this.pinsWord + at, 1)
      const { buffer } = view.segmentArena(at)
      parts.addPart(new Uint8Array(buffer, view.segmentByteBase(at) + offset, room), this, at)
      left -= room
      offset = 0
      if (left > 0) at = view.continuation(at)
    }
    return true
  }

  /** The kernel has the bytes of one part, or will never ask for them. */
  release(segment: number): void {
    const { control } = this
    const before = Atomics.sub(control, this.pinsWord + segment, 1)
    assert(before > 0, 'a pin is released once')
    if (before === 1) this.pool.unpinned(segment)
    Atomics.sub(control, PINNED_COUNT_WORD, 1)
  }
}
