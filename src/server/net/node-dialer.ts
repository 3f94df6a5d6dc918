/**
 * Opens the connections to the nodes of a store elsewhere, in the clear or over TLS. All of a worker read into one
 * buffer, which is free again when what has arrived was looked at. In the clear, writes go to the socket's handle
 * (handle-writer.ts) where Node's handles are as expected: CommandBuffer has gathered all that leaves in a turn.
 *
 * Invariant: once a socket's writes go to its handle, all do.
 */
import { connect, type Socket, type TcpSocketConnectOpts } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Dial, NodePipe, NodePipeEvents } from '../../remote/node-pipe.ts'
import type { RemoteSettings, Seed } from '../../remote/remote-settings.ts'
import { HandleWriter, type LateWrite, type WritableHandle } from './handle-writer.ts'

const READ_BUFFER_BYTES: number = 64 * 1024
/** A node whose machine is gone is found out even while nobody asks it. */
const KEEP_ALIVE_MS = 5000

export function nodeDialer(tls: RemoteSettings['tls']): Dial {
  const buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
  const writer = new HandleWriter()
  return (node, events) => new SocketPipe(node, tls, { buffer, writer }, events)
}

/** What the pipes of a worker share. */
interface PipeParts {
  readonly buffer: Buffer
  readonly writer: HandleWriter
}

class SocketPipe implements NodePipe, LateWrite {
  private readonly socket: Socket
  private readonly writer: HandleWriter
  /** Undefined over TLS, and once the socket has closed it. */
  private handle: WritableHandle | undefined = undefined
  /** Writes go to the handle. */
  private isDirect = false
  /** Writes that the kernel did not take at once and that have not ended yet. */
  private waitingWrites = 0
  private isClosed = false

  constructor(
    { host, port }: Seed,
    tls: RemoteSettings['tls'],
    { buffer, writer }: PipeParts,
    events: NodePipeEvents,
  ) {
    this.writer = writer
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
        ? connect(options, () => {
            this.handle = handleOf(this.socket)
            this.tell(() => events.opened())
          })
        : connectTls({ ...options, ca: tls.ca, ...tls.identity }, () =>
            this.tell(() => events.opened()),
          )
    this.socket.on('error', (error) => {
      trouble = error
      // Node leaves a socket open whose TLS session has failed.
      this.socket.destroy()
    })
    this.socket.on('close', () => {
      this.handle = undefined
      this.tell(() => events.ended(trouble))
    })
  }

  private tell(event: () => void): void {
    if (!this.isClosed) event()
  }

  write(bytes: Buffer): boolean {
    const { handle, writer } = this
    if (!this.isDirect) return this.writeOrdinarily(bytes)
    // A socket that was destroyed takes nothing, and keeps nothing.
    if (handle === undefined) return true
    if (writer.write(handle, bytes, this) !== 0) this.fail()
    return this.waitingWrites === 0
  }

  onWriteWaits(): void {
    this.waitingWrites++
  }

  onWritten(status: number): void {
    this.waitingWrites--
    if (status !== 0) this.fail()
  }

  private fail(): void {
    this.socket.destroy(new Error('a node takes no more'))
  }

  private writeOrdinarily(bytes: Buffer): boolean {
    const { socket, handle, writer } = this
    const isTeaching = handle !== undefined && !writer.isReady && writer.learnFrom(handle)
    socket.write(bytes)
    if (isTeaching) writer.endLearning(handle)
    if (socket.writableLength > 0) return false
    this.isDirect = handle !== undefined && writer.isReady
    return true
  }

  close(): void {
    this.isClosed = true
    this.socket.destroy()
  }
}

/** What Node keeps under a socket and does not document; undefined where that is no longer so. */
function handleOf(socket: Socket): WritableHandle | undefined {
  const { _handle: handle } = socket as { _handle?: WritableHandle | null }
  return handle ?? undefined
}
