/**
 * The listeners that stand for one user, `user=address`: a loopback address with its port, or the path of
 * a Unix socket, or `fd:NAME` for a socket of one of these kinds that is passed at the start. Whoever connects there is that user without a login, for the many programs that cannot
 * log in. Other addresses are refused: what decides who may connect is this machine, or the permissions
 * of a file, and never a network.
 */
import { resolve } from 'node:path'
import type { ListenAddress, PassedListener } from './config.ts'
import { Refusal } from './kind.ts'
import {
  collide,
  formatListenAddress,
  formatPassedListener,
  isLoopbackHost,
  parseListenAddress,
  parsePassedListener,
  SOCKET_PATH_BYTES_MAX,
} from './listen.ts'

export type IdentityListener =
  | { readonly identity: string; readonly address: ListenAddress }
  | { readonly identity: string; readonly path: string }
  | { readonly identity: string; readonly passed: PassedListener }

const EXPECTED = 'is not user=address: write monitor=127.0.0.1:11212 or monitor=/path/of/a.sock'

/** Where somebody listens already. */
export interface TakenPlaces {
  readonly addresses: readonly ListenAddress[]
  /** Paths of Unix sockets, and `fd:NAME`. */
  readonly names: readonly string[]
}

/** Reads all of them. Paths are relative to `base`, `taken` is what is listened on without an identity. */
export function readIdentityListeners(
  given: readonly string[],
  base: string,
  taken: TakenPlaces,
): { readonly listeners: IdentityListener[]; readonly problems: string[] } {
  const listeners: IdentityListener[] = []
  const problems: string[] = []
  const names = new Set(taken.names)
  const addresses = [...taken.addresses]
  for (const text of given) {
    const parsed = parseIdentityListener(text)
    const shown = JSON.stringify(text)
    if (parsed instanceof Refusal) {
      problems.push(`${shown} ${parsed.reason}`)
      continue
    }
    const listener = 'path' in parsed ? { ...parsed, path: resolve(base, parsed.path) } : parsed
    listeners.push(listener)
    if ('address' in listener) {
      const other = addresses.find((each) => collide(each, listener.address))
      if (other !== undefined) {
        problems.push(`${shown} is listened on already: ${formatListenAddress(other)}`)
      }
      addresses.push(listener.address)
      continue
    }
    const name = 'path' in listener ? listener.path : formatPassedListener(listener.passed)
    if ('path' in listener && Buffer.byteLength(name) > SOCKET_PATH_BYTES_MAX) {
      problems.push(
        `${shown} is longer than ${SOCKET_PATH_BYTES_MAX} bytes, which no socket can be`,
      )
    } else if (names.has(name)) {
      problems.push(`${shown} is listened on already`)
    }
    names.add(name)
  }
  return { listeners, problems }
}

function parseIdentityListener(text: string): IdentityListener | Refusal {
  const end = text.indexOf('=')
  if (end < 1) return new Refusal(EXPECTED)
  const identity = text.slice(0, end)
  const given = text.slice(end + 1)
  if (given === '') return new Refusal(EXPECTED)
  const passed = parsePassedListener(given)
  if (passed instanceof Refusal) return passed
  if (passed !== undefined) return { identity, passed: { ...passed, identity } }
  if (given.includes('/')) return { identity, path: given }
  const address = parseListenAddress(given, NO_PORT)
  if (address instanceof Refusal) return address
  if (!isLoopbackHost(address.host)) {
    return new Refusal(
      'is not on this machine alone: a user without a login takes an address of 127.0.0.0/8, [::1], or the path of a Unix socket',
    )
  }
  if (address.port === NO_PORT) return new Refusal(`has no port: write ${given}:11212`)
  return { identity, address: { ...address, identity } }
}

const NO_PORT = -1
