/**
 * One request that was given to a store elsewhere: the command for the engine, and what its reply means. Each kind of
 * command has a class of its own; classic-requests.ts and meta-requests.ts have them.
 *
 * Invariants: it is settled once, by the engine's reply or by a failure, and never by both. What may change an item
 * is known to be under way to all threads of the gate from before it is sent until it is settled (write-stripes.ts).
 */

import { COUNTER } from '../../observe/counters.ts'
import {
  OUTCOME_NO_MEMORY,
  OUTCOME_NOT_FOUND,
  OUTCOME_STORE_BUSY,
  OUTCOME_STORE_DOWN,
  OUTCOME_STORE_LATE,
  OUTCOME_STORE_REFUSED,
} from '../../protocol/request.ts'
import type { Argument } from '../../remote/cluster-client.ts'
import type { Engine } from '../../remote/engine.ts'
import {
  FAILURE_BUSY,
  FAILURE_DOWN,
  FAILURE_FULL,
  FAILURE_NONE,
  FAILURE_TIMEOUT,
} from '../../remote/failure.ts'
import type { Command } from '../../remote/flight.ts'
import type { Generation, Waiting } from '../../remote/generation.ts'
import type { PendingOutcome } from '../commands.ts'
import type { NearCache } from './near-cache.ts'
import type { NearEntry } from './near-entry.ts'
import type { RemoteResult } from './remote-result.ts'
import type { RequestCounts } from './request-counts.ts'
import type { Wakes } from './wakes.ts'

/** What the requests of a namespace share. */
export interface RemoteParts {
  readonly engine: Engine
  readonly generation: Generation
  readonly result: RemoteResult
  readonly lane: Float64Array
  readonly counts: RequestCounts
  readonly wakes: Wakes
  readonly casEnabled: boolean
  /** What is read while the store fails is told to be missing. */
  readonly missesOnFailure: boolean
  /** Undefined: no copies are kept. */
  readonly near: NearCache | undefined
  /** Unix seconds. */
  nowSeconds: number
}

export abstract class RemoteRequest implements PendingOutcome, Command, Waiting {
  isSettled = false
  key: Buffer
  args: readonly Argument[] = NO_ARGS
  bytes = 0
  /** What is to become of its reply beside an answer. */
  ticket: NearEntry | undefined = undefined
  protected readonly parts: RemoteParts
  /** It only reads: where it fails, it may be told to be a miss. */
  protected readonly mayMiss: boolean = false
  /** It leaves the item as it is. */
  protected readonly onlyReads: boolean = false
  /** Of the key, as it is. */
  private prefix: Buffer
  /** Of the client's key, while it counts as a change. */
  private hash = 0
  private lane = 0
  private wake: (() => void) | undefined = undefined
  private failure = FAILURE_NONE
  private reply: unknown = undefined

  /** `key` is that in the engine, as the generation has it now. */
  constructor(parts: RemoteParts, key: Buffer) {
    this.parts = parts
    this.key = key
    this.prefix = parts.generation.prefix
  }

  /** Of the client's key. */
  protected get keyBytes(): number {
    return this.key.length - this.prefix.length
  }

  get heldBytes(): number {
    return this.key.length
  }

  onSettled(run: () => void): void {
    if (this.isSettled) this.parts.wakes.add(run)
    else this.wake = run
  }

  /** The command for the engine, whose key is `key`. */
  protected abstract command(key: Buffer): readonly Argument[]
  /** What the reply means: puts what it carries into the result, counts it, and returns an outcome. */
  protected abstract read(reply: unknown): number
  /** To be asked anew with another command; true: it was. */
  protected goesOn(_reply: unknown): boolean {
    return false
  }

  start(lane: number): void {
    this.lane = lane
    const { generation, counts, near } = this.parts
    counts.begin()
    if (near !== undefined && !this.onlyReads) {
      this.hash = near.stripes.hash(this.key, this.prefix.length, this.keyBytes)
      near.stripes.begin(this.hash)
    }
    if (generation.isConfirmed()) this.send()
    else generation.wait(this)
  }

  /** Instead of start(): it is answered by a copy of the item. */
  answerBy(item: Buffer): void {
    this.isSettled = true
    this.reply = item
  }

  ready(failure: number): void {
    if (failure === FAILURE_NONE) this.send()
    else this.settle(undefined, failure)
  }

  protected send(): void {
    const { engine, generation } = this.parts
    const { prefix } = this
    if (prefix !== generation.prefix) {
      this.key = generation.keyOf(this.key, prefix.length, this.keyBytes)
      this.prefix = generation.prefix
    }
    this.args = this.command(this.key)
    let bytes = 0
    for (const arg of this.args) bytes += arg.length
    this.bytes = bytes
    engine.send(this, this.lane)
  }

  settle(reply: unknown, failure: number): void {
    if (this.isSettled) return
    const { ticket } = this
    if (ticket !== undefined) {
      this.ticket = undefined
      ticket.came(reply, failure)
    }
    if (failure === FAILURE_NONE && this.goesOn(reply)) {
      this.send()
      return
    }
    this.isSettled = true
    const { counts, near } = this.parts
    counts.end(failure)
    if (near !== undefined && !this.onlyReads) near.stripes.end(this.hash)
    this.reply = reply
    this.failure = failure
    this.args = NO_ARGS
    if (this.wake !== undefined) this.parts.wakes.add(this.wake)
  }

  load(): number {
    const { result, lane, missesOnFailure } = this.parts
    const { failure, reply } = this
    this.reply = undefined
    result.isCreated = false
    result.marks = 0
    result.clearCas()
    if (failure === FAILURE_NONE) return this.read(reply)
    if (failure === FAILURE_FULL) {
      lane[COUNTER.store_no_memory]!++
      return OUTCOME_NO_MEMORY
    }
    if (missesOnFailure && this.mayMiss) {
      lane[COUNTER.get_misses]!++
      return OUTCOME_NOT_FOUND
    }
    return outcomeOf(failure)
  }

  cancel(): void {
    this.reply = undefined
  }

  protected loadCas(high: number, low: number): void {
    const { result, casEnabled } = this.parts
    result.casHigh = casEnabled ? high : 0
    result.casLow = casEnabled ? low : 0
  }

  /** The same of element `at` of a function's reply. */
  protected loadCasAt(reply: unknown, at: number): void {
    const cas = bytesAt(reply, at)
    this.loadCas(cas.readUInt32BE(0), cas.readUInt32BE(4))
  }
}

export const NO_KEY: Buffer = Buffer.alloc(0)
const NO_ARGS: readonly Argument[] = []

export function outcomeOf(failure: number): number {
  switch (failure) {
    case FAILURE_TIMEOUT:
      return OUTCOME_STORE_LATE
    case FAILURE_DOWN:
      return OUTCOME_STORE_DOWN
    case FAILURE_BUSY:
      return OUTCOME_STORE_BUSY
    default:
      return OUTCOME_STORE_REFUSED
  }
}

/** The letter that a function's reply begins with; empty: it is none. */
export function letterOf(reply: unknown): string {
  return Array.isArray(reply) ? String(reply[0]) : ''
}

/** Element `at` of a function's reply, as bytes. */
export function bytesAt(reply: unknown, at: number): Buffer {
  const element: unknown = Array.isArray(reply) ? reply[at] : undefined
  return Buffer.isBuffer(element) ? element : NO_KEY
}

export function numberAt(reply: unknown, at: number): number {
  return Array.isArray(reply) ? Number(String(reply[at])) : 0
}
