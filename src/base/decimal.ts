/**
 * Unsigned 64-bit numbers as decimal text, in two 32-bit lanes. Hot path: nothing is allocated.
 *
 * Invariant: `high` and `low` are integers from 0 to 2^32 - 1.
 */

/** Digits of 2^64 - 1. */
export const DECIMAL_DIGITS_MAX = 20

/** The longest token that memcached reads as a number of 64 bits; zeros in front count. */
const TOKEN_BYTES_MAX = 22

const LANE = 4294967296
const ZERO = 0x30
const PLUS = 0x2b
const MINUS = 0x2d
const SPACE = 0x20
const TAB = 0x09
const CARRIAGE_RETURN = 0x0d

/** What C's isspace() says yes to. */
function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= TAB && byte <= CARRIAGE_RETURN)
}

export class Decimal {
  high = 0
  low = 0

  /**
   * Reads a token of a request: digits and nothing else, at most 22 of them. False, and the number
   * undefined, if it is anything else, or 2^64 or more.
   */
  parse(bytes: Uint8Array, offset: number, length: number): boolean {
    if (length > TOKEN_BYTES_MAX) return false
    const end = offset + length
    return this.readDigits(bytes, offset, end) === end
  }

  /**
   * Reads a stored value as memcached does, which is C's strtoull(): white space, a sign, digits, and
   * behind them the end, white space or a NUL, whatever stands behind that (`1 2` is 1). A minus
   * counts down from 2^64, but what is then 2^63 or more is no number. False, and the number
   * undefined, if it is anything else.
   *
   * Differs from memcached: a value of white space alone is none; memcached reads on behind it.
   */
  parseValue(bytes: Uint8Array, offset: number, length: number): boolean {
    const end = offset + length
    let at = offset
    while (at < end && isSpace(bytes[at]!)) at++
    const isNegative = at < end && bytes[at] === MINUS
    if (isNegative || (at < end && bytes[at] === PLUS)) at++
    at = this.readDigits(bytes, at, end)
    if (at < 0 || (at < end && bytes[at] !== 0 && !isSpace(bytes[at]!))) return false
    if (!isNegative || (this.high | this.low) === 0) return true
    const borrow = this.low === 0 ? 0 : 1
    this.low = (LANE - this.low) % LANE
    this.high = (LANE - this.high - borrow) % LANE
    return this.high < LANE / 2
  }

  /** Reads digits; returns the offset behind them, -1 if there is none or the number is too large. */
  private readDigits(bytes: Uint8Array, offset: number, end: number): number {
    let high = 0
    let low = 0
    let at = offset
    while (at < end) {
      const digit = bytes[at]! - ZERO
      if (digit < 0 || digit > 9) break
      const next = low * 10 + digit
      const carry = Math.floor(next / LANE)
      low = next - carry * LANE
      high = high * 10 + carry
      if (high >= LANE) return -1
      at++
    }
    this.high = high
    this.low = low
    return at === offset ? -1 : at
  }

  /** Adds, wrapping at 2^64. */
  add(high: number, low: number): void {
    const sum = this.low + low
    const carry = sum >= LANE ? 1 : 0
    this.low = sum - carry * LANE
    this.high = (this.high + high + carry) % LANE
  }

  /** Subtracts, stopping at 0. */
  subtract(high: number, low: number): void {
    const borrow = this.low < low ? 1 : 0
    const difference = this.high - high - borrow
    if (difference < 0) {
      this.high = 0
      this.low = 0
      return
    }
    this.high = difference
    this.low = this.low - low + borrow * LANE
  }

  /** Writes the digits without leading zeros; returns how many. At most 20 bytes are written. */
  format(bytes: Uint8Array, offset: number): number {
    let count = 1
    let bound = 10
    // Numbers up to 2^53 are compared exactly; above, at least 16 digits are certain.
    const value = this.high * LANE + this.low
    while (count < 16 && value >= bound) {
      bound *= 10
      count++
    }
    let high = this.high
    let low = this.low
    if (count === 16) {
      let restHigh = high
      let restLow = low
      for (let digit = 0; digit < 16; digit++) {
        const quotient = Math.floor(restHigh / 10)
        restLow = Math.floor(((restHigh - quotient * 10) * LANE + restLow) / 10)
        restHigh = quotient
      }
      let rest = restHigh * LANE + restLow
      while (rest > 0) {
        count++
        rest = Math.floor(rest / 10)
      }
    }
    for (let at = offset + count - 1; at >= offset; at--) {
      const quotient = Math.floor(high / 10)
      const rest = (high - quotient * 10) * LANE + low
      high = quotient
      low = Math.floor(rest / 10)
      bytes[at] = ZERO + (rest - low * 10)
    }
    return count
  }
}
