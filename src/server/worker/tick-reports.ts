/**
 * What a worker tells the log about many connections at once, when its timer ticks.
 *
 * Invariant: a line stands for all that happened since the one before, so that clients cannot fill the log.
 */
import type { Peer } from '../../base/peer.ts'
import { COUNTER } from '../../observe/counters.ts'
import type { LogEvent } from '../../observe/log.ts'

/** The log says so often at most that something was refused for want of memory, or that clients did not log in in time. */
const REPORT_MS = 10_000

export class TickReports {
  private readonly write: (event: LogEvent) => void
  private readonly lane: Float64Array
  private expiredCount = 0
  private readonly replies: Unreported = new Unreported(COUNTER.unread_reply_oom)
  private readonly requests: Unreported = new Unreported(COUNTER.stalled_requests)
  private readonly loginTimeouts: Unreported = new Unreported(COUNTER.login_timeouts)
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
    const connections = this.loginTimeouts.since(this.lane, nowMs)
    if (connections === 0) return
    this.write({
      level: 'info',
      event: 'login_timeouts',
      message: 'connections are closed whose clients did not log in in time; one of them is named',
      fields: { connections, peer: this.latePeer?.text },
    })
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

  reportMemory(nowMs: number): void {
    const replies = this.replies.since(this.lane, nowMs)
    if (replies > 0) {
      this.write({
        level: 'warn',
        event: 'unread_replies',
        message:
          'clients do not read what they asked for: replies were refused, or readers cut, for want of memory',
        fields: { replies },
      })
    }
    const requests = this.requests.since(this.lane, nowMs)
    if (requests === 0) return
    this.write({
      level: 'warn',
      event: 'stalled_requests',
      message:
        'clients do not send the rest of their requests: these were refused for want of memory for others',
      fields: { requests },
    })
  }
}

/** What a counter has counted since the last line about it. */
class Unreported {
  private readonly slot: number
  private seen = 0
  private reportMs = Number.NEGATIVE_INFINITY

  constructor(slot: number) {
    this.slot = slot
  }

  /** 0: nothing, or it is too soon for another line. */
  since(lane: Float64Array, nowMs: number): number {
    const count = lane[this.slot]! - this.seen
    if (count === 0 || nowMs - this.reportMs < REPORT_MS) return 0
    this.seen += count
    this.reportMs = nowMs
    return count
  }
}
