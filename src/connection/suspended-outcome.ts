/**
 * A request that was given to a store elsewhere, until its outcome is there. It stays in the receive
 * buffer and is decoded once more to be answered, as the worker has one record of a request, and that
 * was used for others meanwhile.
 */
import type { Commands, PendingOutcome } from '../command/commands.ts'
import type { Request } from '../protocol/request.ts'
import type { Connection, SuspendedRequest } from './connection.ts'

export interface OutcomeDialect {
  /** Answers the request in `bytes[start, end)`, whose outcome is in the result. */
  answerLate(
    connection: Connection,
    bytes: Uint8Array,
    start: number,
    end: number,
    outcome: number,
  ): void
}

class SuspendedOutcome implements SuspendedRequest {
  readonly frameBytes: number
  private readonly pending: PendingOutcome
  private readonly dialect: OutcomeDialect

  constructor(frameBytes: number, pending: PendingOutcome, dialect: OutcomeDialect) {
    this.frameBytes = frameBytes
    this.pending = pending
    this.dialect = dialect
  }

  proceed(connection: Connection, bytes: Uint8Array, start: number): boolean {
    const end = start + this.frameBytes
    this.dialect.answerLate(connection, bytes, start, end, this.pending.load())
    return true
  }

  cancel(): void {
    this.pending.cancel()
  }
}

/** To be called when `request` has had OUTCOME_PENDING. Returns false: it is not answered yet. */
export function suspendOutcome(
  connection: Connection,
  commands: Commands,
  request: Request,
  dialect: OutcomeDialect,
): false {
  const pending = commands.takePending()
  const suspended = new SuspendedOutcome(request.frameBytes, pending, dialect)
  connection.suspendUntil(suspended, pending.settled)
  return false
}
