/**
 * The sealed segments: a list for each group, in the order of sealing, and which of all is due to be emptied
 * (README.md, "When a segment is due").
 *
 * Invariant: each list has the segments of its group that are sealed or crawled, oldest first, and the counts
 * are those of the lists. All of it is read and changed under the pool lock.
 */
import {
  ENDS_GROUP,
  EPOCH_WORD,
  FLOORS_WORD,
  GROUPS_MAX,
  LIST_NEWEST,
  LIST_OLDEST,
  LIST_WORDS,
  LISTS_WORD,
  MAIN_QUEUE,
  QUEUE_GROUPS,
  SEALED_COUNT_WORD,
  SEALED_EVER_WORD,
  SEALED_SEGMENT,
  SEGMENT_DUE,
  SEGMENT_EPOCH,
  SEGMENT_FIRST,
  SEGMENT_GROUP,
  SEGMENT_NEWER,
  SEGMENT_OLDER,
  SEGMENT_SEQUENCE,
  SEGMENT_STATE,
  SMALL_COUNT_WORD,
  SMALL_QUEUE,
} from './control-block.ts'
import { queueOf, rankOf } from './group.ts'
import type { MemoryView } from './memory-view.ts'

/** Among so many segments one with room behind the end of an item is searched. */
const END_LOOKS = 16

/**
 * So large a part of the sealed segments (1/64, 1/16), and at least so many, are sealed after a segment
 * before it is emptied for its rank.
 */
const SMALL_GRACE_SHIFT = 6
const SMALL_GRACE_MIN = 8
const MAIN_GRACE_SHIFT = 4
const MAIN_GRACE_MIN = 16

export class SealedLists {
  private readonly view: MemoryView
  private readonly control: Int32Array
  private readonly isRanked: boolean

  constructor(view: MemoryView) {
    this.view = view
    this.control = view.control
    this.isRanked = view.geometry.ranksBySize
  }

  /** The oldest segment of a group that is not being crawled, or -1. */
  oldestOf(group: number): number {
    const control = this.control
    let segment = control[LISTS_WORD + group * LIST_WORDS + LIST_OLDEST]! - 1
    // Two segments a worker at most are: one that the crawler has begun, and one that is sampled.
    while (
      segment >= 0 &&
      control[this.view.segmentRecord(segment) + SEGMENT_STATE] !== SEALED_SEGMENT
    ) {
      segment = control[this.view.segmentRecord(segment) + SEGMENT_NEWER]! - 1
    }
    return segment
  }

  /**
   * The next group of the main queue after `last` that has segments, and its oldest into `segments`, -1 behind
   * the last of them. `last` itself if there is none but that.
   */
  oldestOfNext(last: number, segments: Int32Array): number {
    const control = this.control
    let group = last
    let segment = -1
    for (let step = 1; step <= QUEUE_GROUPS && segment < 0; step++) {
      group = MAIN_QUEUE * QUEUE_GROUPS + ((last + step) % QUEUE_GROUPS)
      segment = this.oldestOf(group)
    }
    segments.fill(-1)
    for (let place = 0; place < segments.length && segment >= 0; place++) {
      segments[place] = segment
      segment = control[this.view.segmentRecord(segment) + SEGMENT_NEWER]! - 1
    }
    return group
  }

  /** Of the time from when a segment was opened until it is due, how much is over: 0 to 1. */
  shareOfTime(segment: number): number {
    const control = this.control
    const record = this.view.segmentRecord(segment)
    const group = control[record + SEGMENT_GROUP]!
    const left = (control[record + SEGMENT_DUE]! - control[FLOORS_WORD + queueOf(group)]!) | 0
    return Math.min(1, Math.max(0, 1 - left / 2 ** rankOf(group)))
  }

  /** Puts a segment at the end of the list of its group, as the newest of all. */
  push(segment: number): void {
    const control = this.control
    const record = this.view.segmentRecord(segment)
    const group = control[record + SEGMENT_GROUP]!
    const list = LISTS_WORD + group * LIST_WORDS
    const newest = control[list + LIST_NEWEST]!
    control[record + SEGMENT_OLDER] = newest
    control[record + SEGMENT_NEWER] = 0
    control[record + SEGMENT_SEQUENCE] = control[SEALED_EVER_WORD]!
    control[SEALED_EVER_WORD] = control[SEALED_EVER_WORD]! + 1
    if (newest === 0) control[list + LIST_OLDEST] = segment + 1
    else control[this.view.segmentRecord(newest - 1) + SEGMENT_NEWER] = segment + 1
    control[list + LIST_NEWEST] = segment + 1
    this.count(group, 1)
  }

  /** Takes a segment out of the list of its group. */
  unlink(segment: number): void {
    const control = this.control
    const record = this.view.segmentRecord(segment)
    const group = control[record + SEGMENT_GROUP]!
    const list = LISTS_WORD + group * LIST_WORDS
    const older = control[record + SEGMENT_OLDER]!
    const newer = control[record + SEGMENT_NEWER]!
    if (older === 0) control[list + LIST_OLDEST] = newer
    else control[this.view.segmentRecord(older - 1) + SEGMENT_NEWER] = newer
    if (newer === 0) control[list + LIST_NEWEST] = older
    else control[this.view.segmentRecord(newer - 1) + SEGMENT_OLDER] = older
    this.count(group, -1)
  }

  private count(group: number, difference: number): void {
    const control = this.control
    control[SEALED_COUNT_WORD] = control[SEALED_COUNT_WORD]! + difference
    if (queueOf(group) === SMALL_QUEUE) {
      control[SMALL_COUNT_WORD] = control[SMALL_COUNT_WORD]! + difference
    }
  }

  /**
   * That which is due first among those that were sealed long enough ago, and of those due at once the
   * oldest; where all are young, the oldest, unless it was not sealed before `sealedBefore` and `sparesNew`.
   * -1 if there is none. Numbers wrap: it is their difference that tells which is first.
   */
  nextOf(queue: number, sealedBefore: number, sparesNew: boolean): number {
    const control = this.control
    const grace = this.isRanked ? this.graceOf(queue) : 0
    let next = -1
    let nextDue = 0
    let nextAge = 0
    const first = queue * QUEUE_GROUPS
    for (let group = first; group < first + QUEUE_GROUPS; group++) {
      const segment = this.oldestOf(group)
      if (segment < 0) continue
      const record = this.view.segmentRecord(segment)
      const age = (sealedBefore - control[record + SEGMENT_SEQUENCE]!) | 0
      const due = control[record + SEGMENT_DUE]!
      const order = age > grace && nextAge > grace ? (due - nextDue) | 0 : 0
      if (next < 0 || order < 0 || (order === 0 && age > nextAge)) {
        next = segment
        nextDue = due
        nextAge = age
      }
    }
    return sparesNew && nextAge <= 0 ? -1 : next
  }

  /** Whether a segment is so new that its items had no chance to be read. */
  isYoung(segment: number, queue: number, sealedBefore: number): boolean {
    const sequence = this.control[this.view.segmentRecord(segment) + SEGMENT_SEQUENCE]!
    return ((sealedBefore - sequence) | 0) <= (this.isRanked ? this.graceOf(queue) : 0)
  }

  /** How many segments are sealed after one before it is anybody's turn in it: what is new must have a chance to be read. */
  private graceOf(queue: number): number {
    const sealed = this.control[SEALED_COUNT_WORD]!
    return queue === SMALL_QUEUE
      ? Math.max(sealed >> SMALL_GRACE_SHIFT, SMALL_GRACE_MIN)
      : Math.max(sealed >> MAIN_GRACE_SHIFT, MAIN_GRACE_MIN)
  }

  /** Whether the items of an open segment have had the time that is theirs. */
  isAged(segment: number, roundSegments: number): boolean {
    const control = this.control
    const record = this.view.segmentRecord(segment)
    if (this.isRanked) {
      const floor = control[FLOORS_WORD + queueOf(control[record + SEGMENT_GROUP]!)]!
      return ((floor - control[record + SEGMENT_DUE]!) | 0) > 0
    }
    const sealedSince = (control[SEALED_EVER_WORD]! - control[record + SEGMENT_SEQUENCE]!) | 0
    return sealedSince > roundSegments
  }

  /** When a segment of that group that is opened now will be due. */
  dueOf(group: number): number {
    if (!this.isRanked || group >= GROUPS_MAX) return 0
    return (this.control[FLOORS_WORD + queueOf(group)]! + 2 ** rankOf(group)) | 0
  }

  /** With -M: one with room for a record behind the end of an item, among the oldest few; -1 if there is none. */
  findEnd(recordBytes: number): number {
    const control = this.control
    const epoch = Atomics.load(control, EPOCH_WORD)
    let segment = control[LISTS_WORD + ENDS_GROUP * LIST_WORDS + LIST_OLDEST]! - 1
    for (let looked = 0; segment >= 0 && looked < END_LOOKS; looked++) {
      const record = this.view.segmentRecord(segment)
      if (
        control[record + SEGMENT_STATE] === SEALED_SEGMENT &&
        control[record + SEGMENT_EPOCH] === epoch &&
        control[record + SEGMENT_FIRST]! + recordBytes <= this.view.segmentBytes
      ) {
        return segment
      }
      segment = control[record + SEGMENT_NEWER]! - 1
    }
    return -1
  }
}
