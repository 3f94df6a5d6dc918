/**
 * With -M a write is refused only when the live items leave less than a few per cent of the memory:
 * what deletes, overwrites and expiry leave is found, wherever it lies, with bounded work for each
 * write. Random, for every seed: SEED= repeats a run.
 */

import { expect, test } from 'vitest'
import { counterLanes, REINSERTED, readStoreCounters } from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { NO_MEMORY, REMOVED, STORED } from '../../../src/storage/result.ts'
import { WRITE_APPEND } from '../../../src/storage/write-order.ts'
import { mustBe } from '../../support/must-be.ts'
import { Client } from './client.ts'
import { type Random, randomOf, seedOfRun } from './model.ts'

const KIB = 1024
const MIB = 1024 * KIB
const SOURCE = Buffer.alloc(2 * MIB, 'saslcached')
/** More than the items of any write here can need: records of a victim for each that is written. */
const MOVED_PER_SMALL_WRITE = 200

function newClient(memoryBytes = 64 * MIB, workerCount = 1): Client {
  return new Client({ memoryBytes, itemBytesMax: 2 * MIB, evicts: false, workerCount })
}

function contentOf(length: number): Uint8Array {
  return SOURCE.subarray(0, length)
}

/** Bytes of the memory that neither live items nor the index have, as a share of it. */
function freeShare(client: Client): number {
  const counters = readStoreCounters(client.memory)
  return 1 - (counters.bytes + counters.indexBytes) / counters.memoryBytes
}

/** Writes new items until one is refused; returns their keys. */
function fill(client: Client, lengthOf: () => number, prefix = 'key'): string[] {
  const keys: string[] = []
  for (;;) {
    const key = `${prefix} ${keys.length}`
    if (client.write(key, contentOf(lengthOf())) !== STORED) return keys
    keys.push(key)
  }
}

function shuffle(keys: string[], random: Random): string[] {
  for (let left = keys.length; left > 1; left--) {
    const other = random.below(left)
    const key = keys[left - 1]!
    keys[left - 1] = keys[other]!
    keys[other] = key
  }
  return keys
}

function removeAll(client: Client, keys: readonly string[]): void {
  expect(keys.filter((key) => client.remove(key) !== REMOVED)).toEqual([])
}

function missing(client: Client, keys: readonly string[]): string[] {
  return keys.filter((key) => !client.has(key))
}

test('2000 values of 1000 bytes find the room that 3000 of 64,800 left at random', () => {
  const client = newClient()
  const random = randomOf(seedOfRun())
  const keys = shuffle(
    fill(client, () => 1000),
    random,
  )
  expect(keys.length).toBeGreaterThan(62_000)
  removeAll(client, keys.splice(0, 3000))
  for (let index = 0; index < 2000; index++) {
    mustBe(client.write(`new ${index}`, contentOf(1000)), STORED, `${index}`)
  }
  expect(checkIntegrity(client.memory)).toEqual([])
  expect(readStoreCounters(client.memory)).toMatchObject({
    items: keys.length + 2000,
    evictions: 0,
  })
  expect(missing(client, keys)).toEqual([])
})

interface Kind {
  readonly name: string
  readonly lengthOf: (random: Random) => number
  /** What may be free at most when a write is refused. */
  readonly freeMax: number
  readonly memoryBytes?: number
}

const KINDS: readonly Kind[] = [
  { name: '8 bytes', lengthOf: () => 8, freeMax: 0.05, memoryBytes: 4 * MIB },
  { name: '100 bytes', lengthOf: () => 100, freeMax: 0.05, memoryBytes: 8 * MIB },
  { name: '1000 bytes', lengthOf: () => 1000, freeMax: 0.05, memoryBytes: 16 * MIB },
  { name: '4000 bytes', lengthOf: () => 4000, freeMax: 0.05 },
  { name: '64 KiB', lengthOf: () => 64 * KIB, freeMax: 0.06 },
  { name: '128 KiB', lengthOf: () => 128 * KIB, freeMax: 0.06 },
  // Each has segments of its own, of which the last one stays nearly unused.
  { name: '1 MiB', lengthOf: () => MIB, freeMax: 0.17 },
  {
    name: 'up to 2000 bytes',
    lengthOf: (random) => random.below(2000),
    freeMax: 0.05,
    memoryBytes: 8 * MIB,
  },
  {
    name: 'all lengths up to 500 KiB',
    lengthOf: (random) => random.below(2 ** random.below(20)),
    freeMax: 0.07,
  },
  {
    name: 'all lengths up to 2 MiB',
    lengthOf: (random) => random.below(2 ** random.below(22)) % (2 * MIB - 100),
    freeMax: 0.09,
  },
]

for (const { name, lengthOf, freeMax, memoryBytes } of KINDS) {
  test(`full of values of ${name}, what deletes leave is all found again`, () => {
    const client = newClient(memoryBytes)
    const random = randomOf(seedOfRun())
    const length = () => lengthOf(random)
    let keys = fill(client, length)
    expect(freeShare(client)).toBeLessThan(freeMax)
    for (const share of [0.05, 0.5, 0.02]) {
      shuffle(keys, random)
      removeAll(client, keys.splice(0, Math.ceil(keys.length * share)))
      keys = keys.concat(fill(client, length, `after ${share}`))
      expect(freeShare(client), `after ${share}`).toBeLessThan(freeMax)
      expect(checkIntegrity(client.memory)).toEqual([])
    }
    expect(missing(client, keys)).toEqual([])
    expect(readStoreCounters(client.memory)).toMatchObject({ items: keys.length, evictions: 0 })
  })
}

test('large values and small ones take turns in what the others leave', () => {
  const client = newClient()
  const random = randomOf(seedOfRun())
  const large = fill(client, () => MIB - 100, 'large')
  const small = fill(client, () => 200, 'small')
  // The small ones are in what the large ones did not use.
  expect(freeShare(client)).toBeLessThan(0.06)
  removeAll(client, shuffle(small, random).splice(0, small.length >> 1))
  const more = fill(client, () => 1000, 'more')
  expect(freeShare(client)).toBeLessThan(0.06)
  removeAll(client, large.splice(0, 10))
  expect(fill(client, () => MIB - 100, 'again').length).toBeGreaterThanOrEqual(9)
  expect(checkIntegrity(client.memory)).toEqual([])
  expect(missing(client, [...large, ...small, ...more])).toEqual([])
})

test('shorter values, numbers that grow, appends and touches find room, too', () => {
  const client = newClient(16 * MIB)
  const random = randomOf(seedOfRun())
  const keys = shuffle(
    fill(client, () => 1000),
    random,
  )
  const [shortened, appended, touched] = [0, 1, 2].map((part) =>
    keys.slice(part * 800, part * 800 + 800),
  )
  // A value that replaces one needs room for both; that of a delete is enough for the first.
  removeAll(client, keys.slice(2400, 2450))
  for (const key of shortened!) mustBe(client.write(key, contentOf(500)), STORED)
  for (const key of appended!) {
    mustBe(client.write(key, contentOf(300), { mode: WRITE_APPEND }), STORED)
  }
  for (const key of touched!) mustBe(client.touch(key, client.now + 100), true)
  for (let index = 0; index < 300; index++) {
    mustBe(client.write(`number ${index}`, '9'), STORED)
    mustBe(client.count(`number ${index}`, 123_456_789n), STORED)
  }
  expect(checkIntegrity(client.memory)).toEqual([])
  client.now += 100
  // Nothing has looked for what has expired.
  for (let index = 0; index < 700; index++) {
    mustBe(client.write(`late ${index}`, contentOf(1000)), STORED, `${index}`)
  }
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('after a flush a full store takes new values at once', () => {
  const client = newClient(16 * MIB)
  const count = fill(client, () => 1000).length
  client.store.flush(0, client.now)
  expect(fill(client, () => 1000, 'new').length).toBeGreaterThan(count * 0.95)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('several workers find what the others left', () => {
  const first = newClient(64 * MIB, 4)
  const random = randomOf(seedOfRun())
  const workers = [first, first.worker(1), first.worker(2), first.worker(3)]
  const any = () => workers[random.below(4)]!
  const keys: string[] = []
  for (let round = 0; round < 3; round++) {
    removeAll(any(), shuffle(keys, random).splice(0, keys.length >> 4))
    for (let index = 0; ; index++) {
      const key = `round ${round} ${index}`
      const worker = any()
      if (worker.write(key, contentOf(random.below(2000))) === STORED) keys.push(key)
      else if (workers.every((other) => other.write(key, contentOf(2000)) !== STORED)) break
      else keys.push(key)
    }
    expect(freeShare(first)).toBeLessThan(0.08)
    expect(checkIntegrity(first.memory)).toEqual([])
  }
  expect(missing(first, keys)).toEqual([])
})

test('a write to a store full to a few per cent moves a bounded number of items', () => {
  const client = newClient()
  const random = randomOf(seedOfRun())
  const keys = shuffle(
    fill(client, () => 1000),
    random,
  )
  const lanes = counterLanes(client.memory, 0)
  removeAll(client, keys.splice(0, 4000))
  // What the ticks of a second do meanwhile.
  for (let tick = 0; tick < 10; tick++) client.store.maintain(client.now, 2000)
  let most = 0
  for (let index = 0; index < 30_000; index++) {
    const before = lanes[REINSERTED]!
    mustBe(client.write(`new ${index}`, contentOf(1000)), STORED)
    most = Math.max(most, lanes[REINSERTED]! - before)
    const victim = random.below(keys.length)
    mustBe(client.remove(keys[victim]!), REMOVED)
    keys[victim] = `new ${index}`
  }
  expect(lanes[REINSERTED]).toBeGreaterThan(10_000)
  expect(most).toBeLessThanOrEqual(MOVED_PER_SMALL_WRITE)
})

test('a refused write costs nothing but a look once nothing more can be found', () => {
  const client = newClient(16 * MIB)
  fill(client, () => 1000)
  const lanes = counterLanes(client.memory, 0)
  const before = lanes[REINSERTED]!
  for (let index = 0; index < 1000; index++) {
    mustBe(client.write('another', contentOf(1000)), NO_MEMORY)
  }
  expect(lanes[REINSERTED]).toBe(before)
})
