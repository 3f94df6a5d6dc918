/** Whose bytes come, and how; known before the first of them is read. */
import type { Channel } from './channel.ts'
import type { Peer } from './peer.ts'

export interface Pipe {
  readonly peer: Peer
  readonly channel: Channel
}
