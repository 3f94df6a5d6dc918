/**
 * Hot path. Which items the threads of this gate are changing, in memory that all of them share: a stripe for all keys of
 * a hash, with a version and the number of changes under way.
 *
 *     begin:  under way + 1, then version + 1         is sent
 *     end:    under way - 1                           before the client is answered
 *
 * Invariant: a copy is filed under the version that its stripe had before the read was sent, with nothing under way
 * then, and is true only while the version is that one. So no copy is shown from the moment when a change
 * begins, none is made while one is under way, and one that is made afterwards was read behind it: whoever
 * was answered by any thread of this gate finds no older value through any of them.
 *
 * The order matters: who looks reads the version first, and then the number. If it has the new version, the number has
 * been raised before.
 */
export const STRIPES = 65_536
export const STRIPE_MASK: number = STRIPES - 1
const SEED_AT = 2 * STRIPES

/** `seed` keys the hash, which is the same in all threads: who picks keys cannot tell which share a stripe. */
export function createStripeMemory(seed: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(4 * (SEED_AT + 1))
  new Int32Array(memory)[SEED_AT] = seed
  return memory
}

/** From capture(): there is no version to file a copy under. */
export const NO_VERSION: number = -1

export class WriteStripes {
  private readonly words: Int32Array
  private readonly seed: number

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory)
    this.seed = this.words[SEED_AT]!
  }

  /** FNV-1a from a seed, its bits mixed at the end. */
  hash(bytes: Uint8Array, offset: number, length: number): number {
    const end = offset + length
    let hash = this.seed
    for (let at = offset; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
    hash ^= hash >>> 16
    hash = Math.imul(hash, 0x85ebca6b)
    hash ^= hash >>> 13
    hash = Math.imul(hash, 0xc2b2ae35)
    return hash ^ (hash >>> 16)
  }

  begin(hash: number): void {
    const at = 2 * (hash & STRIPE_MASK)
    Atomics.add(this.words, at + 1, 1)
    Atomics.add(this.words, at, 1)
  }

  end(hash: number): void {
    Atomics.sub(this.words, 2 * (hash & STRIPE_MASK) + 1, 1)
  }

  /** 0 to 2^31 - 1; it begins anew after that many changes of a stripe. */
  version(hash: number): number {
    return Atomics.load(this.words, 2 * (hash & STRIPE_MASK)) & 0x7fffffff
  }

  /** The version, for a read that is about to be sent; NO_VERSION: a change is under way. */
  capture(hash: number): number {
    const version = this.version(hash)
    const count = Atomics.load(this.words, 2 * (hash & STRIPE_MASK) + 1)
    return count === 0 ? version : NO_VERSION
  }
}
