import { expect, test } from 'vitest'
import { HalfSipHash } from '../../../src/base/hash.ts'

// HalfSipHash-1-3, key 00 01 .. 07, input 00 01 02 .. of as many bytes as the number's index: the
// vectors of the Linux kernel's hsiphash on 32-bit machines (lib/tests/siphash_kunit.c), which were
// made with the reference implementation.
// biome-ignore format: a table
const VECTORS = [
  0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b,
  0xa0080b65, 0x9d38d9d6, 0x577999b1, 0xc839caed, 0xe4fa32cf, 0x959246ee,
  0x6b28096c, 0x66dd9cd6, 0x16658a7c, 0xd0257b04, 0x8b31d501, 0x2b1cd04b,
  0x06712339, 0x522aca67, 0x911bb605, 0x90a65f0e, 0xf826ef7b, 0x62512deb,
  0x57150ad7, 0x5d473507, 0x1ec47442, 0xab64afd3, 0x0a4100d0, 0x6d2ce652,
  0x2331b6a3, 0x08d8791a, 0xbc6dda8d, 0xe0f6c934, 0xb0652033, 0x9b9851cc,
  0x7c46fb7f, 0x732ba8cb, 0xf142997a, 0xfcc9aa1b, 0x05327eb2, 0xe110131c,
  0xf9e5e7c0, 0xa7d708a6, 0x11795ab1, 0x65671619, 0x9f5fff91, 0xd89c5267,
  0x007783eb, 0x95766243, 0xab639262, 0x9c7e1390, 0xc368dda6, 0x38ddc455,
  0xfa13d379, 0x979ea4e8, 0x53ecd77e, 0x2ee80657, 0x33dbb66a, 0xae3f0577,
  0x88b4c4cc, 0x3e7f480b, 0x74c1ebf8, 0x87178304,
]

const KEY0 = 0x03020100
const KEY1 = 0x07060504
const input = Buffer.from(Array.from({ length: 250 }, (_, index) => index))
const view = new DataView(input.buffer, input.byteOffset, input.length)

test('HalfSipHash-1-3 gives the published results', () => {
  const hash = new HalfSipHash(KEY0, KEY1)
  for (const [length, expected] of VECTORS.entries()) {
    expect(hash.hash(view, 0, length) >>> 0, `${length} bytes`).toBe(expected)
  }
})

test('hashing the words that hash() left gives the same, whatever follows in the last word', () => {
  const hash = new HalfSipHash(KEY0, KEY1)
  const other = new HalfSipHash(KEY0, KEY1)
  for (let length = 1; length <= 250; length++) {
    const low = hash.hash(view, 0, length)
    const words = Int32Array.from(hash.words)
    const tailBits = (length & 3) * 8
    if (tailBits !== 0) words[length >> 2]! |= -1 << tailBits
    expect(other.hashWords(words, 0, length), `${length} bytes`).toBe(low)
    expect(other.more).toBe(hash.more)
  }
})

test('the words are the key, little-endian, padded with zeros', () => {
  const hash = new HalfSipHash(KEY0, KEY1)
  hash.hash(view, 0, 250)
  hash.hash(view, 1, 7)
  expect(hash.words[0]).toBe(0x04030201)
  expect(hash.words[1]).toBe(0x00070605)
})

test('the offset within the bytes does not matter, the key and every byte do', () => {
  const hash = new HalfSipHash(KEY0, KEY1)
  const copy = Buffer.concat([Buffer.from([9, 9, 9]), input])
  const copyView = new DataView(copy.buffer, copy.byteOffset, copy.length)
  expect(hash.hash(copyView, 3, 40)).toBe(hash.hash(view, 0, 40))
  expect(new HalfSipHash(KEY0 + 1, KEY1).hash(view, 0, 40)).not.toBe(hash.hash(view, 0, 40))
  const before = hash.hash(copyView, 3, 40)
  for (let index = 3; index < 43; index++) {
    copy[index]! ^= 1
    expect(hash.hash(copyView, 3, 40)).not.toBe(before)
    copy[index]! ^= 1
  }
})

test('100,000 counting keys spread over 256 stripes within 5 sigma', () => {
  const hash = new HalfSipHash(0x1234567, -0x7654321)
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
