/** The limit of the memory moves up to what was laid out, and down in bounded steps, for all workers. */

import { expect, test } from 'vitest'
import { EXCESS_WORD } from '../../../src/storage/control-block.ts'
import {
  counterLanes,
  EVICTIONS,
  RECLAIMED,
  REINSERTED,
  readStoreCounters,
} from '../../../src/storage/counters.ts'
import { createStoreMemory } from '../../../src/storage/geometry.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { NO_MEMORY, STORED } from '../../../src/storage/result.ts'
import { mustBe } from '../../support/must-be.ts'
import { Client } from './client.ts'
import { randomOf, seedOfRun } from './model.ts'

const KIB = 1024
const MIB = 1024 * KIB
const VALUE = Buffer.alloc(1000, 'v')

function newClient(evicts = true, workerCount = 1): Client {
  return new Client(
    {},
    createStoreMemory({
      memoryBytes: 8 * MIB,
      memoryBytesMax: 32 * MIB,
      itemBytesMax: 512 * KIB,
      evicts,
      workerCount,
      seed: [11, 22],
    }),
  )
}

/** Bytes of the segments that hold anything. */
function usedBytes(client: Client): number {
  const { segments, segmentsFree, segmentBytes } = readStoreCounters(client.memory)
  const excess = new Int32Array(client.memory.control)[EXCESS_WORD]!
  return (segments + excess - segmentsFree) * segmentBytes
}

function write(client: Client, prefix: string, bytes: number): number {
  let refused = 0
  for (let index = 0; index * VALUE.length < bytes; index++) {
    if (client.write(`${prefix} ${index}`, VALUE) !== STORED) refused++
  }
  return refused
}

test('a raised limit holds more at once, and a lowered one less after so many ticks', () => {
  const client = newClient()
  expect(write(client, 'first', 12 * MIB)).toBe(0)
  const atFirst = readStoreCounters(client.memory)
  expect(atFirst).toMatchObject({ memoryBytes: 8 * MIB })
  expect(atFirst.bytes).toBeLessThan(8 * MIB)
  expect(client.store.setMemoryLimit(32 * MIB)).toBe(true)
  const before = atFirst.evictions
  expect(write(client, 'second', 20 * MIB)).toBe(0)
  const raised = readStoreCounters(client.memory)
  expect(raised).toMatchObject({ memoryBytes: 32 * MIB, evictions: before })
  expect(raised.bytes).toBeGreaterThan(26 * MIB)
  expect(checkIntegrity(client.memory)).toEqual([])
  expect(client.store.setMemoryLimit(4 * MIB)).toBe(true)
  expect(readStoreCounters(client.memory).memoryBytes).toBe(4 * MIB)
  expect(readStoreCounters(client.memory).evictions, 'nothing at once').toBe(before)
  let ticks = 0
  const lanes = counterLanes(client.memory, 0)
  for (; usedBytes(client) > 4 * MIB; ticks++) {
    const evicted = lanes[EVICTIONS]!
    client.store.maintain(client.now, 2000)
    expect(lanes[EVICTIONS]! - evicted).toBeLessThanOrEqual(2000)
    expect(checkIntegrity(client.memory)).toEqual([])
    expect(ticks).toBeLessThan(60)
  }
  expect(ticks).toBeGreaterThan(10)
  expect(write(client, 'third', 6 * MIB)).toBe(0)
  expect(usedBytes(client)).toBeLessThanOrEqual(4 * MIB)
  expect(client.store.setMemoryLimit(8 * MIB)).toBe(true)
  expect(write(client, 'fourth', 8 * MIB)).toBe(0)
  expect(readStoreCounters(client.memory).bytes).toBeGreaterThan(6 * MIB)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('writes bring a lowered limit about by themselves, each with bounded work', () => {
  const client = newClient()
  expect(client.store.setMemoryLimit(32 * MIB)).toBe(true)
  write(client, 'first', 40 * MIB)
  const random = randomOf(seedOfRun())
  const lanes = counterLanes(client.memory, 0)
  const met = () => lanes[EVICTIONS]! + lanes[REINSERTED]! + lanes[RECLAIMED]!
  expect(client.store.setMemoryLimit(5 * MIB)).toBe(true)
  let most = 0
  let written = 0
  // To count what is used costs more than a write does.
  for (let index = 0; index % 16 !== 0 || usedBytes(client) > 5 * MIB; index++) {
    const before = met()
    const length = random.below(2000)
    mustBe(client.write(`second ${index}`, VALUE.subarray(0, length / 2)), STORED)
    written += length / 2
    most = Math.max(most, met() - before)
  }
  expect(most).toBeLessThanOrEqual(60)
  expect(written).toBeLessThan(27 * MIB)
  expect(checkIntegrity(client.memory)).toEqual([])
  // Larger values as well, which need many segments at once.
  expect(client.store.setMemoryLimit(32 * MIB)).toBe(true)
  write(client, 'third', 40 * MIB)
  expect(client.store.setMemoryLimit(5 * MIB)).toBe(true)
  for (let index = 0; index < 100; index++) {
    const { items } = readStoreCounters(client.memory)
    expect(client.write(`large ${index}`, Buffer.alloc(400 * KIB))).toBe(STORED)
    expect(readStoreCounters(client.memory).items).toBeGreaterThan(items - 3000)
  }
  for (let tick = 0; tick < 60; tick++) client.store.maintain(client.now, 2000)
  expect(usedBytes(client)).toBeLessThanOrEqual(5 * MIB)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('a limit beyond what was laid out, or too low to work with, is refused', () => {
  const client = newClient()
  expect(client.store.setMemoryLimit(32 * MIB + 1)).toBe(false)
  expect(client.store.setMemoryLimit(64 * KIB)).toBe(false)
  expect(client.store.setMemoryLimit(client.store.memoryBytesMin - 1)).toBe(false)
  expect(readStoreCounters(client.memory).memoryBytes).toBe(8 * MIB)
  expect(client.store.setMemoryLimit(client.store.memoryBytesMin)).toBe(true)
  expect(write(client, 'key', 4 * MIB)).toBe(0)
  expect(client.write('large', Buffer.alloc(500 * KIB))).toBe(STORED)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('with -M a lowered limit keeps every item, and refuses until there is room', () => {
  const client = newClient(false)
  expect(write(client, 'key', 6 * MIB)).toBe(0)
  expect(client.store.setMemoryLimit(4 * MIB)).toBe(true)
  for (let tick = 0; tick < 30; tick++) client.store.maintain(client.now, 2000)
  expect(checkIntegrity(client.memory)).toEqual([])
  expect(client.write('larger', Buffer.alloc(100 * KIB))).toBe(NO_MEMORY)
  expect(write(client, 'more', MIB)).toBeGreaterThan(900)
  let count = 0
  while (client.has(`key ${count}`)) count++
  expect(count).toBe(Math.ceil((6 * MIB) / 1000))
  for (let index = 0; index < count; index += 2) client.remove(`key ${index}`)
  for (let tick = 0; tick < 60; tick++) client.store.maintain(client.now, 2000)
  expect(usedBytes(client)).toBeLessThanOrEqual(4 * MIB)
  expect(client.write('larger', Buffer.alloc(100 * KIB))).toBe(STORED)
  for (let index = 1; index < count; index += 2) mustBe(client.has(`key ${index}`), true)
  expect(client.store.setMemoryLimit(16 * MIB)).toBe(true)
  expect(write(client, 'again', 8 * MIB)).toBe(0)
  expect(checkIntegrity(client.memory)).toEqual([])
})

test('the other workers follow, and use fewer groups while there is less', () => {
  const first = newClient(true, 4)
  const workers = [first, first.worker(1), first.worker(2), first.worker(3)]
  const random = randomOf(seedOfRun())
  const expiry = () => (random.below(3) === 0 ? 0 : first.now + 2 ** random.below(20))
  for (const limit of [16, 2, 32, 3, 8].map((mib) => mib * MIB)) {
    expect(workers[random.below(4)]!.store.setMemoryLimit(limit), `${limit}`).toBe(true)
    for (let index = 0; index < 20_000; index++) {
      const client = workers[random.below(4)]!
      const value = VALUE.subarray(random.below(1000))
      mustBe(client.write(`key ${random.below(50_000)}`, value, { expiry: expiry() }), STORED)
      if (index % 500 === 0) client.store.maintain(client.now, 2000)
    }
    expect(usedBytes(first)).toBeLessThanOrEqual(limit)
    expect(checkIntegrity(first.memory)).toEqual([])
  }
})

test('what is laid out for a higher limit is address space only', () => {
  const before = process.memoryUsage().rss
  const memory = createStoreMemory({
    memoryBytes: 64 * MIB,
    memoryBytesMax: 16 * 1024 * MIB,
    itemBytesMax: MIB,
    evicts: true,
    workerCount: 4,
    seed: [11, 22],
  })
  expect(memory.geometry.segmentCount).toBeGreaterThan(100_000)
  expect(process.memoryUsage().rss - before).toBeLessThan(4 * MIB)
})
