/**
 * Names and passwords as every comparison sees them: SASLprep (RFC 4013) applied once, at the edge.
 * What SASLprep refuses, or maps to nothing at all, is used as it was given, on both sides, so that
 * an emoji in a password locks nobody out (PostgreSQL does the same). The result is stable: the
 * same input always gives the same output, and no input that is within the limits throws.
 *
 * A stranger chooses the input, and this runs on the event loop, so its work is bounded: the length
 * is capped first, each code point is looked at once before and once after normalization, and what
 * would make the normalization itself slow is not normalized (MARKS_MAX).
 */
import { assert } from '../base/assert.ts'
import {
  CodePoints,
  type CodePointTables,
  LEFT_TO_RIGHT,
  REFUSED,
  RIGHT_TO_LEFT,
  readTables,
  TO_NOTHING,
  TO_SPACE,
} from './code-points.ts'

/** Longest user name and longest password, in bytes of UTF-8 as received. */
export const NAME_BYTES_MAX = 1024
export const PASSWORD_BYTES_MAX = 1024

/**
 * Combining marks in a row. Normalization sorts a row by exchanging neighbours, which takes 0.3 ms
 * for the 500 marks of a name of 1 KiB. Unicode knows no text with more than 30 (UAX #15, 13): what
 * has more is taken for no text, and used as it was given.
 */
const MARKS_MAX = 30
/** A row at a time: to ask for 31 in a row would begin anew at each mark. */
const MARKS = /\p{M}+/gu

let codePoints: CodePoints | undefined

/**
 * Loads the tables, which a server without users never needs. A server with users loads them before
 * it gives its privileges up: later it might not be allowed to.
 */
export function loadTables(): CodePointTables {
  return loaded().tables
}

/** Those that another thread has loaded. */
export function useTables(tables: CodePointTables): void {
  codePoints = new CodePoints(tables)
}

function loaded(): CodePoints {
  codePoints ??= new CodePoints(readTables())
  return codePoints
}

/**
 * The prepared form of `raw`, which the caller has checked to be 1 to 1024 bytes of UTF-8.
 * Unassigned code points are refused as in a stored string (RFC 3454, 7), so both sides fall back
 * alike.
 */
export function prepare(raw: string): string {
  if (isPlainAscii(raw)) return raw
  assert(raw.length <= NAME_BYTES_MAX, 'prepare() got an unchecked length')
  const table = loaded()
  const mapped = mapInvisible(table, raw)
  if (mapped === '' || hasTooManyMarks(mapped)) return raw
  const normalized = mapped.normalize('NFKC')
  return isAllowed(table, normalized) ? normalized : raw
}

/** Printable ASCII is its own prepared form; control characters are refused and so stay raw too. */
function isPlainAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) > 0x7f) return false
  }
  return true
}

/** RFC 4013, 2.1: every sort of space becomes one, and what nobody sees goes. */
function mapInvisible(table: CodePoints, raw: string): string {
  let mapped = ''
  let keptFrom = 0
  for (let index = 0; index < raw.length; ) {
    const codePoint = raw.codePointAt(index) ?? 0
    const next = index + (codePoint > 0xffff ? 2 : 1)
    const flags = table.flagsOf(codePoint) & (TO_SPACE | TO_NOTHING)
    if (flags !== 0) {
      mapped += raw.slice(keptFrom, index)
      if ((flags & TO_SPACE) !== 0) mapped += ' '
      keptFrom = next
    }
    index = next
  }
  return mapped + raw.slice(keptFrom)
}

function hasTooManyMarks(text: string): boolean {
  return (text.match(MARKS) ?? []).some(
    (row) => row.length > MARKS_MAX && [...row].length > MARKS_MAX,
  )
}

/** RFC 4013, 2.3 to 2.5: nothing prohibited, nothing unassigned, no mixed directions. */
function isAllowed(table: CodePoints, text: string): boolean {
  let all = 0
  let first = -1
  let last = 0
  for (let index = 0; index < text.length; ) {
    const codePoint = text.codePointAt(index) ?? 0
    last = table.flagsOf(codePoint)
    if ((last & REFUSED) !== 0) return false
    if (first === -1) first = last
    all |= last
    index += codePoint > 0xffff ? 2 : 1
  }
  if ((all & RIGHT_TO_LEFT) === 0) return true
  return (all & LEFT_TO_RIGHT) === 0 && (first & last & RIGHT_TO_LEFT) !== 0
}

/** What is wrong with a name or a password of a credential file; undefined when nothing is. */
export function problemWith(word: 'name' | 'password', raw: string): string | undefined {
  if (raw === '') return `the ${word} is empty`
  const bytes = Buffer.byteLength(raw)
  const bytesMax = word === 'name' ? NAME_BYTES_MAX : PASSWORD_BYTES_MAX
  if (bytes > bytesMax) return `the ${word} has ${bytes} bytes; at most ${bytesMax} are allowed`
  // PLAIN separates its parts by NUL, so no client could ever send it.
  if (raw.includes('\0')) return `the ${word} contains a NUL character, which no client can send`
  if (Buffer.from(raw).toString() !== raw) return `the ${word} is not valid Unicode`
  return undefined
}
