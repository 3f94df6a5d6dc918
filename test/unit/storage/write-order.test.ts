/** An order is good for one write: what it asked for does not come into the next. */

import { expect, test } from 'vitest'
import {
  EXISTS,
  MISS,
  NO_MEMORY,
  NOT_FOUND,
  NOT_STORED,
  STORED,
  TOO_LARGE,
} from '../../../src/storage/result.ts'
import {
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_REPLACE,
  WRITE_SET,
  WriteOrder,
} from '../../../src/storage/write-order.ts'
import { Client } from './client.ts'

const KIB = 1024
const KEY = Buffer.from('key')

/** Sets every field of an order that can be set without a large value. */
function fill(order: WriteOrder, mode: number, valueLength = 5): WriteOrder {
  order.mode = mode
  order.setKey(KEY, 0, KEY.length)
  order.setValue(Buffer.alloc(valueLength, 'v'), 0, valueLength)
  order.flags = 7
  order.expiry = 2_000_000_000
  order.nowSeconds = 1_700_000_000
  order.givenCasHigh = 1
  order.givenCasLow = 4711
  order.mayGoStale = true
  return order
}

test('an order is clear after every answer', () => {
  const client = new Client({ itemBytesMax: 16 * KIB, memoryBytes: 1024 * KIB })
  const order = new WriteOrder()
  const answers: number[] = []
  const write = (mode: number, valueLength?: number, casHigh = 0): void => {
    fill(order, mode, valueLength)
    order.casHigh = casHigh
    answers.push(client.store.write(order))
    expect(order).toEqual(new WriteOrder())
  }
  write(WRITE_REPLACE)
  write(WRITE_APPEND)
  write(WRITE_ADD)
  write(WRITE_ADD)
  write(WRITE_SET)
  write(WRITE_APPEND)
  write(WRITE_SET, 5000)
  write(WRITE_SET, 5, 9999)
  write(WRITE_SET, 20_000)
  expect(answers).toEqual([
    NOT_FOUND,
    NOT_STORED,
    STORED,
    EXISTS,
    STORED,
    STORED,
    STORED,
    EXISTS,
    TOO_LARGE,
  ])
})

test('an order is clear after a refusal for want of memory', () => {
  const client = new Client({ evicts: false, itemBytesMax: 512 * KIB })
  const order = new WriteOrder()
  let written = STORED
  for (let index = 0; index < 100 && written === STORED; index++) {
    fill(order, WRITE_SET, 100 * KIB)
    const key = Buffer.from(`key ${index}`)
    order.setKey(key, 0, key.length)
    written = client.store.write(order)
  }
  expect(written).toBe(NO_MEMORY)
  expect(order).toEqual(new WriteOrder())
})

test('an order with a large value lets go of it, stored or not', () => {
  const client = new Client({ memoryBytes: 1024 * KIB, itemBytesMax: 1024 * KIB })
  const order = new WriteOrder()
  const value = Buffer.alloc(200 * KIB)
  for (const mode of [WRITE_ADD, WRITE_ADD]) {
    const large = client.store.beginLarge(KEY.length, value.length)
    expect(client.store.appendLarge(large, value, 0, value.length, client.now)).toBe(true)
    fill(order, mode)
    order.valueLength = value.length
    order.received = large
    client.store.write(order)
    expect(order).toEqual(new WriteOrder())
  }
})

test('an order to extend is clear after each call that takes it', () => {
  const MIB = 1024 * KIB
  const client = new Client({ memoryBytes: 32 * MIB, itemBytesMax: 16 * MIB })
  const { store } = client
  const order = new WriteOrder()
  client.write('key', Buffer.alloc(2 * MIB))
  const extension = store.beginExtension(fill(order, WRITE_APPEND), false)!
  expect(order).toEqual(new WriteOrder())
  expect(store.proceedExtension(extension, fill(order, WRITE_APPEND), 4 * MIB)).toBe(STORED)
  expect(order).toEqual(new WriteOrder())
  fill(order, WRITE_APPEND)
  order.extension = extension
  order.received = extension.value
  expect(store.write(order)).toBe(STORED)
  expect(order).toEqual(new WriteOrder())
  client.remove('key')
  expect(store.beginExtension(fill(order, WRITE_APPEND), true)).toBeUndefined()
  expect(order).toEqual(new WriteOrder())
})

test('what one write asked for does not come into the next, which says nothing of it', () => {
  const client = new Client()
  const { store } = client
  const order = new WriteOrder()
  fill(order, WRITE_SET)
  expect(store.write(order)).toBe(STORED)
  order.setKey(KEY, 0, KEY.length)
  order.setValue(Buffer.from('new'), 0, 3)
  order.nowSeconds = client.now
  expect(store.write(order)).toBe(STORED)
  const found = client.find('key')
  expect(found).toMatchObject({ value: 'new', flags: 0, expiry: 0 })
  expect(found?.cas).not.toEqual([1, 4711])
})

test('an order that is written once more without being filled is refused', () => {
  const { store } = new Client()
  const order = fill(new WriteOrder(), WRITE_SET)
  expect(store.write(order)).toBe(STORED)
  expect(() => store.write(order)).toThrow('the key length was not checked')
  expect(store.lookup(Buffer.from('other'), 0, 5, 1_700_000_000)).toBe(MISS)
})
