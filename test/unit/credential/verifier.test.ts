import { pbkdf2Sync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  deriveSaltedPassword,
  findScramHash,
  formatVerifier,
  hashPassword,
  hashPasswordWith,
  keysOf,
  parseVerifier,
  SCRAM_HASHES,
} from '../../../src/credential/verifier.ts'
import { fuzzParameters } from './fuzz-parameters.ts'

describe('a verifier', () => {
  // StoredKey and ServerKey behind the exchange of RFC 7677, 3, in PostgreSQL's form.
  const known =
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$' +
    'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU='

  test('of the password of RFC 7677 has the keys of its exchange', () => {
    const hash = findScramHash('SCRAM-SHA-256')
    if (hash === undefined) throw new Error('no SHA-256')
    const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
    expect(hashPasswordWith('pencil', { hash, salt, iterations: 4096 })).toBe(known)
  })

  test('survives being read and written', () => {
    for (const text of hashPassword('x')) {
      const parsed = parseVerifier(text)
      expect(typeof parsed === 'string' ? parsed : formatVerifier(parsed)).toBe(text)
    }
  })

  test.each([
    ['', 'this is not a verifier'],
    ['hello', 'this is not a verifier'],
    [`${known}\n`, 'this is not a verifier'],
    [` ${known}`, 'this is not a verifier'],
    [known.replace('256', '384'), 'hash of the verifier is unknown'],
    [known.replace('4096', '4095'), '4096 to 10000000 are allowed'],
    [known.replace('4096', '10000001'), '4096 to 10000000 are allowed'],
    [known.replace('4096', '99999999999'), 'this is not a verifier'],
    [known.replace('W22ZaJ0SNY7soEsUEjb6gQ==', 'AAAA'), 'salt'],
    [known.replace('W22ZaJ0SNY7soEsUEjb6gQ==', 'W22ZaJ0SNY7soEsUEjb6gR=='), 'salt'],
    [known.replace('W22ZaJ0SNY7soEsUEjb6gQ==', 'A'.repeat(88)), 'salt'],
    [known.replace('WG5d', ''), 'keys'],
    [known.replace('SHA-256', 'SHA-1'), 'keys'],
  ])('%j is refused', (text, problem) => {
    expect(parseVerifier(text)).toContain(problem)
  })

  test('is refused in words that do not repeat it', () => {
    const property = fc.property(
      fc.integer({ min: 0, max: known.length - 1 }),
      fc.string(),
      (at, junk) => {
        const text = known.slice(0, at) + junk + known.slice(at + 1)
        const parsed = parseVerifier(text)
        if (typeof parsed === 'string') expect(parsed).not.toContain('mtbsT4qY')
        else expect(formatVerifier(parsed)).toBe(text)
      },
    )
    fc.assert(property, fuzzParameters())
  })
})

describe('hashPassword', () => {
  test('takes a fresh salt for each hash', () => {
    const salts = [...hashPassword('x'), ...hashPassword('x')].map(
      (text) => text.split('$')[1]?.split(':')[1],
    )
    expect(new Set(salts).size).toBe(6)
  })

  test('gives one verifier to passwords that are equal after SASLprep', () => {
    const [hash] = SCRAM_HASHES
    if (hash === undefined) throw new Error('no hash')
    const parameters = { hash, salt: Buffer.alloc(16), iterations: 4096 }
    expect(hashPasswordWith('\u2168', parameters)).toBe(hashPasswordWith('IX', parameters))
    expect(hashPasswordWith('a\u00a0b', parameters)).toBe(hashPasswordWith('a b', parameters))
    expect(hashPasswordWith('\u{1F511}', parameters)).not.toBe(hashPasswordWith('x', parameters))
  })

  test('refuses iterations and passwords out of bounds', () => {
    expect(() => hashPassword('x', { iterations: 4095 })).toThrow(RangeError)
    expect(() => hashPassword('x', { iterations: 10_000_001 })).toThrow(RangeError)
    expect(() => hashPassword('x', { iterations: 4096.5 })).toThrow(RangeError)
    expect(() => hashPassword('')).toThrow(RangeError)
    expect(() => hashPassword('x'.repeat(1025))).toThrow(RangeError)
  })

  test('derives on the thread pool what it derives at once', async () => {
    for (const hash of SCRAM_HASHES) {
      const parameters = { hash, salt: Buffer.from('0123456789abcdef'), iterations: 4096 }
      const salted = await deriveSaltedPassword('x', parameters)
      expect(Buffer.from(salted)).toEqual(
        pbkdf2Sync('x', parameters.salt, 4096, hash.digestBytes, hash.digest),
      )
      const text = formatVerifier({ ...parameters, ...keysOf(hash, salted) })
      expect(text).toBe(hashPasswordWith('x', parameters))
    }
  })
})
