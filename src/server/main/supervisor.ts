/**
 * The main thread of a server. It supervises and serves nobody itself: from a valid Config through the
 * users, the sockets and the workers to an end in order, or to a crash that is told of.
 */

import { assert } from '../../base/assert.ts'
import { Clock, type ClockBase, clockBase } from '../../base/clock.ts'
import { collectGarbage } from '../../base/collect-garbage.ts'
import { EXIT_OS, EXIT_SOFTWARE } from '../../base/exit-code.ts'
import type { Config } from '../../config/config.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import { type CounterMemory, sumCounter } from '../../observe/counters.ts'
import type { EventLog, LogEvent } from '../../observe/log.ts'
import { dropPrivileges, PidFile, type SystemUser, writePortFile } from '../files/process-files.ts'
import { BoundSockets } from '../net/bound-sockets.ts'
import { type Internal, WITHOUT } from '../net/node-internals.ts'
import type { PassedSocket } from '../net/passed-sockets.ts'
import type { TlsMaterial } from '../net/tls-material.ts'
import type { TouchedMemories } from '../snapshot/snapshot-messages.ts'
import { threadClock } from '../worker/thread-clock.ts'
import type { AuditMemory } from '../worker/worker-audit.ts'
import type { SharedMemory, ToWorker, WorkerAuth } from '../worker/worker-messages.ts'
import { AUDIT_LOOK_MS, type Audit } from './audit.ts'
import { bindListeners, unixAccess } from './bind-listeners.ts'
import { CertificateReload } from './certificate-reload.ts'
import { ClusterList, type ClusterListOptions } from './cluster-list.ts'
import { CredentialReload } from './credential-reload.ts'
import { reportReady, tellStarter } from './daemon.ts'
import { giveUpStart } from './give-up-start.ts'
import type { HttpService } from './http-service.ts'
import { warnOfLaterFiles } from './later-files.ts'
import { listenerEvent, sayListening, warnAboutClear } from './listener-notices.ts'
import { openAudit } from './open-audit.ts'
import { watchOpenFiles } from './open-files.ts'
import { Readiness } from './readiness.ts'
import { remoteSettings } from './remote-store.ts'
import { type Say, sayInto } from './say.ts'
import { createSharedMemory } from './shared-memory.ts'
import { signals } from './signals.ts'
import { snapshotSettings } from './snapshot-settings.ts'
import { Snapshots } from './snapshots.ts'
import { asStartError, StartError, StopAsked } from './start-error.ts'
import { letClientsGoFirst } from './thread-pool.ts'
import { TokenKeySource } from './token-key-source.ts'
import { VERSION } from './version.ts'
import { WorkerPool } from './worker-pool.ts'
import { workerSettings } from './worker-settings.ts'

/** A second signal to stop that comes so much later ends the writing of a snapshot. */
const ASKED_AGAIN_MS = 1000
/** A client has asked for the end, which is no signal. */
const SHUTDOWN = 'shutdown'

/** memcached takes every higher VERBOSITY for this one. */
const VERBOSITY_MAX = 2

export class Supervisor {
  private readonly config: Config
  private readonly passed: readonly PassedSocket[]
  private readonly log: EventLog
  private readonly say: Say
  private readonly clock: ClockBase = clockBase()
  private readonly threadTime: Clock = Clock.ofThread(this.clock)
  private readonly sockets: BoundSockets = new BoundSockets()
  private readonly workers: WorkerPool
  private readonly readiness: Readiness = new Readiness()
  /** Who is told of other users and namespaces: whoever uses the stores. */
  private readonly staff = {
    size: 0,
    broadcast: (message: ToWorker): void => {
      this.workers.broadcast(message)
      this.snapshots?.tell(message)
    },
  }
  /** What some worker found not to be there, each said once. */
  private readonly without: Set<Internal> = new Set()
  /** Undefined without authentication. */
  private credentials: CredentialReload | undefined = undefined
  /** Undefined where there is none, or not yet. */
  private audit: Audit | undefined = undefined
  private endAuditLooks: () => void = () => undefined
  private readonly onAudit = (event: AuditEvent): void => this.audit?.record(event)
  private readonly cluster: ClusterList
  /** Undefined without TLS. */
  private readonly certificates: CertificateReload | undefined
  /** Undefined where items do not outlive the server, or not yet. */
  private snapshots: Snapshots | undefined = undefined
  /** Undefined before workers start. */
  private counters: CounterMemory | undefined = undefined
  /** Undefined where no tokens are taken. */
  private tokenKeys: TokenKeySource | undefined = undefined
  /** Undefined where nobody is answered over HTTP. */
  private http: HttpService | undefined = undefined
  private isReady = false
  private isStopping = false
  private isDying = false
  private stopSignal = ''
  private signalledMs: number = Number.POSITIVE_INFINITY
  private pidFile: PidFile | undefined = undefined
  private user: SystemUser | undefined = undefined
  private endFileLooks: () => void = () => undefined
  private settle: (exitCode: number) => void = () => undefined

  constructor(
    config: Config,
    passed: readonly PassedSocket[],
    log: EventLog,
    reread: ClusterListOptions['reread'],
  ) {
    this.config = config
    this.passed = passed
    this.log = log
    const say = sayInto(log)
    this.say = say
    this.workers = new WorkerPool({
      say,
      clock: threadClock,
      onLog: (event) => log.write(event),
      onAudit: (event) => this.audit?.recordOfWorker(event),
      onReloaded: (reloadId) => this.credentials?.confirmed(reloadId),
      onCertificates: (generation) => this.certificates?.confirmed(generation),
      onRefreshCertificates: (workerIndex) => void this.refreshCertificates(workerIndex),
      onTokenKeysWanted: () => this.tokenKeys?.wanted(),
      onNamespacesLeft: (changeId) => this.credentials?.namespacesLeft(changeId),
      onRemembered: (login) => this.http?.learn(login),
      onWithout: (internal) => this.warnWithout(internal),
      onVerbosity: (level) => this.setVerbosity(level),
      onShutdown: () => {
        // It waits for the end of the start, as signals do.
        if (this.isReady) this.stop(SHUTDOWN)
        else this.stopSignal = SHUTDOWN
      },
      onAcceptsNoMore: () => this.stopListening(),
      onStopped: (cutCount) => void this.finish(cutCount),
      onStuck: (isStuck) => this.readiness[isStuck ? 'raise' : 'release']('stuck'),
      onDeath: (error) => this.die(error),
    })
    const { workers, threadTime } = this
    const nowSeconds = (): number => threadTime.epochSeconds(threadClock.nowMs())
    this.cluster = new ClusterList({ network: config.network, reread, say, workers, nowSeconds })
    this.certificates =
      config.tls === undefined
        ? undefined
        : new CertificateReload({
            config: config.tls,
            say,
            workers,
            clock: threadClock,
            nowSeconds,
            onAudit: this.onAudit,
            onMaterial: (material) => this.http?.replaceCertificates(material),
          })
  }

  /** Serves until told to stop; resolves to the exit code. `warn` tells of the system, once users and files are right. */
  async run(warn: () => void): Promise<number> {
    // Whatever way out of the process is taken, nothing of ours stays in the system.
    process.once('exit', () => this.removeFiles())
    for (const notice of this.config.notices) this.say('info', 'notice', notice)
    const auth = await this.loadUsers()
    const tls = await this.certificates?.load()
    this.http = await this.createHttp()
    warn()
    const finished = new Promise<number>((resolve) => {
      this.settle = resolve
    })
    this.endIfAsked()
    await this.bind(tls)
    this.endIfAsked()
    if (auth !== undefined) await letClientsGoFirst(this.say)
    await this.startWorkers(auth, tls)
    this.endIfAsked()
    this.settleIntoSystem()
    await this.credentials?.watch()
    await this.certificates?.watchFiles()
    await this.tokenKeys?.watch()
    this.endIfAsked()
    this.snapshots?.settle()
    this.credentials?.announceGenerated()
    this.readiness.release('starting')
    this.announceStart()
    this.endFileLooks = watchOpenFiles(threadClock, this.say)
    reportReady()
    this.isReady = true
    signals.handTo({ stop: (signal) => this.stop(signal), reload: () => this.reload() })
    if (this.stopSignal !== '') this.stop(this.stopSignal)
    collectGarbage(true)
    return await finished
  }

  /** Start-up failed, or its end was asked for: lets go of everything, so that the process can end. */
  async abandon(): Promise<void> {
    this.isStopping = true
    this.credentials?.close()
    this.certificates?.close()
    this.tokenKeys?.close()
    const { workers, snapshots, counters, say } = this
    await giveUpStart({ workers, snapshots, counters, say }, () => {
      signals.handTo({ stop: (signal) => this.stop(signal), reload: () => undefined })
    })
    this.http?.close()
    this.closeAudit('failure', 0)
    this.sockets.close()
    this.removeFiles()
  }

  sayStoppedEarly(signal: string): void {
    this.say('info', 'stopped', `${signal}: stopped before the server was ready`)
  }

  /** Until the server is ready signals wait; between its steps the start looks whether one has come. */
  private endIfAsked(): void {
    const signal = signals.stopAsked
    if (signal !== undefined) throw new StopAsked(signal)
  }

  private async loadUsers(): Promise<WorkerAuth | undefined> {
    const { config, say, staff: workers, onAudit } = this
    if (config.auth.required) {
      const { tokens } = config.auth
      this.credentials = new CredentialReload({
        config,
        say,
        workers,
        onAudit,
        onUsers: (credentials) => this.http?.replaceCredentials(credentials),
      })
      if (tokens !== undefined) {
        const options = { config: tokens, say, workers, clock: threadClock, onAudit }
        this.tokenKeys = new TokenKeySource(options)
        if (config.tls === undefined) {
          say('warn', 'tokens_without_tls', 'no token will be taken: no listener speaks TLS')
        }
      }
      return { ...(await this.credentials.load()), tokens: await this.tokenKeys?.load() }
    }
    say(
      'warn',
      'no_authentication',
      'running WITHOUT authentication: whoever reaches the port reads and writes everything',
    )
    return undefined
  }

  private announceStart(): void {
    const { config, say } = this
    for (const socket of this.sockets.shared) sayListening(socket, say)
    this.http?.announce()
    warnAboutClear(this.sockets.shared, config, say)
    for (const socket of this.sockets.shared) this.audit?.record(listenerEvent(socket))
    say('info', 'started', `saslcached ${VERSION} is ready`, {
      version: VERSION,
      node: process.versions.node,
      pid: process.pid,
      threads: config.process.threads,
      memory_bytes: config.memory.limitBytes,
      authentication: config.auth.required,
    })
  }

  /** What we have put into the system, as far as it is still ours. */
  private removeFiles(): void {
    this.sockets.removeSocketFiles()
    this.http?.removeSocketFiles()
    this.pidFile?.remove()
  }

  private warnWithout(internal: Internal): void {
    if (this.without.has(internal)) return
    this.without.add(internal)
    const message = `Node ${process.version} is not as expected inside: ${WITHOUT[internal]}`
    this.say('warn', 'node_internals', message, { node: process.versions.node, internal })
  }

  private async bind(tls: TlsMaterial | undefined): Promise<void> {
    const { config, sockets, passed, say } = this
    const access = unixAccess(config)
    this.user = access.owner
    await bindListeners({ config, sockets, passed, access, say })
    await this.http?.start(tls, access)
  }

  /** Starts the workers; resolves when all of them listen. */
  private async startWorkers(
    auth: WorkerAuth | undefined,
    tls: TlsMaterial | undefined,
  ): Promise<void> {
    const { config } = this
    const sockets = this.sockets.shared
    const wanted = auth?.credentials.namespaces
    const memory = createSharedMemory(config, sockets.length, this.say, undefined, wanted)
    const { shared, namespaces } = memory
    this.counters = shared.counters
    this.credentials?.useNamespaces(namespaces)
    this.beginAudit(shared.audit)
    this.http?.open(memory, auth)
    this.readiness.ask('store', () => sumCounter(shared.counters, 'cluster_unreachable') > 0)
    const touched = await this.takeSnapshot(shared)
    const supplies = {
      shared,
      clock: this.clock,
      sockets,
      auth,
      tls,
      cluster: this.cluster.current,
      remote: remoteSettings(config.store),
      touched,
    }
    const settings = Array.from({ length: config.process.threads }, (_, workerIndex) =>
      workerSettings(config, workerIndex, supplies),
    )
    await this.workers.start(settings)
    this.staff.size = this.workers.size + (this.snapshots === undefined ? 0 : 1)
    if (touched !== undefined) void this.snapshots?.restore()
    await this.sockets.publish().catch((error: unknown) => {
      throw asStartError(error)
    })
    this.workers.watchOver(shared.workerTable)
  }

  private async createHttp(): Promise<HttpService | undefined> {
    const { config, log, readiness, workers } = this
    if (config.http === undefined) return undefined
    // Only who is asked over HTTP pays for it.
    const { HttpService } = await import('./http-service.ts')
    return new HttpService({
      config,
      http: config.http,
      log,
      readiness,
      workers,
      taken: this.sockets.shared,
      threadClock,
      clockBase: this.clock,
      clock: this.threadTime,
      datedCertificates: () => this.certificates?.dated ?? [],
      onAudit: (event) => this.audit?.recordOfWorker(event),
    })
  }

  /**
   * Looks for a snapshot, and brings it back if nobody is to be served before. Returns where clients' changes are
   * to be noted if it comes back while they are.
   */
  private async takeSnapshot(shared: SharedMemory): Promise<TouchedMemories | undefined> {
    const { config } = this
    const settings = snapshotSettings(config, shared, this.clock, this.user)
    if (settings === undefined) return undefined
    const snapshots = new Snapshots({
      settings,
      everyMs: config.snapshot?.everyMs ?? 0,
      clock: threadClock,
      onLog: (event) => this.log.write(event),
      onRestored: () => {
        this.readiness.release('restoring')
        this.workers.broadcast({ kind: 'restored' })
      },
      onNamespacesLeft: (changeId) => this.credentials?.namespacesLeft(changeId),
      onReloaded: (reloadId) => this.credentials?.confirmed(reloadId),
      onDeath: (error) => this.die(error),
    })
    this.snapshots = snapshots
    const touched = await snapshots.prepare()
    if (touched !== undefined) this.readiness.raise('restoring')
    if (touched === undefined || config.snapshot?.waits !== true) return touched
    await snapshots.restore(() => signals.stopAsked !== undefined)
    this.endIfAsked()
    return undefined
  }

  private beginAudit(memory: AuditMemory | undefined): void {
    const { config, say, user } = this
    this.audit = openAudit(config, memory, user, say)
    if (this.audit === undefined) return
    this.endAuditLooks = threadClock.every(AUDIT_LOOK_MS, () => this.audit?.look())
  }

  private closeAudit(by: string, cutCount: number): void {
    this.endAuditLooks()
    this.audit?.record({ event: 'stop', by, connections_cut: cutCount })
    this.audit?.close()
    this.audit = undefined
  }

  /**
   * A worker died and may have held a lock: the process ends, loudly, and as soon as that is said.
   */
  private die(error: unknown): void {
    if (this.isDying) return
    this.isDying = true
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const event: LogEvent = {
      level: 'fatal',
      event: 'crashed',
      message: 'a worker thread failed; the process ends, start it again',
      fields: { stack },
    }
    this.log.write(event)
    this.closeAudit('crash', 0)
    void this.log.close().then(() => process.exit(EXIT_SOFTWARE))
  }

  private settleIntoSystem(): void {
    const addresses = this.sockets.shared.map(({ address }) => address)
    const { portFile } = this.config.network
    const { pidFile } = this.config.process
    if (portFile !== undefined) this.warnUnless(() => writePortFile(portFile, addresses))
    if (pidFile !== undefined) {
      this.warnUnless(() => {
        this.pidFile = new PidFile(pidFile)
      })
    }
    const { user } = this
    if (user === undefined) return
    try {
      dropPrivileges(user)
    } catch (error) {
      assert(error instanceof Error, 'only Errors are thrown')
      throw new StartError(error.message, EXIT_OS, error)
    }
    warnOfLaterFiles(this.config, user.name, this.say).forEach(tellStarter)
  }

  /** As in memcached, a server without its pid file is better than none. */
  private warnUnless(write: () => void): void {
    try {
      write()
    } catch (error) {
      assert(error instanceof Error, 'only Errors are thrown')
      this.say('warn', 'file_not_written', error.message)
      tellStarter(error.message)
    }
  }

  private reload(): void {
    const what = this.certificates === undefined ? 'the users' : 'the users and the certificates'
    this.say('info', 'reload_requested', `SIGHUP: reading ${what} again`)
    this.audit?.reopen()
    this.credentials?.reload()
    void this.certificates?.refresh()
    this.tokenKeys?.reload()
    void this.cluster.reload()
  }

  /** As a client of this worker asked for. */
  private async refreshCertificates(workerIndex: number): Promise<void> {
    const problem = await this.certificates?.refreshForClient()
    this.workers.broadcast({ kind: 'certificates-refreshed', workerIndex, problem })
  }

  private stop(signal: string): void {
    if (signal !== SHUTDOWN) {
      const nowMs = threadClock.nowMs()
      this.signalledMs = Math.min(this.signalledMs, nowMs)
      // Who signals again has waited enough; some who start programs pass one signal on twice.
      if (nowMs - this.signalledMs >= ASKED_AGAIN_MS) this.snapshots?.giveUp()
    }
    if (this.isStopping) return
    this.isStopping = true
    this.readiness.raise('draining')
    this.stopSignal = signal
    this.credentials?.close()
    this.certificates?.close()
    this.tokenKeys?.close()
    this.workers.stop(this.config.limits.drainTimeoutMs)
  }

  /** No worker accepts any more: from now on newcomers are refused by the system. */
  private stopListening(): void {
    this.sockets.close()
    const message = `${this.stopSignal}: no more connections; finishing what is under way`
    this.say('info', 'stopping', message, { deadline_ms: this.config.limits.drainTimeoutMs })
  }

  private async finish(cutCount: number): Promise<void> {
    if (cutCount > 0) {
      this.say('warn', 'connections_cut', 'connections were cut by the drain deadline', {
        connections: cutCount,
      })
    }
    this.endFileLooks()
    await this.workers.end()
    await this.snapshots?.write()
    await this.snapshots?.end()
    this.http?.close()
    this.removeFiles()
    this.closeAudit(this.stopSignal, cutCount)
    this.say('info', 'stopped', 'stopped')
    this.settle(0)
  }

  /** VERBOSITY of the protocol: 0 is what was configured, more tells more. */
  private setVerbosity(verbosity: number): void {
    const level = verbosity === 0 ? this.config.log.level : verbosity === 1 ? 'debug' : 'trace'
    this.log.setLevel(level)
    const shown = verbosity === 0 ? this.config.log.verbosity : Math.min(verbosity, VERBOSITY_MAX)
    this.workers.broadcast({ kind: 'log-level', level, verbosity: shown })
    this.say('info', 'verbosity', `a client set the log level to ${level}`, { verbosity })
  }
}
