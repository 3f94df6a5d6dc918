/**
 * How many segments one namespace may have, and how many it has: its account with the heap (heap.ts), which is shared
 * by all namespaces. Everything here happens at most once a segment, not once an item.
 *
 *     guaranteed   what its quota promises; others use of it only what it does not use itself
 *     limit        what it may hold now: the guarantee, or less while others borrow of it, or more while it borrows
 *     excess       what it still holds above a limit that was lowered, until payExcess() has given it back
 *     owned        the segments it has taken from the heap, in use or free
 *     demanded     how much of its guarantee it needs now and others hold: it is promised to nobody else
 *
 * Invariant: segments in use and FREE_COUNT are together limit + excess. The namespace owns at most that many; what is
 * missing is in the heap, and is taken from there when it is needed. All of it changes under the pool lock.
 */
import { acquire, release } from '../base/lock.ts'
import {
  DEMANDED_WORD,
  EXCESS_WORD,
  FREE_COUNT_WORD,
  FREE_FIRST_WORD,
  GUARANTEED_WORD,
  LIMIT_BYTES_WORD,
  LIMIT_CHANGES_WORD,
  LIMIT_SEGMENTS_WORD,
  OWNED_COUNT_WORD,
  POOL_LOCK_WORD,
  SEGMENT_NEWER,
  SEGMENT_PLACE,
} from './control-block.ts'
import type { Heap } from './heap.ts'
import type { MemoryView } from './memory-view.ts'

/** Free segments beside what shall be free that a namespace keeps where others may use them. */
const IDLE_SEGMENTS = 2

export class Holdings {
  private readonly view: MemoryView
  private readonly heap: Heap
  private readonly control: Int32Array
  private readonly ownedWord: number
  private readonly evicts: boolean
  private readonly limitBytes: Float64Array

  constructor(view: MemoryView, heap: Heap) {
    const { geometry, control } = view
    this.view = view
    this.heap = heap
    this.control = control
    this.ownedWord = geometry.ownedWord
    this.evicts = geometry.evicts
    this.limitBytes = new Float64Array(control.buffer, LIMIT_BYTES_WORD * 4, 1)
  }

  /** How many segments this namespace has, in use or not; and the one at a place among them. */
  get ownedCount(): number {
    return this.control[OWNED_COUNT_WORD]!
  }

  ownedAt(place: number): number {
    return this.control[this.ownedWord + place]!
  }

  /** How many segments are guaranteed. What follows from the size of the memory, follows from this. */
  get segmentCount(): number {
    return this.control[GUARANTEED_WORD]!
  }

  /** How many there are to go round in: what is guaranteed, or more while others lend. */
  get roundSegments(): number {
    return Math.max(this.control[GUARANTEED_WORD]!, this.control[LIMIT_SEGMENTS_WORD]!)
  }

  /** Whether more segments are in use than the limit allows. */
  get hasExcess(): boolean {
    return this.control[EXCESS_WORD] !== 0
  }

  /** How many segments more are held than are guaranteed; below 0: fewer. */
  get borrowedCount(): number {
    const control = this.control
    return control[LIMIT_SEGMENTS_WORD]! + control[EXCESS_WORD]! - control[GUARANTEED_WORD]!
  }

  /** Sets what is guaranteed. Where that is less than is held, settle() and payExcess() have to follow. */
  guarantee(segmentCount: number, limitBytes: number): void {
    const control = this.control
    acquire(control, POOL_LOCK_WORD)
    this.heap.add(segmentCount - control[GUARANTEED_WORD]!, 0, 0)
    control[GUARANTEED_WORD] = segmentCount
    this.limitBytes[0] = limitBytes
    Atomics.add(control, LIMIT_CHANGES_WORD, 1)
    release(control, POOL_LOCK_WORD)
  }

  /**
   * Raises the limit by up to `wanted` segments: of what is guaranteed as far as it is to be had, and then
   * of what nobody has a right to. Returns by how many.
   */
  claim(wanted: number): number {
    if (this.heap.unassigned <= 0) return 0
    const control = this.control
    acquire(control, POOL_LOCK_WORD)
    const owned = Math.max(0, Math.min(wanted, -this.borrowedCount))
    const lent = this.evicts ? wanted - owned : 0
    const demanded = control[DEMANDED_WORD]!
    const claimed = this.heap.claim(owned, demanded, lent)
    control[DEMANDED_WORD] = demanded - Math.min(demanded, owned, claimed)
    control[LIMIT_SEGMENTS_WORD] = control[LIMIT_SEGMENTS_WORD]! + claimed
    control[FREE_COUNT_WORD] = control[FREE_COUNT_WORD]! + claimed
    release(control, POOL_LOCK_WORD)
    return claimed
  }

  /** Says that up to `wanted` segments of what is guaranteed are needed now: nobody else gets them. */
  demand(wanted: number): void {
    const control = this.control
    acquire(control, POOL_LOCK_WORD)
    this.setDemand(Math.max(0, Math.min(wanted, -this.borrowedCount)))
    release(control, POOL_LOCK_WORD)
  }

  /**
   * Lowers the limit by what others want and this namespace has no right to, or raises it again where that
   * is needed no more; and gives up what it does not use itself: `freeGoal` segments it does. What is
   * given up is in excess, until payExcess() has withdrawn it.
   */
  settle(freeGoal: number): void {
    const control = this.control
    const heap = this.heap
    const isEager = heap.hasOne || !this.evicts
    if (isEager) this.settleFixed()
    else {
      if (control[DEMANDED_WORD] !== 0) this.claim(control[DEMANDED_WORD]!)
      acquire(control, POOL_LOCK_WORD)
      const missing = freeGoal - control[FREE_COUNT_WORD]!
      if (control[DEMANDED_WORD]! > Math.max(missing, 0)) this.setDemand(Math.max(missing, 0))
      if (missing < -IDLE_SEGMENTS) this.concede(-missing - control[EXCESS_WORD]!)
      else this.concede(Math.min(-heap.surplus, this.borrowedCount - control[EXCESS_WORD]!))
      release(control, POOL_LOCK_WORD)
    }
  }

  /** Where nobody lends: holds what is guaranteed, or as much of it as others do not hold yet. */
  private settleFixed(): void {
    const control = this.control
    acquire(control, POOL_LOCK_WORD)
    const regained = Math.min(control[EXCESS_WORD]!, this.heap.surplus)
    if (regained > 0) this.concede(-regained)
    this.concede(control[LIMIT_SEGMENTS_WORD]! - control[GUARANTEED_WORD]!)
    if (control[DEMANDED_WORD] !== 0) this.setDemand(0)
    release(control, POOL_LOCK_WORD)
    const missing = -this.borrowedCount
    if (missing > 0) this.claim(missing)
  }

  /** Withdraws free segments that are in excess of the limit, but for `keep` of them. */
  payExcess(keep: number): void {
    const control = this.control
    acquire(control, POOL_LOCK_WORD)
    const paid = Math.min(control[EXCESS_WORD]!, control[FREE_COUNT_WORD]! - keep)
    if (paid > 0) {
      control[EXCESS_WORD] = control[EXCESS_WORD]! - paid
      control[FREE_COUNT_WORD] = control[FREE_COUNT_WORD]! - paid
      const held = control[LIMIT_SEGMENTS_WORD]! + control[EXCESS_WORD]!
      while (control[OWNED_COUNT_WORD]! > held) this.disown()
      this.heap.add(paid, 0, -paid)
    }
    release(control, POOL_LOCK_WORD)
  }

  /**
   * Of a namespace that is no more, and whose store nobody has: gives back all of it at once.
   */
  dissolve(): void {
    const control = this.control
    acquire(control, POOL_LOCK_WORD)
    this.setDemand(0)
    for (let place = this.ownedCount - 1; place >= 0; place--) this.heap.give(this.ownedAt(place))
    control[OWNED_COUNT_WORD] = 0
    const excess = control[EXCESS_WORD]!
    this.heap.add(control[LIMIT_SEGMENTS_WORD]! + excess, 0, -excess)
    control[EXCESS_WORD] = 0
    control[LIMIT_SEGMENTS_WORD] = 0
    control[FREE_COUNT_WORD] = 0
    release(control, POOL_LOCK_WORD)
  }

  /** Lowers the limit by so many segments; raises it where that is below 0. The pool lock is held. */
  private concede(segments: number): void {
    const control = this.control
    const conceded = Math.min(segments, control[LIMIT_SEGMENTS_WORD]!)
    const isRaised = conceded < 0 && control[EXCESS_WORD]! > 0
    if (conceded <= 0 && !isRaised) return
    const moved = Math.max(conceded, -control[EXCESS_WORD]!)
    control[LIMIT_SEGMENTS_WORD] = control[LIMIT_SEGMENTS_WORD]! - moved
    control[EXCESS_WORD] = control[EXCESS_WORD]! + moved
    this.heap.add(0, 0, moved)
  }

  private setDemand(segments: number): void {
    const control = this.control
    this.heap.add(0, segments - control[DEMANDED_WORD]!, 0)
    control[DEMANDED_WORD] = segments
  }

  /** Takes a segment from the heap, which is from now on one of this namespace. The pool lock is held. */
  takeFromHeap(): number {
    const control = this.control
    const segment = this.heap.take()
    const place = control[OWNED_COUNT_WORD]!
    control[this.ownedWord + place] = segment
    control[this.view.segmentRecord(segment) + SEGMENT_PLACE] = place
    control[OWNED_COUNT_WORD] = place + 1
    return segment
  }

  /** Gives a free segment back to the heap; the last one takes its place. */
  private disown(): void {
    const control = this.control
    const view = this.view
    const segment = control[FREE_FIRST_WORD]! - 1
    const record = view.segmentRecord(segment)
    control[FREE_FIRST_WORD] = control[record + SEGMENT_NEWER]!
    const place = control[record + SEGMENT_PLACE]!
    const last = control[OWNED_COUNT_WORD]! - 1
    const moved = this.ownedAt(last)
    control[this.ownedWord + place] = moved
    control[view.segmentRecord(moved) + SEGMENT_PLACE] = place
    control[OWNED_COUNT_WORD] = last
    this.heap.give(segment)
  }
}
