/**
 * What a TLS socket leaves behind. Node gives the handle under each an accessor property (`reading`), whose two
 * functions hold the socket. V8 makes the pair of them in its old generation, so that all that hangs on the socket
 * outlives every collection of the young one and is copied twice, until one of the old comes: 8 KB of some 16 that a
 * handshake takes. Of 500 hellos a second that were left, half of the scavenges took 1.9 ms or more in Node 20, and 1.1 without
 * (test/bench/README.md).
 *
 * So what hangs on a socket that is over is taken off it. It keeps what is asked of one that may still be called:
 * `destroy`, `end` and `resume` do nothing then, as before.
 *
 * Where a release of Node has other names for these, nothing is taken off, or nothing that was held.
 */
import type tls from 'node:tls'

/** A socket of Node, as far as it is taken apart. */
interface Remains {
  readonly closed: boolean
  /** The encryption; null once that is over. */
  readonly ssl?: object | null
  _events?: object
  _eventsCount?: number
  _parent?: object | null
  _readableState?: object
  _writableState?: object
  _tlsOptions?: object
  [symbol: symbol]: unknown
}

const KEPT = ['_readableState', '_writableState', '_tlsOptions'] as const
/** In the place of the handle that decrypts, of which only that is asked. */
const IDLE: { reading: boolean } = { reading: false }

/** An error that nobody listens to would be thrown. */
const EVENTS: object = { __proto__: null, error: () => undefined }

/** The first that was over. What it has to say of itself, all others have. */
let first: Remains | undefined
/** Under what a socket has that handle; undefined as long as none was over. */
let handleKey: symbol | undefined

/** To be told once of each socket, when its handshake has come to an end. */
export function letGoWhenOver(socket: tls.TLSSocket): void {
  // Others are told of the end first.
  const later = () => void setImmediate(letGo, socket as unknown as Remains)
  if (socket.closed) later()
  else socket.once('close', later)
}

function letGo(socket: Remains): void {
  if (!socket.closed || socket.ssl) return
  first ??= socket
  handleKey ??= Object.getOwnPropertySymbols(socket).find(
    ({ description }) => description === 'res',
  )
  if (handleKey !== undefined) socket[handleKey] = IDLE
  socket._parent = null
  socket._events = EVENTS
  socket._eventsCount = 1
  for (const name of KEPT) {
    const kept = first[name]
    if (kept !== undefined) socket[name] = kept
  }
}
