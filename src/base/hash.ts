/**
 * HalfSipHash with a 64-bit result (Aumasson and Bernstein; the variant of SipHash on 32-bit
 * words), keyed with 64 bits so that a stranger cannot choose keys that collide. Hot path: nothing
 * is allocated, arithmetic is int32.
 *
 * Invariant: after hash(), `words` holds the key as little-endian 32-bit words, the last one padded
 * with zeros, so that a caller can compare and store a key word by word without a second pass over
 * its bytes. Choosing the number of rounds is left to the caller: 2-4 has published vectors, 1-3 is
 * what hash tables use.
 */

/** The longest key that hash() takes, in bytes. */
export const HASHED_BYTES_MAX = 256

export class HalfSipHash {
  /** The key of the last hash(), as words. */
  readonly words: Int32Array = new Int32Array(HASHED_BYTES_MAX / 4 + 1)
  /** The upper half of the last result. */
  high = 0
  readonly #key0: number
  readonly #key1: number
  readonly #compressionRounds: number
  readonly #finalizationRounds: number

  constructor(key0: number, key1: number, compressionRounds: number, finalizationRounds: number) {
    this.#key0 = key0 | 0
    this.#key1 = key1 | 0
    this.#compressionRounds = compressionRounds
    this.#finalizationRounds = finalizationRounds
  }

  /** Hashes bytes; returns the lower half as an int32 and leaves the upper one in `high`. */
  hash(view: DataView, offset: number, length: number): number {
    const words = this.words
    const wordCount = length >> 2
    let at = offset
    for (let index = 0; index < wordCount; index++) {
      words[index] = view.getInt32(at, true)
      at += 4
    }
    let tail = 0
    switch (length & 3) {
      case 3:
        tail = (view.getUint8(at + 2) << 16) | view.getUint16(at, true)
        break
      case 2:
        tail = view.getUint16(at, true)
        break
      case 1:
        tail = view.getUint8(at)
        break
    }
    words[wordCount] = tail
    return this.hashWords(words, 0, length)
  }

  /** Hashes `length` bytes that start at a word; bytes after them in the last word do not matter. */
  hashWords(words: Int32Array, start: number, length: number): number {
    const compressionRounds = this.#compressionRounds
    const finalizationRounds = this.#finalizationRounds
    let v0 = this.#key0
    let v1 = this.#key1 ^ 0xee
    let v2 = this.#key0 ^ 0x6c796765
    let v3 = this.#key1 ^ 0x74656462
    const end = start + (length >> 2)
    const tailBits = (length & 3) << 3
    // The loop runs once more than there are full words: the last word holds tail and length.
    for (let at = start; at <= end; at++) {
      let word: number
      if (at < end) {
        word = words[at]!
      } else {
        word = length << 24
        if (tailBits !== 0) word |= words[at]! & ((1 << tailBits) - 1)
      }
      v3 ^= word
      for (let round = 0; round < compressionRounds; round++) {
        v0 = (v0 + v1) | 0
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
        v0 = (v0 << 16) | (v0 >>> 16)
        v2 = (v2 + v3) | 0
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
        v0 = (v0 + v3) | 0
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
        v2 = (v2 + v1) | 0
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
        v2 = (v2 << 16) | (v2 >>> 16)
      }
      v0 ^= word
    }
    v2 ^= 0xee
    let low = 0
    for (let half = 0; half < 2; half++) {
      for (let round = 0; round < finalizationRounds; round++) {
        v0 = (v0 + v1) | 0
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
        v0 = (v0 << 16) | (v0 >>> 16)
        v2 = (v2 + v3) | 0
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
        v0 = (v0 + v3) | 0
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
        v2 = (v2 + v1) | 0
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
        v2 = (v2 << 16) | (v2 >>> 16)
      }
      if (half === 0) {
        low = v1 ^ v3
        v1 ^= 0xdd
      }
    }
    this.high = v1 ^ v3
    return low
  }
}
