/**
 * Passwords that were wrong lately, by the digests of the login memory: where keys are rationed, a client that
 * sends its old password again and again takes no check from one that has the new one.
 *
 * Invariant: what is here is wrong under the credentials in force; whoever replaces those calls clear().
 * Bounded: the oldest leaves when a new one comes. Only what a key was derived for comes here, so that is slow.
 */

const DIGESTS_MAX = 256

export class WrongPasswords {
  readonly #digests = new Set<string>()

  add(digest: Uint8Array): void {
    const text = textOf(digest)
    this.#digests.delete(text)
    const [oldest] = this.#digests
    if (oldest !== undefined && this.#digests.size >= DIGESTS_MAX) this.#digests.delete(oldest)
    this.#digests.add(text)
  }

  /** By a lookup whose time tells nothing: the digests have a secret key. */
  has(digest: Uint8Array): boolean {
    return this.#digests.has(textOf(digest))
  }

  clear(): void {
    this.#digests.clear()
  }
}

function textOf(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString('latin1')
}
