/**
 * The classic verbs as commands of the engine: its own ones where it has them (GET, GETEX, SET, DEL), functions where
 * an item has to be looked at first.
 */

import { Decimal } from '../../base/decimal.ts'
import { COUNTER } from '../../observe/counters.ts'
import {
  OUTCOME_EXISTS,
  OUTCOME_HIT,
  OUTCOME_NON_NUMERIC,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_STORE_REFUSED,
  OUTCOME_TOO_LARGE,
  OUTCOME_TOUCHED,
} from '../../protocol/request.ts'
import type { Argument } from '../../remote/cluster-client.ts'
import {
  FUNCTION_COUNT,
  FUNCTION_DELETE,
  FUNCTION_STORE,
  FUNCTION_TOUCH,
} from '../../remote/functions.ts'
import {
  casHighOf,
  casLowOf,
  encodeFlags,
  encodeItem,
  flagsOf,
  HEAD_BYTES,
  isItem,
} from '../../remote/item-head.ts'
import { EXISTS, MISS_NONE, NOT_FOUND, STORED } from '../../storage/result.ts'
import { countFetch, countHit, countMiss, countSwap } from '../local/access-counts.ts'
import { EXPIRY_AT_ONCE, EXPIRY_KEPT, EXPIRY_NEVER } from './engine-expiry.ts'
import { bytesAt, letterOf, numberAt, type RemoteParts, RemoteRequest } from './remote-request.ts'

export class RemoteGet extends RemoteRequest {
  protected override readonly mayMiss = true
  protected override readonly onlyReads: boolean
  /** The expiry that it gets, or EXPIRY_KEPT. */
  private readonly expiry: string

  constructor(parts: RemoteParts, key: Buffer, expiry: string) {
    super(parts, key)
    this.expiry = expiry
    this.onlyReads = expiry === EXPIRY_KEPT
  }

  protected command(key: Buffer): readonly Argument[] {
    const { expiry } = this
    if (expiry === EXPIRY_KEPT) return ['GET', key]
    if (expiry === EXPIRY_NEVER) return ['GETEX', key, 'PERSIST']
    return expiry === EXPIRY_AT_ONCE ? ['GETDEL', key] : ['GETEX', key, 'PX', expiry]
  }

  protected read(reply: unknown): number {
    const { lane, result } = this.parts
    const touches = this.expiry !== EXPIRY_KEPT
    countFetch(lane, touches)
    if (reply === null) {
      countMiss(lane, touches, MISS_NONE)
      return OUTCOME_NOT_FOUND
    }
    if (!isItem(reply)) return OUTCOME_STORE_REFUSED
    countHit(lane, touches)
    result.flags = flagsOf(reply)
    this.loadCas(casHighOf(reply), casLowOf(reply))
    result.hold(reply, HEAD_BYTES)
    return OUTCOME_HIT
  }
}

export class RemoteTouch extends RemoteRequest {
  private readonly expiry: string

  constructor(parts: RemoteParts, key: Buffer, expiry: string) {
    super(parts, key)
    this.expiry = expiry
  }

  protected command(key: Buffer): readonly Argument[] {
    return ['FCALL', FUNCTION_TOUCH, '1', key, this.expiry]
  }

  protected read(reply: unknown): number {
    const { lane, result } = this.parts
    countFetch(lane, true)
    if (letterOf(reply) === 'M') {
      countMiss(lane, true, MISS_NONE)
      return OUTCOME_NOT_FOUND
    }
    const head = bytesAt(reply, 1)
    if (!isItem(head)) return OUTCOME_STORE_REFUSED
    countHit(lane, true)
    result.flags = flagsOf(head)
    this.loadCas(casHighOf(head), casLowOf(head))
    return OUTCOME_TOUCHED
  }
}

/** What a set, add or replace brings that compares nothing. */
export interface PlainValue {
  readonly expiry: string
  readonly flags: number
  readonly casHigh: number
  readonly casLow: number
  readonly bytes: Uint8Array
  readonly valueOffset: number
  readonly valueLength: number
}

/** SET, with NX for add and XX for replace. `NX`: where it is there, and `XX`: where it is not, nothing is done. */
export class RemotePlainSet extends RemoteRequest {
  private readonly condition: '' | 'NX' | 'XX'
  private readonly expiry: string
  private readonly casHigh: number
  private readonly casLow: number
  private readonly refusal: number
  private readonly valueBytes: number
  private item: Buffer

  constructor(
    parts: RemoteParts,
    key: Buffer,
    condition: '' | 'NX' | 'XX',
    value: PlainValue,
    refusal: number,
  ) {
    super(parts, key)
    const { expiry, flags, casHigh, casLow, bytes, valueOffset, valueLength } = value
    this.condition = condition
    this.refusal = refusal
    this.expiry = expiry
    this.casHigh = casHigh
    this.casLow = casLow
    this.valueBytes = valueLength
    this.item = encodeItem(flags, casHigh, casLow, bytes, valueOffset, valueLength)
  }

  override get heldBytes(): number {
    return this.key.length + this.item.length
  }

  protected command(key: Buffer): readonly Argument[] {
    const { item, expiry, condition } = this
    if (expiry === EXPIRY_AT_ONCE) return ['DEL', key]
    const args: Argument[] = ['SET', key, item]
    if (condition !== '') args.push(condition)
    if (expiry !== EXPIRY_NEVER) args.push('PX', expiry)
    return args
  }

  override settle(reply: unknown, failure: number): void {
    super.settle(reply, failure)
    this.item = NOTHING
  }

  protected read(reply: unknown): number {
    const { lane, result } = this.parts
    lane[COUNTER.cmd_set]!++
    result.valueBytes = this.valueBytes
    if (reply === null) return this.refusal
    this.loadCas(this.casHigh, this.casLow)
    return OUTCOME_OK
  }
}

const NOTHING: Buffer = Buffer.alloc(0)

/** What is stored behind a look at the item. */
export interface StoreOrder {
  readonly mode: 'S' | 'E' | 'A' | 'P' | 'R'
  /** Empty: it compares none. */
  readonly compared: Buffer | string
  readonly mayGoStale: boolean
  readonly flags: number
  readonly cas: Buffer
  /** The client has asked for that CAS. */
  readonly isCasGiven: boolean
  readonly expiry: string
  readonly value: Buffer
  /** The expiry with which append and prepend make what is missing, or EXPIRY_KEPT: they do not. */
  readonly vivified: string
  readonly valueBytesMax: number
  /** What is answered where it is there already, and where it is missing. */
  readonly ifExists: number
  readonly ifMissing: number
}

export class RemoteStore extends RemoteRequest {
  private readonly order: StoreOrder

  constructor(parts: RemoteParts, key: Buffer, order: StoreOrder) {
    super(parts, key)
    this.order = order
  }

  override get heldBytes(): number {
    return this.key.length + this.order.value.length
  }

  protected command(key: Buffer): readonly Argument[] {
    const { order } = this
    return [
      'FCALL',
      FUNCTION_STORE,
      '1',
      key,
      order.mode,
      order.compared,
      order.mayGoStale ? '1' : '0',
      encodeFlags(order.flags),
      order.cas,
      order.isCasGiven ? '1' : '0',
      order.expiry,
      order.value,
      order.vivified,
      String(order.valueBytesMax),
    ]
  }

  protected read(reply: unknown): number {
    const { order, parts } = this
    const { lane, result } = parts
    const compares = order.compared.length > 0
    lane[COUNTER.cmd_set]!++
    result.valueBytes = order.value.length
    switch (letterOf(reply)) {
      case 'H':
        if (compares) countSwap(lane, STORED)
        this.loadCasAt(reply, 1)
        result.valueBytes = numberAt(reply, 2)
        return OUTCOME_OK
      case 'E':
        if (!compares) return order.ifExists
        countSwap(lane, EXISTS)
        return OUTCOME_EXISTS
      case 'M':
        if (!compares) return order.ifMissing
        countSwap(lane, NOT_FOUND)
        return OUTCOME_NOT_FOUND
      case 'N':
        return OUTCOME_NOT_STORED
      default:
        return OUTCOME_STORE_REFUSED
    }
  }
}

export class RemoteDelete extends RemoteRequest {
  /** Empty: whatever its CAS. */
  private readonly compared: Buffer | string

  constructor(parts: RemoteParts, key: Buffer, compared: Buffer | string) {
    super(parts, key)
    this.compared = compared
  }

  protected command(key: Buffer): readonly Argument[] {
    const { compared } = this
    if (compared.length === 0) return ['DEL', key]
    return ['FCALL', FUNCTION_DELETE, '1', key, compared, '', '0', EXPIRY_KEPT, compared, '0']
  }

  protected read(reply: unknown): number {
    const { lane } = this.parts
    const letter = letterOf(reply)
    if (letter === 'E') return OUTCOME_EXISTS
    const isDone = letter === 'H' || Number(String(reply)) === 1
    lane[isDone ? COUNTER.delete_hits : COUNTER.delete_misses]!++
    return isDone ? OUTCOME_OK : OUTCOME_NOT_FOUND
  }
}

/** Deletes what a value that is too large was to replace: if that fails, the client is told so. */
export class RemoteDiscard extends RemoteRequest {
  protected command(key: Buffer): readonly Argument[] {
    return ['DEL', key]
  }

  protected read(): number {
    return OUTCOME_TOO_LARGE
  }
}

/** Takes a number up or down. */
export interface CountOrder {
  readonly isIncrement: boolean
  readonly delta: string
  readonly compared: Buffer | string
  readonly cas: Buffer
  readonly isCasGiven: boolean
  /** Digits, or empty: nothing is made. */
  readonly initial: string
  readonly createdExpiry: string
  /** That of an item that is there, or EXPIRY_KEPT. */
  readonly expiry: string
}

const decimal = new Decimal()

export class RemoteCount extends RemoteRequest {
  protected readonly order: CountOrder

  constructor(parts: RemoteParts, key: Buffer, order: CountOrder) {
    super(parts, key)
    this.order = order
  }

  protected command(key: Buffer): readonly Argument[] {
    const { order } = this
    return [
      'FCALL',
      FUNCTION_COUNT,
      '1',
      key,
      order.isIncrement ? '+' : '-',
      order.delta,
      order.compared,
      order.cas,
      order.isCasGiven ? '1' : '0',
      order.initial,
      order.createdExpiry,
      order.expiry,
    ]
  }

  protected read(reply: unknown): number {
    const { order, parts } = this
    const { lane, result } = parts
    const { isIncrement } = order
    switch (letterOf(reply)) {
      case 'H': {
        result.isCreated = numberAt(reply, 4) === 1
        if (!result.isCreated) lane[isIncrement ? COUNTER.incr_hits : COUNTER.decr_hits]!++
        const digits = bytesAt(reply, 2)
        decimal.parse(digits, 0, digits.length)
        result.numberHigh = decimal.high
        result.numberLow = decimal.low
        this.loadCasAt(reply, 1)
        return OUTCOME_NUMBER
      }
      case 'M':
        lane[isIncrement ? COUNTER.incr_misses : COUNTER.decr_misses]!++
        return OUTCOME_NOT_FOUND
      case 'E':
        return OUTCOME_EXISTS
      case 'X':
        return OUTCOME_NON_NUMERIC
      default:
        return OUTCOME_STORE_REFUSED
    }
  }
}
