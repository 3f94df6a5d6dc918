/**
 * Blocks of addresses as operators write them: `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`. Here is only
 * their form; whether an address is in one is found by whoever has Node's BlockList (server).
 */

export interface AddressBlock {
  readonly address: string
  readonly family: 'ipv4' | 'ipv6'
  /** Leading bits that count. */
  readonly prefixLength: number
}

/** The block, or what is wrong with it, to complete the sentence "<word> ...". */
export function parseAddressBlock(word: string): AddressBlock | string {
  const [, address = '', length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(word) ?? []
  const family = familyOf(address)
  if (family === undefined) {
    return 'is not a network: write an address or address/bits, such as 192.0.2.0/24 or 2001:db8::/32'
  }
  const bits = family === 'ipv4' ? 32 : 128
  const prefixLength = length === undefined ? bits : Number(length)
  if (prefixLength > bits) return `is not a network: an ${nameOf(family)} address has ${bits} bits`
  return { address, family, prefixLength }
}

function nameOf(family: 'ipv4' | 'ipv6'): string {
  return family === 'ipv4' ? 'IPv4' : 'IPv6'
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  const quad = address.split('.')
  if (quad.length === 4 && quad.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && +part < 256)) {
    return 'ipv4'
  }
  // The URL parser knows every form of an IPv6 literal, so we need not.
  const isV6 = /^[0-9a-fA-F:.]+$/.test(address) && address.includes(':')
  return isV6 && URL.canParse(`http://[${address}]/`) ? 'ipv6' : undefined
}
