import { expect, test } from 'vitest'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import type { Store } from '../../../src/storage/store.ts'
import { Client } from './client.ts'

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
