/**
 * Hash flooding: 40,000 keys that were chosen so that their hashes end in the same bits. Who
 * does not know the seed cannot choose them; who does (here: the test) finds that no probe is longer
 * than a chain may be, and that the others' items are left alone.
 */

import { expect, test } from 'vitest'
import { HalfSipHash } from '../../../src/base/hash.ts'
import { SLOTS_PER_BUCKET } from '../../../src/storage/bucket.ts'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { createStoreMemory, type StoreMemory } from '../../../src/storage/geometry.ts'
import { CHAIN_BUCKETS_MAX } from '../../../src/storage/hash-index.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { NO_MEMORY, STORED } from '../../../src/storage/result.ts'
import { Client } from './client.ts'

const MIB = 1024 * 1024
const KEY_COUNT = 40_000
const KNOWN_SEED = [0x12345678, 0x9abcdef0] as const
/** Keys that are chosen for so many bits share their buckets with that part of all others. */
const CHOSEN_BITS = 6
const CHAIN_ITEMS_MAX = CHAIN_BUCKETS_MAX * SLOTS_PER_BUCKET

function memoryWith(seed: readonly [number, number], evicts = true): StoreMemory {
  return createStoreMemory({
    memoryBytes: 32 * MIB,
    itemBytesMax: MIB,
    evicts,
    workerCount: 1,
    seed,
  })
}

/** Keys whose hashes under the known seed end in zeros. */
const crafted: string[] = []
{
  const hash = new HalfSipHash(...KNOWN_SEED)
  const key = Buffer.alloc(12)
  const view = new DataView(key.buffer, key.byteOffset, key.length)
  for (let number = 0; crafted.length < KEY_COUNT; number++) {
    key.write(String(number).padStart(12, '0'), 'latin1')
    if ((hash.hash(view, 0, 12) & ((1 << CHOSEN_BITS) - 1)) === 0) {
      crafted.push(key.toString('latin1'))
    }
  }
}

test('keys crafted for another seed are keys like any others', () => {
  const client = new Client({}, memoryWith([0x0badcafe, 0x5eed5eed]))
  expect(crafted.filter((key) => client.write(key, 'v') !== STORED)).toEqual([])
  expect(readStoreCounters(client.memory)).toMatchObject({ items: KEY_COUNT, evictions: 0 })
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('keys crafted for this seed evict each other, and no chain is longer than it may be', () => {
  const client = new Client({}, memoryWith(KNOWN_SEED))
  const others = Array.from({ length: 2000 }, (_, index) => `other ${index}`)
  for (const key of others) client.write(key, 'v')
  expect(crafted.filter((key) => client.write(key, 'v') !== STORED)).toEqual([])
  expect(client.has(crafted[KEY_COUNT - 1]!)).toBe(true)
  const { items, evictions, bucketCount } = readStoreCounters(client.memory)
  const sharedBuckets = Math.ceil(bucketCount / (1 << CHOSEN_BITS)) + 1
  expect(items).toBeLessThanOrEqual(others.length + sharedBuckets * CHAIN_ITEMS_MAX)
  expect(items + evictions).toBe(others.length + KEY_COUNT)
  // Only those in the same buckets may have had to go.
  const left = others.filter((key) => client.has(key)).length
  expect(left).toBeGreaterThan(others.length * (1 - 2 / (1 << CHOSEN_BITS)) - 20)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('with -M a key whose chain is full is refused, and nothing is evicted', () => {
  const client = new Client({}, memoryWith(KNOWN_SEED, false))
  const results = crafted.map((key) => client.write(key, 'v'))
  expect(new Set(results)).toEqual(new Set([STORED, NO_MEMORY]))
  const stored = results.filter((result) => result === STORED).length
  expect(stored).toBeLessThan(KEY_COUNT)
  expect(readStoreCounters(client.memory)).toMatchObject({ items: stored, evictions: 0 })
  expect(checkIntegrity(client.memory)).toEqual([])
})
