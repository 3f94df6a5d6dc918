/**
 * What a worker tells the log about many connections at once, when its timer ticks.
 *
 * Invariant: a line stands for all that happened since the one before, so that clients cannot fill the log.
 */
import type { Peer } from '../../base/peer.ts'
import { COUNTER } from '../../observe/counters.ts'
import type { LogEvent } from '../../observe/log.ts'

/** The log says so often at most that replies were refused for want of memory. */
const REPLY_REPORT_MS = 10_000
/** And that clients did not log in in time: strangers come and go at their own pace. */
const LOGIN_REPORT_MS = 10_000

export class TickReports {
  private readonly write: (event: LogEvent) => void
  private readonly lane: Float64Array
  private expiredCount = 0
  private replyRefusalsSeen = 0
  private replyReportMs = Number.NEGATIVE_INFINITY
  private loginTimeoutsSeen = 0
  private loginReportMs = Number.NEGATIVE_INFINITY
  /** One of those whose time was up since the last line. */
  private latePeer: Peer | undefined = undefined

  constructor(write: (event: LogEvent) => void, lane: Float64Array) {
    this.write = write
    this.lane = lane
  }

  /** The login of a connection has expired. */
  expired(): void {
    this.expiredCount++
  }

  /** A client that was served did not log in in time. */
  loginTimedOut(peer: Peer): void {
    this.latePeer ??= peer
    const fields = { peer: peer.text }
    const message = 'a client did not log in in time'
    this.write({ level: 'debug', event: 'login_timed_out', message, fields })
  }

  /** Those that waited for a place as long are counted as well. */
  reportLoginTimeouts(nowMs: number): void {
    const timeouts = this.lane[COUNTER.login_timeouts]!
    if (timeouts === this.loginTimeoutsSeen || nowMs - this.loginReportMs < LOGIN_REPORT_MS) return
    this.write({
      level: 'info',
      event: 'login_timeouts',
      message: 'connections are closed whose clients did not log in in time; one of them is named',
      fields: { connections: timeouts - this.loginTimeoutsSeen, peer: this.latePeer?.text },
    })
    this.loginTimeoutsSeen = timeouts
    this.loginReportMs = nowMs
    this.latePeer = undefined
  }

  /** One line for all that expired together: tokens are often of one age. */
  reportExpired(): void {
    if (this.expiredCount === 0) return
    this.write({
      level: 'info',
      event: 'logins_expired',
      message: 'connections whose login has expired are closed',
      fields: { connections: this.expiredCount },
    })
    this.expiredCount = 0
  }

  reportUnreadReplies(nowMs: number): void {
    const refusals = this.lane[COUNTER.unread_reply_oom]!
    if (refusals === this.replyRefusalsSeen || nowMs - this.replyReportMs < REPLY_REPORT_MS) return
    this.write({
      level: 'warn',
      event: 'unread_replies',
      message:
        'clients do not read what they asked for: replies were refused, or readers cut, for want of memory',
      fields: { replies: refusals - this.replyRefusalsSeen },
    })
    this.replyRefusalsSeen = refusals
    this.replyReportMs = nowMs
  }
}
