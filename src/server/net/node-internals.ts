/**
 * What the server uses of Node without its being documented, and what it does where a release of Node
 * has it no more. Each use is looked at before it is relied on; the log then says once what is slower.
 *
 * | used                                            | for                             | on            | without it                               |
 * | ----------------------------------------------- | ------------------------------- | ------------- | ---------------------------------------- |
 * | handle.writeBuffer, writev, writeQueueSize      | replies (handle-writer.ts)      | 20 and later  | socket.write                             |
 * | server._handle: onconnection, readStart,        | accepting, and leaving          | 20 and later  | the server's 'connection' event; threads |
 * | readStop, getpeername, setNoDelay, setKeepAlive | newcomers to other threads      |               | share newcomers as the kernel does       |
 * | handle.onread, bytesRead, useUserBuffer, close, | reading without a net.Socket    | 20 and later  | net.Socket, see the next line            |
 * | shutdown and the class of its request           | (handle-transport.ts)           |               |                                          |
 * | what handle.onread returns                      | reading large values right to   | 20 and later  | they are read into the shared buffer,    |
 * |                                                 | where they are stored           |               | and copied                               |
 * | new net.Socket: handle, manualStart; onread     | reading into one shared buffer  | 20 and later  | the same, and the socket's 'data' event  |
 * | net._createServerHandle                         | binding (bound-sockets.ts)      | 20, 22, early | net.BoundSocket, which is documented;    |
 * |                                                 |                                 | 24 and 26     | without both the server does not start   |
 * | tlsSocket._parent                               | whose handshake it is           | 20 and later  | TLS connections are not served           |
 * | tlsSocket: kBuffer, kBufferCb, useUserBuffer    | decrypting into the same buffer | 20 and later  | the socket's 'data' event                |
 * | tlsSocket._handle: onread, bytesRead            | reading past the socket         | 20 and later  | kBufferCb                                |
 * | TLSSocket.prototype._init (tls-handshakes.ts);  | ends in turns (late-ends.ts)    | 20 and later  | they are taken at once                   |
 * | onread, onerror, bytesRead, readStart, readStop |                                 |               |                                          |
 * | of handles under sockets                        |                                 |               |                                          |
 * | tlsSocket: res, _events, _readableState, ...    | what one that is over holds     | 20 and later  | it goes with a collection of the old     |
 * | (tls-remains.ts)                                |                                 |               | generation: longer pauses                |
 * | secureContext: enableTicketKeyCallback,         | a ticket for the next session   | 20 and later  | TLS 1.3 sessions are resumed twice, then |
 * | onticketkeycallback                             | with each one that is resumed   |               | there is a full handshake                |
 *
 * process.initgroups, setgid and setuid are documented, resizable ArrayBuffers are of the language.
 */
import net from 'node:net'
import type tls from 'node:tls'
import type { ShutdownRequest } from './handle-transport.ts'

/** What can be done the documented way instead. */
export type Internal = 'accept' | 'read' | 'write' | 'room' | 'decrypt'

/** For the log: what is different now. */
export const WITHOUT: Readonly<Record<Internal, string>> = {
  accept:
    'connections are accepted, read and written the documented way: a request takes up to a third ' +
    'more CPU, and threads do not balance their connections',
  read: 'connections are made into sockets of Node: each takes more CPU and memory',
  write: 'replies are written the documented way: a request takes more CPU',
  room: 'large values are copied once more on their way in: to store one takes more CPU',
  decrypt: 'TLS is read the documented way: a request takes more CPU',
}

/**
 * True where `new net.Socket` takes an accepted handle and reads from it into a given buffer. Asked
 * with a handle that is none, before there is a connection to lose.
 */
export function socketTakesHandle(): boolean {
  let isGivenBuffer = false
  const handle = {
    ...IDLE_HANDLE,
    onread: undefined as unknown,
    useUserBuffer: () => {
      isGivenBuffer = true
    },
  }
  try {
    socketOver(handle).destroy()
  } catch {
    return false
  }
  return isGivenBuffer && typeof handle.onread === 'function'
}

/**
 * True where a handle reads next to what its `onread` returned, which is how a socket tells it of the buffer when it is
 * given a function for one (the option `onread.buffer`). To be asked in an `onread` that was told of bytes: Node's
 * own, called for a handle that is none, takes them for its own and names the next buffer.
 */
export function onreadNamesBuffer(): boolean {
  const buffers: Buffer[] = []
  const handle = { ...IDLE_HANDLE, onread: undefined as unknown, useUserBuffer: () => undefined }
  const next = (): Buffer => {
    const buffer = Buffer.alloc(1)
    buffers.push(buffer)
    return buffer
  }
  try {
    const socket = socketOver(handle, next)
    const { onread } = handle
    const named = typeof onread === 'function' ? onread.call(handle) : undefined
    socket.destroy()
    return buffers.length === 2 && named === buffers[1]
  } catch {
    return false
  }
}

/**
 * Has what `socket` decrypts put into `buffer`, which is whoever's that is called with its length until
 * it returns; false from it stops the reading. net.Socket takes that as an option (`onread`), which a
 * TLS socket does not pass on. `ended` is told of the end, where it can be, and the socket then is not. False: it
 * cannot be had.
 */
export function readsInto(
  socket: tls.TLSSocket,
  buffer: Buffer,
  receive: (length: number, bytes: Uint8Array) => boolean,
  ended: () => void,
): boolean {
  const slots = socket as unknown as Record<symbol, unknown>
  const { _handle: handle } = socket as unknown as { readonly _handle?: DecryptingHandle }
  const symbols = Object.getOwnPropertySymbols(socket)
  const bufferSlot = symbols.find(({ description }) => description === 'kBuffer')
  const callbackSlot = symbols.find(({ description }) => description === 'kBufferCb')
  if (bufferSlot === undefined || callbackSlot === undefined) return false
  if (typeof handle?.useUserBuffer !== 'function') return false
  slots[bufferSlot] = buffer
  slots[callbackSlot] = receive
  handle.useUserBuffer(buffer)
  passReads(socket, handle, buffer, receive, ended)
  socket.read(0)
  return true
}

/** A TLS socket's handle, as far as it is used here. */
interface DecryptingHandle {
  useUserBuffer?(buffer: Buffer): void
  /** Called with the handle as `this` for every read, and for the end. */
  onread?: ((this: DecryptingHandle, rest: unknown) => unknown) | undefined
  /** In all; the read that `onread` tells of is counted already. */
  readonly bytesRead?: number
  reading?: boolean
  readStop?(): number
}

/** Has what is read go past the socket to `receive`, and the end to `ended`. */
function passReads(
  socket: tls.TLSSocket,
  handle: DecryptingHandle,
  buffer: Buffer,
  receive: (length: number, bytes: Uint8Array) => boolean,
  ended: () => void,
): void {
  const { onread, bytesRead } = handle
  if (typeof onread !== 'function' || typeof bytesRead !== 'number') return
  let seenBytes = bytesRead
  handle.onread = () => {
    const readBytes = handle.bytesRead ?? 0
    const length = readBytes - seenBytes
    seenBytes = readBytes
    if (length === 0) ended()
    if (length === 0 || socket.destroyed || receive(length, buffer)) return undefined
    handle.reading = false
    if (!socket.destroyed) handle.readStop?.()
    return undefined
  }
}

/** What OpenSSL is told of a ticket: not ours; taken, and to be replaced by a new one (SSL_CTX_set_tlsext_ticket_key_cb). */
const TICKET_UNKNOWN = 0
const TICKET_MADE = 1
const TICKET_RENEWED = 2
const TICKET_PART_BYTES = 16

type TicketAnswer = readonly [
  verdict: number,
  hmacKey: Buffer,
  aesKey: Buffer,
  name?: Buffer,
  iv?: Buffer,
]

/**
 * Has `server` give a new ticket with each session that it resumes by `keys`, 48 bytes as the option
 * `ticketKeys` has them: name, HMAC key, AES key. Node of itself gives two with a full handshake and none
 * with a resumed one, so that a client that takes each once (RFC 8446, C.4) is resumed twice at most.
 * False: it cannot be had.
 */
export function renewsTickets(server: tls.Server, keys: Buffer): boolean {
  const { _sharedCreds: credentials } = server as unknown as {
    readonly _sharedCreds?: {
      readonly context?: {
        enableTicketKeyCallback?(): void
        onticketkeycallback?: (name: Buffer, iv: Buffer, isMade: boolean) => TicketAnswer
      }
    }
  }
  const context = credentials?.context
  if (typeof context?.enableTicketKeyCallback !== 'function') return false
  const [ours, hmacKey, aesKey] = [0, 1, 2].map((part) =>
    keys.subarray(part * TICKET_PART_BYTES, (part + 1) * TICKET_PART_BYTES),
  ) as [Buffer, Buffer, Buffer]
  context.onticketkeycallback = (name, _iv, isMade) => {
    if (isMade) {
      const iv = crypto.getRandomValues(Buffer.alloc(TICKET_PART_BYTES))
      return [TICKET_MADE, hmacKey, aesKey, ours, iv]
    }
    return [ours.equals(name) ? TICKET_RENEWED : TICKET_UNKNOWN, hmacKey, aesKey]
  }
  context.enableTicketKeyCallback()
  return true
}

/**
 * The class of the request that a handle's `shutdown` takes, which is what a socket gives it that ends;
 * undefined where there is none.
 */
export function learnShutdownRequest(): (new () => ShutdownRequest) | undefined {
  let learned: (new () => ShutdownRequest) | undefined
  const handle = {
    ...IDLE_HANDLE,
    onread: undefined,
    useUserBuffer: () => undefined,
    shutdown: (request: unknown) => {
      if (typeof request === 'object' && request !== null) {
        learned = request.constructor as new () => ShutdownRequest
      }
      return 0
    },
  }
  try {
    socketOver(handle).end().destroy()
    return learned !== undefined && new learned() instanceof learned ? learned : undefined
  } catch {
    return undefined
  }
}

/** What a socket asks of any handle. */
const IDLE_HANDLE = {
  getAsyncId: () => 1,
  readStart: () => 0,
  readStop: () => 0,
  close: (onClosed?: () => void) => onClosed?.(),
}

function socketOver(handle: object, buffer: Buffer | (() => Buffer) = Buffer.alloc(1)): net.Socket {
  const options = {
    handle,
    manualStart: true,
    allowHalfOpen: true,
    onread: { buffer, callback: () => true },
  }
  return new net.Socket(options as net.SocketConstructorOpts)
}
