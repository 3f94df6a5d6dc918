/**
 * Which items lie together: the group of a segment is a queue (small or main) and a class of TTLs.
 * Hot path.
 *
 *     class             0                 1       2         3       4
 *     expires in (s)    32768 ..., never  4096..  512 ...   64 ...  ... 63
 *
 * Invariant: a group is only a wish about the place. An item that was touched, or that found no room
 * in its own group, lies elsewhere and is as right there; its memory may only come back later.
 * A store with few segments for each worker has fewer classes, and at last no small queue: every
 * group may cost each worker a segment that is not full.
 */
import {
  GROUPS_MAX,
  MAIN_QUEUE,
  type MemoryShares,
  SMALL_QUEUE,
  TTL_CLASSES_MAX,
} from './geometry.ts'

/** A TTL of so many bits or more is of class 0; each further class has three bits less. */
const LONGEST_BITS = 16
const CLASS_BITS = 3

export class Groups {
  private smallQueue: number = MAIN_QUEUE
  private ttlClassCount = 1

  constructor(shares: MemoryShares) {
    this.adopt(shares)
  }

  /** Groups new items as a limit of the memory wants it. */
  adopt(shares: MemoryShares): void {
    this.smallQueue = shares.hasSmallQueue ? SMALL_QUEUE : MAIN_QUEUE
    this.ttlClassCount = shares.ttlClassCount
  }

  /** Whether new items come into the group. */
  isUsed(group: number): boolean {
    if (group >= GROUPS_MAX) return true
    if (queueOf(group) < this.smallQueue) return false
    return group % TTL_CLASSES_MAX < this.ttlClassCount
  }

  /** The group of the small queue, for an item with that expiry (0 never). */
  small(expiry: number, nowSeconds: number): number {
    return this.smallQueue * TTL_CLASSES_MAX + this.ttlClass(expiry, nowSeconds)
  }

  main(expiry: number, nowSeconds: number): number {
    return MAIN_QUEUE * TTL_CLASSES_MAX + this.ttlClass(expiry, nowSeconds)
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
  return group < TTL_CLASSES_MAX ? SMALL_QUEUE : MAIN_QUEUE
}

/** The same group in the main queue. */
export function mainGroupOf(group: number): number {
  return group < TTL_CLASSES_MAX ? group + TTL_CLASSES_MAX : group
}
