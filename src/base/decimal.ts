/**
 * Unsigned 64-bit numbers as decimal text, in two 32-bit lanes. Hot path: nothing is allocated.
 *
 * Invariant: `high` and `low` are integers from 0 to 2^32 - 1.
 */

/** Digits of 2^64 - 1. */
export const DECIMAL_DIGITS_MAX = 20

const LANE = 4294967296
const ZERO = 0x30
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
   * Reads digits from `length` bytes, up to the end or to white space, whatever stands behind that
   * (as memcached does: `12 `, but also `1 2`, which is 1); false, and the number undefined, if there
   * are other characters, no digit, more than 20 digits or a number of 2^64 or more.
   */
  parse(bytes: Uint8Array, offset: number, length: number): boolean {
    let high = 0
    let low = 0
    let at = offset
    const end = offset + length
    while (at < end) {
      const digit = bytes[at]! - ZERO
      if (digit < 0 || digit > 9) break
      const next = low * 10 + digit
      const carry = Math.floor(next / LANE)
      low = next - carry * LANE
      high = high * 10 + carry
      if (high >= LANE) return false
      at++
    }
    const digitCount = at - offset
    if (digitCount === 0 || digitCount > DECIMAL_DIGITS_MAX) return false
    this.high = high
    this.low = low
    return at === end || isSpace(bytes[at]!)
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
