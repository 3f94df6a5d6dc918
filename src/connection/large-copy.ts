/**
 * Large values on their way out: copied from the store in pieces, one a turn, before the request is
 * carried out, so that neither the item's stripe nor the worker's other clients wait for the whole.
 *
 * A request that would find a large value gives its turn away until its copy is complete; it is then
 * carried out as any other, and if what it finds is still what was copied, the copy is sent. If the
 * item changed, the copy begins anew, and after ATTEMPTS_MAX times the value is copied in one go.
 *
 * While readers are slow, values that the send buffer does not take go this way, too: what they hold
 * is then counted, bounded, and given back when the readers go.
 *
 * Invariant: no copy is begun beyond the bound of the reply memory, which counts those that were sent
 * and not yet taken; a request that needs more is refused, or waits while enough is on its way back to
 * the system, a piece a turn (passing-memory.ts).
 */
import type { Commands } from '../command/commands.ts'
import type { Connection } from './connection.ts'
import { PassingMemory } from './passing-memory.ts'
import type { ReplyMemory } from './reply-memory.ts'
import { SEND_BUFFER_BYTES } from './send-buffer.ts'

/** Smaller values are copied in one go: that takes a millisecond. */
const COPIED_BYTES_MIN: number = 2 * 1024 * 1024
/** The same while readers are slow: what does not go through the send buffer. */
const CROWDED_COPIED_BYTES_MIN: number = SEND_BUFFER_BYTES
const PIECE_BYTES = 512 * 1024
/** The store copies into ordinary memory, so that its code sees no other (passing-memory.ts). */
const STEP_BYTES = 64 * 1024
/** Unmapping them takes a millisecond. */
const RETURNED_BYTES_PER_TURN = 4 * 1024 * 1024
const ATTEMPTS_MAX = 3

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

  constructor(commands: Commands) {
    const { heldBytes, heldLocation, heldSequence } = commands
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
  isOf(commands: Commands): boolean {
    return (
      commands.heldLocation === this.location &&
      commands.heldBytes === this.valueBytes &&
      commands.heldSequence === this.sequence
    )
  }
}

export class LargeCopies {
  /** Copies on their way back to the system, and what they still hold. */
  private readonly returning: PassingMemory[] = []
  private returningBytes = 0
  private step: Uint8Array | undefined = undefined
  private readonly commands: Commands
  private readonly memory: ReplyMemory
  private readonly hasLargeItems: boolean

  constructor(commands: Commands, valueBytesMax: number, memory: ReplyMemory) {
    this.commands = commands
    this.memory = memory
    this.hasLargeItems = valueBytesMax >= COPIED_BYTES_MIN
  }

  /** False: no value needs a copy of its own, so nobody needs to look. */
  get areNeeded(): boolean {
    return this.hasLargeItems || this.memory.isCrowded
  }

  /** Looks at the item of a key: COPY_READY to carry the request out, or why not yet. */
  prepare(connection: Connection, key: Uint8Array, keyOffset: number, keyLength: number): number {
    const { commands, memory } = this
    const { copy } = connection
    const bytesMin = memory.isCrowded ? CROWDED_COPIED_BYTES_MIN : COPIED_BYTES_MIN
    const isFound = commands.hold(key, keyOffset, keyLength, connection.gate)
    if (isFound && copy?.isOf(commands)) return this.proceed(copy)
    if (!isFound || commands.heldBytes < bytesMin) {
      commands.letGo()
      if (copy !== undefined) connection.dropCopy()
      connection.copyAttempts = 0
      return COPY_READY
    }
    if (copy !== undefined) connection.dropCopy()
    if (connection.copyAttempts === ATTEMPTS_MAX) {
      commands.letGo()
      connection.copyAttempts = 0
      return COPY_READY
    }
    const neededBytes = commands.heldBytes + END_BYTES_MAX
    if (!memory.hasRoomFor(neededBytes)) {
      commands.letGo()
      if (memory.hasRoomFor(neededBytes - this.returningBytes)) return COPY_UNDER_WAY
      connection.copyAttempts = 0
      memory.countRefusal()
      return COPY_REFUSED
    }
    const begun = new LargeCopy(commands)
    connection.copy = begun
    connection.copies = this
    connection.copyAttempts++
    memory.hold(begun.memory.heldBytes)
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
    this.memory.letGo(bytes)
    if (memory.heldBytes === 0) this.returning.shift()
    if (this.returning.length > 0) setImmediate(() => this.returnPiece())
  }

  private proceed(copy: LargeCopy): number {
    const { commands } = this
    this.step ??= new Uint8Array(STEP_BYTES)
    const end = Math.min(copy.done + PIECE_BYTES, copy.valueBytes)
    while (copy.done < end) {
      const length = Math.min(STEP_BYTES, end - copy.done)
      commands.copyHeldRange(copy.done, length, this.step, 0)
      copy.memory.put(this.step.subarray(0, length), copy.done)
      copy.done += length
    }
    commands.letGo()
    return copy.isComplete ? COPY_READY : COPY_UNDER_WAY
  }
}
