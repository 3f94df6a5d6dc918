/** Values that are sent from where they are stored: their bytes stay, whatever becomes of the items. */

import { expect, test } from 'vitest'
import { PINNED_BYTES_MIN } from '../../../src/connection/portions.ts'
import {
  FREE_COUNT_WORD,
  FREE_SEGMENT,
  PINNED_COUNT_WORD,
  PINNED_SEGMENT,
  SEGMENT_STATE,
  SEGMENT_WORDS,
} from '../../../src/storage/control-block.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import type { PinnedParts, Pins } from '../../../src/storage/pins.ts'
import { HIT, REMOVED, STORED } from '../../../src/storage/result.ts'
import { Client } from './client.ts'
import { randomOf, seedOfRun } from './model.ts'

const KIB = 1024
const VALUE_BYTES = 20 * KIB

/** What a reply has of a value that is being sent. */
class Reply implements PinnedParts {
  readonly parts: { readonly bytes: Uint8Array; readonly pins: Pins; readonly segment: number }[] =
    []

  addPart(bytes: Uint8Array, pins: Pins, segment: number): void {
    this.parts.push({ bytes, pins, segment })
  }

  get sent(): Buffer {
    return Buffer.concat(this.parts.map(({ bytes }) => bytes))
  }

  release(): void {
    for (const { pins, segment } of this.parts.splice(0)) pins.release(segment)
  }
}

/** The value of that length which goes by that number. */
function patternOf(number: number, length = VALUE_BYTES): Buffer {
  const pattern = Buffer.alloc(251)
  for (let at = 0; at < pattern.length; at++) pattern[at] = at * 7
  pattern.writeUInt32LE(number)
  return Buffer.alloc(length, pattern)
}

/** Undefined: it has to be copied. */
function send(client: Client, key: string): Reply | undefined {
  expect(client.lookup(key)).toBe(HIT)
  const reply = new Reply()
  const isPinned = client.store.pinValue(reply)
  client.store.release()
  return isPinned ? reply : undefined
}

function mustSend(client: Client, key: string): Reply {
  const reply = send(client, key)
  if (reply === undefined) throw new Error(`${key} is not sent from where it is`)
  return reply
}

function control(client: Client): Int32Array {
  return new Int32Array(client.memory.control)
}

function countOf(client: Client, state: number): number {
  const { segmentsWord, segmentCount } = client.memory.geometry
  const words = control(client)
  let count = 0
  for (let segment = 0; segment < segmentCount; segment++) {
    if (words[segmentsWord + segment * SEGMENT_WORDS + SEGMENT_STATE] === state) count++
  }
  return count
}

function expectSound(client: Client): void {
  expect(checkIntegrity(client.memory)).toEqual([])
}

/** Many times what the memory holds, so that every segment that can be is used anew. */
function churn(client: Client, items = 300): void {
  for (let number = 0; number < items; number++) {
    expect(client.write(`churn${number}`, Buffer.alloc(VALUE_BYTES, number))).toBe(STORED)
  }
}

const memory = { memoryBytes: 2048 * KIB, itemBytesMax: 512 * KIB }

test.each<[string, (client: Client) => void]>([
  ['overwritten', (client) => client.write('key', patternOf(2))],
  ['overwritten by a value of another length', (client) => client.write('key', 'short')],
  ['deleted', (client) => client.remove('key')],
  ['flushed', (client) => client.store.flush(client.now, 0)],
  ['evicted', () => undefined],
  [
    'expired',
    (client) => {
      client.touch('key', client.now + 1)
      client.now += 2
      client.store.maintain(client.now, 1000)
    },
  ],
])(
  'a value that is being sent stays as it is when its item is %s and the memory used anew',
  (_, end) => {
    const client = new Client(memory)
    client.write('key', patternOf(1))
    const reply = mustSend(client, 'key')
    end(client)
    churn(client)
    expect(reply.sent.equals(patternOf(1))).toBe(true)
    expectSound(client)
    reply.release()
    churn(client)
    expectSound(client)
    expect(control(client)[PINNED_COUNT_WORD]).toBe(0)
    expect(countOf(client, PINNED_SEGMENT)).toBe(0)
  },
)

test('the shortest value that is sent from where it is stored is not overwritten there', () => {
  const client = new Client(memory)
  client.write('key', patternOf(1, PINNED_BYTES_MIN))
  const reply = mustSend(client, 'key')
  client.write('key', patternOf(2, PINNED_BYTES_MIN))
  expect(reply.sent.equals(patternOf(1, PINNED_BYTES_MIN))).toBe(true)
  reply.release()
  expect(mustSend(client, 'key').sent.equals(patternOf(2, PINNED_BYTES_MIN))).toBe(true)
})

test('a value over several segments is sent in parts, each of which stays', () => {
  const client = new Client(memory)
  const value = patternOf(1, 70 * KIB)
  client.write('key', value)
  const reply = mustSend(client, 'key')
  expect(reply.parts.length).toBeGreaterThan(4)
  expect(client.remove('key')).toBe(REMOVED)
  churn(client)
  expect(reply.sent.equals(value)).toBe(true)
  expectSound(client)
  reply.release()
  expectSound(client)
})

test('what is dead and still being sent is no free memory, and becomes so with the last reply', () => {
  const client = new Client(memory)
  client.write('key', patternOf(1, 34 * KIB))
  const first = mustSend(client, 'key')
  const second = mustSend(client, 'key')
  const freeBefore = control(client)[FREE_COUNT_WORD]!
  client.remove('key')
  const pinned = countOf(client, PINNED_SEGMENT)
  expect(pinned).toBeGreaterThan(1)
  first.release()
  expect(countOf(client, PINNED_SEGMENT)).toBe(pinned)
  expect(control(client)[FREE_COUNT_WORD]).toBe(freeBefore)
  expectSound(client)
  second.release()
  expect(countOf(client, PINNED_SEGMENT)).toBe(0)
  expect(control(client)[FREE_COUNT_WORD]).toBe(freeBefore + pinned)
  expectSound(client)
})

test.each([true, false])(
  'at most a 16th of the segments is pinned, and the store goes on to take items (evicts: %s)',
  (evicts) => {
    const client = new Client({ ...memory, evicts })
    const { segmentCount } = client.memory.geometry
    const replies: { readonly reply: Reply; readonly number: number }[] = []
    let refused = 0
    for (let number = 0; number < 80; number++) {
      client.write(`key${number}`, patternOf(number))
      const reply = send(client, `key${number}`)
      if (reply === undefined) refused++
      else replies.push({ reply, number })
      client.remove(`key${number}`)
      expect(control(client)[PINNED_COUNT_WORD]).toBeLessThanOrEqual(segmentCount >> 4)
    }
    expect(replies.length).toBeGreaterThan(1)
    expect(refused).toBeGreaterThan(1)
    const kept = evicts ? 1000 : 60
    for (let number = 0; number < kept; number++) {
      expect(client.write(`more${number}`, Buffer.alloc(VALUE_BYTES, number))).toBe(STORED)
    }
    expectSound(client)
    for (const { reply, number } of replies) {
      expect(reply.sent.equals(patternOf(number))).toBe(true)
      reply.release()
    }
    expectSound(client)
    expect(mustSend(client, `more${kept - 1}`).sent).toEqual(Buffer.alloc(VALUE_BYTES, kept - 1))
  },
)

test('a lowered limit is reached once what is being sent is', () => {
  const client = new Client({ ...memory, itemBytesMax: 128 * KIB })
  for (let number = 0; number < 90; number++) client.write(`key${number}`, patternOf(number))
  const reply = mustSend(client, 'key89')
  client.store.setMemoryLimit(1024 * KIB)
  for (let round = 0; round < 100; round++) client.store.maintain(client.now, 1000)
  expect(reply.sent.equals(patternOf(89))).toBe(true)
  expectSound(client)
  reply.release()
  for (let round = 0; round < 100; round++) client.store.maintain(client.now, 1000)
  expectSound(client)
  expect(countOf(client, PINNED_SEGMENT)).toBe(0)
  expect(countOf(client, FREE_SEGMENT)).toBeGreaterThan(client.memory.geometry.segmentCount >> 1)
})

test('a value that may be overwritten where it lies is not sent from there', () => {
  const client = new Client(memory)
  client.write('key', 'x'.repeat(1000))
  expect(client.lookup('key')).toBe(HIT)
  expect(() => client.store.pinValue(new Reply())).toThrow('overwritten where it lies')
})

test.each([true, false])(
  'replies of any age have the bytes that were read, whatever is done meanwhile (evicts: %s)',
  (evicts) => {
    const seed = seedOfRun()
    const random = randomOf(seed)
    const client = new Client({ ...memory, evicts, workerCount: 2 })
    const others = [client, client.worker(1)]
    const versions = new Map<string, Buffer>()
    let replies: { readonly reply: Reply; readonly value: Buffer }[] = []
    for (let step = 0; step < 4000; step++) {
      const user = others[random.below(2)]!
      const key = `key${random.below(evicts ? 200 : 40)}`
      const deed = random.below(10)
      if (deed < 5) {
        const value = patternOf(step, 5000 + random.below(random.below(4) === 0 ? 60_000 : 20_000))
        if (user.write(key, value) === STORED) versions.set(key, value)
        else versions.delete(key)
      } else if (deed === 5) {
        user.remove(key)
      } else if (user.has(key)) {
        const value = versions.get(key)!
        const reply = value.length < PINNED_BYTES_MIN ? undefined : send(user, key)
        if (reply !== undefined) replies.push({ reply, value })
      }
      if (random.below(4) === 0 && replies.length > 0) {
        const [done] = replies.splice(random.below(replies.length), 1)
        expect(done!.reply.sent.equals(done!.value), `seed ${seed}, step ${step}`).toBe(true)
        done!.reply.release()
      }
      if (random.below(1000) === 0) user.store.flush(user.now, 0)
      if (step % 100 === 0) expectSound(client)
    }
    for (const { reply, value } of replies) {
      expect(reply.sent.equals(value), `seed ${seed}`).toBe(true)
      reply.release()
    }
    replies = []
    expectSound(client)
    expect(control(client)[PINNED_COUNT_WORD]).toBe(0)
  },
)
