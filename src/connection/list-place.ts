/**
 * Hot path. Where a list of keys goes on that was left before its last key: what has to be known of its line, which stays in
 * the receive buffer, and is not looked at again from its beginning.
 */
import type { Request } from '../protocol/request.ts'

export class ListPlace {
  /** Of the line, as its owner counts. */
  readonly offset: number
  private readonly verb: number
  private readonly frameBytes: number
  private readonly expiry: number
  private readonly wantsCas: boolean
  // From the beginning of the line.
  private readonly keysEnd: number
  private readonly keyOffset: number
  private readonly keyLength: number

  /** At the key of `request`, whose line begins at `start`. */
  constructor(request: Request, start: number, offset: number) {
    this.offset = offset
    this.verb = request.verb
    this.frameBytes = request.frameBytes
    this.expiry = request.expiry
    this.wantsCas = request.wantsCas
    this.keysEnd = request.keysEnd - start
    this.keyOffset = request.keyOffset - start
    this.keyLength = request.keyLength
  }

  /** The line begins at `start` now. */
  restore(request: Request, start: number): void {
    request.verb = this.verb
    request.frameBytes = this.frameBytes
    request.expiry = this.expiry
    request.wantsCas = this.wantsCas
    request.keysEnd = start + this.keysEnd
    request.keyOffset = start + this.keyOffset
    request.keyLength = this.keyLength
  }
}
