/**
 * Remembers successful PLAIN logins, so that a client that connects for every page view does not
 * pay for a key derivation each time. What is kept is HMAC(random key of this process, user NUL
 * password, as they were sent): of no use in another process, and as hard to turn into a password
 * as guessing in this one's memory. The threads of a process have the same key and tell each other,
 * so that a password is looked at once and not by each of them.
 *
 * Invariant: what an entry was checked against is in force; whoever replaces credentials calls
 * retain(). Bounded: the oldest user leaves when a new one comes.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** A user may have two passwords while they are being rotated, and each may be sent in two forms. */
const DIGESTS_PER_USER = 4
const DIGEST_BYTES = 32
const KEY_BYTES = 32
const NO_DIGEST = new Uint8Array(DIGEST_BYTES)

/** What one thread tells the others. */
export interface RememberedLogin {
  readonly name: string
  readonly digest: Uint8Array
  /** The text of what it was checked against: the user's verifier of the first of SCRAM_HASHES. */
  readonly verifier: string
}

type Entry = Omit<RememberedLogin, 'name'>

export function newLoginMemoryKey(): Uint8Array {
  return randomBytes(KEY_BYTES)
}

export class LoginMemory {
  readonly #key: Uint8Array
  readonly #usersMax: number
  readonly #entries = new Map<string, readonly Entry[]>()

  constructor(key: Uint8Array, usersMax: number) {
    this.#key = key
    this.#usersMax = usersMax
  }

  get userCount(): number {
    return this.#entries.size
  }

  /** Identifies a user and password in the form in which they were sent, both free of NUL. */
  digest(user: string, password: string): Buffer {
    return createHmac('sha256', this.#key).update(`${user}\0${password}`).digest()
  }

  /** Compares with as many digests for every user, known or not, in constant time. */
  has(user: string, digest: Uint8Array): boolean {
    const entries = this.#entries.get(user)
    let found = false
    for (let index = 0; index < DIGESTS_PER_USER; index += 1) {
      const kept = entries?.[index]?.digest
      const isEqual = timingSafeEqual(kept ?? NO_DIGEST, digest)
      if (isEqual && kept !== undefined) found = true
    }
    return found
  }

  /** False if nothing was new. */
  remember({ name, digest, verifier }: RememberedLogin): boolean {
    if (this.#usersMax === 0 || this.has(name, digest)) return false
    const kept = this.#entries.get(name)
    if (kept === undefined && this.#entries.size >= this.#usersMax) {
      const oldest = this.#entries.keys().next()
      if (oldest.done !== true) this.#entries.delete(oldest.value)
    }
    const entries = [{ digest, verifier }, ...(kept ?? [])]
    this.#entries.set(name, entries.slice(0, DIGESTS_PER_USER))
    return true
  }

  /** Forgets what was checked against a verifier that `isInForce` does not know of. */
  retain(isInForce: (user: string, verifier: string) => boolean): void {
    for (const [user, entries] of this.#entries) {
      const kept = entries.filter(({ verifier }) => isInForce(user, verifier))
      if (kept.length === 0) this.#entries.delete(user)
      else this.#entries.set(user, kept)
    }
  }
}
