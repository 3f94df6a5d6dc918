/**
 * Opens the connections to the nodes of a store elsewhere, in the clear or over TLS. All of a worker read into one
 * buffer, which is free again when what has arrived was looked at.
 */
import { connect, type Socket, type TcpSocketConnectOpts } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Dial, NodePipe, NodePipeEvents } from '../../remote/node-pipe.ts'
import type { RemoteSettings, Seed } from '../../remote/remote-settings.ts'

const READ_BUFFER_BYTES: number = 64 * 1024
/** A node whose machine is gone is found out even while nobody asks it. */
const KEEP_ALIVE_MS = 5000

export function nodeDialer(tls: RemoteSettings['tls']): Dial {
  const buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
  return (node, events) => new SocketPipe(node, tls, buffer, events)
}

class SocketPipe implements NodePipe {
  private readonly socket: Socket
  private isClosed = false

  constructor(
    { host, port }: Seed,
    tls: RemoteSettings['tls'],
    buffer: Buffer,
    events: NodePipeEvents,
  ) {
    const options: TcpSocketConnectOpts = {
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      onread: {
        buffer,
        callback: (length) => {
          if (!this.isClosed) events.received(buffer, length)
          return true
        },
      },
    }
    let trouble: unknown
    this.socket =
      tls === undefined
        ? connect(options, () => this.tell(() => events.opened()))
        : connectTls({ ...options, ca: tls.ca, ...tls.identity }, () =>
            this.tell(() => events.opened()),
          )
    this.socket.on('error', (error) => {
      trouble = error
    })
    this.socket.on('close', () => this.tell(() => events.ended(trouble)))
  }

  private tell(event: () => void): void {
    if (!this.isClosed) event()
  }

  write(bytes: Buffer): boolean {
    const { socket } = this
    socket.write(bytes)
    return socket.writableLength === 0
  }

  close(): void {
    this.isClosed = true
    this.socket.destroy()
  }
}
