/**
 * Records have only the words that their items need: what happens when an item comes to need one
 * more, and when it needs one less.
 */

import { expect, test } from 'vitest'
import { CAS_HALF_WORD, CAS_LOW_WORD } from '../../../src/storage/control-block.ts'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { STATE_STALE } from '../../../src/storage/item.ts'
import { HIT, NO_MEMORY, STORED } from '../../../src/storage/result.ts'
import { WRITE_APPEND, WRITE_PREPEND } from '../../../src/storage/write-order.ts'
import { Client } from './client.ts'

const KIB = 1024

function bytesOf(client: Client): number {
  return readStoreCounters(client.memory).bytes
}

function seenOf(client: Client): { readonly state: number; readonly lastAccess: number } {
  expect(client.lookup('key')).toBe(HIT)
  const { state, lastAccess } = client.store
  client.store.release()
  return { state, lastAccess }
}

test('an item without expiry and flags has a header of 12 bytes, each of them takes 4 more', () => {
  const client = new Client()
  let before = 0
  for (const [options, bytes] of [
    [{}, 12],
    [{ expiry: client.now + 1 }, 16],
    [{ flags: 1 }, 16],
    [{ expiry: client.now + 1, flags: 1 }, 20],
  ] as const) {
    client.write(`key${bytes}${Object.keys(options)[0]}`.padEnd(16, '-'), 'v'.repeat(64), options)
    expect(bytesOf(client) - before).toBe(bytes + 80)
    before = bytesOf(client)
  }
})

test('a touch gives an expiry to an item that had none, and changes nothing else', () => {
  for (const length of [0, 1, 2, 3, 100, 1000, 65_535]) {
    const client = new Client()
    const value = 'v'.repeat(length)
    client.write('neighbour', 'n')
    client.write('key', value, { flags: 77 })
    client.write('other', 'o')
    client.lookup('key')
    client.store.markRead(client.now)
    client.store.setState(client.store.state | STATE_STALE)
    client.store.release()
    client.now += 5
    const before = client.find('key')!
    const seen = seenOf(client)
    const bytes = bytesOf(client)
    expect(client.touch('key', client.now + 10)).toBe(true)
    expect(bytesOf(client)).toBe(bytes + 4)
    expect(client.find('key')).toEqual({ ...before, expiry: client.now + 10 })
    expect(seenOf(client)).toEqual(seen)
    expect(checkIntegrity(client.memory)).toEqual([])
    client.now += 10
    expect(client.has('key')).toBe(false)
    expect(client.get('neighbour')).toBe('n')
    expect(client.get('other')).toBe('o')
  }
})

test('a touch of an item that has an expiry, or shall have none, moves nothing', () => {
  const client = new Client()
  client.write('with', 'v', { expiry: client.now + 5 })
  client.write('without', 'v')
  const bytes = bytesOf(client)
  expect(client.touch('with', client.now + 50)).toBe(true)
  expect(client.touch('without', 0)).toBe(true)
  expect(client.touch('with', 0)).toBe(true)
  expect(bytesOf(client)).toBe(bytes)
  client.now += 1000
  expect(client.get('with')).toBe('v')
  expect(client.get('without')).toBe('v')
})

test('a value that goes on being set keeps its place, whatever words the new one does without', () => {
  const client = new Client()
  client.write('key', 'old', { expiry: client.now + 5, flags: 9 })
  const bytes = bytesOf(client)
  client.write('key', 'new')
  expect(bytesOf(client)).toBe(bytes)
  expect(client.find('key')).toMatchObject({ value: 'new', flags: 0, expiry: 0 })
  client.now += 10
  expect(client.get('key')).toBe('new')
})

test('a value that grows beyond 64 KiB by appending is whole, with its flags and expiry', () => {
  const client = new Client()
  const expiry = client.now + 100
  client.write('key', 'a'.repeat(65_534), { flags: 5 })
  client.write('timed', 'a'.repeat(65_534), { expiry })
  for (const key of ['key', 'timed']) {
    for (let times = 0; times < 4; times++) {
      expect(client.write(key, 'b', { mode: WRITE_APPEND })).toBe(STORED)
      expect(client.write(key, 'c', { mode: WRITE_PREPEND })).toBe(STORED)
      expect(checkIntegrity(client.memory)).toEqual([])
    }
  }
  const value = `cccc${'a'.repeat(65_534)}bbbb`
  expect(client.find('key')).toMatchObject({ value, flags: 5, expiry: 0 })
  expect(client.find('timed')).toMatchObject({ value, flags: 0, expiry })
})

test('with -M and full memory every item can still be touched', () => {
  const client = new Client({ evicts: false })
  let count = 0
  while (client.write(`key ${count}`, 'v'.repeat(100)) === STORED) count++
  expect(count).toBeGreaterThan(1000)
  expect(client.write('key', 'v'.repeat(100))).toBe(NO_MEMORY)
  const expiry = client.now + 100
  for (let index = 0; index < count; index++) {
    expect(client.touch(`key ${index}`, expiry)).toBe(true)
  }
  for (let index = 0; index < count; index++) {
    expect(client.find(`key ${index}`)?.expiry).toBe(expiry)
  }
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('with -M and full memory a CAS of 64 bits is refused to an item that has no room for it', () => {
  const client = new Client({ evicts: false })
  let count = 0
  while (client.write(`key ${count}`, 'v'.repeat(100)) === STORED) count++
  while (client.write(`little ${count}`, '') === STORED) count++
  expect(client.lookupToChange('key 0', 0, 0x100)).toBe(NO_MEMORY)
  expect(client.get('key 0')).toBe('v'.repeat(100))
  expect(readStoreCounters(client.memory).noMemoryWrites).toBe(3)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('touching item after item in full memory makes its own room, and the item stays', () => {
  const client = new Client()
  let count = 0
  while (readStoreCounters(client.memory).evictions === 0) {
    client.write(`key ${count++}`, 'v'.repeat(100))
  }
  let touched = 0
  for (let index = 0; index < count; index++) {
    if (!client.has(`key ${index}`)) continue
    expect(client.touch(`key ${index}`, client.now + 100)).toBe(true)
    expect(client.find(`key ${index}`)).toMatchObject({
      value: 'v'.repeat(100),
      expiry: client.now + 100,
    })
    touched++
    expect(readStoreCounters(client.memory).segmentsFree).toBeGreaterThan(0)
  }
  expect(touched).toBeGreaterThan(count / 2)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('ids beyond 40 bits go on rising, for new values and for those changed in place', () => {
  const client = new Client()
  client.write('set', '1')
  client.write('number', '1')
  client.write('renewed', '1')
  // The last ids before items need more words: two halves of 2^31 before 2^40.
  const control = new Int32Array(client.memory.control)
  control[CAS_HALF_WORD] = 509
  control[CAS_LOW_WORD] = -4
  let last = 0n
  const rises = (): void => {
    const [high, low] = client.cas
    const id = (BigInt(high) << 32n) | BigInt(low)
    expect(id).toBeGreaterThan(last)
    last = id
  }
  for (const half of [0, 510, 511, 512]) {
    if (half !== 0) {
      control[CAS_HALF_WORD] = half
      control[CAS_LOW_WORD] = (half & 1) === 0 ? 0x7ffffffc : -4
    }
    for (let round = 0; round < 4; round++) {
      expect(client.write('set', `${round}`)).toBe(STORED)
      rises()
      expect(client.find('set')?.cas).toEqual(client.cas)
      expect(client.count('number', 1n)).toBe(STORED)
      rises()
      expect(client.find('number')?.cas).toEqual(client.cas)
      expect(client.lookupToChange('renewed', 0)).toBe(HIT)
      client.store.setCas(0, 0)
      client.store.release()
      rises()
      expect(client.find('renewed')?.cas).toEqual(client.cas)
      expect(client.write('set', 'x', { cas: client.find('set')!.cas })).toBe(STORED)
      rises()
    }
    expect(checkIntegrity(client.memory)).toEqual([])
  }
  expect(last).toBeGreaterThan(1n << 40n)
  expect(client.number).toBe(17n)
})

test('a record that is written anew may span segments', () => {
  const client = new Client({ memoryBytes: 256 * KIB, itemBytesMax: 128 * KIB })
  const value = 'v'.repeat(40_000)
  expect(client.write('key', value)).toBe(STORED)
  expect(client.touch('key', client.now + 5)).toBe(true)
  expect(client.find('key')).toMatchObject({ value, expiry: client.now + 5 })
  expect(checkIntegrity(client.memory)).toEqual([])
})
