/**
 * The addresses of -l: `host`, `host:port`, an IPv6 literal with or without brackets, `[IPv6]:port`.
 * In front of it, in this order, each if wanted, as with memcached:
 *
 *   notls: | btls: | mtls:                   in the clear | TLS, no client certificate | TLS, with one
 *   proto[ascii|binary|negotiating]:         the dialects that it speaks
 *   tag_NAME_: | tag[NAME]:                  a name of at most 8 characters, for whoever reads the log
 *
 * Instead of an address `fd:NAME`, a socket that is passed to the server at its start under that name.
 *
 * Only the form is checked here; whether a name resolves is found when it is bound, and whether there is
 * TLS at all is network.ts's business.
 */
import type { ListenAddress, PassedListener } from './config.ts'
import { Refusal } from './kind.ts'
import type { Protocol } from './options/network-options.ts'

/** A host name or IPv4 address; the underscore is for names that containers are given. */
const HOST_NAME = /^(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$/
const HOST_NAME_CHARACTERS_MAX = 253

/** sockaddr_un.sun_path on Linux, without its final zero. */
export const SOCKET_PATH_BYTES_MAX = 107
const PASSED = 'fd:'
/** As systemd has them, without the comma, which ends an address of a list. */
const PASSED_NAME = /^[!-+\--9;-~]{1,255}$/
const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map([
  ['ascii', 'ascii'],
  ['binary', 'binary'],
  ['negotiating', 'auto'],
])
const TAG = /^(?:tag_([^_\]]*)_|tag\[([^\]]*)\]):/
/** As memcached has it. */
const TAG_FORM = /^[!-~]{1,8}$/

/** The part of a text that is read, and what it says. */
interface Prefixes {
  readonly rest: string
  readonly traits: Pick<ListenAddress, 'security' | 'protocol' | 'tag'>
}

export function parseListenAddress(given: string, defaultPort: number): ListenAddress | Refusal {
  const prefixes = takePrefixes(given)
  if (prefixes instanceof Refusal) return prefixes
  const address = parseHostAndPort(prefixes.rest, defaultPort)
  return address instanceof Refusal ? address : { ...address, ...prefixes.traits }
}

/** Undefined: it is no socket that is passed, but an address. */
export function parsePassedListener(given: string): PassedListener | Refusal | undefined {
  const prefixes = takePrefixes(given)
  if (prefixes instanceof Refusal || !prefixes.rest.startsWith(PASSED)) return undefined
  // fd::1 is an address, and no name has a colon.
  if (isIpv6(prefixes.rest)) return undefined
  const name = prefixes.rest.slice(PASSED.length)
  if (!PASSED_NAME.test(name)) {
    return new Refusal('names no socket: write fd: and its name, without spaces, colons and commas')
  }
  return { name, ...prefixes.traits }
}

function takePrefixes(given: string): Prefixes | Refusal {
  const traits: { -readonly [Key in keyof Prefixes['traits']]: Prefixes['traits'][Key] } = {}
  let rest = given
  const security = /^(notls|btls|mtls):/.exec(rest)?.[1]
  if (security !== undefined) {
    traits.security = security as 'notls' | 'btls' | 'mtls'
    rest = rest.slice(security.length + 1)
  }
  const protocolName = /^proto\[([^\]]*)\]:/.exec(rest)?.[1]
  if (protocolName !== undefined) {
    const protocol = PROTOCOLS.get(protocolName)
    if (protocol === undefined) {
      return new Refusal('has a protocol that is not one of ascii, binary, negotiating')
    }
    traits.protocol = protocol
    rest = rest.slice('proto[]:'.length + protocolName.length)
  }
  const tag = TAG.exec(rest)
  if (tag !== null) {
    const name = tag[1] ?? tag[2] ?? ''
    if (!TAG_FORM.test(name)) return new Refusal('has a tag that is not 1 to 8 characters long')
    traits.tag = name
    rest = rest.slice(tag[0].length)
  }
  if (/^(notls|btls|mtls|proto\[|tag_|tag\[)/.test(rest) && rest.includes(':')) {
    return new Refusal(
      'has a prefix twice, or in the wrong place: the order is notls: or btls: or mtls:, ' +
        'then proto[NAME]:, then tag_NAME_:',
    )
  }
  return { rest, traits }
}

function parseHostAndPort(text: string, defaultPort: number): ListenAddress | Refusal {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text)
  if (bracketed !== null) {
    const host = bracketed[1] ?? ''
    if (!isIpv6(host)) return new Refusal('has no IPv6 address between its brackets')
    return withPort(host, bracketed[2], defaultPort)
  }
  if (isIpv6(text)) return { host: text, port: defaultPort }
  const colon = text.indexOf(':')
  const host = colon === -1 ? text : text.slice(0, colon)
  if (/^(tls|ssl|plain|tcp|udp)$/.test(host) && colon !== -1) {
    return new Refusal('begins with an unknown prefix: there are notls:, btls: and mtls:')
  }
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

/** The address as -l takes it, without what stands in front of it. */
export function formatListenAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/**
 * Nobody can listen on the one where somebody listens on the other. What a name stands for is not known here: it collides with
 * itself, and with every address there is.
 */
export function collide(one: ListenAddress, other: ListenAddress): boolean {
  if (one.port !== other.port || one.port === 0) return false
  const hosts = [canonicalHost(one.host), canonicalHost(other.host)] as const
  if (hosts[0] === hosts[1] || hosts.includes('*')) return true
  // An IPv6 socket of -l takes IPv6 alone, that of `*` takes both.
  return (
    (hosts.includes('0.0.0.0') && hosts.every(isIpv4)) ||
    (hosts.includes('[::]') && hosts.every((host) => host.startsWith('[')))
  )
}

/** IPv6 in brackets and in its shortest form. */
function canonicalHost(host: string): string {
  if (!host.includes(':')) return host.toLowerCase()
  return host.includes('%') ? `[${host}]` : new URL(`http://[${host}]/`).hostname
}

export function formatPassedListener({ name }: PassedListener): string {
  return `${PASSED}${name}`
}

/** Of literals alone: what a name means is somebody else's to say. */
export function isLoopbackHost(host: string): boolean {
  if (/^127(\.\d{1,3}){3}$/.test(host)) return true
  return host.includes(':') && new URL(`http://[${host}]/`).hostname === '[::1]'
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
