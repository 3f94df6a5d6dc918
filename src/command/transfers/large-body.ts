/**
 * Hot path. The value of one large request while it arrives: its bytes go from the worker's read
 * buffer straight into the store, or from the kernel (`room`), and only the head of the request is kept, to
 * be decoded once more when the last byte is here.
 *
 *     | head: line, or header, extras and key | value ...        | end, if any |
 *       kept in `head`                          into the store     2 bytes, kept
 *
 * Invariant: every way in which the connection ends abandons the value, so that what a vanished
 * client has sent is given back.
 */
import type { Request } from '../../protocol/request.ts'
import { bytesToAwait } from '../../storage/arriving-value.ts'
import type { Commands, ReceivedValue } from '../commands.ts'

/** To copy fewer costs less than to read them by themselves. */
const ROOM_BYTES_MIN = 16 * 1024

/**
 * Of how many bytes the coming is to be waited for of a storing request at `offset` that goes on behind `end`:
 * all of it, or so many that its value may be begun.
 */
export function bytesToBegin(request: Request, offset: number, end: number): number {
  const { valueLength, valueOffset, frameBytes } = request
  const awaited = bytesToAwait(valueLength, end - valueOffset)
  return awaited === valueLength ? frameBytes : valueOffset - offset + awaited
}

export class LargeBody {
  /** The head of the request, as it came. */
  readonly head: Uint8Array
  /** What follows the value: the line end of a text dialect. */
  readonly end: Uint8Array
  readonly value: ReceivedValue
  private readonly commands: Commands
  private endBytes = 0

  constructor(commands: Commands, value: ReceivedValue, head: Uint8Array, endLength: number) {
    this.commands = commands
    this.value = value
    this.head = head
    this.end = new Uint8Array(endLength)
  }

  /** Bytes that are still to come. */
  get missingBytes(): number {
    return this.value.missingBytes + this.end.length - this.endBytes
  }

  /**
   * Takes what belongs to it of `bytes[offset, end)` and returns the offset behind that; -1 if there
   * is no room for it.
   */
  take(bytes: Uint8Array, offset: number, end: number): number {
    let at = offset
    const length = Math.min(this.value.missingBytes, end - at)
    if (length > 0) {
      if (!this.commands.appendLarge(this.value, bytes, at, length)) return -1
      at += length
    }
    while (at < end && this.value.missingBytes === 0 && this.endBytes < this.end.length) {
      this.end[this.endBytes++] = bytes[at++]!
    }
    return at
  }

  /**
   * Where the next bytes of the value belong: they need come by no other memory then. Undefined: it is not worth it.
   * The request's last byte never is among them. So what is read last of it is short of what could be read, and
   * nobody asks the kernel in vain for more.
   */
  room(bytesMax: number): Uint8Array | undefined {
    const { value } = this
    const lengthMax = Math.min(value.missingBytes, this.missingBytes - 1)
    if (lengthMax < ROOM_BYTES_MIN) return undefined
    const room = value.room(Math.min(lengthMax, bytesMax))
    return room.length < ROOM_BYTES_MIN ? undefined : room
  }

  /** So many bytes have come to where room() said; false: they may not stay there. */
  advance(length: number): boolean {
    return this.commands.appendLarge(this.value, undefined, 0, length)
  }

  abandon(): void {
    this.value.abandon()
  }
}
