/** What unfinished requests may hold: strangers apart from clients, and one namespace apart from another. */
import { expect, test } from 'vitest'
import { createNamespaceShares } from '../../../../src/connection/namespace-shares.ts'
import { createCounterMemory } from '../../../../src/observe/counters.ts'
import { UnfinishedBudget } from '../../../../src/server/worker/unfinished-budget.ts'
import { compareWithModel } from '../../../support/shares-model.ts'

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))

const MEBIBYTE = 1024 * 1024
const BOUND = 64 * MEBIBYTE

interface Bench {
  readonly workers: readonly UnfinishedBudget[]
  /** Holds so much for a namespace if there is room, on one worker or the other. */
  hold(namespace: number, bytes: number, worker?: number): boolean
  /** Whether or not there is room; of less than nothing: lets it go. */
  change(namespace: number, bytes: number, worker?: number): void
  /** As after a reload. */
  setNamespaceCount(count: number): void
}

function bench(namespaceCount: number, valueBytesMax = MEBIBYTE): Bench {
  const counters = createCounterMemory(2)
  const unfinished = createNamespaceShares(2)
  let namespaces = namespaceCount
  const workers = [0, 1].map(
    (workerIndex) =>
      new UnfinishedBudget(
        { workerIndex, counters, unfinished, valueBytesMax, saslBytesMax: 64 * 1024 },
        () => namespaces,
      ),
  )
  const change = (namespace: number, bytes: number, worker = 0): void => {
    workers[worker]!.count(namespace, bytes)
  }
  return {
    workers,
    change,
    setNamespaceCount(count) {
      namespaces = count
    },
    hold(namespace, bytes, worker = 0) {
      if (!workers[worker]!.hasRoomFor(bytes, true, namespace)) return false
      change(namespace, bytes, worker)
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
  // The half for all, and its own share.
  expect(holdAll(four, 2)).toBe(BOUND / 2 + BOUND / 8)
  for (const namespace of [0, 1, 3]) expect(holdAll(four, namespace)).toBe(BOUND / 8)
  // What its users hold is its own, and it can have no more.
  expect(holdAll(four, 2)).toBe(0)
})

test('what others hold within their shares takes nothing from the half for all', () => {
  const four = bench(4)
  for (const namespace of [0, 1, 3]) expect(four.hold(namespace, BOUND / 8)).toBe(true)
  expect(holdAll(four, 2)).toBe(BOUND / 2 + BOUND / 8)
  // What is above a share does; what is let go of it is there again, for whoever comes first.
  four.change(2, -2 * MEBIBYTE, 1)
  expect(four.hold(0, MEBIBYTE)).toBe(true)
  expect(four.hold(2, MEBIBYTE)).toBe(true)
  expect(four.hold(2, MEBIBYTE)).toBe(false)
  four.change(0, -MEBIBYTE)
  expect(four.hold(2, MEBIBYTE)).toBe(true)
  // What is let go of a share is there for nobody else.
  four.change(3, -MEBIBYTE)
  expect(four.hold(2, 1)).toBe(false)
  expect(four.hold(3, MEBIBYTE)).toBe(true)
  expect(four.hold(3, 1)).toBe(false)
})

test('shares that a reload makes smaller or larger count what is held by them from then on', () => {
  const server = bench(2)
  expect(holdAll(server, 1)).toBe(BOUND / 2 + BOUND / 4)
  server.setNamespaceCount(4)
  // Its share is 8 MiB now: 8 more are above it.
  expect(server.hold(1, 1)).toBe(false)
  server.change(1, -8 * MEBIBYTE, 1)
  expect(server.hold(1, 1)).toBe(false)
  server.change(1, -MEBIBYTE)
  expect(server.hold(1, MEBIBYTE)).toBe(true)
  expect(server.hold(3, 8 * MEBIBYTE)).toBe(true)
  expect(server.hold(3, 1)).toBe(false)
  server.setNamespaceCount(2)
  expect(holdAll(server, 3)).toBe(16 * MEBIBYTE)
  // The last of the others goes away, and what it held is still held for a while.
  server.setNamespaceCount(1)
  expect(holdAll(server, 0)).toBe(0)
  server.change(3, -24 * MEBIBYTE)
  expect(holdAll(server, 0)).toBe(24 * MEBIBYTE)
})

test('more than an int32 is counted', () => {
  // As 32,768 connections do, each with what it may have in any case.
  const server = bench(2)
  server.change(1, 2 ** 31)
  server.change(1, 2 ** 31, 1)
  expect(server.hold(1, MEBIBYTE)).toBe(false)
  server.change(1, -(2 ** 32) + 48 * MEBIBYTE)
  expect(server.hold(1, 1)).toBe(false)
  server.change(1, -MEBIBYTE)
  expect(server.hold(1, MEBIBYTE)).toBe(true)
})

test(`what there is room for agrees with a plain model (SEED=${SEED})`, () => {
  const server = bench(3)
  compareWithModel(
    {
      workerCount: 2,
      commonBytes: BOUND / 2,
      shareBytesMin: MEBIBYTE + 4096,
      setNamespaceCount: server.setNamespaceCount,
      hasRoom: (worker, namespace, bytes) =>
        server.workers[worker]!.hasRoomFor(bytes, true, namespace),
      change: (worker, namespace, bytes) => server.change(namespace, bytes, worker),
    },
    SEED,
  )
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
