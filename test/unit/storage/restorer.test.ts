/** Items of a snapshot come back beside clients who change things: the newer one always wins. */

import { expect, test } from 'vitest'
import { createStoreMemory } from '../../../src/storage/geometry.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { LendingRing } from '../../../src/storage/lending.ts'
import { addNamespace } from '../../../src/storage/namespaces.ts'
import type { StoreParts } from '../../../src/storage/parts.ts'
import type { Restorer } from '../../../src/storage/restorer.ts'
import {
  CHANGED,
  EXISTS,
  HIT,
  MISS,
  NO_MEMORY,
  NOT_FOUND,
  STORED,
  TOO_LARGE,
} from '../../../src/storage/result.ts'
import { createTouchedMemory } from '../../../src/storage/touched-keys.ts'
import { WRITE_ADD } from '../../../src/storage/write-order.ts'
import { Client } from './client.ts'
import { restoreOne } from './snapshot-store.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** What a restorer works with. */
function partsOf(restorer: Restorer): StoreParts {
  return (restorer as unknown as { readonly parts: StoreParts }).parts
}

/** A client, and who restores beside it. */
function start(evicts = true) {
  const client = new Client({ memoryBytes: 1024 * KIB, workerCount: 2, evicts })
  const touched = createTouchedMemory(1024 * KIB)
  client.store.noteChanges(touched)
  const restorer = client.worker(1).store.createRestorer(touched)
  const restore = (key: string, value = 'old', fields = {}): number =>
    restoreOne(restorer, key, value, client.now, fields)
  return { client, restorer, restore }
}

test('an item comes back with its flags, expiry, CAS, state and last access', () => {
  const { client, restore } = start()
  const fields = {
    flags: 7,
    expiry: client.now + 9,
    givenCasHigh: 1,
    givenCasLow: 2,
    state: 1,
    lastAccess: client.now - 50,
    frequency: 2,
    isMain: true,
  }
  expect(restore('key', 'value', fields)).toBe(STORED)
  expect(client.find('key')).toEqual({
    value: 'value',
    flags: 7,
    expiry: client.now + 9,
    cas: [1, 2],
  })
  expect(client.lookup('key')).toBe(HIT)
  const { store } = client
  expect([store.state, store.lastAccess, store.heldFrequency, store.heldIsMain]).toEqual([
    1,
    client.now - 50,
    2,
    true,
  ])
  store.release()
  expect(checkIntegrity(client.memory)).toEqual([])
})

test.each([
  ['set', (client: Client) => expect(client.write('key', 'new')).toBe(STORED)],
  [
    'added',
    (client: Client) => expect(client.write('key', 'new', { mode: WRITE_ADD })).toBe(STORED),
  ],
])(
  'what a client has %s stays, and the old item does not come after it was deleted',
  (_, change) => {
    const { client, restore } = start()
    change(client)
    expect(restore('key')).toBe(EXISTS)
    expect(client.find('key')?.value).toBe('new')
    client.remove('key')
    expect(restore('key')).toBe(EXISTS)
    expect(client.lookup('key')).toBe(MISS)
  },
)

test('what a client deleted before it was back does not come back, though it was not found', () => {
  const { client, restore } = start()
  expect(client.remove('key')).toBe(NOT_FOUND)
  expect(restore('key')).toBe(EXISTS)
  expect(client.lookup('key')).toBe(MISS)
  expect(restore('other')).toBe(STORED)
})

test('a touch into the past deletes what is not back yet, and one into the future does not', () => {
  const { client, restore } = start()
  expect(client.lookupToChange('past', client.now - 1)).toBe(MISS)
  expect(client.lookupToChange('future', client.now + 100)).toBe(MISS)
  expect(restore('past')).toBe(EXISTS)
  expect(restore('future')).toBe(STORED)
})

test('a read that misses does not keep an item from coming back', () => {
  const { client, restore } = start()
  expect(client.lookup('key')).toBe(MISS)
  expect(restore('key')).toBe(STORED)
  expect(client.find('key')?.value).toBe('old')
})

test('a flush ends it: nothing that was stored before comes back, and what was back is gone', () => {
  const { client, restore } = start()
  expect(restore('before')).toBe(STORED)
  client.store.flush(0, client.now)
  expect(restore('after')).toBe(CHANGED)
  expect([client.lookup('before'), client.lookup('after')]).toEqual([MISS, MISS])
})

test('a delayed flush that comes due ends it as well', () => {
  const { client, restore } = start()
  client.store.flush(client.now + 5, client.now)
  expect(restore('before')).toBe(STORED)
  client.now += 5
  expect(restore('after')).toBe(CHANGED)
  expect(client.lookup('before')).toBe(MISS)
})

test.each([true, false])(
  'nothing is evicted or refused to clients for it (evicts: %s)',
  (evicts) => {
    const { client, restore } = start(evicts)
    for (let index = 0; index < 200; index++) client.write(`new${index}`, 'v'.repeat(1000))
    let restored = 0
    let last = STORED
    for (let index = 0; index < 2000 && last !== NO_MEMORY; index++) {
      last = restore(`old${index}`, 'v'.repeat(1000))
      if (last === STORED) restored++
    }
    expect(last).toBe(NO_MEMORY)
    expect(restored).toBeGreaterThan(500)
    for (let index = 0; index < 200; index++) expect(client.find(`new${index}`)).toBeDefined()
    // And there is room left for who writes.
    expect(client.write('one more', 'v'.repeat(1000))).toBe(STORED)
    expect(checkIntegrity(client.memory)).toEqual([])
  },
)

test('what another thread takes in between is had once more, as long as there is any', () => {
  const memory = createStoreMemory({
    memoryBytes: 8 * MIB,
    itemBytesMax: MIB,
    evicts: true,
    workerCount: 3,
    seed: [11, 22],
    quotaBytesMin: 2 * MIB,
  })
  // With another namespace there, segments are claimed as they are needed.
  addNamespace(memory, { namespace: 1, quotaBytes: 2 * MIB, seed: [3, 4] })
  const touched = createTouchedMemory(8 * MIB)
  const ring = new LendingRing()
  const [one, other] = [1, 2].map((worker) => {
    const client = new Client({}, memory, worker)
    client.store.joinLending(ring)
    return { client, restorer: client.store.createRestorer(touched) }
  })
  const value = 'v'.repeat(4000)
  let taken = 0
  const takeOne = (): void => {
    const { pool } = partsOf(other!.restorer)
    const { freeCount } = pool
    while (pool.freeCount >= freeCount) {
      expect(restoreOne(other!.restorer, `other${taken++}`, value, other!.client.now)).toBe(STORED)
    }
  }
  const { holdings } = partsOf(one!.restorer).pool
  const claim = holdings.claim.bind(holdings)
  let isWithin = false
  let interruptions = 0
  holdings.claim = (wanted) => {
    const claimed = claim(wanted)
    if (!isWithin && interruptions < 5) {
      isWithin = true
      interruptions++
      takeOne()
      isWithin = false
    }
    return claimed
  }
  for (let index = 0; index < 300; index++) {
    expect(restoreOne(one!.restorer, `key${index}`, value, one!.client.now)).toBe(STORED)
  }
  expect(interruptions).toBe(5)
  expect(checkIntegrity(memory)).toEqual([])
})

test('an item over the largest one of now is not restored', () => {
  const client = new Client({ itemBytesMax: 2000, workerCount: 2 })
  const restorer = client.store.createRestorer(createTouchedMemory(1024 * KIB))
  expect(restoreOne(restorer, 'key', 'v'.repeat(2000), client.now)).toBe(TOO_LARGE)
})
