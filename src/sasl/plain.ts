/**
 * PLAIN (RFC 4616): `[authzid] NUL authcid NUL passwd`, the password itself, checked against a
 * SCRAM verifier. A login that is remembered is answered at once, without a Promise; any other
 * takes a key derivation on the thread pool, the same for an unknown user (against a decoy) as for
 * a wrong password.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Pipe } from '../base/pipe.ts'
import type { Credential, CredentialStore } from '../credential/credential-store.ts'
import { NAME_BYTES_MAX, PASSWORD_BYTES_MAX, prepare } from '../credential/prepare.ts'
import { keysOf } from '../credential/verifier.ts'
import type { PendingCheck } from './derivation-queue.ts'
import type { FailureReason } from './failure-reason.ts'
import {
  decodeText,
  failure,
  type Mechanism,
  type MechanismContext,
  type MechanismStep,
  type RefuseEntry,
} from './mechanism.ts'

const MESSAGE_BYTES_MAX = 2 * NAME_BYTES_MAX + PASSWORD_BYTES_MAX + 2

export interface PlainMessage {
  readonly authorizationIdentity: string
  readonly authenticationIdentity: string
  readonly password: string
}

/** Splits a PLAIN message; undefined if it is not one. Nothing is prepared yet. */
export function decodePlainMessage(bytes: Uint8Array): PlainMessage | undefined {
  if (bytes.length > MESSAGE_BYTES_MAX) return undefined
  const first = bytes.indexOf(0)
  const second = first === -1 ? -1 : bytes.indexOf(0, first + 1)
  if (second === -1 || bytes.indexOf(0, second + 1) !== -1) return undefined
  const nameBytes = second - first - 1
  const passwordBytes = bytes.length - second - 1
  if (first > NAME_BYTES_MAX) return undefined
  if (nameBytes === 0 || nameBytes > NAME_BYTES_MAX) return undefined
  if (passwordBytes === 0 || passwordBytes > PASSWORD_BYTES_MAX) return undefined
  // NUL is a character of its own in UTF-8, so the whole is valid exactly if the parts are.
  const text = decodeText(bytes)
  if (text === undefined) return undefined
  const [authorizationIdentity = '', authenticationIdentity = '', password = ''] = text.split('\0')
  return { authorizationIdentity, authenticationIdentity, password }
}

export class PlainMechanism implements Mechanism {
  readonly #context: MechanismContext
  readonly #pipe: Pipe
  readonly #refuseEntry: RefuseEntry
  #claimedUser = ''
  #isUsed = false
  #pending: PendingCheck<MechanismStep> | undefined

  constructor(context: MechanismContext, pipe: Pipe, refuseEntry: RefuseEntry) {
    this.#context = context
    this.#pipe = pipe
    this.#refuseEntry = refuseEntry
  }

  get claimedUser(): string {
    return this.#claimedUser
  }

  next(response: Uint8Array): MechanismStep | Promise<MechanismStep> {
    if (this.#isUsed) return failure('out-of-sequence')
    this.#isUsed = true
    const message = decodePlainMessage(response)
    if (message === undefined) return failure('malformed')
    const { authorizationIdentity, authenticationIdentity } = message
    const name = prepare(authenticationIdentity)
    this.#claimedUser = name
    if (!isSamePerson(authorizationIdentity, authenticationIdentity, name)) {
      return failure('bad-authzid')
    }
    const password = prepare(message.password)
    const { credentials, memory, counters } = this.#context
    // Before the memory is asked, too: it would answer as many guesses as anybody sends.
    if (this.#context.isRefused(name, this.#pipe)) return failure('throttled')
    // As they were sent: SASLprep can make both eighteen times as long.
    const digest = memory.digest(authenticationIdentity, message.password)
    if (memory.has(name, digest)) {
      const principal = credentials.principalOf(name)
      // Who is not let in waits as long as with a wrong password.
      if (this.#refuseEntry(principal) === undefined) {
        counters.rememberedSuccesses += 1
        return { kind: 'success', principal }
      }
    }
    return this.#check(name, password, digest)
  }

  abort(): void {
    this.#pending?.abort()
  }

  async #check(name: string, password: string, digest: Buffer): Promise<MechanismStep> {
    const { credentials, derivations } = this.#context
    // The generation keeps apart what was asked under other credentials.
    const key = `${credentials.generation}:${digest.toString('latin1')}`
    this.#pending = derivations.request(
      this.#pipe.peer,
      key,
      () => checkPassword(this.#context, name, password, digest),
      {
        isRefused: () => this.#context.isRefused(name, this.#pipe),
        takeCheck: () => this.#context.takeCheck(name, this.#pipe, digest),
      },
    )
    const outcome = await this.#pending.outcome
    return typeof outcome === 'string' ? failure(outcome) : outcome
  }
}

/** Shared by all who ask for the same user and password at the same time. */
async function checkPassword(
  context: MechanismContext,
  name: string,
  password: string,
  digest: Buffer,
): Promise<MechanismStep> {
  const { credentials, derive } = context
  const { generation } = credentials
  const credential = credentials.findForPassword(name)
  const saltedPassword = await derive(password, credential)
  // Users may have been replaced meanwhile: what counts is the credential in force now.
  const current =
    credentials.generation === generation ? credential : credentials.findForPassword(name)
  if (!haveSameDerivation(credential, current)) return failure('credentials-changed')
  const { storedKey } = keysOf(credential.hash, saltedPassword)
  let verifier: string | undefined
  for (const [index, keys] of current.keys.entries()) {
    const isEqual = timingSafeEqual(keys.storedKey, storedKey)
    if (isEqual && index < current.keyCount) verifier = current.texts[index]
  }
  if (verifier === undefined) context.noteWrong(digest)
  if (!current.known) return failure(unknownUserReason(credentials, name))
  if (verifier === undefined) return failure('wrong-password')
  context.remember({ name, digest, verifier })
  return { kind: 'success', principal: current.principal }
}

/** Whether a client that logs in acts for itself, as everybody here does. */
export function isSamePerson(authorization: string, authentication: string, name: string): boolean {
  if (authorization === '' || authorization === authentication) return true
  return prepare(authorization) === name
}

/** Whether what was derived, or answered, under one credential can be compared with another. */
export function haveSameDerivation(a: Credential, b: Credential): boolean {
  return (
    a.hash.name === b.hash.name &&
    a.iterations === b.iterations &&
    Buffer.compare(a.salt, b.salt) === 0
  )
}

/** Why a password fails for who has none here. Nobody but the log is told the difference. */
export function unknownUserReason(
  credentials: Pick<CredentialStore, 'has'>,
  name: string,
): FailureReason {
  return credentials.has(name) ? 'no-password' : 'unknown-user'
}
