/** Writes all items of all namespaces into a new file, and puts it in the place of the old one. */

import { counted } from '../../base/counted.ts'
import { casMarkOf } from '../../storage/cas-source.ts'
import { readStoreMetrics } from '../../storage/counters.ts'
import { flushPendingOf } from '../../storage/flush.ts'
import type { SnapshotMoment, SummaryNamespace } from '../../storage/snapshot-summary.ts'
import { SnapshotWalk } from '../../storage/snapshot-walk.ts'
import { describeFileTrouble } from '../files/file-trouble.ts'
import { type FileSystem, SnapshotFileWriter } from '../files/snapshot-file.ts'
import type { SnapshotPlace } from '../files/snapshot-place.ts'
import type { Say } from '../main/say.ts'
import type { Progress } from './progress.ts'
import type { SnapshotReason } from './snapshot-messages.ts'
import type { SnapshotTenant } from './snapshot-tenant.ts'

export interface WriteJobOptions {
  readonly fs: FileSystem
  readonly place: SnapshotPlace
  readonly secret: Uint8Array | undefined
  readonly reason: SnapshotReason
  readonly tenants: readonly SnapshotTenant[]
  readonly written: SnapshotMoment
  readonly nowMs: () => number
  readonly nowSeconds: () => number
  readonly say: Say
  readonly progress: Progress
}

export const GIVEN_UP = 'the snapshot was given up'

interface Walked {
  readonly tenant: SnapshotTenant
  readonly walk: SnapshotWalk
  isGone: boolean
}

export class WriteJob {
  private readonly options: WriteJobOptions
  private readonly startedMs: number
  private readonly writer: SnapshotFileWriter
  private readonly walked: Walked[]
  private readonly expectedItems: number
  private current = 0
  private isEnded = false

  /** Throws what the system says of the file. */
  constructor(options: WriteJobOptions) {
    const { fs, place, secret, tenants, written } = options
    this.options = options
    this.startedMs = options.nowMs()
    this.expectedItems = tenants.reduce((sum, it) => sum + readStoreMetrics(it.store).items, 0)
    place.removeNew()
    const writer = new SnapshotFileWriter(fs, place.newPath, secret)
    this.writer = writer
    const writtenSeconds = Math.floor(written.serverMs / 1000)
    this.walked = tenants.map((tenant, place) => ({
      tenant,
      walk: new SnapshotWalk(tenant.view, place, writtenSeconds, (payload, length) =>
        writer.writeChunk(payload, length),
      ),
      isGone: false,
    }))
    options.say(
      'info',
      'snapshot_begun',
      `writing a snapshot of ${counted(this.expectedItems, 'item')}`,
      {
        path: place.path,
        reason: options.reason,
        items: this.expectedItems,
      },
    )
  }

  /** False: it is written, or could not be. */
  step(): boolean {
    if (this.isEnded) return false
    try {
      const walked = this.walked[this.current]
      if (walked !== undefined) {
        if (walked.isGone || !walked.walk.step(this.options.nowSeconds())) this.current++
        this.options.progress.at(this.itemCount, this.expectedItems)
        return true
      }
      if (!this.writer.isComplete) this.complete()
      if (this.isWaiting) return true
      this.finish()
    } catch (error) {
      const why = describeFileTrouble(error)
      this.isEnded = true
      this.writer.abandon()
      this.options.say('error', 'snapshot_failed', `the snapshot was not written: ${why}`, {
        path: this.options.place.path,
      })
    }
    return false
  }

  /** The disk has all of it; what it was told before may be on its way still. */
  get isWaiting(): boolean {
    return this.writer.isComplete && this.writer.isSyncing && !this.isEnded
  }

  forget(tenant: SnapshotTenant): void {
    for (const walked of this.walked) if (walked.tenant === tenant) walked.isGone = true
  }

  end(): void {
    if (this.isEnded) return
    this.leave()
    this.options.say('warn', 'snapshot_failed', GIVEN_UP, { path: this.options.place.path })
  }

  /** The same where another is written at once. */
  leave(): void {
    if (this.isEnded) return
    this.isEnded = true
    this.writer.abandon()
  }

  private get itemCount(): number {
    return this.walked.reduce((sum, { walk }) => sum + walk.itemCount, 0)
  }

  private complete(): void {
    const { reason, written } = this.options
    this.writer.complete({ kind: reason, written, namespaces: this.walked.map(summaryOf) })
  }

  private finish(): void {
    const { options, writer } = this
    const { place, reason, nowMs } = options
    if (!place.isLocked) {
      this.isEnded = true
      writer.abandon()
      const message = 'the snapshot was not written: another server has taken the file over'
      options.say('error', 'snapshot_failed', message, { path: place.path })
      return
    }
    writer.replace(place.path)
    this.isEnded = true
    const seconds = Math.round((nowMs() - this.startedMs) / 10) / 100
    const items = this.itemCount
    const bytes = writer.writtenBytes
    options.say('info', 'snapshot_written', `wrote ${counted(items, 'item')} in ${seconds} s`, {
      path: place.path,
      reason,
      items,
      bytes,
      seconds,
    })
  }
}

/** What was removed meanwhile has no name: nobody gets its items. */
function summaryOf({ tenant, walk, isGone }: Walked): SummaryNamespace {
  return {
    name: isGone ? '' : tenant.name,
    cas: casMarkOf(tenant.store),
    flushAtSeconds: flushPendingOf(tenant.store),
    items: walk.itemCount,
    bytes: walk.itemBytes,
    ageBytes: [...walk.ageBytes],
  }
}
