/**
 * Counters with labels whose values are closed lists: a lane of them a worker (shared-lanes.ts), a slot
 * for each combination. For what happens with a connection, not with each request (a login, a refusal, a
 * handshake): the slot is looked up by name.
 *
 * Invariant: what is not in a list is counted under its last value, so that nothing that a client
 * sends makes a new series.
 */
import type { Labels, MetricFamily } from './metric-family.ts'
import { createSharedLanes, type SharedLanes, sharedLane, sumSharedLanes } from './shared-lanes.ts'

export interface LabeledCounter {
  readonly name: string
  readonly help: string
  /** Each label with its values, the last of which stands for all others. */
  readonly labels: Readonly<Record<string, readonly string[]>>
}

interface Placed extends LabeledCounter {
  readonly lists: readonly (readonly string[])[]
  readonly firstSlot: number
}

export class LabeledCounters<Name extends string> {
  readonly slotCount: number
  private readonly placed: ReadonlyMap<string, Placed>

  constructor(table: readonly (LabeledCounter & { readonly name: Name })[]) {
    const placed = new Map<string, Placed>()
    let slot = 0
    for (const counter of table) {
      const lists = Object.values(counter.labels)
      placed.set(counter.name, { ...counter, lists, firstSlot: slot })
      slot += lists.reduce((product, list) => product * list.length, 1)
    }
    this.placed = placed
    this.slotCount = slot
  }

  createMemory(workerCount: number): SharedLanes {
    return createSharedLanes(workerCount, this.slotCount)
  }

  /** Counts into a worker's lane; `values` in the order of the labels. */
  countingInto(lanes: SharedLanes, workerIndex: number): (name: Name, ...values: string[]) => void {
    const lane = sharedLane(lanes, workerIndex)
    return (name, ...values) => {
      const { lists, firstSlot } = this.placed.get(name) as Placed
      let place = 0
      for (let index = 0; index < lists.length; index++) {
        const list = lists[index]!
        const found = list.indexOf(values[index] ?? '')
        place = place * list.length + (found < 0 ? list.length - 1 : found)
      }
      lane[firstSlot + place]!++
    }
  }

  /** A family a counter. A series that has counted nothing is left out: most never will. */
  families(lanes: SharedLanes): MetricFamily[] {
    return [...this.placed.values()].map((counter) => ({
      name: counter.name,
      help: counter.help,
      kind: 'counter',
      samples: () => {
        const sums = sumSharedLanes(lanes)
        return combinations(counter)
          .map((labels, place) => ({ labels, value: sums[counter.firstSlot + place]! }))
          .filter(({ value }) => value > 0)
      },
    }))
  }
}

/** Of the labels, in the order of their slots. */
function combinations({ labels }: LabeledCounter): Labels[] {
  return Object.entries(labels).reduce<Labels[]>(
    (rows, [name, values]) =>
      rows.flatMap((row) => values.map((value) => ({ ...row, [name]: value }))),
    [{}],
  )
}
