/** A newcomer without a socket, from wherever a test says, and what became of it. */
import type { Channel } from '../../src/base/channel.ts'
import { Peer, UNIX_PEER } from '../../src/base/peer.ts'
import type { Newcomer } from '../../src/server/net/newcomer.ts'
import { ManualTransport } from './manual-connection.ts'

export class ManualNewcomer implements Newcomer {
  readonly peer: Peer
  readonly channel: Channel
  readonly transport: ManualTransport
  state: 'new' | 'open' | 'refused' | 'closed' = 'new'
  /** What it was told when it was refused. */
  notice = ''

  /** Without an address it is on a Unix socket. */
  constructor(address?: string, listenerIndex = 0) {
    this.peer = address === undefined ? UNIX_PEER : Peer.at(address, 40_000)
    this.channel = { kind: address === undefined ? 'unix' : 'tcp', listenerIndex }
    this.transport = new ManualTransport(this.peer, this.channel)
  }

  open(): ManualTransport {
    this.state = 'open'
    return this.transport
  }

  refuse(notice: Uint8Array): void {
    this.state = 'refused'
    this.notice = Buffer.from(notice).toString('latin1')
  }

  close(): void {
    this.state = 'closed'
  }
}
