/**
 * One place of the near cache: first the ticket that goes with a read (remote/tracking.ts), then the copy that came of
 * it, or the mark that its key is to get none for a while.
 */
import { FAILURE_NONE } from '../../remote/failure.ts'
import type { CopyTicket } from '../../remote/flight.ts'
import type { Generation } from '../../remote/generation.ts'
import type { Tracking } from '../../remote/tracking.ts'

/** Of a place beside key and item: the entry, its buffers, and what V8 has around them. */
export const PLACE_BYTES = 512

/** Whoever made it, and keeps what comes of it. */
export interface EntryOwner {
  keep(entry: NearEntry, reply: unknown, leftMs: number): void
  abandon(entry: NearEntry): void
}

const NOT_COME: unique symbol = Symbol('not come')

export class NearEntry implements CopyTicket {
  /** Of the engine. */
  readonly key: Buffer
  readonly args: readonly (string | Buffer)[]
  readonly bytes: number
  readonly hash: number
  /** Of the stripe, before the read was sent. */
  readonly version: number
  readonly sentMs: number
  readonly ownBytes: number
  place = 0
  isFilling = true
  item: Buffer | undefined = undefined
  untilMs = 0
  hits = 0
  private readonly owner: EntryOwner
  private readonly generation: Generation
  private readonly number: number
  private tracking: Tracking | undefined = undefined
  private epoch = 0
  private reply: unknown = NOT_COME

  constructor(
    owner: EntryOwner,
    generation: Generation,
    key: Buffer,
    hash: number,
    version: number,
    sentMs: number,
  ) {
    this.owner = owner
    this.generation = generation
    this.number = generation.number
    // Out of the block that it was made in, which it would keep from being freed.
    this.key = Buffer.allocUnsafeSlow(key.length)
    key.copy(this.key)
    this.args = ['PTTL', this.key]
    this.bytes = key.length
    this.ownBytes = PLACE_BYTES + key.length
    this.hash = hash
    this.version = version
    this.sentMs = sentMs
  }

  isOf(generation: Generation, bytes: Uint8Array, offset: number, length: number): boolean {
    if (this.generation !== generation || this.number !== generation.number) return false
    const { key } = this
    const start = key.length - length
    if (start !== generation.prefixBytes) return false
    for (let at = 0; at < length; at++) if (key[start + at] !== bytes[offset + at]) return false
    return true
  }

  sentBy(tracking: Tracking): void {
    this.tracking = tracking
    this.epoch = tracking.epoch
  }

  /** The connection has tracked the key ever since the read was sent. */
  get isTracked(): boolean {
    const { tracking } = this
    return tracking?.isOn === true && tracking.epoch === this.epoch
  }

  /** The reply to the read; the time that is left comes behind it, if the read was sent with this ticket. */
  came(reply: unknown, failure: number): void {
    if (failure === FAILURE_NONE && this.isTracked) this.reply = reply
    else this.end()
  }

  /** How long the item has, as PTTL answers. */
  settle(reply: unknown, failure: number): void {
    const { reply: item, owner, isFilling } = this
    if (!isFilling || item === NOT_COME || failure !== FAILURE_NONE) {
      this.end()
      return
    }
    this.isFilling = false
    this.reply = NOT_COME
    owner.keep(this, item, Number(reply))
  }

  private end(): void {
    if (!this.isFilling) return
    this.isFilling = false
    this.reply = NOT_COME
    this.owner.abandon(this)
  }

  /** Its key gets no copy until then. */
  holdOff(untilMs: number): void {
    this.isFilling = false
    this.reply = NOT_COME
    this.untilMs = untilMs
  }

  /** No other read is to be sent for a copy: one is under way, or none is to be had. */
  holdsOff(nowMs: number): boolean {
    return this.isFilling || (this.item === undefined && nowMs < this.untilMs)
  }
}
