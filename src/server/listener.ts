/**
 * One worker's half of listening: it accepts from the sockets that the main thread has bound
 * (bind.ts), side by side with the other workers. Hands over the bare handle of each accepted
 * connection, before Node wraps it: a connection that is refused or has to wait costs a file
 * descriptor and nothing else, and one that is served is wrapped once, the way socket-transport.ts
 * wants it.
 *
 * Invariant: the sockets are never closed here, see bind.ts; a worker that accepts no more lets go of
 * them with `pause`.
 *
 * The bare handle comes from `onconnection` of the server's handle, which net.Server itself uses
 * and which is not documented; where a release of Node has it no more, `listen` refuses to start
 * rather than serve wrongly. `pause` and `resume` are the handle's `readStop` and `readStart`: on a
 * listening handle they take its descriptor out of this thread's event loop, and put it back.
 */
import net from 'node:net'
import type { SharedSocket } from './bind.ts'
import { explain, ListenError } from './listen-error.ts'
import type { AcceptedHandle } from './socket-transport.ts'

export interface ListenerOptions {
  readonly backlog: number
  /** Called for each accepted connection, with the address that it came in on. */
  readonly onAccept: (handle: AcceptedHandle, listenAddress: string) => void
  /** Accepting failed (out of file descriptors, say); the listener goes on. */
  readonly onAcceptError: (code: string) => void
}

interface ListeningHandle {
  onconnection: (status: number, handle: AcceptedHandle | undefined) => void
  readStart?(): number
  readStop?(): number
  setNoDelay?(enable: boolean): number
  setKeepAlive?(enable: boolean, delaySeconds: number): number
}

const KEEP_ALIVE_SECONDS = 60

export class Listener {
  private readonly options: ListenerOptions
  private readonly handles: ListeningHandle[] = []
  private isPaused = false

  constructor(options: ListenerOptions) {
    this.options = options
  }

  async listen(socket: SharedSocket): Promise<void> {
    const { fd, address } = socket
    const server = net.createServer({ pauseOnConnect: true })
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
    this.takeOver(server, address.text)
  }

  /** Leaves newcomers to the other workers. */
  pause(): void {
    if (this.isPaused) return
    this.isPaused = true
    for (const handle of this.handles) handle.readStop?.()
  }

  resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    for (const handle of this.handles) handle.readStart?.()
  }

  private takeOver(server: net.Server, listenAddress: string): void {
    const { onAccept, onAcceptError } = this.options
    const handle = (server as unknown as { _handle?: ListeningHandle })._handle
    if (handle === undefined || typeof handle.onconnection !== 'function') {
      throw new ListenError(`this release of Node (${process.version}) is not supported`)
    }
    // Accepted sockets inherit these from the listening one on Linux: two system calls saved each.
    handle.setNoDelay?.(true)
    handle.setKeepAlive?.(true, KEEP_ALIVE_SECONDS)
    handle.onconnection = (status, accepted) => {
      if (accepted === undefined || status !== 0) onAcceptError(acceptErrorName(status))
      else onAccept(accepted, listenAddress)
    }
    // Only what was started can be stopped: until now the handle listens, but does not "read".
    handle.readStart?.()
    this.handles.push(handle)
  }
}

/** -24 and -23 are EMFILE and ENFILE on every Linux; others are shown as their number. */
function acceptErrorName(status: number): string {
  if (status === -24) return 'EMFILE'
  if (status === -23) return 'ENFILE'
  return String(status)
}
