import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { prepare, problemWith } from '../../../src/credential/prepare.ts'
import { fuzzParameters } from './fuzz-parameters.ts'

describe('prepare', () => {
  test.each([
    ['I\u00adX', 'IX'],
    ['user', 'user'],
    ['USER', 'USER'],
    ['\u00aa', 'a'],
    ['\u2168', 'IX'],
  ])('does with %j what RFC 4013, 3 says', (raw, prepared) => {
    expect(prepare(raw)).toBe(prepared)
  })

  test.each([
    ['a control character', 'a\u0007b'],
    ['mixed directions', '\u0627\u0031'],
    ['an emoji, which Unicode 3.2 does not have', '\u{1F511}secret\u00a0'],
    ['nothing but characters that are mapped to nothing', '\u00ad\u200d'],
    ['a private-use character', '\ue000'],
    ['the longest name there is', '\u{1F511}'.repeat(256)],
  ])('leaves %s as it is', (_what, raw) => {
    expect(prepare(raw)).toBe(raw)
  })

  test('never throws and always gives the same, whatever it is given', () => {
    const property = fc.property(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 256 }),
      (raw) => {
        fc.pre(Buffer.byteLength(raw) <= 1024)
        const prepared = prepare(raw)
        expect(prepared).not.toBe('')
        expect(prepare(raw)).toBe(prepared)
      },
    )
    fc.assert(property, fuzzParameters())
  })
})

describe('a name or password', () => {
  test('of 1024 bytes is accepted, of 1025 refused, counted in UTF-8', () => {
    expect(problemWith('name', 'a'.repeat(1024))).toBeUndefined()
    expect(problemWith('name', 'a'.repeat(1025))).toContain('1025 bytes')
    expect(problemWith('password', '\u00e9'.repeat(512))).toBeUndefined()
    expect(problemWith('password', '\u00e9'.repeat(513))).toContain('1026 bytes')
  })

  test('that is empty, has a NUL or is half a character is refused', () => {
    expect(problemWith('name', '')).toContain('empty')
    expect(problemWith('password', 'a\0b')).toContain('NUL')
    expect(problemWith('password', 'a\ud83d')).toContain('Unicode')
  })
})
