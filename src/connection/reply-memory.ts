/**
 * What replies that their readers have not taken hold in memory, counted by every worker and bounded
 * over all of them: buffers that wait for the kernel, and copies of large values, also those on their
 * way back to the system.
 *
 * Invariants: what is held is let go exactly once, under whom it was held. Beyond the bound no further copy of a value
 * is begun, and nobody who has replies to take is served; readers who take too little (pace.ts) are then given up
 * after a second instead of a minute, and so they are where a copy was refused that did not fit (wanted-room.ts). What exceeds the bound for that moment is the replies of one turn
 * of each connection; at twice the bound whoever does not take its replies is given up at once.
 *
 * Namespaces share the bound (namespace-shares.ts), so that it is one's own readers who use up one's share; who is not
 * logged in has a small one apart from theirs. Each share has room for a copy of the largest value.
 */
import { COUNTER } from '../observe/counters.ts'
import type { SharedLanes } from '../observe/shared-lanes.ts'
import { NamespaceShares, STRANGERS_HOLDER } from './namespace-shares.ts'

const MEBIBYTE = 1024 * 1024
/**
 * What one worker may hold before values that the send buffer does not take are copied into memory
 * that goes back to the system at once (command/transfers/large-copies.ts): readers that keep up never come to it.
 */
const CROWDED_BYTES: number = 4 * MEBIBYTE
/** What those may hold who are not logged in, and who can ask for little. */
const STRANGER_BYTES_MAX: number = 8 * MEBIBYTE
/** Beside the largest value: the line end behind it. */
const AROUND_VALUE_BYTES = 4096

export interface ReplyMemoryOptions {
  readonly lane: Float64Array
  /** Where there is one namespace. */
  readonly bytesMax: number
  readonly valueBytesMax: number
  /** What is held for each namespace, and for strangers. */
  readonly shares: SharedLanes
  readonly workerIndex: number
  /** With the default one. */
  readonly namespaceCount: () => number
}

export class ReplyMemory {
  /** True while slow readers hold enough of this worker's memory to be counted one by one. */
  isCrowded = false
  private readonly lane: Float64Array
  private readonly shares: NamespaceShares

  constructor(options: ReplyMemoryOptions) {
    const { lane, bytesMax, valueBytesMax, shares, workerIndex, namespaceCount } = options
    this.lane = lane
    this.shares = new NamespaceShares({
      lanes: shares,
      workerIndex,
      commonBytes: bytesMax / 2,
      shareBytesMin: valueBytesMax + AROUND_VALUE_BYTES,
      namespaceCount,
    })
  }

  /** What this worker's connections hold. */
  get heldByWorker(): number {
    return this.lane[COUNTER.unread_reply_bytes]!
  }

  /** Each of these is asked for a namespace, or for STRANGERS_HOLDER. */
  hasRoomFor(bytes: number, holder: number): boolean {
    return this.isWithin(bytes, holder, 1)
  }

  /** True while no more is to be held. */
  isFull(holder: number): boolean {
    return !this.isWithin(1, holder, 1)
  }

  /** True where even what could not be refused has come to twice the bound. */
  isExceeded(holder: number): boolean {
    return !this.isWithin(1, holder, 2)
  }

  hold(bytes: number, holder: number): void {
    this.count(bytes, holder)
  }

  letGo(bytes: number, holder: number): void {
    this.count(-bytes, holder)
  }

  /** For want of room a reader was given up. */
  countRefusal(): void {
    this.lane[COUNTER.unread_reply_oom]!++
  }

  /** For want of room for so many bytes a reply was refused. */
  refuse(bytes: number, holder: number): void {
    this.countRefusal()
    if (holder !== STRANGERS_HOLDER) this.shares.wanted.refused(bytes, holder)
  }

  /** Looks at who was refused, on all workers; to be called ten times a second. */
  look(nowMs: number): void {
    this.shares.wanted.look(nowMs)
  }

  /** Whether others lack what slow readers hold. */
  isWantedOf(holder: number): boolean {
    if (this.isFull(holder)) return true
    return holder !== STRANGERS_HOLDER && this.shares.wanted.isWantedOf(holder)
  }

  /** With so many bytes more, within so many times the bound. */
  private isWithin(bytes: number, holder: number, times: number): boolean {
    const { shares } = this
    if (holder !== STRANGERS_HOLDER) return shares.hasRoomFor(bytes, holder, times)
    return shares.heldBy(holder) + bytes <= STRANGER_BYTES_MAX * times
  }

  private count(change: number, holder: number): void {
    this.shares.count(holder, change)
    this.lane[COUNTER.unread_reply_bytes]! += change
    this.isCrowded = this.heldByWorker > CROWDED_BYTES
  }
}
