/**
 * The state of each segment (free, open, sealed, victim and so on: README.md, "The life of a segment"), and every change
 * of it. All of it happens once a segment, not once an item. The lists of sealed segments are in sealed-lists.ts; how
 * many segments there may be is in holdings.ts.
 *
 * Invariants: a segment has one state at a time. It is in the list of free ones exactly while it is free, and in a list of
 * sealed ones exactly while it is sealed or crawled. States and lists change under the pool lock, which is the
 * innermost lock: nothing else is locked while it is held. SEGMENT_LIVE, the live bytes of a segment, changes without
 * it, by atomic addition; a sealed segment without live bytes is freed by whoever brought it to that.
 * FREE_COUNT counts the segments that may be taken: the free ones, and those that may still be had from the heap.
 */

import { KEY_BYTES_MAX } from '../base/key-bytes-max.ts'
import { acquire, release } from '../base/lock.ts'
import {
  CRAWLED_SEGMENT,
  ENDS_GROUP,
  FLOORS_WORD,
  FREE_COUNT_WORD,
  FREE_FIRST_WORD,
  FREE_SEGMENT,
  GROUPS_MAX,
  LIST_OLDEST,
  LIST_WORDS,
  LISTS_WORD,
  MAIN_QUEUE,
  OPEN_SEGMENT,
  OWNED_COUNT_WORD,
  PINNED_SEGMENT,
  POOL_LOCK_WORD,
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
  SEGMENT_SEQUENCE,
  SEGMENT_STATE,
  SEGMENT_STUCK_LIVE,
  SEGMENT_USED,
  SMALL_QUEUE,
  VICTIM_SEGMENT,
  WORTHY_WORD,
} from './control-block.ts'
import { mainGroupOf } from './group.ts'
import type { Heap } from './heap.ts'
import { Holdings } from './holdings.ts'
import { HEADER_BYTES_MAX } from './item.ts'
import type { MemoryView } from './memory-view.ts'
import { SealedLists } from './sealed-lists.ts'

/** SEGMENT_EXPIRES_FROM of a segment in which nothing expires: the last uint32. */
export const EXPIRES_NEVER: number = -1

/** In a shorter rest of a segment no record begins: header and key must not be torn apart. */
const PREFIX_BYTES_MAX: number = HEADER_BYTES_MAX + KEY_BYTES_MAX

/**
 * With -M: what compacting a segment must gain. A 64th of a segment remains after the longest rest in
 * which no record begins, so that so many victims at most are emptied for each segment.
 */
function worthyGainOf(view: MemoryView): number {
  return (view.segmentBytes >> 6) + PREFIX_BYTES_MAX
}

export class SegmentPool {
  readonly holdings: Holdings
  readonly #view: MemoryView
  readonly #control: Int32Array
  readonly #pinsWord: number
  readonly #sealed: SealedLists
  /** With -M: live bytes up to which a segment is worth compacting; else fewer than there ever are. */
  readonly #worthyLiveMax: number

  constructor(view: MemoryView, heap: Heap) {
    this.holdings = new Holdings(view, heap)
    this.#view = view
    this.#control = view.control
    this.#pinsWord = view.geometry.pinsWord
    this.#sealed = new SealedLists(view)
    this.#worthyLiveMax = view.geometry.evicts
      ? -2 * view.segmentBytes
      : view.segmentBytes - worthyGainOf(view)
  }

  /** How many segments were ever sealed: to be asked for before what a write stores is committed. */
  get sealedEver(): number {
    return this.#control[SEALED_EVER_WORD]!
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
        segment = this.holdings.takeFromHeap()
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
    control[record + SEGMENT_DUE] = this.#sealed.dueOf(group)
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
    this.#putAmongSealed(segment, record)
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
    const segment = this.#sealed.findEnd(recordBytes)
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
    const segment = this.#sealed.findEnd(recordBytes)
    if (segment >= 0) {
      const record = this.#view.segmentRecord(segment)
      this.#sealed.unlink(segment)
      control[record + SEGMENT_STATE] = OPEN_SEGMENT
      control[record + SEGMENT_GROUP] = group
      control[record + SEGMENT_SEQUENCE] = control[SEALED_EVER_WORD]!
      control[record + SEGMENT_DUE] = this.#sealed.dueOf(group)
      Atomics.sub(control, record + SEGMENT_LIVE, control[record + SEGMENT_FIRST]!)
    }
    release(control, POOL_LOCK_WORD)
    return segment
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
      this.#sealed.unlink(segment)
      this.#pushFree(segment)
    }
    release(control, POOL_LOCK_WORD)
  }

  /**
   * Takes the sealed segment that is to be emptied next out of its list, and raises the floor of its queue
   * to when it was due; -1 if there is none. It is of `wantedQueue`, unless what that has is young, and the
   * other has what is not. Ages are counted from `sealedBefore`: lest what one write stores be old by what
   * it moves.
   */
  takeNext(wantedQueue: number, sealedBefore: number, sparesNew: boolean): number {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    let queue = wantedQueue
    let segment = this.#sealed.nextOf(queue, sealedBefore, sparesNew)
    if (segment < 0 || this.#sealed.isYoung(segment, queue, sealedBefore)) {
      const otherQueue = queue === SMALL_QUEUE ? MAIN_QUEUE : SMALL_QUEUE
      const other = this.#sealed.nextOf(otherQueue, sealedBefore, sparesNew)
      if (other >= 0 && (segment < 0 || !this.#sealed.isYoung(other, otherQueue, sealedBefore))) {
        queue = otherQueue
        segment = other
      }
    }
    if (segment >= 0) {
      const floor = FLOORS_WORD + queue
      const due = control[this.#view.segmentRecord(segment) + SEGMENT_DUE]!
      if (((due - control[floor]!) | 0) > 0) control[floor] = due
      this.#makeVictim(segment)
    }
    release(control, POOL_LOCK_WORD)
    return segment
  }

  /** The oldest segments of the next rank of the main queue, see SealedLists. */
  oldestOfNext(group: number, segments: Int32Array): number {
    acquire(this.#control, POOL_LOCK_WORD)
    const next = this.#sealed.oldestOfNext(group, segments)
    release(this.#control, POOL_LOCK_WORD)
    return next
  }

  shareOfTime(segment: number): number {
    return this.#sealed.shareOfTime(segment)
  }

  /** Takes a segment of the main queue before it is due; -1 if another worker has it, or it is young. */
  takeOld(segment: number, sealedBefore: number): number {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    const record = this.#view.segmentRecord(segment)
    const isTaken =
      control[record + SEGMENT_STATE] === SEALED_SEGMENT &&
      !this.#sealed.isYoung(segment, MAIN_QUEUE, sealedBefore)
    if (isTaken) this.#makeVictim(segment)
    release(control, POOL_LOCK_WORD)
    return isTaken ? segment : -1
  }

  /** Whether the items of an open segment have had the time that is theirs. */
  isAged(segment: number): boolean {
    return this.#sealed.isAged(segment, this.holdings.roundSegments)
  }

  /** When a segment of that group that is opened now will be due. */
  dueOf(group: number): number {
    return this.#sealed.dueOf(group)
  }

  /** Takes a segment that is the oldest of its group and in which all has expired; -1 if none is. */
  takeExpired(nowSeconds: number): number {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    let expired = -1
    for (let group = 0; group < GROUPS_MAX && expired < 0; group++) {
      const segment = this.#sealed.oldestOf(group)
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
   * round), if they are at most `liveMax`, were not found to be stuck, and it was sealed before
   * `sealedBefore`; -1 if there is none.
   */
  takeEmptiest(first: number, count: number, liveMax: number, sealedBefore: number): number {
    const control = this.#control
    const end = control[OWNED_COUNT_WORD]!
    let best = -1
    let bestLive = liveMax + 1
    // Looked at without the lock: what is found is looked at again under it.
    for (let looked = 0; looked < count; looked++) {
      const segment = this.holdings.ownedAt((first + looked) % end)
      const live = this.#emptiableLive(segment, sealedBefore)
      if (live < bestLive) {
        best = segment
        bestLive = live
      }
    }
    if (best < 0) return -1
    acquire(control, POOL_LOCK_WORD)
    if (this.#emptiableLive(best, sealedBefore) <= liveMax) this.#makeVictim(best)
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
    control[record + SEGMENT_DUE] = this.#sealed.dueOf(group)
    control[record + SEGMENT_STUCK_LIVE] = Atomics.load(control, record + SEGMENT_LIVE) + 1
    this.#putAmongSealed(segment, record)
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
    this.#putAmongSealed(segment, record)
    release(control, POOL_LOCK_WORD)
  }

  /** Seals a segment as the newest of its group, or frees it if nothing in it is alive. The pool lock is held. */
  #putAmongSealed(segment: number, record: number): void {
    const control = this.#control
    control[record + SEGMENT_STATE] = SEALED_SEGMENT
    this.#sealed.push(segment)
    if (Atomics.load(control, record + SEGMENT_LIVE) !== 0) return
    this.#sealed.unlink(segment)
    this.#pushFree(segment)
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
      this.#sealed.unlink(segment)
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
  #emptiableLive(segment: number, sealedBefore: number): number {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    if (
      control[record + SEGMENT_STATE] !== SEALED_SEGMENT ||
      control[record + SEGMENT_GROUP] === ENDS_GROUP ||
      ((sealedBefore - control[record + SEGMENT_SEQUENCE]!) | 0) <= 0
    ) {
      return this.#view.segmentBytes + 1
    }
    const live = Atomics.load(control, record + SEGMENT_LIVE)
    return control[record + SEGMENT_STUCK_LIVE] === live + 1 ? this.#view.segmentBytes + 1 : live
  }

  #makeVictim(segment: number): void {
    this.#sealed.unlink(segment)
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

  /** With -M: live bytes up to which a segment is worth compacting. */
  get worthyLiveMax(): number {
    return this.#worthyLiveMax
  }
}
