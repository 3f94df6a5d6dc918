/**
 * Whether a history is linearizable: whether each operation can have happened at one instant between
 * its beginning and its end, so that all answers are those that the item model gives. It is decided
 * for each key by itself, which is enough: a history is linearizable if it is so for every object
 * (Herlihy and Wing, 1990).
 *
 * The search goes through the history once, as Lowe's just-in-time linearization does ("Testing for
 * linearizability", 2017). A configuration is a state of the item and the set of those pending
 * operations that have happened already; all configurations that explain the history so far are
 * kept. Pending operations are only made to happen when one of them ends; when none is left that
 * explains that end, the history has no explanation. So the cost grows with the length of the
 * history, and only the number of operations that overlap on one key makes it dear.
 *
 * What keeps that small: an observation that fits the state happens at once (it changes nothing, so
 * later would be no better); operations of one process happen in their order; of two operations that
 * show a CAS the one with the lower CAS happens first, where CAS ids are in an order.
 *
 * Invariant: between two calls of check() nothing is pending, and each key has the states in which it
 * may be; so a long run can be checked in rounds.
 */
import { describeState, ItemModel, type ItemModelOptions, type ItemState } from './item-model.ts'
import { describeOperation, isObservation, type Operation } from './operation.ts'

/** Operations that may overlap on one key: bits of a set in a small integer. */
const PENDING_MAX = 30
const CONFIGURATIONS_MAX = 200_000
/** Above so many states a key begins to name them anew. */
const STATES_MAX = 200
/** An excerpt begins where nothing is pending, but with at least so many operations if there are. */
const EXCERPT_LENGTH_MIN = 12
/** Lines of an excerpt, and replays that are spent on making it short. */
const EXCERPT_LENGTH_MAX = 60
const SHRINK_REPLAYS_MAX = 500

/** The process of what nobody asked for at that moment: a flush that was asked for before. */
const NO_PROCESS = -1

interface Configuration {
  readonly state: ItemState
  /** Pending operations that have happened. */
  readonly happened: number
}

/** Why a history has no explanation, with the shortest part of it that was found to have none. */
export interface Violation {
  readonly key: string
  /** The operation whose answer cannot be explained. */
  readonly operation: Operation
  /** What the key may have been before the excerpt. */
  readonly before: readonly ItemState[]
  readonly excerpt: readonly Operation[]
}

/** What overlaps on one key. */
class KeyHistory {
  readonly #model: ItemModel
  readonly #pending: (Operation | undefined)[] = []
  /** For each pending operation those of the same process that must happen before it. */
  readonly #waitsFor: number[] = []
  #pendingSet = 0
  #configurations: Configuration[]
  readonly #seen = new Set<number>()
  readonly #next: ItemState[] = []
  /** All that began since some moment when nothing was pending, and what the item was then. */
  recent: Operation[] = []
  before: readonly ItemState[]

  constructor(model: ItemModel, before?: readonly ItemState[]) {
    this.#model = model
    this.before = before ?? [model.empty()]
    this.#configurations = this.before.map((state) => ({ state, happened: 0 }))
  }

  begin(operation: Operation): void {
    if (this.#pendingSet === 0) this.#settle()
    let slot = 0
    while (this.#pending[slot] !== undefined) slot++
    if (slot >= PENDING_MAX) throw new Error(`more than ${PENDING_MAX} operations overlap`)
    let waitsFor = 0
    for (const [other, { process }] of this.#eachPending()) {
      if (process === operation.process) waitsFor |= 1 << other
    }
    this.#pending[slot] = operation
    this.#waitsFor[slot] = waitsFor
    this.#pendingSet |= 1 << slot
    this.recent.push(operation)
  }

  /** False if there is no explanation. */
  end(operation: Operation, latestSecond: number): boolean {
    const slot = this.#pending.indexOf(operation)
    const bit = 1 << slot
    if (this.#pendingSet === bit && this.#configurations.length === 1) {
      return this.#endAlone(slot, this.#configurations[0]!, operation, latestSecond)
    }
    const explained = new Map<number, Configuration>()
    const open: Configuration[] = this.#configurations
    this.#seen.clear()
    for (let taken = open.pop(); taken !== undefined; taken = open.pop()) {
      const { state } = taken
      const happened = this.#withObservations(state, taken.happened, latestSecond)
      if ((happened & bit) !== 0) {
        const left = happened & ~bit
        explained.set(nameOf(state, left), { state, happened: left })
        continue
      }
      for (const [other, candidate] of this.#eachPending()) {
        if (!this.#mayBeNext(other, candidate, happened)) continue
        this.#next.length = 0
        this.#model.step(state, candidate, latestSecond, this.#next)
        for (const after of this.#next) {
          const now = happened | (1 << other)
          const name = nameOf(after, now)
          if (this.#seen.has(name)) continue
          this.#seen.add(name)
          open.push({ state: after, happened: now })
        }
      }
      if (this.#seen.size > CONFIGURATIONS_MAX) {
        throw new Error(`undecided: ${operation.key} has too many overlapping operations`)
      }
    }
    this.#leave(slot)
    this.#configurations = [...explained.values()]
    return explained.size > 0
  }

  /** As end(), for the one pending operation of the one configuration. */
  #endAlone(
    slot: number,
    { state, happened }: Configuration,
    operation: Operation,
    latestSecond: number,
  ): boolean {
    this.#leave(slot)
    this.#next.length = 0
    if (happened !== 0) this.#next.push(state)
    else this.#model.step(state, operation, latestSecond, this.#next)
    this.#configurations = this.#next.map((after) => ({ state: after, happened: 0 }))
    return this.#next.length > 0
  }

  /** Takes back an operation of which nobody can say whether it will happen. */
  withdraw(operation: Operation): void {
    const slot = this.#pending.indexOf(operation)
    const kept = new Map<number, Configuration>()
    for (const { state, happened } of this.#configurations) {
      const left = happened & ~(1 << slot)
      kept.set(nameOf(state, left), { state, happened: left })
    }
    this.#leave(slot)
    this.#configurations = [...kept.values()]
  }

  #leave(slot: number): void {
    const bit = 1 << slot
    this.#pending[slot] = undefined
    this.#pendingSet &= ~bit
    for (const other of this.#waitsFor.keys()) this.#waitsFor[other]! &= ~bit
  }

  #settle(): void {
    if (this.recent.length < EXCERPT_LENGTH_MIN) return
    this.recent = []
    this.before = this.#configurations.map(({ state }) => state)
    if (this.#model.stateCount > STATES_MAX) {
      this.before = this.#model.renew(this.before)
      this.#configurations = this.before.map((state) => ({ state, happened: 0 }))
    }
  }

  *#eachPending(): Iterable<readonly [number, Operation]> {
    for (let slot = 0; slot < this.#pending.length; slot++) {
      const operation = this.#pending[slot]
      if (operation !== undefined) yield [slot, operation]
    }
  }

  /** All pending observations that the state explains without changing have happened. */
  #withObservations(state: ItemState, happenedBefore: number, latestSecond: number): number {
    let happened = happenedBefore
    for (let isDone = false; !isDone; ) {
      isDone = true
      for (const [slot, operation] of this.#eachPending()) {
        if ((happened & (1 << slot)) !== 0 || !isObservation(operation)) continue
        if ((this.#waitsFor[slot]! & ~happened) !== 0) continue
        this.#next.length = 0
        this.#model.step(state, operation, latestSecond, this.#next)
        if (this.#next[0] !== state) continue
        happened |= 1 << slot
        isDone = false
      }
    }
    return happened
  }

  #mayBeNext(slot: number, operation: Operation, happened: number): boolean {
    if ((happened & (1 << slot)) !== 0) return false
    if ((this.#waitsFor[slot]! & ~happened) !== 0) return false
    if (operation.cas === 0 || !this.#model.ordersCas) return true
    for (const [other, { cas }] of this.#eachPending()) {
      if ((happened & (1 << other)) === 0 && cas !== 0 && cas < operation.cas) return false
    }
    return true
  }
}

function nameOf(state: ItemState, happened: number): number {
  return state.id * 2 ** PENDING_MAX + happened
}

/** A flush for later, as what it does when it is due. */
interface DelayedFlush {
  readonly clear: Operation
  readonly atSeconds: number
  readonly request: Operation
  /** Whether the request has ended. */
  isArmed: boolean
}

export class HistoryChecker {
  readonly #options: ItemModelOptions
  readonly #keys = new Map<string, KeyHistory>()
  /** Flushes that are pending: keys that are met from now on have them pending, too. */
  readonly #flushes = new Set<Operation>()
  #latestSecond = 0
  #delayed: DelayedFlush | undefined

  constructor(options: ItemModelOptions) {
    this.#options = options
  }

  /** Goes on with operations that all began after those of the call before had ended. */
  check(operations: readonly Operation[]): Violation | undefined {
    const begins = operations.toSorted((one, other) => one.began - other.began)
    const ends = operations.toSorted((one, other) => one.ended - other.ended)
    let ended = 0
    for (const operation of begins) {
      for (; ends[ended]!.ended < operation.began; ended++) {
        const violation = this.#end(ends[ended]!)
        if (violation !== undefined) return violation
      }
      this.#begin(operation)
    }
    for (; ended < ends.length; ended++) {
      const violation = this.#end(ends[ended]!)
      if (violation !== undefined) return violation
    }
    if (this.#delayed !== undefined) throw new Error('a delayed flush is not due yet')
    return undefined
  }

  #begin(operation: Operation): void {
    this.#latestSecond = Math.max(this.#latestSecond, operation.nowSeconds)
    if (operation.verb === 'maintain') return
    if (operation.verb !== 'flush') {
      let history = this.#keys.get(operation.key)
      if (history === undefined) {
        history = new KeyHistory(new ItemModel(this.#options))
        for (const flush of this.#flushes) history.begin(flush)
        this.#keys.set(operation.key, history)
      }
      history.begin(operation)
      return
    }
    this.#withdrawDelayed()
    if (operation.expiry === 0) {
      this.#beginEverywhere(operation)
      return
    }
    const clear = { ...operation, process: NO_PROCESS, ended: Number.POSITIVE_INFINITY }
    this.#delayed = {
      clear,
      atSeconds: operation.expiry,
      request: operation,
      isArmed: false,
    }
    this.#beginEverywhere(clear)
  }

  #end(operation: Operation): Violation | undefined {
    const violation = this.#endDelayed(operation)
    if (violation !== undefined) return violation
    if (operation.verb === 'maintain') return undefined
    if (operation.verb === 'flush') {
      if (this.#delayed?.request === operation) this.#delayed.isArmed = true
      return operation.expiry === 0 ? this.#endEverywhere(operation) : undefined
    }
    return this.#endAt(this.#keys.get(operation.key)!, operation.key, operation)
  }

  /** Whoever acts in the second of a delayed flush, or after it, does it first. */
  #endDelayed(operation: Operation): Violation | undefined {
    const delayed = this.#delayed
    if (delayed === undefined || !delayed.isArmed) return undefined
    if (operation.nowSeconds < delayed.atSeconds) return undefined
    if (operation.began < delayed.request.ended) return undefined
    this.#delayed = undefined
    return this.#endEverywhere(delayed.clear)
  }

  #beginEverywhere(flush: Operation): void {
    this.#flushes.add(flush)
    for (const history of this.#keys.values()) history.begin(flush)
  }

  #endEverywhere(operation: Operation): Violation | undefined {
    this.#flushes.delete(operation)
    for (const [key, history] of this.#keys) {
      const violation = this.#endAt(history, key, operation)
      if (violation !== undefined) return violation
    }
    return undefined
  }

  #endAt(history: KeyHistory, key: string, operation: Operation): Violation | undefined {
    if (history.end(operation, this.#latestSecond)) return undefined
    const { recent, before } = history
    const excerpt = this.#shrink(before, recent, operation)
    return { key, operation, before, excerpt }
  }

  /** A second flush replaces one that is not due, and whether it was in time nobody knows. */
  #withdrawDelayed(): void {
    if (this.#delayed === undefined) return
    if (!this.#options.mayVanish) throw new Error('a flush overlaps a delayed one')
    for (const history of this.#keys.values()) history.withdraw(this.#delayed.clear)
    this.#flushes.delete(this.#delayed.clear)
    this.#delayed = undefined
  }

  /** Leaves out observations as long as what is left has no explanation either. */
  #shrink(
    before: readonly ItemState[],
    recent: readonly Operation[],
    unexplained: Operation,
  ): readonly Operation[] {
    let excerpt = recent
    if (this.#isExplained(before, excerpt)) return recent
    let replaysLeft = SHRINK_REPLAYS_MAX
    for (const operation of recent) {
      if (operation === unexplained || !isObservation(operation)) continue
      if (replaysLeft-- === 0) break
      const shorter = excerpt.filter((other) => other !== operation)
      if (!this.#isExplained(before, shorter)) excerpt = shorter
    }
    return excerpt
  }

  #isExplained(before: readonly ItemState[], operations: readonly Operation[]): boolean {
    const model = new ItemModel(this.#options)
    const history = new KeyHistory(model, model.renew(before))
    const ends = operations.toSorted((one, other) => one.ended - other.ended)
    let ended = 0
    for (const operation of operations) {
      for (; ends[ended]!.ended < operation.began; ended++) {
        if (!history.end(ends[ended]!, this.#latestSecond)) return false
      }
      history.begin(operation)
    }
    for (; ended < ends.length; ended++) {
      if (!history.end(ends[ended]!, this.#latestSecond)) return false
    }
    return true
  }
}

export function describeViolation(violation: Violation): string {
  const { key, operation, before, excerpt } = violation
  const shown = excerpt.slice(-EXCERPT_LENGTH_MAX)
  const left = excerpt.length - shown.length
  return [
    `no order of these operations on ${key} explains the answer marked with >`,
    ...before.map((state) => `  before: ${describeState(state)}`),
    ...(left > 0 ? [`  (${left} operations)`] : []),
    ...shown.map((one) => `${one === operation ? '>' : ' '} ${describeOperation(one)}`),
  ].join('\n')
}
