/** What the main thread and the thread that keeps the snapshot say to each other; see worker-messages.ts. */
import type { ClockBase } from '../../base/clock.ts'
import type { LogEvent } from '../../observe/log.ts'
import type { StoreMemory } from '../../storage/geometry.ts'
import type { TimeShift } from '../../storage/snapshot-intake.ts'

/** One namespace, as far as its items are concerned. */
export interface SnapshotNamespace {
  readonly name: string
  readonly id: number
  readonly store: StoreMemory
}

/** Everything that the thread is started with. */
export interface SnapshotSettings {
  readonly path: string
  /** Undefined: the snapshot is not encrypted. */
  readonly secret: Uint8Array | undefined
  /** Who the process becomes; undefined: who it is. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  /** One of a server that did not end in order is taken, too. */
  readonly takesStale: boolean
  readonly clock: ClockBase
  /** Behind those of the workers that serve; the next one is of the second thread that restores. */
  readonly workerIndex: number
  /** The default one first. */
  readonly namespaces: readonly SnapshotNamespace[]
}

/** A namespace as the second thread that restores is told of it. */
export interface SecondTarget {
  readonly store: StoreMemory
  readonly touched: SharedArrayBuffer
  /** Of the flushes, when the first thread began. */
  readonly epoch: number
}

/** Everything that the second thread is started with. */
export interface SecondSettings {
  readonly exchange: SharedArrayBuffer
  readonly workerIndex: number
  readonly clock: ClockBase
  readonly shift: TimeShift
  /** By their place in the summary. */
  readonly targets: readonly (SecondTarget | undefined)[]
}

/** Where workers note which keys are changed, for each namespace that is restored. */
export type TouchedMemories = Readonly<Record<number, SharedArrayBuffer>>

/** Why one is written. */
export type SnapshotReason = 'stop' | 'periodic'

export type ToSnapshot =
  /** The workers note changes, or there are none yet: items may come back. */
  | { readonly kind: 'restore' }
  /** The server serves: what was taken is good for nobody else. */
  | { readonly kind: 'settle' }
  /** Nobody was served, and nobody will be: the file is as it was. */
  | { readonly kind: 'put-back' }
  /** For `stop`, all workers have ended. */
  | { readonly kind: 'write'; readonly reason: SnapshotReason }
  /** What is being written is not wanted any more. */
  | { readonly kind: 'give-up' }
  /** Those that are new; to be confirmed. */
  | {
      readonly kind: 'namespaces'
      readonly namespaces: readonly SnapshotNamespace[]
      readonly reloadId: number
    }
  /** Nothing of these may be touched after that is confirmed. */
  | {
      readonly kind: 'leave-namespaces'
      readonly ids: readonly number[]
      readonly changeId: number
    }
  /** The end: the file may be another server's. */
  | { readonly kind: 'release' }

export type FromSnapshot =
  /** `touched`: there are items to restore, and changes of clients are to be noted there. */
  | { readonly kind: 'prepared'; readonly touched: TouchedMemories | undefined }
  /** The server is not to start; `message` is fit for an operator. */
  | { readonly kind: 'refused'; readonly message: string }
  /** All is back that comes back. */
  | { readonly kind: 'restored' }
  | { readonly kind: 'written'; readonly reason: SnapshotReason }
  | { readonly kind: 'namespaces-left'; readonly changeId: number }
  | { readonly kind: 'namespaces-known'; readonly reloadId: number }
  | { readonly kind: 'released' }
  | { readonly kind: 'log'; readonly event: LogEvent }
