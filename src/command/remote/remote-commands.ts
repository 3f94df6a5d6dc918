/**
 * The commands over a store elsewhere, as command/commands.ts asks for them: each request becomes a command for the
 * engine, and is answered when that is. What is wrong with a request without a look at the store is answered at once.
 *
 * Invariant: everything of a request that is needed after this turn is copied: its key and its value.
 */
import { Decimal } from '../../base/decimal.ts'
import { COUNTER } from '../../observe/counters.ts'
import {
  FLAG_C,
  FLAG_E,
  FLAG_I,
  FLAG_N,
  MODE_ADD,
  MODE_APPEND,
  MODE_DECREMENT,
  MODE_DECREMENT_SIGN,
  MODE_PREPEND,
  MODE_REPLACE,
} from '../../protocol/meta/decode.ts'
import {
  OUTCOME_EXISTS,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_OK,
  OUTCOME_PENDING,
  OUTCOME_REFUSED,
  OUTCOME_TOO_LARGE,
  OUTCOME_UNKNOWN_COMMAND,
  type Request,
} from '../../protocol/request.ts'
import { keyBytesOf, keyOffsetOf } from '../../protocol/request-key.ts'
import {
  hasVerb,
  META_VERBS,
  VERB_ADD,
  VERB_APPEND,
  VERB_CAS,
  VERB_DECREMENT,
  VERB_DELETE,
  VERB_FLUSH,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_INCREMENT,
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
import type { CasClock } from '../../remote/cas-clock.ts'
import type { Engine } from '../../remote/engine.ts'
import type { Generation } from '../../remote/generation.ts'
import { encodeCas } from '../../remote/item-head.ts'
import { ITEM_OVERHEAD_BYTES } from '../../storage/geometry.ts'
import type { CommandStore, PendingOutcome } from '../commands.ts'
import {
  type PlainValue,
  RemoteCount,
  RemoteDelete,
  RemoteDiscard,
  RemoteGet,
  RemotePlainSet,
  RemoteStore,
  RemoteTouch,
  type StoreOrder,
} from './classic-requests.ts'
import { EXPIRY_AT_ONCE, EXPIRY_KEPT, engineExpiry } from './engine-expiry.ts'
import {
  expiriesOf,
  isPlainRead,
  RemoteMetaCount,
  RemoteMetaDebug,
  RemoteMetaDelete,
  RemoteMetaGet,
} from './meta-requests.ts'
import type { NearCache } from './near-cache.ts'
import { NO_LARGE_VALUES } from './no-large-values.ts'
import { RemoteFlush } from './remote-flush.ts'
import { NO_KEY, type RemoteParts, type RemoteRequest } from './remote-request.ts'
import { RemoteResult } from './remote-result.ts'
import type { RequestCounts } from './request-counts.ts'
import { Wakes } from './wakes.ts'

type Mode = StoreOrder['mode']

export interface RemoteCommandsOptions {
  readonly engine: Engine
  readonly generation: Generation
  readonly casClock: CasClock
  readonly lane: Float64Array
  /** Of the worker. */
  readonly counts: RequestCounts
  readonly after: (delayMs: number, run: () => void) => void
  /** Largest item, with its key. */
  readonly itemBytesMax: number
  /** False with -F: FLUSH is refused. */
  readonly flushEnabled: boolean
  /** False with -C: every CAS in a response is 0. */
  readonly casEnabled: boolean
  readonly missesOnFailure: boolean
  /** Of the worker; undefined: no copies are kept. */
  readonly near: NearCache | undefined
}

export class RemoteCommands implements CommandStore {
  readonly result: RemoteResult = new RemoteResult()
  readonly copies: RemoteResult = this.result
  readonly large: typeof NO_LARGE_VALUES = NO_LARGE_VALUES
  private readonly options: RemoteCommandsOptions
  private readonly parts: RemoteParts
  private readonly lane: Float64Array
  private readonly casClock: CasClock
  private readonly decimal: Decimal = new Decimal()
  private readonly digits: Buffer = Buffer.alloc(20)
  private connectionId = 0
  private last: PendingOutcome | undefined = undefined

  constructor(options: RemoteCommandsOptions) {
    this.options = options
    const { engine, generation, lane, counts, casClock, casEnabled, missesOnFailure, near } =
      options
    this.lane = lane
    this.casClock = casClock
    const { result } = this
    this.parts = {
      engine,
      generation,
      result,
      lane,
      counts,
      wakes: new Wakes(),
      casEnabled,
      missesOnFailure,
      near,
      nowSeconds: 0,
    }
  }

  get nowSeconds(): number {
    return this.parts.nowSeconds
  }

  setTime(nowSeconds: number): void {
    this.parts.nowSeconds = nowSeconds
    this.options.generation.tick()
  }

  beginTurn(connectionId: number): void {
    this.result.copiedBytes = 0
    this.connectionId = connectionId
  }

  takePending(): PendingOutcome {
    const { last } = this
    if (last === undefined) throw new Error('assertion failed: nothing is pending')
    this.last = undefined
    return last
  }

  execute(request: Request, bytes: Uint8Array): number {
    const { parts } = this
    switch (request.verb) {
      case VERB_GET:
        return this.get(request, bytes)
      case VERB_GET_AND_TOUCH:
        return this.start(
          new RemoteGet(parts, this.keyOf(request, bytes), this.expiryOf(request.expiry)),
        )
      case VERB_TOUCH:
        return this.start(
          new RemoteTouch(parts, this.keyOf(request, bytes), this.expiryOf(request.expiry)),
        )
      case VERB_SET:
        return this.write('S', request, bytes)
      case VERB_ADD:
        return this.write('E', request, bytes)
      case VERB_REPLACE:
        return this.write('R', request, bytes)
      case VERB_APPEND:
        return this.write('A', request, bytes)
      case VERB_PREPEND:
        return this.write('P', request, bytes)
      case VERB_CAS:
        return this.store('S', request, bytes, true, OUTCOME_EXISTS, OUTCOME_NOT_FOUND)
      case VERB_DELETE:
        return this.delete(request, bytes)
      case VERB_INCREMENT:
      case VERB_DECREMENT:
        return this.count(request, bytes)
      case VERB_FLUSH:
        return this.flush(request)
      case VERB_NOOP:
        this.clearCas()
        return OUTCOME_OK
      default:
        return this.executeMeta(request, bytes)
    }
  }

  private executeMeta(request: Request, bytes: Uint8Array): number {
    const { parts } = this
    switch (request.verb) {
      case VERB_META_GET:
        return this.metaGet(request, bytes)
      case VERB_META_SET:
        return this.metaSet(request, bytes)
      case VERB_META_DELETE:
        return this.start(
          new RemoteMetaDelete(parts, this.keyOf(request, bytes), request, this.newCas(request)),
        )
      case VERB_META_ARITHMETIC:
        return this.metaCount(request, bytes)
      case VERB_META_DEBUG:
        return this.start(new RemoteMetaDebug(parts, this.keyOf(request, bytes)))
      default:
        return OUTCOME_UNKNOWN_COMMAND
    }
  }

  private get(request: Request, bytes: Uint8Array): number {
    const { parts } = this
    const item = this.copyOf(request, bytes)
    if (item !== undefined) return this.answerBy(new RemoteGet(parts, NO_KEY, EXPIRY_KEPT), item)
    const key = this.keyOf(request, bytes)
    return this.startRead(new RemoteGet(parts, key, EXPIRY_KEPT), key)
  }

  private metaGet(request: Request, bytes: Uint8Array): number {
    const { parts } = this
    if (isPlainRead(request)) {
      const item = this.copyOf(request, bytes)
      if (item !== undefined) {
        return this.answerBy(new RemoteMetaGet(parts, NO_KEY, request, NO_KEY), item)
      }
      const key = this.keyOf(request, bytes)
      return this.startRead(new RemoteMetaGet(parts, key, request, NO_KEY), key)
    }
    return this.start(
      new RemoteMetaGet(parts, this.keyOf(request, bytes), request, this.newCas(request)),
    )
  }

  private copyOf(request: Request, bytes: Uint8Array): Buffer | undefined {
    const { near, generation } = this.parts
    if (near === undefined || !generation.isConfirmed()) return undefined
    const key = keyBytesOf(request, bytes)
    return near.find(generation, key, keyOffsetOf(request), request.keyLength)
  }

  private answerBy(request: RemoteRequest, item: Buffer): number {
    request.answerBy(item)
    this.last = request
    return OUTCOME_PENDING
  }

  /** After copyOf() has found nothing. */
  private startRead(request: RemoteRequest, key: Buffer): number {
    const { near, generation } = this.parts
    if (near !== undefined) request.ticket = near.fill(generation, key)
    return this.start(request)
  }

  private start(request: RemoteRequest): number {
    this.last = request
    request.start(this.connectionId)
    return OUTCOME_PENDING
  }

  private keyOf(request: Request, bytes: Uint8Array): Buffer {
    const { generation } = this.parts
    return generation.keyOf(keyBytesOf(request, bytes), keyOffsetOf(request), request.keyLength)
  }

  private expiryOf(wireExpiry: number): string {
    return engineExpiry(wireExpiry, this.parts.nowSeconds)
  }

  /** The CAS that an item is to get: that of E, or a new one. */
  private newCas(request: Request): Buffer {
    if (isCasGiven(request)) return encodeCas(request.newCasHigh, request.newCasLow)
    this.casClock.take()
    return encodeCas(this.casClock.high, this.casClock.low)
  }

  private write(mode: Mode, request: Request, bytes: Uint8Array): number {
    if (this.isTooLarge(request)) {
      if (mode === 'A' || mode === 'P') return OUTCOME_NOT_STORED
      return this.refuseOversize(request, bytes)
    }
    const comparesCas = request.casHigh !== 0 || request.casLow !== 0
    if (comparesCas || mode === 'A' || mode === 'P') {
      return this.store(mode, request, bytes, comparesCas, OUTCOME_EXISTS, OUTCOME_NOT_FOUND)
    }
    return this.put(mode, request, bytes, OUTCOME_EXISTS, OUTCOME_NOT_FOUND)
  }

  /** Sets, adds or replaces without a CAS to compare. */
  private put(
    mode: Mode,
    request: Request,
    bytes: Uint8Array,
    ifExists: number,
    ifMissing: number,
  ): number {
    const expiry = this.expiryOf(request.expiry)
    // The engine has no word for what is added and over at once.
    if (expiry === EXPIRY_AT_ONCE && mode !== 'S') {
      return this.store(mode, request, bytes, false, ifExists, ifMissing)
    }
    const cas = this.newCas(request)
    const value: PlainValue = {
      expiry,
      flags: request.flags,
      casHigh: cas.readUInt32BE(0),
      casLow: cas.readUInt32BE(4),
      bytes,
      valueOffset: request.valueOffset,
      valueLength: request.valueLength,
    }
    const condition = mode === 'E' ? 'NX' : mode === 'R' ? 'XX' : ''
    const refusal = mode === 'E' ? ifExists : ifMissing
    const key = this.keyOf(request, bytes)
    return this.start(new RemotePlainSet(this.parts, key, condition, value, refusal))
  }

  private store(
    mode: Mode,
    request: Request,
    bytes: Uint8Array,
    comparesCas: boolean,
    ifExists: number,
    ifMissing: number,
  ): number {
    const { valueOffset, valueLength, keyLength, upperFlags, verb } = request
    const isMeta = verb === VERB_META_SET
    const vivifies = isMeta && (upperFlags & FLAG_N) !== 0
    const value = Buffer.from(bytes.subarray(valueOffset, valueOffset + valueLength))
    return this.start(
      new RemoteStore(this.parts, this.keyOf(request, bytes), {
        mode,
        compared: comparesCas ? encodeCas(request.casHigh, request.casLow) : '',
        mayGoStale: isMeta && comparesCas && (upperFlags & FLAG_I) !== 0,
        flags: request.flags,
        cas: this.newCas(request),
        isCasGiven: isCasGiven(request),
        expiry: this.expiryOf(request.expiry),
        value,
        vivified: vivifies ? this.expiryOf(request.vivifyExpiry) : EXPIRY_KEPT,
        valueBytesMax: this.options.itemBytesMax - ITEM_OVERHEAD_BYTES - keyLength,
        ifExists,
        ifMissing,
      }),
    )
  }

  private metaSet(request: Request, bytes: Uint8Array): number {
    this.lane[COUNTER.cmd_meta]!++
    const mode = modeOf(request.mode)
    const isExtending = mode === 'A' || mode === 'P'
    if (this.isTooLarge(request)) {
      return isExtending ? OUTCOME_NOT_STORED : this.refuseOversize(request, bytes)
    }
    // C says nothing to an add, as in memcached.
    const comparesCas = (request.upperFlags & FLAG_C) !== 0 && mode !== 'E'
    const isNone = request.casHigh === 0 && request.casLow === 0
    if (isExtending) {
      const compares = comparesCas && !isNone
      return this.store(mode, request, bytes, compares, OUTCOME_NOT_STORED, OUTCOME_NOT_STORED)
    }
    return comparesCas
      ? this.store(mode, request, bytes, true, OUTCOME_NOT_STORED, OUTCOME_NOT_STORED)
      : this.put(mode, request, bytes, OUTCOME_NOT_STORED, OUTCOME_NOT_STORED)
  }

  private delete(request: Request, bytes: Uint8Array): number {
    const { casHigh, casLow } = request
    const compared = casHigh === 0 && casLow === 0 ? '' : encodeCas(casHigh, casLow)
    return this.start(new RemoteDelete(this.parts, this.keyOf(request, bytes), compared))
  }

  private count(request: Request, bytes: Uint8Array): number {
    const order = this.countOrder(request, request.createsMissing)
    return this.start(
      new RemoteCount(this.parts, this.keyOf(request, bytes), {
        ...order,
        isIncrement: request.verb === VERB_INCREMENT,
        createdExpiry: this.expiryOf(request.expiry),
        expiry: EXPIRY_KEPT,
      }),
    )
  }

  private metaCount(request: Request, bytes: Uint8Array): number {
    const { mode, upperFlags } = request
    const order = this.countOrder(request, (upperFlags & FLAG_N) !== 0)
    return this.start(
      new RemoteMetaCount(
        this.parts,
        this.keyOf(request, bytes),
        { ...order, isIncrement: mode !== MODE_DECREMENT && mode !== MODE_DECREMENT_SIGN },
        expiriesOf(request, this.parts.nowSeconds),
      ),
    )
  }

  private countOrder(
    request: Request,
    createsMissing: boolean,
  ): {
    readonly delta: string
    readonly compared: Buffer | string
    readonly cas: Buffer
    readonly isCasGiven: boolean
    readonly initial: string
  } {
    const { casHigh, casLow } = request
    return {
      delta: this.decimalOf(request.deltaHigh, request.deltaLow),
      compared: casHigh === 0 && casLow === 0 ? '' : encodeCas(casHigh, casLow),
      cas: this.newCas(request),
      isCasGiven: isCasGiven(request),
      initial: createsMissing ? this.decimalOf(request.initialHigh, request.initialLow) : '',
    }
  }

  private decimalOf(high: number, low: number): string {
    const { decimal, digits } = this
    decimal.high = high
    decimal.low = low
    return digits.toString('latin1', 0, decimal.format(digits, 0))
  }

  private flush(request: Request): number {
    if (!this.options.flushEnabled) return OUTCOME_REFUSED
    const expiry = this.expiryOf(request.expiry)
    const delayMs = expiry === EXPIRY_AT_ONCE ? 0 : Number(expiry)
    this.last = new RemoteFlush(this.parts, delayMs, this.options.after)
    return OUTCOME_PENDING
  }

  private isTooLarge({ keyLength, valueLength }: Request): boolean {
    return keyLength + valueLength + ITEM_OVERHEAD_BYTES > this.options.itemBytesMax
  }

  /** The old item goes first, so that nobody reads on what the client believes to be replaced. */
  refuseOversize(request: Request, bytes: Uint8Array): number {
    this.lane[COUNTER.store_too_large]!++
    const replaces = request.verb === VERB_SET || request.verb === VERB_META_SET
    if (!replaces) return OUTCOME_TOO_LARGE
    return this.start(new RemoteDiscard(this.parts, this.keyOf(request, bytes)))
  }

  countUnfinished(): void {
    this.lane[COUNTER.read_buf_oom]!++
    this.lane[COUNTER.store_no_memory]!++
  }

  clearCas(): void {
    this.result.clearCas()
  }
}

function isCasGiven({ verb, upperFlags }: Request): boolean {
  return hasVerb(META_VERBS, verb) && (upperFlags & FLAG_E) !== 0
}

function modeOf(mode: number): Mode {
  switch (mode) {
    case MODE_ADD:
      return 'E'
    case MODE_APPEND:
      return 'A'
    case MODE_PREPEND:
      return 'P'
    case MODE_REPLACE:
      return 'R'
    default:
      return 'S'
  }
}
