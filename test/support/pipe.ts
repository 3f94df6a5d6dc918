/** Pipes for those who never send anything through one. */
import { Peer } from '../../src/base/peer.ts'
import type { Pipe } from '../../src/base/pipe.ts'

/** A plain TCP connection from an address. */
export function pipeAt(address: string): Pipe {
  return { peer: new Peer(address, address), channel: { kind: 'tcp', listenerIndex: 0 } }
}
