/**
 * Hot path. A Transport over a TCP or Unix socket of Node, in the way that costs least a request:
 * all sockets of a worker read into one buffer that the worker owns (`onread`), instead of
 * allocating one a read (test/bench/README.md, "socket layer"). The buffer is free again when
 * `Connection.receive` returns.
 */
import net from 'node:net'
import type { Connection } from '../connection/connection.ts'
import type { Transport } from '../connection/transport.ts'

/** The handle that a listening socket hands over for each accepted connection. */
export interface AcceptedHandle {
  close(): void
  getpeername?(out: { address?: string; port?: number; family?: string }): number
}

/** Size of the read buffer that a worker shares among its connections. */
export const READ_BUFFER_BYTES: number = 64 * 1024

/** The peer's `address:port`; a Unix peer has no name and is called `unix`. */
export function peerName(handle: AcceptedHandle): string {
  const name: { address?: string; port?: number; family?: string } = {}
  if (handle.getpeername === undefined || handle.getpeername(name) !== 0) return 'unix'
  return name.family === 'IPv6' ? `[${name.address}]:${name.port}` : `${name.address}:${name.port}`
}

export class SocketTransport implements Transport {
  readonly peer: string
  private readonly socket: net.Socket
  private connection: Connection | undefined = undefined

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
  }

  /** Begins to read, into `connection`. */
  attach(connection: Connection): void {
    this.connection = connection
    const socket = this.socket
    socket.on('drain', () => connection.onDrained())
    socket.on('end', () => connection.receiveEnd())
    // A reset or a broken pipe is the peer's way to leave: 'close' follows.
    socket.on('error', ignore)
    socket.on('close', () => connection.finish())
    socket.read(0)
  }

  /** For a connection that is not served: sends what was written, then closes. */
  refuse(): void {
    this.socket.on('error', ignore)
    this.socket.end(() => this.socket.destroy())
  }

  get unsentBytes(): number {
    return this.socket.writableLength
  }

  write(bytes: string | Uint8Array): void {
    if (typeof bytes === 'string') this.socket.write(bytes, 'latin1')
    else this.socket.write(bytes)
  }

  pause(): void {
    this.socket.pause()
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
}

function ignore(): void {}
