/**
 * A worker's view of the users: one snapshot, replaced as a whole. It answers for every name, known
 * or not: an unknown user gets a decoy of the same shape, made by the same work, so that neither
 * the answer nor its cost tells a stranger who exists. Callers compare against what they get and
 * look at `known` last.
 */
import { assert } from '../base/assert.ts'
import type { CredentialSnapshot, UserRecord } from './snapshot.ts'
import { decoyKeys, decoyVerifiers } from './snapshot.ts'
import type { DerivationParameters, KeyPair, ScramHashName, Verifier } from './verifier.ts'
import { parseVerifier, SCRAM_HASHES } from './verifier.ts'

/** Who a connection is after a successful login. */
export interface Principal {
  readonly name: string
}

/** One user's verifiers of one hash. */
export interface Credential extends DerivationParameters {
  readonly principal: Principal
  /** False for a decoy: whatever matches, the login fails. */
  readonly known: boolean
  /**
   * Always two, so that checking costs the same; the second is a decoy without a second password.
   */
  readonly keys: readonly [KeyPair, KeyPair]
  /** How many of `keys` are real. */
  readonly keyCount: number
}

export class CredentialStore {
  #snapshot: CredentialSnapshot
  #users: ReadonlyMap<string, UserRecord>
  #generation = 0

  constructor(snapshot: CredentialSnapshot) {
    this.#snapshot = snapshot
    this.#users = index(snapshot)
  }

  /** Grows with every replace(), so that holders of derived facts know when they are stale. */
  get generation(): number {
    return this.#generation
  }

  get snapshot(): CredentialSnapshot {
    return this.#snapshot
  }

  /** Whether there is such a user; for connections that logged in before a replace(). */
  has(name: string): boolean {
    return this.#users.has(name)
  }

  replace(snapshot: CredentialSnapshot): void {
    this.#users = index(snapshot)
    this.#snapshot = snapshot
    this.#generation += 1
  }

  /**
   * The credential of a prepared name for one hash; a decoy for an unknown user and for a known one
   * without a verifier of that hash. Undefined only where the shape of this name has no such hash,
   * which cannot be for a mechanism that is announced.
   */
  find(name: string, hashName: ScramHashName): Credential | undefined {
    const decoys = decoyVerifiers(this.#snapshot, name)
    const own = this.#users.get(name)?.verifiers ?? decoys
    const isOwn = own !== decoys && own.some((text) => text.startsWith(`${hashName}$`))
    return this.#read(name, hashName, isOwn ? own : decoys, isOwn)
  }

  /**
   * The credential that a PLAIN password is checked against: of the first of SCRAM_HASHES there is.
   */
  findForPassword(name: string): Credential {
    const decoys = decoyVerifiers(this.#snapshot, name)
    const own = this.#users.get(name)?.verifiers ?? decoys
    for (const hash of SCRAM_HASHES) {
      const found = this.#read(name, hash.name, own, own !== decoys)
      if (found !== undefined) return found
    }
    throw new Error('assertion failed: a user has at least one verifier')
  }

  #read(
    name: string,
    hashName: ScramHashName,
    texts: readonly string[],
    known: boolean,
  ): Credential | undefined {
    const [first, second] = texts
      .filter((text) => text.startsWith(`${hashName}$`))
      .map(readVerifier)
    if (first === undefined) return undefined
    const { hash, iterations, salt } = first
    return {
      principal: { name },
      known,
      hash,
      iterations,
      salt,
      keys: [first, second ?? decoyKeys(this.#snapshot.decoyKey, hash, name)],
      keyCount: second === undefined ? 1 : 2,
    }
  }
}

function index(snapshot: CredentialSnapshot): Map<string, UserRecord> {
  return new Map(snapshot.users.map((user) => [user.name, user]))
}

function readVerifier(text: string): Verifier {
  const verifier = parseVerifier(text)
  assert(typeof verifier !== 'string', 'a snapshot holds only valid verifiers')
  return verifier
}
