/**
 * Hot path. The text dialect, classic and meta, on a connection: find the line, gate, execute,
 * encode, until the bytes run out. One object a worker; all state of a client is in its Connection.
 *
 * Before login only `version`, `quit`, `sasl` and the `set` that is a login are carried out; all
 * else is told at once that it must log in (text-login.ts). A list of keys is served in portions,
 * so that one of 100,000 keys neither holds up others nor gathers its replies in memory
 * (key-list.ts).
 */
import type { Commands } from '../command/commands.ts'
import type { OperationParts } from '../command/operations/operations.ts'
import { bytesToBegin, type LargeBody } from '../command/transfers/large-body.ts'
import type { LargeRead } from '../command/transfers/large-copies.ts'
import type { Transfers } from '../command/transfers/transfers.ts'
import { COUNTER } from '../observe/counters.ts'
import { CLOSE_NORMAL } from '../observe/watch-line.ts'
import { writeMetaNoop, writeMetaResponse } from '../protocol/meta/encode.ts'
import {
  DECODED,
  INCOMPLETE,
  OUTCOME_HIT,
  OUTCOME_OK,
  OUTCOME_PENDING,
  OVERSIZE,
  Request,
  WRONG_LINE,
  WRONG_MAGIC,
} from '../protocol/request.ts'
import { decodeLine } from '../protocol/text/decode.ts'
import { TEXT_RESPONSE_BYTES_MAX, writeEnd, writeTextResponse } from '../protocol/text/encode.ts'
import { CLUSTER_LINE, isClusterLine } from '../protocol/text/operations.ts'
import { PROBLEM_BAD_DATA_CHUNK, PROBLEM_LOGIN_TOO_LONG } from '../protocol/text/problems.ts'
import { scanLine } from '../protocol/text/scan.ts'
import {
  CONTROL_VERBS,
  hasVerb,
  LIST_VERBS,
  META_VERBS,
  VERB_META_NOOP,
  VERB_QUIT,
  VERB_SASL_LIST,
  VERB_SASL_START,
  VERB_SASL_STEP,
  VERB_UNKNOWN,
  VERB_VERBOSITY,
  VERB_VERSION,
} from '../protocol/verbs.ts'
import type { Connection, Dialect } from './connection.ts'
import type { DialectOptions } from './dialect-options.ts'
import { KeyList } from './key-list.ts'
import { type LargeDialect, LargeRequests } from './large-requests.ts'
import { COPIED_BYTES_MAX } from './portions.ts'
import { ANSWERED, NOT_AHEAD, type RequestWindows } from './request-window.ts'
import type { SendBuffer } from './send-buffer.ts'
import { refuseOversize, suspendOutcome } from './suspended-outcome.ts'
import { TextLogin } from './text-login.ts'
import { TextOperations } from './text-operations.ts'
import { TextRefusals } from './text-refusals.ts'
import {
  LIST_REFUSED,
  LIST_SERVED,
  NO_MEMORY_LINE,
  NO_MEMORY_TO_READ_LINE,
  TextReplies,
} from './text-replies.ts'
import { textWindows } from './text-window.ts'
import { TEXT_VERBS } from './turn-counts.ts'
import type { Watchers } from './watchers.ts'

const CARRIAGE_RETURN = 0x0d
const LINE_FEED = 0x0a
/** Bytes that end a data block. */
const LINE_END_BYTES = 2
/** The first byte of every TLS connection, and of no command: whoever sends it cannot read text. */
const TLS_HANDSHAKE = 0x16

const LEFT_INCOMPLETE = -1

export interface TextDialectOptions extends DialectOptions {
  readonly watchers: Watchers
}

export class TextDialect implements Dialect, LargeDialect {
  private readonly request: Request = new Request()
  private readonly commands: Commands
  private readonly sendBuffer: SendBuffer
  private readonly lane: Float64Array
  private readonly options: TextDialectOptions
  private readonly large: LargeRequests
  private readonly refusals: TextRefusals
  private readonly replies: TextReplies
  private readonly login: TextLogin
  private readonly operations: TextOperations
  private readonly cluster: OperationParts['cluster']
  private readonly windows: RequestWindows | undefined
  private readonly version: Uint8Array

  constructor(
    commands: Commands,
    transfers: Transfers,
    sendBuffer: SendBuffer,
    lane: Float64Array,
    options: TextDialectOptions,
  ) {
    this.commands = commands
    this.sendBuffer = sendBuffer
    this.lane = lane
    this.options = options
    this.large = new LargeRequests(commands, transfers, this.request, this)
    this.refusals = new TextRefusals(this.request, sendBuffer, lane)
    this.replies = new TextReplies(sendBuffer, commands, transfers.copies)
    this.login = new TextLogin(this.replies, options.saslBytesMax)
    this.operations = new TextOperations(
      this.replies,
      commands,
      options.operations,
      options.watchers,
    )
    this.cluster = options.operations.cluster
    const { request, replies } = this
    this.windows = textWindows(commands, this, request, options, replies, sendBuffer)
    this.version = Buffer.from(`VERSION ${options.version}\r\n`)
  }

  get copiedBytes(): number {
    return this.commands.copies.copiedBytes
  }

  serve(connection: Connection, bytes: Uint8Array, start: number, end: number): number {
    const { commands, request, sendBuffer, replies } = this
    const { gate, suspended } = connection
    const { valueBytesMax, saslBytesMax, requestsPerTurnMax, counts } = this.options
    replies.turnsLeft = gate.requestsPerTurn(requestsPerTurnMax)
    connection.intake.wantedBytes = 0
    commands.beginTurn(connection.id, gate)
    let offset = start
    if (suspended !== undefined) {
      if (!connection.proceed(bytes, start)) return start
      offset += suspended.frameBytes
      // Nothing of it is gathered with what follows, which may be a dump again.
      connection.flush()
      if (!connection.isServing) return offset
    }

    while (offset < end) {
      if (bytes[offset] === TLS_HANDSHAKE) return this.refusals.leaveSilently(connection, end)
      if (!this.findLine(connection, bytes, offset, end)) {
        return this.refusals.leaveUnfinished(connection, bytes, offset, end)
      }
      const isOver = replies.turnsLeft-- === 0 || gate.owesRest
      if (isOver || commands.copies.copiedBytes >= COPIED_BYTES_MAX) {
        connection.yieldTurn()
        return offset
      }
      if (!sendBuffer.hasRoomFor(TEXT_RESPONSE_BYTES_MAX)) {
        connection.flush()
        if (!connection.isServing) return offset
      }
      const decoded = decodeLine(bytes, offset, end, valueBytesMax, saslBytesMax, request)
      if (!gate.isOpen) {
        const next = this.serveStranger(connection, bytes, offset, end, decoded)
        if (next === LEFT_INCOMPLETE) return offset
        offset = next
        if (!connection.isServing) return offset
        continue
      }
      if (gate.restriction !== undefined && this.isRefused(connection, bytes, decoded)) {
        offset = this.refusals.skip(connection, offset, end)
        continue
      }
      if (decoded === DECODED) {
        const verb = request.verb
        counts.count(TEXT_VERBS + verb)
        if (hasVerb(LIST_VERBS, verb)) {
          if (!this.serveKeys(connection, bytes, offset, end)) return offset
        } else if (verb === VERB_META_NOOP) {
          sendBuffer.used = writeMetaNoop(sendBuffer.bytes, sendBuffer.used)
        } else if (hasVerb(CONTROL_VERBS, verb)) {
          this.control(connection, bytes)
          if (connection.keepsRequest) return offset
        } else if (!this.serveItem(connection, bytes, offset, end)) {
          return offset
        }
        offset += request.frameBytes
        if (!connection.isServing) return offset
        continue
      }
      if (decoded === INCOMPLETE) {
        if (this.large.begin(connection, bytes, offset, end, LINE_END_BYTES)) return end
        connection.intake.wantedBytes = bytesToBegin(request, offset, end)
        return offset
      }
      if (decoded === WRONG_MAGIC) return this.refusals.leaveSilently(connection, end)
      offset = this.answerWrong(connection, bytes, offset, end, decoded)
      if (!connection.isServing) return offset
    }
    return offset
  }

  /** True: the client may not have that carried out, and was told so. Nothing of it is waited for. */
  private isRefused(connection: Connection, bytes: Uint8Array, decoded: number): boolean {
    const { commands, request } = this
    const { restriction } = connection.gate
    if (restriction === undefined) return false
    if (decoded !== DECODED && decoded !== INCOMPLETE && decoded !== OVERSIZE) return false
    const { verb } = request
    const isList = hasVerb(LIST_VERBS, verb)
    // The command face looks at it in a moment, and nothing is begun for it before.
    if (decoded === DECODED && !isList && !this.large.mayTake(request)) return false
    const refusal = isList
      ? commands.refusalOfList(request, bytes, restriction)
      : commands.refusalOf(request, bytes, restriction)
    if (refusal === OUTCOME_OK) return false
    this.options.counts.count(TEXT_VERBS + verb)
    this.answer(connection, bytes, refusal, undefined)
    return true
  }

  serveLarge(connection: Connection, body: LargeBody, hasRoom: boolean): void {
    const { commands, request } = this
    const { head } = body
    const { gate } = connection
    this.takeUp(connection, head, 0, head.length)
    this.options.counts.count(TEXT_VERBS + request.verb)
    if (hasRoom && (body.end[0] !== CARRIAGE_RETURN || body.end[1] !== LINE_FEED)) {
      this.refusals.answerProblem(PROBLEM_BAD_DATA_CHUNK)
      return
    }
    const outcome = hasRoom
      ? commands.executeLarge(body.value, request, head, gate)
      : commands.refuseLarge(request, head, gate)
    this.answer(connection, head, outcome, undefined)
  }

  /** For a request that was decoded before, and whose record was used for others since. */
  takeUp(connection: Connection, bytes: Uint8Array, start: number, end: number): void {
    const { request, options } = this
    this.makeRoom(connection)
    scanLine(bytes, start, end, request)
    decodeLine(bytes, start, end, options.valueBytesMax, options.saslBytesMax, request)
  }

  private makeRoom(connection: Connection): void {
    const { sendBuffer } = this
    if (sendBuffer.capacity - sendBuffer.used < TEXT_RESPONSE_BYTES_MAX) connection.flush()
  }

  refuseUnfinished(connection: Connection, bytes: Uint8Array, start: number, end: number): number {
    const { commands, request, options } = this
    const { gate } = connection
    if (!gate.isOpen) {
      this.refusals.refuseStranger(connection)
      connection.drain()
      return 0
    }
    this.makeRoom(connection)
    const isLine = scanLine(bytes, start, end, request)
    if (
      !isLine ||
      decodeLine(bytes, start, end, options.valueBytesMax, options.saslBytesMax, request) !==
        INCOMPLETE
    ) {
      // A list of keys without its end, say: nobody knows where the next request begins.
      this.replies.send(connection, NO_MEMORY_TO_READ_LINE)
      connection.drain()
      return 0
    }
    options.counts.count(TEXT_VERBS + request.verb)
    this.answer(connection, bytes, commands.refuseUnfinished(gate), undefined)
    return request.frameBytes
  }

  /** Serves a request about one item; false if it is not answered yet. */
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

  refuseRead(connection: Connection): void {
    this.replies.send(connection, NO_MEMORY_LINE)
  }

  /** Writes the answer to a request about an item, with the value if there is one. */
  answer(
    connection: Connection,
    bytes: Uint8Array,
    outcome: number,
    read: LargeRead | undefined,
  ): void {
    const { commands, request, sendBuffer } = this
    if (hasVerb(META_VERBS, request.verb)) {
      this.answerMeta(connection, bytes, outcome, read)
    } else {
      sendBuffer.used = writeTextResponse(
        sendBuffer.bytes,
        sendBuffer.used,
        request,
        outcome,
        commands.result,
      )
    }
  }

  /** Scans the line at `offset`, unless it is known, or found without looking twice, to be unfinished. */
  private findLine(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    end: number,
  ): boolean {
    const { scannedBytes } = connection.intake
    if (scannedBytes > 0) {
      connection.intake.scannedBytes = 0
      const lineEnd = bytes.indexOf(LINE_FEED, offset + scannedBytes)
      if (lineEnd < 0 || lineEnd >= end) return false
    }
    return scanLine(bytes, offset, end, this.request)
  }

  /**
   * A request of a client that is not logged in. Returns the offset behind it, LEFT_INCOMPLETE if
   * more of it must arrive. Of what is not a login nothing is waited for; and whatever it is told, the
   * gate has counted the request before.
   */
  private serveStranger(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    end: number,
    decoded: number,
  ): number {
    const { request, refusals, login, replies } = this
    const isLogin = login.isLogin(bytes, offset, request)
    const verb = isLogin ? VERB_SASL_START : request.verb
    if (isLogin ? !login.isComplete(offset, end, request) : isSaslCut(verb, decoded)) {
      connection.intake.wantedBytes = request.frameBytes
      return LEFT_INCOMPLETE
    }
    if (!connection.gate.admits(verb) && verb !== VERB_QUIT) {
      refusals.refuseStranger(connection)
      if (decoded === WRONG_MAGIC) return refusals.leaveSilently(connection, end)
      return refusals.skip(connection, offset, end)
    }
    this.options.counts.count(TEXT_VERBS + request.verb)
    if (isLogin) {
      replies.turnsLeft = 0
      login.start(connection, bytes, request)
    } else if (decoded === DECODED) this.control(connection, bytes)
    else refusals.answerProblem(decoded === OVERSIZE ? PROBLEM_LOGIN_TOO_LONG : request.problem)
    return refusals.skip(connection, offset, end)
  }

  /** Serves a list of keys; false if its rest waits for another turn. */
  private serveKeys(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    end: number,
  ): boolean {
    const opened = this.windows?.open(connection, bytes, offset, end) ?? NOT_AHEAD
    if (opened !== NOT_AHEAD) return opened === ANSWERED
    const { request, sendBuffer, replies } = this
    if (this.cluster.current !== undefined && isClusterLine(bytes, request)) {
      this.operations.operate(connection, CLUSTER_LINE, request)
      return !connection.keepsRequest
    }
    switch (replies.sendValues(connection, request, bytes, OUTCOME_PENDING, undefined)) {
      case LIST_REFUSED:
        return true
      case LIST_SERVED:
        sendBuffer.used = writeEnd(sendBuffer.bytes, sendBuffer.used)
        return true
    }
    new KeyList(replies, request, offset).suspend(connection)
    return false
  }

  private answerMeta(
    connection: Connection,
    bytes: Uint8Array,
    outcome: number,
    read: LargeRead | undefined,
  ): void {
    const { commands, sendBuffer } = this
    sendBuffer.used = writeMetaResponse(
      sendBuffer.bytes,
      sendBuffer.used,
      this.request,
      outcome,
      commands.result,
      bytes,
      commands.nowSeconds,
    )
    if (outcome === OUTCOME_HIT) this.replies.sendValue(connection, commands.result, read)
  }

  /** A request that is not as it must be, or too large. Returns the offset behind it. */
  private answerWrong(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    end: number,
    decoded: number,
  ): number {
    const { request, options, refusals } = this
    if (decoded === WRONG_LINE) {
      options.counts.count(TEXT_VERBS + VERB_UNKNOWN)
      refusals.answerProblem(request.problem)
    } else {
      options.counts.count(TEXT_VERBS + request.verb)
      this.answerOversize(connection, bytes, offset)
    }
    return refusals.skip(connection, offset, end)
  }

  private answerOversize(connection: Connection, bytes: Uint8Array, offset: number): void {
    const { commands, request } = this
    this.lane[COUNTER.request_too_large]!++
    if (request.verb === VERB_SASL_START || request.verb === VERB_SASL_STEP) {
      this.refusals.answerProblem(PROBLEM_LOGIN_TOO_LONG)
    } else {
      refuseOversize(connection, commands, request, bytes, offset, this)
    }
  }

  /** Verbs about the connection or the server rather than about items. */
  private control(connection: Connection, bytes: Uint8Array): void {
    const { request, replies } = this
    switch (request.verb) {
      case VERB_VERSION:
        replies.send(connection, this.version)
        return
      case VERB_QUIT:
        connection.closeReason = CLOSE_NORMAL
        connection.drain()
        return
      case VERB_VERBOSITY:
        this.operations.setVerbosity(connection, request)
        return
      case VERB_SASL_LIST:
        replies.turnsLeft = 0
        this.login.list(connection)
        return
      case VERB_SASL_START:
      case VERB_SASL_STEP:
        replies.turnsLeft = 0
        this.login.sasl(connection, bytes, request)
        return
      default:
        this.operations.operate(connection, replies.words(bytes, request), request)
    }
  }
}

/** A message of a login has not come whole. */
function isSaslCut(verb: number, decoded: number): boolean {
  return decoded === INCOMPLETE && (verb === VERB_SASL_START || verb === VERB_SASL_STEP)
}
