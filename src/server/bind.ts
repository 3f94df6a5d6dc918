/**
 * The main thread's half of listening: it binds every address and keeps the sockets, but never
 * listens on them; each worker listens on the same sockets by their file descriptors (listener.ts).
 * So an address that cannot be had is known before any worker starts, and after root is given up
 * nobody needs to bind.
 *
 * Invariant: the descriptors are closed here and nowhere else, after every worker has stopped
 * accepting: a descriptor that was closed while another thread still accepts from its number could
 * be somebody's connection by then.
 *
 * Sockets that are bound and not listening come from `net.BoundSocket`, which is documented, and on
 * releases of Node from before it from `net._createServerHandle`, which Node's own cluster module uses
 * and which is not; a release that has neither is refused at the start.
 */
import { lookup } from 'node:dns/promises'
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import net from 'node:net'
import { getSystemErrorName } from 'node:util'
import { explain, ListenError } from './listen-error.ts'

export interface BoundAddress {
  readonly family: 'IPv4' | 'IPv6' | 'unix'
  /** `address:port`, `[address]:port`, or the socket's path. */
  readonly text: string
  readonly port: number
  /** True when the address is every interface, of IPv6 and of IPv4. */
  readonly isDualStack: boolean
}

/** A bound socket, as a worker gets it. */
export interface SharedSocket {
  readonly fd: number
  readonly address: BoundAddress
}

interface BoundHandle {
  readonly fd: number
  getsockname?(out: SocketName): number
  close(): void
}

interface SocketName {
  address?: string
  port?: number
}

/** Returns the handle, or a negative errno. Family 4 or 6 of TCP; -1 for a Unix socket. */
type CreateServerHandle = (
  address: string,
  port: number,
  family: number,
  fd: number | undefined,
  flags: number,
) => BoundHandle | number

export class BoundSockets {
  readonly shared: SharedSocket[] = []
  private readonly handles: BoundHandle[] = []

  /** Binds a TCP address; `host` undefined is every interface. Port 0 picks a free one. */
  async bindTcp(host: string | undefined, port: number): Promise<void> {
    const shown = `${host === undefined ? '*' : host.includes(':') ? `[${host}]` : host}:${port}`
    const { handle, isIpv6 } =
      host === undefined ? bindEveryInterface(port, shown) : await bindHost(host, port, shown)
    const name: SocketName = {}
    handle.getsockname?.(name)
    const { address = '', port: boundPort = 0 } = name
    this.keep(handle, {
      family: isIpv6 ? 'IPv6' : 'IPv4',
      text: isIpv6 ? `[${address}]:${boundPort}` : `${address}:${boundPort}`,
      port: boundPort,
      isDualStack: isIpv6 && host === undefined,
    })
  }

  /** Binds a Unix socket with permission bits `mask`; a stale socket file is replaced. */
  bindUnix(path: string, mask: number): void {
    removeStaleSocket(path)
    const handle = bind(path, -1, -1)
    if (typeof handle === 'number') throw refusal(path, getSystemErrorName(handle))
    this.keep(handle, { family: 'unix', text: path, port: 0, isDualStack: false })
    chmodSync(path, mask)
  }

  /** Closes all of them, at once: who connects from now on is refused. */
  close(): void {
    for (const handle of this.handles) handle.close()
    this.handles.length = 0
  }

  private keep(handle: BoundHandle, address: BoundAddress): void {
    this.handles.push(handle)
    this.shared.push({ fd: handle.fd, address })
  }
}

interface BoundTcp {
  readonly handle: BoundHandle
  readonly isIpv6: boolean
}

async function bindHost(host: string, port: number, shown: string): Promise<BoundTcp> {
  const found = await lookup(host).catch((cause: NodeJS.ErrnoException) => {
    throw refusal(shown, cause.code ?? cause.message, cause)
  })
  const handle = bind(found.address, port, found.family)
  if (typeof handle === 'number') throw refusal(shown, getSystemErrorName(handle))
  return { handle, isIpv6: found.family === 6 }
}

/** `::` takes IPv4 as well; where there is no IPv6, all of IPv4. */
function bindEveryInterface(port: number, shown: string): BoundTcp {
  const both = bind('::', port, 6)
  if (typeof both !== 'number') return { handle: both, isIpv6: true }
  const ipv4 = bind('0.0.0.0', port, 4)
  if (typeof ipv4 !== 'number') return { handle: ipv4, isIpv6: false }
  throw refusal(shown, getSystemErrorName(ipv4))
}

/** `net.BoundSocket`: 24.19, 26.4 and later. The typings do not know it yet. */
type BoundSocketClass = new (
  options:
    | { readonly host: string; readonly port: number; readonly ipv6Only: boolean }
    | { readonly path: string },
) => {
  fd(): number
  address(): SocketName | string
  close(): void
}

function bind(address: string, port: number, family: number): BoundHandle | number {
  const { BoundSocket, _createServerHandle: create } = net as unknown as {
    readonly BoundSocket?: BoundSocketClass & { readonly prototype: object }
    readonly _createServerHandle?: CreateServerHandle
  }
  // Paths came later (24.20, 26.7): before, a path was no option, and a free TCP port was bound.
  if (BoundSocket !== undefined && (family !== -1 || 'isPipe' in BoundSocket.prototype)) {
    return bindSocket(BoundSocket, address, port, family)
  }
  if (create === undefined) {
    throw new ListenError(`this release of Node (${process.version}) is not supported`)
  }
  const handle = create(address, port, family, undefined, 0)
  if (typeof handle === 'number') return handle
  // libuv keeps "address in use" to itself until it is asked for the name.
  const status = handle.getsockname?.({}) ?? 0
  if (status === 0) return handle
  handle.close()
  return status
}

function bindSocket(
  BoundSocket: BoundSocketClass,
  address: string,
  port: number,
  family: number,
): BoundHandle | number {
  try {
    const socket = new BoundSocket(
      family === -1 ? { path: address } : { host: address, port, ipv6Only: false },
    )
    return {
      fd: socket.fd(),
      getsockname: (out) => {
        const name = socket.address()
        if (typeof name !== 'string') Object.assign(out, name)
        return 0
      },
      close: () => socket.close(),
    }
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException
    if (errno === undefined) throw error
    return errno
  }
}

function refusal(shown: string, code: string, cause?: unknown): ListenError {
  return new ListenError(`cannot listen on ${shown}: ${explain(code)}`, { cause })
}

/** A socket file whose server is gone would make `bind` fail; anything else there is kept. */
function removeStaleSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new ListenError(`cannot replace ${path}: ${(cause as Error).message}`, { cause })
    }
  }
}
