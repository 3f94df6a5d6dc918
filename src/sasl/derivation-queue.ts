/**
 * Whose password is checked next. A check takes a key derivation, milliseconds of a core, and a
 * stranger may ask for one with every wrong password, so they are rationed:
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
  isRunning: boolean
}

/** One request's place. It waits as long as it is in its source's line. */
interface Ticket<Result> {
  readonly job: Job<Result>
  readonly source: string
  readonly isRefused: () => boolean
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

  /**
   * `key` tells equal requests; `source` is whose turn it takes; `check` runs when it has come, unless
   * `isRefused` says by then that this request is `throttled`.
   */
  request(
    source: string,
    key: string,
    check: () => Promise<Result>,
    isRefused: () => boolean = () => false,
  ): PendingCheck<Result> {
    let job = this.#jobs.get(key)
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
      admitted = { job: wanted, source, isRefused, sinceMs, settle, fail }
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
    const line = this.#lines.get(ticket.source)
    if (line === undefined) this.#lines.set(ticket.source, new Set([ticket]))
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
      const [first] = this.#lines
      if (first === undefined) return
      const [source, line] = first
      // To the end of the turns; starting the job then takes the ticket out of its line.
      this.#lines.delete(source)
      this.#lines.set(source, line)
      const [oldest] = line
      assert(oldest !== undefined, 'no line is empty')
      for (const ticket of oldest.job.tickets) {
        if (ticket.isRefused()) this.#leave(ticket, 'throttled')
      }
      if (oldest.job.tickets.size > 0) this.#start(oldest.job)
    }
  }

  #start(job: Job<Result>): void {
    job.isRunning = true
    for (const ticket of job.tickets) this.#stopWaiting(ticket)
    this.#runningCount += 1
    this.#startedCount += 1
    job.check().then(
      (result) => this.#finish(job, (ticket) => ticket.settle(result)),
      (error: unknown) => this.#finish(job, (ticket) => ticket.fail(error)),
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
    if (!this.#waiting.delete(ticket)) return
    const line = this.#lines.get(ticket.source)
    assert(line !== undefined, 'a waiting ticket is in its line')
    line.delete(ticket)
    if (line.size === 0) this.#lines.delete(ticket.source)
  }
}
