/**
 * How the limit of the memory is shared out among the stores over it: each but the first has a quota, and the first what
 * the others leave. A store that is alone has all of it. Called from any thread, also from one that has no Store.
 *
 * Invariant: quotas change under their lock, so that whoever lowers one and raises another is not met in between.
 */
import { acquire, release } from '../base/lock.ts'
import {
  HEAP_QUOTA_BYTES_WORD,
  HEAP_QUOTA_LOCK_WORD,
  HEAP_QUOTA_SEGMENTS_WORD,
} from './control-block.ts'
import { memoryLimitOf } from './counters.ts'
import { memorySharesOf, type StoreMemory } from './geometry.ts'
import type { SegmentPool } from './pool.ts'

/** The sum of the quotas of all stores but the first, while its lock is held. */
class Quotas {
  private readonly first: StoreMemory
  private readonly sum: Float64Array
  private readonly words: Int32Array

  constructor(first: StoreMemory) {
    this.first = first
    this.sum = new Float64Array(first.heap, HEAP_QUOTA_BYTES_WORD * 4, 1)
    this.words = new Int32Array(first.heap)
  }

  get bytes(): number {
    return this.sum[0]!
  }

  add(bytes: number, segments: number): void {
    this.sum[0]! += bytes
    this.words[HEAP_QUOTA_SEGMENTS_WORD]! += segments
  }

  /**
   * Guarantees so many bytes to the first store: no more segments than a limit of all has without
   * namespaces, though their ghost tables may be smaller together than one is.
   */
  guaranteeFirst(pool: SegmentPool, ownBytes: number): void {
    const { geometry } = this.first
    const whole = memorySharesOf(geometry, ownBytes + this.bytes).segmentCount
    const left = whole - this.words[HEAP_QUOTA_SEGMENTS_WORD]!
    pool.holdings.guarantee(
      Math.min(memorySharesOf(geometry, ownBytes).segmentCount, left),
      ownBytes,
    )
  }
}

/** Changes them under their lock. */
export function withQuotas(first: StoreMemory, change: (quotas: Quotas) => void): void {
  const words = new Int32Array(first.heap)
  acquire(words, HEAP_QUOTA_LOCK_WORD)
  try {
    change(new Quotas(first))
  } finally {
    release(words, HEAP_QUOTA_LOCK_WORD)
  }
}

/** The limit of the memory as a whole, in bytes. */
export function wholeMemoryLimitOf(first: StoreMemory): number {
  return memoryLimitOf(first) + new Quotas(first).bytes
}

/** Sets the limit as a whole, by what the first store has; false if it cannot be that. */
export function setMemoryLimit(
  first: StoreMemory,
  pool: SegmentPool,
  limitBytes: number,
  leastBytes: number,
): boolean {
  let isSet = false
  withQuotas(first, (quotas) => {
    const ownBytes = limitBytes - quotas.bytes
    isSet = ownBytes >= leastBytes && limitBytes <= first.geometry.memoryBytesMax
    if (isSet) quotas.guaranteeFirst(pool, ownBytes)
  })
  return isSet
}
