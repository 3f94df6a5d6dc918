/**
 * Handshakes that were begun, and wait for what their clients have to say to end them. That is read as it comes; but of
 * hundreds that come at one moment libuv would tell in one turn, and each costs us a tenth of a millisecond or more, also where
 * it is a record that nobody can decrypt: 300 took 82 ms. So once some were read in a turn, all others are
 * not, and have turns of their own, as hellos have (tls-handshakes.ts).
 *
 * Invariant: whoever waits is read, or has its place in the line.
 */
import { FairQueue, type Place } from '../../base/fair-queue.ts'
import type { Peer } from '../../base/peer.ts'

/** Of a handshake, what is used of it here. */
export interface Answering {
  readonly peer: Pick<Peer, 'site' | 'network'>
  pauseShaking(): void
  goOnShaking(): void
}

export interface AnswerTurns {
  /** Takes `step` in a later turn, when strangers may have some of it. */
  defer(step: TlsAnswers): void
}

/** So many in a turn are read as they come: about a millisecond. */
const AT_ONCE_MAX = 4
/** What follows when the step is over, as it is read in the turn behind it. */
const TAKES_MS = 0.25

export class TlsAnswers {
  readonly takesMs: number = TAKES_MS
  private readonly turns: AnswerTurns
  private readonly isRead: Set<Answering> = new Set()
  private readonly paused: FairQueue<Answering, string> = new FairQueue()
  /** Of those that are paused. */
  private readonly places: Map<Answering, Place<Answering, string>> = new Map()
  /** In this turn. */
  private count = 0
  private readonly endTurn: () => void = () => {
    this.count = 0
  }

  constructor(turns: AnswerTurns) {
    this.turns = turns
  }

  /** It is read from now on. */
  await(owner: Answering): void {
    this.isRead.add(owner)
  }

  /** Its client has ended the handshake, in one way or the other. */
  answered(owner: Answering): void {
    if (!this.isRead.delete(owner)) return
    if (this.count++ === 0) setImmediate(this.endTurn)
    if (this.count < AT_ONCE_MAX) return
    for (const other of this.isRead) {
      other.pauseShaking()
      this.places.set(other, this.paused.add(other, other.peer.site, other.peer.network))
      this.turns.defer(this)
    }
    this.isRead.clear()
  }

  /** It has gone, whether its client said something or not. */
  leave(owner: Answering): void {
    this.isRead.delete(owner)
    const place = this.places.get(owner)
    if (place === undefined) return
    this.paused.remove(place)
    this.places.delete(owner)
  }

  /** Of who has left there is a turn too many: false. */
  continueServing(): boolean {
    const owner = this.paused.takeTurn()
    if (owner === undefined) return false
    this.leave(owner)
    this.isRead.add(owner)
    owner.goOnShaking()
    return true
  }
}
