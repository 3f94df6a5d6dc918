/** What an observer of evictions is told, and that it is told of nothing else. */

import { describe, expect, test } from 'vitest'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import type { EvictionObserver } from '../../../src/storage/eviction-observer.ts'
import { createStoreMemory } from '../../../src/storage/geometry.ts'
import { HIT, STORED } from '../../../src/storage/result.ts'
import { Store } from '../../../src/storage/store.ts'
import { orderOf } from './client.ts'

const MEBIBYTE = 1024 * 1024
const NOW = 1_700_000_000
const VALUE = new Uint8Array(1000)

interface Evicted {
  readonly key: string
  readonly valueBytes: number
  readonly expiry: number
  readonly lastAccess: number
  readonly wasFetched: boolean
}

class Recorder implements EvictionObserver {
  isWatching = true
  readonly seen: Evicted[] = []

  evicted(
    bytes: Uint8Array,
    keyOffset: number,
    keyLength: number,
    valueBytes: number,
    expiry: number,
    lastAccess: number,
    wasFetched: boolean,
  ): void {
    const key = Buffer.from(bytes.slice(keyOffset, keyOffset + keyLength)).toString('latin1')
    this.seen.push({ key, valueBytes, expiry, lastAccess, wasFetched })
  }
}

function createStore(): { store: Store; evictions: () => number } {
  const memory = createStoreMemory({
    memoryBytes: MEBIBYTE,
    itemBytesMax: 16 * 1024,
    evicts: true,
    workerCount: 1,
    seed: [1, 2],
  })
  return { store: new Store(memory, 0), evictions: () => readStoreCounters(memory).evictions }
}

function set(store: Store, key: string, expiry = 0): void {
  const bytes = Buffer.from(key, 'latin1')
  expect(store.write(orderOf(bytes, VALUE, NOW, { expiry }))).toBe(STORED)
}

function read(store: Store, key: string): void {
  const bytes = Buffer.from(key, 'latin1')
  expect(store.lookup(bytes, 0, bytes.length, NOW)).toBe(HIT)
  store.markRead(NOW)
  store.release()
}

describe('an observer of evictions', () => {
  test('is told of each item that is evicted, with what is known of it', () => {
    const { store, evictions } = createStore()
    const observer = new Recorder()
    store.observeEvictions(observer)
    set(store, 'first', NOW + 500)
    read(store, 'first')
    // Half of them are read, so that the main queue has to evict, too.
    for (let index = 0; index < 5000; index++) {
      set(store, `key-${index}`)
      if (index % 2 === 1) read(store, `key-${index}`)
    }
    expect(evictions()).toBeGreaterThan(0)
    expect(observer.seen).toHaveLength(evictions())
    expect(new Set(observer.seen.map(({ key }) => key)).size).toBe(evictions())
    expect(observer.seen.find(({ key }) => key === 'first')).toEqual({
      key: 'first',
      valueBytes: VALUE.length,
      expiry: NOW + 500,
      lastAccess: NOW,
      wasFetched: true,
    })
    expect(observer.seen.find(({ key }) => key === 'key-0')).toMatchObject({
      expiry: 0,
      wasFetched: false,
    })
  })

  test('is not called while it does not watch, nor for deletes and overwrites', () => {
    const { store, evictions } = createStore()
    const observer = new Recorder()
    store.observeEvictions(observer)
    const key = Buffer.from('a')
    for (let index = 0; index < 50; index++) set(store, 'a')
    store.remove(key, 0, key.length, 0, 0, NOW)
    expect(observer.seen).toEqual([])
    observer.isWatching = false
    for (let index = 0; index < 5000; index++) set(store, `key-${index}`)
    expect(evictions()).toBeGreaterThan(0)
    expect(observer.seen).toEqual([])
  })
})
