/**
 * A Transport over TLS by sockets of Node, the documented way, for what cannot be served right from its handles
 * (tls-handle-transport.ts): each connection and each request takes more, and ends of many at one moment are taken in one turn.
 * tls-phase.ts has its phases.
 *
 * Invariant: the receiver gets nothing before the channel has all that the handshake told.
 */
import net from 'node:net'
import type tls from 'node:tls'
import type { Peer } from '../../base/peer.ts'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import type { Receiver, Transport } from '../../connection/transport.ts'
import { COUNTER } from '../../observe/counters.ts'
import type { AcceptedHandle } from './accepted-handle.ts'
import { RECORD_BYTES_MIN, ReadRow } from './read-row.ts'
import { AcceptedSocket } from './socket-transport.ts'
import { certificateRefusalOf } from './tls-channel.ts'
import type { SocketOwner } from './tls-handshakes.ts'
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

export class TlsSocketTransport implements Transport, SocketOwner {
  readonly peer: Peer
  readonly channel: TlsPipeChannel
  readonly verify: TlsVerify
  /** Under the encryption. */
  readonly socket: net.Socket
  private readonly parts: TlsParts
  private phase: Phase = PHASE.hello
  private readonly hello: HelloIntake = new HelloIntake()
  private receiver: Receiver | undefined = undefined
  private secure: tls.TLSSocket | undefined = undefined
  private readonly row: ReadRow = new ReadRow(() => this.resume())
  /** Once it is open. */
  private idle: IdleBytes | undefined = undefined
  private peerEnded = false

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
    this.socket = handle instanceof AcceptedSocket ? handle.socket : wrap(handle, parts)
  }

  attach(receiver: Receiver): void {
    this.receiver = receiver
    const { socket } = this
    socket.on('error', ignore)
    socket.on('end', () => this.endEarly())
    socket.on('close', () => this.closed())
    socket.on('data', this.takeChunk)
    socket.resume()
  }

  get receivedBytes(): number {
    return this.socket.bytesRead
  }

  get sentBytes(): number {
    return this.socket.bytesWritten
  }

  get isOver(): boolean {
    return this.socket.destroyed
  }

  get unsentBytes(): number {
    return this.secure?.writableLength ?? 0
  }

  write(bytes: Uint8Array): number {
    const { secure } = this
    if (this.phase !== PHASE.open || secure === undefined || secure.destroyed) return 0
    secure.write(Uint8Array.from(bytes))
    return secure.writableLength
  }

  resume(): void {
    this.secure?.resume()
  }

  end(): void {
    if (this.phase === PHASE.open) this.secure?.end()
    else this.destroy()
  }

  destroy(): void {
    const { secure, socket } = this
    if (this.phase === PHASE.open && this.peerEnded && this.unsentBytes === 0) {
      // A client that said goodbye (close_notify) is told so, too: many take silence for an attack.
      secure?.end()
      setImmediate(() => secure?.destroy())
      return
    }
    if (this.hello.length > 0 || this.phase > PHASE.hello) this.failed('not-finished')
    secure?.destroy()
    socket.destroy()
  }

  takeHello(): Uint8Array {
    const { hello, socket } = this
    socket.off('data', this.takeChunk)
    socket.pause()
    this.phase = PHASE.shaking
    return hello.take()
  }

  secured(secure: tls.TLSSocket): void {
    const { receiver, channel, verify, parts } = this
    if (this.phase !== PHASE.shaking || receiver === undefined) {
      secure.destroy()
      return
    }
    this.secure = secure
    secure.allowHalfOpen = true
    secure.on('error', (error: NodeJS.ErrnoException) => {
      // A reset is the peer's way to leave.
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
    this.phase = PHASE.open
    this.idle = new IdleBytes(secure, this.socket.bytesRead)
    tellOf(secure, channel, parts)
    receiver.heard()
    this.open(secure, receiver)
  }

  failed(code: string): void {
    const { phase, parts, peer } = this
    if (phase === PHASE.open || phase === PHASE.closed) return
    if (phase === PHASE.waiting) parts.handshakes.leave(this)
    this.phase = PHASE.closed
    countFailure(parts, peer, code)
  }

  /** Where Node does not tell how much has come, it is not known. */
  isMisused(isLoggedIn: boolean): boolean {
    if (this.phase !== PHASE.open) return false
    // Node keeps what was decrypted while we have enough: 64 KiB since Node 22.
    const waitingBytes = this.secure?.readableLength ?? 0
    if (this.idle?.isTooMuch(this.socket.bytesRead, waitingBytes, isLoggedIn) !== true) return false
    this.parts.lane[COUNTER.ssl_proto_errors]!++
    return true
  }

  private readonly takeChunk = (chunk: Buffer): void => {
    const { hello } = this
    // Also when its handshake waits, or nobody would notice that it has gone.
    if (this.phase !== PHASE.hello && this.phase !== PHASE.waiting) return
    hello.add(chunk)
    if (hello.isWrong) {
      this.failed('not-a-client-hello')
      this.destroy()
    } else if (this.phase === PHASE.hello && hello.isWhole) {
      this.phase = PHASE.waiting
      this.receiver?.heard()
      this.parts.handshakes.enqueue(this)
    }
  }

  /** The peer sent no hello, or not all of it. */
  private endEarly(): void {
    if (this.phase === PHASE.hello || this.phase === PHASE.waiting) this.destroy()
  }

  private closed(): void {
    // A port scan, or a health check that only connects, is no error.
    if (this.phase !== PHASE.hello || this.hello.length > 0) this.failed('ECONNRESET')
    this.phase = PHASE.closed
    this.hello.take()
    this.receiver?.finish()
    this.receiver = undefined
  }

  private open(secure: tls.TLSSocket, receiver: Receiver): void {
    secure.on('drain', () => receiver.onDrained())
    secure.on('end', () => {
      this.peerEnded = true
      this.receiver?.receiveEnd()
    })
    secure.on('close', () => this.socket.destroy())
    secure.on('data', (chunk: Buffer) => {
      if (!this.receive(chunk)) secure.pause()
    })
    secure.resume()
  }

  private receive(chunk: Buffer): boolean {
    const { length } = chunk
    this.idle?.take(length)
    if (this.receiver?.receive(chunk, length) !== true) return false
    return this.row.goesOn(Math.max(length, RECORD_BYTES_MIN))
  }
}

function wrap(handle: AcceptedHandle, { sendBufferBytesMax }: TlsParts): net.Socket {
  const options = {
    handle,
    allowHalfOpen: true,
    manualStart: true,
    writableHighWaterMark: sendBufferBytesMax,
  }
  // `handle` and `manualStart` are not in the typings; net.Server makes its sockets with them.
  return new net.Socket(options as unknown as net.SocketConstructorOpts)
}

function ignore(): void {}
