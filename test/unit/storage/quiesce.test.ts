/** When a worker may say that nothing of its writing is half done. */

import { expect, test } from 'vitest'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { createParts } from '../../../src/storage/parts.ts'
import { HIT, STORED } from '../../../src/storage/result.ts'
import { Store } from '../../../src/storage/store.ts'
import { WRITE_APPEND } from '../../../src/storage/write-order.ts'
import { Client, orderOf } from './client.ts'
import { ModelDriver, memoryOf, randomOf, seedOfRun } from './model.ts'

const KIB = 1024
const MIB = 1024 * KIB
const KEY = Buffer.from('key')

for (const evicts of [true, false]) {
  test(`after each operation of two workers nothing is half done, ${evicts ? 'with' : 'without'} eviction`, () => {
    const memory = memoryOf({ memoryBytes: MIB, itemBytesMax: 200 * KIB, evicts, workerCount: 2 })
    const stores = [new Store(memory, 0), new Store(memory, 1)]
    const driver = new ModelDriver(stores, randomOf(seedOfRun()), {
      keyCount: 300,
      valueBytesMax: 40 * KIB,
      itemBytesMax: 200 * KIB,
      mayForget: evicts,
      mayRefuse: !evicts,
      expires: true,
      flushes: true,
    })
    // Memory is short from the first operation on.
    driver.fill(1.2 * MIB)
    let unquiet = 0
    for (let operation = 0; operation < 6000; operation++) {
      driver.step()
      for (const store of stores) if (!store.quiesce()) unquiet++
    }
    expect(unquiet).toBe(0)
    const { evictions, noMemoryWrites } = readStoreCounters(memory)
    expect(evicts ? evictions : noMemoryWrites).toBeGreaterThan(100)
  })
}

test('a large value is half done from its first byte until it is stored, abandoned or refused', () => {
  const client = new Client({ memoryBytes: MIB, itemBytesMax: MIB, workerCount: 2 })
  const { store } = client
  const other = client.worker(1).store
  const value = Buffer.alloc(300 * KIB, 'v')
  const first = store.beginLarge(KEY.length, value.length)
  const second = store.beginLarge(KEY.length, value.length)
  expect(store.quiesce()).toBe(true)
  store.appendLarge(first, value, 0, 1, client.now)
  expect(store.quiesce()).toBe(false)
  expect(other.quiesce()).toBe(true)
  store.appendLarge(first, value, 1, value.length - 1, client.now)
  store.appendLarge(second, value, 0, 100 * KIB, client.now)
  expect(store.quiesce()).toBe(false)
  expect(client.write('key', value, { received: first })).toBe(STORED)
  expect(store.quiesce()).toBe(false)
  second.abandon()
  expect(store.quiesce()).toBe(true)
  second.abandon()
  expect(store.quiesce()).toBe(true)
  const tooLarge = store.beginLarge(KEY.length, 900 * KIB)
  expect(store.appendLarge(tooLarge, value, 0, 1, client.now)).toBe(false)
  expect(store.quiesce()).toBe(true)
})

test('an item that is extended in pieces is half done until it is linked', () => {
  const client = new Client({ memoryBytes: 32 * MIB, itemBytesMax: 16 * MIB })
  const { store } = client
  const added = Buffer.from('x')
  client.write('key', Buffer.alloc(2 * MIB))
  const order = () => orderOf(KEY, added, client.now, { mode: WRITE_APPEND })
  const extension = store.beginExtension(order(), false)!
  expect(store.quiesce()).toBe(true)
  expect(store.proceedExtension(extension, order(), MIB)).toBe(STORED)
  expect(store.quiesce()).toBe(false)
  expect(store.proceedExtension(extension, order(), 2 * MIB)).toBe(STORED)
  const last = Object.assign(order(), { extension, received: extension.value })
  expect(store.write(last)).toBe(STORED)
  expect(store.quiesce()).toBe(true)
})

test('nobody may ask while an item is held', () => {
  const client = new Client()
  client.write('key', 'value')
  expect(client.lookup('key')).toBe(HIT)
  expect(() => client.store.quiesce()).toThrow('a lookup was not released')
  client.store.release()
  expect(client.store.quiesce()).toBe(true)
})

test('room is reserved until it is used or given up, whether it spans segments or not', () => {
  const memory = memoryOf()
  const { log } = createParts(memory, 0)
  for (const recordBytes of [64, memory.geometry.segmentBytes, 3 * memory.geometry.segmentBytes]) {
    expect(log.reserve(recordBytes, 64, 0, 0)).toBe(true)
    expect(log.isReserved).toBe(true)
    log.abandon()
    expect(log.isReserved).toBe(false)
    expect(log.reserve(recordBytes, 64, 0, 0)).toBe(true)
    log.commit(0)
    expect(log.isReserved).toBe(false)
  }
})
