/**
 * Hot path. What a connection has received and not yet consumed. Most of the time that is nothing:
 * requests are decoded where the worker's shared read buffer has them, and only the tail of a
 * request that is still coming, or what waits behind a login, is kept here.
 *
 *   0        start            end          capacity
 *   | free   | not consumed   |   free     |
 *
 * Invariant: `0 <= start <= end <= capacity`. Memory grows with the bytes that arrive, never with
 * the length that a header claims, and is given back when the buffer runs empty. Small blocks go to
 * a list that all connections of the worker take theirs from: left to the collector, which is in no
 * hurry where little else is allocated, they were 25 MiB of every busy worker.
 */
import { assert } from '../base/assert.ts'

export class ReceiveBuffer {
  bytes: Buffer = NONE
  start = 0
  end = 0

  get length(): number {
    return this.end - this.start
  }

  get capacity(): number {
    return this.bytes.length
  }

  /**
   * Appends `length` bytes of `source`. `wantedBytes` is the size of the request under way: growth
   * doubles but stops there, so that a 1 MiB value ends in a buffer of 1 MiB. 0: it is not known
   * (a line without its end), growth just doubles.
   */
  append(source: Uint8Array, offset: number, length: number, wantedBytes: number): void {
    const kept = this.end - this.start
    if (this.bytes.length - this.end < length) {
      if (kept + length <= this.bytes.length) {
        this.bytes.copyWithin(0, this.start, this.end)
      } else {
        const grown = takeBlock(this.capacityFor(length, wantedBytes))
        this.bytes.copy(grown, 0, this.start, this.end)
        giveBack(this.bytes)
        this.bytes = grown
      }
      this.start = 0
      this.end = kept
    }
    this.bytes.set(source.subarray(offset, offset + length), this.end)
    this.end += length
    assert(this.start <= this.end && this.end <= this.bytes.length, 'what is kept is in the buffer')
  }

  /** How much memory it will hold with `length` bytes more. */
  capacityFor(length: number, wantedBytes: number): number {
    const needed = this.end - this.start + length
    if (needed <= this.bytes.length) return this.bytes.length
    const bound = wantedBytes === 0 ? Number.POSITIVE_INFINITY : wantedBytes
    return blockBytes(Math.max(needed, Math.min(bound, this.bytes.length * 2)))
  }

  consume(length: number): void {
    this.start += length
    assert(length >= 0 && this.start <= this.end, 'no more is consumed than was received')
    if (this.start === this.end) this.clear()
  }

  clear(): void {
    giveBack(this.bytes)
    this.bytes = NONE
    this.start = 0
    this.end = 0
  }
}

const NONE: Buffer = Buffer.alloc(0)
/**
 * Blocks of 512 bytes to 1 MiB are powers of two and kept: of each size up to 128 KiB, which is what a
 * whole read behind a small rest takes, 2 MiB in all; of each larger one two, 3.5 MiB in all. Left to the
 * collector, those of 1 MiB were 60 MiB of a worker that takes values of that size.
 */
const BYTES_MIN_SHIFT = 9
const BLOCK_SIZES = 12
const SMALL_SIZES = 9
const KEPT_PER_SMALL_SIZE = 8
const KEPT_PER_LARGE_SIZE = 2
const KEPT_BYTES_MAX = 1 << (BYTES_MIN_SHIFT + BLOCK_SIZES - 1)

/** Blocks nobody uses, by size. */
const kept: Buffer[][] = Array.from({ length: BLOCK_SIZES }, () => [])

/** The size of the block that is taken for `bytes`: a power of two where that is small. */
function blockBytes(bytes: number): number {
  return bytes > KEPT_BYTES_MAX ? bytes : 1 << (sizeOf(bytes) + BYTES_MIN_SHIFT)
}

/** A block of that size; what it holds is undefined. */
function takeBlock(bytes: number): Buffer {
  if (bytes > KEPT_BYTES_MAX) return Buffer.allocUnsafeSlow(bytes)
  return kept[sizeOf(bytes)]!.pop() ?? Buffer.allocUnsafeSlow(bytes)
}

function giveBack(block: Buffer): void {
  if (block.length === 0 || block.length > KEPT_BYTES_MAX) return
  const size = sizeOf(block.length)
  const blocks = kept[size]!
  const most = size < SMALL_SIZES ? KEPT_PER_SMALL_SIZE : KEPT_PER_LARGE_SIZE
  if (blocks.length < most) blocks.push(block)
}

/** Which of the sizes holds `bytes`. */
function sizeOf(bytes: number): number {
  return Math.max(0, 32 - Math.clz32(bytes - 1) - BYTES_MIN_SHIFT)
}
