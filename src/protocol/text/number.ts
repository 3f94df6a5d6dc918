/**
 * Hot path. Decimal numbers of the text dialects: tokens to numbers and numbers to digits.
 *
 * Invariant: a number is a whole token; -1 (or NOT_A_NUMBER where negative numbers are legal) says
 * that it is not one. Only flags and expiry of the storage commands are read less strictly, as
 * memcached does (parseField). 64-bit numbers are in base/decimal.ts.
 */
import { INT32_MAX } from '../../base/int32-max.ts'

const ZERO = 0x30
const LINE_FEED = 0x0a
const TAB = 0x09
const CARRIAGE_RETURN = 0x0d
const PLUS = 0x2b
const MINUS = 0x2d

export const UINT32_MAX = 4294967295

/** Out of the range of every number that is read here. */
export const NOT_A_NUMBER = -4294967296

/**
 * Absolute time that lies in the past and is above the bound of relative times: an item stored with
 * it is expired at once, which is what a negative expiry of the text dialects means.
 */
export const EXPIRY_IN_THE_PAST = 2592001

/** Thirty days below 2^32: from here on an expiry is a small negative one, written without a sign. */
const NEGATIVE_EXPIRY_MIN = 4292375296

/** The longest token that is a number, as in memcached; zeros in front count. */
const TOKEN_BYTES_MAX = 11

/** An unsigned number of at most 32 bits; -1 if the token is not one. */
export function parseUint32(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end || end - start > TOKEN_BYTES_MAX) return -1
  let value = 0
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - ZERO
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value <= UINT32_MAX ? value : -1
}

/** A number from -(2^32 - 1) to 2^32 - 1, with or without a sign; NOT_A_NUMBER if the token is not one. */
export function parseSigned(bytes: Uint8Array, start: number, end: number): number {
  const sign = start < end ? bytes[start]! : 0
  const isSigned = sign === MINUS || sign === PLUS
  const magnitude = parseUint32(bytes, isSigned ? start + 1 : start, end)
  if (magnitude < 0) return NOT_A_NUMBER
  return sign === MINUS ? 0 - magnitude : magnitude
}

/**
 * Flags and expiry of the storage commands: what C's strtol() reads, as in memcached. White space in
 * front, any number of zeros, and behind the digits white space or a NUL and whatever follows.
 */
export function parseField(bytes: Uint8Array, start: number, end: number): number {
  const value = parseUint32(bytes, start, end)
  if (value >= 0) return value
  let at = start
  while (at < end && isSpace(bytes[at]!)) at++
  const sign = at < end ? bytes[at]! : 0
  if (sign === MINUS || sign === PLUS) at++
  const first = at
  let magnitude = 0
  for (; at < end; at++) {
    const digit = bytes[at]! - ZERO
    if (digit < 0 || digit > 9) break
    magnitude = magnitude * 10 + digit
    if (magnitude > UINT32_MAX) return NOT_A_NUMBER
  }
  if (at === first || (at < end && bytes[at] !== 0 && !isSpace(bytes[at]!))) return NOT_A_NUMBER
  return sign === MINUS ? 0 - magnitude : magnitude
}

/** What C's isspace() says yes to and a token can hold. */
function isSpace(byte: number): boolean {
  return byte >= TAB && byte <= CARRIAGE_RETURN && byte !== LINE_FEED
}

/**
 * The expiry that a number of the text dialects means, 0 or more. Clients that count in unsigned 32
 * bits send -1 as 4294967295.
 */
export function expiryOf(number: number): number {
  return number < 0 || number >= NEGATIVE_EXPIRY_MIN ? EXPIRY_IN_THE_PAST : number
}

/** Writes a safe non-negative integer in decimal; returns the offset behind it. */
export function writeDecimal(bytes: Uint8Array, offset: number, value: number): number {
  let digits = 1
  let bound = 10
  while (value >= bound) {
    bound *= 10
    digits++
  }
  const end = offset + digits
  let rest = value
  let at = end
  // Above 31 bits the division must not be one of int32.
  while (rest > INT32_MAX) {
    const quotient = Math.floor(rest / 10)
    bytes[--at] = ZERO + (rest - quotient * 10)
    rest = quotient
  }
  let small = rest | 0
  while (at > offset) {
    const quotient = (small / 10) | 0
    bytes[--at] = ZERO + (small - quotient * 10)
    small = quotient
  }
  return end
}
