/** That the check finds what is broken: each fault is put into a store by hand. */
import { beforeEach, expect, test } from 'vitest'
import { BUCKET_WORDS, setTagAt, tagAt } from '../../../src/storage/bucket.ts'
import {
  BUCKET_COUNT_WORD,
  FREE_COUNT_WORD,
  SEALED_COUNT_WORD,
  SEGMENT_LIVE,
  SEGMENT_STATE,
  SEGMENT_WORDS,
} from '../../../src/storage/control-block.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { setExpiryAt, TRAITS_WORD } from '../../../src/storage/item.ts'
import { Client } from './client.ts'

let client: Client
let control: Int32Array
let words: Int32Array
/** Where the record of the first item begins: the second segment is the first of the log. */
let first: number

beforeEach(() => {
  client = new Client()
  const expiry = client.now + 1000
  for (let index = 0; index < 1000; index++) {
    client.write(`key ${index}`, 'v'.repeat(50), { expiry })
  }
  expect(checkIntegrity(client.memory)).toEqual([])
  control = new Int32Array(client.memory.control)
  words = new Int32Array(client.memory.arenas[0]!)
  first = client.memory.geometry.segmentBytes / 4
})

function expectReport(pattern: RegExp): void {
  expect(checkIntegrity(client.memory).join('\n')).toMatch(pattern)
}

function segmentWord(segment: number, word: number): number {
  return client.memory.geometry.segmentsWord + segment * SEGMENT_WORDS + word
}

test('a changed key is found', () => {
  words[first + 4]! ^= 1
  expectReport(/the key belongs elsewhere|the tag is not that of the key/)
})

test('a record marked dead with a slot is found', () => {
  words[first + TRAITS_WORD]! |= 1 << 31
  expectReport(/the record is dead/)
})

test('a lost slot is found', () => {
  let slot = 0
  while (words[slot] === 0) slot += BUCKET_WORDS
  words[slot] = 0
  expectReport(/dead and indexed, or neither|used slot after an empty one/)
  expectReport(/items counted: 1000, should be 999/)
})

test('a slot that is there twice is found', () => {
  let slot = 0
  while (words[slot] === 0 || words[slot + 1] === 0) slot += BUCKET_WORDS
  words[slot + 1] = words[slot]!
  setTagAt(words, slot + 1, tagAt(words, slot))
  expectReport(/the record has two slots/)
})

test('a slot whose tag is not that of its key is found', () => {
  let slot = 0
  while (words[slot] === 0) slot += BUCKET_WORDS
  setTagAt(words, slot, tagAt(words, slot) ^ 0x80)
  expectReport(/the tag is not that of the key/)
})

test('a slot that would go the wrong way when its bucket is split is found', () => {
  let slot = 0
  while (words[slot] === 0) slot += BUCKET_WORDS
  setTagAt(words, slot, tagAt(words, slot) ^ 4)
  expectReport(/the path is not that of the key/)
})

test('wrong live bytes are found', () => {
  control[segmentWord(1, SEGMENT_LIVE)]! += 8
  expectReport(/live bytes of segment 1/)
})

test('a wrong state is found', () => {
  control[segmentWord(1, SEGMENT_STATE)] = 0
  expectReport(/the segment is in state 0/)
})

test('a segment expiry that is too late is found', () => {
  setExpiryAt(words, first, client.now + 5)
  expectReport(/expires at \d+, its segment from/)
})

test('wrong numbers of free and sealed segments and of buckets are found', () => {
  control[FREE_COUNT_WORD]! += 1
  control[SEALED_COUNT_WORD]! += 1
  expectReport(/number of free segments/)
  expectReport(/number of sealed segments/)
  control[BUCKET_COUNT_WORD]! -= 1
  expectReport(/items counted|belongs elsewhere/)
})

test('a lock that nobody gave back is found', () => {
  // A store of one worker takes no stripe locks: there is nobody to lock out.
  client = new Client({ workerCount: 2 })
  client.write('key 1', 'v')
  client.lookup('key 1')
  expectReport(/stripe \d+ is locked/)
  client.store.release()
  expect(checkIntegrity(client.memory)).toEqual([])
})
