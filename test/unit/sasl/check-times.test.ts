import { expect, test } from 'vitest'
import { CheckTimes } from '../../../src/sasl/check-times.ts'

function timesOf(...ms: readonly number[]): CheckTimes {
  const times = new CheckTimes()
  for (const each of ms) times.worked(each)
  return times
}

test('the first check is believed at once, and what all take is what is expected, in whole steps', () => {
  expect(timesOf().expectedMs(0)).toBe(0)
  expect(timesOf(600).expectedMs(0)).toBe(650)
  expect(timesOf(610, 630, 600).expectedMs(0)).toBe(650)
})

test('a process that stood still once does not make refusals late from then on', () => {
  const times = timesOf(5, 5, 3000)
  expect(times.expectedMs(0)).toBe(50)
  // Twice is what checks take; they are short again when the last ones were.
  times.worked(3000)
  expect(times.expectedMs(0)).toBe(3050)
  expect(times.expectedMs(3_600_000)).toBe(3050)
  for (let count = 0; count < 7; count++) times.worked(5)
  expect(times.expectedMs(0)).toBe(50)
})

test('what somebody waited is expected on top, and less of it from second to second', () => {
  const times = timesOf(5)
  times.waited(400, 1000)
  expect(times.expectedMs(1000)).toBe(450)
  expect(times.expectedMs(2000)).toBe(250)
  times.waited(100, 2000)
  expect(times.expectedMs(2000)).toBe(250)
  expect(times.expectedMs(60_000)).toBe(50)
})
