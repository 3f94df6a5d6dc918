/**
 * How connections come to one worker: from its listening sockets through the accept queue to admission,
 * and whether this worker accepts at all. Newcomers are left to workers that have fewer connections, to
 * all others while the main thread says so, and to nobody once the server stops.
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
  readonly clock: Pick<ThreadClock, 'nowMs' | 'sharedMs'>
  readonly time: CoarseTime
  readonly turns: Pick<StrangerTurns, 'take' | 'soon'>
  readonly createSource: (options: NewcomerSourceOptions) => NewcomerSource
  readonly tls: NewcomerSourceOptions['tls']
  readonly onWithout: NewcomerSourceOptions['onWithout']
  /** Whether it is let in by where it comes in. */
  readonly isIdentified: (newcomer: Newcomer) => boolean
  /** Makes a served connection of a newcomer. */
  readonly serve: (newcomer: Newcomer) => Connection
}

/** Failures to accept are told of this often at most. */
const ACCEPT_FAILED_SAY_MS = 10_000
const TOO_MANY_CONNECTIONS = Buffer.from('ERROR Too many open connections\r\n')

export class Acceptor {
  private readonly options: AcceptorOptions
  private readonly admission: Admission
  private readonly queue: AcceptQueue
  private readonly source: NewcomerSource
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
      isIdentified: options.isIdentified,
      serve,
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
    this.queue.letIn()
    if (this.isPassing) this.balance()
  }

  /** Decides anew whether this worker accepts, or others. */
  balance(): void {
    const { workerTable } = this.options
    if (this.isStopped || this.isHeld || !workerTable.hasOthers) return
    this.isPassing = !workerTable.turns.balance()
    if (this.isPassing) this.source.pause()
    else this.source.resume()
  }

  /** Whether newcomers may be accepted at all. */
  hold(isHeld: boolean): void {
    this.isHeld = isHeld
    if (isHeld) this.source.pause()
    else if (!this.isStopped) this.source.resume()
  }

  /** For good; those that wait for a place are still there, see `dismiss`. */
  stop(): void {
    this.isStopped = true
    this.options.workerTable.turns.retire()
    this.source.pause()
  }

  /** Closes all that wait for a place. */
  dismiss(): void {
    this.queue.dismiss()
    this.admission.dismissWaiting()
  }

  private accept(newcomer: Newcomer): void {
    const { workerTable, clock, time, turns } = this.options
    time.nowMs = clock.nowMs()
    turns.take()
    if (this.isStopped) {
      newcomer.close()
      return
    }
    this.queue.arrive(newcomer)
    this.balance()
    if (!workerTable.hasOthers || this.isPassing || this.isHeld) return
    workerTable.turns.awaitOthers(time.nowMs)
    this.isPassing = workerTable.turns.handOver()
    if (this.isPassing) this.source.pause()
  }

  private settleWithOthers(): void {
    const { clock, time } = this.options
    if (this.isStopped) return
    time.nowMs = clock.nowMs()
    this.admission.settleWithOthers(time.nowMs)
    this.queue.settleWithOthers()
    this.balance()
  }

  /** Each worker notices the one crowd. */
  private sayCrowded(network: string, count: number, total: number): void {
    const { workerTable, clock, log } = this.options
    if (!workerTable.claimCrowdReport(clock.sharedMs())) return
    log.write({
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
