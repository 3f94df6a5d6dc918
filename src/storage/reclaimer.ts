/**
 * Hot path. How one worker makes free segments. Each write calls step(), which does a little of the work: it goes
 * through one segment, the victim, in the order in which its records were written, and has each of them dropped,
 * evicted, moved or left (record-fate.ts). Where items are evicted that is FIFO eviction with a second chance; with -M,
 * where none is, it is compaction. The next victim is chosen in victim-choice.ts; crawler.ts finds what has expired in
 * all other segments.
 *
 *     begin(): choose a victim -> advance(): a record each -> drain(): wait for others -> free it
 *                                                                  | something in it stays: put it back among the sealed
 *
 * A large item that was read but cannot be moved (it is longer than movedBytesMax, or there is no room) stays where
 * it is, and its segments go back among the sealed. If all live records of a victim were to be moved and the last
 * one cannot be, none is: that would gain no room.
 *
 * Why it ends: keeping a record costs credit. A victim brings seven eighths of a segment of it, and no more than one
 * segment can be saved up. So after at most eight victims of which everything was kept, each further one gains an eighth.
 * A search leaves a bounded number of large items, and does not compact what was sealed after it began.
 *
 * Invariants: a victim is freed when it has no live bytes, which also waits for workers that have marked a record dead
 * and not subtracted it yet. No stripe is locked when anything here is called.
 */
import { assert } from '../base/assert.ts'
import {
  EPOCH_WORD,
  SEGMENT_EPOCH,
  SEGMENT_FIRST,
  SEGMENT_GROUP,
  SEGMENT_HEAD_ITEM,
  SEGMENT_LIVE,
  SEGMENT_USED,
  WORKER_KEEP_CREDIT,
  WORKER_VICTIM,
  WORKER_VICTIM_OFFSET,
  WORKER_WORDS,
} from './control-block.ts'
import { COMPACTED_SEGMENTS, counterLanes } from './counters.ts'
import { Crawler } from './crawler.ts'
import type { StoreMemory } from './geometry.ts'
import { expiryAt, isDead, recordBytesAt, TRAITS_WORD } from './item.ts'
import type { Lender } from './lender.ts'
import type { Log } from './log.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'
import { EVICT, GONE, MOVE, type RecordFate, STUCK } from './record-fate.ts'
import { FROM_DUE, FROM_EMPTIEST, FROM_EXPIRED, VictimChoice } from './victim-choice.ts'

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

/** What advance() returns if another worker must give back room first; else it is a cost. */
const BLOCKED = -1

export class Reclaimer {
  /** Where there are other namespaces: gets segments that they do not use, before anything here is evicted. */
  lender: Lender | undefined = undefined

  readonly crawler: Crawler

  private readonly choice: VictimChoice
  private readonly fates: RecordFate
  private readonly view: MemoryView
  private readonly pool: SegmentPool
  private readonly control: Int32Array
  private readonly counters: Float64Array
  private readonly worker: number
  private readonly evicts: boolean
  private readonly creditPerVictim: number
  private readonly creditMax: number
  /** How many segments stay free while others are withdrawn because the limit was lowered. */
  private keptInExcess = 0
  /** What is done with live records of the victim: EVICT or MOVE. */
  private victimFate: number
  /** How many segments had ever been sealed when this step or search began, or the write that it follows. */
  private sealedBefore = 0
  /** Nothing is evicted from segments sealed since then: they may hold what that write has stored. */
  private sparesNew = false
  /** With -M: bytes to be moved for each byte of room that the victim gives. */
  private movedPerGained = 1

  constructor(
    memory: StoreMemory,
    view: MemoryView,
    pool: SegmentPool,
    log: Log,
    fates: RecordFate,
    workerIndex: number,
  ) {
    const { geometry } = memory
    this.view = view
    this.pool = pool
    this.fates = fates
    this.control = view.control
    this.counters = counterLanes(memory, workerIndex)
    this.worker = geometry.workersWord + workerIndex * WORKER_WORDS
    this.evicts = geometry.evicts
    this.creditPerVictim = geometry.segmentBytes - (geometry.segmentBytes >> 3)
    this.creditMax = this.creditPerVictim + geometry.segmentBytes
    this.victimFate = geometry.evicts ? EVICT : MOVE
    this.choice = new VictimChoice(memory, view, pool, log, fates)
    this.crawler = new Crawler(view, pool, log, this.counters, this.worker, fates)
  }

  /** Works towards so many free segments from now on. */
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
  step(
    budgetBytes: number,
    nowSeconds: number,
    sealedBefore: number = this.pool.sealedEver,
  ): boolean {
    this.beginSearch(sealedBefore, true)
    let left = budgetBytes
    let isDone = true
    while (left > 0) {
      if (this.control[this.worker + WORKER_VICTIM] === 0) {
        if (!this.begin(nowSeconds)) {
          isDone = false
          break
        }
        left -= this.fates.metBytes
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
    this.beginSearch(this.pool.sealedEver, false)
    // Other workers may take what is freed here: bounded, not just repeated.
    let victimsLeft = 4 * this.pool.holdings.roundSegments
    while (this.pool.freeCount < count) {
      if (this.lender?.lend(count - this.pool.freeCount, nowSeconds) === true) {
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
    this.beginSearch(this.pool.sealedEver, false)
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
    if (this.lender !== undefined) pool.holdings.claim(count - pool.freeCount)
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

  /**
   * Takes a segment to be emptied; false if there is none. `metBytes` is then the length of the item
   * that began in an earlier segment, if it was moved or dropped.
   */
  private begin(nowSeconds: number): boolean {
    const control = this.control
    this.fates.metBytes = 0
    const victim = this.choice.take(nowSeconds, this.sealedBefore, this.sparesNew)
    this.victimFate = this.choice.source === FROM_DUE ? EVICT : MOVE
    if (victim < 0) return false
    const record = this.view.segmentRecord(victim)
    this.fates.victimGroup = control[record + SEGMENT_GROUP]!
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
    if (this.isStuck(victim, nowSeconds) || this.emptyHead(victim, nowSeconds) === STUCK) {
      this.leaveVictim(victim)
      this.fates.metBytes = this.view.segmentBytes
    }
    return true
  }

  /** Whether a value arrives in a victim, or its last record cannot be moved, though all that is alive should be. */
  private isStuck(victim: number, nowSeconds: number): boolean {
    const { control, view } = this
    if (Atomics.load(control, view.geometry.arrivalsWord + victim) !== 0) return true
    const next = view.continuation(victim)
    if (this.victimFate !== MOVE || next < 0) return false
    // The word may be of an earlier use, but what the next segment names is alive there.
    const location = Atomics.load(control, view.segmentRecord(next) + SEGMENT_HEAD_ITEM)
    if (location === 0 || view.locationSegment(location) !== victim) return false
    const words = view.locationArena(location)
    const base = view.locationBase(location)
    if (recordBytesAt(words, base, view.unitShift) <= this.fates.movedBytesMax) return false
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
    return this.fates.meet(head, this.victimFate, nowSeconds, headIndex)
  }

  /** Has the next record of the victim decided about; returns what that cost, in bytes, or BLOCKED. */
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
    const fate = this.fates.meet(view.locationOf(victim, offset), this.victimFate, nowSeconds)
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
    const cost = RECORD_COST_BYTES + (head === 0 ? 0 : this.fates.metBytes)
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

  /** Until the next search, what is sealed from now on counts as new, and only so many large items stay. */
  private beginSearch(sealedBefore: number, sparesNew: boolean): void {
    this.fates.staysLeft = Math.min(STAYS_MAX, this.pool.holdings.roundSegments)
    this.sealedBefore = sealedBefore
    this.sparesNew = sparesNew
  }
}
