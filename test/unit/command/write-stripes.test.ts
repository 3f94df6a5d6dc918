/** What threads know of the changes of each other, and how often a key was read and changed. */
import { expect, test } from 'vitest'
import { COUNT_MAX, ReadSketch } from '../../../src/command/remote/read-sketch.ts'
import { RecentChanges } from '../../../src/command/remote/recent-changes.ts'
import {
  createStripeMemory,
  NO_VERSION,
  STRIPES,
  WriteStripes,
} from '../../../src/command/remote/write-stripes.ts'

const hashOf = (stripes: WriteStripes, key: string): number =>
  stripes.hash(Buffer.from(`..${key}`), 2, key.length)

test('threads give a key the same hash, and another start another one', () => {
  const memory = createStripeMemory(7)
  const [one, other] = [new WriteStripes(memory), new WriteStripes(memory)]
  expect(hashOf(one, 'key')).toBe(hashOf(other, 'key'))
  expect(hashOf(one, 'key')).not.toBe(hashOf(one, 'kez'))
  expect(hashOf(one, 'key')).not.toBe(hashOf(new WriteStripes(createStripeMemory(8)), 'key'))
})

test('while a change is under way there is no version, and behind it another one, for all threads', () => {
  const memory = createStripeMemory(7)
  const [one, other] = [new WriteStripes(memory), new WriteStripes(memory)]
  const hash = hashOf(one, 'key')
  const before = other.capture(hash)
  one.begin(hash)
  expect(other.capture(hash)).toBe(NO_VERSION)
  expect(other.version(hash)).not.toBe(before)
  other.begin(hash)
  one.end(hash)
  expect(one.capture(hash)).toBe(NO_VERSION)
  other.end(hash)
  expect(one.capture(hash)).toBe(other.version(hash))
  expect(one.capture(hash)).not.toBe(before)
})

test('a version is never what says that there is none', () => {
  const memory = createStripeMemory(7)
  const stripes = new WriteStripes(memory)
  const hash = hashOf(stripes, 'key')
  new Int32Array(memory).fill(0x7fffffff, 0, 2 * STRIPES)
  stripes.begin(hash)
  expect(stripes.version(hash)).toBe(0)
})

test('reads are counted up to a most, and half of them are forgotten', () => {
  const sketch = new ReadSketch()
  const hash = 0x12345678
  for (let count = 1; count < COUNT_MAX; count++) sketch.count(hash)
  expect(sketch.count(hash)).toBe(COUNT_MAX)
  expect(sketch.count(hash)).toBe(COUNT_MAX)
  sketch.halve()
  expect(sketch.count(hash)).toBe((COUNT_MAX >>> 1) + 1)
  expect(sketch.count(0x1234_5679)).toBe(1)
  for (let times = 0; times < 16; times++) sketch.halve()
  expect(sketch.count(hash)).toBe(1)
})

test('keys that share one counter are told apart by the other', () => {
  const sketch = new ReadSketch()
  for (let count = 0; count < 100; count++) sketch.count(0x0001_0002)
  expect(sketch.count(0x0003_0002)).toBe(1)
  expect(sketch.count(0x0001_0004)).toBe(1)
})

test('changes by any thread are counted, and by others as far as it is told, and half of them are forgotten', () => {
  const memory = createStripeMemory(7)
  const [one, other] = [new WriteStripes(memory), new WriteStripes(memory)]
  const hash = hashOf(one, 'key')
  one.begin(hash)
  const changes = new RecentChanges(one)
  expect(changes.count(hash)).toBe(0)
  for (const stripes of [one, other, other]) stripes.begin(hash)
  for (let count = 0; count < 4; count++) changes.changedElsewhere(hash)
  expect([changes.count(hash), changes.count(hash + 1)]).toEqual([7, 0])
  for (const left of [3, 1, 0, 0]) {
    changes.halve()
    expect(changes.count(hash)).toBe(left)
  }
  other.begin(hash)
  expect(changes.count(hash)).toBe(1)
})

test('changes are counted across the place where versions begin anew', () => {
  const memory = createStripeMemory(7)
  const stripes = new WriteStripes(memory)
  const hash = hashOf(stripes, 'key')
  new Int32Array(memory).fill(0x7fffffff, 0, 2 * STRIPES)
  const changes = new RecentChanges(stripes)
  for (let count = 0; count < 3; count++) stripes.begin(hash)
  changes.changedElsewhere(hash)
  expect(changes.count(hash)).toBe(4)
  changes.halve()
  expect(changes.count(hash)).toBe(2)
})
