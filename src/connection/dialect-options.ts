/** What the dialects of a worker are made with. */
import type { OperationParts } from '../command/operations/operations.ts'
import type { ReplyMemory } from './reply-memory.ts'
import type { TurnCounts } from './turn-counts.ts'

export interface DialectOptions {
  /** The largest value that can be stored, in bytes. */
  readonly valueBytesMax: number
  /** The largest SASL message with its mechanism name, in bytes. */
  readonly saslBytesMax: number
  readonly requestsPerTurnMax: number
  readonly version: string
  readonly operations: OperationParts
  readonly counts: TurnCounts
  /** What is gathered of an answer before it leaves counts there. */
  readonly replyMemory: ReplyMemory
  /** Requests are answered later, and many of a connection may be under way (request-window.ts). */
  readonly isStoreElsewhere?: boolean
}
