/**
 * `stats sizes`: how many items there are of each size, in steps of 32 bytes. Nothing is counted on
 * the way in or out; who asks has the items looked through, a few buckets at a time. Whether that is
 * done is one word that all workers share (`stats sizes_enable`, `-o track_sizes`).
 *
 * Differs from memcached: all items are in it, not only those stored since it was enabled.
 */
import { SIZES_WORD } from '../../observe/watch-memory.ts'
import type { ItemVisitor, Store } from '../../storage/store.ts'
import type { RowSource, StatRows } from './rows.ts'

const STEP_BYTES = 32
const BUCKETS_PER_STEP = 16
const ROWS_PER_STEP = 64

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

  count(): RowSource {
    return new SizeCount(this.store)
  }
}

/**
 * One count under way: first all items are counted, then come the rows. There are few: items of n
 * sizes take 16 n^2 bytes, so the sorting, which is one step, takes a millisecond with 4 GiB of them.
 */
class SizeCount implements RowSource, ItemVisitor {
  private readonly store: Store
  private readonly counts: Map<number, number> = new Map()
  private cursor = 0
  /** All sizes in order, once all items are counted. */
  private sizes: Float64Array | undefined = undefined
  private rowsDone = 0

  constructor(store: Store) {
    this.store = store
  }

  next(nowSeconds: number): StatRows | undefined {
    if (this.sizes !== undefined) return this.rows(this.sizes)
    this.cursor = this.store.scan(this.cursor, BUCKETS_PER_STEP, nowSeconds, this)
    if (this.cursor < 0) this.sizes = Float64Array.from(this.counts.keys()).sort()
    return []
  }

  visitItem(store: Store): void {
    const size = Math.ceil(store.itemBytes / STEP_BYTES) * STEP_BYTES
    this.counts.set(size, (this.counts.get(size) ?? 0) + 1)
  }

  private rows(sizes: Float64Array): StatRows | undefined {
    if (this.rowsDone === sizes.length) return undefined
    const shown = sizes.subarray(this.rowsDone, this.rowsDone + ROWS_PER_STEP)
    this.rowsDone += shown.length
    return Array.from(shown, (size) => [String(size), String(this.counts.get(size))] as const)
  }
}
