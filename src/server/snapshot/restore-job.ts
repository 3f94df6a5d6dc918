/**
 * Brings the items of a snapshot back into the namespaces that there are.
 *
 *     file -> read and checked here -+-> the next chunk of this thread  -> items
 *                                    +-> a chunk for the second thread  -> items, or the rest comes back here
 *
 * Invariant: nobody is handed a chunk whose seal was not checked. A large value and its pieces, which follow one
 * another, are restored here, in their order, after all that was given away before them is done.
 */

import type { ClockBase } from '../../base/clock.ts'
import { counted } from '../../base/counted.ts'
import { continueCas } from '../../storage/cas-source.ts'
import { memoryLimitOf } from '../../storage/counters.ts'
import {
  type IntakeTarget,
  noCounts,
  type RestoreCounts,
  SnapshotIntake,
  type TimeShift,
} from '../../storage/snapshot-intake.ts'
import { CHUNK_BYTES_MAX, CHUNK_PIECE, SnapshotError } from '../../storage/snapshot-layout.ts'
import {
  elapsedMs,
  type SnapshotMoment,
  type SnapshotSummary,
  type SummaryNamespace,
} from '../../storage/snapshot-summary.ts'
import { createTouchedMemory } from '../../storage/touched-keys.ts'
import { describeFileTrouble } from '../files/file-trouble.ts'
import type { OpenSnapshot } from '../files/snapshot-file.ts'
import type { Say } from '../main/say.ts'
import { createExchangeMemory } from './chunk-exchange.ts'
import type { Progress } from './progress.ts'
import { SecondRestorer, type StartSecond } from './second-restorer.ts'
import type { SecondTarget, TouchedMemories } from './snapshot-messages.ts'
import type { SnapshotTenant } from './snapshot-tenant.ts'

/** Items between two looks at the time. */
const STEP_ITEMS = 128
/** A smaller snapshot is back before a second thread has begun. */
const SECOND_BYTES_MIN: number = 8 * 1024 * 1024
/** How long the second thread is waited for before messages are looked at. */
const WAIT_MS = 2

export interface RestoreJobOptions {
  readonly opened: OpenSnapshot
  readonly tenants: ReadonlyMap<number, SnapshotTenant>
  /** Undefined: there is to be no second thread. */
  readonly startSecond: StartSecond | undefined
  readonly clock: ClockBase
  /** Of this thread; the next one is of the second. */
  readonly workerIndex: number
  readonly now: SnapshotMoment
  readonly nowMs: () => number
  readonly nowSeconds: () => number
  readonly say: Say
  readonly progress: Progress
}

export class RestoreJob {
  /** Where the workers are to note what clients change. */
  readonly touched: TouchedMemories
  private readonly options: RestoreJobOptions
  private readonly intake: SnapshotIntake
  private readonly shift: TimeShift
  private readonly seconds: (SecondTarget | undefined)[]
  private second: SecondRestorer | undefined = undefined
  private startedMs = 0
  private isPreparing = true
  /** The chunk that this thread takes in, where more is read meanwhile. */
  private readonly own: Uint8Array = new Uint8Array(CHUNK_BYTES_MAX)
  private hasChunk = false
  /** A piece that was read ahead: what comes before it must be done first. */
  private piece: Uint8Array | undefined = undefined
  private isRead = false
  /** Why no more can be read: what was read before is restored still. */
  private trouble: unknown = undefined
  private isEnded = false

  /**
   * Before there are workers: from now on CAS ids come after those of the snapshot, and a flush that was
   * to come is to come still.
   */
  constructor(options: RestoreJobOptions) {
    this.options = options
    const { tenants, now, say } = options
    const { summary } = options.opened
    const shift = shiftOf(summary, now)
    if (!shift.isKnown) {
      const message =
        'the clock stands before the time at which the snapshot was written: what expires is not restored'
      say('warn', 'snapshot_clock', message)
    }
    const byName = new Map([...tenants.values()].map((tenant) => [tenant.name, tenant]))
    const touched: Record<number, SharedArrayBuffer> = {}
    const seconds: (SecondTarget | undefined)[] = []
    this.shift = shift
    this.seconds = seconds
    const targets = summary.namespaces.map((namespace, place) => {
      const tenant = byName.get(namespace.name)
      // Two of one name would be two owners of its items.
      byName.delete(namespace.name)
      if (tenant === undefined) return undefined
      const memory = createTouchedMemory(memoryLimitOf(tenant.store))
      touched[tenant.id] = memory
      continueCas(tenant.store, namespace.cas, summary.kind === 'periodic')
      const target = targetOf(tenant, namespace, memory, shift, options.nowSeconds())
      seconds[place] = target === undefined ? undefined : secondOf(tenant, target, memory)
      return target
    })
    this.touched = touched
    this.intake = new SnapshotIntake(targets, shift)
  }

  announce(): void {
    const { opened, say, nowMs } = this.options
    const { summary } = opened
    this.startedMs = nowMs()
    const items = summary.namespaces.reduce((sum, namespace) => sum + namespace.items, 0)
    say('info', 'snapshot_found', `bringing back ${counted(items, 'item')} of a snapshot`, {
      items,
      written: new Date(summary.written.epochMs).toISOString(),
      reason: summary.kind,
    })
  }

  /** False: all is back, or what can be. */
  step(): boolean {
    if (this.isEnded) return false
    try {
      if (this.isPreparing) {
        this.isPreparing = this.intake.prepare()
        if (!this.isPreparing) this.begin()
        return true
      }
      // Looked at before what came back: nothing comes back unseen.
      const isWorking = this.second?.isWorking === true
      if (this.readsAhead) this.readAhead()
      else if (this.hasChunk || this.takeNext()) {
        this.hasChunk = this.intake.step(STEP_ITEMS, this.options.nowSeconds())
      } else if (isWorking) this.second?.wait(WAIT_MS)
      else if (this.trouble !== undefined) throw this.trouble
      else return false
      return true
    } catch (error) {
      const why = error instanceof SnapshotError ? error.message : describeFileTrouble(error)
      const message = `the snapshot was only restored in part: ${why}`
      this.options.say('error', 'snapshot_damaged', message)
      return false
    }
  }

  /** Has a second thread do its part where that is worth while. */
  private begin(): void {
    const { options, intake, shift, seconds: targets } = this
    const { opened, startSecond, clock, workerIndex } = options
    if (startSecond === undefined || opened.sizeBytes < SECOND_BYTES_MIN) return
    // Who has room for a part of the items counts what comes.
    if (!intake.hasRoomForAll) return
    const exchange = createExchangeMemory()
    const wait = startSecond({ exchange, workerIndex: workerIndex + 1, clock, shift, targets })
    this.second = new SecondRestorer(exchange, wait)
  }

  /** Whether the second thread has nothing to do next, though there is more. */
  private get readsAhead(): boolean {
    const { second, intake } = this
    if (this.isRead || this.piece !== undefined || intake.awaitsPiece) return false
    return second?.hasRoom === true
  }

  private readAhead(): void {
    const chunk = this.read()
    if (chunk === undefined) return
    if (chunk[0] === CHUNK_PIECE) this.piece = chunk.slice()
    else this.second?.give(chunk)
  }

  /** The next chunk from the file; undefined if there is none, or none that can be read. */
  private read(): Uint8Array | undefined {
    const { opened, progress } = this.options
    try {
      const chunk = opened.reader.next()
      if (chunk !== undefined) {
        progress.at(opened.reader.readBytes, opened.sizeBytes)
        return chunk
      }
    } catch (error) {
      this.trouble = error
    }
    this.isRead = true
    return undefined
  }

  /** Takes the next chunk in hand; false if there is none for now. */
  private takeNext(): boolean {
    const { intake, second } = this
    second?.release()
    const rest = intake.awaitsPiece ? undefined : second?.takeBack()
    if (rest !== undefined) {
      intake.take(rest.bytes, rest.length, rest.position)
      return true
    }
    const chunk = this.piece ?? (this.isRead ? undefined : this.read())
    if (chunk === undefined) return false
    if (chunk[0] === CHUNK_PIECE && !intake.awaitsPiece && second?.isBusy === true) {
      // What it is a piece of has been given away: that comes back first.
      this.piece ??= chunk.slice()
      return false
    }
    this.piece = undefined
    this.own.set(chunk)
    intake.take(this.own, chunk.length)
    return true
  }

  /** Its namespace is no more: after this nobody restores anything into it. */
  forget({ view }: SnapshotTenant): void {
    // What the second thread has not done comes back.
    this.second?.end()
    this.intake.forget(view)
  }

  end(): void {
    if (this.isEnded) return
    this.isEnded = true
    this.second?.end()
    this.intake.close()
    this.options.opened.reader.close()
    const counts = sumOf(this.intake.counts, this.second?.counts ?? noCounts())
    const seconds = Math.round((this.options.nowMs() - this.startedMs) / 10) / 100
    const message = `brought back ${counted(counts.restored, 'item')} of the snapshot in ${seconds} s`
    this.options.say('info', 'snapshot_restored', message, { ...counts, seconds })
  }
}

function sumOf(first: RestoreCounts, second: RestoreCounts): RestoreCounts {
  return {
    restored: first.restored + second.restored,
    expired: first.expired + second.expired,
    superseded: first.superseded + second.superseded,
    dropped: first.dropped + second.dropped,
  }
}

function secondOf(
  { store }: SnapshotTenant,
  { restorer }: IntakeTarget,
  touched: SharedArrayBuffer,
): SecondTarget {
  return { store, touched, epoch: restorer.epoch }
}

function shiftOf({ written }: SnapshotSummary, now: SnapshotMoment): TimeShift {
  const elapsed = elapsedMs(written, now)
  const shiftMs = now.serverMs - written.serverMs - (elapsed ?? 0)
  return {
    // Rounded so that nothing lives longer than it was to.
    seconds: Math.floor(shiftMs / 1000),
    isKnown: elapsed !== undefined,
    writtenSeconds: Math.floor(written.serverMs / 1000),
  }
}

/** Undefined: all of it was to be flushed by now. */
function targetOf(
  { view, store }: SnapshotTenant,
  { flushAtSeconds, ageBytes, items }: SummaryNamespace,
  touched: SharedArrayBuffer,
  shift: TimeShift,
  nowSeconds: number,
): IntakeTarget | undefined {
  const restorer = view.createRestorer(touched)
  if (flushAtSeconds !== 0) {
    const flushAt = flushAtSeconds + shift.seconds
    if (!shift.isKnown || flushAt <= nowSeconds) return undefined
    view.flush(flushAt, nowSeconds)
  }
  const memoryBytes = memoryLimitOf(store)
  const { evicts } = store.geometry
  return { store: view, restorer, memoryBytes, evicts, ageBytes, itemCount: items }
}
