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
 * the system, a piece a turn (passing-memory.ts). A copy belongs to its read until it is taken, and then
 * to the one who sends it; whoever has it gives it back, once.
 */
import type { Caller } from '../caller.ts'
import type { Commands } from '../commands.ts'
import { PassingMemory } from './passing-memory.ts'

/** Smaller values are copied in one go: that takes a millisecond. */
const COPIED_BYTES_MIN: number = 2 * 1024 * 1024
const PIECE_BYTES = 512 * 1024
/** The store copies into ordinary memory, so that its code sees no other (passing-memory.ts). */
const STEP_BYTES = 64 * 1024
/** Unmapping them takes a millisecond. */
const RETURNED_BYTES_PER_TURN = 4 * 1024 * 1024
const ATTEMPTS_MAX = 3

/** Room for a line end behind the value. */
const END_BYTES_MAX = 2

/** What bounds the copies: the memory of all replies that are not taken yet, which namespaces share. */
export interface CopyMemory {
  /** True while readers are slow. */
  readonly isCrowded: boolean
  hasRoomFor(bytes: number, namespace: number): boolean
  hold(bytes: number, namespace: number): void
  letGo(bytes: number, namespace: number): void
  refuse(bytes: number, namespace: number): void
}

export interface LargeCopiesOptions {
  /** The largest value that can be stored. */
  readonly valueBytesMax: number
  /** From this length on values are copied so while readers are slow. */
  readonly crowdedBytesMin: number
  readonly memory: CopyMemory
}

/** The copy of one value. */
export class LargeCopy {
  readonly memory: PassingMemory
  readonly valueBytes: number
  readonly namespace: number
  private readonly location: number
  private readonly sequence: number
  private readonly owner: LargeCopies
  private done = 0

  /** Of the item that is held. */
  constructor(owner: LargeCopies, commands: Commands) {
    const { heldBytes, heldLocation, heldSequence, namespace } = commands
    this.owner = owner
    this.namespace = namespace
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
      commands.namespace === this.namespace &&
      commands.heldLocation === this.location &&
      commands.heldBytes === this.valueBytes &&
      commands.heldSequence === this.sequence
    )
  }

  /** Copies the next piece of the item that is held; `step` is what it goes through. */
  proceed(commands: Commands, step: Uint8Array): void {
    const end = Math.min(this.done + PIECE_BYTES, this.valueBytes)
    while (this.done < end) {
      const length = Math.min(step.length, end - this.done)
      commands.copyHeldRange(this.done, length, step, 0)
      this.memory.put(step.subarray(0, length), this.done)
      this.done += length
    }
  }

  /** All of it, and `end` behind it, to be sent. */
  withEnd(end: Uint8Array): Uint8Array {
    this.memory.put(end, this.valueBytes)
    return this.memory.first(this.valueBytes + end.length)
  }

  /** Nobody fills or sends it any more. */
  giveBack(): void {
    this.owner.takeBack(this)
  }
}

/** The copying for one request. */
export class LargeRead {
  copy: LargeCopy | undefined = undefined
  /** How often a copy was begun. */
  attempts = 0
  /** There is no memory for a copy: the request is refused. */
  isRefused = false

  /** True: the request goes on in another turn; it has its copy then, or room for one. */
  get isUnderWay(): boolean {
    return !this.isRefused && !this.copy?.isComplete
  }

  /** After an OUTCOME_HIT: the copy, if it is of the item that was found. Whoever takes it gives it back. */
  take(commands: Commands): LargeCopy | undefined {
    const { copy } = this
    if (copy === undefined || !copy.isComplete || !copy.isOf(commands)) return undefined
    this.copy = undefined
    return copy
  }

  /** Gives back what it has. */
  cancel(): void {
    const { copy } = this
    this.copy = undefined
    copy?.giveBack()
  }
}

export class LargeCopies {
  private readonly commands: Commands
  private readonly memory: CopyMemory
  private readonly crowdedBytesMin: number
  private readonly hasLargeItems: boolean
  private step: Uint8Array | undefined = undefined
  /** Copies on their way back to the system, and what they still hold. */
  private readonly returning: LargeCopy[] = []
  private returningBytes = 0

  constructor(commands: Commands, options: LargeCopiesOptions) {
    this.commands = commands
    this.memory = options.memory
    this.crowdedBytesMin = options.crowdedBytesMin
    this.hasLargeItems = options.valueBytesMax >= COPIED_BYTES_MIN
  }

  /** False: no value needs a copy of its own, so nobody needs to look. */
  get areNeeded(): boolean {
    return this.hasLargeItems || this.memory.isCrowded
  }

  /**
   * Looks at the item of a key, and goes on with `read`, what the last call for the request returned.
   * Undefined: it can be carried out without a copy. Else it is under way, refused, or carried
   * out with the copy.
   */
  prepare(
    read: LargeRead | undefined,
    key: Uint8Array,
    keyOffset: number,
    keyLength: number,
    caller: Caller,
  ): LargeRead | undefined {
    const { commands } = this
    const isFound = commands.hold(key, keyOffset, keyLength, caller)
    const going = isFound && read?.copy?.isOf(commands) ? read : this.begin(read, isFound)
    this.step ??= new Uint8Array(STEP_BYTES)
    going?.copy?.proceed(commands, this.step)
    commands.letGo()
    return going
  }

  /** Begins a copy of the item that is held, in place of that of `read`. */
  private begin(read: LargeRead | undefined, isFound: boolean): LargeRead | undefined {
    const { commands, memory } = this
    const { namespace } = commands
    const bytesMin = memory.isCrowded ? this.crowdedBytesMin : COPIED_BYTES_MIN
    read?.cancel()
    if (!isFound || commands.heldBytes < bytesMin) return undefined
    if (read?.attempts === ATTEMPTS_MAX) return undefined
    const begun = read ?? new LargeRead()
    const neededBytes = commands.heldBytes + END_BYTES_MAX
    if (memory.hasRoomFor(neededBytes, namespace)) {
      begun.copy = new LargeCopy(this, commands)
      begun.attempts++
      memory.hold(begun.copy.memory.heldBytes, namespace)
    } else if (!memory.hasRoomFor(neededBytes - this.returningBytes, namespace)) {
      begun.isRefused = true
      memory.refuse(neededBytes, namespace)
    }
    return begun
  }

  takeBack(copy: LargeCopy): void {
    if (this.returning.length === 0) setImmediate(() => this.returnPiece())
    this.returning.push(copy)
    this.returningBytes += copy.memory.heldBytes
  }

  private returnPiece(): void {
    const [copy] = this.returning
    if (copy === undefined) return
    const { memory, namespace } = copy
    const bytes = memory.shrink(RETURNED_BYTES_PER_TURN)
    this.returningBytes -= bytes
    this.memory.letGo(bytes, namespace)
    if (memory.heldBytes === 0) this.returning.shift()
    if (this.returning.length > 0) setImmediate(() => this.returnPiece())
  }
}
