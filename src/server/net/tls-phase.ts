/**
 * What the connections of TLS have in common, whichever way they are served (tls-handle-transport.ts, tls-socket-transport.ts):
 *
 *   HELLO ------> WAITING ------> SHAKING ------> OPEN ------> CLOSED
 *     the hello     its turn has     secured
 *     is here       come (tls-handshakes.ts)
 *
 * Until the hello has come whole nothing is spent but the bytes it has; what cannot be one is dropped without a byte, as
 * memcached does.
 */
import type { Channel, TlsChannel } from '../../base/channel.ts'
import type { Peer } from '../../base/peer.ts'
import { COUNTER } from '../../observe/counters.ts'
import { channelOf } from './tls-channel.ts'
import type { TlsHandles } from './tls-handles.ts'
import type { TlsHandshakes } from './tls-handshakes.ts'
import type { SessionFacts } from './tls-session.ts'

export const PHASE = { hello: 0, waiting: 1, shaking: 2, open: 3, closed: 4 } as const

export type Phase = (typeof PHASE)[keyof typeof PHASE]

/** What the TLS connections of a worker share. */
export interface TlsParts {
  readonly readBuffer: Buffer
  readonly sendBufferBytesMax: number
  readonly handshakes: TlsHandshakes
  /** Those that are served without sockets of Node. */
  readonly handles: TlsHandles
  /** Calls back in a later turn of the event loop, when the end of a connection may have one. */
  readonly soon: (run: () => unknown) => void
  readonly lane: Float64Array
  /** Seconds since 1970 by the server's clock. */
  readonly epochSeconds: () => number
  /** A handshake failed; `code` is fit for a log. */
  readonly onHandshake: (version: string, isResumed: boolean) => void
  readonly onHandshakeFailed: (peer: Peer, code: string) => void
}

/** A channel whose `tls` comes with the end of the handshake. */
export interface TlsPipeChannel extends Channel {
  tls?: TlsChannel | undefined
}

/** Codes of handshakes that were left, against the protocol by nobody. */
const PEER_LEFT: readonly string[] = ['ECONNRESET', 'EPIPE', 'not-finished']

/** The handshake of `peer` is over before its time. */
export function countFailure(parts: TlsParts, peer: Peer, code: string): void {
  const { lane, onHandshakeFailed } = parts
  lane[COUNTER.ssl_handshake_errors]!++
  if (!PEER_LEFT.includes(code)) lane[COUNTER.ssl_proto_errors]!++
  onHandshakeFailed(peer, code)
}

/** Has `channel` know what the handshake told. */
export function tellOf(session: SessionFacts, channel: TlsPipeChannel, parts: TlsParts): void {
  const isResumed = session.isSessionReused()
  channel.tls = channelOf(session)
  if (!isResumed) parts.lane[COUNTER.ssl_new_sessions]!++
  parts.onHandshake(channel.tls.version, isResumed)
}
