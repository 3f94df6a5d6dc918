/**
 * A connection that was accepted and that nobody reads yet: what admission weighs, holds, and has
 * opened, refused or closed in the end. It costs a file descriptor and this record.
 */
import type { Pipe } from '../../base/pipe.ts'
import type { Transport } from '../../connection/transport.ts'
import type { Internal } from './node-internals.ts'
import type { SharedSocket } from './shared-socket.ts'
import type { TlsParts } from './tls-phase.ts'

/** Exactly one of the three is called, once. */
export interface Newcomer extends Pipe {
  /** It is served: nothing is read until somebody is attached to the transport. */
  open(): Transport
  /** It is told `notice`, and closed when that is sent. */
  refuse(notice: Uint8Array): void
  close(): void
}

/** Where a worker's newcomers come from. */
export interface NewcomerSource {
  /** Listens on a socket as well, the server's with that index. Throws ListenError. */
  listen(socket: SharedSocket, listenerIndex: number): Promise<void>
  /** Leaves newcomers to the other workers. */
  pause(): void
  resume(): void
}

/** What the TLS connections of a worker are made with. */
export type TlsOptions = Pick<
  TlsParts,
  'handshakes' | 'lane' | 'epochSeconds' | 'onHandshake' | 'onHandshakeFailed'
>

export interface NewcomerSourceOptions {
  readonly backlog: number
  /** Of each connection, see Transport. */
  readonly sendBufferBytesMax: number
  readonly onAccept: (newcomer: Newcomer) => void
  /** Accepting failed (out of file descriptors, say), and goes on. */
  readonly onAcceptError: (code: string) => void
  /** For listeners that speak TLS; undefined where none does. */
  readonly tls?: TlsOptions | undefined
  /** A password is not taken from who comes in the clear over a network. */
  readonly passwordsInTheClear: boolean
  /** Calls back in a later turn of the event loop, for what many strangers may want at once. */
  readonly soon: (run: () => void) => void
  /** This release of Node has no other way than the documented one. */
  readonly onWithout: (internal: Internal) => void
}
