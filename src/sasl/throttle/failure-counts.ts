/**
 * How often logins failed lately, by whom it is counted: a source, the network around it, a user. When
 * there are too many, who is counted there is refused for a while, then for twice as long each time, up
 * to a bound.
 *
 *     record: | kind | key | key | count | since | until | level | checked |
 *
 * A count is halved each minute, so that who makes a mistake now and then never comes near the limit.
 * While somebody is refused nothing is counted and nothing is halved: when the time is over, one failure
 * more is enough, and the next time is longer. Each quiet bound's length after it takes one step back.
 *
 * Who is not refused with the others is still checked only so often meanwhile (`takeCheck`).
 *
 * Counts are quarters of a failure, times are tenths of a second since the server started.
 *
 * Invariant: in a full set the newest comes in for the record with the lowest count, those that are
 * refused last of all. So a crowd of sources that failed once each does not make anybody forgotten who
 * failed often.
 */
import { halveWithTime } from './half-life.ts'
import { NO_RECORD, OWN_WORDS, type RecordTable } from './record-table.ts'

const COUNT = OWN_WORDS
const SINCE = OWN_WORDS + 1
const UNTIL = OWN_WORDS + 2
const LEVEL = OWN_WORDS + 3
const CHECKED = OWN_WORDS + 4

/** What a failed login adds to a count. */
export const FAILURE = 4
/** An exchange that is left before the end tries no password, and a storm makes clients leave. */
export const ABANDONED = 1

export const TICK_MS = 100
const HALF_LIFE_TICKS = 600
/** Between two checks of who is not refused with the others: five a second. */
const CHECK_TICKS = 2
/** Twice as long so often at most; any bound is reached before. */
const LEVEL_MAX = 20
/** Above every count. */
const REFUSED_WEIGHT = 2 ** 40

export class FailureCounts {
  private readonly table: RecordTable
  private readonly refusalTicksMin: number
  private readonly refusalTicksMax: number
  /** Set by `add`: it was this failure by which a refusal began. */
  hasBegun = false

  constructor(table: RecordTable, refusalTicksMin: number, refusalTicksMax: number) {
    this.table = table
    this.refusalTicksMin = refusalTicksMin
    this.refusalTicksMax = refusalTicksMax
  }

  /** The tick at which a refusal is over; 0 of who is not refused now. */
  refusedUntil(kind: number, high: number, low: number, now: number): number {
    const record = this.table.find(kind, high, low)
    if (record === NO_RECORD) return 0
    const until = this.table.words[record + UNTIL]!
    return until > now ? until : 0
  }

  /** The tick at which the last refusal was or is over; 0 of who is not known. */
  lastRefusedUntil(kind: number, high: number, low: number): number {
    const record = this.table.find(kind, high, low)
    return record === NO_RECORD ? 0 : this.table.words[record + UNTIL]!
  }

  /** Whether there may be a check now of who is not refused with the others; if so, it is the last one. */
  takeCheck(kind: number, high: number, low: number, now: number): boolean {
    const { words } = this.table
    const record = this.table.find(kind, high, low)
    if (record === NO_RECORD) return true
    this.halve(record, now)
    // Who has not failed lately has nothing to do with it.
    if (words[record + COUNT] === 0) return true
    if (now - words[record + CHECKED]! < CHECK_TICKS) return false
    words[record + CHECKED] = now
    return true
  }

  /** Counts a failure. Returns the count with it; from `limit` on a refusal begins. */
  add(kind: number, high: number, low: number, by: number, limit: number, now: number): number {
    const { table } = this
    const { words } = table
    this.hasBegun = false
    let record = table.find(kind, high, low)
    if (record === NO_RECORD) {
      record = table.create(kind, high, low, (each) => this.weigh(each, now))
      words[record + SINCE] = now
    }
    this.halve(record, now)
    // What was under way when the refusal began.
    if (words[record + UNTIL]! > now) return Math.max(words[record + COUNT]!, limit)
    const count = words[record + COUNT]! + by
    words[record + COUNT] = count
    if (count >= limit) this.refuse(record, now)
    return count
  }

  /** As `add`, of what leads to no refusal: no more is counted than `most`. */
  addUpTo(kind: number, high: number, low: number, by: number, most: number, now: number): number {
    const left = most - this.countWith(kind, high, low, 0, most, now)
    return this.add(kind, high, low, Math.min(by, left), Number.POSITIVE_INFINITY, now)
  }

  /** What `add` would return, and nothing is counted. */
  countWith(
    kind: number,
    high: number,
    low: number,
    by: number,
    limit: number,
    now: number,
  ): number {
    const { words } = this.table
    const record = this.table.find(kind, high, low)
    if (record === NO_RECORD) return by
    this.halve(record, now)
    const count = words[record + COUNT]!
    return words[record + UNTIL]! > now ? Math.max(count, limit) : count + by
  }

  private refuse(record: number, now: number): void {
    const { words } = this.table
    const quietTicks = words[record + UNTIL] === 0 ? 0 : now - words[record + UNTIL]!
    const forgotten = Math.floor(quietTicks / this.refusalTicksMax)
    const level = Math.max(words[record + LEVEL]! - forgotten, 0)
    const until = now + Math.min(this.refusalTicksMin * 2 ** level, this.refusalTicksMax)
    words[record + LEVEL] = Math.min(level + 1, LEVEL_MAX)
    words[record + UNTIL] = until
    words[record + SINCE] = until
    this.hasBegun = true
  }

  private halve(record: number, now: number): void {
    halveWithTime(this.table.words, record + COUNT, record + SINCE, HALF_LIFE_TICKS, now)
  }

  private weigh(record: number, now: number): number {
    const { words } = this.table
    const until = words[record + UNTIL]!
    if (until > now) return REFUSED_WEIGHT + until
    this.halve(record, now)
    return words[record + COUNT]!
  }
}
