/**
 * What all SASL sessions of a worker share: the users, the mechanisms on offer, the memory of
 * logins, the derivation queue, the counters. Nothing here knows a connection.
 *
 * Invariant: the mechanisms on offer are those that every user can use. The list goes out before
 * the user is known, and clients of the libmemcached family take its strongest and never fall back.
 */
import { randomBytes } from 'node:crypto'
import type { Channel } from '../base/channel.ts'
import type { Pipe } from '../base/pipe.ts'
import type { CredentialSnapshot, LackingHash } from '../credential/credential-snapshot.ts'
import { CredentialStore } from '../credential/credential-store.ts'
import { deriveSaltedPassword } from '../credential/verifier.ts'
import type { CertificateField } from './certificate-user.ts'
import { type ClaimedUser, describeClaim } from './claimed-user.ts'
import { DerivationQueue } from './derivation-queue.ts'
import { FAILURE_REASONS, type FailureReason } from './failure-reason.ts'
import { LoginMemory, newLoginMemoryKey, type RememberedLogin } from './login-memory.ts'
import type { DeriveKey, MechanismContext, MechanismStep, SaslCounters } from './mechanism.ts'
import { announcedOn, configuredMechanisms, forEveryUser, type MechanismRow } from './mechanisms.ts'
import type { LoginThrottle } from './throttle/login-throttle.ts'
import type { TokenLogins } from './token-logins.ts'
import { WrongPasswords } from './wrong-passwords.ts'

export interface SaslEnvironmentOptions {
  readonly snapshot: CredentialSnapshot
  /** Configured ones, in the order of the announcement. */
  readonly mechanisms: readonly string[]
  /** What names the user in a client's certificate; undefined: nobody logs in by one. */
  readonly certificateField?: CertificateField | undefined
  /**
   * Key derivations at once; the number of cores is right. With more, one that is done waits for a core while it
   * holds a lock that the worker takes to hear of it (libuv, uv__work_done).
   */
  readonly derivationsMax?: number
  /** Logins waiting for a derivation, over all sources. */
  readonly derivationQueueMax?: number
  /** Longest such wait, after which the login is refused as busy. */
  readonly derivationWaitMsMax?: number
  /** Users whose successful PLAIN logins are remembered; 0 for none. */
  readonly loginMemoryMax?: number
  /** Milliseconds of a clock that never goes back. */
  readonly monotonicMs: () => number
  /** The server's clock. */
  readonly epochSeconds: () => number
  /** Key of the login memory: one for all threads that tell each other of logins, by default one of its own. */
  readonly loginMemoryKey?: Uint8Array
  /** A password was right that was not remembered; for the other threads. */
  readonly onRemembered?: ((login: RememberedLogin) => void) | undefined
  /** The server's half of a SCRAM nonce: unguessable, printable, without a comma. */
  readonly serverNonce?: () => string
  readonly derive?: DeriveKey
  /** Undefined: failed logins are not held against anybody. */
  readonly throttle?: LoginThrottle | undefined
  /** False while nobody is let in, because it could not be recorded. */
  readonly mayLogIn?: () => boolean
  /** Undefined where no tokens are taken; OAUTHBEARER is none of the mechanisms then. */
  readonly tokens?: TokenLogins | undefined
  /** Where to count; by default in a record of its own. */
  readonly counters?: SaslCounters
}

const DEFAULT_DERIVATIONS_MAX = 2
const DEFAULT_DERIVATION_QUEUE_MAX = 4096
/**
 * Not the 0.5 s within which replies should leave: where that cannot be kept, a late success is
 * better than a refusal, and a hiccup of the machine must refuse nobody.
 */
const DEFAULT_DERIVATION_WAIT_MS_MAX = 2000
const DEFAULT_LOGIN_MEMORY_MAX = 10_000
/** 144 bits, and base64 without padding. */
const SERVER_NONCE_BYTES = 18

export class SaslEnvironment implements MechanismContext {
  readonly credentials: CredentialStore
  readonly certificateField: CertificateField | undefined
  readonly epochSeconds: () => number
  readonly memory: LoginMemory
  readonly derivations: DerivationQueue<MechanismStep>
  readonly derive: DeriveKey
  readonly serverNonce: () => string
  readonly counters: SaslCounters
  readonly throttle: LoginThrottle | undefined
  readonly mayLogIn: () => boolean
  readonly tokens: TokenLogins | undefined
  readonly #wrong = new WrongPasswords()
  readonly #onRemembered: (login: RememberedLogin) => void
  readonly #mechanisms: readonly MechanismRow[]
  #usable: readonly MechanismRow[]

  constructor(options: SaslEnvironmentOptions) {
    this.#mechanisms = configuredMechanisms(options.mechanisms)
    this.#usable = this.#findUsable(options.snapshot)
    this.credentials = new CredentialStore(options.snapshot)
    this.throttle = options.throttle
    this.mayLogIn = options.mayLogIn ?? (() => true)
    this.certificateField = options.certificateField
    this.epochSeconds = options.epochSeconds
    this.serverNonce = options.serverNonce ?? randomNonce
    this.memory = new LoginMemory(
      options.loginMemoryKey ?? newLoginMemoryKey(),
      options.loginMemoryMax ?? DEFAULT_LOGIN_MEMORY_MAX,
    )
    this.#onRemembered = options.onRemembered ?? (() => undefined)
    this.derive = options.derive ?? deriveSaltedPassword
    this.derivations = new DerivationQueue({
      monotonicMs: options.monotonicMs,
      runningMax: Math.max(options.derivationsMax ?? DEFAULT_DERIVATIONS_MAX, 1),
      waitingMax: options.derivationQueueMax ?? DEFAULT_DERIVATION_QUEUE_MAX,
      waitMsMax: options.derivationWaitMsMax ?? DEFAULT_DERIVATION_WAIT_MS_MAX,
    })
    this.counters = options.counters ?? newCounters()
    this.tokens = options.tokens
  }

  /** The value of SASL LIST MECHS on such a channel: names, space separated. */
  announced(channel: Channel): string {
    return namesOf(announcedOn(this.#usable, channel, this))
  }

  /** All configured ones that are announced on some channel. */
  get mechanisms(): string {
    return namesOf(this.#usable)
  }

  /** The row of a mechanism that is announced on such a channel; undefined for any other name. */
  findAnnounced(name: string, channel: Channel): MechanismRow | undefined {
    return announcedOn(this.#usable, channel, this).find((row) => row.name === name)
  }

  /** Why there is no login by a mechanism that is not announced on such a channel. */
  refusal(name: string, channel: Channel): FailureReason {
    const row = this.#usable.find((each) => each.name === name)
    return row?.refusalOn?.(channel, this) ?? 'unknown-mechanism'
  }

  /** Configured mechanisms that are not announced, and the users on whose account. */
  withheld(): readonly LackingHash[] {
    const { lacking } = this.credentials.snapshot
    return lacking.filter(({ hash }) => this.#mechanisms.some((row) => row.hash === hash))
  }

  isRefused(name: string, pipe: Pipe): boolean {
    return this.throttle?.isRefused(name, pipe) ?? false
  }

  takeCheck(name: string, pipe: Pipe, digest: Uint8Array): boolean {
    return this.throttle?.takeCheck(name, pipe, this.#wrong.has(digest)) ?? true
  }

  noteWrong(digest: Uint8Array): void {
    this.#wrong.add(digest)
  }

  remember(login: RememberedLogin): void {
    if (this.memory.remember(login)) this.#onRemembered(login)
  }

  /** What another thread remembers, which may have had other credentials. */
  learn(login: RememberedLogin): void {
    if (this.credentials.isForPassword(login.name, login.verifier)) this.memory.remember(login)
  }

  /** What the log may say of whom a failed login claimed to be: a prepared name, or nothing. */
  describeClaim(name: string): ClaimedUser {
    const { snapshot } = this.credentials
    return describeClaim(name, this.credentials.has(name), snapshot.reportKey)
  }

  /**
   * Takes other users from now on, as a whole. Logins under way are finished against the new ones.
   */
  replaceCredentials(snapshot: CredentialSnapshot): void {
    const usable = this.#findUsable(snapshot)
    const before = this.credentials.snapshot.users
    this.credentials.replace(snapshot)
    const gone = before.filter(({ name }) => !this.credentials.has(name))
    this.throttle?.forget(gone.map(({ name }) => name))
    this.#wrong.clear()
    this.memory.retain((name, verifier) => this.credentials.isForPassword(name, verifier))
    this.#usable = usable
  }

  #findUsable(snapshot: CredentialSnapshot): MechanismRow[] {
    const usable = this.#mechanisms.filter((row) => row.usable(snapshot))
    if (forEveryUser(this.#mechanisms).some((row) => usable.includes(row))) return usable
    throw new Error(`no mechanism of "${namesOf(this.#mechanisms)}" can be used by every user`)
  }
}

function namesOf(rows: readonly MechanismRow[]): string {
  return rows.map(({ name }) => name).join(' ')
}

function newCounters(): SaslCounters {
  const failures = Object.fromEntries(FAILURE_REASONS.map((reason) => [reason, 0]))
  return {
    successes: 0,
    rememberedSuccesses: 0,
    failures: failures as Record<FailureReason, number>,
  }
}

export function createSaslEnvironment(options: SaslEnvironmentOptions): SaslEnvironment {
  return new SaslEnvironment(options)
}

function randomNonce(): string {
  return randomBytes(SERVER_NONCE_BYTES).toString('base64')
}
