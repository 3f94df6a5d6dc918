/**
 * Requests of one dialect whose values may be large: the value of those that store goes into the store as it
 * arrives, those that read are carried out when the value is copied, those that append when the result is made
 * (command/transfers/), a piece a turn. A request of these two is suspended meanwhile: it stays in the receive
 * buffer and is decoded once more in each turn.
 */

import type { Commands } from '../command/commands.ts'
import { LargeBody } from '../command/transfers/large-body.ts'
import { type LargeCopies, LargeRead } from '../command/transfers/large-copies.ts'
import {
  EXTENSION_UNDER_WAY,
  LargeAppend,
  type LargeExtensions,
} from '../command/transfers/large-extensions.ts'
import type { Transfers } from '../command/transfers/transfers.ts'
import { FLAG_V, MODE_APPEND, MODE_PREPEND } from '../protocol/meta/decode.ts'
import { OUTCOME_PENDING, type Request } from '../protocol/request.ts'
import { keyBytesOf, keyOffsetOf } from '../protocol/request-key.ts'
import {
  VERB_APPEND,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_META_GET,
  VERB_META_SET,
  VERB_PREPEND,
} from '../protocol/verbs.ts'
import type { Connection, SuspendedRequest } from './connection.ts'
import { type LateDialect, suspendOutcome } from './suspended-outcome.ts'

export interface LargeDialect extends LateDialect {
  /** Answers a read of a value for whose copy there is no memory. */
  refuseRead(connection: Connection, bytes: Uint8Array): void
}

type Transfer = LargeRead | LargeAppend

export class LargeRequests {
  private readonly commands: Commands
  private readonly copies: LargeCopies
  private readonly extensions: LargeExtensions
  private readonly request: Request
  private readonly dialect: LargeDialect

  /** `request` is the record that the dialect decodes into. */
  constructor(commands: Commands, transfers: Transfers, request: Request, dialect: LargeDialect) {
    this.commands = commands
    this.copies = transfers.copies
    this.extensions = transfers.extensions
    this.request = request
    this.dialect = dialect
  }

  /** Whether the request may meet a large value; if not, it is carried out without asking here. */
  mayTake(request: Request): boolean {
    return (
      (this.extensions.areNeeded && isExtending(request)) ||
      (this.copies.areNeeded && isReading(request))
    )
  }

  /**
   * True: the value of the request at `offset`, of which so much as is here ends at `end`, goes into the store as it
   * arrives, and what is here of it did so. `endBytes` come behind the value.
   */
  begin(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    end: number,
    endBytes: number,
  ): boolean {
    const { commands, request } = this
    const { valueOffset } = request
    // Of a binary request not even the key may be here.
    if (end < valueOffset) return false
    const large = commands.beginLarge(request, bytes, end - valueOffset, connection.gate)
    if (large === undefined) return false
    const head = new Uint8Array(bytes.subarray(offset, valueOffset))
    const body = new LargeBody(commands, large, head, endBytes)
    connection.intake.startBody(body, bytes, valueOffset, end)
    return true
  }

  /** Serves a request that `mayTake` has named; false: it goes on in another turn. */
  serve(connection: Connection, bytes: Uint8Array): boolean {
    return isExtending(this.request)
      ? this.append(connection, bytes, undefined)
      : this.read(connection, bytes, undefined)
  }

  /** Goes on with the request in `bytes[start, end)`; false: it is suspended again. */
  proceed(
    connection: Connection,
    transfer: Transfer,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    this.dialect.takeUp(connection, bytes, start, end)
    return transfer instanceof LargeRead
      ? this.read(connection, bytes, transfer)
      : this.append(connection, bytes, transfer)
  }

  private read(connection: Connection, bytes: Uint8Array, last: LargeRead | undefined): boolean {
    const { commands, copies, dialect, request } = this
    const { gate } = connection
    const key = keyBytesOf(request, bytes)
    const read = copies.prepare(last, key, keyOffsetOf(request), request.keyLength, gate)
    if (read?.isUnderWay) return this.suspend(connection, read)
    if (read?.isRefused) {
      dialect.refuseRead(connection, bytes)
      return true
    }
    const outcome = commands.execute(request, bytes, gate)
    if (outcome === OUTCOME_PENDING) return suspendOutcome(connection, commands, request, dialect)
    dialect.answer(connection, bytes, outcome, read)
    read?.cancel()
    return true
  }

  private append(
    connection: Connection,
    bytes: Uint8Array,
    last: LargeAppend | undefined,
  ): boolean {
    const { commands, extensions, dialect, request } = this
    const outcome = extensions.carryOut(last, request, bytes, connection.gate)
    if (outcome === EXTENSION_UNDER_WAY) {
      return this.suspend(connection, extensions.takeUnderWay())
    }
    if (outcome === OUTCOME_PENDING) return suspendOutcome(connection, commands, request, dialect)
    dialect.answer(connection, bytes, outcome, undefined)
    return true
  }

  /**
   * The request goes on with its next turn, or, if another is to end first, after that. Returns false: it
   * is not answered yet.
   */
  private suspend(connection: Connection, transfer: Transfer): false {
    const suspended = new SuspendedTransfer(this.request.frameBytes, transfer, this)
    if (!(transfer instanceof LargeAppend) || !transfer.isWaiting) {
      connection.suspend(suspended)
      return false
    }
    transfer.onTurn = () => connection.wake(suspended)
    connection.park(suspended)
    return false
  }
}

class SuspendedTransfer implements SuspendedRequest {
  readonly frameBytes: number
  /** Those who append to the same value. */
  readonly othersWait: boolean
  private readonly transfer: Transfer
  private readonly requests: LargeRequests

  constructor(frameBytes: number, transfer: Transfer, requests: LargeRequests) {
    this.frameBytes = frameBytes
    this.othersWait = transfer instanceof LargeAppend
    this.transfer = transfer
    this.requests = requests
  }

  proceed(connection: Connection, bytes: Uint8Array, start: number): boolean {
    const end = start + this.frameBytes
    return this.requests.proceed(connection, this.transfer, bytes, start, end)
  }

  cancel(): void {
    this.transfer.cancel()
  }
}

/** Lists of keys of text have copies of their own (text-replies.ts). */
function isReading({ verb, lowerFlags }: Request): boolean {
  return (
    verb === VERB_GET ||
    verb === VERB_GET_AND_TOUCH ||
    (verb === VERB_META_GET && (lowerFlags & FLAG_V) !== 0)
  )
}

function isExtending({ verb, mode }: Request): boolean {
  return (
    verb === VERB_APPEND ||
    verb === VERB_PREPEND ||
    (verb === VERB_META_SET && (mode === MODE_APPEND || mode === MODE_PREPEND))
  )
}
