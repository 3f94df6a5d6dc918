import { expect, test } from 'vitest'
import { COUNTER_LANES } from '../../../src/storage/counters.ts'
import {
  createStoreMemory,
  DEATHS_WORD,
  type Geometry,
  MEMORY_BYTES_MAX,
  MEMORY_BYTES_MIN,
  SEGMENT_STUCK_LIVE,
  SEGMENT_WORDS,
  WORKER_COUNTERS_WORD,
  WORKER_WORDS,
} from '../../../src/storage/geometry.ts'
import {
  BUCKET_WORDS,
  LINK_WORD,
  LOCATIONS_WORD,
  SLOTS_PER_BUCKET,
} from '../../../src/storage/hash-index.ts'
import {
  casHighOf,
  ITEM_HEADER_BYTES,
  ITEM_HEADER_WORDS,
  isDead,
  keyLengthOf,
  LAST_ACCESS_WORD,
  recordBytesOf,
  STATE_DEAD,
  STATE_SPANS,
  spans,
  stateOf,
  traitsOf,
} from '../../../src/storage/item.ts'
import { MemoryView } from '../../../src/storage/memory-view.ts'
import { Client } from './client.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB

function geometryOf(memoryBytes: number, workerCount = 1): Geometry {
  return createStoreMemory({
    memoryBytes,
    itemBytesMax: MIB,
    evicts: true,
    workerCount,
    seed: [1, 2],
  }).geometry
}

test('an item header is 24 bytes', () => {
  expect(ITEM_HEADER_BYTES).toBe(24)
  expect(ITEM_HEADER_WORDS * 4).toBe(ITEM_HEADER_BYTES)
  expect(LAST_ACCESS_WORD).toBe(ITEM_HEADER_WORDS - 1)
})

test('a record is header, key and value, rounded up to 8 bytes, or 16 in a large store', () => {
  expect(recordBytesOf(1, 0, 3)).toBe(32)
  expect(recordBytesOf(8, 0, 3)).toBe(32)
  expect(recordBytesOf(8, 1, 3)).toBe(40)
  expect(recordBytesOf(8, 1, 4)).toBe(48)
  expect(recordBytesOf(250, GIB, 3)).toBe(GIB + 280)
})

test('the traits hold CAS, key length and state without touching each other', () => {
  for (const casHigh of [0, 1, 0xffff]) {
    for (const keyLength of [1, 127, 128, 250]) {
      for (const state of [0, 1, 0x3f, STATE_SPANS, STATE_SPANS | 0x3f]) {
        const traits = traitsOf(casHigh, keyLength, state)
        expect(casHighOf(traits)).toBe(casHigh)
        expect(keyLengthOf(traits)).toBe(keyLength)
        expect(stateOf(traits)).toBe(state)
        expect(spans(traits)).toBe((state & STATE_SPANS) !== 0)
        expect(isDead(traits)).toBe(false)
        expect(isDead(traits | (STATE_DEAD << 24))).toBe(true)
      }
    }
  }
})

test('header and key and value lie where the diagram says', () => {
  const client = new Client()
  client.now = 0x65656565
  client.write('key', 'value', { flags: 0x01020304, expiry: 0x7a7b7c7d })
  const { geometry, arenas } = client.memory
  // The first segment is a page of the index, the second one is the first of the log.
  const item = Buffer.from(arenas[0]!, geometry.segmentBytes, 32)
  expect(item.readUInt32LE(0)).toBe(5)
  expect(item.readUInt32LE(4)).toBe(client.store.casLow)
  expect(item.readUInt16LE(8)).toBe(client.store.casHigh)
  expect(item.readUInt8(10)).toBe(3)
  expect(item.readUInt8(11)).toBe(0)
  expect(item.readUInt32LE(12)).toBe(0x7a7b7c7d)
  expect(item.readUInt32LE(16)).toBe(0x01020304)
  expect(item.readUInt32LE(20)).toBe(0x65656565)
  expect(item.toString('latin1', 24, 32)).toBe('keyvalue')
})

test('a bucket is one cache line of seven slots and a link', () => {
  expect(BUCKET_WORDS * 4).toBe(64)
  expect(LOCATIONS_WORD).toBe(SLOTS_PER_BUCKET)
  expect(LINK_WORD).toBe(2 * SLOTS_PER_BUCKET)
})

test('the records of segments and workers have room for what is in them', () => {
  expect(SEGMENT_WORDS * 4).toBe(64)
  expect(SEGMENT_STUCK_LIVE).toBeLessThan(SEGMENT_WORDS)
  expect(WORKER_COUNTERS_WORD % 2).toBe(0)
  expect(WORKER_COUNTERS_WORD + COUNTER_LANES * 2).toBeLessThanOrEqual(WORKER_WORDS)
})

test('the tables of the control block follow each other without overlap', () => {
  const geometry = geometryOf(64 * MIB, 3)
  expect(geometry.stripesWord).toBeGreaterThan(DEATHS_WORD)
  expect(geometry.segmentsWord - geometry.stripesWord).toBe(256 * 16)
  expect(geometry.workersWord - geometry.segmentsWord).toBe(geometry.segmentCount * SEGMENT_WORDS)
  expect(geometry.pagesWord - geometry.workersWord).toBe(3 * WORKER_WORDS)
  expect(geometry.controlWords - geometry.pagesWord).toBe(geometry.segmentCount)
})

// biome-ignore format: a table
const SIZES = [
  // memory, segment, segments, arenas, unit
  [MEMORY_BYTES_MIN, 16 * 1024, 16, 1, 8],
  [MIB, 16 * 1024, 64, 1, 8],
  [MIB + 20_000, 16 * 1024, 65, 1, 8],
  [64 * MIB, 256 * 1024, 256, 1, 8],
  [100 * MIB, 256 * 1024, 400, 1, 8],
  [GIB, MIB, 1024, 1, 8],
  [5 * GIB + 3 * MIB, MIB, 5123, 6, 8],
  [32 * GIB, MIB, 32768, 32, 8],
  [64 * GIB, MIB, 65536, 64, 16],
]

for (const [memoryBytes, segmentBytes, segmentCount, arenaCount, unit] of SIZES) {
  test(`${memoryBytes} bytes of memory are ${segmentCount} segments in ${arenaCount} arenas`, () => {
    const before = process.memoryUsage().rss
    const memory = createStoreMemory({
      memoryBytes: memoryBytes!,
      itemBytesMax: MIB,
      evicts: true,
      workerCount: 4,
      seed: [1, 2],
    })
    const { geometry, arenas } = memory
    expect(geometry.segmentBytes).toBe(segmentBytes)
    expect(geometry.segmentCount).toBe(segmentCount)
    expect(arenas.length).toBe(arenaCount)
    expect(1 << geometry.unitShift).toBe(unit)
    const bytes = arenas.reduce((sum, arena) => sum + arena.byteLength, 0)
    expect(bytes).toBe(segmentCount! * segmentBytes!)
    expect(bytes).toBeLessThanOrEqual(memoryBytes!)
    expect(process.memoryUsage().rss - before, 'untouched pages cost nothing').toBeLessThan(
      40 * MIB,
    )
    // Every address, in and out.
    const view = new MemoryView(memory)
    for (const segment of [0, 1, segmentCount! >> 1, segmentCount! - 1]) {
      for (const offset of [0, unit!, segmentBytes! - unit!]) {
        const location = view.locationOf(segment, offset)
        expect(view.locationSegment(location)).toBe(segment)
        expect(view.locationOffset(location)).toBe(offset)
        expect(view.locationArena(location)).toBe(view.segmentArena(segment))
        expect(view.locationBase(location)).toBe(view.segmentBase(segment) + offset / 4)
        expect(view.segmentByteBase(segment) + offset).toBeLessThan(
          view.segmentArena(segment).byteLength,
        )
      }
    }
  })
}

test('memory outside the limits is a programmer error', () => {
  for (const memoryBytes of [0, MEMORY_BYTES_MIN - 1, MEMORY_BYTES_MAX + 1]) {
    expect(() => geometryOf(memoryBytes)).toThrow('store memory of')
  }
})
