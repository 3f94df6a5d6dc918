/**
 * `items:1:age` of `stats items`: for how long the item that was not used for longest was not. The
 * store keeps no list by last use, so a bounded part of the index is looked at: all of it where there
 * are few items, a fair sample where there are more, because keys are spread by their hash.
 */
import type { ItemVisitor, Store } from '../../storage/store.ts'

const ITEMS_MIN = 2048
const BUCKETS_PER_STEP = 64
/** Also of an index that has become empty. */
const STEPS_MAX = 1024

class OldestUse implements ItemVisitor {
  seconds = Number.POSITIVE_INFINITY
  itemCount = 0

  visitItem(store: Store): void {
    this.itemCount++
    if (store.lastAccess < this.seconds) this.seconds = store.lastAccess
  }
}

export function secondsSinceOldestUse(store: Store, nowSeconds: number): number {
  const oldest = new OldestUse()
  let cursor = 0
  for (let step = 0; step < STEPS_MAX && cursor >= 0 && oldest.itemCount < ITEMS_MIN; step++) {
    cursor = store.scan(cursor, BUCKETS_PER_STEP, nowSeconds, oldest)
  }
  return oldest.seconds > nowSeconds ? 0 : nowSeconds - oldest.seconds
}
