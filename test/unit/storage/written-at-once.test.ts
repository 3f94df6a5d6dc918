/**
 * Small values that need no room of their own: they are written over the old one, or refused by what the
 * item is, also where the memory has no room for anything.
 */

import { expect, test } from 'vitest'
import { FREE_COUNT_WORD, SEALED_EVER_WORD } from '../../../src/storage/control-block.ts'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { COPIED_LOCKED_BYTES_MAX } from '../../../src/storage/item.ts'
import { EXISTS, NO_MEMORY, NOT_FOUND, STORED } from '../../../src/storage/result.ts'
import { WRITE_ADD, WRITE_REPLACE } from '../../../src/storage/write-order.ts'
import { mustBe } from '../../support/must-be.ts'
import { Client } from './client.ts'

const VALUE_BYTES = 100

function contentOf(key: string, round: number): string {
  return `${key} ${round} `.padEnd(VALUE_BYTES, '.')
}

/** A store with -M in which not one value more has room. */
function fullClient(): { client: Client; keys: string[] } {
  const client = new Client({ evicts: false })
  const keys: string[] = []
  for (;;) {
    const key = `key ${keys.length}`
    if (client.write(key, contentOf(key, 0)) !== STORED) return { client, keys }
    keys.push(key)
  }
}

test('in a full memory that does not evict, values of the same length replace each other', () => {
  const { client, keys } = fullClient()
  const before = readStoreCounters(client.memory)
  for (const key of keys) mustBe(client.write(key, contentOf(key, 1)), STORED, key)
  expect(keys.filter((key) => client.get(key) !== contentOf(key, 1))).toEqual([])
  const { items, bytes, noMemoryWrites } = readStoreCounters(client.memory)
  expect({ items, bytes, noMemoryWrites }).toEqual({
    items: before.items,
    bytes: before.bytes,
    noMemoryWrites: before.noMemoryWrites,
  })
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('in a full memory a write is refused for what the item is, and not for want of room', () => {
  const { client, keys } = fullClient()
  const [key] = keys
  if (key === undefined) throw new Error('nothing was stored')
  expect(client.write(key, contentOf(key, 1), { mode: WRITE_ADD })).toBe(EXISTS)
  expect(client.write('other', contentOf(key, 1), { mode: WRITE_REPLACE })).toBe(NOT_FOUND)
  expect(client.write('other', contentOf(key, 1), { cas: [0, 1] })).toBe(NOT_FOUND)
  expect(client.write(key, contentOf(key, 1), { cas: [1, 1] })).toBe(EXISTS)
  expect(client.get(key)).toBe(contentOf(key, 0))
  expect(client.write('other', contentOf(key, 1))).toBe(NO_MEMORY)
})

/** Header and key of `key 0` to `key 9`, in a record that is overwritten where it lies. */
const AROUND_VALUE_BYTES = 12 + 5

// Segments have 16 KiB: the longest lie in two.
test.each([VALUE_BYTES, 4096, COPIED_LOCKED_BYTES_MAX - AROUND_VALUE_BYTES])(
  'a value of %i bytes that replaces one of its length takes no room, however often',
  (valueBytes) => {
    const client = new Client()
    const control = new Int32Array(client.memory.control)
    const write = (key: number, round: number) => {
      const value = contentOf('value', round).padEnd(valueBytes, String(round))
      mustBe(client.write(`key ${key}`, value), STORED, `${key}, ${round}`)
    }
    for (let key = 0; key < 10; key++) write(key, key)
    const free = control[FREE_COUNT_WORD]
    const sealed = control[SEALED_EVER_WORD]
    const { bytes } = readStoreCounters(client.memory)
    for (let round = 0; round < 1000; round++) write(round % 10, round)
    for (let key = 0; key < 10; key++) {
      const round = 990 + key
      const value = contentOf('value', round).padEnd(valueBytes, String(round))
      expect(client.get(`key ${key}`)).toBe(value)
    }
    expect(readStoreCounters(client.memory)).toMatchObject({ items: 10, bytes, evictions: 0 })
    expect([control[FREE_COUNT_WORD], control[SEALED_EVER_WORD]]).toEqual([free, sealed])
    expect(checkIntegrity(client.memory)).toEqual([])
  },
)

test('after a flush by another worker nothing is written into what was open before', () => {
  const client = new Client({ workerCount: 2 })
  const other = client.worker(1)
  mustBe(client.write('key', contentOf('key', 0)), STORED, 'first')
  other.store.flush(0, client.now)
  expect(client.has('key')).toBe(false)
  mustBe(client.write('key', contentOf('key', 1)), STORED, 'over the flushed one')
  mustBe(client.write('another', contentOf('key', 2)), STORED, 'a new one')
  expect([other.get('key'), other.get('another')]).toEqual([
    contentOf('key', 1),
    contentOf('key', 2),
  ])
  other.store.flush(0, client.now)
  expect([client.has('key'), client.has('another')]).toEqual([false, false])
  expect(checkIntegrity(client.memory)).toEqual([])
})
