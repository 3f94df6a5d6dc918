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

function parsedValue(text: string): bigint | undefined {
  const decimal = new Decimal()
  const bytes = Buffer.from(`xx${text}yy`)
  return decimal.parseValue(bytes, 2, Buffer.byteLength(text)) ? numberOf(decimal) : undefined
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

test('a token is digits and nothing else', () => {
  expect(parsed('00000000000000000007')).toBe(7n)
  for (const text of ['', ' ', ' 12', '12 ', '1\t', '-1', '+1', '1.0', '12x', '0x10', '١', '1\0']) {
    expect(parsed(text), JSON.stringify(text)).toBeUndefined()
  }
})

// Each was asked of memcached 1.6.45 with incr and decr.
test('a value is what strtoull() reads', () => {
  const numbers: readonly (readonly [string, bigint])[] = [
    ['12 ', 12n],
    ['0        ', 0n],
    ['1 2', 1n],
    ['12\n', 12n],
    [' 12', 12n],
    ['\t\n\v\f\r12', 12n],
    ['+5', 5n],
    ['-0', 0n],
    [`${'0'.repeat(23)}1`, 1n],
    [`5${' '.repeat(100)}`, 5n],
    ['5\0', 5n],
    ['5\0x', 5n],
    ['18446744073709551615', LIMIT - 1n],
    ['-18446744073709551615', 1n],
    ['-9223372036854775809', (LIMIT >> 1n) - 1n],
  ]
  for (const [text, number] of numbers) expect(parsedValue(text), JSON.stringify(text)).toBe(number)
  const wrong = ['', ' ', '\t ', '+', '-', '- 1', '+-1', '-1', '-9223372036854775808', '1.0', '12x']
  for (const text of [...wrong, '0x10', '١', '18446744073709551616', '\x005', 'abc']) {
    expect(parsedValue(text), JSON.stringify(text)).toBeUndefined()
  }
})

test('2^64 and more, and tokens of more than 22 digits, are not numbers', () => {
  expect(parsed('18446744073709551615')).toBe(LIMIT - 1n)
  expect(parsed('18446744073709551616')).toBeUndefined()
  expect(parsed('99999999999999999999')).toBeUndefined()
  expect(parsed(`${'0'.repeat(21)}1`)).toBe(1n)
  expect(parsed(`${'0'.repeat(22)}1`)).toBeUndefined()
})
