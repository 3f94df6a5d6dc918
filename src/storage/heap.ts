/**
 * The heap: all segments of the memory, over which each namespace has a store of its own. It knows which
 * segments no namespace has, and how many more may be held.
 *
 *     all segments:   | of namespace 0 | of 1 | of 2 ... | given back | never used |
 *     allowed:        | held by 0      | by 1 | by 2 ... | UNASSIGNED              |      held = limit + excess
 *
 * Invariant: the segments that namespaces hold and UNASSIGNED are as many as are guaranteed to all of them,
 * and a namespace has no more segments than it holds. So one that holds fewer than are guaranteed to it finds
 * either some that are unassigned, or another that holds more than its own. UNASSIGNED is below 0 while a
 * lowered limit is not paid for. What owners DEMAND of their guarantee nobody else may claim.
 *
 * Its lock is the innermost: it is taken with or without that of a pool, and nothing is acquired behind it.
 * Who holds what, and when it is given back, is left to the pools (pool.ts).
 */
import { assert } from '../base/assert.ts'
import { acquire, release } from '../base/lock.ts'
import {
  HEAP_DEMANDED_WORD,
  HEAP_EXCESS_WORD,
  HEAP_FREE_FIRST_WORD,
  HEAP_FRESH_WORD,
  HEAP_LOCK_WORD,
  HEAP_NAMESPACES_WORD,
  HEAP_NEXT_WORD,
  HEAP_UNASSIGNED_WORD,
} from './control-block.ts'
import type { StoreMemory } from './geometry.ts'

export class Heap {
  private readonly words: Int32Array
  private readonly segmentCount: number

  constructor({ heap, geometry }: StoreMemory) {
    this.words = new Int32Array(heap)
    this.segmentCount = geometry.segmentCount
  }

  /** Whether there is no namespace but the first. */
  get hasOne(): boolean {
    return this.words[HEAP_NAMESPACES_WORD] === 1
  }

  /** How many segments anybody may claim, beside what owners want; below 0: so many are to be given up. */
  get surplus(): number {
    const { words } = this
    return words[HEAP_UNASSIGNED_WORD]! + words[HEAP_EXCESS_WORD]! - words[HEAP_DEMANDED_WORD]!
  }

  get unassigned(): number {
    return this.words[HEAP_UNASSIGNED_WORD]!
  }

  /** Takes a segment that nobody has, for a namespace that holds more than it has. */
  take(): number {
    const { words } = this
    acquire(words, HEAP_LOCK_WORD)
    const first = words[HEAP_FREE_FIRST_WORD]!
    let segment = first - 1
    if (first !== 0) words[HEAP_FREE_FIRST_WORD] = words[HEAP_NEXT_WORD + segment]!
    else {
      segment = words[HEAP_FRESH_WORD]!
      words[HEAP_FRESH_WORD] = segment + 1
    }
    release(words, HEAP_LOCK_WORD)
    assert(segment < this.segmentCount, 'a namespace holds segments that there are not')
    return segment
  }

  /** Takes back a segment, to which nothing of its namespace refers any more. */
  give(segment: number): void {
    const { words } = this
    acquire(words, HEAP_LOCK_WORD)
    words[HEAP_NEXT_WORD + segment] = words[HEAP_FREE_FIRST_WORD]!
    words[HEAP_FREE_FIRST_WORD] = segment + 1
    release(words, HEAP_LOCK_WORD)
  }

  /**
   * Claims up to `owned` segments of what is guaranteed to a namespace, of which it had demanded
   * `demanded`, and up to `lent` more; returns how many it may hold now.
   */
  claim(owned: number, demanded: number, lent: number): number {
    const { words } = this
    acquire(words, HEAP_LOCK_WORD)
    const unassigned = words[HEAP_UNASSIGNED_WORD]!
    const own = Math.max(0, Math.min(owned, unassigned))
    words[HEAP_DEMANDED_WORD] = words[HEAP_DEMANDED_WORD]! - Math.min(own, demanded)
    const left = unassigned - own - words[HEAP_DEMANDED_WORD]!
    const borrowed = Math.max(0, Math.min(lent, left))
    words[HEAP_UNASSIGNED_WORD] = unassigned - own - borrowed
    release(words, HEAP_LOCK_WORD)
    return own + borrowed
  }

  /** Adds to what is unassigned, demanded and in excess. */
  add(unassigned: number, demanded: number, excess: number): void {
    const { words } = this
    acquire(words, HEAP_LOCK_WORD)
    words[HEAP_UNASSIGNED_WORD] = words[HEAP_UNASSIGNED_WORD]! + unassigned
    words[HEAP_DEMANDED_WORD] = words[HEAP_DEMANDED_WORD]! + demanded
    words[HEAP_EXCESS_WORD] = words[HEAP_EXCESS_WORD]! + excess
    release(words, HEAP_LOCK_WORD)
  }

  countNamespaces(difference: number): void {
    Atomics.add(this.words, HEAP_NAMESPACES_WORD, difference)
  }
}
