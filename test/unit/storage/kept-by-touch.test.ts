/**
 * Items that were to expire and are touched in time: with room for everything none of them is lost,
 * though a touch tells only the segment in which its item begins, and what is taken as expired is
 * looked for only at the oldest segment of each group.
 */

import { expect, test } from 'vitest'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { STORED } from '../../../src/storage/result.ts'
import { mustBe } from '../../support/must-be.ts'
import { Client } from './client.ts'
import { randomOf, seedOfRun } from './model.ts'

const KIB = 1024
const MIB = 1024 * KIB

test('an item over several segments that is touched in its last second stays, whatever else expires', () => {
  const client = new Client({ memoryBytes: 8 * MIB, itemBytesMax: 4 * MIB })
  const expiry = client.now + 30
  const kept = new Map<string, number>()
  // At 16 KiB a segment they span 2 to 150 of them, with others that do expire before and behind.
  for (const size of [20, 60, 200, 700, 1100]) {
    const key = `kept ${size}`
    kept.set(key, size * KIB)
    expect(client.write(key, Buffer.alloc(size * KIB, size), { expiry })).toBe(STORED)
    for (let index = 0; index < 20; index++) {
      client.write(`gone ${size} ${index}`, Buffer.alloc(2000, 1), { expiry })
    }
  }
  client.now += 29
  for (const key of kept.keys()) expect(client.touch(key, client.now + 10_000)).toBe(true)
  client.now += 2
  // Everything that makes room, several times over: the live part stays under half of the memory.
  const random = randomOf(seedOfRun())
  for (let round = 0; round < 20_000; round++) {
    const value = Buffer.alloc(1000, 2)
    const length = 500 + (round % 500)
    mustBe(client.write(`filler ${random.below(2500)}`, value.subarray(0, length)), STORED)
    if (round % 50 === 0) client.store.maintain(client.now, 100)
  }
  const counters = readStoreCounters(client.memory)
  expect(counters.evictions).toBe(0)
  expect(counters.compactedSegments).toBeGreaterThan(0)
  expect(counters.reinserted).toBeGreaterThan(0)
  for (const [key, size] of kept) expect(client.get(key)?.length, key).toBe(size)
  expect(client.has('gone 20 0')).toBe(false)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('with room for everything random touches, writes and expiries on three workers lose nothing in its time', () => {
  const random = randomOf(seedOfRun())
  const first = new Client({ memoryBytes: 8 * MIB, itemBytesMax: 2 * MIB, workerCount: 3 })
  const clients = [first, first.worker(1), first.worker(2)]
  const expiries = new Map<string, number>()
  for (let step = 0; step < 30_000; step++) {
    const client = clients[random.below(3)]!
    if (random.below(20) === 0) for (const each of clients) each.now++
    // What stays for long between what dies keeps segments from coming back by themselves.
    client.write(`stays ${random.below(4000)}`, Buffer.alloc(300 + random.below(300)))
    const key = `key ${random.below(150)}`
    const expiry = random.below(8) === 0 ? 0 : client.now + 1 + random.below(40)
    const known = expiries.get(key)
    const isAlive = known !== undefined && (known === 0 || known > client.now)
    const action = random.below(10)
    if (action < 5) {
      // 20 KiB on average: less than half of the memory is alive.
      const length = random.below(3) === 0 ? random.below(100 * KIB) : random.below(4000)
      mustBe(client.write(key, Buffer.alloc(length), { expiry }), STORED)
      expiries.set(key, expiry)
    } else if (action < 8) {
      mustBe(client.touch(key, expiry), isAlive, `${key} at step ${step}`)
      if (isAlive) expiries.set(key, expiry)
    } else if (action < 9) {
      mustBe(client.has(key), isAlive, `${key} at step ${step}`)
    } else {
      client.store.maintain(client.now, 50)
    }
  }
  const { evictions, reinserted } = readStoreCounters(first.memory)
  expect(evictions).toBe(0)
  expect(reinserted, 'memory was never short of free segments').toBeGreaterThan(0)
  expect(checkIntegrity(first.memory)).toEqual([])
})
