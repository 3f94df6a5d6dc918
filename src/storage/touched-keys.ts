/**
 * Which keys clients have changed since the server began to restore a snapshot: a bit for each hash. What has
 * its bit is not restored any more, because what the snapshot has of it is older than what a client said.
 * Hot path, but only until everything is back.
 *
 *     a client:    add() -> lock the stripe -> set, delete ...
 *     the restorer:         lock the stripe -> has() -> no: link the old item
 *
 * Invariant: a key is added before the stripe is locked under which it is changed. So either the restorer sees
 * the bit, or the client meets the item that was restored. Bits are never cleared; two keys that share one
 * cost a miss, never a wrong value.
 */

/** A bit for so many bytes of the memory: about as many as there may be items in it. */
const MEMORY_BYTES_PER_BIT = 64
const BYTES_MIN: number = 64 * 1024
const BYTES_MAX: number = 64 * 1024 * 1024

/** Pages of it that are never written to cost no memory. */
export function createTouchedMemory(memoryBytes: number): SharedArrayBuffer {
  const wanted = memoryBytes / MEMORY_BYTES_PER_BIT / 8
  const bytes = Math.min(Math.max(2 ** Math.ceil(Math.log2(wanted)), BYTES_MIN), BYTES_MAX)
  return new SharedArrayBuffer(bytes)
}

export class TouchedKeys {
  readonly words: Int32Array
  private readonly mask: number

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory)
    this.mask = this.words.length - 1
  }

  add(hash: number): void {
    Atomics.or(this.words, this.wordOf(hash), 1 << hash)
  }

  /** Where has() looks. */
  wordOf(hash: number): number {
    return (hash >>> 5) & this.mask
  }

  has(hash: number): boolean {
    return (Atomics.load(this.words, this.wordOf(hash)) & (1 << hash)) !== 0
  }
}
