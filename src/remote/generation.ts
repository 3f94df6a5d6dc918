/**
 * The generation of a namespace: a number in all of its keys, kept in one key of the cluster. flush_all counts it
 * up, which takes every item of the namespace out of reach in one step; what is left of them is the engine's to evict.
 *
 *      confirmed               CONFIRMED_MS          GRACE_MS
 *   ------|-----------------------|---------------------|------
 *         requests go at once     wait for a look       are refused
 *                                 (if one fails: go)
 *
 * Invariant: a flush is answered no sooner than CONFIRMED_MS after the engine has it, so that by then every gate that
 * reaches the engine uses the new generation. A gate that reaches the items and not the key of the generation goes
 * on with the last one for GRACE_MS, then refuses; a table in docs/cluster.md says so. A generation that a failover
 * lost is put back by whichever gate knows it. What waits for a look is bounded as what waits for a node is.
 */
import { copyPart } from '../base/bytes.ts'
import type { Engine } from './engine.ts'
import { FAILURE_BUSY, FAILURE_DOWN, FAILURE_NONE } from './failure.ts'
import { FUNCTION_GENERATION } from './functions.ts'
import { WAITING_BYTES_MAX, WAITING_MAX } from './node-link.ts'

export const CONFIRMED_MS = 200
export const GRACE_MS = 10_000
/** How often the engine is asked while somebody uses the namespace. */
const ASK_MS = 100
const IN_USE_MS = 2000

/** Whoever waits for a look. */
export interface Waiting {
  /** What is held for it meanwhile. */
  readonly heldBytes: number
  /** FAILURE_NONE: the generation is confirmed. */
  ready(failure: number): void
}

/** Before the names of keys, so that others can use the same cluster. */
const KEY_PREFIX = 'mc'

export class Generation {
  private readonly engine: Engine
  private readonly clock: { nowMs(): number }
  private readonly name: string
  private readonly key: Buffer
  /** Of the keys, as far as it is known. */
  number = 0
  /** What its keys begin with: another one for each generation. */
  prefix: Buffer
  private confirmedMs = Number.NEGATIVE_INFINITY
  /** When isConfirmed() was asked last. */
  usedMs: number = Number.NEGATIVE_INFINITY
  private askedMs = Number.NEGATIVE_INFINITY
  private isAsking = false
  private waiting: Waiting[] = []
  private waitingBytes = 0

  constructor(engine: Engine, clock: { nowMs(): number }, name: string) {
    this.engine = engine
    this.clock = clock
    // Without colons and braces: no name is the beginning of another's keys, nor chooses a slot.
    this.name = encodeURIComponent(name)
    this.key = Buffer.from(`${KEY_PREFIX}-generation:${this.name}`)
    this.prefix = this.prefixOf(0)
  }

  private prefixOf(number: number): Buffer {
    return Buffer.from(`${KEY_PREFIX}:${this.name}:${number}:`)
  }

  /** True: keyOf() is what it should be. If not, `waiting` is told when, or of a failure. */
  isConfirmed(): boolean {
    const nowMs = this.clock.nowMs()
    this.usedMs = nowMs
    return nowMs - this.confirmedMs <= CONFIRMED_MS
  }

  wait(waiting: Waiting): void {
    if (this.waiting.length >= WAITING_MAX || this.waitingBytes >= WAITING_BYTES_MAX) {
      waiting.ready(FAILURE_BUSY)
      return
    }
    this.waitingBytes += waiting.heldBytes
    this.waiting.push(waiting)
    this.ask()
  }

  /** Of what stands before the key of a client. */
  get prefixBytes(): number {
    return this.prefix.length
  }

  /** The key in the engine of a key of the namespace. */
  keyOf(key: Uint8Array, keyOffset: number, keyLength: number): Buffer {
    const { prefix } = this
    const whole = Buffer.allocUnsafe(prefix.length + keyLength)
    copyPart(prefix, 0, whole, 0, prefix.length)
    copyPart(key, keyOffset, whole, prefix.length, keyLength)
    return whole
  }

  /** Looks again while the namespace is in use; to be called by a timer. */
  tick(): void {
    const nowMs = this.clock.nowMs()
    if (nowMs - this.usedMs < IN_USE_MS && nowMs - this.askedMs >= ASK_MS) this.ask()
  }

  /** Counts it up, `delayMs` from now or, 0, now. `done` is told when the engine has it, or of a failure. */
  flush(delayMs: number, done: (failure: number) => void): void {
    this.send(String(delayMs), (failure) => done(failure))
  }

  private ask(): void {
    if (this.isAsking) return
    this.isAsking = true
    this.askedMs = this.clock.nowMs()
    this.send('', (failure) => {
      this.isAsking = false
      this.wake(failure)
    })
  }

  private wake(failure: number): void {
    const { waiting } = this
    this.waiting = []
    this.waitingBytes = 0
    // A look that failed stops nobody who was sure a moment ago.
    const mayGo = this.clock.nowMs() - this.confirmedMs <= GRACE_MS
    for (const each of waiting) each.ready(mayGo ? FAILURE_NONE : failure)
  }

  private send(flush: string, done: (failure: number) => void): void {
    const sentMs = this.clock.nowMs()
    const { key } = this
    const args = ['FCALL', FUNCTION_GENERATION, '1', key, String(this.number), flush]
    const settle = (reply: unknown, failure: number): void => {
      const number = failure === FAILURE_NONE ? Number(String(reply)) : Number.NaN
      if (!Number.isSafeInteger(number)) {
        done(failure === FAILURE_NONE ? FAILURE_DOWN : failure)
        return
      }
      if (number > this.number) {
        this.number = number
        this.prefix = this.prefixOf(number)
      }
      this.confirmedMs = Math.max(this.confirmedMs, sentMs)
      done(FAILURE_NONE)
    }
    this.engine.send({ key, args, bytes: key.length, settle }, 0)
  }
}
