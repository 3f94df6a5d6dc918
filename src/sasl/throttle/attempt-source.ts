/**
 * Where a login comes from, in the two widths in which failures are counted.
 *
 *     narrow   an IPv4 address, an IPv6 /64, a Unix socket     what one client has
 *     wide     the IPv4 /24, the IPv6 /48                      what one owner may have
 *
 * Each Unix socket is a source of its own and has no wide network: who may open it is a matter of its
 * permissions, and nothing that happens there is held against an address.
 */
import type { Pipe } from '../../base/pipe.ts'

const WIDE_BIT = 0x100
const UNIX = 1

/** A key of the tables; see record-table.ts. */
export interface SourceNet {
  readonly kind: number
  readonly high: number
  readonly low: number
}

export interface AttemptSource {
  readonly narrow: SourceNet
  readonly wide: SourceNet | undefined
}

export function attemptSource({ peer, channel }: Pipe): AttemptSource {
  const { kind, high, low } = peer.networkKey
  if (kind === 4) {
    return {
      narrow: { kind, high: 0, low: low | 0 },
      wide: { kind: kind | WIDE_BIT, high: 0, low: (low & ~0xff) | 0 },
    }
  }
  if (kind === 6) {
    return {
      narrow: { kind, high: high | 0, low: low | 0 },
      wide: { kind: kind | WIDE_BIT, high: high | 0, low: (low & ~0xffff) | 0 },
    }
  }
  return { narrow: { kind: UNIX, high: channel.listenerIndex, low }, wide: undefined }
}

/** How the log names it: `192.0.2.7`, `2001:db8:1:2::/64`, `unix`. */
export function narrowName({ peer }: Pipe): string {
  return peer.network
}

/** How the log names the network around it: `192.0.2.0/24`, `2001:db8:1::/48`. */
export function wideName({ peer }: Pipe): string {
  if (peer.networkKey.kind === 4) return peer.network.replace(/\d+$/, '0/24')
  return peer.site
}
