/**
 * Hot path. Decides about one record of the segment that a worker is emptying (the victim), and carries the decision
 * out. Which segment that is, and which of its records comes next, is left to the reclaimer.
 *
 *     expired or flushed                              dropped
 *     the victim was due, and the record was read     moved to the main queue, to the rank that its reads have earned
 *     since it was last looked at                     (with S3-FIFO it pays one read); too large to move, it stays
 *     the victim was due, and it was not              evicted, and the ghost table remembers its key
 *     the victim was taken for the room in its holes  moved, whether it was read or not
 *
 * Invariants: a record is dropped or moved only under the stripe lock of its key, and only if a slot of the index
 * still refers to it. Keeping a record costs credit (WORKER_KEEP_CREDIT), of which each victim brings some. A large
 * item that stays pays one read of its frequency, once a round, where it begins, and a search for room leaves only
 * `staysLeft` of them.
 */
import { HalfSipHash } from '../base/hash.ts'
import { acquire, release } from '../base/lock.ts'
import { clearFrequencyAt, frequencyAt, lowerFrequencyAt } from './bucket.ts'
import {
  EPOCH_WORD,
  MOVED_GROUP,
  OPENS_MAX,
  SEGMENT_EPOCH,
  SEGMENT_FIRST,
  SEGMENT_HEAD_ITEM,
  SEGMENT_SEQUENCE,
  SMALL_QUEUE,
  STRIPE_COUNT,
  STRIPE_WORDS,
  WORKER_KEEP_CREDIT,
  WORKER_WORDS,
} from './control-block.ts'
import {
  BYTES,
  counterLanes,
  EVICTED_ACTIVE,
  EVICTED_UNFETCHED,
  EVICTIONS,
  EXPIRED_UNFETCHED,
  ITEMS,
  PROMOTED,
  RECLAIMED,
  REINSERTED,
} from './counters.ts'
import type { Dropper } from './crawler.ts'
import { type EvictionObserver, tellEviction } from './eviction-observer.ts'
import type { StoreMemory } from './geometry.ts'
import type { GhostTable } from './ghost.ts'
import { type Groups, queueOf } from './group.ts'
import type { HashIndex } from './hash-index.ts'
import {
  expiryAt,
  headerBytesOf,
  headerWordsOf,
  keyLengthOf,
  recordBytesAt,
  STATE_FETCHED,
  STATE_SPANS,
  spans,
  TRAITS_WORD,
  valueLengthAt,
} from './item.ts'
import type { Log } from './log.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'
import { retire } from './retire.ts'
import type { ReadLookup } from './stale-search.ts'

/**
 * Larger items are not moved: that would take longer than a write may. With -M it is those that have
 * segments of their own (ownSegmentsBytesMin), of which only the last one has room for others.
 */
const MOVED_BYTES_MAX = 1024 * 1024

/** What meet() does with a record that is alive: nothing; evict it, or keep it if it was read; move it. */
export const LEAVE = 0
export const EVICT = 1
export const MOVE = 2

/** How that ended: nothing lies there any more; it had to leave and could not; it stays for another round. */
export const GONE = 0
export const STUCK = 1
export const STAYS = 2

export class RecordFate implements Dropper, ReadLookup {
  /** Told of every item that is evicted. */
  observer: EvictionObserver | undefined = undefined
  /** The group of the segment that is being emptied. */
  victimGroup = 0
  /** Length of the last record that meet() was asked about, if it was moved or dropped; else 0. */
  metBytes = 0
  /** How many large items may still be left where they are in this step or search. */
  staysLeft = 0
  /** Longer records are not moved. */
  readonly movedBytesMax: number

  private readonly view: MemoryView
  private readonly pool: SegmentPool
  private readonly index: HashIndex
  private readonly log: Log
  private readonly groups: Groups
  private readonly ghost: GhostTable
  private readonly control: Int32Array
  private readonly counters: Float64Array
  private readonly hash: HalfSipHash
  private readonly worker: number
  private readonly evicts: boolean
  private readonly isRanked: boolean
  private readonly stripesWord: number

  constructor(
    memory: StoreMemory,
    view: MemoryView,
    pool: SegmentPool,
    index: HashIndex,
    log: Log,
    groups: Groups,
    ghost: GhostTable,
    workerIndex: number,
  ) {
    const { geometry } = memory
    this.view = view
    this.pool = pool
    this.index = index
    this.log = log
    this.groups = groups
    this.ghost = ghost
    this.control = view.control
    this.counters = counterLanes(memory, workerIndex)
    this.hash = new HalfSipHash(geometry.seed0, geometry.seed1)
    this.worker = geometry.workersWord + workerIndex * WORKER_WORDS
    this.evicts = geometry.evicts
    this.isRanked = geometry.ranksBySize
    this.movedBytesMax = geometry.evicts ? MOVED_BYTES_MAX : geometry.ownSegmentsBytesMin
    this.stripesWord = geometry.stripesWord
  }

  /** Drops a record that is expired or flushed; false if it is not there any more, or was prolonged. */
  dropDead(location: number, nowSeconds: number): boolean {
    return this.meet(location, LEAVE, nowSeconds) === GONE
  }

  /** Counts an item that leaves because it is dead already: expired, or flushed. */
  countDead(expired: boolean, traits: number, recordBytes: number): void {
    const counters = this.counters
    counters[ITEMS] = counters[ITEMS]! - 1
    counters[BYTES] = counters[BYTES]! - recordBytes
    if (expired && (traits & (STATE_FETCHED << 24)) === 0) {
      counters[EXPIRED_UNFETCHED] = counters[EXPIRED_UNFETCHED]! + 1
    }
  }

  /**
   * Drops the record at `location` if it is expired or flushed; else does as `fate` says (LEAVE, EVICT or MOVE).
   * Returns GONE, STUCK or STAYS. `headIndex`, if not 0, is the word of a segment that names the record as the one
   * that continues in there: while it does, the record is there, and what was read of it without the lock is true.
   */
  meet(location: number, fate: number, nowSeconds: number, headIndex: number = 0): number {
    const view = this.view
    const control = this.control
    const words = view.locationArena(location)
    const base = view.locationBase(location)
    // Layout and key length never change while the record is there, so one look will do.
    const shape = words[base + TRAITS_WORD]!
    const keyLength = keyLengthOf(shape)
    const low = this.hash.hashWords(words, base + headerWordsOf(shape), keyLength)
    if (headIndex !== 0 && Atomics.load(control, headIndex) !== location) return GONE
    const stripe = this.stripesWord + (low & (STRIPE_COUNT - 1)) * STRIPE_WORDS
    acquire(control, stripe)
    const slot = this.index.findLocation(low, location)
    this.metBytes = 0
    if (slot < 0 || (headIndex !== 0 && Atomics.load(control, headIndex) !== location)) {
      release(control, stripe)
      return GONE
    }
    const slotWords = this.index.slotWords
    const traits = words[base + TRAITS_WORD]!
    const recordBytes = recordBytesAt(words, base, view.unitShift)
    this.metBytes = recordBytes
    const expiry = expiryAt(words, base)
    const segment = view.locationSegment(location)
    const epoch = control[view.segmentRecord(segment) + SEGMENT_EPOCH]!
    const counters = this.counters
    const expired = expiry !== 0 && expiry <= nowSeconds
    if (expired || epoch !== Atomics.load(control, EPOCH_WORD)) {
      this.index.removeSlot(low, slotWords, slot)
      retire(view, this.pool, location)
      this.countDead(expired, traits, recordBytes)
      if (fate !== LEAVE) counters[RECLAIMED] = counters[RECLAIMED]! + 1
      release(control, stripe)
      return GONE
    }
    const frequency = frequencyAt(slotWords, slot)
    const credit = control[this.worker + WORKER_KEEP_CREDIT]!
    // How many bytes of the victim keeping it would cost: of a record over several segments, the part in there.
    const part =
      headIndex !== 0
        ? control[headIndex - SEGMENT_HEAD_ITEM + SEGMENT_FIRST]!
        : Math.min(recordBytes, view.segmentBytes - view.locationOffset(location))
    const isSmall = queueOf(this.victimGroup) === SMALL_QUEUE
    const wanted = fate === MOVE || (fate === EVICT && frequency > 0 && part <= credit)
    const group = this.groupFor(fate, recordBytes, frequency, expiry, nowSeconds)
    if (
      wanted &&
      recordBytes <= this.movedBytesMax &&
      (this.log.reserve(recordBytes, headerBytesOf(traits) + keyLength, 0, group) ||
        this.log.reserveAnywhere(recordBytes, OPENS_MAX))
    ) {
      const log = this.log
      // A flush that came after the check above shows in the epoch of the segment reserved.
      if (control[view.segmentRecord(log.segment) + SEGMENT_EPOCH] === epoch) {
        this.copyRecord(words, base, location, keyLength)
        slotWords[slot] = log.location
        if (fate === EVICT) {
          this.pay(slotWords, slot)
          if (isSmall) counters[PROMOTED] = counters[PROMOTED]! + 1
        }
        retire(view, this.pool, location)
        if (fate === EVICT) control[this.worker + WORKER_KEEP_CREDIT] = credit - part
        counters[REINSERTED] = counters[REINSERTED]! + 1
        release(control, stripe)
        log.commit(expiry)
        return GONE
      }
      log.abandon()
    }
    if (fate !== EVICT) {
      this.metBytes = 0
      release(control, stripe)
      return this.evicts || recordBytes <= this.movedBytesMax ? STUCK : STAYS
    }
    if (spans(traits) && this.maySpanStay(frequency, segment, headIndex, part <= credit)) {
      // Too large to move. Met at its beginning, it pays for another round; in its other segments
      // it just stays.
      if (headIndex === 0) {
        lowerFrequencyAt(slotWords, slot)
        control[this.worker + WORKER_KEEP_CREDIT] = credit - part
      }
      this.staysLeft--
      this.metBytes = 0
      release(control, stripe)
      return STAYS
    }
    this.evict(low, slotWords, slot, nowSeconds)
    this.ghost.remember(low, this.hash.more)
    release(control, stripe)
    return GONE
  }

  /** Whether a record is there that was read since it was last met. */
  wasRead(location: number): boolean {
    const { view, control } = this
    const words = view.locationArena(location)
    const base = view.locationBase(location)
    const shape = words[base + TRAITS_WORD]!
    const low = this.hash.hashWords(words, base + headerWordsOf(shape), keyLengthOf(shape))
    const stripe = this.stripesWord + (low & (STRIPE_COUNT - 1)) * STRIPE_WORDS
    acquire(control, stripe)
    const slot = this.index.findLocation(low, location)
    const wasRead = slot >= 0 && frequencyAt(this.index.slotWords, slot) > 0
    release(control, stripe)
    return wasRead
  }

  /** An item pays for another round with one of its reads, or with all where its new rank has counted them. */
  private pay(slotWords: Int32Array, slot: number): void {
    if (this.isRanked) clearFrequencyAt(slotWords, slot)
    else lowerFrequencyAt(slotWords, slot)
  }

  /** The group that a record of the victim is moved to. */
  private groupFor(
    fate: number,
    recordBytes: number,
    reads: number,
    expiry: number,
    nowSeconds: number,
  ): number {
    if (!this.evicts) return MOVED_GROUP
    const group = this.victimGroup
    return fate === MOVE
      ? this.groups.same(group, expiry, nowSeconds)
      : this.groups.kept(group, recordBytes, reads, expiry, nowSeconds)
  }

  /** Whether an item over several segments, which begins in `segment`, stays where it is for another round. */
  private maySpanStay(
    frequency: number,
    segment: number,
    headIndex: number,
    isPayable: boolean,
  ): boolean {
    if (this.staysLeft === 0) return false
    if (headIndex === 0) return frequency > 0 && isPayable
    if (frequency > 0) return true
    // Its beginning has been met in this round, and it has paid with what frequency it had.
    const { control, view } = this
    const begunAt = control[view.segmentRecord(segment) + SEGMENT_SEQUENCE]!
    const sealedAt = control[headIndex - SEGMENT_HEAD_ITEM + SEGMENT_SEQUENCE]!
    return ((begunAt - sealedAt) | 0) > 0
  }

  /** Evicts the item of a slot; the stripe is held. */
  evict(low: number, slotWords: Int32Array, slot: number, nowSeconds: number): void {
    const { counters, view } = this
    const location = slotWords[slot]!
    const traits = view.locationArena(location)[view.locationBase(location) + TRAITS_WORD]!
    const frequency = frequencyAt(slotWords, slot)
    if (this.observer !== undefined) tellEviction(this.observer, view, location, nowSeconds)
    this.index.removeSlot(low, slotWords, slot)
    const recordBytes = retire(view, this.pool, location)
    counters[ITEMS] = counters[ITEMS]! - 1
    counters[BYTES] = counters[BYTES]! - recordBytes
    counters[EVICTIONS] = counters[EVICTIONS]! + 1
    if ((traits & (STATE_FETCHED << 24)) === 0) {
      counters[EVICTED_UNFETCHED] = counters[EVICTED_UNFETCHED]! + 1
    }
    if (frequency > 0) counters[EVICTED_ACTIVE] = counters[EVICTED_ACTIVE]! + 1
  }

  /** Copies a record to the reserved place. */
  private copyRecord(words: Int32Array, base: number, location: number, keyLength: number): void {
    const view = this.view
    const log = this.log
    const target = view.segmentArena(log.segment)
    const targetBase = view.locationBase(log.location)
    const shape = words[base + TRAITS_WORD]!
    const headerWords = headerWordsOf(shape)
    for (let word = 0; word < headerWords; word++) {
      target[targetBase + word] = words[base + word]!
    }
    const traits = shape & ~(STATE_SPANS << 24)
    target[targetBase + TRAITS_WORD] = log.reservedSpans ? traits | (STATE_SPANS << 24) : traits
    view.copyAcross(
      view.locationSegment(location),
      view.locationOffset(location) + headerWords * 4,
      log.segment,
      log.offset + headerWords * 4,
      keyLength + valueLengthAt(words, base),
    )
  }
}
