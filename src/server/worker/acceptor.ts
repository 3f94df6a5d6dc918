/**
 * How connections come to one worker: from its listening sockets through the accept queue to admission,
 * and whether this worker accepts at all. Newcomers are left to workers that have fewer connections, to
 * all others while the main thread says so, and to nobody once the server stops.
 *
 * Of what a newcomer takes, one part has a turn of the event loop at a time, between two looks at what clients ask:
 *
 *   accept --> arrivals, ARRIVALS_MAX at most --> a place, and a connection
 *                 a place came free: who waits --^
 *
 * Invariant: where workers share the sockets, none accepts another before the last has its place: who has fewer
 * connections is known by then.
 */

import type { Slots } from '../../base/slots.ts'
import type { SourceKey } from '../../base/source-network.ts'
import type { Connection } from '../../connection/connection.ts'
import { COUNTER } from '../../observe/counters.ts'
import { AcceptQueue } from '../admission/accept-queue.ts'
import { Admission } from '../admission/admission.ts'
import type { WorkerTable } from '../admission/worker-table.ts'
import type { Newcomer, NewcomerSource, NewcomerSourceOptions } from '../net/newcomer.ts'
import type { StrangerTurns } from './stranger-turns.ts'
import type { CoarseTime, ThreadClock } from './thread-clock.ts'
import type { WorkerLog } from './worker-log.ts'
import type { WorkerSettings } from './worker-messages.ts'

export interface AcceptorOptions {
  readonly settings: WorkerSettings
  readonly workerTable: WorkerTable
  /** Whether somebody logged in rightly from there lately; undefined: nobody is known. */
  readonly isProven: ((source: SourceKey) => boolean) | undefined
  readonly lane: Float64Array
  readonly log: WorkerLog
  readonly clock: Pick<ThreadClock, 'nowMs'>
  readonly time: CoarseTime
  readonly turns: Pick<StrangerTurns, 'take' | 'soon' | 'welcome'>
  readonly createSource: (options: NewcomerSourceOptions) => NewcomerSource
  readonly tls: NewcomerSourceOptions['tls']
  readonly onWithout: NewcomerSourceOptions['onWithout']
  /** Makes a served connection of a newcomer. */
  readonly serve: (newcomer: Newcomer) => Connection
}

/** Accepted and not looked at, the others are left in the system's queue: of a worker alone, and of one of several. */
const ARRIVALS_MAX = 4
const ARRIVALS_MAX_SHARED = 1
/** Failures to accept are told of this often at most. */
const ACCEPT_FAILED_SAY_MS = 10_000
const TOO_MANY_CONNECTIONS = Buffer.from('ERROR Too many open connections\r\n')

export class Acceptor {
  private readonly options: AcceptorOptions
  private readonly admission: Admission
  private readonly queue: AcceptQueue
  private readonly source: NewcomerSource
  private readonly goOn: () => void = () => this.welcome()
  private readonly arrivalsMax: number
  private arrivals: Newcomer[] = []
  /** A place may have come free for who waits. */
  private mayLetIn = false
  /** The last step was theirs. */
  private hasLetIn = false
  /** Newcomers are left to workers that have fewer connections. */
  private isPassing = false
  /** The main thread lets nobody in for now. */
  private isHeld = false
  private isStopped = false
  private acceptFailures = 0
  private acceptFailedMs = Number.NEGATIVE_INFINITY

  constructor(options: AcceptorOptions) {
    this.options = options
    const { settings, workerTable, lane, clock, time, serve } = options
    this.arrivalsMax = workerTable.hasOthers ? ARRIVALS_MAX_SHARED : ARRIVALS_MAX
    this.admission = new Admission({
      connectionsMax: settings.connectionsMax,
      strangersMax:
        settings.auth === undefined
          ? Number.POSITIVE_INFINITY
          : settings.unauthenticatedConnectionsMax,
      waitMs: settings.loginTimeoutMs,
      workerTable,
      isProven: options.isProven,
      lane,
      isIdentified: ({ channel }) =>
        settings.sockets[channel.listenerIndex]?.identity !== undefined,
      serve,
      onRoom: () => this.letInSoon(),
      turnAway: (_, reason) => this.queue.turnedAway(reason),
      onCrowd: (network, count, total) => this.sayCrowded(network, count, total),
    })
    this.queue = new AcceptQueue({
      heldMax: settings.heldConnectionsMax,
      workerTable,
      lane,
      isProven: options.isProven,
      admit: (newcomer) => this.admission.accept(newcomer, time.nowMs),
      refuse: (newcomer) => newcomer.refuse(TOO_MANY_CONNECTIONS),
      monotonicMs: () => clock.nowMs(),
    })
    this.source = options.createSource({
      backlog: settings.backlog,
      sendBufferBytesMax: settings.sendBufferBytesMax,
      onAccept: (newcomer) => this.accept(newcomer),
      onAcceptError: (code) => this.acceptFailed(code),
      tls: options.tls,
      passwordsInTheClear: settings.passwordsInTheClear,
      soon: (run) => options.turns.soon(run),
      onWithout: options.onWithout,
    })
  }

  /** All that are served. */
  get connections(): Slots<Connection> {
    return this.admission.connections
  }

  /** False while nobody finds a place. */
  get isAccepting(): boolean {
    return !this.isStopped && !this.queue.isFull
  }

  /** Throws ListenError. */
  async listen(): Promise<void> {
    const { settings, workerTable } = this.options
    for (const [index, socket] of settings.sockets.entries())
      await this.source.listen(socket, index)
    if (workerTable.hasOthers) workerTable.onWakeUp(() => this.settleWithOthers())
  }

  /** To be called by the worker's coarse timer; `balance` follows. */
  checkDeadlines(): void {
    this.admission.checkDeadlines(this.options.time.nowMs)
    this.queue.settleWithOthers()
    this.queue.letIn()
  }

  gateChanged(connection: Connection): void {
    this.admission.gateChanged(connection, this.options.time.nowMs)
  }

  closed(connection: Connection): void {
    this.admission.closed(connection, this.options.time.nowMs)
    if (this.queue.isFull) this.letInSoon()
    if (this.isPassing) this.balance()
  }

  /** Decides anew whether this worker accepts, or others. */
  balance(): void {
    const { workerTable } = this.options
    if (this.isStopped || this.isHeld || !workerTable.hasOthers) return
    this.isPassing = !workerTable.turns.balance()
    this.settleSource()
  }

  /** Whether newcomers may be accepted at all. */
  hold(isHeld: boolean): void {
    this.isHeld = isHeld
    if (!isHeld) this.isPassing = false
    this.settleSource()
  }

  /** For good; those that wait for a place are still there, see `dismiss`. */
  stop(): void {
    this.isStopped = true
    this.options.workerTable.turns.retire()
    this.settleSource()
  }

  /** Closes all that wait for a place. */
  dismiss(): void {
    for (const newcomer of this.arrivals.splice(0)) newcomer.close()
    this.queue.dismiss()
    this.admission.dismissWaiting()
  }

  private settleSource(): void {
    const isFull = this.arrivals.length >= this.arrivalsMax
    if (this.isStopped || this.isHeld || this.isPassing || isFull) this.source.pause()
    else this.source.resume()
  }

  private accept(newcomer: Newcomer): void {
    const { turns } = this.options
    turns.take()
    if (this.isStopped) {
      newcomer.close()
      return
    }
    this.arrivals.push(newcomer)
    this.settleSource()
    turns.welcome(this.goOn)
  }

  private letInSoon(): void {
    if (this.isStopped) return
    this.mayLetIn = true
    this.options.turns.welcome(this.goOn)
  }

  /** One step: somebody who waits is let in, or somebody who has come, by turns. */
  private welcome(): void {
    const { clock, time, turns } = this.options
    time.nowMs = clock.nowMs()
    const [arrival] = this.arrivals
    this.hasLetIn = this.mayLetIn && (arrival === undefined || !this.hasLetIn)
    if (this.hasLetIn) {
      this.mayLetIn = this.admission.letNextIn(time.nowMs)
      if (!this.mayLetIn) this.queue.letIn()
    } else if (arrival !== undefined) {
      this.arrivals.shift()
      this.arrive(arrival)
    }
    if (this.mayLetIn || this.arrivals.length > 0) turns.welcome(this.goOn)
  }

  private arrive(newcomer: Newcomer): void {
    const { workerTable, time } = this.options
    this.queue.arrive(newcomer)
    if (!workerTable.hasOthers) {
      this.settleSource()
      return
    }
    this.balance()
    if (this.isPassing || this.isHeld || this.isStopped) return
    workerTable.turns.awaitOthers(time.nowMs)
    this.isPassing = workerTable.turns.handOver()
    this.settleSource()
  }

  private settleWithOthers(): void {
    const { clock, time } = this.options
    if (this.isStopped) return
    time.nowMs = clock.nowMs()
    this.admission.settleWithOthers(time.nowMs)
    this.queue.settleWithOthers()
    this.balance()
  }

  private sayCrowded(network: string, count: number, total: number): void {
    this.options.log.write({
      level: 'warn',
      event: 'full_of_strangers',
      message: 'the server is full of connections that have not logged in',
      fields: { total, most_from: network, from_there: count },
    })
  }

  /** They come as fast as newcomers do. */
  private acceptFailed(code: string): void {
    const { lane, log, clock } = this.options
    lane[COUNTER.rejected_connections]!++
    lane[COUNTER.rejected_full]!++
    this.acceptFailures++
    const nowMs = clock.nowMs()
    if (nowMs - this.acceptFailedMs < ACCEPT_FAILED_SAY_MS) return
    this.acceptFailedMs = nowMs
    log.write({
      level: 'error',
      event: 'accept_failed',
      message: 'a connection could not be accepted (raise the limit of open files: ulimit -n)',
      fields: { code, failures: this.acceptFailures },
    })
  }
}
