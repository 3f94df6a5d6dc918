/**
 * The thread that keeps the snapshot, as the main thread sees it: it is started before the workers, told
 * when to restore and when to write, and waited for at the end.
 *
 * Invariant: as with a worker, that it fails is a death: it may have held a lock.
 */
import { Worker } from 'node:worker_threads'
import { EXIT_OS } from '../../base/exit-code.ts'
import { unreachable } from '../../base/unreachable.ts'
import type { LogEvent } from '../../observe/log.ts'
import type {
  FromSnapshot,
  SnapshotSettings,
  ToSnapshot,
  TouchedMemories,
} from '../snapshot/snapshot-messages.ts'
import type { ThreadClock } from '../worker/thread-clock.ts'
import type { ToWorker } from '../worker/worker-messages.ts'
import { StartError } from './start-error.ts'
import type { Thread } from './thread.ts'

const LOOK_MS = 20

type SnapshotThread = Thread<ToSnapshot, FromSnapshot>

export interface SnapshotsOptions {
  readonly settings: SnapshotSettings
  /** 0: only at the end. */
  readonly everyMs: number
  readonly clock: Pick<ThreadClock, 'every'>
  readonly spawn?: (settings: SnapshotSettings) => SnapshotThread
  readonly onLog: (event: LogEvent) => void
  /** All is back that comes back: changes of clients need not be noted any more. */
  readonly onRestored: () => void
  readonly onNamespacesLeft: (changeId: number) => void
  /** It has the namespaces of this reload. */
  readonly onReloaded: (reloadId: number) => void
  readonly onDeath: (error: unknown) => void
}

export class Snapshots {
  private readonly options: SnapshotsOptions
  private readonly thread: SnapshotThread
  private isEnding = false
  private isPeriodicUnderWay = false
  private endPeriods: () => void = () => undefined
  private onPrepared: (touched: TouchedMemories | undefined) => void = () => undefined
  private onRefused: (error: StartError) => void = () => undefined
  private onRestored: () => void = () => undefined
  private onStopWritten: () => void = () => undefined
  private onReleased: () => void = () => undefined

  constructor(options: SnapshotsOptions) {
    const { settings, spawn = spawnThread, onDeath } = options
    this.options = options
    this.thread = spawn(settings)
    this.thread.on('message', (message) => this.receive(message))
    this.thread.on('error', onDeath)
    this.thread.on('exit', (code) => {
      if (!this.isEnding) onDeath(new Error(`the snapshot thread ended with code ${code}`))
    })
  }

  /** Resolves to where clients' changes are to be noted, if there is something to restore. Throws StartError. */
  async prepare(): Promise<TouchedMemories | undefined> {
    return await new Promise((resolve, reject) => {
      this.onPrepared = resolve
      this.onRefused = reject
    })
  }

  /** Resolves when all is back, or `isEnough` says so, which is asked now and then. */
  async restore(isEnough: () => boolean = () => false): Promise<void> {
    await new Promise<void>((resolve) => {
      const endLooks = this.options.clock.every(LOOK_MS, () => {
        if (isEnough()) this.onRestored()
      })
      this.onRestored = () => {
        endLooks()
        resolve()
      }
      this.thread.postMessage({ kind: 'restore' })
    })
  }

  /** Clients are served from now on. */
  settle(): void {
    const { everyMs, clock } = this.options
    this.thread.postMessage({ kind: 'settle' })
    if (everyMs === 0) return
    this.endPeriods = clock.every(everyMs, () => {
      if (this.isPeriodicUnderWay) return
      this.isPeriodicUnderWay = true
      this.thread.postMessage({ kind: 'write', reason: 'periodic' })
    })
  }

  /** What workers are told, as far as it is about namespaces. No user comes to this thread. */
  tell(message: ToWorker): void {
    if (message.kind === 'leave-namespaces') this.thread.postMessage(message)
    if (message.kind !== 'credentials') return
    const { namespaces = [], reloadId } = message
    const own = namespaces.map(({ name, id, store }) => ({ name, id, store }))
    this.thread.postMessage({ kind: 'namespaces', namespaces: own, reloadId })
  }

  /** The workers have ended: resolves when what they left is written, or could not be, or was given up. */
  async write(): Promise<void> {
    this.endPeriods()
    await new Promise<void>((resolve) => {
      this.onStopWritten = resolve
      this.thread.postMessage({ kind: 'write', reason: 'stop' })
    })
  }

  /**
   * The start is over before the server was ready, and the workers have ended. Where nobody was served the snapshot is as good as
   * it was; else it is written anew, for clients may have changed what it had: behind what has not come back yet.
   */
  async abandon(how: 'put-back' | 'write'): Promise<void> {
    if (how === 'put-back') {
      this.thread.postMessage({ kind: 'put-back' })
      return
    }
    this.settle()
    this.thread.postMessage({ kind: 'restore' })
    await this.write()
  }

  giveUp(): void {
    this.thread.postMessage({ kind: 'give-up' })
  }

  /** Ends the thread; the file may be another server's then. `answers`: false if it may wait for a lock that nobody gives back. */
  async end(answers = true): Promise<void> {
    this.endPeriods()
    if (answers) await this.release()
    this.isEnding = true
    await this.thread.terminate()
  }

  private async release(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.onReleased = resolve
      this.thread.postMessage({ kind: 'release' })
    })
  }

  private receive(message: FromSnapshot): void {
    const { options } = this
    switch (message.kind) {
      case 'prepared':
        this.onPrepared(message.touched)
        break
      case 'refused':
        this.onRefused(new StartError(message.message, EXIT_OS))
        break
      case 'restored':
        this.onRestored()
        options.onRestored()
        break
      case 'written':
        if (message.reason === 'stop') this.onStopWritten()
        else this.isPeriodicUnderWay = false
        break
      case 'namespaces-left':
        options.onNamespacesLeft(message.changeId)
        break
      case 'namespaces-known':
        options.onReloaded(message.reloadId)
        break
      case 'released':
        this.onReleased()
        break
      case 'log':
        options.onLog(message.event)
        break
      default:
        unreachable(message)
    }
  }
}

function spawnThread(settings: SnapshotSettings): SnapshotThread {
  // Beside the bundle that this is in.
  return new Worker(new URL('./snapshot-thread.js', import.meta.url), { workerData: settings })
}
