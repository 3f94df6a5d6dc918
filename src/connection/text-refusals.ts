/**
 * What the text dialect of a worker does not carry out: wrong lines, strangers, lines that never end, and
 * how the stream goes on behind them, or ends.
 */

import { COUNTER } from '../observe/counters.ts'
import { INCOMPLETE, type Request } from '../protocol/request.ts'
import { judgeUnfinishedLine, LINE_BYTES_MAX } from '../protocol/text/decode.ts'
import { writeProblem } from '../protocol/text/encode.ts'
import { PROBLEM_UNAUTHENTICATED } from '../protocol/text/problems.ts'
import type { Connection } from './connection.ts'
import type { SendBuffer } from './send-buffer.ts'

/**
 * The longest line of keys, in bytes: 100,000 keys of 80 bytes. The line is buffered whole, because
 * one wrong key in it is answered before any hit.
 */
const KEY_LIST_BYTES_MAX: number = 8 * 1024 * 1024

export class TextRefusals {
  private readonly request: Request
  private readonly sendBuffer: SendBuffer
  private readonly lane: Float64Array

  /** `request` is the record that the dialect decodes into. */
  constructor(request: Request, sendBuffer: SendBuffer, lane: Float64Array) {
    this.request = request
    this.sendBuffer = sendBuffer
    this.lane = lane
  }

  /**
   * Whoever has not logged in is told so, whatever it asked; and in the end, that is all it is told: an
   * answer is thirty times as long as the shortest line. The gate has counted the request, or the connection ends.
   */
  refuseStranger(connection: Connection): void {
    this.lane[COUNTER.auth_refused_commands]!++
    // Nobody who does not know this server yet can know that it keeps quiet.
    this.request.quiet = false
    this.answerProblem(PROBLEM_UNAUTHENTICATED)
    if (!connection.gate.mayGoOn) connection.drain()
  }

  leaveUnfinished(connection: Connection, bytes: Uint8Array, offset: number, end: number): number {
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
  leaveSilently(connection: Connection, end: number): number {
    this.lane[COUNTER.protocol_errors]!++
    connection.drain()
    return end
  }

  /** Steps over the request at `offset`; what of it has not arrived is skipped as it comes. */
  skip(connection: Connection, offset: number, end: number): number {
    const next = offset + this.request.frameBytes
    if (next <= end) return next
    if (!connection.gate.maySkip(next - end)) {
      connection.drain()
      return end
    }
    connection.intake.swallowBytes = next - end
    return end
  }

  answerProblem(problem: number): void {
    if (this.request.quiet) return
    const sendBuffer = this.sendBuffer
    sendBuffer.used = writeProblem(sendBuffer.bytes, sendBuffer.used, problem)
  }
}
