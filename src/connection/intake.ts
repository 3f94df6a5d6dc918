/**
 * Hot path. Bytes that arrive on a connection and do not form a whole request: those that do are served from the read
 * buffer (connection.ts) and never come here.
 *
 *   one read:  | skipped, or into the store | what the request under way lacks | whole requests ... | the rest |
 *                `swallowBytes`, `body`       `pending`                          left to the caller    `pending`
 *
 * While a large value arrives, the transport is told where the rest of it belongs (`nextRoom`), and reads it right to
 * there.
 *
 * Invariants: what is kept in `pending` is one incomplete request, or what one read had behind a request that waits for
 * its answer; unfinished-request.ts has the bounds. The room of a large value whose last byte does not come is given back
 * to the store, but not before the transport has stopped reading into it.
 */
import { assert } from '../base/assert.ts'
import type { LargeBody } from '../command/transfers/large-body.ts'
import { COUNTER } from '../observe/counters.ts'
import { STATE_AWAITING, STATE_DRAINING } from './connection-state.ts'
import { Pace } from './pace.ts'
import { ARRIVED_BYTES_MAX } from './portions.ts'
import type { ReceiveBuffer } from './receive-buffer.ts'
import type { NextRead } from './transport.ts'
import { UnfinishedRequest } from './unfinished-request.ts'
import type { WorkerContext } from './worker-context.ts'

/** What waits for a turn, and is no longer, does not stop the reading. */
const SHORT_WAIT_BYTES_MAX = 512

/** The connection whose bytes they are. */
export interface IntakeOwner {
  readonly state: number
  readonly isServing: boolean
  /** True while it waits for a turn. */
  readonly isDeferred: boolean
  readonly gate: { readonly isOpen: boolean; readonly namespace: number }
  readonly transport: { leaveRoom?(): void; isReset?(): boolean }
  yieldTurn(): void
  /** Serves what is kept. */
  servePending(): void
  /** Answers the request whose large value has arrived, or for which there was no room. */
  answerLarge(body: LargeBody, hasRoom: boolean): void
  /** Answers the request in `bytes[start, end)` that is not complete, and returns its length on the wire. */
  answerUnfinished(bytes: Uint8Array, start: number, end: number): number
  close(): void
}

export class Intake implements NextRead {
  /**
   * Bytes that the request under way needs before it is worth another look; 0: of a line the end has
   * not come.
   */
  wantedBytes = 0
  /** Bytes still to come that belong to a request already answered. */
  swallowBytes = 0
  /** Bytes of an unfinished line that are known to hold no line feed. */
  scannedBytes = 0
  /** A large value that is arriving; nothing else is buffered meanwhile. */
  body: LargeBody | undefined = undefined
  /** The last turn cost more than an ordinary one: the next waits for a round (portions.ts). */
  wasCostly = false
  /** Where the next read goes, if not elsewhere. */
  private room: Uint8Array | undefined = undefined
  /** Of the request under way, once one did not come whole. */
  private pace: Pace | undefined = undefined
  readonly pending: ReceiveBuffer
  private readonly owner: IntakeOwner
  private readonly context: WorkerContext
  private readonly unfinished: UnfinishedRequest

  constructor(context: WorkerContext, owner: IntakeOwner) {
    this.owner = owner
    this.context = context
    this.unfinished = new UnfinishedRequest(context)
    this.pending = this.unfinished.buffer
  }

  /**
   * The request that is waited for allows it, all of it is here, and nothing behind it; or what waits for a turn is short.
   * What a touch announces behind its key may be long, and is left to be skipped when the touch is answered. Most
   * clients send nothing before they are answered, and to stop reading for each request and begin again takes two
   * system calls. What comes all the same is one read.
   */
  mayReadBehind(
    suspended: { readonly readsOn?: boolean; readonly frameBytes: number } | undefined,
  ): boolean {
    const { owner, pending, body } = this
    if (owner.state === STATE_AWAITING) {
      return suspended?.readsOn === true && pending.length === suspended.frameBytes
    }
    const isPassive = owner.isDeferred && suspended === undefined && body === undefined
    return isPassive && owner.gate.isOpen && pending.length <= SHORT_WAIT_BYTES_MAX
  }

  /** All that is under way is a long read, and its client has reset the pipe. */
  readsForNobody(
    suspended: { readonly isLongRead?: boolean; readonly frameBytes: number } | undefined,
  ): boolean {
    if (suspended?.isLongRead !== true || this.pending.length > suspended.frameBytes) return false
    return this.owner.transport.isReset?.() === true
  }

  /** Nothing has come of a request that is not answered. */
  get isEmpty(): boolean {
    return this.pending.length === 0 && this.body === undefined
  }

  nextRoom(): Uint8Array | undefined {
    this.room = this.body?.room(ARRIVED_BYTES_MAX)
    return this.room
  }

  /**
   * Takes what belongs to requests that began before, and returns the offset behind that: to the end,
   * unless the request under way is done.
   */
  take(bytes: Uint8Array, length: number): number {
    if (bytes === this.room) return this.takeInRoom(length)
    const offset = this.passOn(bytes, 0, length)
    if (offset === length) {
      this.restWhileArriving(this.body?.missingBytes ?? 0, length)
      return length
    }
    return this.pending.length > 0 ? this.completePending(bytes, offset, length) : offset
  }

  /** So many bytes have come to the room, which is theirs alone. */
  private takeInRoom(length: number): number {
    const { body } = this
    assert(body !== undefined, 'a room is left with the value that it is of')
    this.pace?.moved(length)
    if (body.advance(length)) {
      this.restWhileArriving(body.missingBytes, length)
    } else {
      this.swallowBytes = body.missingBytes - length
      this.endBody(body, false)
    }
    return length
  }

  /**
   * Passes on what belongs to a request that was answered already, or to a value on its way into the
   * store; returns the offset behind that.
   */
  private passOn(bytes: Uint8Array, offset: number, length: number): number {
    let at = offset
    if (this.swallowBytes > 0) {
      at = Math.min(length, offset + this.swallowBytes)
      this.swallowBytes -= at - offset
    }
    return this.body === undefined || at === length
      ? at
      : this.receiveBody(this.body, bytes, at, length)
  }

  /**
   * True: what has arrived, or goes on, takes long, or is one of many strangers', and is served when the
   * connection's turn comes. `restBytes` of the read are to be kept then.
   */
  waitsForRound(restBytes: number): boolean {
    const isCostly = this.wasCostly || this.pending.length >= ARRIVED_BYTES_MAX
    if (!isCostly && (this.owner.gate.isOpen || !this.isBehindStrangers(restBytes))) return false
    if (!this.owner.isServing) return false
    this.wasCostly = false
    this.owner.yieldTurn()
    return true
  }

  /**
   * Whoever has no room to wait goes before those who wait, as one of a turn: a long login is not to lose its
   * connection for nothing. All others of them are dropped (keepRest), or a crowd that fills the room would be
   * served in no line.
   */
  private isBehindStrangers(restBytes: number): boolean {
    const canWait = this.unfinished.hasRoomFor(restBytes, this.wantedBytes, false)
    return !this.context.isStrangersTurn(canWait)
  }

  /**
   * Others are read from each time that ARRIVED_BYTES_MAX more of a request have come. `bytes` of it
   * are here, or missing; `length` came now.
   */
  private restWhileArriving(bytes: number, length: number): void {
    const { owner } = this
    if (bytes % ARRIVED_BYTES_MAX < length && bytes > length && owner.isServing) owner.yieldTurn()
  }

  /** Gives the request under way what it lacks, and no more, so that what follows is served from where it is. */
  private completePending(bytes: Uint8Array, offset: number, length: number): number {
    const { pending, owner, unfinished } = this
    let at = offset
    while (at < length && pending.length > 0 && owner.isServing && !owner.isDeferred) {
      const end = unfinished.endIn(bytes, at, length, this.wantedBytes)
      const { isOpen, namespace } = owner.gate
      if (!unfinished.hasRoomFor(end - at, this.wantedBytes, isOpen, namespace)) {
        at = this.refuseUnfinished(at, length)
        continue
      }
      pending.append(bytes, at, end - at, this.wantedBytes)
      this.settle()
      const arrivedBytes = end - at
      this.pace?.moved(arrivedBytes)
      at = end
      if (pending.length < this.wantedBytes) {
        this.restWhileArriving(pending.length, arrivedBytes)
      } else if (!this.waitsForRound(length - at)) {
        owner.servePending()
      }
      at = this.passOn(bytes, at, length)
    }
    return at
  }

  /**
   * Has the request under way answered and drops it; its rest is skipped. Returns where in the bytes at
   * hand to go on.
   */
  private refuseUnfinished(offset: number, length: number): number {
    const { pending, owner } = this
    const { bytes, start, end } = pending
    if (!owner.gate.isOpen && !this.mayRefuseStranger()) return length
    const frameBytes = owner.answerUnfinished(bytes, start, end)
    if (owner.state >= STATE_DRAINING) return length
    const missingBytes = frameBytes - pending.length
    this.clear()
    this.wantedBytes = 0
    const skipped = Math.min(missingBytes, length - offset)
    this.swallowBytes = missingBytes - skipped
    return offset + skipped
  }

  /** To answer a stranger is a step like any other: false, it was dropped instead. */
  private mayRefuseStranger(): boolean {
    this.unfinished.countRefusal()
    const isTurn = this.context.isStrangersTurn(false)
    if (!isTurn) this.owner.close()
    return isTurn
  }

  /**
   * Keeps the rest of a read: a request that has just begun, or what waits its turn. Nothing is read
   * behind it, so it is one read at most; a stranger for whom there is no memory is dropped.
   */
  keepRest(bytes: Uint8Array, offset: number, length: number): void {
    const { unfinished, owner } = this
    if (!owner.gate.isOpen && !unfinished.hasRoomFor(length - offset, this.wantedBytes, false)) {
      unfinished.countRefusal()
      owner.close()
      return
    }
    if (this.pending.length === 0) this.beginPace()
    this.pending.append(bytes, offset, length - offset, this.wantedBytes)
    this.settle()
  }

  /** The value of a request arrives from `bytes[start, end)` on. */
  startBody(body: LargeBody, bytes: Uint8Array, start: number, end: number): void {
    this.body = body
    this.beginPace()
    // Less than the whole has arrived, so there is nothing behind it.
    this.receiveBody(body, bytes, start, end)
  }

  /** Passes on what belongs to a large value; returns the offset behind that. */
  private receiveBody(body: LargeBody, bytes: Uint8Array, start: number, end: number): number {
    const missing = body.missingBytes
    let offset = body.take(bytes, start, end)
    this.pace?.moved(end - start)
    if (offset >= 0 && body.missingBytes > 0) return offset
    this.endBody(body, offset >= 0)
    if (offset < 0) {
      offset = Math.min(end, start + missing)
      this.swallowBytes = start + missing - offset
    }
    return this.owner.state < STATE_DRAINING ? offset : end
  }

  private endBody(body: LargeBody, hasRoom: boolean): void {
    this.body = undefined
    if (!hasRoom) this.context.refuseArriving(this.owner.gate.namespace)
    this.owner.answerLarge(body, hasRoom)
    body.abandon()
  }

  private beginPace(): void {
    this.pace ??= new Pace()
    this.pace.begin(this.context.nowMs)
  }

  /**
   * To be asked ten times a second. True: of the request under way too little has come in the last second, and others lack
   * its room. `isHeldUp`: it is not for the client that it does not go on.
   */
  mustGiveWay(isHeldUp: boolean): boolean {
    const { pace, owner, context } = this
    if (pace === undefined || this.isEmpty) return false
    if (isHeldUp || !owner.gate.isOpen || !owner.isServing || owner.isDeferred) {
      pace.begin(context.nowMs)
      return false
    }
    pace.look(context.nowMs)
    return pace.isSlow && this.isWanted
  }

  /** Whether others lack what is held of requests here, if any is. */
  get isWanted(): boolean {
    const { isOpen, namespace } = this.owner.gate
    if (this.isEmpty || !isOpen) return false
    return this.context.isInputWanted(namespace, this.body !== undefined)
  }

  /** Has the request under way refused for want of room, while none of the client's bytes are at hand. */
  giveWay(): void {
    const { body, owner, context } = this
    context.lane[COUNTER.stalled_requests]!++
    if (body === undefined) {
      this.refuseUnfinished(0, 0)
      return
    }
    // Before its memory is somebody else's.
    owner.transport.leaveRoom?.()
    this.room = undefined
    this.body = undefined
    this.swallowBytes = body.missingBytes
    owner.answerLarge(body, false)
    body.abandon()
  }

  /** So much of what is kept was served. */
  consume(length: number): void {
    // A connection that ended meanwhile, or watches, has cleared the buffer already.
    if (this.pending.length > 0) this.pending.consume(length)
    // What is left is of another request.
    if (length > 0 && this.pending.length > 0) this.beginPace()
    this.settle()
  }

  /** Drops what is kept. */
  clear(): void {
    const { isOpen, namespace } = this.owner.gate
    this.unfinished.clear(isOpen, namespace)
  }

  /** Drops all that has come in. */
  abandon(): void {
    const { body } = this
    this.body = undefined
    this.room = undefined
    if (body !== undefined) {
      // Before its memory is somebody else's.
      this.owner.transport.leaveRoom?.()
      body.abandon()
    }
    this.clear()
  }

  /** Keeps the gauges of buffered input true, after the buffer or the login changed. */
  settle(): void {
    const { isOpen, namespace } = this.owner.gate
    this.unfinished.settle(isOpen, namespace)
  }
}
