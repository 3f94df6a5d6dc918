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
 * a request object (test/bench/README.md, "socket layer").
 */
const STRING_BYTES_MAX = 16 * 1024

export class SendBuffer {
  readonly bytes: Buffer
  readonly capacity: number = CAPACITY_BYTES
  used = 0

  constructor() {
    this.bytes = Buffer.allocUnsafeSlow(CAPACITY_BYTES)
  }

  /** Takes everything gathered, in the form that is cheapest to write, and empties the buffer. */
  take(): string | Uint8Array {
    const used = this.used
    this.used = 0
    if (used <= STRING_BYTES_MAX) return latin1Slice(this.bytes, 0, used)
    return Buffer.from(this.bytes.subarray(0, used))
  }
}
