/**
 * Looks at the deadlines of all connections, some at a time. Where many end at once, a crowd of
 * strangers whose time is up, each end and each newcomer that is let in for it costs some 100 us:
 * whoever is logged in must not wait for all of them.
 *
 * Invariant: of a walk each connection that was there when it began is looked at once, also where others
 * come or go meanwhile, and no walk begins before the last one is over.
 */

/** A connection, as far as it is looked at here. */
export interface Walked {
  readonly state: number
  checkDeadlines(): void
}

/** In one step. */
const ENDED_MAX = 1
const LOOKED_AT_MAX = 1024

/** All of them: base/slots.ts. */
export interface WalkedSlots {
  readonly slotCount: number
  at(slot: number): Walked | undefined
}

/** Calls back in one of the next turns of the event loop, when what others ask was looked at. */
export interface DeadlineTurns {
  lookAtDeadlines(step: () => void): void
}

const NO_WALK = -1

export class DeadlineWalk {
  private readonly connections: WalkedSlots
  private readonly turns: DeadlineTurns
  private readonly goOn: () => void = () => this.step()
  /** The next slot of the walk, and where it ends. */
  private slot = NO_WALK
  private slotEnd = 0

  constructor(connections: WalkedSlots, turns: DeadlineTurns) {
    this.connections = connections
    this.turns = turns
  }

  /** To be called by the worker's coarse timer. */
  begin(): void {
    if (this.slot !== NO_WALK) return
    this.slot = 0
    this.slotEnd = this.connections.slotCount
    this.turns.lookAtDeadlines(this.goOn)
  }

  private step(): void {
    let endedCount = 0
    for (let count = 0; count < LOOKED_AT_MAX && endedCount < ENDED_MAX; count++) {
      if (this.slot === this.slotEnd) {
        this.slot = NO_WALK
        return
      }
      const next = this.connections.at(this.slot++)
      if (next === undefined) continue
      const { state } = next
      next.checkDeadlines()
      if (next.state !== state) endedCount++
    }
    this.turns.lookAtDeadlines(this.goOn)
  }
}
