/**
 * Listening sockets of one worker. Hands over the bare handle of each accepted connection, before
 * Node wraps it: a connection that is refused or has to wait costs a file descriptor and nothing
 * else, and one that is served is wrapped once, the way socket-transport.ts wants it.
 *
 * The bare handle comes from `onconnection` of the server's handle, which net.Server itself uses
 * and which is not documented; where a release of Node has it no more, `listen` refuses to start
 * rather than serve wrongly.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import net from 'node:net'
import type { AcceptedHandle } from './socket-transport.ts'

export interface ListenerOptions {
  readonly backlog: number
  /** Called for each accepted connection, with the address that it came in on. */
  readonly onAccept: (handle: AcceptedHandle, listenAddress: string) => void
  /** Accepting failed (out of file descriptors, say); the listener goes on. */
  readonly onAcceptError: (code: string) => void
}

export interface BoundAddress {
  readonly family: 'IPv4' | 'IPv6' | 'unix'
  /** `address:port`, `[address]:port`, or the socket's path. */
  readonly text: string
  readonly port: number
  /** True when the address is every interface, of IPv6 and of IPv4. */
  readonly isDualStack: boolean
}

interface ListeningHandle {
  onconnection: (status: number, handle: AcceptedHandle | undefined) => void
  setNoDelay?(enable: boolean): number
  setKeepAlive?(enable: boolean, delaySeconds: number): number
}

/** Thrown when an address cannot be listened on; `message` is fit for an operator. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
}

const KEEP_ALIVE_SECONDS = 60

export class Listener {
  private readonly options: ListenerOptions
  private readonly servers: net.Server[] = []

  constructor(options: ListenerOptions) {
    this.options = options
  }

  /** Listens on a TCP address; `host` undefined is every interface. Port 0 picks a free one. */
  async listenTcp(host: string | undefined, port: number): Promise<BoundAddress> {
    const shown = `${host === undefined ? '*' : host.includes(':') ? `[${host}]` : host}:${port}`
    const server = await this.listen(
      host === undefined
        ? { port, backlog: this.options.backlog }
        : { host, port, backlog: this.options.backlog },
      shown,
    )
    const address = server.address() as net.AddressInfo
    const isIpv6 = address.family === 'IPv6'
    const bound: BoundAddress = {
      family: isIpv6 ? 'IPv6' : 'IPv4',
      text: isIpv6 ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`,
      port: address.port,
      isDualStack: isIpv6 && host === undefined,
    }
    this.takeOver(server, bound.text)
    return bound
  }

  /** Listens on a Unix socket with permission bits `mask`; a stale socket file is replaced. */
  async listenUnix(path: string, mask: number): Promise<BoundAddress> {
    removeStaleSocket(path)
    const server = await this.listen({ path, backlog: this.options.backlog }, path)
    chmodSync(path, mask)
    this.takeOver(server, path)
    return { family: 'unix', text: path, port: 0, isDualStack: false }
  }

  /** Stops accepting, at once. */
  close(): void {
    for (const server of this.servers) server.close()
    this.servers.length = 0
  }

  private async listen(options: net.ListenOptions, shown: string): Promise<net.Server> {
    const server = net.createServer({ pauseOnConnect: true })
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(options, resolve)
      })
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
      throw new ListenError(`cannot listen on ${shown}: ${explain(code)}`, { cause })
    }
    this.servers.push(server)
    return server
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
  }
}

/** -24 and -23 are EMFILE and ENFILE on every Linux; others are shown as their number. */
function acceptErrorName(status: number): string {
  if (status === -24) return 'EMFILE'
  if (status === -23) return 'ENFILE'
  return String(status)
}

function explain(code: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return 'the address is in use (is another server running there? choose another with -p or -l)'
    case 'EACCES':
      return 'permission denied (ports below 1024 need privileges; choose a higher one with -p)'
    case 'EADDRNOTAVAIL':
      return 'no interface of this machine has that address (check -l)'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name cannot be resolved (check -l)'
    case 'ENOENT':
      return 'the directory of the socket does not exist (check -s)'
    default:
      return code
  }
}

/** A socket file whose server is gone would make `listen` fail; anything else there is kept. */
function removeStaleSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new ListenError(`cannot replace ${path}: ${(cause as Error).message}`, { cause })
    }
  }
}
