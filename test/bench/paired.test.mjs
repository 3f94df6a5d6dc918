/** What pairs of turns say, on turns whose true ratio is known. */
import { describe, expect, test } from 'vitest'
import { isWithin, pairedRatio, quartets } from './paired.mjs'

/** Numbers around 0, the same in each run. */
function noiseFrom(seed) {
  let state = seed
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  return () => next() + next() + next() + next() - 2
}

/**
 * Starts of two programs: `ratio` is what the other takes, `ofStarts` by how much starts of one differ, and every tenth turn
 * somebody else took several times as much.
 */
function startsOf({ ratio, ofTurns = 0.05, ofStarts = 0.02, count = 10, pairs = 200, seed = 1 }) {
  const noise = noiseFrom(seed)
  const turn = (cost, index) =>
    cost * (1 + ofTurns * noise()) * (index % 10 === 3 ? 3 + noise() : 1)
  return Array.from({ length: count }, () => {
    const costs = [1000 * (1 + ofStarts * noise()), 1000 * ratio * (1 + ofStarts * noise())]
    return quartets(
      Array.from({ length: pairs }, (_, index) => [
        turn(costs[0], index),
        turn(costs[1], index + (index % 3)),
      ]),
    )
  })
}

test('four turns make a ratio: two pairs, and what is left of an odd one counts for nothing', () => {
  const turns = [
    [1, 10],
    [2, 20],
    [3, 30],
    [4, 40],
    [5, 50],
  ]
  expect(quartets(turns)).toEqual([
    [3, 30],
    [7, 70],
  ])
})

describe('the ratio of pairs', () => {
  test.each([0.9, 1, 1.02, 1.3])('is found within its interval: %d', (ratio) => {
    const found = pairedRatio(startsOf({ ratio }))
    expect(found.low).toBeLessThan(ratio)
    expect(found.high).toBeGreaterThan(ratio)
    expect(found.high - found.low).toBeLessThan(0.05)
    expect(found.ratio).toBeGreaterThan(found.low)
    expect(found.ratio).toBeLessThan(found.high)
  })

  test('is in its interval about as often as that says', () => {
    let inside = 0
    for (let seed = 1; seed <= 40; seed++) {
      const { low, high } = pairedRatio(startsOf({ ratio: 1.02, seed: seed * 7919, pairs: 16 }))
      if (low <= 1.02 && 1.02 <= high) inside++
    }
    // 95 % of 40 are 38; a percentile interval of ten starts is somewhat too narrow.
    expect(inside).toBeGreaterThanOrEqual(32)
  })

  test('is no surer for more turns of the same starts, but for more starts', () => {
    const width = (options) => {
      let sum = 0
      for (let seed = 1; seed <= 5; seed++) {
        const { low, high } = pairedRatio(startsOf({ ratio: 1, ofStarts: 0.05, seed, ...options }))
        sum += high - low
      }
      return sum
    }
    const usual = width({ count: 6, pairs: 16 })
    expect(width({ count: 6, pairs: 64 })).toBeGreaterThan(usual / 2)
    expect(width({ count: 54, pairs: 16 })).toBeLessThan(usual / 1.5)
  })

  test('does not move for what somebody else did in a few turns, while the sum of all does', () => {
    const starts = startsOf({ ratio: 1, ofStarts: 0, ofTurns: 0.001 })
    for (const start of starts) start[5][1] *= 500
    expect(pairedRatio(starts).ratio).toBeCloseTo(1, 2)
    expect(pairedRatio(starts, 'sum').ratio).toBeGreaterThan(2)
  })

  test('is the same for the same turns', () => {
    const starts = startsOf({ ratio: 1.1 })
    expect(pairedRatio(starts)).toEqual(pairedRatio(starts))
  })
})

test('a bound is reached or missed by the whole interval, and else not decided', () => {
  expect(isWithin({ low: 0.99, high: 1.03 }, 1.03)).toBe(true)
  expect(isWithin({ low: 1.031, high: 1.04 }, 1.03)).toBe(false)
  expect(isWithin({ low: 1.03, high: 1.04 }, 1.03)).toBe(null)
  expect(isWithin({ low: 0.9, high: 1.2 }, 1)).toBe(null)
})
