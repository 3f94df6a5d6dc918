/**
 * Which workers of the process accept, so that connections spread evenly.
 *
 * Invariant: at least one worker accepts at any time. One that shows no sign of life is not waited for.
 */
import { ACCEPTS, BEATS, CONNECTIONS, type WorkerRows } from './worker-rows.ts'
import { RESUMES_WORD } from './worker-table-memory.ts'

/** Ticks of ours without one of its own after which a worker is not waited for. */
const MISSED_BEATS_MAX = 3

/** How long a worker that has been faster than the others lets them catch up, at most. */
const CATCH_UP_MS = 0.5
/** After a wait in which none came: the others are busy, and waiting for them helps nobody. */
const NO_CATCH_UP_MS = 20

/** How far ahead of a worker that does not come another may get: so many, and an eighth of its own. */
const LEAD_MIN = 3
const LEAD_SHIFT = 3

export class AcceptTurns {
  private readonly rows: WorkerRows
  /** By row: what `beats` was at our last tick, and our ticks since it last changed. */
  private readonly seenBeats: Int32Array
  private readonly missedBeats: Int32Array
  private noCatchUpUntilMs = 0

  constructor(rows: WorkerRows) {
    this.rows = rows
    this.seenBeats = new Int32Array(rows.workerCount)
    this.missedBeats = new Int32Array(rows.workerCount)
  }

  /**
   * Decides whether this worker goes on accepting, and says so to the others. It leaves newcomers to
   * those that have fewer connections, as long as one of them accepts and is alive; those that have
   * no more than we are called back.
   */
  balance(): boolean {
    const { rows } = this
    const { words, row, offsets } = rows
    rows.lock()
    const own = words[row + CONNECTIONS]!
    const accepted = words[row + ACCEPTS] === 1
    const accepts = !offsets.some(
      (other, index) =>
        other !== row &&
        words[other + ACCEPTS] === 1 &&
        words[other + CONNECTIONS]! < own &&
        this.missedBeats[index]! < MISSED_BEATS_MAX,
    )
    words[row + ACCEPTS] = accepts ? 1 : 0
    rows.unlock()
    if (!accepts) return false
    if (!accepted) {
      Atomics.add(words, RESUMES_WORD, 1)
      Atomics.notify(words, RESUMES_WORD)
    }
    for (const other of offsets) {
      if (other === row || Atomics.load(words, other + ACCEPTS) === 1) continue
      if (Atomics.load(words, other + CONNECTIONS) <= own) rows.wake(other)
    }
    return true
  }

  /**
   * After an accept. In a burst, the one worker that is awake would take most of it before those that
   * it has called back are there: it sleeps until one of them is, for a moment at most, and not again
   * soon if none came.
   */
  awaitOthers(nowMs: number): void {
    const { rows } = this
    const { words, row, offsets } = rows
    if (nowMs < this.noCatchUpUntilMs) return
    const own = Atomics.load(words, row + CONNECTIONS)
    const resumes = Atomics.load(words, RESUMES_WORD)
    const isAhead = offsets.some(
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
    const { rows } = this
    const { words, row, offsets } = rows
    rows.lock()
    const own = words[row + CONNECTIONS]!
    const lead = LEAD_MIN + (own >>> LEAD_SHIFT)
    let isHandedOver = false
    for (const [index, other] of offsets.entries()) {
      if (other === row || this.missedBeats[index]! >= MISSED_BEATS_MAX) continue
      if (own - words[other + CONNECTIONS]! < lead) continue
      words[other + ACCEPTS] = 1
      isHandedOver = true
    }
    if (isHandedOver) words[row + ACCEPTS] = 0
    rows.unlock()
    return isHandedOver
  }

  /** This worker stops for good: it neither accepts nor counts as one that does. */
  retire(): void {
    const { rows } = this
    Atomics.store(rows.words, rows.row + ACCEPTS, 0)
  }

  /** To be called by the worker's coarse timer: a sign of life, and a look for those of others. */
  beat(): void {
    const { rows, seenBeats, missedBeats } = this
    const { words, row, offsets } = rows
    Atomics.add(words, row + BEATS, 1)
    for (const [index, other] of offsets.entries()) {
      const beats = Atomics.load(words, other + BEATS)
      missedBeats[index] = beats === seenBeats[index] ? missedBeats[index]! + 1 : 0
      seenBeats[index] = beats
    }
  }
}
