/**
 * Flushes: one word that makes all items dead, and one for the second at which that is due. Hot path:
 * every operation looks whether it is.
 *
 * Invariant: the epoch only rises, and of those who find a delayed flush due only the first raises
 * it, so that items stored after that instant live.
 */

import { acquire, release } from '../base/lock.ts'
import { EPOCH_WORD, FLUSH_AT_WORD, POOL_LOCK_WORD } from './control-block.ts'
import type { StoreMemory } from './geometry.ts'

/**
 * Makes all items stored so far dead, now (atSeconds 0) or at the second `atSeconds`: then it is
 * those stored before that instant. A later call replaces a delayed flush that is pending.
 */
export function flush(control: Int32Array, atSeconds: number, nowSeconds: number): void {
  acquire(control, POOL_LOCK_WORD)
  // One that is due has taken place, whether anybody has looked since or not.
  flushIfDue(control, nowSeconds)
  if (atSeconds === 0 || atSeconds <= nowSeconds) {
    Atomics.store(control, FLUSH_AT_WORD, 0)
    Atomics.add(control, EPOCH_WORD, 1)
  } else {
    Atomics.store(control, FLUSH_AT_WORD, atSeconds | 0)
  }
  release(control, POOL_LOCK_WORD)
}

/** The second of the delayed flush that is pending, 0 for none. */
export function flushPendingOf({ control }: Pick<StoreMemory, 'control'>): number {
  return Atomics.load(new Int32Array(control), FLUSH_AT_WORD) >>> 0
}

/** Carries out a delayed flush that is due. */
export function flushDue(control: Int32Array, nowSeconds: number): void {
  acquire(control, POOL_LOCK_WORD)
  flushIfDue(control, nowSeconds)
  release(control, POOL_LOCK_WORD)
}

/** While the pool's lock is held. */
function flushIfDue(control: Int32Array, nowSeconds: number): void {
  const flushAt = control[FLUSH_AT_WORD]! >>> 0
  if (flushAt !== 0 && flushAt <= nowSeconds) {
    Atomics.add(control, EPOCH_WORD, 1)
    Atomics.store(control, FLUSH_AT_WORD, 0)
  }
}
