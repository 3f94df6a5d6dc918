/**
 * From turns that two servers took to one ratio and how far it may be off. Pure functions: nothing here measures.
 *
 * What is compared is neighbours in time: four turns, one, other, other, one, make a ratio, and a start of the two
 * processes has the median of its ratios, which a turn that somebody disturbed does not move. Two starts of one
 * program differ by some percent for as long as they run (what was compiled, and where things lie), so that no number
 * of turns tells what a build costs: the figure is the geometric mean over starts, and its interval comes from drawing
 * starts anew, and within each its turns, in runs of neighbours, because neighbours are alike.
 */
import { median } from './report.mjs'

const RESAMPLES = 1000
const RUN_LENGTH = 16
/** The middle 95 % of what resampling gives. */
const TAIL_SHARE = 0.025

/** Numbers from 0 to below 1 that are the same in each run (mulberry32): a figure is not to depend on a draw. */
function randomFrom(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/**
 * Four turns each: two neighbouring pairs, which began with different sides.
 *
 * @param {readonly (readonly number[])[]} turns what the first and the other took, a row a pair
 * @returns {[number, number][]}
 */
export function quartets(turns) {
  return Array.from({ length: turns.length >> 1 }, (_, index) => {
    const [one, other] = [turns[2 * index], turns[2 * index + 1]]
    return [one[0] + other[0], one[1] + other[1]]
  })
}

const medianRatio = (start) => median(start.map(([first, other]) => other / first))

function ratioOfSums(start) {
  let firstSum = 0
  let otherSum = 0
  for (const [first, other] of start) {
    firstSum += first
    otherSum += other
  }
  return otherSum / firstSum
}

/** As many of them, in runs of neighbours from places drawn by chance; behind the last comes the first. */
function redraw(start, random) {
  const drawn = []
  const runLength = Math.min(RUN_LENGTH, start.length)
  while (drawn.length < start.length) {
    const from = Math.floor(random() * start.length)
    for (let step = 0; step < runLength && drawn.length < start.length; step++) {
      drawn.push(start[(from + step) % start.length])
    }
  }
  return drawn
}

const geometricMean = (values) =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)

/**
 * @param {readonly (readonly (readonly [number, number])[])[]} starts the quartets of each start, at least one
 * @param {'median' | 'sum'} of the ratio of a start: its median, or that of all it took, in which is what comes seldom
 *   (collections, timers) and what the machine did
 * @returns {{ ratio: number, low: number, high: number }}
 */
export function pairedRatio(starts, of = 'median') {
  const ratioOf = of === 'median' ? medianRatio : ratioOfSums
  const random = randomFrom(starts.length)
  const resampled = Array.from({ length: RESAMPLES }, () =>
    geometricMean(
      starts.map(() => ratioOf(redraw(starts[Math.floor(random() * starts.length)], random))),
    ),
  ).sort((one, other) => one - other)
  const edge = Math.floor(TAIL_SHARE * RESAMPLES)
  return {
    ratio: geometricMean(starts.map(ratioOf)),
    low: resampled[edge],
    high: resampled[RESAMPLES - 1 - edge],
  }
}

/** Whether the whole interval is within the bound or beyond it; null where it is on both sides. */
export function isWithin({ low, high }, most) {
  if (high <= most) return true
  return low > most ? false : null
}
