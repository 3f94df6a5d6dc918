/**
 * A fixed number of records in shared memory, found by three words of key. It holds what is remembered of
 * strangers, so it neither grows nor can be filled: each key has its place in one set of eight, chosen by a
 * hash whose key is secret, and in a set that is full the record that weighs least makes room.
 *
 *     | set 0: 8 records | set 1 ...          record: | kind | key | key | five words of the owner's |
 *
 * Invariant: a record whose kind is 0 is free, and all of its words are 0. Everything here is read and
 * written under the caller's lock.
 */
import { HalfSipHash } from '../../base/hash.ts'

const WAYS = 8
export const RECORD_WORDS = 8
const KIND = 0
const KEY_HIGH = 1
const KEY_LOW = 2
/** The first of the owner's words. */
export const OWN_WORDS = 3

/** No such record. */
export const NO_RECORD = -1

/** A power of two. */
export function recordTableWords(setCount: number): number {
  return setCount * WAYS * RECORD_WORDS
}

export class RecordTable {
  readonly words: Int32Array
  private readonly hash: HalfSipHash
  private readonly keyWords = new Int32Array(3)
  private readonly setMask: number

  /** `words` are this table's alone, zero at first; every user of it has the same `seed`. */
  constructor(words: Int32Array, seed: readonly [number, number]) {
    this.words = words
    this.hash = new HalfSipHash(seed[0], seed[1])
    this.setMask = words.length / (WAYS * RECORD_WORDS) - 1
  }

  /** Where the record begins in `words`, or NO_RECORD. */
  find(kind: number, high: number, low: number): number {
    const { words } = this
    const start = this.setOf(kind, high, low)
    const end = start + WAYS * RECORD_WORDS
    for (let at = start; at < end; at += RECORD_WORDS) {
      if (
        words[at + KIND] === kind &&
        words[at + KEY_HIGH] === high &&
        words[at + KEY_LOW] === low
      ) {
        return at
      }
    }
    return NO_RECORD
  }

  /** A record of a key that has none; that of the least weight, by `weigh`, makes room for it. */
  create(kind: number, high: number, low: number, weigh: (record: number) => number): number {
    const { words } = this
    const start = this.setOf(kind, high, low)
    const end = start + WAYS * RECORD_WORDS
    let chosen = start
    let least = Number.POSITIVE_INFINITY
    for (let at = start; at < end; at += RECORD_WORDS) {
      const weight = words[at + KIND] === 0 ? Number.NEGATIVE_INFINITY : weigh(at)
      if (weight >= least) continue
      chosen = at
      least = weight
    }
    words.fill(0, chosen, chosen + RECORD_WORDS)
    words[chosen + KIND] = kind
    words[chosen + KEY_HIGH] = high
    words[chosen + KEY_LOW] = low
    return chosen
  }

  /** Calls `visit` with every record of the set that this key belongs to. */
  eachBeside(kind: number, high: number, low: number, visit: (record: number) => void): void {
    const start = this.setOf(kind, high, low)
    for (let way = 0; way < WAYS; way++) {
      const at = start + way * RECORD_WORDS
      if (this.words[at + KIND] !== 0) visit(at)
    }
  }

  /** Calls `visit` with every record there is. */
  each(visit: (record: number) => void): void {
    for (let at = 0; at < this.words.length; at += RECORD_WORDS) {
      if (this.words[at + KIND] !== 0) visit(at)
    }
  }

  free(record: number): void {
    this.words.fill(0, record, record + RECORD_WORDS)
  }

  private setOf(kind: number, high: number, low: number): number {
    const { keyWords } = this
    keyWords[0] = kind
    keyWords[1] = high
    keyWords[2] = low
    const set = this.hash.hashWords(keyWords, 0, 12) & this.setMask
    return set * WAYS * RECORD_WORDS
  }
}
