/**
 * Hot path. One client's state machine. It is fed bytes by a transport, hands whole requests to its
 * dialect, and decides when the client is read from, served, blocked and ended; what bounds it is
 * measured elsewhere (unfinished-request.ts, reply-writer.ts, deadlines.ts).
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
 * Beside the state: what arrives and cannot be served from where it was read is the intake's
 * (intake.ts), and `isBlocked` is true while the peer does not take its replies (reply-writer.ts). Only
 * a SERVING connection that is not blocked reads and executes; all others leave their bytes in the
 * kernel.
 *
 * Invariants: replies leave in the order of the requests; every way out ends in `finish`, which runs
 * once.
 */
import { NO_SLOT } from '../base/slots.ts'
import type { LargeBody } from '../command/transfers/large-body.ts'
import type { LargeCopy } from '../command/transfers/large-copies.ts'
import { RIGHT } from '../credential/rights.ts'
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
  STATE_SERVING,
  STATE_WATCHING,
  type StateName,
} from './connection-state.ts'
import { DEADLINE_DRAIN, DEADLINE_DROP, DEADLINE_IDLE, Deadlines } from './deadlines.ts'
import type { DialectOf, Settling, SuspendedRequestOf } from './dialect.ts'
import { Intake, type IntakeOwner } from './intake.ts'
import { COPIED_BYTES_MAX } from './portions.ts'
import { REPLIES_BLOCK, REPLIES_EXCEED, ReplyWriter } from './reply-writer.ts'
import type { Receiver, Transport } from './transport.ts'
import { NO_REQUEST, NOT_WAITING } from './turn-counts.ts'
import type { ConnectionContextOf } from './worker-context.ts'

export type Dialect = DialectOf<Connection>
export type SuspendedRequest = SuspendedRequestOf<Connection>

export type ConnectionContext = ConnectionContextOf<Connection>

export class Connection implements IntakeOwner, Receiver {
  state: number = STATE_DETECTING
  /** Why it ends, for those who watch connections: a CLOSE_ number. */
  closeReason: number = CLOSE_ERROR
  /** The request at the head, if it has been begun and is not answered yet. */
  suspended: SuspendedRequest | undefined = undefined
  readonly gate: AuthGate
  readonly transport: Transport
  readonly id: number
  readonly intake: Intake
  readonly replies: ReplyWriter
  /** For the worker that serves it: its place among all of them, and its row in their table. */
  slot: number = NO_SLOT
  row = 0
  /** It gave its turn away and has another one coming. */
  isDeferred = false
  lastActivityMs: number

  private readonly context: ConnectionContext
  private readonly deadlines: Deadlines
  private dialect: Dialect | undefined = undefined
  private isBlocked = false
  private isPaused = false
  private peerEnded = false
  /** Something has come from the peer, for us or for the pipe. */
  private isHeard = false
  /** When the turn began whose requests wait for another one; NOT_WAITING if none do. */
  private waitsSinceMs: number = NOT_WAITING
  /** Under what the suspended request is to be counted, since it was first suspended. */
  private suspendedSlot: number = NO_REQUEST
  /** At the last login outcome. */
  private wasLoggedIn: boolean

  constructor(context: ConnectionContext, transport: Transport, gate: AuthGate, id: number) {
    this.context = context
    this.transport = transport
    this.gate = gate
    this.wasLoggedIn = gate.isOpen
    this.id = id
    this.lastActivityMs = context.nowMs
    this.intake = new Intake(context, this)
    this.replies = new ReplyWriter(context, transport, gate)
    this.deadlines = new Deadlines(context, this.replies, transport.peer)
  }

  /** True while requests may be taken and carried out. */
  get isServing(): boolean {
    return this.state === STATE_SERVING && !this.isBlocked
  }

  /** Memory held for input. */
  get bufferedBytes(): number {
    return this.intake.pending.capacity
  }

  /** The state in memcached's words, one of STATE_NAMES, for `stats conns`. */
  get stateName(): StateName {
    if (this.state >= STATE_DRAINING) return 'conn_closing'
    if (this.state === STATE_WATCHING) return 'conn_watch'
    if (this.isBlocked) return 'conn_mwrite'
    if (this.intake.swallowBytes > 0) return 'conn_swallow'
    if (this.isDeferred || this.suspended !== undefined) return 'conn_parse_cmd'
    return this.intake.isEmpty ? 'conn_read' : 'conn_nread'
  }

  /**
   * Takes bytes off the transport; `bytes` belongs to the caller again when this returns. Returns
   * false to be left alone until `transport.resume`.
   */
  receive(bytes: Uint8Array, length: number): boolean {
    const context = this.context
    context.lane[COUNTER.bytes_read]! += length
    this.lastActivityMs = context.nowMs
    if (this.state >= STATE_WATCHING) return this.state !== STATE_CLOSED
    if (this.dialect === undefined) {
      this.dialect = context.detect(bytes[0]!, this.transport.channel.listenerIndex)
      this.state = STATE_SERVING
    }
    const { intake } = this
    context.counts.begin(this.gate.namespace, this.waitsSinceMs, length)
    let offset = intake.take(bytes, length)
    const isFree = this.isServing && !this.isDeferred
    if (offset < length && isFree && !intake.waitsForRound(length - offset)) {
      offset = this.dialect.serve(this, bytes, offset, length)
      intake.wasCostly = this.dialect.copiedBytes >= COPIED_BYTES_MAX
    }
    if (offset < length && this.state < STATE_WATCHING) intake.keepRest(bytes, offset, length)
    return this.endTurn()
  }

  answerLarge(body: LargeBody, hasRoom: boolean): void {
    this.dialect?.serveLarge(this, body, hasRoom)
  }

  answerUnfinished(bytes: Uint8Array, start: number, end: number): number {
    return this.dialect?.refuseUnfinished(this, bytes, start, end) ?? 0
  }

  heard(): void {
    this.isHeard = true
    this.lastActivityMs = this.context.nowMs
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
    if (this.isDeferred || this.isBlocked || this.state === STATE_AWAITING) return
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
    if (this.intake.pending.length > 0 && this.isServing) this.yieldTurn()
    else this.continueServing()
  }

  /** Goes on after a pause: a turn given away, a reader again. */
  continueServing(): void {
    this.isDeferred = false
    if (!this.isServing) return
    this.beginTurn()
    if (this.intake.pending.length > 0) this.servePending()
    this.endLateTurn()
  }

  /** A turn that did not come with bytes of the peer's. */
  private beginTurn(): void {
    this.context.counts.begin(this.gate.namespace, this.waitsSinceMs, 0)
  }

  /** The end of such a turn. */
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
    return this.isDeferred || !this.intake.isEmpty
  }

  /** The request goes on with the next turn, or when its reader reads again. */
  suspend(request: SuspendedRequest): void {
    if (this.hold(request) && this.isServing) this.yieldTurn()
  }

  /** The request goes on as soon as `settling` is there; those behind it wait, in order, unread. */
  suspendUntil(request: SuspendedRequest, settling: Settling): void {
    if (!this.hold(request)) return
    this.state = STATE_AWAITING
    settling.onSettled(() => this.settle(request))
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
    if (this.suspendedSlot === NO_REQUEST) this.suspendedSlot = this.context.counts.takeBack()
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
    this.beginTurn()
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
    this.suspendedSlot = this.context.counts.recount(this.suspendedSlot)
    return true
  }

  /** True: the request at hand stays at the head, to be gone on with. */
  get keepsRequest(): boolean {
    return this.suspended !== undefined && this.suspended.frameBytes > 0
  }

  private cancelSuspended(): void {
    const { suspended } = this
    this.suspended = undefined
    this.suspendedSlot = NO_REQUEST
    suspended?.cancel()
  }

  /** To be called by the dialect after every login outcome. */
  loginChanged(): void {
    this.deadlines.loginChanged(this.wasLoggedIn, this.gate.isOpen)
    this.wasLoggedIn = this.gate.isOpen
    this.intake.settle()
    this.context.onGateChanged(this)
  }

  /** To be called where a login was begun and not ended: one that was left for it has failed. */
  loginContinues(): void {
    if (this.wasLoggedIn && !this.gate.isOpen) this.loginChanged()
  }

  /**
   * To be called when what the client may do has changed. What goes on by itself, and needs a right that
   * is gone, ends with the connection: half an answer would look like a whole one.
   */
  accessChanged(): void {
    const own = this.state === STATE_WATCHING ? RIGHT.watch : (this.suspended?.rights ?? 0)
    const { restriction, isVisiting } = this.gate
    const needed = own !== 0 && isVisiting ? own | RIGHT.admin : own
    if (restriction !== undefined && (restriction.rights & needed) !== needed) this.drain()
  }

  /** Hands the gathered replies to the transport. Afterwards the connection may be blocked, or closed. */
  flush(): void {
    if (this.context.sendBuffer.used > 0) this.heed(this.replies.flush())
  }

  /** Sends a large reply part that does not go through the send buffer. */
  send(bytes: Uint8Array): void {
    this.flush()
    if (this.state !== STATE_CLOSED) this.heed(this.replies.send(bytes, bytes.length))
  }

  /** The same for a part in a buffer that the send buffer lent; it goes back as soon as it can. */
  sendLent(lent: Uint8Array): void {
    this.send(lent)
    if (!this.replies.mayOweBytes) this.context.sendBuffer.giveBack(lent)
  }

  /** Sends the copy, complete as it is, and the end of the reply behind it. */
  sendCopy(copy: LargeCopy, end: Uint8Array): void {
    const reply = copy.withEnd(end)
    this.flush()
    // Not before: if nothing is unsent then, all copies are given back. It has been counted since it was begun.
    this.replies.keepCopy(copy)
    if (this.state !== STATE_CLOSED) this.heed(this.replies.send(reply, 0))
    if (this.transport.unsentBytes === 0 || this.state === STATE_CLOSED) this.replies.settle()
  }

  /** What follows from a write to a peer that does not take it all. */
  private heed(followed: number): void {
    if (followed === REPLIES_EXCEED) this.close()
    if (followed !== REPLIES_BLOCK || this.isBlocked) return
    this.isBlocked = true
    if (this.suspended?.othersWait) this.suspended.cancel()
    this.replies.watchProgress()
  }

  /** From now on it is sent what `push` is given; what else it sends is read and dropped. False: it has ended. */
  watch(): boolean {
    this.flush()
    if (this.state === STATE_CLOSED) return false
    this.state = STATE_WATCHING
    this.cancelSuspended()
    this.intake.abandon()
    return true
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
    if (this.state === STATE_CLOSED) return
    this.state = STATE_DRAINING
    this.deadlines.drains()
    this.gate.abort()
    this.loginContinues()
    this.cancelSuspended()
    this.intake.abandon()
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
    this.gate.leave()
    this.cancelSuspended()
    this.replies.end()
    this.intake.abandon()
    this.context.onClosed(this)
  }

  /** Looks at every deadline, and for clients that are gone; called by the worker's coarse timer. */
  checkDeadlines(): void {
    const { transport, gate, intake } = this
    if (
      transport.isMisused?.(gate.isOpen) ||
      intake.readsForNobody(this.suspended) ||
      this.deadlines.mustGiveWay(this.isBlocked && intake.isWanted)
    ) {
      this.close()
      return
    }
    if (this.replies.mayOweBytes && transport.unsentBytes === 0) this.onDrained()
    if (intake.mustGiveWay(this.suspended !== undefined)) {
      this.beginTurn()
      intake.giveWay()
      this.endLateTurn()
      return
    }
    const { isOpen, principal } = gate
    if (principal !== undefined && this.state < STATE_DRAINING) {
      if (this.deadlines.hasExpired(principal.expiresAt, this.suspended !== undefined)) {
        this.context.lane[COUNTER.login_expired_kicks]!++
        this.context.onExpired(this)
        this.drain()
        return
      }
    }
    const { isBlocked, isDeferred, lastActivityMs } = this
    // Whoever shakes hands does not sit there in silence.
    const state = this.state === STATE_DETECTING && this.isHeard ? STATE_SERVING : this.state
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

  servePending(): void {
    if (this.isServing) this.serveHead()
  }

  /** Serves what is kept, the suspended request first. */
  private serveHead(): void {
    const { intake, dialect } = this
    if (dialect === undefined) return
    const { bytes, start, end } = intake.pending
    const served = dialect.serve(this, bytes, start, end)
    intake.wasCostly = dialect.copiedBytes >= COPIED_BYTES_MAX
    intake.consume(served - start)
  }

  /** Sends what the turn produced. Returns true while the connection wants to be read from. */
  private endTurn(): boolean {
    this.flush()
    this.context.counts.end(this.gate.user)
    if (this.state >= STATE_WATCHING) return this.state !== STATE_CLOSED
    if (this.gate.owesRest && this.isServing && !this.isDeferred) this.yieldTurn()
    const isWaiting = this.isDeferred || this.suspended !== undefined
    this.waitsSinceMs = isWaiting ? this.context.counts.waitsSinceMs : NOT_WAITING
    if (this.isServing && !this.isDeferred) {
      if (this.context.isStopping && !this.owesReply) this.drain()
      return true
    }
    const isRead = !this.isBlocked && !this.peerEnded
    if (isRead && this.intake.mayReadBehind(this.suspended)) return true
    this.isPaused = true
    return false
  }
}
