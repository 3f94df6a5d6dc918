/** Items out of one store and into another: what comes back is what was there, or nothing. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { HIT, STORED } from '../../../src/storage/result.ts'
import { AGE_CLASSES, ageClassOf } from '../../../src/storage/snapshot-ages.ts'
import { SnapshotIntake } from '../../../src/storage/snapshot-intake.ts'
import {
  CHUNK_HEADER_BYTES,
  RECORD_HEADER_BYTES,
  RECORD_KEY_LENGTH,
  SnapshotError,
} from '../../../src/storage/snapshot-layout.ts'
import {
  elapsedMs,
  encodeSummary,
  parseSummary,
  type SnapshotMoment,
  type SnapshotSummary,
} from '../../../src/storage/snapshot-summary.ts'
import { Store } from '../../../src/storage/store.ts'
import { Client, type ClientOptions } from './client.ts'
import { memoryOf, randomOf, seedOfRun } from './model.ts'
import { chunksOf, continueFrom, SAME_TIME, takeIn, targetOf } from './snapshot-store.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** Values that are copied a piece at a time. */
const LARGE_BYTES = [64 * KIB, 513 * KIB, 1.2 * MIB, 3 * MIB]

/** What a store has, by key. */
type Content = Map<string, string>

/** Fills a client's store with items of all kinds and sizes; returns what it then has. */
function fill(client: Client, seed: number, itemCount: number, valueBytesMax: number): string[] {
  const random = randomOf(seed)
  const keys: string[] = []
  for (let index = 0; index < itemCount; index++) {
    const key = `${index}`.padEnd(1 + random.below(60), 'k')
    const bytes = random.below(random.below(8) === 0 ? valueBytesMax : 200)
    const expiry = random.below(3) === 0 ? client.now + 100 + random.below(100_000) : 0
    const written = client.write(key, Buffer.alloc(bytes, index), {
      flags: random.below(2) * random.below(2 ** 31),
      expiry,
      givenCas: random.below(20) === 0 ? [random.below(2 ** 31), index] : [0, 0],
    })
    if (written === STORED) keys.push(key)
    if (random.below(3) === 0) client.get(key)
  }
  return keys
}

function contentOf(client: Client, keys: readonly string[]): Content {
  const content: Content = new Map()
  for (const key of keys) {
    const found = client.find(key)
    if (found !== undefined) content.set(key, JSON.stringify(found))
  }
  return content
}

const OTHERS: readonly (readonly [string, ClientOptions])[] = [
  ['the same server', { memoryBytes: 16 * MIB, workerCount: 2 }],
  ['more memory and threads', { memoryBytes: 64 * MIB, workerCount: 5 }],
  ['one that does not evict', { memoryBytes: 32 * MIB, evicts: false, workerCount: 2 }],
  ['segments of a MiB', { memoryBytes: 512 * MIB, workerCount: 1 }],
]

test.each(OTHERS)(
  'all items come back to %s, large ones and those with a wide CAS',
  (_, options) => {
    const from = new Client({ memoryBytes: 16 * MIB, itemBytesMax: 4 * MIB, workerCount: 2 })
    const seed = seedOfRun()
    const keys = fill(from, seed, 3000, 3000)
    for (const [index, bytes] of LARGE_BYTES.entries()) {
      from.write(`large${index}`, Buffer.alloc(bytes, 65 + index), { flags: index })
      keys.push(`large${index}`)
    }
    const before = contentOf(from, keys)
    const { chunks, walk } = chunksOf(from.store, from.now)
    expect(walk.itemCount).toBe(before.size)
    const to = new Client({ itemBytesMax: 4 * MIB, ...options })
    const intake = takeIn(targetOf(to.store, to.memory, walk), chunks, to.now)
    expect(intake.counts).toEqual({ restored: before.size, expired: 0, superseded: 0, dropped: 0 })
    expect(contentOf(to, keys)).toEqual(before)
    expect(checkIntegrity(to.memory)).toEqual([])
  },
)

test('a large item comes back although the bucket that it belongs to is full', () => {
  const from = new Client({ memoryBytes: 16 * MIB, itemBytesMax: 4 * MIB, workerCount: 2 })
  // With this seed the small items of that bucket leave no slot for it.
  fill(from, 1_700_000_084, 3000, 3000)
  for (const [index, bytes] of LARGE_BYTES.entries()) {
    from.write(`large${index}`, Buffer.alloc(bytes, 65 + index))
  }
  const { chunks, walk } = chunksOf(from.store, from.now)
  const to = new Client({ memoryBytes: 32 * MIB, itemBytesMax: 4 * MIB, evicts: false })
  const { counts } = takeIn(targetOf(to.store, to.memory, walk), chunks, to.now)
  expect(counts).toEqual({ restored: 3004, expired: 0, superseded: 0, dropped: 0 })
  for (const [index, bytes] of LARGE_BYTES.entries()) {
    expect(to.find(`large${index}`)?.value.length).toBe(Math.floor(bytes))
  }
  expect(checkIntegrity(to.memory)).toEqual([])
})

test('what has expired meanwhile does not come back, to the second', () => {
  const from = new Client()
  for (let ttl = 1; ttl <= 20; ttl++) from.write(`key${ttl}`, 'v', { expiry: from.now + ttl })
  const { chunks, walk } = chunksOf(from.store, from.now)
  const to = new Client()
  to.now = from.now + 10
  const { counts } = takeIn(targetOf(to.store, to.memory, walk), chunks, to.now)
  expect(counts).toEqual({ restored: 10, expired: 10, superseded: 0, dropped: 0 })
  expect(to.find('key10')).toBeUndefined()
  expect(to.find('key11')?.expiry).toBe(from.now + 11)
})

test('expiries are shifted with the clock, and nothing that expires comes back if that is unknown', () => {
  const from = new Client()
  from.write('expires', 'v', { expiry: from.now + 50 })
  from.write('stays', 'v')
  const { chunks, walk } = chunksOf(from.store, from.now)
  const shifted = new Client()
  shifted.now = from.now - 1000
  takeIn(targetOf(shifted.store, shifted.memory, walk), chunks, shifted.now, {
    ...SAME_TIME,
    seconds: -1010,
  })
  expect(shifted.find('expires')?.expiry).toBe(shifted.now + 40)
  const lost = new Client()
  const shift = { ...SAME_TIME, isKnown: false }
  const { counts } = takeIn(targetOf(lost.store, lost.memory, walk), chunks, lost.now, shift)
  expect(counts).toEqual({ restored: 1, expired: 1, superseded: 0, dropped: 0 })
})

test('where there is room for a part, it is what was read last', () => {
  const from = new Client({ memoryBytes: 8 * MIB })
  const start = from.now
  for (let index = 0; index < 4000; index++) {
    from.now = start + index
    from.write(`key${index}`, 'v'.repeat(1000))
  }
  const { chunks, walk } = chunksOf(from.store, from.now)
  const shift = { ...SAME_TIME, writtenSeconds: from.now }
  for (const evicts of [true, false]) {
    const to = new Client({ memoryBytes: 2 * MIB, evicts, workerCount: 2 })
    to.now = from.now
    const { counts } = takeIn(targetOf(to.store, to.memory, walk), chunks, to.now, shift)
    expect(counts.restored).toBeGreaterThan(1400)
    expect(counts.restored + counts.dropped).toBe(4000)
    const back = Array.from({ length: 4000 }, (_, index) => to.has(`key${index}`))
    // All of the last thousand, and of what is four times as old as those nothing.
    expect(back.slice(-1000)).not.toContain(false)
    expect(back.slice(0, 1000)).not.toContain(true)
  }
})

test('where all were read in the same second, as many come back as there is room for', () => {
  const from = new Client({ memoryBytes: 8 * MIB })
  for (let index = 0; index < 4000; index++) from.write(`key${index}`, 'v'.repeat(1000))
  const { chunks, walk } = chunksOf(from.store, from.now)
  const to = new Client({ memoryBytes: 2 * MIB })
  const { counts } = takeIn(targetOf(to.store, to.memory, walk), chunks, to.now)
  expect(counts.restored).toBeGreaterThan(1500)
})

test('items that come back many at a time are those that come back one at a time', () => {
  const from = new Client({ memoryBytes: 16 * MIB, itemBytesMax: 4 * MIB, workerCount: 2 })
  const keys = fill(from, seedOfRun(), 3000, 100 * KIB)
  for (const key of keys.slice(0, 300)) from.write(key, 'soon over', { expiry: from.now + 5 })
  const { chunks, walk } = chunksOf(from.store, from.now)
  const [one, many] = [1, 128].map((count) => {
    const to = new Client({ memoryBytes: 8 * MIB, itemBytesMax: 4 * MIB, workerCount: 2 })
    to.now = from.now + 10
    const target = targetOf(to.store, to.memory, walk)
    to.store.noteChanges(target.touched)
    for (const key of keys.slice(300, 600)) to.write(key, 'newer')
    const { counts } = takeIn(target, chunks, to.now, SAME_TIME, undefined, count)
    expect(checkIntegrity(to.memory)).toEqual([])
    return { counts, content: [...contentOf(to, keys)] }
  })
  expect(many).toEqual(one)
  expect(
    Math.min(many!.counts.restored, many!.counts.expired, many!.counts.superseded),
  ).toBeGreaterThan(99)
})

test('what comes before a record that is not as it should be is back', () => {
  const from = new Client()
  for (let index = 0; index < 20; index++) from.write(`key${index}`, 'v'.repeat(50))
  const { chunks, walk } = chunksOf(from.store, from.now)
  const chunk = chunks[0]!
  // Header, key of four or five bytes, value.
  let at = CHUNK_HEADER_BYTES
  for (let left = 6; left > 0; left--)
    at += RECORD_HEADER_BYTES + chunk[at + RECORD_KEY_LENGTH]! + 50
  chunk[at + RECORD_KEY_LENGTH] = 0
  const to = new Client()
  const intake = new SnapshotIntake([targetOf(to.store, to.memory, walk)], SAME_TIME)
  intake.take(chunk, chunk.length)
  expect(() => intake.step(128, to.now)).toThrow(SnapshotError)
  expect(intake.counts.restored).toBe(6)
})

test('items of a namespace that is no more are dropped', () => {
  const from = new Client()
  from.write('key', 'v')
  from.write('large', Buffer.alloc(300 * KIB))
  const { chunks } = chunksOf(from.store, from.now)
  const { counts } = takeIn(undefined, chunks, from.now)
  expect(counts).toEqual({ restored: 0, expired: 0, superseded: 0, dropped: 2 })
})

test('a namespace that goes away while a large value of it arrives leaves nothing behind', () => {
  const from = new Client({ memoryBytes: 16 * MIB, itemBytesMax: 4 * MIB })
  from.write('large', Buffer.alloc(3 * MIB))
  const { chunks, walk } = chunksOf(from.store, from.now)
  const to = new Client({ memoryBytes: 16 * MIB, itemBytesMax: 4 * MIB })
  const intake = new SnapshotIntake([targetOf(to.store, to.memory, walk)], SAME_TIME)
  for (const chunk of chunks.slice(0, 3)) {
    intake.take(chunk, chunk.length)
    while (intake.step(1, to.now));
  }
  expect(to.store.quiesce()).toBe(false)
  intake.forget(to.store)
  expect(to.store.quiesce()).toBe(true)
})

test('CAS ids go on above those of the snapshot', () => {
  const from = new Client()
  for (let index = 0; index < 100; index++) from.write(`key${index}`, 'v')
  const { chunks, walk } = chunksOf(from.store, from.now)
  const to = new Client()
  continueFrom(from.memory, to.memory)
  to.write('first', 'v')
  takeIn(targetOf(to.store, to.memory, walk), chunks, to.now)
  to.write('last', 'v')
  const ids = ['first', 'last', ...Array.from({ length: 100 }, (_, index) => `key${index}`)].map(
    (key) => String(to.find(key)?.cas),
  )
  expect(new Set(ids).size).toBe(102)
  expect(to.find('first')?.cas).toEqual([0, 101])
})

test('while clients go on, every value in the snapshot is one that its key had', () => {
  const memory = memoryOf({ memoryBytes: 4 * MIB, itemBytesMax: 2 * MIB, workerCount: 2 })
  const client = new Client({}, memory, 0)
  const random = randomOf(seedOfRun())
  // A value says its key all over, so that a mixture shows.
  const valueFor = (key: number): Buffer =>
    Buffer.alloc(
      random.below(10) === 0 ? 600 * KIB + random.below(MIB / 4) : random.below(2000),
      `<${key}>`,
    )
  const change = (): void => {
    const key = random.below(300)
    if (random.below(4) === 0) client.remove(`key${key}`)
    else client.write(`key${key}`, valueFor(key))
  }
  for (let index = 0; index < 1000; index++) change()
  const { chunks, walk } = chunksOf(new Store(memory, 1), client.now, change)
  const to = new Client({ memoryBytes: 16 * MIB, itemBytesMax: 2 * MIB })
  const { counts } = takeIn(targetOf(to.store, to.memory, walk), chunks, to.now)
  expect(counts.restored).toBeGreaterThan(100)
  for (let key = 0; key < 300; key++) {
    const value = to.find(`key${key}`)?.value
    if (value === undefined) continue
    expect(value === Buffer.alloc(value.length, `<${key}>`).toString(), `key${key}`).toBe(true)
  }
})

test('what clients change while items come back is as they left it', () => {
  const from = new Client({ memoryBytes: 8 * MIB, itemBytesMax: 2 * MIB })
  for (let key = 0; key < 400; key++) {
    from.write(`key${key}`, Buffer.alloc(key % 50 === 0 ? 700 * KIB : 100, 'old'))
  }
  const { chunks, walk } = chunksOf(from.store, from.now)
  const memory = memoryOf({ memoryBytes: 16 * MIB, itemBytesMax: 2 * MIB, workerCount: 2 })
  const client = new Client({}, memory, 0)
  const target = targetOf(new Store(memory, 1), memory, walk)
  client.store.noteChanges(target.touched)
  const random = randomOf(seedOfRun())
  const model = new Map<string, string | undefined>()
  const { counts } = takeIn(target, chunks, client.now, SAME_TIME, () => {
    const key = `key${random.below(400)}`
    if (random.below(2) === 0) {
      client.remove(key)
      model.set(key, undefined)
    } else {
      client.write(key, `new ${model.size}`)
      model.set(key, `new ${model.size - 1}`)
      model.set(key, client.find(key)?.value)
    }
  })
  expect(counts.superseded).toBeGreaterThan(10)
  for (const [key, value] of model) expect(client.find(key)?.value).toBe(value)
  expect(checkIntegrity(memory)).toEqual([])
})

test('a chunk that was made up is refused, or its items are dropped; nothing else happens', () => {
  const from = new Client({ memoryBytes: 8 * MIB, itemBytesMax: 2 * MIB })
  from.write('key', 'value', { flags: 1, expiry: from.now + 10, givenCas: [5000, 1] })
  from.write('large', Buffer.alloc(MIB))
  const { chunks, walk } = chunksOf(from.store, from.now)
  const to = new Client({ memoryBytes: 8 * MIB, itemBytesMax: 2 * MIB })
  fc.assert(
    fc.property(
      fc.nat(chunks.length - 1),
      fc.nat(60),
      fc.nat(255),
      fc.option(fc.nat(100)),
      (place, at, byte, length) => {
        const changed = chunks.map((chunk) => chunk.slice())
        const chunk = changed[place]!
        chunk[at % chunk.length] = byte
        if (length !== null) changed[place] = chunk.slice(0, length)
        try {
          takeIn(targetOf(to.store, to.memory, walk), changed, to.now)
        } catch (error) {
          expect(error).toBeInstanceOf(SnapshotError)
        }
      },
    ),
    { numRuns: 300 },
  )
  expect(to.lookup('unharmed')).not.toBe(HIT)
})

test('an age is in a class that is no wider than a quarter of it, and older ones are above', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 24), fc.nat(2 ** 24), (one, other) => {
      const [younger, older] = one < other ? [one, other] : [other, one]
      expect(ageClassOf(older)).toBeGreaterThanOrEqual(ageClassOf(younger))
      if (older * 0.75 > younger) expect(ageClassOf(older)).toBeGreaterThan(ageClassOf(younger))
      expect(ageClassOf(older)).toBeLessThan(AGE_CLASSES)
    }),
  )
  expect(ageClassOf(-5)).toBe(0)
})

const WRITTEN: SnapshotMoment = { epochMs: 5000, serverMs: 5000, bootId: 'a', monotonicMs: 100 }

test.each([
  ['the wall clock', { ...WRITTEN, epochMs: 9000, bootId: 'b' }, 4000],
  [
    'the clock of the boot where the wall clock stepped back',
    { ...WRITTEN, epochMs: 1, monotonicMs: 800 },
    700,
  ],
  ['whichever says more', { ...WRITTEN, epochMs: 6000, monotonicMs: 5100 }, 5000],
  [
    'nobody, after a boot with the clock set back',
    { ...WRITTEN, epochMs: 4999, bootId: 'b' },
    undefined,
  ],
])('how long ago a snapshot was written is told by %s', (_, now, elapsed) => {
  expect(elapsedMs(WRITTEN, now)).toBe(elapsed)
})

const SUMMARY: SnapshotSummary = {
  kind: 'stop',
  written: WRITTEN,
  chunks: 3,
  namespaces: [
    {
      name: 'shop',
      cas: { half: 1, low: 2 },
      flushAtSeconds: 0,
      items: 1,
      bytes: 2,
      ageBytes: [1],
    },
  ],
}

test('a summary is read as it was written, and refused with any field missing or wrong', () => {
  expect(parseSummary(encodeSummary(SUMMARY))).toEqual(SUMMARY)
  for (const wrong of [
    { ...SUMMARY, kind: 'other' },
    { ...SUMMARY, chunks: -1 },
    { ...SUMMARY, chunks: '3' },
    { ...SUMMARY, written: { ...WRITTEN, epochMs: 1e300 } },
    { ...SUMMARY, written: null },
    { ...SUMMARY, namespaces: [null] },
    { ...SUMMARY, namespaces: Array.from({ length: 66 }, () => SUMMARY.namespaces[0]) },
    { ...SUMMARY, namespaces: [{ ...SUMMARY.namespaces[0], ageBytes: Array(129).fill(0) }] },
    { ...SUMMARY, namespaces: [{ ...SUMMARY.namespaces[0], cas: { half: 2 ** 32, low: 0 } }] },
  ]) {
    expect(() => parseSummary(encodeSummary(wrong as SnapshotSummary))).toThrow(SnapshotError)
  }
})
