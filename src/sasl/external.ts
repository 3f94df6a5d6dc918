/**
 * EXTERNAL (RFC 4422, appendix A): the client says nothing but, if it likes, who it wants to be; who it is
 * was shown by its certificate when the TLS connection began (certificate-user.ts).
 */
import type { Channel } from '../base/channel.ts'
import { NAME_BYTES_MAX } from '../credential/prepare.ts'
import { userOfCertificate } from './certificate-user.ts'
import {
  decodeText,
  failure,
  type Mechanism,
  type MechanismContext,
  type MechanismStep,
} from './mechanism.ts'
import { isSamePerson } from './plain.ts'

export class ExternalMechanism implements Mechanism {
  readonly #context: MechanismContext
  readonly #channel: Channel
  #claimedUser = ''
  #isUsed = false

  constructor(context: MechanismContext, channel: Channel) {
    this.#context = context
    this.#channel = channel
  }

  get claimedUser(): string {
    return this.#claimedUser
  }

  /** `response` is the authorization identity, or empty. */
  next(response: Uint8Array): MechanismStep {
    if (this.#isUsed) return failure('out-of-sequence')
    this.#isUsed = true
    if (response.length > NAME_BYTES_MAX) return failure('malformed')
    const authorizationIdentity = decodeText(response)
    if (authorizationIdentity?.includes('\0') !== false) return failure('malformed')
    const named = userOfCertificate(this.#channel, this.#context)
    if (typeof named === 'string') return failure(named)
    this.#claimedUser = named.user
    if (!isSamePerson(authorizationIdentity, named.user, named.user)) {
      return failure('bad-authzid')
    }
    const { user, validTo } = named
    const principal = this.#context.credentials.principalOf(user, 'certificate', validTo)
    return { kind: 'success', principal }
  }

  /** Nothing is ever under way. */
  abort(): void {
    this.#isUsed = true
  }
}
