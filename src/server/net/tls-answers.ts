/**
 * Handshakes that were begun, and wait for what their clients have to say to end them. Each part of that costs us a tenth of a
 * millisecond or more, and Node tells nobody of most parts; of hundreds that come at one moment libuv tells in one turn. 300 took
 * 110 ms so, also where they were nothing that anybody can decrypt. So a few are read at a time, and the others when these have
 * come to an end, or said nothing for a moment. Who has not been read yet and who has take turns, so that a crowd that is silent
 * does not keep those waiting who answer at once; and among these sites (an IPv4 address, an IPv6 /48), within one site its sources.
 *
 * Invariant: whoever waits is read, or has a place in one of two queues, of which both move on every few milliseconds.
 */
import { FairQueue, type Place } from '../../base/fair-queue.ts'
import type { Peer } from '../../base/peer.ts'

/** Of a handshake, what is used of it here. */
export interface Answering {
  readonly peer: Pick<Peer, 'site' | 'network'>
  readAnswer(): void
  stopAnswer(): void
}

/** As many as may come in one turn: a millisecond of work. */
const READ_MAX = 4
/** What the end of a handshake is taken for. */
const TAKES_MS = 0.25
/** A round, in which others wait. */
const ROUND_MS = 1
/** For so many rounds one is read that has not been read before: clients that are near have answered by then. */
const FIRST_ROUNDS = 4
/** As long as fewer than so many of these wait; else for one round, as who has said nothing before. */
const FRESH_FEW = 4

interface Waiting {
  readonly queue: FairQueue<Answering, string>
  readonly place: Place<Answering, string>
}

interface AnswerTurns {
  /** Takes `step` in a later turn, when strangers may have some of it. */
  defer(step: TlsAnswers): void
}

export class TlsAnswers {
  /** Of who is read next, as that follows in the turn behind the step. */
  readonly takesMs: number = TAKES_MS
  private readonly turns: AnswerTurns
  /** And the round in which each is to give way. */
  private readonly read: Map<Answering, number> = new Map()
  /** Those that have not been read, and those that have been, and said nothing. */
  private readonly fresh: FairQueue<Answering, string> = new FairQueue()
  private readonly silent: FairQueue<Answering, string> = new FairQueue()
  /** Of all of them. */
  private readonly places: Map<Answering, Waiting> = new Map()
  private isSilentNext = false
  private readonly after: (ms: number, run: () => void) => void
  /** A round is to end. */
  private isTimed = false
  /** Counts how often those that are read gave way. */
  private round = 0

  constructor(turns: AnswerTurns, after: (ms: number, run: () => void) => void) {
    this.turns = turns
    this.after = after
  }

  /** Of those that are read, and that wait for it. */
  get size(): number {
    return this.read.size + this.places.size
  }

  /** It is not read now, and is to be. */
  add(owner: Answering): void {
    if (this.places.size === 0 && this.read.size < READ_MAX) this.begin(owner, FIRST_ROUNDS)
    else this.enqueue(owner, this.fresh)
  }

  /** Its handshake has come to an end. */
  remove(owner: Answering): void {
    if (this.read.delete(owner)) {
      if (this.places.size > 0) this.turns.defer(this)
      return
    }
    const waiting = this.places.get(owner)
    if (waiting === undefined) return
    waiting.queue.remove(waiting.place)
    this.places.delete(owner)
  }

  /** Of those that have come to an end, or been read otherwise meanwhile, there is a turn too many: false. */
  continueServing(): boolean {
    if (this.read.size >= READ_MAX || this.places.size === 0) return false
    // Not in the next round, which may come before anything is read.
    this.beginNext(2)
    return true
  }

  private begin(owner: Answering, rounds: number): void {
    this.read.set(owner, this.round + rounds)
    owner.readAnswer()
  }

  private beginNext(roundsMin: number): void {
    const { fresh, silent } = this
    const queue = silent.size === 0 || (fresh.size > 0 && !this.isSilentNext) ? fresh : silent
    this.isSilentNext = queue === fresh
    const owner = queue.takeTurn()
    if (owner === undefined) return
    this.remove(owner)
    const isLong = queue === fresh && fresh.size < FRESH_FEW
    this.begin(owner, isLong ? FIRST_ROUNDS : roundsMin)
  }

  private enqueue(owner: Answering, queue: FairQueue<Answering, string>): void {
    const { site, network } = owner.peer
    this.places.set(owner, { queue, place: queue.add(owner, site, network) })
    this.beginRound()
  }

  private beginRound(): void {
    if (this.isTimed) return
    this.isTimed = true
    this.after(ROUND_MS, () => this.moveOn())
  }

  /** Those that are read give way, as long as others wait. */
  private moveOn(): void {
    this.isTimed = false
    this.round++
    let missing = this.read.size + Math.min(this.places.size, READ_MAX) - READ_MAX
    for (const [owner, round] of this.read) {
      if (missing <= 0) break
      if (round > this.round) continue
      missing--
      this.read.delete(owner)
      owner.stopAnswer()
      this.enqueue(owner, this.silent)
    }
    while (this.read.size < READ_MAX && this.places.size > 0) this.beginNext(1)
    if (this.places.size > 0) this.beginRound()
  }
}
