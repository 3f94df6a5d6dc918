/**
 * Tells the watch log and the prefix table what requests do. Called only while somebody watches or
 * counts, around the request: what is told of it follows from the request, the outcome and the
 * registers, so that the commands themselves know nothing of being watched.
 *
 * As in memcached, each command that uses an item is a look-up (`item_get`) of what was there
 * before, and a write is an `item_store` beside it.
 */

import {
  PREFIX_DELETE,
  PREFIX_GET,
  PREFIX_HIT,
  PREFIX_SET,
  type PrefixTable,
} from '../../observe/prefix-table.ts'
import {
  DELETE_CLASSIC,
  DELETE_META,
  EVICTION_FETCHED,
  EVICTION_UNFETCHED,
  GET_EXPIRED,
  GET_FLUSHED,
  GET_FOUND,
  GET_NOT_FOUND,
  STORE_ADD,
  STORE_APPEND,
  STORE_APPEND_VIVIFY,
  STORE_CAS,
  STORE_EXISTS,
  STORE_NO_MEMORY,
  STORE_NOT_FOUND,
  STORE_NOT_STORED,
  STORE_PREPEND,
  STORE_PREPEND_VIVIFY,
  STORE_REPLACE,
  STORE_SET,
  STORE_STORED,
  STORE_TOO_LARGE,
  TTL_NEVER,
} from '../../observe/watch-line.ts'
import type { WatchLog } from '../../observe/watch-log.ts'
import {
  OBSERVED_WORD,
  WATCH_DELETIONS,
  WATCH_EVICTIONS,
  WATCH_FETCHERS,
  WATCH_MUTATIONS,
} from '../../observe/watch-memory.ts'
import {
  FLAG_C,
  FLAG_N,
  MODE_ADD,
  MODE_APPEND,
  MODE_PREPEND,
  MODE_REPLACE,
} from '../../protocol/meta/decode.ts'
import {
  OUTCOME_EXISTS,
  OUTCOME_FOUND,
  OUTCOME_HIT,
  OUTCOME_NO_MEMORY,
  OUTCOME_NOT_FOUND,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_TOO_LARGE,
  OUTCOME_TOUCHED,
  type Request,
} from '../../protocol/request.ts'
import { keyBytesOf, keyOffsetOf } from '../../protocol/request-key.ts'
import {
  VERB_ADD,
  VERB_APPEND,
  VERB_CAS,
  VERB_DELETE,
  VERB_FLUSH,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_META_ARITHMETIC,
  VERB_META_DEBUG,
  VERB_META_DELETE,
  VERB_META_GET,
  VERB_META_SET,
  VERB_NOOP,
  VERB_PREPEND,
  VERB_REPLACE,
  VERB_SET,
  VERB_TOUCH,
} from '../../protocol/verbs.ts'
import type { EvictionObserver } from '../../storage/eviction-observer.ts'
import { HIT, MISS_EXPIRED, MISS_FLUSHED } from '../../storage/result.ts'
import type { Store } from '../../storage/store.ts'
import { absoluteExpiry } from './absolute-expiry.ts'

export class RequestObserver implements EvictionObserver {
  /** Unix seconds; the worker sets it ten times a second. */
  nowSeconds = 0

  /** Not 0 at OBSERVED_WORD while requests are to be told or counted. */
  readonly observed: Int32Array

  private readonly store: Store
  private readonly log: WatchLog
  private readonly prefixes: PrefixTable
  private readonly passOn: () => void
  /** Whose requests are carried out. */
  private connectionId = 0
  /** What the last look-up found, and whether the one before the request found anything. */
  private foundBytes = 0
  private wasFound = false

  /** `passOn` makes room in the log: it sends a portion of what is in there to the watchers of this worker. */
  constructor(store: Store, log: WatchLog, prefixes: PrefixTable, passOn: () => void) {
    this.store = store
    this.log = log
    this.prefixes = prefixes
    this.passOn = passOn
    this.observed = log.observed
  }

  /** The requests of this connection come now. */
  beginTurn(connectionId: number): void {
    this.connectionId = connectionId
    if (this.observed[OBSERVED_WORD] !== 0) this.passOn()
  }

  /** Before a request is carried out: tells what is there now, unless the request is the look-up. */
  before(request: Request, bytes: Uint8Array): void {
    const { verb } = request
    if (isFetch(verb) || verb === VERB_FLUSH || verb === VERB_NOOP) return
    if (!this.log.isWatched(WATCH_FETCHERS | WATCH_DELETIONS | WATCH_MUTATIONS)) return
    this.wasFound = this.look(request, bytes)
    this.tellFetch(request, bytes, this.wasFound ? GET_FOUND : missStatus(this.store.missReason))
  }

  /** After it. `isCreated`: the item that a fetch has found is one that it made. */
  after(request: Request, bytes: Uint8Array, outcome: number, isCreated: boolean): void {
    if (this.prefixes.isEnabled) this.countPrefix(request, bytes, outcome)
    const { verb } = request
    if (isFetch(verb)) {
      const isHit =
        outcome === OUTCOME_HIT || outcome === OUTCOME_FOUND || outcome === OUTCOME_TOUCHED
      this.foundBytes = isHit && !isCreated ? this.store.valueBytes : 0
      if (isCreated) this.tellFetch(request, bytes, GET_NOT_FOUND)
      else this.tellFetch(request, bytes, isHit ? GET_FOUND : missStatus(this.store.missReason))
    } else if (verb === VERB_DELETE || verb === VERB_META_DELETE) {
      if (outcome === OUTCOME_OK && this.log.isWatched(WATCH_DELETIONS)) {
        this.tellDeletion(request, bytes)
      }
    } else if (outcome === OUTCOME_NUMBER) {
      if (!this.wasFound) this.tellNewNumber(request, bytes)
    } else if (this.log.isWatched(WATCH_MUTATIONS)) {
      const command = storeCommand(request)
      if (command !== 0) this.tellWrite(request, bytes, command, outcome)
    }
  }

  get isWatching(): boolean {
    return this.log.isWatched(WATCH_EVICTIONS)
  }

  evicted(
    bytes: Uint8Array,
    keyOffset: number,
    keyLength: number,
    valueBytes: number,
    expiry: number,
    lastAccess: number,
    wasFetched: boolean,
  ): void {
    const { record } = this.log
    record.kind = WATCH_EVICTIONS
    record.connectionId = 0
    record.command = wasFetched ? EVICTION_FETCHED : EVICTION_UNFETCHED
    record.ttlSeconds = expiry === 0 ? TTL_NEVER : expiry - this.nowSeconds
    record.idleSeconds = Math.max(0, this.nowSeconds - lastAccess)
    record.valueBytes = valueBytes
    this.log.write(this.store.namespace, bytes, keyOffset, keyLength)
  }

  /** Looks the item up; foundBytes is its size, 0 if there is none. */
  private look(request: Request, bytes: Uint8Array): boolean {
    const { store } = this
    const key = keyBytesOf(request, bytes)
    const isHit =
      store.lookup(key, keyOffsetOf(request), request.keyLength, this.nowSeconds) === HIT
    this.foundBytes = isHit ? store.valueBytes : 0
    if (isHit) store.release()
    return isHit
  }

  private tellFetch(request: Request, bytes: Uint8Array, status: number): void {
    if (!this.log.isWatched(WATCH_FETCHERS)) return
    const { record } = this.log
    record.kind = WATCH_FETCHERS
    record.status = status
    record.valueBytes = this.foundBytes
    this.write(request, bytes)
  }

  private tellDeletion(request: Request, bytes: Uint8Array): void {
    const { record } = this.log
    record.kind = WATCH_DELETIONS
    record.command = request.verb === VERB_DELETE ? DELETE_CLASSIC : DELETE_META
    record.valueBytes = this.foundBytes
    this.write(request, bytes)
  }

  /** An increment of nothing looks twice, as in memcached, and adds the number that it begins with. */
  private tellNewNumber(request: Request, bytes: Uint8Array): void {
    this.foundBytes = 0
    this.tellFetch(request, bytes, GET_NOT_FOUND)
    if (!this.log.isWatched(WATCH_MUTATIONS)) return
    const isMeta = request.verb === VERB_META_ARITHMETIC
    this.look(request, bytes)
    this.tellStore(
      request,
      bytes,
      STORE_ADD,
      STORE_STORED,
      isMeta ? request.vivifyExpiry : request.expiry,
      this.foundBytes,
    )
  }

  private tellWrite(request: Request, bytes: Uint8Array, command: number, outcome: number): void {
    const status = storeStatus(command, outcome)
    let valueBytes = request.valueLength
    if (status === STORE_STORED && extendsValue(command)) {
      this.look(request, bytes)
      valueBytes = this.foundBytes
    }
    this.tellStore(request, bytes, command, status, request.expiry, valueBytes)
  }

  private tellStore(
    request: Request,
    bytes: Uint8Array,
    command: number,
    status: number,
    wireExpiry: number,
    valueBytes: number,
  ): void {
    const { record } = this.log
    record.kind = WATCH_MUTATIONS
    record.command = command
    record.status = status
    const expiry = absoluteExpiry(wireExpiry, this.nowSeconds)
    // Unsigned, as in memcached: what has expired already lives for very long.
    record.ttlSeconds = expiry === 0 ? 0 : (expiry - this.nowSeconds) >>> 0
    record.valueBytes = valueBytes
    this.write(request, bytes)
  }

  private write(request: Request, bytes: Uint8Array): void {
    this.log.record.connectionId = this.connectionId
    const key = keyBytesOf(request, bytes)
    this.log.write(this.store.namespace, key, keyOffsetOf(request), request.keyLength)
  }

  /** The classic verbs that memcached counts; the meta commands it leaves out. */
  private countPrefix(request: Request, bytes: Uint8Array, outcome: number): void {
    const { keyOffset, keyLength } = request
    switch (request.verb) {
      case VERB_GET:
      case VERB_GET_AND_TOUCH:
        this.prefixes.count(PREFIX_GET, bytes, keyOffset, keyLength)
        if (outcome === OUTCOME_HIT) this.prefixes.count(PREFIX_HIT, bytes, keyOffset, keyLength)
        return
      case VERB_SET:
      case VERB_ADD:
      case VERB_REPLACE:
      case VERB_APPEND:
      case VERB_PREPEND:
      case VERB_CAS:
        this.prefixes.count(PREFIX_SET, bytes, keyOffset, keyLength)
        return
      case VERB_DELETE:
        this.prefixes.count(PREFIX_DELETE, bytes, keyOffset, keyLength)
    }
  }
}

/** Verbs whose look-up is the request itself: told after it, with what it found. */
function isFetch(verb: number): boolean {
  return (
    verb === VERB_GET ||
    verb === VERB_GET_AND_TOUCH ||
    verb === VERB_TOUCH ||
    verb === VERB_META_GET ||
    verb === VERB_META_DEBUG
  )
}

function missStatus(reason: number): number {
  if (reason === MISS_EXPIRED) return GET_EXPIRED
  return reason === MISS_FLUSHED ? GET_FLUSHED : GET_NOT_FOUND
}

/** The command of an `item_store`, 0 if the request is none. */
function storeCommand(request: Request): number {
  const swaps = (request.casHigh | request.casLow) !== 0
  switch (request.verb) {
    case VERB_SET:
      return swaps ? STORE_CAS : STORE_SET
    case VERB_ADD:
      return swaps ? STORE_CAS : STORE_ADD
    case VERB_REPLACE:
      return swaps ? STORE_CAS : STORE_REPLACE
    case VERB_CAS:
      return STORE_CAS
    case VERB_APPEND:
      return STORE_APPEND
    case VERB_PREPEND:
      return STORE_PREPEND
    case VERB_META_SET:
      return metaStoreCommand(request)
    default:
      return 0
  }
}

function metaStoreCommand(request: Request): number {
  const vivifies = (request.upperFlags & FLAG_N) !== 0
  switch (request.mode) {
    case MODE_ADD:
      return STORE_ADD
    case MODE_APPEND:
      return vivifies ? STORE_APPEND_VIVIFY : STORE_APPEND
    case MODE_PREPEND:
      return vivifies ? STORE_PREPEND_VIVIFY : STORE_PREPEND
    case MODE_REPLACE:
      return (request.upperFlags & FLAG_C) !== 0 ? STORE_CAS : STORE_REPLACE
    default:
      return (request.upperFlags & FLAG_C) !== 0 ? STORE_CAS : STORE_SET
  }
}

function extendsValue(command: number): boolean {
  return (
    command === STORE_APPEND ||
    command === STORE_PREPEND ||
    command === STORE_APPEND_VIVIFY ||
    command === STORE_PREPEND_VIVIFY
  )
}

function storeStatus(command: number, outcome: number): number {
  switch (outcome) {
    case OUTCOME_OK:
      return STORE_STORED
    case OUTCOME_EXISTS:
      return command === STORE_ADD ? STORE_NOT_STORED : STORE_EXISTS
    case OUTCOME_NOT_FOUND:
      return command === STORE_REPLACE ? STORE_NOT_STORED : STORE_NOT_FOUND
    case OUTCOME_TOO_LARGE:
      return STORE_TOO_LARGE
    case OUTCOME_NO_MEMORY:
      return STORE_NO_MEMORY
    default:
      return STORE_NOT_STORED
  }
}
