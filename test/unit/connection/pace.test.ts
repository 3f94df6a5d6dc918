/** Whether a peer moves what it has to, second by second. */
import { expect, test } from 'vitest'
import { PACE_BYTES_MIN, Pace } from '../../../src/connection/pace.ts'

/** Looks ten times; returns the time then. */
function second(pace: Pace, fromMs: number, bytes: number): number {
  for (let tick = 1; tick <= 10; tick++) {
    if (tick === 5) pace.moved(bytes)
    pace.look(fromMs + tick * 100)
  }
  return fromMs + 1000
}

test('who moves one byte less than it has to in a second is slow, until it moves enough in another', () => {
  const pace = new Pace()
  pace.begin(50)
  let nowMs = second(pace, 50, PACE_BYTES_MIN)
  expect(pace.isSlow).toBe(false)
  nowMs = second(pace, nowMs, PACE_BYTES_MIN - 1)
  expect(pace.isSlow).toBe(true)
  nowMs = second(pace, nowMs, PACE_BYTES_MIN)
  expect(pace.isSlow).toBe(false)
  second(pace, nowMs, 0)
  expect(pace.isSlow).toBe(true)
  pace.begin(nowMs + 1000)
  expect(pace.isSlow).toBe(false)
})

test('nobody is slow before a second is over, nor for what the worker itself stood still', () => {
  const pace = new Pace()
  pace.begin(0)
  for (const nowMs of [100, 5000, 10_000]) {
    pace.look(nowMs)
    expect(pace.isSlow).toBe(false)
  }
  for (const nowMs of [10_200, 10_400]) pace.look(nowMs)
  expect(pace.isSlow).toBe(true)
})
