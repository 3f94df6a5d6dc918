/**
 * The SASL session of one connection: which mechanism is under way and whose turn it is. It may be
 * used for any number of logins, one after the other. What a login means for the connection (who
 * it is now, how many attempts it has left) is the connection's business, and so is the wire.
 *
 * Invariant: at most one mechanism is under way, and it is put aside before it works, so that
 * whatever happens meanwhile finds no login to go on with.
 */
import type { Pipe } from '../base/pipe.ts'
import { unreachable } from '../base/unreachable.ts'
import type { Principal } from '../credential/principal.ts'
import type { ClaimedUser } from './claimed-user.ts'
import type { SaslEnvironment } from './environment.ts'
import type { FailureReason } from './failure-reason.ts'
import type { Mechanism, MechanismStep, RefuseEntry } from './mechanism.ts'
import { normalizeMechanism, reportableMechanism } from './mechanism-name.ts'
import { ANSWER_DELAY_MS_MAX } from './throttle/login-throttle.ts'

export type SaslStep =
  | { readonly kind: 'challenge'; readonly bytes: Uint8Array }
  | { readonly kind: 'success'; readonly principal: Principal; readonly mechanism: string }
  | SaslFailure

/** All of it is fit for a log: nothing that a stranger made up is in it. */
export interface SaslFailure extends ClaimedUser {
  readonly kind: 'failure'
  readonly reason: FailureReason
  /** The mechanism's own spelling, or in parentheses why there is none. */
  readonly mechanism: string
  /** How long after the client's message the answer is to leave; undefined: at once. */
  readonly delayMs: number | undefined
}

const EMPTY = new Uint8Array(0)

export class SaslSession {
  readonly #environment: SaslEnvironment
  readonly #pipe: Pipe
  readonly #refuseEntry: RefuseEntry
  #mechanism: Mechanism | undefined
  #mechanismName = ''
  /** At work, so that an abort can reach it. */
  #working: Mechanism | undefined

  /**
   * `pipe` is what the connection comes through. `takePlace` says whether there is a place for it in the namespace of a
   * principal, which it has from then on.
   */
  constructor(
    environment: SaslEnvironment,
    pipe: Pipe,
    takePlace: (namespace: number) => boolean = () => true,
  ) {
    this.#environment = environment
    this.#pipe = pipe
    this.#refuseEntry = ({ namespace }) => {
      if (!environment.mayLogIn()) return 'audit'
      return takePlace(namespace) ? undefined : 'namespace-full'
    }
  }

  /**
   * Begins a login; one under way is aborted. `initialResponse` is read before this returns. The
   * result is a Promise only where a key must be derived.
   */
  start(
    mechanismName: string,
    initialResponse: Uint8Array | undefined,
  ): SaslStep | Promise<SaslStep> {
    this.abort()
    const name = normalizeMechanism(mechanismName)
    this.#mechanismName = reportableMechanism(name)
    const { channel } = this.#pipe
    const row = this.#environment.findAnnounced(name, channel)
    if (row === undefined) return this.#fail(this.#environment.refusal(name, channel), '')
    const mechanism = row.create(this.#environment, this.#pipe, this.#refuseEntry)
    if (initialResponse === undefined || initialResponse.length === 0) {
      // An absent and an empty initial response look alike on this wire. Where an empty one means
      // something it is taken for that: who sent one does not expect a challenge (RFC 4422, A).
      if (row.beginsEmpty === true) return this.#advance(mechanism, EMPTY)
      // No other mechanism begins with an empty one: it is asked for with an empty challenge
      // (RFC 4422, 3.3).
      this.#mechanism = mechanism
      return { kind: 'challenge', bytes: EMPTY }
    }
    return this.#advance(mechanism, initialResponse)
  }

  /** The client's response to the last challenge; read before this returns. */
  step(response: Uint8Array): SaslStep | Promise<SaslStep> {
    const mechanism = this.#mechanism
    this.#mechanism = undefined
    if (mechanism === undefined) {
      this.abort()
      return this.#fail('out-of-sequence', '')
    }
    return this.#advance(mechanism, response)
  }

  /** A challenge was sent and the client owes the response to it. */
  get isUnderWay(): boolean {
    return this.#mechanism !== undefined
  }

  /** A response is being looked at. */
  get isAtWork(): boolean {
    return this.#working !== undefined
  }

  /** Ends a login under way that the client does not go on with: a failure like any other. */
  abandon(): SaslFailure {
    const { claimedUser = '', refusal = 'aborted' } = this.#mechanism ?? {}
    this.abort()
    return this.#fail(refusal, claimedUser)
  }

  /** Ends a login under way; a step that is still pending settles as a failure. */
  abort(): void {
    this.#mechanism?.abort()
    this.#working?.abort()
    this.#mechanism = undefined
    this.#working = undefined
  }

  #advance(mechanism: Mechanism, response: Uint8Array): SaslStep | Promise<SaslStep> {
    const mechanismName = this.#mechanismName
    this.#working = mechanism
    const step = mechanism.next(response)
    if (!(step instanceof Promise)) {
      this.#working = undefined
      return this.#settle(mechanism, mechanismName, step)
    }
    return step.then((settled) => {
      // An abort or another start came first, whatever the mechanism says by now.
      if (this.#working !== mechanism) {
        return this.#fail('aborted', mechanism.claimedUser, mechanismName)
      }
      this.#working = undefined
      return this.#settle(mechanism, mechanismName, settled)
    })
  }

  #settle(mechanism: Mechanism, mechanismName: string, step: MechanismStep): SaslStep {
    switch (step.kind) {
      case 'challenge':
        this.#mechanism = mechanism
        return step
      case 'success': {
        const refusal = this.#refuseEntry(step.principal)
        if (refusal !== undefined) return this.#fail(refusal, mechanism.claimedUser, mechanismName)
        this.#environment.counters.successes += 1
        this.#environment.throttle?.succeeded(step.principal.name, this.#pipe)
        return { kind: 'success', principal: step.principal, mechanism: mechanismName }
      }
      case 'failure':
        return this.#fail(step.reason, mechanism.claimedUser, mechanismName)
      default:
        return unreachable(step)
    }
  }

  #fail(
    reason: FailureReason,
    claimedUser: string,
    mechanism: string = this.#mechanismName,
  ): SaslFailure {
    const { counters, throttle } = this.#environment
    counters.failures[reason] += 1
    const claim = this.#environment.describeClaim(claimedUser)
    const delayMs = throttle?.failed(claimedUser, this.#pipe, reason, claim)
    return { kind: 'failure', reason, ...claim, mechanism, delayMs: this.#noEarlier(delayMs) }
  }

  /**
   * Of those that are answered as late as may be some are refused unseen, others not: who logged in rightly from
   * there. So none leaves before a check of a password would be over.
   */
  #noEarlier(delayMs: number | undefined): number | undefined {
    if (delayMs === undefined || delayMs < ANSWER_DELAY_MS_MAX) return delayMs
    return Math.max(delayMs, this.#environment.derivations.expectedMs)
  }
}
