/** What compaction moves, and what it lets lie because moving it would take too long. */

import { expect, test } from 'vitest'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { HIT, STORED, TOO_LARGE } from '../../../src/storage/result.ts'
import { WRITE_ADD } from '../../../src/storage/write-order.ts'
import { mustBe } from '../../support/must-be.ts'
import { Client } from './client.ts'

const KIB = 1024
const MIB = 1024 * KIB
/** With -M: eight segments, which have 64 KiB at 32 MiB. */
const MOVED_BYTES_MAX = 512 * KIB
const FILLER = Buffer.alloc(2000, 1)

function newClient(evicts: boolean): Client {
  return new Client({ memoryBytes: 32 * MIB, itemBytesMax: 8 * MIB, evicts })
}

function placeOf(client: Client, key: string): number {
  expect(client.lookup(key), key).toBe(HIT)
  const { heldLocation } = client.store
  client.store.release()
  return heldLocation
}

/** Fills a store with -M up to so many free segments, then frees half of each segment. */
function fillWithHoles(client: Client, freeSegments: number): number {
  let count = 0
  for (; readStoreCounters(client.memory).segmentsFree > freeSegments; count++) {
    mustBe(client.write(`filler ${count}`, FILLER), STORED)
  }
  for (let index = 0; index < count; index += 2) client.remove(`filler ${index}`)
  return count
}

test('with -M compaction moves items up to its bound and never a larger one, also when much is free', () => {
  const client = newClient(false)
  const sizes = [30 * KIB, 500 * KIB, 600 * KIB, 3 * MIB]
  const places = new Map<number, number>()
  for (const size of sizes) {
    client.write(`neighbour ${size}`, FILLER)
    // Dies, so that these segments are the emptiest and the first to be compacted.
    client.write(`doomed ${size}`, Buffer.alloc(50_000, 3))
    expect(client.write(`item ${size}`, Buffer.alloc(size, 2))).toBe(STORED)
    places.set(size, placeOf(client, `item ${size}`))
  }
  fillWithHoles(client, 100)
  for (const size of sizes) client.remove(`doomed ${size}`)
  expect(client.write('new', Buffer.alloc(8 * MIB - 100, 4))).toBe(STORED)
  expect(readStoreCounters(client.memory).compactedSegments).toBeGreaterThan(20)
  const moved = sizes.filter((size) => placeOf(client, `item ${size}`) !== places.get(size))
  expect(moved.length).toBeGreaterThan(0)
  expect(Math.max(...moved)).toBeLessThanOrEqual(MOVED_BYTES_MAX)
  for (const size of sizes) {
    expect(client.get(`item ${size}`)?.length).toBe(size)
  }
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('what lies behind the end of an item that stays is compacted, and the room there used again', () => {
  const client = newClient(false)
  const segmentOf = (key: string) => Math.floor((placeOf(client, key) * 4) / (64 * KIB))
  expect(client.write('large', Buffer.alloc(3 * MIB, 4))).toBe(STORED)
  const place = placeOf(client, 'large')
  const count = fillWithHoles(client, 20)
  let behind = -1
  for (let index = 1; index < count; index += 2) {
    // Its segments are the first ones of the log.
    if (segmentOf(`filler ${index}`) === segmentOf('large') + 48) behind = index
  }
  expect(behind, 'in the last segment of the large item').toBeGreaterThan(0)
  expect(client.write('first', Buffer.alloc(9 * MIB, 4), { mode: WRITE_ADD })).toBe(TOO_LARGE)
  expect(client.write('first', Buffer.alloc(7 * MIB, 4))).toBe(STORED)
  expect(client.write('second', Buffer.alloc(4 * MIB, 4))).toBe(STORED)
  expect(segmentOf(`filler ${behind}`)).not.toBe(segmentOf('large') + 48)
  expect(checkIntegrity(client.memory)).toEqual([])
  let more = 0
  while (client.write(`new ${more}`, FILLER) === STORED) more++
  const { bytes, indexBytes } = readStoreCounters(client.memory)
  expect(bytes + indexBytes).toBeGreaterThan(0.94 * 32 * MIB)
  expect(placeOf(client, 'large')).toBe(place)
  client.remove('large')
  expect(client.write('third', Buffer.alloc(2 * MIB, 4))).toBe(STORED)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('a large item that has expired does not keep its segments', () => {
  for (const evicts of [false, true]) {
    const client = newClient(evicts)
    client.write('large', Buffer.alloc(3 * MIB, 4), { expiry: client.now + 10 })
    client.now += 11
    for (let turn = 0; turn < 20; turn++) client.store.maintain(client.now, 100)
    expect(readStoreCounters(client.memory)).toMatchObject({ items: 0, bytes: 0 })
    expect(checkIntegrity(client.memory)).toEqual([])
  }
})

test.each([1.1, 1.5, 3, 5])(
  'in a memory full of items of %d MiB that were read, a new one costs no more than its room',
  (mib) => {
    const client = newClient(true)
    const value = Buffer.alloc(mib * MIB, 5)
    const fitting = Math.floor(32 / mib)
    let itemsMax = 0
    for (let index = 0; index < 4 * fitting; index++) {
      const before = readStoreCounters(client.memory).items
      expect(client.write(`item ${index}`, value)).toBe(STORED)
      expect(client.get(`item ${index}`)?.length).toBe(value.length)
      const { items } = readStoreCounters(client.memory)
      itemsMax = Math.max(itemsMax, items)
      // One for its room, one for what of the first lay in segments shared with others, one ahead.
      expect(items, `after ${index}`).toBeGreaterThanOrEqual(before - 2)
    }
    expect(itemsMax).toBeGreaterThan(0.8 * fitting)
    expect(readStoreCounters(client.memory).items).toBeGreaterThan(0.7 * fitting)
    expect(checkIntegrity(client.memory)).toEqual([])
  },
)

test('a large item that is read now and then outlives those that never are', () => {
  const client = newClient(true)
  const value = Buffer.alloc(1.2 * MIB, 6)
  client.write('read', value)
  for (let index = 0; index < 100; index++) {
    if (index % 5 === 0) expect(client.get('read')?.length, `after ${index}`).toBe(value.length)
    expect(client.write(`not read ${index}`, value)).toBe(STORED)
  }
  expect(client.has('read')).toBe(true)
  expect(client.has('not read 50')).toBe(false)
})

test('a write to a memory full of large items that were read often does not go through all of them', () => {
  const client = new Client({ memoryBytes: 128 * MIB, itemBytesMax: 8 * MIB })
  const value = Buffer.alloc(1.1 * MIB, 7)
  let index = 0
  for (; readStoreCounters(client.memory).evictions === 0; index++) {
    client.write(`item ${index}`, value)
    for (let read = 0; read < 3; read++) client.get(`item ${index}`)
  }
  // Going round until one has no read left would have found one: this one went before.
  const { evictedActive, evictions } = readStoreCounters(client.memory)
  expect(evictedActive).toBe(evictions)
  expect(evictions).toBeLessThanOrEqual(2)
  expect(client.has(`item ${index - 1}`)).toBe(true)
})
