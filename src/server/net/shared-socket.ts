/**
 * A socket that is bound, as all who are told of it have it: the workers that listen on it, the files that name it.
 *
 * Invariant: it is plain data, which can be sent to another thread. Who owns the descriptor is bound-sockets.ts.
 */
import type { TlsVerify } from '../../config/options/tls-options.ts'

export interface BoundAddress {
  readonly family: 'IPv4' | 'IPv6' | 'unix'
  /** `address:port`, `[address]:port`, or the socket's path. */
  readonly text: string
  /** The same as it was given: with the name of -l, or `*`. */
  readonly given: string
  readonly port: number
  /** True when the address is every interface, of IPv6 and of IPv4. */
  readonly isDualStack: boolean
}

/** Nobody on another machine can reach it. */
export function isLocalAddress({ family, text }: BoundAddress): boolean {
  return family === 'unix' || text.startsWith('127.') || text.startsWith('[::1]:')
}

/** Nobody can listen on the one where somebody listens on the other. */
export function excludeEachOther(one: BoundAddress, other: BoundAddress): boolean {
  if (one.port !== other.port || one.family === 'unix' || other.family === 'unix') return false
  if (one.text === other.text) return true
  if (one.family !== other.family) return one.isDualStack || other.isDualStack
  return [one, other].some(({ text }) => /^(0\.0\.0\.0|\[::\]):/.test(text))
}

/** A bound socket, as a worker gets it. */
export interface SharedSocket {
  readonly fd: number
  readonly address: BoundAddress
  /** Whoever connects there is this user, without a login. */
  readonly identity?: string | undefined
  /** It speaks TLS, and what it asks of a client's certificate; undefined: in the clear. */
  readonly tls?: TlsVerify | undefined
  /** Which dialects it speaks, where not the same as all others. */
  readonly protocol?: 'auto' | 'binary' | 'ascii' | undefined
  /** A name that it was given. */
  readonly tag?: string | undefined
  /** Another process has bound it: it is of no address in the configuration. */
  readonly isPassed?: boolean
}
