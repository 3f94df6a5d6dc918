/**
 * A request that was given to a store elsewhere, until its outcome is there. It stays in the receive
 * buffer and is decoded once more to be answered, as the worker has one record of a request, and that
 * was used for others meanwhile.
 */
import type { Commands, PendingOutcome } from '../command/commands.ts'
import type { LargeRead } from '../command/transfers/large-copies.ts'
import { OUTCOME_PENDING, type Request } from '../protocol/request.ts'
import type { Connection, SuspendedRequest } from './connection.ts'

/** A dialect whose requests may be answered in a later turn than the one that decoded them. */
export interface LateDialect {
  /** Decodes the request in `bytes[start, end)` once more, and makes room for its answer. */
  takeUp(connection: Connection, bytes: Uint8Array, start: number, end: number): void
  /** Answers the request that was decoded last. `read` has the copy of its value, if there is one. */
  answer(
    connection: Connection,
    bytes: Uint8Array,
    outcome: number,
    read: LargeRead | undefined,
  ): void
}

class SuspendedOutcome implements SuspendedRequest {
  readonly frameBytes: number
  readonly readsOn = true
  private readonly pending: PendingOutcome
  private readonly dialect: LateDialect

  constructor(frameBytes: number, pending: PendingOutcome, dialect: LateDialect) {
    this.frameBytes = frameBytes
    this.pending = pending
    this.dialect = dialect
  }

  proceed(connection: Connection, bytes: Uint8Array, start: number): boolean {
    const outcome = this.pending.load()
    this.dialect.takeUp(connection, bytes, start, start + this.frameBytes)
    this.dialect.answer(connection, bytes, outcome, undefined)
    return true
  }

  cancel(): void {
    this.pending.cancel()
  }
}

/** The same of a request whose value is too large, and is skipped: its head is kept, and it has left the buffer. */
class SuspendedRefusal implements SuspendedRequest {
  readonly frameBytes: number = 0
  private readonly head: Uint8Array
  private readonly pending: PendingOutcome
  private readonly dialect: LateDialect

  constructor(head: Uint8Array, pending: PendingOutcome, dialect: LateDialect) {
    this.head = head
    this.pending = pending
    this.dialect = dialect
  }

  proceed(connection: Connection): boolean {
    const { head, dialect } = this
    const outcome = this.pending.load()
    dialect.takeUp(connection, head, 0, head.length)
    dialect.answer(connection, head, outcome, undefined)
    return true
  }

  cancel(): void {
    this.pending.cancel()
  }
}

/** Answers `request` at `offset`, whose value is too large, now or when the store has done what follows from that. */
export function refuseOversize(
  connection: Connection,
  commands: Commands,
  request: Request,
  bytes: Uint8Array,
  offset: number,
  dialect: LateDialect,
): void {
  const outcome = commands.refuseOversize(request, bytes, connection.gate)
  if (outcome !== OUTCOME_PENDING) {
    dialect.answer(connection, bytes, outcome, undefined)
    return
  }
  const pending = commands.takePending()
  const head = bytes.slice(offset, request.valueOffset)
  connection.suspendUntil(new SuspendedRefusal(head, pending, dialect), pending)
}

/** To be called when `request` has had OUTCOME_PENDING. Returns false: it is not answered yet. */
export function suspendOutcome(
  connection: Connection,
  commands: Commands,
  request: Request,
  dialect: LateDialect,
): false {
  const pending = commands.takePending()
  const suspended = new SuspendedOutcome(request.frameBytes, pending, dialect)
  connection.suspendUntil(suspended, pending)
  return false
}
