/**
 * What a SASL mechanism is to the session: one login, fed with the client's responses. It is used
 * once; its state moves before it works, so that an exception or a second call in between cannot
 * repeat a step. Client-first: the first response is the initial one.
 */
import type { Pipe } from '../base/pipe.ts'
import type { CredentialStore } from '../credential/credential-store.ts'
import type { Principal } from '../credential/principal.ts'
import type { DerivationParameters } from '../credential/verifier.ts'
import type { CertificateField } from './certificate-user.ts'
import type { DerivationQueue } from './derivation-queue.ts'
import type { FailureReason } from './failure-reason.ts'
import type { LoginMemory, RememberedLogin } from './login-memory.ts'
import type { TokenLogins } from './token-logins.ts'

export type MechanismStep =
  | { readonly kind: 'challenge'; readonly bytes: Uint8Array }
  | { readonly kind: 'success'; readonly principal: Principal }
  | { readonly kind: 'failure'; readonly reason: FailureReason }

/**
 * Why one who has shown to be this principal is not let in all the same; undefined: it has a place from now on. To be asked
 * before the client is told, or can tell by the time, that what it sent was right.
 */
export type RefuseEntry = (principal: Principal) => 'audit' | 'namespace-full' | undefined

export interface Mechanism {
  /** Prepared, whether there is such a user or not; empty while nobody was named. */
  readonly claimedUser: string
  /** Why the login has failed, where the client has to answer before it is told so. */
  readonly refusal?: FailureReason | undefined
  /** `response` is the caller's memory and read before this returns. */
  next(response: Uint8Array): MechanismStep | Promise<MechanismStep>
  /** Ends waiting work; a pending step then fails as aborted. */
  abort(): void
}

/** SaltedPassword of RFC 5802 for a prepared password; for tests, which count and delay it. */
export type DeriveKey = (password: string, parameters: DerivationParameters) => Promise<Uint8Array>

export interface SaslCounters {
  successes: number
  /** Successes among them that cost no derivation. */
  rememberedSuccesses: number
  readonly failures: Record<FailureReason, number>
}

/** What all logins of a worker share, as far as a mechanism needs it: see environment.ts. */
export interface MechanismContext {
  readonly credentials: CredentialStore
  /** What names the user in a client's certificate; undefined: nobody logs in by one. */
  readonly certificateField: CertificateField | undefined
  /** The server's clock, which logins that end go by. */
  readonly epochSeconds: () => number
  readonly memory: LoginMemory
  readonly derivations: DerivationQueue<MechanismStep>
  readonly derive: DeriveKey
  readonly serverNonce: () => string
  readonly counters: SaslCounters
  /**
   * Whether a login for this name, prepared, is refused unseen: asked before a password or a proof
   * decides anything.
   */
  isRefused(name: string, pipe: Pipe): boolean
  /** Whether a key may be derived for it now: asked right before, by who derives one. See LoginThrottle.takeCheck. */
  takeCheck(name: string, pipe: Pipe, digest: Uint8Array): boolean
  /** A key was derived, and the password was wrong. */
  noteWrong(digest: Uint8Array): void
  /** A password was right. */
  remember(login: RememberedLogin): void
  /** Undefined where no tokens are taken. */
  readonly tokens: TokenLogins | undefined
}

export function failure(reason: FailureReason): MechanismStep {
  return { kind: 'failure', reason }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of a response, byte for byte (a leading BOM stays); undefined if it is not UTF-8. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}
