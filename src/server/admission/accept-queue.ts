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
 * Invariant: at its worker nobody is let in before one of the same source who came earlier, and
 * sites (source-counts.ts) take turns: who sends many does not keep others waiting. Who has a place
 * is admission.ts's business; here is only what happens to those it has none for. A held connection
 * costs one file descriptor, and all workers together hold `heldMax`, but for those whose room
 * another worker has taken, until their own has its next turn. Whom to drop, each worker chooses by
 * what it holds itself.
 */
import { assert } from '../../base/assert.ts'
import { COUNTER } from '../../observe/counters.ts'
import type { Newcomer } from '../net/newcomer.ts'
import { FairQueue, type Place } from './fair-queue.ts'
import { NO_SOURCE, OWN_CROWD, SourceCounts, sourceCountsWords } from './source-counts.ts'
import type { WorkerTable } from './worker-table.ts'

export interface AcceptQueueOptions {
  /** For all workers together; 0 refuses at once. */
  readonly heldMax: number
  readonly workerTable: WorkerTable
  readonly lane: Float64Array
  /** Lets a connection in, or calls `turnedAway` with it before it returns. */
  readonly admit: (newcomer: Newcomer) => void
  /** Tells a connection that the server is full, and closes it. */
  readonly refuse: (newcomer: Newcomer) => void
  readonly monotonicMs: () => number
}

interface Held {
  readonly newcomer: Newcomer
  /** What `counts` counts it under. */
  readonly source: number
  place: Place<Held> | undefined
}

/** So many sites whose turn comes next are tried at a time: one may have a place where others have none. */
const TRIED_MAX = 8
/** So many are let in, or refused, before others have their turn; the next tick goes on. */
const TURNS_MAX = 64

export class AcceptQueue {
  private readonly options: AcceptQueueOptions
  private readonly held = new FairQueue<Held>()
  private readonly counts: SourceCounts
  /** When the first of those that are held came. */
  private fullSinceMs = 0
  private isAdmitting = false
  /** Set by `turnedAway` while `admit` runs. */
  private turnedAwayFor: 'full' | 'crowd' | undefined = undefined

  constructor(options: AcceptQueueOptions) {
    this.options = options
    const { heldMax, workerTable } = options
    // The newcomer that takes another's place is there before that one has left.
    const layout = { sourcesMax: heldMax + 1, workerCount: 1, shareWords: 0 }
    this.counts = new SourceCounts(
      new Int32Array(sourceCountsWords(layout)),
      layout,
      workerTable.seed,
    )
  }

  get isFull(): boolean {
    return this.held.size > 0
  }

  /** A newcomer: let in, held, or refused. */
  arrive(newcomer: Newcomer): void {
    if (!this.isFull && this.tryToAdmit(newcomer)) return
    const { heldMax, lane, refuse, monotonicMs } = this.options
    const wasFull = this.isFull
    const held = heldMax === 0 ? undefined : this.hold(newcomer)
    if (held === undefined) {
      lane[COUNTER.rejected_connections]!++
      refuse(newcomer)
      return
    }
    if (wasFull) {
      // There may be a place for a source where there was none for those who came before.
      if (this.counts.count(held.source) === 1) this.letIn()
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
    let failuresLeft = Math.min(TRIED_MAX, this.held.siteCount)
    for (let turn = 0; turn < TURNS_MAX && failuresLeft > 0; turn++) {
      const next = this.held.takeTurn(1, () => false)
      if (next === undefined) return
      if (!this.tryToAdmit(next.newcomer)) {
        failuresLeft--
        continue
      }
      this.letGo(next)
      if (!this.isFull) this.countFullTime()
    }
  }

  /** Drops as many as other workers have taken the room of. */
  settleWithOthers(): void {
    const { workerTable, lane, refuse } = this.options
    for (let count = workerTable.answerForTakenHeld(); count > 0; count--) {
      const dropped = this.held.newestOf(this.counts.heaviest)
      if (dropped === undefined) return
      this.letGo(dropped)
      lane[COUNTER.rejected_connections]!++
      refuse(dropped.newcomer)
      if (!this.isFull) this.countFullTime()
    }
  }

  /** Drops all that are held; the server stops. */
  dismiss(): void {
    if (!this.isFull) return
    for (;;) {
      const { oldest } = this.held
      if (oldest === undefined) break
      oldest.newcomer.close()
      this.letGo(oldest)
    }
    this.countFullTime()
  }

  /** Holds a newcomer, if there is room or somebody else makes some. */
  private hold(newcomer: Newcomer): Held | undefined {
    const { counts } = this
    const source = counts.hold(newcomer.peer.networkKey)
    if (source === NO_SOURCE) return undefined
    if (!this.options.workerTable.claimHeld(this.options.heldMax) && !this.makeRoom(source)) {
      counts.release(source)
      return undefined
    }
    counts.change(source, 1)
    const held: Held = { newcomer, source, place: undefined }
    held.place = this.held.add(held, counts.siteOf(source), source)
    return held
  }

  /** One of those of whom most are held here is refused instead of a newcomer; or one elsewhere. */
  private makeRoom(source: number): boolean {
    const { heldMax, workerTable, lane, refuse } = this.options
    const rival = this.counts.rivalOf(source)
    if (rival === OWN_CROWD) return false
    if (rival === source || rival === NO_SOURCE) return workerTable.takeHeldOfOther()
    const dropped = this.held.newestOf(rival)
    if (dropped === undefined) return false
    this.letGo(dropped)
    lane[COUNTER.rejected_connections]!++
    refuse(dropped.newcomer)
    return workerTable.claimHeld(heldMax)
  }

  /** It is held no more. */
  private letGo(held: Held): void {
    assert(held.place !== undefined, 'who is held has a place')
    this.held.remove(held.place)
    held.place = undefined
    this.counts.change(held.source, -1)
    this.counts.release(held.source)
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
