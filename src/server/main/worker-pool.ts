/**
 * The worker threads, as the main thread sees them: it starts them, tells all of them the same, hears
 * what each has to say, and watches over them.
 *
 * Invariant: a worker that fails or ends, when it was not told to, is a death: it may have held a lock.
 * The one exception is a system that does not give what a worker needs to start, which fails the start.
 */

import { Worker } from 'node:worker_threads'
import { EXIT_OS } from '../../base/exit-code.ts'
import { describeShortage } from '../../base/shortage.ts'
import { unreachable } from '../../base/unreachable.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import type { LogEvent } from '../../observe/log.ts'
import type { RememberedLogin } from '../../sasl/login-memory.ts'
import type { WorkerTableMemory } from '../admission/worker-table-memory.ts'
import type { Internal } from '../net/node-internals.ts'
import type { ThreadClock } from '../worker/thread-clock.ts'
import type { FromWorker, ToWorker, WorkerSettings } from '../worker/worker-messages.ts'
import type { Say } from './say.ts'
import { StartError } from './start-error.ts'
import type { Thread } from './thread.ts'
import { LOOK_INTERVAL_MS, Watchdog, type WorkerHealth } from './watchdog.ts'
import { letHeapsGrow, resourceLimitsOf } from './worker-heap.ts'

/** A start that is given up waits so long for its workers to stop. */
const ABANDON_MS = 2000

/** A worker's, that follows from the failure of another; see `isFollowing` in worker-messages.ts. */
class FollowingError extends StartError {}

export type WorkerThread = Thread<ToWorker, FromWorker>

export interface WorkerPoolOptions {
  readonly say: Say
  readonly clock: Pick<ThreadClock, 'every' | 'after'>
  readonly spawn?: (settings: WorkerSettings) => WorkerThread
  readonly onLog: (event: LogEvent) => void
  readonly onAudit: (event: AuditEvent) => void
  /** A worker has the users of this reload. */
  readonly onReloaded: (reloadId: number) => void
  /** A worker shows the certificates of this generation. */
  readonly onCertificates: (generation: number) => void
  /** A client that may do so wants them loaded again. */
  readonly onRefreshCertificates: (workerIndex: number) => void
  /** A token names a key that a worker does not know. */
  readonly onTokenKeysWanted: () => void
  /** A worker has left the namespaces of this change. */
  readonly onNamespacesLeft: (changeId: number) => void
  /** A worker found a password right; the others are told. */
  readonly onRemembered: (login: RememberedLogin) => void
  readonly onWithout: (internal: Internal) => void
  /** A client wants another verbosity. */
  readonly onVerbosity: (level: number) => void
  /** A client that may do so asks for the end. */
  readonly onShutdown: () => void
  /** Told to stop, no worker accepts any more. */
  readonly onAcceptsNoMore: () => void
  /** Told to stop, no worker has a connection any more; `cutCount` were closed by the deadline. */
  readonly onStopped: (cutCount: number) => void
  /** A worker has been stuck for seconds, or goes on. */
  readonly onStuck: (isStuck: boolean) => void
  readonly onDeath: (error: unknown) => void
}

export class WorkerPool {
  private readonly options: WorkerPoolOptions
  private readonly threads: WorkerThread[] = []
  /** Workers that may still accept, and workers that still have connections. */
  private acceptingCount = 0
  private servingCount = 0
  private cutCount = 0
  /** Those that do nothing any more. */
  private readonly over: Set<WorkerThread> = new Set()
  /** Set once the start is given up; called when one more is over. */
  private onOver: (() => void) | undefined = undefined
  /** Called when one fails then: what the start was given up for is what is told. */
  private onBroken: (() => void) | undefined = undefined
  /** They were told to stop, or are ended. */
  private isEnding = false
  private endWatch: () => void = () => undefined

  constructor(options: WorkerPoolOptions) {
    this.options = options
  }

  get size(): number {
    return this.threads.length
  }

  /** Starts one worker for each settings; resolves when all of them listen. Throws StartError. */
  async start(settings: readonly WorkerSettings[]): Promise<void> {
    const starts = settings.map((ofOne) => this.startOne(ofOne))
    try {
      await Promise.all(starts)
    } catch (error) {
      throw error instanceof FollowingError ? await reasonOf(starts, error) : error
    }
  }

  broadcast(message: ToWorker): void {
    for (const thread of this.threads) thread.postMessage(message)
  }

  /** Looks after the workers from now on. */
  watchOver(workerTable: WorkerTableMemory): void {
    const watchdog = new Watchdog(workerTable)
    let last: WorkerHealth = 'well'
    this.endWatch = this.options.clock.every(LOOK_INTERVAL_MS, () => {
      const verdict = watchdog.look()
      if (verdict !== last) this.heed(verdict)
      last = verdict
    })
  }

  /** What is under way is finished, what is left after the deadline is cut. */
  stop(deadlineMs: number): void {
    this.isEnding = true
    this.broadcast({ kind: 'stop', deadlineMs })
  }

  /**
   * The start is given up, and workers may serve already: true when none of them does anything any more. False: one has not
   * stopped in time, and may hold a lock.
   */
  async abandon(): Promise<boolean> {
    this.isEnding = true
    const isOver = new Promise<boolean>((resolve) => {
      this.onOver = () => {
        if (this.over.size === this.threads.length) resolve(true)
      }
      this.onBroken = () => resolve(false)
      this.options.clock.after(ABANDON_MS, this.onBroken)
    })
    this.broadcast({ kind: 'stop', deadlineMs: 0 })
    this.onOver?.()
    return await isOver
  }

  /** Ends the threads, whatever they do. */
  async end(): Promise<void> {
    this.isEnding = true
    this.endWatch()
    await Promise.all(this.threads.map((thread) => thread.terminate()))
  }

  private startOne(settings: WorkerSettings): Promise<void> {
    const { spawn = spawnWorker, onDeath } = this.options
    const thread = spawn(settings)
    this.threads.push(thread)
    let isStarting = true
    let isShort = false
    return new Promise((resolve, reject) => {
      thread.on('message', (message) => {
        if (message.kind === 'refused' || message.kind === 'stopped') this.noteOver(thread)
        if (message.kind === 'listening') {
          isStarting = false
          this.acceptingCount++
          this.servingCount++
          resolve()
        } else if (message.kind === 'refused') {
          const Refused = message.isFollowing ? FollowingError : StartError
          reject(new Refused(message.message, EXIT_OS))
        } else if (message.kind === 'remembered') {
          for (const other of this.threads) if (other !== thread) other.postMessage(message)
          this.options.onRemembered(message.login)
        } else this.receive(message)
      })
      thread.on('error', (error) => {
        // What the system does not give is told as such, by whoever called us.
        isShort = isStarting && describeShortage(error) !== undefined
        if (isShort) reject(error)
        else if (this.onBroken === undefined) onDeath(error)
        else this.onBroken()
      })
      thread.on('exit', (code) => {
        this.noteOver(thread)
        if (this.isEnding || isShort) return
        onDeath(new Error(`a worker thread ended with code ${code}`))
      })
    })
  }

  private noteOver(thread: WorkerThread): void {
    this.over.add(thread)
    this.onOver?.()
  }

  private receive(
    message: Exclude<FromWorker, { readonly kind: 'listening' | 'refused' | 'remembered' }>,
  ): void {
    const { options } = this
    const isAbandoned = this.onOver !== undefined
    switch (message.kind) {
      case 'log':
        options.onLog(message.event)
        break
      case 'audit':
        options.onAudit(message.event)
        break
      case 'credentials-in-force':
        options.onReloaded(message.reloadId)
        break
      case 'certificates-in-force':
        options.onCertificates(message.generation)
        break
      case 'refresh-certificates':
        options.onRefreshCertificates(message.workerIndex)
        break
      case 'token-keys-wanted':
        options.onTokenKeysWanted()
        break
      case 'namespaces-left':
        options.onNamespacesLeft(message.changeId)
        break
      case 'without':
        options.onWithout(message.internal)
        break
      case 'verbosity':
        options.onVerbosity(message.level)
        break
      case 'shutdown':
        options.onShutdown()
        break
      case 'accepts-no-more':
        if (--this.acceptingCount === 0 && !isAbandoned) options.onAcceptsNoMore()
        break
      case 'stopped':
        this.cutCount += message.cutCount
        if (--this.servingCount === 0 && !isAbandoned) options.onStopped(this.cutCount)
        break
      default:
        unreachable(message)
    }
  }

  private heed(verdict: WorkerHealth): void {
    const { say, onDeath, onStuck } = this.options
    if (verdict === 'lost') {
      onDeath(new Error('a worker thread does not turn any more'))
      return
    }
    const isStuck = verdict === 'stuck'
    const message = isStuck
      ? 'a worker thread has been stuck for seconds; nobody new is accepted until it goes on'
      : 'the worker thread that was stuck goes on'
    say('error', isStuck ? 'worker_stuck' : 'worker_unstuck', message)
    onStuck(isStuck)
    this.broadcast({ kind: 'accept', accepts: !isStuck })
  }
}

/** Why the start failed, of which `following` was heard first. */
async function reasonOf(starts: readonly Promise<void>[], following: unknown): Promise<unknown> {
  const outcomes = await Promise.allSettled(starts)
  const reasons = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
  return reasons.find((each) => !(each instanceof FollowingError)) ?? following
}

function spawnWorker(settings: WorkerSettings): WorkerThread {
  letHeapsGrow()
  // Beside the bundle that this is in.
  return new Worker(new URL('./worker.js', import.meta.url), {
    workerData: settings,
    resourceLimits: resourceLimitsOf(settings.remote !== undefined),
  })
}
