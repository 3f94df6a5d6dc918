/** Brings the items of a snapshot back into the namespaces that there are. */

import { continueCas } from '../../storage/cas-source.ts'
import { memoryLimitOf } from '../../storage/counters.ts'
import { type IntakeTarget, SnapshotIntake, type TimeShift } from '../../storage/snapshot-intake.ts'
import { SnapshotError } from '../../storage/snapshot-layout.ts'
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
import type { Progress } from './progress.ts'
import type { TouchedMemories } from './snapshot-messages.ts'
import type { SnapshotTenant } from './snapshot-tenant.ts'

/** Items between two looks at the time. */
const STEP_ITEMS = 128

export interface RestoreJobOptions {
  readonly opened: OpenSnapshot
  readonly tenants: ReadonlyMap<number, SnapshotTenant>
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
  private startedMs = 0
  private isPreparing = true
  private hasChunk = false
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
    const targets = summary.namespaces.map((namespace) => {
      const tenant = byName.get(namespace.name)
      // Two of one name would be two owners of its items.
      byName.delete(namespace.name)
      if (tenant === undefined) return undefined
      const memory = createTouchedMemory(memoryLimitOf(tenant.store))
      touched[tenant.id] = memory
      continueCas(tenant.store, namespace.cas, summary.kind === 'periodic')
      return targetOf(tenant, namespace, memory, shift, options.nowSeconds())
    })
    this.touched = touched
    this.intake = new SnapshotIntake(targets, shift)
  }

  announce(): void {
    const { opened, say, nowMs } = this.options
    const { summary } = opened
    this.startedMs = nowMs()
    const items = summary.namespaces.reduce((sum, namespace) => sum + namespace.items, 0)
    say('info', 'snapshot_found', `${items} items of a snapshot come back`, {
      items,
      written: new Date(summary.written.epochMs).toISOString(),
      reason: summary.kind,
    })
  }

  /** False: all is back, or what can be. */
  step(): boolean {
    if (this.isEnded) return false
    const { opened, nowSeconds, progress } = this.options
    try {
      if (this.isPreparing) {
        this.isPreparing = this.intake.prepare()
        return true
      }
      if (!this.hasChunk) {
        const chunk = opened.reader.next()
        if (chunk === undefined) return false
        this.intake.take(chunk, chunk.length)
        this.hasChunk = true
        progress.at(opened.reader.readBytes, opened.sizeBytes)
      }
      this.hasChunk = this.intake.step(STEP_ITEMS, nowSeconds())
      return true
    } catch (error) {
      const why = error instanceof SnapshotError ? error.message : describeFileTrouble(error)
      const message = `the snapshot was only restored in part: ${why}`
      this.options.say('error', 'snapshot_damaged', message)
      return false
    }
  }

  forget({ view }: SnapshotTenant): void {
    this.intake.forget(view)
  }

  end(): void {
    if (this.isEnded) return
    this.isEnded = true
    this.intake.close()
    this.options.opened.reader.close()
    const { counts } = this.intake
    const seconds = Math.round((this.options.nowMs() - this.startedMs) / 10) / 100
    const message = `${counts.restored} items of the snapshot are back after ${seconds} s`
    this.options.say('info', 'snapshot_restored', message, { ...counts, seconds })
  }
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
