/**
 * Finds what was worth keeping once and is not any more: a rank of the main queue whose oldest segments are
 * not read, although by their age they should have been. Without it a working set that is over keeps its
 * memory for as long as it earned when it was asked for.
 *
 *      rank 9   | s | s | s | s | s |         share of its time that each has had (victim-choice.ts):  0.9  0.7  0.5 ...
 *                 ^-- sampled from here on     records seen, all unread:                                3    3    1
 *                                              reads expected, one in the time of each:                 2.7 + 2.1 + ...
 *
 * An item is in a rank because one read is expected of it in the time that the rank has. So records of which
 * READS_EXPECTED reads should have come, and none did, are stale: by chance that happens once in fifty.
 * One rank is looked at for each victim, and a first record that was read ends it.
 *
 * Invariants: a segment is sampled while it is CRAWLED, so that nobody empties it meanwhile; it is sealed
 * again before anything else is done. No lock is held from one record to the next.
 */
import { SEGMENT_FIRST, SEGMENT_USED } from './control-block.ts'
import { isDead, recordBytesAt, TRAITS_WORD } from './item.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'

/** e^-4 is 0.02. */
const READS_EXPECTED = 4
/**
 * What has had no tenth of its time is not judged: reads come in bursts, and of items that are read as often, small ones, of
 * which there are many to look at, would go before large ones.
 */
const SHARE_MIN = 0.1
/** What one search looks at, at most. */
const RECORDS_MAX = 64
const SEGMENTS_MAX = 8

/** Tells whether an item was read since it came to where it lies. */
export interface ReadLookup {
  wasRead(location: number): boolean
}

/** What sampling one segment came to. */
const UNREAD = 0
const READ = 1
const ENOUGH = 2

export class StaleSearch {
  private readonly view: MemoryView
  private readonly pool: SegmentPool
  private readonly reads: ReadLookup
  private readonly segments: Int32Array = new Int32Array(SEGMENTS_MAX)
  /** The one looked at last. */
  private group = 0
  private expected = 0
  private recordsLeft = 0

  constructor(view: MemoryView, pool: SegmentPool, reads: ReadLookup) {
    this.view = view
    this.pool = pool
    this.reads = reads
  }

  /**
   * Takes the oldest segment of the next rank out of its list, if the rank is stale; else -1. What was not
   * sealed before `sealedBefore`, and some time before it, is not taken.
   */
  take(sealedBefore: number): number {
    const { pool, segments } = this
    this.group = pool.oldestOfNext(this.group, segments)
    this.expected = 0
    this.recordsLeft = RECORDS_MAX
    for (let place = 0; place < SEGMENTS_MAX && segments[place]! >= 0; place++) {
      const sampled = this.sample(segments[place]!)
      if (sampled === READ) return -1
      if (sampled === ENOUGH) return pool.takeOld(segments[0]!, sealedBefore)
    }
    return -1
  }

  private sample(segment: number): number {
    const { pool } = this
    if (!pool.beginCrawl(segment)) return UNREAD
    const share = pool.shareOfTime(segment)
    const sampled = share > SHARE_MIN ? this.sampleRecords(segment, share) : READ
    pool.endCrawl(segment)
    return sampled
  }

  /** `share`: of the time that the segment has, how much is over. */
  private sampleRecords(segment: number, share: number): number {
    const { view } = this
    const record = view.segmentRecord(segment)
    const end = view.control[record + SEGMENT_USED]!
    const words = view.segmentArena(segment)
    let offset = view.control[record + SEGMENT_FIRST]!
    while (offset < end) {
      const base = view.segmentBase(segment) + (offset >>> 2)
      if (!isDead(words[base + TRAITS_WORD]!)) {
        if (this.recordsLeft === 0 || this.reads.wasRead(view.locationOf(segment, offset))) {
          return READ
        }
        this.recordsLeft--
        this.expected += share
        if (this.expected >= READS_EXPECTED) return ENOUGH
      }
      offset += recordBytesAt(words, base, view.unitShift)
    }
    return UNREAD
  }
}
