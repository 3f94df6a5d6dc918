import { expect, test } from 'vitest'
import {
  LIST_WORDS,
  LISTS_MAX,
  LISTS_WORD,
  OPEN_WORDS,
  OPENS_MAX,
  SEGMENT_DUE,
  SEGMENT_WORDS,
  STRIPE_COUNT,
  WORKER_COUNTERS_WORD,
  WORKER_OPENS_WORD,
  WORKER_WORDS,
} from '../../../src/storage/control-block.ts'
import { COUNTER_LANES, readStoreCounters } from '../../../src/storage/counters.ts'
import {
  createStoreMemory,
  type Geometry,
  GHOST_BUCKET_BYTES,
  MEMORY_BYTES_MAX,
  MEMORY_BYTES_MIN,
} from '../../../src/storage/geometry.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import {
  casHighAt,
  clientFlagsAt,
  expiryAt,
  fillHeader,
  HEADER_BYTES_MAX,
  HEADER_BYTES_MIN,
  headerBytesOf,
  isDead,
  isWide,
  keyLengthOf,
  LAYOUT_ALL,
  LAYOUT_EXPIRY,
  LAYOUT_FLAGS,
  lastAccessAt,
  layoutFor,
  layoutOf,
  recordBytesAt,
  recordBytesOf,
  STATE_DEAD,
  STATE_MASK,
  STATE_SPANS,
  setCasAt,
  setClientFlagsAt,
  setExpiryAt,
  setLastAccessAt,
  setValueLengthAt,
  spans,
  stateOf,
  TRAITS_WORD,
  traitsOf,
  valueLengthAt,
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

/** Every layout that layoutFor() makes, and the bytes of its header. */
const LAYOUTS: readonly [number, number][] = [
  [0, 12],
  [LAYOUT_EXPIRY, 16],
  [LAYOUT_FLAGS, 16],
  [LAYOUT_EXPIRY | LAYOUT_FLAGS, 20],
  [LAYOUT_ALL, 28],
]

test('a header is 12 bytes, 4 more for an expiry, 4 for flags, and 28 if it is wide', () => {
  for (const [layout, bytes] of LAYOUTS) {
    expect(headerBytesOf(traitsOf(layout, 250, 0xffff, STATE_MASK | STATE_SPANS))).toBe(bytes)
    expect(recordBytesOf(layout, 20, 100, 2)).toBe(bytes + 120)
  }
  expect(HEADER_BYTES_MIN).toBe(12)
  expect(HEADER_BYTES_MAX).toBe(28)
})

test('an item has the words that it needs and no others', () => {
  expect(layoutFor(0, 0, 0xffff, false)).toBe(0)
  expect(layoutFor(1, 0, 0, false)).toBe(LAYOUT_EXPIRY)
  expect(layoutFor(0, 1, 0, false)).toBe(LAYOUT_FLAGS)
  expect(layoutFor(0, 0, 0x10000, false)).toBe(LAYOUT_ALL)
  expect(layoutFor(0, 0, 0, true)).toBe(LAYOUT_ALL)
})

test('a record is header, key and value, rounded up to 4 bytes, or 8 or 16 in a large store', () => {
  expect(recordBytesOf(0, 1, 0, 2)).toBe(16)
  expect(recordBytesOf(0, 8, 1, 2)).toBe(24)
  expect(recordBytesOf(0, 8, 1, 3)).toBe(24)
  expect(recordBytesOf(0, 8, 1, 4)).toBe(32)
  expect(recordBytesOf(LAYOUT_ALL, 250, GIB, 2)).toBe(GIB + 280)
})

test('every field of every layout is kept without touching any other', () => {
  const base = 3
  const now = 0xf1234567
  for (const [layout] of LAYOUTS) {
    const words = new Int32Array(16).fill(-1)
    const wide = layout === LAYOUT_ALL
    const valueLength = wide ? GIB : 0xffff
    fillHeader(words, base, layout, 248, valueLength, STATE_MASK, 0xfffffffe, 0xfffffffd, now)
    const fields = (): unknown => [
      layoutOf(words[base + TRAITS_WORD]!),
      keyLengthOf(words[base + TRAITS_WORD]!),
      stateOf(words[base + TRAITS_WORD]!),
      valueLengthAt(words, base),
      clientFlagsAt(words, base),
      expiryAt(words, base),
      lastAccessAt(words, base, now),
      casHighAt(words, base),
      recordBytesAt(words, base, 2),
    ]
    const hasFlags = (layout & LAYOUT_FLAGS) !== 0
    const hasExpiry = (layout & LAYOUT_EXPIRY) !== 0
    const filled = [
      layout,
      248,
      STATE_MASK,
      valueLength,
      hasFlags ? 0xfffffffe : 0,
      hasExpiry ? 0xfffffffd : 0,
      now,
      0,
      recordBytesOf(layout, 248, valueLength, 2),
    ]
    expect(fields()).toEqual(filled)
    const casHigh = wide ? 0xfedcba98 : 0xff
    setCasAt(words, base, casHigh, 0x89abcdef)
    expect(fields()).toEqual(filled.with(7, casHigh))
    setCasAt(words, base, 0, 0)
    setExpiryAt(words, base, 0)
    expect(fields()).toEqual(filled.with(5, 0))
    setExpiryAt(words, base, hasExpiry ? 0xfffffffd : 0)
    setClientFlagsAt(words, base, 0)
    expect(fields()).toEqual(filled.with(4, 0))
    setClientFlagsAt(words, base, hasFlags ? 0xfffffffe : 0)
    setValueLengthAt(words, base, valueLength - 1)
    expect(fields()).toEqual(filled.with(3, valueLength - 1))
    setValueLengthAt(words, base, valueLength)
    setLastAccessAt(words, base, now + 5)
    expect(lastAccessAt(words, base, now + 9)).toBe(now + 5)
    setLastAccessAt(words, base, now)
    expect(fields()).toEqual(filled)
    expect([...words.slice(0, base)]).toEqual([-1, -1, -1])
    expect(words[base + headerBytesOf(words[base + TRAITS_WORD]!) / 4]).toBe(-1)
  }
})

test('the last access is true for 194 days, and never in the future', () => {
  const words = new Int32Array(16)
  const now = 1_700_000_000
  fillHeader(words, 0, 0, 1, 1, 0, 0, 0, now)
  expect(lastAccessAt(words, 0, now)).toBe(now)
  expect(lastAccessAt(words, 0, now + 0xffffff)).toBe(now)
  expect(lastAccessAt(words, 0, now + 0x1000000)).toBe(now + 0x1000000)
})

test('dead, spanning and wide are seen in the traits alone', () => {
  for (const state of [0, STATE_MASK, STATE_SPANS, STATE_SPANS | STATE_MASK]) {
    for (const [layout] of LAYOUTS) {
      const traits = traitsOf(layout, 250, 0xffff, state)
      expect(spans(traits)).toBe((state & STATE_SPANS) !== 0)
      expect(isWide(traits)).toBe(layout === LAYOUT_ALL)
      expect(isDead(traits)).toBe(false)
      expect(isDead(traits | (STATE_DEAD << 24))).toBe(true)
      expect(layoutOf(traits | (STATE_DEAD << 24))).toBe(layout)
    }
  }
})

test('header and key and value lie where the diagram says', () => {
  const client = new Client()
  client.now = 0x65656565
  client.write('key', 'value', { flags: 0x01020304, expiry: 0x7a7b7c7d })
  const { geometry, arenas } = client.memory
  // The first segment is a page of the index, the second one is the first of the log.
  const item = Buffer.from(arenas[0]!, geometry.segmentBytes, 64)
  expect(item.readUInt32LE(0)).toBe(client.store.casLow)
  expect(item.readUInt16LE(4)).toBe(5)
  expect(item.readUInt8(6)).toBe(3)
  expect(item.readUInt8(7)).toBe((LAYOUT_EXPIRY | LAYOUT_FLAGS) << 3)
  expect(item.readUIntLE(8, 3)).toBe(0x656565)
  expect(item.readUInt8(11)).toBe(client.store.casHigh)
  expect(item.readUInt32LE(12)).toBe(0x7a7b7c7d)
  expect(item.readUInt32LE(16)).toBe(0x01020304)
  expect(item.toString('latin1', 20, 28)).toBe('keyvalue')
  client.write('low', 'v')
  expect(item.toString('latin1', 28 + 12, 28 + 16)).toBe('lowv')
})

test('the records of segments and workers have room for what is in them', () => {
  expect(SEGMENT_WORDS * 4).toBe(64)
  expect(SEGMENT_DUE).toBeLessThan(SEGMENT_WORDS)
  expect(WORKER_COUNTERS_WORD % 2).toBe(0)
  expect(WORKER_COUNTERS_WORD + COUNTER_LANES * 2).toBeLessThanOrEqual(WORKER_OPENS_WORD)
  expect(WORKER_OPENS_WORD + OPENS_MAX * OPEN_WORDS).toBeLessThanOrEqual(WORKER_WORDS)
})

test('the tables of the control block follow each other without overlap', () => {
  const geometry = geometryOf(64 * MIB, 3)
  expect(geometry.stripesWord).toBeGreaterThanOrEqual(LISTS_WORD + LISTS_MAX * LIST_WORDS)
  expect(geometry.segmentsWord - geometry.stripesWord).toBe(256 * 16)
  expect(geometry.workersWord - geometry.segmentsWord).toBe(geometry.segmentCount * SEGMENT_WORDS)
  expect(geometry.pagesWord - geometry.workersWord).toBe(3 * WORKER_WORDS)
  expect(geometry.ownedWord - geometry.pagesWord).toBe(geometry.segmentCount)
  expect(geometry.pinsWord - geometry.ownedWord).toBe(geometry.segmentCount)
  expect(geometry.arrivalsWord - geometry.pinsWord).toBe(geometry.segmentCount)
  expect(geometry.ghostWord - geometry.arrivalsWord).toBe(geometry.segmentCount)
  expect(geometry.controlWords - geometry.ghostWord).toBe((64 * MIB) / 128 / 4)
})

test('the index has no more buckets than its items need, from the first one on', () => {
  const client = new Client({ memoryBytes: 64 * MIB })
  const bucketCount = () => readStoreCounters(client.memory).bucketCount
  expect(bucketCount()).toBe(STRIPE_COUNT)
  for (let index = 0; index < 10_000; index++) client.write(`key ${index}`, 'value')
  expect(bucketCount()).toBeGreaterThan(10_000 / 8.1)
  expect(bucketCount()).toBeLessThan(10_000 / 7.9)
  expect(checkIntegrity(client.memory)).toEqual([])
})

// biome-ignore format: a table
const SIZES = [
  // memory, segment, segments, arenas, unit
  [MEMORY_BYTES_MIN, 16 * 1024, 15, 1, 4],
  [MIB, 16 * 1024, 63, 1, 4],
  [MIB + 20_000, 16 * 1024, 64, 1, 4],
  [64 * MIB, 128 * 1024, 508, 1, 4],
  [100 * MIB, 128 * 1024, 796, 1, 4],
  [GIB, MIB, 1016, 1, 4],
  [5 * GIB + 3 * MIB, MIB, 5091, 5, 4],
  [16 * GIB, MIB, 16256, 16, 4],
  [16 * GIB + MIB, MIB, 16257, 16, 8],
  [32 * GIB, MIB, 32512, 32, 8],
  [32 * GIB + MIB, MIB, 32513, 32, 16],
  [64 * GIB, MIB, 65024, 64, 16],
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
    const ghostBytes = geometry.ghostBuckets * GHOST_BUCKET_BYTES
    expect(bytes + ghostBytes).toBeLessThanOrEqual(memoryBytes!)
    expect(ghostBytes).toBeLessThanOrEqual(memoryBytes! / 128)
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
