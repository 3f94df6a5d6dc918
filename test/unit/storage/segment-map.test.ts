/** The picture of the segments: at rest it agrees with the counters, whoever owns what. */
import { expect, test } from 'vitest'
import { readStoreCounters } from '../../../src/storage/counters.ts'
import { createStoreMemory, type StoreMemory } from '../../../src/storage/geometry.ts'
import { LendingRing } from '../../../src/storage/lending.ts'
import { addNamespace, dropNamespace } from '../../../src/storage/namespaces.ts'
import { readSegmentMap, SEGMENT_USES, type SegmentUse } from '../../../src/storage/segment-map.ts'
import { Client } from './client.ts'

const KIB = 1024
const MIB = 1024 * KIB
const CELLS_MAX = 1024

function newMemory(memoryBytes: number, evicts = true): StoreMemory {
  return createStoreMemory({
    memoryBytes,
    memoryBytesMax: 2 * memoryBytes,
    itemBytesMax: 64 * KIB,
    evicts,
    workerCount: 1,
    seed: [11, 22],
    quotaBytesMin: 2 * MIB,
  })
}

function fill(client: Client, prefix: string, bytes: number): void {
  const value = Buffer.alloc(1000, 'v')
  for (let index = 0; index * value.length < bytes; index++) {
    client.write(`${prefix} ${index}`, value)
    // Some are read, so that some come into the main queue.
    if (index % 3 === 0) client.get(`${prefix} ${index}`)
  }
}

function sumOf(memories: readonly StoreMemory[], ...uses: readonly SegmentUse[]) {
  const sums = readSegmentMap(memories, CELLS_MAX).sums.filter(({ use }) => uses.includes(use))
  return {
    segments: sums.reduce((sum, { segmentCount }) => sum + segmentCount, 0),
    bytes: sums.reduce((sum, { liveBytes }) => sum + liveBytes, 0),
  }
}

test('of an empty store all segments but the first page of the index are free', () => {
  const memory = newMemory(8 * MIB)
  const map = readSegmentMap([memory], CELLS_MAX)
  const { segments, segmentBytes } = readStoreCounters(memory)
  expect(map).toMatchObject({ segmentBytes, segmentCount: segments, segmentsPerCell: 1 })
  expect(sumOf([memory], 'index')).toEqual({ segments: 1, bytes: segmentBytes })
  expect(sumOf([memory], 'free')).toEqual({ segments: segments - 1, bytes: 0 })
})

test.each([true, false])(
  'a store that was filled (evicts: %s) adds up to its counters',
  (evicts) => {
    const client = new Client({}, newMemory(8 * MIB, evicts))
    fill(client, 'first', 12 * MIB)
    for (let index = 0; index < 4000; index += 7) client.remove(`first ${index}`)
    const counters = readStoreCounters(client.memory)
    const { memory } = client
    expect(sumOf([memory], 'small', 'main', 'open', 'emptied').bytes).toBe(counters.bytes)
    expect(sumOf([memory], 'free').segments).toBe(counters.segmentsFree)
    expect(sumOf([memory], 'open').segments).toBe(counters.segmentsOpen)
    expect(sumOf([memory], 'small', 'main').segments).toBe(counters.segmentsSealed)
    expect(sumOf([memory], 'small').segments).toBe(counters.segmentsSmall)
    expect(sumOf([memory], 'index').bytes).toBe(counters.indexBytes)
    expect(counters.segmentsSealed).toBeGreaterThan(100)
  },
)

test('each namespace has its own segments, and none when it is gone', () => {
  const memory = newMemory(16 * MIB)
  const { segmentCount } = readSegmentMap([memory], CELLS_MAX)
  const shop = addNamespace(memory, { namespace: 1, quotaBytes: 4 * MIB, seed: [3, 4] })
  const ring = new LendingRing()
  const clients = [memory, shop].map((it) => new Client({}, it))
  for (const { store } of clients) store.joinLending(ring)
  fill(clients[0]!, 'of all', 2 * MIB)
  fill(clients[1]!, 'of the shop', 3 * MIB)
  const both = readSegmentMap([memory, shop], CELLS_MAX)
  const ofShop = [...both.owners].filter((owner) => owner === 1).length
  const { bytes } = readStoreCounters(shop)
  expect(ofShop * both.segmentBytes).toBeGreaterThan(bytes)
  expect(sumOf([memory, shop], 'small', 'main', 'open').bytes).toBe(
    bytes + readStoreCounters(memory).bytes,
  )
  for (const { store } of clients) store.leaveLending()
  dropNamespace(memory, shop)
  const alone = readSegmentMap([memory], CELLS_MAX)
  expect([...alone.owners].filter((owner) => owner !== 0)).toEqual([])
  expect(alone.segmentCount).toBe(segmentCount)
})

test('a cell stands for several segments where there are more than cells', () => {
  const client = new Client({}, newMemory(8 * MIB))
  fill(client, 'first', 4 * MIB)
  const fine = readSegmentMap([client.memory], CELLS_MAX)
  const coarse = readSegmentMap([client.memory], 100)
  expect(coarse.segmentsPerCell).toBe(Math.ceil(fine.segmentCount / 100))
  expect(coarse.uses.length).toBeLessThanOrEqual(100)
  expect(coarse.sums).toEqual(fine.sums)
  const names = new Set([...coarse.uses].map((use) => SEGMENT_USES[use]))
  expect(names).toContain('small')
  expect(names).toContain('free')
  expect(Math.max(...coarse.livePercents)).toBeLessThanOrEqual(100)
})

test('a limit that was lowered still shows what is in use beyond it', () => {
  const client = new Client({}, newMemory(8 * MIB))
  client.store.setMemoryLimit(16 * MIB)
  fill(client, 'first', 15 * MIB)
  const before = readSegmentMap([client.memory], CELLS_MAX)
  client.store.setMemoryLimit(4 * MIB)
  const { bytes } = readStoreCounters(client.memory)
  expect(sumOf([client.memory], 'small', 'main', 'open', 'emptied').bytes).toBe(bytes)
  const { segmentCount } = readSegmentMap([client.memory], CELLS_MAX)
  expect(segmentCount).toBeLessThan(before.segmentCount)
  expect(segmentCount).toBeGreaterThan(readStoreCounters(client.memory).segments)
})
