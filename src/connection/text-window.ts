/** Text requests in a window (request-window.ts): lines, and lists of keys, whose values are answered key by key. */
import type { Commands } from '../command/commands.ts'
import type { OperationParts } from '../command/operations/operations.ts'
import { writeMetaNoop } from '../protocol/meta/encode.ts'
import {
  DECODED,
  OUTCOME_HIT,
  OUTCOME_NOT_FOUND,
  OUTCOME_OK,
  type Request,
} from '../protocol/request.ts'
import { decodeLine } from '../protocol/text/decode.ts'
import { TEXT_RESPONSE_BYTES_MAX, writeValueLine } from '../protocol/text/encode.ts'
import { isClusterLine } from '../protocol/text/operations.ts'
import { nextKey, scanLine } from '../protocol/text/scan.ts'
import { hasVerb, LIST_VERBS, VERB_META_NOOP } from '../protocol/verbs.ts'
import type { Connection } from './connection.ts'
import type { DialectOptions } from './dialect-options.ts'
import {
  isAheadVerb,
  RequestWindows,
  type WindowDialect,
  type WindowEntry,
} from './request-window.ts'
import type { SendBuffer } from './send-buffer.ts'
import type { LateDialect } from './suspended-outcome.ts'
import { lineOf, type TextReplies } from './text-replies.ts'
import { TEXT_VERBS } from './turn-counts.ts'

const END: Uint8Array = Buffer.from('END\r\n')

class TextWindow implements WindowDialect {
  readonly request: Request
  private readonly commands: Commands
  private readonly dialect: LateDialect
  private readonly replies: TextReplies
  private readonly sendBuffer: SendBuffer
  private readonly options: DialectOptions
  private readonly cluster: OperationParts['cluster']

  constructor(
    commands: Commands,
    dialect: LateDialect,
    request: Request,
    options: DialectOptions,
    replies: TextReplies,
    sendBuffer: SendBuffer,
  ) {
    this.commands = commands
    this.dialect = dialect
    this.request = request
    this.replies = replies
    this.sendBuffer = sendBuffer
    this.options = options
    this.cluster = options.operations.cluster
  }

  isAhead(bytes: Uint8Array): boolean {
    const { request, cluster } = this
    if (!isAheadVerb(request.verb)) return false
    return cluster.current === undefined || !this.isList || !isClusterLine(bytes, request)
  }

  decodeAhead(bytes: Uint8Array, offset: number, end: number): boolean {
    const { request, options } = this
    const { valueBytesMax, saslBytesMax } = options
    return (
      scanLine(bytes, offset, end, request) &&
      decodeLine(bytes, offset, end, valueBytesMax, saslBytesMax, request) === DECODED &&
      this.isAhead(bytes)
    )
  }

  get isList(): boolean {
    return hasVerb(LIST_VERBS, this.request.verb)
  }

  nextKey(bytes: Uint8Array): boolean {
    return nextKey(bytes, this.request)
  }

  judgeList({ gate }: Connection, bytes: Uint8Array): number {
    const { restriction } = gate
    if (restriction === undefined) return OUTCOME_OK
    return this.commands.refusalOfList(this.request, bytes, restriction)
  }

  answerAhead(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    entry: WindowEntry,
    outcome: number,
  ): boolean {
    const { dialect, request, sendBuffer, replies } = this
    if (entry.keyOffset >= 0) return this.answerKey(connection, bytes, offset, entry, outcome)
    if (entry.endsList) {
      replies.send(connection, END)
      return true
    }
    dialect.takeUp(connection, bytes, offset, offset + entry.frameBytes)
    if (request.verb === VERB_META_NOOP) {
      sendBuffer.used = writeMetaNoop(sendBuffer.bytes, sendBuffer.used)
    } else dialect.answer(connection, bytes, outcome, undefined)
    return true
  }

  /** False: an error ends the list, as in memcached, and no END comes behind it. */
  private answerKey(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    { keyOffset, keyLength, wantsCas }: WindowEntry,
    outcome: number,
  ): boolean {
    const { sendBuffer, replies, commands } = this
    if (outcome === OUTCOME_NOT_FOUND) return true
    if (outcome !== OUTCOME_HIT) {
      replies.send(connection, lineOf(outcome))
      return false
    }
    if (!sendBuffer.hasRoomFor(TEXT_RESPONSE_BYTES_MAX)) connection.flush()
    const { result } = commands
    const at = offset + keyOffset
    const { bytes: into, used } = sendBuffer
    sendBuffer.used = writeValueLine(into, used, bytes, at, keyLength, wantsCas, result)
    replies.sendValue(connection, result, undefined)
    return true
  }

  countAhead(): void {
    this.options.counts.count(TEXT_VERBS + this.request.verb)
  }

  spendTurns(count: number): void {
    this.replies.spendTurns(count)
  }
}

/** Undefined where the store is that of this process, which answers at once. */
export function textWindows(
  commands: Commands,
  dialect: LateDialect,
  request: Request,
  options: DialectOptions,
  replies: TextReplies,
  sendBuffer: SendBuffer,
): RequestWindows | undefined {
  if (options.isStoreElsewhere !== true) return undefined
  const window = new TextWindow(commands, dialect, request, options, replies, sendBuffer)
  return new RequestWindows(commands, window)
}
