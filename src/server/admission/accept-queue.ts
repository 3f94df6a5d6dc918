/**
 * The connections that wait because the server is full (memcached's no_maxconns_fast). memcached stops
 * accepting and leaves newcomers in the kernel's queue. Here they are accepted and held, unread,
 * because whoever is logged in may take a stranger's place; at most as many as that queue is
 * configured for. Beyond that one of the network that holds most makes room for a newcomer of
 * another, or the newcomer is refused at once, as everybody is when it is configured for none.
 *
 * One that comes from the source that crowds the server is refused as well: it must not stand before
 * others.
 *
 * Where somebody logged in rightly lately, PROVEN_MAX of each source stand in a line of their own: they
 * are let in before all others, and who is of the others makes room for them.
 *
 * Invariant: at its worker, of one line, nobody is let in before one of the same source who came earlier, and
 * sites (source-counts.ts) take turns: who sends many does not keep others waiting. Who has a place
 * is admission.ts's business; here is only what happens to those it has none for. A held connection
 * costs one file descriptor, and all workers together hold `heldMax`, but for those whose room
 * another worker has taken, until their own has its next turn. Whom to drop, each worker chooses by
 * what it holds itself.
 */
import { assert } from '../../base/assert.ts'
import { FairQueue, type Place } from '../../base/fair-queue.ts'
import type { SourceKey } from '../../base/source-network.ts'
import { COUNTER } from '../../observe/counters.ts'
import type { Newcomer } from '../net/newcomer.ts'
import { NO_SOURCE, OWN_CROWD, SourceCounts, sourceCountsWords } from './source-counts.ts'
import { PROVEN_MAX } from './stranger-places.ts'
import type { WorkerTable } from './worker-table.ts'

export interface AcceptQueueOptions {
  /** For all workers together; 0 refuses at once. */
  readonly heldMax: number
  readonly workerTable: WorkerTable
  readonly lane: Float64Array
  /** Whether somebody logged in rightly from there lately; undefined: nobody is known. */
  readonly isProven?: ((source: SourceKey) => boolean) | undefined
  /** Lets a connection in, or calls `turnedAway` with it before it returns. */
  readonly admit: (newcomer: Newcomer) => void
  /** Tells a connection that the server is full, and closes it. */
  readonly refuse: (newcomer: Newcomer) => void
  readonly monotonicMs: () => number
}

interface Held {
  readonly newcomer: Newcomer
  readonly line: Line
  /** What the line's `counts` counts it under. */
  readonly source: number
  place: Place<Held> | undefined
}

interface Line {
  readonly held: FairQueue<Held>
  readonly counts: SourceCounts
}

/** So many sites whose turn comes next are tried at a time: one may have a place where others have none. */
const TRIED_MAX = 8
/** So many are let in, or refused, before others have their turn; the next tick goes on. */
const TURNS_MAX = 64

export class AcceptQueue {
  private readonly options: AcceptQueueOptions
  /** Who comes from where somebody logged in rightly lately. */
  private readonly known: Line
  private readonly others: Line
  /** When the first of those that are held came. */
  private fullSinceMs = 0
  private isAdmitting = false
  /** Set by `turnedAway` while `admit` runs. */
  private turnedAwayFor: 'full' | 'crowd' | undefined = undefined

  constructor(options: AcceptQueueOptions) {
    this.options = options
    this.known = makeLine(options)
    this.others = makeLine(options)
  }

  get isFull(): boolean {
    return this.known.held.size + this.others.held.size > 0
  }

  /** A newcomer: let in, held, or refused. */
  arrive(newcomer: Newcomer): void {
    if (!this.isFull && this.tryToAdmit(newcomer)) return
    const { heldMax, lane, refuse, monotonicMs } = this.options
    const wasFull = this.isFull
    const held = heldMax === 0 ? undefined : this.hold(newcomer)
    if (held === undefined) {
      lane[COUNTER.rejected_connections]!++
      lane[COUNTER.rejected_full]!++
      refuse(newcomer)
      return
    }
    if (wasFull) {
      // There may be a place for a source where there was none for those who came before.
      if (held.line.counts.count(held.source) === 1) this.letIn()
      return
    }
    lane[COUNTER.listen_disabled_num]!++
    this.fullSinceMs = monotonicMs()
  }

  /** There is no place for the connection that `admit` was called with. */
  turnedAway(reason: 'full' | 'crowd'): void {
    this.turnedAwayFor = reason
  }

  /** A place may have come free: lets in whom there is room for, by turns. */
  letIn(): void {
    // Whoever is being let in may displace another, whose end brings us here; that place is taken.
    if (this.isAdmitting) return
    const turnsLeft = this.letInFrom(this.known, TURNS_MAX)
    this.letInFrom(this.others, turnsLeft)
  }

  /** Returns how many of `turns` are left. */
  private letInFrom({ held }: Line, turns: number): number {
    let failuresLeft = Math.min(TRIED_MAX, held.siteCount)
    let turnsLeft = turns
    for (; turnsLeft > 0 && failuresLeft > 0; turnsLeft--) {
      const next = held.takeTurn()
      if (next === undefined) break
      if (!this.tryToAdmit(next.newcomer)) {
        failuresLeft--
        continue
      }
      this.letGo(next)
      if (!this.isFull) this.countFullTime()
    }
    return turnsLeft
  }

  /** Drops as many as other workers have taken the room of. */
  settleWithOthers(): void {
    const { workerTable, lane, refuse } = this.options
    for (let count = workerTable.answerForTakenHeld(); count > 0; count--) {
      const dropped = heaviestOf(this.others) ?? heaviestOf(this.known)
      if (dropped === undefined) return
      this.letGo(dropped)
      lane[COUNTER.rejected_connections]!++
      lane[COUNTER.rejected_displaced]!++
      refuse(dropped.newcomer)
      if (!this.isFull) this.countFullTime()
    }
  }

  /** Drops all that are held; the server stops. */
  dismiss(): void {
    if (!this.isFull) return
    for (;;) {
      const oldest = this.known.held.oldest ?? this.others.held.oldest
      if (oldest === undefined) break
      oldest.newcomer.close()
      this.letGo(oldest)
    }
    this.countFullTime()
  }

  /** Holds a newcomer, if there is room or somebody else makes some. */
  private hold(newcomer: Newcomer): Held | undefined {
    const { heldMax, workerTable } = this.options
    const line = this.lineOf(newcomer.peer.networkKey)
    const { counts } = line
    const source = counts.hold(newcomer.peer.networkKey)
    if (source === NO_SOURCE) return undefined
    if (!workerTable.claimHeld(heldMax) && !this.makeRoom(line, source)) {
      counts.release(source)
      return undefined
    }
    counts.change(source, 1)
    const held: Held = { newcomer, line, source, place: undefined }
    held.place = line.held.add(held, counts.siteOf(source), source)
    return held
  }

  private lineOf(key: SourceKey): Line {
    const { known, others, options } = this
    if (options.isProven?.(key) !== true) return others
    const source = known.counts.findSource(key)
    return source === NO_SOURCE || known.counts.count(source) < PROVEN_MAX ? known : others
  }

  /** One of those of whom most are held here is refused instead of a newcomer; or one elsewhere. */
  private makeRoom(line: Line, source: number): boolean {
    const { heldMax, workerTable, lane, refuse } = this.options
    let dropped = line === this.known ? heaviestOf(this.others) : undefined
    if (dropped === undefined) {
      const rival = line.counts.rivalOf(source)
      if (rival === OWN_CROWD) return false
      if (rival === source || rival === NO_SOURCE) return workerTable.takeHeldOfOther()
      dropped = line.held.newestOf(rival)
    }
    if (dropped === undefined) return false
    this.letGo(dropped)
    lane[COUNTER.rejected_connections]!++
    lane[COUNTER.rejected_displaced]!++
    refuse(dropped.newcomer)
    return workerTable.claimHeld(heldMax)
  }

  /** It is held no more. */
  private letGo(held: Held): void {
    const { line, source, place } = held
    assert(place !== undefined, 'who is held has a place')
    line.held.remove(place)
    held.place = undefined
    line.counts.change(source, -1)
    line.counts.release(source)
    this.options.workerTable.giveHeldBack()
  }

  /** False when it may be held: there is no place for it yet. */
  private tryToAdmit(newcomer: Newcomer): boolean {
    this.turnedAwayFor = undefined
    this.isAdmitting = true
    this.options.admit(newcomer)
    this.isAdmitting = false
    // Read anew: `admit` may have set it.
    const reason = this.turnedAwayFor as 'full' | 'crowd' | undefined
    if (reason === 'crowd') {
      this.options.lane[COUNTER.rejected_connections]!++
      this.options.lane[COUNTER.rejected_crowd]!++
      this.options.refuse(newcomer)
    }
    return reason !== 'full'
  }

  private countFullTime(): void {
    const { lane, monotonicMs } = this.options
    const elapsedMs = monotonicMs() - this.fullSinceMs
    lane[COUNTER.time_in_listen_disabled_us]! += Math.round(elapsedMs * 1000)
  }
}

function makeLine({ heldMax, workerTable }: AcceptQueueOptions): Line {
  // The newcomer that takes another's place is there before that one has left.
  const layout = { sourcesMax: heldMax + 1, workerCount: 1, shareWords: 0 }
  const words = new Int32Array(sourceCountsWords(layout))
  return { held: new FairQueue(), counts: new SourceCounts(words, layout, workerTable.seed) }
}

/** Who makes room first. */
function heaviestOf({ held, counts }: Line): Held | undefined {
  return held.newestOf(counts.heaviest)
}
