/**
 * Hot path. What the classic verbs mean: the commands of the binary dialect, and those of text that
 * are not meta. What they leave is in the registers of ItemAccess.
 *
 * Verbs that are about the connection rather than about items (QUIT, STAT, SASL, VERSION) do not
 * come here.
 */

import { COUNTER } from '../../observe/counters.ts'
import {
  OUTCOME_CHANGED,
  OUTCOME_EXISTS,
  OUTCOME_HIT,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_OK,
  OUTCOME_REFUSED,
  OUTCOME_TOO_LARGE,
  OUTCOME_TOUCHED,
  OUTCOME_UNKNOWN_COMMAND,
  type Request,
} from '../../protocol/request.ts'
import {
  VERB_ADD,
  VERB_APPEND,
  VERB_CAS,
  VERB_DECREMENT,
  VERB_DELETE,
  VERB_FLUSH,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_INCREMENT,
  VERB_NOOP,
  VERB_PREPEND,
  VERB_REPLACE,
  VERB_SET,
  VERB_TOUCH,
} from '../../protocol/verbs.ts'
import {
  CHANGED,
  EXISTS,
  NOT_FOUND,
  NOT_STORED,
  REMOVED,
  STORED,
  TOO_LARGE,
} from '../../storage/result.ts'
import type { Store } from '../../storage/store.ts'
import {
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_PREPEND,
  WRITE_REPLACE,
  WRITE_SET,
} from '../../storage/write-order.ts'
import { countFetch, countHit, countMiss, countSwap } from './access-counts.ts'
import type { ItemAccess } from './item-access.ts'

export class ClassicCommands {
  private readonly items: ItemAccess
  private readonly store: Store
  private readonly lane: Float64Array
  private readonly flushEnabled: boolean

  constructor(items: ItemAccess, flushEnabled: boolean) {
    this.items = items
    this.store = items.store
    this.lane = items.lane
    this.flushEnabled = flushEnabled
  }

  /** Carries out `request`, whose offsets point into `bytes`. Returns an OUTCOME_ number. */
  execute(request: Request, bytes: Uint8Array): number {
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
        return this.count(request, bytes)
      case VERB_TOUCH:
        return this.touch(request, bytes)
      case VERB_GET_AND_TOUCH:
        return this.getAndTouch(request, bytes)
      case VERB_FLUSH:
        return this.flush(request)
      case VERB_CAS:
        return this.compareAndSwap(request, bytes)
      case VERB_NOOP:
        this.items.clearCas()
        return OUTCOME_OK
      default:
        return OUTCOME_UNKNOWN_COMMAND
    }
  }

  /**
   * A value that is too large was announced. A SET that fails this way removes the old item, so
   * that nobody goes on reading what the client believes to be replaced.
   */
  refuseOversize(request: Request, bytes: Uint8Array): number {
    this.lane[COUNTER.store_too_large]!++
    if (request.verb === VERB_SET) this.items.discard(bytes, request.keyOffset, request.keyLength)
    return OUTCOME_TOO_LARGE
  }

  private get(request: Request, bytes: Uint8Array): number {
    const { items, store, lane } = this
    countFetch(lane, false)
    if (items.find(bytes, request.keyOffset, request.keyLength) !== OUTCOME_HIT) {
      countMiss(lane, false, store.missReason)
      return OUTCOME_NOT_FOUND
    }
    store.markRead(items.nowSeconds)
    countHit(lane, false)
    return OUTCOME_HIT
  }

  /** Counts as a touch and not as a get, as in memcached. */
  private getAndTouch(request: Request, bytes: Uint8Array): number {
    const { items, store, lane } = this
    countFetch(lane, true)
    const expiry = items.expiryOf(request.expiry)
    const found = items.findToChange(bytes, request.keyOffset, request.keyLength, expiry, 0)
    if (found !== OUTCOME_HIT) {
      if (found === OUTCOME_NOT_FOUND) countMiss(lane, true, store.missReason)
      return found
    }
    store.setExpiry(expiry)
    store.markRead(items.nowSeconds)
    countHit(lane, true)
    return OUTCOME_HIT
  }

  private touch(request: Request, bytes: Uint8Array): number {
    const touched = this.getAndTouch(request, bytes)
    if (touched !== OUTCOME_HIT) return touched
    this.store.release()
    return OUTCOME_TOUCHED
  }

  private write(mode: number, request: Request, bytes: Uint8Array): number {
    const { items, lane } = this
    lane[COUNTER.cmd_set]!++
    const isConditional = request.casHigh !== 0 || request.casLow !== 0
    const order = items.beginOrderOf(
      mode,
      request,
      bytes,
      bytes,
      request.keyOffset,
      items.expiryOf(request.expiry),
    )
    order.casHigh = request.casHigh
    order.casLow = request.casLow
    const written = this.store.write(order)
    if (isConditional) countSwap(lane, written)
    switch (written) {
      case STORED:
        items.loadCas()
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
        return items.refuseMemory()
    }
  }

  private compareAndSwap(request: Request, bytes: Uint8Array): number {
    if ((request.casHigh | request.casLow) !== 0) return this.write(WRITE_SET, request, bytes)
    this.lane[COUNTER.cmd_set]!++
    return this.items.refuseSwap(bytes, request.keyOffset, request.keyLength)
  }

  private remove(request: Request, bytes: Uint8Array): number {
    const { items, lane } = this
    const removed = this.store.remove(
      bytes,
      request.keyOffset,
      request.keyLength,
      request.casHigh,
      request.casLow,
      items.nowSeconds,
    )
    if (removed === REMOVED) {
      lane[COUNTER.delete_hits]!++
      items.clearCas()
      return OUTCOME_OK
    }
    if (removed === EXISTS) return OUTCOME_EXISTS
    lane[COUNTER.delete_misses]!++
    return OUTCOME_NOT_FOUND
  }

  private count(request: Request, bytes: Uint8Array): number {
    const { items } = this
    return items.count(
      request,
      bytes,
      request.keyOffset,
      request.verb === VERB_INCREMENT,
      request.createsMissing,
      items.expiryOf(request.expiry),
    )
  }

  private flush(request: Request): number {
    if (!this.flushEnabled) return OUTCOME_REFUSED
    const { items } = this
    this.lane[COUNTER.cmd_flush]!++
    const at = items.expiryOf(request.expiry)
    this.store.flush(at > items.nowSeconds ? at : 0, items.nowSeconds)
    items.clearCas()
    return OUTCOME_OK
  }
}
