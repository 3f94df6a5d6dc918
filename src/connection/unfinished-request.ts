/**
 * Hot path. The beginning of a request that has not come to its end, and what waits behind one: kept in a
 * receive buffer, within the memory that there is for such, and counted.
 *
 * Invariant: the gauges of buffered input are true after each `settle`, and of a client that is not
 * logged in no more is kept than the memory set apart for strangers allows.
 */
import { NAMESPACE_DEFAULT } from '../credential/principal.ts'
import { COUNTER } from '../observe/counters.ts'
import { ReceiveBuffer } from './receive-buffer.ts'
import type { WorkerContext } from './worker-context.ts'

/**
 * What each connection may keep, whatever others do: one read behind a request that waits, or a request
 * of that size. Larger ones share a bound.
 */
const KEPT_BYTES_ALWAYS = 128 * 1024
/** The same for a client that is not logged in: a login by any mechanism. */
const STRANGER_BYTES_ALWAYS = 4096

const LINE_FEED = 0x0a
/** Of who is not logged in. */
const NOWHERE = -1

export class UnfinishedRequest {
  readonly buffer: ReceiveBuffer = new ReceiveBuffer()
  private readonly context: WorkerContext
  /** What this connection has put into the gauge of buffered bytes, and into that of strangers. */
  private countedBytes = 0
  private countedStrangerBytes = 0
  /** The same for a namespace, and which. */
  private namespaceBytes = 0
  private namespace = NOWHERE

  constructor(context: WorkerContext) {
    this.context = context
  }

  /**
   * Where in `bytes[offset, length)` that ends which the request lacks of `wantedBytes`, or, if they are
   * 0, of its line.
   */
  endIn(bytes: Uint8Array, offset: number, length: number, wantedBytes: number): number {
    const missingBytes = wantedBytes - this.buffer.length
    if (missingBytes > 0) return Math.min(length, offset + missingBytes)
    const lineEnd = wantedBytes === 0 ? bytes.indexOf(LINE_FEED, offset) : -1
    return lineEnd < 0 || lineEnd >= length ? length : lineEnd + 1
  }

  /** False: with `length` bytes more it takes more memory than there is for such. */
  hasRoomFor(
    length: number,
    wantedBytes: number,
    isLoggedIn: boolean,
    namespace: number = NAMESPACE_DEFAULT,
  ): boolean {
    const { buffer } = this
    const capacity = buffer.capacityFor(length, wantedBytes)
    const always = isLoggedIn ? KEPT_BYTES_ALWAYS : STRANGER_BYTES_ALWAYS
    if (capacity <= always || capacity === buffer.capacity) return true
    return this.context.hasRoomFor(capacity - buffer.capacity, isLoggedIn, namespace)
  }

  /** Counts a stranger for whose bytes there is no room. */
  countRefusal(): void {
    this.context.lane[COUNTER.unauthenticated_buf_oom]!++
  }

  clear(isLoggedIn: boolean, namespace: number): void {
    this.buffer.clear()
    this.settle(isLoggedIn, namespace)
  }

  /** Keeps the gauges true, after the buffer or the login changed. */
  settle(isLoggedIn: boolean, namespace: number): void {
    const { lane } = this.context
    const bytes = this.buffer.capacity
    const strangerBytes = isLoggedIn ? 0 : bytes
    if (strangerBytes !== this.countedStrangerBytes) {
      lane[COUNTER.unauthenticated_buf_bytes]! += strangerBytes - this.countedStrangerBytes
      this.countedStrangerBytes = strangerBytes
    }
    this.countFor(isLoggedIn ? namespace : NOWHERE, bytes)
    if (bytes === this.countedBytes) return
    if (this.countedBytes === 0) lane[COUNTER.read_buf_count]!++
    else if (bytes === 0) lane[COUNTER.read_buf_count]!--
    lane[COUNTER.read_buf_bytes]! += bytes - this.countedBytes
    this.countedBytes = bytes
  }

  private countFor(namespace: number, bytes: number): void {
    if (namespace !== this.namespace) {
      this.count(0)
      this.namespace = namespace
    }
    this.count(namespace === NOWHERE ? 0 : bytes)
  }

  private count(bytes: number): void {
    if (bytes === this.namespaceBytes) return
    this.context.countUnfinished(this.namespace, bytes - this.namespaceBytes)
    this.namespaceBytes = bytes
  }
}
