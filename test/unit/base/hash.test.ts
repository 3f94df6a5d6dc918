import { expect, test } from 'vitest'
import { HalfSipHash } from '../../../src/base/hash.ts'

// The first 32 of vectors_hsip64 in the reference implementation (veorq/SipHash, vectors.h):
// HalfSipHash-2-4, key 00 01 .. 07, input 00 01 02 .. of as many bytes as the row's number.
// biome-ignore format: a table
const VECTORS = [
  '218d1f59b9b83cc8', 'be552412f8387315', '064f39ef7c50eb57', 'ce0f1a45f7060679',
  'd5e78a175be52ea1', 'cb9d7c3f2f3db580', 'ce3e91358aa2bc25', 'ff202728b07bc684',
  'edfee820bce4858c', '5b51cccc13888307', '95b0469f06a6f2ee', 'ae26333994ddcd48',
  '7bc71f9faef5c799', '5a2352d75a0c3744', '3bb1a870eae8e658', '217d0bcb4e81c902',
  '7336aad25f7bf3b5', '37adc0641c4c4f6a', 'c9b2db2b9a3e42f9', 'f910e48020ab363c',
  '1bf52b0a6feea7db', '00741dc269e8b3ef', 'e20103fa1ba776ef', '4c2210e54b681d73',
  '70741045ae3fa6f1', '0c86403739714038', '0d899ed8112923f0', '226bf5fab81ee1b8',
  '2d925ffb1e0016b5', '361958d52cee10f1', '291aaf864898179d', '863c7f155c34117c',
]

const KEY0 = 0x03020100
const KEY1 = 0x07060504
const input = Buffer.from(Array.from({ length: 250 }, (_, index) => index))
const view = new DataView(input.buffer, input.byteOffset, input.length)

function hex(hash: HalfSipHash, low: number): string {
  const bytes = Buffer.alloc(8)
  bytes.writeInt32LE(low, 0)
  bytes.writeInt32LE(hash.high, 4)
  return bytes.toString('hex')
}

test('HalfSipHash-2-4 gives the published results', () => {
  const hash = new HalfSipHash(KEY0, KEY1, 2, 4)
  for (const [length, expected] of VECTORS.entries()) {
    expect(hex(hash, hash.hash(view, 0, length)), `${length} bytes`).toBe(expected)
  }
})

test('hashing the words that hash() left gives the same, whatever follows in the last word', () => {
  const hash = new HalfSipHash(KEY0, KEY1, 1, 3)
  const other = new HalfSipHash(KEY0, KEY1, 1, 3)
  for (let length = 1; length <= 250; length++) {
    const low = hash.hash(view, 0, length)
    const words = Int32Array.from(hash.words)
    const tailBits = (length & 3) * 8
    if (tailBits !== 0) words[length >> 2]! |= -1 << tailBits
    expect(other.hashWords(words, 0, length), `${length} bytes`).toBe(low)
    expect(other.high).toBe(hash.high)
  }
})

test('the words are the key, little-endian, padded with zeros', () => {
  const hash = new HalfSipHash(KEY0, KEY1, 1, 3)
  hash.hash(view, 0, 250)
  hash.hash(view, 1, 7)
  expect(hash.words[0]).toBe(0x04030201)
  expect(hash.words[1]).toBe(0x00070605)
})

test('the offset within the bytes does not matter, the key and every byte do', () => {
  const hash = new HalfSipHash(KEY0, KEY1, 1, 3)
  const copy = Buffer.concat([Buffer.from([9, 9, 9]), input])
  const copyView = new DataView(copy.buffer, copy.byteOffset, copy.length)
  expect(hash.hash(copyView, 3, 40)).toBe(hash.hash(view, 0, 40))
  expect(new HalfSipHash(KEY0 + 1, KEY1, 1, 3).hash(view, 0, 40)).not.toBe(hash.hash(view, 0, 40))
  const before = hash.hash(copyView, 3, 40)
  for (let index = 3; index < 43; index++) {
    copy[index]! ^= 1
    expect(hash.hash(copyView, 3, 40)).not.toBe(before)
    copy[index]! ^= 1
  }
})

test('100,000 counting keys spread over 256 stripes within 5 sigma', () => {
  const hash = new HalfSipHash(0x1234567, -0x7654321, 1, 3)
  const counts = new Int32Array(256)
  const key = Buffer.alloc(12)
  const keyView = new DataView(key.buffer, key.byteOffset, key.length)
  for (let number = 0; number < 100_000; number++) {
    key.write(String(number).padStart(12, '0'), 'latin1')
    counts[hash.hash(keyView, 0, 12) & 255]! += 1
  }
  const mean = 100_000 / 256
  const bound = 5 * Math.sqrt(mean)
  for (const count of counts) expect(Math.abs(count - mean)).toBeLessThan(bound)
})
