/**
 * Hot path. The one way from a connection to the store, whichever it is. Whatever a request reads,
 * changes or gives back there, its refusals included, goes through here and names its caller; of a
 * caller that is not logged in, or lacks the right, nothing is carried out, whatever the reason for the
 * call.
 *
 * Invariant: no method touches the store, a counter of it or the watch log for a closed caller, or for
 * one that may not have that request carried out. The dialects answer such a client long before; this is
 * what holds when one of them does not (test/unit/connection/closed-gate.test.ts and
 * missing-rights.test.ts try them all). What is carried out is so in the store of the caller's namespace;
 * what has been begun, in the one in which it began.
 *
 * What an outcome carries is in `result` until the next call. After OUTCOME_HIT the item is held: the
 * caller copies the value out and calls `release`. After OUTCOME_PENDING, which only a store elsewhere
 * answers, the outcome is to come: `takePending` tells when.
 */

import { NAMESPACE_DEFAULT } from '../credential/principal.ts'
import type { MetaResult } from '../protocol/meta/encode.ts'
import {
  OUTCOME_NO_MEMORY,
  OUTCOME_OK,
  OUTCOME_REFUSED,
  type Request,
} from '../protocol/request.ts'
import { VERB_FLUSH } from '../protocol/verbs.ts'
import type { ReceivedValue } from '../storage/arriving-value.ts'
import type { LargeExtension } from '../storage/large-extension.ts'
import type { CopyCount } from '../storage/memory-view.ts'
import type { PinnedParts, Pins } from '../storage/pins.ts'
import type { Caller, Restriction } from './caller.ts'
import { judge, mayRead, refusalOf, refusalOfKeys } from './permission.ts'

/** What connections hold of a store: what is between a request's first and last byte, and a value that leaves from where it is. */
export type { LargeExtension, PinnedParts, Pins, ReceivedValue }

/** A value that is held. */
export interface HeldValue {
  readonly valueBytes: number
  copyValue(target: Uint8Array, targetOffset: number): void
  /**
   * Instead of a copy, for values of PINNED_BYTES_MIN or more: `parts` get the value where it lies, and
   * release it when they are sent. False: it has to be copied.
   */
  pinValue(parts: PinnedParts): boolean
  release(): void
}

/** What the last outcome carries; what only meta commands ask about, after those. */
export interface CommandResult extends MetaResult, HeldValue {}

/** An outcome that is not there yet, of one request. */
export interface PendingOutcome {
  /** Calls `run` when the outcome is there, whatever it is, and never within this call; who asks again is called instead. */
  onSettled(run: () => void): void
  /** It is. */
  readonly isSettled: boolean
  /** Then, once: puts what the outcome carries into the result, and returns it. Never OUTCOME_PENDING. */
  load(): number
  /** Nobody waits for it any more. */
  cancel(): void
}

/** What carries requests out: the store of this process (local/), or one elsewhere. */
export interface CommandStore {
  readonly result: CommandResult
  /** Bytes that were copied in or out of the store in this turn, for whatever reason. */
  readonly copies: CopyCount
  readonly large: LargeStore
  readonly nowSeconds: number
  /** The requests of this connection come now. */
  beginTurn(connectionId: number): void
  execute(request: Request, bytes: Uint8Array): number
  /** Of the last OUTCOME_PENDING, before the next request. */
  takePending(): PendingOutcome
  refuseOversize(request: Request, bytes: Uint8Array): number
  /** Counts a request that was refused for want of memory in which to wait for its rest. */
  countUnfinished(): void
  clearCas(): void
}

/** Values that come and go in pieces. A store that takes none begins none and holds none. */
export interface LargeStore {
  /** From this length on the result of appending is made in pieces. */
  readonly extendedBytesMin: number
  /** Of the item that is held, by hold() or by an OUTCOME_HIT. */
  readonly heldBytes: number
  readonly heldLocation: number
  readonly heldSequence: number
  /**
   * Begins the value of a storing request that is not to be buffered, of which `arrivedBytes` are here;
   * undefined if it is, or is to be extended.
   */
  begin(request: Request, bytes: Uint8Array, arrivedBytes: number): ReceivedValue | undefined
  /** Without bytes: they are in the room() of the value. False: there is no room for it. */
  append(
    large: ReceivedValue,
    bytes: Uint8Array | undefined,
    offset: number,
    length: number,
  ): boolean
  /** The value of the next request is `large`; undefined: it is in the request again. */
  useValue(large: ReceivedValue | undefined): void
  refuse(request: Request, bytes: Uint8Array): number
  beginExtension(request: Request, bytes: Uint8Array): LargeExtension | undefined
  proceedExtension(
    extension: LargeExtension,
    request: Request,
    bytes: Uint8Array,
    lengthMax: number,
  ): number
  /** The next request is the one that `extension` is of; undefined: none is. */
  useExtension(extension: LargeExtension | undefined): void
  refuseExtension(outcome: number): number
  hold(key: Uint8Array, keyOffset: number, keyLength: number): boolean
  letGo(): void
  copyHeldRange(from: number, length: number, target: Uint8Array, targetOffset: number): void
}

/** Finds what carries out the requests of a namespace; undefined: there is no such namespace now. */
export type StoreFinder = (namespace: number) => CommandStore | undefined

export class Commands {
  /** These are of the namespace whose request came last. */
  result: CommandResult
  /** Bytes that were copied in or out of the store in this turn, for whatever reason. */
  copies: CopyCount
  /** The namespace whose request came last. */
  namespace: number = NAMESPACE_DEFAULT
  private store: CommandStore
  private large: LargeStore
  private readonly first: CommandStore
  private readonly find: StoreFinder
  private connectionId = 0

  /** `first` is of the default namespace, `find` of all others. */
  constructor(first: CommandStore, find: StoreFinder = () => undefined) {
    this.first = first
    this.find = find
    this.store = first
    this.large = first.large
    this.result = first.result
    this.copies = first.copies
  }

  /** A namespace is no more. */
  forget(namespace: number): void {
    if (this.namespace === namespace) this.enter(NAMESPACE_DEFAULT)
  }

  /** The store of that namespace carries out what comes now; false: there is none. */
  private enter(namespace: number): boolean {
    const store = namespace === NAMESPACE_DEFAULT ? this.first : this.find(namespace)
    if (store === undefined) return false
    const { copiedBytes } = this.copies
    store.beginTurn(this.connectionId)
    this.namespace = namespace
    this.store = store
    this.large = store.large
    this.result = store.result
    this.copies = store.copies
    this.copies.copiedBytes = copiedBytes
    return true
  }

  get nowSeconds(): number {
    return this.store.nowSeconds
  }

  /** The requests of this connection come now. */
  beginTurn(connectionId: number, caller: Caller): void {
    this.connectionId = connectionId
    if (caller.namespace !== this.namespace) this.enter(caller.namespace)
    this.store.beginTurn(connectionId)
  }

  /** Carries out a request, whose offsets point into `bytes`. Returns an OUTCOME_ number. */
  execute(request: Request, bytes: Uint8Array, caller: Caller): number {
    if (!caller.isOpen) return OUTCOME_REFUSED
    if (caller.restriction !== undefined) {
      const refusal = refusalOf(request, bytes, caller.restriction)
      if (refusal !== OUTCOME_OK) return refusal
    }
    if (caller.namespace !== this.namespace && !this.enter(caller.namespace)) return OUTCOME_REFUSED
    const outcome = this.store.execute(request, bytes)
    if (request.verb === VERB_FLUSH) tellOfFlush(outcome, caller)
    return outcome
  }

  /** What the last OUTCOME_PENDING stands for. */
  takePending(): PendingOutcome {
    return this.store.takePending()
  }

  /**
   * OUTCOME_OK, or why a caller so restricted may not have the request carried out, which is told. To be asked before
   * anything is kept or begun for the request: execute() looks at it anyway.
   */
  refusalOf(request: Request, bytes: Uint8Array, restriction: Restriction): number {
    return refusalOf(request, bytes, restriction)
  }

  /** The same for a list of keys, all of which are here. */
  refusalOfList(request: Request, bytes: Uint8Array, restriction: Restriction): number {
    return refusalOfKeys(request, bytes, request.keyOffset, request.keysEnd, restriction)
  }

  /** A value too large to be stored was announced: a SET removes the old item, as in memcached. */
  refuseOversize(request: Request, bytes: Uint8Array, caller: Caller): number {
    const refusal = this.refusalFor(caller, request, bytes)
    return refusal === OUTCOME_OK ? this.store.refuseOversize(request, bytes) : refusal
  }

  /**
   * There is no memory in which the rest of the request could be waited for. Nothing was asked of the
   * store, so nothing changes there: memcached, too, deletes the old item only where the store has no
   * room for the new one.
   */
  refuseUnfinished(caller: Caller): number {
    if (!caller.isOpen || !this.isIn(caller.namespace)) return OUTCOME_REFUSED
    this.store.countUnfinished()
    return OUTCOME_NO_MEMORY
  }

  /**
   * Begins the value of a request that goes into the store as it arrives, of which `arrivedBytes` are here;
   * undefined: it does not.
   */
  beginLarge(
    request: Request,
    bytes: Uint8Array,
    arrivedBytes: number,
    caller: Caller,
  ): ReceivedValue | undefined {
    return this.isAllowed(caller, request, bytes)
      ? this.large.begin(request, bytes, arrivedBytes)
      : undefined
  }

  /** Without bytes: they are in the room() of the value. False: there is no room for it. */
  appendLarge(
    large: ReceivedValue,
    bytes: Uint8Array | undefined,
    offset: number,
    length: number,
  ): boolean {
    return this.isIn(large.namespace) && this.large.append(large, bytes, offset, length)
  }

  /** Carries out the request whose value has arrived as `large`; `head` is all of it but the value. */
  executeLarge(large: ReceivedValue, request: Request, head: Uint8Array, caller: Caller): number {
    const refusal = this.refusalFor(caller, request, head)
    if (refusal !== OUTCOME_OK) return refusal
    if (!this.isIn(large.namespace)) return OUTCOME_REFUSED
    this.large.useValue(large)
    const outcome = this.store.execute(request, head)
    this.large.useValue(undefined)
    return outcome
  }

  /** The store has no room for a value that was arriving: a SET deletes the old item, as elsewhere. */
  refuseLarge(request: Request, head: Uint8Array, caller: Caller): number {
    const refusal = this.refusalFor(caller, request, head)
    return refusal === OUTCOME_OK ? this.large.refuse(request, head) : refusal
  }

  /** From this length on the result of appending is made in pieces. */
  get extendedBytesMin(): number {
    return this.large.extendedBytesMin
  }

  /**
   * Begins to append or prepend in pieces; undefined if the request can be carried out, or refused,
   * at once.
   */
  beginExtension(request: Request, bytes: Uint8Array, caller: Caller): LargeExtension | undefined {
    return this.isAllowed(caller, request, bytes)
      ? this.large.beginExtension(request, bytes)
      : undefined
  }

  /**
   * Makes the next `lengthMax` bytes at most. OUTCOME_OK: go on, and with the last byte give it to
   * executeExtension(). OUTCOME_CHANGED: begin it anew. OUTCOME_NO_MEMORY: refuseExtension().
   */
  proceedExtension(
    extension: LargeExtension,
    request: Request,
    bytes: Uint8Array,
    lengthMax: number,
    caller: Caller,
  ): number {
    const refusal = this.refusalFor(caller, request, bytes)
    if (refusal !== OUTCOME_OK) return refusal
    if (!this.isIn(extension.value.namespace)) return OUTCOME_REFUSED
    return this.large.proceedExtension(extension, request, bytes, lengthMax)
  }

  /** Carries out the request that `extension`, which is complete, is of. */
  executeExtension(
    extension: LargeExtension,
    request: Request,
    bytes: Uint8Array,
    caller: Caller,
  ): number {
    const refusal = this.refusalFor(caller, request, bytes)
    if (refusal !== OUTCOME_OK) return refusal
    if (!this.isIn(extension.value.namespace)) return OUTCOME_REFUSED
    this.large.useExtension(extension)
    const outcome = this.store.execute(request, bytes)
    this.large.useExtension(undefined)
    return outcome
  }

  /**
   * Refuses a request whose extension came to nothing: for want of memory, or, OUTCOME_NOT_STORED,
   * because others changed the item each time. The item stays, as in memcached.
   */
  refuseExtension(outcome: number, caller: Caller): number {
    const isServed = caller.isOpen && this.isIn(caller.namespace)
    return isServed ? this.large.refuseExtension(outcome) : OUTCOME_REFUSED
  }

  /** Holds an item without it counting as anything, until letGo(). False: there is none. */
  hold(key: Uint8Array, keyOffset: number, keyLength: number, caller: Caller): boolean {
    const { isOpen, restriction, namespace } = caller
    if (restriction !== undefined && !mayRead(restriction, key, keyOffset, keyLength)) return false
    return isOpen && this.isIn(namespace) && this.large.hold(key, keyOffset, keyLength)
  }

  letGo(): void {
    this.large.letGo()
  }

  /** The next outcome, of a request that does not come here, carries no CAS. */
  clearCas(): void {
    this.store.clearCas()
  }

  /** Of the item that is held, by hold() or by an OUTCOME_HIT. */
  get heldBytes(): number {
    return this.large.heldBytes
  }

  get heldLocation(): number {
    return this.large.heldLocation
  }

  get heldSequence(): number {
    return this.large.heldSequence
  }

  copyHeldRange(from: number, length: number, target: Uint8Array, targetOffset: number): void {
    this.large.copyHeldRange(from, length, target, targetOffset)
  }

  /** Whether requests of that namespace are carried out now; if it exists, they are. */
  private isIn(namespace: number): boolean {
    return namespace === this.namespace || this.enter(namespace)
  }

  /** OUTCOME_OK, or why the request is not carried out, which is told. */
  private refusalFor(caller: Caller, request: Request, bytes: Uint8Array): number {
    const { isOpen, restriction, namespace } = caller
    if (!isOpen) return OUTCOME_REFUSED
    const refusal = restriction === undefined ? OUTCOME_OK : refusalOf(request, bytes, restriction)
    if (refusal !== OUTCOME_OK) return refusal
    return this.isIn(namespace) ? OUTCOME_OK : OUTCOME_REFUSED
  }

  /** Before the request is carried out: who is refused then need not be told of now. */
  private isAllowed(caller: Caller, request: Request, bytes: Uint8Array): boolean {
    const { isOpen, restriction, namespace } = caller
    if (!isOpen || !this.isIn(namespace)) return false
    return restriction === undefined || judge(request, bytes, restriction) === OUTCOME_OK
  }
}

/** It is refused to who may flush only where -F took it away from everybody. */
function tellOfFlush(outcome: number, caller: Caller): void {
  if (outcome === OUTCOME_REFUSED) caller.withheld?.('flush')
  else caller.operated?.('flush', 0)
}
