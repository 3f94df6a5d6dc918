/**
 * Hot path. What each verb means: the one place where the protocol's requests meet the store.
 *
 * `execute` takes a decoded request and returns an outcome; whatever the outcome needs beyond its
 * number is in the executor's registers until the next call. After OUTCOME_HIT the item is still
 * locked: the caller copies the value out and calls `release`, and does nothing else in between.
 *
 * Verbs that are about the connection rather than about items (QUIT, STAT, SASL, VERSION) do not
 * come here.
 */

import { DECIMAL_DIGITS_MAX, Decimal } from '../base/decimal.ts'
import { COUNTER } from '../observe/counters.ts'
import { OBSERVED_WORD } from '../observe/watch-memory.ts'
import { FLAG_C, FLAG_N, MODE_APPEND, MODE_PREPEND } from '../protocol/meta/decode.ts'
import {
  OUTCOME_CHANGED,
  OUTCOME_EXISTS,
  OUTCOME_HIT,
  OUTCOME_NO_MEMORY,
  OUTCOME_NON_NUMERIC,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_REFUSED,
  OUTCOME_TOO_LARGE,
  OUTCOME_TOUCHED,
  OUTCOME_UNKNOWN_COMMAND,
  type Request,
  VERB_ADD,
  VERB_APPEND,
  VERB_CAS,
  VERB_DECREMENT,
  VERB_DELETE,
  VERB_FLUSH,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_INCREMENT,
  VERB_META_SET,
  VERB_NOOP,
  VERB_PREPEND,
  VERB_REPLACE,
  VERB_SET,
  VERB_TOUCH,
} from '../protocol/request.ts'
import type { LargeExtension } from '../storage/large-extension.ts'
import type { LargeValue } from '../storage/large-value.ts'
import type { CopyCount } from '../storage/memory-view.ts'
import {
  CHANGED,
  EXISTS,
  HIT,
  NO_MEMORY,
  NON_NUMERIC,
  NOT_FOUND,
  NOT_STORED,
  REMOVED,
  STORED,
  type Store,
  TOO_LARGE,
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_PREPEND,
  WRITE_REPLACE,
  WRITE_SET,
} from '../storage/store.ts'
import { absoluteExpiry } from './expiry.ts'
import { countFetch, countHit, countMiss, countSwap } from './tally.ts'
import type { Witness } from './witness.ts'

/** What is between a request's first and last byte, to those who feed it. */
export type { LargeExtension, LargeValue }

export interface ExecutorOptions {
  /** False with -F: FLUSH is refused. */
  readonly flushEnabled: boolean
  /** False with -C: every CAS in a response is 0. */
  readonly casEnabled: boolean
}

export class Executor {
  // Registers: what the last outcome carries.
  flags = 0
  casHigh = 0
  casLow = 0
  valueBytes = 0
  numberHigh = 0
  numberLow = 0

  /** Unix seconds; the worker sets it ten times a second. */
  nowSeconds = 0

  /** Not 0 at OBSERVED_WORD while a witness wants to see requests. */
  readonly observed: Int32Array
  readonly witness: Witness
  /** Bytes that were copied in or out of the store in this turn, for whatever reason. */
  readonly copies: CopyCount

  private readonly store: Store
  private readonly lane: Float64Array
  private readonly flushEnabled: boolean
  private readonly casEnabled: boolean
  private isHolding = false
  private readonly initial: Decimal = new Decimal()
  private readonly digits: Uint8Array = new Uint8Array(DECIMAL_DIGITS_MAX)

  constructor(store: Store, lane: Float64Array, witness: Witness, options: ExecutorOptions) {
    this.store = store
    this.lane = lane
    this.witness = witness
    this.copies = store.copies
    this.observed = witness.observed
    this.flushEnabled = options.flushEnabled
    this.casEnabled = options.casEnabled
  }

  /** Carries out `request`, whose offsets point into `bytes`. Returns an OUTCOME_ number. */
  execute(request: Request, bytes: Uint8Array): number {
    if (this.observed[OBSERVED_WORD] !== 0) return this.executeObserved(request, bytes)
    return this.carryOut(request, bytes)
  }

  private executeObserved(request: Request, bytes: Uint8Array): number {
    this.witness.before(request, bytes)
    const outcome = this.carryOut(request, bytes)
    if (outcome !== OUTCOME_CHANGED) this.witness.after(request, bytes, outcome, false)
    return outcome
  }

  private carryOut(request: Request, bytes: Uint8Array): number {
    switch (request.verb) {
      case VERB_GET:
        return this.get(request, bytes)
      case VERB_SET:
        return this.write(WRITE_SET, request, bytes)
      case VERB_ADD:
        return this.write(WRITE_ADD, request, bytes)
      case VERB_REPLACE:
        return this.write(WRITE_REPLACE, request, bytes)
      case VERB_APPEND:
        return this.write(WRITE_APPEND, request, bytes)
      case VERB_PREPEND:
        return this.write(WRITE_PREPEND, request, bytes)
      case VERB_DELETE:
        return this.remove(request, bytes)
      case VERB_INCREMENT:
      case VERB_DECREMENT:
        return this.arithmetic(request, bytes)
      case VERB_TOUCH:
        return this.touch(request, bytes)
      case VERB_GET_AND_TOUCH:
        return this.getAndTouch(request, bytes)
      case VERB_FLUSH:
        return this.flush(request)
      case VERB_CAS:
        return this.compareAndSwap(request, bytes)
      case VERB_NOOP:
        this.casHigh = 0
        this.casLow = 0
        return OUTCOME_OK
      default:
        return OUTCOME_UNKNOWN_COMMAND
    }
  }

  /** To be called when a connection's turn begins. */
  beginTurn(connectionId: number): void {
    this.copies.copiedBytes = 0
    this.witness.beginTurn(connectionId)
  }

  /** After OUTCOME_HIT: copies the value, `valueBytes` long, into `target`. */
  copyValue(target: Uint8Array, targetOffset: number): void {
    this.store.copyValue(target, targetOffset)
  }

  /** After OUTCOME_HIT: ends the hold on the item. */
  release(): void {
    this.store.release()
  }

  /**
   * A value that is too large was announced. A SET that fails this way removes the old item, so
   * that nobody goes on reading what the client believes to be replaced.
   */
  refuseOversize(request: Request, bytes: Uint8Array): number {
    const isObserved = this.observed[OBSERVED_WORD] !== 0
    if (isObserved) this.witness.before(request, bytes)
    this.lane[COUNTER.store_too_large]!++
    if (request.verb === VERB_SET) {
      this.store.remove(bytes, request.keyOffset, request.keyLength, 0, 0, this.nowSeconds)
    }
    if (isObserved) this.witness.after(request, bytes, OUTCOME_TOO_LARGE, false)
    return OUTCOME_TOO_LARGE
  }

  /**
   * Begins the value of a storing request that is too large to be buffered; undefined if it is not,
   * or is to be extended. It is given to execute() by `withLarge` when it has arrived.
   */
  beginLarge(request: Request): LargeValue | undefined {
    const store = this.store
    if (request.valueLength < store.largeBytesMin) return undefined
    switch (request.verb) {
      case VERB_SET:
      case VERB_ADD:
      case VERB_REPLACE:
      case VERB_CAS:
        break
      case VERB_META_SET:
        if (request.mode === MODE_APPEND || request.mode === MODE_PREPEND) return undefined
        break
      default:
        return undefined
    }
    return store.beginLarge(request.keyLength, request.valueLength)
  }

  appendLarge(large: LargeValue, bytes: Uint8Array, offset: number, length: number): boolean {
    return this.store.appendLarge(large, bytes, offset, length, this.nowSeconds)
  }

  /** The value of the next request is `large`; undefined: it is in the request again. */
  withLarge(large: LargeValue | undefined): void {
    this.store.received = large
  }

  /** From this length on the result of appending is made in pieces. */
  get extendedBytesMin(): number {
    return this.store.extendedBytesMin
  }

  /**
   * Begins to append or prepend in pieces; undefined if the request can be carried out, or refused,
   * at once.
   */
  beginExtension(request: Request, bytes: Uint8Array): LargeExtension | undefined {
    const isMeta = request.verb === VERB_META_SET
    const usesCas = !isMeta || (request.upperFlags & FLAG_C) !== 0
    return this.store.beginExtension(
      keyBytesOf(request, bytes),
      keyOffsetOf(request),
      request.keyLength,
      isMeta ? request.mode === MODE_APPEND : request.verb === VERB_APPEND,
      request.valueLength,
      usesCas ? request.casHigh : 0,
      usesCas ? request.casLow : 0,
      isMeta && (request.upperFlags & FLAG_N) !== 0,
      this.nowSeconds,
    )
  }

  /**
   * Makes the next `lengthMax` bytes at most. OUTCOME_OK: go on, and with the last byte give it to
   * execute() by `withExtension`. OUTCOME_CHANGED: begin it anew. OUTCOME_NO_MEMORY: refuseExtension().
   */
  proceedExtension(
    extension: LargeExtension,
    request: Request,
    bytes: Uint8Array,
    lengthMax: number,
  ): number {
    const proceeded = this.store.proceedExtension(
      extension,
      keyBytesOf(request, bytes),
      keyOffsetOf(request),
      request.keyLength,
      bytes,
      request.valueOffset,
      lengthMax,
      this.nowSeconds,
    )
    if (proceeded === STORED) return OUTCOME_OK
    return proceeded === CHANGED ? OUTCOME_CHANGED : OUTCOME_NO_MEMORY
  }

  /** The next request is the one that `extension` is of; undefined: none is. */
  withExtension(extension: LargeExtension | undefined): void {
    this.store.extension = extension
    this.store.received = extension?.value
  }

  /**
   * Refuses a request whose extension came to nothing: for want of memory, or, OUTCOME_NOT_STORED,
   * because others changed the item each time. The item stays, as in memcached.
   */
  refuseExtension(outcome: number): number {
    this.lane[COUNTER.cmd_set]!++
    if (outcome === OUTCOME_NO_MEMORY) this.lane[COUNTER.store_no_memory]!++
    return outcome
  }

  /** Holds an item without it counting as anything, until letGo(). False: there is none. */
  hold(key: Uint8Array, keyOffset: number, keyLength: number): boolean {
    this.isHolding = this.store.lookup(key, keyOffset, keyLength, this.nowSeconds) === HIT
    return this.isHolding
  }

  letGo(): void {
    if (this.isHolding) this.store.release()
    this.isHolding = false
  }

  /** Of the item that is held, by hold() or by an OUTCOME_HIT. */
  get heldBytes(): number {
    return this.store.valueBytes
  }

  get heldLocation(): number {
    return this.store.heldLocation
  }

  get heldSequence(): number {
    return this.store.heldSequence
  }

  copyHeldRange(from: number, length: number, target: Uint8Array, targetOffset: number): void {
    this.store.copyValueRange(from, length, target, targetOffset)
  }

  /** Counts a request that was refused for want of memory in which to wait for its rest. */
  countUnfinished(): void {
    this.lane[COUNTER.read_buf_oom]!++
    this.lane[COUNTER.store_no_memory]!++
  }

  /** There was no room for a value that was arriving. As with others, a SET deletes the old item. */
  refuseLarge(request: Request, bytes: Uint8Array): number {
    this.lane[COUNTER.store_no_memory]!++
    if (request.verb === VERB_SET || request.verb === VERB_META_SET) {
      const key = keyBytesOf(request, bytes)
      this.store.remove(key, keyOffsetOf(request), request.keyLength, 0, 0, this.nowSeconds)
    }
    return OUTCOME_NO_MEMORY
  }

  private get(request: Request, bytes: Uint8Array): number {
    const store = this.store
    const lane = this.lane
    countFetch(lane, false)
    const found = store.lookup(bytes, request.keyOffset, request.keyLength, this.nowSeconds)
    if (found !== HIT) {
      countMiss(lane, false, store.missReason)
      return OUTCOME_NOT_FOUND
    }
    store.markRead(this.nowSeconds)
    countHit(lane, false)
    this.loadItem(store)
    return OUTCOME_HIT
  }

  private loadItem(store: Store): void {
    this.flags = store.flags
    this.valueBytes = store.valueBytes
    this.loadCas(store)
  }

  private loadCas(store: Store): void {
    this.casHigh = this.casEnabled ? store.casHigh : 0
    this.casLow = this.casEnabled ? store.casLow : 0
  }

  /** Counts as a touch and not as a get, as in memcached. */
  private getAndTouch(request: Request, bytes: Uint8Array): number {
    const store = this.store
    const lane = this.lane
    countFetch(lane, true)
    const found = this.lookupToTouch(request, bytes)
    if (found !== OUTCOME_HIT) return found
    store.markRead(this.nowSeconds)
    countHit(lane, true)
    this.loadItem(store)
    return OUTCOME_HIT
  }

  /** OUTCOME_HIT: the item is held and has its new expiry. */
  private lookupToTouch(request: Request, bytes: Uint8Array): number {
    const expiry = absoluteExpiry(request.expiry, this.nowSeconds)
    const { keyOffset, keyLength } = request
    const store = this.store
    const found = store.lookupToChange(bytes, keyOffset, keyLength, expiry, 0, this.nowSeconds)
    if (found === HIT) {
      store.setExpiry(expiry)
      return OUTCOME_HIT
    }
    if (found === NO_MEMORY) {
      this.lane[COUNTER.store_no_memory]!++
      return OUTCOME_NO_MEMORY
    }
    countMiss(this.lane, true, store.missReason)
    return OUTCOME_NOT_FOUND
  }

  private touch(request: Request, bytes: Uint8Array): number {
    const store = this.store
    const lane = this.lane
    countFetch(lane, true)
    const found = this.lookupToTouch(request, bytes)
    if (found !== OUTCOME_HIT) return found
    store.markRead(this.nowSeconds)
    this.loadItem(store)
    store.release()
    countHit(lane, true)
    return OUTCOME_TOUCHED
  }

  private write(mode: number, request: Request, bytes: Uint8Array): number {
    const store = this.store
    const lane = this.lane
    lane[COUNTER.cmd_set]!++
    const isConditional = request.casHigh !== 0 || request.casLow !== 0
    const written = store.write(
      mode,
      bytes,
      request.keyOffset,
      request.keyLength,
      bytes,
      request.valueOffset,
      request.valueLength,
      request.flags,
      absoluteExpiry(request.expiry, this.nowSeconds),
      request.casHigh,
      request.casLow,
      this.nowSeconds,
    )
    if (isConditional) countSwap(lane, written)
    switch (written) {
      case STORED:
        this.loadCas(store)
        return OUTCOME_OK
      case EXISTS:
        return OUTCOME_EXISTS
      case NOT_FOUND:
        return OUTCOME_NOT_FOUND
      case NOT_STORED:
        return OUTCOME_NOT_STORED
      case CHANGED:
        // As if it had not been tried.
        lane[COUNTER.cmd_set]!--
        return OUTCOME_CHANGED
      case TOO_LARGE:
        // What was to be added is not too large, only the result: the item stays as it is.
        if (mode === WRITE_APPEND || mode === WRITE_PREPEND) return OUTCOME_NOT_STORED
        lane[COUNTER.store_too_large]!++
        return OUTCOME_TOO_LARGE
      default:
        lane[COUNTER.store_no_memory]!++
        return OUTCOME_NO_MEMORY
    }
  }

  private compareAndSwap(request: Request, bytes: Uint8Array): number {
    if ((request.casHigh | request.casLow) !== 0) return this.write(WRITE_SET, request, bytes)
    // No item has the unique 0; to the store it would mean that none was given.
    const store = this.store
    const lane = this.lane
    lane[COUNTER.cmd_set]!++
    const found = store.lookup(bytes, request.keyOffset, request.keyLength, this.nowSeconds)
    countSwap(lane, found === HIT ? EXISTS : NOT_FOUND)
    if (found !== HIT) return OUTCOME_NOT_FOUND
    store.release()
    return OUTCOME_EXISTS
  }

  private remove(request: Request, bytes: Uint8Array): number {
    const lane = this.lane
    const removed = this.store.remove(
      bytes,
      request.keyOffset,
      request.keyLength,
      request.casHigh,
      request.casLow,
      this.nowSeconds,
    )
    if (removed === REMOVED) {
      lane[COUNTER.delete_hits]!++
      this.casHigh = 0
      this.casLow = 0
      return OUTCOME_OK
    }
    if (removed === EXISTS) return OUTCOME_EXISTS
    lane[COUNTER.delete_misses]!++
    return OUTCOME_NOT_FOUND
  }

  private arithmetic(request: Request, bytes: Uint8Array): number {
    const store = this.store
    const lane = this.lane
    const isIncrement = request.verb === VERB_INCREMENT
    for (;;) {
      const done = store.arithmetic(
        isIncrement,
        bytes,
        request.keyOffset,
        request.keyLength,
        request.deltaHigh,
        request.deltaLow,
        request.casHigh,
        request.casLow,
        this.nowSeconds,
      )
      switch (done) {
        case STORED:
          lane[isIncrement ? COUNTER.incr_hits : COUNTER.decr_hits]!++
          this.numberHigh = store.numberHigh
          this.numberLow = store.numberLow
          this.loadCas(store)
          return OUTCOME_NUMBER
        case EXISTS:
          return OUTCOME_EXISTS
        case NON_NUMERIC:
          return OUTCOME_NON_NUMERIC
        case NO_MEMORY:
          lane[COUNTER.store_no_memory]!++
          return OUTCOME_NO_MEMORY
        default:
          break
      }
      if (!request.createsMissing) {
        lane[isIncrement ? COUNTER.incr_misses : COUNTER.decr_misses]!++
        return OUTCOME_NOT_FOUND
      }
      const created = this.createNumber(request, bytes)
      // Somebody else made the item in between: count on top of theirs.
      if (created !== OUTCOME_EXISTS) return created
    }
  }

  private createNumber(request: Request, bytes: Uint8Array): number {
    const store = this.store
    this.initial.high = request.initialHigh
    this.initial.low = request.initialLow
    const digitCount = this.initial.format(this.digits, 0)
    const written = store.write(
      WRITE_ADD,
      bytes,
      request.keyOffset,
      request.keyLength,
      this.digits,
      0,
      digitCount,
      0,
      absoluteExpiry(request.expiry, this.nowSeconds),
      0,
      0,
      this.nowSeconds,
    )
    if (written === EXISTS) return OUTCOME_EXISTS
    if (written !== STORED) {
      this.lane[COUNTER.store_no_memory]!++
      return OUTCOME_NO_MEMORY
    }
    this.numberHigh = request.initialHigh
    this.numberLow = request.initialLow
    this.loadCas(store)
    return OUTCOME_NUMBER
  }

  private flush(request: Request): number {
    if (!this.flushEnabled) return OUTCOME_REFUSED
    this.lane[COUNTER.cmd_flush]!++
    const at = absoluteExpiry(request.expiry, this.nowSeconds)
    this.store.flush(at > this.nowSeconds ? at : 0, this.nowSeconds)
    this.casHigh = 0
    this.casLow = 0
    return OUTCOME_OK
  }
}

/** Where the key is: only a meta command may have it decoded. */
function keyBytesOf(request: Request, bytes: Uint8Array): Uint8Array {
  return hasBinaryKey(request) ? request.binaryKey : bytes
}

function keyOffsetOf(request: Request): number {
  return hasBinaryKey(request) ? 0 : request.keyOffset
}

/** Other verbs leave the field as it was. */
function hasBinaryKey(request: Request): boolean {
  return request.hasBinaryKey && request.verb === VERB_META_SET
}
