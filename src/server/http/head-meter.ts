/**
 * How many bytes the head of a request takes, with the line ends before it: all that comes, whatever it is.
 * Requests have no body, so that one head follows the other.
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

export class HeadMeter {
  private readonly bytesMax: number
  private state = BEFORE
  private length = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  /** False: a head is longer than it may be. */
  take(bytes: Uint8Array): boolean {
    for (const byte of bytes) {
      this.length++
      if (this.length > this.bytesMax) return false
      if (byte === CR) continue
      if (byte !== LF) this.state = LINE
      else if (this.state === LINE) this.state = BEGIN
      else if (this.state === BEGIN) {
        this.state = BEFORE
        this.length = 0
      }
    }
    return true
  }
}
