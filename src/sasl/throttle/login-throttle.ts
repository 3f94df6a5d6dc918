/**
 * The throttle: failed logins are held against where they come from and against the user they are for, over
 * all workers. First the answer comes later and later, then there is a refusal for a while: no key is
 * derived, no password is looked at, and the answer looks like that to a wrong password.
 *
 *     counted by        from      refused from there, or by that name             but never
 *     source            L         every user                                      a user who logged in rightly from
 *     network around    8 L       every user from sources where nobody            that source before
 *                                 logged in rightly lately
 *     user              L         that user, there or not, from networks where    the same, and from the network
 *                                 that user never logged in rightly               around that source
 *
 * - A source that many log in rightly from may fail more often: one more for every four right logins.
 * - What is refused is not counted: clients that try again and again come in when the time is over.
 * - A right login makes no failure undone: somebody with an account of their own gains nothing by it.
 * - A name that is no user's is counted as any other, so nothing tells who exists.
 * - A right login that finds its namespace full, or cannot be recorded, is answered as late as a wrong password would be
 *   at that moment, and is held against nobody: clients of one tenant must not have those of another refused.
 * - A user who logged in rightly from a source is not refused there, whatever happens, but waits for each
 *   failure as everybody does. For what fails there the user is not refused elsewhere, nor is the network around it.
 * - While others are refused at a source, a user of it whose logins failed there lately has a key derived five
 *   times a second: a flood of guesses does not take the processor, either. A password that is remembered as
 *   right takes no key, so it is not concerned; one that is known to be wrong takes no check from others. Users do
 *   not share these checks, or one could see by their own whether another logs in.
 * - The time of an answer does not tell who did: a failure is answered as late by all that was counted of the name
 *   anywhere, and as late as a refusal where others are refused.
 *
 * Invariant: nothing here grows. What strangers do is kept apart from right logins, so they cannot make
 * those forgotten; and a source, a network, a user can be refused for `refusalMsMax` at a time at most.
 */
import { createHmac } from 'node:crypto'
import { acquire, release } from '../../base/lock.ts'
import type { Pipe } from '../../base/pipe.ts'
import type { SourceKey } from '../../base/source-network.ts'
import { unreachable } from '../../base/unreachable.ts'
import type { ClaimedUser } from '../claimed-user.ts'
import type { FailureReason } from '../failure-reason.ts'
import { attemptSource, narrowName, type SourceNet, wideName } from './attempt-source.ts'
import { ABANDONED, FAILURE, FailureCounts, TICK_MS } from './failure-counts.ts'
import { GoodLogins, type UserTag } from './good-logins.ts'
import { NO_RECORD, RecordTable, recordTableWords } from './record-table.ts'
import { THROTTLED_LIST_WORDS, type Throttled, ThrottledList } from './throttled-list.ts'

/**
 * Replies leave within 0.5 s: a delayed one with the first tick of the worker's timer after this. Where checks of
 * passwords take longer, those that would leave then leave when a check would be over: see session.ts.
 */
export const ANSWER_DELAY_MS_MAX = 350
/** Shorter ones are not worth a timer. */
const ANSWER_DELAY_MS_MIN = 25
const WIDE_FACTOR = 8
/** How long a right login makes a source one that is known. */
const PROVEN_TICKS = (24 * 3600 * 1000) / TICK_MS

const USER = 2
const PAIR = 3
/** A user wherever it is: what says how late an answer is, and refuses nobody. */
const ANYWHERE = 4

/** What says nothing of a password, or was none of the client's doing. All else counts. */
const UNCOUNTED: ReadonlySet<FailureReason> = new Set<FailureReason>([
  'malformed',
  'bad-authzid',
  'unknown-mechanism',
  'channel-binding',
  'out-of-sequence',
  'busy',
  'credentials-changed',
])

const LOCK_WORD = 0
const HEADER_WORDS = 16
/** Of each of the tables: eight records a set. */
const SET_COUNT = 2048
/** ANYWHERE, and USER or PAIR. */
const RECORDS_OF_USER = 2
const USER_KEY_BYTES = 32

export interface ThrottleMemory {
  readonly buffer: SharedArrayBuffer
  readonly setCount: number
  /** Secret: who knows it can choose addresses that push each other out. */
  readonly seed: readonly [number, number]
  /** Secret: what names are hashed with. */
  readonly userKey: Uint8Array
}

/** Room for 16,384 sources, as many users and as many right logins, in 2.1 MB. */
export function createThrottleMemory(
  randomBytes: (bytes: Uint8Array) => Uint8Array,
  setCount: number = SET_COUNT,
): ThrottleMemory {
  const tables = 2 + RECORDS_OF_USER
  const words = HEADER_WORDS + tables * recordTableWords(setCount) + 2 * THROTTLED_LIST_WORDS
  const seedBytes = randomBytes(new Uint8Array(8))
  const view = new DataView(seedBytes.buffer, seedBytes.byteOffset)
  return {
    buffer: new SharedArrayBuffer(words * 4),
    setCount,
    seed: [view.getUint32(0), view.getUint32(4)],
    userKey: randomBytes(new Uint8Array(USER_KEY_BYTES)),
  }
}

export interface LoginThrottleOptions {
  readonly memory: ThrottleMemory
  /** L above. */
  readonly failuresMax: number
  /** The first refusal, and the longest. */
  readonly refusalMsMin: number
  readonly refusalMsMax: number
  /** Whether nothing is held against this address. */
  readonly isAllowed: (address: string) => boolean
  /** Milliseconds since the server started, the same in all workers. */
  readonly nowMs: () => number
  /** A refusal began, whether it is told of or not. */
  readonly onCount: (what: 'source' | 'user') => void
  readonly onBegin: (who: Throttled) => void
  readonly onEnd: (who: Throttled) => void
  /** So many more are refused than are named. */
  readonly onMore: (count: number) => void
}

export class LoginThrottle {
  private readonly options: LoginThrottleOptions
  private readonly words: Int32Array
  private readonly sources: FailureCounts
  private readonly users: FailureCounts
  private readonly good: GoodLogins
  private readonly listedSources: ThrottledList
  private readonly listedUsers: ThrottledList
  private readonly begun: Throttled[] = []
  private unlistedCount = 0

  constructor(options: LoginThrottleOptions) {
    this.options = options
    const { memory, refusalMsMin, refusalMsMax } = options
    const { seed, setCount } = memory
    this.words = new Int32Array(memory.buffer)
    let start = HEADER_WORDS
    const take = (words: number): Int32Array => {
      start += words
      return this.words.subarray(start - words, start)
    }
    const takeTable = (records = 1): RecordTable =>
      new RecordTable(take(recordTableWords(records * setCount)), seed)
    const ticks = [refusalMsMin, refusalMsMax].map((ms) => Math.ceil(ms / TICK_MS))
    const [ticksMin = 1, ticksMax = 1] = ticks
    this.sources = new FailureCounts(takeTable(), ticksMin, ticksMax)
    this.users = new FailureCounts(takeTable(RECORDS_OF_USER), ticksMin, ticksMax)
    this.good = new GoodLogins(takeTable(), seed)
    this.listedSources = new ThrottledList(take(THROTTLED_LIST_WORDS), this.sources)
    this.listedUsers = new ThrottledList(take(THROTTLED_LIST_WORDS), this.users)
  }

  /** Whether a login is refused unseen. `name` is prepared, and need not be a user's. */
  isRefused(name: string, pipe: Pipe): boolean {
    if (this.options.isAllowed(pipe.peer.address)) return false
    const { narrow, wide } = attemptSource(pipe)
    const user = this.tagOf(name)
    const now = this.now()
    acquire(this.words, LOCK_WORD)
    const isRefused = !this.has(user, narrow) && this.isHeldAgainst(user, narrow, wide, now)
    release(this.words, LOCK_WORD)
    return isRefused
  }

  /**
   * Whether a key may be derived for a login that is not refused; if so, it counts as derived. To be asked when
   * nothing else is in its way. Where they are few, none is for what `isKnownWrong`.
   */
  takeCheck(name: string, pipe: Pipe, isKnownWrong: boolean): boolean {
    if (this.options.isAllowed(pipe.peer.address)) return true
    const { narrow } = attemptSource(pipe)
    const user = this.tagOf(name)
    const now = this.now()
    acquire(this.words, LOCK_WORD)
    const isHeldBack = this.isNarrowRefused(narrow, now) && this.has(user, narrow)
    const { lastPair } = this.good
    const mayCheck =
      !isHeldBack || (!isKnownWrong && this.users.takeCheck(PAIR, lastPair.high, lastPair.low, now))
    release(this.words, LOCK_WORD)
    return mayCheck
  }

  /**
   * A login failed. Returns how long after its last message the answer to it is to leave. `name` is
   * empty where nobody was named; `claim` is what the log may say of it.
   */
  failed(name: string, pipe: Pipe, reason: FailureReason, claim: ClaimedUser): number {
    if (reason === 'throttled') return ANSWER_DELAY_MS_MAX
    if (reason === 'namespace-full' || reason === 'audit') return this.delayUncounted(name, pipe)
    if (this.options.isAllowed(pipe.peer.address)) return 0
    if (UNCOUNTED.has(reason)) return this.delayAmongRefused(name, pipe)
    const by = reason === 'aborted' ? ABANDONED : FAILURE
    const user = name === '' || by === ABANDONED ? undefined : this.tagOf(name)
    const now = this.now()
    acquire(this.words, LOCK_WORD)
    const { narrow, wide } = attemptSource(pipe)
    const isRefused = this.isNarrowRefused(narrow, now)
    let delayMs = this.countSource(narrow, by, 1, now, () => ({
      kind: 'source',
      name: narrowName(pipe),
    }))
    // Who is looked at while others there are refused unseen, which is not counted.
    if (wide !== undefined && !isRefused) {
      const wideMs = this.countSource(wide, by, WIDE_FACTOR, now, () => ({
        kind: 'network',
        name: wideName(pipe),
      }))
      delayMs = Math.max(delayMs, wideMs)
    }
    if (user !== undefined) delayMs = Math.max(delayMs, this.countUser(user, narrow, claim, now))
    release(this.words, LOCK_WORD)
    for (const who of this.begun.splice(0)) this.options.onBegin(who)
    return delayMs
  }

  /** Whom others would be refused beside has got further than they, and is answered as late. */
  private delayAmongRefused(name: string, pipe: Pipe): number {
    if (name === '') return 0
    const { narrow, wide } = attemptSource(pipe)
    const user = this.tagOf(name)
    const now = this.now()
    acquire(this.words, LOCK_WORD)
    const isAmong = this.isSourceRefused(narrow, wide, now) || this.isUserRefused(user, now)
    release(this.words, LOCK_WORD)
    return isAmong ? ANSWER_DELAY_MS_MAX : 0
  }

  /** How long the answer to a wrong password would take. */
  private delayUncounted(name: string, pipe: Pipe): number {
    const { sources, users, good, options } = this
    if (options.isAllowed(pipe.peer.address)) return 0
    const { narrow, wide } = attemptSource(pipe)
    const user = this.tagOf(name)
    const now = this.now()
    const limit = options.failuresMax * FAILURE
    acquire(this.words, LOCK_WORD)
    const leftOf = ({ kind, high, low }: SourceNet, factor: number): number => {
      const most = limit * factor + good.count(kind, high, low, now)
      return most - sources.countWith(kind, high, low, FAILURE, most, now)
    }
    const by = this.has(user, narrow) ? 0 : FAILURE
    const isWideCounted = wide !== undefined && !this.isNarrowRefused(narrow, now)
    const left = [
      leftOf(narrow, 1),
      isWideCounted ? leftOf(wide, WIDE_FACTOR) : Number.POSITIVE_INFINITY,
      limit - users.countWith(USER, user.high, user.low, by, limit, now),
      limit - users.countWith(ANYWHERE, user.high, user.low, FAILURE, limit, now),
    ]
    release(this.words, LOCK_WORD)
    return delayOf(Math.min(...left))
  }

  succeeded(name: string, pipe: Pipe): void {
    const { narrow, wide } = attemptSource(pipe)
    const user = this.tagOf(name)
    const now = this.now()
    acquire(this.words, LOCK_WORD)
    this.good.note(user, narrow.kind, narrow.high, narrow.low, now)
    if (wide !== undefined) this.good.note(user, wide.kind, wide.high, wide.low, now)
    release(this.words, LOCK_WORD)
  }

  /** Whether somebody logged in rightly from there lately: who is let in before strangers. */
  isProven({ kind, high, low }: SourceKey): boolean {
    if (kind === 0) return false
    acquire(this.words, LOCK_WORD)
    const isProven = this.isProvenNet({ kind, high: high | 0, low: low | 0 }, this.now())
    release(this.words, LOCK_WORD)
    return isProven
  }

  /** These names are no users' any more: where they logged in from is forgotten. */
  forget(names: readonly string[]): void {
    if (names.length === 0) return
    const tags = names.map((name) => this.tagOf(name))
    acquire(this.words, LOCK_WORD)
    this.good.forget(tags)
    release(this.words, LOCK_WORD)
  }

  /** Who is refused now, as far as they are listed; seconds are rounded up. */
  list(): readonly (Throttled & { readonly seconds: number })[] {
    const now = this.now()
    acquire(this.words, LOCK_WORD)
    const listed = [...this.listedUsers.list(now), ...this.listedSources.list(now)]
    release(this.words, LOCK_WORD)
    return listed.map(({ kind, name, ticksLeft }) => ({
      kind,
      name,
      seconds: Math.ceil((ticksLeft * TICK_MS) / 1000),
    }))
  }

  /** Tells of refusals that are over; to be called by a timer, once in a while. */
  tellEnded(): void {
    const { onEnd, onMore } = this.options
    const now = this.now()
    acquire(this.words, LOCK_WORD)
    const ended = [...this.listedUsers.takeEnded(now), ...this.listedSources.takeEnded(now)]
    release(this.words, LOCK_WORD)
    for (const who of ended) onEnd(who)
    if (this.unlistedCount > 0) onMore(this.unlistedCount)
    this.unlistedCount = 0
  }

  /** With the lock held. */
  private isHeldAgainst(
    user: UserTag,
    narrow: SourceNet,
    wide: SourceNet | undefined,
    now: number,
  ): boolean {
    if (this.isSourceRefused(narrow, wide, now)) return true
    if (!this.isUserRefused(user, now)) return false
    return wide === undefined || !this.has(user, wide)
  }

  /** With the lock held. */
  private isSourceRefused(narrow: SourceNet, wide: SourceNet | undefined, now: number): boolean {
    if (this.isNarrowRefused(narrow, now)) return true
    if (wide === undefined || this.isProvenNet(narrow, now)) return false
    return this.sources.refusedUntil(wide.kind, wide.high, wide.low, now) > 0
  }

  /** With the lock held. */
  private isUserRefused({ high, low }: UserTag, now: number): boolean {
    return this.users.refusedUntil(USER, high, low, now) > 0
  }

  /** With the lock held. */
  private isNarrowRefused({ kind, high, low }: SourceNet, now: number): boolean {
    return this.sources.refusedUntil(kind, high, low, now) > 0
  }

  /** With the lock held: counts a failure of a source; returns the delay of the answer. */
  private countSource(
    net: SourceNet,
    by: number,
    factor: number,
    now: number,
    describe: () => Throttled,
  ): number {
    const { sources, good, options } = this
    const { kind, high, low } = net
    // A right login is worth a quarter of a failure.
    const limit = options.failuresMax * factor * FAILURE + good.count(kind, high, low, now)
    const count = sources.add(kind, high, low, by, limit, now)
    if (sources.hasBegun) {
      options.onCount('source')
      this.noteBegin(this.listedSources, describe(), net)
    }
    return delayOf(limit - count)
  }

  /** With the lock held: the same of a user, anywhere and beside the sources where it logged in rightly, or at one. */
  private countUser(user: UserTag, narrow: SourceNet, claim: ClaimedUser, now: number): number {
    const { users, good, options } = this
    const limit = options.failuresMax * FAILURE
    const { high, low } = user
    const anywhere = users.addUpTo(ANYWHERE, high, low, FAILURE, limit, now)
    if (this.has(user, narrow)) {
      const { lastPair } = good
      users.add(PAIR, lastPair.high, lastPair.low, FAILURE, Number.POSITIVE_INFINITY, now)
      return delayOf(limit - Math.max(anywhere, users.countWith(USER, high, low, 0, limit, now)))
    }
    const count = Math.max(anywhere, users.add(USER, high, low, FAILURE, limit, now))
    if (users.hasBegun) {
      options.onCount('user')
      const who: Throttled =
        claim.user === ''
          ? { kind: 'unknown_user', name: claim.unknownUser }
          : { kind: 'user', name: claim.user }
      this.noteBegin(this.listedUsers, who, { kind: USER, high, low })
    }
    return delayOf(limit - count)
  }

  private noteBegin(list: ThrottledList, who: Throttled, key: SourceNet): void {
    const begun = list.begin(who, key.kind, key.high, key.low)
    switch (begun) {
      case 'listed':
        this.begun.push(who)
        return
      case 'full':
        this.unlistedCount++
        return
      case 'known':
        return
      default:
        unreachable(begun)
    }
  }

  private has(user: UserTag, net: SourceNet): boolean {
    return this.good.has(user, net.kind, net.high, net.low)
  }

  private isProvenNet(net: SourceNet, now: number): boolean {
    const last = this.good.last(net.kind, net.high, net.low)
    return last !== NO_RECORD && now - last < PROVEN_TICKS
  }

  private tagOf(name: string): UserTag {
    const hashed = createHmac('sha256', this.options.memory.userKey).update(name).digest()
    return { high: hashed.readInt32LE(0), low: hashed.readInt32LE(4) }
  }

  /** Ticks, from 1 on: 0 is never. */
  private now(): number {
    return Math.floor(this.options.nowMs() / TICK_MS) + 1
  }
}

/** The longest at the limit, half of that one failure before, and so on. */
function delayOf(unitsLeft: number): number {
  if (unitsLeft <= 0) return ANSWER_DELAY_MS_MAX
  const delayMs = ANSWER_DELAY_MS_MAX / 2 ** (unitsLeft / FAILURE)
  return delayMs < ANSWER_DELAY_MS_MIN ? 0 : delayMs
}
