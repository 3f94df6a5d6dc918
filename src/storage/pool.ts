/**
 * The pool: which segment is free, open, sealed or in work, and the list of the sealed in the order
 * in which they were sealed. Everything here happens once a segment, not once an item.
 *
 * Invariant: a segment is in exactly one state, and in the list of the free or of the sealed exactly
 * if its state says so (a crawled one stays in the list of the sealed). States and lists change
 * under the pool lock, which is the innermost lock: nothing else is acquired while it is held.
 * SEGMENT_LIVE changes without it, by atomic addition. A sealed segment without live bytes is freed
 * by whoever brought it there.
 */
import {
  CRAWLED_SEGMENT,
  DEATHS_WORD,
  FREE_COUNT_WORD,
  FREE_FIRST_WORD,
  FREE_SEGMENT,
  FRESH_SEGMENT_WORD,
  OPEN_SEGMENT,
  POOL_LOCK_WORD,
  SEALED_COUNT_WORD,
  SEALED_NEWEST_WORD,
  SEALED_OLDEST_WORD,
  SEALED_SEGMENT,
  SEGMENT_CONTINUES,
  SEGMENT_EPOCH,
  SEGMENT_EXPIRES_FROM,
  SEGMENT_FIRST,
  SEGMENT_HEAD_ITEM,
  SEGMENT_LIVE,
  SEGMENT_NEWER,
  SEGMENT_OLDER,
  SEGMENT_STATE,
  SEGMENT_STUCK_LIVE,
  SEGMENT_USED,
  VICTIM_SEGMENT,
} from './geometry.ts'
import { acquire, release } from './lock.ts'
import type { MemoryView } from './memory-view.ts'

/** SEGMENT_EXPIRES_FROM of a segment in which nothing expires: the last uint32. */
export const EXPIRES_NEVER: number = -1

export class SegmentPool {
  readonly #view: MemoryView
  readonly #control: Int32Array
  readonly #segmentCount: number
  readonly #countsDeaths: boolean

  constructor(view: MemoryView) {
    this.#view = view
    this.#control = view.control
    this.#segmentCount = view.geometry.segmentCount
    this.#countsDeaths = !view.geometry.evicts
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
        segment = control[FRESH_SEGMENT_WORD]!
        control[FRESH_SEGMENT_WORD] = segment + 1
      }
      control[FREE_COUNT_WORD] = control[FREE_COUNT_WORD]! - 1
      control[this.#view.segmentRecord(segment) + SEGMENT_STATE] = state
    }
    release(control, POOL_LOCK_WORD)
    return segment
  }

  /** Takes a free segment to append to, empty and of the given epoch. */
  takeOpen(keep: number, epoch: number): number {
    const segment = this.take(OPEN_SEGMENT, keep)
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
    control[record + SEGMENT_STUCK_LIVE] = 0
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
    if (this.#countsDeaths) Atomics.add(control, DEATHS_WORD, 1)
    acquire(control, POOL_LOCK_WORD)
    control[record + SEGMENT_USED] = used
    Atomics.add(control, record + SEGMENT_LIVE, linked)
    control[record + SEGMENT_STATE] = SEALED_SEGMENT
    this.#pushSealed(segment)
    if (Atomics.load(control, record + SEGMENT_LIVE) === 0) {
      this.#unlinkSealed(segment)
      this.#pushFree(segment)
    }
    release(control, POOL_LOCK_WORD)
  }

  /** Says that live bytes of a segment have died. The caller may not touch the segment afterwards. */
  dropLive(segment: number, bytes: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    if (this.#countsDeaths) Atomics.add(control, DEATHS_WORD, 1)
    const before = Atomics.sub(control, record + SEGMENT_LIVE, bytes)
    if (before !== bytes) return
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

  /** Takes the oldest sealed segment out of the list, to be emptied; -1 if there is none. */
  takeOldest(): number {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    let segment = control[SEALED_OLDEST_WORD]! - 1
    while (
      segment >= 0 &&
      control[this.#view.segmentRecord(segment) + SEGMENT_STATE] !== SEALED_SEGMENT
    ) {
      segment = control[this.#view.segmentRecord(segment) + SEGMENT_NEWER]! - 1
    }
    if (segment >= 0) this.#makeVictim(segment)
    release(control, POOL_LOCK_WORD)
    return segment
  }

  /**
   * Takes the sealed segment with the fewest live bytes, if they are at most `liveMax` and were not
   * found to be stuck; -1 if there is none.
   */
  takeEmptiest(liveMax: number): number {
    const control = this.#control
    acquire(control, POOL_LOCK_WORD)
    let best = -1
    let bestLive = liveMax + 1
    const end = control[FRESH_SEGMENT_WORD]!
    for (let segment = 0; segment < end; segment++) {
      const record = this.#view.segmentRecord(segment)
      if (control[record + SEGMENT_STATE] !== SEALED_SEGMENT) continue
      const live = control[record + SEGMENT_LIVE]!
      if (live < bestLive && control[record + SEGMENT_STUCK_LIVE] !== live + 1) {
        best = segment
        bestLive = live
      }
    }
    if (best >= 0) this.#makeVictim(best)
    release(control, POOL_LOCK_WORD)
    return best
  }

  /** Puts a victim that could not be emptied back among the sealed, as the newest. */
  putBack(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    acquire(control, POOL_LOCK_WORD)
    control[record + SEGMENT_STUCK_LIVE] = Atomics.load(control, record + SEGMENT_LIVE) + 1
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

  /** Says that an item in the segment expires at `expiry` (not 0). */
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

  #makeVictim(segment: number): void {
    this.#unlinkSealed(segment)
    this.#control[this.#view.segmentRecord(segment) + SEGMENT_STATE] = VICTIM_SEGMENT
  }

  #pushFree(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    control[record + SEGMENT_STATE] = FREE_SEGMENT
    control[record + SEGMENT_NEWER] = control[FREE_FIRST_WORD]!
    control[FREE_FIRST_WORD] = segment + 1
    control[FREE_COUNT_WORD] = control[FREE_COUNT_WORD]! + 1
  }

  #pushSealed(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    const newest = control[SEALED_NEWEST_WORD]!
    control[record + SEGMENT_OLDER] = newest
    control[record + SEGMENT_NEWER] = 0
    if (newest === 0) control[SEALED_OLDEST_WORD] = segment + 1
    else control[this.#view.segmentRecord(newest - 1) + SEGMENT_NEWER] = segment + 1
    control[SEALED_NEWEST_WORD] = segment + 1
    control[SEALED_COUNT_WORD] = control[SEALED_COUNT_WORD]! + 1
  }

  #unlinkSealed(segment: number): void {
    const control = this.#control
    const record = this.#view.segmentRecord(segment)
    const older = control[record + SEGMENT_OLDER]!
    const newer = control[record + SEGMENT_NEWER]!
    if (older === 0) control[SEALED_OLDEST_WORD] = newer
    else control[this.#view.segmentRecord(older - 1) + SEGMENT_NEWER] = newer
    if (newer === 0) control[SEALED_NEWEST_WORD] = older
    else control[this.#view.segmentRecord(newer - 1) + SEGMENT_OLDER] = older
    control[SEALED_COUNT_WORD] = control[SEALED_COUNT_WORD]! - 1
  }

  get segmentCount(): number {
    return this.#segmentCount
  }
}
