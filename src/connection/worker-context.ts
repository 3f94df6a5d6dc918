/** What the connections of a worker share, as far as it does not know them. */
import type { Peer } from '../base/peer.ts'
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
