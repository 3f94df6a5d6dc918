/**
 * Hot path. A Transport over a TCP or Unix socket of Node, in the way that costs least a request, for those
 * that cannot be served right from their handles (handle-transport.ts). test/bench/socket-layer.mjs prints
 * the figures:
 *
 * - All sockets of a worker read into one buffer that the worker owns (`onread`), instead of
 *   allocating one a read. The buffer is free again when `Receiver.receive` returns.
 * - Replies go to the socket's handle (handle-writer.ts), past the machinery of stream.Writable,
 *   which has nothing to add: replies are gathered before they come here, and who does not read is
 *   not served. Where that is not possible they are ordinary writes.
 *
 * Where Node has no bare handles to give (node-internals.ts), an AcceptedSocket is served instead, by
 * its 'data' event and by ordinary writes.
 *
 * Invariant: once a socket's writes go to its handle, all do. Reading, ending and closing remain
 * the socket's.
 */
import net from 'node:net'
import type { Channel } from '../../base/channel.ts'
import type { Peer } from '../../base/peer.ts'
import type { Pipe } from '../../base/pipe.ts'
import type { Receiver, Transport } from '../../connection/transport.ts'
import type { AcceptedHandle, PeerName } from './accepted-handle.ts'
import type { BareHandles } from './bare-handles.ts'
import type { HandleWriter, LateWrite } from './handle-writer.ts'
import { ReadRow } from './read-row.ts'

const ENOTCONN = -107

/** A socket that Node has wrapped already, in the place of its handle. */
export class AcceptedSocket implements AcceptedHandle {
  readonly socket: net.Socket

  constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('error', ignore)
  }

  getpeername(out: PeerName): number {
    const { remoteAddress: address, remotePort: port } = this.socket
    if (address === undefined || port === undefined) return ENOTCONN
    out.address = address
    out.port = port
    return 0
  }

  close(): void {
    this.socket.destroy()
  }
}

/**
 * Size of the read buffer that a worker shares among its connections. A value of 64 KiB fits with
 * what stands around it: with less it takes two reads, and a copy to wait for the second.
 */
export const READ_BUFFER_BYTES: number = 68 * 1024

/** What the sockets of a worker share. */
export interface SocketParts {
  /** READ_BUFFER_BYTES of it. */
  readonly readBuffer: Buffer
  readonly sendBufferBytesMax: number
  readonly writer: HandleWriter
  /** Those that are served without a socket of Node. */
  readonly bare?: BareHandles | undefined
}

export class SocketTransport implements Transport, LateWrite {
  readonly peer: Peer
  readonly channel: Channel
  private readonly socket: net.Socket
  private readonly writer: HandleWriter
  /** Undefined once the socket has closed it. */
  private handle: AcceptedHandle | undefined
  private receiver: Receiver | undefined = undefined
  private readonly row: ReadRow = new ReadRow(() => this.resume())
  /** Writes go to the handle. */
  private isDirect: boolean
  /** The first ordinary write is to teach the writer. */
  private isTeaching = false
  /** Writes that the kernel did not take at once and that have not ended yet. */
  private waitingWrites = 0

  constructor(handle: AcceptedHandle, { peer, channel }: Pipe, parts: SocketParts) {
    const { readBuffer, sendBufferBytesMax, writer } = parts
    this.peer = peer
    this.channel = channel
    this.writer = writer
    if (handle instanceof AcceptedSocket) {
      this.handle = undefined
      this.isDirect = false
      this.socket = handle.socket
      return
    }
    this.handle = handle
    this.isDirect = writer.isReady
    if (!this.isDirect) this.isTeaching = writer.learnFrom(handle)
    const options = {
      handle,
      allowHalfOpen: true,
      manualStart: true,
      writableHighWaterMark: sendBufferBytesMax,
      onread: {
        buffer: readBuffer,
        callback: (length: number, bytes: Uint8Array): boolean => this.take(bytes, length),
      },
    }
    // `handle` and `manualStart` are not in the typings; net.Server makes its sockets with them.
    this.socket = new net.Socket(options as net.SocketConstructorOpts)
  }

  attach(receiver: Receiver): void {
    this.receiver = receiver
    const socket = this.socket
    socket.on('drain', () => receiver.onDrained())
    socket.on('end', () => receiver.receiveEnd())
    // A reset or a broken pipe is the peer's way to leave: 'close' follows.
    socket.on('error', ignore)
    socket.on('close', () => {
      this.handle = undefined
      receiver.finish()
    })
    if (this.handle !== undefined) socket.read(0)
    else this.readChunks()
  }

  /** For a connection that is not served: sends what was written, then closes. */
  refuse(): void {
    this.socket.on('error', ignore)
    this.socket.end(() => this.socket.destroy())
  }

  get unsentBytes(): number {
    if (!this.isDirect) return this.socket.writableLength
    return this.waitingWrites > 0 ? (this.handle?.writeQueueSize ?? 0) : 0
  }

  write(bytes: Uint8Array): number {
    const { handle } = this
    if (!this.isDirect) return this.writeOrdinarily(bytes)
    // A socket that was destroyed has closed its handle, which then takes nothing.
    if (handle === undefined) return 0
    if (this.writer.write(handle, bytes, this) !== 0) this.socket.destroy()
    return this.waitingWrites > 0 ? (handle.writeQueueSize ?? 0) : 0
  }

  resume(): void {
    this.socket.resume()
  }

  end(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }

  isReset(): boolean {
    const { handle, socket } = this
    // After our end there is nothing to write to.
    if (!this.isDirect || handle === undefined || socket.writableEnded) return false
    return this.writer.isReset(handle)
  }

  onWriteWaits(): void {
    this.waitingWrites++
  }

  onWritten(status: number): void {
    this.waitingWrites--
    if (status !== 0) this.socket.destroy()
    else if (this.waitingWrites === 0 && !this.socket.destroyed) this.receiver?.onDrained()
  }

  private readChunks(): void {
    const { socket } = this
    socket.on('data', (chunk: Buffer) => {
      if (!this.take(chunk, chunk.length)) socket.pause()
    })
    socket.resume()
  }

  private take(bytes: Uint8Array, length: number): boolean {
    if (this.receiver?.receive(bytes, length) !== true) return false
    if (length === bytes.length) return this.row.goesOn(length)
    this.row.end()
    return true
  }

  private writeOrdinarily(bytes: Uint8Array): number {
    const { socket, handle } = this
    socket.write(bytes)
    const unsentBytes = socket.writableLength
    if (handle === undefined) return unsentBytes
    if (this.isTeaching) {
      this.isTeaching = false
      this.writer.endLearning(handle)
    }
    if (unsentBytes === 0) this.isDirect = this.writer.isReady
    return unsentBytes
  }
}

function ignore(): void {}
