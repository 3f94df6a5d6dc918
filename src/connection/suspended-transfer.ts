/**
 * A request whose large value is copied or extended in pieces, one a turn (command/transfers/). It stays
 * in the receive buffer and is decoded once more in each.
 */
import type { LargeRead } from '../command/transfers/large-copies.ts'
import { LargeAppend } from '../command/transfers/large-extensions.ts'
import type { Connection, SuspendedRequest } from './connection.ts'

export interface TransferDialect {
  /** Goes on with the request in `bytes[start, end)`; false: it is suspended again. */
  proceedTransfer(
    connection: Connection,
    transfer: LargeRead | LargeAppend,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean
}

class SuspendedTransfer implements SuspendedRequest {
  readonly frameBytes: number
  /** Those who append to the same value. */
  readonly othersWait: boolean
  private readonly transfer: LargeRead | LargeAppend
  private readonly dialect: TransferDialect

  constructor(frameBytes: number, transfer: LargeRead | LargeAppend, dialect: TransferDialect) {
    this.frameBytes = frameBytes
    this.othersWait = transfer instanceof LargeAppend
    this.transfer = transfer
    this.dialect = dialect
  }

  proceed(connection: Connection, bytes: Uint8Array, start: number): boolean {
    const end = start + this.frameBytes
    return this.dialect.proceedTransfer(connection, this.transfer, bytes, start, end)
  }

  cancel(): void {
    this.transfer.cancel()
  }
}

/**
 * The request of `frameBytes` goes on with its next turn, or, if another is to end first, after that.
 * Returns false: it is not answered yet.
 */
export function suspendTransfer(
  connection: Connection,
  frameBytes: number,
  transfer: LargeRead | LargeAppend,
  dialect: TransferDialect,
): false {
  const suspended = new SuspendedTransfer(frameBytes, transfer, dialect)
  if (!(transfer instanceof LargeAppend) || !transfer.isWaiting) {
    connection.suspend(suspended)
    return false
  }
  transfer.onTurn = () => connection.wake(suspended)
  connection.park(suspended)
  return false
}
