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

function bench(namespaceCount: number): Bench {
  const counters = createCounterMemory(2)
  const unfinished = createUnfinishedMemory()
  const settings = { counters, unfinished, valueBytesMax: MEBIBYTE, saslBytesMax: 64 * 1024 }
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
