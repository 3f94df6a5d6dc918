/**
 * SCRAM (RFC 5802, RFC 7677), the server's side, one login:
 *
 *   client-first -> server-first -> client-final -> `v=...` -> empty response -> success
 *
 * The server's signature goes out as a challenge of its own, because libmemcached checks it only in
 * that place. The password never comes here, and no key is derived: a login costs a few
 * HMACs. An unknown user is led through the same steps with a stable decoy and fails at the proof.
 *
 * Under the name with -PLUS the login must be bound to the channel, under the bare name it may be: libsasl2
 * binds under the bare name. A client that could have bound but believes that we cannot (`y`) has been
 * shown another list than ours, and is refused (RFC 5802, 6). Whoever is in between learns nothing
 * from that: all that does not fit fails at the same step, after the same work, as a wrong proof does.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { Pipe } from '../base/pipe.ts'
import { unreachable } from '../base/unreachable.ts'
import type { Credential } from '../credential/credential-store.ts'
import { prepare } from '../credential/prepare.ts'
import type { Principal } from '../credential/principal.ts'
import type { KeyPair, ScramHash } from '../credential/verifier.ts'
import { decodeBase64, encodeBase64 } from '../credential/verifier.ts'
import { bindingData, canBind } from './channel-binding.ts'
import type { FailureReason } from './failure-reason.ts'
import {
  decodeText,
  failure,
  type Mechanism,
  type MechanismContext,
  type MechanismStep,
  type RefuseEntry,
} from './mechanism.ts'
import { haveSameDerivation, isSamePerson, unknownUserReason } from './plain.ts'
import {
  type ClientFirst,
  formatServerFinal,
  formatServerFirst,
  parseClientFinal,
  parseClientFirst,
  SCRAM_MESSAGE_BYTES_MAX,
} from './scram-message.ts'

type State =
  | { readonly kind: 'expects-first' }
  | {
      readonly kind: 'expects-final'
      readonly first: ClientFirst
      /** What must stand behind `c=`: the GS2 header as it came and what is bound, in base64. */
      readonly channelBinding: Buffer
      readonly nonce: string
      readonly serverFirst: string
      readonly credential: Credential
    }
  | { readonly kind: 'expects-empty'; readonly proven: Proven }
  | { readonly kind: 'over' }

/** What a proof has shown: whose password it is, and of which of the user's keys. */
interface Proven {
  readonly principal: Principal
  readonly keys: KeyPair
}

/** Under which name a login came: the bare one, where it may be bound, or -PLUS, where it must be. */
export type ScramBinding = 'may-bind' | 'must-bind'

export class ScramMechanism implements Mechanism {
  readonly #context: MechanismContext
  readonly #hash: ScramHash
  readonly #pipe: Pipe
  readonly #binding: ScramBinding
  readonly #refuseEntry: RefuseEntry
  #claimedUser = ''
  #state: State = { kind: 'expects-first' }

  constructor(
    context: MechanismContext,
    hash: ScramHash,
    pipe: Pipe,
    binding: ScramBinding,
    refuseEntry: RefuseEntry,
  ) {
    this.#context = context
    this.#hash = hash
    this.#pipe = pipe
    this.#binding = binding
    this.#refuseEntry = refuseEntry
  }

  get claimedUser(): string {
    return this.#claimedUser
  }

  next(response: Uint8Array): MechanismStep {
    const state = this.#state
    this.#state = { kind: 'over' }
    if (response.length > SCRAM_MESSAGE_BYTES_MAX) return failure('malformed')
    const text = decodeText(response)
    if (text === undefined) return failure('malformed')
    switch (state.kind) {
      case 'expects-first':
        return this.#answerFirst(text)
      case 'expects-final':
        return this.#answerFinal(text, state)
      case 'expects-empty':
        if (text !== '') return failure('malformed')
        return this.#answerEmpty(state.proven)
      case 'over':
        return failure('out-of-sequence')
      default:
        return unreachable(state)
    }
  }

  abort(): void {
    this.#state = { kind: 'over' }
  }

  #answerFirst(text: string): MechanismStep {
    const first = parseClientFirst(text)
    if (first === undefined) return failure('malformed')
    const name = prepare(first.userName)
    this.#claimedUser = name
    if (!isSamePerson(first.authorizationIdentity, first.userName, name)) {
      return failure('bad-authzid')
    }
    const channelBinding = this.#expectBinding(first)
    if (typeof channelBinding === 'string') return failure(channelBinding)
    const credential = this.#context.credentials.find(name, this.#hash.name)
    // Users were replaced since the list went out, and one of them cannot use this mechanism.
    if (credential === undefined) return failure('unknown-mechanism')
    const nonce = first.nonce + this.#context.serverNonce()
    const serverFirst = formatServerFirst(nonce, credential.salt, credential.iterations)
    this.#state = {
      kind: 'expects-final',
      first,
      channelBinding,
      nonce,
      serverFirst,
      credential,
    }
    return { kind: 'challenge', bytes: Buffer.from(serverFirst) }
  }

  #answerFinal(text: string, state: State & { kind: 'expects-final' }): MechanismStep {
    const { first, channelBinding, nonce, serverFirst, credential } = state
    const final = parseClientFinal(text)
    if (final === undefined || final.nonce !== nonce) return failure('malformed')
    const proof = decodeBase64(final.proof)
    if (proof?.length !== this.#hash.digestBytes) return failure('malformed')
    // Users may have been replaced meanwhile: what counts is the credential in force now.
    const name = credential.principal.name
    const current = this.#context.credentials.find(name, this.#hash.name)
    if (current === undefined || !haveSameDerivation(credential, current)) {
      return failure('credentials-changed')
    }
    // A name that was a decoy's and is a user's now, or the other way round, is somebody else.
    if (current.known !== credential.known) return failure('credentials-changed')
    const authMessage = `${first.bare},${serverFirst},${final.withoutProof}`
    const keys = this.#findProven(current, proof, authMessage)
    if (this.#context.isRefused(name, this.#pipe)) return failure('throttled')
    // Looked at last, so that a wrong binding costs and looks the same as a wrong password.
    if (!isEqualText(channelBinding, final.channelBinding)) return failure('channel-binding')
    if (!current.known) return failure(unknownUserReason(this.#context.credentials, name))
    if (keys === undefined) return failure('wrong-password')
    // The signature would say that the proof was right.
    const refusal = this.#refuseEntry(current.principal)
    if (refusal !== undefined) return failure(refusal)
    const serverSignature = this.#hmac(keys.serverKey, authMessage)
    this.#state = { kind: 'expects-empty', proven: { principal: current.principal, keys } }
    return { kind: 'challenge', bytes: Buffer.from(formatServerFinal(serverSignature)) }
  }

  /** What the final message must repeat behind `c=`; a string says why none will do. */
  #expectBinding(first: ClientFirst): Buffer | FailureReason {
    const { gs2Header, bindingFlag, bindingType } = first
    if (bindingFlag === 'p') {
      const data = bindingData(this.#pipe.channel, bindingType)
      if (data === undefined) return 'channel-binding'
      return Buffer.from(encodeBase64(Buffer.concat([Buffer.from(gs2Header), data])))
    }
    if (this.#binding === 'must-bind') return 'channel-binding'
    if (bindingFlag === 'y' && canBind(this.#pipe.channel)) return 'downgrade'
    return Buffer.from(encodeBase64(Buffer.from(gs2Header)))
  }

  /**
   * The proof was right, of a password that must still be good: who waits with this response until
   * the user is gone, is another of the same name, or has another password, is not let in.
   */
  #answerEmpty({ principal, keys }: Proven): MechanismStep {
    const current = this.#context.credentials.find(principal.name, this.#hash.name)
    let isInForce = false
    for (const [index, { storedKey }] of (current?.keys ?? []).entries()) {
      const isEqual = timingSafeEqual(storedKey, keys.storedKey)
      if (isEqual && index < (current?.keyCount ?? 0)) isInForce = true
    }
    return current?.known === true && isInForce
      ? { kind: 'success', principal: current.principal }
      : failure('credentials-changed')
  }

  /** The keys of the password that the proof shows; all are tried, whichever it is. */
  #findProven(credential: Credential, proof: Buffer, authMessage: string): KeyPair | undefined {
    let proven: KeyPair | undefined
    for (const [index, keys] of credential.keys.entries()) {
      const clientSignature = this.#hmac(keys.storedKey, authMessage)
      const clientKey = proof.map((byte, at) => byte ^ (clientSignature[at] ?? 0))
      const storedKey = createHash(this.#hash.digest).update(clientKey).digest()
      const isEqual = timingSafeEqual(storedKey, keys.storedKey)
      if (isEqual && index < credential.keyCount) proven = keys
    }
    return proven
  }

  #hmac(key: Uint8Array, text: string): Buffer {
    return createHmac(this.#hash.digest, key).update(text).digest()
  }
}

/** In constant time but for the length, which is no secret. */
function isEqualText(expected: Uint8Array, text: string): boolean {
  const bytes = Buffer.from(text)
  return bytes.length === expected.length && timingSafeEqual(bytes, expected)
}
