import { expect, test } from 'vitest'
import {
  counterLanes,
  EVICTIONS,
  RECLAIMED,
  REINSERTED,
  readStoreCounters,
} from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { NO_MEMORY, REMOVED, STORED } from '../../../src/storage/result.ts'
import { WRITE_ADD, WRITE_APPEND, WRITE_PREPEND } from '../../../src/storage/write-order.ts'
import { mustBe } from '../../support/must-be.ts'
import { Client } from './client.ts'
import { randomOf, seedOfRun } from './model.ts'

const KIB = 1024
const MIB = 1024 * KIB

function contentOf(length: number, salt: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let index = 0; index < length; index++)
    bytes[index] = (index * 17 + salt + (index >> 9)) & 255
  return bytes
}

function bytesOf(client: Client, key: string): Buffer | undefined {
  const value = client.find(key, true)?.value
  return value === undefined ? undefined : Buffer.from(value, 'latin1')
}

// With 21 and 25 holes wandered along items that span, and a write was refused; with 175 one evicted itself.
test.each([21, 25, 175, seedOfRun()])(
  'a full store takes every write and keeps within its memory (%d)',
  (seed) => {
    const client = new Client({ memoryBytes: MIB })
    const random = randomOf(seed)
    let stored = 0
    for (let index = 0; stored < 3 * MIB; index++) {
      const length = random.below(10) === 0 ? random.below(60 * KIB) : random.below(2 * KIB)
      mustBe(client.write(`key ${index}`, contentOf(length, index)), STORED)
      stored += length
      expect(bytesOf(client, `key ${index}`)?.equals(contentOf(length, index))).toBe(true)
      if (index % 50 === 0) expect(checkIntegrity(client.memory)).toEqual([])
    }
    const counters = readStoreCounters(client.memory)
    expect(counters.evictions).toBeGreaterThan(0)
    expect(counters.bytes + counters.indexBytes).toBeLessThanOrEqual(MIB)
    expect(counters.segments * counters.segmentBytes).toBeLessThanOrEqual(MIB)
    expect(counters.bytes).toBeGreaterThan(MIB * 0.6)
    expect(checkIntegrity(client.memory)).toEqual([])
  },
)

test('what is read stays, what is not read goes', () => {
  const client = new Client({ memoryBytes: MIB })
  for (let index = 0; index < 200; index++) client.write(`hot ${index}`, 'v'.repeat(400))
  for (let index = 0; index < 200; index++) client.write(`cold ${index}`, 'v'.repeat(400))
  for (let round = 0; round < 60; round++) {
    for (let index = 0; index < 200; index++) client.get(`hot ${index}`)
    for (let index = 0; index < 100; index++) client.write(`new ${round} ${index}`, 'v'.repeat(400))
  }
  let hot = 0
  let cold = 0
  for (let index = 0; index < 200; index++) {
    if (client.has(`hot ${index}`)) hot++
    if (client.has(`cold ${index}`)) cold++
  }
  expect(hot).toBe(200)
  expect(cold).toBe(0)
  const counters = readStoreCounters(client.memory)
  expect(counters.promoted).toBeGreaterThanOrEqual(200)
  expect(counters.evictedUnfetched).toBe(counters.evictions)
})

test('an item that was read survives with its flags, expiry, CAS and state', () => {
  const client = new Client({ memoryBytes: MIB })
  client.write('hot', 'value', { flags: 99, expiry: client.now + 1000 })
  const before = client.find('hot', true)
  const lanes = counterLanes(client.memory, 0)
  const reinserted = lanes[REINSERTED]
  for (let index = 0; lanes[REINSERTED] === reinserted; index++) {
    client.write(`cold ${index}`, 'v'.repeat(400))
    if (index % 100 === 0) client.get('hot')
  }
  expect(client.find('hot')).toEqual(before)
})

test('eviction ends although every item was read', () => {
  const client = new Client({ memoryBytes: MIB })
  for (let index = 0; index < 5000; index++) {
    mustBe(client.write(`key ${index}`, 'v'.repeat(300)), STORED)
    for (let read = 0; read < 4; read++) client.get(`key ${index}`)
  }
  const counters = readStoreCounters(client.memory)
  expect(counters.evictedActive).toBeGreaterThan(0)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('values that span many segments come back whole, in whole and in parts', () => {
  const client = new Client({ memoryBytes: 4 * MIB, itemBytesMax: 2 * MIB })
  const segmentBytes = client.memory.geometry.segmentBytes
  expect(segmentBytes).toBe(16 * KIB)
  for (const length of [
    segmentBytes - 24 - 5,
    segmentBytes - 24 - 4,
    segmentBytes,
    3 * segmentBytes + 1,
    MIB,
    2 * MIB - 53,
  ]) {
    const content = contentOf(length, length)
    expect(client.write('small', 'x'.repeat(100))).toBe(STORED)
    expect(client.write('large', content)).toBe(STORED)
    expect(bytesOf(client, 'large')?.equals(content), `${length} bytes`).toBe(true)
    expect(client.lookup('large')).toBe(1)
    const part = Buffer.alloc(segmentBytes)
    for (let offset = 0; offset + 5000 < length; offset += 7001) {
      client.store.copyValueRange(offset, 5000, part, 3)
      const same = part.subarray(3, 5003).equals(content.subarray(offset, offset + 5000))
      expect(same, `${offset} of ${length}`).toBe(true)
    }
    client.store.release()
    expect(checkIntegrity(client.memory)).toEqual([])
  }
})

test('append and prepend to a value that spans keep every byte', () => {
  const client = new Client({ memoryBytes: 4 * MIB, itemBytesMax: MIB })
  let content = contentOf(40 * KIB, 1)
  client.write('key', content)
  for (let index = 0; index < 20; index++) {
    const more = contentOf(1000 + 37 * index, index)
    const mode = index % 2 === 0 ? WRITE_APPEND : WRITE_PREPEND
    expect(client.write('key', more, { mode })).toBe(STORED)
    content = index % 2 === 0 ? Buffer.concat([content, more]) : Buffer.concat([more, content])
    expect(bytesOf(client, 'key')?.equals(content)).toBe(true)
  }
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('a large value that is read survives; one that is not goes, with all its segments', () => {
  const client = new Client({ memoryBytes: 4 * MIB, itemBytesMax: MIB })
  const hot = contentOf(300 * KIB, 1)
  client.write('hot', hot)
  client.write('cold', contentOf(300 * KIB, 2))
  for (let index = 0; index < 60; index++) {
    expect(bytesOf(client, 'hot')?.equals(hot), `after ${index}`).toBe(true)
    expect(client.write(`new ${index}`, contentOf(200 * KIB, index))).toBe(STORED)
    expect(checkIntegrity(client.memory)).toEqual([])
  }
  expect(client.has('cold')).toBe(false)
})

test('removing a value that spans frees its segments at once', () => {
  const client = new Client({ memoryBytes: 4 * MIB, itemBytesMax: 2 * MIB })
  client.write('first', 'x')
  const free = readStoreCounters(client.memory).segmentsFree
  client.write('large', contentOf(MIB, 1))
  expect(readStoreCounters(client.memory).segmentsFree).toBe(free - 65)
  expect(client.remove('large')).toBe(REMOVED)
  expect(readStoreCounters(client.memory).segmentsFree).toBe(free - 1)
  expect(readStoreCounters(client.memory)).toMatchObject({ items: 1 })
})

test('an item larger than the store is NO_MEMORY and costs no other item', () => {
  const client = new Client({ memoryBytes: MIB, itemBytesMax: 2 * MIB })
  client.write('other', 'value')
  client.write('key', 'old')
  expect(client.write('key', contentOf(MIB, 1), { mode: WRITE_ADD })).toBe(NO_MEMORY)
  expect(client.get('key')).toBe('old')
  expect(client.write('key', contentOf(MIB, 1))).toBe(NO_MEMORY)
  expect(client.has('key'), 'the old item goes with a set').toBe(false)
  expect(client.has('other')).toBe(true)
  expect(readStoreCounters(client.memory)).toMatchObject({ noMemoryWrites: 2, evictions: 0 })
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('with -M a full store refuses, keeps everything, and takes more after deletes', () => {
  const client = new Client({ memoryBytes: MIB, evicts: false })
  let count = 0
  while (client.write(`key ${count}`, `${count}`.padEnd(300)) === STORED) count++
  expect(count * 320).toBeGreaterThan(MIB * 0.85)
  expect(client.write('another', 'v'.repeat(300))).toBe(NO_MEMORY)
  for (let index = 0; index < count; index++) {
    expect(client.find(`key ${index}`)?.value).toBe(`${index}`.padEnd(300))
  }
  expect(readStoreCounters(client.memory)).toMatchObject({ items: count, evictions: 0 })
  // Every third goes: no segment becomes empty, so the room comes from compacting.
  for (let index = 0; index < count; index += 3) expect(client.remove(`key ${index}`)).toBe(REMOVED)
  let more = 0
  while (client.write(`more ${more}`, `${more}`.padEnd(300)) === STORED) more++
  expect(more).toBeGreaterThan((count / 3) * 0.8)
  expect(readStoreCounters(client.memory).compactedSegments).toBeGreaterThan(10)
  for (let index = 0; index < count; index++) {
    const expected = index % 3 === 0 ? undefined : `${index}`.padEnd(300)
    expect(client.find(`key ${index}`)?.value).toBe(expected)
  }
  for (let index = 0; index < more; index++) {
    expect(client.find(`more ${index}`)?.value).toBe(`${index}`.padEnd(300))
  }
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('with -M values of a few segments are compacted too', () => {
  const client = new Client({ memoryBytes: MIB, evicts: false })
  let count = 0
  while (client.write(`key ${count}`, contentOf(5000, count)) === STORED) count++
  expect(count * 5024).toBeGreaterThan(MIB * 0.85)
  for (let index = 0; index < count; index += 2) client.remove(`key ${index}`)
  let more = 0
  while (client.write(`more ${more}`, contentOf(5000, more)) === STORED) more++
  expect(more).toBeGreaterThan((count / 2) * 0.7)
  for (let index = 0; index < count; index++) {
    const value = bytesOf(client, `key ${index}`)
    if (index % 2 === 0) expect(value).toBeUndefined()
    else expect(value?.equals(contentOf(5000, index))).toBe(true)
  }
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('with -M a refused append leaves the item, a refused set deletes it', () => {
  const client = new Client({ memoryBytes: MIB, evicts: false })
  let count = 0
  while (client.write(`key ${count}`, contentOf(2000, count)) === STORED) count++
  const more = contentOf(100 * KIB, 1)
  expect(client.write('key 5', more, { mode: WRITE_APPEND })).toBe(NO_MEMORY)
  expect(bytesOf(client, 'key 5')?.equals(contentOf(2000, 5))).toBe(true)
  expect(client.write('key 5', more)).toBe(NO_MEMORY)
  expect(client.has('key 5')).toBe(false)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('overwriting one key for ever needs no eviction of others', () => {
  const client = new Client({ memoryBytes: MIB })
  for (let index = 0; index < 100; index++) {
    client.write(`other ${index}`, 'value')
    client.get(`other ${index}`)
  }
  for (let index = 0; index < 2000; index++) client.write('key', 'v'.repeat(5000 + (index % 9)))
  let left = 0
  for (let index = 0; index < 100; index++) if (client.has(`other ${index}`)) left++
  expect(left).toBe(100)
  expect(readStoreCounters(client.memory).evictions).toBe(0)
})

test('a value of the same size goes where the old one was, and lives longer for it', () => {
  const client = new Client({ memoryBytes: MIB })
  client.write('key', 'v'.repeat(500), { expiry: client.now + 5 })
  const before = readStoreCounters(client.memory).bytes
  const cas = client.cas
  expect(client.write('key', 'w'.repeat(498), { flags: 5 })).toBe(STORED)
  expect(client.find('key')).toMatchObject({ value: 'w'.repeat(498), flags: 5, expiry: 0 })
  expect(client.cas[1]).toBeGreaterThan(cas[1])
  expect(readStoreCounters(client.memory)).toMatchObject({ bytes: before, items: 1, totalItems: 2 })
  for (let index = 0; index < 10_000; index++) client.write('key', 'x'.repeat(500))
  expect(readStoreCounters(client.memory).segmentsSealed).toBe(0)
})

test('nothing is evicted while the live items need little of the memory', () => {
  const client = new Client({ memoryBytes: MIB })
  const random = randomOf(seedOfRun())
  // 400 KiB of live items, rewritten at random ten times over: most of the log is holes.
  for (let index = 0; index < 1000; index++) client.write(`key ${index}`, 'v'.repeat(370))
  for (let write = 0; write < 10_000; write++) {
    const length = 340 + random.below(60)
    mustBe(client.write(`key ${random.below(900)}`, 'w'.repeat(length)), STORED)
  }
  const counters = readStoreCounters(client.memory)
  expect(counters).toMatchObject({ items: 1000, evictions: 0 })
  expect(counters.compactedSegments).toBeGreaterThan(10)
  for (let index = 900; index < 1000; index++) expect(client.has(`key ${index}`)).toBe(true)
  expect(checkIntegrity(client.memory)).toEqual([])
})

for (const hotShare of [0, 0.5, 0.9, 1]) {
  test(`no write to a full store meets more than 40 items, with ${hotShare * 100} % of them read`, () => {
    const client = new Client({ memoryBytes: 4 * MIB })
    const random = randomOf(seedOfRun())
    const lanes = counterLanes(client.memory, 0)
    const met = () => lanes[EVICTIONS]! + lanes[REINSERTED]! + lanes[RECLAIMED]!
    for (let index = 0; lanes[EVICTIONS] === 0; index++) {
      client.write(`filling ${index}`, '12345678')
      if (random.below(100) < hotShare * 100) client.get(`filling ${index}`)
    }
    let most = 0
    let before = met()
    for (let index = 0; index < 20_000; index++) {
      client.write(`key ${index}`, '12345678')
      if (random.below(100) < hotShare * 100) client.get(`key ${index}`)
      const now = met()
      most = Math.max(most, now - before)
      before = now
    }
    expect(before).toBeGreaterThan(10_000)
    expect(most).toBeLessThanOrEqual(40)
  })
}
