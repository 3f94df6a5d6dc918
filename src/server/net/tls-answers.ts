/**
 * Handshakes that were begun, and wait for what their clients have to say to end them. Each part of that costs us a tenth of a
 * millisecond or more, and Node tells nobody of most parts; of hundreds that come at one moment libuv tells in one turn. 300 took
 * 110 ms so, also where they were nothing that anybody can decrypt. So a few are read at a time, and the others when these have
 * come to an end, or said nothing for a moment. Who has not been read yet and who has take turns, so that a crowd that is silent
 * does not keep those waiting who answer at once; and among these sites (an IPv4 address, an IPv6 /48), within one site its sources.
 *
 * Invariant: whoever is here is read, or has a place in one of two queues, of which both move on every few milliseconds.
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

/** Of one handshake, from its beginning to its end: a thousand rounds a second leave next to no garbage behind. */
interface Entry {
  readonly owner: Answering
  /** The round in which it is to give way; 0 while it is not read. */
  readUntil: number
  /** None while it is read for the first time. */
  queue: FairQueue<Entry, string> | undefined
  place: Place<Entry, string> | undefined
}

interface AnswerTurns {
  /** Takes `step` in a later turn, when strangers may have some of it. */
  defer(step: TlsAnswers): void
}

export class TlsAnswers {
  /** Of who is read next, as that follows in the turn behind the step. */
  readonly takesMs: number = TAKES_MS
  private readonly turns: AnswerTurns
  private readonly entries: Map<Answering, Entry> = new Map()
  /** Those of them that are read now: who began first gives way first. */
  private readonly reading: Entry[] = []
  /** Those that have not been read. */
  private readonly fresh: FairQueue<Entry, string> = new FairQueue()
  /** Those that have been, and said nothing: they keep their places while they are read again. */
  private readonly silent: FairQueue<Entry, string> = new FairQueue()
  private isSilentNext = false
  private readonly after: (ms: number, run: () => void) => void
  private readonly endRound: () => void = () => this.moveOn()
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
    return this.entries.size
  }

  /** It is not read now, and is to be. */
  add(owner: Answering): void {
    const entry: Entry = { owner, readUntil: 0, queue: undefined, place: undefined }
    this.entries.set(owner, entry)
    if (this.waitingCount === 1 && this.reading.length < READ_MAX) this.begin(entry, FIRST_ROUNDS)
    else this.enqueue(entry, this.fresh)
  }

  /** Its handshake has come to an end. */
  remove(owner: Answering): void {
    const entry = this.entries.get(owner)
    if (entry === undefined) return
    this.entries.delete(owner)
    this.leaveQueue(entry)
    if (entry.readUntil === 0) return
    this.endReading(entry)
    if (this.waitingCount > 0) this.turns.defer(this)
  }

  /** Of those that have come to an end, or been read otherwise meanwhile, there is a turn too many: false. */
  continueServing(): boolean {
    if (this.reading.length >= READ_MAX || this.waitingCount === 0) return false
    // Not in the next round, which may come before anything is read.
    this.beginNext(2)
    return true
  }

  private get waitingCount(): number {
    return this.entries.size - this.reading.length
  }

  private begin(entry: Entry, rounds: number): void {
    entry.readUntil = this.round + rounds
    this.reading.push(entry)
    entry.owner.readAnswer()
  }

  private endReading(entry: Entry): void {
    const { reading } = this
    entry.readUntil = 0
    // Up to four: splice() would leave an array behind each time, which is some thousand times a second.
    for (let index = reading.indexOf(entry); index < reading.length - 1; index++) {
      reading[index] = reading[index + 1]!
    }
    reading.pop()
  }

  /** Somebody waits. */
  private beginNext(roundsMin: number): void {
    const { fresh } = this
    const isFresh = fresh.size > 0 && (!this.isSilentNext || fresh.size === this.waitingCount)
    this.isSilentNext = isFresh
    const entry = isFresh ? fresh.takeTurn() : this.nextSilent()
    if (entry === undefined) return
    if (isFresh) this.leaveQueue(entry)
    const isLong = isFresh && fresh.size < FRESH_FEW
    this.begin(entry, isLong ? FIRST_ROUNDS : roundsMin)
  }

  /** Of these, one waits at least, or this would not end: whoever is read again has a place, too. */
  private nextSilent(): Entry | undefined {
    let entry = this.silent.rotate()
    while (entry !== undefined && entry.readUntil > 0) entry = this.silent.rotate()
    return entry
  }

  private enqueue(entry: Entry, queue: FairQueue<Entry, string>): void {
    const { site, network } = entry.owner.peer
    entry.queue = queue
    entry.place = queue.add(entry, site, network)
    this.beginRound()
  }

  private leaveQueue(entry: Entry): void {
    const { queue, place } = entry
    if (place !== undefined) queue?.remove(place)
    entry.queue = undefined
    entry.place = undefined
  }

  private beginRound(): void {
    if (this.isTimed) return
    this.isTimed = true
    this.after(ROUND_MS, this.endRound)
  }

  /** Those that are read give way, as long as others wait. */
  private moveOn(): void {
    const { reading } = this
    this.isTimed = false
    this.round++
    let missing = reading.length + Math.min(this.waitingCount, READ_MAX) - READ_MAX
    for (let index = 0; missing > 0 && index < reading.length; ) {
      const entry = reading[index]!
      if (entry.readUntil > this.round) index++
      else {
        missing--
        this.giveWay(entry)
      }
    }
    while (reading.length < READ_MAX && this.waitingCount > 0) this.beginNext(1)
    if (this.waitingCount > 0) this.beginRound()
  }

  private giveWay(entry: Entry): void {
    this.endReading(entry)
    entry.owner.stopAnswer()
    if (entry.queue === undefined) this.enqueue(entry, this.silent)
  }
}
