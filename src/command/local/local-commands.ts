/**
 * Hot path. The commands over the store of this process, as command/commands.ts asks for them: classic
 * or meta, and told to those who watch.
 *
 * After OUTCOME_HIT the item is still locked: the caller copies the value out and calls `release`, and
 * does nothing else in between. OUTCOME_PENDING is never answered.
 */
import { COUNTER } from '../../observe/counters.ts'
import { OBSERVED_WORD } from '../../observe/watch-memory.ts'
import { OUTCOME_CHANGED, type Request } from '../../protocol/request.ts'
import { hasVerb, META_VERBS } from '../../protocol/verbs.ts'
import type { CopyCount } from '../../storage/memory-view.ts'
import type { Store } from '../../storage/store.ts'
import type { CommandResult, CommandStore, LargeStore, PendingOutcome } from '../commands.ts'
import { ClassicCommands } from './classic-commands.ts'
import { ItemAccess } from './item-access.ts'
import { LargeWrites } from './large-writes.ts'
import { MetaCommands } from './meta-commands.ts'
import type { RequestObserver } from './request-observer.ts'

export interface LocalCommandsOptions {
  /** False with -F: FLUSH is refused. */
  readonly flushEnabled: boolean
  /** False with -C: every CAS in a response is 0. */
  readonly casEnabled: boolean
}

export class LocalCommands implements CommandStore {
  readonly result: CommandResult
  readonly copies: CopyCount
  readonly large: LargeStore
  private readonly items: ItemAccess
  private readonly classic: ClassicCommands
  private readonly meta: MetaCommands
  private readonly observer: RequestObserver
  /** Not 0 at OBSERVED_WORD while the observer wants to see requests. */
  private readonly observed: Int32Array
  private readonly lane: Float64Array

  constructor(
    store: Store,
    lane: Float64Array,
    observer: RequestObserver,
    { flushEnabled, casEnabled }: LocalCommandsOptions,
  ) {
    this.items = new ItemAccess(store, lane, casEnabled)
    this.result = this.items
    this.copies = store.copies
    this.large = new LargeWrites(this.items)
    this.classic = new ClassicCommands(this.items, flushEnabled)
    this.meta = new MetaCommands(this.items)
    this.observer = observer
    this.observed = observer.observed
    this.lane = lane
  }

  get nowSeconds(): number {
    return this.items.nowSeconds
  }

  setTime(nowSeconds: number): void {
    this.items.nowSeconds = nowSeconds
    this.observer.nowSeconds = nowSeconds
  }

  beginTurn(connectionId: number): void {
    this.copies.copiedBytes = 0
    this.observer.beginTurn(connectionId)
  }

  execute(request: Request, bytes: Uint8Array): number {
    if (this.observed[OBSERVED_WORD] !== 0) return this.executeObserved(request, bytes)
    return isMeta(request.verb)
      ? this.meta.execute(request, bytes)
      : this.classic.execute(request, bytes)
  }

  private executeObserved(request: Request, bytes: Uint8Array): number {
    const { observer } = this
    observer.before(request, bytes)
    if (!isMeta(request.verb)) {
      const outcome = this.classic.execute(request, bytes)
      if (outcome !== OUTCOME_CHANGED) observer.after(request, bytes, outcome, false)
      return outcome
    }
    const outcome = this.meta.execute(request, bytes)
    if (outcome !== OUTCOME_CHANGED) {
      observer.after(request, bytes, outcome, this.items.isCreated)
    }
    return outcome
  }

  takePending(): PendingOutcome {
    throw new Error('assertion failed: the local store answers at once')
  }

  refuseOversize(request: Request, bytes: Uint8Array): number {
    const isObserved = this.observed[OBSERVED_WORD] !== 0
    if (isObserved) this.observer.before(request, bytes)
    const outcome = isMeta(request.verb)
      ? this.meta.refuseOversize(request, bytes)
      : this.classic.refuseOversize(request, bytes)
    if (isObserved) this.observer.after(request, bytes, outcome, false)
    return outcome
  }

  countUnfinished(): void {
    this.lane[COUNTER.read_buf_oom]!++
    this.lane[COUNTER.store_no_memory]!++
  }

  clearCas(): void {
    this.items.clearCas()
  }
}

function isMeta(verb: number): boolean {
  return hasVerb(META_VERBS, verb)
}
