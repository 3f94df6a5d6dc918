/** What threads know of the changes of each other, and how often a key was read. */
import { expect, test } from 'vitest'
import { ReadSketch } from '../../../src/command/remote/read-sketch.ts'
import {
  createStripeMemory,
  NO_VERSION,
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
  new Int32Array(memory).fill(0x7fffffff, 0, 2 * 65_536)
  stripes.begin(hash)
  expect(stripes.version(hash)).toBe(0)
})

test('reads are counted up to a most, and half of them are forgotten', () => {
  const sketch = new ReadSketch()
  const hash = 0x12345678
  for (let count = 1; count <= 255; count++) expect(sketch.count(hash)).toBe(count)
  expect(sketch.count(hash)).toBe(255)
  sketch.halve()
  expect(sketch.count(hash)).toBe(128)
  expect(sketch.count(0x1234_5679)).toBe(1)
  for (let times = 0; times < 8; times++) sketch.halve()
  expect(sketch.count(hash)).toBe(1)
})

test('keys that share one counter are told apart by the other', () => {
  const sketch = new ReadSketch()
  for (let count = 0; count < 100; count++) sketch.count(0x0001_0002)
  expect(sketch.count(0x0003_0002)).toBe(1)
  expect(sketch.count(0x0001_0004)).toBe(1)
})
