/**
 * What eviction makes of loads that are not a steady stream: another working set, loops, scans, bursts of
 * keys that come once, and large values, by reads a byte and beside plain S3-FIFO (`--eviction s3-fifo`).
 * The streams are always the same, so nothing here depends on chance; what is asserted has some room to the
 * figures, which stand beside it.
 */

import { expect, test } from 'vitest'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { createStoreMemory } from '../../../src/storage/geometry.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { HIT } from '../../../src/storage/result.ts'
import { Client } from './client.ts'
import { randomOf } from './model.ts'

const MIB = 1024 * 1024
const SEED = 7
const BYTES = 1000
const SOURCE = Buffer.alloc(64 * 1024, 'v')

/** A cache with cache-aside clients: what is asked for and missing is stored. */
class Cache {
  readonly client: Client
  hits = 0
  misses = 0

  constructor(ranksBySize: boolean) {
    const sizes = { memoryBytes: 4 * MIB, itemBytesMax: MIB / 2, workerCount: 1 }
    const memory = createStoreMemory({ ...sizes, evicts: true, ranksBySize, seed: [11, 22] })
    this.client = new Client({}, memory)
  }

  ask(key: string, bytes: number = BYTES): void {
    const { client } = this
    if (client.lookup(key) === HIT) {
      client.store.markRead(client.now)
      client.store.release()
      this.hits++
      return
    }
    client.write(key, SOURCE.subarray(0, bytes))
    this.misses++
  }

  /** The share of hits of what `asks` asks for. */
  ratioOf(asks: () => void): number {
    const { hits, misses } = this
    asks()
    return (this.hits - hits) / (this.hits - hits + this.misses - misses)
  }
}

/** Ranks by Zipf's law: p(rank) in proportion to (rank + 1)^-alpha. */
function zipf(count: number, alpha: number): () => number {
  const random = randomOf(SEED)
  const sums = new Float64Array(count)
  let sum = 0
  for (let rank = 0; rank < count; rank++) {
    sum += (rank + 1) ** -alpha
    sums[rank] = sum
  }
  return () => {
    const drawn = (random.below(2 ** 32) / 2 ** 32) * sum
    let low = 0
    let high = count - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle]! < drawn) low = middle + 1
      else high = middle
    }
    return low
  }
}

const times = (count: number, ask: (index: number) => void): void => {
  for (let index = 0; index < count; index++) ask(index)
}

// Of the steady ratio after twice the items held were stored anew: 0.954 of alpha 1, 0.949 of alpha 0.8; 0.942 and
// 0.882 without the search for what is stale. With plain S3-FIFO it is 0.962 and 0.960.
test.each([
  { alpha: 1, keys: 12_000, afterTwice: 0.945, afterFour: 0.98 },
  { alpha: 0.8, keys: 6000, afterTwice: 0.93, afterFour: 0.98 },
])(
  'another working set of Zipf $alpha is hit nearly as the one before',
  ({ alpha, keys, afterTwice, afterFour }) => {
    const cache = new Cache(true)
    const draw = zipf(keys, alpha)
    times(25_000, () => cache.ask(`before ${draw()}`))
    const steady = cache.ratioOf(() => times(10_000, () => cache.ask(`before ${draw()}`)))
    const held = readStoreCounters(cache.client.memory).items
    const began = cache.misses
    const ratioAfter = (stored: number): number => {
      while (cache.misses - began < stored) cache.ask(`after ${draw()}`)
      return cache.ratioOf(() => times(4000, () => cache.ask(`after ${draw()}`))) / steady
    }
    expect(ratioAfter(2 * held)).toBeGreaterThan(afterTwice)
    expect(ratioAfter(4 * held)).toBeGreaterThan(afterFour)
    expect(checkIntegrity(cache.client.memory)).toEqual([])
  },
)

test('of a loop a little larger than the memory something is hit, where the least recently used goes all is missed', () => {
  const ratios = [true, false].map((ranksBySize) => {
    const cache = new Cache(ranksBySize)
    const loop = (): void => times(4100, (index) => cache.ask(`key ${index}`))
    times(3, loop)
    return cache.ratioOf(() => times(3, loop))
  })
  // 0.048, and 0.092 with S3-FIFO: it is the share of the small queue, which is half as large.
  expect(ratios[0]).toBeGreaterThan(0.04)
  expect(ratios[1]).toBeGreaterThan(0.08)
})

/** The hit ratio of a steady stream, beside which `disturb` asks for something else. */
function steadyRatio(ranksBySize: boolean, disturb: (cache: Cache, index: number) => void): number {
  const cache = new Cache(ranksBySize)
  const draw = zipf(8000, 1)
  const hitsOf = (from: number, to: number): number => {
    let hits = 0
    for (let index = from; index < to; index++) {
      const before = cache.hits
      cache.ask(`steady ${draw()}`)
      hits += cache.hits - before
      disturb(cache, index)
    }
    return hits
  }
  hitsOf(0, 15_000)
  return hitsOf(15_000, 30_000) / 15_000
}

test.each([
  {
    name: 'bursts of keys that come once',
    // 0.835 both ways.
    disturb: (cache: Cache, index: number) => {
      if (index % 5000 >= 500) return
      times(5, (nth) => cache.ask(`once ${index} ${nth}`))
    },
  },
  {
    name: 'scans of twice the memory',
    // 0.779 both ways.
    disturb: (cache: Cache, index: number) => {
      if (index % 10_000 === 0) times(8000, (nth) => cache.ask(`scanned ${nth}`))
    },
  },
])('$name cost a steady stream no more hits than with S3-FIFO', ({ disturb }) => {
  expect(steadyRatio(true, disturb)).toBeGreaterThan(steadyRatio(false, disturb) - 0.005)
})

test.each([
  // Missed: 42.4 % of it, 47.4 with S3-FIFO.
  {
    name: 'of large values only',
    keys: 400,
    alpha: 0.8,
    requests: 4000,
    bytesOf: (rank: number) => 30_000 + ((rank * 7919) % 30_000),
    ofS3Fifo: 1,
  },
  // 22.0 and 21.8 %.
  {
    name: 'whose hundred most popular items are the large ones',
    keys: 20_000,
    alpha: 1,
    requests: 36_000,
    bytesOf: (rank: number) => (rank < 100 ? 30_000 : 300),
    ofS3Fifo: 1.03,
  },
  // 20.1 and 19.2 %.
  {
    name: 'whose items are the larger, the more popular they are',
    keys: 8000,
    alpha: 0.9,
    requests: 30_000,
    bytesOf: (rank: number) => Math.max(100, Math.floor(40_000 / Math.sqrt(rank + 1))),
    ofS3Fifo: 1.06,
  },
])(
  'a cache $name misses as little as with S3-FIFO',
  ({ keys, alpha, requests, bytesOf, ofS3Fifo }) => {
    const [bySize, plain] = [true, false].map((ranksBySize) => {
      const cache = new Cache(ranksBySize)
      const draw = zipf(keys, alpha)
      const ask = (): void => {
        const rank = draw()
        cache.ask(`key ${rank}`, bytesOf(rank))
      }
      times(requests / 2, ask)
      return 1 - cache.ratioOf(() => times(requests / 2, ask))
    })
    expect(bySize! / plain!).toBeLessThan(ofS3Fifo)
  },
)
