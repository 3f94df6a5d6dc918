/**
 * Who waits at the door because the server is full (memcached's no_maxconns_fast). memcached stops
 * accepting and leaves newcomers in the kernel's queue. Here they are accepted and held, unread and
 * in order, because whoever is logged in may take a stranger's place; at most as many as that queue
 * is configured for. Beyond that, and for everybody when it is configured for none, a newcomer is
 * refused at once.
 *
 * One that comes from the source that crowds the server is refused as well: it must not stand before
 * others.
 *
 * Invariant: at its worker nobody is let in before one who came earlier. Who has a place is
 * admission.ts's business; here is only what happens to those it has none for. A held connection
 * costs one file descriptor, and all workers together hold `heldMax`.
 */
import { COUNTER } from '../observe/counters.ts'
import type { Roster } from './roster.ts'
import type { AcceptedHandle } from './socket-transport.ts'

export interface DoorstepOptions {
  /** For all workers together; 0 refuses at once. */
  readonly heldMax: number
  readonly roster: Roster
  readonly lane: Float64Array
  /** Lets a connection in, or calls `turnedAway` with it before it returns. */
  readonly admit: (handle: AcceptedHandle, listenAddress: string) => void
  /** Tells a connection that the server is full, and closes it. */
  readonly refuse: (handle: AcceptedHandle) => void
  readonly monotonicMs: () => number
}

interface Held {
  readonly handle: AcceptedHandle
  readonly listenAddress: string
}

export class Doorstep {
  private readonly options: DoorstepOptions
  private readonly held: Held[] = []
  /** When the first of those that are held came. */
  private fullSinceMs = 0
  private isAdmitting = false
  /** Set by `turnedAway` while `admit` runs. */
  private turnedAwayFor: 'full' | 'crowd' | undefined = undefined

  constructor(options: DoorstepOptions) {
    this.options = options
  }

  get isFull(): boolean {
    return this.held.length > 0
  }

  /** A newcomer: let in, held, or refused. */
  arrive(handle: AcceptedHandle, listenAddress: string): void {
    if (!this.isFull && this.tryToAdmit(handle, listenAddress)) return
    const { heldMax, roster, lane, refuse, monotonicMs } = this.options
    if (!roster.claimHeld(heldMax)) {
      lane[COUNTER.rejected_connections]!++
      refuse(handle)
      return
    }
    if (!this.isFull) {
      lane[COUNTER.listen_disabled_num]!++
      this.fullSinceMs = monotonicMs()
    }
    this.held.push({ handle, listenAddress })
  }

  /** There is no place for the connection that `admit` was called with. */
  turnedAway(reason: 'full' | 'crowd'): void {
    this.turnedAwayFor = reason
  }

  /** A place may have come free: lets in whom there is room for, in order. */
  letIn(): void {
    // Whoever is being let in may displace another, whose end brings us here; that place is taken.
    if (this.isAdmitting) return
    for (;;) {
      const first = this.held[0]
      if (first === undefined || !this.tryToAdmit(first.handle, first.listenAddress)) return
      this.held.shift()
      this.options.roster.giveHeldBack()
      if (!this.isFull) this.countFullTime()
    }
  }

  /** Drops all that are held; the server stops. */
  dismiss(): void {
    if (!this.isFull) return
    for (const { handle } of this.held) {
      handle.close()
      this.options.roster.giveHeldBack()
    }
    this.held.length = 0
    this.countFullTime()
  }

  /** False when it may be held: there is no place for it yet. */
  private tryToAdmit(handle: AcceptedHandle, listenAddress: string): boolean {
    this.turnedAwayFor = undefined
    this.isAdmitting = true
    this.options.admit(handle, listenAddress)
    this.isAdmitting = false
    // Read anew: `admit` may have set it.
    const reason = this.turnedAwayFor as 'full' | 'crowd' | undefined
    if (reason === 'crowd') {
      this.options.lane[COUNTER.rejected_connections]!++
      this.options.refuse(handle)
    }
    return reason !== 'full'
  }

  private countFullTime(): void {
    const { lane, monotonicMs } = this.options
    const elapsedMs = monotonicMs() - this.fullSinceMs
    lane[COUNTER.time_in_listen_disabled_us]! += Math.round(elapsedMs * 1000)
  }
}
