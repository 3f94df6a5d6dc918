import { expect, test } from 'vitest'
import { Decimal } from '../../../src/base/decimal.ts'

const LIMIT = 1n << 64n
const EDGES = [
  0n,
  1n,
  9n,
  10n,
  99n,
  4294967295n,
  4294967296n,
  9999999999n,
  999999999999999n,
  1000000000000000n,
  9007199254740991n,
  9007199254740993n,
  9999999999999999n,
  10000000000000000n,
  9999999999999999999n,
  10000000000000000000n,
  LIMIT - 1n,
]

function numberOf(decimal: Decimal): bigint {
  return (BigInt(decimal.high) << 32n) | BigInt(decimal.low)
}

function parsed(text: string): bigint | undefined {
  const decimal = new Decimal()
  const bytes = Buffer.from(`xx${text}yy`)
  return decimal.parse(bytes, 2, text.length) ? numberOf(decimal) : undefined
}

function* numbers(): Generator<bigint> {
  yield* EDGES
  let state = 88172645463325252n
  for (let index = 0; index < 2000; index++) {
    state = (state * 6364136223846793005n + 1442695040888963407n) % LIMIT
    yield state >> BigInt(index % 64)
  }
}

test('parse and format agree with BigInt', () => {
  const decimal = new Decimal()
  const bytes = Buffer.alloc(32)
  for (const number of numbers()) {
    expect(parsed(number.toString())).toBe(number)
    decimal.high = Number(number >> 32n)
    decimal.low = Number(number & 0xffffffffn)
    const count = decimal.format(bytes, 3)
    expect(bytes.toString('latin1', 3, 3 + count)).toBe(number.toString())
    expect(numberOf(decimal)).toBe(number)
  }
})

test('sums wrap at 2^64 and differences stop at 0', () => {
  const decimal = new Decimal()
  let before = 0n
  for (const number of numbers()) {
    for (const [left, right] of [
      [before, number],
      [number, before],
      [number, number],
    ] as const) {
      const high = Number(right >> 32n)
      const low = Number(right & 0xffffffffn)
      decimal.high = Number(left >> 32n)
      decimal.low = Number(left & 0xffffffffn)
      decimal.add(high, low)
      expect(numberOf(decimal)).toBe((left + right) % LIMIT)
      decimal.high = Number(left >> 32n)
      decimal.low = Number(left & 0xffffffffn)
      decimal.subtract(high, low)
      expect(numberOf(decimal)).toBe(left > right ? left - right : 0n)
    }
    before = number
  }
})

test('white space ends the digits, nothing else may follow them, and nothing may precede them', () => {
  expect(parsed('12 ')).toBe(12n)
  expect(parsed('0        ')).toBe(0n)
  expect(parsed('1 2')).toBe(1n)
  expect(parsed('12\n')).toBe(12n)
  expect(parsed('00000000000000000007')).toBe(7n)
  for (const text of ['', ' ', ' 12', '-1', '+1', '1.0', '12x', '0x10', '١']) {
    expect(parsed(text), JSON.stringify(text)).toBeUndefined()
  }
})

test('2^64 and more, and more than 20 digits, are not numbers', () => {
  expect(parsed('18446744073709551615')).toBe(LIMIT - 1n)
  expect(parsed('18446744073709551616')).toBeUndefined()
  expect(parsed('99999999999999999999')).toBeUndefined()
  expect(parsed('000000000000000000001')).toBeUndefined()
})
