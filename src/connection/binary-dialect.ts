/**
 * Hot path. The binary dialect on a connection: decode, gate, execute, encode, until the bytes run
 * out. One object a worker; all state of a client is in its Connection.
 *
 * The order of the checks is memcached's: contradicting lengths, then the gate, then everything
 * else. So a client that is not logged in learns nothing from its header but that it must log in,
 * and no body of its is ever waited for.
 */

import { latin1 } from '../base/latin1.ts'
import type { Commands } from '../command/commands.ts'
import { carryOut, rightsOfOperation } from '../command/operations/operations.ts'
import { bytesToBegin, type LargeBody } from '../command/transfers/large-body.ts'
import type { LargeRead } from '../command/transfers/large-copies.ts'
import type { Transfers } from '../command/transfers/transfers.ts'
import { COUNTER } from '../observe/counters.ts'
import { CLOSE_NORMAL } from '../observe/watch-line.ts'
import { decodeBinaryBody, decodeBinaryHeader } from '../protocol/binary/decode.ts'
import {
  BINARY_RESPONSE_BYTES_MAX,
  writeBinaryBody,
  writeBinaryResponse,
} from '../protocol/binary/encode.ts'
import { operationOfStatKey } from '../protocol/binary/stat-keys.ts'
import { HEADER_BYTES, STATUS_KEY_NOT_FOUND, STATUS_OK } from '../protocol/binary/wire.ts'
import {
  DECODED,
  INCOMPLETE,
  INVALID_CLOSE,
  OUTCOME_HIT,
  OUTCOME_INVALID,
  OUTCOME_NO_MEMORY,
  OUTCOME_NO_RIGHT,
  OUTCOME_OK,
  OUTCOME_PENDING,
  OUTCOME_REFUSED,
  OUTCOME_UNKNOWN_COMMAND,
  OVERSIZE,
  Request,
  WRONG_MAGIC,
} from '../protocol/request.ts'
import {
  CONTROL_VERBS,
  hasVerb,
  STORING_VERBS,
  VERB_QUIT,
  VERB_SASL_LIST,
  VERB_SASL_START,
  VERB_SASL_STEP,
  VERB_STAT,
  VERB_VERBOSITY,
  VERB_VERSION,
} from '../protocol/verbs.ts'
import type { AuthGate } from './auth-gate.ts'
import { BinaryLogin, type BinaryWriter } from './binary-login.ts'
import { binaryWindows } from './binary-window.ts'
import type { Connection, Dialect } from './connection.ts'
import { DetailAnswer } from './detail-answer.ts'
import type { DialectOptions } from './dialect-options.ts'
import { type LargeDialect, LargeRequests } from './large-requests.ts'
import { COPIED_BYTES_MAX, PINNED_BYTES_MIN } from './portions.ts'
import { ANSWERED, NOT_AHEAD, type RequestWindows } from './request-window.ts'
import type { SendBuffer } from './send-buffer.ts'
import { rowsOfAnswer, StatAnswer } from './stat-answer.ts'
import { refuseOversize, suspendOutcome } from './suspended-outcome.ts'
import { BINARY_VERBS } from './turn-counts.ts'

const encoder = new TextEncoder()
const BODY_NOT_FOUND = encoder.encode('Not found')
const EMPTY = new Uint8Array(0)

export class BinaryDialect implements Dialect, LargeDialect, BinaryWriter {
  private readonly request: Request = new Request()
  private readonly commands: Commands
  private readonly large: LargeRequests
  private readonly login: BinaryLogin
  private readonly sendBuffer: SendBuffer
  private readonly lane: Float64Array
  private readonly options: DialectOptions
  private readonly version: Uint8Array
  private readonly windows: RequestWindows | undefined
  /** Requests that the connection may still have served in this turn. */
  private turnsLeft = 0

  constructor(
    commands: Commands,
    transfers: Transfers,
    sendBuffer: SendBuffer,
    lane: Float64Array,
    options: DialectOptions,
  ) {
    this.commands = commands
    this.large = new LargeRequests(commands, transfers, this.request, this)
    this.login = new BinaryLogin(this.request, this)
    this.sendBuffer = sendBuffer
    this.lane = lane
    this.options = options
    this.version = encoder.encode(options.version)
    this.windows = binaryWindows(commands, this, this.request, options)
  }

  get copiedBytes(): number {
    return this.commands.copies.copiedBytes
  }

  serve(connection: Connection, bytes: Uint8Array, start: number, end: number): number {
    const { commands, request, sendBuffer } = this
    const { gate } = connection
    const { valueBytesMax, saslBytesMax, counts } = this.options
    this.turnsLeft = gate.requestsPerTurn(this.options.requestsPerTurnMax)
    let offset = start
    connection.intake.wantedBytes = 0
    commands.beginTurn(connection.id, connection.gate)
    const { suspended } = connection
    if (suspended !== undefined) {
      if (!connection.proceed(bytes, start)) return start
      offset = this.stepOver(connection, start + suspended.frameBytes, end)
      if (!connection.isServing) return offset
    }

    while (offset < end) {
      const header = decodeBinaryHeader(bytes, offset, end, request)
      if (header !== DECODED) {
        if (header === INCOMPLETE) {
          connection.intake.wantedBytes = request.frameBytes
          return offset
        }
        return this.leaveFraming(connection, header, end)
      }
      const isOver = this.turnsLeft-- === 0 || gate.owesRest
      if (isOver || commands.copies.copiedBytes >= COPIED_BYTES_MAX) {
        connection.yieldTurn()
        return offset
      }
      if (!sendBuffer.hasRoomFor(BINARY_RESPONSE_BYTES_MAX)) {
        connection.flush()
        if (!connection.isServing) return offset
      }
      if (!gate.admits(request.verb)) return this.refuseStranger(connection, end)
      const body = decodeBinaryBody(bytes, offset, end, valueBytesMax, saslBytesMax, request)
      if (gate.restriction !== undefined && this.isRefused(connection, bytes, end, body)) {
        offset = this.skip(connection, offset, end)
        continue
      }
      if (body === DECODED) {
        counts.count(BINARY_VERBS + request.verb)
        if (hasVerb(CONTROL_VERBS, request.verb)) {
          this.control(connection, bytes)
          if (connection.keepsRequest) return offset
          offset = this.skip(connection, offset, end)
          if (!connection.isServing) return offset
          continue
        }
        if (!this.serveItem(connection, bytes, offset, end)) return offset
        offset = this.skip(connection, offset, end)
        if (!connection.isServing) return offset
      } else if (body === INCOMPLETE) {
        if (this.large.begin(connection, bytes, offset, end, 0)) return end
        connection.intake.wantedBytes = this.bytesToAwait(gate, offset, end)
        return offset
      } else if (body === OVERSIZE) {
        this.lane[COUNTER.request_too_large]!++
        counts.count(BINARY_VERBS + request.verb)
        if (hasVerb(CONTROL_VERBS, request.verb))
          return this.refuse(connection, OUTCOME_REFUSED, end)
        refuseOversize(connection, commands, request, bytes, offset, this)
        offset = this.skip(connection, offset, end)
        if (!connection.isServing) return offset
      } else {
        this.lane[COUNTER.protocol_errors]!++
        return this.refuse(connection, OUTCOME_INVALID, end)
      }
    }
    return offset
  }

  /** True: the client may not have that carried out, and was told so. Nothing of it is waited for. */
  private isRefused(connection: Connection, bytes: Uint8Array, end: number, body: number): boolean {
    const { request } = this
    const { restriction } = connection.gate
    if (restriction === undefined || body === INVALID_CLOSE) return false
    // The command face looks at it in a moment, and nothing is begun for it before.
    if (body === DECODED && !this.large.mayTake(request)) return false
    // What is not here in full is judged when it is, except a value, which is not waited for.
    const isHead = hasVerb(STORING_VERBS, request.verb) && end >= request.valueOffset
    if (body === INCOMPLETE && !isHead) return false
    const refusal = this.commands.refusalOf(request, bytes, restriction)
    if (refusal === OUTCOME_OK) return false
    this.options.counts.count(BINARY_VERBS + request.verb)
    this.answer(connection, bytes, refusal, undefined)
    return true
  }

  /**
   * Length of what must arrive of a request before it is looked at again. Who may not store everything is
   * judged by the key first: nothing is kept of a value that may not be stored.
   */
  private bytesToAwait({ restriction }: AuthGate, offset: number, end: number): number {
    const { verb, valueOffset, frameBytes } = this.request
    if (!hasVerb(STORING_VERBS, verb)) return frameBytes
    const isHead = restriction !== undefined && end < valueOffset
    return isHead ? valueOffset - offset : bytesToBegin(this.request, offset, end)
  }

  /** Serves a request about an item; false: it is suspended. */
  private serveItem(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    end: number,
  ): boolean {
    const opened = this.windows?.open(connection, bytes, offset, end) ?? NOT_AHEAD
    if (opened !== NOT_AHEAD) return opened === ANSWERED
    const { commands, request } = this
    if (this.large.mayTake(request)) return this.large.serve(connection, bytes)
    const outcome = commands.execute(request, bytes, connection.gate)
    if (outcome === OUTCOME_PENDING) return suspendOutcome(connection, commands, request, this)
    this.answer(connection, bytes, outcome, undefined)
    return true
  }

  refuseRead(connection: Connection, bytes: Uint8Array): void {
    this.answer(connection, bytes, OUTCOME_NO_MEMORY, undefined)
  }

  spendTurns(count: number): void {
    this.turnsLeft = Math.max(0, this.turnsLeft - count)
  }

  /** Writes the answer to a request about an item, with the value if there is one. */
  answer(
    connection: Connection,
    bytes: Uint8Array,
    outcome: number,
    read: LargeRead | undefined,
  ): void {
    this.writeOutcome(outcome, bytes)
    if (outcome !== OUTCOME_HIT) return
    const { sendBuffer } = this
    const { result } = this.commands
    const valueBytes = result.valueBytes
    if (valueBytes >= PINNED_BYTES_MIN && read === undefined) {
      if (connection.replies.sendStored(result)) return
    }
    if (valueBytes > sendBuffer.capacity - sendBuffer.used) {
      this.sendLargeValue(connection, valueBytes, read)
      return
    }
    result.copyValue(sendBuffer.bytes, sendBuffer.used)
    result.release()
    sendBuffer.used += valueBytes
  }

  /** For a request that was decoded before, and whose record was used for others since. */
  takeUp(connection: Connection, bytes: Uint8Array, start: number, end: number): void {
    const { request, options } = this
    this.makeRoom(connection, BINARY_RESPONSE_BYTES_MAX)
    decodeBinaryHeader(bytes, start, end, request)
    decodeBinaryBody(bytes, start, end, options.valueBytesMax, options.saslBytesMax, request)
  }

  serveLarge(connection: Connection, body: LargeBody, hasRoom: boolean): void {
    const { commands, request } = this
    const { head } = body
    const { gate } = connection
    this.takeUp(connection, head, 0, head.length)
    this.options.counts.count(BINARY_VERBS + request.verb)
    this.writeOutcome(
      hasRoom
        ? commands.executeLarge(body.value, request, head, gate)
        : commands.refuseLarge(request, head, gate),
      head,
    )
  }

  refuseUnfinished(connection: Connection, bytes: Uint8Array, start: number, end: number): number {
    const { commands, request } = this
    const header = decodeBinaryHeader(bytes, start, end, request)
    if (header !== DECODED) {
      // Without its header nobody knows what was asked, or where the next request begins.
      return header === INCOMPLETE
        ? this.leaveSilently(connection, end)
        : this.leaveFraming(connection, header, end)
    }
    // Also with a login that has begun: of a stranger's nothing is skipped, it ends.
    if (!connection.gate.isOpen) return this.refuseStranger(connection, end)
    this.makeRoom(connection, BINARY_RESPONSE_BYTES_MAX)
    this.options.counts.count(BINARY_VERBS + request.verb)
    this.writeOutcome(commands.refuseUnfinished(connection.gate))
    return request.frameBytes
  }

  /** Whoever has not logged in is told so, whatever it asked, and the connection ends. */
  private refuseStranger(connection: Connection, end: number): number {
    this.lane[COUNTER.auth_refused_commands]!++
    return this.refuse(connection, OUTCOME_REFUSED, end)
  }

  /** Steps over the request at `offset`; what of it has not arrived is skipped as it comes. */
  private skip(connection: Connection, offset: number, end: number): number {
    return this.stepOver(connection, offset + this.request.frameBytes, end)
  }

  /** The next request begins at `next`, which may not be here yet. */
  private stepOver(connection: Connection, next: number, end: number): number {
    if (next <= end) return next
    connection.intake.swallowBytes = next - end
    return end
  }

  /** The value does not fit the send buffer: it leaves in a buffer of its own, copied once. */
  private sendLargeValue(
    connection: Connection,
    valueBytes: number,
    read: LargeRead | undefined,
  ): void {
    const { result } = this.commands
    const copy = read?.take(this.commands)
    if (copy !== undefined) {
      result.release()
      connection.sendCopy(copy, EMPTY)
      return
    }
    const value = this.sendBuffer.lend(valueBytes)
    result.copyValue(value, 0)
    result.release()
    connection.sendLent(value)
  }

  /** The stream cannot be read on: answers where an answer is due, and ends. */
  private leaveFraming(connection: Connection, header: number, end: number): number {
    if (header === WRONG_MAGIC) return this.leaveSilently(connection, end)
    this.lane[COUNTER.protocol_errors]!++
    return this.refuse(connection, OUTCOME_UNKNOWN_COMMAND, end)
  }

  private leaveSilently(connection: Connection, end: number): number {
    this.lane[COUNTER.protocol_errors]!++
    connection.flush()
    connection.close()
    return end
  }

  /** Answers an error and ends the connection behind it. */
  private refuse(connection: Connection, outcome: number, end: number): number {
    this.makeRoom(connection, BINARY_RESPONSE_BYTES_MAX)
    this.writeOutcome(outcome)
    connection.drain()
    return end
  }

  /** `bytes` hold the key, for those answers that have it. */
  writeOutcome(outcome: number, bytes: Uint8Array = EMPTY): void {
    const sendBuffer = this.sendBuffer
    sendBuffer.used = writeBinaryResponse(
      sendBuffer.bytes,
      sendBuffer.used,
      this.request,
      outcome,
      this.commands.result,
      bytes,
    )
  }

  writeBody(connection: Connection, status: number, body: Uint8Array): void {
    this.makeRoom(connection, HEADER_BYTES + body.length)
    const sendBuffer = this.sendBuffer
    sendBuffer.used = writeBinaryBody(sendBuffer.bytes, sendBuffer.used, this.request, status, body)
  }

  private makeRoom(connection: Connection, length: number): void {
    if (this.sendBuffer.capacity - this.sendBuffer.used < length) connection.flush()
  }

  /** Verbs about the connection or the server rather than about items. */
  private control(connection: Connection, bytes: Uint8Array): void {
    const request = this.request
    this.commands.clearCas()
    switch (request.verb) {
      case VERB_VERSION:
        this.writeBody(connection, STATUS_OK, this.version)
        return
      case VERB_QUIT:
        this.writeOutcome(OUTCOME_OK)
        connection.closeReason = CLOSE_NORMAL
        connection.drain()
        return
      case VERB_VERBOSITY:
        this.setVerbosity(connection)
        return
      case VERB_STAT:
        this.stat(connection, latin1(bytes, request.keyOffset, request.keyLength))
        return
      case VERB_SASL_LIST:
      case VERB_SASL_START:
      case VERB_SASL_STEP:
        this.turnsLeft = 0
        this.login.serve(connection, bytes)
        return
      default:
        this.writeOutcome(OUTCOME_UNKNOWN_COMMAND)
    }
  }

  private stat(connection: Connection, key: string): void {
    const operation = operationOfStatKey(key)
    const argument = { words: key, number: 0 }
    const answer = carryOut(operation, this.options.operations, argument, connection.gate)
    if (answer.kind === 'denied') {
      this.writeOutcome(OUTCOME_NO_RIGHT)
      return
    }
    const { request, commands, sendBuffer } = this
    const rights = rightsOfOperation(operation)
    if (answer.kind === 'lines') {
      const { replyMemory } = this.options
      const { namespace } = connection.gate
      connection.suspend(
        new DetailAnswer(answer.lines, request, commands, replyMemory, namespace, rights),
      )
      return
    }
    const rows = rowsOfAnswer(answer)
    if (rows === undefined) {
      this.writeBody(connection, STATUS_KEY_NOT_FOUND, BODY_NOT_FOUND)
    } else {
      connection.suspend(new StatAnswer(rows, request, commands, sendBuffer, rights))
    }
  }

  private setVerbosity(connection: Connection): void {
    const argument = { words: '', number: this.request.level }
    const { kind } = carryOut('verbosity', this.options.operations, argument, connection.gate)
    this.writeOutcome(kind === 'done' ? OUTCOME_OK : OUTCOME_NO_RIGHT)
  }
}
