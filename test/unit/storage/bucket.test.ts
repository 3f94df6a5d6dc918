/** A bucket: where its slots lie, and that a match is found in every place and in no other. */
import { expect, test } from 'vitest'
import {
  BUCKET_WORDS,
  FREQUENCY_MAX,
  frequencyAt,
  hasPathOf,
  isPathSpent,
  LINK_WORD,
  lowerFrequencyAt,
  matchedSlot,
  matchesOf,
  nextBitOf,
  raiseFrequencyAt,
  SLOTS_PER_BUCKET,
  setTagAt,
  TAGS_WORD,
  tagAt,
  tagOf,
  withoutNextBit,
  withPath,
} from '../../../src/storage/bucket.ts'
import { randomOf, seedOfRun } from './model.ts'

/** The second of three buckets, so that what is written beyond it shows. */
const BASE = BUCKET_WORDS
const SLOTS = Array.from({ length: SLOTS_PER_BUCKET }, (_, slot) => slot)

function bucketOf(tags: readonly number[]): Int32Array {
  const words = new Int32Array(3 * BUCKET_WORDS)
  for (const [slot, tag] of tags.entries()) setTagAt(words, BASE + slot, tag)
  return words
}

function matchedSlots(words: Int32Array, tag: number): number[] {
  const slots: number[] = []
  let matches = matchesOf(words, BASE, tag)
  while (matches !== 0) {
    const bit = 31 - Math.clz32(matches)
    slots.push(matchedSlot(bit))
    matches ^= 1 << bit
  }
  return slots.sort((left, right) => left - right)
}

test('a bucket is one cache line of ten locations, ten tags of 16 bits and a link', () => {
  expect(BUCKET_WORDS * 4).toBe(64)
  expect(TAGS_WORD).toBe(SLOTS_PER_BUCKET)
  expect(LINK_WORD).toBe(TAGS_WORD + SLOTS_PER_BUCKET / 2)
  expect(LINK_WORD).toBe(BUCKET_WORDS - 1)
})

test('the tags lie one after the other, and writing one changes no other', () => {
  const words = bucketOf([])
  const halves = new Uint16Array(words.buffer)
  for (const fill of [0, 0xffff]) {
    halves.fill(fill)
    for (const slot of SLOTS) {
      setTagAt(words, BASE + slot, 0xa5c0 + slot)
      expect(tagAt(words, BASE + slot)).toBe(0xa5c0 + slot)
    }
    const first = (BASE + TAGS_WORD) * 2
    expect([...halves.slice(first, first + SLOTS_PER_BUCKET)]).toEqual(
      SLOTS.map((slot) => 0xa5c0 + slot),
    )
    halves.fill(fill, first, first + SLOTS_PER_BUCKET)
    expect(new Set(halves)).toEqual(new Set([fill]))
  }
})

test('a frequency goes from 0 to 3 and back, and touches neither tag nor neighbour', () => {
  for (const fill of [0, -1]) {
    for (const slot of SLOTS) {
      const words = bucketOf([]).fill(fill)
      const at = BASE + slot
      const tag = 0xfffc
      setTagAt(words, at, tag)
      for (let reads = 0; reads <= FREQUENCY_MAX + 1; reads++) {
        expect(frequencyAt(words, at)).toBe(Math.min(reads, FREQUENCY_MAX))
        expect(tagAt(words, at) & ~FREQUENCY_MAX).toBe(tag)
        raiseFrequencyAt(words, at)
      }
      for (let left = FREQUENCY_MAX; left > 0; left--) {
        expect(frequencyAt(words, at)).toBe(left)
        lowerFrequencyAt(words, at)
      }
      expect(tagAt(words, at)).toBe(tag)
      setTagAt(words, at, fill & 0xffff)
      expect(new Set(words)).toEqual(new Set([fill]))
    }
  }
})

test('a path gives the next four bits of the hash, is then spent, and changes nothing else', () => {
  const random = randomOf(seedOfRun())
  for (let round = 0; round < 2000; round++) {
    const low = random.below(2 ** 32) | 0
    const level = 8 + random.below(21)
    const rest = tagOf(random.below(2 ** 16)) | random.below(FREQUENCY_MAX + 1)
    let tag = withPath(rest, low, level)
    for (let depth = level; depth < level + 4; depth++) {
      expect(isPathSpent(tag)).toBe(false)
      expect(hasPathOf(tag, low, depth)).toBe(true)
      expect(hasPathOf(tag, low ^ (1 << depth), depth)).toBe(false)
      expect(nextBitOf(tag)).toBe((low >>> depth) & 1)
      tag = withoutNextBit(tag)
    }
    expect(isPathSpent(tag)).toBe(true)
    expect(hasPathOf(tag, low, level + 4)).toBe(true)
    expect(tagOf(tag) | (tag & FREQUENCY_MAX)).toBe(rest)
    expect(withPath(tag, low, level)).toBe(withPath(rest, low, level))
    expect(hasPathOf(rest, low, level), 'a slot without any path').toBe(false)
  }
})

test('a tag is found in every slot whatever its path and frequency, and nothing else is', () => {
  // The neighbours of a match are what could be mistaken for one: they differ in the lowest bit of
  // the tag, in its highest, or in all.
  const masked = 0x7f
  for (const tag of [0, 0x80, 0x100, 0x7f80, 0x8000, 0x8080, 0xff00, 0xff80]) {
    for (const other of [tag ^ 0x80, tag ^ 0x8000, tag ^ 0xff80]) {
      for (let pattern = 0; pattern < 1 << SLOTS_PER_BUCKET; pattern++) {
        const isMatch = (slot: number): boolean => ((pattern >> slot) & 1) !== 0
        const rest = (slot: number): number => [0, masked, 1, 0x40][slot & 3]!
        const words = bucketOf(SLOTS.map((slot) => (isMatch(slot) ? tag : other) | rest(slot)))
        const found = matchedSlots(words, tag)
        if (found.length !== SLOTS.filter(isMatch).length || !found.every(isMatch)) {
          expect(found, `tag ${tag}, others ${other}`).toEqual(SLOTS.filter(isMatch))
        }
      }
    }
  }
})

test('in buckets of random tags the slots found are those of an ordinary comparison', () => {
  const random = randomOf(seedOfRun())
  for (let round = 0; round < 20_000; round++) {
    const width = 7 + random.below(10)
    const tags = SLOTS.map(() => random.below(1 << width))
    const tag = tagOf(tags[random.below(SLOTS_PER_BUCKET)]! ^ (random.below(2) << 7))
    const expected = SLOTS.filter((slot) => tagOf(tags[slot]!) === tag)
    expect(matchedSlots(bucketOf(tags), tag)).toEqual(expected)
  }
})
