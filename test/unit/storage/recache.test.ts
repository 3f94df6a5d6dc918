/**
 * What the meta commands need of the store beyond the classic verbs: a CAS of the client's choice,
 * and values that are stored as stale because they come too late.
 */

import { beforeEach, expect, test } from 'vitest'
import { createStoreMemory } from '../../../src/storage/geometry.ts'
import { STATE_STALE, STATE_WIN_SENT } from '../../../src/storage/item.ts'
import { EXISTS, HIT, STORED } from '../../../src/storage/result.ts'
import { Store } from '../../../src/storage/store.ts'
import type { WriteOrder } from '../../../src/storage/write-order.ts'
import { orderOf } from './client.ts'

const NOW = 1_700_000_000
const KEY = Buffer.from('key')

let store: Store

beforeEach(() => {
  store = new Store(
    createStoreMemory({
      memoryBytes: 4 * 1024 * 1024,
      itemBytesMax: 1024 * 1024,
      evicts: true,
      workerCount: 1,
      seed: [1, 2],
    }),
    0,
  )
})

function set(
  value: string,
  expiry: number,
  casHigh: number,
  casLow: number,
  fields: Partial<WriteOrder> = {},
): number {
  const wanted = { expiry, casHigh, casLow, ...fields }
  return store.write(orderOf(KEY, Buffer.from(value), NOW, wanted))
}

function read(): { cas: [number, number]; expiry: number; state: number; value: string } {
  expect(store.lookup(KEY, 0, KEY.length, NOW)).toBe(HIT)
  const value = Buffer.alloc(store.valueBytes)
  store.copyValue(value, 0)
  store.release()
  const { casHigh, casLow, expiry, state } = store
  return { cas: [casHigh, casLow], expiry, state, value: value.toString() }
}

test('a written item gets the CAS that was given, and the next one a fresh one again', () => {
  for (const high of [3, 0xff, 0x100, 0xffffffff]) {
    const given = { givenCasHigh: high, givenCasLow: 4_000_000_000 }
    expect(set('a', 0, 0, 0, given)).toBe(STORED)
    expect(read().cas).toEqual([high, 4_000_000_000])
    expect(set('a', 0, high, 4_000_000_000, given)).toBe(STORED)
    expect(set('a', 0, high - 1, 4_000_000_000, given)).toBe(EXISTS)
  }
  expect(set('b', 0, 0, 0)).toBe(STORED)
  expect(read().cas[0]).toBe(0)
})

test('the CAS of a held item can be set, and renewed', () => {
  set('a', 0, 0, 0)
  const before = read()
  for (const high of [1, 0xff, 0x100, 0xffffffff]) {
    expect(store.lookupToChange(KEY, 0, KEY.length, 0, high, NOW)).toBe(HIT)
    store.setCas(high, 7)
    store.release()
    expect(read()).toEqual({ ...before, cas: [high, 7] })
  }
  store.lookupToChange(KEY, 0, KEY.length, 0, 0, NOW)
  store.setCas(0, 0)
  store.release()
  expect(read().cas[0]).toBe(0)
  expect(read().value).toBe('a')
})

test('a value that comes with an older CAS is stored as stale, with the expiry and token it met', () => {
  set('a', NOW + 100, 0, 0)
  store.lookup(KEY, 0, KEY.length, NOW)
  store.setState(STATE_WIN_SENT)
  store.setCas(0, 1000)
  store.release()
  expect(set('late', NOW + 999, 0, 999, { mayGoStale: true })).toBe(STORED)
  expect(read()).toMatchObject({
    value: 'late',
    expiry: NOW + 100,
    state: STATE_STALE | STATE_WIN_SENT,
  })
})

test('a newer CAS than the item has is refused, stale or not', () => {
  set('a', 0, 0, 0)
  store.lookup(KEY, 0, KEY.length, NOW)
  store.setCas(0, 1000)
  store.release()
  expect(set('x', 0, 0, 1001, { mayGoStale: true })).toBe(EXISTS)
  expect(set('x', 0, 0, 999)).toBe(EXISTS)
  expect(read().value).toBe('a')
})
