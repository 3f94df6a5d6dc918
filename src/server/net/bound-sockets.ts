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
import { lchownSync, linkSync, lstatSync, renameSync, statSync, unlinkSync } from 'node:fs'
import net from 'node:net'
import { dirname, join } from 'node:path'
import { getSystemErrorName } from 'node:util'
import type { ListenAddress } from '../../config/config.ts'
import { type FileIdentity, fileAt, isStill, type SystemUser } from '../files/process-files.ts'
import { explain, ListenError } from './listen-error.ts'
import type { OpenedSocket } from './passed-sockets.ts'
import { type BoundAddress, excludeEachOther, type SharedSocket } from './shared-socket.ts'

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

export interface ResolvedAddress {
  readonly address: string
  readonly family: number
}

/** All addresses of a name; a parameter because a test has names of its own. */
export type Resolve = (host: string) => Promise<readonly ResolvedAddress[]>

/** Who may connect to a Unix socket. */
export interface UnixAccess {
  /** Permission bits. */
  readonly mask: number
  /** Whom it belongs to; undefined: whoever binds it. */
  readonly owner?: SystemUser | undefined
  /** Undefined: the owner's. */
  readonly groupId?: number | undefined
}

/** What is asked of who connects there. */
type SocketTraits = Pick<SharedSocket, 'identity' | 'tls' | 'protocol' | 'tag' | 'isPassed'>

interface UnixSocket {
  readonly path: string
  /** The name that it was bound under. */
  readonly temporary: string
  readonly identity: FileIdentity
}

const UV_TCP_IPV6ONLY = 1
/** For chown: leave it as it is. */
const UNCHANGED = -1
/** sockaddr_un.sun_path on Linux, without its final zero. */
const SOCKET_PATH_BYTES_MAX = 107
const TEMPORARY_NAME_BYTES = 12
const TEMPORARY_NAME_ATTEMPTS = 100
/** How often another port is tried where all addresses of a name are to have the same free one. */
const SAME_PORT_ATTEMPTS = 10
/** A machine without IPv6, or a name with an address that this machine does not have. */
const NOT_HERE: readonly string[] = ['EADDRNOTAVAIL', 'EAFNOSUPPORT']
/** File systems that have no second names for a file. */
const NO_LINKS: readonly string[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']

export class BoundSockets {
  readonly shared: SharedSocket[] = []
  private readonly resolve: Resolve
  private readonly others: readonly SharedSocket[]
  private readonly handles: BoundHandle[] = []
  private unixSockets: UnixSocket[] = []
  /** So many of them have their names. */
  private publishedCount = 0

  /** `others` are those that others of this process bind. */
  constructor(
    resolve: Resolve = async (host) => await lookup(host, { all: true }),
    others: readonly SharedSocket[] = [],
  ) {
    this.resolve = resolve
    this.others = others
  }

  /**
   * Binds every address of a TCP host. Port 0 picks a free one, the same for all addresses of a name
   * if that can be had; memcached picks one for each. An address that this machine does not have is
   * left out if there is another. One that is in use is an error: somebody else would get a part of
   * our clients (memcached goes on with the others).
   */
  async bindTcp(listenAddress: ListenAddress): Promise<void> {
    const { host, port, isSecond } = listenAddress
    const shown = shownAddress(host, port)
    if (host === '*') {
      this.keepTcp(listenAddress, bindEveryInterface(port, shown), true)
      return
    }
    const found = await this.resolve(host).catch((cause: NodeJS.ErrnoException) => {
      throw refusal(shown, cause.code ?? cause.message, cause)
    })
    // Resolvers may tell an address twice, and `-l localhost,127.0.0.1` does.
    const addresses = found.filter(
      ({ address }, index) =>
        found.findIndex((other) => other.address === address) === index &&
        (port === 0 || !this.isBound(address, port, listenAddress.identity)),
    )
    if (addresses.length === 0 && found.length > 0) return
    const before = isSecond === true && port === 0 ? (this.shared.at(-1)?.address.port ?? 0) : port
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt === SAME_PORT_ATTEMPTS
      const outcome = bindAll(addresses, attempt === 1 ? before : port, !isLast)
      if (typeof outcome !== 'string') {
        for (const bound of outcome) this.keepTcp(listenAddress, bound, false)
        return
      }
      if (isSecond === true && NOT_HERE.includes(outcome)) return
      if (outcome !== 'EADDRINUSE' || port !== 0 || isLast) throw refusal(shown, outcome)
    }
  }

  /**
   * Binds a Unix socket; `publish` gives it its name. Until then it has another: nobody finds it before
   * it is served, and by whom it may be, and libuv, which removes the name it has bound when the socket
   * is closed, cannot remove the file of a server that took our place.
   */
  async bindUnix(path: string, access: UnixAccess, identity?: string): Promise<void> {
    const { mask, owner, groupId } = access
    try {
      const directory = dirname(path)
      if (statSync(directory, { throwIfNoEntry: false }) === undefined) {
        throw refusal(path, 'ENOENT', undefined, true)
      }
      await refuseTaken(path)
      const { handle, temporary } = bindTemporary(path, directory, mask)
      const address = {
        family: 'unix',
        text: path,
        given: path,
        port: 0,
        isDualStack: false,
      } as const
      this.keep(handle, address, { identity })
      if (owner !== undefined || groupId !== undefined) {
        lchownSync(temporary, owner?.uid ?? UNCHANGED, groupId ?? owner?.gid ?? UNCHANGED)
      }
      // Not by chmod, nor stat: who owns the directory may have put a link there.
      const { dev, ino } = lstatSync(temporary)
      this.unixSockets.push({ path, temporary, identity: { dev, ino } })
    } catch (cause) {
      throw asRefusal(path, cause)
    }
  }

  /** Keeps a socket that another process has bound. Its file, if it has one, is not ours to remove. */
  keepPassed(opened: OpenedSocket, traits: Omit<SocketTraits, 'isPassed'>): void {
    const { identity, tls, protocol, tag } = traits
    this.keep(opened, opened.address, { identity, tls, protocol, tag, isPassed: true })
  }

  /** Gives the Unix sockets their names, now that they are served. */
  async publish(): Promise<void> {
    for (const { path, temporary } of this.unixSockets) {
      try {
        await refuseTaken(path)
        if (fileAt(path) !== undefined) unlinkSync(path)
        giveName(temporary, path)
        this.publishedCount++
      } catch (cause) {
        throw asRefusal(path, cause)
      }
    }
  }

  /** Closes all of them, at once: who connects from now on is refused. */
  close(): void {
    this.removeSocketFiles()
    for (const handle of this.handles) handle.close()
    this.handles.length = 0
  }

  /** The files of the Unix sockets go with us, unless another server has put its own there. */
  removeSocketFiles(): void {
    const { unixSockets, publishedCount } = this
    this.unixSockets = []
    for (const [index, { path, temporary, identity }] of unixSockets.entries()) {
      const name = index < publishedCount ? path : temporary
      if (!isStill(name, identity)) continue
      try {
        unlinkSync(name)
      } catch {
        // After -u the directory may not be ours; a file that nobody listens on is replaced next time.
      }
    }
  }

  /** For the same: who is to be a user there without a login would be asked for one. */
  private isBound(address: string, port: number, identity: string | undefined): boolean {
    const text = shownAddress(address, port)
    return this.shared.some(
      (socket) => socket.address.text === text && socket.identity === identity,
    )
  }

  private keepTcp(listenAddress: ListenAddress, bound: BoundTcp, isDualStack: boolean): void {
    const { handle, isIpv6, address, port } = bound
    const { host, identity, tls, protocol, tag } = listenAddress
    const boundAddress: BoundAddress = {
      family: isIpv6 ? 'IPv6' : 'IPv4',
      text: shownAddress(address, port),
      given: shownAddress(host, port),
      port,
      isDualStack: isDualStack && isIpv6,
    }
    const own = [...this.others, ...this.shared].find((each) =>
      excludeEachOther(each.address, boundAddress),
    )
    // Kept first: whatever is wrong with it, it is closed with all others.
    this.keep(handle, boundAddress, { identity, tls, protocol, tag })
    if (own === undefined) return
    // Linux lets both be bound, and only one of them listen.
    const why = `this server listens on ${own.address.text} already (see -p, -l, --listen-as and --http)`
    throw new ListenError(`cannot listen on ${boundAddress.given}: ${why}`)
  }

  private keep(handle: BoundHandle, address: BoundAddress, traits: SocketTraits = {}): void {
    this.handles.push(handle)
    this.shared.push({ fd: handle.fd, address, ...traits })
  }
}

interface BoundTcp {
  readonly handle: BoundHandle
  readonly isIpv6: boolean
  readonly address: string
  readonly port: number
}

function shownAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Binds all `addresses` that this machine has, or none and returns why; with port 0, on one port. */
function bindAll(
  addresses: readonly ResolvedAddress[],
  port: number,
  onOnePort: boolean,
): readonly BoundTcp[] | string {
  const bound: BoundTcp[] = []
  let refused = ''
  for (const { address, family } of addresses) {
    const wanted = port === 0 && onOnePort ? (bound[0]?.port ?? 0) : port
    // memcached's IPv6 sockets take IPv6 alone: `-l 0.0.0.0,::` are two sockets.
    const handle = bind(address, wanted, family, family === 6 && !address.includes('.'))
    if (typeof handle !== 'number') {
      bound.push(asBoundTcp(handle, family === 6))
      continue
    }
    refused = getSystemErrorName(handle)
    if (!NOT_HERE.includes(refused)) break
  }
  if (bound.length > 0 && (refused === '' || NOT_HERE.includes(refused))) return bound
  for (const { handle } of bound) handle.close()
  return refused
}

/** `::` takes IPv4 as well; where there is no IPv6, all of IPv4. */
function bindEveryInterface(port: number, shown: string): BoundTcp {
  const both = bind('::', port, 6, false)
  if (typeof both !== 'number') return asBoundTcp(both, true)
  const ipv4 = bind('0.0.0.0', port, 4, false)
  if (typeof ipv4 !== 'number') return asBoundTcp(ipv4, false)
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

function asBoundTcp(handle: BoundHandle, isIpv6: boolean): BoundTcp {
  const name: SocketName = {}
  handle.getsockname?.(name)
  const { address = '', port = 0 } = name
  return { handle, isIpv6, address, port }
}

/** Binds under a free name beside `path`. */
function bindTemporary(
  path: string,
  directory: string,
  mask: number,
): { readonly handle: BoundHandle; readonly temporary: string } {
  const room = SOCKET_PATH_BYTES_MAX - Buffer.byteLength(join(directory, 'x')) + 1
  for (let attempt = 1; ; attempt++) {
    const random = crypto.randomUUID().replaceAll('-', '')
    const temporary = join(directory, random.slice(0, Math.min(room, TEMPORARY_NAME_BYTES)))
    // The file has its mode from the first moment.
    const umask = process.umask(0o777 & ~mask)
    const handle = bind(temporary, -1, -1, false)
    process.umask(umask)
    if (typeof handle !== 'number') return { handle, temporary }
    const code = getSystemErrorName(handle)
    if (code !== 'EADDRINUSE' || attempt === TEMPORARY_NAME_ATTEMPTS) {
      throw refusal(path, code, undefined, true)
    }
  }
}

/** Makes `path` the name of `temporary`, but never instead of another file. */
function giveName(temporary: string, path: string): void {
  try {
    linkSync(temporary, path)
    unlinkSync(temporary)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (!NO_LINKS.includes(code) || fileAt(path) !== undefined) throw error
    renameSync(temporary, path)
  }
}

/**
 * A file of that name is only replaced where it is a socket and its server is gone. memcached replaces
 * every socket; the server that was there then serves nobody any more, and does not know.
 */
async function refuseTaken(path: string): Promise<void> {
  const found = fileAt(path)
  if (found === undefined) return
  if (!found.isSocket()) {
    throw new ListenError(`cannot listen on ${path}: there is something else than a socket`)
  }
  const code = await new Promise<string>((resolve) => {
    const probe = net.connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve('EADDRINUSE')
    })
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
  if (code === 'ECONNREFUSED' || code === 'ENOENT') return
  // EAGAIN: its queue is full; EPROTOTYPE: it is a socket of another type.
  const isServed = code === 'EAGAIN' || code === 'EPROTOTYPE'
  throw refusal(path, isServed ? 'EADDRINUSE' : code, undefined, true)
}

function bind(
  address: string,
  port: number,
  family: number,
  ipv6Only: boolean,
): BoundHandle | number {
  const { BoundSocket, _createServerHandle: create } = net as unknown as {
    readonly BoundSocket?: BoundSocketClass & { readonly prototype: object }
    readonly _createServerHandle?: CreateServerHandle
  }
  // Paths came later (24.20, 26.7): before, a path was no option, and a free TCP port was bound.
  if (BoundSocket !== undefined && (family !== -1 || 'isPipe' in BoundSocket.prototype)) {
    return bindSocket(BoundSocket, address, port, family, ipv6Only)
  }
  if (create === undefined) {
    throw new ListenError(`this release of Node (${process.version}) is not supported`)
  }
  const handle = create(address, port, family, undefined, ipv6Only ? UV_TCP_IPV6ONLY : 0)
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
  ipv6Only: boolean,
): BoundHandle | number {
  try {
    const socket = new BoundSocket(
      family === -1 ? { path: address } : { host: address, port, ipv6Only },
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

function refusal(
  shown: string,
  code: string,
  cause?: unknown,
  isUnix: boolean = false,
): ListenError {
  return new ListenError(`cannot listen on ${shown}: ${explain(code, isUnix)}`, { cause })
}

function asRefusal(path: string, cause: unknown): ListenError {
  if (cause instanceof ListenError) return cause
  const { code, message } = cause as NodeJS.ErrnoException
  // Another server has taken the name in this very moment.
  return refusal(path, code === 'EEXIST' ? 'EADDRINUSE' : (code ?? message), cause, true)
}
