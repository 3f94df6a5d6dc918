/**
 * What the main thread and its workers say to each other. Plain records that survive the structured
 * clone; shared memory travels as SharedArrayBuffers inside them.
 */
import type { ClockBase } from '../../base/clock.ts'
import type { CredentialSnapshot } from '../../credential/snapshot.ts'
import type { CounterMemory } from '../../observe/counters.ts'
import type { LogEvent, LogLevel } from '../../observe/log.ts'
import type { PrefixMemory } from '../../observe/prefix-table.ts'
import type { WatchMemory } from '../../observe/watch-memory.ts'
import type { StoreMemory } from '../../storage/geometry.ts'
import type { WorkerTableMemory } from '../admission/worker-table.ts'
import type { SharedSocket } from '../net/bound-sockets.ts'
import type { Internal } from '../net/node-internals.ts'
import type { ConnectionTableMemory } from './connection-table.ts'

export interface WorkerAuth {
  readonly credentials: CredentialSnapshot
  /** To announce, in order. */
  readonly mechanisms: readonly string[]
  readonly keyDerivationsMax: number
  readonly derivationQueueMax: number
}

/** What all workers see. */
export interface SharedMemory {
  readonly store: StoreMemory
  readonly counters: CounterMemory
  /** Through which a watcher sees the events of all workers. */
  readonly watch: WatchMemory
  readonly prefixes: PrefixMemory
  readonly connectionTable: ConnectionTableMemory
  readonly workerTable: WorkerTableMemory
}

/** Everything that a worker is started with. */
export interface WorkerSettings extends SharedMemory {
  readonly workerIndex: number
  readonly version: string
  /** When the server started, the same for all workers. */
  readonly clock: ClockBase
  readonly sockets: readonly SharedSocket[]
  readonly backlog: number
  /** Undefined: no authentication. */
  readonly auth: WorkerAuth | undefined
  readonly logLevel: LogLevel
  readonly valueBytesMax: number
  readonly flushEnabled: boolean
  readonly dumpEnabled: boolean
  readonly watchEnabled: boolean
  readonly shutdownEnabled: boolean
  /** Which first bytes are served: all, only 0x80, or all but 0x80. */
  readonly protocol: 'auto' | 'binary' | 'ascii'
  readonly casEnabled: boolean
  readonly connectionsMax: number
  /** Connections over the limit that may wait for a place; more are refused. */
  readonly heldConnectionsMax: number
  readonly unauthenticatedConnectionsMax: number
  readonly loginTimeoutMs: number
  readonly loginAttemptsMax: number
  readonly saslBytesMax: number
  readonly requestsPerTurnMax: number
  readonly idleTimeoutMs: number
  readonly stalledWriteTimeoutMs: number
  readonly sendBufferBytesMax: number
  readonly watcherBufferBytesMax: number
  /** Rows of `stats settings`. */
  readonly showsLruMaintainer: boolean
  readonly settingsRows: readonly (readonly [string, string])[]
  readonly threadCount: number
}

export type ToWorker =
  | {
      readonly kind: 'credentials'
      readonly credentials: CredentialSnapshot
      /** To confirm, so that nobody is told of users that are not in force yet. */
      readonly reloadId: number
    }
  /** Whether newcomers may be accepted at all. */
  | { readonly kind: 'accept'; readonly accepts: boolean }
  /** `verbosity` is what `stats settings` shows for that level. */
  | { readonly kind: 'log-level'; readonly level: LogLevel; readonly verbosity: number }
  /** Stop accepting, finish what is under way, close what is left after `deadlineMs`. */
  | { readonly kind: 'stop'; readonly deadlineMs: number }

export type FromWorker =
  | { readonly kind: 'listening' }
  /** Listening failed; `message` is fit for an operator. */
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'credentials-in-force'; readonly reloadId: number }
  | { readonly kind: 'log'; readonly event: LogEvent }
  /** Something of Node is not there, or not as expected. */
  | { readonly kind: 'without'; readonly internal: Internal }
  | { readonly kind: 'verbosity'; readonly level: number }
  /** A client that may do so asked for the end. */
  | { readonly kind: 'shutdown' }
  /** Told to stop, it accepts no more. */
  | { readonly kind: 'accepts-no-more' }
  /** Every connection is closed; `cutCount` of them by the deadline. */
  | { readonly kind: 'stopped'; readonly cutCount: number }
