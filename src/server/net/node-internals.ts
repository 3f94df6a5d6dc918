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
 * | TLSSocket.prototype._wrapHandle, its `this`; of | TLS without sockets of Node     | 20 and later  | tls.Server, TLSSocket and their 'data'   |
 * | its handles onread, bytesRead, useUserBuffer,   | (tls-handles.ts)                |               | event (tls-socket-transport.ts)          |
 * | receive, shutdown, verifyError, destroySSL, ... |                                 |               |                                          |
 * | methods of TLSSocket: _handle,                  | what a session tells            | 20 and later  | as the line above                        |
 * | _secureEstablished of their `this`              | (tls-session.ts)                |               |                                          |
 * | tlsSocket._parent                               | whose handshake it is there     | 20 and later  | TLS connections are not served           |
 * | tlsSocket: res, _events, _readableState, ...    | what one that is over holds     | 20 and later  | it goes with a collection of the old     |
 * | (tls-remains.ts)                                | (HTTP, and as above)            |               | generation: longer pauses                |
 * | secureContext: enableTicketKeyCallback,         | a ticket for the next session   | 20 and later  | TLS 1.3 sessions are resumed twice, then |
 * | onticketkeycallback                             | with each one that is resumed   |               | there is a full handshake                |
 *
 * process.initgroups, setgid and setuid are documented, resizable ArrayBuffers are of the language.
 */
import net from 'node:net'
import type tls from 'node:tls'
import type { ShutdownRequest } from './handle-transport.ts'
import type { HandleWriter } from './handle-writer.ts'

/** What can be done the documented way instead. */
export type Internal = 'accept' | 'read' | 'write' | 'room' | 'tls'

/** For the log: what is different now. */
export const WITHOUT: Readonly<Record<Internal, string>> = {
  accept:
    'connections are accepted, read and written the documented way: a request takes up to a third ' +
    'more CPU, and threads do not balance their connections',
  read: 'connections are made into sockets of Node: each takes more CPU and memory',
  write: 'replies are written the documented way: a request takes more CPU',
  room: 'large values are copied once more on their way in: to store one takes more CPU',
  tls: 'TLS is spoken the documented way: a connection takes more CPU and memory, a request more CPU',
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
 * Has `secure` give a new ticket with each session that it resumes by `ticketKeys`, 48 bytes as the option of
 * that name has them: name, HMAC key, AES key. Node of itself gives two with a full handshake and none
 * with a resumed one, so that a client that takes each once (RFC 8446, C.4) is resumed twice at most.
 * False: it cannot be had.
 */
export function renewsTickets(
  secure: tls.SecureContext | undefined,
  ticketKeys: Uint8Array,
): boolean {
  const context = secure?.context as
    | undefined
    | {
        enableTicketKeyCallback?(): void
        onticketkeycallback?: (name: Buffer, iv: Buffer, isMade: boolean) => TicketAnswer
      }
  if (typeof context?.enableTicketKeyCallback !== 'function') return false
  const keys = Buffer.from(ticketKeys)
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

/**
 * Has `writer` learn how handles are written to, from what a socket asks of a handle that is none. False: it is not known to
 * it.
 */
export function learnWrites(writer: HandleWriter): boolean {
  const handle = {
    ...IDLE_HANDLE,
    onread: undefined,
    useUserBuffer: () => undefined,
    writeQueueSize: 0,
    writeBuffer: () => 0,
  }
  try {
    writer.learnFrom(handle)
    const socket = socketOver(handle)
    socket.write(Buffer.alloc(1))
    writer.endLearning(handle)
    socket.destroy()
  } catch {
    return false
  }
  return writer.isReady
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
