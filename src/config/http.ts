/**
 * The addresses of --http: a port of this machine alone, `host:port`, `[IPv6]:port`, or the path of a Unix
 * socket. Where the server has certificates, addresses that others on the network reach speak TLS;
 * `notls:` and `btls:` in front of an address say it.
 *
 * Invariant: nobody is asked for a password where others on the network could read it.
 */
import { resolve } from 'node:path'
import type { HttpConfig, ListenAddress } from './config.ts'
import { Refusal } from './kind.ts'
import {
  collide,
  formatListenAddress,
  isLoopbackHost,
  parseListenAddress,
  SOCKET_PATH_BYTES_MAX,
} from './listen.ts'
import type { TakenPlaces } from './listen-as.ts'
import type { OptionValues } from './options.ts'

const LOOPBACK = '127.0.0.1'
const NO_PORT = -1

export interface HttpParts {
  readonly values: Pick<OptionValues, 'http' | 'http_auth' | 'http_open' | 'http_host' | 'no_auth'>
  /** What paths are relative to. */
  readonly base: string
  /** Where the server itself listens. */
  readonly taken: TakenPlaces
  /** The server has certificates. */
  readonly hasTls: boolean
  readonly problem: (option: 'http' | 'http_auth' | 'http_open' | 'http_host', what: string) => void
}

/** Undefined: nobody is answered over HTTP. */
export function resolveHttp(parts: HttpParts): HttpConfig | undefined {
  const { values, base, problem } = parts
  if (values.http.length === 0) {
    // Whoever relies on them would be without.
    for (const option of ['http_auth', 'http_open'] as const) {
      if (values[option]) problem(option, 'takes an address: --http ADDRESS')
    }
    if (values.http_host.length > 0) problem('http_host', 'takes an address: --http ADDRESS')
    return undefined
  }
  if (values.http_auth && values.no_auth) {
    problem('http_auth', 'asks for a login, and with --no-auth there are no users')
  }
  if (values.http_auth && values.http_open) {
    problem('http_open', 'contradicts --http-auth: who logs in need not be a stranger')
  }
  const listen: ListenAddress[] = []
  const sockets: string[] = []
  for (const text of values.http) {
    const address = parseHttpAddress(text)
    if (address instanceof Refusal) problem('http', `${JSON.stringify(text)} ${address.reason}`)
    else if (typeof address === 'string') sockets.push(resolve(base, address))
    else listen.push(secured(address, text, parts))
  }
  for (const message of collisions(listen, sockets, parts.taken)) problem('http', message)
  return {
    listen,
    sockets,
    asksForLogin: values.http_auth,
    isOpen: values.http_open,
    hostNames: values.http_host.map((name) => name.toLowerCase()),
  }
}

/** What is listed twice, or is the server's own. */
function collisions(
  listen: readonly ListenAddress[],
  sockets: readonly string[],
  taken: TakenPlaces,
): readonly string[] {
  const problems: string[] = []
  for (const [index, path] of sockets.entries()) {
    const shown = JSON.stringify(path)
    if (sockets.indexOf(path) < index) problems.push(`${shown} is listed twice`)
    if (taken.names.includes(path)) problems.push(`${shown} is where clients of the cache connect`)
  }
  for (const [index, address] of listen.entries()) {
    const shown = JSON.stringify(formatListenAddress(address))
    const isAgain = listen.slice(0, index).some((other) => collide(other, address))
    if (isAgain) problems.push(`${shown} is listed twice`)
    const own = taken.addresses.find((other) => collide(other, address))
    if (own === undefined) continue
    const where = formatListenAddress(own)
    problems.push(`${shown} is where clients of the cache connect, ${where}: take another port`)
  }
  return problems
}

/** A string is the path of a Unix socket. */
function parseHttpAddress(text: string): ListenAddress | string | Refusal {
  if (text.includes('/')) {
    return Buffer.byteLength(text) <= SOCKET_PATH_BYTES_MAX
      ? text
      : new Refusal(`is longer than ${SOCKET_PATH_BYTES_MAX} bytes, which no socket can be`)
  }
  const isPort = /^-?\d+$/.test(text)
  const address = parseListenAddress(isPort ? `${LOOPBACK}:${text}` : text, NO_PORT)
  if (address instanceof Refusal) return address
  if (address.port === NO_PORT) return new Refusal(`has no port: write ${text}:9150`)
  if (address.protocol !== undefined || address.tag !== undefined) {
    return new Refusal('has a prefix that is not about HTTP: there are notls: and btls:')
  }
  if (address.security === 'mtls') {
    return new Refusal('asks for certificates of clients, which HTTP does not do here: use btls:')
  }
  return address
}

function secured(address: ListenAddress, text: string, parts: HttpParts): ListenAddress {
  const { hasTls, values, problem } = parts
  const { host, security } = address
  const isLoopback = isLoopbackHost(host) || host === 'localhost'
  if (security === 'btls' && !hasTls) {
    problem('http', `${JSON.stringify(text)} asks for TLS, which takes -Z`)
  }
  const speaksTls = security === 'btls' || (hasTls && !isLoopback && security !== 'notls')
  if (values.http_auth && !isLoopback && !speaksTls) {
    const how = hasTls ? 'without notls:' : 'with -Z'
    problem('http_auth', `asks for passwords on ${text}, where others could read them: ${how}`)
  }
  return speaksTls ? { ...address, tls: 'none' } : address
}
