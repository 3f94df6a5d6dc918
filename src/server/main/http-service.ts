/**
 * HTTP as a part of the server: where it is listened on, who may ask, and what is told of that. It answers
 * `/live` and `/ready` from the moment that its sockets are bound, and all else when there is memory.
 */
import type { Clock, ClockBase } from '../../base/clock.ts'
import { EXIT_OS } from '../../base/exit-code.ts'
import type { Config, HttpConfig } from '../../config/config.ts'
import type { CredentialSnapshot } from '../../credential/credential-snapshot.ts'
import type { DatedCertificate } from '../../credential/tls-certificates.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import { COUNTER, counterLane } from '../../observe/counters.ts'
import type { EventLog } from '../../observe/log.ts'
import type { MetricFamily } from '../../observe/metric-family.ts'
import type { RememberedLogin } from '../../sasl/login-memory.ts'
import type { LoginThrottle } from '../../sasl/throttle/login-throttle.ts'
import { BASIC_MECHANISM, BasicLogin } from '../http/basic-login.ts'
import { healthRoutes } from '../http/health-routes.ts'
import { HttpListener } from '../http/http-listener.ts'
import { metricsRoute } from '../http/metrics-route.ts'
import { pageRoutes } from '../http/page-routes.ts'
import type { Route } from '../http/route.ts'
import { BoundSockets, type UnixAccess } from '../net/bound-sockets.ts'
import { isLocalAddress, type SharedSocket } from '../net/shared-socket.ts'
import type { TlsMaterial } from '../net/tls-material.ts'
import { EventCounters } from '../worker/event-counters.ts'
import { LoginLog } from '../worker/login-log.ts'
import type { ThreadClock } from '../worker/thread-clock.ts'
import { createAudit, type WorkerAudit } from '../worker/worker-audit.ts'
import type { SharedMemory, WorkerAuth } from '../worker/worker-messages.ts'
import { createSasl } from '../worker/worker-sasl.ts'
import { createThrottle } from '../worker/worker-throttle.ts'
import { metricFamilies, ownMetricFamilies } from './metric-families.ts'
import type { Readiness } from './readiness.ts'
import { type Say, sayInto } from './say.ts'
import { ServerMetrics } from './server-metrics.ts'
import { ServerStatus } from './server-status.ts'
import { settingsRows } from './settings-rows.ts'
import type { ServerMemory } from './shared-memory.ts'
import { asStartError, StartError } from './start-error.ts'
import { VERSION } from './version.ts'
import type { WorkerPool } from './worker-pool.ts'

/** Those of HTTP are few, and must not take the turns of clients. */
const DERIVATIONS_MAX = 1
const DERIVATION_QUEUE_MAX = 64
const LOOK_MS = 1000

export interface HttpServiceOptions {
  readonly config: Config
  readonly http: HttpConfig
  readonly log: EventLog
  readonly readiness: Readiness
  /** To be told of passwords that are right. */
  readonly workers: Pick<WorkerPool, 'broadcast'>
  /** Where the cache listens; bound when HTTP starts. */
  readonly taken: readonly SharedSocket[]
  readonly threadClock: ThreadClock
  readonly clockBase: ClockBase
  readonly clock: Clock
  /** Those in force; none without TLS. */
  readonly datedCertificates: () => readonly DatedCertificate[]
  /** An event that came over the way that workers have to the audit. */
  readonly onAudit: (event: AuditEvent) => void
}

export class HttpService {
  private readonly options: HttpServiceOptions
  private readonly say: Say
  private readonly sockets: BoundSockets
  private routes: readonly Route[]
  private listener: HttpListener | undefined = undefined
  private login: BasicLogin | undefined = undefined
  private tls: TlsMaterial | undefined = undefined
  private endLooks: () => void = () => undefined
  private status: ServerStatus | undefined = undefined
  /** Whether there are others than the default one. */
  private hasNamespaces: () => boolean = () => true

  constructor(options: HttpServiceOptions) {
    this.options = options
    this.say = sayInto(options.log)
    this.sockets = new BoundSockets(undefined, options.taken)
    this.routes = healthRoutes(options.readiness)
  }

  /** Answers from now on, as who may bind there; `access` is that to Unix sockets. Throws StartError. */
  async start(tls: TlsMaterial | undefined, access: UnixAccess): Promise<void> {
    const { http } = this.options
    this.tls = tls
    try {
      for (const address of http.listen) await this.sockets.bindTcp(address)
      for (const path of http.sockets) {
        await this.sockets.bindUnix(path, access)
      }
      const listener = this.createListener(this.sockets.shared.length)
      this.listener = listener
      for (const socket of this.sockets.shared) {
        this.refuseExposedLogin(socket)
        await listener.listen(socket, socket.tls === undefined ? undefined : tls)
      }
      await this.sockets.publish()
    } catch (error) {
      throw asStartError(error)
    }
  }

  private createListener(addressCount: number): HttpListener {
    const { config, http, threadClock } = this.options
    return new HttpListener({
      routes: () => this.routes,
      login: http.asksForLogin ? { check: (...asked) => this.check(...asked) } : undefined,
      isOpen: http.isOpen,
      // A name may have more than one address, and the system may allow fewer than one each.
      connectionsMax: Math.max(1, Math.floor(config.limits.httpConnectionsMax / addressCount)),
      hostNames: http.hostNames,
      nowMs: () => threadClock.nowMs(),
      onFailure: (path, error) => {
        const reason = error instanceof Error ? error.message : String(error)
        this.say('error', 'http_failed', `${path} could not be answered: ${reason}`)
      },
    })
  }

  /** There is memory, and users where they are asked for: the metrics are answered, too. */
  open(memory: ServerMemory, auth: WorkerAuth | undefined): void {
    if (this.options.http.asksForLogin && auth !== undefined) this.createLogin(memory.shared, auth)
    const metrics = this.createMetrics(memory)
    const sources = {
      shared: memory.shared,
      namespaces: () => memory.namespaces.all,
      datedCertificates: this.options.datedCertificates,
      residentBytes: () => process.memoryUsage.rss(),
    }
    const families = metricFamilies(sources)
    const ownFamilies = ownMetricFamilies(sources)
    this.hasNamespaces = () => memory.namespaces.all.length > 0
    this.status = this.createStatus(memory, auth, metrics, families)
    const page = pageRoutes(this.status.status)
    this.routes = [...this.routes, this.metrics(metrics, families, ownFamilies), ...page]
  }

  private createMetrics(memory: ServerMemory): ServerMetrics {
    const { config, readiness, clock, threadClock } = this.options
    return new ServerMetrics({
      memory,
      clock,
      nowMs: () => threadClock.nowMs(),
      connectionsMax: config.limits.connectionsMax,
      threadCount: config.process.threads,
      isAccepting: () => readiness.isReady,
      certificatesReadAtSeconds: () => this.tls?.loadedAtSeconds,
    })
  }

  private createStatus(
    memory: ServerMemory,
    auth: WorkerAuth | undefined,
    metrics: ServerMetrics,
    families: readonly MetricFamily[],
  ): ServerStatus {
    const { config, readiness, threadClock, clockBase } = this.options
    return new ServerStatus({
      memory,
      readiness,
      threadClock,
      startedMs: clockBase.monotonicMs,
      process: () => metrics.ofProcess(),
      families,
      evicts: config.memory.evicts,
      credentials: auth?.credentials,
      throttle: auth?.throttle,
    })
  }

  private metrics(
    metrics: ServerMetrics,
    families: readonly MetricFamily[],
    ownFamilies: readonly MetricFamily[],
  ): Route {
    const { config } = this.options
    return metricsRoute({
      read: (seesAll) => metrics.read(seesAll),
      settings: settingsRows(config, config.process.threads),
      version: VERSION,
      families: (seesAll) => (seesAll ? families : ownFamilies),
    })
  }

  announce(): void {
    const { asksForLogin, isOpen } = this.options.http
    for (const socket of this.sockets.shared) {
      const { address, tls } = socket
      const fields = { address: address.text, family: address.family, tls: tls !== undefined }
      const where = `HTTP on ${address.text}${tls === undefined ? '' : ', with TLS'}`
      if (asksForLogin || isLocalAddress(address)) {
        this.say('info', 'http_listening', where, fields)
      } else if (isOpen) {
        const what = 'whoever reaches it sees the metrics (--http-open)'
        this.say('warn', 'http_listening', `${where}: ${what}`, fields)
      } else {
        const what = 'only /live and /ready are answered there; --http-auth asks for a login'
        this.say('warn', 'http_listening', `${where}: ${what}`, fields)
      }
    }
  }

  replaceCredentials(snapshot: CredentialSnapshot): void {
    this.login?.replaceCredentials(snapshot)
    this.status?.replaceCredentials(snapshot)
  }

  /** What a worker found right. */
  learn(login: RememberedLogin): void {
    this.login?.learn(login)
  }

  replaceCertificates(tls: TlsMaterial): void {
    this.tls = tls
    this.listener?.replaceCertificates(tls)
  }

  /** Does nothing the second time. */
  close(): void {
    this.endLooks()
    this.status?.close()
    this.listener?.close()
    this.removeSocketFiles()
  }

  removeSocketFiles(): void {
    this.sockets.removeSocketFiles()
  }

  /** A name of this machine's that stands for an address of others. */
  private refuseExposedLogin({ address, tls }: SharedSocket): void {
    if (!this.options.http.asksForLogin || tls !== undefined || isLocalAddress(address)) return
    const message = `--http-auth asks for passwords on ${address.given} (${address.text}), where others could read them`
    throw new StartError(message, EXIT_OS)
  }

  private async check(...asked: Parameters<BasicLogin['check']>): ReturnType<BasicLogin['check']> {
    const verdict = (await this.login?.check(...asked)) ?? 'unknown'
    return verdict === 'allowed-own' && !this.hasNamespaces() ? 'allowed' : verdict
  }

  private createLogin(shared: SharedMemory, auth: WorkerAuth): void {
    const { config, log, threadClock, clockBase, clock, onAudit, workers } = this.options
    // Behind those of the workers.
    const lane = counterLane(shared.counters, config.process.threads)
    const write: EventLog['write'] = (event) => log.write(event)
    const audit = createAudit(shared, onAudit, threadClock)
    const settings = {
      throttle: shared.throttle,
      clock: clockBase,
      auth: {
        ...auth,
        mechanisms: [BASIC_MECHANISM],
        certificateField: undefined,
        tokens: undefined,
        keyDerivationsMax: DERIVATIONS_MAX,
        derivationQueueMax: DERIVATION_QUEUE_MAX,
      },
    }
    const throttle = createThrottle(settings, lane, threadClock, write, audit)
    const epochSeconds = (): number => clock.epochMs(threadClock.nowMs()) / 1000
    const main = {
      ask: () => undefined,
      epochSeconds,
      onRemembered: (login: RememberedLogin) => workers.broadcast({ kind: 'remembered', login }),
    }
    const sasl = createSasl(
      settings,
      lane,
      threadClock,
      { derived: threadClock.soon },
      throttle,
      audit,
      main,
    )
    if (sasl === undefined) return
    const loginLog = new LoginLog(write, config.process.threads + 1)
    const events = new EventCounters(shared.measures.events, config.process.threads)
    this.login = new BasicLogin({
      sasl,
      nowMs: () => threadClock.nowMs(),
      after: (delayMs, run) => threadClock.after(delayMs, run),
      onLogin: (event) => {
        lane[COUNTER.auth_cmds]!++
        if (!event.succeeded) lane[COUNTER.auth_errors]!++
        events.login(event)
        loginLog.record(event, threadClock.nowMs())
        audit?.login(event)
      },
    })
    this.lookRegularly(loginLog, throttle, audit)
  }

  private lookRegularly(
    loginLog: LoginLog,
    throttle: LoginThrottle | undefined,
    audit: WorkerAudit | undefined,
  ): void {
    const { threadClock } = this.options
    const endLooks = threadClock.every(LOOK_MS, () => {
      loginLog.rollOver(threadClock.nowMs())
      throttle?.tellEnded()
      audit?.flush()
    })
    this.endLooks = () => {
      endLooks()
      audit?.end()
    }
  }
}
