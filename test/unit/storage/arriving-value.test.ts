/** Values that arrive in the log, among the records of others. */

import { expect, test } from 'vitest'
import { type ArrivingValue, mayBegin } from '../../../src/storage/arriving-value.ts'
import { ARRIVING_COUNT_WORD } from '../../../src/storage/control-block.ts'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { EXISTS, NOT_FOUND, STORED } from '../../../src/storage/result.ts'
import { WRITE_ADD, WRITE_REPLACE } from '../../../src/storage/write-order.ts'
import { Client, orderOf, type WriteOptions } from './client.ts'
import { randomOf, seedOfRun } from './model.ts'

const KIB = 1024
/** 16 KiB segments, 127 of them: values of 64 KiB and more lie in several. */
const MEMORY_BYTES = 2048 * KIB
const VALUE_BYTES = 100_000
const NOT_HERE = Buffer.alloc(0)

function newClient(memoryBytes = MEMORY_BYTES, workerCount = 1, evicts = true): Client {
  return new Client({ memoryBytes, itemBytesMax: 1024 * KIB, evicts, workerCount })
}

function patternOf(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let index = 0; index < length; index++)
    bytes[index] = (index * 31 + seed + (index >> 8)) & 255
  return bytes
}

function begin(
  client: Client,
  key: string,
  valueLength: number,
  expiry = 0,
): ArrivingValue | undefined {
  const order = orderOf(Buffer.from(key), NOT_HERE, client.now, { valueLength, expiry })
  return client.store.beginArriving(order)
}

function mustBegin(client: Client, key: string, valueLength: number, expiry = 0): ArrivingValue {
  const arriving = begin(client, key, valueLength, expiry)
  expect(arriving).toBeDefined()
  return arriving!
}

function feed(client: Client, arriving: ArrivingValue, value: Buffer, upTo = value.length): void {
  for (let at = arriving.arrivedBytes; at < upTo; at = arriving.arrivedBytes) {
    const length = Math.min(5000, upTo - at)
    expect(client.store.appendLarge(arriving, value, at, length, client.now)).toBe(true)
  }
}

function finish(
  client: Client,
  key: string,
  arriving: ArrivingValue,
  options: WriteOptions = {},
): number {
  const { cas = [0, 0], givenCas: _, ...fields } = options
  const order = orderOf(Buffer.from(key), NOT_HERE, client.now, fields)
  order.valueLength = arriving.valueLength
  order.casHigh = cas[0]
  order.casLow = cas[1]
  order.received = arriving
  return client.store.write(order)
}

function put(client: Client, key: string, value: Buffer, options: WriteOptions = {}): number {
  const arriving = mustBegin(client, key, value.length, options.expiry)
  feed(client, arriving, value)
  return finish(client, key, arriving, options)
}

function expectSound(client: Client): void {
  expect(checkIntegrity(client.memory)).toEqual([])
}

function heldCount(client: Client): number {
  return new Int32Array(client.memory.control)[ARRIVING_COUNT_WORD]!
}

/** Stores more than the memory holds, so that all that may leave does. */
function churn(client: Client, round: number, valueBytes = 3000): void {
  const value = Buffer.alloc(valueBytes, 0x63)
  const count = Math.ceil((1.5 * client.memory.geometry.memoryBytes) / valueBytes)
  let stored = 0
  for (let index = 0; index < count; index++) {
    if (client.write(`churn ${round} ${index}`, value) === STORED) stored++
  }
  expect(stored).toBe(count)
}

test('what was appended in pieces is read as one value, whatever the lengths of key and value', () => {
  const client = newClient()
  for (const keyLength of [1, 2, 3, 4, 5, 249, 250]) {
    for (const length of [65_536, 65_537, 16_384 * 5 - 28 - keyLength, 100_001, 100_003]) {
      client.write(`between ${keyLength} ${length}`, 'b'.repeat(length % 997))
      const key = 'k'.repeat(keyLength)
      const value = patternOf(length, keyLength)
      const expiry = client.now + 100
      expect(put(client, key, value, { flags: 7, expiry })).toBe(STORED)
      const { cas } = client
      const found = client.find(key)!
      expect(found).toMatchObject({ flags: 7, expiry, cas })
      expect(Buffer.from(found.value, 'latin1').equals(value)).toBe(true)
      expectSound(client)
      expect(heldCount(client)).toBe(0)
    }
  }
})

test('what is put where it belongs is read as one value, as what is appended is', () => {
  const client = newClient()
  const random = randomOf(seedOfRun())
  for (let round = 0; round < 60; round++) {
    client.write(`between ${round}`, 'b'.repeat(random.below(3000)))
    const key = 'k'.repeat(1 + random.below(250))
    const value = patternOf(65_536 + random.below(60_000), round)
    const arriving = mustBegin(client, key, value.length)
    client.write(`behind ${round}`, 'b'.repeat(random.below(3000)))
    while (arriving.missingBytes > 0) {
      const { arrivedBytes } = arriving
      if (random.below(4) === 0) {
        feed(client, arriving, value, Math.min(value.length, arrivedBytes + random.below(20_000)))
        continue
      }
      const lengthMax = 1 + random.below(100_000)
      const room = arriving.room(lengthMax)
      expect(room.length).toBeGreaterThan(0)
      expect(room.length).toBeLessThanOrEqual(Math.min(lengthMax, arriving.missingBytes))
      const length = 1 + random.below(room.length)
      room.set(value.subarray(arrivedBytes, arrivedBytes + length))
      expect(client.store.appendLarge(arriving, undefined, 0, length, client.now)).toBe(true)
    }
    expect(arriving.room(100).length).toBe(0)
    expect(finish(client, key, arriving)).toBe(STORED)
    expect(Buffer.from(client.find(key)!.value, 'latin1').equals(value)).toBe(true)
    expect(client.get(`between ${round}`)).toMatch(/^b*$/)
    expect(client.get(`behind ${round}`)).toMatch(/^b*$/)
    expectSound(client)
  }
})

test('it lies among the records of others, and takes no more room than any other record', () => {
  const client = newClient()
  const value = patternOf(VALUE_BYTES, 1)
  for (let index = 0; index < 20; index++) {
    expect(put(client, `key ${index}`, value)).toBe(STORED)
    client.write(`small ${index}`, 'v')
  }
  const counters = readStoreCounters(client.memory)
  const { segmentBytes, segmentCount } = client.memory.geometry
  const used = segmentCount - counters.segmentsFree
  // The first page of the index, the open segment of each of the two groups, and what is full.
  expect(used).toBeLessThanOrEqual(Math.ceil(counters.bytes / segmentBytes) + 3)
})

test('until the last byte is written nobody sees a new value, nor loses the old one', () => {
  const client = newClient()
  client.write('key', 'old')
  const value = patternOf(VALUE_BYTES, 1)
  const arriving = mustBegin(client, 'key', value.length)
  for (let upTo = 0; upTo <= value.length; upTo += 20_000) {
    feed(client, arriving, value, upTo)
    expect(client.get('key')).toBe('old')
    client.write(`other ${upTo}`, 'v')
    expect(client.store.quiesce()).toBe(false)
    expectSound(client)
  }
  expect(finish(client, 'key', arriving)).toBe(STORED)
  expect(client.get('key')).toBe(value.toString('latin1'))
  expect(client.get('other 0')).toBe('v')
  expect(client.store.quiesce()).toBe(true)
  expectSound(client)
})

test('the conditions of a write are those of the moment in which it ends', () => {
  const client = newClient()
  const value = patternOf(VALUE_BYTES, 2)
  const arriving = mustBegin(client, 'key', value.length)
  feed(client, arriving, value)
  client.write('key', 'first')
  expect(finish(client, 'key', arriving, { mode: WRITE_ADD })).toBe(EXISTS)
  expect(put(client, 'none', value, { mode: WRITE_REPLACE })).toBe(NOT_FOUND)
  expect(put(client, 'none', value, { cas: [0, 1] })).toBe(NOT_FOUND)
  const [high, low] = client.find('key')!.cas
  expect(put(client, 'key', value, { cas: [high, low + 1] })).toBe(EXISTS)
  expect(client.get('key')).toBe('first')
  expect(heldCount(client)).toBe(0)
  expect(put(client, 'key', value, { cas: [high, low] })).toBe(STORED)
  expect(client.get('key')?.length).toBe(value.length)
  expectSound(client)
})

test('two values of the same key arrive beside each other, and the one that ends last stays', () => {
  const client = newClient()
  const [one, two] = [patternOf(70_000, 1), patternOf(VALUE_BYTES, 2)]
  const first = mustBegin(client, 'key', one.length)
  const second = mustBegin(client, 'key', two.length)
  for (let upTo = 10_000; upTo <= 70_000; upTo += 10_000) {
    feed(client, second, two, upTo)
    feed(client, first, one, upTo)
  }
  feed(client, second, two)
  expect(finish(client, 'key', second)).toBe(STORED)
  expect(finish(client, 'key', first)).toBe(STORED)
  expect(client.get('key')).toBe(one.toString('latin1'))
  expectSound(client)
  expect(readStoreCounters(client.memory).items).toBe(1)
})

test('what an abandoned value took is given back, however far it came and whatever was around it', () => {
  const client = newClient()
  const value = patternOf(VALUE_BYTES, 3)
  const before = readStoreCounters(client.memory)
  for (const upTo of [0, 1, 16_384, 99_999, VALUE_BYTES]) {
    client.write(`before ${upTo}`, 'v')
    const arriving = mustBegin(client, 'key', value.length)
    client.write(`behind ${upTo}`, 'v')
    feed(client, arriving, value, upTo)
    arriving.abandon()
    arriving.abandon()
    expect(heldCount(client)).toBe(0)
    expectSound(client)
    expect(client.get(`before ${upTo}`)).toBe('v')
    expect(client.get(`behind ${upTo}`)).toBe('v')
    client.remove(`before ${upTo}`)
    client.remove(`behind ${upTo}`)
  }
  expect(readStoreCounters(client.memory)).toMatchObject({ items: before.items, bytes: 0 })
  churn(client, 1)
  expectSound(client)
})

test('a flush in between does not hide what ends after it, and drops what was there before', () => {
  const client = newClient()
  const value = patternOf(VALUE_BYTES, 4)
  client.write('old', 'v')
  const arriving = mustBegin(client, 'key', value.length)
  feed(client, arriving, value, 50_000)
  client.store.flush(client.now, client.now)
  client.store.maintain(client.now, 100_000)
  expectSound(client)
  client.write('new', 'v')
  feed(client, arriving, value)
  expect(finish(client, 'key', arriving, { flags: 3 })).toBe(STORED)
  expect(client.find('key')).toMatchObject({ value: value.toString('latin1'), flags: 3 })
  expect(client.has('old')).toBe(false)
  expect(client.has('new')).toBe(true)
  client.store.maintain(client.now, 100_000)
  expectSound(client)
  expect(heldCount(client)).toBe(0)
})

test('memory that is full and turned over many times leaves a value that arrives where it is', () => {
  const client = newClient()
  const value = patternOf(VALUE_BYTES, 5)
  const arriving = mustBegin(client, 'key', value.length)
  for (let round = 0; round < 3; round++) {
    feed(client, arriving, value, 20_000 * (round + 1))
    churn(client, round)
    client.store.maintain(client.now, 10_000)
    expectSound(client)
  }
  feed(client, arriving, value)
  expect(finish(client, 'key', arriving)).toBe(STORED)
  expect(client.get('key')).toBe(value.toString('latin1'))
  churn(client, 9)
  expectSound(client)
})

test('one that arrived for an item that is read a lot is found after as many turns', () => {
  const client = newClient()
  const value = patternOf(VALUE_BYTES, 6)
  expect(put(client, 'key', value)).toBe(STORED)
  for (let index = 0; index < 1500; index++) {
    client.write(`other ${index}`, Buffer.alloc(3000))
    client.get('key')
  }
  expect(client.get('key')).toBe(value.toString('latin1'))
  expectSound(client)
})

test('an item that was to expire soon, and whose segments were met meanwhile, expires when it shall', () => {
  const client = newClient()
  const value = patternOf(VALUE_BYTES, 7)
  for (let index = 0; index < 5; index++)
    client.write(`soon ${index}`, 'v', { expiry: client.now + 5 })
  const arriving = mustBegin(client, 'key', value.length, client.now + 5)
  feed(client, arriving, value, 60_000)
  client.now += 10
  client.store.maintain(client.now, 100_000)
  churn(client, 1)
  client.store.maintain(client.now, 100_000)
  feed(client, arriving, value)
  // Relative to when it ends, as the request says.
  const expiry = client.now + 5
  expect(finish(client, 'key', arriving, { expiry })).toBe(STORED)
  expect(client.find('key')).toMatchObject({ expiry })
  expectSound(client)
  client.now += 6
  client.store.maintain(client.now, 100_000)
  expect(client.has('key')).toBe(false)
  expectSound(client)
})

test('all that arrive hold a quarter of the segments, and what comes then waits elsewhere', () => {
  const client = newClient()
  const { segmentCount } = client.memory.geometry
  const arriving: ArrivingValue[] = []
  for (;;) {
    const next = begin(client, `key ${arriving.length}`, VALUE_BYTES)
    if (next === undefined) break
    arriving.push(next)
  }
  expect(heldCount(client)).toBeLessThanOrEqual(segmentCount >> 2)
  // A value of 100,000 bytes lies in up to eight of these segments.
  expect(arriving.length).toBe(Math.floor((segmentCount >> 2) / 8))
  expectSound(client)
  arriving[0]!.abandon()
  const again = mustBegin(client, 'again', VALUE_BYTES)
  for (const value of [...arriving, again]) value.abandon()
  expect(heldCount(client)).toBe(0)
  expectSound(client)
})

test('values that arrive and never end keep nobody from writing', () => {
  const client = newClient()
  for (let count = 0; begin(client, `key ${count}`, VALUE_BYTES) !== undefined; count++);
  churn(client, 1)
  churn(client, 2, 300_000)
  expectSound(client)
})

test('with -M, in a memory of few segments, and for values of less than 64 KiB, room is not taken ahead', () => {
  expect(begin(newClient(MEMORY_BYTES, 1, false), 'key', VALUE_BYTES)).toBeUndefined()
  expect(begin(newClient(256 * KIB), 'key', VALUE_BYTES)).toBeUndefined()
  expect(mayBegin(65_535, 65_535)).toBe(false)
  expect(mayBegin(65_536, 4095)).toBe(false)
  expect(mayBegin(65_536, 4096)).toBe(true)
})

test('workers whose values arrive at once, with evictions, flushes and ends of all kinds, keep a sound store', () => {
  const client = newClient(2048 * KIB, 3)
  const workers = [client, client.worker(1), client.worker(2)]
  const random = randomOf(seedOfRun())
  const under: { worker: Client; key: string; value: Buffer; arriving: ArrivingValue }[] = []
  const expected = new Map<string, string>()
  for (let step = 0; step < 1500; step++) {
    const worker = workers[random.below(3)]!
    const key = `key ${random.below(12)}`
    const dice = random.below(20)
    if (dice < 5) {
      const value = patternOf(65_536 + random.below(60_000), step)
      const arriving = begin(worker, key, value.length, random.below(4) === 0 ? client.now + 50 : 0)
      if (arriving !== undefined) under.push({ worker, key, value, arriving })
    } else if (dice < 12 && under.length > 0) {
      const { worker: owner, value, arriving } = under[random.below(under.length)]!
      feed(owner, arriving, value, Math.min(value.length, arriving.arrivedBytes + 30_000))
    } else if (dice < 16) {
      const complete = under.findIndex(({ arriving }) => arriving.missingBytes === 0)
      if (complete >= 0) {
        const [entry] = under.splice(complete, 1)
        expect(finish(entry!.worker, entry!.key, entry!.arriving)).toBe(STORED)
        expected.set(entry!.key, entry!.value.toString('latin1'))
      }
    } else if (dice === 16 && under.length > 0) {
      under.splice(random.below(under.length), 1)[0]!.arriving.abandon()
    } else if (dice === 17) {
      expect(worker.write(key, `small ${step}`)).toBe(STORED)
      expected.set(key, `small ${step}`)
    } else if (dice === 18) {
      for (let index = 0; index < 20; index++)
        worker.write(`fill ${random.below(500)}`, Buffer.alloc(4000))
      worker.store.maintain(worker.now, 1000)
    } else if (random.below(20) === 0) {
      worker.store.flush(client.now, worker.now)
      expected.clear()
    }
    const found = worker.find(key, true)
    if (found !== undefined) expect(found.value === expected.get(key)).toBe(true)
    if (step % 100 === 0) expectSound(client)
  }
  for (const { arriving } of under) arriving.abandon()
  expectSound(client)
  expect(heldCount(client)).toBe(0)
})
