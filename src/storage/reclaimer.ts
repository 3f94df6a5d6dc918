/**
 * Where free memory comes from: one worker's share of evicting and compacting. Hot path: writes call
 * step() to do a little of it each. Which segment is emptied, victim-choice.ts says; what is dead where
 * nobody asks for it, crawler.ts finds.
 *
 * Emptying a victim: its records are met in the order in which they were written. Dead ones are
 * skipped, expired and flushed ones dropped. Of a segment that was taken because it was due, a live one
 * that was read since it was last met is moved to the main queue, to the rank that its reads have earned
 * (with S3-FIFO it pays one read of them); any other is evicted, and the ghost table remembers its key. Of
 * any other segment, what is alive is moved, and nothing evicted.
 *
 * A large item that was read but cannot be moved (it is over movedBytesMax, or the free segments do
 * not suffice) stays where it is, and its segments go back among the sealed. Where all that is alive
 * was to be moved, nothing is: it would gain no room.
 *
 * Invariants: a record is dropped or moved only under the stripe lock of its key and only if a slot
 * still refers to it. Keeping costs credit, of which every victim brings seven eighths of a segment
 * and of which at most one more segment can be saved up; so after at most eight victims that were
 * kept whole each further one gains an eighth. A large item that stays pays with its frequency, once
 * a round, where it begins; and only so many stay in one search. So making room always ends.
 * A victim is freed when its live bytes are zero, which also waits for those who are just about to
 * take theirs off. No stripe is held when anything here is called.
 */
import { assert } from '../base/assert.ts'
import { HalfSipHash } from '../base/hash.ts'
import { acquire, release } from '../base/lock.ts'
import { clearFrequencyAt, frequencyAt, lowerFrequencyAt } from './bucket.ts'
import {
  EPOCH_WORD,
  MOVED_GROUP,
  OPENS_MAX,
  QUEUE_GROUPS,
  SEALED_EVER_WORD,
  SEGMENT_EPOCH,
  SEGMENT_FIRST,
  SEGMENT_GROUP,
  SEGMENT_HEAD_ITEM,
  SEGMENT_LIVE,
  SEGMENT_SEQUENCE,
  SEGMENT_USED,
  SMALL_QUEUE,
  STRIPE_COUNT,
  STRIPE_WORDS,
  WORKER_KEEP_CREDIT,
  WORKER_VICTIM,
  WORKER_VICTIM_OFFSET,
  WORKER_WORDS,
} from './control-block.ts'
import {
  BYTES,
  COMPACTED_SEGMENTS,
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
import { Crawler, type Dropper } from './crawler.ts'
import { type EvictionWitness, tellEviction } from './eviction-witness.ts'
import type { StoreMemory } from './geometry.ts'
import type { GhostTable } from './ghost.ts'
import { type Groups, queueOf } from './group.ts'
import type { HashIndex } from './hash-index.ts'
import {
  expiryAt,
  headerBytesOf,
  headerWordsOf,
  isDead,
  keyLengthOf,
  recordBytesAt,
  STATE_FETCHED,
  STATE_SPANS,
  spans,
  TRAITS_WORD,
  valueLengthAt,
} from './item.ts'
import type { Lending } from './lending.ts'
import type { Log } from './log.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'
import { retire } from './retire.ts'
import { FROM_DUE, FROM_EMPTIEST, FROM_EXPIRED, VictimChoice } from './victim-choice.ts'

/**
 * Larger items are not moved: that would take longer than a write may. With -M it is those that have
 * segments of their own (ownSegmentsBytesMin), of which only the last one has room for others.
 */
const MOVED_BYTES_MAX = 1024 * 1024

/**
 * How often a large item stays in one step, or one search for free segments, at most: beyond that it
 * goes, though it was read, so that a write to a memory full of them does not go through all of it.
 */
const STAYS_MAX = 256

/** With -M: victims that one write empties at most, for each segment that it needs. */
const VICTIMS_PER_SEGMENT = 128
/** With -M: segments with expired or flushed items that one write goes through before it is refused. */
const DUE_SEGMENTS_PER_WRITE = 64

/** With -M: what compact() does at least, in the bytes that step() counts. */
const COMPACT_STEP_BYTES_MIN = 512

/** What meeting a record costs, in the bytes that step() counts. */
const RECORD_COST_BYTES = 64
/** Polls of a victim's live bytes before sleeping, then milliseconds before giving up. */
const DRAIN_POLLS = 1000
const DRAIN_WAIT_MS = 1
const DRAIN_WAITS_MAX = 30_000

/** What meet() is to do with a record that is alive: leave it, evict it unless it was read, move it. */
const LEAVE = 0
const EVICT = 1
const MOVE = 2

/** What becomes of a record: it is gone; it may not leave; it stays where it is for another round. */
const GONE = 0
const STUCK = 1
const STAYS = 2

/** What advance() returns if another worker must give back room first; else it is a cost. */
const BLOCKED = -1

export class Reclaimer implements Dropper {
  /** Is told of every item that is evicted. */
  witness: EvictionWitness | undefined = undefined
  /** Where there are other namespaces: has their memory, before anything here is evicted. */
  lending: Lending | undefined = undefined

  readonly crawler: Crawler

  private readonly choice: VictimChoice
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
  private readonly creditPerVictim: number
  private readonly creditMax: number
  private readonly movedBytesMax: number
  /** How many segments stay free while others are withdrawn because the limit was lowered. */
  private keptInExcess = 0
  private readonly stripesWord: number
  /** What happens to the live records of the victim in work. */
  private victimFate: number
  private victimGroup: number = QUEUE_GROUPS
  /** Of the record met last, if it was moved or dropped; else 0. */
  private metBytes = 0
  /** How often a large item may stay yet in this step or search. */
  private staysLeft = 0
  /** How many segments were ever sealed when this step or search began, or what was stored before it. */
  private sealedBefore = 0
  /** Whether what was sealed since then may hold what was stored. */
  private sparesNew = false
  /** With -M: bytes to be moved for each that the victim in work gains. */
  private movedPerGained = 1

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
    this.creditPerVictim = geometry.segmentBytes - (geometry.segmentBytes >> 3)
    this.creditMax = this.creditPerVictim + geometry.segmentBytes
    this.victimFate = geometry.evicts ? EVICT : MOVE
    this.movedBytesMax = geometry.evicts ? MOVED_BYTES_MAX : geometry.ownSegmentsBytesMin
    this.choice = new VictimChoice(memory, view, pool, log)
    this.crawler = new Crawler(view, pool, log, this.counters, this.worker, this)
    this.stripesWord = geometry.stripesWord
  }

  /** Takes note of how many segments are to be free. */
  adopt(freeSegmentsGoal: number): void {
    const { evicts, reserveSegments } = this.view.geometry
    // One fewer than the goal, so that each write goes on with it; with -M no write gets any.
    this.keptInExcess = evicts ? freeSegmentsGoal - 1 : reserveSegments
  }

  /** Withdraws what is free and in excess of the limit. */
  payExcess(): void {
    this.pool.holdings.payExcess(this.keptInExcess)
  }

  /**
   * Works through about `budgetBytes` of victims; false if there is no segment to take. Nothing is evicted
   * that was sealed when `sealedBefore` segments were or later: what was stored then does not make room for
   * what comes next.
   */
  step(budgetBytes: number, nowSeconds: number, sealedBefore: number = this.sealedEver): boolean {
    this.beginSearch(sealedBefore, true)
    let left = budgetBytes
    let isDone = true
    while (left > 0) {
      if (this.control[this.worker + WORKER_VICTIM] === 0) {
        if (!this.begin(nowSeconds)) {
          isDone = false
          break
        }
        left -= this.metBytes
      }
      const cost = this.advance(nowSeconds)
      if (cost === BLOCKED) {
        isDone = false
        break
      }
      left -= cost
    }
    if (this.pool.holdings.hasExcess) this.payExcess()
    return isDone
  }

  /** With -M: moves what it takes to gain `gainedBytes` and a little more. */
  compact(gainedBytes: number, nowSeconds: number): void {
    if (this.control[this.worker + WORKER_VICTIM] === 0 && !this.begin(nowSeconds)) return
    this.step(gainedBytes * this.movedPerGained + COMPACT_STEP_BYTES_MIN, nowSeconds)
  }

  /**
   * Empties victims until `count` segments are free; false if that cannot be reached. With -M it is
   * also enough if `endBytes`, unless 0, have room behind the end of a large item.
   */
  makeFree(count: number, nowSeconds: number, endBytes: number = 0): boolean {
    if (!this.evicts) return this.makeFreeByMoving(count, nowSeconds, endBytes)
    this.beginSearch(this.sealedEver, false)
    // Other workers may take what is freed here: bounded, not just repeated.
    let victimsLeft = 4 * this.pool.holdings.roundSegments
    while (this.pool.freeCount < count) {
      if (this.lending?.lend(count - this.pool.freeCount, nowSeconds) === true) {
        if (victimsLeft-- === 0) return false
        continue
      }
      if (this.control[this.worker + WORKER_VICTIM] === 0) {
        if (victimsLeft-- === 0 || !this.begin(nowSeconds)) return false
      }
      this.advance(nowSeconds)
    }
    return true
  }

  /** Empties victims until nothing is in excess of the limit; false if that cannot be reached. */
  payAll(nowSeconds: number): boolean {
    const { pool } = this
    this.payExcess()
    this.beginSearch(this.sealedEver, false)
    let victimsLeft = 4 * pool.holdings.roundSegments
    while (pool.holdings.hasExcess) {
      if (this.control[this.worker + WORKER_VICTIM] === 0) {
        if (victimsLeft-- === 0 || !this.begin(nowSeconds)) return false
      }
      this.advance(nowSeconds)
      this.payExcess()
    }
    return true
  }

  private makeFreeByMoving(count: number, nowSeconds: number, endBytes: number): boolean {
    const { pool } = this
    if (this.lending !== undefined) pool.holdings.claim(count - pool.freeCount)
    // What is above the limit goes first, a share at a time.
    if (pool.holdings.hasExcess) {
      this.step(this.view.segmentBytes, nowSeconds)
      if (pool.holdings.hasExcess) return false
    }
    let victimsLeft = VICTIMS_PER_SEGMENT * count
    let dueLeft = DUE_SEGMENTS_PER_WRITE
    while (pool.freeCount < count && !(endBytes > 0 && pool.hasEnd(endBytes))) {
      if (this.control[this.worker + WORKER_VICTIM] === 0) {
        if (victimsLeft-- === 0) return false
        if (!this.begin(nowSeconds)) {
          if (dueLeft-- === 0 || !this.crawler.dropDue(nowSeconds)) return false
          continue
        }
      }
      if (this.advance(nowSeconds) === BLOCKED) return false
    }
    return true
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
   * Takes a segment to be emptied; false if there is none. `metBytes` is then the length of the item
   * that began in an earlier segment, if it was moved or dropped.
   */
  private begin(nowSeconds: number): boolean {
    const control = this.control
    this.metBytes = 0
    const victim = this.choice.take(nowSeconds, this.sealedBefore, this.sparesNew)
    this.victimFate = this.choice.source === FROM_DUE ? EVICT : MOVE
    if (victim < 0) return false
    const record = this.view.segmentRecord(victim)
    this.victimGroup = control[record + SEGMENT_GROUP]!
    control[this.worker + WORKER_VICTIM] = victim + 1
    control[this.worker + WORKER_VICTIM_OFFSET] = control[record + SEGMENT_FIRST]!
    control[this.worker + WORKER_KEEP_CREDIT] = Math.min(
      control[this.worker + WORKER_KEEP_CREDIT]! + this.creditPerVictim,
      this.creditMax,
    )
    if (!this.evicts) {
      const live = Math.max(control[record + SEGMENT_LIVE]!, 0)
      this.movedPerGained = live / Math.max(this.view.segmentBytes - live, 1)
      return true
    }
    if (this.endsStuck(victim, nowSeconds) || this.emptyHead(victim, nowSeconds) === STUCK) {
      this.leaveVictim(victim)
      this.metBytes = this.view.segmentBytes
    }
    return true
  }

  /** Whether the last record of a victim is one that cannot be moved, though all that is alive should be. */
  private endsStuck(victim: number, nowSeconds: number): boolean {
    const { control, view } = this
    const next = view.continuation(victim)
    if (this.victimFate !== MOVE || next < 0) return false
    // The word may be of an earlier use, but what the next segment names is alive there.
    const location = Atomics.load(control, view.segmentRecord(next) + SEGMENT_HEAD_ITEM)
    if (location === 0 || view.locationSegment(location) !== victim) return false
    const words = view.locationArena(location)
    const base = view.locationBase(location)
    if (recordBytesAt(words, base, view.unitShift) <= this.movedBytesMax) return false
    const expiry = expiryAt(words, base)
    const epoch = control[view.segmentRecord(victim) + SEGMENT_EPOCH]
    return (expiry === 0 || expiry > nowSeconds) && epoch === Atomics.load(control, EPOCH_WORD)
  }

  /** Moves or drops the item that began in another segment and continues in this one. */
  private emptyHead(victim: number, nowSeconds: number): number {
    const control = this.control
    const headIndex = this.view.segmentRecord(victim) + SEGMENT_HEAD_ITEM
    const head = Atomics.load(control, headIndex)
    if (head === 0) return GONE
    // The record may be retired and its segment reused at any moment. As long as the segment still
    // names it, it was not, and what was read of it is true; meet() asks once more under the lock.
    return this.meet(head, this.victimFate, nowSeconds, headIndex)
  }

  /** Meets the next record of the victim; returns what that cost. */
  private advance(nowSeconds: number): number {
    const control = this.control
    const worker = this.worker
    const victim = control[worker + WORKER_VICTIM]! - 1
    if (victim < 0) return RECORD_COST_BYTES
    const view = this.view
    const record = view.segmentRecord(victim)
    const offset = control[worker + WORKER_VICTIM_OFFSET]!
    if (offset >= control[record + SEGMENT_USED]!) {
      if (this.evicts) {
        this.finish(victim)
        return RECORD_COST_BYTES
      }
      return this.finishMoved(victim, nowSeconds)
    }
    const words = view.segmentArena(victim)
    const base = view.segmentBase(victim) + (offset >>> 2)
    const traits = words[base + TRAITS_WORD]!
    const recordBytes = recordBytesAt(words, base, view.unitShift)
    const next = offset + recordBytes
    control[worker + WORKER_VICTIM_OFFSET] = Math.min(next, view.segmentBytes)
    if (isDead(traits)) return RECORD_COST_BYTES
    const fate = this.meet(view.locationOf(victim, offset), this.victimFate, nowSeconds)
    if (fate === GONE) return RECORD_COST_BYTES + recordBytes
    if (!this.evicts) {
      // Another worker's victim has the room: it is met again when that is done.
      control[worker + WORKER_VICTIM_OFFSET] = offset
      return BLOCKED
    }
    // What stays spans, so it was the last record of the segment. It counts as much as if all was moved:
    // one write is not to go through everything large because there is no room to move it.
    this.leaveVictim(victim)
    return view.segmentBytes
  }

  /** With -M: frees a victim, or what of it follows the end of an item that is not moved. */
  private finishMoved(victim: number, nowSeconds: number): number {
    const { control, view } = this
    const record = view.segmentRecord(victim)
    const head = Atomics.load(control, record + SEGMENT_HEAD_ITEM)
    if (head !== 0 && this.emptyHead(victim, nowSeconds) === STUCK) return BLOCKED
    const cost = RECORD_COST_BYTES + (head === 0 ? 0 : this.metBytes)
    this.drain(victim)
    control[this.worker + WORKER_VICTIM] = 0
    if (Atomics.load(control, record + SEGMENT_HEAD_ITEM) === 0) {
      this.drain(victim)
      this.pool.free(victim)
    } else {
      this.pool.putEnd(victim)
    }
    this.counters[COMPACTED_SEGMENTS] = this.counters[COMPACTED_SEGMENTS]! + 1
    return cost
  }

  private finish(victim: number): void {
    const control = this.control
    if (Atomics.load(control, this.view.segmentRecord(victim) + SEGMENT_HEAD_ITEM) !== 0) {
      this.leaveVictim(victim)
      return
    }
    this.drain(victim)
    control[this.worker + WORKER_VICTIM] = 0
    this.pool.free(victim)
    if (this.choice.source === FROM_EMPTIEST) {
      this.counters[COMPACTED_SEGMENTS] = this.counters[COMPACTED_SEGMENTS]! + 1
    }
  }

  /**
   * Waits until nothing is live in a victim whose records have all been met, but for the end of an item
   * that stays.
   */
  private drain(victim: number): void {
    const control = this.control
    const record = this.view.segmentRecord(victim)
    const live = record + SEGMENT_LIVE
    for (let polls = 0; ; polls++) {
      const head = Atomics.load(control, record + SEGMENT_HEAD_ITEM)
      const seen = Atomics.load(control, live)
      if (seen === (head === 0 ? 0 : control[record + SEGMENT_FIRST]!)) return
      // Another worker has marked a record dead and is about to take its bytes off.
      if (polls < DRAIN_POLLS) continue
      assert(polls < DRAIN_POLLS + DRAIN_WAITS_MAX, `an empty segment has ${seen} live bytes`)
      Atomics.wait(control, live, seen, DRAIN_WAIT_MS)
    }
  }

  /** Puts a victim back among the sealed: something in it stays. */
  private leaveVictim(victim: number): void {
    this.control[this.worker + WORKER_VICTIM] = 0
    // Else it would be taken as expired again and again, before anything that can be emptied.
    if (this.choice.source === FROM_EXPIRED) this.pool.noteExpiry(victim, 0)
    this.pool.putBack(victim)
  }

  /**
   * Decides about one record: drops it if it is expired or flushed; else does as `fate` says, with
   * EVICT moving what was read. STUCK: it must leave, and there is no room to move it. `headIndex`, if
   * not 0, is the word that must still name the location for the record to be there at all.
   */
  private meet(location: number, fate: number, nowSeconds: number, headIndex: number = 0): number {
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
    // Bytes of the victim that moving it would keep: of a record that spans, only its part in there.
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

  /** What is sealed from now on is young until the search is over; and only so much stays. */
  private beginSearch(sealedBefore: number, sparesNew: boolean): void {
    this.staysLeft = Math.min(STAYS_MAX, this.pool.holdings.roundSegments)
    this.sealedBefore = sealedBefore
    this.sparesNew = sparesNew
  }

  private get sealedEver(): number {
    return this.control[SEALED_EVER_WORD]!
  }

  /** Takes back what an item pays for another round: one read, or where there are ranks, which count them, all. */
  private pay(slotWords: Int32Array, slot: number): void {
    if (this.isRanked) clearFrequencyAt(slotWords, slot)
    else lowerFrequencyAt(slotWords, slot)
  }

  /** Where a record of the victim in work goes if it is moved. */
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

  /** Whether an item over several segments, which begins in `segment`, is left for another round. */
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
    if (this.witness !== undefined) tellEviction(this.witness, view, location, nowSeconds)
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
