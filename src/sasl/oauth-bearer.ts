/**
 * OAUTHBEARER (RFC 7628), the server's side: the client shows a token that an issuer has signed, and no
 * password is anywhere.
 *
 *   message with a token -> success
 *                        -> error challenge -> %x01, or whatever -> failure
 *
 * The error challenge is the same for every reason, and so is the failure behind it. What costs next to
 * nothing is looked at first; checks of signatures take turns by site as derivations do, so that a
 * flood of tokens delays nobody but whoever sends it.
 *
 * Whoever reads a token can log in with it, so it is taken on TLS alone (RFC 7628, 4). A Unix socket does
 * not count as TLS here, although nobody can listen to it: the RFC has no exception, and where clients
 * are on the same machine the permissions of the socket say who they are.
 */
import { createHash } from 'node:crypto'
import type { Pipe } from '../base/pipe.ts'
import { unreachable } from '../base/unreachable.ts'
import type { Principal } from '../credential/principal.ts'
import type { TokenKey } from '../credential/token-keys.ts'
import type { ExaminedToken, TokenProblem } from '../credential/token-verifier.ts'
import type { PendingCheck } from './derivation-queue.ts'
import type { FailureReason } from './failure-reason.ts'
import {
  decodeText,
  failure,
  type Mechanism,
  type MechanismContext,
  type MechanismStep,
} from './mechanism.ts'
import {
  type BearerMessage,
  OAUTH_BEARER_BYTES_MAX,
  parseBearerMessage,
} from './oauth-bearer-message.ts'
import { isSamePerson } from './plain.ts'
import type { CheckedToken, TokenLogins } from './token-logins.ts'

/** RFC 7628, 3.2.2. No scope would help, so none is named. */
const ERROR_CHALLENGE = Buffer.from('{"status":"invalid_token"}')

type State = 'expects-message' | 'expects-acknowledgement' | 'over'

export class OAuthBearerMechanism implements Mechanism {
  readonly #context: MechanismContext
  readonly #tokens: TokenLogins
  readonly #pipe: Pipe
  /** Of the client's certificate: some tokens are good in its hands alone. */
  readonly #certificate: string | undefined
  #claimedUser = ''
  #state: State = 'expects-message'
  #refusal: FailureReason | undefined
  #pending: PendingCheck<CheckedToken> | undefined
  #isAborted = false

  constructor(context: MechanismContext, tokens: TokenLogins, pipe: Pipe) {
    this.#context = context
    this.#tokens = tokens
    this.#pipe = pipe
    this.#certificate = pipe.channel.tls?.certificate?.fingerprint
  }

  get claimedUser(): string {
    return this.#claimedUser
  }

  /** Why the login has failed already, while the client has not acknowledged it. */
  get refusal(): FailureReason | undefined {
    return this.#refusal
  }

  next(response: Uint8Array): MechanismStep | Promise<MechanismStep> {
    const state = this.#state
    this.#state = 'over'
    switch (state) {
      case 'expects-message':
        return this.#answerMessage(response)
      case 'expects-acknowledgement':
        // The RFC has %x01 here. It changes nothing what it is.
        return failure(this.#refusal ?? 'malformed')
      case 'over':
        return failure('out-of-sequence')
      default:
        return unreachable(state)
    }
  }

  abort(): void {
    this.#isAborted = true
    this.#pending?.abort()
  }

  #answerMessage(response: Uint8Array): MechanismStep | Promise<MechanismStep> {
    if (response.length > OAUTH_BEARER_BYTES_MAX) return this.#refuse('malformed')
    const text = decodeText(response)
    const message = text === undefined ? 'malformed' : parseBearerMessage(text)
    if (typeof message === 'string') return this.#refuse(message)
    const { verifier, keys } = this.#tokens
    const examined = verifier.examine(message.token, this.#certificate)
    if (typeof examined === 'string') return this.#refuse(examined)
    this.#claimedUser = examined.claimedUser
    const found = keys.find(examined.keyId, examined.algorithm)
    if (typeof found !== 'string') return this.#check(message, examined, found)
    // Who signed with a key that is not known may have it from yesterday, or from a minute ago.
    const newer = found === 'none' ? keys.newer() : undefined
    return newer === undefined
      ? this.#refuse('token-key')
      : newer.then(() => this.#checkWithNewer(message, examined))
  }

  #checkWithNewer(
    message: BearerMessage,
    examined: ExaminedToken,
  ): MechanismStep | Promise<MechanismStep> {
    if (this.#isAborted) return failure('aborted')
    const found = this.#tokens.keys.find(examined.keyId, examined.algorithm)
    return typeof found === 'string'
      ? this.#refuse('token-key')
      : this.#check(message, examined, found)
  }

  async #check(
    message: BearerMessage,
    examined: ExaminedToken,
    key: TokenKey,
  ): Promise<MechanismStep> {
    const { verifier, checks } = this.#tokens
    const certificate = this.#certificate
    // With the key and the certificate: under another one the answer would be another.
    const same = createHash('sha256')
      .update(`${JSON.stringify(key)}\0${certificate ?? ''}\0${examined.token}`)
      .digest('base64')
    this.#pending = checks.request(
      this.#pipe.peer,
      same,
      async () => ({ verdict: await verifier.verify(examined, key, certificate) }),
      {
        isRefused: () => this.#context.isRefused(this.#claimedUser, this.#pipe),
        // No key is derived, and a new token is one that nobody remembers.
        takeCheck: () => true,
      },
    )
    const outcome = await this.#pending.outcome
    if (outcome === 'aborted') return failure('aborted')
    if (typeof outcome === 'string') return this.#refuse(outcome)
    const { verdict } = outcome
    if (typeof verdict === 'string') return this.#refuse(verdict)
    const { name, rawName, roles, expiresAt } = verdict
    this.#claimedUser = name
    if (!isSamePerson(message.authorizationIdentity, rawName, name)) {
      return this.#refuse('bad-authzid')
    }
    const principal = this.#principalOf(name, roles, expiresAt)
    return principal === undefined ? this.#refuse('unknown-user') : { kind: 'success', principal }
  }

  /** What the users file says of a name wins over what the token says. */
  #principalOf(name: string, roles: readonly string[], expiresAt: number): Principal | undefined {
    const { credentials } = this.#context
    return credentials.has(name)
      ? credentials.principalOf(name, 'token', expiresAt)
      : credentials.principalWithRoles(name, 'token', roles, expiresAt)
  }

  #refuse(reason: FailureReason | TokenProblem): MechanismStep {
    this.#refusal = reason
    this.#state = 'expects-acknowledgement'
    return { kind: 'challenge', bytes: ERROR_CHALLENGE }
  }
}
