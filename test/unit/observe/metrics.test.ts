/** The table of metrics and what is made from it. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import {
  COUNTER,
  COUNTER_NAMES,
  type CounterMemory,
  counterLane,
  createCounterMemory,
  sumCounter,
} from '../../../src/observe/counters.ts'
import { MetricReader } from '../../../src/observe/metric-reader.ts'
import {
  METRIC_LIST,
  type MetricName,
  metricsOf,
  type ProcessMetricName,
  type StoreMetricName,
} from '../../../src/observe/metrics.ts'
import { counterLanes, ITEMS, readStoreMetrics } from '../../../src/storage/counters.ts'
import { createStoreMemory } from '../../../src/storage/geometry.ts'

const GIVEN: readonly MetricName[] = metricsOf('items', 'memory', 'process')

/** A reader over two lanes, and the values that it is given. */
function readerOver(counters: CounterMemory): {
  reader: MetricReader
  given: Record<StoreMetricName | ProcessMetricName, number>
} {
  const given = Object.fromEntries(GIVEN.map((name) => [name, 0])) as Record<
    StoreMetricName | ProcessMetricName,
    number
  >
  return { reader: new MetricReader({ counters, store: () => given, process: () => given }), given }
}

test('a name stands for one metric, whatever its group', () => {
  const names = METRIC_LIST.map(({ name }) => name)
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
})

test('a row tells what a person needs to read the value', () => {
  for (const { name, unit, help } of METRIC_LIST) {
    expect(name).toMatch(/^[a-z][a-z0-9_]*$/)
    expect([name, unit]).toEqual([name, expect.stringMatching(/^[a-z]+$/)])
    expect([name, help]).toEqual([name, expect.stringMatching(/^[A-Z0-9].*\.$/)])
  }
})

test('a gauge is not cleared by a reset: what it says is so, whoever asks', () => {
  const cleared = METRIC_LIST.filter(({ kind, isCleared }) => kind === 'gauge' && isCleared)
  expect(cleared).toEqual([])
})

test('every counter of the lanes has a slot of its own, in the order of the table', () => {
  expect(COUNTER_NAMES.map((name) => COUNTER[name])).toEqual([...COUNTER_NAMES.keys()])
})

test('the engine can compile a slot into the code that counts', () => {
  setFlagsFromString('--allow-natives-syntax')
  const hasFastProperties = runInNewContext('(value) => %HasFastProperties(value)') as (
    value: object,
  ) => boolean
  expect(hasFastProperties(COUNTER)).toBe(true)
  // The question itself can be answered with no.
  const slow: Record<string, number> = { ...COUNTER }
  delete slow.cmd_get
  expect(hasFastProperties(slow)).toBe(false)
})

test('all metrics are read, from all lanes, and from what is given', () => {
  const counters = createCounterMemory(2)
  const { reader, given } = readerOver(counters)
  for (const name of GIVEN) given[name as keyof typeof given] = 7
  for (const name of COUNTER_NAMES) {
    counterLane(counters, 0)[COUNTER[name]] = 1 + COUNTER[name]
    counterLane(counters, 1)[COUNTER[name]] = 1000
  }
  const values = reader.read()
  expect(Object.keys(values).sort()).toEqual(METRIC_LIST.map(({ name }) => name).sort())
  for (const name of COUNTER_NAMES) expect([name, values[name]]).toEqual([name, sum(name)])
  for (const name of GIVEN) expect([name, values[name]]).toEqual([name, 7])

  function sum(name: (typeof COUNTER_NAMES)[number]): number {
    return 1001 + COUNTER[name]
  }
})

test('a reset clears what the table says, for every reader, and goes into nobody’s lane', () => {
  const counters = createCounterMemory(2)
  const { reader, given } = readerOver(counters)
  for (const name of GIVEN) given[name as keyof typeof given] = 7
  const lane = counterLane(counters, 1).fill(5)
  const before = reader.read()
  reader.reset()
  expect([...lane]).toEqual(Array(lane.length).fill(5))
  const other = new MetricReader({ counters, store: () => given, process: () => given })
  for (const values of [reader.read(), other.read()]) {
    for (const { name, isCleared } of METRIC_LIST) {
      expect([name, values[name]]).toEqual([name, isCleared ? 0 : before[name]])
    }
  }
  lane[COUNTER.cmd_get]!++
  expect(reader.read().cmd_get).toBe(1)
  expect(sumCounter(counters, 'cmd_get')).toBe(1)
  expect(sumCounter(counters, 'curr_connections')).toBe(5)
})

test('the store tells every metric that the table has of it, and counts in lanes of its own', () => {
  const memory = createStoreMemory({
    memoryBytes: 8 * 1024 * 1024,
    itemBytesMax: 1024 * 1024,
    evicts: true,
    workerCount: 2,
    seed: [1, 2],
  })
  const names = metricsOf('items', 'memory')
  expect(Object.keys(readStoreMetrics(memory)).sort()).toEqual([...names].sort())
  for (const [lane, name] of metricsOf('items').entries()) {
    counterLanes(memory, 0)[lane]! += lane + 1
    counterLanes(memory, 1)[lane]! += 100
    expect([name, readStoreMetrics(memory)[name]]).toEqual([name, lane + 101])
  }
  expect(counterLanes(memory, 0)[ITEMS]).toBe(1)
})
