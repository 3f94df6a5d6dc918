/**
 * A Newcomer on a TLS listener. Accepting it costs what any costs; its handshake is begun when it is
 * served and has said hello.
 */
import type { TlsChannel } from '../../base/channel.ts'
import type { Peer } from '../../base/peer.ts'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import type { Transport } from '../../connection/transport.ts'
import type { AcceptedHandle } from './accepted-handle.ts'
import type { Newcomer } from './newcomer.ts'
import { peerOf } from './socket-newcomer.ts'
import { TlsHandleTransport } from './tls-handle-transport.ts'
import type { TlsParts, TlsPipeChannel } from './tls-phase.ts'
import { TlsSocketTransport } from './tls-socket-transport.ts'

/** The channel of one connection: what is known of it when it is accepted, and the rest later. */
class NewChannel implements TlsPipeChannel {
  readonly kind = 'tls'
  readonly listenerIndex: number
  tls: TlsChannel | undefined = undefined

  constructor(listenerIndex: number) {
    this.listenerIndex = listenerIndex
  }
}

export class TlsNewcomer implements Newcomer {
  readonly peer: Peer
  readonly channel: TlsPipeChannel
  private readonly handle: AcceptedHandle
  private readonly verify: TlsVerify
  private readonly parts: TlsParts

  constructor(handle: AcceptedHandle, listenerIndex: number, verify: TlsVerify, parts: TlsParts) {
    this.handle = handle
    this.channel = new NewChannel(listenerIndex)
    this.verify = verify
    this.parts = parts
    this.peer = peerOf(handle)
  }

  open(): Transport {
    const { handle, verify, parts } = this
    return parts.handles.takes(handle)
      ? new TlsHandleTransport(handle, this, verify, parts)
      : new TlsSocketTransport(handle, this, verify, parts)
  }

  /** It would take a handshake to tell it why. */
  refuse(): void {
    this.handle.close()
  }

  close(): void {
    this.handle.close()
  }
}
