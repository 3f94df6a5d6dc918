/**
 * Whom to take for one and the same source of logins. An IPv4 address is one; of IPv6, everybody
 * has 2^64 addresses, so the /64 network is. Anything else (a path, a name) stands for itself.
 */

/**
 * `192.0.2.1`, `::ffff:192.0.2.1` and `2001:db8:1:2::3%eth0` give `192.0.2.1` twice and
 * `2001:db8:1:2::/64`.
 */
export function sourceNetwork(bracketed: string): string {
  const address = bracketed.startsWith('[') ? bracketed.replace(/^\[|\]$/g, '') : bracketed
  if (!address.includes(':')) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [plain = ''] = address.split('%')
  if (!/^[0-9a-f:.]+$/i.test(plain)) return address
  const [head = '', tail] = plain.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const tailGroups = tail === '' ? [] : tail.split(':')
    // A dotted quad at the end stands for two groups.
    const tailCount = tailGroups.length + (tail.includes('.') ? 1 : 0)
    while (groups.length + tailCount < 8) groups.push('0')
    groups.push(...tailGroups)
  }
  const network = groups.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, '').toLowerCase())
  return `${network.join(':')}::/64`
}

/**
 * Whom a source belongs to: the /48 around an IPv6 /64, which is what one owner is given. IPv4 addresses are
 * not given away, and anything else stands for itself, too. Takes what `sourceNetwork` gives.
 */
export function sourceSite(network: string): string {
  if (!network.endsWith('::/64')) return network
  const groups = network.slice(0, -'::/64'.length).split(':')
  return `${groups.slice(0, 3).join(':')}::/48`
}

/** A source network as numbers, for whoever counts by it: 32 bits in `low` of IPv4, 64 of IPv6. */
export interface SourceKey {
  /** 4, 6, or 0 for what has no address. */
  readonly kind: number
  readonly high: number
  readonly low: number
}

/** What has no address, by its name: a Unix peer. Whoever is gone already comes under 0. */
const UNIX_LOW = 1

/** Takes what `sourceNetwork` gives. Two networks never have the same key. */
export function sourceKey(network: string): SourceKey {
  if (network.endsWith('::/64')) {
    const [a = 0, b = 0, c = 0, d = 0] = network
      .slice(0, -'::/64'.length)
      .split(':')
      .map((group) => Number.parseInt(group, 16))
    return { kind: 6, high: (a << 16) | b, low: (c << 16) | d }
  }
  const octets = octetsOf(network)
  if (octets === undefined) return { kind: 0, high: 0, low: network === 'unix' ? UNIX_LOW : 0 }
  return { kind: 4, high: 0, low: octets }
}

const DOT = 0x2e
const ZERO = 0x30

/**
 * The 32 bits of an IPv4 address; undefined: it is none. Each newcomer is asked for it, and a regular expression leaves up to
 * half a kilobyte of garbage behind.
 */
function octetsOf(text: string): number | undefined {
  let bits = 0
  let octet = 0
  let digits = 0
  let dots = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === DOT && digits > 0 && dots < 3) {
      bits = (bits << 8) | octet
      octet = 0
      digits = 0
      dots++
    } else {
      const digit = code - ZERO
      octet = octet * 10 + digit
      digits++
      if (digit < 0 || digit > 9 || digits > 3 || octet > 255) return undefined
    }
  }
  return dots === 3 && digits > 0 ? (bits << 8) | octet : undefined
}
