/**
 * Keeps the snapshot of the items: takes it at the start, brings the items back, and writes a new one. It has a
 * thread and stores of its own over the memory of the workers, so that a disk that hangs keeps no client waiting.
 *
 *     start() -> prepared -> restore -> restored -> write -> written -> ... -> write (stop) -> written -> release
 *
 * Invariant: one job is done at a time, in the order in which they were asked for, some milliseconds a turn. Trouble with the file
 * is told in the log and costs the snapshot, never the server; a file that another server has is the one reason
 * not to start.
 */
import { Clock } from '../../base/clock.ts'
import type { LogLevel } from '../../base/log-level.ts'
import { unreachable } from '../../base/unreachable.ts'
import type { LogFields } from '../../observe/log.ts'
import { LendingRing } from '../../storage/lending.ts'
import type { SnapshotMoment } from '../../storage/snapshot-summary.ts'
import { Store } from '../../storage/store.ts'
import { describeFileTrouble } from '../files/file-trouble.ts'
import {
  type FileSystem,
  mayReplace,
  type OpenSnapshot,
  openSnapshot,
  RefusedSnapshot,
} from '../files/snapshot-file.ts'
import { bootIdOf, SnapshotInUse, SnapshotPlace } from '../files/snapshot-place.ts'
import type { ThreadClock } from '../worker/thread-clock.ts'
import { Progress } from './progress.ts'
import { RestoreJob } from './restore-job.ts'
import type { StartSecond } from './second-restorer.ts'
import type {
  FromSnapshot,
  SnapshotNamespace,
  SnapshotReason,
  SnapshotSettings,
  ToSnapshot,
  TouchedMemories,
} from './snapshot-messages.ts'
import type { SnapshotTenant } from './snapshot-tenant.ts'
import { GIVEN_UP, WriteJob } from './write-job.ts'

/** How long a job goes on before messages are looked at. */
const TURN_MS = 4
/** How long it is left alone while it waits for the disk. */
const WAIT_MS = 5
/** What its stores have to do beside: segments that have expired, and its part in what namespaces lend. */
const UPKEEP_MS = 1000
const UPKEEP_ITEMS = 500

/** What it uses of the system; tests have some of their own. */
export interface SnapshotSystem {
  readonly fs: FileSystem
  readonly wallMs: () => number
  /** Nobody else is to be considered any more. */
  readonly hurry: () => void
  /** Starts a second thread that restores; there is none where one CPU is all. */
  readonly startSecond?: StartSecond
}

/** The way to the main thread. */
export interface SnapshotPort {
  postMessage(message: FromSnapshot): void
  on(event: 'message', listener: (message: ToSnapshot) => void): unknown
}

/** Something that takes many turns. */
interface Job {
  /** Does a little; false if that was the end. */
  step(): boolean
  /** The next step has nothing to do before the system has done something. */
  readonly isWaiting?: boolean
  /** Its namespace is no more. */
  forget(tenant: SnapshotTenant): void
  /** It ended, or was ended before. */
  end(): void
}

export class SnapshotKeeper {
  private readonly settings: SnapshotSettings
  private readonly port: SnapshotPort
  private readonly threadClock: ThreadClock
  private readonly clock: Clock
  private readonly fs: FileSystem
  private readonly wallMs: () => number
  private readonly hurry: () => void
  private readonly startSecond: SnapshotSystem['startSecond']
  private readonly place: SnapshotPlace
  private readonly tenants: Map<number, SnapshotTenant> = new Map()
  private readonly lending: LendingRing = new LendingRing()
  /** False: there is no file to read or to write. */
  private isUsable = true
  private opened: OpenSnapshot | undefined = undefined
  private restoring: RestoreJob | undefined = undefined
  private job: Job | undefined = undefined
  private readonly waiting: (() => void)[] = []
  /** The last that was begun, over or not. */
  private periodic: WriteJob | undefined = undefined
  private isStopping = false
  private isGivenUp = false
  private endUpkeep: () => void = () => undefined

  constructor(
    settings: SnapshotSettings,
    port: SnapshotPort,
    threadClock: ThreadClock,
    { fs, wallMs, hurry, startSecond }: SnapshotSystem,
  ) {
    this.settings = settings
    this.port = port
    this.threadClock = threadClock
    this.clock = Clock.of(settings.clock, threadClock)
    this.fs = fs
    this.wallMs = wallMs
    this.hurry = hurry
    this.startSecond = startSecond
    this.place = new SnapshotPlace(fs, settings.path, settings.owner)
    this.openTenants(settings.namespaces)
  }

  /** Looks for a snapshot, and posts whether there is one. */
  start(): void {
    this.port.on('message', (message) => this.receive(message))
    this.endUpkeep = this.threadClock.every(UPKEEP_MS, () => this.maintain())
    try {
      this.place.lock()
    } catch (error) {
      if (error instanceof SnapshotInUse) {
        this.port.postMessage({ kind: 'refused', message: error.message })
        return
      }
      this.isUsable = false
      this.say(
        'error',
        'snapshot_unavailable',
        `no snapshot can be written now, which is tried again with each: ${describeFileTrouble(error)}`,
        { path: this.settings.path },
      )
    }
    const touched = this.prepare()
    this.port.postMessage({ kind: 'prepared', touched })
  }

  private receive(message: ToSnapshot): void {
    switch (message.kind) {
      case 'restore':
        this.enqueue(() => this.restore())
        break
      case 'settle':
        this.forgetTaken()
        break
      case 'put-back':
        this.job?.end()
        this.job = undefined
        if (this.opened !== undefined) this.place.putBack()
        break
      case 'write':
        if (message.reason === 'stop') this.makeHaste()
        this.enqueue(() => this.write(message.reason))
        break
      case 'give-up':
        // It may come before there is anything to write. What waits is over as soon as it is begun.
        this.isGivenUp = true
        this.job?.end()
        this.port.postMessage({ kind: 'written', reason: 'stop' })
        break
      case 'namespaces':
        this.openTenants(message.namespaces)
        this.port.postMessage({ kind: 'namespaces-known', reloadId: message.reloadId })
        break
      case 'leave-namespaces':
        this.leave(message.ids)
        this.port.postMessage({ kind: 'namespaces-left', changeId: message.changeId })
        break
      case 'release':
        this.endUpkeep()
        this.tryTo(() => this.place.release())
        this.port.postMessage({ kind: 'released' })
        break
      default:
        unreachable(message)
    }
  }

  /** Takes the snapshot, if there is one that may be taken; undefined if nothing comes back. */
  private prepare(): TouchedMemories | undefined {
    const { settings, fs } = this
    const { path } = settings
    try {
      const owners = [0, process.geteuid?.(), settings.owner?.uid]
      this.opened = openSnapshot(fs, path, settings.secret, owners)
    } catch (error) {
      this.refuse(error)
      return undefined
    }
    if (this.opened === undefined) {
      this.say('info', 'snapshot_none', 'there is no snapshot: the cache starts empty', { path })
      return undefined
    }
    if (!this.mayTake(this.opened)) {
      this.opened.reader.close()
      this.opened = undefined
      return undefined
    }
    const { opened } = this
    this.restoring = new RestoreJob({
      opened,
      tenants: this.tenants,
      startSecond: this.startSecond,
      clock: settings.clock,
      workerIndex: settings.workerIndex,
      now: this.moment(),
      nowMs: () => this.threadClock.nowMs(),
      nowSeconds: () => this.nowSeconds(),
      say: (level, event, message, fields) => this.say(level, event, message, fields),
      progress: this.progress('snapshot_restoring', 'items come back'),
    })
    return this.restoring.touched
  }

  /** Says yes only if nobody can read the same file again who must not. */
  private mayTake({ summary }: OpenSnapshot): boolean {
    const { takesStale, path } = this.settings
    if (summary.kind === 'periodic') {
      if (takesStale) return true
      this.say(
        'warn',
        'snapshot_stale',
        'the server did not end in order after this snapshot was written, so clients may have changed ' +
          'what it has: it is not used (--restore-stale uses it), and the cache starts empty',
        { path },
      )
      return false
    }
    try {
      this.place.take()
      return true
    } catch (error) {
      if (takesStale) return true
      this.say(
        'error',
        'snapshot_refused',
        `the snapshot is not used, because it could not be removed and would be used again after a ` +
          `crash: ${describeFileTrouble(error)}; the cache starts empty`,
        { path },
      )
      return false
    }
  }

  private refuse(error: unknown): void {
    const { path } = this.settings
    const why = error instanceof RefusedSnapshot ? error.message : describeFileTrouble(error)
    let where = ''
    if (error instanceof RefusedSnapshot && !error.isOurs) {
      where = '; it stays as it is, and no snapshot is written until it is moved away or removed'
    } else if (error instanceof RefusedSnapshot && this.isUsable) {
      this.tryTo(() => {
        this.place.setAside()
        where = `; it is ${path}.refused now`
      })
    }
    const message = `the snapshot is not used, the cache starts empty: ${why}${where}`
    this.say('error', 'snapshot_refused', message, { path })
  }

  private restore(): void {
    const { restoring } = this
    if (restoring === undefined || this.isGivenUp) {
      this.port.postMessage({ kind: 'restored' })
      return
    }
    restoring.announce()
    this.run(restoring, () => {
      this.restoring = undefined
      this.port.postMessage({ kind: 'restored' })
    })
  }

  /** Nobody is served any more, and a periodic snapshot is one too many. */
  private makeHaste(): void {
    this.isStopping = true
    this.hurry()
    this.periodic?.leave()
  }

  private write(reason: SnapshotReason): void {
    const done = (): void => this.port.postMessage({ kind: 'written', reason })
    const { fs, place, settings } = this
    const isPeriodic = reason === 'periodic'
    if (!isPeriodic) this.endUpkeep()
    if (isPeriodic && this.isStopping) {
      done()
      return
    }
    if (this.isGivenUp) {
      this.say('warn', 'snapshot_failed', GIVEN_UP, { path: settings.path })
      done()
      return
    }
    if (!this.mayWrite()) {
      done()
      return
    }
    try {
      const job = new WriteJob({
        fs,
        place,
        secret: settings.secret,
        reason,
        tenants: [...this.tenants.values()],
        written: this.moment(),
        nowMs: () => this.threadClock.nowMs(),
        nowSeconds: () => this.nowSeconds(),
        say: (level, event, message, fields) => this.say(level, event, message, fields),
        progress: this.progress('snapshot_writing', 'a snapshot is being written'),
      })
      if (isPeriodic) this.periodic = job
      this.run(job, done)
    } catch (error) {
      this.sayNotWritten(describeFileTrouble(error))
      done()
    }
  }

  private mayWrite(): boolean {
    const { place, fs } = this
    try {
      if (!this.isUsable) {
        // It could not be written to when the server started; a disk that was full then need not be now.
        place.lock()
        this.isUsable = true
      }
      if (!place.isLocked) this.sayNotWritten('another server has taken the file over')
      else if (!mayReplace(fs, place.path)) {
        this.sayNotWritten(
          'a file of that name is no snapshot, and is left as it is: move it away or remove it',
        )
      } else return true
    } catch (error) {
      const isInUse = error instanceof SnapshotInUse
      this.sayNotWritten(isInUse ? error.message : describeFileTrouble(error))
    }
    return false
  }

  private sayNotWritten(why: string): void {
    const { path } = this.settings
    this.say('error', 'snapshot_failed', `the snapshot was not written: ${why}`, { path })
  }

  /** What is to be done when all that was asked for before is. */
  private enqueue(begin: () => void): void {
    this.waiting.push(begin)
    this.next()
  }

  private next(): void {
    while (this.job === undefined) {
      const begin = this.waiting.shift()
      if (begin === undefined) return
      begin()
    }
  }

  private run(job: Job, onEnd: () => void): void {
    this.job = job
    const turn = (): void => {
      // It was ended meanwhile.
      if (this.job !== job) return
      const endMs = this.threadClock.nowMs() + TURN_MS
      let goesOn: boolean
      do goesOn = job.step()
      while (goesOn && !job.isWaiting && this.threadClock.nowMs() < endMs)
      if (goesOn) {
        if (job.isWaiting) this.threadClock.after(WAIT_MS, turn)
        else this.threadClock.soon(turn)
        return
      }
      job.end()
      this.job = undefined
      onEnd()
      this.next()
    }
    this.threadClock.soon(turn)
  }

  private openTenants(namespaces: readonly SnapshotNamespace[]): void {
    for (const namespace of namespaces) {
      const view = new Store(namespace.store, this.settings.workerIndex)
      this.tenants.set(namespace.id, { ...namespace, view })
    }
    if (this.tenants.size === 1) return
    for (const { view } of this.tenants.values()) {
      view.leaveLending()
      view.joinLending(this.lending)
    }
  }

  private leave(ids: readonly number[]): void {
    for (const id of ids) {
      const tenant = this.tenants.get(id)
      if (tenant === undefined) continue
      this.restoring?.forget(tenant)
      this.job?.forget(tenant)
      this.tenants.delete(id)
      tenant.view.leaveLending()
    }
    if (this.tenants.size === 1) for (const { view } of this.tenants.values()) view.leaveLending()
  }

  private maintain(): void {
    const nowSeconds = this.nowSeconds()
    for (const { view } of this.tenants.values()) view.maintain(nowSeconds, UPKEEP_ITEMS)
  }

  private forgetTaken(): void {
    if (this.opened?.summary.kind === 'stop') this.tryTo(() => this.place.forget())
  }

  private moment(): SnapshotMoment {
    const { threadClock } = this
    return {
      epochMs: this.wallMs(),
      serverMs: this.clock.epochMs(threadClock.nowMs()),
      bootId: bootIdOf(this.fs),
      monotonicMs: threadClock.sharedMs(),
    }
  }

  private nowSeconds(): number {
    return this.clock.epochSeconds(this.threadClock.nowMs())
  }

  private progress(event: string, message: string): Progress {
    return new Progress(
      () => this.threadClock.nowMs(),
      (percent) => this.say('info', event, `${message}: ${percent} %`, { percent }),
    )
  }

  /** What fails here is no reason to fail. */
  private tryTo(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.say('warn', 'snapshot_files', `beside the snapshot: ${describeFileTrouble(error)}`)
    }
  }

  private say(level: LogLevel, event: string, message: string, fields: LogFields = {}): void {
    this.port.postMessage({ kind: 'log', event: { level, event, message, fields } })
  }
}
