/**
 * A Newcomer on a TCP or Unix socket. Who it is, is asked of the system here, once.
 */
import type { Channel } from '../../base/channel.ts'
import { Peer, UNIX_PEER, UNKNOWN_PEER } from '../../base/peer.ts'
import type { Transport } from '../../connection/transport.ts'
import type { AcceptedHandle, PeerName } from './accepted-handle.ts'
import { HandleTransport } from './handle-transport.ts'
import type { Newcomer } from './newcomer.ts'
import { type SocketParts, SocketTransport } from './socket-transport.ts'

const IPV4_IN_IPV6 = '::ffff:'

export class SocketNewcomer implements Newcomer {
  readonly peer: Peer
  readonly channel: Channel
  private readonly handle: AcceptedHandle
  private readonly parts: SocketParts

  /** `peer`: who it is, where that was asked already. */
  constructor(handle: AcceptedHandle, channel: Channel, parts: SocketParts, peer?: Peer) {
    this.handle = handle
    this.channel = channel
    this.parts = parts
    this.peer = peer ?? (channel.kind === 'unix' ? UNIX_PEER : peerOf(handle))
  }

  open(): Transport {
    return this.openSocket()
  }

  refuse(notice: Uint8Array): void {
    const transport = this.openSocket()
    transport.write(notice)
    transport.refuse()
  }

  close(): void {
    this.handle.close()
  }

  private openSocket(): HandleTransport | SocketTransport {
    const { handle, parts } = this
    const { bare } = parts
    return bare?.takes(handle)
      ? new HandleTransport(handle, this, bare)
      : new SocketTransport(handle, this, parts)
  }
}

export function peerOf(handle: AcceptedHandle): Peer {
  const name: PeerName = {}
  if (handle.getpeername?.(name) !== 0) return UNKNOWN_PEER
  const { address = '', port = 0 } = name
  const isIpv4 = address.startsWith(IPV4_IN_IPV6)
  return Peer.at(isIpv4 ? address.slice(IPV4_IN_IPV6.length) : address, port)
}
