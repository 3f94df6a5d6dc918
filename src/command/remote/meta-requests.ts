/**
 * Meta commands as commands of the engine. What an `mg` asks for that is in the item's head goes as a plain GET;
 * what looks at its age, or may change it, as a function, which does all of it in one step.
 *
 * Differs from the store of this process: the last access is the engine's, and an item was hit before (`h`) if a
 * function has fetched it, which `mg` with h, l, t, T, N or R does: a plain read changes nothing in the engine.
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
  FLAG_T,
  FLAG_U,
  FLAG_V,
  FLAG_X,
} from '../../protocol/meta/decode.ts'
import { MARK_SENT, MARK_STALE, MARK_WON } from '../../protocol/meta/encode.ts'
import {
  OUTCOME_EXISTS,
  OUTCOME_FOUND,
  OUTCOME_HIT,
  OUTCOME_NOT_FOUND,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_STORE_REFUSED,
  type Request,
} from '../../protocol/request.ts'
import type { Argument } from '../../remote/cluster-client.ts'
import {
  FUNCTION_DELETE,
  FUNCTION_FETCH,
  FUNCTION_LOOK,
  FUNCTION_MAKE,
} from '../../remote/functions.ts'
import {
  casHighOf,
  casLowOf,
  encodeCas,
  encodeFlags,
  flagsOf,
  HEAD_BYTES,
  HEAD_FETCHED,
  HEAD_STALE,
  HEAD_WIN_SENT,
  headStateOf,
  isItem,
} from '../../remote/item-head.ts'
import { MISS_NONE } from '../../storage/result.ts'
import { absoluteExpiry } from '../local/absolute-expiry.ts'
import { countFetch, countHit, countMiss } from '../local/access-counts.ts'
import { type CountOrder, RemoteCount } from './classic-requests.ts'
import { EXPIRY_KEPT, engineExpiry, secondsLeft } from './engine-expiry.ts'
import { bytesAt, letterOf, numberAt, type RemoteParts, RemoteRequest } from './remote-request.ts'

/** What T and N of a request come to; the last of them in its line has the say over what is made. */
export interface Expiries {
  /** When they were reckoned; the clock turns over while a node is asked. */
  readonly atSeconds: number
  /** Absolute, in seconds, and 0 for never; undefined: without T. */
  readonly touched: number | undefined
  /** Undefined: without N. */
  readonly vivified: number | undefined
  /** Those of an item that is there and of one that is made, for the engine. */
  readonly ofFound: string
  readonly ofMade: string
  readonly isVivifiedLast: boolean
}

export function expiriesOf(request: Request, nowSeconds: number): Expiries {
  const { upperFlags: upper, expiry, vivifyExpiry, expiryToken, vivifyToken } = request
  const touches = (upper & FLAG_T) !== 0
  const vivifies = (upper & FLAG_N) !== 0
  const isVivifiedLast = vivifies && (!touches || vivifyToken > expiryToken)
  const made = isVivifiedLast ? vivifyExpiry : expiry
  return {
    atSeconds: nowSeconds,
    touched: touches ? absoluteExpiry(expiry, nowSeconds) : undefined,
    vivified: vivifies ? absoluteExpiry(vivifyExpiry, nowSeconds) : undefined,
    ofFound: touches ? engineExpiry(expiry, nowSeconds) : EXPIRY_KEPT,
    ofMade: vivifies ? engineExpiry(made, nowSeconds) : EXPIRY_KEPT,
    isVivifiedLast,
  }
}

/**
 * Puts what an item's expiries are and become into the result; `msBefore` as PTTL answers. All of them count from now,
 * as the node counts them from when it was asked.
 */
function loadExpiries(parts: RemoteParts, expiries: Expiries, msBefore: number): void {
  const { result, nowSeconds } = parts
  const { atSeconds, touched, vivified, isVivifiedLast } = expiries
  const { isCreated } = result
  const before = isCreated || msBefore < 0 ? 0 : nowSeconds + secondsLeft(msBefore)
  const passed = nowSeconds - atSeconds
  result.expiryBefore = before
  result.expiryTouched = touched === undefined ? before : later(touched, passed)
  result.expiryVivified = vivified === undefined ? before : later(vivified, passed)
  result.expiry = result.expiryTouched
  if (isCreated && isVivifiedLast) result.expiry = result.expiryVivified
}

function later(expiry: number, seconds: number): number {
  return expiry === 0 ? 0 : expiry + seconds
}

function loadHead(parts: RemoteParts, head: Buffer, valueBytes: number, keyBytes: number): void {
  const { result } = parts
  result.flags = flagsOf(head)
  result.wasFetched = (headStateOf(head) & HEAD_FETCHED) !== 0
  result.valueBytes = valueBytes
  result.itemBytes = HEAD_BYTES + valueBytes + keyBytes
}

const LOOKS_CLOSER = FLAG_H | FLAG_L | FLAG_T
const CHANGES = FLAG_T | FLAG_N | FLAG_R

/** An mg that asks for nothing but what is in the item, and changes nothing. */
export function isPlainRead({ lowerFlags: lower, upperFlags: upper }: Request): boolean {
  return (lower & LOOKS_CLOSER) === 0 && (upper & CHANGES) === 0
}

export class RemoteMetaGet extends RemoteRequest {
  protected override readonly mayMiss = true
  /** A stale item, whose winner is chosen behind that, has no copies. */
  protected override readonly onlyReads: boolean
  private readonly expiries: Expiries
  /** Of the client's key, also where a copy answers. */
  private readonly ownKeyBytes: number
  private readonly wantsValue: boolean
  /** Whoever has this value needs it not again. */
  private readonly known: Buffer | undefined
  private readonly isMarked: boolean
  private readonly recacheSeconds: string
  private readonly isTouchedFirst: boolean
  private readonly cas: Buffer
  private isPlain: boolean

  constructor(parts: RemoteParts, key: Buffer, request: Request, cas: Buffer) {
    super(parts, key)
    const { lowerFlags: lower, upperFlags: upper } = request
    const { nowSeconds } = parts
    this.ownKeyBytes = request.keyLength
    this.expiries = expiriesOf(request, nowSeconds)
    this.wantsValue = (lower & FLAG_V) !== 0
    this.known = (upper & FLAG_C) === 0 ? undefined : encodeCas(request.casHigh, request.casLow)
    this.isMarked = (lower & FLAG_U) === 0
    const recaches = (upper & FLAG_R) !== 0
    const recacheAt = recaches ? absoluteExpiry(request.recacheExpiry, nowSeconds) : 0
    this.recacheSeconds = recaches ? String(recacheAt - nowSeconds) : ''
    this.isTouchedFirst = (upper & FLAG_T) !== 0 && request.expiryToken < request.recacheToken
    this.cas = cas
    this.isPlain = isPlainRead(request)
    this.onlyReads = this.isPlain
  }

  protected command(key: Buffer): readonly Argument[] {
    if (this.isPlain) return ['GET', key]
    const { ofFound, ofMade } = this.expiries
    return [
      'FCALL',
      ofMade === EXPIRY_KEPT ? FUNCTION_FETCH : FUNCTION_MAKE,
      '1',
      key,
      ofFound,
      this.recacheSeconds,
      this.isTouchedFirst ? '1' : '0',
      this.isMarked ? '1' : '0',
      ofMade,
      this.cas,
    ]
  }

  /** A stale item has one winner, whom a function chooses. */
  protected override goesOn(reply: unknown): boolean {
    if (!this.isPlain || !isItem(reply)) return false
    if ((headStateOf(reply) & (HEAD_STALE | HEAD_WIN_SENT)) === 0) return false
    this.isPlain = false
    return true
  }

  protected read(reply: unknown): number {
    const { parts, expiries } = this
    const { lane, result } = parts
    const touches = expiries.touched !== undefined
    lane[COUNTER.cmd_meta]!++
    countFetch(lane, touches)
    if (reply === null || letterOf(reply) === 'M') {
      countMiss(lane, touches, MISS_NONE)
      return OUTCOME_NOT_FOUND
    }
    const item = this.isPlain ? reply : bytesAt(reply, 1)
    if (!isItem(item)) return OUTCOME_STORE_REFUSED
    countHit(lane, touches)
    if (!this.isPlain) {
      result.isCreated = numberAt(reply, 4) === 1
      result.lastAccess = parts.nowSeconds - numberAt(reply, 3)
      loadExpiries(parts, expiries, numberAt(reply, 2))
      this.loadMarks(headStateOf(item), numberAt(reply, 5) === 1)
    }
    loadHead(parts, item, item.length - HEAD_BYTES, this.ownKeyBytes)
    this.loadCas(casHighOf(item), casLowOf(item))
    const isKnown = this.known !== undefined && isCas(item, this.known)
    if (!this.wantsValue || isKnown) return OUTCOME_FOUND
    result.hold(item, HEAD_BYTES)
    return OUTCOME_HIT
  }

  private loadMarks(state: number, hasWon: boolean): void {
    const isSent = (state & HEAD_WIN_SENT) !== 0
    const isStale = (state & HEAD_STALE) !== 0
    const { result } = this.parts
    result.marks = (hasWon ? MARK_WON : 0) | (isSent ? MARK_SENT : 0) | (isStale ? MARK_STALE : 0)
  }
}

function isCas(item: Buffer, cas: Buffer): boolean {
  return casHighOf(item) === cas.readUInt32BE(0) && casLowOf(item) === cas.readUInt32BE(4)
}

export class RemoteMetaDelete extends RemoteRequest {
  private readonly command_: readonly Argument[]
  private readonly isKept: boolean

  constructor(parts: RemoteParts, key: Buffer, request: Request, cas: Buffer) {
    super(parts, key)
    const { lowerFlags: lower, upperFlags: upper, casHigh, casLow } = request
    const isEmptied = (lower & FLAG_X) !== 0
    const isStale = (upper & FLAG_I) !== 0
    this.isKept = isStale
    this.command_ = [
      (upper & FLAG_C) === 0 ? '' : encodeCas(casHigh, casLow),
      isEmptied ? encodeFlags(request.flags) : '',
      isStale ? '1' : '0',
      (upper & FLAG_T) === 0 ? EXPIRY_KEPT : engineExpiry(request.expiry, parts.nowSeconds),
      cas,
      (upper & FLAG_E) === 0 ? '0' : '1',
    ]
  }

  protected command(key: Buffer): readonly Argument[] {
    return ['FCALL', FUNCTION_DELETE, '1', key, ...this.command_]
  }

  protected read(reply: unknown): number {
    const { lane } = this.parts
    lane[COUNTER.cmd_meta]!++
    switch (letterOf(reply)) {
      case 'H':
        if (!this.isKept) lane[COUNTER.delete_hits]!++
        return OUTCOME_OK
      case 'M':
        lane[COUNTER.delete_misses]!++
        return OUTCOME_NOT_FOUND
      case 'E':
        lane[COUNTER.delete_misses]!++
        return OUTCOME_EXISTS
      default:
        return OUTCOME_STORE_REFUSED
    }
  }
}

export class RemoteMetaCount extends RemoteCount {
  private readonly expiries: Expiries

  constructor(
    parts: RemoteParts,
    key: Buffer,
    order: Omit<CountOrder, 'createdExpiry' | 'expiry'>,
    expiries: Expiries,
  ) {
    super(parts, key, { ...order, createdExpiry: expiries.ofMade, expiry: expiries.ofFound })
    this.expiries = expiries
  }

  protected override read(reply: unknown): number {
    const { parts, expiries } = this
    parts.lane[COUNTER.cmd_meta]!++
    const outcome = super.read(reply)
    if (outcome === OUTCOME_NUMBER) loadExpiries(parts, expiries, numberAt(reply, 3))
    return outcome
  }
}

export class RemoteMetaDebug extends RemoteRequest {
  protected override readonly onlyReads = true

  protected command(key: Buffer): readonly Argument[] {
    return ['FCALL_RO', FUNCTION_LOOK, '1', key]
  }

  protected read(reply: unknown): number {
    const { parts } = this
    const { result, nowSeconds, lane } = parts
    lane[COUNTER.cmd_meta]!++
    if (letterOf(reply) === 'M') return OUTCOME_NOT_FOUND
    const head = bytesAt(reply, 1)
    if (!isItem(head)) return OUTCOME_STORE_REFUSED
    const ms = numberAt(reply, 2)
    result.expiry = ms < 0 ? 0 : nowSeconds + secondsLeft(ms)
    result.lastAccess = nowSeconds - numberAt(reply, 3)
    loadHead(parts, head, numberAt(reply, 4), this.keyBytes)
    this.loadCas(casHighOf(head), casLowOf(head))
    return OUTCOME_FOUND
  }
}
