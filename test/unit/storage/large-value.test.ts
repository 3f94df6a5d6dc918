/** Values that arrive in pieces, in segments of their own. */

import { expect, test } from 'vitest'
import { RECEIVING_COUNT_WORD } from '../../../src/storage/control-block.ts'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import type { LargeValue } from '../../../src/storage/large-value.ts'
import { EXISTS, NOT_FOUND, STORED } from '../../../src/storage/result.ts'
import { WRITE_ADD, WRITE_REPLACE } from '../../../src/storage/write-order.ts'
import { Client, orderOf, type WriteOptions } from './client.ts'
import { randomOf, seedOfRun } from './model.ts'

const KIB = 1024
const PIECE_BYTES = 5000
const NOT_HERE = Buffer.alloc(0)

function newClient(evicts = true, memoryBytes = 1024 * KIB, itemBytesMax = 1024 * KIB): Client {
  return new Client({ memoryBytes, itemBytesMax, evicts })
}

function patternOf(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let index = 0; index < length; index++)
    bytes[index] = (index * 31 + seed + (index >> 8)) & 255
  return bytes
}

/** Appends what is still missing of `value`, up to `upTo`; false if there was no room. */
function feed(client: Client, large: LargeValue, value: Buffer, upTo = value.length): boolean {
  let at = value.length - large.missingBytes
  while (at < upTo) {
    const length = Math.min(PIECE_BYTES, upTo - at)
    if (!client.store.appendLarge(large, value, at, length, client.now)) return false
    at += length
  }
  return true
}

function finish(
  client: Client,
  key: string,
  large: LargeValue,
  options: WriteOptions = {},
): number {
  const keyBytes = Buffer.from(key)
  const { cas = [0, 0], givenCas: _, ...fields } = options
  const order = orderOf(keyBytes, NOT_HERE, client.now, fields)
  order.valueLength = large.valueLength
  order.casHigh = cas[0]
  order.casLow = cas[1]
  order.received = large
  return client.store.write(order)
}

function put(client: Client, key: string, value: Buffer, options: WriteOptions = {}): number {
  const large = client.store.beginLarge(key.length, value.length)
  if (!feed(client, large, value)) return 0
  return finish(client, key, large, options)
}

function expectSound(client: Client): void {
  expect(checkIntegrity(client.memory)).toEqual([])
}

function heldSegments(client: Client): number {
  return new Int32Array(client.memory.control)[RECEIVING_COUNT_WORD]!
}

test('what was appended in pieces is read as one value, whatever the lengths of key and value', () => {
  const client = newClient()
  for (const keyLength of [1, 2, 3, 4, 5, 249, 250]) {
    for (const length of [16_384 - 28 - keyLength, 16_384, 100_000, 100_001, 100_002, 100_003]) {
      const key = 'k'.repeat(keyLength)
      const value = patternOf(length, keyLength)
      const expiry = client.now + 100
      expect(put(client, key, value, { flags: 7, expiry })).toBe(STORED)
      const { cas } = client
      const found = client.find(key)!
      expect(found).toMatchObject({ flags: 7, expiry, cas })
      expect(Buffer.from(found.value, 'latin1').equals(value)).toBe(true)
      expectSound(client)
      expect(heldSegments(client)).toBe(0)
    }
  }
})

test('until the last byte is written nobody sees a new value, nor loses the old one', () => {
  const client = newClient()
  client.write('key', 'old')
  const value = patternOf(100_000, 1)
  const large = client.store.beginLarge(3, value.length)
  for (let upTo = 0; upTo <= value.length; upTo += 20_000) {
    expect(feed(client, large, value, upTo)).toBe(true)
    expect(client.get('key')).toBe('old')
    client.write(`other ${upTo}`, 'v')
    expectSound(client)
  }
  expect(finish(client, 'key', large)).toBe(STORED)
  expect(client.get('key')).toBe(value.toString('latin1'))
  expect(client.get('other 0')).toBe('v')
  expectSound(client)
})

test('the conditions of a write are those of the moment in which it ends', () => {
  const client = newClient()
  const value = patternOf(100_000, 2)
  const large = client.store.beginLarge(3, value.length)
  feed(client, large, value)
  client.write('key', 'first')
  expect(finish(client, 'key', large, { mode: WRITE_ADD })).toBe(EXISTS)
  expect(put(client, 'none', value, { mode: WRITE_REPLACE })).toBe(NOT_FOUND)
  expect(put(client, 'none', value, { cas: [0, 1] })).toBe(NOT_FOUND)
  const [high, low] = client.find('key')!.cas
  expect(put(client, 'key', value, { cas: [high, low + 1] })).toBe(EXISTS)
  expect(client.get('key')).toBe('first')
  expect(heldSegments(client)).toBe(0)
  expect(put(client, 'key', value, { cas: [high, low] })).toBe(STORED)
  expect(client.get('key')?.length).toBe(value.length)
  expectSound(client)
})

test('what an abandoned value took is given back, however far it came', () => {
  const client = newClient()
  const value = patternOf(300_000, 3)
  const before = readStoreCounters(client.memory).segmentsFree
  for (const upTo of [0, 1, 16_000, 16_384, 299_999, 300_000]) {
    const large = client.store.beginLarge(3, value.length)
    expect(feed(client, large, value, upTo)).toBe(true)
    large.abandon()
    large.abandon()
    expect(readStoreCounters(client.memory).segmentsFree).toBe(before)
    expect(heldSegments(client)).toBe(0)
    expectSound(client)
  }
})

test('an announced value holds only what has arrived of it', () => {
  const client = newClient()
  const value = patternOf(500_000, 4)
  const before = readStoreCounters(client.memory).segmentsFree
  const large = client.store.beginLarge(3, value.length)
  expect(readStoreCounters(client.memory).segmentsFree).toBe(before)
  feed(client, large, value, 10_000)
  expect(before - readStoreCounters(client.memory).segmentsFree).toBe(1)
})

test('values under way hold half of the memory together, and one alone three quarters', () => {
  const client = newClient()
  const { segmentCount, segmentBytes } = client.memory.geometry
  const value = patternOf(Math.floor(segmentCount * 0.3) * segmentBytes, 5)
  const first = client.store.beginLarge(1, value.length)
  const second = client.store.beginLarge(1, value.length)
  expect(feed(client, first, value)).toBe(true)
  expect(feed(client, second, value)).toBe(false)
  expect(heldSegments(client)).toBe(Math.ceil((value.length + 29) / segmentBytes))
  expectSound(client)
  expect(finish(client, 'a', first)).toBe(STORED)
  expect(put(client, 'b', patternOf(700_000, 6))).toBe(STORED)
  expect(put(client, 'c', patternOf(800_000, 6))).toBe(0)
  expect(client.get('b')?.length).toBe(700_000)
  expectSound(client)
})

test('in full memory a value makes its room, evicting as it comes, and memory stays within its limit', () => {
  const client = newClient()
  for (let index = 0; index < 20_000; index++) client.write(`key ${index}`, 'v'.repeat(100))
  const value = patternOf(400_000, 7)
  for (let round = 0; round < 20; round++) {
    expect(put(client, `large ${round}`, value)).toBe(STORED)
    expect(client.get(`large ${round}`)?.length).toBe(value.length)
    client.write(`key ${round}`, 'w'.repeat(100))
    expect(client.get(`key ${round}`)).toBe('w'.repeat(100))
    expectSound(client)
  }
})

test('with -M a value for which there is no room is refused, and nothing is lost', () => {
  const client = newClient(false)
  let count = 0
  while (readStoreCounters(client.memory).segmentsFree > 10) {
    client.write(`key ${count++}`, 'v'.repeat(1000))
  }
  expect(put(client, 'large', patternOf(400_000, 8))).toBe(0)
  for (let index = 0; index < count; index++) expect(client.has(`key ${index}`)).toBe(true)
  expect(heldSegments(client)).toBe(0)
  expectSound(client)
})

test('a flush while a value arrives does not take it along', () => {
  const client = newClient()
  const value = patternOf(100_000, 9)
  const large = client.store.beginLarge(3, value.length)
  feed(client, large, value, 50_000)
  client.write('other', 'v')
  client.store.flush(0, client.now)
  feed(client, large, value)
  expect(finish(client, 'key', large)).toBe(STORED)
  expect(client.has('other')).toBe(false)
  expect(client.get('key')).toBe(value.toString('latin1'))
  client.store.flush(0, client.now)
  expect(client.has('key')).toBe(false)
  client.store.maintain(client.now, 1000)
  expectSound(client)
})

test('a value whose last segment is hardly used is not evicted while compacting makes room', () => {
  const client = newClient()
  const value = patternOf(100_000, 10)
  expect(put(client, 'large', value)).toBe(STORED)
  const random = randomOf(seedOfRun())
  for (let round = 0; round < 20_000; round++) {
    client.write(`key ${random.below(800)}`, 'v'.repeat(340 + random.below(60)))
  }
  const { compactedSegments, evictions } = readStoreCounters(client.memory)
  expect(compactedSegments).toBeGreaterThan(0)
  expect(evictions).toBe(0)
  expect(client.get('large')).toBe(value.toString('latin1'))
  expectSound(client)
})

test('a flush between the look at the old value and the link of the new one takes both', () => {
  for (const withCas of [false, true]) {
    const client = newClient()
    client.write('key', 'old')
    const value = patternOf(100_000, 11)
    const large = client.store.beginLarge(3, value.length)
    feed(client, large, value)
    const beforeLink = large.beforeLink.bind(large)
    large.beforeLink = (...known: Parameters<LargeValue['beforeLink']>): void => {
      client.store.flush(0, client.now)
      beforeLink(...known)
    }
    const options: WriteOptions = withCas
      ? { cas: client.find('key')!.cas }
      : { mode: WRITE_REPLACE }
    expect(finish(client, 'key', large, options)).toBe(STORED)
    expect(client.has('key')).toBe(false)
    client.store.maintain(client.now, 1000)
    expectSound(client)
  }
})

test('a value over a sixty-fourth of the memory goes to the main queue, a smaller one first to the small one', () => {
  const client = newClient(true, 1024 * 1024 * KIB, 64 * 1024 * KIB)
  expect(put(client, 'small', Buffer.alloc(10 * 1024 * KIB, 1))).toBe(STORED)
  expect(readStoreCounters(client.memory)).toMatchObject({ segmentsSealed: 11, segmentsSmall: 11 })
  expect(put(client, 'main', Buffer.alloc(20 * 1024 * KIB, 1))).toBe(STORED)
  expect(readStoreCounters(client.memory)).toMatchObject({ segmentsSealed: 32, segmentsSmall: 11 })
  expectSound(client)
})
