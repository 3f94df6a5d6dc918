/**
 * Values that say what they are: whoever reads one can tell which writes made it, and whether a
 * single byte of it is from another. A value is a row of pieces and of numbers:
 *
 *     | 'p' | id (4, LE) | length of the piece (4, LE) | filler that follows from the id |
 *     | digits and spaces |
 *
 * Read back, a piece is `#id` and a number is itself, so that appending and prepending to a value
 * is appending and prepending to its text. Plain JavaScript, because workers import it too.
 */

export const PIECE_BYTES_MIN = 9
/** What is appended or prepended has at least so many bytes. */
export const EXTENSION_BYTES_MIN = 33

const MARK = 0x70
const FILLER_STARTS = 4093
/** The longest piece is this long. */
const FILLER_BYTES = 1024 * 1024

const filler = Buffer.alloc(FILLER_BYTES + FILLER_STARTS)
let state = 12345
for (let index = 0; index < filler.length; index++) {
  state = (Math.imul(state, 1664525) + 1013904223) | 0
  filler[index] = state >>> 24
}

export function writePiece(target, offset, id, length) {
  target[offset] = MARK
  target.writeUInt32LE(id, offset + 1)
  target.writeUInt32LE(length, offset + 5)
  const start = id % FILLER_STARTS
  filler.copy(target, offset + PIECE_BYTES_MIN, start, start + length - PIECE_BYTES_MIN)
}

export function pieceText(id) {
  return `#${id.toString(36)}`
}

/** What the value is made of, or where it is torn. */
export function readValue(bytes, offset, length) {
  const end = offset + length
  let text = ''
  let at = offset
  while (at < end) {
    if (bytes[at] !== MARK) {
      const start = at
      while (at < end && (bytes[at] === 0x20 || (bytes[at] >= 0x30 && bytes[at] <= 0x39))) at++
      if (at === start) return `torn at byte ${at - offset} of ${length} after ${text}`
      text += bytes.latin1Slice(start, at)
      continue
    }
    if (end - at < PIECE_BYTES_MIN) return `torn at the end of ${length} bytes after ${text}`
    const id = bytes.readUInt32LE(at + 1)
    const pieceBytes = bytes.readUInt32LE(at + 5)
    text += pieceText(id)
    if (pieceBytes < PIECE_BYTES_MIN || pieceBytes > end - at) {
      return `torn at byte ${at - offset} of ${length}: ${text} has ${pieceBytes} bytes`
    }
    const start = id % FILLER_STARTS
    const fillerBytes = pieceBytes - PIECE_BYTES_MIN
    const from = at + PIECE_BYTES_MIN
    if (filler.compare(bytes, from, from + fillerBytes, start, start + fillerBytes) !== 0) {
      return `torn within the ${pieceBytes} bytes of ${text} at byte ${at - offset} of ${length}`
    }
    at += pieceBytes
  }
  return text
}
