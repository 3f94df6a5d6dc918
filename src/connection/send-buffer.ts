/**
 * Hot path. The send buffer: one a worker, shared by its connections, because it is empty whenever
 * a connection's turn ends. Replies of one turn are gathered here and leave in one write, from
 * where they are (test/bench/socket-layer.mjs: a string or a copy of them costs more).
 *
 *   0            used                    capacity
 *   |  replies   |        room           |
 *
 * Invariant: `0 <= used <= capacity`, whoever writes has made sure of the room before, and what was
 * taken out is sent before the next reply is written: a buffer that the kernel did not take all of
 * is replaced.
 */
import { assert } from '../base/assert.ts'
import { PINNED_BYTES_MIN } from './portions.ts'
import { ReplyParts } from './reply-parts.ts'

/**
 * Fits the replies to one full receive buffer of small requests, and values of 64 KiB with what
 * stands around them: in a text dialect a value that does not fit takes three writes.
 */
export const SEND_BUFFER_BYTES: number = 128 * 1024

/**
 * The views of replies up to this size are kept, one a length: making one costs a fifth of a small
 * write. All together they are half a megabyte.
 */
const KEPT_VIEW_BYTES_MAX = 4096

/**
 * A reply is begun where it has so much room for a value beside what stands around that: one that does not fit takes
 * two writes more, and longer ones leave from where they are stored.
 */
const VALUE_ROOM_BYTES: number = PINNED_BYTES_MIN

/** A large value's buffer up to this size is kept for the next one. */
const KEPT_LARGE_BYTES_MAX = 2 * 1024 * 1024

/** The kernel takes less than this in one write even where its buffers are small, as a rule. */
const LATE_BYTES_MIN = 128 * 1024
/** What stands around values, if there are few of them. */
const COPIED_BYTES_MAX = 1024

export class SendBuffer {
  bytes: Buffer
  readonly capacity: number = SEND_BUFFER_BYTES
  used = 0
  /** What leaves with the gathered replies without being in the buffer. */
  parts: ReplyParts = new ReplyParts()

  /** Of what was taken last with its parts: it does not refer to the buffer. */
  isCopied = false
  /** A buffer for a value too large to be gathered, if the kernel has taken all of the last one. */
  private spare: Buffer | undefined = undefined
  /** The first n bytes, at index n; filled as lengths come up. */
  private views: (Uint8Array | undefined)[]

  constructor() {
    this.bytes = Buffer.allocUnsafeSlow(SEND_BUFFER_BYTES)
    this.views = noViews()
  }

  /** Whether a reply can begin, which has up to `aroundBytes` around a value. */
  hasRoomFor(aroundBytes: number): boolean {
    return this.capacity - this.used >= aroundBytes + VALUE_ROOM_BYTES
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

  /**
   * Takes everything gathered and empties the buffer. The bytes are still in it: they must be sent
   * before it is written to again, or else `replace` called.
   */
  take(): Uint8Array {
    const used = this.used
    assert(used <= this.capacity, 'whoever writes a reply has made sure of the room')
    this.used = 0
    if (used > KEPT_VIEW_BYTES_MAX) return new Uint8Array(this.bytes.buffer, 0, used)
    let view = this.views[used]
    if (view === undefined) {
      view = new Uint8Array(this.bytes.buffer, 0, used)
      this.views[used] = view
    }
    return view
  }

  /**
   * Takes everything gathered, parts included, and empties the buffer. Where the kernel may not take that
   * much at once, what is in the buffer leaves as a copy if it is short, and `isCopied` is set.
   */
  takeJoined(): Uint8Array[] {
    const { used, parts } = this
    assert(used <= this.capacity, 'whoever writes a reply has made sure of the room')
    this.used = 0
    this.isCopied = used <= COPIED_BYTES_MAX && parts.bytes >= LATE_BYTES_MIN
    const head = this.isCopied ? Buffer.from(this.bytes.subarray(0, used)) : this.bytes
    return parts.joinWith(head, used)
  }

  /** Leaves the parts to the write that took them and has not ended, and the memory, if it is in it. */
  leaveJoined(): void {
    this.parts = new ReplyParts()
    if (!this.isCopied) this.replace()
  }

  /** The same as a copy, for a connection that still has to send what it was given before. */
  takeCopy(): Uint8Array {
    assert(this.used <= this.capacity, 'whoever writes a reply has made sure of the room')
    const copy = Buffer.from(this.bytes.subarray(0, this.used))
    this.used = 0
    return copy
  }

  /** Leaves the memory to what was taken last and is not sent yet. */
  replace(): void {
    this.bytes = Buffer.allocUnsafeSlow(SEND_BUFFER_BYTES)
    this.views = noViews()
  }
}

function noViews(): (Uint8Array | undefined)[] {
  return new Array<Uint8Array | undefined>(KEPT_VIEW_BYTES_MAX + 1).fill(undefined)
}
