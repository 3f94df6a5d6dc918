/**
 * Hot path. Hands the replies of a connection to its transport, and keeps account of those that the peer has not taken:
 * how much memory they hold, how fast the peer takes them, and for how long none of them has moved.
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
import { Pace } from './pace.ts'
import type { Transport } from './transport.ts'
import type { WorkerContext } from './worker-context.ts'

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
  /** Of a peer that has not taken everything at once; and what it owed us when that was last looked at. */
  private pace: Pace | undefined = undefined
  private owedBytes = 0
  /** What the peer still owed us when it was last seen to take something, and when that was. */
  private seenBytes = 0
  private seenMs = 0

  constructor(context: WorkerContext, transport: Transport, owner: RepliesOwner) {
    this.context = context
    this.transport = transport
    this.owner = owner
  }

  /** Hands the gathered replies to the transport. Each of these returns a REPLIES_ number. */
  flush(): number {
    const { sendBuffer, lane } = this.context
    lane[COUNTER.bytes_written]! += sendBuffer.used
    if (sendBuffer.parts.bytes > 0) return this.flushJoined()
    if (this.mayOweBytes) {
      // Each further reply to a slow reader holds its own size, not a whole send buffer.
      const copy = sendBuffer.takeCopy()
      return this.note(this.transport.write(copy), copy.length, copy.length)
    }
    const { used } = sendBuffer
    const unsentBytes = this.transport.write(sendBuffer.take())
    if (unsentBytes === 0) return REPLIES_LEFT
    sendBuffer.replace()
    return this.note(unsentBytes, used, sendBuffer.capacity)
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
    return this.note(unsentBytes, partBytes + used, heldBytes)
  }

  /**
   * Sends a part that does not go through the send buffer. `heldBytes`: what has to be counted for it
   * while the peer has not taken it.
   */
  send(bytes: Uint8Array, heldBytes: number): number {
    this.context.lane[COUNTER.bytes_written]! += bytes.length
    return this.note(this.transport.write(bytes), bytes.length, heldBytes)
  }

  /** Is given back when the peer has taken it; until then it is counted as since it was begun. */
  keepCopy(copy: LargeCopy): void {
    this.sentCopies ??= []
    this.sentCopies.push(copy)
  }

  /** Sends lines that nothing is counted for: watchers.ts bounds them. */
  push(lines: Uint8Array): void {
    this.context.lane[COUNTER.bytes_written]! += lines.length
    this.owes(this.transport.write(lines), lines.length)
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
    const { stalledWriteTimeoutMs } = limits
    return stalledWriteTimeoutMs === 0 || nowMs - this.seenMs < stalledWriteTimeoutMs
  }

  /** True: there is something to take, and it has stood still for longer. */
  hasStalled(): boolean {
    return this.transport.unsentBytes > 0 && !this.isProgressing()
  }

  /** To be called ten times a second, blocked or not: whether the peer has not taken in the last second what it has to. */
  isSlow(): boolean {
    const { pace } = this
    if (pace === undefined || !this.mayOweBytes) return false
    const { unsentBytes } = this.transport
    if (unsentBytes === 0) return false
    pace.moved(this.owedBytes - unsentBytes)
    this.owedBytes = unsentBytes
    pace.look(this.context.nowMs)
    return pace.isSlow
  }

  /** Whether others lack the memory that is held here. */
  get isWanted(): boolean {
    const isHolding = this.heldBytes > 0 || this.sentCopies !== undefined
    return isHolding && this.context.replyMemory.isWantedOf(this.holder)
  }

  /** Of `writtenBytes` and all before so much is unsent. Where nothing is, nobody says later that it has gone. */
  private owes(unsentBytes: number, writtenBytes: number): void {
    const didOwe = this.mayOweBytes
    this.mayOweBytes = unsentBytes > 0
    if (unsentBytes === 0) {
      this.settle()
      return
    }
    this.pace ??= new Pace()
    if (didOwe) this.pace.moved(this.owedBytes + writtenBytes - unsentBytes)
    else this.pace.begin(this.context.nowMs)
    this.owedBytes = unsentBytes
  }

  /** The peer may not have taken all of what it was sent; `heldBytes` is the memory of the last part. */
  private note(unsentBytes: number, writtenBytes: number, heldBytes: number): number {
    this.owes(unsentBytes, writtenBytes)
    if (unsentBytes === 0 || this.hasEnded) return REPLIES_LEFT
    const { limits, replyMemory } = this.context
    this.heldFor(this.owner.isOpen ? this.owner.namespace : STRANGERS_HOLDER)
    this.heldBytes += heldBytes
    replyMemory.hold(heldBytes, this.holder)
    if (replyMemory.isExceeded(this.holder)) {
      replyMemory.countRefusal()
      return REPLIES_EXCEED
    }
    const isBlocked = unsentBytes >= limits.sendBufferBytesMax || replyMemory.isFull(this.holder)
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
