/**
 * Who comes in where a listener stands for a user (--listen-as).
 *
 * Invariant: whoever is not let in by that is a stranger like any, and counted and kept waiting as one.
 */
import type { Pipe } from '../../base/pipe.ts'
import { prepare } from '../../credential/prepare.ts'
import type { Principal } from '../../credential/principal.ts'
import type { SaslEnvironment } from '../../sasl/environment.ts'
import type { NamespacePlaces } from '../admission/namespace-places.ts'
import type { SharedSocket } from '../net/shared-socket.ts'

export class ListenerIdentities {
  private readonly sockets: readonly SharedSocket[]
  private readonly sasl: SaslEnvironment | undefined
  private readonly places: Pick<NamespacePlaces, 'hasPlace'>

  /** Without `sasl` everybody is let in anyway. */
  constructor(
    sockets: readonly SharedSocket[],
    sasl: SaslEnvironment | undefined,
    places: Pick<NamespacePlaces, 'hasPlace'>,
  ) {
    this.sockets = sockets
    this.sasl = sasl
    this.places = places
  }

  /**
   * The user that the listener stands for. Undefined: a login is asked for as elsewhere, as it stands for none, a reload
   * has removed the user, or nobody is to come in without being recorded.
   */
  principalOf({ channel }: Pick<Pipe, 'channel'>): Principal | undefined {
    const identity = this.sockets[channel.listenerIndex]?.identity
    if (identity === undefined || this.sasl === undefined) return undefined
    const { credentials } = this.sasl
    const name = prepare(identity)
    if (!credentials.has(name) || !this.sasl.mayLogIn()) return undefined
    return credentials.principalOf(name, 'listener')
  }

  /** Whether who comes now is let in without a login: the user's namespace has a place, too. */
  letsIn(pipe: Pick<Pipe, 'channel'>): boolean {
    const principal = this.principalOf(pipe)
    return principal !== undefined && this.places.hasPlace(principal.namespace)
  }
}
