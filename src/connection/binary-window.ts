/** Binary requests in a window (request-window.ts). */
import type { Commands } from '../command/commands.ts'
import { decodeBinaryBody, decodeBinaryHeader } from '../protocol/binary/decode.ts'
import { DECODED, OUTCOME_OK, type Request } from '../protocol/request.ts'
import type { Connection } from './connection.ts'
import type { DialectOptions } from './dialect-options.ts'
import {
  isAheadVerb,
  RequestWindows,
  type WindowDialect,
  type WindowEntry,
} from './request-window.ts'
import type { LateDialect } from './suspended-outcome.ts'
import { BINARY_VERBS } from './turn-counts.ts'

type TurnsDialect = LateDialect & Pick<WindowDialect, 'spendTurns'>

class BinaryWindow implements WindowDialect {
  readonly request: Request
  readonly isList = false
  private readonly dialect: TurnsDialect
  private readonly options: DialectOptions

  constructor(dialect: TurnsDialect, request: Request, options: DialectOptions) {
    this.dialect = dialect
    this.request = request
    this.options = options
  }

  isAhead(): boolean {
    return isAheadVerb(this.request.verb)
  }

  decodeAhead(bytes: Uint8Array, offset: number, end: number): boolean {
    const { request, options } = this
    const { valueBytesMax, saslBytesMax } = options
    return (
      decodeBinaryHeader(bytes, offset, end, request) === DECODED &&
      this.isAhead() &&
      decodeBinaryBody(bytes, offset, end, valueBytesMax, saslBytesMax, request) === DECODED
    )
  }

  nextKey(): boolean {
    return false
  }

  judgeList(): number {
    return OUTCOME_OK
  }

  answerAhead(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    { frameBytes }: WindowEntry,
    outcome: number,
  ): boolean {
    this.dialect.takeUp(connection, bytes, offset, offset + frameBytes)
    this.dialect.answer(connection, bytes, outcome, undefined)
    return true
  }

  countAhead(): void {
    this.options.counts.count(BINARY_VERBS + this.request.verb)
  }

  spendTurns(count: number): void {
    this.dialect.spendTurns(count)
  }
}

/** Undefined where the store is that of this process, which answers at once. */
export function binaryWindows(
  commands: Commands,
  dialect: TurnsDialect,
  request: Request,
  options: DialectOptions,
): RequestWindows | undefined {
  if (options.isStoreElsewhere !== true) return undefined
  return new RequestWindows(commands, new BinaryWindow(dialect, request, options))
}
