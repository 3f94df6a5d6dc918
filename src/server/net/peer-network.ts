/** The network (sasl/source-network.ts) at the other end of a connection that was just accepted. */
import { sourceNetwork } from '../../sasl/source-network.ts'
import { type AcceptedHandle, peerName } from './socket-transport.ts'

export function peerNetwork(handle: AcceptedHandle): string {
  return sourceNetwork(peerName(handle).replace(/:\d+$/, ''))
}
