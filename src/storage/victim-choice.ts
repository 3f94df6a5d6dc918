/**
 * Which segment one worker empties next. The first of these that there is:
 *
 *     1. one in which everything has expired;
 *     2. while many segments have holes (bytes of dead records), the emptiest of a sample;
 *     3. one whose items are not read any more, though their rank lets them stay long (stale-search.ts);
 *     4. the one that is due first: of the small queue while that is larger than its share, else of the main queue.
 *
 * With -M nothing is evicted, and it is the emptiest of a larger sample.
 *
 * Invariant: a segment that was chosen is in no list, so that no other worker gets it. A choice looks at a bounded number
 * of segments.
 */
import {
  MAIN_QUEUE,
  SEALED_COUNT_WORD,
  SMALL_COUNT_WORD,
  SMALL_QUEUE,
  WORTHY_WORD,
} from './control-block.ts'
import { BYTES, counterLanes } from './counters.ts'
import type { StoreMemory } from './geometry.ts'
import type { Log } from './log.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'
import { type ReadLookup, StaleSearch } from './stale-search.ts'

/**
 * Before anything is evicted, segments are compacted that are live to this share at most: moving six
 * bytes to gain one costs less than the misses that the holes would.
 */
const COMPACTED_LIVE_MAX = 0.85
/** Segments among which the emptiest is taken, at most; with -M, where a write looks at all before it is refused. */
const COMPACT_LOOKS = 256
const COMPACT_LOOKS_NO_EVICTION = 4096
/**
 * How often that is done at most while the log as a whole is live to no more than that share: the
 * segments looked at may have been full, or another worker faster, and there are holes elsewhere.
 */
const COMPACT_ROUNDS = 16

/** The share of the sealed segments that the small queue may have, where sizes count, and in S3-FIFO. */
const SMALL_SHARE_RANKED = 0.05
const SMALL_SHARE = 0.1

/**
 * When so many more of the last 16 or so searches have found something stale than is usual (of the last 2048), another
 * working set is asked for, until it is nearly as usual. So long each segment found makes the small queue one segment
 * larger, so that what is new stays until it is read again; by at most a sixth of the log, and for about as long as
 * it takes to seal as much as there is.
 */
const SHIFT_BEGINS = 0.2
const SHIFT_ENDS = 0.1
const STALE_WEIGHT: number = 1 / 16
const USUAL_WEIGHT: number = 1 / 2048
const SMALL_EXTRA_MAX: number = 1 / 6

/** Why a segment is the victim. */
export const FROM_EXPIRED = 0
export const FROM_EMPTIEST = 1
export const FROM_DUE = 2

export class VictimChoice {
  /** Why the one that was taken last is the victim. */
  source: number = FROM_DUE

  private readonly pool: SegmentPool
  private readonly log: Log
  private readonly control: Int32Array
  private readonly evicts: boolean
  private readonly smallShare: number
  private readonly compactedBytesMax: number
  private readonly allCounters: readonly Float64Array[]
  /** Where the search for a segment to compact goes on. */
  private cursor = 0
  /**
   * With -M: how many segments had come to be worth compacting when none was found, so that it is not
   * asked again; and how many were looked at in vain since there were so many.
   */
  private worthySeen = -1
  private worthyLooked = -1
  private fruitlessLooks = 0
  private readonly stale: StaleSearch | undefined
  /** How often something stale was found lately: 0 to 1. */
  private staleShare = 0
  private usualShare = 0
  /** Another working set seems to be asked for. */
  private isShifting = false
  /** Segments that the small queue may have beside its share. */
  private smallExtra = 0

  constructor(
    memory: StoreMemory,
    view: MemoryView,
    pool: SegmentPool,
    log: Log,
    reads: ReadLookup,
  ) {
    const { geometry } = memory
    if (geometry.evicts && geometry.ranksBySize) this.stale = new StaleSearch(view, pool, reads)
    this.pool = pool
    this.log = log
    this.control = view.control
    this.evicts = geometry.evicts
    this.smallShare = geometry.ranksBySize ? SMALL_SHARE_RANKED : SMALL_SHARE
    this.compactedBytesMax = Math.floor(geometry.segmentBytes * COMPACTED_LIVE_MAX)
    this.allCounters = Array.from({ length: geometry.workerCount }, (_, worker) =>
      counterLanes(memory, worker),
    )
  }

  /**
   * Takes a segment out of its list, to be emptied; -1 if there is none. `source` then says which it is.
   * What was not sealed before `sealedBefore` has no holes that are worth it: to move it again gains nothing,
   * and may go on for ever, as a hole wanders along items that span. `sparesNew`: nor is it evicted.
   */
  take(nowSeconds: number, sealedBefore: number, sparesNew: boolean): number {
    const { control, pool } = this
    if (!this.evicts) {
      this.source = FROM_EMPTIEST
      return this.takeWorthy()
    }
    // What is alive in there was prolonged: in its other segments, or after the choice.
    this.source = FROM_EXPIRED
    const expired = pool.takeExpired(nowSeconds)
    if (expired >= 0) return expired
    this.source = FROM_EMPTIEST
    const emptiest = this.takeEmptiest(sealedBefore)
    if (emptiest >= 0) return emptiest
    this.source = FROM_DUE
    this.log.sealAged()
    const stale = this.takeStale(sealedBefore)
    if (stale >= 0) return stale
    const small = control[SMALL_COUNT_WORD]!
    const isSmallDue = small > control[SEALED_COUNT_WORD]! * this.smallShare + this.smallExtra
    return pool.takeNext(isSmallDue ? SMALL_QUEUE : MAIN_QUEUE, sealedBefore, sparesNew)
  }

  /** Takes a segment of what is not read any more, though it has long to stay; -1 if none was found. */
  private takeStale(sealedBefore: number): number {
    if (this.stale === undefined) return -1
    const victim = this.stale.take(sealedBefore)
    const sealed = this.control[SEALED_COUNT_WORD]!
    const found = victim < 0 ? 0 : 1
    this.staleShare += (found - this.staleShare) * STALE_WEIGHT
    this.usualShare += (found - this.usualShare) * USUAL_WEIGHT
    if (this.staleShare > SHIFT_BEGINS + 2 * this.usualShare) this.isShifting = true
    else if (this.staleShare < SHIFT_ENDS + this.usualShare) this.isShifting = false
    if (victim < 0) this.smallExtra *= 1 - 1 / (sealed + 1)
    else if (this.isShifting) {
      this.smallExtra = Math.min(this.smallExtra + 1, sealed * SMALL_EXTRA_MAX)
    }
    return victim
  }

  /** Takes a segment that is worth compacting; -1 if none was found. */
  private takeEmptiest(sealedBefore: number): number {
    let victim = this.takeEmptiestOfNext(sealedBefore)
    for (let round = 1; victim < 0 && round < COMPACT_ROUNDS && this.hasHoles(); round++) {
      victim = this.takeEmptiestOfNext(sealedBefore)
    }
    return victim
  }

  /** Whether so much of the sealed log is dead that nothing alive need go. */
  private hasHoles(): boolean {
    let live = 0
    for (const counters of this.allCounters) live += counters[BYTES]!
    return live < this.control[SEALED_COUNT_WORD]! * this.compactedBytesMax
  }

  /** Takes the emptiest of the next few segments; -1 if none is worth it. */
  private takeEmptiestOfNext(sealedBefore: number): number {
    const { ownedCount } = this.pool.holdings
    if (ownedCount === 0) return -1
    const count = Math.min(ownedCount, COMPACT_LOOKS)
    const { compactedBytesMax } = this
    const victim = this.pool.takeEmptiest(this.cursor, count, compactedBytesMax, sealedBefore)
    this.cursor = (this.cursor + count) % ownedCount
    return victim
  }

  /** With -M: takes the emptiest of the next many segments, and only then none if there is none at all. */
  private takeWorthy(): number {
    const { control, pool } = this
    for (;;) {
      const worthy = Atomics.load(control, WORTHY_WORD)
      if (worthy === this.worthySeen) return -1
      if (worthy !== this.worthyLooked) {
        this.worthyLooked = worthy
        this.fruitlessLooks = 0
      }
      const { ownedCount } = pool.holdings
      if (ownedCount === 0) return -1
      const count = Math.min(ownedCount, COMPACT_LOOKS_NO_EVICTION)
      const { sealedEver, worthyLiveMax } = pool
      const victim = pool.takeEmptiest(this.cursor, count, worthyLiveMax, sealedEver)
      this.cursor = (this.cursor + count) % ownedCount
      if (victim >= 0) {
        this.fruitlessLooks = 0
        return victim
      }
      this.fruitlessLooks += count
      if (this.fruitlessLooks >= ownedCount) this.worthySeen = worthy
    }
  }
}
