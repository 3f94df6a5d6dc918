/**
 * What the workers of one process know of each other, in one small piece of shared memory: how many
 * connections and strangers each has, who waits longest, who accepts, who is alive. With it the
 * limits hold for the process, and connections spread evenly.
 *
 *     | lock | last ticket | last connection id | resumes |      one row of 64 bytes for each worker
 *     | bell | connections | strangers | waiting | oldest ticket | silent | wanted ... | beats | held ...
 *     ... and then, for each worker: | strangers, served or waiting, of the sources 0 to 1023 |
 *
 * A source is a hash of an address (`sourceIndex`), with a seed that nobody outside knows; two that
 * share a number count as one.
 *
 * Invariants: a row's counts are written by its worker, or by another that takes a place over or asks
 * for one, always under the lock, which nobody holds for longer than a walk over the rows. The sum of
 * `connections` is what the limit is held against. At least one worker accepts at any time.
 *
 * A worker is called by its bell: whoever rings it adds to the word, and the sleeper's event loop
 * wakes. What there is to do stands in the row; a bell that rings twice is answered once.
 */
import { acquire, release } from '../storage/lock.ts'

const LOCK_WORD = 0
const TICKET_WORD = 1
const CONNECTION_ID_WORD = 2
const RESUMES_WORD = 3
const SEED_WORD = 4
const ROW_WORDS = 16
/** A power of two. */
const SOURCE_COUNT = 1024

const BELL = 0
const CONNECTIONS = 1
const STRANGERS = 2
const WAITING = 3
const OLDEST_TICKET = 4
const SILENT = 5
const WANTED_PLACES = 6
const ACCEPTS = 7
const BEATS = 8
const HELD = 9

/** Ticks of ours without one of its own after which a worker is not waited for. */
const MISSED_BEATS_MAX = 3

/** How long a worker that has been faster than the others lets them catch up, at most. */
const NAP_MS = 0.5
/** After a nap in which nobody came: the others are busy, and waiting for them helps nobody. */
const NAPLESS_MS = 20

/** How far ahead of a worker that does not come another may get: so many, and an eighth of its own. */
const LEAD_MIN = 3
const LEAD_SHIFT = 3

/** No row. */
const NOBODY = -1

export interface RosterMemory {
  readonly buffer: SharedArrayBuffer
  readonly workerCount: number
}

/** Connection ids count on from `lastConnectionId`. `seed` is what sources are hashed with. */
export function createRosterMemory(
  workerCount: number,
  lastConnectionId: number,
  seed = 0,
): RosterMemory {
  const wordCount = (workerCount + 1) * ROW_WORDS + workerCount * SOURCE_COUNT
  const words = new Int32Array(new SharedArrayBuffer(wordCount * 4))
  words[CONNECTION_ID_WORD] = lastConnectionId
  words[SEED_WORD] = seed
  const { buffer } = words
  return { buffer, workerCount }
}

/** How often each worker's timer has ticked, for whoever watches over them. */
export function readBeats(memory: RosterMemory): readonly number[] {
  const words = new Int32Array(memory.buffer)
  return Array.from({ length: memory.workerCount }, (_, index) =>
    Atomics.load(words, rowOf(index) + BEATS),
  )
}

function rowOf(workerIndex: number): number {
  return (workerIndex + 1) * ROW_WORDS
}

/** Where the strangers of a worker are counted by source. */
function sourcesOf(workerIndex: number, workerCount: number): number {
  return rowOf(workerCount) + workerIndex * SOURCE_COUNT
}

export class Roster {
  private readonly words: Int32Array
  private readonly workerCount: number
  private readonly row: number
  private readonly sources: number
  private readonly rows: readonly number[]
  /** By row: what `beats` was at our last tick, and our ticks since it last changed. */
  private readonly seenBeats: Int32Array
  private readonly missedBeats: Int32Array
  private naplessUntilMs = 0

  constructor(memory: RosterMemory, workerIndex: number) {
    this.words = new Int32Array(memory.buffer)
    this.workerCount = memory.workerCount
    this.row = rowOf(workerIndex)
    this.sources = sourcesOf(workerIndex, memory.workerCount)
    this.rows = Array.from({ length: memory.workerCount }, (_, index) => rowOf(index))
    this.seenBeats = new Int32Array(memory.workerCount)
    this.missedBeats = new Int32Array(memory.workerCount)
  }

  nextConnectionId(): number {
    return Atomics.add(this.words, CONNECTION_ID_WORD, 1) + 1
  }

  /** Takes one more place, if fewer than `connectionsMax` are taken in the process. */
  claimPlace(connectionsMax: number): boolean {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    const isFree = this.sum(CONNECTIONS) < connectionsMax
    if (isFree) words[row + CONNECTIONS]!++
    release(words, LOCK_WORD)
    return isFree
  }

  givePlaceBack(): void {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    words[row + CONNECTIONS]!--
    release(words, LOCK_WORD)
  }

  /** Takes room for one more connection that is held at the door, if fewer than `heldMax` are. */
  claimHeld(heldMax: number): boolean {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    const isFree = this.sum(HELD) < heldMax
    if (isFree) words[row + HELD]!++
    release(words, LOCK_WORD)
    return isFree
  }

  giveHeldBack(): void {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    words[row + HELD]!--
    release(words, LOCK_WORD)
  }

  /**
   * Takes over a place of those that wait: with the worker that has most strangers of `source` among
   * the workers where somebody waits. 'ours' when that is this one, and the caller drops whom it
   * chooses. Another worker is asked to drop one of its own; the place is ours already.
   */
  takePlaceOfWaiting(source: number): 'ours' | 'taken' | 'none' {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    let found = NOBODY
    let foundCount = -1
    for (const [index, other] of this.rows.entries()) {
      if (words[other + WAITING]! <= words[other + WANTED_PLACES]!) continue
      const count = words[sourcesOf(index, this.workerCount) + source]!
      if (count < foundCount || (count === foundCount && other !== row)) continue
      found = other
      foundCount = count
    }
    if (found !== NOBODY && found !== row) this.takePlace(found)
    release(words, LOCK_WORD)
    if (found === NOBODY) return 'none'
    if (found === row) return 'ours'
    this.ring(found)
    return 'taken'
  }

  /** The number that strangers of this address are counted under. */
  sourceIndex(address: string): number {
    let hash = this.words[SEED_WORD]!
    for (let at = 0; at < address.length; at++) {
      // In this order, addresses that differ in their last character only never share a number.
      hash = Math.imul(hash ^ (hash >>> 15) ^ address.charCodeAt(at), 0x01000193)
    }
    return (hash >>> 0) % SOURCE_COUNT
  }

  /** Counts one stranger of `source` more, or one less. */
  countSource(source: number, change: 1 | -1): void {
    Atomics.add(this.words, this.sources + source, change)
  }

  /** Strangers of `source` in the process, served or waiting. */
  sourceStrangers(source: number): number {
    let sum = 0
    for (let index = 0; index < this.workerCount; index++) {
      sum += Atomics.load(this.words, sourcesOf(index, this.workerCount) + source)
    }
    return sum
  }

  /** The source that has most strangers, how many, and how many all sources have together. */
  heaviestSource(): { source: number; count: number; total: number } {
    const heaviest = { source: 0, count: 0, total: 0 }
    for (let source = 0; source < SOURCE_COUNT; source++) {
      const count = this.sourceStrangers(source)
      heaviest.total += count
      if (count <= heaviest.count) continue
      heaviest.source = source
      heaviest.count = count
    }
    return heaviest
  }

  /** The same for a place of another worker's silent stranger; false when there is none. */
  takePlaceOfSilent(): boolean {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    let found = NOBODY
    for (const other of this.rows) {
      if (other !== row && words[other + SILENT]! > 0) found = other
    }
    if (found !== NOBODY) {
      words[found + SILENT]!--
      this.takePlace(found)
    }
    release(words, LOCK_WORD)
    if (found === NOBODY) return false
    this.ring(found)
    return true
  }

  /**
   * How many of our places others have taken over. They are ours again with this call: the caller
   * gives up as many connections, each of which gives its place back.
   */
  answerForTakenPlaces(): number {
    const { words, row } = this
    if (Atomics.load(words, row + WANTED_PLACES) === 0) return 0
    acquire(words, LOCK_WORD)
    const count = words[row + WANTED_PLACES]!
    words[row + WANTED_PLACES] = 0
    words[row + CONNECTIONS]! += count
    release(words, LOCK_WORD)
    return count
  }

  /**
   * Takes a stranger's place, if fewer than `strangersMax` are taken and nobody waits for one who
   * came before.
   */
  claimStranger(strangersMax: number): boolean {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    const isFree = this.sum(STRANGERS) < strangersMax && this.findOldest() === NOBODY
    if (isFree) words[row + STRANGERS]!++
    release(words, LOCK_WORD)
    return isFree
  }

  /** The same for a connection that waits: true when it is our turn. Rings whose turn it is. */
  claimStrangerForOldest(strangersMax: number): boolean {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    const oldest = this.sum(STRANGERS) < strangersMax ? this.findOldest() : NOBODY
    if (oldest === row) words[row + STRANGERS]!++
    release(words, LOCK_WORD)
    if (oldest === row) return true
    if (oldest !== NOBODY) this.ring(oldest)
    return false
  }

  /** Counts a stranger that is there in any case: one that lost its login (1), or is none any more. */
  countStranger(change: 1 | -1): void {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    words[row + STRANGERS]! += change
    release(words, LOCK_WORD)
  }

  /** A number that tells who of two that wait came first. */
  nextTicket(): number {
    return Atomics.add(this.words, TICKET_WORD, 1) + 1
  }

  /** Tells the others how many of ours wait, and the ticket of the oldest. */
  publishWaiting(waitingCount: number, oldestTicket: number): void {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    words[row + WAITING] = waitingCount
    words[row + OLDEST_TICKET] = oldestTicket
    release(words, LOCK_WORD)
  }

  /** Tells the others how many of our strangers would make room for a newcomer. */
  publishSilent(count: number): void {
    Atomics.store(this.words, this.row + SILENT, count)
  }

  /** True while connections wait for a stranger's place, anywhere. */
  get isCrowded(): boolean {
    const { words } = this
    return this.rows.some((row) => Atomics.load(words, row + WAITING) > 0)
  }

  /** True when this worker shares its process, and its sockets, with others. */
  get hasOthers(): boolean {
    return this.workerCount > 1
  }

  /**
   * Decides whether this worker goes on accepting, and says so to the others. It leaves newcomers to
   * those that have fewer connections, as long as one of them accepts and is alive; those that have
   * no more than we are called back.
   */
  balance(): boolean {
    const { words, row, rows } = this
    acquire(words, LOCK_WORD)
    const own = words[row + CONNECTIONS]!
    const accepted = words[row + ACCEPTS] === 1
    const accepts = !rows.some(
      (other, index) =>
        other !== row &&
        words[other + ACCEPTS] === 1 &&
        words[other + CONNECTIONS]! < own &&
        this.missedBeats[index]! < MISSED_BEATS_MAX,
    )
    words[row + ACCEPTS] = accepts ? 1 : 0
    release(words, LOCK_WORD)
    if (!accepts) return false
    if (!accepted) {
      Atomics.add(words, RESUMES_WORD, 1)
      Atomics.notify(words, RESUMES_WORD)
    }
    for (const other of rows) {
      if (other === row || Atomics.load(words, other + ACCEPTS) === 1) continue
      if (Atomics.load(words, other + CONNECTIONS) <= own) this.ring(other)
    }
    return true
  }

  /**
   * After an accept. In a burst, the one worker that is awake would take most of it before those that
   * it has called back are there: it sleeps until one of them is, for a moment at most, and not again
   * soon if none came.
   */
  awaitOthers(nowMs: number): void {
    const { words, row, rows } = this
    if (nowMs < this.naplessUntilMs) return
    const own = Atomics.load(words, row + CONNECTIONS)
    const resumes = Atomics.load(words, RESUMES_WORD)
    const isAhead = rows.some(
      (other) =>
        Atomics.load(words, other + ACCEPTS) === 0 &&
        Atomics.load(words, other + CONNECTIONS) < own,
    )
    if (!isAhead) return
    if (Atomics.wait(words, RESUMES_WORD, resumes, NAP_MS) === 'timed-out') {
      this.naplessUntilMs = nowMs + NAPLESS_MS
    }
  }

  /**
   * Hands accepting over to those that do not, have far fewer connections than we, and did not come
   * when they were called; true when there are any, and this worker is not to accept now. The machine is
   * busy: they come when they get to run, and newcomers wait for that in the system's queue. One that
   * is not alive is left out, see `balance`.
   */
  handOver(): boolean {
    const { words, row, rows } = this
    acquire(words, LOCK_WORD)
    const own = words[row + CONNECTIONS]!
    const lead = LEAD_MIN + (own >>> LEAD_SHIFT)
    let isHandedOver = false
    for (const [index, other] of rows.entries()) {
      if (other === row || this.missedBeats[index]! >= MISSED_BEATS_MAX) continue
      if (own - words[other + CONNECTIONS]! < lead) continue
      words[other + ACCEPTS] = 1
      isHandedOver = true
    }
    if (isHandedOver) words[row + ACCEPTS] = 0
    release(words, LOCK_WORD)
    return isHandedOver
  }

  /** This worker stops for good: it neither accepts nor counts as one that does. */
  retire(): void {
    Atomics.store(this.words, this.row + ACCEPTS, 0)
  }

  /** To be called by the worker's coarse timer: a sign of life, and a look for those of others. */
  beat(): void {
    const { words, row, rows, seenBeats, missedBeats } = this
    Atomics.add(words, row + BEATS, 1)
    for (const [index, other] of rows.entries()) {
      const beats = Atomics.load(words, other + BEATS)
      missedBeats[index] = beats === seenBeats[index] ? missedBeats[index]! + 1 : 0
      seenBeats[index] = beats
    }
  }

  /** Calls `answer` now and, from the event loop, whenever the bell has been rung. */
  answerBell(answer: () => void): void {
    const { words, row } = this
    for (;;) {
      const rung = Atomics.load(words, row + BELL)
      answer()
      const next = Atomics.waitAsync(words, row + BELL, rung)
      if (!next.async) continue
      void next.value.then(() => this.answerBell(answer))
      return
    }
  }

  private ring(row: number): void {
    Atomics.add(this.words, row + BELL, 1)
    Atomics.notify(this.words, row + BELL)
  }

  /** With the lock held: the place of `row`'s becomes ours. */
  private takePlace(row: number): void {
    const { words } = this
    words[row + CONNECTIONS]!--
    words[row + WANTED_PLACES]!++
    words[this.row + CONNECTIONS]!++
  }

  /** With the lock held: the row whose connection waits longest and is not spoken for. */
  private findOldest(): number {
    const { words } = this
    let found = NOBODY
    for (const row of this.rows) {
      if (words[row + WAITING]! <= words[row + WANTED_PLACES]!) continue
      const isOlder =
        found === NOBODY || ((words[row + OLDEST_TICKET]! - words[found + OLDEST_TICKET]!) | 0) < 0
      if (isOlder) found = row
    }
    return found
  }

  /** With the lock held. */
  private sum(column: number): number {
    let sum = 0
    for (const row of this.rows) sum += this.words[row + column]!
    return sum
  }
}
