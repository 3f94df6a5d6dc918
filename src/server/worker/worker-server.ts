/**
 * One worker: its own event loop, its share of the connections, and its view of what all workers
 * share: the listening sockets, the store, the counters, the worker table. It owns no files and no
 * signals; what it wants written to the log it posts to the main thread.
 *
 * Invariant: after `stop` it posts `accepts-no-more`, and `stopped` once its last connection is closed.
 */
import { Clock } from '../../base/clock.ts'
import type { Pipe } from '../../base/pipe.ts'
import { unreachable } from '../../base/unreachable.ts'
import { AnswerDelays } from '../../connection/answer-delays.ts'
import { AuthGate, type AuthGateOptions, type RefusalEvent } from '../../connection/auth-gate.ts'
import { Connection, type ConnectionContext } from '../../connection/connection.ts'
import { TurnCounts } from '../../connection/turn-counts.ts'
import type { CredentialSnapshot } from '../../credential/credential-snapshot.ts'
import { counterLane } from '../../observe/counters.ts'
import type { LogEvent } from '../../observe/log.ts'
import { sharedLane } from '../../observe/shared-lanes.ts'
import { UserCounts } from '../../observe/user-counts.ts'
import { CONNECTION_CLOSE, CONNECTION_NEW } from '../../observe/watch-line.ts'
import type { SaslEnvironment } from '../../sasl/environment.ts'
import type { RememberedLogin } from '../../sasl/login-memory.ts'
import { WorkerTable } from '../admission/worker-table.ts'
import { ListenError } from '../net/listen-error.ts'
import { Listener } from '../net/listener.ts'
import type { Newcomer, NewcomerSource, NewcomerSourceOptions } from '../net/newcomer.ts'
import { Acceptor } from './acceptor.ts'
import { ConnectionRows } from './connection-rows.ts'
import { tellWatchers } from './connection-watch.ts'
import { DeadlineWalk } from './deadline-walk.ts'
import { EventCounters } from './event-counters.ts'
import { ItemService } from './item-service.ts'
import { ListenerIdentities } from './listener-identities.ts'
import { LoginLog } from './login-log.ts'
import { cutNamespaces, renewLogins } from './login-renewal.ts'
import { LoopMeasures } from './loop-measures.ts'
import { StrangerTurns } from './stranger-turns.ts'
import type { ThreadClock } from './thread-clock.ts'
import { TickReports } from './tick-reports.ts'
import { Turns } from './turns.ts'
import { createAudit, type WorkerAudit } from './worker-audit.ts'
import { WorkerLog } from './worker-log.ts'
import type { FromWorker, ToWorker, WorkerPort, WorkerSettings } from './worker-messages.ts'
import { createSasl } from './worker-sasl.ts'
import { createThrottle } from './worker-throttle.ts'
import { WorkerTls } from './worker-tls.ts'

/** Period of the one timer behind all deadlines. */
const TICK_MS = 100
/** How often a look is taken at whose refusal is over. */
const THROTTLE_LOOK_MS = 1000
/** The login deadline while others wait for their turn. */
const CROWDED_LOGIN_TIMEOUT_MS = 1000
const LINGER_MS = 1000
/** When the server stops, clients get less time to close first. */
const STOPPING_LINGER_MS = 200

export class WorkerServer {
  private readonly settings: WorkerSettings
  private readonly port: WorkerPort
  private readonly threadClock: ThreadClock
  private readonly clock: Clock
  private readonly lane: Float64Array
  private readonly workerTable: WorkerTable
  private readonly sasl: SaslEnvironment | undefined
  /** What all connections share; also this worker's coarse time. */
  private readonly context: ConnectionContext
  private readonly turns: Turns
  private readonly strangerTurns: StrangerTurns
  private readonly log: WorkerLog
  private readonly loginLog: LoginLog
  private readonly reports: TickReports
  private readonly audit: WorkerAudit | undefined
  private readonly users: UserCounts
  private readonly events: EventCounters
  private readonly loop: LoopMeasures
  /** Undefined where no listener speaks TLS. */
  private readonly tls: WorkerTls | undefined
  private readonly gateOptions: AuthGateOptions
  private readonly delays: AnswerDelays
  /** Whose turn comes when the audit has caught up. */
  private resting: Connection[] = []
  private throttleLookMs = 0
  private readonly items: ItemService
  private readonly identities: ListenerIdentities
  private readonly rows: ConnectionRows
  private readonly acceptor: Acceptor
  private readonly deadlines: DeadlineWalk
  private endTicks: () => void = () => undefined
  /** Posted by the next tick: a client that asks all the time must not flood the main thread. */
  private wantedVerbosity: number | undefined = undefined
  private isStopping = false
  private isFinished = false
  private cutCount = 0

  /** Where newcomers come from is a parameter for tests, which have some without sockets. */
  constructor(
    settings: WorkerSettings,
    port: WorkerPort,
    clock: ThreadClock,
    createSource: (options: NewcomerSourceOptions) => NewcomerSource = (options) =>
      new Listener(options),
  ) {
    this.settings = settings
    this.port = port
    this.threadClock = clock
    this.clock = Clock.of(settings.clock, clock)
    const lane = counterLane(settings.counters, settings.workerIndex)
    this.lane = lane
    this.workerTable = new WorkerTable(settings.workerTable, settings.workerIndex)
    const main = {
      ask: () => this.post({ kind: 'token-keys-wanted' }),
      epochSeconds: () => this.clock.epochMs(clock.nowMs()) / 1000,
      onRemembered: (login: RememberedLogin) => this.post({ kind: 'remembered', login }),
    }
    const { measures, workerIndex } = settings
    this.users = new UserCounts(measures.users, workerIndex)
    this.events = new EventCounters(measures.events, workerIndex)
    this.loop = new LoopMeasures(measures.loops, workerIndex, TICK_MS)
    this.audit = createAudit(settings, (event) => this.post({ kind: 'audit', event }), clock)
    const strangerTurns = new StrangerTurns(clock)
    this.strangerTurns = strangerTurns
    const write = (event: LogEvent): void => this.log.write(event)
    const throttle = createThrottle(settings, lane, clock, write, this.audit)
    this.sasl = createSasl(settings, lane, clock, strangerTurns, throttle, this.audit, main)
    this.turns = new Turns(clock)
    this.delays = new AnswerDelays(clock, (run) => strangerTurns.soon(run))
    this.tls = this.createTls(write)
    this.items = this.createItems()
    this.identities = new ListenerIdentities(settings.sockets, this.sasl, this.items.places)
    this.context = this.createContext()
    this.log = new WorkerLog(
      (event) => this.post({ kind: 'log', event }),
      settings.logLevel,
      settings.threadCount,
      this.context,
    )
    this.loginLog = new LoginLog((event) => this.log.write(event), settings.threadCount)
    this.reports = new TickReports((event) => this.log.write(event), lane)
    this.gateOptions = this.createGateOptions(lane)
    this.rows = new ConnectionRows({
      memory: settings.connectionTable,
      sockets: settings.sockets,
      clock: this.clock,
      threadClock: clock,
    })
    this.acceptor = new Acceptor({
      settings,
      workerTable: this.workerTable,
      isProven: throttle === undefined ? undefined : (source) => throttle.isProven(source),
      lane,
      log: this.log,
      clock,
      time: this.context,
      turns: this.strangerTurns,
      createSource,
      tls: this.tls?.options,
      onWithout: (internal) => this.post({ kind: 'without', internal }),
      isIdentified: (newcomer) => this.identities.letsIn(newcomer),
      serve: (newcomer) => this.serve(newcomer),
    })
    this.deadlines = new DeadlineWalk(this.acceptor.connections, this.strangerTurns)
  }

  private createGateOptions(lane: Float64Array): AuthGateOptions {
    return {
      sasl: this.sasl,
      loginAttemptsMax: this.settings.loginAttemptsMax,
      lane,
      users: this.users,
      delays: this.delays,
      places: this.items.places,
      onLogin: (event) => {
        this.loginLog.record(event, this.context.nowMs)
        this.events.login(event)
        this.audit?.login(event)
      },
      onRefusal: (event) => {
        this.logRefusal(event)
        this.events.refusal(event)
        this.audit?.refusal(event)
      },
      onOperation: (event) => this.audit?.operation(event),
      isBehind: (of) => this.audit?.isBehind(of) ?? false,
    }
  }

  /** Begins to work; resolves when it listens, or has posted why it cannot. */
  async start(): Promise<void> {
    this.port.on('message', (message) => this.receive(message))
    if (this.settings.measures.latencies !== undefined) this.loop.watchCollections()
    this.endTicks = this.threadClock.every(TICK_MS, () => this.tick())
    this.readClock()
    await this.items.opened()
    try {
      await this.acceptor.listen()
    } catch (error) {
      if (!(error instanceof ListenError)) throw error
      this.post({ kind: 'refused', message: error.message, isFollowing: error.isFollowing })
      return
    }
    this.post({ kind: 'listening' })
  }

  private post(message: FromWorker): void {
    this.port.postMessage(message)
  }

  private receive(message: ToWorker): void {
    switch (message.kind) {
      case 'credentials':
        this.items.addNamespaces(message.namespaces ?? [])
        this.replaceCredentials(message.credentials)
        this.post({ kind: 'credentials-in-force', reloadId: message.reloadId })
        break
      case 'certificates':
        this.tls?.replace(message.material)
        this.items.facts.certificatesReadAtSeconds = message.material.loadedAtSeconds
        this.post({ kind: 'certificates-in-force', generation: message.material.generation })
        break
      case 'certificates-refreshed':
        if (message.workerIndex === this.settings.workerIndex) this.tls?.refreshed(message.problem)
        break
      case 'remembered':
        this.sasl?.learn(message.login)
        break
      case 'token-keys':
        this.sasl?.tokens?.keys.replace(message.keys)
        break
      case 'leave-namespaces':
        this.leaveNamespaces(message.ids)
        this.post({ kind: 'namespaces-left', changeId: message.changeId })
        break
      case 'restored':
        this.items.endRestore()
        break
      case 'accept':
        this.acceptor.hold(!message.accepts)
        break
      case 'cluster':
        this.items.cluster.current = message.nodes
        break
      case 'log-level':
        this.log.level = message.level
        this.items.facts.verbosity = String(message.verbosity)
        break
      case 'stop':
        this.stop(message.deadlineMs)
        break
      default:
        unreachable(message)
    }
  }

  private createItems(): ItemService {
    const { settings, lane, sasl, clock, threadClock, tls } = this
    return new ItemService({
      settings,
      lane,
      counts: (itemLane) => this.createCounts(itemLane),
      sasl,
      clock,
      threadClock,
      connections: () => this.rows.list(),
      isAccepting: () => this.acceptor.isAccepting,
      onVerbosity: (level) => {
        this.wantedVerbosity = level
      },
      onShutdown: () => this.post({ kind: 'shutdown' }),
      write: (event) => this.log.write(event),
      refreshCertificates: tls && (() => tls.refresh()),
    })
  }

  private createCounts(itemLane: (namespace: number) => Float64Array | undefined): TurnCounts {
    const { settings, lane, users, threadClock } = this
    const { measures, workerIndex } = settings
    const { requests, latencies } = measures
    return new TurnCounts({
      lane,
      users: users.lane,
      requests: sharedLane(requests, workerIndex),
      latencies: latencies && sharedLane(latencies, workerIndex),
      itemLane,
      nowMs: threadClock.nowMs,
    })
  }

  private createTls(write: (event: LogEvent) => void): WorkerTls | undefined {
    const { settings, lane, events, audit, clock, threadClock, strangerTurns } = this
    const { tls: material, workerIndex } = settings
    if (material === undefined) return undefined
    return new WorkerTls({
      material,
      lane,
      events,
      audit,
      nowMs: () => this.context.nowMs,
      epochSeconds: () => clock.epochMs(threadClock.nowMs()) / 1000,
      clock: threadClock,
      turns: strangerTurns,
      write,
      askForRefresh: () => this.post({ kind: 'refresh-certificates', workerIndex }),
    })
  }

  private createContext(): ConnectionContext {
    const { settings, lane, items, turns, strangerTurns } = this
    const { loginTimeoutMs } = settings
    return {
      limits: {
        loginTimeoutMs,
        crowdedLoginTimeoutMs: Math.min(CROWDED_LOGIN_TIMEOUT_MS, loginTimeoutMs),
        idleTimeoutMs: settings.idleTimeoutMs,
        stalledWriteTimeoutMs: settings.stalledWriteTimeoutMs,
        sendBufferBytesMax: settings.sendBufferBytesMax,
      },
      lane,
      counts: items.counts,
      sendBuffer: items.sendBuffer,
      nowMs: this.threadClock.nowMs(),
      epochSeconds: this.clock.epochSeconds(this.threadClock.nowMs()),
      isCrowded: false,
      isStopping: false,
      lingerMs: LINGER_MS,
      replyMemory: items.replyMemory,
      hasRoomFor: (bytes, isLoggedIn, namespace) =>
        items.unfinished.hasRoomFor(bytes, isLoggedIn, namespace),
      refuseArriving: (namespace) => items.unfinished.refuseArriving(namespace),
      isInputWanted: (namespace, isInStore) => items.unfinished.isWantedOf(namespace, isInStore),
      countUnfinished: (namespace, change) => items.unfinished.count(namespace, change),
      isStrangersTurn: (canWait) => strangerTurns.isOpen(canWait),
      onLoginTimeout: (peer) => this.reports.loginTimedOut(peer),
      detect: (firstByte, listenerIndex) => items.detect(firstByte, listenerIndex),
      defer: (connection) => {
        if (connection.gate.takeRest()) this.resting.push(connection)
        else (connection.gate.isOpen ? turns : strangerTurns).defer(connection)
      },
      onGateChanged: (connection) => this.acceptor.gateChanged(connection),
      onExpired: (connection) => this.expired(connection),
      onClosed: (connection) => this.closed(connection),
    }
  }

  private serve(newcomer: Newcomer): Connection {
    const transport = newcomer.open()
    const gate = new AuthGate(this.gateOptions, transport)
    this.identify(gate, transport)
    const id = this.workerTable.nextConnectionId()
    const connection = new Connection(this.context, transport, gate, id)
    this.rows.add(connection)
    tellWatchers(this.items.watchLog, connection, CONNECTION_NEW)
    this.logDetail(connection, 'connected', 'client connected')
    transport.attach(connection)
    return connection
  }

  /** Where its namespace has no place for one more, a login is asked for as elsewhere. */
  private identify(gate: AuthGate, pipe: Pipe): void {
    const principal = this.identities.principalOf(pipe)
    if (principal === undefined || !gate.admit(principal, 'listener')) return
    const { peer } = pipe
    const event = { succeeded: true, principal, peer, mechanism: 'listener' } as const
    this.events.login(event)
    this.audit?.login(event)
  }

  private closed(connection: Connection): void {
    this.logDetail(connection, 'disconnected', 'client disconnected')
    this.items.watchers.remove(connection)
    tellWatchers(this.items.watchLog, connection, CONNECTION_CLOSE)
    this.rows.remove(connection)
    this.acceptor.closed(connection)
    if (this.isStopping) this.finishWhenEmpty()
  }

  private expired(connection: Connection): void {
    this.reports.expired()
    this.logDetail(connection, 'login_expired', 'the login of a client has expired')
  }

  private logDetail(connection: Connection, event: string, message: string): void {
    if (!this.log.hasDetail) return
    const peer = connection.transport.peer.text
    this.log.write({ level: 'debug', event, message, fields: { peer } })
  }

  private logRefusal({ principal, peer, command, lack }: RefusalEvent): void {
    const fields = { user: principal?.name, peer: peer.text, command, lacks: lack }
    const what = lack === 'option' ? 'nobody has it here' : 'the user may not do that'
    const message = `a command was refused: ${what}`
    this.log.write({ level: 'debug', event: 'command_denied', message, fields })
  }

  private readClock(): void {
    const { context, clock, items } = this
    context.nowMs = this.threadClock.nowMs()
    context.epochSeconds = clock.epochSeconds(context.nowMs)
    items.setTime(context.epochSeconds)
  }

  private tick(): void {
    const { context, workerTable, acceptor } = this
    this.readClock()
    this.loop.tick(context.nowMs)
    context.counts.tick()
    context.isCrowded = workerTable.isCrowded
    this.items.lookForWants(context.nowMs)
    this.deadlines.begin()
    this.audit?.flush()
    this.endRests()
    this.tellThrottleEnds()
    this.reports.reportExpired()
    acceptor.checkDeadlines()
    if (workerTable.hasOthers) this.rows.publish()
    this.loginLog.rollOver(context.nowMs)
    this.tls?.rollOver(context.nowMs)
    this.reports.reportMemory(context.nowMs)
    this.reports.reportLoginTimeouts(context.nowMs)
    this.items.maintain()
    workerTable.turns.beat()
    acceptor.balance()
    if (this.wantedVerbosity === undefined) return
    this.post({ kind: 'verbosity', level: this.wantedVerbosity })
    this.wantedVerbosity = undefined
  }

  private endRests(): void {
    const { audit, resting } = this
    if (resting.length === 0 || audit?.isBehind('refusals') || audit?.isBehind('operations')) return
    for (const connection of resting.splice(0)) this.turns.defer(connection)
  }

  private tellThrottleEnds(): void {
    const { nowMs } = this.context
    if (nowMs - this.throttleLookMs < THROTTLE_LOOK_MS) return
    this.throttleLookMs = nowMs
    this.sasl?.throttle?.tellEnded()
  }

  /**
   * Takes other users. What those who are logged in may do is what these say from now on; who is there no
   * more is cut off, and so is who is in another namespace: what it has under way belongs to the old one.
   */
  private replaceCredentials(credentials: CredentialSnapshot): void {
    if (this.sasl === undefined) return
    this.sasl.replaceCredentials(credentials)
    for (const event of renewLogins(this.acceptor.connections, this.sasl.credentials)) {
      this.log.write(event)
    }
  }

  /** Closes the connections of namespaces that are no more, at once: what they have under way ends with them. */
  private leaveNamespaces(ids: readonly number[]): void {
    const event = cutNamespaces(this.acceptor.connections, ids)
    this.items.leaveNamespaces(ids)
    if (event !== undefined) this.log.write(event)
  }

  private stop(deadlineMs: number): void {
    if (this.isStopping) return
    this.isStopping = true
    this.context.isStopping = true
    this.context.lingerMs = STOPPING_LINGER_MS
    this.acceptor.stop()
    this.post({ kind: 'accepts-no-more' })
    this.acceptor.dismiss()
    const { connections } = this.acceptor
    for (const connection of [...connections]) connection.stop()
    this.threadClock.after(deadlineMs, () => {
      this.cutCount = connections.size
      for (const connection of [...connections]) connection.close()
    })
    this.finishWhenEmpty()
  }

  private finishWhenEmpty(): void {
    if (this.isFinished || this.acceptor.connections.size > 0) return
    this.isFinished = true
    this.endTicks()
    // Others may have connections for as long as a drain may take, and who does not beat is taken for stuck.
    const { turns } = this.workerTable
    this.endTicks = this.threadClock.every(TICK_MS, () => turns.beat())
    this.loop.end()
    this.items.close()
    this.audit?.end()
    this.post({ kind: 'stopped', cutCount: this.cutCount })
  }
}
