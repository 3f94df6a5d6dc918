/** What the connections of a worker share: first as far as it does not know them. */
import type { Peer } from '../base/peer.ts'
import type { DialectOf } from './dialect.ts'
import type { ReplyMemory } from './reply-memory.ts'
import type { SendBuffer } from './send-buffer.ts'
import type { TurnCounts } from './turn-counts.ts'

export interface ConnectionLimits {
  /** From accept to the first successful login; also from a failed re-login of who was logged in. */
  readonly loginTimeoutMs: number
  /** The same while connections wait for their turn to log in. */
  readonly crowdedLoginTimeoutMs: number
  /** Without any byte from a logged-in client; 0 is never. */
  readonly idleTimeoutMs: number
  /** Without progress of a reply that the client does not take; 0 is never. */
  readonly stalledWriteTimeoutMs: number
  /** Unsent reply bytes above which no further request of this client is carried out. */
  readonly sendBufferBytesMax: number
}

export interface WorkerContext {
  readonly limits: ConnectionLimits
  readonly lane: Float64Array
  readonly counts: TurnCounts
  readonly sendBuffer: SendBuffer
  /** Coarse monotonic time; moves with the worker's deadline timer. */
  nowMs: number
  /** The server's clock as of then: seconds since 1970, whole. */
  epochSeconds: number
  /** True while connections wait to be served before login: the short login deadline holds. */
  isCrowded: boolean
  /** True once the server stops: a connection ends as soon as it owes its client nothing. */
  isStopping: boolean
  /** After our last reply, how long a peer may take to close before the connection is dropped. */
  lingerMs: number
  readonly replyMemory: ReplyMemory
  /**
   * Whether requests that are not complete may hold so many bytes more, over all connections of
   * clients that are logged in, or over all others. `namespace` is whose client it is.
   */
  hasRoomFor(bytes: number, isLoggedIn: boolean, namespace: number): boolean
  /** A value that was on its way into a namespace's store was refused for want of room there. */
  refuseArriving(namespace: number): void
  /**
   * Whether others lack what the slow clients of a namespace hold of requests that are not complete, or, `isInStore`, of
   * values on their way into its store.
   */
  isInputWanted(namespace: number, isInStore: boolean): boolean
  /** What the clients of a namespace that are logged in hold has changed by so many bytes. */
  countUnfinished(namespace: number, change: number): void
  /**
   * False: what a client sent that is not logged in waits for a round (Connection.yieldTurn), or is dropped if it
   * cannot wait.
   */
  isStrangersTurn(canWait: boolean): boolean
  /** A connection ends because its client did not log in in time. */
  onLoginTimeout(peer: Peer): void
}

/** All of it. */
export interface ConnectionContextOf<Connection> extends WorkerContext {
  /** The dialect that a first byte asks for on one of the listeners. */
  detect(firstByte: number, listenerIndex: number): DialectOf<Connection>
  /** Runs the connection's `continueServing` after others had their turn. */
  defer(connection: Connection): void
  /** The connection logged in or lost its login. */
  onGateChanged(connection: Connection): void
  /** The connection ends because the login that it was let in by has expired. */
  onExpired(connection: Connection): void
  onClosed(connection: Connection): void
}
