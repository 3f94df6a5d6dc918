/**
 * The rest of a long list of keys: what a `get` needs to go on after it gave its turn away or its
 * reader fell behind. The line stays in the receive buffer until the last key is served; offsets
 * are relative to its beginning.
 */
import type { Commands } from '../command/commands.ts'
import { Request } from '../protocol/request.ts'
import type { Connection, ConnectionTask } from './connection.ts'
import { LIST_REFUSED, type TextReplies } from './text-replies.ts'

const END = Buffer.from('END\r\n')

export class KeyList implements ConnectionTask {
  readonly frameBytes: number
  private readonly replies: TextReplies
  private readonly commands: Commands
  private readonly request: Request = new Request()
  private readonly listEnd: number
  private reached: number

  /** Goes on at `reached` with the list of `request`, which ends at `listEnd`. */
  constructor(
    replies: TextReplies,
    commands: Commands,
    request: Request,
    reached: number,
    listEnd: number,
  ) {
    this.replies = replies
    this.commands = commands
    this.request.verb = request.verb
    this.request.wantsCas = request.wantsCas
    this.request.expiry = request.expiry
    this.frameBytes = request.frameBytes
    this.reached = reached
    this.listEnd = listEnd
  }

  proceed(connection: Connection, bytes: Uint8Array, start: number): boolean {
    const reached = this.replies.sendValues(
      connection,
      this.commands,
      this.request,
      bytes,
      start + this.reached,
      start + this.listEnd,
    )
    if (reached === LIST_REFUSED) return true
    this.reached = reached - start
    if (this.reached === this.listEnd) {
      this.replies.send(connection, END)
      return true
    }
    if (connection.isServing) connection.yieldTurn()
    return false
  }
}
