/**
 * Hot path. A Transport over a TCP or Unix socket of Node, in the way that costs least a request
 * (test/bench/socket-layer.mjs prints the figures):
 *
 * - All sockets of a worker read into one buffer that the worker owns (`onread`), instead of
 *   allocating one a read. The buffer is free again when `Connection.receive` returns.
 * - Replies go to the socket's handle, past the machinery of stream.Writable, which has nothing to
 *   add: replies are gathered before they come here, and who does not read is not served. Reading,
 *   ending and closing remain the socket's.
 *
 * The handle's write calls take a request object whose constructor Node does not export; it is
 * learned from the first ordinary write of the worker. Where that fails (another release of Node),
 * every write stays an ordinary one.
 */
import net from 'node:net'
import type { Connection } from '../connection/connection.ts'
import type { Transport } from '../connection/transport.ts'

/** A connected socket's handle, as far as it is used here. */
export interface AcceptedHandle {
  close(): void
  getpeername?(out: PeerName): number
  /** Bytes that wait for the kernel to take them. */
  readonly writeQueueSize?: number
  writeLatin1String?(request: WriteRequest, text: string): number
  writeBuffer?(request: WriteRequest, bytes: Uint8Array): number
}

interface PeerName {
  address?: string
  port?: number
  family?: string
}

/** What the handle reports the end of a write to, when the kernel did not take it at once. */
interface WriteRequest {
  oncomplete?: (status: number) => void
  buffer?: Uint8Array
}

/** Size of the read buffer that a worker shares among its connections. */
export const READ_BUFFER_BYTES: number = 64 * 1024

const IPV4_IN_IPV6 = '::ffff:'

/**
 * The peer's `address:port`. A Unix peer has no name and is called `unix`; one that has reset its
 * connection already, whose last bytes may still be read, has none any more and is `unknown`.
 */
export function peerName(handle: AcceptedHandle): string {
  const name: PeerName = {}
  if (handle.getpeername === undefined) return 'unix'
  if (handle.getpeername(name) !== 0) return 'unknown'
  const { address = '', port } = name
  if (address.startsWith(IPV4_IN_IPV6)) return `${address.slice(IPV4_IN_IPV6.length)}:${port}`
  return name.family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
}

let WriteRequestClass: (new () => WriteRequest) | undefined

/** Lets the next ordinary write through `handle` tell the class of its request. */
function learnFrom(handle: AcceptedHandle): void {
  const ordinary = handle.writeLatin1String
  if (ordinary === undefined) return
  handle.writeLatin1String = function learn(request, text) {
    WriteRequestClass = request.constructor as new () => WriteRequest
    delete handle.writeLatin1String
    return ordinary.call(handle, request, text)
  }
}

export class SocketTransport implements Transport {
  readonly peer: string
  private readonly socket: net.Socket
  /** Undefined once the socket has closed it. */
  private handle: Required<Omit<AcceptedHandle, 'close' | 'getpeername'>> | undefined
  private connection: Connection | undefined = undefined
  /** Writes that the kernel did not take at once and that have not ended yet. */
  private waitingWrites = 0

  constructor(
    handle: AcceptedHandle,
    peer: string,
    readBuffer: Buffer,
    sendBufferBytesMax: number,
  ) {
    this.peer = peer
    const options = {
      handle,
      allowHalfOpen: true,
      manualStart: true,
      writableHighWaterMark: sendBufferBytesMax,
      onread: {
        buffer: readBuffer,
        callback: (length: number, bytes: Uint8Array): boolean =>
          this.connection?.receive(bytes, length) ?? false,
      },
    }
    // `handle` and `manualStart` are not in the typings; net.Server makes its sockets with them.
    this.socket = new net.Socket(options as net.SocketConstructorOpts)
    if (WriteRequestClass === undefined) learnFrom(handle)
    this.handle = handle as Required<AcceptedHandle>
  }

  /** Begins to read, into `connection`. */
  attach(connection: Connection): void {
    this.connection = connection
    const socket = this.socket
    socket.on('drain', () => connection.onDrained())
    socket.on('end', () => connection.receiveEnd())
    // A reset or a broken pipe is the peer's way to leave: 'close' follows.
    socket.on('error', ignore)
    socket.on('close', () => {
      this.handle = undefined
      connection.finish()
    })
    socket.read(0)
  }

  /** For a connection that is not served: sends what was written, then closes. */
  refuse(): void {
    this.socket.on('error', ignore)
    this.socket.end(() => this.socket.destroy())
  }

  get unsentBytes(): number {
    const queued = this.waitingWrites > 0 ? (this.handle?.writeQueueSize ?? 0) : 0
    return queued + this.socket.writableLength
  }

  write(bytes: string | Uint8Array): void {
    const { handle } = this
    if (WriteRequestClass === undefined || handle === undefined || this.socket.writableLength > 0) {
      if (typeof bytes === 'string') this.socket.write(bytes, 'latin1')
      else this.socket.write(bytes)
      return
    }
    if (this.socket.destroyed) return
    const request = new WriteRequestClass()
    let status: number
    if (typeof bytes === 'string') {
      status = handle.writeLatin1String(request, bytes)
    } else {
      // The handle keeps the request, and the request the memory, until the kernel has the bytes.
      request.buffer = bytes
      status = handle.writeBuffer(request, bytes)
    }
    if (status !== 0) this.socket.destroy()
    else if (handle.writeQueueSize > 0) this.awaitWrite(request)
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

  private awaitWrite(request: WriteRequest): void {
    this.waitingWrites++
    request.oncomplete = (status) => {
      this.waitingWrites--
      if (status !== 0) this.socket.destroy()
      else if (this.waitingWrites === 0 && !this.socket.destroyed) this.connection?.onDrained()
    }
  }
}

function ignore(): void {}
