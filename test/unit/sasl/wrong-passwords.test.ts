import { expect, test } from 'vitest'
import { WrongPasswords } from '../../../src/sasl/wrong-passwords.ts'

const digest = (index: number): Uint8Array =>
  new Uint8Array(32).fill(index & 255).fill(index >> 8, 0, 2)

test('the last 256 are known, until other credentials are in force', () => {
  const wrong = new WrongPasswords()
  for (let index = 0; index < 300; index++) wrong.add(digest(index))
  expect(wrong.has(digest(43))).toBe(false)
  expect(wrong.has(digest(44))).toBe(true)
  expect(wrong.has(digest(299))).toBe(true)
  // One that comes again takes no other's place.
  wrong.add(digest(299))
  expect(wrong.has(digest(45))).toBe(true)
  wrong.clear()
  expect(wrong.has(digest(299))).toBe(false)
})
