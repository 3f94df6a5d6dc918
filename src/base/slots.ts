/**
 * A set of objects that come and go by the thousand: each has a slot of an array until it leaves, and
 * carries its number. Nobody's slot changes, so that who walks over the slots meets everybody once, also
 * where others come or go meanwhile; who comes may have a slot that the walk has passed.
 *
 * Not a Set or a Map. These make a new table for every so many that leave, and the old table refers to the
 * new one and to all that were in it. Once a table has lived long enough to be old, the collector, which
 * seldom looks among the old, takes all of them for live, one table after the other: nearly everything
 * that passes through has to be moved among the old, and marked there. A thousand short connections a second
 * were a mark-compact a second, for that and for the links of chain.ts.
 *
 * Invariant: `members[slot].slot === slot`; every number below `slotCount` has a member or is free.
 */
import { assert } from './assert.ts'

/** Of who is in no set. */
export const NO_SLOT = -1

export interface Slotted {
  /** Only the set changes it. */
  slot: number
}

export class Slots<T extends Slotted> implements Iterable<T> {
  private readonly members: (T | undefined)[] = []
  private readonly free: number[] = []
  size = 0

  /** Slots that were ever taken, from 0 on. */
  get slotCount(): number {
    return this.members.length
  }

  at(slot: number): T | undefined {
    return this.members[slot]
  }

  /** `member` must be in no set. */
  add(member: T): void {
    assert(member.slot === NO_SLOT, 'whoever is added is in no set')
    const slot = this.free.pop() ?? this.members.length
    member.slot = slot
    if (slot === this.members.length) this.members.push(member)
    else this.members[slot] = member
    this.size++
  }

  /** False when it is in no set. */
  remove(member: T): boolean {
    const { slot } = member
    if (slot === NO_SLOT) return false
    assert(this.members[slot] === member, 'whoever is removed is in this set')
    this.members[slot] = undefined
    member.slot = NO_SLOT
    this.free.push(slot)
    this.size--
    return true
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let slot = 0; slot < this.members.length; slot++) {
      const member = this.members[slot]
      if (member !== undefined) yield member
    }
  }
}
