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
 * Both limits hold for all workers together, and so does the order of those that wait: each worker
 * keeps its own connections here, and the counts of all in the roster.
 *
 * Differs from memcached, which takes whoever comes first and keeps out the rest.
 */
import type { Connection } from '../connection/connection.ts'
import { COUNTER } from '../observe/counters.ts'
import type { Roster } from './roster.ts'
import type { AcceptedHandle } from './socket-transport.ts'

export interface AdmissionOptions {
  readonly connectionsMax: number
  /** Served strangers; Infinity on a server without authentication. */
  readonly strangersMax: number
  /** How long a waiting connection may wait in all. */
  readonly waitMs: number
  readonly roster: Roster
  readonly lane: Float64Array
  /** Wraps a handle into a served connection. */
  readonly serve: (handle: AcceptedHandle, listenAddress: string) => Connection
  /** There is no place for this connection; doorstep.ts decides what becomes of it. */
  readonly turnAway: (handle: AcceptedHandle) => void
}

interface Waiting {
  readonly handle: AcceptedHandle
  readonly listenAddress: string
  readonly sinceMs: number
  readonly ticket: number
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
    const { lane, roster, connectionsMax, strangersMax, turnAway } = this.options
    if (!roster.claimPlace(connectionsMax) && !this.displace(nowMs)) {
      turnAway(handle)
      return
    }
    lane[COUNTER.total_connections]!++
    if (!roster.claimStranger(strangersMax)) {
      this.waiting.push({ handle, listenAddress, sinceMs: nowMs, ticket: roster.nextTicket() })
      this.waitingChanged()
      // A place may have come free since, and whoever gave it up has seen nobody wait.
      this.admitWaiting(nowMs)
      return
    }
    this.serve(handle, listenAddress)
  }

  /** A connection logged in, or lost its login. */
  gateChanged(connection: Connection, nowMs: number): void {
    if (connection.gate.isOpen) {
      this.forgetStranger(connection)
      this.admitWaiting(nowMs)
    } else if (!this.strangers.has(connection)) {
      this.strangers.add(connection)
      this.options.roster.countStranger(1)
    }
    this.count()
  }

  closed(connection: Connection, nowMs: number): void {
    this.forgetStranger(connection)
    if (this.connections.delete(connection)) this.options.roster.givePlaceBack()
    this.admitWaiting(nowMs)
    this.count()
  }

  /** Another worker has taken places of ours for newcomers, or has one for who waits here. */
  settleWithOthers(nowMs: number): void {
    for (let count = this.options.roster.answerForTakenPlaces(); count > 0; count--) {
      if (!this.dropOldestWaiting()) this.dropSilentStranger(nowMs)
    }
    this.admitWaiting(nowMs)
    this.count()
  }

  /** Drops those that waited too long; called by the worker's coarse timer. */
  checkDeadlines(nowMs: number): void {
    const { waitMs, lane, roster } = this.options
    for (;;) {
      const first = this.waiting[0]
      if (first === undefined || nowMs - first.sinceMs < waitMs) break
      this.dropFirstWaiting(first)
      lane[COUNTER.login_timeouts]!++
    }
    let silentCount = 0
    for (const stranger of this.strangers) {
      if (nowMs - stranger.lastActivityMs >= SILENT_MS) silentCount++
    }
    roster.publishSilent(silentCount)
    this.settleWithOthers(nowMs)
  }

  /** Drops all that wait; the server stops. */
  dismissWaiting(): void {
    for (;;) {
      const first = this.waiting[0]
      if (first === undefined) break
      this.dropFirstWaiting(first)
    }
    this.count()
  }

  private serve(handle: AcceptedHandle, listenAddress: string): void {
    const connection = this.options.serve(handle, listenAddress)
    this.connections.add(connection)
    if (connection.gate.isOpen) this.options.roster.countStranger(-1)
    else this.strangers.add(connection)
    this.count()
  }

  private admitWaiting(nowMs: number): void {
    const { roster, strangersMax, waitMs, lane } = this.options
    while (this.waiting.length > 0 || roster.hasOthers) {
      if (!roster.claimStrangerForOldest(strangersMax)) return
      const next = this.waiting.shift()
      this.waitingChanged()
      if (next !== undefined && nowMs - next.sinceMs < waitMs) {
        this.serve(next.handle, next.listenAddress)
        continue
      }
      roster.countStranger(-1)
      if (next === undefined) return
      next.handle.close()
      roster.givePlaceBack()
      lane[COUNTER.login_timeouts]!++
    }
  }

  /** Makes room for a newcomer by dropping a stranger; false when there is none to drop. */
  private displace(nowMs: number): boolean {
    const { roster, connectionsMax } = this.options
    switch (roster.takePlaceOfWaiting()) {
      case 'taken':
        return true
      case 'ours':
        this.dropOldestWaiting()
        return roster.claimPlace(connectionsMax)
      case 'none':
        if (this.dropSilentStranger(nowMs)) return roster.claimPlace(connectionsMax)
        return roster.takePlaceOfSilent()
    }
  }

  private dropOldestWaiting(): boolean {
    const first = this.waiting[0]
    if (first === undefined) return false
    this.dropFirstWaiting(first)
    this.options.lane[COUNTER.rejected_connections]!++
    return true
  }

  private dropFirstWaiting(first: Waiting): void {
    this.waiting.shift()
    first.handle.close()
    this.waitingChanged()
    this.options.roster.givePlaceBack()
  }

  private dropSilentStranger(nowMs: number): boolean {
    for (const stranger of this.strangers) {
      if (nowMs - stranger.lastActivityMs < SILENT_MS) continue
      this.options.lane[COUNTER.rejected_connections]!++
      stranger.close()
      return true
    }
    return false
  }

  private forgetStranger(connection: Connection): void {
    if (this.strangers.delete(connection)) this.options.roster.countStranger(-1)
  }

  private waitingChanged(): void {
    this.options.roster.publishWaiting(this.waiting.length, this.waiting[0]?.ticket ?? 0)
    this.count()
  }

  private count(): void {
    const { lane } = this.options
    lane[COUNTER.curr_connections] = this.connections.size + this.waiting.length
    lane[COUNTER.unauthenticated_connections] = this.strangers.size
    lane[COUNTER.waiting_connections] = this.waiting.length
  }
}
