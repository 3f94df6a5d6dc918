/**
 * The rest of a long list of keys: what a `get` needs to go on after it gave its turn away, its reader
 * fell behind, or an outcome of a store elsewhere is to come. The line stays in the receive buffer until
 * the last key is served; offsets are relative to its beginning.
 */
import type { PendingOutcome } from '../command/commands.ts'
import type { LargeRead } from '../command/transfers/large-copies.ts'
import { OUTCOME_PENDING, Request } from '../protocol/request.ts'
import type { Connection, SuspendedRequest } from './connection.ts'
import { LIST_REFUSED, type TextReplies } from './text-replies.ts'

const END = Buffer.from('END\r\n')

export class KeyList implements SuspendedRequest {
  readonly frameBytes: number
  private readonly replies: TextReplies
  private readonly request: Request = new Request()
  private readonly listEnd: number
  private reached: number
  // What the key at `reached` waits for, if not for a turn.
  private pending: PendingOutcome | undefined = undefined
  private read: LargeRead | undefined = undefined

  /** Goes on at `reached` with the list of `request`, which ends at `listEnd`. */
  constructor(replies: TextReplies, request: Request, reached: number, listEnd: number) {
    this.replies = replies
    this.request.verb = request.verb
    this.request.wantsCas = request.wantsCas
    this.request.expiry = request.expiry
    this.frameBytes = request.frameBytes
    this.reached = reached
    this.listEnd = listEnd
  }

  /** To be called when the replies have stopped before the last key. */
  suspend(connection: Connection): void {
    this.pending = this.replies.takePending()
    this.read = this.replies.takeRead()
    if (this.pending === undefined) connection.suspend(this)
    else connection.suspendUntil(this, this.pending.settled)
  }

  proceed(connection: Connection, bytes: Uint8Array, start: number): boolean {
    const outcome = this.pending === undefined ? OUTCOME_PENDING : this.pending.load()
    const reached = this.replies.sendValues(
      connection,
      this.request,
      bytes,
      start + this.reached,
      start + this.listEnd,
      outcome,
      this.read,
    )
    if (reached === LIST_REFUSED) return true
    this.reached = reached - start
    if (this.reached < this.listEnd) {
      this.suspend(connection)
      return false
    }
    this.replies.send(connection, END)
    return true
  }

  cancel(): void {
    this.pending?.cancel()
    this.read?.cancel()
  }
}
