/** Numbers of the page: three digits, honest at the ends. */
import { expect, test } from 'vitest'
import {
  amount,
  bytes,
  duration,
  latency,
  percent,
  quantile,
  ratio,
  roundUp,
  // @ts-expect-error a script of the page has no types.
} from '../../../../src/server/http/page/format.js'

const plain = (text: string): string => text.replaceAll('\u202f', ' ')

test('amounts have three digits and a unit', () => {
  const shown = [0, 0.02, 0.5, 7, 42.4, 999, 1000, 5123, 99_960, 2.53e6].map((it) =>
    plain(amount(it)),
  )
  expect(shown).toEqual(['0', '0.02', '0.5', '7', '42', '999', '1 k', '5.12 k', '100 k', '2.53 M'])
  expect([0, 512, 1024, 65_536, 61.5 * 2 ** 20].map((it) => plain(bytes(it)))).toEqual([
    '0 B',
    '512 B',
    '1 KiB',
    '64 KiB',
    '61.5 MiB',
  ])
})

test('what is short of the next unit has three digits, too, and never an exponent', () => {
  expect([1000, 1023, 1006 * 1024, 999.4 * 1024].map((it) => plain(bytes(it)))).toEqual([
    '0.98 KiB',
    '1 KiB',
    '0.98 MiB',
    '999 KiB',
  ])
  expect(plain(bytes(1020 * 2 ** 40))).toBe('1020 TiB')
  expect([0.000_999_7, 1500].map((it) => plain(latency(it)))).toEqual(['1000 µs', '1500 s'])
})

test('what is not all does not look so, and of nothing there is no share', () => {
  expect(plain(percent(1))).toBe('100 %')
  expect(plain(percent(0.9999))).toBe('99.99 %')
  expect(plain(percent(0.5))).toBe('50 %')
  expect(percent(ratio(0, 0))).toBe('–')
})

test('times', () => {
  expect([0, 59, 3600, 90_061].map((it) => plain(duration(it)))).toEqual([
    '0 s',
    '59 s',
    '1 h 0 min',
    '1 d 1 h',
  ])
  expect([4e-6, 0.0041, 2].map((it) => plain(latency(it)))).toEqual(['4 µs', '4.1 ms', '2 s'])
})

test('a quantile is the bound under which so many lie, and beyond the last there is none', () => {
  const bounds = [1, 2, 4]
  expect(quantile(bounds, [50, 99, 100], 100, 0.5)).toBe(1)
  expect(quantile(bounds, [50, 99, 100], 100, 0.99)).toBe(2)
  expect(quantile(bounds, [0, 0, 1], 10, 0.5)).toBeUndefined()
})

test('the top of an axis is a round number that holds the value', () => {
  for (const value of [0.003, 1, 7, 64, 999, 12_345]) {
    expect(roundUp(value)).toBeGreaterThanOrEqual(value)
    expect(roundUp(value)).toBeLessThanOrEqual(value * 2.5)
    expect(Number.isInteger(Math.log2(roundUp(value * 1e6, 2)))).toBe(true)
  }
})
