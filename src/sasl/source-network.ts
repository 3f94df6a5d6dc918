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
