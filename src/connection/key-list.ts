/**
 * The rest of a long list of keys: what a `get` needs to go on after it gave its turn away, its reader
 * fell behind, or an outcome of a store elsewhere is to come. The line stays in the receive buffer until
 * the last key is served; the offsets kept of it are relative to its beginning.
 */
import type { PendingOutcome } from '../command/commands.ts'
import type { LargeRead } from '../command/transfers/large-copies.ts'
import { OUTCOME_PENDING, Request } from '../protocol/request.ts'
import type { Connection, SuspendedRequest } from './connection.ts'
import { LIST_REFUSED, LIST_SERVED, type TextReplies } from './text-replies.ts'

const END = Buffer.from('END\r\n')

export class KeyList implements SuspendedRequest {
  readonly frameBytes: number
  readonly isLongRead = true
  private readonly replies: TextReplies
  private readonly request: Request = new Request()
  private readonly keysEnd: number
  private keyOffset: number
  // What the key at `keyOffset` waits for, if not for a turn.
  private pending: PendingOutcome | undefined = undefined
  private read: LargeRead | undefined = undefined

  /** Goes on with the key of `request`, whose line begins at `start`. */
  constructor(replies: TextReplies, request: Request, start: number) {
    this.replies = replies
    this.request.verb = request.verb
    this.request.wantsCas = request.wantsCas
    this.request.expiry = request.expiry
    this.request.keyLength = request.keyLength
    this.frameBytes = request.frameBytes
    this.keyOffset = request.keyOffset - start
    this.keysEnd = request.keysEnd - start
  }

  /** To be called when the replies have stopped before the last key. */
  suspend(connection: Connection): void {
    this.pending = this.replies.takePending()
    this.read = this.replies.takeRead()
    if (this.pending === undefined) connection.suspend(this)
    else connection.suspendUntil(this, this.pending)
  }

  proceed(connection: Connection, bytes: Uint8Array, start: number): boolean {
    const { replies, request } = this
    const outcome = this.pending === undefined ? OUTCOME_PENDING : this.pending.load()
    request.keyOffset = start + this.keyOffset
    request.keysEnd = start + this.keysEnd
    switch (replies.sendValues(connection, request, bytes, outcome, this.read)) {
      case LIST_REFUSED:
        return true
      case LIST_SERVED:
        replies.send(connection, END)
        return true
    }
    this.keyOffset = request.keyOffset - start
    this.suspend(connection)
    return false
  }

  cancel(): void {
    this.pending?.cancel()
    this.read?.cancel()
  }
}
