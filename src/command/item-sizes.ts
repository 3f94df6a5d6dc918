/**
 * `stats sizes`: how many items there are of each size, in steps of 32 bytes. Nothing is counted on
 * the way in or out; who asks has the items looked through, a few buckets at a time. Whether that is
 * answered is one word that all workers share (`stats sizes_enable`, `-o track_sizes`).
 *
 * Differs from memcached: all items are in it, not only those stored since it was enabled.
 */
import { SIZES_WORD } from '../observe/watch-memory.ts'
import type { ItemVisitor, Store } from '../storage/store.ts'
import type { StatRows } from './stats.ts'

const STEP_BYTES = 32
const BUCKETS_PER_STEP = 64

export class ItemSizes {
  private readonly store: Store
  private readonly observed: Int32Array
  private readonly casEnabled: boolean

  /** `observed`: the control words of the watch memory. */
  constructor(store: Store, observed: Int32Array, casEnabled: boolean) {
    this.store = store
    this.observed = observed
    this.casEnabled = casEnabled
  }

  get isEnabled(): boolean {
    return Atomics.load(this.observed, SIZES_WORD) !== 0
  }

  /** Answers with the rows of `stats sizes_enable`; memcached needs CAS for it. */
  enable(): StatRows {
    if (!this.casEnabled) {
      return [
        ['sizes_status', 'error'],
        ['sizes_error', 'cas_support_disabled'],
      ]
    }
    Atomics.store(this.observed, SIZES_WORD, 1)
    return this.status()
  }

  disable(): StatRows {
    Atomics.store(this.observed, SIZES_WORD, 0)
    return this.status()
  }

  status(): StatRows {
    return [['sizes_status', this.isEnabled ? 'enabled' : 'disabled']]
  }

  count(): SizeCount {
    return new SizeCount(this.store)
  }
}

/** One count under way. */
export class SizeCount implements ItemVisitor {
  private readonly store: Store
  private readonly counts: Map<number, number> = new Map()
  private cursor = 0

  constructor(store: Store) {
    this.store = store
  }

  /** Counts some more; true when all is counted. */
  next(nowSeconds: number): boolean {
    if (this.cursor >= 0) {
      this.cursor = this.store.scan(this.cursor, BUCKETS_PER_STEP, nowSeconds, this)
    }
    return this.cursor < 0
  }

  visitItem(store: Store): void {
    const size = Math.ceil(store.itemBytes / STEP_BYTES) * STEP_BYTES
    this.counts.set(size, (this.counts.get(size) ?? 0) + 1)
  }

  rows(): StatRows {
    return [...this.counts]
      .sort(([a], [b]) => a - b)
      .map(([size, count]) => [String(size), String(count)] as const)
  }
}
