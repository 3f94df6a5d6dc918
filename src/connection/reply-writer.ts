/**
 * Hot path. Hands the replies of a connection to its transport, and keeps account of those that the peer has not taken:
 * how much memory they hold, and for how long none of them has moved.
 *
 * Invariant: from the write that left bytes behind until `settle`, what it holds is counted in the reply memory
 * (reply-memory.ts), which bounds the sum over all connections. After `end` nothing is counted, even if the transport
 * still says that bytes are unsent: it was dropped.
 */
import type { HeldValue } from '../command/commands.ts'
import type { LargeCopy } from '../command/transfers/large-copies.ts'
import { NAMESPACE_DEFAULT } from '../credential/principal.ts'
import { COUNTER } from '../observe/counters.ts'
import { STRANGERS_HOLDER } from './namespace-shares.ts'
import type { Transport } from './transport.ts'
import type { WorkerContext } from './worker-context.ts'

/** While unread replies fill their memory, how long a reader may stand still. */
const FULL_STALL_MS = 1000

/** What follows from a write: nothing, or no further request is served, or the connection is given up. */
export const REPLIES_LEFT = 0
export const REPLIES_BLOCK = 1
export const REPLIES_EXCEED = 2

/** Whose replies they are. */
export interface RepliesOwner {
  readonly isOpen: boolean
  readonly namespace: number
}

export class ReplyWriter {
  /** The last write left bytes behind; they may have gone since. */
  mayOweBytes = false
  private hasEnded = false
  private readonly context: WorkerContext
  private readonly transport: Transport
  private readonly owner: RepliesOwner
  /** Memory of replies, copies apart, that the peer has not taken all of; and by whom it is held. */
  private heldBytes = 0
  private holder = NAMESPACE_DEFAULT
  /** Copies that were sent, of which the peer may have some to take. */
  private sentCopies: LargeCopy[] | undefined = undefined
  /** What the peer still owed us when it was last seen to take something, and when that was. */
  private seenBytes = 0
  private seenMs = 0

  constructor(context: WorkerContext, transport: Transport, owner: RepliesOwner) {
    this.context = context
    this.transport = transport
    this.owner = owner
  }

  /** No more is to be held for whoever reads here. */
  get isMemoryFull(): boolean {
    return this.context.replyMemory.isFull(this.holder)
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
      this.context.replyMemory.letGo(this.heldBytes, this.holder)
      this.heldBytes = 0
    }
    if (this.sentCopies === undefined) return
    for (const copy of this.sentCopies) copy.giveBack()
    this.sentCopies = undefined
  }

  /** The connection is no more. */
  end(): void {
    this.hasEnded = true
    this.settle()
  }

  /** No further request is served from now on: time runs for the peer. */
  watchProgress(): void {
    this.seenBytes = this.transport.unsentBytes
    this.seenMs = this.context.nowMs
  }

  /** True while replies leave, or have not stood still for longer than the limit. */
  isProgressing(): boolean {
    const { unsentBytes } = this.transport
    const { nowMs, limits } = this.context
    if (unsentBytes === 0) return false
    if (unsentBytes !== this.seenBytes) {
      this.seenBytes = unsentBytes
      this.seenMs = nowMs
      return true
    }
    const stoodStillMs = nowMs - this.seenMs
    if (stoodStillMs >= FULL_STALL_MS && this.isMemoryFull) return false
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
    if (unsentBytes === 0 || this.hasEnded) return REPLIES_LEFT
    const { limits, replyMemory } = this.context
    this.heldFor(this.owner.isOpen ? this.owner.namespace : STRANGERS_HOLDER)
    this.heldBytes += heldBytes
    replyMemory.hold(heldBytes, this.holder)
    if (replyMemory.isExceeded(this.holder)) {
      replyMemory.countRefusal()
      return REPLIES_EXCEED
    }
    const isBlocked = unsentBytes >= limits.sendBufferBytesMax || this.isMemoryFull
    return isBlocked ? REPLIES_BLOCK : REPLIES_LEFT
  }

  /** Who logs in as somebody else takes along what is unread. */
  private heldFor(holder: number): void {
    if (holder === this.holder) return
    const { replyMemory } = this.context
    replyMemory.letGo(this.heldBytes, this.holder)
    replyMemory.hold(this.heldBytes, holder)
    this.holder = holder
  }
}
