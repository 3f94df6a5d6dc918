import { afterEach, beforeEach, expect, test } from 'vitest'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import {
  MISS,
  MISS_EXPIRED,
  MISS_FLUSHED,
  MISS_NONE,
  NOT_FOUND,
  NOT_STORED,
  STORED,
} from '../../../src/storage/result.ts'
import { WRITE_ADD, WRITE_APPEND } from '../../../src/storage/write-order.ts'
import { Client } from './client.ts'

let client: Client

beforeEach(() => {
  client = new Client()
})

afterEach(() => {
  expect(checkIntegrity(client.memory)).toEqual([])
})

/** The crawler's work, as a server does it once a second. */
function maintain(times = 10): void {
  for (let time = 0; time < times; time++) client.store.maintain(client.now, 1000)
}

test('an item lives up to the second before its expiry', () => {
  client.write('key', 'value', { expiry: client.now + 10 })
  client.now += 9
  expect(client.has('key')).toBe(true)
  client.now += 1
  expect(client.lookup('key')).toBe(MISS)
  expect(client.store.missReason).toBe(MISS_EXPIRED)
  expect(client.lookup('key')).toBe(MISS)
  expect(client.store.missReason).toBe(MISS_NONE)
})

test('an expired item counts as missing for every operation', () => {
  const keys = ['a', 'b', 'c', 'd']
  for (const key of keys) client.write(key, '1', { expiry: client.now + 1 })
  client.now += 1
  expect(client.remove('a')).toBe(NOT_FOUND)
  expect(client.count('b', 1n)).toBe(NOT_FOUND)
  expect(client.write('c', '2', { mode: WRITE_APPEND })).toBe(NOT_STORED)
  expect(client.write('d', '2', { mode: WRITE_ADD })).toBe(STORED)
  expect(client.get('d')).toBe('2')
})

test('expiries after 2^31 and up to 2^32 - 1 are exact', () => {
  for (const expiry of [2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1]) {
    client.now = expiry - 1
    client.write('key', 'value', { expiry })
    expect(client.find('key')?.expiry).toBe(expiry)
    client.now = expiry
    expect(client.has('key')).toBe(false)
  }
})

test('an item stored with an expiry in the past is stored, and gone', () => {
  expect(client.write('key', 'value', { expiry: 1 })).toBe(STORED)
  expect(client.has('key')).toBe(false)
})

test('touching changes the expiry in both directions', () => {
  client.write('key', 'value', { expiry: client.now + 5 })
  expect(client.touch('key', client.now + 50)).toBe(true)
  client.now += 10
  expect(client.find('key')?.expiry).toBe(client.now + 40)
  expect(client.touch('key', 0)).toBe(true)
  client.now += 1000
  expect(client.has('key')).toBe(true)
  expect(client.touch('key', client.now + 1)).toBe(true)
  client.now += 1
  expect(client.has('key')).toBe(false)
})

test('memory and count of the expired come back without anybody asking for them', () => {
  for (let index = 0; index < 2000; index++) {
    client.write(`short ${index}`, 'v'.repeat(100), { expiry: client.now + 5 })
    if (index % 100 === 0) client.write(`long ${index}`, 'v'.repeat(100))
  }
  const before = readStoreCounters(client.memory)
  expect(before).toMatchObject({ items: 2020, evictions: 0 })
  client.now += 5
  maintain()
  const after = readStoreCounters(client.memory)
  expect(after).toMatchObject({ items: 20, crawlerReclaimed: 2000, expiredUnfetched: 2000 })
  const onlyLong = new Client()
  for (let index = 0; index < 2000; index += 100) onlyLong.write(`long ${index}`, 'v'.repeat(100))
  expect(after.bytes).toBe(readStoreCounters(onlyLong.memory).bytes)
})

test('segments in which everything has expired are free again', () => {
  for (let index = 0; index < 2000; index++) {
    client.write(`short ${index}`, 'v'.repeat(100), { expiry: client.now + 5 })
  }
  const free = readStoreCounters(client.memory).segmentsFree
  client.now += 5
  maintain()
  const after = readStoreCounters(client.memory)
  expect(after.segmentsSealed).toBe(0)
  expect(after.segmentsFree).toBeGreaterThan(free + 10)
})

test('the crawler does what its budget allows, and goes on where it stopped', () => {
  for (let index = 0; index < 500; index++) {
    client.write(`key ${index}`, 'v'.repeat(100), { expiry: client.now + 5 })
  }
  client.now += 5
  let before = 0
  for (let call = 0; call < 100; call++) {
    client.store.maintain(client.now, 25)
    const { crawlerReclaimed } = readStoreCounters(client.memory)
    // Each half of the budget may be overdrawn by the last item.
    expect(crawlerReclaimed - before).toBeLessThanOrEqual(27)
    if (call < 10) expect(crawlerReclaimed).toBeGreaterThan(before)
    before = crawlerReclaimed
    expect(checkIntegrity(client.memory)).toEqual([])
  }
  expect(readStoreCounters(client.memory).items).toBe(0)
})

test('an item touched to live longer is not taken by the crawler, and is later', () => {
  for (let index = 0; index < 500; index++) {
    client.write(`key ${index}`, 'v'.repeat(100), { expiry: client.now + 5 })
  }
  client.touch('key 3', client.now + 60)
  client.touch('key 490', client.now + 60)
  client.now += 5
  maintain()
  expect(readStoreCounters(client.memory).items).toBe(2)
  expect(client.has('key 3')).toBe(true)
  client.now += 55
  maintain()
  expect(readStoreCounters(client.memory).items).toBe(0)
})

test('a flush makes everything stored before it a miss, and nothing stored after it', () => {
  for (let index = 0; index < 100; index++) client.write(`old ${index}`, 'value')
  client.store.flush(0, client.now)
  for (let index = 0; index < 100; index++) client.write(`new ${index}`, 'value')
  expect(client.lookup('old 5')).toBe(MISS)
  expect(client.store.missReason).toBe(MISS_FLUSHED)
  for (let index = 0; index < 100; index++) {
    expect(client.has(`old ${index}`)).toBe(false)
    expect(client.has(`new ${index}`)).toBe(true)
  }
})

test('a flushed item counts as missing for every operation', () => {
  for (const key of ['a', 'b', 'c', 'd']) client.write(key, '1')
  client.store.flush(0, client.now)
  expect(client.remove('a')).toBe(NOT_FOUND)
  expect(client.count('b', 1n)).toBe(NOT_FOUND)
  expect(client.write('c', '2', { mode: WRITE_APPEND })).toBe(NOT_STORED)
  expect(client.write('d', '2', { mode: WRITE_ADD })).toBe(STORED)
})

test('the memory of the flushed comes back without anybody asking for it', () => {
  for (let index = 0; index < 3000; index++) client.write(`key ${index}`, 'v'.repeat(100))
  client.store.flush(0, client.now)
  maintain()
  const counters = readStoreCounters(client.memory)
  expect(counters).toMatchObject({ items: 0, bytes: 0, segmentsSealed: 0, segmentsOpen: 0 })
})

test('a delayed flush takes effect at its second, for what was stored before it', () => {
  client.write('old', 'value')
  client.store.flush(client.now + 10, client.now)
  client.now += 9
  client.write('late', 'value')
  expect(client.has('old')).toBe(true)
  client.now += 1
  expect(client.has('old')).toBe(false)
  expect(client.has('late')).toBe(false)
  client.write('new', 'value')
  client.now += 10
  expect(client.has('new')).toBe(true)
})

test('a delayed flush takes effect in maintain() too, once', () => {
  client.write('old', 'value')
  client.store.flush(client.now + 10, client.now)
  client.now += 20
  maintain()
  expect(readStoreCounters(client.memory).items).toBe(0)
  client.write('new', 'value')
  maintain()
  expect(client.has('new')).toBe(true)
})

test('a later flush does not replace one that is due, although nobody has asked for anything since', () => {
  client.store.flush(client.now + 2, client.now)
  client.write('key', 'value')
  client.now += 2
  client.store.flush(client.now + 2, client.now)
  expect(client.has('key')).toBe(false)
})

test('a later flush replaces one that is pending', () => {
  client.write('key', 'value')
  client.store.flush(client.now + 10, client.now)
  client.store.flush(client.now + 100, client.now)
  client.now += 50
  expect(client.has('key')).toBe(true)
  client.now += 50
  expect(client.has('key')).toBe(false)
  client.write('key', 'value')
  client.store.flush(client.now + 10, client.now)
  client.store.flush(0, client.now)
  client.write('key', 'value')
  client.now += 50
  expect(client.has('key')).toBe(true)
})

test('a flush by one worker holds for what the others stored, and store', () => {
  const one = new Client({ workerCount: 3 })
  const two = one.worker(1)
  const three = one.worker(2)
  one.write('one', 'value')
  two.write('two', 'value')
  three.store.flush(0, three.now)
  two.write('after', 'value')
  for (const worker of [one, two, three]) {
    expect(worker.has('one')).toBe(false)
    expect(worker.has('two')).toBe(false)
    expect(worker.has('after')).toBe(true)
  }
  expect(checkIntegrity(one.memory)).toEqual([])
})
