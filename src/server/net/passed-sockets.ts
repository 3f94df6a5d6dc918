/**
 * Sockets that whoever starts the process has opened for it, as systemd does (sd_listen_fds(3)): descriptors from
 * 3 on, how many in LISTEN_FDS, their names in LISTEN_FDNAMES, and in LISTEN_PID for whom they are.
 *
 * Invariant: nothing is believed of a descriptor but what the system says of it: what is no stream socket that listens is
 * refused by its number and name, before anybody is served.
 */
import { fstatSync, readFileSync, readlinkSync } from 'node:fs'
import net from 'node:net'
import { ListenError } from './listen-error.ts'
import type { BoundAddress } from './shared-socket.ts'

export interface PassedSocket {
  readonly fd: number
  /** Of systemd.socket's FileDescriptorName; several may have the same. */
  readonly name: string
}

/** A passed socket that was looked at. */
export interface OpenedSocket {
  readonly fd: number
  readonly address: BoundAddress
  close(): void
}

/** SD_LISTEN_FDS_START */
const FIRST = 3
/** Each is listened on by each worker. */
const PASSED_MAX = 128
/** What sd_listen_fds_with_names(3) calls those that were given no name. */
const UNNAMED = 'unknown'
const VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID'] as const

/** Of /proc/net/tcp: the state LISTEN. */
const TCP_LISTEN = '0A'
/** Of /proc/net/unix: __SO_ACCEPTCON among the flags, and SOCK_STREAM. */
const UNIX_LISTENS = 0x1_0000
const UNIX_STREAM = '0001'
/** Places of the words in a line of these files. */
const TCP_STATE_WORD = 3
const TCP_INODE_WORD = 9
const UNIX_FLAGS_WORD = 3
const UNIX_TYPE_WORD = 4
const UNIX_INODE_WORD = 6
const UNIX_PATH_WORD = 7

type Environment = Record<string, string | undefined>

/**
 * Those that are for this process, and none where the variables are for another one, which passed them on. The variables are
 * removed: they mean nothing to who is started by us. Throws ListenError.
 */
export function takePassedSockets(environment: Environment, pid: number): readonly PassedSocket[] {
  const { LISTEN_PID, LISTEN_FDS = '', LISTEN_FDNAMES } = environment
  for (const name of VARIABLES) delete environment[name]
  if (LISTEN_PID !== String(pid)) return []
  const count = /^\d{1,6}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : Number.NaN
  if (!(count <= PASSED_MAX)) {
    throw new ListenError(
      `LISTEN_FDS is ${JSON.stringify(LISTEN_FDS)}, which is no number of sockets from 0 to ${PASSED_MAX}`,
    )
  }
  const names = LISTEN_FDNAMES === undefined ? undefined : LISTEN_FDNAMES.split(':')
  if (names !== undefined && count > 0 && names.length !== count) {
    throw new ListenError(`LISTEN_FDNAMES has ${names.length} names for ${count} sockets`)
  }
  return Array.from({ length: count }, (_, index) => ({
    fd: FIRST + index,
    name: names?.[index] || UNNAMED,
  }))
}

/** Throws ListenError if it is not a stream socket that listens. */
export function openPassedSocket(passed: PassedSocket): OpenedSocket {
  const { fd, name } = passed
  const refused = (why: string, cause?: unknown): ListenError =>
    new ListenError(
      `cannot listen on ${shownName(passed)}, which was passed as descriptor ${fd}: ${why}`,
      { cause },
    )
  let isSocket: boolean
  try {
    isSocket = fstatSync(fd).isSocket()
  } catch (cause) {
    throw refused('it is not open', cause)
  }
  if (!isSocket) throw refused('it is no socket')
  const { socket, inode } = hold(fd, refused)
  const { address = '', family, port = 0 } = socket.address() as Partial<net.AddressInfo>
  const isUnix = family === undefined
  const known = isUnix ? unixSocketOf(inode) : tcpSocketOf(inode)
  // A socket of another network namespace (PrivateNetwork=) stands in no list: it is found out by listening.
  const isConnection = socket.remoteAddress !== undefined
  if (isConnection || known?.listens === false) {
    socket.destroy()
    throw refused(
      isConnection
        ? 'it is a connection; the socket unit is to have Accept=no'
        : 'it is no stream socket that listens; the socket unit is to have ListenStream=',
    )
  }
  const text = isUnix ? (known?.path ?? `fd:${name}`) : `${bracketed(address)}:${port}`
  const boundAddress: BoundAddress = {
    family: isUnix ? 'unix' : family === 'IPv6' ? 'IPv6' : 'IPv4',
    text,
    given: shownName(passed),
    port: isUnix ? 0 : port,
    isDualStack: false,
  }
  return { fd, address: boundAddress, close: () => socket.destroy() }
}

export function shownName({ name }: PassedSocket): string {
  return `fd:${name}`
}

/** Keeps the descriptor without reading from it. */
function hold(
  fd: number,
  refused: (why: string, cause?: unknown) => ListenError,
): { readonly socket: net.Socket; readonly inode: string } {
  try {
    const inode = /\[(\d+)\]/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1] ?? ''
    return { socket: new net.Socket({ fd, readable: false, writable: false }), inode }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    // Datagrams, packets in sequence, families that Node does not know.
    if (code !== 'ERR_INVALID_FD_TYPE') throw refused(code ?? String(cause), cause)
    throw refused(
      'it is no stream socket of TCP or Unix; the socket unit is to have ListenStream=',
      cause,
    )
  }
}

interface KnownSocket {
  readonly listens: boolean
  readonly path?: string | undefined
}

/** Undefined: the system does not tell. */
function tcpSocketOf(inode: string): KnownSocket | undefined {
  for (const file of ['tcp', 'tcp6']) {
    const words = lineOf(file, inode, TCP_INODE_WORD)
    if (words !== undefined) return { listens: words[TCP_STATE_WORD] === TCP_LISTEN }
  }
  return undefined
}

function unixSocketOf(inode: string): KnownSocket | undefined {
  const words = lineOf('unix', inode, UNIX_INODE_WORD)
  if (words === undefined) return undefined
  const flags = Number.parseInt(words[UNIX_FLAGS_WORD] ?? '', 16)
  return {
    listens: words[UNIX_TYPE_WORD] === UNIX_STREAM && (flags & UNIX_LISTENS) !== 0,
    path: words.slice(UNIX_PATH_WORD).join(' ') || undefined,
  }
}

function lineOf(file: string, inode: string, inodeWord: number): readonly string[] | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/self/net/${file}`, 'utf8')
  } catch {
    return undefined
  }
  for (const line of text.split('\n')) {
    const words = line.trim().split(/ +/)
    if (words[inodeWord] === inode) return words
  }
  return undefined
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}
