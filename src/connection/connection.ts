/**
 * Hot path. One client's state machine. It is fed bytes by a transport, hands whole requests to its
 * dialect, and owns everything that bounds the client: what is buffered, what is skipped, when the
 * client is not read from, and every deadline.
 *
 *              first byte            login ok
 *   DETECTING ------------> SERVING <========> (the auth gate, see auth-gate.ts)
 *                           |  ^
 *              suspendUntil |  | settled, or woken
 *                           v  |
 *                          AWAITING          SERVING -- watch --> WATCHING
 *
 *   any of them -- error answered, QUIT, shutdown --> DRAINING -- peer gone, or 1 s --> CLOSED
 *
 * A request that is not answered at once is suspended (`suspended`): a long answer goes on with the
 * connection's next turns, in SERVING; what somebody else has to come back with (a login step, an
 * outcome of a store elsewhere, another client's append) is waited for in AWAITING. There is one at
 * most, those behind it wait, and every way out cancels it.
 *
 * Beside the state: a large value that arrives goes into the store as it comes (`body`, see
 * command/transfers/large-body.ts), `swallowBytes` of an oversize or unknown body are skipped as they come, and
 * `isBlocked` is true while the peer does not take its replies. Only a SERVING connection that is
 * not blocked reads and executes; all others leave their bytes in the kernel.
 *
 * Invariants: replies leave in the order of the requests; what is buffered is one request that is not
 * complete, or what one read delivered behind a request that waits, and of a client that is not
 * logged in never more than the memory set apart for strangers allows; every way out ends in
 * `finish`, which runs once.
 */
import type { LargeBody } from '../command/transfers/large-body.ts'
import type { LargeCopy } from '../command/transfers/large-copies.ts'
import { COUNTER } from '../observe/counters.ts'
import {
  CLOSE_ERROR,
  CLOSE_IDLE_TIMEOUT,
  CLOSE_NORMAL,
  CLOSE_SHUTDOWN,
} from '../observe/watch-line.ts'
import type { AuthGate } from './auth-gate.ts'
import {
  STATE_AWAITING,
  STATE_CLOSED,
  STATE_DETECTING,
  STATE_DRAINING,
  STATE_NAMES,
  STATE_SERVING,
  STATE_WATCHING,
  type StateName,
} from './connection-state.ts'
import { DEADLINE_DRAIN, DEADLINE_DROP, DEADLINE_IDLE, Deadlines } from './deadlines.ts'
import { ARRIVED_BYTES_MAX, COPIED_BYTES_MAX } from './portions.ts'
import type { ReceiveBuffer } from './receive-buffer.ts'
import { REPLIES_BLOCK, REPLIES_EXCEED, ReplyWriter } from './reply-writer.ts'
import type { Receiver, Transport } from './transport.ts'
import { UnfinishedRequest } from './unfinished-request.ts'
import type { ConnectionLimits, WorkerContext } from './worker-context.ts'

export { type ConnectionLimits, STATE_NAMES }

/** A dialect: takes whole requests off the bytes, carries them out and writes the replies. */
export interface Dialect {
  /** Bytes that the turn of the moment, or the last one, copied in or out of the store. */
  readonly copiedBytes: number
  /**
   * Serves what is complete in `bytes[start, end)` and returns how far it came. Stops early when
   * the connection no longer serves. Sets `connection.wantedBytes` when a request is incomplete.
   */
  serve(connection: Connection, bytes: Uint8Array, start: number, end: number): number
  /** Answers the request whose large value has arrived, or for which there was no room. */
  serveLarge(connection: Connection, body: LargeBody, hasRoom: boolean): void
  /**
   * Refuses the request that begins at `start` and is not complete, for there is no room to keep the
   * rest of it: what is stored stays as it is. Returns its length on the wire, unless the client is not
   * logged in or that length cannot be known, and the connection ends.
   */
  refuseUnfinished(connection: Connection, bytes: Uint8Array, start: number, end: number): number
}

/**
 * A request that is not answered yet. It stays at the head of the receive buffer, and nothing behind it
 * is served until it is done.
 */
export interface SuspendedRequest {
  /** Length of the request on the wire; 0 if it was taken off the buffer already. */
  readonly frameBytes: number
  /**
   * Goes on with the request at `start` of `bytes`; true when it is answered. When it is not, it has
   * given its turn away, or the connection does not serve.
   */
  proceed(connection: Connection, bytes: Uint8Array, start: number): boolean
  /** Gives back what it holds, as the connection ends; begins that anew if it is gone on with. */
  cancel(): void
  /**
   * True: others wait for what it holds. While its peer takes no replies it is cancelled, and begun anew
   * when the peer does.
   */
  readonly othersWait?: boolean
}

/** What all connections of a worker share. */
export interface ConnectionContext extends WorkerContext {
  /** The dialect that a first byte asks for. */
  detect(firstByte: number): Dialect
  /** Runs the connection's `continueServing` after others had their turn. */
  defer(connection: Connection): void
  /** The connection logged in or lost its login. */
  onGateChanged(connection: Connection): void
  onClosed(connection: Connection): void
}

export class Connection implements Receiver {
  state: number = STATE_DETECTING
  /**
   * Bytes that the request under way needs before it is worth another look; 0: of a line the end has
   * not come.
   */
  wantedBytes = 0
  /** Bytes still to come that belong to a request already answered. */
  swallowBytes = 0
  /** Bytes of an unfinished line that are known to hold no line feed. */
  scannedBytes = 0
  /** Why it ends, for those who watch connections: a CLOSE_ number. */
  closeReason: number = CLOSE_ERROR
  /** The request at the head, if it has been begun and is not answered yet. */
  suspended: SuspendedRequest | undefined = undefined
  /** A large value that is arriving; nothing else is buffered meanwhile. */
  body: LargeBody | undefined = undefined
  readonly gate: AuthGate
  readonly transport: Transport
  readonly id: number
  lastActivityMs: number

  private readonly context: ConnectionContext
  private readonly unfinished: UnfinishedRequest
  private readonly pending: ReceiveBuffer
  private readonly replies: ReplyWriter
  private readonly deadlines: Deadlines
  private dialect: Dialect | undefined = undefined
  private isBlocked = false
  private isDeferred = false
  /** Its last turn cost more than an ordinary one: the next waits for a round (portions.ts). */
  private wasCostly = false
  private isPaused = false
  private peerEnded = false
  /** At the last login outcome. */
  private wasLoggedIn = false

  constructor(context: ConnectionContext, transport: Transport, gate: AuthGate, id: number) {
    this.context = context
    this.transport = transport
    this.gate = gate
    this.id = id
    this.lastActivityMs = context.nowMs
    this.unfinished = new UnfinishedRequest(context)
    this.pending = this.unfinished.buffer
    this.replies = new ReplyWriter(context, transport)
    this.deadlines = new Deadlines(context, this.replies)
  }

  /** True while requests may be taken and carried out. */
  get isServing(): boolean {
    return this.state === STATE_SERVING && !this.isBlocked
  }

  /** Bytes of memory held for input. */
  get bufferedBytes(): number {
    return this.pending.capacity
  }

  /** The state in memcached's words, one of STATE_NAMES, for `stats conns`. */
  get stateName(): StateName {
    if (this.state >= STATE_DRAINING) return 'conn_closing'
    if (this.state === STATE_WATCHING) return 'conn_watch'
    if (this.isBlocked) return 'conn_mwrite'
    if (this.swallowBytes > 0) return 'conn_swallow'
    if (this.isDeferred || this.suspended !== undefined) return 'conn_parse_cmd'
    return this.pending.length > 0 || this.body !== undefined ? 'conn_nread' : 'conn_read'
  }

  /**
   * Takes bytes off the transport; `bytes` belongs to the caller again when this returns. Returns
   * false to be left alone until `transport.resume`.
   */
  receive(bytes: Uint8Array, length: number): boolean {
    const context = this.context
    context.lane[COUNTER.bytes_read]! += length
    this.lastActivityMs = context.nowMs
    if (this.state === STATE_DRAINING || this.state === STATE_WATCHING) return true
    if (this.state === STATE_CLOSED) return false
    if (this.dialect === undefined) {
      this.dialect = context.detect(bytes[0]!)
      this.state = STATE_SERVING
    }
    let offset = this.passOn(bytes, 0, length)
    if (offset === length) this.restWhileArriving(this.body?.missingBytes ?? 0, length)
    else if (this.pending.length > 0) offset = this.completePending(bytes, offset, length)
    if (offset < length && this.isServing && !this.isDeferred && !this.waitsForRound()) {
      offset = this.dialect.serve(this, bytes, offset, length)
      this.wasCostly = this.dialect.copiedBytes >= COPIED_BYTES_MAX
    }
    if (offset < length && this.state < STATE_WATCHING) this.keepRest(bytes, offset, length)
    return this.endTurn()
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

  /** True: what has arrived, or goes on, takes long, and is served when the connection's turn comes. */
  private waitsForRound(): boolean {
    if (!this.wasCostly && this.pending.length < ARRIVED_BYTES_MAX) return false
    if (!this.isServing) return false
    this.wasCostly = false
    this.yieldTurn()
    return true
  }

  /**
   * Others are read from each time that ARRIVED_BYTES_MAX more of a request have come. `bytes` of it
   * are here, or missing; `length` came now.
   */
  private restWhileArriving(bytes: number, length: number): void {
    if (bytes % ARRIVED_BYTES_MAX < length && bytes > length && this.isServing) this.yieldTurn()
  }

  /**
   * Gives the request under way what it lacks, and no more, so that what follows is served from where
   * it is. Returns how far it came: to the end, unless the request is done, or waits.
   */
  private completePending(bytes: Uint8Array, offset: number, length: number): number {
    const { pending } = this
    let at = offset
    while (at < length && pending.length > 0 && this.isServing && !this.isDeferred) {
      const end = this.unfinished.endIn(bytes, at, length, this.wantedBytes)
      if (!this.hasRoomToKeep(end - at)) {
        at = this.refuseUnfinished(at, length)
        continue
      }
      pending.append(bytes, at, end - at, this.wantedBytes)
      this.unfinished.settle(this.gate.isOpen)
      const arrivedBytes = end - at
      at = end
      if (pending.length < this.wantedBytes) {
        this.restWhileArriving(pending.length, arrivedBytes)
      } else if (!this.waitsForRound()) {
        this.servePending()
      }
      at = this.passOn(bytes, at, length)
    }
    return at
  }

  private hasRoomToKeep(length: number): boolean {
    return this.unfinished.hasRoomFor(length, this.wantedBytes, this.gate.isOpen)
  }

  /**
   * Answers the request under way and drops it; its rest is skipped. Returns where in the bytes at hand
   * to go on.
   */
  private refuseUnfinished(offset: number, length: number): number {
    const { pending } = this
    const { bytes, start, end } = pending
    if (!this.gate.isOpen) this.unfinished.countRefusal()
    const frameBytes = this.dialect?.refuseUnfinished(this, bytes, start, end) ?? 0
    if (this.state >= STATE_DRAINING) return length
    const missingBytes = frameBytes - pending.length
    this.unfinished.clear(this.gate.isOpen)
    this.wantedBytes = 0
    const skipped = Math.min(missingBytes, length - offset)
    this.swallowBytes = missingBytes - skipped
    return offset + skipped
  }

  /**
   * Keeps the rest of a read: a request that has just begun, or what waits its turn. Nothing is read
   * meanwhile, so it is one read at most; a stranger for whom there is no memory is dropped.
   */
  private keepRest(bytes: Uint8Array, offset: number, length: number): void {
    if (!this.gate.isOpen && !this.hasRoomToKeep(length - offset)) {
      this.unfinished.countRefusal()
      this.close()
      return
    }
    this.pending.append(bytes, offset, length - offset, this.wantedBytes)
    this.unfinished.settle(this.gate.isOpen)
  }

  /** To be called by the dialect: the value of a request arrives from `bytes[start, end)` on. */
  startBody(body: LargeBody, bytes: Uint8Array, start: number, end: number): void {
    this.body = body
    // Less than the whole has arrived, so there is nothing behind it.
    this.receiveBody(body, bytes, start, end)
  }

  /** Passes on what belongs to a large value; returns the offset behind that. */
  private receiveBody(body: LargeBody, bytes: Uint8Array, start: number, end: number): number {
    const missing = body.missingBytes
    let offset = body.take(bytes, start, end)
    if (offset >= 0 && body.missingBytes > 0) return offset
    this.body = undefined
    this.dialect?.serveLarge(this, body, offset >= 0)
    body.abandon()
    if (offset < 0) {
      offset = Math.min(end, start + missing)
      this.swallowBytes = start + missing - offset
    }
    return this.state < STATE_DRAINING ? offset : end
  }

  /** The peer sent the end of its stream. What it asked before is still answered. */
  receiveEnd(): void {
    this.peerEnded = true
    if (this.state === STATE_CLOSED) return
    this.closeReason = CLOSE_NORMAL
    if (this.state === STATE_WATCHING) {
      this.close()
      return
    }
    const isWaiting = this.isDeferred || this.isBlocked || this.state === STATE_AWAITING
    if (isWaiting) return
    // Nothing is owed: one system call ends what the usual way out takes three for.
    if (this.transport.unsentBytes === 0) this.close()
    else this.drain()
  }

  /** The transport handed everything to the kernel. */
  onDrained(): void {
    this.replies.mayOweBytes = false
    this.replies.settle()
    if (!this.isBlocked) return
    this.isBlocked = false
    // Who gave a turn away has the next one coming, and only that one.
    if (this.isDeferred) return
    if (this.pending.length > 0 && this.isServing) this.yieldTurn()
    else this.continueServing()
  }

  /** Goes on after a pause: a turn given away, a reader again. */
  continueServing(): void {
    this.isDeferred = false
    if (!this.isServing) return
    if (this.pending.length > 0) this.servePending()
    this.endLateTurn()
  }

  /** The end of a turn that did not come with bytes of the peer's. */
  private endLateTurn(): void {
    if (!this.endTurn()) return
    if (this.peerEnded) this.drain()
    else if (this.isPaused) {
      this.isPaused = false
      this.transport.resume()
    }
  }

  /** The dialect used up its turn while requests wait: others first, then `continueServing`. */
  yieldTurn(): void {
    this.context.lane[COUNTER.conn_yields]!++
    this.isDeferred = true
    this.context.defer(this)
  }

  /** A request has begun to arrive, or waits for its turn. */
  private get owesReply(): boolean {
    return this.isDeferred || this.pending.length > 0 || this.body !== undefined
  }

  /** The request goes on with the next turn, or when its reader reads again. */
  suspend(request: SuspendedRequest): void {
    if (this.hold(request) && this.isServing) this.yieldTurn()
  }

  /** The request goes on as soon as `settled` is; those behind it wait, in order, unread. */
  suspendUntil(request: SuspendedRequest, settled: Promise<void>): void {
    if (!this.hold(request)) return
    this.state = STATE_AWAITING
    void settled.then(() => this.settle(request))
  }

  /** The request goes on with a turn that comes after `wake`; those behind it wait as well. */
  park(request: SuspendedRequest): void {
    if (this.hold(request)) this.state = STATE_AWAITING
  }

  /** False: the connection has ended, and the request with it. */
  private hold(request: SuspendedRequest): boolean {
    if (this.state >= STATE_WATCHING) {
      request.cancel()
      return false
    }
    this.suspended = request
    return true
  }

  /** Another client's request, which the parked one waits for, has ended. */
  wake(request: SuspendedRequest): void {
    if (this.state !== STATE_AWAITING || this.suspended !== request) return
    this.state = STATE_SERVING
    this.isDeferred = true
    this.context.defer(this)
  }

  private settle(request: SuspendedRequest): void {
    if (this.state !== STATE_AWAITING || this.suspended !== request) return
    this.state = STATE_SERVING
    // Also where the peer takes no replies: whoever has logged in is a client from now on.
    this.serveHead()
    this.endLateTurn()
  }

  /**
   * To be called by the dialect first in a turn: goes on with the suspended request at `start`. False:
   * it is not answered yet.
   */
  proceed(bytes: Uint8Array, start: number): boolean {
    const { suspended } = this
    if (suspended === undefined) return true
    if (!suspended.proceed(this, bytes, start)) return false
    this.suspended = undefined
    return true
  }

  /** True: the request at hand stays at the head, to be gone on with. */
  get keepsRequest(): boolean {
    return this.suspended !== undefined && this.suspended.frameBytes > 0
  }

  private cancelSuspended(): void {
    const { suspended } = this
    this.suspended = undefined
    suspended?.cancel()
  }

  /** To be called by the dialect after every login outcome. */
  loginChanged(): void {
    this.deadlines.loginChanged(this.wasLoggedIn && !this.gate.isOpen)
    this.wasLoggedIn = this.gate.isOpen
    this.unfinished.settle(this.gate.isOpen)
    this.context.onGateChanged(this)
  }

  /** To be called where a login was begun and not ended: one that was left for it has failed. */
  loginContinues(): void {
    if (this.wasLoggedIn && !this.gate.isOpen) this.loginChanged()
  }

  /** Hands the gathered replies to the transport. Afterwards the connection may be blocked. */
  flush(): void {
    if (this.context.sendBuffer.used > 0) this.heed(this.replies.flush())
  }

  /** Sends a large reply part that does not go through the send buffer. */
  send(bytes: Uint8Array): void {
    this.flush()
    this.heed(this.replies.send(bytes, bytes.length))
  }

  /** The same for a part in a buffer that the send buffer lent; it goes back as soon as it can. */
  sendLent(lent: Uint8Array): void {
    this.send(lent)
    if (!this.replies.mayOweBytes) this.context.sendBuffer.giveBack(lent)
  }

  /** Sends the copy, complete as it is, and the end of the reply behind it. */
  sendCopy(copy: LargeCopy, end: Uint8Array): void {
    this.replies.keepCopy(copy)
    const reply = copy.withEnd(end)
    this.flush()
    // The copy has been counted since it was begun.
    this.heed(this.replies.send(reply, 0))
    if (this.transport.unsentBytes === 0) this.replies.settle()
  }

  /** What follows from a write to a peer that does not take it all. */
  private heed(followed: number): void {
    if (followed === REPLIES_EXCEED) this.close()
    if (followed !== REPLIES_BLOCK || this.isBlocked) return
    this.isBlocked = true
    if (this.suspended?.othersWait) this.suspended.cancel()
    this.replies.watchProgress()
  }

  /** From now on it is sent what `push` is given; what else it sends is read and dropped. */
  watch(): void {
    this.flush()
    this.state = STATE_WATCHING
    this.cancelSuspended()
    this.unfinished.clear(this.gate.isOpen)
  }

  /**
   * Sends lines to a connection that watches. Their memory is not touched again. How much may wait
   * for it is watchers.ts's business: nothing of a watcher's is read that could be stopped.
   */
  push(lines: Uint8Array): void {
    if (this.state === STATE_WATCHING) this.replies.push(lines)
  }

  /** No further request is taken; what was answered is sent, then the stream ends. */
  drain(): void {
    if (this.state >= STATE_DRAINING) return
    this.flush()
    this.state = STATE_DRAINING
    this.deadlines.drains()
    this.gate.abort()
    this.loginContinues()
    this.cancelSuspended()
    this.dropBody()
    this.unfinished.clear(this.gate.isOpen)
    this.transport.end()
    // Bytes that come now are read and dropped: closing over unread bytes would make the kernel
    // send a reset, and the reset can overtake our last reply.
    if (this.isPaused && !this.peerEnded) {
      this.isPaused = false
      this.transport.resume()
    }
  }

  /** The server stops: ends the connection now if it owes nothing, else after what it owes. */
  stop(): void {
    if (this.state === STATE_CLOSED || this.state === STATE_DRAINING) return
    this.closeReason = CLOSE_SHUTDOWN
    const isIdle = this.state === STATE_DETECTING || this.state === STATE_WATCHING
    // Nobody who is not logged in is owed anything: half a request must not hold the stop up.
    if (!this.gate.isOpen || isIdle || (this.isServing && !this.owesReply)) this.drain()
  }

  /** Drops the connection at once. */
  close(): void {
    if (this.state === STATE_CLOSED) return
    this.finish()
    this.transport.destroy()
  }

  /** The transport is gone. Idempotent; the one place where a connection ends. */
  finish(): void {
    if (this.state === STATE_CLOSED) return
    this.state = STATE_CLOSED
    this.gate.abort()
    this.cancelSuspended()
    this.dropBody()
    this.replies.settle()
    this.unfinished.clear(this.gate.isOpen)
    this.context.onClosed(this)
  }

  private dropBody(): void {
    this.body?.abandon()
    this.body = undefined
  }

  /** Looks at every deadline; called by the worker's coarse timer. */
  checkDeadlines(): void {
    if (this.state === STATE_CLOSED) return
    if (this.replies.mayOweBytes && this.transport.unsentBytes === 0) this.onDrained()
    const { isOpen } = this.gate
    const { state, isBlocked, isDeferred, lastActivityMs } = this
    switch (this.deadlines.check(state, isOpen, isBlocked, isDeferred, lastActivityMs)) {
      case DEADLINE_DROP:
        this.close()
        return
      case DEADLINE_IDLE:
        this.closeReason = CLOSE_IDLE_TIMEOUT
        this.drain()
        return
      case DEADLINE_DRAIN:
        this.drain()
    }
  }

  private servePending(): void {
    if (this.isServing) this.serveHead()
  }

  /** Serves what is kept, the suspended request first. */
  private serveHead(): void {
    const pending = this.pending
    if (this.dialect === undefined) return
    const served = this.dialect.serve(this, pending.bytes, pending.start, pending.end)
    this.wasCostly = this.dialect.copiedBytes >= COPIED_BYTES_MAX
    // A connection that ended meanwhile, or watches, has cleared the buffer already.
    if (pending.length > 0) pending.consume(served - pending.start)
    this.unfinished.settle(this.gate.isOpen)
  }

  /** Sends what the turn produced. Returns true while the connection wants to be read from. */
  private endTurn(): boolean {
    this.flush()
    if (this.state >= STATE_WATCHING) return this.state !== STATE_CLOSED
    if (this.isServing && !this.isDeferred) {
      if (!this.context.isStopping || this.owesReply) return true
      this.drain()
      return true
    }
    this.isPaused = true
    return false
  }
}
