/**
 * The strangers of the process by where they come from, and who of them has to give its place to a newcomer: those of the
 * source that has most, and among them such that wait, or that nobody knows.
 *
 *     a share for each source and worker: | strangers | waiting | wanted | waiting wanted | next |
 *
 * Invariant: a place that is taken over is `wanted` until its worker has dropped a stranger of that source for
 * it; that stranger is not counted any more, and if one waits, one of those is not. So strangers +
 * wanted of a share are the strangers that its worker has from there, and a worker that answers for a
 * wanted place has somebody to drop.
 */
import { assert } from '../../base/assert.ts'
import type { SourceKey } from '../../base/source-network.ts'
import { NO_SOURCE, OWN_CROWD, SourceCounts } from './source-counts.ts'
import {
  CONNECTIONS,
  NOBODY,
  SILENT,
  WANTED_FIRST,
  WANTED_PLACES,
  type WorkerRows,
} from './worker-rows.ts'
import { rowOf, sourceMemoryOf, type WorkerTableMemory } from './worker-table-memory.ts'

/** Of a share, which has SHARE_WORDS. */
const SHARE_STRANGERS = 0
const SHARE_WAITING = 1
const SHARE_WANTED = 2
const SHARE_WAITING_WANTED = 3
/** The next source with wanted places, END for none; 0 in one that is not in that list. */
const SHARE_NEXT = 4
const END = -1

/** How many more strangers a site must have than a newcomer's, for one that just spoke to give way. */
const FAR = 2

/** So many strangers of a source that is known go before others; more of them are strangers like all. */
export const PROVEN_MAX = 32

export class StrangerPlaces {
  private readonly rows: WorkerRows
  /** The sources' part of the memory, and what counts in it. */
  private readonly sourceWords: Int32Array
  private readonly sources: SourceCounts
  private readonly waiting: SourceCounts
  private readonly unknown: SourceCounts
  /** What the last `takePlaceFor` that said 'ours' asks for. */
  victim: number = NO_SOURCE
  mustBeSilent = false

  constructor(rows: WorkerRows, memory: WorkerTableMemory) {
    this.rows = rows
    const { seed } = memory
    const { strangers, waiting, unknown, layouts } = sourceMemoryOf(memory)
    this.sourceWords = strangers
    this.sources = new SourceCounts(strangers, layouts.strangers, seed)
    this.waiting = new SourceCounts(waiting, layouts.waiting, seed)
    this.unknown = new SourceCounts(unknown, layouts.waiting, seed)
  }

  /** One connection more from there. Returns the source's number, or NO_SOURCE: there is no room. */
  holdSource(key: SourceKey): number {
    const { rows } = this
    rows.lock()
    const source = this.sources.hold(key)
    rows.unlock()
    return source
  }

  /** A connection less from there, one that had no place. */
  releaseSource(source: number): void {
    const { rows } = this
    rows.lock()
    this.sources.release(source)
    rows.unlock()
  }

  /**
   * A connection of ours from `source` is a stranger: new, or it lost its login. `isProven`: somebody
   * logged in rightly from there lately. Returns whether it goes before strangers that nobody knows.
   */
  addStranger(source: number, isProven = false): boolean {
    const { rows } = this
    rows.lock()
    const goesBefore = this.goesBefore(source, isProven)
    this.changeStrangers(source, rows.workerIndex, 1, goesBefore)
    rows.unlock()
    return goesBefore
  }

  /** A stranger of ours from `source` has logged in. */
  loseStranger(source: number): void {
    const { rows } = this
    const { words, row } = rows
    rows.lock()
    if (this.shareWord(source, rows.workerIndex, SHARE_STRANGERS) > 0) {
      this.changeStrangers(source, rows.workerIndex, -1)
    } else {
      // It is the one whose place was taken over. It keeps it: until somebody leaves, the process is
      // one over the limit, and `takePlaceFor` lets nobody in.
      this.forgetWanted(source)
      words[row + CONNECTIONS]!++
    }
    rows.unlock()
  }

  /** A connection of ours from `source` is closed. */
  leave(source: number, isStranger: boolean): void {
    const { rows } = this
    const { words, row } = rows
    rows.lock()
    if (isStranger && this.shareWord(source, rows.workerIndex, SHARE_WANTED) > 0) {
      // Its place is taken over already, and it is not counted.
      this.forgetWanted(source)
    } else {
      if (isStranger) this.changeStrangers(source, rows.workerIndex, -1)
      words[row + CONNECTIONS]!--
    }
    this.sources.release(source)
    rows.unlock()
  }

  /** One of our strangers from `source` waits. */
  startWaiting(source: number): void {
    const { rows, waiting, sourceWords } = this
    rows.lock()
    const counted = waiting.hold(this.sources.keyOf(source))
    assert(counted !== NO_SOURCE, 'who waits has a source, so there are no more than of those')
    waiting.change(counted, 1)
    sourceWords[this.sources.shareOf(source, rows.workerIndex) + SHARE_WAITING]!++
    rows.unlock()
  }

  /** One of our strangers from `source` waits no more; its place is still its own. */
  stopWaiting(source: number): void {
    const { rows, waiting, sourceWords } = this
    rows.lock()
    const share = this.sources.shareOf(source, rows.workerIndex)
    const counted = waiting.findSource(this.sources.keyOf(source))
    if (sourceWords[share + SHARE_WAITING_WANTED]! > 0) {
      sourceWords[share + SHARE_WAITING_WANTED]!--
    } else {
      sourceWords[share + SHARE_WAITING]!--
      waiting.change(counted, -1)
    }
    waiting.release(counted)
    rows.unlock()
  }

  /** Strangers of `source` in the process, served or waiting. */
  ofSource(source: number): number {
    return this.sources.count(source)
  }

  /** Of all sources. */
  get total(): number {
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
    const { rows } = this
    const { workerIndex, offsets } = rows
    rows.lock()
    const goesBefore = this.unknown.total > 0 && this.goesBefore(source, isProven)
    const rival = this.rivalOf(source, goesBefore)
    let taken: 'ours' | 'taken' | 'crowd' | 'none' = 'none'
    let index = NOBODY
    if (rival === OWN_CROWD) taken = 'crowd'
    else if (rival !== NO_SOURCE && rows.sum(CONNECTIONS) <= connectionsMax) {
      index = goesBefore ? this.chooseAnyWorker(rival) : this.chooseWorker(source, rival)
      taken = index === NOBODY || index === workerIndex ? 'ours' : 'taken'
      if (taken === 'taken') this.takePlace(index, this.victim)
    }
    rows.unlock()
    if (taken === 'taken') rows.wake(offsets[index]!)
    return taken
  }

  /** Takes over the place of a silent stranger of `source` of another worker, if there is one. */
  takePlaceOfSilent(source: number): boolean {
    const { rows } = this
    const { words, workerIndex, offsets } = rows
    rows.lock()
    const found = offsets.findIndex(
      (row, index) =>
        index !== workerIndex &&
        words[row + SILENT]! > 0 &&
        this.shareWord(source, index, SHARE_STRANGERS) > 0,
    )
    if (found !== NOBODY) {
      words[offsets[found]! + SILENT]!--
      this.takePlace(found, source)
    }
    rows.unlock()
    if (found === NOBODY) return false
    rows.wake(offsets[found]!)
    return true
  }

  /**
   * A source with a place of ours that another worker has taken over: the caller drops a stranger of
   * it, whose `leave` answers for that place. NO_SOURCE when there is none.
   */
  nextWantedSource(): number {
    const { rows, sourceWords, sources } = this
    const { words, row, workerIndex } = rows
    if (Atomics.load(words, row + WANTED_FIRST) === NO_SOURCE) return NO_SOURCE
    rows.lock()
    let source = words[row + WANTED_FIRST]!
    while (source !== NO_SOURCE && this.shareWord(source, workerIndex, SHARE_WANTED) === 0) {
      const share = sources.shareOf(source, workerIndex)
      const next = sourceWords[share + SHARE_NEXT]!
      sourceWords[share + SHARE_NEXT] = 0
      sources.release(source)
      source = next === END ? NO_SOURCE : next
    }
    words[row + WANTED_FIRST] = source
    rows.unlock()
    return source
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
    const { rows } = this
    const { workerCount, workerIndex } = rows
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
    const { rows, sourceWords, sources } = this
    const { words } = rows
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
    words[rows.row + CONNECTIONS]!++
  }

  /** With the lock held: one place of ours that was taken over is answered for. */
  private forgetWanted(source: number): void {
    const { rows, sourceWords } = this
    const { words, row } = rows
    const share = this.sources.shareOf(source, rows.workerIndex)
    assert(sourceWords[share + SHARE_WANTED]! > 0, 'a stranger is counted, or its place was taken')
    sourceWords[share + SHARE_WANTED]!--
    words[row + WANTED_PLACES]!--
  }
}
