/**
 * Hot path. What the meta commands mean: like `execute.ts`, for the verbs that look at more of an
 * item than its value (age, state, recache tokens) and may change several things of it at once.
 *
 * Each runs against the store's primitives. What cannot be done under one hold of the item (make it
 * if it is missing, replace its value) is done as a compare-and-swap that starts over if another
 * worker was faster, so that the outcome is as if it had been one step.
 *
 * Tokens: of all who read a stale item, or one that is about to expire (R), or one that N has just
 * made, exactly one is told that it has won; STATE_WIN_SENT in the item remembers it until the item
 * is set again or invalidated again.
 */

import { Decimal } from '../base/decimal.ts'
import { COUNTER } from '../observe/counters.ts'
import { OBSERVED_WORD } from '../observe/watch-memory.ts'
import {
  FLAG_C,
  FLAG_E,
  FLAG_I,
  FLAG_N,
  FLAG_R,
  FLAG_S,
  FLAG_T,
  FLAG_U,
  FLAG_V,
  FLAG_X,
  MODE_ADD,
  MODE_APPEND,
  MODE_DECREMENT,
  MODE_DECREMENT_SIGN,
  MODE_PREPEND,
  MODE_REPLACE,
} from '../protocol/meta/decode.ts'
import { MARK_SENT, MARK_STALE, MARK_WON, type MetaResult } from '../protocol/meta/encode.ts'
import {
  OUTCOME_CHANGED,
  OUTCOME_EXISTS,
  OUTCOME_FOUND,
  OUTCOME_HIT,
  OUTCOME_NO_MEMORY,
  OUTCOME_NON_NUMERIC,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_TOO_LARGE,
  OUTCOME_UNKNOWN_COMMAND,
  type Request,
  VERB_META_ARITHMETIC,
  VERB_META_DEBUG,
  VERB_META_DELETE,
  VERB_META_GET,
  VERB_META_SET,
} from '../protocol/request.ts'
import { STATE_FETCHED, STATE_STALE, STATE_WIN_SENT } from '../storage/item.ts'
import {
  CHANGED,
  EXISTS,
  HIT,
  NO_MEMORY,
  NON_NUMERIC,
  NOT_FOUND,
  NOT_STORED,
  STORED,
  type Store,
  TOO_LARGE,
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_PREPEND,
  WRITE_REPLACE,
  WRITE_SET,
} from '../storage/store.ts'
import type { Executor } from './execute.ts'
import { absoluteExpiry } from './expiry.ts'
import { countFetch, countHit, countMiss, countSwap } from './tally.ts'

/** Times that a command starts over because others changed the item; more is not contention. */
const ATTEMPTS_MAX = 100

const NOTHING = new Uint8Array(0)

export class MetaExecutor implements MetaResult {
  // Registers: what the last outcome carries.
  flags = 0
  casHigh = 0
  casLow = 0
  valueBytes = 0
  numberHigh = 0
  numberLow = 0
  expiryBefore = 0
  expiryTouched = 0
  expiryVivified = 0
  expiry = 0
  lastAccess = 0
  wasFetched = false
  itemBytes = 0
  isCreated = false
  marks = 0

  private readonly executor: Executor
  private readonly store: Store
  private readonly lane: Float64Array
  private readonly casEnabled: boolean
  private readonly decimal: Decimal = new Decimal()
  private readonly digits: Uint8Array = new Uint8Array(32)
  // The key of the request under way: in its bytes, or decoded.
  private key: Uint8Array = NOTHING
  private keyOffset = 0
  private keyLength = 0
  /** Why lookup() has found nothing: OUTCOME_NOT_FOUND, or no room to change the item. */
  private failure: number = OUTCOME_NOT_FOUND

  /** `executor` has the time; registers are not shared with it. */
  constructor(executor: Executor, store: Store, lane: Float64Array, casEnabled: boolean) {
    this.executor = executor
    this.store = store
    this.lane = lane
    this.casEnabled = casEnabled
  }

  /** Carries out a meta request, whose offsets point into `bytes`. Returns an OUTCOME_ number. */
  execute(request: Request, bytes: Uint8Array): number {
    if (this.executor.observed[OBSERVED_WORD] !== 0) return this.executeObserved(request, bytes)
    return this.carryOut(request, bytes)
  }

  private executeObserved(request: Request, bytes: Uint8Array): number {
    const { witness } = this.executor
    witness.before(request, bytes)
    const outcome = this.carryOut(request, bytes)
    if (outcome !== OUTCOME_CHANGED) witness.after(request, bytes, outcome, this.isCreated)
    return outcome
  }

  private carryOut(request: Request, bytes: Uint8Array): number {
    this.lane[COUNTER.cmd_meta]!++
    this.useKey(request, bytes)
    this.isCreated = false
    this.marks = 0
    switch (request.verb) {
      case VERB_META_GET:
        return this.get(request)
      case VERB_META_SET:
        return this.set(request, bytes)
      case VERB_META_DELETE:
        return this.delete(request)
      case VERB_META_ARITHMETIC:
        return this.arithmetic(request)
      case VERB_META_DEBUG:
        return this.debug()
      default:
        return OUTCOME_UNKNOWN_COMMAND
    }
  }

  /** A value that is too large was announced: the old item goes, whatever the mode. */
  refuseOversize(request: Request, bytes: Uint8Array): number {
    this.lane[COUNTER.cmd_meta]!++
    this.lane[COUNTER.cmd_set]!++
    this.useKey(request, bytes)
    const isObserved = this.executor.observed[OBSERVED_WORD] !== 0
    if (isObserved) this.executor.witness.before(request, bytes)
    const outcome = this.refuseTooLarge()
    if (isObserved) this.executor.witness.after(request, bytes, outcome, false)
    return outcome
  }

  private refuseTooLarge(): number {
    this.lane[COUNTER.store_too_large]!++
    const now = this.executor.nowSeconds
    this.store.remove(this.key, this.keyOffset, this.keyLength, 0, 0, now)
    return OUTCOME_TOO_LARGE
  }

  private useKey(request: Request, bytes: Uint8Array): void {
    this.key = request.hasBinaryKey ? request.binaryKey : bytes
    this.keyOffset = request.hasBinaryKey ? 0 : request.keyOffset
    this.keyLength = request.keyLength
  }

  private lookup(): boolean {
    const found = this.store.lookup(
      this.key,
      this.keyOffset,
      this.keyLength,
      this.executor.nowSeconds,
    )
    return this.hasFound(found)
  }

  /** lookup() of an item that T gives an expiry, or that is to get another CAS: that of E if given. */
  private lookupToChange(request: Request): boolean {
    const upper = request.upperFlags
    const { nowSeconds } = this.executor
    const found = this.store.lookupToChange(
      this.key,
      this.keyOffset,
      this.keyLength,
      (upper & FLAG_T) !== 0 ? absoluteExpiry(request.expiry, nowSeconds) : 0,
      (upper & FLAG_E) !== 0 ? request.newCasHigh : 0,
      nowSeconds,
    )
    return this.hasFound(found)
  }

  private hasFound(found: number): boolean {
    const store = this.store
    if (found !== HIT) {
      this.failure = OUTCOME_NOT_FOUND
      if (found === NO_MEMORY) {
        this.lane[COUNTER.store_no_memory]!++
        this.failure = OUTCOME_NO_MEMORY
      }
      return false
    }
    this.flags = store.flags
    this.valueBytes = store.valueBytes
    this.expiryBefore = store.expiry
    this.expiry = store.expiry
    this.lastAccess = store.lastAccess
    this.wasFetched = (store.state & STATE_FETCHED) !== 0
    this.itemBytes = store.itemBytes
    this.loadCas()
    return true
  }

  private loadCas(): void {
    this.casHigh = this.casEnabled ? this.store.casHigh : 0
    this.casLow = this.casEnabled ? this.store.casLow : 0
  }

  private get(request: Request): number {
    const store = this.store
    const lane = this.lane
    const now = this.executor.nowSeconds
    const lower = request.lowerFlags
    const upper = request.upperFlags
    const touches = (upper & FLAG_T) !== 0
    countFetch(lane, touches)
    let isFound = touches ? this.lookupToChange(request) : this.lookup()
    if (!isFound && (upper & FLAG_N) !== 0 && this.failure === OUTCOME_NOT_FOUND) {
      isFound = this.vivify(request)
    }
    if (!isFound) {
      if (this.failure !== OUTCOME_NOT_FOUND) return this.failure
      countMiss(lane, touches, store.missReason)
      return OUTCOME_NOT_FOUND
    }
    countHit(lane, touches)
    const state = store.state
    const isSent = (state & STATE_WIN_SENT) !== 0
    const isStale = (state & STATE_STALE) !== 0
    let hasWon = this.isCreated || (isStale && !isSent)
    this.settleExpiry(request)
    if ((upper & FLAG_R) !== 0 && !isSent) {
      // R looks at the expiry that the item has when its turn comes.
      const isTouched = touches && request.expiryToken < request.recacheToken
      const expiry = isTouched ? this.expiryTouched : this.expiryBefore
      if (expiry !== 0 && expiry < absoluteExpiry(request.recacheExpiry, now)) hasWon = true
    }
    if (hasWon) store.setState(state | STATE_WIN_SENT)
    if ((lower & FLAG_U) === 0) store.markRead(now)
    this.marks = (hasWon ? MARK_WON : 0) | (isSent ? MARK_SENT : 0) | (isStale ? MARK_STALE : 0)
    if ((lower & FLAG_V) !== 0 && !((upper & FLAG_C) !== 0 && this.hasCas(request))) {
      return OUTCOME_HIT
    }
    store.release()
    return OUTCOME_FOUND
  }

  /** Gives the item that is held the expiry of T, or of N if it has made the item, whichever comes last. */
  private settleExpiry(request: Request): void {
    const now = this.executor.nowSeconds
    const touches = (request.upperFlags & FLAG_T) !== 0
    if (touches) {
      this.expiryTouched = absoluteExpiry(request.expiry, now)
      this.expiry = this.expiryTouched
    }
    if (this.isCreated) {
      this.expiryVivified = absoluteExpiry(request.vivifyExpiry, now)
      if (!touches || request.vivifyToken > request.expiryToken) this.expiry = this.expiryVivified
    }
    if (touches || this.isCreated) this.store.setExpiry(this.expiry)
  }

  /** N: makes an empty item where there is none. True: it, or that of another, is found and held. */
  private vivify(request: Request): boolean {
    const store = this.store
    const now = this.executor.nowSeconds
    const expiry = expiryAtBirth(absoluteExpiry(request.vivifyExpiry, now), now)
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      this.giveCas(request)
      const written = store.write(
        WRITE_ADD,
        this.key,
        this.keyOffset,
        this.keyLength,
        NOTHING,
        0,
        0,
        0,
        expiry,
        0,
        0,
        now,
      )
      this.forgetWishes()
      if (written !== STORED && written !== EXISTS) return false
      if (!this.lookupToChange(request)) {
        if (this.failure === OUTCOME_NOT_FOUND) continue
        return false
      }
      if (written === STORED && (store.state & STATE_WIN_SENT) === 0) {
        this.isCreated = true
        this.expiryBefore = 0
      }
      return true
    }
    return false
  }

  /** E: the writes of this command give the item this CAS. */
  private giveCas(request: Request): void {
    if ((request.upperFlags & FLAG_E) === 0) return
    this.store.givenCasHigh = request.newCasHigh
    this.store.givenCasLow = request.newCasLow
  }

  private forgetWishes(): void {
    this.store.givenCasHigh = 0
    this.store.givenCasLow = 0
    this.store.mayGoStale = false
  }

  private set(request: Request, bytes: Uint8Array): number {
    const store = this.store
    const lane = this.lane
    const upper = request.upperFlags
    const now = this.executor.nowSeconds
    const comparesCas = (upper & FLAG_C) !== 0
    lane[COUNTER.cmd_set]!++
    this.casHigh = 0
    this.casLow = 0
    this.valueBytes = request.valueLength
    let mode = WRITE_SET
    switch (request.mode) {
      case MODE_ADD:
        mode = WRITE_ADD
        break
      case MODE_APPEND:
        mode = WRITE_APPEND
        break
      case MODE_PREPEND:
        mode = WRITE_PREPEND
        break
      case MODE_REPLACE:
        mode = WRITE_REPLACE
        break
    }
    const extendsValue = mode === WRITE_APPEND || mode === WRITE_PREPEND
    const swaps = comparesCas && (mode === WRITE_SET || mode === WRITE_REPLACE)
    // An item never has the unique 0: with it a swap fails, while the store takes it for none.
    if (swaps && (request.casHigh | request.casLow) === 0) return this.refuseSwap()
    const usesCas = swaps || (extendsValue && comparesCas)
    const casHigh = usesCas ? request.casHigh : 0
    const casLow = usesCas ? request.casLow : 0
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      this.giveCas(request)
      store.mayGoStale = swaps && (upper & FLAG_I) !== 0
      let written = this.write(request, bytes, mode, casHigh, casLow, request.expiry, now)
      if (written === NOT_STORED && (upper & FLAG_N) !== 0) {
        written = this.write(request, bytes, WRITE_ADD, 0, 0, request.vivifyExpiry, now)
      }
      this.forgetWishes()
      if (written === EXISTS && !usesCas && extendsValue) continue
      switch (written) {
        case STORED:
          if (swaps) countSwap(lane, written)
          this.loadCas()
          if (extendsValue && (request.lowerFlags & FLAG_S) !== 0) this.measure()
          return OUTCOME_OK
        case EXISTS:
          if (!usesCas) return OUTCOME_NOT_STORED
          countSwap(lane, written)
          return OUTCOME_EXISTS
        case NOT_FOUND:
          if (!usesCas) return OUTCOME_NOT_STORED
          countSwap(lane, written)
          return OUTCOME_NOT_FOUND
        case NOT_STORED:
          return OUTCOME_NOT_STORED
        case CHANGED:
          // As if it had not been tried.
          lane[COUNTER.cmd_meta]!--
          lane[COUNTER.cmd_set]!--
          return OUTCOME_CHANGED
        case TOO_LARGE:
          // What was there is not stale if it is only that nothing more fits behind it.
          return extendsValue ? OUTCOME_NOT_STORED : this.refuseTooLarge()
        default:
          lane[COUNTER.store_no_memory]!++
          if (!extendsValue) store.remove(this.key, this.keyOffset, this.keyLength, 0, 0, now)
          return OUTCOME_NO_MEMORY
      }
    }
    return OUTCOME_NOT_STORED
  }

  private write(
    request: Request,
    bytes: Uint8Array,
    mode: number,
    casHigh: number,
    casLow: number,
    expiry: number,
    now: number,
  ): number {
    return this.store.write(
      mode,
      this.key,
      this.keyOffset,
      this.keyLength,
      bytes,
      request.valueOffset,
      request.valueLength,
      request.flags,
      absoluteExpiry(expiry, now),
      casHigh,
      casLow,
      now,
    )
  }

  private refuseSwap(): number {
    const { valueBytes } = this
    const isFound = this.lookup()
    if (isFound) this.store.release()
    // s tells the size of the value that was sent.
    this.valueBytes = valueBytes
    this.casHigh = 0
    this.casLow = 0
    countSwap(this.lane, isFound ? EXISTS : NOT_FOUND)
    return isFound ? OUTCOME_EXISTS : OUTCOME_NOT_FOUND
  }

  /** The size that a value has grown to; the CAS stays that of the write. */
  private measure(): void {
    const { casHigh, casLow } = this
    if (this.lookup()) this.store.release()
    this.casHigh = casHigh
    this.casLow = casLow
  }

  private delete(request: Request): number {
    const store = this.store
    const lane = this.lane
    const upper = request.upperFlags
    const now = this.executor.nowSeconds
    const changes = (upper & FLAG_I) !== 0
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (!(changes ? this.lookupToChange(request) : this.lookup())) {
        if (this.failure !== OUTCOME_NOT_FOUND) return this.failure
        lane[COUNTER.delete_misses]!++
        return OUTCOME_NOT_FOUND
      }
      if ((upper & FLAG_C) !== 0 && !this.hasCas(request)) {
        store.release()
        lane[COUNTER.delete_misses]!++
        return OUTCOME_EXISTS
      }
      if ((request.lowerFlags & FLAG_X) !== 0) {
        const emptied = this.empty(request)
        if (emptied === EXISTS || emptied === NOT_FOUND) continue
        if (emptied !== STORED) return OUTCOME_NO_MEMORY
        if (!changes) {
          lane[COUNTER.delete_hits]!++
          return OUTCOME_OK
        }
        if (!this.lookupToChange(request)) {
          return this.failure === OUTCOME_NOT_FOUND ? OUTCOME_OK : this.failure
        }
      }
      if (changes) {
        if ((upper & FLAG_T) !== 0) store.setExpiry(absoluteExpiry(request.expiry, now))
        store.setState((store.state | STATE_STALE) & ~STATE_WIN_SENT)
        this.renewCas(request)
      } else {
        store.removeFound()
        lane[COUNTER.delete_hits]!++
      }
      store.release()
      return OUTCOME_OK
    }
    return OUTCOME_EXISTS
  }

  private hasCas(request: Request): boolean {
    return this.store.casHigh === request.casHigh && this.store.casLow === request.casLow
  }

  /** The item that is held gets the CAS of E, or a new one. */
  private renewCas(request: Request): void {
    const isGiven = (request.upperFlags & FLAG_E) !== 0
    this.store.setCas(isGiven ? request.newCasHigh : 0, isGiven ? request.newCasLow : 0)
    this.loadCas()
  }

  /** x: the item that is held gets an empty value and no flags but keeps its CAS. Releases it. */
  private empty(request: Request): number {
    const store = this.store
    const { casHigh, casLow } = store
    store.release()
    const now = this.executor.nowSeconds
    store.givenCasHigh = casHigh
    store.givenCasLow = casLow
    this.giveCas(request)
    const written = store.write(
      WRITE_SET,
      this.key,
      this.keyOffset,
      this.keyLength,
      NOTHING,
      0,
      0,
      request.flags,
      absoluteExpiry(request.expiry, now),
      casHigh,
      casLow,
      now,
    )
    this.forgetWishes()
    return written
  }

  private arithmetic(request: Request): number {
    const store = this.store
    const lane = this.lane
    const upper = request.upperFlags
    const now = this.executor.nowSeconds
    const { mode } = request
    const isIncrement = mode !== MODE_DECREMENT && mode !== MODE_DECREMENT_SIGN
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const done = store.arithmetic(
        isIncrement,
        this.key,
        this.keyOffset,
        this.keyLength,
        request.deltaHigh,
        request.deltaLow,
        request.casHigh,
        request.casLow,
        now,
      )
      switch (done) {
        case STORED:
          lane[isIncrement ? COUNTER.incr_hits : COUNTER.decr_hits]!++
          this.numberHigh = store.numberHigh
          this.numberLow = store.numberLow
          return this.settleNumber(request)
        case EXISTS:
          return OUTCOME_EXISTS
        case NON_NUMERIC:
          return OUTCOME_NON_NUMERIC
        case NO_MEMORY:
          lane[COUNTER.store_no_memory]!++
          return OUTCOME_NO_MEMORY
      }
      if ((upper & FLAG_N) === 0) {
        lane[isIncrement ? COUNTER.incr_misses : COUNTER.decr_misses]!++
        return OUTCOME_NOT_FOUND
      }
      const created = this.createNumber(request, now)
      if (created === STORED) {
        this.isCreated = true
        return this.settleNumber(request)
      }
      if (created !== EXISTS) {
        lane[COUNTER.store_no_memory]!++
        return OUTCOME_NO_MEMORY
      }
    }
    return OUTCOME_NOT_STORED
  }

  private createNumber(request: Request, now: number): number {
    const { decimal, digits } = this
    decimal.high = request.initialHigh
    decimal.low = request.initialLow
    this.numberHigh = request.initialHigh
    this.numberLow = request.initialLow
    const digitCount = decimal.format(digits, 0)
    return this.store.write(
      WRITE_ADD,
      this.key,
      this.keyOffset,
      this.keyLength,
      digits,
      0,
      digitCount,
      0,
      expiryAtBirth(absoluteExpiry(request.vivifyExpiry, now), now),
      0,
      0,
      now,
    )
  }

  /** What else the command does to the number's item, and what its flags ask about it. */
  private settleNumber(request: Request): number {
    const store = this.store
    const upper = request.upperFlags
    this.loadCas()
    const looks = (request.lowerFlags & FLAG_T) !== 0 || (upper & (FLAG_T | FLAG_E)) !== 0
    if (!looks && !this.isCreated) return OUTCOME_NUMBER
    const { casHigh, casLow } = store
    if (!this.lookupToChange(request)) {
      return this.failure === OUTCOME_NOT_FOUND ? OUTCOME_NUMBER : this.failure
    }
    if (this.isCreated) this.expiryBefore = 0
    this.settleExpiry(request)
    // Only the number that this request made gets its CAS.
    const isOurs = store.casHigh === casHigh && store.casLow === casLow
    if (isOurs && (upper & FLAG_E) !== 0) this.renewCas(request)
    store.release()
    return OUTCOME_NUMBER
  }

  private debug(): number {
    if (!this.lookup()) return OUTCOME_NOT_FOUND
    this.store.release()
    return OUTCOME_FOUND
  }

  /** After OUTCOME_HIT: copies the value, `valueBytes` long, into `target`. */
  copyValue(target: Uint8Array, targetOffset: number): void {
    this.store.copyValue(target, targetOffset)
  }

  /** After OUTCOME_HIT: ends the hold on the item. */
  release(): void {
    this.store.release()
  }
}

/**
 * What N makes is answered before it expires, even if it does at once: until its expiry is settled it
 * is there.
 */
function expiryAtBirth(expiry: number, nowSeconds: number): number {
  return expiry !== 0 && expiry <= nowSeconds ? nowSeconds + 1 : expiry
}
