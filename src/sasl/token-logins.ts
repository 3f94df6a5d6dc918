/**
 * What the logins of a worker share that show tokens: what is asked of a token, the keys, and the turns
 * at checking signatures.
 *
 * A check takes a fraction of a millisecond on the thread pool, so few wait long; what waits holds its token.
 */
import { TokenKeyRing } from '../credential/token-key-ring.ts'
import type { TokenKeySet } from '../credential/token-keys.ts'
import {
  type TokenPolicy,
  type TokenProblem,
  TokenVerifier,
  type VerifiedToken,
} from '../credential/token-verifier.ts'
import { DerivationQueue } from './derivation-queue.ts'

export interface TokenSettings {
  readonly policy: TokenPolicy
  readonly keys: TokenKeySet
  /** Newer keys can be had by asking for them. */
  readonly asksForKeys: boolean
}

export interface TokenLoginsOptions extends TokenSettings {
  /** Asks for newer keys. */
  readonly ask: () => void
  /** The server's clock. */
  readonly epochSeconds: () => number
  readonly monotonicMs: () => number
  readonly after: (delayMs: number, run: () => void) => void
}

export interface CheckedToken {
  /** A string says why it is refused. */
  readonly verdict: VerifiedToken | TokenProblem
}

/** Of a worker; the thread pool has four threads, which derive keys as well. */
const CHECKS_MAX = 2
/** At most 16 KiB each. */
const WAITING_MAX = 512
/** Replies to logins leave within 0.5 s. */
const WAIT_MS_MAX = 400

export class TokenLogins {
  readonly verifier: TokenVerifier
  readonly keys: TokenKeyRing
  /** Checks of signatures, in turn by site; equal tokens share one. */
  readonly checks: DerivationQueue<CheckedToken>

  constructor(options: TokenLoginsOptions) {
    const { policy, keys, asksForKeys, ask, epochSeconds, monotonicMs, after } = options
    this.verifier = new TokenVerifier(policy, epochSeconds)
    this.keys = new TokenKeyRing({
      keys,
      ask: asksForKeys ? ask : undefined,
      monotonicMs,
      after,
    })
    this.checks = new DerivationQueue({
      monotonicMs,
      runningMax: CHECKS_MAX,
      waitingMax: WAITING_MAX,
      waitMsMax: WAIT_MS_MAX,
    })
  }
}
