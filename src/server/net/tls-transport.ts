/**
 * Hot path, once the handshake is done. A Transport over TLS.
 *
 *   HELLO ------> WAITING ------> SHAKING ------> OPEN ------> CLOSED
 *     the hello     its turn has     secured
 *     is here       come (tls-handshakes.ts)
 *
 * Until the hello has come whole nothing is spent but the bytes it has; what cannot be one is dropped
 * without a byte, as memcached does. Once open, it goes the way of socket-transport.ts:
 *
 * - All connections of a worker are decrypted into the one buffer that it shares. TLS hands over a
 *   record (16 KiB at most) a call, and goes on with those that it has although it was told to stop:
 *   these are kept, and passed on before anything else.
 * - Replies go to the socket's handle. A TLS handle takes one write at a time, and each ends later; those
 *   that come meanwhile are gathered, and go out as one. Node calls back at the end of a write only if it is
 *   asked to: where something waits for it, or the kernel did not take what was encrypted.
 * - A client may ask for new keys at any time (KeyUpdate, RFC 8446, 4.6.3), or to be keyed anew, which is
 *   refused. Each time costs us much more than it, and an answer that OpenSSL keeps until the client reads (tls-idle.ts).
 * - Its end, in whatever phase and for whatever reason, is noticed at once and taken in a later turn (late-ends.ts).
 *
 * Invariant: the receiver gets nothing before the channel has all that the handshake told.
 */
import net from 'node:net'
import type tls from 'node:tls'
import type { Channel, TlsChannel } from '../../base/channel.ts'
import type { Peer } from '../../base/peer.ts'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import type { Receiver, Transport } from '../../connection/transport.ts'
import { COUNTER } from '../../observe/counters.ts'
import type { AcceptedHandle } from './accepted-handle.ts'
import type { HandleWriter, LateWrite, WritableHandle, WriteRequest } from './handle-writer.ts'
import { KeptBytes } from './kept-bytes.ts'
import { isBroken, watchEnd } from './late-ends.ts'
import { readsInto } from './node-internals.ts'
import { RECORD_BYTES_MIN, ReadRow } from './read-row.ts'
import { AcceptedSocket } from './socket-transport.ts'
import { certificateRefusalOf, channelOf } from './tls-channel.ts'
import type { HandshakeOwner, TlsHandshakes } from './tls-handshakes.ts'
import { HelloIntake } from './tls-hello.ts'
import { IdleBytes } from './tls-idle.ts'

/** What the TLS connections of a worker share. */
export interface TlsParts {
  readonly readBuffer: Buffer
  readonly sendBufferBytesMax: number
  /** Of TLS handles alone. */
  readonly writer: HandleWriter
  readonly handshakes: TlsHandshakes
  /** Calls back in a later turn of the event loop, when the end of a connection may have one. */
  readonly soon: (run: () => unknown) => void
  readonly lane: Float64Array
  /** Seconds since 1970 by the server's clock. */
  readonly epochSeconds: () => number
  /** A handshake failed; `code` is fit for a log. */
  readonly onHandshake: (version: string, isResumed: boolean) => void
  readonly onHandshakeFailed: (peer: Peer, code: string) => void
  /** Node has no way to decrypt into a given buffer. */
  readonly onWithout: () => void
}

/** A channel whose `tls` comes with the end of the handshake. */
export interface TlsPipeChannel extends Channel {
  tls?: TlsChannel | undefined
}

const HELLO = 0
const WAITING = 1
const SHAKING = 2
const OPEN = 3
const CLOSED = 4

/** A write of up to this size goes to the socket as one. */
const WHOLE_WRITE_BYTES_MAX = 128 * 1024

/** Codes of handshakes that were left, against the protocol by nobody. */
const PEER_LEFT: readonly string[] = ['ECONNRESET', 'EPIPE', 'not-finished']

const NOTHING = Buffer.alloc(0)

export class TlsTransport implements Transport, HandshakeOwner, LateWrite {
  readonly peer: Peer
  readonly channel: TlsPipeChannel
  readonly verify: TlsVerify
  /** Under the encryption. */
  readonly socket: net.Socket
  private readonly parts: TlsParts
  private phase = HELLO
  private readonly hello: HelloIntake = new HelloIntake()
  private receiver: Receiver | undefined = undefined
  private secure: tls.TLSSocket | undefined = undefined
  /** The handle under the encryption: it tells what the kernel has not taken. */
  private under: WritableHandle | undefined
  /** Undefined where writes are ordinary ones, and once the socket has closed it. */
  private handle: WritableHandle | undefined = undefined
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
  private isEnding = false
  private isDestroyed = false
  /** The receiver asked to be left alone. */
  private isStopped = false
  /** What was decrypted all the same. */
  private readonly kept: KeptBytes = new KeptBytes()
  private peerEnded = false
  /** By OpenSSL: nothing of it is read any more. */
  private isGivenUp = false
  private readonly row: ReadRow = new ReadRow(() => this.resume())
  /** Once it is open. */
  private idle: IdleBytes | undefined = undefined
  /** The receiver knows. */
  private isEndTold = false

  constructor(
    handle: AcceptedHandle,
    { peer, channel }: { readonly peer: Peer; readonly channel: TlsPipeChannel },
    verify: TlsVerify,
    parts: TlsParts,
  ) {
    this.peer = peer
    this.channel = channel
    this.verify = verify
    this.parts = parts
    if (handle instanceof AcceptedSocket) {
      this.under = undefined
      this.socket = handle.socket
    } else {
      this.under = handle
      this.socket = this.wrap(handle)
    }
  }

  attach(receiver: Receiver): void {
    this.receiver = receiver
    const { socket } = this
    socket.on('error', ignore)
    socket.on('end', () => this.endEarly())
    socket.on('close', () => this.closed())
    // A wrapped handle is read into the shared buffer, a socket that Node has wrapped says 'data'.
    if (!socket.isPaused()) socket.read(0)
    else {
      socket.on('data', this.takeChunk)
      socket.resume()
    }
  }

  get unsentBytes(): number {
    const { handle, writingBytes, gatheredBytes } = this
    if (handle === undefined) return this.secure?.writableLength ?? 0
    if (writingBytes === 0) return 0
    // What is encrypted counts as unsent until the write's end is told, which is always later.
    return (this.isTaken ? 0 : (handle.writeQueueSize ?? 0)) + gatheredBytes
  }

  /** The kernel has what was encrypted, as far as that can be told. */
  private get isTaken(): boolean {
    return this.under?.writeQueueSize === 0 && this.writingBytes <= WHOLE_WRITE_BYTES_MAX
  }

  private isWriting(): boolean {
    const { request } = this
    if (request === undefined) return false
    if (this.isTold || this.parts.writer.isUnderWay(request)) return true
    this.request = undefined
    this.writingBytes = 0
    return false
  }

  private awaitEnd(): void {
    if (this.isTold || this.request === undefined) return
    this.isTold = true
    this.parts.writer.tellEnd(this.request, this)
  }

  /** The bytes are encrypted, or copied, before this returns. */
  write(bytes: Uint8Array): number {
    if (this.phase !== OPEN || this.isDestroyed) return 0
    if (this.handle === undefined) return this.writeOrdinarily(bytes)
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
    if (!this.isStopped || this.isGivenUp) return
    this.isStopped = false
    if (this.kept.length > 0) process.nextTick(() => this.passOnKept())
    else this.secure?.resume()
  }

  end(): void {
    if (this.phase !== OPEN) this.destroy()
    else if (this.isWriting()) {
      this.isEnding = true
      this.awaitEnd()
    } else this.secure?.end()
  }

  destroy(): void {
    const { secure, socket } = this
    this.isDestroyed = true
    if (this.phase === OPEN && this.peerEnded && this.unsentBytes === 0) {
      // A client that said goodbye (close_notify) is told so, too: many take silence for an attack.
      secure?.end()
      setImmediate(() => secure?.destroy())
      return
    }
    if (this.hello.length > 0 || this.phase > HELLO) this.failed('not-finished')
    if (secure !== undefined) secure.destroy()
    socket.destroy()
  }

  takeHello(): Uint8Array {
    const { hello, socket } = this
    socket.off('data', this.takeChunk)
    socket.pause()
    this.phase = SHAKING
    return hello.take()
  }

  secured(secure: tls.TLSSocket): void {
    const { receiver, channel, verify, parts } = this
    if (this.phase !== SHAKING || receiver === undefined) {
      secure.destroy()
      return
    }
    this.secure = secure
    secure.allowHalfOpen = true
    secure.on('error', (error: NodeJS.ErrnoException) => {
      // Where errors are not noticed by the handle (late-ends.ts). A reset is the peer's way to leave.
      if (error.code?.startsWith('ERR_SSL_')) parts.lane[COUNTER.ssl_proto_errors]!++
      // Of a session that OpenSSL has given up Node tells, and leaves the socket open. The alert is sent.
      this.destroy()
    })
    const refused = certificateRefusalOf(secure, verify, parts.epochSeconds())
    if (refused !== undefined) {
      this.failed(refused)
      this.destroy()
      return
    }
    this.phase = OPEN
    this.idle = new IdleBytes(secure, this.socket.bytesRead)
    const isResumed = secure.isSessionReused()
    channel.tls = channelOf(secure)
    if (!isResumed) parts.lane[COUNTER.ssl_new_sessions]!++
    parts.onHandshake(channel.tls.version, isResumed)
    receiver.heard()
    this.open(secure, receiver)
  }

  failed(code: string): void {
    if (this.phase === OPEN || this.phase === CLOSED) return
    const { lane, onHandshakeFailed, handshakes } = this.parts
    if (this.phase === WAITING) handshakes.leave(this)
    this.phase = CLOSED
    lane[COUNTER.ssl_handshake_errors]!++
    if (!PEER_LEFT.includes(code)) lane[COUNTER.ssl_proto_errors]!++
    onHandshakeFailed(this.peer, code)
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
    if (this.isEnding) this.secure?.end()
    if (!this.owesDrained || this.phase !== OPEN) return
    this.owesDrained = false
    this.receiver?.onDrained()
  }

  private wrap(handle: AcceptedHandle): net.Socket {
    const { readBuffer, sendBufferBytesMax } = this.parts
    const options = {
      // Node copies them. A copy of an ordinary object has maps of its own in Node 20: 14 us, and 0.7 KB more to collect.
      __proto__: null,
      handle,
      allowHalfOpen: true,
      manualStart: true,
      writableHighWaterMark: sendBufferBytesMax,
      onread: {
        buffer: readBuffer,
        callback: (length: number, bytes: Uint8Array): boolean => this.receiveHello(bytes, length),
      },
    }
    // `handle` and `manualStart` are not in the typings; net.Server makes its sockets with them.
    const socket = new net.Socket(options as unknown as net.SocketConstructorOpts)
    watchEnd(handle, this)
    return socket
  }

  private readonly takeChunk = (chunk: Buffer): void => {
    if (!this.receiveHello(chunk, chunk.length)) this.socket.pause()
  }

  /** True while it is read: also when its handshake waits, or nobody would notice that it has gone. */
  private receiveHello(bytes: Uint8Array, length: number): boolean {
    if (this.phase !== HELLO && this.phase !== WAITING) return false
    const { hello } = this
    hello.add(Buffer.from(bytes.subarray(0, length)))
    if (hello.isWrong) {
      this.failed('not-a-client-hello')
      this.destroy()
      return false
    }
    if (this.phase === WAITING || !hello.isWhole) return true
    this.phase = WAITING
    this.receiver?.heard()
    this.parts.handshakes.enqueue(this)
    return true
  }

  endNoticed(): void {
    // It costs no handshake, whichever turn comes first.
    if (this.phase === WAITING) this.parts.handshakes.leave(this)
    this.parts.soon(() => this.takeEnd())
  }

  errorNoticed(code: string): void {
    if (this.isGivenUp) return
    this.isGivenUp = true
    if (this.phase === OPEN) this.parts.lane[COUNTER.ssl_proto_errors]!++
    else this.failed(code)
    this.endNoticed()
  }

  /** False: there was nothing to end any more. */
  private takeEnd(): boolean {
    const { phase, secure, socket } = this
    if (this.isDestroyed || socket.destroyed) return false
    const isOver = this.isGivenUp || isBroken(socket)
    if (phase === OPEN && secure !== undefined && !isOver) {
      // What Node does at the end of a stream.
      secure.push(null)
      secure.read(0)
      return true
    }
    if (phase === SHAKING || (isOver && this.hello.length > 0)) this.failed('ECONNRESET')
    this.destroy()
    return true
  }

  /** The peer sent no hello, or not all of it. */
  private endEarly(): void {
    if (this.phase !== HELLO && this.phase !== WAITING) return
    this.destroy()
  }

  private closed(): void {
    // A port scan, or a health check that only connects, is no error.
    if (this.phase !== HELLO || this.hello.length > 0) this.failed('ECONNRESET')
    this.phase = CLOSED
    this.hello.take()
    this.handle = undefined
    this.under = undefined
    this.request = undefined
    this.gathered = []
    this.kept.take()
    this.receiver?.finish()
    this.receiver = undefined
  }

  private open(secure: tls.TLSSocket, receiver: Receiver): void {
    const { readBuffer, writer, onWithout } = this.parts
    secure.on('drain', () => receiver.onDrained())
    secure.on('end', () => this.receiveEnd())
    secure.on('close', () => this.socket.destroy())
    const { _handle: handle } = secure as unknown as { readonly _handle?: WritableHandle }
    if (writer.isReady) this.handle = handle
    else if (handle !== undefined) writer.learnFrom(handle)
    const receive = (length: number, bytes: Uint8Array): boolean => this.receive(bytes, length)
    if (readsInto(secure, readBuffer, receive, () => this.endNoticed())) return
    onWithout()
    secure.on('data', (chunk: Buffer) => {
      if (!this.receive(chunk, chunk.length)) secure.pause()
    })
    secure.resume()
  }

  isReset(): boolean {
    const { phase, under, secure, isStopped, peerEnded } = this
    // After our end there is nothing to write to.
    if (phase !== OPEN || under === undefined || secure?.writableEnded !== false) return false
    return (isStopped || peerEnded) && this.parts.writer.isReset(under)
  }

  /** Where Node does not tell how much has come, it is not known. */
  isMisused(isLoggedIn: boolean): boolean {
    if (this.phase !== OPEN || this.isGivenUp) return false
    // Where it is read the documented way, Node keeps what was decrypted while we have enough: 64 KiB since Node 22.
    const waitingBytes = this.secure?.readableLength ?? 0
    if (this.idle?.isTooMuch(this.socket.bytesRead, waitingBytes, isLoggedIn) !== true) return false
    this.parts.lane[COUNTER.ssl_proto_errors]!++
    return true
  }

  private receive(bytes: Uint8Array, length: number): boolean {
    const { receiver } = this
    this.idle?.take(length)
    if (receiver === undefined) return false
    if (this.isStopped || this.kept.length > 0) {
      this.kept.add(bytes, length)
      return false
    }
    if (receiver.receive(bytes, length) && this.row.goesOn(Math.max(length, RECORD_BYTES_MIN)))
      return true
    this.isStopped = true
    return false
  }

  private passOnKept(): void {
    const { receiver } = this
    if (receiver === undefined || this.phase !== OPEN || this.isStopped || this.isGivenUp) return
    const kept = this.kept.take()
    if (kept.length > 0) this.isStopped = !receiver.receive(kept, kept.length)
    if (this.isStopped || this.phase !== OPEN) return
    if (this.peerEnded) this.tellEnd()
    else this.secure?.resume()
  }

  private receiveEnd(): void {
    this.peerEnded = true
    if (this.kept.length === 0) this.tellEnd()
  }

  private tellEnd(): void {
    if (this.isEndTold) return
    this.isEndTold = true
    this.receiver?.receiveEnd()
  }

  /** False: the connection is broken. */
  private send(bytes: Uint8Array): boolean {
    const { handle } = this
    if (handle === undefined) return false
    const request = this.parts.writer.begin(handle, bytes)
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

  private writeOrdinarily(bytes: Uint8Array): number {
    const { secure } = this
    const { writer } = this.parts
    if (secure === undefined) return 0
    const { _handle: handle } = secure as unknown as { readonly _handle?: WritableHandle }
    if (handle !== undefined && writer.isReady && secure.writableLength === 0) {
      this.handle = handle
      return this.write(bytes)
    }
    secure.write(Uint8Array.from(bytes))
    if (handle !== undefined) writer.endLearning(handle)
    return secure.writableLength
  }
}

function ignore(): void {}
