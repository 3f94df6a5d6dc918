import { expect, test } from 'vitest'
import { CasClock } from '../../../src/remote/cas-clock.ts'

function next(clock: CasClock): bigint {
  clock.take()
  return (BigInt(clock.high) << 32n) | BigInt(clock.low)
}

test('what is taken in a later millisecond is greater, whatever the counters are', () => {
  let ms = Date.UTC(2026, 10, 28)
  for (const random of [0, 0.5, 0.999_999_9]) {
    const first = new CasClock(
      () => ms,
      () => random,
    )
    const second = new CasClock(
      () => ms,
      () => 1 - random,
    )
    const before = next(first)
    ms++
    expect(next(second)).toBeGreaterThan(before)
  }
})

test('a million of one millisecond are all different, and none is 0', () => {
  const clock = new CasClock(
    () => Date.UTC(2026, 10, 28),
    () => 0.75,
  )
  const all = new Set<bigint>()
  for (let index = 0; index < 1_000_000; index++) all.add(next(clock))
  expect(all.size).toBe(1_000_000)
  expect(all.has(0n)).toBe(false)
})

test('a clock before its epoch gives none either', () => {
  const clock = new CasClock(
    () => 0,
    () => 0.999_999_99,
  )
  expect(next(clock)).not.toBe(0n)
})
