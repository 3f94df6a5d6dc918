/**
 * Remembers successful PLAIN logins, so that a client that connects for every page view does not
 * pay for a key derivation each time. What is kept is HMAC(random key of this process, user NUL
 * password, as they were sent): of no use in another process, and as hard to turn into a password
 * as guessing in this one's memory. The threads of a process have the same key and tell each other,
 * so that a password is looked at once and not by each of them.
 *
 * Invariant: an entry is true under the credentials in force; whoever replaces those calls
 * retain(). Bounded: the oldest user leaves when a new one comes.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** A user may have two passwords while they are being rotated, and both may be in use. */
const DIGESTS_PER_USER = 2
const DIGEST_BYTES = 32
const KEY_BYTES = 32
const NO_DIGEST = new Uint8Array(DIGEST_BYTES)

/** What one thread tells the others. */
export interface RememberedLogin {
  readonly name: string
  readonly digest: Uint8Array
  /** Of the credentials under which it was right (CredentialStore). */
  readonly generation: number
}

export function newLoginMemoryKey(): Uint8Array {
  return randomBytes(KEY_BYTES)
}

export class LoginMemory {
  readonly #key: Uint8Array
  readonly #usersMax: number
  readonly #digests = new Map<string, readonly Uint8Array[]>()

  constructor(key: Uint8Array, usersMax: number) {
    this.#key = key
    this.#usersMax = usersMax
  }

  get userCount(): number {
    return this.#digests.size
  }

  /** Identifies a user and password in the form in which they were sent, both free of NUL. */
  digest(user: string, password: string): Buffer {
    return createHmac('sha256', this.#key).update(`${user}\0${password}`).digest()
  }

  /** Compares with as many digests for every user, known or not, in constant time. */
  has(user: string, digest: Uint8Array): boolean {
    const digests = this.#digests.get(user)
    let found = false
    for (let index = 0; index < DIGESTS_PER_USER; index += 1) {
      const kept = digests?.[index]
      const isEqual = timingSafeEqual(kept ?? NO_DIGEST, digest)
      if (isEqual && kept !== undefined) found = true
    }
    return found
  }

  /** False if nothing was new. */
  remember(user: string, digest: Uint8Array): boolean {
    if (this.#usersMax === 0 || this.has(user, digest)) return false
    const kept = this.#digests.get(user)
    if (kept === undefined && this.#digests.size >= this.#usersMax) {
      const oldest = this.#digests.keys().next()
      if (oldest.done !== true) this.#digests.delete(oldest.value)
    }
    this.#digests.set(user, [digest, ...(kept ?? [])].slice(0, DIGESTS_PER_USER))
    return true
  }

  /** Forgets every user of whom `isStillRight` does not say that what was right before is. */
  retain(isStillRight: (user: string) => boolean): void {
    for (const user of this.#digests.keys()) {
      if (!isStillRight(user)) this.#digests.delete(user)
    }
  }
}
