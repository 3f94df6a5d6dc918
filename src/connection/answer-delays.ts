/**
 * Answers to failed logins that leave later. A connection has one at most, and releases it when it goes, so
 * there are never more than connections.
 *
 * A flood of wrong passwords has hundreds of them wait at a time. Each that leaves takes a write, and mostly
 * the end of its connection and a new one soon after: whoever is logged in must not wait for many of them,
 * so each leaves at a time of its own, and in a turn of its own.
 */

export interface DelayedAnswer {
  readonly released: Promise<void>
  /** Nobody waits for it any more, or it is due. */
  release(): void
}

/** The worker's, see server/worker/thread-clock.ts. */
export interface DelayClock {
  nowMs(): number
  after(delayMs: number, run: () => void): void
  soon(run: () => void): void
}

interface Delay {
  readonly dueMs: number
  readonly release: () => void
  /** It is due, and leaves with its turn. */
  isLeaving: boolean
}

/** Between two looks at them all. */
const PAUSE_MS = 4

export class AnswerDelays {
  private readonly clock: DelayClock
  private readonly soon: DelayClock['soon']
  private readonly delays: Set<Delay> = new Set()
  /** When the next look is taken. */
  private lookMs = Number.POSITIVE_INFINITY

  /** `soon` calls back when it is a stranger's turn. */
  constructor(clock: DelayClock, soon: DelayClock['soon'] = (run) => clock.soon(run)) {
    this.clock = clock
    this.soon = soon
  }

  get size(): number {
    return this.delays.size
  }

  /** By the clock that dues are measured by. */
  nowMs(): number {
    return this.clock.nowMs()
  }

  until(dueMs: number): DelayedAnswer {
    let settle: () => void = () => undefined
    const released = new Promise<void>((resolve) => {
      settle = resolve
    })
    const delay: Delay = {
      dueMs,
      isLeaving: false,
      release: () => {
        this.delays.delete(delay)
        settle()
      },
    }
    this.delays.add(delay)
    if (dueMs < this.lookMs) this.lookAt(dueMs)
    return { released, release: delay.release }
  }

  private lookAt(dueMs: number): void {
    this.lookMs = dueMs
    this.clock.after(Math.max(dueMs - this.clock.nowMs(), PAUSE_MS), () => {
      // An earlier look may have been asked for meanwhile, and this one with the one after.
      if (this.lookMs === dueMs) this.look()
    })
  }

  /** Lets those go that are due, and looks again when the next is. */
  private look(): void {
    const nowMs = this.clock.nowMs()
    let nextMs = Number.POSITIVE_INFINITY
    for (const delay of this.delays) {
      if (delay.isLeaving) continue
      if (delay.dueMs > nowMs) {
        nextMs = Math.min(nextMs, delay.dueMs)
        continue
      }
      delay.isLeaving = true
      this.soon(delay.release)
    }
    this.lookMs = Number.POSITIVE_INFINITY
    if (nextMs < this.lookMs) this.lookAt(nextMs)
  }
}
