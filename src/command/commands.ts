/**
 * Hot path. The one way from a connection to the store. Whatever a request reads, changes or gives
 * back there, its refusals included, goes through here and names its caller; of a caller that is not
 * logged in nothing is carried out, whatever the reason for the call.
 *
 * Invariant: no method touches the store, a counter of it or the watch log for a closed caller. The
 * dialects answer such a client long before; this is what holds when one of them does not
 * (test/unit/connection/closed-gate.test.ts tries them all).
 *
 * What an outcome carries is in `result`, or after a meta command in `metaResult`, until the next
 * call. After OUTCOME_HIT the item is held: the caller copies the value out and calls `release`.
 */
import type { MetaResult } from '../protocol/meta/encode.ts'
import {
  OUTCOME_NO_MEMORY,
  OUTCOME_REFUSED,
  type Request,
  VERB_META_SET,
} from '../protocol/request.ts'
import type { TextResult } from '../protocol/text/encode.ts'
import type { CopyCount } from '../storage/memory-view.ts'
import type { Executor, LargeExtension, LargeValue } from './execute.ts'
import type { MetaExecutor } from './meta.ts'

export type { LargeExtension, LargeValue }

/** Who asks. */
export interface Caller {
  /** True while it is logged in, or where nobody need be. */
  readonly isOpen: boolean
}

/** A value that is held. */
export interface HeldValue {
  readonly valueBytes: number
  copyValue(target: Uint8Array, targetOffset: number): void
  release(): void
}

/** What the last outcome of a classic command carries. */
export interface CommandResult extends TextResult, HeldValue {}

/** What the last outcome of a meta command carries. */
export interface MetaCommandResult extends MetaResult, HeldValue {}

export class Commands {
  readonly result: CommandResult
  readonly metaResult: MetaCommandResult
  /** Bytes that were copied in or out of the store in this turn, for whatever reason. */
  readonly copies: CopyCount
  private readonly executor: Executor
  private readonly meta: MetaExecutor

  constructor(executor: Executor, meta: MetaExecutor) {
    this.executor = executor
    this.meta = meta
    this.result = executor
    this.metaResult = meta
    this.copies = executor.copies
  }

  get nowSeconds(): number {
    return this.executor.nowSeconds
  }

  /** The requests of this connection come now. */
  beginTurn(connectionId: number): void {
    this.executor.beginTurn(connectionId)
  }

  /** Carries out a classic request, whose offsets point into `bytes`. Returns an OUTCOME_ number. */
  execute(request: Request, bytes: Uint8Array, caller: Caller): number {
    if (!caller.isOpen) return OUTCOME_REFUSED
    return this.executor.execute(request, bytes)
  }

  /** The same for a meta request. */
  executeMeta(request: Request, bytes: Uint8Array, caller: Caller): number {
    if (!caller.isOpen) return OUTCOME_REFUSED
    return this.meta.execute(request, bytes)
  }

  /** A request that appends or prepends, classic or meta. */
  executeExtending(request: Request, bytes: Uint8Array, caller: Caller): number {
    return request.verb === VERB_META_SET
      ? this.executeMeta(request, bytes, caller)
      : this.execute(request, bytes, caller)
  }

  /** A value too large to be stored was announced: a SET removes the old item, as in memcached. */
  refuseOversize(request: Request, bytes: Uint8Array, caller: Caller): number {
    if (!caller.isOpen) return OUTCOME_REFUSED
    return request.verb === VERB_META_SET
      ? this.meta.refuseOversize(request, bytes)
      : this.executor.refuseOversize(request, bytes)
  }

  /**
   * There is no memory in which the rest of the request could be waited for. Nothing was asked of the
   * store, so nothing changes there: memcached, too, deletes the old item only where the store has no
   * room for the new one.
   */
  refuseUnfinished(caller: Caller): number {
    if (!caller.isOpen) return OUTCOME_REFUSED
    this.executor.countUnfinished()
    return OUTCOME_NO_MEMORY
  }

  /** Begins the value of a request that goes into the store as it arrives; undefined: it does not. */
  beginLarge(request: Request, caller: Caller): LargeValue | undefined {
    return caller.isOpen ? this.executor.beginLarge(request) : undefined
  }

  /** False: there is no room for it. */
  appendLarge(large: LargeValue, bytes: Uint8Array, offset: number, length: number): boolean {
    return this.executor.appendLarge(large, bytes, offset, length)
  }

  /** Carries out the request whose value has arrived as `large`; `head` is all of it but the value. */
  executeLarge(large: LargeValue, request: Request, head: Uint8Array, caller: Caller): number {
    if (!caller.isOpen) return OUTCOME_REFUSED
    this.executor.withLarge(large)
    const outcome = this.executeExtending(request, head, caller)
    this.executor.withLarge(undefined)
    return outcome
  }

  /** The store has no room for a value that was arriving: a SET deletes the old item, as elsewhere. */
  refuseLarge(request: Request, head: Uint8Array, caller: Caller): number {
    if (!caller.isOpen) return OUTCOME_REFUSED
    return this.executor.refuseLarge(request, head)
  }

  /** From this length on the result of appending is made in pieces. */
  get extendedBytesMin(): number {
    return this.executor.extendedBytesMin
  }

  /**
   * Begins to append or prepend in pieces; undefined if the request can be carried out, or refused,
   * at once.
   */
  beginExtension(request: Request, bytes: Uint8Array, caller: Caller): LargeExtension | undefined {
    return caller.isOpen ? this.executor.beginExtension(request, bytes) : undefined
  }

  /** See Executor.proceedExtension. */
  proceedExtension(
    extension: LargeExtension,
    request: Request,
    bytes: Uint8Array,
    lengthMax: number,
    caller: Caller,
  ): number {
    if (!caller.isOpen) return OUTCOME_REFUSED
    return this.executor.proceedExtension(extension, request, bytes, lengthMax)
  }

  /** Carries out the request that `extension`, which is complete, is of. */
  executeExtension(
    extension: LargeExtension,
    request: Request,
    bytes: Uint8Array,
    caller: Caller,
  ): number {
    if (!caller.isOpen) return OUTCOME_REFUSED
    this.executor.withExtension(extension)
    const outcome = this.executeExtending(request, bytes, caller)
    this.executor.withExtension(undefined)
    return outcome
  }

  /** See Executor.refuseExtension. */
  refuseExtension(outcome: number, caller: Caller): number {
    return caller.isOpen ? this.executor.refuseExtension(outcome) : OUTCOME_REFUSED
  }

  /** Holds an item without it counting as anything, until letGo(). False: there is none. */
  hold(key: Uint8Array, keyOffset: number, keyLength: number, caller: Caller): boolean {
    return caller.isOpen && this.executor.hold(key, keyOffset, keyLength)
  }

  letGo(): void {
    this.executor.letGo()
  }

  /** The next outcome, of a request that does not come here, carries no CAS. */
  clearCas(): void {
    this.executor.casHigh = 0
    this.executor.casLow = 0
  }

  /** Of the item that is held, by hold() or by an OUTCOME_HIT. */
  get heldBytes(): number {
    return this.executor.heldBytes
  }

  get heldLocation(): number {
    return this.executor.heldLocation
  }

  get heldSequence(): number {
    return this.executor.heldSequence
  }

  copyHeldRange(from: number, length: number, target: Uint8Array, targetOffset: number): void {
    this.executor.copyHeldRange(from, length, target, targetOffset)
  }
}
