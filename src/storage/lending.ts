/**
 * How the namespaces of one worker lend each other memory: a Lender (lender.ts) for each of its stores, and a ring of
 * all of them. What one does not use anybody may claim (pool.ts); here is what happens when an owner
 * needs what is guaranteed to it and finds it lent: it has the namespace evict that has most beyond its
 * guarantee.
 *
 * Invariant: no namespace is made to give up what is guaranteed to it. No stripe is held when anything here is
 * called, and of two stores at most one is at work: that of the lender waits.
 */
import type { Borrower, Lender, Lenders } from './lender.ts'
import type { SegmentPool } from './pool.ts'

/** The stores of one worker. */
export class LendingRing implements Lenders {
  readonly members: Lending[] = []

  join(pool: SegmentPool, store: Borrower): Lender {
    const lending = new Lending(this, pool, store)
    this.members.push(lending)
    return lending
  }
}

class Lending implements Lender {
  private readonly ring: LendingRing
  private readonly pool: SegmentPool
  private readonly store: Borrower

  constructor(ring: LendingRing, pool: SegmentPool, store: Borrower) {
    this.ring = ring
    this.pool = pool
    this.store = store
  }

  leave(): void {
    const { members } = this.ring
    members.splice(members.indexOf(this), 1)
  }

  takeBack(missing: number, budgetBytes: number, nowSeconds: number): boolean {
    this.pool.holdings.demand(missing)
    const borrower = this.findBorrower()
    if (borrower === undefined) return false
    borrower.store.giveBack(budgetBytes, nowSeconds)
    this.pool.holdings.claim(missing)
    return true
  }

  lend(missing: number, nowSeconds: number): boolean {
    const { pool } = this
    if (pool.holdings.claim(missing) > 0) return true
    if (pool.holdings.borrowedCount >= 0) return false
    pool.holdings.demand(missing)
    const borrower = this.findBorrower()
    const isGivenBack = borrower?.store.giveBackAll(nowSeconds) === true
    return pool.holdings.claim(missing) > 0 || isGivenBack
  }

  /** The member that holds most beyond its guarantee; undefined if none does. */
  private findBorrower(): Lending | undefined {
    let found: Lending | undefined
    let most = 0
    for (const member of this.ring.members) {
      const count = member.pool.holdings.borrowedCount
      if (count > most) {
        most = count
        found = member
      }
    }
    return found
  }
}
