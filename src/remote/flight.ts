/** Commands, and what is known of one under way. */
import type { Argument } from './cluster-client.ts'
import type { Tracking } from './tracking.ts'

/** One command. */
export interface Command {
  readonly key: Buffer
  readonly args: readonly Argument[]
  /** Of what it brings. */
  readonly bytes: number
  /** For a read whose reply is to be kept, if its connection tracks. */
  readonly ticket?: CopyTicket | undefined
  /** FAILURE_NONE: `reply` is what came back. */
  settle(reply: unknown, failure: number): void
}

/**
 * Asks how long the key has, behind a read whose reply is to be kept. It goes by the same connection, if that tracks:
 * then it is told so as it is sent.
 */
export interface CopyTicket extends Command {
  sentBy(tracking: Tracking): void
}

/** What is held for commands that are under way is counted somewhere. */
interface Counted {
  count: number
  bytes: number
}

/** A command under way. It is settled once, and counted until it is released. */
export class Flight {
  readonly command: Command
  readonly sinceMs: number
  isSettled = false
  private readonly counted: Counted
  private readonly bytes: number

  constructor(command: Command, counted: Counted, sinceMs: number) {
    this.command = command
    this.counted = counted
    this.sinceMs = sinceMs
    this.bytes = command.bytes
    counted.count++
    counted.bytes += this.bytes
  }

  settle(reply: unknown, failure: number): void {
    if (this.isSettled) return
    this.isSettled = true
    this.command.settle(reply, failure)
  }

  /** Nothing is held for it any more; to be called once. */
  release(): void {
    this.counted.count--
    this.counted.bytes -= this.bytes
  }
}

/** Commands in the order in which they were sent: a ring, which grows. */
export class FlightQueue {
  length = 0
  private ring: (Flight | undefined)[] = new Array(16).fill(undefined)
  private first = 0

  push(flight: Flight): void {
    if (this.length === this.ring.length) this.grow()
    this.ring[(this.first + this.length) & (this.ring.length - 1)] = flight
    this.length++
  }

  shift(): Flight | undefined {
    if (this.length === 0) return undefined
    const { ring, first } = this
    const flight = ring[first]
    ring[first] = undefined
    this.first = (first + 1) & (ring.length - 1)
    this.length--
    return flight
  }

  at(index: number): Flight | undefined {
    return this.ring[(this.first + index) & (this.ring.length - 1)]
  }

  private grow(): void {
    const { ring, first } = this
    this.ring = [...ring.slice(first), ...ring.slice(0, first), ...ring.map(() => undefined)]
    this.first = 0
  }
}
