/** Appending and prepending to values that are too large to be copied in one go. */

import { expect, test } from 'vitest'
import { RECEIVING_COUNT_WORD } from '../../../src/storage/control-block.ts'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import type { LargeExtension } from '../../../src/storage/large-extension.ts'
import {
  CHANGED,
  EXISTS,
  HIT,
  NO_MEMORY,
  NOT_STORED,
  STORED,
  TOO_LARGE,
} from '../../../src/storage/result.ts'
import { WRITE_ADD, WRITE_APPEND, WRITE_PREPEND } from '../../../src/storage/write-order.ts'
import { Client, type ClientOptions, orderOf } from './client.ts'
import { randomOf, seedOfRun } from './model.ts'

const KIB = 1024
const MIB = 1024 * KIB
const PIECE_BYTES = 100_000

function newClient(options: ClientOptions = {}): Client {
  return new Client({ memoryBytes: 32 * MIB, itemBytesMax: 16 * MIB, ...options })
}

function bytesOf(length: number, seed: number): Buffer {
  const random = randomOf(seed)
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at += 1000)
    bytes.fill(random.below(256), at, Math.min(length, at + 1000))
  return bytes
}

interface Options {
  readonly isAfter?: boolean
  readonly cas?: readonly [number, number]
  readonly createsMissing?: boolean
}

function begin(
  client: Client,
  key: string,
  added: Buffer,
  { isAfter = true, cas = [0, 0], createsMissing = false }: Options = {},
): LargeExtension | undefined {
  const keyBytes = Buffer.from(key)
  const mode = isAfter ? WRITE_APPEND : WRITE_PREPEND
  const order = orderOf(keyBytes, added, client.now, { mode, casHigh: cas[0], casLow: cas[1] })
  return client.store.beginExtension(order, createsMissing)
}

/** One piece. */
function proceed(
  client: Client,
  key: string,
  added: Buffer,
  extension: LargeExtension,
  lengthMax: number = PIECE_BYTES,
): number {
  const keyBytes = Buffer.from(key)
  return client.store.proceedExtension(extension, orderOf(keyBytes, added, client.now), lengthMax)
}

function fill(client: Client, key: string, added: Buffer, extension: LargeExtension): number {
  while (extension.value.missingBytes > 0) {
    const proceeded = proceed(client, key, added, extension)
    if (proceeded !== STORED) return proceeded
  }
  return STORED
}

function finish(
  client: Client,
  key: string,
  added: Buffer,
  extension: LargeExtension,
  { isAfter = true, cas = [0, 0] }: Options = {},
  mode: number = isAfter ? WRITE_APPEND : WRITE_PREPEND,
): number {
  // What the client says of flags and expiry is not what an extension is about.
  const ignored = { flags: 999, expiry: client.now + 1 }
  return client.write(key, added, { mode, cas, ...ignored, extension, received: extension.value })
}

function extend(client: Client, key: string, added: Buffer, options: Options = {}): number {
  const extension = begin(client, key, added, options)!
  const filled = fill(client, key, added, extension)
  const result = filled === STORED ? finish(client, key, added, extension, options) : filled
  extension.value.abandon()
  return result
}

function expectSound(client: Client): void {
  expect(checkIntegrity(client.memory)).toEqual([])
  expect(new Int32Array(client.memory.control)[RECEIVING_COUNT_WORD]).toBe(0)
}

function expectValue(client: Client, key: string, value: Buffer): void {
  const found = client.find(key)
  expect(found?.value.length).toBe(value.length)
  expect(Buffer.from(found?.value ?? '', 'latin1').equals(value)).toBe(true)
}

test.each([true, false])(
  'a short value that is written over meanwhile is extended as it is then (%s)',
  (isAfter) => {
    const client = newClient()
    const [old, other, added] = [bytesOf(10_240, 1), bytesOf(10_240, 2), bytesOf(MIB, 3)]
    expect(client.write('k', old)).toBe(STORED)
    const extension = begin(client, 'k', added, { isAfter })!
    // Up to the middle of the old value.
    const oldFrom = isAfter ? 0 : added.length
    while (extension.value.arrivedBytes < oldFrom + 5000) {
      const left = oldFrom + 5000 - extension.value.arrivedBytes
      expect(proceed(client, 'k', added, extension, Math.min(PIECE_BYTES, left))).toBe(STORED)
    }
    expect(client.write('k', other)).toBe(STORED)
    expect(fill(client, 'k', added, extension)).toBe(STORED)
    expect(finish(client, 'k', added, extension, { isAfter })).toBe(STORED)
    expectValue(client, 'k', Buffer.concat(isAfter ? [other, added] : [added, other]))
    expectSound(client)
  },
)

test('what is added stands behind the value or before it, whatever the lengths', () => {
  for (const isAfter of [true, false]) {
    for (const [keyLength, oldBytes, addedBytes] of [
      [1, 2 * MIB, 1],
      [3, 2 * MIB + 5, 70_001],
      [250, 5, 2 * MIB],
      [7, 1_500_003, 1_500_001],
      [2, MIB - 3, 3],
    ] as const) {
      const client = newClient()
      const key = 'k'.repeat(keyLength)
      const [old, added] = [bytesOf(oldBytes, 1), bytesOf(addedBytes, 2)]
      const expiry = client.now + 100
      expect(client.write(key, old, { flags: 7, expiry })).toBe(STORED)
      const before = client.find(key)!
      expect(extend(client, key, added, { isAfter })).toBe(STORED)
      const { cas } = client
      expect(cas).not.toEqual(before.cas)
      expect(client.find(key)).toMatchObject({ flags: 7, expiry, cas })
      expectValue(client, key, Buffer.concat(isAfter ? [old, added] : [added, old]))
      expect(readStoreCounters(client.memory).items).toBe(1)
      expectSound(client)
    }
  }
})

test('a step copies no more than it was allowed, and in between the old value is served', () => {
  const client = newClient()
  const [old, added] = [bytesOf(3 * MIB, 1), bytesOf(200_000, 2)]
  client.write('key', old)
  for (const isAfter of [true, false]) {
    const extension = begin(client, 'key', added, { isAfter })!
    let steps = 0
    for (; extension.value.missingBytes > 0; steps++) {
      const before = extension.value.arrivedBytes
      expect(proceed(client, 'key', added, extension, 65_536)).toBe(STORED)
      expect(extension.value.arrivedBytes - before).toBeLessThanOrEqual(65_536)
    }
    expect(steps).toBe(Math.ceil((old.length + added.length) / 65_536))
    expectValue(client, 'key', old)
    extension.value.abandon()
    expectSound(client)
  }
})

test('without an extension a write never makes a value that long: it answers that one is to be begun', () => {
  const client = newClient()
  const { extendedBytesMin } = client.store
  const old = bytesOf(extendedBytesMin - 10, 1)
  client.write('key', old)
  const added = bytesOf(9, 2)
  expect(begin(client, 'key', added)).toBeUndefined()
  expect(client.write('key', added, { mode: WRITE_APPEND })).toBe(STORED)
  for (const mode of [WRITE_APPEND, WRITE_PREPEND]) {
    expect(client.write('key', 'x', { mode })).toBe(CHANGED)
  }
  expectValue(client, 'key', Buffer.concat([old, added]))
  expect(extend(client, 'key', Buffer.from('x'))).toBe(STORED)
  expectValue(client, 'key', Buffer.concat([old, added, Buffer.from('x')]))
  expectSound(client)
})

test('what write() refuses is not begun, and write() says why', () => {
  const client = newClient()
  const old = bytesOf(9 * MIB, 1)
  client.write('key', old)
  const [high, low] = client.find('key')!.cas
  const options = { cas: [high, low + 1] } as const
  expect(begin(client, 'key', Buffer.from('x'), options)).toBeUndefined()
  expect(client.write('key', 'x', { ...options, mode: WRITE_APPEND })).toBe(EXISTS)
  const tooMuch = bytesOf(8 * MIB, 2)
  expect(begin(client, 'key', tooMuch)).toBeUndefined()
  expect(client.write('key', tooMuch, { mode: WRITE_APPEND })).toBe(TOO_LARGE)
  expect(begin(client, 'none', tooMuch)).toBeUndefined()
  expect(client.write('none', tooMuch, { mode: WRITE_APPEND })).toBe(NOT_STORED)
  expect(extend(client, 'key', Buffer.from('x'), { cas: [high, low] })).toBe(STORED)
  expectSound(client)
})

test('the CAS that is compared is that of the moment in which the result is linked', () => {
  const client = newClient()
  client.write('key', bytesOf(3 * MIB, 1))
  const { cas } = client.find('key')!
  const extension = begin(client, 'key', Buffer.from('x'), { cas })!
  expect(fill(client, 'key', Buffer.from('x'), extension)).toBe(STORED)
  client.lookupToChange('key', 0)
  client.store.setCas(0, 0)
  client.store.release()
  expect(finish(client, 'key', Buffer.from('x'), extension, { cas })).toBe(EXISTS)
  extension.value.abandon()
  expectValue(client, 'key', bytesOf(3 * MIB, 1))
  expectSound(client)
})

test('an item that is marked or touched all the while is extended at the first try', () => {
  const client = newClient()
  const [old, added] = [bytesOf(3 * MIB, 1), bytesOf(10, 2)]
  client.write('key', old, { flags: 5, expiry: client.now + 50 })
  const extension = begin(client, 'key', added)!
  const expiry = client.now + 5000
  while (extension.value.missingBytes > 0) {
    expect(proceed(client, 'key', added, extension)).toBe(STORED)
    expect(client.lookupToChange('key', expiry)).toBe(HIT)
    client.store.setCas(0, 0)
    client.store.setExpiry(expiry)
    client.store.release()
  }
  expect(finish(client, 'key', added, extension)).toBe(STORED)
  expect(client.find('key')).toMatchObject({ flags: 5, expiry })
  expectValue(client, 'key', Buffer.concat([old, added]))
  expectSound(client)
})

test('an item that others change is not mixed with what it was: the extension is to be begun anew', () => {
  const old = bytesOf(3 * MIB, 1)
  const added = bytesOf(1000, 2)
  const changes: readonly [string, (client: Client) => void][] = [
    ['another value', (client) => client.write('key', bytesOf(3 * MIB, 3))],
    ['a small value', (client) => client.write('key', 'small')],
    ['deleted', (client) => client.remove('key')],
    ['flushed', (client) => client.store.flush(0, client.now)],
    ['expired', (client) => client.touch('key', client.now)],
    ['extended', (client) => expect(extend(client, 'key', Buffer.from('other'))).toBe(STORED)],
  ]
  for (const [what, change] of changes) {
    for (const isBeforeLink of [false, true]) {
      const client = newClient()
      client.write('key', old)
      const extension = begin(client, 'key', added)!
      if (isBeforeLink) fill(client, 'key', added, extension)
      else proceed(client, 'key', added, extension)
      change(client)
      const result = isBeforeLink
        ? finish(client, 'key', added, extension)
        : fill(client, 'key', added, extension)
      expect(result, what).toBe(CHANGED)
      const found = client.find('key')?.value
      extension.value.abandon()
      expect(client.find('key')?.value === found, what).toBe(true)
      expectSound(client)
    }
  }
})

test('an item that came to the same place with the same length and CAS is another one', () => {
  const client = newClient()
  const { store } = client
  const added = bytesOf(1000, 2)
  /** Stores a value in segments of its own; returns where. */
  const place = (seed: number): number => {
    const value = bytesOf(3 * MIB, seed)
    const large = store.beginLarge(3, value.length)
    expect(store.appendLarge(large, value, 0, value.length, client.now)).toBe(true)
    expect(client.write('key', value, { received: large, givenCas: [0, 4711] })).toBe(STORED)
    expect(client.lookup('key')).toBe(HIT)
    const { heldLocation } = store
    store.release()
    return heldLocation
  }
  const location = place(1)
  const extension = begin(client, 'key', added)!
  expect(proceed(client, 'key', added, extension)).toBe(STORED)
  let found = -1
  // What is freed last is taken first, so it comes to lie there again, in the second round or so.
  for (let round = 0; found !== location && round < 10; round++) {
    client.remove('key')
    found = place(9)
  }
  expect(found).toBe(location)
  expect(proceed(client, 'key', added, extension)).toBe(CHANGED)
  extension.value.abandon()
  expectSound(client)
})

test('where nothing is, what is added is made in pieces and then added, and only then', () => {
  const client = newClient()
  const added = bytesOf(3 * MIB, 2)
  const options = { createsMissing: true }
  expect(begin(client, 'key', Buffer.from('small'), options)).toBeUndefined()
  const extension = begin(client, 'key', added, options)!
  expect(fill(client, 'key', added, extension)).toBe(STORED)
  expect(finish(client, 'key', added, extension)).toBe(NOT_STORED)
  expect(finish(client, 'key', added, extension, {}, WRITE_ADD)).toBe(STORED)
  expectValue(client, 'key', added)
  expect(client.find('key')).toMatchObject({ flags: 999, expiry: client.now + 1 })
  expectSound(client)
  const late = begin(client, 'other', added, options)!
  fill(client, 'other', added, late)
  client.write('other', 'first')
  expect(finish(client, 'other', added, late)).toBe(CHANGED)
  late.value.abandon()
  expect(client.get('other')).toBe('first')
  expectSound(client)
})

test('extensions under way are bounded as all values under way, and one that is refused leaves its item', () => {
  for (const evicts of [true, false]) {
    const client = newClient({ evicts })
    const old = bytesOf(9 * MIB, 1)
    client.write('key', old)
    const first = begin(client, 'key', Buffer.from('x'))!
    expect(fill(client, 'key', Buffer.from('x'), first)).toBe(STORED)
    const second = begin(client, 'key', Buffer.from('y'))!
    expect(fill(client, 'key', Buffer.from('y'), second)).toBe(NO_MEMORY)
    expectValue(client, 'key', old)
    expect(finish(client, 'key', Buffer.from('x'), first)).toBe(STORED)
    expectValue(client, 'key', Buffer.concat([old, Buffer.from('x')]))
    expectSound(client)
  }
})

test('an item that is evicted to make room for what it is extended to is gone, and nothing is held', () => {
  const client = newClient()
  const old = bytesOf(7 * MIB, 1)
  client.write('key', old)
  const extension = begin(client, 'key', Buffer.from('x'))!
  proceed(client, 'key', Buffer.from('x'), extension)
  // As large as it takes to come into the same queue.
  const filler = Buffer.alloc(600 * KIB, 1)
  for (let index = 0; index < 200 && client.has('key'); index++) {
    client.write(`filler ${index}`, filler)
  }
  expect(client.has('key')).toBe(false)
  expect(fill(client, 'key', Buffer.from('x'), extension)).toBe(CHANGED)
  extension.value.abandon()
  expect(begin(client, 'key', Buffer.from('x'))).toBeUndefined()
  expectSound(client)
})

test('random extensions on two workers leave what a string would, and sound memory', () => {
  const random = randomOf(seedOfRun())
  const first = newClient({ workerCount: 2 })
  const clients = [first, first.worker(1)]
  const values = new Map<string, Buffer>()
  for (let round = 0; round < 60; round++) {
    const client = clients[random.below(2)]!
    const key = `key ${random.below(2)}`
    const value = values.get(key)
    if (value === undefined || value.length > 4 * MIB) {
      const fresh = bytesOf(900_000 + random.below(400_000), round)
      expect(client.write(key, fresh)).toBe(STORED)
      values.set(key, fresh)
      continue
    }
    const added = bytesOf(1 + random.below(500_000), round)
    const isAfter = random.below(2) === 0
    const isLarge = value.length + added.length >= client.store.extendedBytesMin
    const mode = isAfter ? WRITE_APPEND : WRITE_PREPEND
    const result = isLarge
      ? extend(client, key, added, { isAfter })
      : client.write(key, added, { mode })
    expect(result).toBe(STORED)
    values.set(key, Buffer.concat(isAfter ? [value, added] : [added, value]))
    expectValue(clients[random.below(2)]!, key, values.get(key)!)
  }
  expectSound(first)
})
