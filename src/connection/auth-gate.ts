/**
 * The auth gate: who this connection is, and whether a verb may pass. One gate a connection, for
 * every dialect; a dialect asks `admits`, and hands SASL messages in.
 *
 * Invariant: `isOpen` is true only while `principal` is who last logged in here, or while the
 * server runs without authentication. A failed login always closes the gate, also one that was
 * open, and so does one that is left for another or cut off; asking for the mechanisms never does.
 * Differs from memcached: attempts are counted and limited; an unknown user and a wrong password
 * lead to the same answer (see sasl/session.ts).
 */
import { assert } from '../base/assert.ts'
import type { TlsChannel } from '../base/channel.ts'
import type { Peer } from '../base/peer.ts'
import type { Pipe } from '../base/pipe.ts'
import { unreachable } from '../base/unreachable.ts'
import type { Lack, Restriction } from '../command/caller.ts'
import { NAMESPACE_DEFAULT, type Principal } from '../credential/principal.ts'
import { RIGHTS_ALL } from '../credential/rights.ts'
import { COUNTER } from '../observe/counters.ts'
import { NO_USER, type UserCounts } from '../observe/user-counts.ts'
import { hasVerb, verbsThat } from '../protocol/verbs.ts'
import { type ClaimedUser, NO_CLAIM } from '../sasl/claimed-user.ts'
import type { SaslEnvironment } from '../sasl/environment.ts'
import type { FailureReason } from '../sasl/failure-reason.ts'
import { type SaslFailure, SaslSession, type SaslStep } from '../sasl/session.ts'
import type { AnswerDelays, DelayedAnswer } from './answer-delays.ts'

/** One finished login, as the audit sees it. The reason never goes to the client. */
export type LoginEvent = LoginSuccess | LoginFailure

interface LoginSuccess {
  readonly succeeded: true
  readonly principal: Principal
  readonly peer: Peer
  readonly mechanism: string
  /** Undefined in the clear, and on a Unix socket. */
  readonly tls?: TlsChannel | undefined
}

interface LoginFailure extends ClaimedUser {
  readonly succeeded: false
  readonly peer: Peer
  readonly mechanism: string
  readonly reason: FailureReason
  readonly tls?: TlsChannel | undefined
}

/** A command that was refused to somebody who is logged in, as the audit sees it. */
export interface RefusalEvent {
  /** Undefined where nobody logs in. */
  readonly principal: Principal | undefined
  readonly peer: Peer
  /** As text clients call it, or the name of the operation. */
  readonly command: string
  /** `option`: the server was started so that nobody has that command. */
  readonly lack: Lack | 'option'
  /** Whose bytes are somebody else's after this. */
  readonly key: Uint8Array | undefined
}

/** What somebody had carried out that others notice. */
export interface OperationEvent {
  /** Undefined where nobody logs in. */
  readonly principal: Principal | undefined
  readonly peer: Peer
  /** A name of operations.ts. */
  readonly operation: string
  readonly number: number
  /** Where it was named. */
  readonly namespace?: string | undefined
}

/** Of the connections that are logged in, by the number of their namespace. */
export interface PlacesByNamespace {
  /** False: there is none for one more. */
  take(namespace: number): boolean
  giveBack(namespace: number): void
}

export interface AuthGateOptions {
  /** Undefined: the server runs without authentication and every gate is open. */
  readonly sasl: SaslEnvironment | undefined
  /** Failed logins after which the connection is closed. */
  readonly loginAttemptsMax: number
  readonly lane: Float64Array
  /** Gives users the numbers that they are counted by. */
  readonly users?: UserCounts | undefined
  readonly onLogin: (event: LoginEvent) => void
  /** Undefined: there are as many as who logs in. */
  readonly places?: PlacesByNamespace | undefined
  /** Undefined: every answer leaves at once. */
  readonly delays?: AnswerDelays | undefined
  readonly onRefusal?: (event: RefusalEvent) => void
  readonly onOperation?: (event: OperationEvent) => void
  /** Whoever is told of these cannot keep up: who makes more of them has to wait. */
  readonly isBehind?: (of: 'refusals' | 'operations') => boolean
}

export type GateAnswer =
  | { readonly kind: 'challenge'; readonly bytes: Uint8Array }
  | { readonly kind: 'success' }
  /** `isLast`: the attempts are used up, the connection closes behind the answer. */
  | { readonly kind: 'failure'; readonly isLast: boolean }

const VERBS_BEFORE_LOGIN: number = verbsThat(({ beforeLogin }) => beforeLogin === true)

/** Requests of a stranger served in a row; nobody needs more to log in. */
const STRANGER_REQUESTS_PER_TURN = 20
/** In all, before the connection ends. */
const STRANGER_REQUESTS_MAX = 500
/**
 * What is read and dropped of the requests that a stranger was refused, of all of them together, before the connection
 * ends: it is read in no turn of anybody's. A login needs none of it; 1 MiB is a value that was sent before it.
 */
const STRANGER_SKIPPED_BYTES_MAX = 1024 * 1024
const NOWHERE = -1

export class AuthGate {
  isOpen: boolean
  principal: Principal | undefined = undefined
  /** What the principal is held to; undefined: it may do everything, once the gate is open. */
  restriction: Restriction | undefined = undefined
  /** The number of the namespace whose items are seen. */
  namespace: number = NAMESPACE_DEFAULT
  /** The one in which an answer goes on that takes turns, or a watcher watches; it may have been named. */
  visited: number = NAMESPACE_DEFAULT
  /** The number that the principal is counted by. */
  user: number = NO_USER

  /** What is done here is more than is recorded in time: this turn ends, and the next comes later. */
  owesRest = false

  private readonly options: AuthGateOptions
  private readonly pipe: Pipe
  private session: SaslSession | undefined = undefined
  private failureCount = 0
  /** Grows with every message: what is settled after another came closes nothing that it opened. */
  private messageCount = 0
  private strangerRequestCount = 0
  private strangerSkippedBytes = 0
  private delayed: DelayedAnswer | undefined = undefined
  /** The namespace of whose places it has one. */
  private placeIn = NOWHERE
  /** Namespaces that it was in before: replies from there may still be on their way. */
  private former: number[] = []
  /** Nobody waits for answers any more. */
  private isGone = false

  /** `pipe` is what the connection comes through. */
  constructor(options: AuthGateOptions, pipe: Pipe) {
    this.options = options
    this.pipe = pipe
    this.isOpen = options.sasl === undefined
  }

  /** Whether the connection is, or was, in that namespace, is about to be, or looks into it. */
  hasBeenIn(namespace: number): boolean {
    const { placeIn, visited, former } = this
    return [this.namespace, placeIn, visited].includes(namespace) || former.includes(namespace)
  }

  /** Whether `visited` is one that is neither its own nor the default. */
  get isVisiting(): boolean {
    return this.visited !== NAMESPACE_DEFAULT && this.visited !== this.namespace
  }

  get isRequired(): boolean {
    return this.options.sasl !== undefined
  }

  /**
   * Whether a request of this verb may be carried out. To be asked before a client that is not logged in is
   * answered, whatever it is told: its requests are counted here, so that who only asks for the version, or
   * writes wrong lines, is ended some time, too.
   */
  admits(verb: number): boolean {
    if (this.isOpen) return true
    this.strangerRequestCount++
    return hasVerb(VERBS_BEFORE_LOGIN, verb) && this.mayGoOn
  }

  /** False once a client that is not logged in has asked so much that its connection is to end. */
  get mayGoOn(): boolean {
    return this.isOpen || this.strangerRequestCount <= STRANGER_REQUESTS_MAX
  }

  /** Whether so many bytes more of a refused request may be read and dropped; if not, the connection is to end. */
  maySkip(bytes: number): boolean {
    if (this.isOpen) return true
    this.strangerSkippedBytes += bytes
    return this.strangerSkippedBytes <= STRANGER_SKIPPED_BYTES_MAX
  }

  /** How many of `requestsPerTurnMax` requests in a row this client may have served. */
  requestsPerTurn(requestsPerTurnMax: number): number {
    return this.isOpen
      ? requestsPerTurnMax
      : Math.min(requestsPerTurnMax, STRANGER_REQUESTS_PER_TURN)
  }

  /** The mechanisms announced on this connection, space separated; empty without authentication. */
  mechanisms(): string {
    return this.options.sasl?.announced(this.pipe.channel) ?? ''
  }

  start(
    mechanismName: string,
    initialResponse: Uint8Array | undefined,
  ): GateAnswer | Promise<GateAnswer> {
    const session = this.openSession()
    if (session.isUnderWay) {
      // Left unfinished it is an attempt all the same: otherwise a stranger could have one
      // challenge after the other worked out, for nothing.
      const answer = this.fail(session.abandon())
      if (answer.isLast) return answer
    } else if (session.isAtWork) this.close()
    return this.whenSettled(session.start(mechanismName, initialResponse))
  }

  step(response: Uint8Array): GateAnswer | Promise<GateAnswer> {
    return this.whenSettled(this.openSession().step(response))
  }

  /**
   * The connection is gone or takes no more requests: a login that is not finished has failed, and
   * what it still has under way is dropped.
   */
  abort(): void {
    this.isGone = true
    this.delayed?.release()
    const session = this.session
    this.session = undefined
    if (session === undefined) return
    if (session.isUnderWay) this.fail(session.abandon())
    // What is at work fails in its own time, and is counted then.
    else if (session.isAtWork) this.close()
    session.abort()
  }

  private openSession(): SaslSession {
    const sasl = this.options.sasl
    assert(sasl !== undefined, 'no SASL on a server without it')
    this.session ??= new SaslSession(sasl, this.pipe, (namespace) => this.takePlace(namespace))
    return this.session
  }

  private whenSettled(step: SaslStep | Promise<SaslStep>): GateAnswer | Promise<GateAnswer> {
    const messageCount = ++this.messageCount
    const sinceMs = this.options.delays?.nowMs() ?? 0
    return step instanceof Promise
      ? step.then((value) => this.settle(value, messageCount, sinceMs))
      : this.settle(step, messageCount, sinceMs)
  }

  private settle(
    step: SaslStep,
    messageCount: number,
    sinceMs: number,
  ): GateAnswer | Promise<GateAnswer> {
    const { lane, onLogin } = this.options
    switch (step.kind) {
      case 'challenge':
        lane[COUNTER.auth_challenges]!++
        return { kind: 'challenge', bytes: step.bytes }
      case 'success':
        lane[COUNTER.auth_cmds]!++
        this.become(step.principal)
        this.failureCount = 0
        this.strangerRequestCount = 0
        this.strangerSkippedBytes = 0
        onLogin({
          succeeded: true,
          principal: step.principal,
          peer: this.pipe.peer,
          mechanism: step.mechanism,
          tls: this.pipe.channel.tls,
        })
        return { kind: 'success' }
      case 'failure':
        return this.delay(this.fail(step, messageCount), sinceMs + (step.delayMs ?? 0))
      default:
        return unreachable(step)
    }
  }

  /** The failure is told of and counted already; only the client hears of it later. */
  private delay(answer: GateAnswer, dueMs: number): GateAnswer | Promise<GateAnswer> {
    const { delays, lane } = this.options
    // One answer at a time: what stands behind it waits for its turn.
    if (delays === undefined || this.isGone || dueMs <= delays.nowMs()) return answer
    lane[COUNTER.login_answers_delayed]!++
    this.delayed = delays.until(dueMs)
    return this.delayed.released.then(() => answer)
  }

  private fail(
    failure: SaslFailure,
    messageCount: number = this.messageCount,
  ): GateAnswer & { readonly kind: 'failure' } {
    const { lane, loginAttemptsMax } = this.options
    // Whoever left it for another lost the login then.
    if (messageCount === this.messageCount) this.close()
    lane[COUNTER.auth_cmds]!++
    lane[COUNTER.auth_errors]!++
    this.failureCount++
    const isLast = this.failureCount >= loginAttemptsMax
    if (isLast) lane[COUNTER.auth_attempts_exceeded]!++
    this.tell(failure)
    return { kind: 'failure', isLast }
  }

  private tell({ user, unknownUser, mechanism, reason }: SaslFailure): void {
    const { peer, channel } = this.pipe
    const { tls } = channel
    this.options.onLogin({ succeeded: false, user, unknownUser, peer, mechanism, reason, tls })
  }

  /** Something that others notice is being carried out. */
  operated(operation: string, number: number, namespace?: string): void {
    const { principal, pipe } = this
    const { peer } = pipe
    this.options.onOperation?.({ principal, peer, operation, number, namespace })
    this.noteRest('operations')
  }

  private noteRest(of: 'refusals' | 'operations'): void {
    if (this.options.isBehind?.(of)) this.owesRest = true
  }

  /** Whether the next turn is to come later, which is settled by this. */
  takeRest(): boolean {
    const { owesRest } = this
    this.owesRest = false
    return owesRest
  }

  /** Asked for, and not to be had by anybody here. */
  withheld(command: string): void {
    const { principal, pipe } = this
    const { peer } = pipe
    this.options.onRefusal?.({ principal, peer, command, lack: 'option', key: undefined })
  }

  /**
   * Opens the gate for who is let in without a login. False: the namespace has no place for it, which is told as of a
   * login; it is no attempt of the client's.
   */
  admit(principal: Principal, mechanism: string): boolean {
    if (this.takePlace(principal.namespace)) {
      this.become(principal)
      return true
    }
    this.close()
    this.tell(this.namespaceFull(principal, mechanism))
    return false
  }

  /** Opens the gate for a principal that has its place, or goes on with what that may do now. */
  become(principal: Principal): void {
    this.isOpen = true
    this.principal = principal
    this.restriction = this.restrictionOf(principal)
    this.enter(principal.namespace)
    this.countFor(this.options.users?.numberOf(principal.name, principal.roles !== undefined))
  }

  private enter(namespace: number): void {
    const left = this.namespace
    this.namespace = namespace
    if (left === namespace || left === NAMESPACE_DEFAULT || this.former.includes(left)) return
    this.former = [...this.former, left]
  }

  /** The connection is no more. */
  leave(): void {
    this.givePlaceBack()
    this.countFor(NO_USER)
  }

  private takePlace(namespace: number): boolean {
    // Whoever logs in while the connection ends needs none any more.
    if (namespace === this.placeIn || this.isGone) return true
    // Who moves is in neither until its login has come to an end, or it would be in the one and counted in the other.
    if (this.isOpen) this.close()
    // Before the other is taken: where all are, a move takes none from anybody.
    this.givePlaceBack()
    if (this.options.places?.take(namespace) === false) return false
    this.placeIn = namespace
    return true
  }

  /** What is told of who would be let in, and for whom there is no place. */
  private namespaceFull(principal: Principal, mechanism: string): SaslFailure {
    const { sasl } = this.options
    if (sasl !== undefined) sasl.counters.failures['namespace-full']++
    const claim = sasl?.describeClaim(principal.name) ?? NO_CLAIM
    return { kind: 'failure', ...claim, reason: 'namespace-full', mechanism, delayMs: undefined }
  }

  private givePlaceBack(): void {
    if (this.placeIn !== NOWHERE) this.options.places?.giveBack(this.placeIn)
    this.placeIn = NOWHERE
  }

  private countFor(user: number = NO_USER): void {
    // Whoever logs in while the connection ends is nobody's any more.
    if (user === this.user || (this.isGone && user !== NO_USER)) return
    this.options.users?.move(this.user, user)
    this.user = user
  }

  private restrictionOf(principal: Principal): Restriction | undefined {
    const { rights, keyPrefixes } = principal
    if (rights === RIGHTS_ALL && keyPrefixes === undefined) return undefined
    const { lane, onRefusal } = this.options
    const { peer } = this.pipe
    return {
      rights,
      keyPrefixes,
      refused: (command, lack, key) => {
        lane[COUNTER.auth_denied_commands]!++
        onRefusal?.({ principal, peer, command, lack, key })
        this.noteRest('refusals')
      },
    }
  }

  private close(): void {
    this.isOpen = false
    this.principal = undefined
    this.restriction = undefined
    this.enter(NAMESPACE_DEFAULT)
    this.givePlaceBack()
    this.countFor(NO_USER)
  }
}
