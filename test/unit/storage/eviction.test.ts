/** What eviction keeps, what it forgets and what it remembers, as clients of the store see it. */

import { expect, test } from 'vitest'
import {
  GROUPS_MAX,
  QUEUE_GROUPS,
  RANKS_MAX,
  TTL_CLASSES_MAX,
} from '../../../src/storage/control-block.ts'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { memorySharesOf } from '../../../src/storage/geometry.ts'
import { GhostTable } from '../../../src/storage/ghost.ts'
import { Groups, queueOf, rankOf } from '../../../src/storage/group.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { STORED } from '../../../src/storage/result.ts'
import { mustBe } from '../../support/must-be.ts'
import { Client } from './client.ts'
import { memoryOf, randomOf, seedOfRun } from './model.ts'

const MIB = 1024 * 1024
const VALUE = 'v'.repeat(300)

/** Writes items that nobody reads until `bytes` of them were written. */
function scan(client: Client, name: string, bytes: number): void {
  for (let index = 0; index * 340 < bytes; index++) {
    mustBe(client.write(`${name} ${index}`, VALUE), STORED)
  }
}

test('items read once outlive a scan ten times as large as the memory', () => {
  const client = new Client({ memoryBytes: 4 * MIB })
  for (let index = 0; index < 3000; index++) {
    client.write(`hot ${index}`, VALUE)
    client.write(`cold ${index}`, VALUE)
    client.get(`hot ${index}`)
  }
  scan(client, 'scan', 40 * MIB)
  let hot = 0
  for (let index = 0; index < 3000; index++) if (client.has(`hot ${index}`)) hot++
  expect(hot).toBe(3000)
  expect(readStoreCounters(client.memory).promoted).toBe(3000)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('an item that comes back soon after it was evicted outlives a scan without being read', () => {
  const client = new Client({ memoryBytes: 4 * MIB })
  client.write('back', VALUE)
  for (let index = 0; client.has('back'); index++) scan(client, `scan ${index}`, MIB / 8)
  client.write('back', VALUE)
  client.write('new', VALUE)
  expect(readStoreCounters(client.memory).ghostHits).toBe(1)
  scan(client, 'more', 4 * MIB)
  expect(client.has('new')).toBe(false)
  expect(client.has('back')).toBe(true)
})

test('the small queue has its twentieth of the memory, the rest belongs to what was read', () => {
  const client = new Client({ memoryBytes: 4 * MIB })
  const random = randomOf(seedOfRun())
  for (let round = 0; round < 60_000; round++) {
    const key = `key ${Math.floor(random.below(1_000_000) ** 2 / 3e7)}`
    if (client.get(key) === undefined) client.write(key, VALUE)
  }
  const { segmentsSealed, segmentsSmall, evictions } = readStoreCounters(client.memory)
  expect(evictions).toBeGreaterThan(1000)
  expect(segmentsSmall).toBeLessThanOrEqual(segmentsSealed * 0.05 + 2)
  expect(segmentsSmall).toBeGreaterThan(segmentsSealed * 0.05 - 4)
})

test('items with a group of their own that fills slowly are evicted in their turn', () => {
  const client = new Client({ memoryBytes: 4 * MIB })
  client.write('rare', VALUE, { expiry: client.now + 5000 })
  scan(client, 'scan', 12 * MIB)
  expect(client.has('rare')).toBe(false)
})

test('the ghost table remembers the newest sixteen of a bucket', () => {
  const memory = memoryOf({ memoryBytes: 4 * MIB })
  const ghost = new GhostTable(memory.geometry, new Int32Array(memory.control))
  for (let index = 0; index < 20; index++) ghost.remember(7, index << 20)
  for (let index = 0; index < 20; index++) expect(ghost.recall(7, index << 20)).toBe(index >= 4)
  expect(ghost.recall(8, 19 << 20)).toBe(false)
  expect(ghost.recall(7 + memory.geometry.ghostBuckets, 19 << 20)).toBe(true)
})

test('with -M there is no ghost table, and nothing is remembered', () => {
  const memory = memoryOf({ memoryBytes: 4 * MIB, evicts: false })
  expect(memory.geometry.ghostBuckets).toBe(0)
  const ghost = new GhostTable(memory.geometry, new Int32Array(memory.control))
  ghost.remember(7, 7)
  expect(ghost.recall(7, 7)).toBe(false)
})

test('each class of TTLs spans a factor of eight', () => {
  const { geometry } = memoryOf({ memoryBytes: 64 * MIB })
  const shares = memorySharesOf(geometry, geometry.memoryBytes)
  expect(shares.ttlClassCount).toBe(TTL_CLASSES_MAX)
  const groups = new Groups(shares)
  const now = 1_700_000_000
  for (const [ttl, group] of [
    [1, 4],
    [63, 4],
    [64, 3],
    [511, 3],
    [512, 2],
    [4095, 2],
    [4096, 1],
    [32767, 1],
    [32768, 0],
    [2_000_000_000, 0],
  ] as const) {
    // Half a MiB is worth less than one read of 64 KiB: rank 0.
    const small = groups.small(MIB / 2, now + ttl, now)
    expect(small, `${ttl} seconds`).toBe(group * RANKS_MAX)
    expect(groups.main(MIB / 2, 1, now + ttl, now)).toBe(small + QUEUE_GROUPS)
  }
  expect(groups.small(MIB / 2, 0, now)).toBe(0)
  expect(groups.small(MIB / 2, now - 5, now), 'expired already').toBe(4 * RANKS_MAX)
})

test('the fewer segments there are for each worker, the fewer groups', () => {
  const groupsOf = (memoryBytes: number, workerCount: number): number => {
    const { geometry } = memoryOf({ memoryBytes, workerCount })
    const shares = memorySharesOf({ ...geometry, ranksBySize: false }, memoryBytes)
    const groups = new Groups(shares)
    const found = new Set<number>()
    for (let bit = 0; bit < 20; bit++) {
      found.add(groups.small(100, 1000 + 2 ** bit, 1000))
      found.add(groups.main(100, 1, 1000 + 2 ** bit, 1000))
    }
    for (const group of found) expect(queueOf(group)).toBe(group < GROUPS_MAX / 2 ? 0 : 1)
    return found.size
  }
  expect(groupsOf(64 * MIB, 4)).toBe(10)
  expect(groupsOf(4 * MIB, 4)).toBe(6)
  expect(groupsOf(MIB, 4)).toBe(2)
  expect(groupsOf(MIB, 8)).toBe(1)
})

test('the rank of an item is how often it was read for its size, and what is kept counts what was', () => {
  const { geometry } = memoryOf({ memoryBytes: 64 * MIB })
  const groups = new Groups(memorySharesOf(geometry, geometry.memoryBytes))
  const rank = (bytes: number, reads: number) => rankOf(groups.main(bytes, reads, 0, 0))
  // 10 bytes are those of its slot in the index.
  for (const [bytes, expected] of [
    [65536 - 10, 0],
    [32768 - 10, 1],
    [1024 - 10, 6],
    [64 - 10, 10],
  ] as const) {
    expect(rank(bytes, 1), `${bytes} bytes`).toBe(expected)
    expect(rankOf(groups.small(bytes, 0, 0))).toBe(expected)
    expect(rank(bytes, 4)).toBe(expected + 2)
  }
  expect(rank(16, 100)).toBe(RANKS_MAX - 1)
  const first = groups.kept(groups.small(1014, 0, 0), 1014, 1, 0, 0)
  expect(rankOf(first)).toBe(6)
  const second = groups.kept(first, 1014, 3, 0, 0)
  expect(rankOf(second)).toBe(8)
  expect(rankOf(groups.kept(second, 1014, 3, 0, 0)), '4 + 3 reads, rounded').toBe(9)
  expect(groups.same(second, 0, 0)).toBe(second)
})

test('of items read as often the small ones outlive the large ones in a full memory', () => {
  const client = new Client({ memoryBytes: 4 * MIB })
  const large = Buffer.alloc(3000)
  for (let index = 0; index < 700; index++) {
    client.write(`small ${index}`, VALUE)
    client.write(`large ${index}`, large)
    client.get(`small ${index}`)
    client.get(`large ${index}`)
  }
  // What comes is read once each, so the main queue has to evict.
  for (let index = 0; index < 9000; index++) {
    client.write(`new ${index}`, VALUE)
    client.get(`new ${index}`)
  }
  const countOf = (name: string) =>
    Array.from({ length: 700 }, (_, index) => client.has(`${name} ${index}`)).filter(Boolean).length
  // Some go because moving costs credit; nothing here depends on chance.
  expect(countOf('small')).toBeGreaterThan(600)
  expect(countOf('large')).toBeLessThan(500)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('large items that are read stay among small ones that are not', () => {
  const client = new Client({ memoryBytes: 4 * MIB })
  const large = Buffer.alloc(30_000)
  for (let index = 0; index < 20; index++) {
    client.write(`large ${index}`, large)
    scan(client, `between ${index}`, MIB / 16)
  }
  for (let round = 0; round < 40; round++) {
    for (let index = 0; index < 20; index++) {
      expect(client.get(`large ${index}`)?.length, `large ${index} in ${round}`).toBe(large.length)
    }
    scan(client, `scan ${round}`, MIB)
  }
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('a new large item has a chance to be read, however many small ones are worth more', () => {
  const client = new Client({ memoryBytes: 4 * MIB })
  for (let index = 0; index < 14_000; index++) {
    client.write(`hot ${index}`, VALUE)
    client.get(`hot ${index}`)
  }
  for (let index = 0; index < 50; index++) {
    client.write(`large ${index}`, Buffer.alloc(60_000))
    expect(client.get(`large ${index}`)?.length).toBe(60_000)
    scan(client, `scan ${index}`, MIB / 16)
    expect(client.has(`large ${index}`), `large ${index}`).toBe(true)
  }
})

test('more groups than one worker may have open share the open segments there are', () => {
  const client = new Client({ memoryBytes: MIB, workerCount: 2 })
  const random = randomOf(seedOfRun())
  for (let index = 0; index < 20_000; index++) {
    const value = Buffer.alloc(2 ** random.below(14))
    const expiry = random.below(2) === 0 ? 0 : client.now + 2 ** random.below(18)
    mustBe(client.write(`key ${random.below(5000)}`, value, { expiry }), STORED)
    client.get(`key ${random.below(5000)}`)
  }
  const { opensMax } = memorySharesOf(client.memory.geometry, MIB)
  expect(opensMax).toBeLessThan(8)
  // One of each queue is open in any case.
  expect(readStoreCounters(client.memory).segmentsOpen).toBeLessThanOrEqual(opensMax + 1)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('eight workers on 1 MiB take every write, of items with all sorts of TTLs', () => {
  const one = new Client({ memoryBytes: MIB, workerCount: 8 })
  const workers = [one, ...Array.from({ length: 7 }, (_, index) => one.worker(index + 1))]
  const random = randomOf(seedOfRun())
  for (let index = 0; index < 20_000; index++) {
    const client = workers[random.below(8)]!
    const expiry = client.now + 2 ** random.below(20)
    mustBe(client.write(`key ${random.below(9000)}`, VALUE, { expiry }), STORED)
    client.get(`key ${random.below(9000)}`)
    if (index % 2000 === 0) expect(checkIntegrity(one.memory)).toEqual([])
  }
  expect(readStoreCounters(one.memory).evictions).toBeGreaterThan(1000)
})

test('expired memory is taken before anything is evicted, although nothing looked for it', () => {
  const client = new Client({ memoryBytes: 4 * MIB })
  const shortCount = 5000
  for (let index = 0; index < shortCount; index++) {
    client.write(`short ${index}`, VALUE, { expiry: client.now + 5 })
    if (index % 2 === 0) client.write(`long ${index}`, VALUE)
  }
  expect(readStoreCounters(client.memory).evictions).toBe(0)
  client.now += 5
  for (let index = 0; index < 7000; index++) client.write(`new ${index}`, VALUE)
  expect(readStoreCounters(client.memory)).toMatchObject({ evictions: 0 })
  expect(readStoreCounters(client.memory).reclaimed).toBeGreaterThan(1500)
  for (let index = 0; index < shortCount; index += 2) mustBe(client.has(`long ${index}`), true)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('the segments of short-lived items come back whole, whatever was written between them', () => {
  const client = new Client({ memoryBytes: 4 * MIB })
  for (let index = 0; index < 3000; index++) {
    client.write(`short ${index}`, VALUE, { expiry: client.now + 5 })
    client.write(`long ${index}`, VALUE, { expiry: client.now + 5000 })
  }
  const before = readStoreCounters(client.memory)
  client.now += 5
  for (let call = 0; call < 4; call++) client.store.maintain(client.now, 2000)
  const after = readStoreCounters(client.memory)
  expect(after.items).toBe(3000)
  const halfSegments = Math.floor(before.bytes / 2 / before.segmentBytes)
  expect(after.segmentsFree - before.segmentsFree).toBeGreaterThanOrEqual(halfSegments)
  expect(after.compactedSegments).toBe(0)
})

test('an item touched to live longer than its neighbours survives the end of their segment', () => {
  const client = new Client({ memoryBytes: 4 * MIB })
  for (let index = 0; index < 2000; index++) {
    client.write(`key ${index}`, VALUE, { expiry: client.now + 5 })
  }
  client.touch('key 700', 0)
  client.touch('key 701', client.now + 100)
  client.now += 5
  for (let index = 0; index < 8000; index++) client.write(`new ${index}`, VALUE)
  expect(readStoreCounters(client.memory).evictions).toBe(0)
  expect(client.has('key 700')).toBe(true)
  expect(client.has('key 701')).toBe(true)
  expect(client.has('key 702')).toBe(false)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('an item touched by a worker whose clock is behind survives being taken as expired', () => {
  const client = new Client({ memoryBytes: 4 * MIB, workerCount: 2 })
  const behind = client.worker(1)
  for (let index = 0; index < 6000; index++) {
    client.write(`short ${index}`, VALUE, { expiry: client.now + 5 })
  }
  behind.now += 4
  client.now += 5
  let written = 0
  while (readStoreCounters(client.memory).reclaimed === 0) {
    client.write(`new ${written++}`, VALUE)
  }
  // These lie in the segment that is being emptied.
  const touched: string[] = []
  for (let index = 0; index < 40; index++) {
    if (behind.touch(`short ${index}`, behind.now + 1000)) touched.push(`short ${index}`)
  }
  expect(touched.length).toBeGreaterThan(0)
  for (let index = 0; index < 1000; index++) client.write(`more ${index}`, VALUE)
  expect(readStoreCounters(client.memory).evictions).toBe(0)
  for (const key of touched) expect(client.has(key)).toBe(true)
  expect(checkIntegrity(client.memory)).toEqual([])
})
