/**
 * Answers to failed logins that leave later, all of a worker's by its one coarse timer. A connection has
 * one at most, and releases it when it goes, so there are never more than connections.
 */

export interface DelayedAnswer {
  readonly released: Promise<void>
  /** Nobody waits for it any more, or it is due. */
  release(): void
}

interface Delay {
  readonly dueMs: number
  readonly release: () => void
}

export class AnswerDelays {
  /** By the clock that dues are measured by. */
  readonly nowMs: () => number
  private readonly delays: Set<Delay> = new Set()

  constructor(nowMs: () => number) {
    this.nowMs = nowMs
  }

  get size(): number {
    return this.delays.size
  }

  until(dueMs: number): DelayedAnswer {
    let settle: () => void = () => undefined
    const released = new Promise<void>((resolve) => {
      settle = resolve
    })
    const delay: Delay = {
      dueMs,
      release: () => {
        this.delays.delete(delay)
        settle()
      },
    }
    this.delays.add(delay)
    return { released, release: delay.release }
  }

  /** To be called by the coarse timer: releases what is due. */
  release(nowMs: number): void {
    for (const delay of this.delays) if (delay.dueMs <= nowMs) delay.release()
  }
}
