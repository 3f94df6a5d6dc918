/**
 * Admission: who is served, who waits, who is turned away. A client that has not logged in is a
 * stranger, and strangers must be able neither to fill the server nor to keep others out.
 *
 *   accept --> served stranger ----- login -----> served client
 *         \--> waiting (unread, holds one file descriptor) --> served stranger
 *
 * - At most `strangersMax` strangers are served at a time; more wait unread, by turns. While any
 *   wait, the served ones get the short login deadline instead of the long one, so a thousand
 *   clients that reconnect at once are all served within moments, and a crowd that only sits there
 *   moves on.
 * - At most `connectionsMax` connections exist. A newcomer beyond takes the place of a stranger of
 *   the source (sasl/source-network.ts) that has most of them: of the one that has waited longest, or
 *   where nobody waits, is silent longest. One that comes from that source itself is turned away,
 *   unless all strangers are from there: who reconnects fastest must not push others out. Where all
 *   are logged in, a newcomer is turned away.
 * - Every second place that comes free goes to the one that has waited longest, and the others to a
 *   source that has fewest strangers, so that a few do not stand behind a crowd.
 *
 * Both limits hold for all workers together, and so does the order in which workers have their turn:
 * each keeps its own connections here, and the counts of all in the roster. Whom to drop of its own,
 * and whom to serve, each worker chooses by the counts of all.
 *
 * Differs from memcached, which takes whoever comes first and keeps out the rest.
 */
import type { Connection } from '../connection/connection.ts'
import { COUNTER } from '../observe/counters.ts'
import { sourceNetwork } from '../sasl/source-network.ts'
import type { Roster } from './roster.ts'
import { type AcceptedHandle, peerName } from './socket-transport.ts'

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
  /**
   * There is no place for this connection, or only one of a source that has fewer strangers than its
   * own; doorstep.ts decides what becomes of it.
   */
  readonly turnAway: (handle: AcceptedHandle, reason: 'full' | 'crowd') => void
  /** The server is full of strangers, `count` of `total` from `address`; seldom called. */
  readonly onCrowd: (address: string, count: number, total: number) => void
}

/** Where strangers come from. */
interface Source {
  readonly address: string
  /** What the roster counts it under. */
  readonly index: number
}

interface Waiting {
  readonly handle: AcceptedHandle
  readonly listenAddress: string
  readonly sinceMs: number
  readonly ticket: number
  readonly source: Source
}

/** A stranger who has said something within this time is not displaced by a newcomer. */
const SILENT_MS = 500
/** A crowd is told of this often at most. */
const CROWD_REPORT_MS = 10_000

export class Admission {
  readonly connections: Set<Connection> = new Set()
  private readonly options: AdmissionOptions
  private readonly waiting: Waiting[] = []
  /** Served strangers, oldest first. */
  private readonly strangers: Set<Connection> = new Set()
  /** Of each of `connections`. */
  private readonly sources: Map<Connection, Source> = new Map()
  private isTurnOfFew = false
  private crowdReportedMs = Number.NEGATIVE_INFINITY

  constructor(options: AdmissionOptions) {
    this.options = options
  }

  accept(handle: AcceptedHandle, listenAddress: string, nowMs: number): void {
    const { lane, roster, connectionsMax, strangersMax, turnAway } = this.options
    const address = sourceNetwork(peerName(handle).replace(/:\d+$/, ''))
    const source = { address, index: roster.sourceIndex(address) }
    if (!roster.claimPlace(connectionsMax)) {
      const outcome = this.displace(source, nowMs)
      if (outcome !== 'displaced') {
        turnAway(handle, outcome)
        return
      }
    }
    lane[COUNTER.total_connections]!++
    roster.countSource(source.index, 1)
    if (!roster.claimStranger(strangersMax)) {
      const ticket = roster.nextTicket()
      this.waiting.push({ handle, listenAddress, sinceMs: nowMs, ticket, source })
      this.waitingChanged()
      // A place may have come free since, and whoever gave it up has seen nobody wait.
      this.admitWaiting(nowMs)
      return
    }
    this.serve(handle, listenAddress, source)
  }

  /** A connection logged in, or lost its login. */
  gateChanged(connection: Connection, nowMs: number): void {
    if (connection.gate.isOpen) {
      this.forgetStranger(connection)
      this.admitWaiting(nowMs)
    } else if (!this.strangers.has(connection)) {
      this.strangers.add(connection)
      this.options.roster.countStranger(1)
      this.countSource(connection, 1)
    }
    this.count()
  }

  closed(connection: Connection, nowMs: number): void {
    this.forgetStranger(connection)
    this.sources.delete(connection)
    if (this.connections.delete(connection)) this.options.roster.givePlaceBack()
    this.admitWaiting(nowMs)
    this.count()
  }

  /** Another worker has taken places of ours for newcomers, or has one for who waits here. */
  settleWithOthers(nowMs: number): void {
    for (let count = this.options.roster.answerForTakenPlaces(); count > 0; count--) {
      if (!this.dropWaitingOfMost(nowMs)) this.dropSilentStranger(nowMs)
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
      this.dropWaiting(first)
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
      this.dropWaiting(first)
    }
    this.count()
  }

  private serve(handle: AcceptedHandle, listenAddress: string, source: Source): void {
    const connection = this.options.serve(handle, listenAddress)
    this.connections.add(connection)
    this.sources.set(connection, source)
    this.strangers.add(connection)
    if (connection.gate.isOpen) this.forgetStranger(connection)
    this.count()
  }

  private admitWaiting(nowMs: number): void {
    const { roster, strangersMax, waitMs, lane } = this.options
    while (this.waiting.length > 0 || roster.hasOthers) {
      if (!roster.claimStrangerForOldest(strangersMax)) return
      const next = this.takeNextWaiting()
      if (next !== undefined && nowMs - next.sinceMs < waitMs) {
        this.serve(next.handle, next.listenAddress, next.source)
        continue
      }
      roster.countStranger(-1)
      if (next === undefined) return
      next.handle.close()
      roster.givePlaceBack()
      roster.countSource(next.source.index, -1)
      lane[COUNTER.login_timeouts]!++
    }
  }

  private takeNextWaiting(): Waiting | undefined {
    const { roster } = this.options
    let next = this.waiting[0]
    if (next === undefined) return undefined
    if (this.isTurnOfFew) {
      let fewest = Number.POSITIVE_INFINITY
      for (const waiting of this.waiting) {
        const count = roster.sourceStrangers(waiting.source.index)
        if (count >= fewest) continue
        fewest = count
        next = waiting
      }
    }
    this.isTurnOfFew = !this.isTurnOfFew
    this.waiting.splice(this.waiting.indexOf(next), 1)
    this.waitingChanged()
    return next
  }

  /** Makes room for a newcomer by dropping a stranger, or says why not. */
  private displace(source: Source, nowMs: number): 'displaced' | 'full' | 'crowd' {
    const { roster, connectionsMax } = this.options
    const heaviest = roster.heaviestSource()
    if (heaviest.total === 0) return 'full'
    const ownCount = roster.sourceStrangers(source.index)
    if (ownCount === heaviest.count && ownCount < heaviest.total) {
      this.reportCrowd(source, nowMs)
      return 'crowd'
    }
    const taken = roster.takePlaceOfWaiting(heaviest.source)
    if (taken === 'taken') return 'displaced'
    const isDropped =
      taken === 'ours' ? this.dropWaitingOfMost(nowMs) : this.dropSilentStranger(nowMs)
    if (isDropped) return roster.claimPlace(connectionsMax) ? 'displaced' : 'full'
    return taken === 'none' && roster.takePlaceOfSilent() ? 'displaced' : 'full'
  }

  /** Drops the longest waiting of a source that has most strangers, of those with somebody waiting. */
  private dropWaitingOfMost(nowMs: number): boolean {
    const { roster, lane } = this.options
    let found: Waiting | undefined
    let most = 0
    for (const waiting of this.waiting) {
      const count = roster.sourceStrangers(waiting.source.index)
      if (count <= most) continue
      most = count
      found = waiting
    }
    if (found === undefined) return false
    this.reportCrowd(found.source, nowMs)
    this.dropWaiting(found)
    lane[COUNTER.rejected_connections]!++
    return true
  }

  private dropWaiting(waiting: Waiting): void {
    const { roster } = this.options
    this.waiting.splice(this.waiting.indexOf(waiting), 1)
    waiting.handle.close()
    this.waitingChanged()
    roster.givePlaceBack()
    roster.countSource(waiting.source.index, -1)
  }

  private dropSilentStranger(nowMs: number): boolean {
    const { roster, lane } = this.options
    let found: Connection | undefined
    let most = 0
    for (const stranger of this.strangers) {
      if (nowMs - stranger.lastActivityMs < SILENT_MS) continue
      const count = roster.sourceStrangers(this.sources.get(stranger)?.index ?? 0)
      if (count <= most) continue
      most = count
      found = stranger
    }
    if (found === undefined) return false
    const source = this.sources.get(found)
    if (source !== undefined) this.reportCrowd(source, nowMs)
    lane[COUNTER.rejected_connections]!++
    found.close()
    return true
  }

  private reportCrowd(source: Source, nowMs: number): void {
    if (nowMs - this.crowdReportedMs < CROWD_REPORT_MS) return
    this.crowdReportedMs = nowMs
    const { roster, onCrowd } = this.options
    onCrowd(source.address, roster.sourceStrangers(source.index), roster.heaviestSource().total)
  }

  private countSource(connection: Connection, change: 1 | -1): void {
    const source = this.sources.get(connection)
    if (source !== undefined) this.options.roster.countSource(source.index, change)
  }

  private forgetStranger(connection: Connection): void {
    if (!this.strangers.delete(connection)) return
    this.options.roster.countStranger(-1)
    this.countSource(connection, -1)
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
