/**
 * Appending and prepending to large values: the result is made in pieces, one a turn, before the
 * request is carried out, so that neither the item's stripe nor the worker's other clients wait for
 * the whole.
 *
 * A request that would make a large value gives its turn away until the result is complete, and is
 * then carried out as any other; requests behind it wait. If the item changes meanwhile, the result
 * is begun anew, at most ATTEMPTS_MAX times. Of those who extend the same item on one worker the
 * first goes on and the others wait for its end: all but one would have worked in vain.
 *
 * Invariant: what is made lies in the store, within the bounds of all values under way; and every way
 * in which the request or its connection ends, or cannot go on because its peer takes no replies,
 * gives it back and lets those go on who wait.
 */
import { assert } from '../../base/assert.ts'
import {
  OUTCOME_CHANGED,
  OUTCOME_NO_MEMORY,
  OUTCOME_NOT_STORED,
  OUTCOME_OK,
  type Request,
} from '../../protocol/request.ts'
import type { Caller } from '../caller.ts'
import type { Commands, LargeExtension } from '../commands.ts'

const PIECE_BYTES = 512 * 1024
/** Each time another worker has written the whole value in the meantime. */
const ATTEMPTS_MAX = 16

/** Not an outcome: the request goes on in another turn, with what `takeUnderWay` returns. */
export const EXTENSION_UNDER_WAY = -1

/** The extending for one request. */
export class LargeAppend {
  extension: LargeExtension | undefined = undefined
  /** How often it was begun in vain. */
  attempts = 0
  /** Another's is to end first: then this is called, for the request to look again. */
  onTurn: (() => void) | undefined = undefined
  /** It is among those who are called then. */
  isWaiting = false
  private readonly owner: LargeExtensions

  constructor(owner: LargeExtensions) {
    this.owner = owner
  }

  /** Ends what is made, stored or not; the next step begins anew. */
  cancel(): void {
    const { extension } = this
    if (extension === undefined) return
    this.extension = undefined
    extension.value.abandon()
    this.owner.ended(this)
  }
}

export class LargeExtensions {
  /** False: no item can be that large, so nobody needs to look. */
  readonly areNeeded: boolean
  private readonly commands: Commands
  private readonly active: Set<LargeAppend> = new Set()
  private waiting: Set<LargeAppend> = new Set()
  private underWay: LargeAppend | undefined = undefined

  constructor(commands: Commands, valueBytesMax: number) {
    this.commands = commands
    this.areNeeded = valueBytesMax >= commands.extendedBytesMin
  }

  /**
   * Carries out a request that appends or prepends: its outcome, or EXTENSION_UNDER_WAY. `append` is
   * what the last call for it left.
   */
  carryOut(
    append: LargeAppend | undefined,
    request: Request,
    bytes: Uint8Array,
    caller: Caller,
  ): number {
    this.underWay = append
    const outcome = this.proceed(request, bytes, caller)
    if (outcome === EXTENSION_UNDER_WAY) return outcome
    this.underWay?.cancel()
    if (outcome !== OUTCOME_CHANGED) return outcome
    this.underWay ??= new LargeAppend(this)
    this.underWay.attempts++
    return this.underWay.attempts < ATTEMPTS_MAX
      ? EXTENSION_UNDER_WAY
      : this.commands.refuseExtension(OUTCOME_NOT_STORED, caller)
  }

  /** Of the last EXTENSION_UNDER_WAY. */
  takeUnderWay(): LargeAppend {
    const { underWay } = this
    this.underWay = undefined
    assert(underWay !== undefined, 'no append is under way')
    return underWay
  }

  /** Takes one step: an outcome, OUTCOME_CHANGED to begin anew, or EXTENSION_UNDER_WAY. */
  private proceed(request: Request, bytes: Uint8Array, caller: Caller): number {
    const { commands } = this
    let extension = this.underWay?.extension
    if (extension === undefined) {
      extension = commands.beginExtension(request, bytes, caller)
      if (extension === undefined) return commands.execute(request, bytes, caller)
      this.underWay ??= new LargeAppend(this)
      this.underWay.isWaiting = this.isExtended(extension)
      if (this.underWay.isWaiting) {
        this.waiting.add(this.underWay)
        return EXTENSION_UNDER_WAY
      }
      this.underWay.extension = extension
      this.active.add(this.underWay)
    }
    const proceeded = commands.proceedExtension(extension, request, bytes, PIECE_BYTES, caller)
    if (proceeded === OUTCOME_NO_MEMORY) return commands.refuseExtension(OUTCOME_NO_MEMORY, caller)
    if (proceeded !== OUTCOME_OK) return proceeded
    if (extension.value.missingBytes > 0) return EXTENSION_UNDER_WAY
    return commands.executeExtension(extension, request, bytes, caller)
  }

  /** Called by each append that ends; all who wait look again. */
  ended(append: LargeAppend): void {
    this.active.delete(append)
    const { waiting } = this
    if (waiting.size === 0) return
    this.waiting = new Set()
    for (const next of waiting) {
      next.isWaiting = false
      next.onTurn?.()
    }
  }

  private isExtended(begun: LargeExtension): boolean {
    for (const { extension } of this.active) if (extension?.isOfSameItem(begun)) return true
    return false
  }
}
