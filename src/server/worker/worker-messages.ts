/**
 * What the main thread and its workers say to each other. Plain records that survive the structured
 * clone; shared memory travels as SharedArrayBuffers inside them.
 */
import type { ClockBase } from '../../base/clock.ts'
import type { LogLevel } from '../../base/log-level.ts'
import type { ClusterNodes } from '../../command/operations/cluster-lines.ts'
import type { CodePointTables } from '../../credential/code-points.ts'
import type { CredentialSnapshot } from '../../credential/credential-snapshot.ts'
import type { TokenKeySet } from '../../credential/token-keys.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import type { CounterMemory } from '../../observe/counters.ts'
import type { LogEvent } from '../../observe/log.ts'
import type { PrefixMemory } from '../../observe/prefix-table.ts'
import type { SharedLanes } from '../../observe/shared-lanes.ts'
import type { WatchMemory } from '../../observe/watch-memory.ts'
import type { RemoteSettings } from '../../remote/remote-settings.ts'
import type { CertificateField } from '../../sasl/certificate-user.ts'
import type { RememberedLogin } from '../../sasl/login-memory.ts'
import type { ThrottleMemory } from '../../sasl/throttle/login-throttle.ts'
import type { TokenSettings } from '../../sasl/token-logins.ts'
import type { StoreMemory } from '../../storage/geometry.ts'
import type { WorkerTableMemory } from '../admission/worker-table-memory.ts'
import type { Internal } from '../net/node-internals.ts'
import type { SharedSocket } from '../net/shared-socket.ts'
import type { TlsMaterial } from '../net/tls-material.ts'
import type { TouchedMemories } from '../snapshot/snapshot-messages.ts'
import type { ConnectionTableMemory } from './connection-table.ts'
import type { MeasureMemory } from './measure-memory.ts'
import type { AuditMemory } from './worker-audit.ts'

export interface WorkerAuth {
  readonly credentials: CredentialSnapshot
  /** Of SASLprep. */
  readonly codePoints: CodePointTables
  /** To announce, in order. */
  readonly mechanisms: readonly string[]
  /** What of a client's certificate names its user; undefined: nobody logs in by one. */
  readonly certificateField?: CertificateField | undefined
  /** 32 random bytes, secret: what right passwords are remembered under. */
  readonly loginMemoryKey: Uint8Array
  readonly keyDerivationsMax: number
  readonly derivationQueueMax: number
  /** Undefined: failed logins are not held against anybody. */
  readonly throttle: ThrottleSettings | undefined
  /** Undefined: no tokens are taken. */
  readonly tokens: TokenSettings | undefined
}

export interface ThrottleSettings {
  readonly failuresMax: number
  /** The first refusal, and the longest. */
  readonly refusalMsMin: number
  readonly refusalMsMax: number
  /** Networks in CIDR notation, each valid. */
  readonly allowed: readonly string[]
}

/** One namespace: its items, what is counted of its requests, and its prefixes. */
export interface NamespaceMemory {
  readonly name: string
  readonly id: number
  readonly store: StoreMemory
  readonly counters: CounterMemory
  readonly prefixes: PrefixMemory
}

/** What all workers see. */
export interface SharedMemory {
  readonly store: StoreMemory
  readonly counters: CounterMemory
  /** Through which a watcher sees the events of all workers. */
  readonly watch: WatchMemory
  readonly prefixes: PrefixMemory
  /** The namespaces beside the default one, whose memory is that above. */
  readonly namespaces: readonly NamespaceMemory[]
  readonly connectionTable: ConnectionTableMemory
  readonly workerTable: WorkerTableMemory
  /** Connections by namespace (namespace-places.ts). */
  readonly places: SharedArrayBuffer
  /** Bytes of unfinished requests by namespace (unfinished-budget.ts). */
  readonly unfinished: SharedLanes
  /** Bytes of unread replies by namespace (reply-memory.ts). */
  readonly replies: SharedLanes
  readonly measures: MeasureMemory
  readonly throttle: ThrottleMemory
  /** Undefined: there is no audit. */
  readonly audit: AuditMemory | undefined
  /** What the threads change in a store elsewhere; undefined: nobody keeps copies of it. */
  readonly stripes: SharedArrayBuffer | undefined
}

/** Everything that a worker is started with. */
export interface WorkerSettings extends SharedMemory {
  readonly workerIndex: number
  readonly version: string
  /** When the server started, the same for all workers. */
  readonly clock: ClockBase
  readonly sockets: readonly SharedSocket[]
  /** Undefined where no listener speaks TLS. */
  readonly tls: TlsMaterial | undefined
  /** Where changes are noted while a snapshot is restored, for each namespace; undefined: none is. */
  readonly touched: TouchedMemories | undefined
  readonly passwordsInTheClear: boolean
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
  /** Where the items are; undefined: in this process. */
  readonly remote: RemoteSettings | undefined
  /** Which nodes clients may discover. */
  readonly cluster: ClusterNodes | undefined
  /** Rows of `stats settings`. */
  readonly showsLruMaintainer: boolean
  readonly settingsRows: readonly (readonly [string, string])[]
  readonly threadCount: number
}

export type ToWorker =
  | {
      readonly kind: 'credentials'
      readonly credentials: CredentialSnapshot
      /** Those that are new, before their users are. */
      readonly namespaces?: readonly NamespaceMemory[]
      /** To confirm, so that nobody is told of users that are not in force yet. */
      readonly reloadId: number
    }
  /** For whoever connects from now on. */
  | { readonly kind: 'certificates'; readonly material: TlsMaterial }
  /** What became of this worker's `refresh-certificates`; `problem` is one line for the client. */
  | {
      readonly kind: 'certificates-refreshed'
      readonly workerIndex: number
      readonly problem: string | undefined
    }
  /** Those that tokens are checked with; also the answer to who wanted newer ones and there are none. */
  | { readonly kind: 'token-keys'; readonly keys: TokenKeySet }
  /** What another worker found right. */
  | { readonly kind: 'remembered'; readonly login: RememberedLogin }
  /** These namespaces are no more: nothing may touch their memory after that is confirmed. */
  | {
      readonly kind: 'leave-namespaces'
      readonly ids: readonly number[]
      readonly changeId: number
    }
  /** For clients that ask for the nodes of the cluster from now on. */
  | { readonly kind: 'cluster'; readonly nodes: ClusterNodes }
  /** The snapshot is back: changes need not be noted any more. */
  | { readonly kind: 'restored' }
  /** Whether newcomers may be accepted at all. */
  | { readonly kind: 'accept'; readonly accepts: boolean }
  /** `verbosity` is what `stats settings` shows for that level. */
  | { readonly kind: 'log-level'; readonly level: LogLevel; readonly verbosity: number }
  /** Stop accepting, finish what is under way, close what is left after `deadlineMs`. */
  | { readonly kind: 'stop'; readonly deadlineMs: number }

export type FromWorker =
  | { readonly kind: 'listening' }
  /**
   * Listening failed; `message` is fit for an operator. With `isFollowing` it is no reason of its own: Node has closed the
   * descriptor, which is all workers', when another of them could not listen on it.
   */
  | { readonly kind: 'refused'; readonly message: string; readonly isFollowing: boolean }
  | { readonly kind: 'credentials-in-force'; readonly reloadId: number }
  | { readonly kind: 'certificates-in-force'; readonly generation: number }
  /** A client that may do so asked for it; one at a time from each worker. */
  | { readonly kind: 'refresh-certificates'; readonly workerIndex: number }
  | { readonly kind: 'namespaces-left'; readonly changeId: number }
  | { readonly kind: 'log'; readonly event: LogEvent }
  | { readonly kind: 'audit'; readonly event: AuditEvent }
  /** A password was right that was not remembered: for the other workers. */
  | { readonly kind: 'remembered'; readonly login: RememberedLogin }
  /** A token names a key that is not known. */
  | { readonly kind: 'token-keys-wanted' }
  /** Something of Node is not there, or not as expected. */
  | { readonly kind: 'without'; readonly internal: Internal }
  | { readonly kind: 'verbosity'; readonly level: number }
  /** A client that may do so asked for the end. */
  | { readonly kind: 'shutdown' }
  /** Told to stop, it accepts no more. */
  | { readonly kind: 'accepts-no-more' }
  /** Every connection is closed; `cutCount` of them by the deadline. */
  | { readonly kind: 'stopped'; readonly cutCount: number }

/** The way to the main thread. */
export interface WorkerPort {
  postMessage(message: FromWorker): void
  on(event: 'message', listener: (message: ToWorker) => void): unknown
}
