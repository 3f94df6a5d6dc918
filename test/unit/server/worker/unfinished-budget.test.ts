/** What unfinished requests may hold: strangers apart from clients, and one namespace apart from another. */
import { expect, test } from 'vitest'
import { COUNTER, counterLane, createCounterMemory } from '../../../../src/observe/counters.ts'
import {
  createUnfinishedMemory,
  UnfinishedBudget,
} from '../../../../src/server/worker/unfinished-budget.ts'

const MEBIBYTE = 1024 * 1024
const BOUND = 64 * MEBIBYTE

interface Bench {
  readonly workers: readonly UnfinishedBudget[]
  /** Holds so much for a namespace if there is room, on one worker or the other. */
  hold(namespace: number, bytes: number, worker?: number): boolean
}

function bench(namespaceCount: number, valueBytesMax = MEBIBYTE): Bench {
  const counters = createCounterMemory(2)
  const unfinished = createUnfinishedMemory()
  const settings = { counters, unfinished, valueBytesMax, saslBytesMax: 64 * 1024 }
  const workers = [0, 1].map(() => new UnfinishedBudget(settings, () => namespaceCount))
  return {
    workers,
    hold(namespace, bytes, worker = 0) {
      const budget = workers[worker]!
      if (!budget.hasRoomFor(bytes, true, namespace)) return false
      budget.count(namespace, bytes)
      counterLane(counters, worker)[COUNTER.read_buf_bytes]! += bytes
      return true
    },
  }
}

function holdAll({ hold }: Bench, namespace: number): number {
  let held = 0
  for (let worker = 0; hold(namespace, MEBIBYTE, worker); worker = 1 - worker) held += MEBIBYTE
  return held
}

test('who has the only namespace may hold all', () => {
  expect(holdAll(bench(1), 0)).toBe(BOUND)
})

test('a namespace whose users hold all that they can leaves each other its share', () => {
  const four = bench(4)
  expect(holdAll(four, 2)).toBe(BOUND / 2)
  for (const namespace of [0, 1, 3]) expect(holdAll(four, namespace)).toBe(BOUND / 8)
  // What its users hold is its own, and it can have no more.
  expect(holdAll(four, 2)).toBe(0)
})

test('all namespaces together hold no more than the bound, whoever is first', () => {
  const three = bench(3)
  const held = [0, 1, 2].map((namespace) => holdAll(three, namespace))
  expect(held.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(BOUND)
})

test.each([
  [65, MEBIBYTE],
  [65, 600 * 1024],
  [2, 128 * MEBIBYTE],
])(
  'each of %i namespaces has room for one request of the largest item, of %i bytes, whatever others hold',
  (namespaceCount, valueBytesMax) => {
    const many = bench(namespaceCount, valueBytesMax)
    expect(holdAll(many, 0)).toBeGreaterThanOrEqual(BOUND / 2)
    // In a buffer that is a power of two where it is small: `set`, its key, its end.
    const requestBytes = Math.max(MEBIBYTE, valueBytesMax + 300)
    for (let namespace = 1; namespace < namespaceCount; namespace++) {
      expect(many.hold(namespace, requestBytes), String(namespace)).toBe(true)
      expect(many.hold(namespace, requestBytes), String(namespace)).toBe(false)
    }
  },
)

test('the largest item of all finds room where there is one namespace', () => {
  const one = bench(1, 128 * MEBIBYTE)
  expect(one.hold(0, 128 * MEBIBYTE + 300)).toBe(true)
  expect(one.hold(0, 128 * MEBIBYTE + 300)).toBe(true)
  expect(one.hold(0, MEBIBYTE)).toBe(false)
})
