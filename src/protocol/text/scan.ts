/**
 * Hot path. Finds the tokens of a text line: one pass over the bytes, offsets into an Int32Array,
 * no strings. Only the space separates and only the line feed ends; a carriage return before it is
 * dropped, any other byte belongs to a token, as in memcached.
 *
 *   offset                                  lineEnd
 *   v                                       v
 *   s e t   k e y   0   6 0   5 \r          \n
 *   0     1       2   3     4    tokens[2n] is where token n begins, tokens[2n + 1] where it ends
 *
 * Invariant: a token is never empty. Of a line with more than TOKENS_MAX tokens, which only a list
 * of keys may be, the rest is read with `nextKey`.
 */
import { type Request, TOKENS_MAX } from '../request.ts'

const SPACE = 0x20
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

/**
 * Scans the line at `offset`: sets tokens, tokenCount, tokenBytesMax and lineEnd. Returns false if
 * there is no line feed before `end`.
 */
export function scanLine(
  bytes: Uint8Array,
  offset: number,
  end: number,
  request: Request,
): boolean {
  const tokens = request.tokens
  let count = 0
  let longest = 0
  let at = offset
  let byte = 0
  while (at < end) {
    const start = at
    while (at < end) {
      byte = bytes[at]!
      // One comparison for most bytes of a line: a sixth of the scan of a request.
      if (byte <= SPACE && (byte === SPACE || byte === LINE_FEED)) break
      at++
    }
    if (at === end) return false
    let tokenEnd = at
    if (byte === LINE_FEED && at > start && bytes[at - 1] === CARRIAGE_RETURN) tokenEnd--
    if (tokenEnd > start) {
      if (count < TOKENS_MAX) {
        tokens[2 * count] = start
        tokens[2 * count + 1] = tokenEnd
      }
      if (count > 0 && tokenEnd - start > longest) longest = tokenEnd - start
      count++
    }
    if (byte === LINE_FEED) {
      request.tokenCount = count
      request.tokenBytesMax = longest
      request.lineEnd = at
      return true
    }
    at++
  }
  return false
}

/** Makes the key that follows in a list the request's; false if that was the last one. */
export function nextKey(bytes: Uint8Array, request: Request): boolean {
  const end = request.keysEnd
  const start = skipSpaces(bytes, request.keyOffset + request.keyLength, end)
  if (start >= end) return false
  request.keyOffset = start
  request.keyLength = findTokenEnd(bytes, start, end) - start
  return true
}

/** The first byte at or behind `offset` that is not a space, at most `end`. */
export function skipSpaces(bytes: Uint8Array, offset: number, end: number): number {
  let at = offset
  while (at < end && bytes[at] === SPACE) at++
  return at
}

/** The end of the token that begins at `offset`. */
export function findTokenEnd(bytes: Uint8Array, offset: number, end: number): number {
  let at = offset
  while (at < end && bytes[at] !== SPACE) at++
  return at
}

/** Where the last token of a line may end at the latest: the line without its carriage return. */
export function contentEnd(bytes: Uint8Array, offset: number, lineEnd: number): number {
  return lineEnd > offset && bytes[lineEnd - 1] === CARRIAGE_RETURN ? lineEnd - 1 : lineEnd
}

/** True if the token `[start, end)` is exactly `word`. */
export function isWord(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  const length = word.length
  if (end - start !== length) return false
  for (let index = 0; index < length; index++) {
    if (bytes[start + index] !== word[index]) return false
  }
  return true
}
