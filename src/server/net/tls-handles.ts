/**
 * TLS right on the handle of an accepted connection, without the two sockets that Node has over it otherwise: making these,
 * and having them collected, costs as much as the handshake (test/bench/README.md). This is the one file that
 * knows how Node's handles of TLS are had and what they are told; the rest goes without them where a release of Node has
 * it otherwise (tls-socket-transport.ts).
 *
 * TLSSocket.prototype._wrapHandle puts encryption on a handle: it asks its `this` for the options of a TLS socket, and keeps the
 * last handle there, and wants nothing else of it. The methods by which a TLS socket tells of its session ask its `_handle`.
 *
 * Invariant: nothing is relied on before it was looked at, on a handle that is not connected.
 */
import type net from 'node:net'
import tls from 'node:tls'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import type { AcceptedHandle } from './accepted-handle.ts'
import type { HandleWriter, WritableHandle } from './handle-writer.ts'
import { learnShutdownRequest, learnWrites } from './node-internals.ts'
import { AcceptedSocket } from './socket-transport.ts'
import { TlsSession } from './tls-session.ts'

/** The transport over a handle, which is told of what the handle tells. */
export interface HandleUser {
  /** Bytes have come before there was encryption, or nothing more will. */
  onRead(): void
  /** Bytes were decrypted, or nothing more will be. */
  onDecrypted(): void
  onHandshakeDone(): void
  onError(code: string): void
  onShutDown(status: number): void
  onClosed(): void
}

const USER: unique symbol = Symbol('user')
const FIND: unique symbol = Symbol('find')

/** An accepted handle, as far as it is used here. */
export interface UnderHandle extends AcceptedHandle {
  /** Called for every read, and for the end. */
  onread: ((this: UnderHandle) => undefined) | undefined
  /** In all; the read that `onread` tells of is counted already. */
  readonly bytesRead: number
  readonly bytesWritten: number
  [USER]?: HandleUser
  useUserBuffer(buffer: Uint8Array): void
  /** Return a status. */
  readStart(): number
  readStop(): number
  close(onClosed?: (this: UnderHandle) => void): void
}

/** What has the encryption; it is read and written as the handle under it is. */
export interface TlsHandle extends WritableHandle {
  onread: ((this: TlsHandle) => undefined) | undefined
  /** Decrypted, in all. */
  readonly bytesRead: number
  onhandshakedone?: (this: TlsHandle) => void
  onerror?: (this: TlsHandle, error: NodeJS.ErrnoException) => void
  oncertcb?: (this: TlsHandle, info: { readonly servername: string }) => void
  sni_context?: unknown
  [USER]?: HandleUser
  [FIND]?: FindContext
  useUserBuffer(buffer: Uint8Array): void
  readStart(): number
  readStop(): number
  /** Takes what was read from the handle under it before. */
  receive(bytes: Uint8Array): void
  /** Returns a status; if that is 0, `oncomplete` follows. */
  shutdown(request: ShutdownRequest): number
  setVerifyMode(isAsked: boolean, isRequired: boolean): void
  setALPNProtocols(protocols: Uint8Array): void
  enableCertCb(): void
  certCbDone(): void
  verifyError(): NodeJS.ErrnoException | null | undefined
  destroySSL(): void
}

interface ShutdownRequest {
  oncomplete?: (this: ShutdownRequest, status: number) => void
  handle?: TlsHandle
}

type FindContext = (host: string) => tls.SecureContext | undefined

/** What handshakes are made with. */
export interface HandshakeContext {
  readonly secure: tls.SecureContext
  readonly verify: TlsVerify
  /** As ALPN has it on the wire. */
  readonly alpn: Uint8Array
  /** For the host that a client asks for, where there is a choice. */
  readonly find: FindContext | undefined
}

/** `options` are those of tls.createServer. */
export function handshakeContextOf(
  options: tls.TlsOptions,
  verify: TlsVerify,
  protocols: readonly string[],
): HandshakeContext {
  const { SNICallback: choose } = options
  const find = (host: string): tls.SecureContext | undefined => {
    let found: tls.SecureContext | undefined
    choose?.(host, (_, context) => {
      found = context
    })
    return found
  }
  return {
    secure: tls.createSecureContext(options),
    verify,
    alpn: Buffer.concat(
      protocols.map((name) => Buffer.concat([Uint8Array.of(name.length), Buffer.from(name)])),
    ),
    find: choose === undefined ? undefined : find,
  }
}

const UNDER_CALLS = ['useUserBuffer', 'readStart', 'readStop', 'close', 'writeBuffer']
const UNDER_NUMBERS = ['bytesRead', 'bytesWritten', 'writeQueueSize']
const CALLS = [
  ...['useUserBuffer', 'readStart', 'readStop', 'receive', 'shutdown', 'writeBuffer'],
  ...['setVerifyMode', 'setALPNProtocols', 'enableCertCb', 'certCbDone', 'verifyError'],
  ...['destroySSL', 'getProtocol', 'getCipher', 'isSessionReused', 'getCertificate'],
  ...['getPeerCertificate', 'getPeerX509Certificate', 'exportKeyingMaterial'],
]
const NUMBERS = ['bytesRead', 'writeQueueSize']

type Shape = Readonly<Record<string, unknown>>

/** Of a TLS socket, what is used of it without its being documented. */
interface InnerSocket {
  _wrapHandle?: (this: Holder, wrap: null, under: UnderHandle, hasWrites: false) => TlsHandle
  readonly _handle?: { readonly _parent?: { readonly constructor: new (type: 0) => UnderHandle } }
}

/** In the place of a socket: all that Node asks of it, of which it must be the one and only. */
class Holder {
  readonly _tlsOptions: { readonly isServer: true; secureContext: tls.SecureContext | undefined } =
    { isServer: true, secureContext: undefined }

  /** It has its listeners. */
  listenerCount(): number {
    return 1
  }

  on(): this {
    return this
  }
}

export class TlsHandles {
  /** Of TLS handles alone. */
  readonly writer: HandleWriter
  private readonly onWithout: () => void
  private readonly holder: Holder = new Holder()
  private wrapHandle: InnerSocket['_wrapHandle']
  private shutdownRequest: (new () => ShutdownRequest) | undefined
  private isLearned = false
  private hasGivenUp = false

  /** `onWithout` is called once, when it is certain that connections go another way. */
  constructor(writer: HandleWriter, onWithout: () => void) {
    this.writer = writer
    this.onWithout = onWithout
  }

  /** Whether the connection of a handle can be served so. */
  takes(handle: AcceptedHandle): handle is UnderHandle {
    // Where connections are accepted the documented way, the log has said so.
    if (handle instanceof AcceptedSocket) return false
    if (!this.isLearned) {
      this.isLearned = true
      this.learn()
    }
    const { writer, wrapHandle, shutdownRequest } = this
    if (writer.isReady && wrapHandle !== undefined && shutdownRequest !== undefined) return true
    if (!this.hasGivenUp) this.onWithout()
    this.hasGivenUp = true
    return false
  }

  /** Has `user` told of what `under` reads into `buffer`. */
  attach(under: UnderHandle, user: HandleUser, buffer: Uint8Array): void {
    under[USER] = user
    under.onread = onRead
    under.useUserBuffer(buffer)
  }

  /** Puts encryption on `under`, of which nothing is read now; what is decrypted comes to `buffer`. */
  wrap(under: UnderHandle, context: HandshakeContext, user: HandleUser, buffer: Buffer): TlsHandle {
    const { secure, verify, alpn, find } = context
    this.holder._tlsOptions.secureContext = secure
    const handle = this.wrapHandle!.call(this.holder, null, under, false)
    handle[USER] = user
    handle.onread = onDecrypted
    handle.onhandshakedone = onHandshakeDone
    handle.onerror = onError
    handle.useUserBuffer(buffer)
    if (verify !== 'none') handle.setVerifyMode(true, false)
    handle.setALPNProtocols(alpn)
    if (find !== undefined) {
      handle[FIND] = find
      handle.oncertcb = onCertificateAsked
      handle.enableCertCb()
    }
    return handle
  }

  /** Sends close_notify, then the end of the stream. Returns a status; if that is 0, `onShutDown` follows. */
  shutDown(handle: TlsHandle): number {
    const request = new this.shutdownRequest!()
    request.oncomplete = onShutDown
    request.handle = handle
    return handle.shutdown(request)
  }

  close(under: UnderHandle): void {
    under.close(onClosed)
  }

  private learn(): void {
    const { _wrapHandle: wrapHandle } = tls.TLSSocket.prototype as unknown as InnerSocket
    if (typeof wrapHandle !== 'function' || !learnWrites(this.writer)) return
    this.shutdownRequest = learnShutdownRequest() as (new () => ShutdownRequest) | undefined
    try {
      // With no authorities at all, or Node would read the public ones.
      const secure = tls.createSecureContext({ ca: [] })
      // Of no socket, as tls.connect() makes one: its handle is that of a connection to be.
      const none = undefined as unknown as net.Socket
      const socket = new tls.TLSSocket(none, { isServer: true, secureContext: secure })
      const { _handle: made } = socket as unknown as InnerSocket
      const under = new made!._parent!.constructor(0)
      socket.destroy()
      this.holder._tlsOptions.secureContext = secure
      const handle = wrapHandle.call(this.holder, null, under, false)
      if (
        hasShape(under as unknown as Shape, UNDER_CALLS, UNDER_NUMBERS) &&
        hasShape(handle as unknown as Shape, CALLS, NUMBERS) &&
        TlsSession.isKnown(handle)
      ) {
        this.wrapHandle = wrapHandle
      }
      under.close(() => handle.destroySSL())
    } catch {
      // As where it has none.
    }
  }
}

function hasShape(handle: Shape, calls: readonly string[], numbers: readonly string[]): boolean {
  return (
    calls.every((name) => typeof handle[name] === 'function') &&
    numbers.every((name) => typeof handle[name] === 'number')
  )
}

function onRead(this: UnderHandle): undefined {
  this[USER]?.onRead()
}

function onDecrypted(this: TlsHandle): undefined {
  this[USER]?.onDecrypted()
}

function onHandshakeDone(this: TlsHandle): void {
  this[USER]?.onHandshakeDone()
}

function onError(this: TlsHandle, { code = 'unknown' }: NodeJS.ErrnoException): void {
  this[USER]?.onError(code)
}

function onShutDown(this: ShutdownRequest, status: number): void {
  this.handle?.[USER]?.onShutDown(status)
}

function onClosed(this: UnderHandle): void {
  this[USER]?.onClosed()
}

/** The handshake stands still until the last line. */
function onCertificateAsked(
  this: TlsHandle,
  { servername }: { readonly servername: string },
): void {
  const found = servername ? this[FIND]?.(servername) : undefined
  if (found !== undefined) this.sni_context = found.context
  try {
    this.certCbDone()
  } catch (error) {
    this[USER]?.onError((error as NodeJS.ErrnoException).code ?? 'unknown')
  }
}
