/**
 * The ghost table: fingerprints of the keys evicted last. Who comes back while it is remembered goes to
 * the main queue at once. Hot path.
 *
 *      bucket, 32 bytes:   0           2                        30
 *                          +-----------+-----------+--- ... ---+-----------+
 *                          | newest    |           |           | oldest    |   0: none
 *                          +-----------+-----------+--- ... ---+-----------+
 *
 * Invariant: nothing depends on it. These are hints, read and written without a lock of their own: what
 * is lost, or remembered of another key (one key in 2048, by chance), costs a place in a queue.
 */
import { type Geometry, GHOST_BUCKET_BYTES } from './geometry.ts'

const ENTRIES = GHOST_BUCKET_BYTES / 2

export class GhostTable {
  private readonly entries: Uint16Array
  /** Fewer buckets than there are are used where the limit of the memory is not the highest one. */
  private bucketMask: number
  private readonly isEmpty: boolean

  constructor(geometry: Geometry, control: Int32Array) {
    const { ghostBuckets } = geometry
    this.isEmpty = ghostBuckets === 0
    this.bucketMask = ghostBuckets - 1
    this.entries = new Uint16Array(control.buffer, geometry.ghostWord * 4, ghostBuckets * ENTRIES)
  }

  /** Uses so many buckets, a power of two. */
  resize(bucketCount: number): void {
    this.bucketMask = bucketCount - 1
  }

  /** Remembers the key with that hash (both halves) as the newest of its bucket. */
  remember(low: number, more: number): void {
    if (this.isEmpty) return
    const entries = this.entries
    const base = (low & this.bucketMask) * ENTRIES
    entries.copyWithin(base + 1, base, base + ENTRIES - 1)
    entries[base] = fingerprintOf(more)
  }

  /** Whether the key is remembered. */
  recall(low: number, more: number): boolean {
    if (this.isEmpty) return false
    const entries = this.entries
    const base = (low & this.bucketMask) * ENTRIES
    const fingerprint = fingerprintOf(more)
    for (let at = base; at < base + ENTRIES; at++) {
      const found = entries[at]!
      if (found === 0) return false
      if (found === fingerprint) return true
    }
    return false
  }
}

/** 16 bits that are not 0. */
function fingerprintOf(more: number): number {
  return ((more >>> 16) ^ (more & 0xffff)) | 1
}
