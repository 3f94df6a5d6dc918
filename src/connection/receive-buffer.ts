/**
 * Hot path. What a connection has received and not yet consumed. Most of the time that is nothing:
 * requests are decoded where the worker's shared read buffer has them, and only the tail of a
 * request that is still coming, or what waits behind a login, is kept here.
 *
 *   0        start            end          capacity
 *   | free   | not consumed   |   free     |
 *
 * Invariant: `0 <= start <= end <= capacity`. Memory grows with the bytes that arrive, never with
 * the length that a header claims, and is given back when the buffer runs empty.
 */
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
    const needed = kept + length
    if (this.bytes.length - this.end < length) {
      if (needed <= this.bytes.length) {
        this.bytes.copyWithin(0, this.start, this.end)
      } else {
        const bound = wantedBytes === 0 ? Number.POSITIVE_INFINITY : wantedBytes
        const doubled = Math.max(needed, Math.min(bound, this.bytes.length * 2), BYTES_MIN)
        const grown = Buffer.allocUnsafeSlow(doubled)
        this.bytes.copy(grown, 0, this.start, this.end)
        this.bytes = grown
      }
      this.start = 0
      this.end = kept
    }
    this.bytes.set(source.subarray(offset, offset + length), this.end)
    this.end += length
  }

  consume(length: number): void {
    this.start += length
    if (this.start === this.end) this.clear()
  }

  clear(): void {
    this.bytes = NONE
    this.start = 0
    this.end = 0
  }
}

const NONE: Buffer = Buffer.alloc(0)
const BYTES_MIN = 512
