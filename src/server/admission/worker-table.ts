/**
 * What the workers of one process know of each other, in one small piece of shared memory: how many
 * connections and strangers each has, who waits longest, who accepts, who is alive. With it the
 * limits hold for the process, and connections spread evenly.
 *
 *     worker-table-memory.ts   what of the memory is whose
 *     worker-rows.ts           a row for each worker, and the lock
 *     accept-turns.ts          who accepts
 *     stranger-places.ts       who makes room for whom
 *
 * Invariant: this file has the places that are counted by worker alone. A place is taken only while the sum over the rows is
 * below its limit, and among those that wait for a stranger's place it goes to who came first.
 */
import { AcceptTurns } from './accept-turns.ts'
import { StrangerPlaces } from './stranger-places.ts'
import {
  CONNECTIONS,
  HELD,
  NOBODY,
  OLDEST_TICKET,
  SILENT,
  STRANGERS,
  WAITING,
  WANTED_HELD,
  WANTED_PLACES,
  WorkerRows,
} from './worker-rows.ts'
import {
  CONNECTION_ID_WORD,
  CROWD_SAID_WORD,
  TICKET_WORD,
  type WorkerTableMemory,
} from './worker-table-memory.ts'

/** A crowd is told of this often at most, by one of all workers. */
const CROWD_SAY_SECONDS = 10

/** Of a known source, so many above the limit of strangers are served: at least, or a quarter of that. */
const PROVEN_RESERVE_MIN = 8
const PROVEN_RESERVE_SHARE = 4

export class WorkerTable {
  private readonly rows: WorkerRows
  readonly turns: AcceptTurns
  readonly strangers: StrangerPlaces
  /** What sources are hashed with. */
  readonly seed: readonly [number, number]

  constructor(memory: WorkerTableMemory, workerIndex: number) {
    this.rows = new WorkerRows(memory, workerIndex)
    this.turns = new AcceptTurns(this.rows)
    this.strangers = new StrangerPlaces(this.rows, memory)
    this.seed = memory.seed
  }

  nextConnectionId(): number {
    const { rows } = this
    return Atomics.add(rows.words, CONNECTION_ID_WORD, 1) + 1
  }

  /** Takes one more place, if fewer than `connectionsMax` are taken in the process. */
  claimPlace(connectionsMax: number): boolean {
    const { rows } = this
    const { words, row } = rows
    rows.lock()
    const isFree = rows.sum(CONNECTIONS) < connectionsMax
    if (isFree) words[row + CONNECTIONS]!++
    rows.unlock()
    return isFree
  }

  givePlaceBack(): void {
    const { rows } = this
    const { words, row } = rows
    rows.lock()
    words[row + CONNECTIONS]!--
    rows.unlock()
  }

  /** Takes room for one more connection in the accept queues, if fewer than `heldMax` are. */
  claimHeld(heldMax: number): boolean {
    const { rows } = this
    const { words, row } = rows
    rows.lock()
    const isFree = rows.sum(HELD) < heldMax
    if (isFree) words[row + HELD]!++
    rows.unlock()
    return isFree
  }

  giveHeldBack(): void {
    const { rows } = this
    const { words, row } = rows
    rows.lock()
    words[row + HELD]!--
    rows.unlock()
  }

  /**
   * Takes over room in the accept queue from the worker that holds most, where that is more than we would
   * hold with it. That one is asked to drop one; the room is ours already.
   */
  takeHeldOfOther(): boolean {
    const { rows } = this
    const { words, row, offsets } = rows
    rows.lock()
    let found = row
    for (const other of offsets) if (words[other + HELD]! > words[found + HELD]!) found = other
    const isTaken = words[found + HELD]! - words[row + HELD]! >= 2
    if (isTaken) {
      words[found + HELD]!--
      words[found + WANTED_HELD]!++
      words[row + HELD]!++
    }
    rows.unlock()
    if (isTaken) rows.wake(found)
    return isTaken
  }

  /** How much of our room others have taken over; it is ours again, for the caller drops as many. */
  answerForTakenHeld(): number {
    const { rows } = this
    const { words, row } = rows
    if (Atomics.load(words, row + WANTED_HELD) === 0) return 0
    rows.lock()
    const count = words[row + WANTED_HELD]!
    words[row + WANTED_HELD] = 0
    words[row + HELD]! += count
    rows.unlock()
    return count
  }

  /**
   * Takes a stranger's place, if fewer than `strangersMax` are taken and nobody waits for one who
   * came before. Who goes before strangers that nobody knows may have one of a few more.
   */
  claimStranger(strangersMax: number, goesBefore = false): boolean {
    const { rows } = this
    const { words, row } = rows
    rows.lock()
    const reserve = Math.max(PROVEN_RESERVE_MIN, Math.floor(strangersMax / PROVEN_RESERVE_SHARE))
    const isFree = goesBefore
      ? rows.sum(STRANGERS) < strangersMax + reserve
      : rows.sum(STRANGERS) < strangersMax && this.findOldest() === NOBODY
    if (isFree) words[row + STRANGERS]!++
    rows.unlock()
    return isFree
  }

  /** The same for a connection that waits: true when it is our turn. Wakes whose turn it is. */
  claimStrangerForOldest(strangersMax: number): boolean {
    const { rows } = this
    const { words, row } = rows
    rows.lock()
    const oldest = rows.sum(STRANGERS) < strangersMax ? this.findOldest() : NOBODY
    if (oldest === row) words[row + STRANGERS]!++
    rows.unlock()
    if (oldest === row) return true
    if (oldest !== NOBODY) rows.wake(oldest)
    return false
  }

  hasMoreStrangersThan(strangersMax: number): boolean {
    const { rows } = this
    rows.lock()
    const isOver = rows.sum(STRANGERS) > strangersMax
    rows.unlock()
    return isOver
  }

  /** Counts a stranger that is there in any case: one that lost its login (1), or is none any more. */
  countStranger(change: 1 | -1): void {
    const { rows } = this
    const { words, row } = rows
    rows.lock()
    words[row + STRANGERS]! += change
    rows.unlock()
  }

  /** A number that tells who of two that wait came first. */
  nextTicket(): number {
    const { rows } = this
    return Atomics.add(rows.words, TICKET_WORD, 1) + 1
  }

  /** Tells the others how many of ours wait, and the ticket of the oldest. */
  publishWaiting(waitingCount: number, oldestTicket: number): void {
    const { rows } = this
    const { words, row } = rows
    rows.lock()
    words[row + WAITING] = waitingCount
    words[row + OLDEST_TICKET] = oldestTicket
    rows.unlock()
  }

  /** Tells the others how many of our strangers would make room for a newcomer. */
  publishSilent(count: number): void {
    const { rows } = this
    Atomics.store(rows.words, rows.row + SILENT, count)
  }

  /** Whether this worker is to tell of a crowd that all of them may notice. `sharedMs` is a time of all threads. */
  claimCrowdReport(sharedMs: number): boolean {
    const { words } = this.rows
    // From 1 on: 0 is never.
    const now = Math.floor(sharedMs / 1000) + 1
    const said = Atomics.load(words, CROWD_SAID_WORD)
    if (said !== 0 && now - said < CROWD_SAY_SECONDS) return false
    return Atomics.compareExchange(words, CROWD_SAID_WORD, said, now) === said
  }

  /** True while connections wait for a stranger's place, anywhere. */
  get isCrowded(): boolean {
    const { rows } = this
    const { words } = rows
    return rows.offsets.some((row) => Atomics.load(words, row + WAITING) > 0)
  }

  /** True when this worker shares its process, and its sockets, with others. */
  get hasOthers(): boolean {
    const { rows } = this
    return rows.workerCount > 1
  }

  /** With the lock held: the row whose connection waits longest and is not spoken for. */
  private findOldest(): number {
    const { rows } = this
    const { words, offsets } = rows
    let found = NOBODY
    for (let index = 0; index < offsets.length; index++) {
      const row = offsets[index]!
      if (words[row + WAITING]! <= words[row + WANTED_PLACES]!) continue
      const isOlder =
        found === NOBODY || ((words[row + OLDEST_TICKET]! - words[found + OLDEST_TICKET]!) | 0) < 0
      if (isOlder) found = row
    }
    return found
  }

  /** Calls `run` now and, from the event loop, whenever another worker has woken this one up. */
  onWakeUp(run: () => void): void {
    this.rows.onWakeUp(run)
  }
}
