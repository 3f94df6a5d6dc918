/**
 * Hot path. How text replies reach the send buffer: values behind their lines, small answers, and
 * the turn that a connection has left. Shared by the parts of the text dialect of one worker.
 *
 * Invariant: after each of these, at least the line end and `END` of a list still fit.
 */
import { latin1 } from '../base/latin1.ts'
import type { Commands, HeldValue, PendingOutcome } from '../command/commands.ts'
import type { LargeCopies, LargeRead } from '../command/transfers/large-copies.ts'
import {
  OUTCOME_HIT,
  OUTCOME_NO_KEY,
  OUTCOME_NO_RIGHT,
  OUTCOME_NOT_FOUND,
  OUTCOME_PENDING,
  OUTCOME_STORE_LATE,
  type Request,
  TOKENS_MAX,
} from '../protocol/request.ts'
import {
  problemOfStore,
  TEXT_RESPONSE_BYTES_MAX,
  writeLineEnd,
  writeValueLine,
} from '../protocol/text/encode.ts'
import { PROBLEM_LINES, PROBLEM_NO_KEY, PROBLEM_NO_RIGHT } from '../protocol/text/problems.ts'
import { nextKey } from '../protocol/text/scan.ts'
import type { Connection } from './connection.ts'
import { COPIED_BYTES_MAX, PINNED_BYTES_MIN } from './portions.ts'
import type { SendBuffer } from './send-buffer.ts'

const LINE_END: Uint8Array = Buffer.from('\r\n')
/** As memcached words it. */
export const NO_MEMORY_LINE: Uint8Array = Buffer.from(
  'SERVER_ERROR out of memory writing get response\r\n',
)
export const NO_MEMORY_TO_READ_LINE: Uint8Array = Buffer.from(
  'SERVER_ERROR out of memory reading request\r\n',
)

/** What sendValues() came to: all of the list, what goes on at the request's key, an error that answers it. */
export const LIST_SERVED = 0
const LIST_STOPPED = 1
export const LIST_REFUSED = 2

/** Room for a line end and `END` behind a value. */
const VALUE_END_BYTES = 16

export class TextReplies {
  /** Requests, or keys of a list, that the connection may still have served in this turn. */
  turnsLeft = 0

  /** So many more were answered with the one at hand. */
  spendTurns(count: number): void {
    this.turnsLeft = Math.max(0, this.turnsLeft - count)
  }

  private readonly sendBuffer: SendBuffer
  private readonly commands: Commands
  private readonly copies: LargeCopies
  // What the key that a list has stopped at waits for.
  private pending: PendingOutcome | undefined = undefined
  private read: LargeRead | undefined = undefined

  constructor(sendBuffer: SendBuffer, commands: Commands, copies: LargeCopies) {
    this.sendBuffer = sendBuffer
    this.commands = commands
    this.copies = copies
  }

  /** Requests before this one were answered in the same turn. */
  get areGathered(): boolean {
    return this.sendBuffer.used > 0
  }

  /** Sends the value that is held behind its line, with its line end, and lets go of the item. */
  sendValue(connection: Connection, held: HeldValue, read: LargeRead | undefined): void {
    const sendBuffer = this.sendBuffer
    const valueBytes = held.valueBytes
    if (valueBytes >= PINNED_BYTES_MIN && read === undefined) {
      if (connection.replies.sendStored(held)) {
        sendBuffer.used = writeLineEnd(sendBuffer.bytes, sendBuffer.used)
        return
      }
    }
    if (valueBytes + VALUE_END_BYTES <= sendBuffer.capacity - sendBuffer.used) {
      held.copyValue(sendBuffer.bytes, sendBuffer.used)
      held.release()
      sendBuffer.used = writeLineEnd(sendBuffer.bytes, sendBuffer.used + valueBytes)
      return
    }
    const copy = read?.take(this.commands)
    if (copy !== undefined) {
      held.release()
      connection.sendCopy(copy, LINE_END)
      return
    }
    // It does not fit the send buffer: it leaves in a buffer of its own, copied once.
    const value = sendBuffer.lend(valueBytes + 2)
    held.copyValue(value, 0)
    held.release()
    writeLineEnd(value, valueBytes)
    connection.sendLent(value)
  }

  /**
   * Looks up the keys of a list, from that of the request on, and sends what is found, until the turn is
   * over or the connection no longer serves. Returns LIST_SERVED; LIST_STOPPED, where the request has the
   * key to go on with; or LIST_REFUSED: a line of error ends the answer, as in memcached, and no END comes
   * behind it.
   * `firstOutcome` is that of the first key, if it has come meanwhile, or OUTCOME_PENDING; `firstRead` the
   * copy that was begun for it.
   */
  sendValues(
    connection: Connection,
    request: Request,
    bytes: Uint8Array,
    firstOutcome: number,
    firstRead: LargeRead | undefined,
  ): number {
    const { sendBuffer, commands } = this
    let known = firstOutcome
    let read = firstRead
    const { gate } = connection
    const mayNeedCopy = this.copies.areNeeded || read !== undefined
    // The list's own turn pays for its first key.
    let turnsLeft = this.turnsLeft + 1
    do {
      const isOver = turnsLeft === 0 || commands.copies.copiedBytes >= COPIED_BYTES_MAX
      if (isOver || !connection.isServing) return this.stop(read)
      turnsLeft--
      if (!sendBuffer.hasRoomFor(TEXT_RESPONSE_BYTES_MAX)) {
        connection.flush()
        if (!connection.isServing) return this.stop(read)
      }
      const { keyOffset, keyLength } = request
      if (mayNeedCopy) {
        read = this.copies.prepare(read, bytes, keyOffset, keyLength, gate)
        if (read?.isUnderWay) return this.stop(read)
        if (read?.isRefused) return this.refuseList(connection, NO_MEMORY_LINE, turnsLeft)
      }
      const outcome = known === OUTCOME_PENDING ? commands.execute(request, bytes, gate) : known
      known = OUTCOME_PENDING
      if (outcome === OUTCOME_HIT) {
        sendBuffer.used = writeValueLine(
          sendBuffer.bytes,
          sendBuffer.used,
          bytes,
          keyOffset,
          keyLength,
          request.wantsCas,
          commands.result,
        )
        this.sendValue(connection, commands.result, read)
      } else if (outcome === OUTCOME_PENDING) {
        this.pending = commands.takePending()
        return this.stop(undefined)
      } else if (outcome !== OUTCOME_NOT_FOUND) {
        read?.cancel()
        return this.refuseList(connection, lineOf(outcome), turnsLeft)
      }
      if (read !== undefined) {
        read.cancel()
        read = undefined
      }
    } while (nextKey(bytes, request))
    this.turnsLeft = turnsLeft > 0 ? turnsLeft - 1 : 0
    return LIST_SERVED
  }

  /**
   * A miss would say that there is no item, where there was no memory to read it, or to touch it, or where
   * the user lost the right to while the list was answered.
   */
  private refuseList(connection: Connection, line: Uint8Array, turnsLeft: number): number {
    this.send(connection, line)
    this.turnsLeft = turnsLeft
    return LIST_REFUSED
  }

  private stop(read: LargeRead | undefined): number {
    this.read = read
    this.turnsLeft = 0
    return LIST_STOPPED
  }

  /** The copy that the list which has just stopped waits for, if it does. */
  takeRead(): LargeRead | undefined {
    const { read } = this
    this.read = undefined
    return read
  }

  /** The outcome that it waits for, if it does. */
  takePending(): PendingOutcome | undefined {
    const { pending } = this
    this.pending = undefined
    return pending
  }

  /** Sends an answer that is made in one piece. */
  send(connection: Connection, bytes: Uint8Array): void {
    const sendBuffer = this.sendBuffer
    if (sendBuffer.capacity - sendBuffer.used < bytes.length + VALUE_END_BYTES) connection.flush()
    if (sendBuffer.capacity < bytes.length + VALUE_END_BYTES) {
      connection.send(bytes)
      return
    }
    sendBuffer.bytes.set(bytes, sendBuffer.used)
    sendBuffer.used += bytes.length
  }

  /** Sends text of one byte a character and a line end. */
  sendLine(connection: Connection, line: string): void {
    this.send(connection, Buffer.from(`${line}\r\n`, 'latin1'))
  }

  /** The words of a line, the verb first; not for the hot path. */
  words(bytes: Uint8Array, request: Request): string[] {
    const words: string[] = []
    const count = Math.min(request.tokenCount, TOKENS_MAX)
    for (let token = 0; token < count; token++) {
      const start = request.tokens[2 * token]!
      const end = request.tokens[2 * token + 1]!
      words.push(latin1(bytes, start, end - start))
    }
    return words
  }
}

/** What a list ends with that met this outcome. */
export function lineOf(outcome: number): Uint8Array {
  if (outcome >= OUTCOME_STORE_LATE) return PROBLEM_LINES[problemOfStore(outcome)] ?? NO_MEMORY_LINE
  if (outcome === OUTCOME_NO_RIGHT) return PROBLEM_LINES[PROBLEM_NO_RIGHT] ?? NO_MEMORY_LINE
  if (outcome === OUTCOME_NO_KEY) return PROBLEM_LINES[PROBLEM_NO_KEY] ?? NO_MEMORY_LINE
  return NO_MEMORY_LINE
}
