/**
 * Whose password is checked next. A check takes a key derivation, milliseconds of a core, and a
 * stranger may ask for one with every wrong password, so they take turns:
 *
 *   source A: [a1 a2 a3 a4 ...]  --.
 *   source B: [b1]               ---+-- one of each in turn --> at most `runningMax` at once
 *   source C: [c1 c2]            --'
 *
 * - Sources (client addresses) take turns, so that an address that floods us with wrong passwords
 *   delays itself: with S sources waiting, the first request of another starts after at most S
 *   checks. At 2.2 ms each on two cores, it takes some 400 flooding addresses to delay it by half a
 *   second.
 * - When `waitingMax` wait, the newest request of the longest line gives way, not the newcomer.
 * - Who has waited for `waitMsMax` is told `busy`. Clients give up after 0.7 to 5 s, and that is not
 *   noticed while they wait, for nobody reads from their connections then.
 * - Equal requests (same user, password and generation of credentials) share one check, and a
 *   request that joins another still keeps its own place in its own source's line: nobody waits
 *   longer for having joined. Only who knows the password can join, so a flood of wrong ones cannot
 *   profit. Joining costs next to nothing: a thousand clients of ten users cost ten checks.
 * - Who is refused by the throttle when its turn has come gives the turn away: of a hundred guesses that
 *   wait, no more are looked at than one after the other would be.
 * - Who may not be refused and fails all the time is rationed: such checks are made one at a time, for a
 *   twentieth of the time, and RATIONED_MAX of them wait; more are `throttled`. When its time has come a rationed
 *   check goes first.
 * - Checks that have begun are not stopped. Logins that are remembered never come here.
 *
 * What remains: an attacker behind the same address as real clients shares their line. The limit on
 * failed attempts a connection and on unauthenticated connections slows him, and remembered logins
 * are not affected.
 */
import { assert } from '../base/assert.ts'

/** What the check found, or why there was none. */
type Outcome<Result> = Result | 'busy' | 'aborted' | 'throttled'

export interface PendingCheck<Result> {
  readonly outcome: Promise<Outcome<Result>>
  /** Gives the place up; the outcome is `aborted` unless it was there already. */
  abort(): void
}

/** What a rationed check took is followed by so many times that without one. */
const RATIONED_PAUSE = 19
/** With those that wait before it, one is answered before the answer to a failure is due (login-throttle.ts). */
export const RATIONED_MAX = 4

export interface DerivationQueueOptions {
  readonly monotonicMs: () => number
  /** Calls `run` once, later. */
  readonly after: (delayMs: number, run: () => void) => void
  readonly runningMax: number
  readonly waitingMax: number
  readonly waitMsMax: number
}

interface Job<Result> {
  readonly key: string
  readonly check: () => Promise<Result>
  /** Whom to tell. */
  readonly tickets: Set<Ticket<Result>>
  isRunning: boolean
}

/** Whose turn a request takes, and what the throttle says of it. */
export interface Asker {
  /** Takes turns with other sources. */
  readonly source: string
  /** Not refused, however often it fails; it is rationed. */
  readonly isRationed?: boolean
  /** Whether it is to be `throttled` by the time that its turn has come. */
  readonly isRefused?: () => boolean
}

/** One request's place. It waits as long as it is in its source's line. */
interface Ticket<Result> {
  readonly job: Job<Result>
  readonly asker: Asker
  readonly sinceMs: number
  readonly settle: (outcome: Outcome<Result>) => void
  readonly fail: (error: unknown) => void
}

export class DerivationQueue<Result extends object> {
  readonly #options: DerivationQueueOptions
  /** Waiting tickets by source, the lines in the order of their turns, none empty. */
  readonly #lines = new Map<string, Set<Ticket<Result>>>()
  /** The same tickets, oldest first, for their deadline. */
  readonly #waiting = new Set<Ticket<Result>>()
  readonly #jobs = new Map<string, Job<Result>>()
  /** Those of them that are rationed stand in no line but here. */
  readonly #rationed = new Set<Ticket<Result>>()
  /** When a rationed check may begin; infinite while one runs. */
  #rationedFromMs = Number.NEGATIVE_INFINITY
  #isAwaitingRation = false
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

  /** `key` tells equal requests; `check` runs when the turn of `asker` has come. */
  request(asker: Asker, key: string, check: () => Promise<Result>): PendingCheck<Result> {
    let job = this.#jobs.get(key)
    if (asker.isRationed && job?.isRunning !== true && this.#rationed.size >= RATIONED_MAX) {
      return { outcome: Promise.resolve('throttled'), abort: () => undefined }
    }
    if (job === undefined) {
      job = { key, check, tickets: new Set(), isRunning: false }
      this.#jobs.set(key, job)
    } else {
      this.#sharedCount += 1
    }
    const wanted = job
    let admitted: Ticket<Result> | undefined
    const outcome = new Promise<Outcome<Result>>((settle, fail) => {
      const sinceMs = this.#options.monotonicMs()
      admitted = { job: wanted, asker, sinceMs, settle, fail }
      wanted.tickets.add(admitted)
      if (!wanted.isRunning) this.#line(admitted)
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

  #line(ticket: Ticket<Result>): void {
    const { source, isRationed } = ticket.asker
    const line = isRationed ? this.#rationed : this.#lines.get(source)
    if (line === undefined) this.#lines.set(source, new Set([ticket]))
    else line.add(ticket)
    this.#waiting.add(ticket)
    const hasFreeSlot = this.#runningCount < this.#options.runningMax
    if (this.#waiting.size > this.#options.waitingMax && !hasFreeSlot) this.#shorten()
  }

  /** The newest of the longest line gives way; of equally long ones, that whose turn comes last. */
  #shorten(): void {
    let longest: ReadonlySet<Ticket<Result>> = new Set()
    for (const line of this.#lines.values()) {
      if (line.size >= longest.size) longest = line
    }
    let newest: Ticket<Result> | undefined
    for (const ticket of longest) newest = ticket
    if (newest !== undefined) this.#leave(newest, 'busy')
  }

  #expire(): void {
    const limitMs = this.#options.monotonicMs() - this.#options.waitMsMax
    for (const ticket of this.#waiting) {
      if (ticket.sinceMs > limitMs) return
      this.#leave(ticket, 'busy')
    }
  }

  #run(): void {
    while (this.#runningCount < this.#options.runningMax) {
      const ticket = this.#nextRationed() ?? this.#nextInTurn()
      if (ticket === undefined) return
      const { job } = ticket
      for (const each of job.tickets) {
        if (each.asker.isRefused?.()) this.#leave(each, 'throttled')
      }
      if (job.tickets.size > 0) this.#start(job, ticket.asker.isRationed === true)
    }
  }

  /** The oldest ticket of the source whose turn it is. */
  #nextInTurn(): Ticket<Result> | undefined {
    const [first] = this.#lines
    if (first === undefined) return undefined
    const [source, line] = first
    // To the end of the turns; starting the job then takes the ticket out of its line.
    this.#lines.delete(source)
    this.#lines.set(source, line)
    const [oldest] = line
    assert(oldest !== undefined, 'no line is empty')
    return oldest
  }

  /** The oldest rationed ticket, if its time has come; if not, we come back then. */
  #nextRationed(): Ticket<Result> | undefined {
    const [oldest] = this.#rationed
    if (oldest === undefined) return undefined
    const waitMs = this.#rationedFromMs - this.#options.monotonicMs()
    if (waitMs <= 0) return oldest
    if (!this.#isAwaitingRation && waitMs < Number.POSITIVE_INFINITY) {
      this.#isAwaitingRation = true
      this.#options.after(waitMs, () => {
        this.#isAwaitingRation = false
        this.#expire()
        this.#run()
      })
    }
    return undefined
  }

  #start(job: Job<Result>, isRationed: boolean): void {
    job.isRunning = true
    for (const ticket of job.tickets) this.#stopWaiting(ticket)
    this.#runningCount += 1
    this.#startedCount += 1
    const startedMs = this.#options.monotonicMs()
    if (isRationed) this.#rationedFromMs = Number.POSITIVE_INFINITY
    const end = (tell: (ticket: Ticket<Result>) => void): void => {
      const nowMs = this.#options.monotonicMs()
      if (isRationed) this.#rationedFromMs = nowMs + RATIONED_PAUSE * (nowMs - startedMs)
      this.#finish(job, tell)
    }
    job.check().then(
      (result) => end((ticket) => ticket.settle(result)),
      (error: unknown) => end((ticket) => ticket.fail(error)),
    )
  }

  #finish(job: Job<Result>, tell: (ticket: Ticket<Result>) => void): void {
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
    if (job.tickets.size === 0 && !job.isRunning) this.#jobs.delete(job.key)
    ticket.settle(outcome)
  }

  #stopWaiting(ticket: Ticket<Result>): void {
    if (!this.#waiting.delete(ticket) || this.#rationed.delete(ticket)) return
    const { source } = ticket.asker
    const line = this.#lines.get(source)
    assert(line !== undefined, 'a waiting ticket is in its line')
    line.delete(ticket)
    if (line.size === 0) this.#lines.delete(source)
  }
}
