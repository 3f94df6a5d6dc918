/**
 * Operators' commands in the text dialect: has them carried out, and writes what came of it in the words
 * of memcached (protocol/text/operations.ts). All of it is rare and read by people or monitors, so it
 * works with strings; nothing of it is on the hot path.
 */

import { unreachable } from '../base/unreachable.ts'
import type { Caller } from '../command/caller.ts'
import type { Commands } from '../command/commands.ts'
import {
  type Answer,
  carryOut,
  denialOf,
  enterNamespace,
  isWithheld,
  OPERATIONS,
  type OperationParts,
  rightsOfOperation,
} from '../command/operations/operations.ts'
import type { LineSource, RowSource } from '../command/operations/rows.ts'
import { CLOSE_SHUTDOWN } from '../observe/watch-line.ts'
import {
  OUTCOME_NO_RIGHT,
  OUTCOME_OK,
  OUTCOME_PENDING,
  OUTCOME_STORE_LATE,
  Request,
} from '../protocol/request.ts'
import { problemOfStore } from '../protocol/text/encode.ts'
import {
  FLUSH,
  findOperation,
  type OperationWords,
  readArgument,
  readWithin,
} from '../protocol/text/operations.ts'
import { PROBLEM_NO_RIGHT, PROBLEM_TEXTS } from '../protocol/text/problems.ts'
import { VERB_FLUSH } from '../protocol/verbs.ts'
import type { Connection, SuspendedRequest } from './connection.ts'
import { StatLines, TextAnswer } from './text-answer.ts'
import type { TextReplies } from './text-replies.ts'
import type { Watchers } from './watchers.ts'

const OK = 'OK'
const ERROR = 'ERROR'
const NO_RIGHT = PROBLEM_TEXTS[PROBLEM_NO_RIGHT] ?? ERROR
const NOT_WITHIN =
  'CLIENT_ERROR usage: namespace NAME flush_all|lru_crawler metadump|lru_crawler mgdump|watch|stats'

/** The command stays in the receive buffer until its one line is known. */
class LateLine implements SuspendedRequest {
  readonly frameBytes: number
  private readonly say: (line: string) => void
  private line: string | undefined = undefined

  constructor(frameBytes: number, say: (line: string) => void) {
    this.frameBytes = frameBytes
    this.say = say
  }

  settle(line: string): void {
    this.line = line
  }

  proceed(): boolean {
    if (this.line === undefined) return false
    this.say(this.line)
    return true
  }

  /** What was begun goes on: others may have asked for it as well. */
  cancel(): void {}
}

export class TextOperations {
  private readonly replies: TextReplies
  private readonly commands: Commands
  private readonly parts: OperationParts
  private readonly watchers: Watchers

  constructor(replies: TextReplies, commands: Commands, parts: OperationParts, watchers: Watchers) {
    this.replies = replies
    this.commands = commands
    this.parts = parts
    this.watchers = watchers
  }

  /** Answers the command that `line` is, word by word. A long answer becomes the connection's task. */
  operate(connection: Connection, line: readonly string[], request: Request): void {
    const row = findOperation(line)
    if (row === undefined) {
      this.answer(connection, ERROR, row, request)
      return
    }
    if (OPERATIONS[row.operation].isCostly === true) this.replies.turnsLeft = 0
    const { gate } = connection
    if (row.operation === 'namespace') this.operateWithin(connection, line, row, request)
    else this.operateAs(connection, gate, line, row, request)
  }

  /** What stands behind the name of a namespace, carried out there. */
  private operateWithin(
    connection: Connection,
    line: readonly string[],
    row: OperationWords,
    request: Request,
  ): void {
    const within = readWithin(line)
    const caller = enterNamespace(line[1] ?? '', this.parts, connection.gate)
    if (caller === undefined) {
      this.answer(connection, row.refused?.unknown ?? ERROR, row, request)
    } else if ('kind' in caller) {
      this.answer(connection, NO_RIGHT, row, request)
    } else if (within === undefined) {
      this.answer(connection, NOT_WITHIN, row, request)
    } else if (within === FLUSH) {
      this.flush(connection, caller, row, request)
      this.commands.beginTurn(connection.id, connection.gate)
    } else {
      this.operateAs(connection, caller, line.slice(2), within, request)
    }
  }

  private flush(
    connection: Connection,
    caller: Caller,
    row: OperationWords,
    request: Request,
  ): void {
    const flush = new Request()
    flush.verb = VERB_FLUSH
    const outcome = this.commands.execute(flush, new Uint8Array(0), caller)
    if (outcome !== OUTCOME_PENDING) {
      this.answer(connection, wordsOfFlush(outcome), row, request)
      return
    }
    const pending = this.commands.takePending()
    const words = new Promise<string | undefined>((resolve) => {
      pending.onSettled(() => resolve(wordsOfFlush(pending.load())))
    })
    this.tellLater(connection, words, OK, request.frameBytes)
  }

  private operateAs(
    connection: Connection,
    caller: Caller,
    line: readonly string[],
    row: OperationWords,
    request: Request,
  ): void {
    connection.gate.visited = caller.namespace
    if (denialOf(row.operation, caller) !== undefined) {
      this.answer(connection, NO_RIGHT, row, request)
      return
    }
    if (isWithheld(row.operation, this.parts, caller)) {
      this.answer(connection, row.notOffered ?? ERROR, row, request)
      return
    }
    if (row.beginsTurnAs !== undefined && this.replies.areGathered) {
      const refusal = `ERROR cannot pipeline other commands before ${row.beginsTurnAs}`
      this.answer(connection, refusal, row, request)
      return
    }
    const argument = readArgument(row, line)
    if (typeof argument === 'string') this.answer(connection, argument, row, request)
    else this.tell(connection, carryOut(row.operation, this.parts, argument, caller), row, request)
  }

  /** The one operation whose line is decoded with those of the requests. */
  setVerbosity(connection: Connection, request: Request): void {
    const argument = { words: '', number: request.level }
    const { kind } = carryOut('verbosity', this.parts, argument, connection.gate)
    this.answer(connection, kind === 'done' ? OK : NO_RIGHT, undefined, request)
  }

  /** Writes what came of the operation. */
  private tell(
    connection: Connection,
    answer: Answer,
    row: OperationWords,
    request: Request,
  ): void {
    switch (answer.kind) {
      case 'done':
        this.answer(connection, row.done ?? OK, row, request)
        return
      case 'rows':
        this.tellRows(connection, answer.rows, row, request)
        return
      case 'lines':
        if (row.firstLine !== undefined) this.say(connection, row.firstLine)
        this.tellLines(connection, answer.lines, row, request)
        return
      case 'watch':
        if (this.watchers.add(connection, answer.kinds, connection.gate.visited)) return
        this.answer(connection, row.refused?.failed ?? ERROR, row, request)
        return
      case 'later':
        this.tellLater(connection, answer.problem, row.done ?? OK, request.frameBytes)
        return
      case 'close':
        // memcached has no answer to it but the end of the connection.
        connection.closeReason = CLOSE_SHUTDOWN
        connection.drain()
        return
      case 'denied':
        this.answer(connection, NO_RIGHT, row, request)
        return
      case 'refused':
        this.answer(connection, row.refused?.[answer.reason] ?? ERROR, row, request)
        return
      default:
        unreachable(answer)
    }
  }

  private tellLater(
    connection: Connection,
    words: Promise<string | undefined>,
    done: string,
    frameBytes: number,
  ): void {
    const late = new LateLine(frameBytes, (line) => this.say(connection, line))
    const settled = words.then((line) => late.settle(line ?? done))
    connection.suspendUntil(late, { onSettled: (run) => void settled.then(run) })
  }

  /** Answers with one line, unless it is not wanted. */
  private answer(
    connection: Connection,
    line: string,
    row: OperationWords | undefined,
    request: Request,
  ): void {
    if (!request.quiet || row?.ignoresNoreply === true) this.say(connection, line)
  }

  private say(connection: Connection, line: string): void {
    this.replies.sendLine(connection, line)
  }

  /** Rows without a last line are few, and are told at once. */
  private tellRows(
    connection: Connection,
    rows: RowSource,
    row: OperationWords,
    request: Request,
  ): void {
    const lines = new StatLines(rows)
    if (row.lastLine !== undefined) {
      this.tellLines(connection, lines, row, request)
      return
    }
    for (;;) {
      const told = lines.next(this.commands.nowSeconds)
      if (told === undefined) return
      this.replies.send(connection, Buffer.from(told, 'latin1'))
    }
  }

  /** Lines come with the connection's next turns. */
  private tellLines(
    connection: Connection,
    lines: LineSource,
    { operation, lastLine = '' }: OperationWords,
    { frameBytes }: Request,
  ): void {
    const { replies, commands } = this
    const rights = rightsOfOperation(operation)
    connection.suspend(new TextAnswer(replies, commands, lines, lastLine, frameBytes, rights))
  }
}

function wordsOfFlush(outcome: number): string {
  if (outcome === OUTCOME_OK) return OK
  if (outcome === OUTCOME_NO_RIGHT) return NO_RIGHT
  if (outcome >= OUTCOME_STORE_LATE) return PROBLEM_TEXTS[problemOfStore(outcome)] ?? ERROR
  return 'CLIENT_ERROR flush_all not allowed'
}
