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
import type { Commands, LargeExtension } from '../command/commands.ts'
import {
  OUTCOME_CHANGED,
  OUTCOME_NO_MEMORY,
  OUTCOME_NOT_STORED,
  OUTCOME_OK,
  type Request,
} from '../protocol/request.ts'
import type { Connection } from './connection.ts'

const PIECE_BYTES = 512 * 1024
/** Each time another worker has written the whole value in the meantime. */
const ATTEMPTS_MAX = 16

/** Not an outcome: the request has given its turn away and stays at the head of its buffer. */
export const EXTENSION_UNDER_WAY = -1

/** An extension under way, as its connection knows it. */
export class ExtensionHold {
  readonly extension: LargeExtension
  private readonly owner: LargeExtensions

  constructor(extension: LargeExtension, owner: LargeExtensions) {
    this.extension = extension
    this.owner = owner
  }

  /** Ends it, stored or not. */
  end(): void {
    this.extension.value.abandon()
    this.owner.ended(this)
  }
}

export class LargeExtensions {
  /** False: no item can be that large, so nobody needs to look. */
  readonly areNeeded: boolean
  private readonly commands: Commands
  private readonly active: Set<ExtensionHold> = new Set()
  private waiting: Set<Connection> = new Set()

  constructor(commands: Commands, valueBytesMax: number) {
    this.commands = commands
    this.areNeeded = valueBytesMax >= commands.extendedBytesMin
  }

  /** Carries out a request that appends or prepends: its outcome, or EXTENSION_UNDER_WAY. */
  carryOut(connection: Connection, request: Request, bytes: Uint8Array): number {
    const outcome = this.proceed(connection, request, bytes)
    if (outcome === EXTENSION_UNDER_WAY) return outcome
    connection.dropExtension()
    if (outcome !== OUTCOME_CHANGED) {
      connection.extensionAttempts = 0
      return outcome
    }
    connection.extensionAttempts++
    if (connection.extensionAttempts < ATTEMPTS_MAX) {
      connection.yieldTurn()
      return EXTENSION_UNDER_WAY
    }
    connection.extensionAttempts = 0
    return this.commands.refuseExtension(OUTCOME_NOT_STORED, connection.gate)
  }

  /** Takes one step: an outcome, OUTCOME_CHANGED to begin anew, or EXTENSION_UNDER_WAY. */
  private proceed(connection: Connection, request: Request, bytes: Uint8Array): number {
    const { commands } = this
    const { gate } = connection
    if (connection.extension === undefined) {
      const begun = commands.beginExtension(request, bytes, gate)
      if (begun === undefined) return commands.execute(request, bytes, gate)
      if (this.isExtended(begun)) {
        this.waiting.add(connection)
        connection.awaitTurn()
        return EXTENSION_UNDER_WAY
      }
      connection.extension = new ExtensionHold(begun, this)
      this.active.add(connection.extension)
    }
    const { extension } = connection.extension
    const proceeded = commands.proceedExtension(extension, request, bytes, PIECE_BYTES, gate)
    if (proceeded === OUTCOME_NO_MEMORY) return commands.refuseExtension(OUTCOME_NO_MEMORY, gate)
    if (proceeded !== OUTCOME_OK) return proceeded
    if (extension.value.missingBytes > 0) {
      connection.yieldTurn()
      return EXTENSION_UNDER_WAY
    }
    return commands.executeExtension(extension, request, bytes, gate)
  }

  /** Called by each hold when it ends; all who wait look again. */
  ended(hold: ExtensionHold): void {
    this.active.delete(hold)
    const { waiting } = this
    if (waiting.size === 0) return
    this.waiting = new Set()
    for (const connection of waiting) connection.resumeTurn()
  }

  private isExtended(begun: LargeExtension): boolean {
    for (const hold of this.active) if (hold.extension.isOfSameItem(begun)) return true
    return false
  }
}
