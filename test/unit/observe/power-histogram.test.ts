/** Buckets by powers of two, and what is shown of them. */
import { expect, test } from 'vitest'
import {
  bucketOf,
  HISTOGRAM_SLOTS,
  histogramSample,
  observe,
} from '../../../src/observe/power-histogram.ts'

const LAST = 23

test('a bound belongs to its own bucket, and the least bit more to the next', () => {
  for (let bucket = 0; bucket <= LAST; bucket++) {
    const bound = 2 ** bucket
    expect([bound, bucketOf(bound)]).toEqual([bound, bucket])
    expect([bound, bucketOf(bound * (1 + 2 ** -50))]).toEqual([bound, bucket + 1])
    expect([bound, bucketOf(bound + 0.001)]).toEqual([bound, bucket + 1])
    if (bucket > 1) expect([bound, bucketOf(bound - 0.001)]).toEqual([bound, bucket])
  }
})

test('no time at all, or what a clock that stands still measures, is in the first bucket', () => {
  for (const micros of [0, -0, -1, 2 ** -40, 0.5, 1]) expect(bucketOf(micros)).toBe(0)
})

test('whatever is longer than the last bound is in the bucket of infinity', () => {
  for (const micros of [2 ** LAST + 0.001, 2 ** 31, 2 ** 32, 2 ** 40, Number.POSITIVE_INFINITY]) {
    expect([micros, bucketOf(micros)]).toEqual([micros, LAST + 1])
  }
})

test('a histogram is shown in seconds, with what is at most each bound', () => {
  const lane = new Float64Array(3 * HISTOGRAM_SLOTS)
  observe(lane, HISTOGRAM_SLOTS, 1, 2)
  observe(lane, HISTOGRAM_SLOTS, 3, 5)
  observe(lane, HISTOGRAM_SLOTS, 4, 1)
  observe(lane, HISTOGRAM_SLOTS, 2 ** 25, 1)
  const sample = histogramSample(lane, HISTOGRAM_SLOTS, { verb: 'get' })
  expect(sample?.labels).toEqual({ verb: 'get' })
  expect(sample?.buckets.slice(0, 4)).toEqual([
    { le: 0.000001, count: 2 },
    { le: 0.000002, count: 2 },
    { le: 0.000004, count: 8 },
    { le: 0.000008, count: 8 },
  ])
  expect(sample?.buckets.at(-1)).toEqual({ le: 8.388608, count: 8 })
  expect(sample?.count).toBe(9)
  expect(sample?.sum).toBeCloseTo((2 + 15 + 4 + 2 ** 25) / 1e6, 9)
})

test('a histogram stays within its slots, and one without observations is not shown', () => {
  const lane = new Float64Array(3 * HISTOGRAM_SLOTS)
  for (const micros of [0, 2 ** LAST, 2 ** 30]) observe(lane, HISTOGRAM_SLOTS, micros, 1)
  expect(lane.subarray(0, HISTOGRAM_SLOTS).every((value) => value === 0)).toBe(true)
  expect(lane.subarray(2 * HISTOGRAM_SLOTS).every((value) => value === 0)).toBe(true)
  expect(histogramSample(lane, 0, {})).toBeUndefined()
  expect(histogramSample(lane, 2 * HISTOGRAM_SLOTS, {})).toBeUndefined()
})
