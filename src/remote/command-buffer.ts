/**
 * Commands for one node, one behind the other, as they go out in the next write (RESP2: a list of strings).
 *
 *     *3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n
 *
 * Nothing is allocated a command while the buffer is large enough. Text in arguments is ASCII.
 */
import type { Argument } from './cluster-client.ts'

const BYTES_MIN = 4096
/** Greater ones are given back. */
const BYTES_KEPT: number = 256 * 1024
/** Of `$`, a length and two line ends. */
const AROUND_BYTES = 16

const CR = 0x0d
const LF = 0x0a
const ZERO = 0x30
const STRING = 0x24
const LIST = 0x2a

const EMPTY: Buffer = Buffer.alloc(0)

export class CommandBuffer {
  length = 0
  private bytes: Buffer = EMPTY

  append(args: readonly Argument[]): void {
    let wanted = AROUND_BYTES
    for (const arg of args) wanted += arg.length + AROUND_BYTES
    this.reserve(wanted)
    const { bytes } = this
    let at = writeHead(bytes, this.length, LIST, args.length)
    for (const arg of args) {
      at = writeHead(bytes, at, STRING, arg.length)
      if (typeof arg !== 'string') bytes.set(arg, at)
      else
        for (let index = 0; index < arg.length; index++) bytes[at + index] = arg.charCodeAt(index)
      at += arg.length
      bytes[at++] = CR
      bytes[at++] = LF
    }
    this.length = at
  }

  /** What was appended, until clear(). */
  view(): Buffer {
    return this.bytes.subarray(0, this.length)
  }

  /** `isFree`: nobody reads what view() gave any more. */
  clear(isFree: boolean): void {
    this.length = 0
    if (!isFree || this.bytes.length > BYTES_KEPT) this.bytes = EMPTY
  }

  private reserve(wanted: number): void {
    const total = this.length + wanted
    if (total <= this.bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(BYTES_MIN, 2 * this.bytes.length, total))
    this.bytes.copy(grown, 0, 0, this.length)
    this.bytes = grown
  }
}

/** The type, the number and a line end; where it ends. */
function writeHead(bytes: Buffer, at: number, type: number, number: number): number {
  bytes[at] = type
  let digits = 1
  for (let rest = number; rest >= 10; rest = Math.floor(rest / 10)) digits++
  const end = at + 1 + digits
  let rest = number
  for (let place = end - 1; place > at; place--) {
    const next = Math.floor(rest / 10)
    bytes[place] = ZERO + rest - next * 10
    rest = next
  }
  bytes[end] = CR
  bytes[end + 1] = LF
  return end + 2
}
