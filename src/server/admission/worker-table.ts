/**
 * What the workers of one process know of each other, in one small piece of shared memory: how many
 * connections and strangers each has, who waits longest, who accepts, who is alive. With it the
 * limits hold for the process, and connections spread evenly.
 *
 *     | lock | last ticket | last connection id | resumes |      one row of 64 bytes for each worker
 *     | wake-ups | connections | strangers | waiting | oldest ticket | silent | wanted ... | beats | held ...
 *     ... and then, see source-counts.ts, the strangers of the process by where they come from, with
 *     a share for each source and worker: | strangers | waiting | wanted | waiting wanted | next |,
 *     once more those of them that wait, and once more those that nobody knows: all but the first
 *     PROVEN_MAX of each source that somebody logged in rightly from lately
 *
 * Invariants: a row's counts are written by its worker, or by another that takes a place over or asks
 * for one, always under the lock, which nobody holds for longer than a walk over the rows, however
 * many sources there are. The sum of `connections` is what the limit is held against. At least one
 * worker accepts at any time.
 *
 * A place that is taken over is `wanted` until its worker has dropped a stranger of that source for
 * it; that stranger is not counted any more, and if one waits, one of those is not. So strangers +
 * wanted of a share are the strangers that its worker has from there, and a worker that answers for a
 * wanted place has somebody to drop.
 *
 * A worker is woken up through the word `wake-ups` of its row: whoever has something for it adds to
 * the word and notifies whoever waits on it, which is its event loop. What there is to do stands in the
 * row, so two wake-ups may become one.
 */
import { assert } from '../../base/assert.ts'
import { acquire, release } from '../../base/lock.ts'
import type { SourceKey } from '../../base/source-network.ts'
import {
  NO_SOURCE,
  OWN_CROWD,
  SourceCounts,
  type SourceCountsLayout,
  sourceCountsWords,
} from './source-counts.ts'

const LOCK_WORD = 0
const TICKET_WORD = 1
const CONNECTION_ID_WORD = 2
const RESUMES_WORD = 3
const ROW_WORDS = 16

const WAKE_UPS = 0
const CONNECTIONS = 1
const STRANGERS = 2
const WAITING = 3
const OLDEST_TICKET = 4
const SILENT = 5
const WANTED_PLACES = 6
const ACCEPTS = 7
const BEATS = 8
const HELD = 9
const WANTED_FIRST = 10
const WANTED_HELD = 11

/** Of a share. */
const SHARE_STRANGERS = 0
const SHARE_WAITING = 1
const SHARE_WANTED = 2
const SHARE_WAITING_WANTED = 3
/** The next source with wanted places, END for none; 0 in one that is not in that list. */
const SHARE_NEXT = 4
const SHARE_WORDS = 5
const END = -1

/** Beside the places of -c: those taken over that their worker has not answered for yet. */
const TAKEN_SHIFT = 3
const TAKEN_MIN = 64

/** How many more strangers a site must have than a newcomer's, for one that just spoke to give way. */
const FAR = 2

/** So many strangers of a source that is known go before others; more of them are strangers like all. */
export const PROVEN_MAX = 32
/** Of a known source, so many above the limit of strangers are served: at least, or a quarter of that. */
const PROVEN_RESERVE_MIN = 8
const PROVEN_RESERVE_SHARE = 4

/** Ticks of ours without one of its own after which a worker is not waited for. */
const MISSED_BEATS_MAX = 3

/** How long a worker that has been faster than the others lets them catch up, at most. */
const CATCH_UP_MS = 0.5
/** After a wait in which none came: the others are busy, and waiting for them helps nobody. */
const NO_CATCH_UP_MS = 20

/** How far ahead of a worker that does not come another may get: so many, and an eighth of its own. */
const LEAD_MIN = 3
const LEAD_SHIFT = 3

/** No row. */
const NOBODY = -1

export interface WorkerTableMemory {
  readonly buffer: SharedArrayBuffer
  readonly workerCount: number
  readonly sourcesMax: number
  readonly seed: readonly [number, number]
}

/**
 * Connection ids count on from `lastConnectionId`. There is room for as many sources as connections
 * can be, with four workers one kilobyte for each, which are the system's until they are used; a
 * newcomer for whose source there is none finds the server full. `seed` is secret: who
 * knows it can choose addresses that take long to find.
 */
export function createWorkerTableMemory(
  workerCount: number,
  lastConnectionId: number,
  connectionsMax = 1024,
  seed: readonly [number, number] = [0, 0],
): WorkerTableMemory {
  const sourcesMax = connectionsMax + TAKEN_MIN + (connectionsMax >>> TAKEN_SHIFT)
  const layouts = layoutsOf({ sourcesMax, workerCount })
  const wordCount =
    rowOf(workerCount) +
    sourceCountsWords(layouts.strangers) +
    2 * sourceCountsWords(layouts.waiting)
  const words = new Int32Array(new SharedArrayBuffer(wordCount * 4))
  words[CONNECTION_ID_WORD] = lastConnectionId
  const { buffer } = words
  return { buffer, workerCount, sourcesMax, seed }
}

/** Of those that wait, or that nobody knows, there are no shares of their own: they are strangers. */
function layoutsOf(memory: { readonly sourcesMax: number; readonly workerCount: number }): {
  readonly strangers: SourceCountsLayout
  readonly waiting: SourceCountsLayout
} {
  const { sourcesMax, workerCount } = memory
  return {
    strangers: { sourcesMax, workerCount, shareWords: SHARE_WORDS },
    waiting: { sourcesMax, workerCount, shareWords: 0 },
  }
}

/** How often each worker's timer has ticked, for whoever watches over them. */
export function readBeats(memory: WorkerTableMemory): readonly number[] {
  const words = new Int32Array(memory.buffer)
  return Array.from({ length: memory.workerCount }, (_, index) =>
    Atomics.load(words, rowOf(index) + BEATS),
  )
}

function rowOf(workerIndex: number): number {
  return (workerIndex + 1) * ROW_WORDS
}

export class WorkerTable {
  private readonly words: Int32Array
  private readonly workerCount: number
  private readonly workerIndex: number
  private readonly row: number
  /** The sources' part of the memory, and what counts in it. */
  private readonly sourceWords: Int32Array
  private readonly sources: SourceCounts
  private readonly waiting: SourceCounts
  private readonly unknown: SourceCounts
  private readonly rows: readonly number[]
  /** By row: what `beats` was at our last tick, and our ticks since it last changed. */
  private readonly seenBeats: Int32Array
  private readonly missedBeats: Int32Array
  private noCatchUpUntilMs = 0
  /** What sources are hashed with. */
  readonly seed: readonly [number, number]
  /** What the last `takePlaceFor` that said 'ours' asks for. */
  victim: number = NO_SOURCE
  mustBeSilent = false

  constructor(memory: WorkerTableMemory, workerIndex: number) {
    this.words = new Int32Array(memory.buffer)
    this.workerCount = memory.workerCount
    this.workerIndex = workerIndex
    this.seed = memory.seed
    this.row = rowOf(workerIndex)
    const layouts = layoutsOf(memory)
    const start = rowOf(memory.workerCount)
    const waitingStart = start + sourceCountsWords(layouts.strangers)
    this.sourceWords = this.words.subarray(start, waitingStart)
    this.sources = new SourceCounts(this.sourceWords, layouts.strangers, memory.seed)
    const unknownStart = waitingStart + sourceCountsWords(layouts.waiting)
    const waitingWords = this.words.subarray(waitingStart, unknownStart)
    this.waiting = new SourceCounts(waitingWords, layouts.waiting, memory.seed)
    this.unknown = new SourceCounts(this.words.subarray(unknownStart), layouts.waiting, memory.seed)
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

  /** Takes room for one more connection in the accept queues, if fewer than `heldMax` are. */
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
   * Takes over room in the accept queue from the worker that holds most, where that is more than we would
   * hold with it. That one is asked to drop one; the room is ours already.
   */
  takeHeldOfOther(): boolean {
    const { words, row, rows } = this
    acquire(words, LOCK_WORD)
    let found = row
    for (const other of rows) if (words[other + HELD]! > words[found + HELD]!) found = other
    const isTaken = words[found + HELD]! - words[row + HELD]! >= 2
    if (isTaken) {
      words[found + HELD]!--
      words[found + WANTED_HELD]!++
      words[row + HELD]!++
    }
    release(words, LOCK_WORD)
    if (isTaken) this.wake(found)
    return isTaken
  }

  /** How much of our room others have taken over; it is ours again, for the caller drops as many. */
  answerForTakenHeld(): number {
    const { words, row } = this
    if (Atomics.load(words, row + WANTED_HELD) === 0) return 0
    acquire(words, LOCK_WORD)
    const count = words[row + WANTED_HELD]!
    words[row + WANTED_HELD] = 0
    words[row + HELD]! += count
    release(words, LOCK_WORD)
    return count
  }

  /** One connection more from there. Returns the source's number, or NO_SOURCE: there is no room. */
  holdSource(key: SourceKey): number {
    const { words } = this
    acquire(words, LOCK_WORD)
    const source = this.sources.hold(key)
    release(words, LOCK_WORD)
    return source
  }

  /** A connection less from there, one that had no place. */
  releaseSource(source: number): void {
    const { words } = this
    acquire(words, LOCK_WORD)
    this.sources.release(source)
    release(words, LOCK_WORD)
  }

  /**
   * A connection of ours from `source` is a stranger: new, or it lost its login. `isProven`: somebody
   * logged in rightly from there lately. Returns whether it goes before strangers that nobody knows.
   */
  addStranger(source: number, isProven = false): boolean {
    const { words } = this
    acquire(words, LOCK_WORD)
    const goesBefore = this.goesBefore(source, isProven)
    this.changeStrangers(source, this.workerIndex, 1, goesBefore)
    release(words, LOCK_WORD)
    return goesBefore
  }

  /** A stranger of ours from `source` has logged in. */
  loseStranger(source: number): void {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    if (this.shareWord(source, this.workerIndex, SHARE_STRANGERS) > 0) {
      this.changeStrangers(source, this.workerIndex, -1)
    } else {
      // It is the one whose place was taken over. It keeps it: until somebody leaves, the process is
      // one over the limit, and `takePlaceFor` lets nobody in.
      this.forgetWanted(source)
      words[row + CONNECTIONS]!++
    }
    release(words, LOCK_WORD)
  }

  /** A connection of ours from `source` is closed. */
  leave(source: number, isStranger: boolean): void {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    if (isStranger && this.shareWord(source, this.workerIndex, SHARE_WANTED) > 0) {
      // Its place is taken over already, and it is not counted.
      this.forgetWanted(source)
    } else {
      if (isStranger) this.changeStrangers(source, this.workerIndex, -1)
      words[row + CONNECTIONS]!--
    }
    this.sources.release(source)
    release(words, LOCK_WORD)
  }

  /** One of our strangers from `source` waits. */
  startWaiting(source: number): void {
    const { words, waiting, sourceWords } = this
    acquire(words, LOCK_WORD)
    const counted = waiting.hold(this.sources.keyOf(source))
    assert(counted !== NO_SOURCE, 'who waits has a source, so there are no more than of those')
    waiting.change(counted, 1)
    sourceWords[this.sources.shareOf(source, this.workerIndex) + SHARE_WAITING]!++
    release(words, LOCK_WORD)
  }

  /** One of our strangers from `source` waits no more; its place is still its own. */
  stopWaiting(source: number): void {
    const { words, waiting, sourceWords } = this
    acquire(words, LOCK_WORD)
    const share = this.sources.shareOf(source, this.workerIndex)
    const counted = waiting.findSource(this.sources.keyOf(source))
    if (sourceWords[share + SHARE_WAITING_WANTED]! > 0) {
      sourceWords[share + SHARE_WAITING_WANTED]!--
    } else {
      sourceWords[share + SHARE_WAITING]!--
      waiting.change(counted, -1)
    }
    waiting.release(counted)
    release(words, LOCK_WORD)
  }

  /** Strangers of `source` in the process, served or waiting. */
  sourceStrangers(source: number): number {
    return this.sources.count(source)
  }

  /** Of all sources. */
  get strangers(): number {
    return this.sources.total
  }

  /** The site that a source belongs to; a number like a source's. */
  siteOf(source: number): number {
    return this.sources.siteOf(source)
  }

  /** True when a site has fewer strangers than another, or as many in a region that has fewer. */
  hasFewer(site: number, other: number): boolean {
    return this.sources.hasFewer(site, other)
  }

  /**
   * Takes over the place of a stranger for a newcomer of `source`, see `SourceCounts.rivalOf`: one that
   * nobody knows, as long as there are such; for a newcomer that goes before those, whatever that one
   * does, and of the source that has most. First
   * one of the rival's that waits, with the worker that has most such. Where none waits, a served one;
   * unless that site has hardly more than the newcomer's: then it must be silent.
   *
   * 'taken': another worker is asked to drop one of its own; the place is ours already.
   * 'ours': the caller drops one of `victim`, a silent one if it `mustBeSilent`; if it has none such,
   * `takePlaceOfSilent` is left. 'crowd': the newcomer's source has most. 'none': nobody is to go.
   */
  takePlaceFor(
    source: number,
    connectionsMax: number,
    isProven = false,
  ): 'ours' | 'taken' | 'crowd' | 'none' {
    const { words, rows, workerIndex } = this
    acquire(words, LOCK_WORD)
    const goesBefore = this.unknown.total > 0 && this.goesBefore(source, isProven)
    const rival = this.rivalOf(source, goesBefore)
    let taken: 'ours' | 'taken' | 'crowd' | 'none' = 'none'
    let index = NOBODY
    if (rival === OWN_CROWD) taken = 'crowd'
    else if (rival !== NO_SOURCE && this.sum(CONNECTIONS) <= connectionsMax) {
      index = goesBefore ? this.chooseAnyWorker(rival) : this.chooseWorker(source, rival)
      taken = index === NOBODY || index === workerIndex ? 'ours' : 'taken'
      if (taken === 'taken') this.takePlace(index, this.victim)
    }
    release(words, LOCK_WORD)
    if (taken === 'taken') this.wake(rows[index]!)
    return taken
  }

  /** Takes over the place of a silent stranger of `source` of another worker, if there is one. */
  takePlaceOfSilent(source: number): boolean {
    const { words, rows, workerIndex } = this
    acquire(words, LOCK_WORD)
    const found = rows.findIndex(
      (row, index) =>
        index !== workerIndex &&
        words[row + SILENT]! > 0 &&
        this.shareWord(source, index, SHARE_STRANGERS) > 0,
    )
    if (found !== NOBODY) {
      words[rows[found]! + SILENT]!--
      this.takePlace(found, source)
    }
    release(words, LOCK_WORD)
    if (found === NOBODY) return false
    this.wake(rows[found]!)
    return true
  }

  /**
   * A source with a place of ours that another worker has taken over: the caller drops a stranger of
   * it, whose `leave` answers for that place. NO_SOURCE when there is none.
   */
  nextWantedSource(): number {
    const { words, row, sourceWords, sources, workerIndex } = this
    if (Atomics.load(words, row + WANTED_FIRST) === NO_SOURCE) return NO_SOURCE
    acquire(words, LOCK_WORD)
    let source = words[row + WANTED_FIRST]!
    while (source !== NO_SOURCE && this.shareWord(source, workerIndex, SHARE_WANTED) === 0) {
      const share = sources.shareOf(source, workerIndex)
      const next = sourceWords[share + SHARE_NEXT]!
      sourceWords[share + SHARE_NEXT] = 0
      sources.release(source)
      source = next === END ? NO_SOURCE : next
    }
    words[row + WANTED_FIRST] = source
    release(words, LOCK_WORD)
    return source
  }

  /**
   * Takes a stranger's place, if fewer than `strangersMax` are taken and nobody waits for one who
   * came before. Who goes before strangers that nobody knows may have one of a few more.
   */
  claimStranger(strangersMax: number, goesBefore = false): boolean {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    const reserve = Math.max(PROVEN_RESERVE_MIN, Math.floor(strangersMax / PROVEN_RESERVE_SHARE))
    const isFree = goesBefore
      ? this.sum(STRANGERS) < strangersMax + reserve
      : this.sum(STRANGERS) < strangersMax && this.findOldest() === NOBODY
    if (isFree) words[row + STRANGERS]!++
    release(words, LOCK_WORD)
    return isFree
  }

  /** The same for a connection that waits: true when it is our turn. Wakes whose turn it is. */
  claimStrangerForOldest(strangersMax: number): boolean {
    const { words, row } = this
    acquire(words, LOCK_WORD)
    const oldest = this.sum(STRANGERS) < strangersMax ? this.findOldest() : NOBODY
    if (oldest === row) words[row + STRANGERS]!++
    release(words, LOCK_WORD)
    if (oldest === row) return true
    if (oldest !== NOBODY) this.wake(oldest)
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
      if (Atomics.load(words, other + CONNECTIONS) <= own) this.wake(other)
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
    if (nowMs < this.noCatchUpUntilMs) return
    const own = Atomics.load(words, row + CONNECTIONS)
    const resumes = Atomics.load(words, RESUMES_WORD)
    const isAhead = rows.some(
      (other) =>
        Atomics.load(words, other + ACCEPTS) === 0 &&
        Atomics.load(words, other + CONNECTIONS) < own,
    )
    if (!isAhead) return
    if (Atomics.wait(words, RESUMES_WORD, resumes, CATCH_UP_MS) === 'timed-out') {
      this.noCatchUpUntilMs = nowMs + NO_CATCH_UP_MS
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

  /** Calls `run` now and, from the event loop, whenever another worker has woken this one up. */
  onWakeUp(run: () => void): void {
    const { words, row } = this
    for (;;) {
      const seen = Atomics.load(words, row + WAKE_UPS)
      run()
      const next = Atomics.waitAsync(words, row + WAKE_UPS, seen)
      if (!next.async) continue
      void next.value.then(() => this.onWakeUp(run))
      return
    }
  }

  private wake(row: number): void {
    Atomics.add(this.words, row + WAKE_UPS, 1)
    Atomics.notify(this.words, row + WAKE_UPS)
  }

  /** With the lock held: whether one more of `source` goes before strangers that nobody knows. */
  private goesBefore(source: number, isProven: boolean): boolean {
    return isProven && this.sources.count(source) - this.unknownOf(source) < PROVEN_MAX
  }

  /** With the lock held: how many of a source's strangers are as those that nobody knows. */
  private unknownOf(source: number): number {
    const { unknown } = this
    const counted = unknown.findSource(this.sources.keyOf(source))
    return counted === NO_SOURCE ? 0 : unknown.count(counted)
  }

  /** With the lock held: who has to make room, see `takePlaceFor`. */
  private rivalOf(source: number, goesBefore: boolean): number {
    const { sources, unknown } = this
    if (unknown.total === 0) return sources.rivalOf(source)
    if (goesBefore) return this.sourceOfUnknown(unknown.heaviest)
    const counted = unknown.hold(sources.keyOf(source))
    assert(
      counted !== NO_SOURCE,
      'whoever is unknown has a source, so there are no more than of those',
    )
    const rival = unknown.rivalOf(counted)
    const found = rival === OWN_CROWD || rival === NO_SOURCE ? rival : this.sourceOfUnknown(rival)
    unknown.release(counted)
    return found
  }

  private sourceOfUnknown(counted: number): number {
    return this.sources.findSource(this.unknown.keyOf(counted))
  }

  /** With the lock held: sets `victim`; one of it is dropped, whether it has just spoken or not. */
  private chooseAnyWorker(rival: number): number {
    this.victim = rival
    this.mustBeSilent = false
    const index = this.workerWithMost(rival, SHARE_WAITING)
    return index === NOBODY ? this.workerWithMost(rival, SHARE_STRANGERS) : index
  }

  /** With the lock held: sets `victim` and returns the index of the worker that is to drop it. */
  private chooseWorker(source: number, rival: number): number {
    const { sources, waiting } = this
    this.victim = rival
    this.mustBeSilent = false
    const index = this.workerWithMost(rival, SHARE_WAITING)
    if (index !== NOBODY) return index
    if (sources.isFarAhead(rival, source, FAR)) return this.workerWithMost(rival, SHARE_STRANGERS)
    if (sources.count(sources.siteOf(source)) === 0 && waiting.heaviest !== NO_SOURCE) {
      // No site has more than one stranger: one that waits may go as well as the rival's.
      this.victim = sources.findSource(waiting.keyOf(waiting.heaviest))
      return this.workerWithMost(this.victim, SHARE_WAITING)
    }
    this.mustBeSilent = true
    return NOBODY
  }

  /** With the lock held: of equal ones this worker, for it need not ask another. */
  private workerWithMost(source: number, word: number): number {
    const { workerCount, workerIndex } = this
    let found = NOBODY
    let most = 0
    for (let index = 0; index < workerCount; index++) {
      const count = this.shareWord(source, index, word)
      if (count <= 0 || count < most || (count === most && index !== workerIndex)) continue
      found = index
      most = count
    }
    return found
  }

  /** With the lock held. */
  private shareWord(source: number, workerIndex: number, word: number): number {
    return this.sourceWords[this.sources.shareOf(source, workerIndex) + word]!
  }

  /** With the lock held. */
  private changeStrangers(
    source: number,
    workerIndex: number,
    change: 1 | -1,
    goesBefore = false,
  ): void {
    const { sources, unknown } = this
    sources.change(source, change)
    if (change === 1 && !goesBefore) {
      unknown.change(unknown.hold(sources.keyOf(source)), 1)
    } else if (change === -1 && this.unknownOf(source) > sources.count(source)) {
      const counted = unknown.findSource(sources.keyOf(source))
      unknown.change(counted, -1)
      unknown.release(counted)
    }
    this.sourceWords[this.sources.shareOf(source, workerIndex) + SHARE_STRANGERS]! += change
  }

  /** With the lock held: the place of a stranger of `source` becomes ours. */
  private takePlace(workerIndex: number, source: number): void {
    const { words, sourceWords, sources } = this
    const row = rowOf(workerIndex)
    const share = sources.shareOf(source, workerIndex)
    this.changeStrangers(source, workerIndex, -1)
    sourceWords[share + SHARE_WANTED]!++
    if (sourceWords[share + SHARE_WAITING]! > 0) {
      sourceWords[share + SHARE_WAITING]!--
      sourceWords[share + SHARE_WAITING_WANTED]!++
      this.waiting.change(this.waiting.findSource(sources.keyOf(source)), -1)
    }
    if (sourceWords[share + SHARE_NEXT] === 0) {
      // It must be there still when that worker comes to it.
      sources.holdAgain(source)
      const first = words[row + WANTED_FIRST]!
      sourceWords[share + SHARE_NEXT] = first === NO_SOURCE ? END : first
      Atomics.store(words, row + WANTED_FIRST, source)
    }
    words[row + CONNECTIONS]!--
    words[row + WANTED_PLACES]!++
    words[this.row + CONNECTIONS]!++
  }

  /** With the lock held: one place of ours that was taken over is answered for. */
  private forgetWanted(source: number): void {
    const { words, row, sourceWords } = this
    const share = this.sources.shareOf(source, this.workerIndex)
    assert(sourceWords[share + SHARE_WANTED]! > 0, 'a stranger is counted, or its place was taken')
    sourceWords[share + SHARE_WANTED]!--
    words[row + WANTED_PLACES]!--
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
