/**
 * One worker's half of listening: it accepts from the sockets that the main thread has bound
 * (bound-sockets.ts), side by side with the other workers. Hands over each accepted connection before
 * Node wraps its handle: one that is refused or has to wait costs little more than a file descriptor,
 * and one that is served is wrapped once, the way socket-transport.ts wants it.
 *
 * Invariant: the sockets are never closed here, see bound-sockets.ts; a worker that accepts no more lets go of
 * them with `pause`.
 *
 * The bare handle comes from `onconnection` of the server's handle, which net.Server itself uses
 * and which is not documented. `pause` and `resume` are the handle's `readStop` and `readStart`: on a
 * listening handle they take its descriptor out of this thread's event loop, and put it back. Where a
 * release of Node does not have all that (node-internals.ts), sockets come from the server's
 * 'connection' event, and `pause` does nothing: who must not be served is closed by whoever gets it.
 */
import net from 'node:net'
import type { Channel } from '../../base/channel.ts'
import type { AcceptedHandle } from './accepted-handle.ts'
import { BareHandles } from './bare-handles.ts'
import { HandleWriter } from './handle-writer.ts'
import { explain, ListenError } from './listen-error.ts'
import type { Newcomer, NewcomerSource, NewcomerSourceOptions, TlsOptions } from './newcomer.ts'
import { socketTakesHandle } from './node-internals.ts'
import type { SharedSocket } from './shared-socket.ts'
import { peerOf, SocketNewcomer } from './socket-newcomer.ts'
import { AcceptedSocket, READ_BUFFER_BYTES, type SocketParts } from './socket-transport.ts'
import { TlsHandles } from './tls-handles.ts'
import { TlsNewcomer } from './tls-newcomer.ts'
import type { TlsParts } from './tls-phase.ts'

interface ListeningHandle {
  onconnection: (status: number, handle: AcceptedHandle | undefined) => void
  readStart(): number
  readStop(): number
  setNoDelay?(enable: boolean): number
  setKeepAlive?(enable: boolean, delaySeconds: number): number
}

const KEEP_ALIVE_SECONDS = 60
const CALLS = ['onconnection', 'readStart', 'readStop']
/** Of TCP only. Accepted handles are of the listening one's class. */
const TCP_CALLS = ['setNoDelay', 'setKeepAlive', 'getpeername']

export class Listener implements NewcomerSource {
  private readonly options: NewcomerSourceOptions
  private readonly parts: SocketParts
  /** Undefined where no listener speaks TLS. */
  private readonly tlsParts: TlsParts | undefined
  private readonly handles: ListeningHandle[] = []
  private readonly takesHandles: boolean = socketTakesHandle()
  private isPaused = false

  constructor(options: NewcomerSourceOptions) {
    this.options = options
    const { sendBufferBytesMax, onWithout, soon } = options
    const readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
    const writer = new HandleWriter(() => onWithout('write'))
    const bare = this.takesHandles ? BareHandles.of(readBuffer, writer, onWithout, soon) : undefined
    this.parts = { readBuffer, sendBufferBytesMax, writer, bare }
    this.tlsParts = options.tls === undefined ? undefined : this.createTlsParts(options.tls)
  }

  private createTlsParts(tls: TlsOptions): TlsParts {
    const { onWithout, soon } = this.options
    return {
      ...tls,
      soon,
      readBuffer: this.parts.readBuffer,
      sendBufferBytesMax: this.parts.sendBufferBytesMax,
      handles: new TlsHandles(new HandleWriter(), () => onWithout('tls')),
    }
  }

  async listen(socket: SharedSocket, listenerIndex: number): Promise<void> {
    const { fd, address } = socket
    const server = net.createServer({
      pauseOnConnect: true,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_SECONDS * 1000,
    })
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        // With a descriptor, Node takes the backlog only as an argument of its own.
        server.listen({ fd }, this.options.backlog, resolve)
      })
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
      throw new ListenError(`cannot listen on ${address.text}: ${explain(code)}`, { cause })
    }
    const isUnix = address.family === 'unix'
    const create = this.newcomersOf(socket, listenerIndex)
    const handle = this.takesHandles ? handleOf(server, isUnix) : undefined
    if (handle !== undefined) this.takeOver(handle, create)
    else this.takeSockets(server, create)
  }

  /** What makes a newcomer of a connection that was accepted from `socket`. */
  private newcomersOf(
    { address, tls }: SharedSocket,
    listenerIndex: number,
  ): (handle: AcceptedHandle) => Newcomer {
    const { parts, tlsParts } = this
    if (tls !== undefined && tlsParts !== undefined) {
      return (handle) => new TlsNewcomer(handle, listenerIndex, tls, tlsParts)
    }
    const isUnix = address.family === 'unix'
    const channel: Channel = { kind: isUnix ? 'unix' : 'tcp', listenerIndex }
    if (isUnix || this.options.passwordsInTheClear) {
      return (handle) => new SocketNewcomer(handle, channel, parts)
    }
    const exposed: Channel = { ...channel, refusesPasswords: true }
    return (handle) => {
      const peer = peerOf(handle)
      return new SocketNewcomer(handle, peer.isThisMachine ? channel : exposed, parts, peer)
    }
  }

  pause(): void {
    if (this.isPaused) return
    this.isPaused = true
    for (const handle of this.handles) handle.readStop()
  }

  resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    for (const handle of this.handles) handle.readStart()
  }

  private takeOver(handle: ListeningHandle, create: (handle: AcceptedHandle) => Newcomer): void {
    const { onAccept, onAcceptError } = this.options
    // Accepted sockets inherit these from the listening one on Linux: two system calls saved each.
    handle.setNoDelay?.(true)
    handle.setKeepAlive?.(true, KEEP_ALIVE_SECONDS)
    handle.onconnection = (status, accepted) => {
      if (accepted === undefined || status !== 0) onAcceptError(acceptErrorName(status))
      else onAccept(create(accepted))
    }
    // Only what was started can be stopped: until now the handle listens, but does not "read".
    handle.readStart()
    this.handles.push(handle)
  }

  private takeSockets(server: net.Server, create: (handle: AcceptedHandle) => Newcomer): void {
    const { onAccept, onAcceptError, onWithout } = this.options
    server.on('connection', (socket) => onAccept(create(new AcceptedSocket(socket))))
    server.removeAllListeners('error')
    server.on('error', (error: NodeJS.ErrnoException) => onAcceptError(error.code ?? error.message))
    onWithout('accept')
  }
}

/** The server's handle, if it has everything that is used of it. */
function handleOf(server: net.Server, isUnix: boolean): ListeningHandle | undefined {
  const { _handle: handle } = server as unknown as { readonly _handle?: Record<string, unknown> }
  const calls = isUnix ? CALLS : [...CALLS, ...TCP_CALLS]
  if (handle === undefined || handle === null) return undefined
  if (calls.some((name) => typeof handle[name] !== 'function')) return undefined
  return handle as unknown as ListeningHandle
}

/** -24 and -23 are EMFILE and ENFILE on every Linux; others are shown as their number. */
function acceptErrorName(status: number): string {
  if (status === -24) return 'EMFILE'
  if (status === -23) return 'ENFILE'
  return String(status)
}
