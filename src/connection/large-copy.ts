/**
 * Large values on their way out: copied from the store in pieces, one a turn, before the request is
 * carried out, so that neither the item's stripe nor the worker's other clients wait for the whole.
 *
 * A request that would find a large value gives its turn away until its copy is complete; it is then
 * carried out as any other, and if what it finds is still what was copied, the copy is sent. If the
 * item changed, the copy begins anew, and after ATTEMPTS_MAX times the value is copied in one go.
 *
 * Invariant: what the copies of a dialect of one worker hold, those that were sent and not yet taken
 * included, never exceeds the budget; a request that needs more is refused.
 */
import type { Executor } from '../command/execute.ts'
import type { Connection } from './connection.ts'

/** Smaller values are copied in one go: that takes a millisecond. */
export const COPIED_BYTES_MIN: number = 2 * 1024 * 1024
const PIECE_BYTES = 512 * 1024
const ATTEMPTS_MAX = 3
/** The budget is twice the largest item, or this. */
const BUDGET_BYTES_MIN: number = 64 * 1024 * 1024

/** What a request that looked for a large value is to do. */
export const COPY_READY = 0
export const COPY_UNDER_WAY = 1
export const COPY_REFUSED = 2

/** The copy of one value. */
export class LargeCopy {
  readonly bytes: Buffer
  readonly valueBytes: number
  readonly location: number
  readonly casHigh: number
  readonly casLow: number
  readonly attempt: number
  done = 0

  constructor(executor: Executor, attempt: number) {
    const { heldBytes, heldLocation, heldCasHigh, heldCasLow } = executor
    this.valueBytes = heldBytes
    this.location = heldLocation
    this.casHigh = heldCasHigh
    this.casLow = heldCasLow
    this.attempt = attempt
    // Room for a line end behind it. Pages are touched as pieces arrive.
    this.bytes = Buffer.allocUnsafeSlow(heldBytes + 2)
  }

  get isComplete(): boolean {
    return this.done === this.valueBytes
  }

  /** Whether the item that is held is the one that is copied here, unchanged. */
  isOf(executor: Executor): boolean {
    return (
      executor.heldLocation === this.location &&
      executor.heldBytes === this.valueBytes &&
      executor.heldCasHigh === this.casHigh &&
      executor.heldCasLow === this.casLow
    )
  }
}

export class LargeCopies {
  /** Bytes of copies, begun or waiting for their readers. */
  heldBytes = 0
  /** False: no item can be that large, so nobody needs to look. */
  readonly areNeeded: boolean
  private readonly executor: Executor
  private readonly budgetBytes: number

  constructor(executor: Executor, valueBytesMax: number) {
    this.executor = executor
    this.areNeeded = valueBytesMax >= COPIED_BYTES_MIN
    this.budgetBytes = Math.max(BUDGET_BYTES_MIN, 2 * valueBytesMax)
  }

  /** Looks at the item of a key: COPY_READY to carry the request out, or why not yet. */
  prepare(connection: Connection, key: Uint8Array, keyOffset: number, keyLength: number): number {
    const { executor } = this
    const { copy } = connection
    if (!executor.hold(key, keyOffset, keyLength) || executor.heldBytes < COPIED_BYTES_MIN) {
      executor.letGo()
      if (copy !== undefined) connection.dropCopy()
      return COPY_READY
    }
    if (copy?.isOf(executor)) return this.proceed(copy)
    const attempt = copy === undefined ? 1 : copy.attempt + 1
    if (copy !== undefined) connection.dropCopy()
    if (this.heldBytes + executor.heldBytes > this.budgetBytes) {
      executor.letGo()
      return COPY_REFUSED
    }
    if (attempt > ATTEMPTS_MAX) {
      executor.letGo()
      return COPY_READY
    }
    const begun = new LargeCopy(executor, attempt)
    connection.copy = begun
    connection.copies = this
    this.heldBytes += begun.valueBytes
    return this.proceed(begun)
  }

  private proceed(copy: LargeCopy): number {
    const { executor } = this
    const length = Math.min(PIECE_BYTES, copy.valueBytes - copy.done)
    executor.copyHeldRange(copy.done, length, copy.bytes, copy.done)
    executor.letGo()
    copy.done += length
    return copy.isComplete ? COPY_READY : COPY_UNDER_WAY
  }
}
