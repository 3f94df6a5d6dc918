/**
 * What replies that their readers have not taken hold in memory, counted by every worker and bounded
 * over all of them: buffers that wait for the kernel, and copies of large values, also those on their
 * way back to the system.
 *
 * Invariant: what is held is let go exactly once. Beyond the bound no further copy of a value is
 * begun, and nobody who has replies to take is served; readers that stand still are then given up
 * after a moment instead of a minute. What exceeds the bound for that moment is the replies of one turn
 * of each connection; at twice the bound whoever does not take its replies is given up at once.
 */
import { COUNTER } from '../observe/counters.ts'

/**
 * What one worker may hold before values that the send buffer does not take are copied into memory
 * that goes back to the system at once (command/transfers/large-copies.ts): readers that keep up never come to it.
 */
const CROWDED_BYTES = 4 * 1024 * 1024

export interface ReplyMemoryOptions {
  readonly lane: Float64Array
  readonly bytesMax: number
  /** What all workers hold. */
  readonly heldByAll: () => number
}

export class ReplyMemory {
  /** True while slow readers hold enough of this worker's memory to be counted one by one. */
  isCrowded = false
  private readonly options: ReplyMemoryOptions

  constructor(options: ReplyMemoryOptions) {
    this.options = options
  }

  /** What this worker's connections hold. */
  get heldByWorker(): number {
    return this.options.lane[COUNTER.unread_reply_bytes]!
  }

  hasRoomFor(bytes: number): boolean {
    return this.options.heldByAll() + bytes <= this.options.bytesMax
  }

  /** True while no more is to be held. */
  get isFull(): boolean {
    return this.options.heldByAll() >= this.options.bytesMax
  }

  /** True where even what could not be refused has come to twice the bound. */
  get isExceeded(): boolean {
    return this.options.heldByAll() >= 2 * this.options.bytesMax
  }

  hold(bytes: number): void {
    this.count(bytes)
  }

  letGo(bytes: number): void {
    this.count(-bytes)
  }

  /** Counts a reply that was refused, or a reader given up, for want of room. */
  countRefusal(): void {
    this.options.lane[COUNTER.unread_reply_oom]!++
  }

  private count(change: number): void {
    const { lane } = this.options
    lane[COUNTER.unread_reply_bytes]! += change
    this.isCrowded = this.heldByWorker > CROWDED_BYTES
  }
}
