/**
 * One worker's views of the shared memory, and the arithmetic of addresses. Hot path.
 *
 *     location (uint32, in units):   arena | segment within arena | unit within segment
 *
 * Invariant: a location is valid while the segment it points into is not free; who may follow one,
 * and under which lock, is up to the callers.
 */
import { ByteBlock, copyBytes } from '../base/bytes.ts'
import { EPOCH_WORD, SEGMENT_CONTINUES, SEGMENT_WORDS } from './control-block.ts'
import { ARENA_SHIFT, type Geometry, type StoreMemory } from './geometry.ts'

/** Bytes copied in and out so far, moves included: what bounds a turn. Anybody may set it back. */
export interface CopyCount {
  copiedBytes: number
}

const NOTHING: Uint8Array = new Uint8Array(0)

export class MemoryView implements CopyCount {
  readonly geometry: Geometry
  readonly control: Int32Array
  readonly words: readonly Int32Array[]
  readonly blocks: readonly ByteBlock[]
  readonly unitShift: number
  readonly segmentShift: number
  readonly segmentBytes: number
  /** Shift from a segment to its arena, and mask of a segment within it. */
  readonly arenaSegmentShift: number
  readonly arenaSegmentMask: number
  copiedBytes = 0
  readonly #segmentsWord: number
  readonly #isShared: boolean

  constructor(memory: StoreMemory) {
    const { geometry } = memory
    this.geometry = geometry
    this.control = new Int32Array(memory.control)
    const { arenas, home } = memory
    // Behind the arenas: a page of the index, which is named like a segment but is none.
    this.words = [...arenas, ...(home === undefined ? [] : [home])].map((it) => new Int32Array(it))
    this.blocks = arenas.map((arena) => new ByteBlock(new Uint8Array(arena)))
    this.unitShift = geometry.unitShift
    this.segmentShift = geometry.segmentShift
    this.segmentBytes = geometry.segmentBytes
    this.arenaSegmentShift = ARENA_SHIFT - geometry.segmentShift
    this.arenaSegmentMask = (1 << this.arenaSegmentShift) - 1
    this.#segmentsWord = geometry.segmentsWord
    this.#isShared = geometry.workerCount > 1
  }

  /**
   * How many flushes there were. Where no other worker can flush, it is an ordinary read: V8 calls a
   * function for every atomic operation, which was a twentieth of a pipelined get
   * (test/bench/dialect.bench.mjs).
   */
  get epoch(): number {
    const control = this.control
    return this.#isShared ? Atomics.load(control, EPOCH_WORD) : control[EPOCH_WORD]!
  }

  /** Where a segment's record begins in the control block. */
  segmentRecord(segment: number): number {
    return this.#segmentsWord + segment * SEGMENT_WORDS
  }

  /** The words of the arena in which a segment lies, and where it begins in them. */
  segmentArena(segment: number): Int32Array {
    return this.words[segment >>> this.arenaSegmentShift]!
  }

  segmentBlock(segment: number): ByteBlock {
    return this.blocks[segment >>> this.arenaSegmentShift]!
  }

  segmentBase(segment: number): number {
    return (segment & this.arenaSegmentMask) << (this.segmentShift - 2)
  }

  segmentByteBase(segment: number): number {
    return (segment & this.arenaSegmentMask) << this.segmentShift
  }

  locationOf(segment: number, offset: number): number {
    return (segment << (this.segmentShift - this.unitShift)) | (offset >>> this.unitShift) | 0
  }

  locationSegment(location: number): number {
    return location >>> (this.segmentShift - this.unitShift)
  }

  /** Byte offset within its segment. */
  locationOffset(location: number): number {
    return (location << this.unitShift) & (this.segmentBytes - 1)
  }

  locationArena(location: number): Int32Array {
    return this.words[location >>> (ARENA_SHIFT - this.unitShift)]!
  }

  /** Word offset within its arena. */
  locationBase(location: number): number {
    const unitShift = this.unitShift
    return (location & ((1 << (ARENA_SHIFT - unitShift)) - 1)) << (unitShift - 2)
  }

  /**
   * Copies bytes out of a record or into it. `position` counts from the start of `segment` and may
   * lie beyond its end when the record spans: the chain of segments is followed.
   */
  copyOut(
    segment: number,
    position: number,
    target: ByteBlock,
    targetOffset: number,
    length: number,
  ): void {
    this.copiedBytes += length
    const segmentBytes = this.segmentBytes
    let at = this.segmentAt(segment, position)
    let offset = position & (segmentBytes - 1)
    let done = 0
    while (done < length) {
      const room = segmentBytes - offset
      const chunk = Math.min(length - done, room)
      copyBytes(
        this.segmentBlock(at),
        this.segmentByteBase(at) + offset,
        target,
        targetOffset + done,
        chunk,
      )
      done += chunk
      offset = 0
      if (done < length) at = this.continuation(at)
    }
  }

  copyIn(
    segment: number,
    position: number,
    source: ByteBlock,
    sourceOffset: number,
    length: number,
  ): void {
    this.copiedBytes += length
    const segmentBytes = this.segmentBytes
    let at = this.segmentAt(segment, position)
    let offset = position & (segmentBytes - 1)
    let done = 0
    while (done < length) {
      const room = segmentBytes - offset
      const chunk = Math.min(length - done, room)
      copyBytes(
        source,
        sourceOffset + done,
        this.segmentBlock(at),
        this.segmentByteBase(at) + offset,
        chunk,
      )
      done += chunk
      offset = 0
      if (done < length) at = this.continuation(at)
    }
  }

  /** Copies between two records, either of which may span. */
  copyAcross(
    fromSegment: number,
    fromPosition: number,
    toSegment: number,
    toPosition: number,
    length: number,
  ): void {
    const segmentBytes = this.segmentBytes
    let from = this.segmentAt(fromSegment, fromPosition)
    let fromOffset = fromPosition & (segmentBytes - 1)
    let done = 0
    while (done < length) {
      const room = segmentBytes - fromOffset
      const chunk = Math.min(length - done, room)
      const source = this.segmentBlock(from)
      this.copyIn(
        toSegment,
        toPosition + done,
        source,
        this.segmentByteBase(from) + fromOffset,
        chunk,
      )
      done += chunk
      fromOffset = 0
      if (done < length) from = this.continuation(from)
    }
  }

  /**
   * The bytes of a record from `position` on, as far as they lie together: `lengthMax` at most, fewer where the
   * record goes on in another segment.
   */
  bytesAt(segment: number, position: number, lengthMax: number): Uint8Array {
    if (lengthMax <= 0) return NOTHING
    const { segmentBytes } = this
    const at = this.segmentAt(segment, position)
    const offset = position & (segmentBytes - 1)
    const length = Math.min(lengthMax, segmentBytes - offset)
    return new Uint8Array(this.segmentArena(at).buffer, this.segmentByteBase(at) + offset, length)
  }

  /** The segment of a record's chain, which begins in `segment`, in which what is at `position` lies. */
  segmentAt(segment: number, position: number): number {
    let at = segment
    for (let left = position; left >= this.segmentBytes; left -= this.segmentBytes) {
      at = this.continuation(at)
    }
    return at
  }

  /** The segment in which the last record of a segment continues. */
  continuation(segment: number): number {
    return this.control[this.segmentRecord(segment) + SEGMENT_CONTINUES]! - 1
  }
}
