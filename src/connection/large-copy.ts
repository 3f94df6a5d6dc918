/**
 * Large values on their way out: copied from the store in pieces, one a turn, before the request is
 * carried out, so that neither the item's stripe nor the worker's other clients wait for the whole.
 *
 * A request that would find a large value gives its turn away until its copy is complete; it is then
 * carried out as any other, and if what it finds is still what was copied, the copy is sent. If the
 * item changed, the copy begins anew, and after ATTEMPTS_MAX times the value is copied in one go.
 *
 * Invariant: what the copies of a dialect of one worker hold, those that were sent and not yet taken
 * included, never exceeds the budget; a request that needs more is refused, or waits while enough is
 * on its way back to the system, a piece a turn (passing-memory.ts).
 */
import type { Executor } from '../command/execute.ts'
import type { Connection } from './connection.ts'
import { PassingMemory } from './passing-memory.ts'

/** Smaller values are copied in one go: that takes a millisecond. */
export const COPIED_BYTES_MIN: number = 2 * 1024 * 1024
const PIECE_BYTES = 512 * 1024
/** The store copies into ordinary memory, so that its code sees no other (passing-memory.ts). */
const STEP_BYTES = 64 * 1024
/** Unmapping them takes a millisecond. */
const RETURNED_BYTES_PER_TURN = 4 * 1024 * 1024
const ATTEMPTS_MAX = 3
/** The budget is twice the largest item, or this. */
const BUDGET_BYTES_MIN: number = 64 * 1024 * 1024

/** What a request that looked for a large value is to do. */
export const COPY_READY = 0
export const COPY_UNDER_WAY = 1
export const COPY_REFUSED = 2

/** Room for a line end behind the value. */
const END_BYTES_MAX = 2

/** The copy of one value. */
export class LargeCopy {
  readonly memory: PassingMemory
  readonly valueBytes: number
  readonly location: number
  readonly sequence: number
  done = 0

  constructor(executor: Executor) {
    const { heldBytes, heldLocation, heldSequence } = executor
    this.valueBytes = heldBytes
    this.location = heldLocation
    this.sequence = heldSequence
    this.memory = new PassingMemory(heldBytes + END_BYTES_MAX)
  }

  get isComplete(): boolean {
    return this.done === this.valueBytes
  }

  /**
   * Whether the item that is held is the one that is copied here. Its bytes are then the same: values
   * of that length are never overwritten where they lie. Its CAS need not be, so marking the item
   * cannot hold the copy up.
   */
  isOf(executor: Executor): boolean {
    return (
      executor.heldLocation === this.location &&
      executor.heldBytes === this.valueBytes &&
      executor.heldSequence === this.sequence
    )
  }
}

export class LargeCopies {
  /** Bytes of copies: begun, waiting for their readers, or on their way back to the system. */
  private heldBytes = 0
  /** Those on their way back, and what they still hold. */
  private readonly returning: PassingMemory[] = []
  private returningBytes = 0
  private step: Uint8Array | undefined = undefined
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
      connection.copyAttempts = 0
      return COPY_READY
    }
    if (copy?.isOf(executor)) return this.proceed(copy)
    if (copy !== undefined) connection.dropCopy()
    if (connection.copyAttempts === ATTEMPTS_MAX) {
      executor.letGo()
      connection.copyAttempts = 0
      return COPY_READY
    }
    const neededBytes = this.heldBytes + executor.heldBytes + END_BYTES_MAX
    if (neededBytes > this.budgetBytes) {
      executor.letGo()
      if (neededBytes - this.returningBytes <= this.budgetBytes) return COPY_UNDER_WAY
      connection.copyAttempts = 0
      return COPY_REFUSED
    }
    const begun = new LargeCopy(executor)
    connection.copy = begun
    connection.copies = this
    connection.copyAttempts++
    this.heldBytes += begun.memory.heldBytes
    return this.proceed(begun)
  }

  /** Takes back a copy that nobody fills or sends any more. */
  giveBack(copy: LargeCopy): void {
    const { memory } = copy
    if (this.returning.length === 0) setImmediate(() => this.returnPiece())
    this.returning.push(memory)
    this.returningBytes += memory.heldBytes
  }

  private returnPiece(): void {
    const memory = this.returning[0]
    if (memory === undefined) return
    const bytes = memory.shrink(RETURNED_BYTES_PER_TURN)
    this.returningBytes -= bytes
    this.heldBytes -= bytes
    if (memory.heldBytes === 0) this.returning.shift()
    if (this.returning.length > 0) setImmediate(() => this.returnPiece())
  }

  private proceed(copy: LargeCopy): number {
    const { executor } = this
    this.step ??= new Uint8Array(STEP_BYTES)
    const end = Math.min(copy.done + PIECE_BYTES, copy.valueBytes)
    while (copy.done < end) {
      const length = Math.min(STEP_BYTES, end - copy.done)
      executor.copyHeldRange(copy.done, length, this.step, 0)
      copy.memory.put(this.step.subarray(0, length), copy.done)
      copy.done += length
    }
    executor.letGo()
    return copy.isComplete ? COPY_READY : COPY_UNDER_WAY
  }
}
