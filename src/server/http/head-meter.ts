/**
 * Where the head of a request ends, and how many bytes it takes with the line ends before it: all that comes, whatever
 * it is. Requests have no body, so that one head follows the other.
 *
 *     BEFORE -- any other byte --> LINE -- LF --> BEGIN -- LF --> BEFORE
 *                                   ^---- other ----+
 *
 * Carriage returns move nothing: a head ends with two line feeds, with or without them (RFC 9112, 2.2).
 *
 * Invariant: `length` is what has come of the head that is not over, its bytes all counted.
 */
const LF = 0x0a
const CR = 0x0d

const BEFORE = 0
const LINE = 1
const BEGIN = 2

/** The head goes on behind the bytes; or it is longer than it may be. */
export const UNFINISHED = -1
export const TOO_LONG = -2

export class HeadMeter {
  private readonly bytesMax: number
  private state = BEFORE
  private length = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  /** The offset behind the end of the head, the bytes from `offset` on being the next; or UNFINISHED, or TOO_LONG. */
  take(bytes: Uint8Array, offset: number): number {
    for (let at = offset; at < bytes.length; at++) {
      this.length++
      if (this.length > this.bytesMax) return TOO_LONG
      const byte = bytes[at]
      if (byte === CR) continue
      if (byte !== LF) this.state = LINE
      else if (this.state === LINE) this.state = BEGIN
      else if (this.state === BEGIN) {
        this.state = BEFORE
        this.length = 0
        return at + 1
      }
    }
    return UNFINISHED
  }
}
