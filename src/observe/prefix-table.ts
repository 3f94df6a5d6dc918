/**
 * Statistics by key prefix, what stands before the delimiter in a key: `stats detail on|off|dump`.
 * One table in shared memory, counted into by all workers, so that any of them can dump it.
 *
 *   control   lock, entries, bytes of prefixes used, how often it was cleared
 *   slots     open addressing by a keyed hash: number of the entry, counted from 1
 *   entries   where the prefix lies, its length; four counters of 64 bits
 *   bytes     the prefixes, one behind the other
 *
 * Off, it costs a request nothing beyond the look at the word of watch-memory.ts; on, it is for
 * somebody who looks for a while. A new prefix takes the lock, counting does not.
 *
 * Invariants: at most PREFIXES_MAX prefixes of PREFIX_BYTES_MAX bytes in all are kept, whatever keys
 * clients use; an entry is complete before a slot refers to it. Keys without the delimiter are not
 * counted, as in memcached.
 */
import { HalfSipHash } from '../base/hash.ts'
import { acquire, release } from '../base/lock.ts'
import { OBSERVE_PREFIXES, OBSERVED_WORD } from './watch-memory.ts'

export const PREFIXES_MAX = 10_000
export const PREFIX_BYTES_MAX: number = 1024 * 1024
export const DEFAULT_DELIMITER = 0x3a

/** More than a key has. */
const LONGEST_PREFIX_BYTES = 256
const SLOT_COUNT = 16_384

const LOCK_WORD = 0
const ENTRY_COUNT_WORD = 1
const BYTES_USED_WORD = 2
const CLEARINGS_WORD = 3
const SLOTS_WORD = 16
const ENTRIES_WORD: number = SLOTS_WORD + SLOT_COUNT
const ENTRY_WORDS = 2
const COUNTS_BYTE: number = 4 * (ENTRIES_WORD + PREFIXES_MAX * ENTRY_WORDS)
const COUNTS_PER_ENTRY = 4
const PREFIXES_BYTE: number = COUNTS_BYTE + 8 * PREFIXES_MAX * COUNTS_PER_ENTRY

/** What is counted of a prefix. */
export const PREFIX_GET = 0
export const PREFIX_HIT = 1
export const PREFIX_SET = 2
export const PREFIX_DELETE = 3

export interface PrefixMemory {
  readonly buffer: SharedArrayBuffer
  /** The byte that ends a prefix. */
  readonly delimiter: number
  readonly seed: readonly [number, number]
}

/** Pages of it that are not used are never touched. */
export function createPrefixMemory(
  delimiter: number,
  seed: readonly [number, number],
): PrefixMemory {
  return { buffer: new SharedArrayBuffer(PREFIXES_BYTE + PREFIX_BYTES_MAX), delimiter, seed }
}

/** Lines of a dump at a time. */
const LINES_PER_STEP = 64

export class PrefixTable {
  private readonly observed: Int32Array
  private readonly words: Int32Array
  private readonly counts: BigUint64Array
  private readonly prefixes: Uint8Array
  private readonly delimiter: number
  private readonly hash: HalfSipHash
  private readonly prefix: Uint8Array = new Uint8Array(LONGEST_PREFIX_BYTES)
  private readonly prefixView: DataView = new DataView(this.prefix.buffer)

  /** `observed`: the control words of the watch memory, which say whether anybody counts. */
  constructor(memory: PrefixMemory, observed: Int32Array) {
    const { buffer, delimiter, seed } = memory
    this.observed = observed
    this.words = new Int32Array(buffer, 0, COUNTS_BYTE / 4)
    this.counts = new BigUint64Array(buffer, COUNTS_BYTE, PREFIXES_MAX * COUNTS_PER_ENTRY)
    this.prefixes = new Uint8Array(buffer, PREFIXES_BYTE)
    this.delimiter = delimiter
    this.hash = new HalfSipHash(seed[0], seed[1])
  }

  get isEnabled(): boolean {
    return (Atomics.load(this.observed, OBSERVED_WORD) & OBSERVE_PREFIXES) !== 0
  }

  enable(isEnabled: boolean): void {
    if (isEnabled) Atomics.or(this.observed, OBSERVED_WORD, OBSERVE_PREFIXES)
    else Atomics.and(this.observed, OBSERVED_WORD, ~OBSERVE_PREFIXES)
  }

  /** Counts a request for the key in `[keyOffset, +keyLength)`; `what` is a PREFIX_ number. */
  count(what: number, bytes: Uint8Array, keyOffset: number, keyLength: number): void {
    let length = 0
    while (length < keyLength && bytes[keyOffset + length] !== this.delimiter) length++
    if (length === keyLength || length > LONGEST_PREFIX_BYTES) return
    for (let index = 0; index < length; index++) {
      this.prefix[index] = bytes[keyOffset + index]!
    }
    const entry = this.find(length)
    if (entry >= 0) Atomics.add(this.counts, entry * COUNTS_PER_ENTRY + what, 1n)
  }

  /** A dump that begins now. */
  dump(): PrefixDump {
    return new PrefixDump(this)
  }

  get entryCount(): number {
    return Atomics.load(this.words, ENTRY_COUNT_WORD)
  }

  /** How often it was cleared: between two equal ones every entry stays where it is. */
  get clearingCount(): number {
    return Atomics.load(this.words, CLEARINGS_WORD)
  }

  /** The line of an entry, as memcached writes it. */
  line(entry: number): string {
    const at = ENTRIES_WORD + entry * ENTRY_WORDS
    const start = this.words[at]!
    const prefix = Buffer.from(this.prefixes.slice(start, start + this.words[at + 1]!))
    const count = (what: number): bigint =>
      Atomics.load(this.counts, entry * COUNTS_PER_ENTRY + what)
    return (
      `PREFIX ${prefix.toString('latin1')} get ${count(PREFIX_GET)} hit ${count(PREFIX_HIT)} ` +
      `set ${count(PREFIX_SET)} del ${count(PREFIX_DELETE)}\r\n`
    )
  }

  /** Forgets all prefixes; what others count at this moment may be lost. */
  clear(): void {
    acquire(this.words, LOCK_WORD)
    const entryCount = this.words[ENTRY_COUNT_WORD]!
    if (entryCount === 0) {
      release(this.words, LOCK_WORD)
      return
    }
    // First of all: who dumps meanwhile must not take what comes now for what was.
    Atomics.add(this.words, CLEARINGS_WORD, 1)
    this.words.fill(0, SLOTS_WORD, ENTRIES_WORD)
    Atomics.store(this.words, ENTRY_COUNT_WORD, 0)
    Atomics.store(this.words, BYTES_USED_WORD, 0)
    this.counts.fill(0n, 0, entryCount * COUNTS_PER_ENTRY)
    release(this.words, LOCK_WORD)
  }

  /** The entry of the prefix in `this.prefix`, made if there is none; -1 if there is no room. */
  private find(length: number): number {
    const slot = this.hash.hash(this.prefixView, 0, length) & (SLOT_COUNT - 1)
    const found = this.probe(slot, length)
    if (found >= 0) return found
    acquire(this.words, LOCK_WORD)
    // Another worker may have made it in between.
    const now = this.probe(slot, length)
    const entry = now >= 0 ? now : this.insert(~now, length)
    release(this.words, LOCK_WORD)
    return entry
  }

  /** The entry, or the complement of the free slot where it belongs. */
  private probe(firstSlot: number, length: number): number {
    for (let slot = firstSlot; ; slot = (slot + 1) & (SLOT_COUNT - 1)) {
      // There are more slots than entries, so a free one comes.
      const entry = Atomics.load(this.words, SLOTS_WORD + slot) - 1
      if (entry < 0) return ~slot
      if (this.holds(entry, length)) return entry
    }
  }

  private holds(entry: number, length: number): boolean {
    const at = ENTRIES_WORD + entry * ENTRY_WORDS
    if (this.words[at + 1] !== length) return false
    const start = this.words[at]!
    for (let index = 0; index < length; index++) {
      if (this.prefixes[start + index] !== this.prefix[index]) return false
    }
    return true
  }

  private insert(slot: number, length: number): number {
    const entry = this.words[ENTRY_COUNT_WORD]!
    const start = this.words[BYTES_USED_WORD]!
    if (entry >= PREFIXES_MAX || start + length > PREFIX_BYTES_MAX) return -1
    this.prefixes.set(this.prefix.subarray(0, length), start)
    const at = ENTRIES_WORD + entry * ENTRY_WORDS
    this.words[at] = start
    this.words[at + 1] = length
    Atomics.store(this.words, BYTES_USED_WORD, start + length)
    Atomics.store(this.words, ENTRY_COUNT_WORD, entry + 1)
    Atomics.store(this.words, SLOTS_WORD + slot, entry + 1)
    return entry
  }
}

/**
 * A dump under way: one line a prefix, in the order in which they were first seen. It keeps nothing
 * but its place. A count is as of when its line is made; a prefix that comes after the dump began is
 * not in it; a dump during which the table is cleared ends there.
 */
export class PrefixDump {
  private readonly table: PrefixTable
  private readonly entryCount: number
  private readonly clearingCount: number
  private entry = 0

  constructor(table: PrefixTable) {
    this.table = table
    this.clearingCount = table.clearingCount
    this.entryCount = table.entryCount
  }

  /** The next lines; undefined after the last. */
  next(): string | undefined {
    const { table } = this
    const end = Math.min(this.entry + LINES_PER_STEP, this.entryCount)
    if (this.entry === end) return undefined
    let lines = ''
    while (this.entry < end) lines += table.line(this.entry++)
    // Looked at afterwards: another worker may clear the table, and fill it, while it is read.
    return table.clearingCount === this.clearingCount ? lines : undefined
  }
}
