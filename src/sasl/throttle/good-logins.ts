/**
 * Who logged in rightly from where. Only right logins write here, so no stranger can make a record, or make
 * one forgotten.
 *
 *     record of a user and a source: | kind | hash of both | hash of both | user | user | last | - | - |
 *     record of a source:            | kind | address      | address      | user | user | last | count | since |
 *
 * A source's count grows with each right login and is halved every ten minutes: how busy it is; its user is
 * who logged in there first. Times are tenths of a second since the server started.
 *
 * Invariant: in a full set the record that was not renewed for longest makes room; but a user who has a
 * quarter of the set already, as one with many addresses may, makes room with its own.
 */
import { HalfSipHash } from '../../base/hash.ts'
import { halveWithTime } from './half-life.ts'
import { NO_RECORD, OWN_WORDS, type RecordTable } from './record-table.ts'

const USER_HIGH = OWN_WORDS
const USER_LOW = OWN_WORDS + 1
const LAST = OWN_WORDS + 2
const COUNT = OWN_WORDS + 3
const SINCE = OWN_WORDS + 4

const PAIR_BIT = 0x1000
const HALF_LIFE_TICKS = 6000
/** A flood of right logins counts as so many. */
const COUNT_MAX = 1024
const OWN_RECORDS_MAX = 2

/** A user by the keyed hash of the name. */
export interface UserTag {
  readonly high: number
  readonly low: number
}

export class GoodLogins {
  private readonly table: RecordTable
  private readonly hash: HalfSipHash
  private readonly keyWords = new Int32Array(5)
  private pairHigh = 0
  private pairLow = 0

  constructor(table: RecordTable, seed: readonly [number, number]) {
    this.table = table
    // Not the hash of the table's sets: what it gives is the key there.
    this.hash = new HalfSipHash(~seed[0], ~seed[1])
  }

  /** A right login of a user from the source of that key. */
  note(user: UserTag, kind: number, high: number, low: number, now: number): void {
    this.hashPair(user, kind, high, low)
    const { pairHigh, pairLow } = this
    const { words } = this.table
    words[this.findOrCreate(user, kind | PAIR_BIT, pairHigh, pairLow, now) + LAST] = now
    const source = this.findOrCreate(user, kind, high, low, now)
    this.halve(source, now)
    words[source + LAST] = now
    if (words[source + COUNT]! < COUNT_MAX) words[source + COUNT]!++
  }

  /** Whether this user ever logged in from there, as far as is remembered. */
  has(user: UserTag, kind: number, high: number, low: number): boolean {
    this.hashPair(user, kind, high, low)
    return this.table.find(kind | PAIR_BIT, this.pairHigh, this.pairLow) !== NO_RECORD
  }

  /** The key of the pair that was asked for last. */
  get lastPair(): UserTag {
    return { high: this.pairHigh, low: this.pairLow }
  }

  /** Right logins from there lately. */
  count(kind: number, high: number, low: number, now: number): number {
    const record = this.table.find(kind, high, low)
    if (record === NO_RECORD) return 0
    this.halve(record, now)
    return this.table.words[record + COUNT]!
  }

  /** The tick of the last right login from there; NO_RECORD if none is remembered. */
  last(kind: number, high: number, low: number): number {
    const record = this.table.find(kind, high, low)
    return record === NO_RECORD ? NO_RECORD : this.table.words[record + LAST]!
  }

  /** Whoever has these names from now on begins anew. */
  forget(users: readonly UserTag[]): void {
    const { table } = this
    table.each((record) => {
      const isPair = (table.words[record]! & PAIR_BIT) !== 0
      if (isPair && users.some((user) => this.isOf(record, user))) table.free(record)
    })
  }

  private findOrCreate(
    user: UserTag,
    kind: number,
    high: number,
    low: number,
    now: number,
  ): number {
    const { table } = this
    const { words } = table
    const found = table.find(kind, high, low)
    if (found !== NO_RECORD) return found
    let ownCount = 0
    table.eachBeside(kind, high, low, (record) => {
      if (this.isOf(record, user)) ownCount++
    })
    const isCrowding = ownCount >= OWN_RECORDS_MAX
    const created = table.create(kind, high, low, (record) =>
      isCrowding && !this.isOf(record, user) ? Number.MAX_VALUE : words[record + LAST]!,
    )
    words[created + USER_HIGH] = user.high
    words[created + USER_LOW] = user.low
    words[created + SINCE] = now
    return created
  }

  private halve(record: number, now: number): void {
    halveWithTime(this.table.words, record + COUNT, record + SINCE, HALF_LIFE_TICKS, now)
  }

  private isOf(record: number, user: UserTag): boolean {
    const { words } = this.table
    return words[record + USER_HIGH] === user.high && words[record + USER_LOW] === user.low
  }

  private hashPair(user: UserTag, kind: number, high: number, low: number): void {
    const { keyWords, hash } = this
    keyWords[0] = user.high
    keyWords[1] = user.low
    keyWords[2] = kind
    keyWords[3] = high
    keyWords[4] = low
    this.pairHigh = hash.hashWords(keyWords, 0, 20)
    this.pairLow = hash.more
  }
}
