/**
 * Hot path. The send buffer: one a worker, shared by its connections, because it is empty whenever
 * a connection's turn ends. Replies of one turn are gathered here and leave in one write.
 *
 *   0            used                    capacity
 *   |  replies   |        room           |
 *
 * Invariant: `0 <= used <= capacity`, and whoever writes has made sure of the room before.
 */

import { latin1Slice } from '../base/latin1.ts'

/** Fits the replies to one full receive buffer of small requests, and values of up to 64 KiB. */
const CAPACITY_BYTES = 64 * 1024

/**
 * Up to this size a reply leaves fastest as a latin1 string: libuv writes it from its stack without
 * a request object (test/bench/socket-layer.mjs).
 */
const STRING_BYTES_MAX = 16 * 1024

/** A large value's buffer up to this size is kept for the next one. */
const KEPT_LARGE_BYTES_MAX = 2 * 1024 * 1024

export class SendBuffer {
  readonly bytes: Buffer
  readonly capacity: number = CAPACITY_BYTES
  used = 0

  /** A buffer for a value too large to be gathered, if the kernel has taken all of the last one. */
  private spare: Buffer | undefined = undefined

  constructor() {
    this.bytes = Buffer.allocUnsafeSlow(CAPACITY_BYTES)
  }

  /** A buffer of `length` bytes for a value that leaves by itself. What it holds is undefined. */
  lend(length: number): Buffer {
    const spare = this.spare
    this.spare = undefined
    if (spare !== undefined && spare.length >= length) return spare.subarray(0, length)
    return Buffer.allocUnsafeSlow(length)
  }

  /** Takes a lent buffer back, once nothing of it waits to be sent. */
  giveBack(lent: Uint8Array): void {
    if (lent.buffer.byteLength > KEPT_LARGE_BYTES_MAX) return
    this.spare = Buffer.from(lent.buffer as ArrayBuffer)
  }

  /** Takes everything gathered, in the form that is cheapest to write, and empties the buffer. */
  take(): string | Uint8Array {
    const used = this.used
    this.used = 0
    if (used <= STRING_BYTES_MAX) return latin1Slice(this.bytes, 0, used)
    return Buffer.from(this.bytes.subarray(0, used))
  }
}
