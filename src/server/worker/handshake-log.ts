/**
 * Handshakes that failed, for the log. They come at the pace of whoever attacks, so of a second the first
 * is written and the others are counted in the next line, never lost from the count.
 */
import type { Peer } from '../../base/peer.ts'
import type { LogEvent } from '../../observe/log.ts'

const PERIOD_MS = 1000

export class HandshakeLog {
  private readonly write: (event: LogEvent) => void
  private periodStartedMs = Number.NEGATIVE_INFINITY
  private moreCount = 0

  constructor(write: (event: LogEvent) => void) {
    this.write = write
  }

  record(peer: Peer, code: string, nowMs: number): void {
    this.rollOver(nowMs)
    if (nowMs - this.periodStartedMs < PERIOD_MS) {
      this.moreCount++
      return
    }
    this.periodStartedMs = nowMs
    this.write({
      level: 'warn',
      event: 'tls_handshake_failed',
      message: 'a TLS handshake failed',
      fields: { peer: peer.text, code },
    })
  }

  /** Writes the sum of a second that is over; called by the worker's coarse timer. */
  rollOver(nowMs: number): void {
    if (this.moreCount === 0 || nowMs - this.periodStartedMs < PERIOD_MS) return
    const failed = this.moreCount
    this.moreCount = 0
    this.write({
      level: 'warn',
      event: 'tls_handshakes_summed_up',
      message: 'more TLS handshakes failed in the last second than are written one by one',
      fields: { failed },
    })
  }
}
