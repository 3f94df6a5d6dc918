/**
 * The ends of sockets that Node has wrapped, as all are that speak TLS: noticed at once, and taken in a turn of their own.
 * libuv tells of a thousand connections in one turn that end at one moment, because their machine is gone or to do harm, and
 * Node would end each right then: 600 handshakes that nobody went on with took 137 ms, and 222 where each ended in a record that
 * is none. Whoever is logged in waited for all of them.
 *
 * A handle calls `onread` for each read and for the end. A read is in `bytesRead` by then; the end changes nothing
 * there. So `onread` is one of ours, which passes reads on. What OpenSSL refuses it tells as `onerror`, when its alert is sent.
 * Where handles have no such things, ends are taken at once, as Node does.
 */
import type net from 'node:net'
import { EALREADY } from './handle-transport.ts'

/** Whose end it is. */
export interface EndOwner {
  /** The peer sends no more, or the connection is broken. Nobody else is told. */
  endNoticed(): void
  /**
   * OpenSSL has given up, for a reason whose code is fit for a log, and nothing more is read. It may be told again. Nobody
   * else is told.
   */
  errorNoticed(code: string): void
}

type OnRead = (this: WatchedHandle, rest: unknown) => unknown

const WATCH: unique symbol = Symbol('watch')

/** A handle with a socket over it, as far as it is used here. */
interface WatchedHandle {
  onread?: OnRead | undefined
  readonly bytesRead?: number
  /** Of encryption only. */
  onerror?: ((this: WatchedHandle, error: NodeJS.ErrnoException) => void) | undefined
  /** Returns a status. */
  readStart?(): number
  readStop?(): number
  [WATCH]?: { readonly owner: EndOwner; readonly onread: OnRead; readBytes: number }
}

/** `given` is a handle of Node that was just put under a socket. */
export function watchEnd(given: object | null | undefined, owner: EndOwner): void {
  const handle = given as WatchedHandle | null | undefined
  const onread = handle?.onread
  const readBytes = handle?.bytesRead
  if (typeof onread !== 'function' || typeof readBytes !== 'number') return
  handle![WATCH] = { owner, onread, readBytes }
  handle!.onread = onRead
  if (typeof handle!.onerror === 'function') handle!.onerror = onError
}

/** To be asked behind an end: what is broken cannot be read again (handle-transport.ts has the statuses). */
export function isBroken(socket: net.Socket): boolean {
  const { _handle: handle } = socket as unknown as { readonly _handle?: WatchedHandle | null }
  const status = handle?.readStart?.() ?? 0
  if (status === 0) handle?.readStop?.()
  return status !== 0 && status !== EALREADY
}

function onRead(this: WatchedHandle, rest: unknown): unknown {
  const watch = this[WATCH]
  if (watch === undefined) return undefined
  const { bytesRead = 0 } = this
  if (bytesRead === watch.readBytes) {
    watch.owner.endNoticed()
    return undefined
  }
  watch.readBytes = bytesRead
  return watch.onread.call(this, rest)
}

function onError(this: WatchedHandle, { code = 'unknown' }: NodeJS.ErrnoException): void {
  // OpenSSL would take no more of it, and Node keep what came.
  this.readStop?.()
  this[WATCH]?.owner.errorNoticed(code)
}
