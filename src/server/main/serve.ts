/**
 * The main thread. It supervises and serves nobody itself: credentials and their files, worker
 * threads, signals, the log, the pid file; from a valid Config to an exit code.
 *
 * Exit codes: 0 after a stop that was asked for, 70 after a programmer error, 71 when the system
 * refuses something (a port in use, memory, open files), 78 for bad credentials.
 */
import { Worker } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { type ClockBase, clockBase } from '../../base/clock.ts'
import { EXIT_CONFIG, EXIT_OS, EXIT_SOFTWARE } from '../../base/exit-code.ts'
import { describeShortage } from '../../base/shortage.ts'
import type { Config } from '../../config/config.ts'
import { configuredUsers } from '../../config/credentials.ts'
import { CredentialFileError } from '../../credential/credential-file-error.ts'
import { CredentialSource } from '../../credential/credential-source.ts'
import { loadTables } from '../../credential/prepare.ts'
import type { CredentialSnapshot } from '../../credential/snapshot.ts'
import { createCounterMemory } from '../../observe/counters.ts'
import {
  createLog,
  type Log,
  type LogEvent,
  type LogFields,
  type LogLevel,
} from '../../observe/log.ts'
import { createPrefixMemory, DEFAULT_DELIMITER } from '../../observe/prefix-table.ts'
import { createWatchMemory, startObserving } from '../../observe/watch-memory.ts'
import { configuredMechanisms } from '../../sasl/mechanisms.ts'
import { createStoreMemory, type StoreMemory } from '../../storage/geometry.ts'
import { createWorkerTableMemory } from '../admission/worker-table.ts'
import {
  dropPrivileges,
  openFilesMax,
  PidFile,
  type SystemUser,
  userToBecome,
  writePortFile,
} from '../files/process-files.ts'
import { BoundSockets } from '../net/bound-sockets.ts'
import { ListenError } from '../net/listen-error.ts'
import { type Internal, WITHOUT } from '../net/node-internals.ts'
import { createConnectionTableMemory } from '../worker/connection-table.ts'
import type {
  FromWorker,
  SharedMemory,
  ToWorker,
  WorkerAuth,
  WorkerSettings,
} from '../worker/worker-messages.ts'
import { detach, isDetached, reportReady } from './daemon.ts'
import { type GeneratedUser, generateUser } from './generated-user.ts'
import { settingsRows } from './settings-rows.ts'
import { signals } from './signals.ts'
import { yieldToEventLoops } from './thread-pool.ts'
import { VERSION } from './version.ts'
import { LOOK_INTERVAL_MS, type Verdict, Watchdog } from './watchdog.ts'

const MEBIBYTE = 1024 * 1024

/** Files that a server without connections has open, and some to spare. */
const OWN_OPEN_FILES = 48

/**
 * Of each worker. What requests leave behind dies at once, so that a collection costs next to nothing
 * however often there is one; with V8's own measure a worker holds 3 MiB more under load. A request took
 * no more CPU with the small one in twenty alternating rounds, on a machine too busy to show a few percent.
 */
const YOUNG_GENERATION_MIB = 3

/** memcached takes every higher VERBOSITY for this one. */
const VERBOSITY_MAX = 2

class StartError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number, cause?: unknown) {
    super(message, { cause })
    this.exitCode = exitCode
  }
}

/** A signal asked for the end before the server was ready: an end in order, not a failure. */
class StopAsked extends Error {}

/** Serves until told to stop; resolves to the exit code. Start-up problems go to stderr. */
export async function serve(config: Config): Promise<number> {
  if (config.process.daemonize && !isDetached()) return await detach()
  // A look at process.stdout makes a pipe non-blocking: a write to one that nobody reads would hold a
  // thread for good, and the end of the process waits for its threads.
  const isTerminal = process.stdout.isTTY
  const log = createLog({
    level: config.log.level,
    pretty: config.log.format === 'pretty' || (config.log.format === 'auto' && isTerminal),
    fd: 1,
  })
  const server = new Server(config, log)
  try {
    return await server.run()
  } catch (error) {
    await server.abandon()
    if (error instanceof StopAsked) {
      server.sayStoppedEarly(error.message)
      return 0
    }
    if (error instanceof CredentialFileError) {
      process.stderr.write(`${error.message}\n`)
      return EXIT_CONFIG
    }
    if (!(error instanceof StartError)) throw error
    process.stderr.write(`saslcached: ${error.message}\n`)
    return error.exitCode
  } finally {
    await log.close()
  }
}

interface Reload {
  readonly credentials: CredentialSnapshot
  awaitedCount: number
}

class Server {
  private readonly config: Config
  private readonly log: Log
  private readonly clock: ClockBase = clockBase()
  private readonly sockets: BoundSockets = new BoundSockets()
  private readonly workers: Worker[] = []
  /** Workers that may still accept, and workers that still have connections. */
  private acceptingCount = 0
  private servingCount = 0
  private cutCount = 0
  private credentials: CredentialSource | undefined = undefined
  /** The user made for this run, until it has been announced. */
  private generated: GeneratedUser | undefined = undefined
  /** Reloads that not every worker has confirmed. */
  private readonly reloads: Map<number, Reload> = new Map()
  private reloadCount = 0
  /** What some worker found not to be there, each said once. */
  private readonly without: Set<Internal> = new Set()
  private isStopping = false
  private isDying = false
  private watching: NodeJS.Timeout | undefined = undefined
  private stopSignal = ''
  private pidFile: PidFile | undefined = undefined
  private user: SystemUser | undefined = undefined
  private settle: (exitCode: number) => void = () => undefined

  constructor(config: Config, log: Log) {
    this.config = config
    this.log = log
  }

  async run(): Promise<number> {
    const { config } = this
    // Whatever way out of the process is taken, nothing of ours stays in the system.
    process.once('exit', () => this.removeFiles())
    for (const notice of config.notices) this.say('info', 'notice', notice)
    const auth = config.auth.required ? await this.loadCredentials() : undefined
    if (auth === undefined) {
      this.say(
        'warn',
        'no_authentication',
        'running WITHOUT authentication: whoever reaches the port reads and writes everything',
      )
    }
    this.warnAboutHost()
    const finished = new Promise<number>((resolve) => {
      this.settle = resolve
    })
    this.endIfAsked()
    await this.bind()
    this.endIfAsked()
    await this.startWorkers(auth)
    if (auth !== undefined) await yieldToEventLoops()
    this.endIfAsked()
    this.settleIntoSystem()
    await this.credentials?.watch()
    this.endIfAsked()
    this.announceGenerated()
    for (const { address } of this.sockets.shared) {
      const isAsGiven = address.given === address.text
      const shown = isAsGiven ? address.text : `${address.given} (${address.text})`
      this.say('info', 'listening', `listening on ${shown}`, {
        address: address.text,
        given: isAsGiven ? undefined : address.given,
        family: address.family,
        port: address.port === 0 ? undefined : address.port,
      })
    }
    this.say('info', 'started', `saslcached ${VERSION} is ready`, {
      version: VERSION,
      node: process.versions.node,
      pid: process.pid,
      threads: config.process.threads,
      memory_bytes: config.memory.limitBytes,
      authentication: config.auth.required,
    })
    reportReady()
    signals.handTo({ stop: (signal) => this.stop(signal), reload: () => this.reload() })
    return await finished
  }

  /** Until the server is ready signals wait; between its steps the start looks whether one has come. */
  private endIfAsked(): void {
    const signal = signals.stopAsked
    if (signal !== undefined) throw new StopAsked(signal)
  }

  /** Start-up failed: lets go of everything, so that the process can end. */
  async abandon(): Promise<void> {
    this.isStopping = true
    clearInterval(this.watching)
    this.credentials?.close()
    await this.endWorkers()
    this.sockets.close()
    this.removeFiles()
  }

  sayStoppedEarly(signal: string): void {
    this.say('info', 'stopped', `${signal}: stopped before the server was ready`)
  }

  /** What we have put into the system, as far as it is still ours. */
  private removeFiles(): void {
    this.sockets.removeSocketFile()
    this.pidFile?.remove()
  }

  private async endWorkers(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()))
  }

  private say(level: LogLevel, event: string, message: string, fields: LogFields = {}): void {
    this.log.write({ level, event, message, fields })
  }

  private warnAboutHost(): void {
    const { process: processConfig } = this.config
    if (process.getuid?.() === 0 && processConfig.runAsUser === undefined) {
      this.say(
        'warn',
        'running_as_root',
        'running as root: nothing here needs it; give a user with -u or start as one',
      )
    }
    const { connectionsMax } = this.config.limits
    const filesNeeded = connectionsMax + this.heldConnectionsMax() + OWN_OPEN_FILES
    const openFiles = openFilesMax()
    // libuv closes what it has no file for without telling us: it must be said beforehand.
    if (openFiles !== undefined && filesNeeded > openFiles) {
      const message =
        `the system allows ${openFiles} open files, too few for -c ${connectionsMax}: clients beyond ` +
        `that will be disconnected; allow ${filesNeeded} (ulimit -n) or lower -c`
      const fields = { connections: connectionsMax, open_files: openFiles }
      this.say('warn', 'open_files_limited', message, fields)
    }
  }

  private warnWithout(internal: Internal): void {
    if (this.without.has(internal)) return
    this.without.add(internal)
    const message = `Node ${process.version} is not as expected inside: ${WITHOUT[internal]}`
    this.say('warn', 'node_internals', message, { node: process.versions.node, internal })
  }

  /** Connections that wait for a place: as many as wait to be accepted elsewhere. */
  private heldConnectionsMax(): number {
    const { limits, network } = this.config
    return limits.waitsForPlace ? network.backlog : 0
  }

  private async loadCredentials(): Promise<WorkerAuth> {
    const { auth, limits } = this.config
    const { threads } = this.config.process
    loadTables()
    const generated = auth.sources.length === 0 ? generateUser() : undefined
    const users = configuredUsers(this.config)
    const source = new CredentialSource(
      {
        files: users.files,
        inlineUsers:
          generated === undefined
            ? users.inlineUsers
            : [{ ...generated, origin: 'generated for this run' }],
        mechanisms: configuredMechanisms(auth.mechanisms),
        iterations: auth.iterations,
      },
      {
        onChange: (credentials) => {
          this.reloadCount++
          this.reloads.set(this.reloadCount, { credentials, awaitedCount: this.workers.length })
          this.broadcast({ kind: 'credentials', credentials, reloadId: this.reloadCount })
        },
        onProblem: (error) =>
          this.say(
            'error',
            'credentials_refused',
            `the users were not reloaded, those from before stay in force: ${error.message}`,
          ),
      },
    )
    this.credentials = source
    const credentials = await source.load()
    this.generated = generated
    this.announce(credentials, 'credentials_loaded', 'the users were loaded')
    return {
      credentials,
      mechanisms: auth.mechanisms,
      // Each worker rations for itself: together they keep the limits, or have one each. However
      // many there are, the threads on which keys are derived are four, and belong to the process.
      keyDerivationsMax: Math.max(1, Math.floor(limits.keyDerivationsMax / threads)),
      derivationQueueMax: Math.ceil(limits.derivationQueueMax / threads),
    }
  }

  /** One more worker has the users of this reload; it is announced when all of them have. */
  private reloaded(reloadId: number): void {
    const reload = this.reloads.get(reloadId)
    assert(reload !== undefined, 'workers confirm a reload once each')
    reload.awaitedCount--
    if (reload.awaitedCount > 0) return
    this.reloads.delete(reloadId)
    this.announce(reload.credentials, 'credentials_reloaded', 'the users were reloaded')
  }

  /** Once the port is open: a password for a server that did not start would only mislead. */
  private announceGenerated(): void {
    if (this.generated === undefined) return
    // To the terminal, not to the log: a log is kept and shipped, this is to be read once.
    process.stderr.write(this.generated.announcement)
    this.say(
      'warn',
      'user_generated',
      'no user is configured: one was made for this run and its password printed on the terminal',
      { user: this.generated.name },
    )
    this.generated = undefined
  }

  private announce(credentials: CredentialSnapshot, event: string, message: string): void {
    const mechanisms = configuredMechanisms(this.config.auth.mechanisms)
    const announced = mechanisms.filter((mechanism) => mechanism.usable(credentials))
    this.say('info', event, message, {
      users: credentials.users.length,
      mechanisms: announced.map(({ name }) => name).join(' '),
    })
    for (const warning of this.credentials?.warnings ?? []) {
      this.say('warn', 'credentials_warning', warning.message, {
        file: warning.file,
        line: warning.line,
      })
    }
    for (const lacking of credentials.lacking) {
      if (!mechanisms.some(({ hash }) => hash === lacking.hash)) continue
      this.say(
        'warn',
        'mechanism_withheld',
        `${lacking.hash} is not announced: ${lacking.userCount} user(s) have no verifier for it (set their passwords anew)`,
        { users: lacking.userNames.join(', ') },
      )
    }
  }

  private async bind(): Promise<void> {
    const { listen, unixSocket, unixMask } = this.config.network
    const { runAsUser } = this.config.process
    try {
      if (runAsUser !== undefined) this.user = userToBecome(runAsUser)
    } catch (error) {
      throw new StartError((error as Error).message, EXIT_OS, error)
    }
    try {
      if (unixSocket !== undefined) await this.sockets.bindUnix(unixSocket, unixMask, this.user)
      for (const address of listen) await this.sockets.bindTcp(address)
    } catch (error) {
      throw asStartError(error)
    }
  }

  /** Starts the workers; resolves when all of them listen. */
  private async startWorkers(auth: WorkerAuth | undefined): Promise<void> {
    const { limits, log } = this.config
    const workerCount = this.config.process.threads
    const store = this.reserveStore()
    const counters = createCounterMemory(workerCount)
    // In `stats conns` the listeners have the first numbers, connections count on from there.
    const workerTable = createWorkerTableMemory(
      workerCount,
      this.sockets.shared.length,
      limits.connectionsMax,
      randomSeed(),
    )
    const { prefixDelimiter, tracksSizes } = log
    const watch = createWatchMemory(workerCount, limits.workerLogBytesMax)
    startObserving(watch, prefixDelimiter !== undefined, tracksSizes)
    const delimiter = prefixDelimiter?.charCodeAt(0) ?? DEFAULT_DELIMITER
    const shared = {
      store,
      counters,
      watch,
      prefixes: createPrefixMemory(delimiter, randomSeed()),
      connectionTable: createConnectionTableMemory(limits.connectionsMax),
      workerTable,
    }
    const starting: Promise<void>[] = []
    for (let workerIndex = 0; workerIndex < workerCount; workerIndex++) {
      starting.push(this.startWorker(this.workerSettings(workerIndex, shared, auth)))
    }
    await Promise.all(starting)
    await this.sockets.publish().catch((error: unknown) => {
      throw asStartError(error)
    })
    this.watchOver(new Watchdog(workerTable))
  }

  private reserveStore(): StoreMemory {
    const { limitBytes, limitBytesMax } = this.config.memory
    const reserved = this.tryToReserve(limitBytesMax)
    if (!(reserved instanceof RangeError)) return reserved
    if (limitBytesMax > limitBytes) {
      const least = this.tryToReserve(limitBytes)
      if (!(least instanceof RangeError)) {
        const message =
          `the system does not reserve ${limitBytesMax / MEBIBYTE} MiB of address space ` +
          '(--memory-limit-max): cache_memlimit cannot go above -m'
        this.say('warn', 'memory_limit_fixed', message, { memory_bytes: limitBytes })
        return least
      }
    }
    const message =
      `the system does not give the memory of -m ${limitBytes / MEBIBYTE}: ` +
      'lower -m, or allow more (ulimit -v, vm.overcommit_memory)'
    throw new StartError(message, EXIT_OS, reserved)
  }

  private tryToReserve(memoryBytesMax: number): StoreMemory | RangeError {
    const { memory, process: processConfig } = this.config
    try {
      return createStoreMemory({
        memoryBytes: memory.limitBytes,
        memoryBytesMax,
        itemBytesMax: memory.itemBytesMax,
        evicts: memory.evicts,
        workerCount: processConfig.threads,
        seed: randomSeed(),
      })
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return error
    }
  }

  private watchOver(watchdog: Watchdog): void {
    let last: Verdict = 'well'
    this.watching = setInterval(() => {
      const verdict = watchdog.look()
      if (verdict === last) return
      last = verdict
      if (verdict === 'lost') this.die(new Error('a worker thread does not turn any more'))
      const isStuck = verdict === 'stuck'
      const message = isStuck
        ? 'a worker thread has been stuck for seconds; nobody new is accepted until it goes on'
        : 'the worker thread that was stuck goes on'
      this.say('error', isStuck ? 'worker_stuck' : 'worker_unstuck', message)
      this.broadcast({ kind: 'accept', accepts: !isStuck })
    }, LOOK_INTERVAL_MS)
  }

  private workerSettings(
    workerIndex: number,
    shared: SharedMemory,
    auth: WorkerAuth | undefined,
  ): WorkerSettings {
    const { network, memory, limits, log, process: processConfig } = this.config
    const { flushEnabled, dumpEnabled, watchEnabled, shutdownEnabled } = this.config.auth
    return {
      ...shared,
      workerIndex,
      auth,
      version: VERSION,
      clock: this.clock,
      sockets: this.sockets.shared,
      backlog: network.backlog,
      logLevel: log.level,
      valueBytesMax: memory.itemBytesMax,
      flushEnabled,
      dumpEnabled,
      watchEnabled,
      shutdownEnabled,
      protocol: network.protocol,
      casEnabled: memory.casEnabled,
      connectionsMax: limits.connectionsMax,
      heldConnectionsMax: this.heldConnectionsMax(),
      unauthenticatedConnectionsMax: limits.unauthenticatedConnectionsMax,
      loginTimeoutMs: limits.loginTimeoutMs,
      loginAttemptsMax: limits.loginAttemptsMax,
      saslBytesMax: limits.preLoginRequestBytesMax,
      requestsPerTurnMax: limits.requestsPerTurnMax,
      idleTimeoutMs: limits.idleTimeoutMs,
      stalledWriteTimeoutMs: limits.stalledWriteTimeoutMs,
      sendBufferBytesMax: limits.sendBufferBytesMax,
      watcherBufferBytesMax: limits.watcherBufferBytesMax,
      showsLruMaintainer: log.showsLruMaintainer,
      settingsRows: settingsRows(this.config, processConfig.threads),
      threadCount: processConfig.threads,
    }
  }

  private startWorker(settings: WorkerSettings): Promise<void> {
    const worker = new Worker(new URL('../worker/worker.js', import.meta.url), {
      workerData: settings,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    })
    this.workers.push(worker)
    let isStarting = true
    let isShort = false
    return new Promise((resolve, reject) => {
      worker.on('message', (message: FromWorker) => {
        switch (message.kind) {
          case 'listening':
            this.acceptingCount++
            this.servingCount++
            isStarting = false
            resolve()
            break
          case 'refused':
            reject(new StartError(message.message, EXIT_OS))
            break
          case 'log':
            this.log.write(message.event)
            break
          case 'credentials-in-force':
            this.reloaded(message.reloadId)
            break
          case 'without':
            this.warnWithout(message.internal)
            break
          case 'verbosity':
            this.setVerbosity(message.level)
            break
          case 'shutdown':
            this.stop('shutdown')
            break
          case 'accepts-no-more':
            if (--this.acceptingCount === 0) this.stopListening()
            break
          case 'stopped':
            void this.workerStopped(message.cutCount)
            break
        }
      })
      worker.on('error', (error) => {
        // What the system does not give is told as such, by whoever called us.
        isShort = isStarting && describeShortage(error) !== undefined
        if (isShort) reject(error)
        else this.die(error)
      })
      worker.on('exit', (code) => {
        if (this.isStopping || isShort) return
        this.die(new Error(`a worker thread ended with code ${code}`))
      })
    })
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
    void this.log.close().then(() => process.exit(EXIT_SOFTWARE))
  }

  private settleIntoSystem(): void {
    const addresses = this.sockets.shared.map(({ address }) => address)
    const { network, process: processConfig } = this.config
    const { portFile } = network
    const { pidFile } = processConfig
    if (portFile !== undefined) this.warnUnless(() => writePortFile(portFile, addresses))
    if (pidFile !== undefined) {
      this.warnUnless(() => {
        this.pidFile = new PidFile(pidFile)
      })
    }
    try {
      if (this.user !== undefined) dropPrivileges(this.user)
    } catch (error) {
      assert(error instanceof Error, 'only Errors are thrown')
      throw new StartError(error.message, EXIT_OS, error)
    }
  }

  /** As in memcached, a server without its pid file is better than none. */
  private warnUnless(write: () => void): void {
    try {
      write()
    } catch (error) {
      assert(error instanceof Error, 'only Errors are thrown')
      this.say('warn', 'file_not_written', error.message)
      // The log of a daemon goes nowhere.
      if (isDetached()) process.stderr.write(`saslcached: ${error.message}\n`)
    }
  }

  private reload(): void {
    this.say('info', 'reload_requested', 'SIGHUP: reading the users again')
    void this.credentials?.reload()
  }

  private stop(signal: string): void {
    if (this.isStopping) return
    this.isStopping = true
    this.stopSignal = signal
    this.credentials?.close()
    this.broadcast({ kind: 'stop', deadlineMs: this.config.limits.drainTimeoutMs })
  }

  /** No worker accepts any more: from now on newcomers are refused by the system. */
  private stopListening(): void {
    this.sockets.close()
    const message = `${this.stopSignal}: no more connections; finishing what is under way`
    this.say('info', 'stopping', message, { deadline_ms: this.config.limits.drainTimeoutMs })
  }

  private async workerStopped(cutCount: number): Promise<void> {
    this.cutCount += cutCount
    if (--this.servingCount > 0) return
    if (this.cutCount > 0) {
      this.say('warn', 'connections_cut', 'connections were cut by the drain deadline', {
        connections: this.cutCount,
      })
    }
    clearInterval(this.watching)
    await this.endWorkers()
    this.removeFiles()
    this.say('info', 'stopped', 'stopped')
    this.settle(0)
  }

  /** VERBOSITY of the protocol: 0 is what was configured, more tells more. */
  private setVerbosity(verbosity: number): void {
    const level = verbosity === 0 ? this.config.log.level : verbosity === 1 ? 'debug' : 'trace'
    this.log.setLevel(level)
    const shown = verbosity === 0 ? this.config.log.verbosity : Math.min(verbosity, VERBOSITY_MAX)
    this.broadcast({ kind: 'log-level', level, verbosity: shown })
    this.say('info', 'verbosity', `a client set the log level to ${level}`, { verbosity })
  }

  private broadcast(message: ToWorker): void {
    for (const worker of this.workers) worker.postMessage(message)
  }
}

function asStartError(error: unknown): unknown {
  return error instanceof ListenError ? new StartError(error.message, EXIT_OS, error) : error
}

/** The seed of the store's keyed hash: strangers must not be able to pick keys that collide. */
function randomSeed(): readonly [number, number] {
  const lanes = crypto.getRandomValues(new Uint32Array(2))
  return [lanes[0]!, lanes[1]!]
}
