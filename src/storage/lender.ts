/**
 * What a store asks of the others over the same memory, and they of it, while there are others. The store knows them by
 * this alone; lending.ts is what carries it out between the namespaces of a worker.
 */
import type { SegmentPool } from './pool.ts'

export interface Lender {
  /**
   * Has another store work for the segments that are missing of what is guaranteed here, as much as a
   * write would here; false if nobody has them.
   */
  takeBack(missing: number, budgetBytes: number, nowSeconds: number): boolean
  /**
   * The same for a write that needs them now, and all of what it takes: true if it has got some, of what
   * nobody uses or of what is guaranteed here, or if another worker was quicker to take what was given
   * back, so that it is worth asking again.
   */
  lend(missing: number, nowSeconds: number): boolean
  /** The store is no more, or has nobody left to ask. */
  leave(): void
}

/** What a store does when it holds more than is guaranteed to it, and the owner wants it. */
export interface Borrower {
  /** Gives up what is asked for, for so many bytes of victims' work. */
  giveBack(budgetBytes: number, nowSeconds: number): void
  /** The same, until all of it is given up; false if that cannot be. */
  giveBackAll(nowSeconds: number): boolean
}

/** The stores of one worker over the same memory. */
export interface Lenders {
  join(pool: SegmentPool, store: Borrower): Lender
}
