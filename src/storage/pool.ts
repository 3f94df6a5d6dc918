/**
 * The pool: which segment is free, open, sealed or in work, and the list of the sealed in the order
 * in which they were sealed. Everything here happens once a segment, not once an item.
 *
 * Invariant: a segment is in exactly one state, and in the list of the free or of the sealed exactly
 * if its state says so (a crawled one stays in the list of the sealed). States and lists change
 * under the pool lock, which is the innermost lock: nothing else is acquired while it is held.
 * SEGMENT_LIVE changes without it, by atomic addition. A sealed segment without live bytes is freed
 * by whoever brought it there.
 * FREE_COUNT are the segments that may be taken. The segments in use and they are as many as the namespace
 * holds: the limit, and EXCESS more after it was lowered. The namespace has no more than it holds; what
 * it lacks is in the heap, from which it is taken when it is needed. How many may be held, of what is
 * guaranteed and of what others do not use, is settled here and with the heap (heap.ts).
 */

import { KEY_BYTES_MAX } from '../base/key-bytes-max.ts'
import { acquire, release } from '../base/lock.ts'
import {
  CRAWLED_SEGMENT,
  DEMANDED_WORD,
  ENDS_GROUP,
  EPOCH_WORD,
  EXCESS_WORD,
  FLOORS_WORD,
  FREE_COUNT_WORD,
  FREE_FIRST_WORD,
  FREE_SEGMENT,
  GROUPS_MAX,
  GUARANTEED_WORD,
  LIMIT_BYTES_WORD,
  LIMIT_CHANGES_WORD,
  LIMIT_SEGMENTS_WORD,
  LIST_NEWEST,
  LIST_OLDEST,
  LIST_WORDS,
  LISTS_WORD,
  OPEN_SEGMENT,
  OWNED_COUNT_WORD,
  PINNED_SEGMENT,
  POOL_LOCK_WORD,
  QUEUE_GROUPS,
  SEALED_COUNT_WORD,
  SEALED_EVER_WORD,
  SEALED_SEGMENT,
  SEGMENT_CONTINUES,
  SEGMENT_DUE,
  SEGMENT_EPOCH,
  SEGMENT_EXPIRES_BY,
  SEGMENT_EXPIRES_FROM,
  SEGMENT_FIRST,
  SEGMENT_GROUP,
  SEGMENT_HEAD_ITEM,
  SEGMENT_LIVE,
  SEGMENT_NEWER,
  SEGMENT_OLDER,
  SEGMENT_PLACE,
  SEGMENT_SEQUENCE,
  SEGMENT_STATE,
  SEGMENT_STUCK_LIVE,
  SEGMENT_USED,
  SMALL_COUNT_WORD,
  SMALL_QUEUE,
  VICTIM_SEGMENT,
  WORTHY_WORD,
} from './geometry.ts'
import { mainGroupOf, queueOf, rankOf } from './group.ts'
import type { Heap } from './heap.ts'
import { HEADER_BYTES_MAX } from './item.ts'
import type { MemoryView } from './memory-view.ts'

/** SEGMENT_EXPIRES_FROM of a segment in which nothing expires: the last uint32. */
export const EXPIRES_NEVER: number = -1

/** In a shorter rest of a segment no record begins: header and key must not be torn apart. */
const PREFIX_BYTES_MAX: number = HEADER_BYTES_MAX + KEY_BYTES_MAX
/** Among so many segments one with room behind the end of an item is searched. */
const END_LOOKS = 16
/** Free segments beside what shall be free that a namespace keeps where others may use them. */
const IDLE_SEGMENTS = 2

/**
 * So large a part of the sealed segments (1/64, 1/16), and at least so many, are sealed after a segment
 * before it is emptied for its rank.
 */
const SMALL_GRACE_SHIFT = 6
const SMALL_GRACE_MIN = 8
const MAIN_GRACE_SHIFT = 4
const MAIN_GRACE_MIN = 16

/**
 * With -M: what compacting a segment must gain. A 64th of a segment remains after the longest rest in
 * which no record begins, so that so many victims at most are emptied for each segment.
 */
function worthyGainOf(view: MemoryView): number {
  return (view.segmentBytes >> 6) + PREFIX_BYTES_MAX
}

export class SegmentPool {
  readonly #view: MemoryView
  readonly #heap: Heap
  readonly #control: Int32Array
  readonly #ownedWord: number
  readonly #pinsWord: number
  readonly #evicts: boolean
  readonly #isRanked: boolean
  readonly #limitBytes: Float64Array
  /** With -M: live bytes up to which a segment is worth compacting; else fewer than there ever are. */
  readonly #worthyLiveMax: number

  constructor(view: MemoryView, heap: Heap) {
    this.#view = view
    this.#heap = heap
    this.#ownedWord = view.geometry.ownedWord
    this.#pinsWord = view.geometry.pinsWord
    this.#evicts = view.geometry.evicts
    this.#isRanked = view.geometry.ranksBySize
    this.#control = view.control
    this.#limitBytes = new Float64Array(view.control.buffer, LIMIT_BYTES_WORD * 4, 1)
    this.#worthyLiveMax = view.geometry.evicts
      ? -2 * view.segmentBytes
      : view.segmentBytes - worthyGainOf(view)
  }

  get freeCount(): number {
    return this.#control[FREE_COUNT_WORD]!
  }

  /** Takes a free segment into `state` if more than `keep` are free; -1 if not. */
  take(state: number, keep: number): number {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    let segment = -1
    if (control[FREE_COUNT_WORD]! > keep) {
      const first = control[FREE_FIRST_WORD]!
      if (first !== 0) {
        segment = first - 1
        control[FREE_FIRST_WORD] = control[this.#view.segmentRecord(segment) + SEGMENT_NEWER]!
      } else {
        segment = this.#own(this.#heap.take())
      }
      control[FREE_COUNT_WORD] = control[FREE_COUNT_WORD]! - 1
      control[this.#view.segmentRecord(segment) + SEGMENT_STATE] = state
    }
    release(control, POOL_LOCK_WORD)
    return segment
  }

  /** Takes a free segment to append to, empty and of the given epoch and group. */
  takeOpen(keep: number, epoch: number, group: number, state: number = OPEN_SEGMENT): number {
    const segment = this.take(state, keep)
    if (segment < 0) return -1
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    Atomics.store(control, record + SEGMENT_LIVE, 0)
    control[record + SEGMENT_EPOCH] = epoch
    control[record + SEGMENT_FIRST] = 0
    control[record + SEGMENT_USED] = 0
    control[record + SEGMENT_CONTINUES] = 0
    control[record + SEGMENT_HEAD_ITEM] = 0
    control[record + SEGMENT_EXPIRES_FROM] = EXPIRES_NEVER
    control[record + SEGMENT_EXPIRES_BY] = 0
    control[record + SEGMENT_STUCK_LIVE] = 0
    control[record + SEGMENT_GROUP] = group
    control[record + SEGMENT_SEQUENCE] = control[SEALED_EVER_WORD]!
    control[record + SEGMENT_DUE] = this.dueOf(group)
    return segment
  }

  /** Gives back a segment that nothing refers to. */
  free(segment: number): void {
    acquire(this.#control, POOL_LOCK_WORD)
    this.#pushFree(segment)
    release(this.#control, POOL_LOCK_WORD)
  }

  /** Ends an open segment: `used` is where its records end, `linked` the bytes once live in it. */
  seal(segment: number, used: number, linked: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    acquire(control, POOL_LOCK_WORD)
    control[record + SEGMENT_USED] = used
    const before = Atomics.add(control, record + SEGMENT_LIVE, linked)
    control[record + SEGMENT_STATE] = SEALED_SEGMENT
    this.#pushSealed(segment)
    if (Atomics.load(control, record + SEGMENT_LIVE) === 0) {
      this.#unlinkSealed(segment)
      this.#pushFree(segment)
    }
    release(control, POOL_LOCK_WORD)
    if (before + linked <= this.#worthyLiveMax) Atomics.add(control, WORTHY_WORD, 1)
  }

  /**
   * With -M: seals a segment in which nothing but the end of an item lies that is not moved, `used`
   * bytes long. `linked` is what was not counted as live yet.
   */
  sealEnd(segment: number, used: number, linked: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    if (used <= this.#worthyLiveMax) control[record + SEGMENT_GROUP] = ENDS_GROUP
    control[record + SEGMENT_CONTINUES] = 0
    this.seal(segment, used, linked)
  }

  /** Whether takeEnd() would find a segment. */
  hasEnd(recordBytes: number): boolean {
    const control = this.#control
    if (control[LISTS_WORD + ENDS_GROUP * LIST_WORDS + LIST_OLDEST] === 0) return false
    acquire(control, POOL_LOCK_WORD)
    const segment = this.#findEnd(recordBytes)
    release(control, POOL_LOCK_WORD)
    return segment >= 0
  }

  /**
   * Takes a segment that has room for a record behind the end of an item, to append there; -1 if there
   * is none among the oldest few. Its SEGMENT_FIRST says from where on, and how many bytes are linked.
   */
  takeEnd(recordBytes: number, group: number): number {
    const control = this.#control
    if (control[LISTS_WORD + ENDS_GROUP * LIST_WORDS + LIST_OLDEST] === 0) return -1
    acquire(control, POOL_LOCK_WORD)
    const segment = this.#findEnd(recordBytes)
    if (segment >= 0) {
      const record = this.#view.segmentRecord(segment)
      this.#unlinkSealed(segment)
      control[record + SEGMENT_STATE] = OPEN_SEGMENT
      control[record + SEGMENT_GROUP] = group
      control[record + SEGMENT_SEQUENCE] = control[SEALED_EVER_WORD]!
      control[record + SEGMENT_DUE] = this.dueOf(group)
      Atomics.sub(control, record + SEGMENT_LIVE, control[record + SEGMENT_FIRST]!)
    }
    release(control, POOL_LOCK_WORD)
    return segment
  }

  #findEnd(recordBytes: number): number {
    const control = this.#control
    const epoch = Atomics.load(control, EPOCH_WORD)
    let segment = control[LISTS_WORD + ENDS_GROUP * LIST_WORDS + LIST_OLDEST]! - 1
    for (let looked = 0; segment >= 0 && looked < END_LOOKS; looked++) {
      const record = this.#view.segmentRecord(segment)
      if (
        control[record + SEGMENT_STATE] === SEALED_SEGMENT &&
        control[record + SEGMENT_EPOCH] === epoch &&
        control[record + SEGMENT_FIRST]! + recordBytes <= this.#view.segmentBytes
      ) {
        return segment
      }
      segment = control[record + SEGMENT_NEWER]! - 1
    }
    return -1
  }

  /** Before seal(): the segment is not to be compacted as long as nothing more in it dies. */
  keepAsIs(segment: number, linked: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    control[record + SEGMENT_STUCK_LIVE] = Atomics.load(control, record + SEGMENT_LIVE) + linked + 1
  }

  /** Says that live bytes of a segment have died. The caller may not touch the segment afterwards. */
  dropLive(segment: number, bytes: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    const before = Atomics.sub(control, record + SEGMENT_LIVE, bytes)
    if (before !== bytes) {
      const worthyMax = this.#worthyLiveMax
      if (before > worthyMax && before - bytes <= worthyMax) Atomics.add(control, WORTHY_WORD, 1)
      return
    }
    // An open segment is below zero, a victim is freed by its worker: only a sealed one is ours.
    acquire(control, POOL_LOCK_WORD)
    if (
      control[record + SEGMENT_STATE] === SEALED_SEGMENT &&
      Atomics.load(control, record + SEGMENT_LIVE) === 0
    ) {
      this.#unlinkSealed(segment)
      this.#pushFree(segment)
    }
    release(control, POOL_LOCK_WORD)
  }

  /**
   * Takes the sealed segment of a queue that is to be emptied next out of its list, and raises the floor
   * of the queue to when it was due; -1 if there is none. Ages are counted from `sealedBefore`: lest what
   * one write stores be old by what it moves.
   */
  takeNext(queue: number, sealedBefore: number): number {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    const segment = this.#nextOf(queue, sealedBefore)
    if (segment >= 0) {
      const floor = FLOORS_WORD + queue
      const due = control[this.#view.segmentRecord(segment) + SEGMENT_DUE]!
      if (((due - control[floor]!) | 0) > 0) control[floor] = due
      this.#makeVictim(segment)
    }
    release(control, POOL_LOCK_WORD)
    return segment
  }

  /**
   * That which is due first among those that were sealed long enough ago, and of those due at once the
   * oldest; where all are young, the oldest. Numbers wrap: it is their difference that tells which is first.
   */
  #nextOf(queue: number, sealedBefore: number): number {
    const control = this.#control
    const grace = this.#isRanked ? this.#graceOf(queue) : 0
    let next = -1
    let nextDue = 0
    let nextAge = 0
    const first = queue * QUEUE_GROUPS
    for (let group = first; group < first + QUEUE_GROUPS; group++) {
      const segment = this.#oldestOf(group)
      if (segment < 0) continue
      const record = this.#view.segmentRecord(segment)
      const age = (sealedBefore - control[record + SEGMENT_SEQUENCE]!) | 0
      const due = control[record + SEGMENT_DUE]!
      const order = age > grace && nextAge > grace ? (due - nextDue) | 0 : 0
      if (next < 0 || order < 0 || (order === 0 && age > nextAge)) {
        next = segment
        nextDue = due
        nextAge = age
      }
    }
    return next
  }

  /** How many segments are sealed after one before it is anybody's turn in it: what is new must have a chance to be read. */
  #graceOf(queue: number): number {
    const sealed = this.#control[SEALED_COUNT_WORD]!
    return queue === SMALL_QUEUE
      ? Math.max(sealed >> SMALL_GRACE_SHIFT, SMALL_GRACE_MIN)
      : Math.max(sealed >> MAIN_GRACE_SHIFT, MAIN_GRACE_MIN)
  }

  /** Whether the items of an open segment have had the time that is theirs. */
  isAged(segment: number): boolean {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    if (this.#isRanked) {
      const floor = control[FLOORS_WORD + queueOf(control[record + SEGMENT_GROUP]!)]!
      return ((floor - control[record + SEGMENT_DUE]!) | 0) > 0
    }
    const sealedSince = (control[SEALED_EVER_WORD]! - control[record + SEGMENT_SEQUENCE]!) | 0
    return sealedSince > this.roundSegments
  }

  /** When a segment of that group that is opened now will be due. */
  dueOf(group: number): number {
    if (!this.#isRanked || group >= GROUPS_MAX) return 0
    return (this.#control[FLOORS_WORD + queueOf(group)]! + 2 ** rankOf(group)) | 0
  }

  /** Takes a segment that is the oldest of its group and in which all has expired; -1 if none is. */
  takeExpired(nowSeconds: number): number {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    let expired = -1
    for (let group = 0; group < GROUPS_MAX && expired < 0; group++) {
      const segment = this.#oldestOf(group)
      if (segment < 0) continue
      const expiresBy = control[this.#view.segmentRecord(segment) + SEGMENT_EXPIRES_BY]! >>> 0
      if (expiresBy <= nowSeconds) expired = segment
    }
    if (expired >= 0) this.#makeVictim(expired)
    release(control, POOL_LOCK_WORD)
    return expired
  }

  /**
   * Takes the sealed segment with the fewest live bytes among `count` from place `first` on (wrapping
   * round), if they are at most `liveMax` and were not found to be stuck; -1 if there is none.
   */
  takeEmptiest(first: number, count: number, liveMax: number): number {
    const control = this.#control
    const end = control[OWNED_COUNT_WORD]!
    let best = -1
    let bestLive = liveMax + 1
    // Looked at without the lock: what is found is looked at again under it.
    for (let looked = 0; looked < count; looked++) {
      const segment = this.ownedAt((first + looked) % end)
      const live = this.#emptiableLive(segment)
      if (live < bestLive) {
        best = segment
        bestLive = live
      }
    }
    if (best < 0) return -1
    acquire(control, POOL_LOCK_WORD)
    if (this.#emptiableLive(best) <= liveMax) this.#makeVictim(best)
    else best = -1
    release(control, POOL_LOCK_WORD)
    return best
  }

  /** Puts a victim that could not be emptied back among the sealed, as the newest of the main queue. */
  putBack(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    acquire(control, POOL_LOCK_WORD)
    const group = mainGroupOf(control[record + SEGMENT_GROUP]!)
    control[record + SEGMENT_GROUP] = group
    control[record + SEGMENT_DUE] = this.dueOf(group)
    control[record + SEGMENT_STUCK_LIVE] = Atomics.load(control, record + SEGMENT_LIVE) + 1
    control[record + SEGMENT_STATE] = SEALED_SEGMENT
    this.#pushSealed(segment)
    if (Atomics.load(control, record + SEGMENT_LIVE) === 0) {
      this.#unlinkSealed(segment)
      this.#pushFree(segment)
    }
    release(control, POOL_LOCK_WORD)
  }

  /** With -M: puts a victim of which only the end of an item stays among those to append to. */
  putEnd(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    acquire(control, POOL_LOCK_WORD)
    const used = control[record + SEGMENT_FIRST]!
    control[record + SEGMENT_USED] = used
    control[record + SEGMENT_CONTINUES] = 0
    control[record + SEGMENT_GROUP] = used <= this.#worthyLiveMax ? ENDS_GROUP : mainGroupOf(0)
    control[record + SEGMENT_STATE] = SEALED_SEGMENT
    this.#pushSealed(segment)
    if (Atomics.load(control, record + SEGMENT_LIVE) === 0) {
      this.#unlinkSealed(segment)
      this.#pushFree(segment)
    }
    release(control, POOL_LOCK_WORD)
  }

  /** Keeps a sealed segment from being freed or emptied while its dead items are dropped. */
  beginCrawl(segment: number): boolean {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    acquire(control, POOL_LOCK_WORD)
    const sealed = control[record + SEGMENT_STATE] === SEALED_SEGMENT
    if (sealed) control[record + SEGMENT_STATE] = CRAWLED_SEGMENT
    release(control, POOL_LOCK_WORD)
    return sealed
  }

  endCrawl(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    acquire(control, POOL_LOCK_WORD)
    control[record + SEGMENT_STATE] = SEALED_SEGMENT
    if (Atomics.load(control, record + SEGMENT_LIVE) === 0) {
      this.#unlinkSealed(segment)
      this.#pushFree(segment)
    }
    release(control, POOL_LOCK_WORD)
  }

  /** Says that an item in the segment expires at `expiry`, 0 for never. */
  noteExpiry(segment: number, expiry: number): void {
    if (expiry !== 0) this.lowerExpiresFrom(segment, expiry)
    const control = this.#control
    const index = this.#view.segmentRecord(segment) + SEGMENT_EXPIRES_BY
    const by = expiry === 0 ? EXPIRES_NEVER : expiry | 0
    let seen = control[index]!
    while (by >>> 0 > seen >>> 0) {
      const before = Atomics.compareExchange(control, index, seen, by)
      if (before === seen) return
      seen = before
    }
  }

  /** Says that an item in the segment may expire at `expiry` (not 0). */
  lowerExpiresFrom(segment: number, expiry: number): void {
    const control = this.#control
    const index = this.#view.segmentRecord(segment) + SEGMENT_EXPIRES_FROM
    let seen = control[index]!
    while (expiry >>> 0 < seen >>> 0) {
      const before = Atomics.compareExchange(control, index, seen, expiry | 0)
      if (before === seen) return
      seen = before
    }
  }

  /** Live bytes of a segment that could be emptied by moving them; more than any number if it cannot. */
  #emptiableLive(segment: number): number {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    if (
      control[record + SEGMENT_STATE] !== SEALED_SEGMENT ||
      control[record + SEGMENT_GROUP] === ENDS_GROUP
    ) {
      return this.#view.segmentBytes + 1
    }
    const live = Atomics.load(control, record + SEGMENT_LIVE)
    return control[record + SEGMENT_STUCK_LIVE] === live + 1 ? this.#view.segmentBytes + 1 : live
  }

  #makeVictim(segment: number): void {
    this.#unlinkSealed(segment)
    this.#control[this.#view.segmentRecord(segment) + SEGMENT_STATE] = VICTIM_SEGMENT
  }

  /** The last reply that was sent from the segment is with the kernel: what waited for that is free. */
  unpinned(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    // #pushFree() stores the state before it looks at the pins: one of the two sees the other.
    if (Atomics.load(control, record + SEGMENT_STATE) !== PINNED_SEGMENT) return
    acquire(control, POOL_LOCK_WORD)
    if (control[record + SEGMENT_STATE] === PINNED_SEGMENT) this.#pushFree(segment)
    release(control, POOL_LOCK_WORD)
  }

  #pushFree(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    Atomics.store(control, record + SEGMENT_STATE, PINNED_SEGMENT)
    if (Atomics.load(control, this.#pinsWord + segment) !== 0) return
    control[record + SEGMENT_STATE] = FREE_SEGMENT
    control[record + SEGMENT_NEWER] = control[FREE_FIRST_WORD]!
    control[FREE_FIRST_WORD] = segment + 1
    control[FREE_COUNT_WORD] = control[FREE_COUNT_WORD]! + 1
  }

  /** The oldest segment of a group that is not being crawled, or -1. */
  #oldestOf(group: number): number {
    const control = this.#control
    let segment = control[LISTS_WORD + group * LIST_WORDS + LIST_OLDEST]! - 1
    // One segment a worker at most is crawled.
    while (
      segment >= 0 &&
      control[this.#view.segmentRecord(segment) + SEGMENT_STATE] !== SEALED_SEGMENT
    ) {
      segment = control[this.#view.segmentRecord(segment) + SEGMENT_NEWER]! - 1
    }
    return segment
  }

  #pushSealed(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    const group = control[record + SEGMENT_GROUP]!
    const list = LISTS_WORD + group * LIST_WORDS
    const newest = control[list + LIST_NEWEST]!
    control[record + SEGMENT_OLDER] = newest
    control[record + SEGMENT_NEWER] = 0
    control[record + SEGMENT_SEQUENCE] = control[SEALED_EVER_WORD]!
    control[SEALED_EVER_WORD] = control[SEALED_EVER_WORD]! + 1
    if (newest === 0) control[list + LIST_OLDEST] = segment + 1
    else control[this.#view.segmentRecord(newest - 1) + SEGMENT_NEWER] = segment + 1
    control[list + LIST_NEWEST] = segment + 1
    this.#countSealed(group, 1)
  }

  #unlinkSealed(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    const group = control[record + SEGMENT_GROUP]!
    const list = LISTS_WORD + group * LIST_WORDS
    const older = control[record + SEGMENT_OLDER]!
    const newer = control[record + SEGMENT_NEWER]!
    if (older === 0) control[list + LIST_OLDEST] = newer
    else control[this.#view.segmentRecord(older - 1) + SEGMENT_NEWER] = newer
    if (newer === 0) control[list + LIST_NEWEST] = older
    else control[this.#view.segmentRecord(newer - 1) + SEGMENT_OLDER] = older
    this.#countSealed(group, -1)
  }

  #countSealed(group: number, difference: number): void {
    const control = this.#control
    control[SEALED_COUNT_WORD] = control[SEALED_COUNT_WORD]! + difference
    if (queueOf(group) === SMALL_QUEUE) {
      control[SMALL_COUNT_WORD] = control[SMALL_COUNT_WORD]! + difference
    }
  }

  /** How many segments this namespace has, in use or not; and the one at a place among them. */
  get ownedCount(): number {
    return this.#control[OWNED_COUNT_WORD]!
  }

  ownedAt(place: number): number {
    return this.#control[this.#ownedWord + place]!
  }

  /** How many segments are guaranteed. What follows from the size of the memory, follows from this. */
  get segmentCount(): number {
    return this.#control[GUARANTEED_WORD]!
  }

  /** How many there are to go round in: what is guaranteed, or more while others lend. */
  get roundSegments(): number {
    return Math.max(this.#control[GUARANTEED_WORD]!, this.#control[LIMIT_SEGMENTS_WORD]!)
  }

  /** With -M: live bytes up to which a segment is worth compacting. */
  get worthyLiveMax(): number {
    return this.#worthyLiveMax
  }

  /** Whether more segments are in use than the limit allows. */
  get hasExcess(): boolean {
    return this.#control[EXCESS_WORD] !== 0
  }

  /** How many segments more are held than are guaranteed; below 0: fewer. */
  get borrowedCount(): number {
    const control = this.#control
    return control[LIMIT_SEGMENTS_WORD]! + control[EXCESS_WORD]! - control[GUARANTEED_WORD]!
  }

  /** Sets what is guaranteed. Where that is less than is held, settle() and payExcess() have to follow. */
  guarantee(segmentCount: number, limitBytes: number): void {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    this.#heap.add(segmentCount - control[GUARANTEED_WORD]!, 0, 0)
    control[GUARANTEED_WORD] = segmentCount
    this.#limitBytes[0] = limitBytes
    Atomics.add(control, LIMIT_CHANGES_WORD, 1)
    release(control, POOL_LOCK_WORD)
  }

  /**
   * Raises the limit by up to `wanted` segments: of what is guaranteed as far as it is to be had, and then
   * of what nobody has a right to. Returns by how many.
   */
  claim(wanted: number): number {
    if (this.#heap.unassigned <= 0) return 0
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    const owned = Math.max(0, Math.min(wanted, -this.borrowedCount))
    const lent = this.#evicts ? wanted - owned : 0
    const demanded = control[DEMANDED_WORD]!
    const claimed = this.#heap.claim(owned, demanded, lent)
    control[DEMANDED_WORD] = demanded - Math.min(demanded, owned, claimed)
    control[LIMIT_SEGMENTS_WORD] = control[LIMIT_SEGMENTS_WORD]! + claimed
    control[FREE_COUNT_WORD] = control[FREE_COUNT_WORD]! + claimed
    release(control, POOL_LOCK_WORD)
    return claimed
  }

  /** Says that up to `wanted` segments of what is guaranteed are needed now: nobody else gets them. */
  demand(wanted: number): void {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    this.#setDemand(Math.max(0, Math.min(wanted, -this.borrowedCount)))
    release(control, POOL_LOCK_WORD)
  }

  /**
   * Lowers the limit by what others want and this namespace has no right to, or raises it again where that
   * is needed no more; and gives up what it does not use itself: `freeGoal` segments it does. What is
   * given up is in excess, until payExcess() has withdrawn it.
   */
  settle(freeGoal: number): void {
    const control = this.#control
    const heap = this.#heap
    const isEager = heap.hasOne || !this.#evicts
    if (isEager) this.#settleFixed()
    else {
      if (control[DEMANDED_WORD] !== 0) this.claim(control[DEMANDED_WORD]!)
      acquire(control, POOL_LOCK_WORD)
      const missing = freeGoal - control[FREE_COUNT_WORD]!
      if (control[DEMANDED_WORD]! > Math.max(missing, 0)) this.#setDemand(Math.max(missing, 0))
      if (missing < -IDLE_SEGMENTS) this.#concede(-missing - control[EXCESS_WORD]!)
      else this.#concede(Math.min(-heap.surplus, this.borrowedCount - control[EXCESS_WORD]!))
      release(control, POOL_LOCK_WORD)
    }
  }

  /** Where nobody lends: holds what is guaranteed, or as much of it as others do not hold yet. */
  #settleFixed(): void {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    const regained = Math.min(control[EXCESS_WORD]!, this.#heap.surplus)
    if (regained > 0) this.#concede(-regained)
    this.#concede(control[LIMIT_SEGMENTS_WORD]! - control[GUARANTEED_WORD]!)
    if (control[DEMANDED_WORD] !== 0) this.#setDemand(0)
    release(control, POOL_LOCK_WORD)
    const missing = -this.borrowedCount
    if (missing > 0) this.claim(missing)
  }

  /** Withdraws free segments that are in excess of the limit, but for `keep` of them. */
  payExcess(keep: number): void {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    const paid = Math.min(control[EXCESS_WORD]!, control[FREE_COUNT_WORD]! - keep)
    if (paid > 0) {
      control[EXCESS_WORD] = control[EXCESS_WORD]! - paid
      control[FREE_COUNT_WORD] = control[FREE_COUNT_WORD]! - paid
      const held = control[LIMIT_SEGMENTS_WORD]! + control[EXCESS_WORD]!
      while (control[OWNED_COUNT_WORD]! > held) this.#disown()
      this.#heap.add(paid, 0, -paid)
    }
    release(control, POOL_LOCK_WORD)
  }

  /**
   * Of a namespace that is no more, and whose store nobody has: gives back all of it at once.
   */
  dissolve(): void {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    this.#setDemand(0)
    for (let place = this.ownedCount - 1; place >= 0; place--) this.#heap.give(this.ownedAt(place))
    control[OWNED_COUNT_WORD] = 0
    const excess = control[EXCESS_WORD]!
    this.#heap.add(control[LIMIT_SEGMENTS_WORD]! + excess, 0, -excess)
    control[EXCESS_WORD] = 0
    control[LIMIT_SEGMENTS_WORD] = 0
    control[FREE_COUNT_WORD] = 0
    release(control, POOL_LOCK_WORD)
  }

  /** Lowers the limit by so many segments; raises it where that is below 0. The pool lock is held. */
  #concede(segments: number): void {
    const control = this.#control
    const conceded = Math.min(segments, control[LIMIT_SEGMENTS_WORD]!)
    const isRaised = conceded < 0 && control[EXCESS_WORD]! > 0
    if (conceded <= 0 && !isRaised) return
    const moved = Math.max(conceded, -control[EXCESS_WORD]!)
    control[LIMIT_SEGMENTS_WORD] = control[LIMIT_SEGMENTS_WORD]! - moved
    control[EXCESS_WORD] = control[EXCESS_WORD]! + moved
    this.#heap.add(0, 0, moved)
  }

  #setDemand(segments: number): void {
    const control = this.#control
    this.#heap.add(0, segments - control[DEMANDED_WORD]!, 0)
    control[DEMANDED_WORD] = segments
  }

  /** A segment is from now on one of this namespace. */
  #own(segment: number): number {
    const control = this.#control
    const place = control[OWNED_COUNT_WORD]!
    control[this.#ownedWord + place] = segment
    control[this.#view.segmentRecord(segment) + SEGMENT_PLACE] = place
    control[OWNED_COUNT_WORD] = place + 1
    return segment
  }

  /** Gives a free segment back to the heap; the last one takes its place. */
  #disown(): void {
    const control = this.#control
    const view = this.#view
    const segment = control[FREE_FIRST_WORD]! - 1
    const record = view.segmentRecord(segment)
    control[FREE_FIRST_WORD] = control[record + SEGMENT_NEWER]!
    const place = control[record + SEGMENT_PLACE]!
    const last = control[OWNED_COUNT_WORD]! - 1
    const moved = this.ownedAt(last)
    control[this.#ownedWord + place] = moved
    control[view.segmentRecord(moved) + SEGMENT_PLACE] = place
    control[OWNED_COUNT_WORD] = last
    this.#heap.give(segment)
  }
}
