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
import { LargeBody } from '../command/transfers/large-body.ts'
import { type LargeCopies, LargeRead } from '../command/transfers/large-copies.ts'
import {
  EXTENSION_UNDER_WAY,
  type LargeAppend,
  type LargeExtensions,
} from '../command/transfers/large-extensions.ts'
import type { Transfers } from '../command/transfers/transfers.ts'
import { COUNTER } from '../observe/counters.ts'
import { CLOSE_NORMAL } from '../observe/watch-line.ts'
import { FLAG_V, MODE_APPEND, MODE_PREPEND } from '../protocol/meta/decode.ts'
import { writeMetaNoop, writeMetaResponse } from '../protocol/meta/encode.ts'
import {
  DECODED,
  INCOMPLETE,
  OUTCOME_HIT,
  OUTCOME_OK,
  OUTCOME_PENDING,
  OVERSIZE,
  Request,
  VERB_APPEND,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_META_DEBUG,
  VERB_META_GET,
  VERB_META_NOOP,
  VERB_META_SET,
  VERB_OPERATE,
  VERB_PREPEND,
  VERB_QUIT,
  VERB_SASL_LIST,
  VERB_SASL_START,
  VERB_SASL_STEP,
  VERB_UNKNOWN,
  VERB_VERBOSITY,
  VERB_VERSION,
  WRONG_LINE,
  WRONG_MAGIC,
} from '../protocol/request.ts'
import { keyBytesOf, keyOffsetOf } from '../protocol/request-key.ts'
import { decodeLine, judgeUnfinishedLine, LINE_BYTES_MAX } from '../protocol/text/decode.ts'
import {
  TEXT_RESPONSE_BYTES_MAX,
  writeEnd,
  writeProblem,
  writeTextResponse,
} from '../protocol/text/encode.ts'
import {
  PROBLEM_BAD_DATA_CHUNK,
  PROBLEM_LOGIN_TOO_LONG,
  PROBLEM_UNAUTHENTICATED,
} from '../protocol/text/problems.ts'
import { contentEnd, scanLine } from '../protocol/text/scan.ts'
import type { DialectOptions } from './binary-dialect.ts'
import type { Connection, Dialect } from './connection.ts'
import { KeyList } from './key-list.ts'
import { COPIED_BYTES_MAX } from './portions.ts'
import type { SendBuffer } from './send-buffer.ts'
import { type OutcomeDialect, suspendOutcome } from './suspended-outcome.ts'
import { suspendTransfer, type TransferDialect } from './suspended-transfer.ts'
import { TextLogin } from './text-login.ts'
import { TextOperations } from './text-operations.ts'
import {
  LIST_REFUSED,
  NO_MEMORY_LINE,
  NO_MEMORY_TO_READ_LINE,
  TextReplies,
} from './text-replies.ts'
import type { Watchers } from './watchers.ts'

/**
 * The longest line of keys, in bytes: 100,000 keys of 80 bytes. The line is buffered whole, because
 * one wrong key in it is answered before any hit.
 */
const KEY_LIST_BYTES_MAX: number = 8 * 1024 * 1024

const CARRIAGE_RETURN = 0x0d
const LINE_FEED = 0x0a
/** Bytes that end a data block. */
const LINE_END_BYTES = 2
/** The first byte of every TLS connection, and of no command: whoever sends it cannot read text. */
const TLS_HANDSHAKE = 0x16

/** What is read and dropped of a request that was refused before login; more ends the connection. */
const STRANGER_SKIPPED_BYTES_MAX = 1024 * 1024

const LEFT_INCOMPLETE = -1

export interface TextDialectOptions extends DialectOptions {
  readonly watchers: Watchers
}

export class TextDialect implements Dialect, OutcomeDialect, TransferDialect {
  private readonly request: Request = new Request()
  private readonly commands: Commands
  private readonly sendBuffer: SendBuffer
  private readonly lane: Float64Array
  private readonly options: TextDialectOptions
  private readonly copies: LargeCopies
  private readonly extensions: LargeExtensions
  private readonly replies: TextReplies
  private readonly login: TextLogin
  private readonly operations: TextOperations
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
    this.copies = transfers.copies
    this.extensions = transfers.extensions
    this.replies = new TextReplies(sendBuffer, commands, this.copies)
    this.login = new TextLogin(this.replies, options.saslBytesMax)
    this.operations = new TextOperations(
      this.replies,
      commands,
      options.operations,
      options.watchers,
    )
    this.version = Buffer.from(`VERSION ${options.version}\r\n`)
  }

  get copiedBytes(): number {
    return this.commands.copies.copiedBytes
  }

  serve(connection: Connection, bytes: Uint8Array, start: number, end: number): number {
    const { commands, request } = this
    const { copies } = commands
    const { gate } = connection
    const sendBuffer = this.sendBuffer
    const valueBytesMax = this.options.valueBytesMax
    const saslBytesMax = this.options.saslBytesMax
    const replies = this.replies
    replies.turnsLeft = gate.requestsPerTurn(this.options.requestsPerTurnMax)
    connection.intake.wantedBytes = 0
    commands.beginTurn(connection.id)
    let offset = start
    const { suspended } = connection
    if (suspended !== undefined) {
      if (!connection.proceed(bytes, start)) return start
      offset += suspended.frameBytes
      // Nothing of it is gathered with what follows, which may be a dump again.
      connection.flush()
      if (!connection.isServing) return offset
    }

    while (offset < end) {
      if (bytes[offset] === TLS_HANDSHAKE) return this.leaveSilently(connection, end)
      if (!this.findLine(connection, bytes, offset, end)) {
        return this.leaveUnfinished(connection, bytes, offset, end)
      }
      if (replies.turnsLeft-- === 0 || copies.copiedBytes >= COPIED_BYTES_MAX) {
        connection.yieldTurn()
        return offset
      }
      if (sendBuffer.capacity - sendBuffer.used < TEXT_RESPONSE_BYTES_MAX) {
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
      if (decoded === DECODED) {
        const verb = request.verb
        if (verb === VERB_GET || verb === VERB_GET_AND_TOUCH) {
          if (!this.serveKeys(connection, bytes, offset)) return offset
        } else if (verb === VERB_META_NOOP) {
          sendBuffer.used = writeMetaNoop(sendBuffer.bytes, sendBuffer.used)
        } else if ((verb >= VERB_VERSION && verb <= VERB_SASL_STEP) || verb === VERB_OPERATE) {
          this.control(connection, bytes)
          if (connection.keepsRequest) return offset
        } else if (!this.serveItem(connection, bytes)) {
          return offset
        }
        offset += request.frameBytes
        if (!connection.isServing) return offset
        continue
      }
      if (decoded === INCOMPLETE) {
        if (this.startLarge(connection, bytes, offset, end)) return end
        connection.intake.wantedBytes = request.frameBytes
        return offset
      }
      if (decoded === WRONG_LINE) this.answerProblem(request.problem)
      else if (decoded === OVERSIZE) this.answerOversize(connection, bytes)
      else return this.leaveSilently(connection, end)
      offset = this.skip(connection, offset, end)
    }
    return offset
  }

  /** True: the value goes into the store as it arrives, and what is here of it did so. */
  private startLarge(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    end: number,
  ): boolean {
    const { commands, request } = this
    const large = commands.beginLarge(request, connection.gate)
    if (large === undefined) return false
    const head = new Uint8Array(bytes.subarray(offset, request.valueOffset))
    const body = new LargeBody(commands, large, head, LINE_END_BYTES)
    connection.intake.startBody(body, bytes, request.valueOffset, end)
    return true
  }

  serveLarge(connection: Connection, body: LargeBody, hasRoom: boolean): void {
    const { commands, request } = this
    const { head } = body
    const { gate } = connection
    this.makeRoom(connection)
    this.decodeAgain(head, 0, head.length)
    if (hasRoom && (body.end[0] !== CARRIAGE_RETURN || body.end[1] !== LINE_FEED)) {
      this.answerProblem(PROBLEM_BAD_DATA_CHUNK)
      return
    }
    const outcome = hasRoom
      ? commands.executeLarge(body.value, request, head, gate)
      : commands.refuseLarge(request, head, gate)
    this.answer(connection, head, outcome, undefined)
  }

  answerLate(
    connection: Connection,
    bytes: Uint8Array,
    start: number,
    end: number,
    outcome: number,
  ): void {
    this.makeRoom(connection)
    this.decodeAgain(bytes, start, end)
    this.answer(connection, bytes, outcome, undefined)
  }

  /** A request that was decoded before, and whose record was used for others since. */
  private decodeAgain(bytes: Uint8Array, start: number, end: number): void {
    const { request, options } = this
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
      this.refuseStranger(connection)
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
    this.answer(connection, bytes, commands.refuseUnfinished(gate), undefined)
    return request.frameBytes
  }

  /**
   * Whoever has not logged in is told so, whatever it asked; and in the end, that is all it is told: an
   * answer is thirty times as long as the shortest line.
   */
  private refuseStranger(connection: Connection): void {
    this.lane[COUNTER.auth_refused_commands]!++
    // Nobody who does not know this server yet can know that it keeps quiet.
    this.request.quiet = false
    this.answerProblem(PROBLEM_UNAUTHENTICATED)
    connection.gate.admits(VERB_UNKNOWN)
    if (!connection.gate.mayGoOn) connection.drain()
  }

  /** Serves a request about one item; false if it is not answered yet. */
  private serveItem(connection: Connection, bytes: Uint8Array): boolean {
    const { commands, request } = this
    if (this.extensions.areNeeded && isExtending(request)) {
      return this.serveAppend(connection, bytes, undefined)
    }
    if (this.copies.areNeeded && isReading(request)) {
      return this.serveRead(connection, bytes, undefined)
    }
    const outcome = commands.execute(request, bytes, connection.gate)
    if (outcome === OUTCOME_PENDING) return suspendOutcome(connection, commands, request, this)
    this.answer(connection, bytes, outcome, undefined)
    return true
  }

  proceedTransfer(
    connection: Connection,
    transfer: LargeRead | LargeAppend,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    this.makeRoom(connection)
    this.decodeAgain(bytes, start, end)
    return transfer instanceof LargeRead
      ? this.serveRead(connection, bytes, transfer)
      : this.serveAppend(connection, bytes, transfer)
  }

  /** mg where values may be large; false: the copy of its value goes on in another turn. */
  private serveRead(
    connection: Connection,
    bytes: Uint8Array,
    last: LargeRead | undefined,
  ): boolean {
    const { commands, copies, request } = this
    const { gate } = connection
    const key = keyBytesOf(request, bytes)
    const read = copies.prepare(last, key, keyOffsetOf(request), request.keyLength, gate)
    if (read?.isUnderWay) {
      return suspendTransfer(connection, request.frameBytes, read, this)
    }
    if (read?.isRefused) {
      this.replies.send(connection, NO_MEMORY_LINE)
      return true
    }
    const outcome = commands.execute(request, bytes, gate)
    if (outcome === OUTCOME_PENDING) return suspendOutcome(connection, commands, request, this)
    this.answer(connection, bytes, outcome, read)
    read?.cancel()
    return true
  }

  /** An append or prepend where values may be large; false: it goes on in another turn. */
  private serveAppend(
    connection: Connection,
    bytes: Uint8Array,
    last: LargeAppend | undefined,
  ): boolean {
    const { commands, extensions, request } = this
    const outcome = extensions.carryOut(last, request, bytes, connection.gate)
    if (outcome === EXTENSION_UNDER_WAY) {
      return suspendTransfer(connection, request.frameBytes, extensions.takeUnderWay(), this)
    }
    if (outcome === OUTCOME_PENDING) return suspendOutcome(connection, commands, request, this)
    this.answer(connection, bytes, outcome, undefined)
    return true
  }

  /** Writes the answer to a request about an item, with the value if there is one. */
  private answer(
    connection: Connection,
    bytes: Uint8Array,
    outcome: number,
    read: LargeRead | undefined,
  ): void {
    const { commands, request, sendBuffer } = this
    if (request.verb >= VERB_META_GET && request.verb <= VERB_META_DEBUG) {
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

  private leaveUnfinished(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    end: number,
  ): number {
    const isOpen = connection.gate.isOpen
    const keysBytesMax = isOpen ? KEY_LIST_BYTES_MAX : LINE_BYTES_MAX
    const judged = judgeUnfinishedLine(bytes, offset, end, keysBytesMax)
    if (judged === INCOMPLETE) {
      connection.intake.scannedBytes = end - offset
      return offset
    }
    if (!isOpen) this.refuseStranger(connection)
    return this.leaveSilently(connection, end)
  }

  /** Not the text dialect: ends the connection behind what was answered so far. */
  private leaveSilently(connection: Connection, end: number): number {
    this.lane[COUNTER.protocol_errors]!++
    connection.drain()
    return end
  }

  /** Steps over the request at `offset`; what of it has not arrived is skipped as it comes. */
  private skip(connection: Connection, offset: number, end: number): number {
    const next = offset + this.request.frameBytes
    if (next <= end) return next
    if (next - end > STRANGER_SKIPPED_BYTES_MAX && !connection.gate.isOpen) {
      connection.drain()
      return end
    }
    connection.intake.swallowBytes = next - end
    return end
  }

  /**
   * A request of a client that is not logged in. Returns the offset behind it, LEFT_INCOMPLETE if
   * more of it must arrive.
   */
  private serveStranger(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    end: number,
    decoded: number,
  ): number {
    const request = this.request
    switch (request.verb) {
      case VERB_VERSION:
      case VERB_QUIT:
      case VERB_SASL_LIST:
      case VERB_SASL_START:
      case VERB_SASL_STEP:
        if (decoded === INCOMPLETE) break
        if (decoded === DECODED) this.control(connection, bytes)
        else if (decoded === OVERSIZE) this.answerProblem(PROBLEM_LOGIN_TOO_LONG)
        else this.answerProblem(request.problem)
        return this.skip(connection, offset, end)
      default:
        if (this.login.isLogin(bytes, offset, request)) {
          if (!this.login.isComplete(offset, end, request)) break
          this.login.start(connection, bytes, request)
          this.replies.turnsLeft = 0
          return this.skip(connection, offset, end)
        }
        this.refuseStranger(connection)
        if (decoded === WRONG_MAGIC) return this.leaveSilently(connection, end)
        return this.skip(connection, offset, end)
    }
    connection.intake.wantedBytes = request.frameBytes
    return LEFT_INCOMPLETE
  }

  /** Serves a list of keys; false if its rest waits for another turn. */
  private serveKeys(connection: Connection, bytes: Uint8Array, offset: number): boolean {
    const request = this.request
    const { keyOffset } = request
    const listEnd = contentEnd(bytes, offset, request.lineEnd)
    const reached = this.replies.sendValues(
      connection,
      request,
      bytes,
      keyOffset,
      listEnd,
      OUTCOME_PENDING,
      undefined,
    )
    const sendBuffer = this.sendBuffer
    if (reached === LIST_REFUSED) return true
    if (reached === listEnd) {
      sendBuffer.used = writeEnd(sendBuffer.bytes, sendBuffer.used)
      return true
    }
    new KeyList(this.replies, request, reached - offset, listEnd - offset).suspend(connection)
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

  private answerProblem(problem: number): void {
    if (this.request.quiet) return
    const sendBuffer = this.sendBuffer
    sendBuffer.used = writeProblem(sendBuffer.bytes, sendBuffer.used, problem)
  }

  private answerOversize(connection: Connection, bytes: Uint8Array): void {
    const { commands, request } = this
    this.lane[COUNTER.request_too_large]!++
    if (request.verb === VERB_SASL_START || request.verb === VERB_SASL_STEP) {
      this.answerProblem(PROBLEM_LOGIN_TOO_LONG)
    } else {
      const outcome = commands.refuseOversize(request, bytes, connection.gate)
      this.answer(connection, bytes, outcome, undefined)
    }
  }

  /** Verbs about the connection or the server rather than about items. */
  private control(connection: Connection, bytes: Uint8Array): void {
    const { request, replies, sendBuffer } = this
    if (!connection.gate.admits(request.verb) && request.verb !== VERB_QUIT) {
      this.refuseStranger(connection)
      connection.drain()
      return
    }
    switch (request.verb) {
      case VERB_VERSION:
        replies.send(connection, this.version)
        return
      case VERB_QUIT:
        connection.closeReason = CLOSE_NORMAL
        connection.drain()
        return
      case VERB_VERBOSITY:
        this.operations.setVerbosity(request.level)
        sendBuffer.used = writeTextResponse(
          sendBuffer.bytes,
          sendBuffer.used,
          request,
          OUTCOME_OK,
          this.commands.result,
        )
        return
      case VERB_SASL_LIST:
        this.login.list(connection)
        return
      case VERB_SASL_START:
      case VERB_SASL_STEP:
        this.login.sasl(connection, bytes, request)
        replies.turnsLeft = 0
        return
      default:
        this.operations.operate(connection, replies.words(bytes, request), request)
    }
  }
}

function isReading(request: Request): boolean {
  return request.verb === VERB_META_GET && (request.lowerFlags & FLAG_V) !== 0
}

function isExtending(request: Request): boolean {
  const { verb, mode } = request
  return (
    verb === VERB_APPEND ||
    verb === VERB_PREPEND ||
    (verb === VERB_META_SET && (mode === MODE_APPEND || mode === MODE_PREPEND))
  )
}
