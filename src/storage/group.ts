/**
 * Which items lie together: the group of a segment is a queue (small or main), a class of TTLs and a
 * rank. Hot path.
 *
 *     class             0                 1       2         3       4
 *     expires in (s)    32768 ..., never  4096..  512 ...   64 ...  ... 63
 *
 *     rank              0       1       2      ...     13
 *     worth             1       2       4      ...     8192      reads for each 64 KiB, rounded
 *
 * The worth of an item is how often it was read by what room it takes: of a new one as if it had been
 * read once. What a victim keeps gets the worth of the rank that it had, and that of the reads since: so
 * the group of an item is also the memory of how often it was read before.
 *
 * Invariant: a group is only a wish about the place. An item that was touched, or that found no room
 * in its own group, lies elsewhere and is as right there; its memory may only come back later.
 * A store with few segments for each worker has fewer classes, and at last no small queue and no ranks:
 * every group may cost each worker a segment that is not full. Where eviction does not weigh sizes, and
 * with -M, all have rank 0.
 */
import {
  GROUPS_MAX,
  MAIN_QUEUE,
  QUEUE_GROUPS,
  RANKS_MAX,
  SMALL_QUEUE,
  TTL_CLASSES_MAX,
} from './control-block.ts'
import type { MemoryShares } from './geometry.ts'

/** A TTL of so many bits or more is of class 0; each further class has three bits less. */
const LONGEST_BITS = 16
const CLASS_BITS = 3

/** One read of so many bytes is worth 1. */
const WORTH_BYTES = 65536
/** What an item costs beside its record: its share of the index. */
const SLOT_BYTES = 10
/** Reads of long ago count for no more than so many now, lest an item outlive its popularity for long. */
const READS_KEPT_MAX = 32
/** Ranks are rounded to the nearest power of two. */
const ROUNDING: number = Math.SQRT2

export class Groups {
  private smallQueue: number = MAIN_QUEUE
  private ttlClassCount = 1
  private hasRanks = false

  constructor(shares: MemoryShares) {
    this.adopt(shares)
  }

  /** Groups new items as a limit of the memory wants it. */
  adopt(shares: MemoryShares): void {
    this.smallQueue = shares.hasSmallQueue ? SMALL_QUEUE : MAIN_QUEUE
    this.ttlClassCount = shares.ttlClassCount
    this.hasRanks = shares.hasRanks
  }

  /** Whether new items come into the group. */
  isUsed(group: number): boolean {
    if (group >= GROUPS_MAX) return true
    if (queueOf(group) < this.smallQueue) return false
    return (this.hasRanks || rankOf(group) === 0) && ttlClassOf(group) < this.ttlClassCount
  }

  /** The group of the small queue, for an item with that expiry (0 never) and so many bytes. */
  small(recordBytes: number, expiry: number, nowSeconds: number): number {
    return this.groupOf(this.smallQueue, this.rankOfReads(recordBytes, 1), expiry, nowSeconds)
  }

  /** The group of the main queue, for one that was read so often. */
  main(recordBytes: number, reads: number, expiry: number, nowSeconds: number): number {
    return this.groupOf(MAIN_QUEUE, this.rankOfReads(recordBytes, reads), expiry, nowSeconds)
  }

  /** The group of the main queue for what is kept of a victim of `group`, and was read so often since. */
  kept(
    group: number,
    recordBytes: number,
    reads: number,
    expiry: number,
    nowSeconds: number,
  ): number {
    // To be in the small queue is no merit.
    const before =
      queueOf(group) === SMALL_QUEUE ? 0 : (2 ** rankOf(group) * recordBytes) / WORTH_BYTES
    const total = reads + Math.min(before, READS_KEPT_MAX)
    return this.main(recordBytes, total, expiry, nowSeconds)
  }

  /** The group for an item that only changes its place or its length: queue and rank are those of `group`. */
  same(group: number, expiry: number, nowSeconds: number): number {
    const queue = Math.max(queueOf(group), this.smallQueue)
    return this.groupOf(queue, this.hasRanks ? rankOf(group) : 0, expiry, nowSeconds)
  }

  private groupOf(queue: number, rank: number, expiry: number, nowSeconds: number): number {
    return queue * QUEUE_GROUPS + this.ttlClass(expiry, nowSeconds) * RANKS_MAX + rank
  }

  private rankOfReads(recordBytes: number, reads: number): number {
    if (!this.hasRanks) return 0
    const worth = ((reads * WORTH_BYTES * ROUNDING) / (recordBytes + SLOT_BYTES)) | 0
    return worth === 0 ? 0 : Math.min(31 - Math.clz32(worth), RANKS_MAX - 1)
  }

  private ttlClass(expiry: number, nowSeconds: number): number {
    if (expiry === 0) return 0
    const ttl = (expiry >>> 0) - nowSeconds
    const bits = ttl <= 1 ? 1 : 32 - Math.clz32(ttl)
    if (bits >= LONGEST_BITS) return 0
    const fine = Math.min(
      ((LONGEST_BITS + CLASS_BITS - 1 - bits) / CLASS_BITS) | 0,
      TTL_CLASSES_MAX - 1,
    )
    return ((fine * this.ttlClassCount) / TTL_CLASSES_MAX) | 0
  }
}

/** The queue of a group. */
export function queueOf(group: number): number {
  return group < QUEUE_GROUPS ? SMALL_QUEUE : MAIN_QUEUE
}

export function rankOf(group: number): number {
  return group % RANKS_MAX
}

function ttlClassOf(group: number): number {
  return ((group % QUEUE_GROUPS) / RANKS_MAX) | 0
}

/** The same group in the main queue. */
export function mainGroupOf(group: number): number {
  return group < QUEUE_GROUPS ? group + QUEUE_GROUPS : group
}

/** How far two groups of one queue are apart: rather another rank than another class. */
export function distanceOf(group: number, other: number): number {
  const classes = Math.abs(ttlClassOf(group) - ttlClassOf(other))
  return classes * RANKS_MAX + Math.abs(rankOf(group) - rankOf(other))
}
