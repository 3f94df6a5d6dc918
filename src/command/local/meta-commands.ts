/**
 * Hot path. What the meta commands mean: verbs that look at more of an item than its value (age, state,
 * recache tokens) and may change several things of it at once.
 *
 * Each runs against the store's primitives. What cannot be done under one hold of the item (make it
 * if it is missing, replace its value) is done as a compare-and-swap that starts over if another
 * worker was faster, so that the outcome is as if it had been one step.
 *
 * Tokens: of all who read a stale item, or one that is about to expire (R), or one that N has just
 * made, exactly one is told that it has won; STATE_WIN_SENT in the item remembers it until the item
 * is set again or invalidated again.
 */

import { COUNTER } from '../../observe/counters.ts'
import {
  FLAG_C,
  FLAG_E,
  FLAG_H,
  FLAG_I,
  FLAG_L,
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
} from '../../protocol/meta/decode.ts'
import { MARK_SENT, MARK_STALE, MARK_WON } from '../../protocol/meta/encode.ts'
import {
  OUTCOME_CHANGED,
  OUTCOME_EXISTS,
  OUTCOME_FOUND,
  OUTCOME_HIT,
  OUTCOME_NO_MEMORY,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_TOO_LARGE,
  OUTCOME_UNKNOWN_COMMAND,
  type Request,
} from '../../protocol/request.ts'
import { keyBytesOf, keyOffsetOf } from '../../protocol/request-key.ts'
import {
  VERB_META_ARITHMETIC,
  VERB_META_DEBUG,
  VERB_META_DELETE,
  VERB_META_GET,
  VERB_META_SET,
} from '../../protocol/verbs.ts'
import { STATE_FETCHED, STATE_STALE, STATE_WIN_SENT } from '../../storage/item.ts'
import { CHANGED, EXISTS, NOT_FOUND, NOT_STORED, STORED, TOO_LARGE } from '../../storage/result.ts'
import type { Store } from '../../storage/store.ts'
import {
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_PREPEND,
  WRITE_REPLACE,
  WRITE_SET,
  type WriteOrder,
} from '../../storage/write-order.ts'
import { countFetch, countHit, countMiss, countSwap } from './access-counts.ts'
import { COMMAND_ATTEMPTS_MAX, type ItemAccess } from './item-access.ts'

const NOTHING = new Uint8Array(0)
/** Flags of a get that ask for, or change, more of the item than most do; N makes it. */
const LOOKS_LOWER: number = FLAG_H | FLAG_L | FLAG_T
const LOOKS_UPPER: number = FLAG_N | FLAG_R | FLAG_T

export class MetaCommands {
  private readonly items: ItemAccess
  private readonly store: Store
  private readonly lane: Float64Array
  // The key of the request under way: in its bytes, or decoded.
  private key: Uint8Array = NOTHING
  private keyOffset = 0
  private keyLength = 0

  constructor(items: ItemAccess) {
    this.items = items
    this.store = items.store
    this.lane = items.lane
  }

  /** Carries out a meta request, whose offsets point into `bytes`. Returns an OUTCOME_ number. */
  execute(request: Request, bytes: Uint8Array): number {
    const { items } = this
    this.lane[COUNTER.cmd_meta]!++
    this.useKey(request, bytes)
    items.isCreated = false
    items.marks = 0
    switch (request.verb) {
      case VERB_META_GET:
        return this.get(request)
      case VERB_META_SET:
        return this.set(request, bytes)
      case VERB_META_DELETE:
        return this.delete(request)
      case VERB_META_ARITHMETIC:
        return this.count(request)
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
    return this.refuseTooLarge()
  }

  private refuseTooLarge(): number {
    this.lane[COUNTER.store_too_large]!++
    this.items.discard(this.key, this.keyOffset, this.keyLength)
    return OUTCOME_TOO_LARGE
  }

  private useKey(request: Request, bytes: Uint8Array): void {
    this.key = keyBytesOf(request, bytes)
    this.keyOffset = keyOffsetOf(request)
    this.keyLength = request.keyLength
  }

  private find(): number {
    return this.items.find(this.key, this.keyOffset, this.keyLength)
  }

  /** find() of an item that T gives an expiry, or that is to get another CAS: that of E if given. */
  private findToChange(request: Request): number {
    const { items } = this
    const upper = request.upperFlags
    return items.findToChange(
      this.key,
      this.keyOffset,
      this.keyLength,
      (upper & FLAG_T) !== 0 ? items.expiryOf(request.expiry) : 0,
      (upper & FLAG_E) !== 0 ? request.newCasHigh : 0,
    )
  }

  /** What few ask of an item that is held. */
  private loadItem(): void {
    const { items, store } = this
    items.expiryBefore = items.isCreated ? 0 : store.expiry
    items.expiry = store.expiry
    items.lastAccess = store.lastAccess
    items.wasFetched = (store.state & STATE_FETCHED) !== 0
    items.itemBytes = store.itemBytes
  }

  private get(request: Request): number {
    const { items, store, lane } = this
    const lower = request.lowerFlags
    const upper = request.upperFlags
    const touches = (upper & FLAG_T) !== 0
    countFetch(lane, touches)
    let found = touches ? this.findToChange(request) : this.find()
    if (found === OUTCOME_NOT_FOUND && (upper & FLAG_N) !== 0) found = this.vivify(request)
    if (found !== OUTCOME_HIT) {
      if (found === OUTCOME_NOT_FOUND) countMiss(lane, touches, store.missReason)
      return found
    }
    countHit(lane, touches)
    const state = store.state
    const isSent = (state & STATE_WIN_SENT) !== 0
    const isStale = (state & STATE_STALE) !== 0
    let hasWon = items.isCreated || (isStale && !isSent)
    if (((lower & LOOKS_LOWER) | (upper & LOOKS_UPPER)) !== 0) {
      this.loadItem()
      this.settleExpiry(request)
    }
    if ((upper & FLAG_R) !== 0 && !isSent) {
      // R looks at the expiry that the item has when its turn comes.
      const isTouched = touches && request.expiryToken < request.recacheToken
      const expiry = isTouched ? items.expiryTouched : items.expiryBefore
      if (expiry !== 0 && expiry < items.expiryOf(request.recacheExpiry)) hasWon = true
    }
    if (hasWon) store.setState(state | STATE_WIN_SENT)
    if ((lower & FLAG_U) === 0) store.markRead(items.nowSeconds)
    items.marks = (hasWon ? MARK_WON : 0) | (isSent ? MARK_SENT : 0) | (isStale ? MARK_STALE : 0)
    if ((lower & FLAG_V) !== 0 && !((upper & FLAG_C) !== 0 && this.hasCas(request))) {
      return OUTCOME_HIT
    }
    store.release()
    return OUTCOME_FOUND
  }

  /** Gives the item that is held the expiry of T, or of N if it has made the item, whichever comes last. */
  private settleExpiry(request: Request): void {
    if (this.takeExpiries(request)) this.store.setExpiry(this.items.expiry)
  }

  /** Notes what T and N give; false: nothing. */
  private takeExpiries(request: Request): boolean {
    const { items } = this
    const touches = (request.upperFlags & FLAG_T) !== 0
    if (touches) {
      items.expiryTouched = items.expiryOf(request.expiry)
      items.expiry = items.expiryTouched
    }
    if (items.isCreated) {
      items.expiryVivified = items.expiryOf(request.vivifyExpiry)
      if (!touches || request.vivifyToken > request.expiryToken) items.expiry = items.expiryVivified
    }
    return touches || items.isCreated
  }

  /** N: makes an empty item where there is none. OUTCOME_HIT: it, or that of another, is found and held. */
  private vivify(request: Request): number {
    const { items, store } = this
    const expiry = this.expiryAtBirth(request)
    for (let attempt = 0; attempt < COMMAND_ATTEMPTS_MAX; attempt++) {
      const order = items.beginOrder(WRITE_ADD, this.key, this.keyOffset, this.keyLength, expiry)
      giveCas(request, order)
      const written = store.write(order)
      if (written !== STORED && written !== EXISTS) return OUTCOME_NOT_FOUND
      const found = this.findToChange(request)
      if (found === OUTCOME_NOT_FOUND) continue
      if (found === OUTCOME_HIT && written === STORED && (store.state & STATE_WIN_SENT) === 0) {
        items.isCreated = true
      }
      return found
    }
    return OUTCOME_NOT_FOUND
  }

  /**
   * What N makes is answered before it expires, even if it does at once: until its expiry is settled it
   * is there.
   */
  private expiryAtBirth(request: Request): number {
    const { items } = this
    const expiry = items.expiryOf(request.vivifyExpiry)
    return expiry !== 0 && expiry <= items.nowSeconds ? items.nowSeconds + 1 : expiry
  }

  private set(request: Request, bytes: Uint8Array): number {
    const { items, store, lane } = this
    const upper = request.upperFlags
    const comparesCas = (upper & FLAG_C) !== 0
    lane[COUNTER.cmd_set]!++
    items.clearCas()
    items.valueBytes = request.valueLength
    const mode = writeMode(request.mode)
    const extendsValue = mode === WRITE_APPEND || mode === WRITE_PREPEND
    const swaps = comparesCas && (mode === WRITE_SET || mode === WRITE_REPLACE)
    if (swaps && (request.casHigh | request.casLow) === 0) {
      return items.refuseSwap(this.key, this.keyOffset, this.keyLength)
    }
    const usesCas = swaps || (extendsValue && comparesCas)
    const casHigh = usesCas ? request.casHigh : 0
    const casLow = usesCas ? request.casLow : 0
    for (let attempt = 0; attempt < COMMAND_ATTEMPTS_MAX; attempt++) {
      const order = this.beginSet(request, bytes, mode, request.expiry)
      order.casHigh = casHigh
      order.casLow = casLow
      order.mayGoStale = swaps && (upper & FLAG_I) !== 0
      let written = store.write(order)
      if (written === NOT_STORED && (upper & FLAG_N) !== 0) {
        written = store.write(this.beginSet(request, bytes, WRITE_ADD, request.vivifyExpiry))
      }
      if (written === EXISTS && !usesCas && extendsValue) continue
      switch (written) {
        case STORED:
          if (swaps) countSwap(lane, written)
          items.loadCas()
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
          if (!extendsValue) items.discard(this.key, this.keyOffset, this.keyLength)
          return items.refuseMemory()
      }
    }
    return OUTCOME_NOT_STORED
  }

  /** An order to write what the request brings. */
  private beginSet(
    request: Request,
    bytes: Uint8Array,
    mode: number,
    wireExpiry: number,
  ): WriteOrder {
    const { items } = this
    const expiry = items.expiryOf(wireExpiry)
    const order = items.beginOrderOf(mode, request, bytes, this.key, this.keyOffset, expiry)
    giveCas(request, order)
    return order
  }

  /** The size that a value has grown to; the CAS stays that of the write. */
  private measure(): void {
    const { items } = this
    const { casHigh, casLow } = items
    if (this.find() === OUTCOME_HIT) this.store.release()
    items.casHigh = casHigh
    items.casLow = casLow
  }

  private delete(request: Request): number {
    const { items, store, lane } = this
    const upper = request.upperFlags
    const changes = (upper & FLAG_I) !== 0
    store.noteChange(this.key, this.keyOffset, this.keyLength)
    for (let attempt = 0; attempt < COMMAND_ATTEMPTS_MAX; attempt++) {
      const found = changes ? this.findToChange(request) : this.find()
      if (found !== OUTCOME_HIT) {
        if (found === OUTCOME_NOT_FOUND) lane[COUNTER.delete_misses]!++
        return found
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
        const refound = this.findToChange(request)
        if (refound !== OUTCOME_HIT) return refound === OUTCOME_NOT_FOUND ? OUTCOME_OK : refound
      }
      if (changes) {
        if ((upper & FLAG_T) !== 0) store.setExpiry(items.expiryOf(request.expiry))
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
    this.items.loadCas()
  }

  /** x: the item that is held gets an empty value and no flags but keeps its CAS. Releases it. */
  private empty(request: Request): number {
    const { items, store } = this
    const { casHigh, casLow } = store
    store.release()
    const expiry = items.expiryOf(request.expiry)
    const order = items.beginOrder(WRITE_SET, this.key, this.keyOffset, this.keyLength, expiry)
    order.flags = request.flags
    order.casHigh = casHigh
    order.casLow = casLow
    order.givenCasHigh = casHigh
    order.givenCasLow = casLow
    giveCas(request, order)
    return store.write(order)
  }

  private count(request: Request): number {
    const { mode, upperFlags } = request
    const counted = this.items.count(
      request,
      this.key,
      this.keyOffset,
      mode !== MODE_DECREMENT && mode !== MODE_DECREMENT_SIGN,
      (upperFlags & FLAG_N) !== 0,
      this.expiryAtBirth(request),
    )
    return counted === OUTCOME_NUMBER ? this.settleNumber(request) : counted
  }

  /** What else the command does to the number's item, and what its flags ask about it. */
  private settleNumber(request: Request): number {
    const { items, store } = this
    const upper = request.upperFlags
    const looks = (request.lowerFlags & FLAG_T) !== 0 || (upper & (FLAG_T | FLAG_E)) !== 0
    if (!looks && !items.isCreated) return OUTCOME_NUMBER
    const { casHigh, casLow } = store
    const found = this.findToChange(request)
    if (found === OUTCOME_NOT_FOUND) {
      // Another worker has deleted it since: what is said of it is what this request made of it.
      items.expiryBefore = 0
      this.takeExpiries(request)
      return OUTCOME_NUMBER
    }
    if (found !== OUTCOME_HIT) return found
    this.loadItem()
    this.settleExpiry(request)
    // Only the number that this request made gets its CAS.
    const isOurs = store.casHigh === casHigh && store.casLow === casLow
    if (isOurs && (upper & FLAG_E) !== 0) this.renewCas(request)
    store.release()
    return OUTCOME_NUMBER
  }

  private debug(): number {
    if (this.find() !== OUTCOME_HIT) return OUTCOME_NOT_FOUND
    this.loadItem()
    this.store.release()
    return OUTCOME_FOUND
  }
}

function writeMode(mode: number): number {
  switch (mode) {
    case MODE_ADD:
      return WRITE_ADD
    case MODE_APPEND:
      return WRITE_APPEND
    case MODE_PREPEND:
      return WRITE_PREPEND
    case MODE_REPLACE:
      return WRITE_REPLACE
    default:
      return WRITE_SET
  }
}

/** E: the writes of this command give the item this CAS. */
function giveCas(request: Request, order: WriteOrder): void {
  if ((request.upperFlags & FLAG_E) === 0) return
  order.givenCasHigh = request.newCasHigh
  order.givenCasLow = request.newCasLow
}
