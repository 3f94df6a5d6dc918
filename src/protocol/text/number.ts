/**
 * Hot path. Decimal numbers of the text dialects: tokens to numbers and numbers to digits.
 *
 * Invariant: a number is a whole token; -1 (or NOT_A_NUMBER where negative numbers are legal) says
 * that it is not one. 64-bit numbers are in base/decimal.ts.
 */
const ZERO = 0x30
const PLUS = 0x2b
const MINUS = 0x2d

export const UINT32_MAX = 4294967295
export const INT32_MAX = 2147483647

/** Out of the range of every number that is read here. */
export const NOT_A_NUMBER = -4294967296

/**
 * Absolute time that lies in the past and is above the bound of relative times: an item stored with
 * it is expired at once, which is what a negative expiry of the text dialects means.
 */
export const EXPIRY_IN_THE_PAST = 2592001

/** An unsigned number of at most 32 bits; -1 if the token is not one. */
export function parseUint32(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  if (bytes[at] === PLUS) at++
  if (at >= end || end - at > 10) return -1
  let value = 0
  for (; at < end; at++) {
    const digit = bytes[at]! - ZERO
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value <= UINT32_MAX ? value : -1
}

/** A number from -(2^32 - 1) to 2^32 - 1; NOT_A_NUMBER if the token is not one. */
export function parseSigned(bytes: Uint8Array, start: number, end: number): number {
  if (start < end && bytes[start] === MINUS) {
    if (bytes[start + 1] === PLUS) return NOT_A_NUMBER
    const magnitude = parseUint32(bytes, start + 1, end)
    return magnitude < 0 ? NOT_A_NUMBER : -magnitude
  }
  const value = parseUint32(bytes, start, end)
  return value < 0 ? NOT_A_NUMBER : value
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
