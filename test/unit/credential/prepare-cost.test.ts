/**
 * What a stranger can make SASLprep cost, counted: looks into the package's tables, code points, and
 * what is handed to the normalization. And that the short way says what the package says.
 */
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { prepare } from '../../../src/credential/prepare.ts'
import { fuzzParameters } from './fuzz-parameters.ts'

const require = createRequire(import.meta.url)
const saslprep = require('saslprep') as (input: string) => string
const tables = require('saslprep/lib/memory-code-points.js') as Record<string, object>
/** Of all tables of the package, through which each look at them goes. */
const bitfield = Object.getPrototypeOf(tables.prohibited_characters) as {
  getByte(index: number): number
}

/** Names of up to 1024 bytes that are dear to look at. */
const DEAR = {
  'a ligature that becomes 18 characters': '\ufdfa'.repeat(341),
  'the same, refused at its end': `${'\ufdfa'.repeat(340)}\u0221`,
  'two-byte letters': '\u00e9'.repeat(512),
  'four-byte letters': '\u{20000}'.repeat(256),
  'one letter that is not ASCII': `\u00e9${'a'.repeat(1022)}`,
  'nothing but what is mapped to nothing': '\u00ad'.repeat(512),
  'marks in the wrong order': `a${'\u0300'.repeat(255)}${'\u0316'.repeat(255)}`,
  'marks parted by what is mapped to nothing': 'a\u0300\u00ad\u0316\u00ad'.slice(1).repeat(128),
  'marks that become two': `a${'\u0344'.repeat(500)}`,
}

// The package throws for every second text, and a stack takes longer than all the rest.
const { stackTraceLimit } = Error
beforeAll(() => {
  Error.stackTraceLimit = 0
})
afterAll(() => {
  Error.stackTraceLimit = stackTraceLimit
})

/** As the package has it, which this code used to ask: the reference. */
function prepareByPackage(raw: string): string {
  try {
    return saslprep(raw) || raw
  } catch {
    return raw
  }
}

test.each(Object.entries(DEAR))('of %s each code point is looked at twice at most', (_, raw) => {
  expect(Buffer.byteLength(raw)).toBeLessThanOrEqual(1024)
  // Loads the tables, so that only what a login costs is counted.
  prepare('\u00e9')
  const looks = vi.spyOn(bitfield, 'getByte')
  const points = vi.spyOn(String.prototype, 'codePointAt')
  const normalized: string[] = []
  const { normalize } = String.prototype
  const normalizing = vi.spyOn(String.prototype, 'normalize').mockImplementation(function (
    this: string,
    form = 'NFC',
  ) {
    normalized.push(String(this))
    return normalize.call(this, form)
  })
  let lookCount: number
  let pointCount: number
  try {
    prepare(raw)
  } finally {
    lookCount = looks.mock.calls.length
    pointCount = points.mock.calls.length
    for (const spy of [looks, points, normalizing]) spy.mockRestore()
  }
  expect(lookCount).toBe(0)
  const [first = ''] = normalized
  const longest = first.normalize('NFKC').length
  expect(pointCount).toBeLessThanOrEqual(raw.length + longest)
  expect(normalized.length).toBeLessThanOrEqual(1)
  // More of them would be sorted one by one.
  expect(first).not.toMatch(/\p{M}{31}/u)
})

test('every code point is prepared as the package does it', () => {
  const differing: string[] = []
  for (let point = 0x80; point <= 0x10ffff; point += 1) {
    // Unassigned in Unicode 3.2 throughout, and throwing a million errors takes its time.
    if (point > 0x2fa1d && point < 0xe0000 && point % 251 !== 0) continue
    if (point > 0xe0100 && point % 251 !== 0) continue
    if (point >= 0xd800 && point <= 0xdfff) continue
    const raw = String.fromCodePoint(point)
    if (prepare(raw) !== prepareByPackage(raw)) differing.push(`U+${point.toString(16)}`)
  }
  expect(differing).toEqual([])
})

test('whatever is mixed is prepared as the package does it', () => {
  const special = fc.constantFrom(
    ...'\u00a0\u00ad\u200b\u3000\u0300\u0316\u05d0\u0627\u0661\u2168\uac00\u1100\u1161\ufb01',
    ...[
      '\u0344',
      '\u{1d15e}',
      '\u{1f511}',
      '\u{e0001}',
      '\ufdfa',
      '\u0221',
      'a',
      '1',
      ' ',
      '\u00e9',
    ],
  )
  const unit = fc.oneof(special, special, fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }))
  const text = fc.array(unit, { minLength: 1, maxLength: 24 }).map((parts) => parts.join(''))
  const property = fc.property(text, (raw) => {
    expect(prepare(raw)).toBe(prepareByPackage(raw))
  })
  fc.assert(property, fuzzParameters(2000))
})

test('of marks in a row 30 are normalized, and a text with 31 stays as it is', () => {
  const marks = (count: number): string => `e${'\u0301'.repeat(count)}`
  expect(prepare(marks(30))).toBe(`\u00e9${'\u0301'.repeat(29)}`)
  expect(prepare(marks(31))).toBe(marks(31))
  expect(prepare(`${marks(20)}\u00ad${'\u0301'.repeat(11)}`)).toContain('\u00ad')
})
