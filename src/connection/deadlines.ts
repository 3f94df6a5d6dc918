/**
 * Every deadline of a connection: login, the end of what it was let in by, idle, a reply that is not
 * taken, the end of the stream. All are looked at by the worker's one coarse timer.
 *
 * Invariant: whoever is not logged in gains no time by what it does: not by leaving replies unread, nor
 * by failing to log in.
 */
import type { Peer } from '../base/peer.ts'
import { COUNTER } from '../observe/counters.ts'
import { STATE_AWAITING, STATE_DETECTING, STATE_DRAINING } from './connection-state.ts'
import type { ReplyWriter } from './reply-writer.ts'
import type { WorkerContext } from './worker-context.ts'

/**
 * While others wait, how long a stranger may say nothing at all. Clients speak first, with the end
 * of the handshake: whoever has not by then only sits there.
 */
const CROWDED_SILENCE_MS = 250

/** How long a request that is under way may go on after its client's login has expired. */
const EXPIRED_GRACE_MS = 5000

/** What has passed. */
export const DEADLINE_NONE = 0
/** The connection is to end behind what was answered; DROP: at once. */
export const DEADLINE_DRAIN = 1
export const DEADLINE_IDLE = 2
export const DEADLINE_DROP = 3

export class Deadlines {
  private readonly context: WorkerContext
  private readonly replies: ReplyWriter
  private readonly peer: Peer
  /** When the login deadline began to run. */
  private loginSinceMs: number
  private drainingSinceMs = 0
  /** The last tick found the login deadline passed. */
  private isOverdue = false
  /** When the login was first found to have expired; NaN: it has not. */
  private expiredSinceMs = Number.NaN

  constructor(context: WorkerContext, replies: ReplyWriter, peer: Peer) {
    this.context = context
    this.replies = replies
    this.peer = peer
    this.loginSinceMs = context.nowMs
  }

  /** A login came to its end. Only who was logged in gets the time to log in again: failing buys none. */
  loginChanged(wasLoggedIn: boolean, isLoggedIn: boolean): void {
    if (!wasLoggedIn && !isLoggedIn) return
    if (!isLoggedIn) this.loginSinceMs = this.context.nowMs
    this.isOverdue = false
  }

  /**
   * Whether the connection is to end because its principal has expired, `expiresAt` in seconds since
   * 1970. `isAnswering`: a request is under way, which is finished first.
   */
  hasExpired(expiresAt: number, isAnswering: boolean): boolean {
    const { epochSeconds, nowMs } = this.context
    if (epochSeconds < expiresAt) {
      this.expiredSinceMs = Number.NaN
      return false
    }
    if (Number.isNaN(this.expiredSinceMs)) this.expiredSinceMs = nowMs
    return !isAnswering || nowMs - this.expiredSinceMs >= EXPIRED_GRACE_MS
  }

  drains(): void {
    this.drainingSinceMs = this.context.nowMs
  }

  /**
   * `owesAnswer`: a request waits for its turn. `lastActivityMs`: when the client was last heard of.
   * Returns a DEADLINE_ number.
   */
  check(
    state: number,
    isLoggedIn: boolean,
    isBlocked: boolean,
    owesAnswer: boolean,
    lastActivityMs: number,
  ): number {
    const { context } = this
    if (state === STATE_DRAINING) return this.checkDraining(isLoggedIn)
    // Before everything else: who is not logged in must not gain time by leaving replies unread.
    if (!isLoggedIn && this.isLoginOver(state)) {
      if (!this.isOverdue) {
        // Not before the next tick: in a rush of clients its bytes may be here and not read yet.
        this.isOverdue = true
        return DEADLINE_NONE
      }
      context.lane[COUNTER.login_timeouts]!++
      context.onLoginTimeout(this.peer)
      // Whom others wait for is not given time to close first.
      return isBlocked || context.isCrowded ? DEADLINE_DROP : DEADLINE_DRAIN
    }
    if (isBlocked) return this.checkBlocked()
    // Whom we owe an answer to is not idle, however long others have their turns before.
    if (!isLoggedIn || owesAnswer || state >= STATE_AWAITING) return DEADLINE_NONE
    const { idleTimeoutMs } = context.limits
    if (idleTimeoutMs === 0 || context.nowMs - lastActivityMs < idleTimeoutMs) return DEADLINE_NONE
    context.lane[COUNTER.idle_kicks]!++
    return DEADLINE_IDLE
  }

  private checkDraining(isLoggedIn: boolean): number {
    const { nowMs, lingerMs } = this.context
    if (nowMs - this.drainingSinceMs < lingerMs) return DEADLINE_NONE
    // A stranger's place is wanted by others, however slowly it goes on reading.
    return isLoggedIn && this.replies.isProgressing() ? DEADLINE_NONE : DEADLINE_DROP
  }

  private isLoginOver(state: number): boolean {
    const { limits, nowMs, isCrowded } = this.context
    if (state === STATE_AWAITING) return false
    const crowdedMs = state === STATE_DETECTING ? CROWDED_SILENCE_MS : limits.crowdedLoginTimeoutMs
    return nowMs - this.loginSinceMs >= (isCrowded ? crowdedMs : limits.loginTimeoutMs)
  }

  private checkBlocked(): number {
    if (!this.replies.hasStalled()) return DEADLINE_NONE
    this.context.lane[COUNTER.stalled_kicks]!++
    return DEADLINE_DROP
  }

  /**
   * To be asked ten times a second, in every state: whether the connection is to end because it takes too little while others
   * lack the memory of its replies, or, `isInputWanted`, of what waits behind them.
   */
  mustGiveWay(isInputWanted: boolean): boolean {
    const { replies, context } = this
    if (!replies.isSlow() || !(isInputWanted || replies.isWanted)) return false
    context.lane[COUNTER.stalled_kicks]!++
    context.replyMemory.countRefusal()
    return true
  }
}
