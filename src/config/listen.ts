/**
 * The addresses of -l: `host`, `host:port`, an IPv6 literal with or without brackets, `[IPv6]:port`.
 * Only the form is checked here; whether a name resolves is found when it is bound.
 */
import type { ListenAddress } from './config.ts'
import { Refusal } from './kind.ts'

/** A host name or IPv4 address; the underscore is for names that containers are given. */
const HOST_NAME = /^(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$/
const HOST_NAME_CHARACTERS_MAX = 253

/** sockaddr_un.sun_path on Linux, without its final zero. */
export const SOCKET_PATH_BYTES_MAX = 107

export function parseListenAddress(given: string, defaultPort: number): ListenAddress | Refusal {
  // memcached marks listeners without TLS this way; there is no other kind here yet.
  const text = given.startsWith('notls:') ? given.slice('notls:'.length) : given
  if (/^proto\[[^\]]*\]:/.test(text)) {
    return new Refusal(
      'has a protocol of its own; all addresses speak the same here, set it with -B',
    )
  }
  if (/^tag\[[^\]]*\]:/.test(text)) {
    return new Refusal("has a tag, which only memcached's proxy can use; leave it out")
  }
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text)
  if (bracketed !== null) {
    const host = bracketed[1] ?? ''
    if (!isIpv6(host)) return new Refusal('has no IPv6 address between its brackets')
    return withPort(host, bracketed[2], defaultPort)
  }
  if (isIpv6(text)) return { host: text, port: defaultPort }
  const colon = text.indexOf(':')
  const host = colon === -1 ? text : text.slice(0, colon)
  const port = colon === -1 ? undefined : text.slice(colon + 1)
  if (port?.includes(':')) {
    return new Refusal('is not an address: write host, host:port or [IPv6]:port')
  }
  if (host !== '*' && (!HOST_NAME.test(host) || host.length > HOST_NAME_CHARACTERS_MAX)) {
    return new Refusal('is not an address: write host, host:port or [IPv6]:port')
  }
  if (/^[\d.]+$/.test(host) && !isIpv4(host)) {
    // The system would read 127.1 and, as octal numbers, those with a zero in front.
    return new Refusal('is not an IPv4 address: write four numbers without zeros in front')
  }
  return withPort(host, port, defaultPort)
}

/** The address as -l takes it. */
export function formatListenAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function withPort(
  host: string,
  port: string | undefined,
  defaultPort: number,
): ListenAddress | Refusal {
  if (port === undefined) return { host, port: defaultPort }
  const number = /^[+-]?0*\d{1,6}$/.test(port.trim()) ? Number(port) : Number.NaN
  if (number === -1) return { host, port: 0 }
  if (number >= 0 && number <= 65_535) return { host, port: number }
  return new Refusal('has a port that is not a whole number from 0 to 65535')
}

function isIpv4(text: string): boolean {
  const parts = text.split('.')
  return (
    parts.length === 4 &&
    parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)
  )
}

function isIpv6(text: string): boolean {
  const address = text.replace(/%[\w.-]+$/, '')
  // The URL parser knows every form of an IPv6 literal, so we need not.
  return (
    /^[0-9a-fA-F:.]+$/.test(address) &&
    address.includes(':') &&
    URL.canParse(`http://[${address}]/`)
  )
}
