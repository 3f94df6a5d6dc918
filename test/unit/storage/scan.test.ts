import { expect, test } from 'vitest'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { STATE_FETCHED } from '../../../src/storage/item.ts'
import { HIT, STORED } from '../../../src/storage/result.ts'
import type { ItemVisitor, Store } from '../../../src/storage/store.ts'
import { Client } from './client.ts'
import { randomOf, seedOfRun } from './model.ts'

interface Seen {
  readonly valueBytes: number
  readonly flags: number
  readonly expiry: number
}

function seenBy(
  client: Client,
  buckets: number,
  between: () => void = () => {},
): { seen: Map<string, Seen>; twice: number; calls: number } {
  const seen = new Map<string, Seen>()
  let twice = 0
  const visitor = {
    visitItem(store: Store): void {
      const key = Buffer.from(store.scannedKey.subarray(0, store.keyBytes)).toString('latin1')
      if (seen.has(key)) twice++
      const { valueBytes, flags, expiry } = store
      seen.set(key, { valueBytes, flags, expiry })
    },
  }
  let cursor = 0
  let calls = 0
  while (cursor >= 0) {
    cursor = client.store.scan(cursor, buckets, client.now, visitor)
    calls++
    between()
  }
  return { seen, twice, calls }
}

test('a scan shows every item once, with its key and its fields', () => {
  const client = new Client({ memoryBytes: 8 * 1024 * 1024 })
  for (let index = 0; index < 3000; index++) {
    client.write(`key ${index}`, 'v'.repeat(index % 50), { flags: index, expiry: client.now + 9 })
  }
  client.write('k'.repeat(250), 'longest')
  const { seen, twice, calls } = seenBy(client, 100)
  expect(seen.size).toBe(3001)
  expect(twice).toBe(0)
  expect(calls).toBeGreaterThan(3)
  expect(seen.get('key 77')).toEqual({ valueBytes: 27, flags: 77, expiry: client.now + 9 })
  expect(seen.get('k'.repeat(250))?.valueBytes).toBe(7)
})

test('a scan of an empty store ends', () => {
  expect(seenBy(new Client(), 10).seen.size).toBe(0)
})

test('a scan leaves out what is expired or flushed', () => {
  const client = new Client()
  client.write('short', 'value', { expiry: client.now + 1 })
  client.write('long', 'value')
  client.now += 1
  expect([...seenBy(client, 1000).seen.keys()]).toEqual(['long'])
  client.store.flush(0, client.now)
  expect(seenBy(client, 1000).seen.size).toBe(0)
})

test('what is there all the while is shown although the index grows and items come and go', () => {
  const client = new Client({ memoryBytes: 16 * 1024 * 1024 })
  for (let index = 0; index < 2000; index++) client.write(`old ${index}`, 'value')
  for (let index = 0; index < 2000; index++) client.write(`gone ${index}`, 'value')
  const bucketsBefore = readStoreCounters(client.memory).bucketCount
  let next = 0
  const { seen } = seenBy(client, 20, () => {
    for (let index = 0; index < 60; index++) client.write(`new ${next++}`, 'value')
    client.remove(`gone ${next % 2000}`)
  })
  let missed = 0
  for (let index = 0; index < 2000; index++) if (!seen.has(`old ${index}`)) missed++
  expect(missed).toBe(0)
  expect(readStoreCounters(client.memory).bucketCount).toBeGreaterThan(bucketsBefore * 1.3)
})

/** Copies each value that a scan shows, in pieces of up to `pieceBytes`. */
class ValueReader implements ItemVisitor {
  readonly values: Map<string, Buffer> = new Map()
  private readonly pieceBytes: number

  constructor(pieceBytes: number) {
    this.pieceBytes = pieceBytes
  }

  visitItem(store: Store): void {
    const key = Buffer.from(store.scannedKey.subarray(0, store.keyBytes)).toString('latin1')
    const value = Buffer.alloc(store.valueBytes)
    if (value.length <= this.pieceBytes) store.copyValue(value, 0)
    else {
      for (let at = 0; at < value.length; at += this.pieceBytes) {
        const length = Math.min(this.pieceBytes, value.length - at)
        store.copyValueRange(at, length, value, at)
      }
    }
    this.values.set(key, value)
  }
}

test('a visitor may copy each value, whole or in pieces, wherever it lies', () => {
  const client = new Client({ memoryBytes: 8 * 1024 * 1024, itemBytesMax: 1024 * 1024 })
  const stored = new Map<string, Buffer>()
  const random = randomOf(seedOfRun())
  for (let index = 0; index < 400; index++) {
    const length = random.below(2 ** random.below(18))
    const value = Buffer.alloc(length, `${index} `)
    stored.set(`key ${index}`, value)
    expect(client.write(`key ${index}`, value)).toBe(STORED)
  }
  for (const pieceBytes of [1024 * 1024, 5000]) {
    const reader = new ValueReader(pieceBytes)
    let cursor = 0
    while (cursor >= 0) cursor = client.store.scan(cursor, 16, client.now, reader)
    expect(reader.values.size).toBe(stored.size)
    for (const [key, value] of stored) expect(reader.values.get(key)?.equals(value), key).toBe(true)
  }
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('what a visitor copies counts as copied and not as read', () => {
  const client = new Client()
  client.write('key', 'value')
  client.store.copies.copiedBytes = 0
  const reader = new ValueReader(1000)
  client.store.scan(0, 100_000, client.now + 5, reader)
  expect(reader.values.get('key')?.toString()).toBe('value')
  expect(client.store.copies.copiedBytes).toBe('keyvalue'.length)
  expect(client.lookup('key')).toBe(HIT)
  expect(client.store.state & STATE_FETCHED).toBe(0)
  expect(client.store.lastAccess).toBe(client.now)
  client.store.release()
})

test('a value that another worker writes between two steps is seen old or new, and whole', () => {
  const client = new Client({ memoryBytes: 8 * 1024 * 1024, workerCount: 2 })
  const other = client.worker(1)
  const random = randomOf(seedOfRun())
  const write = (writer: Client, index: number) =>
    writer.write(`key ${index}`, Buffer.alloc(1 + random.below(30_000), 97 + random.below(26)))
  for (let index = 0; index < 200; index++) write(client, index)
  const reader = new ValueReader(1024 * 1024)
  let cursor = 0
  while (cursor >= 0) {
    cursor = client.store.scan(cursor, 1, client.now, reader)
    write(other, random.below(200))
  }
  expect(reader.values.size).toBe(200)
  for (const [key, value] of reader.values) {
    expect(value.length > 0 && value.every((byte) => byte === value[0]), key).toBe(true)
  }
})

test('a visitor can keep where a long value lies and copy it in pieces afterwards', () => {
  const client = new Client({ memoryBytes: 32 * 1024 * 1024, itemBytesMax: 16 * 1024 * 1024 })
  const { store } = client
  client.write('long', Buffer.alloc(3 * 1024 * 1024, 'long '))
  let seen: readonly number[] = []
  const visitor = {
    visitItem(shown: Store): void {
      seen = [shown.heldLocation, shown.valueBytes, shown.heldSequence]
    },
  }
  store.scan(0, 100_000, client.now, visitor)
  const held = (): readonly number[] => {
    expect(client.lookup('long')).toBe(HIT)
    const now = [store.heldLocation, store.valueBytes, store.heldSequence]
    store.release()
    return now
  }
  expect(held()).toEqual(seen)
  client.write('long', Buffer.alloc(3 * 1024 * 1024, 'new'))
  expect(held()).not.toEqual(seen)
})

test('a visitor that calls an operation of the store is refused', () => {
  const client = new Client()
  client.write('key', 'value')
  const visitor = {
    visitItem: (store: Store) => void store.lookup(Buffer.from('key'), 0, 3, client.now),
  }
  expect(() => client.store.scan(0, 100_000, client.now, visitor)).toThrow(
    'a lookup was not released',
  )
})
