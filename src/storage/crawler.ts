/**
 * What drops expired and flushed items where nobody asks for them: one worker's share of looking through the
 * segments, a little at each tick, and through one at once where a write finds no room.
 *
 * Invariant: a sealed segment that is being looked through is CRAWLED, so that nobody else frees or empties
 * it; at most one is, for each worker. No stripe is held when anything here is called.
 */
import {
  EPOCH_WORD,
  OPENS_MAX,
  SEALED_SEGMENT,
  SEGMENT_EPOCH,
  SEGMENT_EXPIRES_FROM,
  SEGMENT_FIRST,
  SEGMENT_STATE,
  SEGMENT_USED,
  WORKER_CRAWL,
  WORKER_CRAWL_OFFSET,
} from './control-block.ts'
import { CRAWLER_CHECKED, CRAWLER_RECLAIMED } from './counters.ts'
import { expiryAt, isDead, recordBytesAt, TRAITS_WORD } from './item.ts'
import type { Log } from './log.ts'
import type { MemoryView } from './memory-view.ts'
import { EXPIRES_NEVER, type SegmentPool } from './pool.ts'

/** With -M: segments looked at for one with expired or flushed items, before a write is refused. */
const DUE_SEGMENTS_LOOKED_AT = 4096
/** Dropping an item costs as much as looking at so many records. */
const CRAWL_LOOKS = 16
/** Segments that one maintain() looks at while it searches for one worth crawling. */
const CRAWL_SEARCH_SEGMENTS = 256

/** Drops an item under its lock, if it is still there and dead. */
export interface Dropper {
  dropDead(location: number, nowSeconds: number): boolean
}

export class Crawler {
  private readonly view: MemoryView
  private readonly pool: SegmentPool
  private readonly log: Log
  private readonly control: Int32Array
  private readonly counters: Float64Array
  private readonly worker: number
  private readonly dropper: Dropper
  private cursor = 0
  /** Of the record met last, in records looked at. */
  private cost = 0

  /** `workerWord`: where the record of the worker begins. */
  constructor(
    view: MemoryView,
    pool: SegmentPool,
    log: Log,
    counters: Float64Array,
    workerWord: number,
    dropper: Dropper,
  ) {
    this.view = view
    this.pool = pool
    this.log = log
    this.control = view.control
    this.counters = counters
    this.worker = workerWord
    this.dropper = dropper
  }

  /**
   * Looks for segments with expired or flushed items and drops those: about `budget` items, after
   * looking at no more than CRAWL_LOOKS times as many records.
   */
  crawl(budget: number, nowSeconds: number): void {
    const control = this.control
    const worker = this.worker
    // The open segment is begun anew each time, so it may not take all.
    const half = (budget * CRAWL_LOOKS) / 2
    let left = half
    for (let group = 0; group < OPENS_MAX; group++) left = this.crawlOpen(group, left, nowSeconds)
    left += half
    let searchLeft = CRAWL_SEARCH_SEGMENTS
    while (left > 0) {
      const segment = control[worker + WORKER_CRAWL]! - 1
      if (segment < 0) {
        searchLeft = this.findCrawl(searchLeft, nowSeconds)
        if (searchLeft === 0) return
        continue
      }
      const offset = control[worker + WORKER_CRAWL_OFFSET]!
      if (offset >= control[this.view.segmentRecord(segment) + SEGMENT_USED]!) {
        control[worker + WORKER_CRAWL] = 0
        this.pool.endCrawl(segment)
        continue
      }
      const next = this.crawlRecord(segment, offset, nowSeconds)
      control[worker + WORKER_CRAWL_OFFSET] = next
      left -= this.cost
    }
  }

  /** The open segment is crawled in one go: it cannot be sealed in the middle of that. */
  private crawlOpen(group: number, budget: number, nowSeconds: number): number {
    const control = this.control
    const open = this.log.openOf(group)
    if (open < 0 || budget <= 0) return budget
    const record = this.view.segmentRecord(open)
    if (control[record + SEGMENT_EXPIRES_FROM]! >>> 0 > nowSeconds) return budget
    Atomics.store(control, record + SEGMENT_EXPIRES_FROM, EXPIRES_NEVER)
    let left = budget
    let offset = control[record + SEGMENT_FIRST]!
    const end = this.log.openOffset(group)
    while (offset < end) {
      if (left <= 0) {
        // What was not met may have expired long ago.
        this.pool.lowerExpiresFrom(open, 0)
        return 0
      }
      offset = this.crawlRecord(open, offset, nowSeconds)
      left -= this.cost
    }
    return left
  }

  /** Looks at up to `searchLeft` segments for one to crawl; returns how many are left to look at. */
  private findCrawl(searchLeft: number, nowSeconds: number): number {
    const control = this.control
    const end = this.pool.holdings.ownedCount
    const epoch = Atomics.load(control, EPOCH_WORD)
    let left = Math.min(searchLeft, end)
    while (left > 0) {
      left--
      const place = this.cursor < end ? this.cursor : 0
      this.cursor = place + 1
      const segment = this.pool.holdings.ownedAt(place)
      const record = this.view.segmentRecord(segment)
      if (control[record + SEGMENT_STATE] !== SEALED_SEGMENT) continue
      const due =
        control[record + SEGMENT_EXPIRES_FROM]! >>> 0 <= nowSeconds ||
        control[record + SEGMENT_EPOCH] !== epoch
      if (due && this.pool.beginCrawl(segment)) {
        // From here on every item that is met, and every touch, lowers it again.
        Atomics.store(control, record + SEGMENT_EXPIRES_FROM, EXPIRES_NEVER)
        control[this.worker + WORKER_CRAWL] = segment + 1
        control[this.worker + WORKER_CRAWL_OFFSET] = control[record + SEGMENT_FIRST]!
        // Never 0 here, which would mean that the search has ended.
        return left + 1
      }
    }
    return 0
  }

  /** Drops the record if it is dead; sets cost and returns the offset of the next one. */
  private crawlRecord(segment: number, offset: number, nowSeconds: number): number {
    const view = this.view
    const words = view.segmentArena(segment)
    const base = view.segmentBase(segment) + (offset >>> 2)
    const traits = words[base + TRAITS_WORD]!
    const recordBytes = recordBytesAt(words, base, view.unitShift)
    const counters = this.counters
    counters[CRAWLER_CHECKED] = counters[CRAWLER_CHECKED]! + 1
    this.cost = 1
    if (!isDead(traits)) {
      // Read without a lock: a touch that comes later lowers SEGMENT_EXPIRES_FROM itself.
      const expiry = expiryAt(words, base)
      const record = view.segmentRecord(segment)
      if (
        (expiry !== 0 && expiry <= nowSeconds) ||
        this.control[record + SEGMENT_EPOCH] !== Atomics.load(this.control, EPOCH_WORD)
      ) {
        // The segments of a large item are given back one by one.
        this.cost = Math.max(CRAWL_LOOKS, recordBytes >>> view.segmentShift)
        const isDropped = this.dropper.dropDead(view.locationOf(segment, offset), nowSeconds)
        if (isDropped) counters[CRAWLER_RECLAIMED] = counters[CRAWLER_RECLAIMED]! + 1
        // Still there: a touch came first, or lowered its expiry in between.
        else this.pool.lowerExpiresFrom(segment, nowSeconds + 1)
      } else if (expiry !== 0) {
        this.pool.lowerExpiresFrom(segment, expiry)
      }
    }
    const next = offset + recordBytes
    return Math.min(next, view.segmentBytes)
  }

  /** Drops all that is dead in one segment in which something may be; false if there is none. */
  dropDue(nowSeconds: number): boolean {
    const { control, worker } = this
    if (control[worker + WORKER_CRAWL] === 0) this.findCrawl(DUE_SEGMENTS_LOOKED_AT, nowSeconds)
    const segment = control[worker + WORKER_CRAWL]! - 1
    if (segment < 0) return false
    const used = control[this.view.segmentRecord(segment) + SEGMENT_USED]!
    let offset = control[worker + WORKER_CRAWL_OFFSET]!
    while (offset < used) offset = this.crawlRecord(segment, offset, nowSeconds)
    control[worker + WORKER_CRAWL] = 0
    this.pool.endCrawl(segment)
    return true
  }
}
