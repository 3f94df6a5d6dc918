/**
 * Admission: who is served, who waits, who is turned away. A client that has not logged in is a
 * stranger, and strangers must be able neither to fill the server nor to keep others out.
 *
 *   accept --> served stranger ----- login -----> served client
 *         \--> waiting (unread, holds one file descriptor) --> served stranger
 *
 * - At most `strangersMax` strangers are served at a time; more wait, in order, unread. While any
 *   wait, the served ones get the short login deadline instead of the long one, so a thousand
 *   clients that reconnect at once are all served within moments, and a crowd that only sits there
 *   moves on.
 * - At most `connectionsMax` connections exist. A newcomer beyond takes the place of whoever has
 *   waited longest without having been served; where nobody waits, of the stranger who is silent
 *   longest; where all are logged in, it is turned away.
 *
 * Differs from memcached, which takes whoever comes first and keeps out the rest.
 */
import type { Connection } from '../connection/connection.ts'
import { COUNTER } from '../observe/counters.ts'
import type { AcceptedHandle } from './socket-transport.ts'

export interface AdmissionOptions {
  readonly connectionsMax: number
  /** Served strangers; Infinity on a server without authentication. */
  readonly strangersMax: number
  /** How long a waiting connection may wait in all. */
  readonly waitMs: number
  readonly lane: Float64Array
  /** Wraps a handle into a served connection. */
  readonly serve: (handle: AcceptedHandle, listenAddress: string) => Connection
  /** There is no place for this connection; doorstep.ts decides what becomes of it. */
  readonly turnAway: (handle: AcceptedHandle) => void
  /** True when at least one connection waits. */
  readonly onCrowded: (isCrowded: boolean) => void
}

interface Waiting {
  readonly handle: AcceptedHandle
  readonly listenAddress: string
  readonly sinceMs: number
}

/** A stranger who has said something within this time is not displaced by a newcomer. */
const SILENT_MS = 500

export class Admission {
  readonly connections: Set<Connection> = new Set()
  private readonly options: AdmissionOptions
  private readonly waiting: Waiting[] = []
  /** Served strangers, oldest first. */
  private readonly strangers: Set<Connection> = new Set()

  constructor(options: AdmissionOptions) {
    this.options = options
  }

  accept(handle: AcceptedHandle, listenAddress: string, nowMs: number): void {
    const { lane, connectionsMax, strangersMax, turnAway } = this.options
    if (this.connections.size + this.waiting.length >= connectionsMax && !this.displace(nowMs)) {
      turnAway(handle)
      return
    }
    lane[COUNTER.total_connections]!++
    if (this.strangers.size >= strangersMax) {
      this.waiting.push({ handle, listenAddress, sinceMs: nowMs })
      this.count()
      return
    }
    this.serve(handle, listenAddress)
  }

  /** A connection logged in, or lost its login. */
  gateChanged(connection: Connection, nowMs: number): void {
    if (connection.gate.isOpen) {
      if (this.strangers.delete(connection)) this.admitWaiting(nowMs)
    } else {
      this.strangers.add(connection)
    }
    this.count()
  }

  closed(connection: Connection, nowMs: number): void {
    this.connections.delete(connection)
    this.strangers.delete(connection)
    this.admitWaiting(nowMs)
    this.count()
  }

  /** Drops those that waited too long; called by the worker's coarse timer. */
  checkDeadlines(nowMs: number): void {
    const { waitMs, lane } = this.options
    let isChanged = false
    for (;;) {
      const first = this.waiting[0]
      if (first === undefined || nowMs - first.sinceMs < waitMs) break
      this.waiting.shift()
      first.handle.close()
      lane[COUNTER.login_timeouts]!++
      isChanged = true
    }
    if (isChanged) this.count()
  }

  /** Drops all that wait; the server stops. */
  dismissWaiting(): void {
    for (const { handle } of this.waiting) handle.close()
    this.waiting.length = 0
    this.count()
  }

  private serve(handle: AcceptedHandle, listenAddress: string): void {
    const connection = this.options.serve(handle, listenAddress)
    this.connections.add(connection)
    if (!connection.gate.isOpen) this.strangers.add(connection)
    this.count()
  }

  private admitWaiting(nowMs: number): void {
    while (this.strangers.size < this.options.strangersMax) {
      const next = this.waiting.shift()
      if (next === undefined) return
      if (nowMs - next.sinceMs < this.options.waitMs) {
        this.serve(next.handle, next.listenAddress)
      } else {
        next.handle.close()
        this.options.lane[COUNTER.login_timeouts]!++
      }
    }
  }

  /** Makes room for a newcomer by dropping a stranger; false when there is none to drop. */
  private displace(nowMs: number): boolean {
    const { lane } = this.options
    const waited = this.waiting.shift()
    if (waited !== undefined) {
      waited.handle.close()
      lane[COUNTER.rejected_connections]!++
      return true
    }
    for (const stranger of this.strangers) {
      if (nowMs - stranger.lastActivityMs < SILENT_MS) continue
      lane[COUNTER.rejected_connections]!++
      stranger.close()
      return true
    }
    return false
  }

  private count(): void {
    const { lane, onCrowded } = this.options
    lane[COUNTER.curr_connections] = this.connections.size + this.waiting.length
    lane[COUNTER.unauthenticated_connections] = this.strangers.size
    lane[COUNTER.waiting_connections] = this.waiting.length
    onCrowded(this.waiting.length > 0)
  }
}
