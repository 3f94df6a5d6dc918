/**
 * An answer of many lines, a portion a turn: statistics and dumps. The command stays in the receive
 * buffer until the last line is given.
 */
import type { Commands } from '../command/commands.ts'
import type { LineSource, RowSource } from '../command/operations/rows.ts'
import type { Connection, SuspendedRequest } from './connection.ts'
import { makePortion } from './portions.ts'
import type { TextReplies } from './text-replies.ts'

export class TextAnswer implements SuspendedRequest {
  readonly frameBytes: number
  readonly rights: number
  private readonly replies: TextReplies
  private readonly commands: Commands
  private readonly lines: LineSource
  private readonly lastLine: string

  constructor(
    replies: TextReplies,
    commands: Commands,
    lines: LineSource,
    lastLine: string,
    frameBytes: number,
    rights: number,
  ) {
    this.replies = replies
    this.commands = commands
    this.lines = lines
    this.lastLine = lastLine
    this.frameBytes = frameBytes
    this.rights = rights
  }

  proceed(connection: Connection): boolean {
    if (!makePortion(connection, () => this.step(connection))) return false
    this.replies.sendLine(connection, this.lastLine)
    return true
  }

  cancel(): void {}

  private step(connection: Connection): number {
    const lines = this.lines.next(this.commands.nowSeconds)
    if (lines === undefined) return -1
    if (lines !== '') this.replies.send(connection, Buffer.from(lines, 'latin1'))
    return lines.length
  }
}

/** The rows of a `stats` group. */
export class StatLines implements LineSource {
  private readonly rows: RowSource

  constructor(rows: RowSource) {
    this.rows = rows
  }

  next(nowSeconds: number): string | undefined {
    const rows = this.rows.next(nowSeconds)
    return rows?.map(([name, value]) => `STAT ${name} ${value}\r\n`).join('')
  }
}
