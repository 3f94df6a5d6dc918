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
 *   whoever has most of them: an IPv4 address or an IPv6 /48, and within that a /64 (source-counts.ts
 *   says how, and why). There it is the one that has waited longest, or where none waits, the served
 *   one that was heard least recently. One that comes from where most are is turned away, unless all
 *   strangers are from there: who reconnects fastest must not push others out. Where all are logged
 *   in, a newcomer is turned away.
 * - Strangers that come from where somebody logged in rightly lately go before those that nobody knows, up
 *   to 32 of a source: as long as there are others these keep their places, take those of others, and do
 *   not wait while a few more than `strangersMax` are served. So a busy address is not turned away as
 *   the crowd among attackers that have one connection each.
 * - Every second place that comes free goes to the one that has waited longest, the others to sites
 *   in turn, those that have few strangers first, so that a few do not stand behind a crowd.
 *
 * No step takes longer the more connections wait, or the more sources they come from.
 *
 * Both limits hold for all workers together, and so does the order in which workers have their turn:
 * each keeps its own connections here, and the counts of all in the worker table. Whom to drop of its own,
 * and whom to serve, each worker chooses by the counts of all.
 *
 * Differs from memcached, which takes whoever comes first and keeps out the rest.
 */
import { assert } from '../../base/assert.ts'
import { FairQueue, type Place } from '../../base/fair-queue.ts'
import { NO_SLOT, Slots } from '../../base/slots.ts'
import type { SourceKey } from '../../base/source-network.ts'
import { unreachable } from '../../base/unreachable.ts'
import type { Connection } from '../../connection/connection.ts'
import { COUNTER } from '../../observe/counters.ts'
import type { Newcomer } from '../net/newcomer.ts'
import { NO_SOURCE } from './source-counts.ts'
import type { WorkerTable } from './worker-table.ts'

export interface AdmissionOptions {
  readonly connectionsMax: number
  /** Served strangers; Infinity on a server without authentication. */
  readonly strangersMax: number
  /** How long a waiting connection may wait in all. */
  readonly waitMs: number
  readonly workerTable: WorkerTable
  /** Whether somebody logged in rightly from there lately; undefined: nobody is known. */
  readonly isProven?: ((source: SourceKey) => boolean) | undefined
  readonly lane: Float64Array
  /** Whether it will be logged in when it is served, by where it comes in: then it does not wait among strangers. */
  readonly isIdentified?: (newcomer: Newcomer) => boolean
  /** Makes a served connection of a newcomer. */
  readonly serve: (newcomer: Newcomer) => Connection
  /**
   * There is no place for this connection, or only one of a source that has fewer strangers than its
   * own; accept-queue.ts decides what becomes of it.
   */
  readonly turnAway: (newcomer: Newcomer, reason: 'full' | 'crowd') => void
  /** The server is full of strangers, `count` of `total` from `network`; seldom called. */
  readonly onCrowd: (network: string, count: number, total: number) => void
}

/** Where strangers come from. */
interface Source {
  readonly network: string
  /** What the worker table counts them under. */
  readonly id: number
}

interface Waiting {
  readonly newcomer: Newcomer
  readonly sinceMs: number
  readonly ticket: number
  readonly source: Source
  place: Place<Waiting> | undefined
}

/** What is known of a connection that is served. */
interface Served {
  readonly source: Source
  /** Among the strangers, while it is one. */
  place: Place<Connection> | undefined
}

/** A stranger who has said something within this time is not displaced by a newcomer. */
const SILENT_MS = 500
/** A crowd is told of this often at most. */
const CROWD_REPORT_MS = 10_000
/** Of the sites whose turn comes next, so many are compared. */
const TURN_LOOK_MAX = 32
/** Of the served strangers of a source, the one heard least recently is looked for in so many. */
const SERVED_LOOK_MAX = 32

export class Admission {
  readonly connections: Slots<Connection> = new Slots()
  private readonly options: AdmissionOptions
  private readonly waiting = new FairQueue<Waiting>()
  /** Served strangers. */
  private readonly strangers = new FairQueue<Connection>()
  /** Of each of `connections`, by its slot. */
  private readonly served: (Served | undefined)[] = []
  private isTurnOfFew = false
  private crowdReportedMs = Number.NEGATIVE_INFINITY

  constructor(options: AdmissionOptions) {
    this.options = options
  }

  accept(newcomer: Newcomer, nowMs: number): void {
    const { lane, workerTable, connectionsMax, strangersMax, turnAway } = this.options
    const { network, networkKey } = newcomer.peer
    const isProven = this.options.isProven?.(networkKey) ?? false
    const source = { network, id: workerTable.strangers.holdSource(networkKey) }
    if (source.id === NO_SOURCE) {
      turnAway(newcomer, 'full')
      return
    }
    if (!workerTable.claimPlace(connectionsMax)) {
      const outcome = this.displace(source, isProven, nowMs)
      if (outcome !== 'displaced') {
        workerTable.strangers.releaseSource(source.id)
        turnAway(newcomer, outcome)
        return
      }
    }
    lane[COUNTER.total_connections]!++
    const goesBefore = workerTable.strangers.addStranger(source.id, isProven)
    if (this.options.isIdentified?.(newcomer)) {
      this.serveIdentified(newcomer, source)
      return
    }
    if (!workerTable.claimStranger(strangersMax, goesBefore)) {
      this.startWaiting({
        newcomer,
        sinceMs: nowMs,
        ticket: workerTable.nextTicket(),
        source,
        place: undefined,
      })
      // A place may have come free since, and whoever gave it up has seen nobody wait.
      this.admitWaiting(nowMs)
      return
    }
    this.serve(newcomer, source)
  }

  /** A connection logged in, or lost its login. */
  gateChanged(connection: Connection, nowMs: number): void {
    const { workerTable } = this.options
    const served = this.servedOf(connection)
    if (served === undefined) return
    const { source } = served
    if (connection.gate.isOpen) {
      if (this.forgetStranger(served)) workerTable.strangers.loseStranger(source.id)
      this.admitWaiting(nowMs)
    } else if (served.place === undefined) {
      this.rememberStranger(connection, served)
      workerTable.countStranger(1)
      workerTable.strangers.addStranger(source.id)
    }
    this.count()
  }

  closed(connection: Connection, nowMs: number): void {
    const { workerTable } = this.options
    const served = this.servedOf(connection)
    if (served !== undefined) {
      this.served[connection.slot] = undefined
      this.connections.remove(connection)
      workerTable.strangers.leave(served.source.id, this.forgetStranger(served))
    }
    this.admitWaiting(nowMs)
    this.count()
  }

  /** Another worker has taken places of ours for newcomers, or has one for who waits here. */
  settleWithOthers(nowMs: number): void {
    this.dropWanted(nowMs)
    this.admitWaiting(nowMs)
    this.count()
  }

  /** Drops those that waited too long; called by the worker's coarse timer. */
  checkDeadlines(nowMs: number): void {
    const { waitMs, lane, workerTable } = this.options
    for (;;) {
      const first = this.waiting.oldest
      if (first === undefined || nowMs - first.sinceMs < waitMs) break
      this.dropWaiting(first)
      lane[COUNTER.login_timeouts]!++
    }
    let silentCount = 0
    for (const stranger of this.strangers.each(Number.POSITIVE_INFINITY)) {
      if (nowMs - stranger.lastActivityMs >= SILENT_MS) silentCount++
    }
    workerTable.publishSilent(silentCount)
    this.settleWithOthers(nowMs)
  }

  /** Drops all that wait; the server stops. */
  dismissWaiting(): void {
    for (;;) {
      const first = this.waiting.oldest
      if (first === undefined) break
      this.dropWaiting(first)
    }
    this.count()
  }

  private serveIdentified(newcomer: Newcomer, source: Source): void {
    const { workerTable, strangersMax, lane } = this.options
    workerTable.countStranger(1)
    const connection = this.serve(newcomer, source)
    // Another worker took the last place of its namespace in between.
    if (connection.gate.isOpen || !workerTable.hasMoreStrangersThan(strangersMax)) return
    lane[COUNTER.rejected_connections]!++
    connection.close()
  }

  private serve(newcomer: Newcomer, source: Source): Connection {
    const { workerTable } = this.options
    const connection = this.options.serve(newcomer)
    this.connections.add(connection)
    const served: Served = { source, place: undefined }
    this.served[connection.slot] = served
    this.rememberStranger(connection, served)
    // On a server without authentication nobody is a stranger for longer than this.
    if (connection.gate.isOpen && this.forgetStranger(served))
      workerTable.strangers.loseStranger(source.id)
    this.count()
    return connection
  }

  private servedOf({ slot }: Connection): Served | undefined {
    return slot === NO_SLOT ? undefined : this.served[slot]
  }

  private admitWaiting(nowMs: number): void {
    const { workerTable, strangersMax, waitMs, lane } = this.options
    while (this.waiting.size > 0 || workerTable.hasOthers) {
      if (!workerTable.claimStrangerForOldest(strangersMax)) return
      const next = this.chooseNextWaiting()
      if (next !== undefined && nowMs - next.sinceMs < waitMs) {
        this.stopWaiting(next)
        this.serve(next.newcomer, next.source)
        continue
      }
      workerTable.countStranger(-1)
      if (next === undefined) return
      this.dropWaiting(next)
      lane[COUNTER.login_timeouts]!++
    }
  }

  private chooseNextWaiting(): Waiting | undefined {
    const { workerTable } = this.options
    const isTurnOfFew = this.isTurnOfFew
    this.isTurnOfFew = !isTurnOfFew
    if (!isTurnOfFew) return this.waiting.oldest
    return this.waiting.takeTurn(TURN_LOOK_MAX, (site, other) =>
      workerTable.strangers.hasFewer(site, other),
    )
  }

  /** Makes room for a newcomer by dropping a stranger, or says why not. */
  private displace(
    source: Source,
    isProven: boolean,
    nowMs: number,
  ): 'displaced' | 'full' | 'crowd' {
    const { workerTable, connectionsMax } = this.options
    // Whom others want dropped goes first: who is dropped for them is not there for the newcomer.
    this.dropWanted(nowMs)
    const taken = workerTable.strangers.takePlaceFor(source.id, connectionsMax, isProven)
    switch (taken) {
      case 'crowd':
        this.reportCrowd(source, nowMs)
        return 'crowd'
      case 'none':
        return 'full'
      case 'taken':
        return 'displaced'
      case 'ours': {
        const { victim, mustBeSilent } = workerTable.strangers
        if (this.dropStranger(victim, mustBeSilent, nowMs)) {
          return workerTable.claimPlace(connectionsMax) ? 'displaced' : 'full'
        }
        return workerTable.strangers.takePlaceOfSilent(victim) ? 'displaced' : 'full'
      }
      default:
        return unreachable(taken)
    }
  }

  private dropWanted(nowMs: number): void {
    const { workerTable } = this.options
    for (;;) {
      const source = workerTable.strangers.nextWantedSource()
      if (source === NO_SOURCE) return
      const isDropped = this.dropStranger(source, false, nowMs)
      assert(isDropped, 'a worker has the strangers that it is counted with')
    }
  }

  /**
   * Drops a stranger of `source`: the one that has waited longest, or of the served ones that came
   * first, the one heard least recently. False when there is none, or only such as just spoke.
   */
  private dropStranger(source: number, mustBeSilent: boolean, nowMs: number): boolean {
    const { lane } = this.options
    const waiting = this.waiting.oldestOf(source)
    if (waiting !== undefined) {
      this.reportCrowd(waiting.source, nowMs)
      this.dropWaiting(waiting)
      lane[COUNTER.rejected_connections]!++
      lane[COUNTER.rejected_displaced]!++
      return true
    }
    let found: Connection | undefined
    for (const stranger of this.strangers.eachOf(source, SERVED_LOOK_MAX)) {
      if (mustBeSilent && nowMs - stranger.lastActivityMs < SILENT_MS) continue
      if (found === undefined || stranger.lastActivityMs < found.lastActivityMs) found = stranger
    }
    if (found === undefined) return false
    this.reportCrowd(this.servedOf(found)?.source, nowMs)
    lane[COUNTER.rejected_connections]!++
    lane[COUNTER.rejected_displaced]!++
    found.close()
    return true
  }

  private startWaiting(waiting: Waiting): void {
    const { workerTable } = this.options
    const { id } = waiting.source
    waiting.place = this.waiting.add(waiting, workerTable.strangers.siteOf(id), id)
    workerTable.strangers.startWaiting(id)
    this.waitingChanged()
  }

  private stopWaiting(waiting: Waiting): void {
    assert(waiting.place !== undefined, 'who waits has a place')
    this.waiting.remove(waiting.place)
    waiting.place = undefined
    this.options.workerTable.strangers.stopWaiting(waiting.source.id)
    this.waitingChanged()
  }

  private dropWaiting(waiting: Waiting): void {
    this.stopWaiting(waiting)
    waiting.newcomer.close()
    this.options.workerTable.strangers.leave(waiting.source.id, true)
  }

  private reportCrowd(source: Source | undefined, nowMs: number): void {
    if (source === undefined) return
    if (nowMs - this.crowdReportedMs < CROWD_REPORT_MS) return
    this.crowdReportedMs = nowMs
    const { workerTable, onCrowd } = this.options
    onCrowd(source.network, workerTable.strangers.ofSource(source.id), workerTable.strangers.total)
  }

  private rememberStranger(connection: Connection, served: Served): void {
    const { id } = served.source
    served.place = this.strangers.add(connection, this.options.workerTable.strangers.siteOf(id), id)
  }

  /** Gives its place among the served strangers back; false when it has none. */
  private forgetStranger(served: Served): boolean {
    if (served.place === undefined) return false
    this.strangers.remove(served.place)
    served.place = undefined
    this.options.workerTable.countStranger(-1)
    return true
  }

  private waitingChanged(): void {
    const { oldest, size } = this.waiting
    this.options.workerTable.publishWaiting(size, oldest?.ticket ?? 0)
    this.count()
  }

  private count(): void {
    const { lane } = this.options
    lane[COUNTER.curr_connections] = this.connections.size + this.waiting.size
    lane[COUNTER.unauthenticated_connections] = this.strangers.size
    lane[COUNTER.waiting_connections] = this.waiting.size
  }
}
