/**
 * Replies of a node (RESP2), cut from the bytes of one connection: a string as bytes, a number, null, a status as text, a
 * list of such, and an error as a ReplyError. Of RESP3 what a node says to who tracks: null, a map as a list, and what it
 * pushes between two replies.
 *
 *     $5\r\nvalue\r\n    :1\r\n    $-1\r\n    +OK\r\n    *2\r\n$1\r\nH\r\n:1\r\n    -MOVED 1 host:1\r\n
 *     _\r\n    %1\r\n$5\r\nproto\r\n:3\r\n    >2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n
 *
 * Invariants: no claim of a length takes memory, only bytes that have come do. What breaks the rules, or a bound,
 * makes read() false, after which the connection is of no use. What comes in pieces is kept and parsed anew from its
 * beginning; a string is not tried before its last byte is there.
 *
 * On the way of each request: a string is copied once, out of the buffer that all connections read into.
 */
import { copyPart } from '../base/bytes.ts'
import { REMOTE_ITEM_BYTES_MAX } from '../base/remote-item-bytes-max.ts'

/**
 * Of a whole reply: the largest item of any gate, and what is around it. Not that of this gate's -I, as another one may
 * have stored more; the engine would keep, and send, strings of 512 MiB.
 */
export const REPLY_BYTES_MAX: number = REMOTE_ITEM_BYTES_MAX + 64 * 1024
/** Of a status, an error or a number. */
export const REPLY_LINE_BYTES_MAX: number = 16 * 1024
/** Of one reply, in all of its lists; ours have 6, and a HELLO names each module of the node. */
export const ELEMENTS_MAX = 256
export const DEPTH_MAX = 4
/** Greater ones are given back once they are empty. */
const KEPT_BYTES = 64 * 1024
const DIGITS_MAX = 19

const CR = 0x0d
const LF = 0x0a
const MINUS = 0x2d
const ZERO = 0x30
const STATUS = 0x2b
const ERROR = 0x2d
const INTEGER = 0x3a
const STRING = 0x24
const LIST = 0x2a
const NULL = 0x5f
const MAP = 0x25
const PUSH = 0x3e

const EMPTY: Buffer = Buffer.alloc(0)
const INCOMPLETE: unique symbol = Symbol('incomplete')
const MALFORMED: unique symbol = Symbol('malformed')

/** What the engine says of a command that it did not carry out. */
export class ReplyError extends Error {}

export interface ReplySink {
  /** False: it was not asked for, or no more is wanted. */
  take(reply: unknown): boolean
  /** The same of what comes unasked; who has none ends the connection over it. */
  push?(push: unknown): boolean
}

const TOO_LONG = 'a node sends more than any item may be'

export class ReplyReader {
  /** Why read() was false, if not for what breaks the rules. */
  trouble: string | undefined = undefined
  private readonly sink: ReplySink
  /** Of a reply whose end has not come. */
  private kept: Buffer = EMPTY
  private keptBytes = 0
  /** There is no use in trying with fewer. */
  private neededBytes = 0
  private bytes: Buffer = EMPTY
  private start = 0
  private at = 0
  private end = 0
  private elements = 0
  private number = 0

  constructor(sink: ReplySink) {
    this.sink = sink
  }

  /** Of `bytes` the first `length`, which nobody needs afterwards; false: the connection is to be ended. */
  read(bytes: Buffer, length: number): boolean {
    if (this.keptBytes === 0) {
      const rest = this.parseAll(bytes, length)
      if (rest < 0) return false
      if (rest < length) this.keep(bytes, rest, length)
      return true
    }
    this.keep(bytes, 0, length)
    if (this.keptBytes < this.neededBytes) return true
    const { kept } = this
    const rest = this.parseAll(kept, this.keptBytes)
    if (rest < 0) return false
    if (rest > 0) kept.copyWithin(0, rest, this.keptBytes)
    this.keptBytes -= rest
    if (this.keptBytes === 0 && kept.length > KEPT_BYTES) this.kept = EMPTY
    return true
  }

  /** Where the first reply begins that is not whole; negative: the bytes are no replies, or not wanted. */
  private parseAll(bytes: Buffer, end: number): number {
    const { sink } = this
    this.bytes = bytes
    this.end = end
    this.neededBytes = 0
    let at = 0
    while (at < end) {
      this.start = at
      this.at = at
      this.elements = 0
      const reply = this.parse(0)
      if (reply === MALFORMED) return -1
      if (reply === INCOMPLETE) break
      at = this.at
      const isTaken = bytes[this.start] === PUSH ? sink.push?.(reply) : sink.take(reply)
      if (isTaken !== true) return -1
    }
    return at
  }

  private keep(bytes: Buffer, from: number, end: number): void {
    const wanted = this.keptBytes + end - from
    if (wanted > this.kept.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(1024, 2 ** Math.ceil(Math.log2(wanted))))
      this.kept.copy(grown, 0, 0, this.keptBytes)
      this.kept = grown
    }
    bytes.copy(this.kept, this.keptBytes, from, end)
    this.keptBytes = wanted
  }

  private parse(depth: number): unknown {
    const { bytes, at } = this
    const type = bytes[at]
    const from = at + 1
    const lineEnd = this.findLineEnd(from)
    if (lineEnd < 0) return lineEnd === -1 && isType(type) ? INCOMPLETE : MALFORMED
    this.at = lineEnd + 2
    switch (type) {
      case STRING:
        return this.parseNumber(from, lineEnd) ? this.takeString(this.number) : MALFORMED
      case INTEGER:
        return this.parseNumber(from, lineEnd) ? this.number : MALFORMED
      case LIST:
        return this.parseNumber(from, lineEnd) ? this.takeList(this.number, depth) : MALFORMED
      case MAP:
        return this.parseNumber(from, lineEnd) ? this.takeList(2 * this.number, depth) : MALFORMED
      case PUSH:
        if (depth > 0 || !this.parseNumber(from, lineEnd)) return MALFORMED
        return this.takeList(this.number, depth) ?? MALFORMED
      case NULL:
        return lineEnd === from ? null : MALFORMED
      case STATUS:
        return bytes.toString('latin1', from, lineEnd)
      case ERROR:
        return new ReplyError(bytes.toString('latin1', from, lineEnd))
      default:
        return MALFORMED
    }
  }

  /** The place of CR LF; -1: it has not come, -2: it never will. */
  private findLineEnd(from: number): number {
    const { bytes, end } = this
    const last = Math.min(end, from + REPLY_LINE_BYTES_MAX)
    let at = from
    while (at < last && bytes[at] !== CR) at++
    if (at < last && at + 1 < end) return bytes[at + 1] === LF ? at : -2
    return at < from + REPLY_LINE_BYTES_MAX ? -1 : -2
  }

  private parseNumber(from: number, end: number): boolean {
    const { bytes } = this
    const isNegative = bytes[from] === MINUS
    const first = isNegative ? from + 1 : from
    if (end === first || end - first > DIGITS_MAX) return false
    let number = 0
    for (let at = first; at < end; at++) {
      const digit = (bytes[at] ?? 0) - ZERO
      if (digit < 0 || digit > 9) return false
      number = number * 10 + digit
    }
    this.number = isNegative ? -number : number
    return true
  }

  private takeString(length: number): unknown {
    if (length === -1) return null
    const { bytes, at } = this
    const end = at + length
    if (end + 2 - this.start > REPLY_BYTES_MAX) this.trouble = TOO_LONG
    if (length < 0 || this.trouble !== undefined) return MALFORMED
    if (end + 2 > this.end) {
      this.neededBytes = end + 2 - this.start
      return INCOMPLETE
    }
    if (bytes[end] !== CR || bytes[end + 1] !== LF) return MALFORMED
    const string = Buffer.allocUnsafe(length)
    copyPart(bytes, at, string, 0, length)
    this.at = end + 2
    return string
  }

  private takeList(length: number, depth: number): unknown {
    if (length === -1) return null
    this.elements += length
    if (length < 0 || this.elements > ELEMENTS_MAX || depth === DEPTH_MAX) return MALFORMED
    const list: unknown[] = []
    for (let count = 0; count < length; count++) {
      if (this.at >= this.end) return INCOMPLETE
      const element = this.parse(depth + 1)
      if (element === INCOMPLETE || element === MALFORMED) return element
      list.push(element)
    }
    return list
  }
}

function isType(byte: number | undefined): boolean {
  switch (byte) {
    case STRING:
    case INTEGER:
    case LIST:
    case STATUS:
    case ERROR:
    case NULL:
    case MAP:
    case PUSH:
      return true
    default:
      return false
  }
}
