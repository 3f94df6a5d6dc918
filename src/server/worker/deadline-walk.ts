/**
 * Looks at the deadlines of all connections, some at a time. Where many end at once, a crowd of
 * strangers whose time is up, each end and each newcomer that is let in for it costs some 100 us:
 * whoever is logged in must not wait for all of them.
 *
 * Invariant: of a walk each connection is looked at once, also where others come or go meanwhile, and
 * no walk begins before the last one is over.
 */

/** A connection, as far as it is looked at here. */
export interface Walked {
  readonly state: number
  checkDeadlines(): void
}

/** In one step: 16 of them take a millisecond or two. */
const ENDED_MAX = 16
const LOOKED_AT_MAX = 2048

export class DeadlineWalk {
  private readonly connections: ReadonlySet<Walked>
  private readonly later: (step: () => void) => void
  private walk: Iterator<Walked> | undefined = undefined

  /** `later` calls back when others have had their turn. */
  constructor(connections: ReadonlySet<Walked>, later: (step: () => void) => void) {
    this.connections = connections
    this.later = later
  }

  /** To be called by the worker's coarse timer. */
  begin(): void {
    if (this.walk !== undefined) return
    this.walk = this.connections.values()
    this.step()
  }

  private step(): void {
    let endedCount = 0
    for (let count = 0; count < LOOKED_AT_MAX && endedCount < ENDED_MAX; count++) {
      const next = this.walk?.next()
      if (next === undefined || next.done === true) {
        this.walk = undefined
        return
      }
      const { state } = next.value
      next.value.checkDeadlines()
      if (next.value.state !== state) endedCount++
    }
    this.later(() => this.step())
  }
}
