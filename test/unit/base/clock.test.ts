import { expect, test } from 'vitest'
import { Clock, clockBase } from '../../../src/base/clock.ts'

/** Not on a second, as no start is. */
const BASE = { epochMs: 1_800_000_000_250, monotonicMs: 5_000 }

test('the clock goes on from the wall clock of the start, by the monotonic one', () => {
  const clock = new Clock(BASE, 100, 5_000)
  expect(clock.epochMs(100)).toBe(1_800_000_000_250)
  expect(clock.epochSeconds(100)).toBe(1_800_000_000)
  expect(clock.epochSeconds(849)).toBe(1_800_000_000)
  expect(clock.epochSeconds(850)).toBe(1_800_000_001)
  expect(clock.uptimeSeconds(100)).toBe(0)
  expect(clock.uptimeSeconds(1_099)).toBe(0)
  expect(clock.uptimeSeconds(1_100)).toBe(1)
})

test('threads that started at other times agree on each second', () => {
  const first = new Clock(BASE, 0, 5_000)
  const second = new Clock(BASE, 7, 8_000)
  for (let elapsedMs = 0; elapsedMs < 10_000; elapsedMs += 125) {
    const threadMs = elapsedMs - 3_000 + 7
    expect(second.epochMs(threadMs)).toBe(first.epochMs(elapsedMs))
    expect(second.epochSeconds(threadMs)).toBe(first.epochSeconds(elapsedMs))
    expect(second.uptimeSeconds(threadMs)).toBe(first.uptimeSeconds(elapsedMs))
  }
})

test('a step of the wall clock changes nothing, whichever way', () => {
  const { now } = Date
  const base = clockBase()
  try {
    for (const stepMs of [3_600_000, -3_600_000]) {
      Date.now = () => now() + stepMs
      const clock = Clock.ofThread(base)
      const elapsedMs = clock.epochMs(performance.now()) - base.epochMs
      expect(elapsedMs).toBeGreaterThanOrEqual(0)
      expect(elapsedMs).toBeLessThan(600_000)
      expect(clock.uptimeSeconds(performance.now())).toBeGreaterThanOrEqual(0)
    }
  } finally {
    Date.now = now
  }
})

test('a thread that is stopped between the two reads of its clocks is not ahead for it', () => {
  let nowMs = 6000
  let reads = 0
  // Stopped for half a second in each of the first two reads, once before the shared clock and once behind it.
  const clock = Clock.of(BASE, {
    nowMs: () => nowMs,
    sharedMs: () => {
      reads++
      if (reads === 1) nowMs += 500
      const sharedMs = nowMs + 7
      if (reads === 2) nowMs += 500
      return sharedMs
    },
  })
  expect(clock.epochMs(nowMs)).toBe(BASE.epochMs + nowMs + 7 - BASE.monotonicMs)
})
