/**
 * Requests of one connection that wait for a remote store at the same time. A client that pipelines sends many in one
 * read: those of a window are all handed to the store at once, and are answered in their order, whichever outcome
 * comes back first.
 *
 *     bytes:    | request | request | get k1 k2 k3 | request |  ...
 *     entries:       0         1      2  3  4  (5)      6           each with its outcome, or what it waits for
 *                    ^ next: those before it are answered
 *
 * A list with more keys than fit is the last request of its window: when all entries are answered, as many of its further
 * keys are looked up, and so on; its END is written behind the last one.
 *
 * Invariants: replies leave in the order of the requests. Two requests of a window name the same key only if both
 * only read; a flush has a window of its own, and a request about the connection is in none. So items end up as if
 * each request had waited for the one before. A window is bounded by WINDOW_REQUESTS_MAX and WINDOW_BYTES_MAX, and
 * has fewer requests where values are large, because replies are held until they are sent.
 *
 * The requests stay in the receive buffer; each is decoded once more to be answered (suspended-outcome.ts).
 */
import type { Commands, PendingOutcome } from '../command/commands.ts'
import {
  OUTCOME_HIT,
  OUTCOME_NOT_FOUND,
  OUTCOME_OK,
  OUTCOME_PENDING,
  type Request,
} from '../protocol/request.ts'

import { keyBytesOf, keyOffsetOf } from '../protocol/request-key.ts'
import {
  CONTROL_VERBS,
  hasVerb,
  ITEM_VERBS,
  VERB_FLUSH,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_META_GET,
  VERB_META_NOOP,
} from '../protocol/verbs.ts'
import type { Connection, SuspendedRequest } from './connection.ts'
import { ListPlace } from './list-place.ts'
import { COPIED_BYTES_MAX } from './portions.ts'

export const WINDOW_REQUESTS_MAX = 512
export const WINDOW_BYTES_MAX: number = 1024 * 1024
/** What the values that a window reads may come to, if they are as large as those read lately. */
const WINDOW_REPLY_BYTES_MAX: number = 4 * 1024 * 1024

/** What became of what was to be opened: nothing, as it is not about items; suspended; or all of it is answered. */
export const NOT_AHEAD = 0
export const SUSPENDED = 1
export const ANSWERED = 2

/** A request, or one key of a list. */
export interface WindowEntry {
  /** From the beginning of the window. */
  readonly offset: number
  readonly frameBytes: number
  /** Of a list of keys: where the key is, from the beginning of the request; -1: a request of its own. */
  readonly keyOffset: number
  readonly keyLength: number
  /** Behind the last key of a list. */
  readonly endsList: boolean
  /** Its values carry their CAS. */
  readonly wantsCas: boolean
  /** OUTCOME_PENDING: see `pending`. */
  readonly outcome: number
  readonly pending: PendingOutcome | undefined
}

export interface WindowDialect {
  readonly request: Request
  /** The request that was decoded last is about items, or marks a place among such. */
  isAhead(bytes: Uint8Array): boolean
  /**
   * Decodes the request at `offset`: true if all of it is there, and isAhead(). Its length is `frameBytes`
   * of the record.
   */
  decodeAhead(bytes: Uint8Array, offset: number, end: number): boolean
  /** What was decoded last is a list of keys, of which the record has the first. */
  readonly isList: boolean
  /** Of such a list, the record has the next key; false: there is none. */
  nextKey(bytes: Uint8Array): boolean
  /** OUTCOME_OK, or why the list may not be read. */
  judgeList(connection: Connection, bytes: Uint8Array): number
  /** Answers an entry, whose request is at `offset`; false: the rest of its list is not answered. */
  answerAhead(
    connection: Connection,
    bytes: Uint8Array,
    offset: number,
    entry: WindowEntry,
    outcome: number,
  ): boolean
  /** To be counted as answered. */
  countAhead(): void
  /** So many more were answered in this turn with the one at hand. */
  spendTurns(count: number): void
}

/** Opens windows for one dialect of a worker. */
export class RequestWindows {
  private readonly commands: Commands
  private readonly dialect: WindowDialect
  /** Hashes of keys in the window at hand: true if it is changed. */
  private readonly keys: Map<number, boolean> = new Map()
  /** About the largest value that was read lately. */
  private valueBytes = 0

  constructor(commands: Commands, dialect: WindowDialect) {
    this.commands = commands
    this.dialect = dialect
  }

  /**
   * The request at `offset`, which was just decoded, and those behind it are given to the store, and suspended, unless all
   * of them can be answered at once: then `frameBytes` of the record is the length of all, and they have had their turns.
   */
  open(connection: Connection, bytes: Uint8Array, offset: number, end: number): number {
    const { dialect, keys } = this
    if (!dialect.isAhead(bytes)) return NOT_AHEAD
    const window = new RequestWindow(this)
    keys.clear()
    let at = offset
    for (;;) {
      const { verb, frameBytes } = dialect.request
      this.take(window, connection, bytes, offset, at)
      at += frameBytes
      if (verb === VERB_FLUSH || window.rest !== undefined) break
      if (window.isFull(at - offset, this.readsMax) || connection.gate.owesRest) break
      if (at >= end || !dialect.decodeAhead(bytes, at, end)) break
      if (dialect.request.verb === VERB_FLUSH || this.meets(bytes, window.requestsLeft)) break
    }
    if (!window.isThere) {
      window.suspend(connection, at - offset)
      return SUSPENDED
    }
    window.frameBytes = at - offset
    if (!window.proceed(connection, bytes, offset)) return SUSPENDED
    dialect.request.frameBytes = at - offset
    dialect.spendTurns(window.answeredRequests - 1)
    return ANSWERED
  }

  private get readsMax(): number {
    const { valueBytes } = this
    return valueBytes === 0 ? WINDOW_REQUESTS_MAX : WINDOW_REPLY_BYTES_MAX / valueBytes
  }

  /** A value of that length was read. */
  private sawValue(valueBytes: number): void {
    this.valueBytes = Math.max(valueBytes, this.valueBytes * 0.99)
  }

  private take(
    window: RequestWindow,
    connection: Connection,
    bytes: Uint8Array,
    start: number,
    at: number,
  ): void {
    const { commands, dialect } = this
    const { request } = dialect
    const { frameBytes, verb } = request
    const offset = at - start
    if (!dialect.isList) {
      if (hasVerb(ITEM_VERBS, verb)) this.note(bytes, verb)
      const outcome =
        verb === VERB_META_NOOP ? OUTCOME_OK : commands.execute(request, bytes, connection.gate)
      window.add(this.entry(offset, frameBytes, -1, 0, false, outcome), carriesValue(verb))
      return
    }
    const refusal = dialect.judgeList(connection, bytes)
    if (refusal !== OUTCOME_OK) {
      window.add(this.entry(offset, frameBytes, -1, 0, false, refusal), false)
      return
    }
    this.takeKeys(window, connection, bytes, start, at)
  }

  /** The keys of a list, from that of the record on: all that are left, or as many as the window has room for. */
  private takeKeys(
    window: RequestWindow,
    connection: Connection,
    bytes: Uint8Array,
    start: number,
    at: number,
  ): void {
    const { commands, dialect } = this
    const { request } = dialect
    const { frameBytes, verb } = request
    const offset = at - start
    window.rest = undefined
    for (;;) {
      const { keyOffset, keyLength } = request
      this.note(bytes, verb)
      const outcome = commands.execute(request, bytes, connection.gate)
      window.add(this.entry(offset, 0, keyOffset - at, keyLength, false, outcome), true)
      // An error ends a list.
      if (!isOfKey(outcome) || !dialect.nextKey(bytes)) break
      if (window.isFull(0, this.readsMax)) {
        window.rest = new ListPlace(request, at, offset)
        return
      }
    }
    window.add(this.entry(offset, frameBytes, -1, 0, true, OUTCOME_OK), false)
  }

  /** The window has answered what it had: it gets the next keys of its list. */
  takeMoreKeys(
    window: RequestWindow,
    rest: ListPlace,
    connection: Connection,
    bytes: Uint8Array,
    start: number,
  ): void {
    this.keys.clear()
    const at = start + rest.offset
    rest.restore(this.dialect.request, at)
    this.takeKeys(window, connection, bytes, start, at)
  }

  private entry(
    offset: number,
    frameBytes: number,
    keyOffset: number,
    keyLength: number,
    endsList: boolean,
    outcome: number,
  ): WindowEntry {
    const pending = outcome === OUTCOME_PENDING ? this.commands.takePending() : undefined
    const { wantsCas } = this.dialect.request
    return { offset, frameBytes, keyOffset, keyLength, endsList, wantsCas, outcome, pending }
  }

  /** The request that was decoded last meets one of the window at a key; of a list, at one of the next `keysMax`. */
  private meets(bytes: Uint8Array, keysMax: number): boolean {
    const { dialect, keys } = this
    const { request } = dialect
    const { verb, keyOffset, keyLength } = request
    if (!hasVerb(ITEM_VERBS, verb)) return false
    let keysLeft = keysMax
    let met = false
    do met = isMet(keys.get(this.hashOfKey(bytes)), verb)
    while (!met && --keysLeft > 0 && dialect.isList && dialect.nextKey(bytes))
    request.keyOffset = keyOffset
    request.keyLength = keyLength
    return met
  }

  private note(bytes: Uint8Array, verb: number): void {
    const { keys } = this
    const hash = this.hashOfKey(bytes)
    keys.set(hash, !isRead(verb) || keys.get(hash) === true)
  }

  /** Keys of one hash count as one: that ends a window early, and does nothing else. */
  private hashOfKey(bytes: Uint8Array): number {
    const { request } = this.dialect
    const key = keyBytesOf(request, bytes)
    const offset = keyOffsetOf(request)
    const end = offset + request.keyLength
    let hash = 0x811c9dc5
    for (let at = offset; at < end; at++) hash = Math.imul(hash ^ (key[at] ?? 0), 0x01000193)
    return hash | 0
  }

  answer(connection: Connection, bytes: Uint8Array, start: number, entry: WindowEntry): boolean {
    const { commands, dialect } = this
    let { outcome } = entry
    if (entry.pending !== undefined) outcome = entry.pending.load()
    else commands.clearCas()
    if (outcome === OUTCOME_HIT) this.sawValue(commands.result.valueBytes)
    return dialect.answerAhead(connection, bytes, start + entry.offset, entry, outcome)
  }

  count(): void {
    this.dialect.countAhead()
  }

  get isTurnOver(): boolean {
    return this.commands.copies.copiedBytes >= COPIED_BYTES_MAX
  }
}

/** The verbs about items, and those that only mark a place among them. */
export function isAheadVerb(verb: number): boolean {
  return !hasVerb(CONTROL_VERBS, verb)
}

function carriesValue(verb: number): boolean {
  return isRead(verb) || verb === VERB_GET_AND_TOUCH
}

function isRead(verb: number): boolean {
  return verb === VERB_GET || verb === VERB_META_GET
}

/** Of a key in a list: any other ends the list. */
function isOfKey(outcome: number): boolean {
  return outcome === OUTCOME_PENDING || outcome === OUTCOME_HIT || outcome === OUTCOME_NOT_FOUND
}

/** `isChanged`: by the requests before; undefined: they do not have that key. */
function isMet(isChanged: boolean | undefined, verb: number): boolean {
  return isChanged !== undefined && (isChanged || !isRead(verb))
}

class RequestWindow implements SuspendedRequest {
  frameBytes = 0
  readonly readsOn = true
  /** Where the list goes on whose next keys are not taken yet. */
  rest: ListPlace | undefined = undefined
  private readonly windows: RequestWindows
  private entries: WindowEntry[] = []
  /** Of the entries, those whose replies may carry values. */
  private reads = 0
  private next = 0
  answeredRequests = 0
  /** All outcomes were there when they were asked for. */
  isThere = true
  /** The list at hand was answered by an error: nothing comes behind it. */
  private skipsList = false

  constructor(windows: RequestWindows) {
    this.windows = windows
  }

  get isLongRead(): boolean {
    return this.rest !== undefined
  }

  add(entry: WindowEntry, carriesValue: boolean): void {
    this.entries.push(entry)
    if (entry.pending?.isSettled === false) this.isThere = false
    if (carriesValue) this.reads++
  }

  isFull(bytes: number, readsMax: number): boolean {
    return this.requestsLeft <= 0 || bytes >= WINDOW_BYTES_MAX || this.reads >= readsMax
  }

  get requestsLeft(): number {
    return WINDOW_REQUESTS_MAX - this.entries.length
  }

  suspend(connection: Connection, frameBytes: number): void {
    this.frameBytes = frameBytes
    this.await(connection)
  }

  /** The next entry is gone on with when its outcome is there. */
  private await(connection: Connection): void {
    const pending = this.entries[this.next]?.pending
    if (pending === undefined || pending.isSettled) connection.suspend(this)
    else connection.suspendUntil(this, pending)
  }

  proceed(connection: Connection, bytes: Uint8Array, start: number): boolean {
    const { rest } = this
    if (rest !== undefined && this.next === this.entries.length) {
      // In a turn of their own.
      if (connection.isServing) {
        this.entries = []
        this.next = 0
        this.reads = 0
        this.windows.takeMoreKeys(this, rest, connection, bytes, start)
      }
    } else if (this.answerThose(connection, bytes, start)) {
      if (rest === undefined) return true
      if (this.skipsList) {
        this.endRequest()
        return true
      }
    }
    this.await(connection)
    return false
  }

  /** Answers the entries whose outcomes are there; false: the turn ends before the last. */
  private answerThose(connection: Connection, bytes: Uint8Array, start: number): boolean {
    const { entries, windows } = this
    while (this.next < entries.length) {
      const entry = entries[this.next]
      if (entry === undefined) break
      const isThere = entry.pending?.isSettled ?? true
      if (!isThere || !connection.isServing || windows.isTurnOver) return false
      this.next++
      this.answer(connection, bytes, start, entry)
    }
    return true
  }

  private answer(
    connection: Connection,
    bytes: Uint8Array,
    start: number,
    entry: WindowEntry,
  ): void {
    const isSkipped = this.skipsList && (entry.keyOffset >= 0 || entry.endsList)
    if (isSkipped) entry.pending?.cancel()
    else this.skipsList = !this.windows.answer(connection, bytes, start, entry)
    if (entry.frameBytes > 0) this.endRequest()
  }

  private endRequest(): void {
    this.skipsList = false
    // The first one was counted before it was suspended.
    if (this.answeredRequests++ > 0) this.windows.count()
  }

  cancel(): void {
    for (; this.next < this.entries.length; this.next++) this.entries[this.next]?.pending?.cancel()
  }
}
