/**
 * Hot path. The way of a connection's replies to its transport, and what of them its peer has not taken:
 * how much memory that holds, and for how long it has stood still.
 *
 * Invariant: what is held is in the reply memory, which bounds it over all connections, from the write
 * that left it behind until `settle`.
 */
import type { HeldValue } from '../command/commands.ts'
import type { LargeCopy } from '../command/transfers/large-copies.ts'
import { COUNTER } from '../observe/counters.ts'
import type { Transport } from './transport.ts'
import type { WorkerContext } from './worker-context.ts'

/** While unread replies fill their memory, how long a reader may stand still. */
const FULL_STALL_MS = 1000

/** What follows from a write: nothing, or no further request is served, or the connection is given up. */
export const REPLIES_LEFT = 0
export const REPLIES_BLOCK = 1
export const REPLIES_EXCEED = 2

export class ReplyWriter {
  /** The last write left bytes behind; they may have gone since. */
  mayOweBytes = false
  private readonly context: WorkerContext
  private readonly transport: Transport
  /** Memory of replies, copies apart, that the peer has not taken all of. */
  private heldBytes = 0
  /** Copies that were sent, of which the peer may have some to take. */
  private sentCopies: LargeCopy[] | undefined = undefined
  /** What the peer still owed us when it was last seen to take something, and when that was. */
  private seenBytes = 0
  private seenMs = 0

  constructor(context: WorkerContext, transport: Transport) {
    this.context = context
    this.transport = transport
  }

  /** Hands the gathered replies to the transport. Each of these returns a REPLIES_ number. */
  flush(): number {
    const { sendBuffer, lane } = this.context
    lane[COUNTER.bytes_written]! += sendBuffer.used
    if (sendBuffer.parts.bytes > 0) return this.flushJoined()
    if (this.mayOweBytes) {
      // Each further reply to a slow reader holds its own size, not a whole send buffer.
      const copy = sendBuffer.takeCopy()
      return this.note(this.transport.write(copy), copy.length)
    }
    const unsentBytes = this.transport.write(sendBuffer.take())
    if (unsentBytes === 0) return REPLIES_LEFT
    sendBuffer.replace()
    return this.note(unsentBytes, sendBuffer.capacity)
  }

  /**
   * Has the value that is held leave from where it is stored, behind what was gathered, and lets go of the
   * item. False: it has to be copied, as it is for whoever has replies to take, and while others hold much.
   */
  sendStored(held: HeldValue): boolean {
    const { sendBuffer, replyMemory } = this.context
    if (this.mayOweBytes || replyMemory.isCrowded) return false
    if (this.transport.writeParts === undefined) return false
    const { parts } = sendBuffer
    parts.place = sendBuffer.used
    if (!held.pinValue(parts)) return false
    held.release()
    return true
  }

  /** The same as `flush`, where values leave from where they are stored. */
  private flushJoined(): number {
    const { sendBuffer, lane } = this.context
    const { parts, used } = sendBuffer
    const partBytes = parts.bytes
    lane[COUNTER.bytes_written]! += partBytes
    const unsentBytes = this.transport.writeParts?.(sendBuffer.takeJoined(), parts) ?? 0
    if (!parts.isLate) {
      parts.release()
      return REPLIES_LEFT
    }
    const heldBytes = partBytes + (sendBuffer.isCopied ? used : sendBuffer.capacity)
    sendBuffer.leaveJoined()
    return this.note(unsentBytes, heldBytes)
  }

  /**
   * Sends a part that does not go through the send buffer. `heldBytes`: what has to be counted for it
   * while the peer has not taken it.
   */
  send(bytes: Uint8Array, heldBytes: number): number {
    this.context.lane[COUNTER.bytes_written]! += bytes.length
    return this.note(this.transport.write(bytes), heldBytes)
  }

  /** Is given back when the peer has taken it; until then it is counted as since it was begun. */
  keepCopy(copy: LargeCopy): void {
    this.sentCopies ??= []
    this.sentCopies.push(copy)
  }

  /** Sends lines that nothing is counted for: watchers.ts bounds them. */
  push(lines: Uint8Array): void {
    this.context.lane[COUNTER.bytes_written]! += lines.length
    this.owes(this.transport.write(lines))
  }

  /** Nothing of what was sent is unsent any more, or ever will be sent. */
  settle(): void {
    if (this.heldBytes > 0) {
      this.context.replyMemory.letGo(this.heldBytes)
      this.heldBytes = 0
    }
    if (this.sentCopies === undefined) return
    for (const copy of this.sentCopies) copy.giveBack()
    this.sentCopies = undefined
  }

  /** No further request is served from now on: time runs for the peer. */
  watchProgress(): void {
    this.seenBytes = this.transport.unsentBytes
    this.seenMs = this.context.nowMs
  }

  /** True while replies leave, or have not stood still for longer than the limit. */
  isProgressing(): boolean {
    const { unsentBytes } = this.transport
    const { nowMs, limits, replyMemory } = this.context
    if (unsentBytes === 0) return false
    if (unsentBytes !== this.seenBytes) {
      this.seenBytes = unsentBytes
      this.seenMs = nowMs
      return true
    }
    const stoodStillMs = nowMs - this.seenMs
    if (stoodStillMs >= FULL_STALL_MS && replyMemory.isFull) return false
    const { stalledWriteTimeoutMs } = limits
    return stalledWriteTimeoutMs === 0 || stoodStillMs < stalledWriteTimeoutMs
  }

  /** True: there is something to take, and it has stood still for longer. */
  hasStalled(): boolean {
    return this.transport.unsentBytes > 0 && !this.isProgressing()
  }

  /** So much is unsent. Where nothing is, nobody says later that it has gone. */
  private owes(unsentBytes: number): void {
    this.mayOweBytes = unsentBytes > 0
    if (unsentBytes === 0) this.settle()
  }

  /** The peer may not have taken all of what it was sent; `heldBytes` is the memory of the last part. */
  private note(unsentBytes: number, heldBytes: number): number {
    this.owes(unsentBytes)
    if (unsentBytes === 0) return REPLIES_LEFT
    const { limits, replyMemory } = this.context
    this.heldBytes += heldBytes
    replyMemory.hold(heldBytes)
    if (replyMemory.isExceeded) {
      replyMemory.countRefusal()
      return REPLIES_EXCEED
    }
    const isBlocked = unsentBytes >= limits.sendBufferBytesMax || replyMemory.isFull
    return isBlocked ? REPLIES_BLOCK : REPLIES_LEFT
  }
}
