/**
 * `items:1:age` of `stats items`: for how long the item that was not used for longest was not. The
 * store keeps no list by last use, so a bounded part of the index is looked at: all of it where there
 * are some thousand items, a fair sample where there are more, because keys are spread by their hash.
 */
import type { ItemVisitor, Store } from '../storage/store.ts'

const BUCKETS_MAX = 512

class OldestUse implements ItemVisitor {
  seconds = Number.POSITIVE_INFINITY

  visitItem(store: Store): void {
    if (store.lastAccess < this.seconds) this.seconds = store.lastAccess
  }
}

export function secondsSinceOldestUse(store: Store, nowSeconds: number): number {
  const oldest = new OldestUse()
  store.scan(0, BUCKETS_MAX, nowSeconds, oldest)
  return oldest.seconds > nowSeconds ? 0 : nowSeconds - oldest.seconds
}
