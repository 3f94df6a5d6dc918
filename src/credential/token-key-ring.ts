/**
 * A worker's view of the keys that tokens are checked with: one set, replaced as a whole. A token whose
 * key is not in it may be signed with a new one: then newer keys are asked for, and the login waits for
 * them, a little.
 *
 * Invariant: strangers choose what keys tokens name, so keys are asked for at most once in ASK_MS,
 * however many are not found; at most WAITING_MAX logins wait for the answer, none longer than WAIT_MS.
 */
import { fitsAlgorithm, type TokenKey, type TokenKeySet } from './token-keys.ts'

export interface TokenKeyRingOptions {
  readonly keys: TokenKeySet
  /** Asks for newer keys; `replace` is the answer. Undefined where there are none to be had. */
  readonly ask: (() => void) | undefined
  readonly monotonicMs: () => number
  /** Calls back once, when so much time has passed. */
  readonly after: (delayMs: number, run: () => void) => void
}

/** Also how often the issuer is asked at most, see server/main/token-key-source.ts. */
export const ASK_MS = 10_000
/** Replies to logins leave within 0.5 s. */
const WAIT_MS = 400
const WAITING_MAX = 256

/** Two keys would do: which is meant must not be guessed. */
export type KeySearch = TokenKey | 'none' | 'several'

export class TokenKeyRing {
  readonly #options: TokenKeyRingOptions
  #keys: TokenKeySet
  #askedMs = Number.NEGATIVE_INFINITY
  #isAsking = false
  readonly #waiting = new Set<() => void>()

  constructor(options: TokenKeyRingOptions) {
    this.#options = options
    this.#keys = options.keys
  }

  get waitingCount(): number {
    return this.#waiting.size
  }

  /** The key of a token's header. Without an id it is the only one that fits the algorithm. */
  find(id: string | undefined, algorithm: string): KeySearch {
    const found = this.#keys.keys.filter(
      (key) => fitsAlgorithm(key, algorithm) && (id === undefined || key.id === id),
    )
    if (found.length > 1) return 'several'
    return found[0] ?? 'none'
  }

  /** Resolves when there may be newer keys; undefined: none are asked for now, or too many wait. */
  newer(): Promise<void> | undefined {
    if (this.#waiting.size >= WAITING_MAX || !this.#ask()) return undefined
    return new Promise((resolve) => {
      const go = (): void => {
        if (this.#waiting.delete(go)) resolve()
      }
      this.#waiting.add(go)
      this.#options.after(WAIT_MS, go)
    })
  }

  /** The keys from now on; also the answer to who asked, where nothing has changed. */
  replace(keys: TokenKeySet): void {
    this.#keys = keys
    this.#isAsking = false
    for (const go of [...this.#waiting]) go()
  }

  /** True while an answer is awaited. */
  #ask(): boolean {
    const { ask, monotonicMs } = this.#options
    if (ask === undefined) return false
    const nowMs = monotonicMs()
    if (nowMs - this.#askedMs < ASK_MS) return this.#isAsking
    this.#askedMs = nowMs
    this.#isAsking = true
    ask()
    return true
  }
}
