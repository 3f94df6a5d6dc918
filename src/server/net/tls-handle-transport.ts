/**
 * Hot path, once the handshake is done. A Transport over TLS, right on handles (tls-handles.ts); tls-phase.ts has its
 * phases. What handle-transport.ts says of reading and of ends is true here, too.
 *
 * - All connections of a worker are decrypted into the one buffer that it shares. TLS hands over a record (16 KiB at
 *   most) a call, and goes on with those that it has although it was told to stop: these are kept, and passed on before
 *   anything else.
 * - What ends a handshake is read of a few clients at a time (tls-answers.ts).
 * - A client may ask for new keys at any time (KeyUpdate, RFC 8446, 4.6.3), or to be keyed anew, which is refused. Each time
 *   costs us much more than it, and an answer that OpenSSL keeps until the client reads (tls-idle.ts).
 * - Its end, in whatever phase and for whatever reason, is noticed at once and taken in a later turn: libuv tells of a
 *   thousand in one turn that end at one moment, because their machine is gone or to do harm. 600 handshakes that nobody
 *   went on with took 137 ms in one turn, and 222 where each ended in a record that is none.
 *
 * Invariants: the receiver gets nothing before the channel has all that the handshake told. The session is freed once its
 * handle has closed, never while OpenSSL calls.
 */
import type { Peer } from '../../base/peer.ts'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import type { Receiver, Transport } from '../../connection/transport.ts'
import { COUNTER } from '../../observe/counters.ts'
import { GatheredWrites, type WritesOwner } from './gathered-writes.ts'
import { EALREADY, ENOTCONN, SHUT_DOWN } from './handle-transport.ts'
import { KeptBytes } from './kept-bytes.ts'
import { RECORD_BYTES_MIN, ReadRow } from './read-row.ts'
import { certificateRefusalOf } from './tls-channel.ts'
import type { HandleUser, HandshakeContext, TlsHandle, UnderHandle } from './tls-handles.ts'
import type { HandleOwner } from './tls-handshakes.ts'
import { HelloIntake } from './tls-hello.ts'
import { IdleBytes } from './tls-idle.ts'
import {
  countFailure,
  PHASE,
  type Phase,
  type TlsParts,
  type TlsPipeChannel,
  tellOf,
} from './tls-phase.ts'
import { TlsSession } from './tls-session.ts'

export class TlsHandleTransport implements Transport, HandleOwner, HandleUser, WritesOwner {
  readonly peer: Peer
  readonly channel: TlsPipeChannel
  readonly verify: TlsVerify
  private readonly under: UnderHandle
  private readonly parts: TlsParts
  private phase: Phase = PHASE.hello
  /** Until it is taken. */
  private hello: HelloIntake | undefined = new HelloIntake()
  private receiver: Receiver | undefined = undefined
  /** From the beginning of the handshake to the end of the connection, as all that follows. */
  private handle: TlsHandle | undefined = undefined
  private session: TlsSession | undefined = undefined
  private idle: IdleBytes | undefined = undefined
  private row: ReadRow | undefined = undefined
  /** What was decrypted although that was to stop. */
  private kept: KeptBytes | undefined = undefined
  /** Of `bytesRead` of the handle that is read, what was taken. */
  private readBytes = 0
  private writes: GatheredWrites | undefined = undefined
  /** The receiver was told that bytes are unsent. */
  private owesDrained = false
  /** Our end comes behind what is written. */
  private isEnding = false
  private isShutDown = false
  private hasEnded = false
  private isDestroyed = false
  /** The receiver asked to be left alone. */
  private isStopped = false
  private peerEnded = false
  /** The receiver knows. */
  private isEndTold = false
  /** By OpenSSL: nothing of it is read any more. */
  private isGivenUp = false

  constructor(
    under: UnderHandle,
    { peer, channel }: { readonly peer: Peer; readonly channel: TlsPipeChannel },
    verify: TlsVerify,
    parts: TlsParts,
  ) {
    this.under = under
    this.peer = peer
    this.channel = channel
    this.verify = verify
    this.parts = parts
  }

  attach(receiver: Receiver): void {
    const { under, parts } = this
    this.receiver = receiver
    parts.handles.attach(under, this, parts.readBuffer)
    this.read(under)
  }

  /** Encrypted, in all. */
  get receivedBytes(): number {
    return this.under.bytesRead
  }

  get sentBytes(): number {
    return this.under.bytesWritten
  }

  get isOver(): boolean {
    return this.isDestroyed
  }

  get unsentBytes(): number {
    return this.writes?.unsentBytes ?? 0
  }

  write(bytes: Uint8Array): number {
    const { writes } = this
    if (this.phase !== PHASE.open || writes === undefined || this.isDestroyed) return 0
    writes.write(bytes)
    const { unsentBytes } = writes
    if (unsentBytes > 0) this.owesDrained = true
    return unsentBytes
  }

  resume(): void {
    if (!this.isStopped || this.isGivenUp || this.isDestroyed) return
    this.isStopped = false
    if (this.kept !== undefined || this.peerEnded) process.nextTick(() => this.passOnKept())
    else this.read(this.handle)
  }

  end(): void {
    if (this.phase !== PHASE.open) this.destroy()
    else if (this.writes?.isWriting() === true) {
      this.isEnding = true
      this.writes.awaitEnd()
    } else this.shutDown()
  }

  destroy(): void {
    if (this.isDestroyed) return
    this.isDestroyed = true
    this.leaveLines()
    if (this.phase === PHASE.open && this.peerEnded && this.unsentBytes === 0) {
      // A client that said goodbye (close_notify) is told so, too: many take silence for an attack. Behind what was
      // written in this turn, whose end is told by then.
      setImmediate(sayGoodbye, this)
      return
    }
    if (this.helloBytes > 0 || this.phase > PHASE.hello) this.failed('not-finished')
    this.close()
  }

  sayGoodbye(): void {
    this.shutDown()
    setImmediate(close, this)
  }

  close(): void {
    this.parts.handles.close(this.under)
  }

  shake(context: HandshakeContext): boolean {
    const { under, hello, parts } = this
    under.readStop()
    this.hello = undefined
    this.phase = PHASE.shaking
    const handle = parts.handles.wrap(under, context, this, parts.readBuffer)
    this.handle = handle
    this.readBytes = handle.bytesRead
    if (hello !== undefined) handle.receive(hello.take())
    return this.isShaking
  }

  private get isShaking(): boolean {
    return this.phase === PHASE.shaking && !this.isGivenUp && !this.isDestroyed
  }

  readAnswer(): void {
    if (this.isShaking) this.read(this.handle)
  }

  stopAnswer(): void {
    this.handle?.readStop()
  }

  failed(code: string): void {
    const { phase, parts, peer } = this
    if (phase === PHASE.open || phase === PHASE.closed) return
    this.phase = PHASE.closed
    countFailure(parts, peer, code)
  }

  onSent(): void {
    if (this.isEnding) this.shutDown()
    if (!this.owesDrained || this.phase !== PHASE.open || this.isDestroyed) return
    this.owesDrained = false
    this.receiver?.onDrained()
  }

  onBroken(): void {
    this.destroy()
  }

  onRead(): void {
    const { under } = this
    const length = this.taken(under)
    if (length === 0) this.endNoticed()
    else if (!this.receiveHello(length) && !this.isDestroyed) under.readStop()
  }

  onHandshakeDone(): void {
    const { receiver, channel, verify, parts, handle, under } = this
    // OpenSSL also calls new keys a handshake.
    if (this.phase !== PHASE.shaking || receiver === undefined || handle === undefined) return
    parts.handshakes.answers.remove(this)
    const session = new TlsSession(handle, verify)
    this.session = session
    const refused = certificateRefusalOf(session, verify, parts.epochSeconds())
    if (refused !== undefined) {
      this.failed(refused)
      this.destroy()
      return
    }
    this.phase = PHASE.open
    this.writes = new GatheredWrites(handle, under, parts.handles.writer, this)
    this.idle = new IdleBytes(session, under.bytesRead)
    this.row = new ReadRow(() => this.resume())
    tellOf(session, channel, parts)
    receiver.heard()
  }

  onDecrypted(): void {
    const { handle } = this
    if (handle === undefined || this.isDestroyed) return
    const length = this.taken(handle)
    if (length === 0) this.endNoticed()
    else if (!this.passOn(length) && !this.isDestroyed) handle.readStop()
  }

  onError(code: string): void {
    if (this.isGivenUp) return
    // OpenSSL would take no more of it. Its alert is sent.
    this.isGivenUp = true
    this.handle?.readStop()
    if (this.phase === PHASE.open) this.parts.lane[COUNTER.ssl_proto_errors]!++
    else this.failed(code)
    this.endNoticed()
  }

  onShutDown(status: number): void {
    if (status !== 0) this.destroy()
    else this.ended()
  }

  onClosed(): void {
    // A port scan, or a health check that only connects, is no error.
    if (this.phase !== PHASE.hello || this.helloBytes > 0) this.failed('ECONNRESET')
    this.isDestroyed = true
    this.leaveLines()
    this.phase = PHASE.closed
    this.hello = undefined
    this.session?.end()
    this.handle?.destroySSL()
    this.handle = undefined
    this.writes = undefined
    this.kept = undefined
    this.receiver?.finish()
    this.receiver = undefined
  }

  isReset(): boolean {
    // After our end there is nothing to write to.
    if (this.phase !== PHASE.open || this.isDestroyed || this.isEnding || this.isShutDown)
      return false
    return (this.isStopped || this.peerEnded) && this.parts.handles.writer.isReset(this.under)
  }

  isMisused(isLoggedIn: boolean): boolean {
    if (this.phase !== PHASE.open || this.isGivenUp || this.idle === undefined) return false
    if (!this.idle.isTooMuch(this.under.bytesRead, 0, isLoggedIn)) return false
    this.parts.lane[COUNTER.ssl_proto_errors]!++
    return true
  }

  private get helloBytes(): number {
    return this.hello?.length ?? 0
  }

  /** How much has come since it was asked. */
  private taken({ bytesRead }: UnderHandle | TlsHandle): number {
    const length = bytesRead - this.readBytes
    this.readBytes = bytesRead
    return length
  }

  private read(handle: UnderHandle | TlsHandle | undefined): void {
    const status = handle?.readStart() ?? 0
    if (status !== 0 && status !== EALREADY) this.destroy()
  }

  private leaveLines(): void {
    const { handshakes } = this.parts
    handshakes.leave(this)
    handshakes.answers.remove(this)
  }

  /** True while it is read: also when its handshake waits, or nobody would notice that it has gone. */
  private receiveHello(length: number): boolean {
    const { hello, parts } = this
    if (hello === undefined || this.isDestroyed) return false
    hello.add(Buffer.from(parts.readBuffer.subarray(0, length)))
    if (hello.isWrong) {
      this.failed('not-a-client-hello')
      this.destroy()
      return false
    }
    if (this.phase === PHASE.waiting || !hello.isWhole) return true
    this.phase = PHASE.waiting
    this.receiver?.heard()
    parts.handshakes.enqueue(this)
    return true
  }

  private endNoticed(): void {
    // It costs no handshake, whichever turn comes first.
    this.leaveLines()
    this.parts.soon(() => this.takeEnd())
  }

  /** False: there was nothing to end any more. */
  private takeEnd(): boolean {
    const { phase, under } = this
    if (this.isDestroyed) return false
    const status = this.isGivenUp ? ENOTCONN : under.readStart()
    if (status === 0) under.readStop()
    const isBroken = status !== 0 && status !== EALREADY
    if (phase === PHASE.open && !isBroken) {
      this.receiveEnd()
      return true
    }
    // Before there is encryption, a handle that still reads has only read nothing.
    if (phase < PHASE.shaking && status === EALREADY) {
      if (phase === PHASE.waiting) this.parts.handshakes.enqueue(this)
      return false
    }
    if (phase === PHASE.shaking || (isBroken && this.helloBytes > 0)) this.failed('ECONNRESET')
    this.destroy()
    return true
  }

  /** Of what was decrypted. True while it is read. */
  private passOn(length: number): boolean {
    const { receiver, parts } = this
    this.idle?.take(length)
    if (receiver === undefined) return false
    if (this.isStopped || this.kept !== undefined) {
      this.kept ??= new KeptBytes()
      this.kept.add(parts.readBuffer, length)
      return false
    }
    const goesOn =
      receiver.receive(parts.readBuffer, length) &&
      this.row?.goesOn(Math.max(length, RECORD_BYTES_MIN)) !== false
    this.isStopped = !goesOn
    return goesOn
  }

  private passOnKept(): void {
    const { receiver } = this
    if (receiver === undefined || this.isDestroyed || this.isStopped || this.isGivenUp) return
    const kept = this.kept?.take()
    this.kept = undefined
    if (kept !== undefined) this.isStopped = !receiver.receive(kept, kept.length)
    if (this.isStopped || this.isDestroyed) return
    if (this.peerEnded) this.tellEnd()
    else this.read(this.handle)
  }

  private receiveEnd(): void {
    this.peerEnded = true
    if (this.kept === undefined) this.tellEnd()
  }

  private tellEnd(): void {
    if (this.isEndTold) return
    this.isEndTold = true
    this.receiver?.receiveEnd()
    if (this.hasEnded) this.destroy()
  }

  private shutDown(): void {
    const { handle } = this
    if (this.isShutDown || handle === undefined) return
    this.isShutDown = true
    const status = this.parts.handles.shutDown(handle)
    if (status === SHUT_DOWN || status === ENOTCONN) this.ended()
    else if (status !== 0) this.destroy()
  }

  /** Our end of the stream is with the kernel. */
  private ended(): void {
    this.hasEnded = true
    if (this.isEndTold) this.destroy()
  }
}

function sayGoodbye(transport: TlsHandleTransport): void {
  transport.sayGoodbye()
}

function close(transport: TlsHandleTransport): void {
  transport.close()
}
