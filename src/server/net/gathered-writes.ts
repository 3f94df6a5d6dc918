/**
 * Hot path. Writes to a handle of TLS, which takes one at a time, and each ends later: those that come meanwhile are
 * gathered, and go out as one. Node calls back at the end of a write only if it is asked to: where something waits for it,
 * or the kernel did not take what was encrypted.
 *
 * Invariant: bytes are encrypted, or copied, before `write` returns.
 */
import type { HandleWriter, LateWrite, WritableHandle, WriteRequest } from './handle-writer.ts'

/** Whose writes they are. */
export interface WritesOwner {
  /** All is written for which the end of a write was waited for. */
  onSent(): void
  onBroken(): void
}

/** A write of up to this size goes to the socket as one. */
const WHOLE_WRITE_BYTES_MAX = 128 * 1024

const NOTHING = Buffer.alloc(0)

export class GatheredWrites implements LateWrite {
  private readonly handle: WritableHandle
  /** Under the encryption: it tells what the kernel has not taken. */
  private readonly under: WritableHandle
  private readonly writer: HandleWriter
  private readonly owner: WritesOwner
  /** Of the write under way; 0: none is. */
  private writingBytes = 0
  private request: WriteRequest | undefined = undefined
  /** Its end will be told. */
  private isTold = false
  /** Behind it. */
  private gathered: Uint8Array[] = []
  private gatheredBytes = 0

  constructor(
    handle: WritableHandle,
    under: WritableHandle,
    writer: HandleWriter,
    owner: WritesOwner,
  ) {
    this.handle = handle
    this.under = under
    this.writer = writer
    this.owner = owner
  }

  get unsentBytes(): number {
    if (this.writingBytes === 0) return 0
    // What is encrypted counts as unsent until the write's end is told, which is always later.
    return (this.isTaken ? 0 : (this.handle.writeQueueSize ?? 0)) + this.gatheredBytes
  }

  /** The kernel has what was encrypted, as far as that can be told. */
  private get isTaken(): boolean {
    return this.under.writeQueueSize === 0 && this.writingBytes <= WHOLE_WRITE_BYTES_MAX
  }

  isWriting(): boolean {
    const { request } = this
    if (request === undefined) return false
    if (this.isTold || this.writer.isUnderWay(request)) return true
    this.request = undefined
    this.writingBytes = 0
    return false
  }

  /** Has the end of the write under way told. */
  awaitEnd(): void {
    if (this.isTold || this.request === undefined) return
    this.isTold = true
    this.writer.tellEnd(this.request, this)
  }

  write(bytes: Uint8Array): void {
    if (this.isWriting()) {
      this.awaitEnd()
      this.gathered.push(Uint8Array.from(bytes))
      this.gatheredBytes += bytes.length
    } else {
      this.send(bytes)
    }
  }

  onWriteWaits(): void {
    // Every write does.
  }

  onWritten(status: number): void {
    this.writingBytes = 0
    this.request = undefined
    this.isTold = false
    if (status !== 0) {
      this.owner.onBroken()
      return
    }
    if (this.gathered.length > 0) {
      const [first = NOTHING] = this.gathered
      const all = this.gathered.length === 1 ? first : Buffer.concat(this.gathered)
      this.gathered = []
      this.gatheredBytes = 0
      if (!this.send(all)) return
      // Whoever was told that bytes are unsent, or wants the end, waits for this one.
      this.awaitEnd()
      if (this.request !== undefined) return
    }
    this.owner.onSent()
  }

  /** False: the connection is broken. */
  private send(bytes: Uint8Array): boolean {
    const request = this.writer.begin(this.handle, bytes)
    if (typeof request === 'number') {
      if (request !== 0) this.owner.onBroken()
      return request === 0
    }
    this.request = request
    this.isTold = false
    this.writingBytes = bytes.length
    if (!this.isTaken) this.awaitEnd()
    return true
  }
}
