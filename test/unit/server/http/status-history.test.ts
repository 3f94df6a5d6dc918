/** The history behind the page: rates of two neighbours, in a ring that does not grow. */
import { expect, test } from 'vitest'
import type { MetricValues } from '../../../../src/observe/metric-reader.ts'
import { METRIC_LIST, type MetricName } from '../../../../src/observe/metrics.ts'
import { SERIES_NAMES, StatusHistory } from '../../../../src/server/http/status-history.ts'

function values(some: Partial<Record<MetricName, number>>): MetricValues {
  const zeros = Object.fromEntries(METRIC_LIST.map(({ name }) => [name, 0]))
  return { ...zeros, ...some } as MetricValues
}

test('one reading is no rate yet', () => {
  const history = new StatusHistory()
  expect(history.points().hits).toEqual([])
  history.add(values({ get_hits: 5 }), 1000)
  expect(history.points()).toEqual(Object.fromEntries(SERIES_NAMES.map((name) => [name, []])))
})

test('a rate is what was counted by the seconds that went by, a level is as it was read', () => {
  const history = new StatusHistory()
  history.add(values({ get_hits: 100, curr_connections: 3 }), 1000)
  history.add(values({ get_hits: 300, curr_connections: 7, incr_hits: 3, decr_misses: 1 }), 3000)
  history.add(values({ get_hits: 301, curr_connections: 2, incr_hits: 3, decr_misses: 1 }), 7000)
  const { hits, connections, arithmetic } = history.points()
  expect(hits).toEqual([100, 0.25])
  expect(connections).toEqual([7, 2])
  expect(arithmetic).toEqual([2, 0])
})

test('stats reset makes no rate negative', () => {
  const history = new StatusHistory()
  history.add(values({ cmd_set: 1_000_000 }), 0)
  history.add(values({ cmd_set: 40 }), 2000)
  expect(history.points().sets).toEqual([20])
})

test('the ring keeps the newest rows, in order', () => {
  const history = new StatusHistory(4)
  for (let row = 0; row < 11; row++) history.add(values({ curr_connections: row }), row * 2000)
  expect(history.points().connections).toEqual([8, 9, 10])
  expect(history.sequence).toBe(11)
})

test('two readings at one moment are no infinite rate', () => {
  const history = new StatusHistory()
  history.add(values({ cmd_set: 1 }), 5)
  history.add(values({ cmd_set: 9 }), 5)
  expect(history.points().sets).toEqual([0])
})
