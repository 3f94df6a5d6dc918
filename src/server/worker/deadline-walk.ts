/**
 * Looks at the deadlines of all connections, some at a time. Where many end at once, a crowd of
 * strangers whose time is up, each end and each newcomer that is let in for it costs some 100 us:
 * whoever is logged in must not wait for all of them. Nor does a login that is over wait for the crowd: of those
 * who are logged in more end in one step.
 *
 * Invariant: of a walk each connection that was there when it began is looked at once, also where others
 * come or go meanwhile, and no walk begins before the last one is over.
 */

/** A connection, as far as it is looked at here. */
export interface Walked {
  readonly state: number
  /** Open: it is logged in. */
  readonly gate: { readonly isOpen: boolean }
  checkDeadlines(): void
}

/** In one step, of strangers and of others. */
const STRANGERS_ENDED_MAX = 1
const OTHERS_ENDED_MAX = 16
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
    let strangersLeft = STRANGERS_ENDED_MAX
    let othersLeft = OTHERS_ENDED_MAX
    for (let count = 0; count < LOOKED_AT_MAX && strangersLeft > 0 && othersLeft > 0; count++) {
      if (this.slot === this.slotEnd) {
        this.slot = NO_WALK
        return
      }
      const next = this.connections.at(this.slot++)
      if (next === undefined) continue
      const { state } = next
      const { isOpen } = next.gate
      next.checkDeadlines()
      if (next.state === state) continue
      if (isOpen) othersLeft--
      else strangersLeft--
    }
    this.turns.lookAtDeadlines(this.goOn)
  }
}
