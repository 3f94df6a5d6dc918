/** What both families of commands do to items through the one ItemAccess, and count once. */

import { expect, test } from 'vitest'
import { ItemAccess } from '../../../src/command/local/item-access.ts'
import { COUNTER, counterLane, createCounterMemory } from '../../../src/observe/counters.ts'
import type { CounterName } from '../../../src/observe/metrics.ts'
import {
  OUTCOME_EXISTS,
  OUTCOME_HIT,
  OUTCOME_NON_NUMERIC,
  OUTCOME_NOT_FOUND,
  OUTCOME_NUMBER,
  Request,
} from '../../../src/protocol/request.ts'
import { createStoreMemory } from '../../../src/storage/geometry.ts'
import { Store } from '../../../src/storage/store.ts'
import { WRITE_SET } from '../../../src/storage/write-order.ts'

const NOW = 1_700_000_000
const KEY = Buffer.from('count')

interface Access {
  readonly items: ItemAccess
  readonly counted: (name: CounterName) => number
  readonly put: (value: string) => void
  readonly text: () => string
}

function access(casEnabled = true): Access {
  const memory = createStoreMemory({
    memoryBytes: 8 * 1024 * 1024,
    itemBytesMax: 1024 * 1024,
    evicts: true,
    workerCount: 1,
    seed: [1, 2],
  })
  const lane = counterLane(createCounterMemory(1), 0)
  const items = new ItemAccess(new Store(memory, 0), lane, casEnabled)
  items.nowSeconds = NOW
  return {
    items,
    counted: (name) => lane[COUNTER[name]]!,
    put: (value) => {
      const order = items.beginOrder(WRITE_SET, KEY, 0, 5, 0)
      order.setValue(Buffer.from(value), 0, value.length)
      order.flags = 7
      items.store.write(order)
    },
    text: () => {
      expect(items.find(KEY, 0, 5)).toBe(OUTCOME_HIT)
      const value = Buffer.alloc(items.valueBytes)
      items.copyValue(value, 0)
      items.release()
      return value.toString()
    },
  }
}

function numberRequest(delta: number, initial: number): Request {
  const request = new Request()
  request.keyLength = 5
  request.deltaLow = delta
  request.initialLow = initial
  return request
}

test('an expiry of up to 30 days is counted from now, a later one is Unix time', () => {
  const { items } = access()
  expect(items.expiryOf(0)).toBe(0)
  expect(items.expiryOf(1)).toBe(NOW + 1)
  expect(items.expiryOf(2_592_000)).toBe(NOW + 2_592_000)
  expect(items.expiryOf(2_592_001)).toBe(2_592_001)
})

test('what is found has its flags, length and CAS in the registers, 0 for the CAS with -C', () => {
  for (const casEnabled of [true, false]) {
    const { items, put } = access(casEnabled)
    put('value')
    expect(items.find(KEY, 0, 5)).toBe(OUTCOME_HIT)
    expect([items.flags, items.valueBytes]).toEqual([7, 5])
    expect(items.casLow > 0).toBe(casEnabled)
    items.release()
  }
})

test('a number is made where one is missing and it may be, and counted with where there is one', () => {
  const { items, counted, text } = access()
  const request = numberRequest(5, 40)
  expect(items.count(request, KEY, 0, true, false, 0)).toBe(OUTCOME_NOT_FOUND)
  expect(counted('incr_misses')).toBe(1)
  expect(items.count(request, KEY, 0, true, true, 0)).toBe(OUTCOME_NUMBER)
  expect([items.numberLow, items.isCreated]).toEqual([40, true])
  expect(items.count(request, KEY, 0, true, true, 0)).toBe(OUTCOME_NUMBER)
  expect([items.numberLow, items.isCreated]).toEqual([45, false])
  expect(items.count(request, KEY, 0, false, false, 0)).toBe(OUTCOME_NUMBER)
  expect(text().trim()).toBe('40')
  expect([counted('incr_hits'), counted('decr_hits'), counted('decr_misses')]).toEqual([1, 1, 0])
})

test('what is no number is not counted with', () => {
  const { items, put, text } = access()
  put('word')
  expect(items.count(numberRequest(1, 0), KEY, 0, true, true, 0)).toBe(OUTCOME_NON_NUMERIC)
  expect(text()).toBe('word')
})

test('a number that is made expires when it was told to', () => {
  const { items } = access()
  expect(items.count(numberRequest(1, 9), KEY, 0, true, true, NOW + 10)).toBe(OUTCOME_NUMBER)
  items.nowSeconds = NOW + 9
  expect(items.find(KEY, 0, 5)).toBe(OUTCOME_HIT)
  items.release()
  items.nowSeconds = NOW + 10
  expect(items.find(KEY, 0, 5)).toBe(OUTCOME_NOT_FOUND)
})

test('a swap with a CAS that no item has says whether there is one, and holds nothing', () => {
  const { items, counted, put } = access()
  expect(items.refuseSwap(KEY, 0, 5)).toBe(OUTCOME_NOT_FOUND)
  put('value')
  expect(items.refuseSwap(KEY, 0, 5)).toBe(OUTCOME_EXISTS)
  expect([counted('cas_misses'), counted('cas_badval')]).toEqual([1, 1])
  // Whoever held the stripe could not be written past.
  put('other')
  items.discard(KEY, 0, 5)
  expect(items.find(KEY, 0, 5)).toBe(OUTCOME_NOT_FOUND)
})
