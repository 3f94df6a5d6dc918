/**
 * Hot path, once the handshake is done. A Transport over TLS, right on handles (tls-handles.ts); tls-phase.ts has its
 * phases. What handle-transport.ts says of reading and of ends is true here, too.
 *
 * - All connections of a worker are decrypted into the one buffer that it shares. TLS hands over a record (16 KiB at
 *   most) a call, and goes on with those that it has although it was told to stop: these are kept, and passed on before
 *   anything else.
 * - A TLS handle takes one write at a time, and each ends later; those that come meanwhile are gathered, and go
 *   out as one. Node calls back at the end of a write only if it is asked to: where something waits for it, or the
 *   kernel did not take what was encrypted.
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
import { EALREADY, ENOTCONN, SHUT_DOWN } from './handle-transport.ts'
import type { LateWrite, WriteRequest } from './handle-writer.ts'
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

/** A write of up to this size goes to the socket as one. */
const WHOLE_WRITE_BYTES_MAX = 128 * 1024

const NOTHING = Buffer.alloc(0)

export class TlsHandleTransport implements Transport, HandleOwner, HandleUser, LateWrite {
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
  /** Of the write under way; 0: none is. */
  private writingBytes = 0
  private request: WriteRequest | undefined = undefined
  /** Its end will be told. */
  private isTold = false
  /** Replies behind it. */
  private gathered: Uint8Array[] = []
  private gatheredBytes = 0
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
    const { handle, writingBytes, gatheredBytes } = this
    if (handle === undefined || writingBytes === 0) return 0
    // What is encrypted counts as unsent until the write's end is told, which is always later.
    return (this.isTaken ? 0 : (handle.writeQueueSize ?? 0)) + gatheredBytes
  }

  /** The kernel has what was encrypted, as far as that can be told. */
  private get isTaken(): boolean {
    return this.under.writeQueueSize === 0 && this.writingBytes <= WHOLE_WRITE_BYTES_MAX
  }

  private isWriting(): boolean {
    const { request } = this
    if (request === undefined) return false
    if (this.isTold || this.parts.handles.writer.isUnderWay(request)) return true
    this.request = undefined
    this.writingBytes = 0
    return false
  }

  private awaitEnd(): void {
    if (this.isTold || this.request === undefined) return
    this.isTold = true
    this.parts.handles.writer.tellEnd(this.request, this)
  }

  /** The bytes are encrypted, or copied, before this returns. */
  write(bytes: Uint8Array): number {
    if (this.phase !== PHASE.open || this.isDestroyed) return 0
    if (this.isWriting()) {
      this.awaitEnd()
      this.gathered.push(Uint8Array.from(bytes))
      this.gatheredBytes += bytes.length
    } else {
      this.send(bytes)
    }
    const { unsentBytes } = this
    if (unsentBytes > 0) this.owesDrained = true
    return unsentBytes
  }

  resume(): void {
    if (!this.isStopped || this.isGivenUp || this.isDestroyed) return
    this.isStopped = false
    if (this.kept !== undefined) process.nextTick(() => this.passOnKept())
    else this.read(this.handle)
  }

  end(): void {
    if (this.phase !== PHASE.open) this.destroy()
    else if (this.isWriting()) {
      this.isEnding = true
      this.awaitEnd()
    } else this.shutDown()
  }

  destroy(): void {
    if (this.isDestroyed) return
    this.isDestroyed = true
    if (this.phase === PHASE.open && this.peerEnded && this.unsentBytes === 0) {
      // A client that said goodbye (close_notify) is told so, too: many take silence for an attack.
      this.shutDown()
      setImmediate(close, this)
      return
    }
    if (this.helloBytes > 0 || this.phase > PHASE.hello) this.failed('not-finished')
    this.close()
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
    if (!this.isGivenUp && !this.isDestroyed) this.read(handle)
    return this.isShaking
  }

  private get isShaking(): boolean {
    return this.phase === PHASE.shaking && !this.isGivenUp && !this.isDestroyed
  }

  pauseShaking(): void {
    this.handle?.readStop()
  }

  goOnShaking(): void {
    if (this.isShaking) this.read(this.handle)
  }

  failed(code: string): void {
    const { phase, parts, peer } = this
    if (phase === PHASE.open || phase === PHASE.closed) return
    if (phase === PHASE.waiting) parts.handshakes.leave(this)
    if (phase === PHASE.shaking) parts.handshakes.leaveShaking(this)
    this.phase = PHASE.closed
    countFailure(parts, peer, code)
  }

  onWriteWaits(): void {
    // Every write does.
  }

  onWritten(status: number): void {
    this.writingBytes = 0
    this.request = undefined
    this.isTold = false
    if (status !== 0) {
      this.destroy()
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
    if (this.isEnding) this.shutDown()
    if (!this.owesDrained || this.phase !== PHASE.open) return
    this.owesDrained = false
    this.receiver?.onDrained()
  }

  onRead(): void {
    const { under, parts } = this
    const length = this.taken(under)
    if (length === 0) this.endNoticed()
    else if (!this.receiveHello(parts.readBuffer, length) && !this.isDestroyed) under.readStop()
  }

  onHandshakeDone(): void {
    const { receiver, channel, verify, parts, handle, under } = this
    // OpenSSL also calls new keys a handshake.
    if (this.phase !== PHASE.shaking || receiver === undefined || handle === undefined) return
    parts.handshakes.answered(this)
    const session = new TlsSession(handle, verify)
    this.session = session
    const refused = certificateRefusalOf(session, verify, parts.epochSeconds())
    if (refused !== undefined) {
      this.failed(refused)
      this.destroy()
      return
    }
    this.phase = PHASE.open
    this.idle = new IdleBytes(session, under.bytesRead)
    this.row = new ReadRow(() => this.resume())
    tellOf(session, channel, parts)
    receiver.heard()
  }

  onDecrypted(): void {
    const { handle, parts } = this
    if (handle === undefined || this.isDestroyed) return
    const length = this.taken(handle)
    if (length === 0) this.endNoticed()
    else if (!this.receive(parts.readBuffer, length) && !this.isDestroyed) handle.readStop()
  }

  onError(code: string): void {
    // OpenSSL would take no more of it. Its alert is sent.
    this.handle?.readStop()
    if (this.isGivenUp) return
    this.isGivenUp = true
    this.parts.handshakes.answered(this)
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
    this.phase = PHASE.closed
    this.hello = undefined
    this.session?.end()
    this.handle?.destroySSL()
    this.handle = undefined
    this.request = undefined
    this.gathered = []
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

  /** True while it is read: also when its handshake waits, or nobody would notice that it has gone. */
  private receiveHello(bytes: Uint8Array, length: number): boolean {
    const { hello, parts } = this
    if (hello === undefined || this.isDestroyed) return false
    hello.add(Buffer.from(bytes.subarray(0, length)))
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
    if (this.phase === PHASE.waiting) this.parts.handshakes.leave(this)
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

  private receive(bytes: Uint8Array, length: number): boolean {
    const { receiver } = this
    this.idle?.take(length)
    if (receiver === undefined) return false
    if (this.isStopped || this.kept !== undefined) {
      this.kept ??= new KeptBytes()
      this.kept.add(bytes, length)
      return false
    }
    const goesOn = receiver.receive(bytes, length)
    if (goesOn && this.row?.goesOn(Math.max(length, RECORD_BYTES_MIN)) !== false) return true
    this.isStopped = true
    return false
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

  /** False: the connection is broken. */
  private send(bytes: Uint8Array): boolean {
    const { handle, parts } = this
    if (handle === undefined) return false
    const request = parts.handles.writer.begin(handle, bytes)
    if (typeof request === 'number') {
      if (request !== 0) this.destroy()
      return request === 0
    }
    this.request = request
    this.isTold = false
    this.writingBytes = bytes.length
    if (!this.isTaken) this.awaitEnd()
    return true
  }
}

function close(transport: TlsHandleTransport): void {
  transport.close()
}
