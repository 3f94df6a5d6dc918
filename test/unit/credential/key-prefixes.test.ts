/** The one prefix that a key is held against is the right one, and what that takes does not grow with the others. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { JUDGED_BYTES_MAX, refusalOfKeys } from '../../../src/command/permission.ts'
import { KEY_PREFIXES_MAX } from '../../../src/credential/access.ts'
import { KeyPrefixes } from '../../../src/credential/key-prefixes.ts'
import { RIGHT, RIGHTS_ALL } from '../../../src/credential/rights.ts'
import {
  OUTCOME_NO_KEY,
  OUTCOME_NO_RIGHT,
  OUTCOME_OK,
  Request,
} from '../../../src/protocol/request.ts'
import { VERB_GET } from '../../../src/protocol/verbs.ts'

/** Few values, so that keys and prefixes often have a beginning in common; the greatest and the least are among them. */
const someBytes = fc
  .array(fc.constantFrom(0, 0x61, 0x62, 0xff), { maxLength: 6 })
  .map((bytes) => Uint8Array.from(bytes))

test('covers a key exactly if one of the prefixes begins it, in whatever order they come', () => {
  const prefixLists = fc.array(someBytes, { maxLength: KEY_PREFIXES_MAX })
  fc.assert(
    fc.property(prefixLists, someBytes, someBytes, (list, before, key) => {
      const bytes = Buffer.concat([before, key, Buffer.from('ab')])
      const expected = list.some(
        (prefix) => Buffer.compare(prefix, key.subarray(0, prefix.length)) === 0,
      )
      expect(new KeyPrefixes(list).cover(bytes, before.length, key.length)).toBe(expected)
    }),
    { numRuns: 2000 },
  )
})

test.each<[string, string[]]>([
  ['each begins otherwise', listOf((index) => String.fromCharCode(0x41 + index))],
  ['each goes on where another differs', listOf((index) => `${'a'.repeat(index)}b`)],
  [
    'they differ at the end',
    listOf((index) => `${'a'.repeat(200)}${String.fromCharCode(0x41 + index)}`),
  ],
])('reads no byte of a key more than twice where %s', (_, texts) => {
  const prefixes = new KeyPrefixes(texts.map((text) => Buffer.from(text)))
  const keys = texts.flatMap((text) => [
    text,
    `${text}1`,
    text.slice(0, -1),
    `${text.slice(0, -1)}~`,
  ])
  for (const key of [...keys, 'a'.repeat(250), '~'.repeat(250)]) {
    const reads = new Map<number, number>()
    const bytes = counted(Buffer.from(key), reads)
    prefixes.cover(bytes, 0, key.length)
    expect(Math.max(0, ...reads.values()), key).toBeLessThanOrEqual(2)
  }
})

describe('a list of keys', () => {
  const KEYS = 1000
  const texts = listOf((index) => String.fromCharCode(0x41 + index))
  // Begins with the last of them.
  const last = texts.at(-1) ?? ''
  const list = `${`${last} `.repeat(KEYS)}~`

  function judgeList(prefixes: readonly string[], rights = RIGHTS_ALL, keys = list) {
    const reads = new Map<number, number>()
    const bytes = counted(Buffer.from(keys), reads)
    const request = new Request()
    request.verb = VERB_GET
    const told: [string, string | undefined][] = []
    const outcome = refusalOfKeys(request, bytes, 0, keys.length, {
      rights,
      keyPrefixes: new KeyPrefixes(prefixes.map((prefix) => Buffer.from(prefix))),
      refused: (_, lack, key) => told.push([lack, key && Buffer.from(key).toString()]),
    })
    return { outcome, told, reads: [...reads.values()].reduce((sum, count) => sum + count, 0) }
  }

  test('is read as often for as many prefixes as a user may have as for one', () => {
    expect(judgeList([last, '~'])).toMatchObject({ outcome: OUTCOME_OK, told: [] })
    const ofOne = judgeList([last])
    const ofMany = judgeList(texts)
    for (const { outcome, told } of [ofOne, ofMany]) {
      expect(outcome).toBe(OUTCOME_NO_KEY)
      expect(told).toEqual([['key', '~']])
    }
    // One look more for each key: which prefix it is.
    expect(ofMany.reads - ofOne.reads).toBeLessThanOrEqual(KEYS + 1)
  })

  test('is gone through once until the key that is refused is found', () => {
    // Of each byte: whether the blanks before it go on, whether the key goes on, and twice what it begins with.
    expect(judgeList(texts).reads).toBeLessThanOrEqual(4 * list.length)
  })

  test('is judged only as far as one turn may take, however long it is', () => {
    const { outcome, reads } = judgeList(texts, RIGHTS_ALL, 'A '.repeat(4 * JUDGED_BYTES_MAX))
    expect(outcome).toBe(OUTCOME_OK)
    expect(reads).toBeLessThanOrEqual(4 * JUDGED_BYTES_MAX)
  })

  test('is not gone through without the right', () => {
    const { outcome, told, reads } = judgeList(texts, RIGHT.write)
    expect(outcome).toBe(OUTCOME_NO_RIGHT)
    expect(told).toEqual([['right', last]])
    expect(reads).toBeLessThanOrEqual(4 * last.length)
  })
})

function listOf(textOf: (index: number) => string): string[] {
  return Array.from({ length: KEY_PREFIXES_MAX }, (_, index) => textOf(index))
}

/** The same bytes, and counts how often each is read. */
function counted(bytes: Uint8Array, reads: Map<number, number>): Uint8Array {
  return new Proxy(bytes, {
    get(target, name) {
      const index = typeof name === 'string' ? Number(name) : Number.NaN
      if (Number.isInteger(index)) {
        reads.set(index, (reads.get(index) ?? 0) + 1)
        return target[index]
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
