/**
 * Whose password is checked next. A check takes a key derivation, milliseconds of a core, and a
 * stranger may ask for one with every wrong password, so they are rationed:
 *
 *   site A: [a1 a2 a3 a4 ...]  --.
 *   site B: [b1]               ---+-- one of each in turn --> at most `runningMax` at once
 *   site C: [c1 c2]            --'
 *
 * - Sites (IPv4 addresses, IPv6 /48s) take turns, and sources of one site (its /64s) within its turns, so
 *   that whoever floods us with wrong passwords delays themselves, from however many addresses of theirs:
 *   with S sites waiting, the first request of another starts after at most S checks. At 2.2 ms each on two
 *   cores, it takes some 400 flooding sites to delay it by half a second.
 * - When `waitingMax` wait, the newest request of the site that has most gives way, not the newcomer; there
 *   of the source that has most.
 * - Who has waited for `waitMsMax` is told `busy`. Clients give up after 0.7 to 5 s, and that is not
 *   noticed while they wait, for nobody reads from their connections then.
 * - Equal requests (same user, password and generation of credentials) share one check, and a
 *   request that joins another still keeps its own place among its own source's: nobody waits
 *   longer for having joined. Who guesses profits from joining as little as from one guess. Joining costs
 *   next to nothing: a thousand clients of ten users cost ten checks.
 * - Who is refused by the throttle when its turn has come gives the turn away: of a hundred guesses that
 *   wait, no more are looked at than one after the other would be. Only whose turn it is takes one of the
 *   checks that the throttle still allows; who joined it does not.
 * - Checks that have begun are not stopped. Logins that are remembered never come here.
 *
 * What remains: an attacker behind the same address as real clients shares their line. The limit on
 * failed attempts a connection and on unauthenticated connections slows him, and remembered logins
 * are not affected.
 */
import { assert } from '../base/assert.ts'
import { FairQueue, type Place } from '../base/fair-queue.ts'
import type { Peer } from '../base/peer.ts'
import { CheckTimes } from './check-times.ts'

/** What the check found, or why there was none. */
type Outcome<Result> = Result | 'busy' | 'aborted' | 'throttled'

export interface PendingCheck<Result> {
  readonly outcome: Promise<Outcome<Result>>
  /** Gives the place up; the outcome is `aborted` unless it was there already. */
  abort(): void
}

export interface DerivationQueueOptions {
  readonly monotonicMs: () => number
  readonly runningMax: number
  readonly waitingMax: number
  readonly waitMsMax: number
}

interface Job<Result> {
  readonly key: string
  readonly check: () => Promise<Result>
  /** Whom to tell. */
  readonly tickets: Set<Ticket<Result>>
  /** Undefined while it waits. */
  startedMs: number | undefined
}

/** What holds for a request when its turn has come. */
export interface TurnRules {
  /** It is refused by now, and so it is in another's turn. */
  readonly isRefused: () => boolean
  /** Whether it may be checked now, and counts as checked; asked last. */
  readonly takeCheck: () => boolean
}

const NO_RULES: TurnRules = { isRefused: () => false, takeCheck: () => true }

/** Whose turn a request takes. */
export type Requester = Pick<Peer, 'site' | 'network'>

/** One request. */
interface Ticket<Result> {
  readonly job: Job<Result>
  /** As long as it waits. */
  place: Place<Ticket<Result>, string> | undefined
  readonly rules: TurnRules
  readonly sinceMs: number
  readonly settle: (outcome: Outcome<Result>) => void
  readonly fail: (error: unknown) => void
}

export class DerivationQueue<Result extends object> {
  readonly #options: DerivationQueueOptions
  readonly #waiting = new FairQueue<Ticket<Result>, string>()
  readonly #jobs = new Map<string, Job<Result>>()
  readonly #times = new CheckTimes()
  #runningCount = 0
  #startedCount = 0
  #sharedCount = 0

  constructor(options: DerivationQueueOptions) {
    this.#options = options
  }

  get runningCount(): number {
    return this.#runningCount
  }

  get waitingCount(): number {
    return this.#waiting.size
  }

  /** Checks begun since the start. */
  get startedCount(): number {
    return this.#startedCount
  }

  /** Requests that shared another's check. */
  get sharedCount(): number {
    return this.#sharedCount
  }

  /** How long a check may be taken to last, from the message to the result; no longer than anybody waits. */
  get expectedMs(): number {
    const { monotonicMs, waitMsMax } = this.#options
    return Math.min(this.#times.expectedMs(monotonicMs()), waitMsMax)
  }

  /**
   * `key` tells equal requests; `from` is whose turn it takes; `check` runs when it has come, unless
   * `rules` say by then that this request is `throttled`.
   */
  request(
    from: Requester,
    key: string,
    check: () => Promise<Result>,
    rules: TurnRules = NO_RULES,
  ): PendingCheck<Result> {
    let job = this.#jobs.get(key)
    if (job === undefined) {
      job = { key, check, tickets: new Set(), startedMs: undefined }
      this.#jobs.set(key, job)
    } else {
      this.#sharedCount += 1
    }
    const wanted = job
    let admitted: Ticket<Result> | undefined
    const outcome = new Promise<Outcome<Result>>((settle, fail) => {
      const sinceMs = this.#options.monotonicMs()
      admitted = { job: wanted, place: undefined, rules, sinceMs, settle, fail }
      wanted.tickets.add(admitted)
      if (wanted.startedMs === undefined) this.#line(admitted, from)
    })
    this.#expire()
    this.#run()
    return {
      outcome,
      abort: () => {
        if (admitted !== undefined) this.#leave(admitted, 'aborted')
      },
    }
  }

  #line(ticket: Ticket<Result>, { site, network }: Requester): void {
    ticket.place = this.#waiting.add(ticket, site, network)
    const hasFreeSlot = this.#runningCount < this.#options.runningMax
    if (this.#waiting.size <= this.#options.waitingMax || hasFreeSlot) return
    const newest = this.#waiting.newestOfMost()
    if (newest !== undefined) this.#leave(newest, 'busy')
  }

  #expire(): void {
    const nowMs = this.#options.monotonicMs()
    const limitMs = nowMs - this.#options.waitMsMax
    for (;;) {
      const { oldest } = this.#waiting
      if (oldest === undefined || oldest.sinceMs > limitMs) return
      this.#times.waited(nowMs - oldest.sinceMs, nowMs)
      this.#leave(oldest, 'busy')
    }
  }

  #run(): void {
    while (this.#runningCount < this.#options.runningMax) {
      const next = this.#waiting.takeTurn()
      if (next === undefined) return
      if (this.#mayStart(next)) this.#start(next.job)
      else this.#refuse(next)
    }
  }

  /** Whether there is a check in a turn; who joined it is looked at only then, so that nobody is looked at in vain. */
  #mayStart(next: Ticket<Result>): boolean {
    if (next.rules.isRefused() || !next.rules.takeCheck()) return false
    for (const ticket of next.job.tickets) {
      if (ticket !== next && ticket.rules.isRefused()) this.#refuse(ticket)
    }
    return true
  }

  #refuse(ticket: Ticket<Result>): void {
    const nowMs = this.#options.monotonicMs()
    this.#times.waited(nowMs - ticket.sinceMs, nowMs)
    this.#leave(ticket, 'throttled')
  }

  #start(job: Job<Result>): void {
    const nowMs = this.#options.monotonicMs()
    job.startedMs = nowMs
    for (const ticket of job.tickets) {
      this.#times.waited(nowMs - ticket.sinceMs, nowMs)
      this.#stopWaiting(ticket)
    }
    this.#runningCount += 1
    this.#startedCount += 1
    job.check().then(
      (result) => this.#finish(job, (ticket) => ticket.settle(result)),
      (error: unknown) => this.#finish(job, (ticket) => ticket.fail(error)),
    )
  }

  #finish(job: Job<Result>, tell: (ticket: Ticket<Result>) => void): void {
    assert(job.startedMs !== undefined, 'what is finished was started')
    this.#times.worked(this.#options.monotonicMs() - job.startedMs)
    this.#runningCount -= 1
    this.#jobs.delete(job.key)
    for (const ticket of job.tickets) tell(ticket)
    this.#expire()
    this.#run()
  }

  /** Tells a ticket that nothing was checked. A job that nobody wants any more goes with it. */
  #leave(ticket: Ticket<Result>, outcome: 'busy' | 'aborted' | 'throttled'): void {
    const { job } = ticket
    if (!job.tickets.delete(ticket)) return
    this.#stopWaiting(ticket)
    if (job.tickets.size === 0 && job.startedMs === undefined) this.#jobs.delete(job.key)
    ticket.settle(outcome)
  }

  #stopWaiting(ticket: Ticket<Result>): void {
    if (ticket.place !== undefined) this.#waiting.remove(ticket.place)
    ticket.place = undefined
  }
}
