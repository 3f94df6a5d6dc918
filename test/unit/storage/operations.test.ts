import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { STATE_FETCHED, STATE_STALE, STATE_WIN_SENT } from '../../../src/storage/item.ts'
import {
  EXISTS,
  HIT,
  MISS,
  MISS_NONE,
  NON_NUMERIC,
  NOT_FOUND,
  NOT_STORED,
  REMOVED,
  STORED,
  TOO_LARGE,
} from '../../../src/storage/result.ts'
import {
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_PREPEND,
  WRITE_REPLACE,
} from '../../../src/storage/write-order.ts'
import { Client } from './client.ts'

let client: Client

beforeEach(() => {
  client = new Client()
})

afterEach(() => {
  expect(checkIntegrity(client.memory)).toEqual([])
})

/** As long as an item is held it says what few ask of it. */
function stateOf(key: string): number {
  expect(client.lookup(key)).toBe(HIT)
  const { state } = client.store
  client.store.release()
  return state
}

test('a value comes back with its flags, its expiry and its CAS', () => {
  expect(client.write('key', 'value', { flags: 0xfedcba98, expiry: 1_800_000_000 })).toBe(STORED)
  const cas = client.cas
  expect(client.find('key')).toEqual({
    value: 'value',
    flags: 0xfedcba98,
    expiry: 1_800_000_000,
    cas,
  })
})

test('a key that is not there is a miss that locks nothing', () => {
  expect(client.lookup('nobody')).toBe(MISS)
  expect(client.store.missReason).toBe(MISS_NONE)
  expect(client.lookup('nobody')).toBe(MISS)
})

test('keys of every length hold values of every short length', () => {
  for (let length = 1; length <= 250; length++) {
    const key = 'k'.repeat(length)
    expect(client.write(key, `${length}`.repeat(length % 13))).toBe(STORED)
  }
  for (let length = 1; length <= 250; length++) {
    expect(client.find('k'.repeat(length))?.value).toBe(`${length}`.repeat(length % 13))
  }
})

test('keys are bytes: any value, and a key is not another one with zeros after it', () => {
  client.write('a\0', 'zero')
  client.write('\xff\x80 \r\n', 'bytes')
  expect(client.has('a')).toBe(false)
  expect(client.has('a\0\0')).toBe(false)
  expect(client.get('a\0')).toBe('zero')
  expect(client.get('\xff\x80 \r\n')).toBe('bytes')
})

test('a part of a value can be copied', () => {
  client.write('key', 'abcdefghij')
  const target = Buffer.from('..........')
  expect(client.lookup('key')).toBe(HIT)
  client.store.copyValueRange(3, 4, target, 2)
  client.store.release()
  expect(target.toString()).toBe('..defg....')
})

test('CAS ids are never 0, differ and go up', () => {
  let before = 0
  for (let index = 0; index < 100; index++) {
    client.write('key', 'value')
    expect(client.store.casHigh).toBe(0)
    expect(client.store.casLow).toBeGreaterThan(before)
    before = client.store.casLow
  }
})

test('CAS ids go on above 32 bits', () => {
  const control = new Int32Array(client.memory.control)
  const ids: number[] = []
  for (const start of [0x7fffffff, -1, 0x7fffffff, -1]) {
    control[64] = start
    for (let index = 0; index < 3; index++) {
      client.write('key', 'value')
      const [high, low] = client.cas
      expect(client.find('key')?.cas).toEqual([high, low])
      ids.push(high * 2 ** 32 + low)
    }
  }
  expect(ids).toEqual([...ids].sort((left, right) => left - right))
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.at(-1)).toBe(2 * 2 ** 32 + 1)
})

test('set with a CAS stores if it is the item s, else says EXISTS or NOT_FOUND', () => {
  client.write('key', 'one')
  const cas = client.cas
  expect(client.write('key', 'two', { cas: [cas[0], cas[1] + 1] })).toBe(EXISTS)
  expect(client.write('key', 'two', { cas: [cas[0] + 1, cas[1]] })).toBe(EXISTS)
  expect(client.get('key')).toBe('one')
  expect(client.write('key', 'two', { cas })).toBe(STORED)
  expect(client.write('key', 'three', { cas })).toBe(EXISTS)
  expect(client.get('key')).toBe('two')
  expect(client.write('other', 'one', { cas })).toBe(NOT_FOUND)
  expect(client.has('other')).toBe(false)
})

test('add stores only what is missing, replace only what is there', () => {
  expect(client.write('key', 'no', { mode: WRITE_REPLACE })).toBe(NOT_FOUND)
  expect(client.write('key', 'one', { mode: WRITE_ADD })).toBe(STORED)
  expect(client.write('key', 'two', { mode: WRITE_ADD })).toBe(EXISTS)
  expect(client.get('key')).toBe('one')
  expect(client.write('key', 'two', { mode: WRITE_REPLACE })).toBe(STORED)
  expect(client.get('key')).toBe('two')
})

test('with a CAS, add and replace compare and swap as memcached does', () => {
  client.write('key', 'one')
  const cas = client.cas
  expect(client.write('key', 'two', { mode: WRITE_ADD, cas: [0, 999] })).toBe(EXISTS)
  expect(client.write('key', 'two', { mode: WRITE_ADD, cas })).toBe(STORED)
  expect(client.write('none', 'x', { mode: WRITE_ADD, cas })).toBe(NOT_FOUND)
  expect(client.write('none', 'x', { mode: WRITE_REPLACE, cas })).toBe(NOT_FOUND)
  expect(client.get('key')).toBe('two')
})

test('append and prepend keep flags and expiry and give a new CAS', () => {
  client.write('key', 'b', { flags: 7, expiry: client.now + 100 })
  const cas = client.cas
  expect(client.write('key', 'c', { mode: WRITE_APPEND, flags: 1, expiry: 5 })).toBe(STORED)
  expect(client.write('key', 'a', { mode: WRITE_PREPEND, flags: 1, expiry: 5 })).toBe(STORED)
  const found = client.find('key')
  expect(found).toMatchObject({ value: 'abc', flags: 7, expiry: client.now + 100 })
  expect(found?.cas).not.toEqual(cas)
})

test('append and prepend to nothing are NOT_STORED, with another CAS EXISTS', () => {
  expect(client.write('key', 'x', { mode: WRITE_APPEND })).toBe(NOT_STORED)
  expect(client.write('key', 'x', { mode: WRITE_PREPEND, cas: [0, 5] })).toBe(NOT_STORED)
  client.write('key', 'x')
  const cas = client.cas
  expect(client.write('key', 'y', { mode: WRITE_APPEND, cas: [0, 99] })).toBe(EXISTS)
  expect(client.write('key', 'y', { mode: WRITE_APPEND, cas })).toBe(STORED)
  expect(client.get('key')).toBe('xy')
})

test('appending nothing changes the CAS only', () => {
  client.write('key', 'same')
  const cas = client.cas
  expect(client.write('key', '', { mode: WRITE_APPEND })).toBe(STORED)
  expect(client.find('key')?.value).toBe('same')
  expect(client.cas).not.toEqual(cas)
})

test('remove takes the CAS into account', () => {
  expect(client.remove('key')).toBe(NOT_FOUND)
  client.write('key', 'value')
  const cas = client.cas
  expect(client.remove('key', [cas[0], cas[1] + 1])).toBe(EXISTS)
  expect(client.has('key')).toBe(true)
  expect(client.remove('key', cas)).toBe(REMOVED)
  expect(client.has('key')).toBe(false)
  expect(client.remove('key')).toBe(NOT_FOUND)
})

test('an item can be removed while it is found', () => {
  client.write('key', 'value')
  client.write('other', 'value')
  expect(client.lookup('key')).toBe(HIT)
  client.store.removeFound()
  client.store.release()
  expect(client.has('key')).toBe(false)
  expect(client.has('other')).toBe(true)
})

test('increment and decrement change the number, its text and the CAS', () => {
  client.write('n', '99', { flags: 3, expiry: client.now + 9 })
  const cas = client.cas
  expect(client.count('n', 1n)).toBe(STORED)
  expect(client.number).toBe(100n)
  expect(client.find('n')).toMatchObject({ value: '100', flags: 3, expiry: client.now + 9 })
  expect(client.find('n')?.cas).toEqual(client.cas)
  expect(client.cas).not.toEqual(cas)
  expect(client.count('n', -1n)).toBe(STORED)
  expect(client.number).toBe(99n)
  expect(client.find('n')?.value).toBe('99 ')
  expect(client.count('n', 5n)).toBe(STORED)
  expect(client.find('n')?.value).toBe('104')
})

test('increments wrap at 2^64 and decrements stop at 0, keeping the length', () => {
  client.write('n', '18446744073709551615')
  expect(client.count('n', 1n)).toBe(STORED)
  expect(client.number).toBe(0n)
  expect(client.find('n')?.value).toBe('0'.padEnd(20))
  client.write('n', '5')
  expect(client.count('n', -(1n << 63n))).toBe(STORED)
  expect(client.number).toBe(0n)
  expect(client.find('n')?.value).toBe('0')
})

test('what is not a number is NON_NUMERIC and stays as it is', () => {
  const texts = ['', 'x', '1x', ' ', '-1', '18446744073709551616', '1'.repeat(21), 'a'.repeat(600)]
  texts.push(`1${' '.repeat(2048)}`)
  for (const text of texts) {
    client.write('n', text)
    expect(client.count('n', 1n), text).toBe(NON_NUMERIC)
    expect(client.find('n')?.value).toBe(text)
  }
  expect(client.count('none', 1n)).toBe(NOT_FOUND)
})

test('arithmetic takes the CAS into account', () => {
  client.write('n', '1')
  const cas = client.cas
  expect(client.count('n', 1n, [cas[0], cas[1] + 1])).toBe(EXISTS)
  expect(client.count('n', 1n, cas)).toBe(STORED)
  expect(client.count('n', 1n, cas)).toBe(EXISTS)
  expect(client.number).toBe(2n)
})

test('key and value and 48 bytes may be as large as itemBytesMax, not larger', () => {
  const small = new Client({ itemBytesMax: 1024 })
  const largest = 'v'.repeat(1024 - 48 - 3)
  expect(small.write('key', largest)).toBe(STORED)
  expect(small.get('key')).toBe(largest)
  expect(small.write('key', `${largest}v`)).toBe(TOO_LARGE)
  expect(small.has('key'), 'the old item goes with a set').toBe(false)
})

test('too large for add, replace and append leaves the old item', () => {
  const small = new Client({ itemBytesMax: 1024 })
  small.write('key', 'v'.repeat(900))
  const large = 'v'.repeat(1000)
  for (const mode of [WRITE_ADD, WRITE_REPLACE, WRITE_APPEND, WRITE_PREPEND]) {
    expect(small.write('key', large, { mode })).toBe(TOO_LARGE)
  }
  expect(small.write('key', 'v'.repeat(100), { mode: WRITE_APPEND })).toBe(TOO_LARGE)
  expect(small.get('key')?.length).toBe(900)
})

test('a read is remembered: fetched, when, and not by lookup alone', () => {
  client.write('key', 'value')
  const { store } = client
  expect(client.lookup('key')).toBe(HIT)
  expect(store.state & STATE_FETCHED).toBe(0)
  expect(store.lastAccess).toBe(client.now)
  store.release()
  client.now += 10
  client.get('key')
  client.now += 10
  expect(client.lookup('key')).toBe(HIT)
  expect(store.state & STATE_FETCHED).toBe(STATE_FETCHED)
  expect(store.lastAccess).toBe(client.now - 10)
  store.release()
})

test('state bits are set and cleared without touching anything else', () => {
  client.write('key', 'value')
  const { store } = client
  expect(client.lookup('key')).toBe(HIT)
  store.setState(STATE_STALE | STATE_WIN_SENT)
  store.release()
  const cas = client.cas
  expect(client.find('key')).toMatchObject({ value: 'value', cas })
  expect(stateOf('key')).toBe(STATE_STALE | STATE_WIN_SENT)
  client.write('key', 'new')
  expect(stateOf('key')).toBe(0)
})

test('an operation while an item is found is refused as a programmer error', () => {
  client.write('key', 'value')
  expect(client.lookup('key')).toBe(HIT)
  expect(() => client.write('other', 'value')).toThrow('a lookup was not released')
  expect(() => client.lookup('key')).toThrow('a lookup was not released')
  client.store.release()
  expect(() => client.store.release()).toThrow('nothing is locked')
  expect(() => client.write('', 'value')).toThrow('the key length was not checked')
  expect(() => client.write('k'.repeat(251), 'value')).toThrow('the key length was not checked')
})

test('the index grows one bucket at a time and finds everything all the while', () => {
  const large = new Client({ memoryBytes: 8 * 1024 * 1024 })
  const control = new Int32Array(large.memory.control)
  const bucketsBefore = control[0]!
  let buckets = bucketsBefore
  let wrong = 0
  for (let index = 0; index < 80_000; index++) {
    if (large.write(`key ${index}`, `${index}`) !== STORED) wrong++
    if (control[0]! - buckets > 1) wrong++
    buckets = control[0]!
    if (large.find(`key ${index >> 1}`)?.value !== `${index >> 1}`) wrong++
  }
  expect(wrong).toBe(0)
  // Five doublings: the first items have been through more splits than a tag knows the way.
  expect(buckets).toBeGreaterThan(bucketsBefore * 32)
  expect(checkIntegrity(large.memory)).toEqual([])
  for (let index = 0; index < 80_000; index++) {
    if (large.find(`key ${index}`)?.value !== `${index}`) wrong++
    if (large.remove(`key ${index}`) !== REMOVED) wrong++
  }
  expect(wrong).toBe(0)
  expect(checkIntegrity(large.memory)).toEqual([])
})
