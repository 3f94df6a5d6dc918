import { expect, test } from 'vitest'
import { ByteBlock, copyBytes } from '../../../src/base/bytes.ts'

const SIZE = 100_000

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 255)
}

function block(shared: boolean, content: Uint8Array | undefined): ByteBlock {
  const buffer = shared ? new SharedArrayBuffer(SIZE + 8) : new ArrayBuffer(SIZE + 8)
  const bytes = new Uint8Array(buffer, 3, SIZE)
  if (content !== undefined) bytes.set(content)
  return new ByteBlock(bytes)
}

const LENGTHS = [0, 1, 3, 4, 15, 16, 17, 100, 319, 320, 321, 1000, 16383, 16384, 16385, 50_001]
const SHARES = [
  [false, false],
  [false, true],
  [true, false],
  [true, true],
] as const

for (const [fromShared, toShared] of SHARES) {
  const name = `${fromShared ? 'shared' : 'private'} to ${toShared ? 'shared' : 'private'}`
  test(`${name}: every length and alignment copies these bytes and no others`, () => {
    const content = pattern(SIZE)
    const source = block(fromShared, content)
    for (const length of LENGTHS) {
      for (let shift = 0; shift < 8; shift++) {
        const target = block(toShared, undefined)
        const from = 40 + ((shift * 5) & 7)
        const to = 64 + shift
        copyBytes(source, from, target, to, length)
        const copied = Buffer.from(target.bytes.slice(to, to + length))
        expect(copied.equals(content.subarray(from, from + length)), `${length}+${shift}`).toBe(
          true,
        )
        expect(target.bytes[to - 1]).toBe(0)
        expect(target.bytes[to + length]).toBe(0)
      }
    }
  })
}
