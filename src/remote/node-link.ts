/**
 * The way of one lane to one node: a connection that is made anew where it was lost, and what is known of the node
 * meanwhile. What waits there is bounded, in number and in bytes, and counted until its reply has come or the
 * connection has ended, not only until it was answered.
 *
 * A node that let the bound of a command pass without a word is silent: until it says something, commands for it are
 * refused at once, but for one now and then that asks. Else each connection would soon wait for that node, and none ask
 * the others (docs/cluster-plan.md).
 */
import type { Argument } from './cluster-client.ts'
import { FAILURE_BUSY, FAILURE_DOWN, FAILURE_NONE, FAILURE_TIMEOUT } from './failure.ts'
import { type Command, type CopyTicket, Flight } from './flight.ts'
import { type ConnectionOwner, NodeConnection } from './node-connection.ts'
import type { Dial } from './node-pipe.ts'
import type { Seed } from './remote-settings.ts'
import { type CopyKeeper, TRACK_NEXT } from './tracking.ts'

/** Commands that wait, and the bytes that they bring: the one that comes to more is the last, as one item may be larger. */
export const WAITING_MAX = 8192
export const WAITING_BYTES_MAX: number = 32 * 1024 * 1024
/** How often a silent node is asked. */
const ASK_SILENT_MS = 250
/** A connection on which nothing has come for so many times the bound is given up. */
const GIVE_UP_BOUNDS = 3
/** Between attempts to connect: so much longer after each, up to the most. */
const RECONNECT_MS = 50
const RECONNECT_MS_MAX = 500
/** After so many refused greetings in a row a connection is made that does not ask to track. */
const REFUSED_GREETINGS_MAX = 2

export interface LinkOptions {
  readonly node: Seed
  readonly dial: Dial
  readonly login: readonly Argument[] | undefined
  readonly keeper?: CopyKeeper | undefined
  readonly timeoutMs: number
  readonly clock: { nowMs(): number }
  readonly owner: LinkOwner
}

export interface LinkOwner {
  /** To be flushed at the end of the turn. */
  due(connection: NodeConnection): void
  /** Settles and releases it, now or later. */
  replied(flight: Flight, reply: unknown): void
  lost(error: unknown): void
}

export class NodeLink implements ConnectionOwner {
  count = 0
  bytes = 0
  private readonly options: LinkOptions
  private connection: NodeConnection | undefined = undefined
  private dialedMs = 0
  private dialAgainMs = Number.NEGATIVE_INFINITY
  /** Connections that ended without a reply, one after the other. */
  private failedDials = 0
  private refusedGreetings = 0
  /** Since when it owes an answer and has given none. */
  private silentSinceMs = 0
  /** It let the bound of a command pass, and has said nothing since. */
  isSilent = false
  private askedMs = Number.NEGATIVE_INFINITY

  constructor(options: LinkOptions) {
    this.options = options
  }

  /** Its connection has ended, and no other is there. */
  get isLost(): boolean {
    return this.connection === undefined && this.failedDials > 0
  }

  /** FAILURE_NONE: it is under way; any other: why it was not sent. */
  send(command: Command, nowMs: number): number {
    if (this.count >= WAITING_MAX || this.bytes >= WAITING_BYTES_MAX) return FAILURE_BUSY
    if (!this.mayAsk(nowMs)) return FAILURE_DOWN
    const connection = this.connection ?? this.connect(nowMs)
    if (connection === undefined) return FAILURE_DOWN
    if (this.count === 0) this.silentSinceMs = nowMs
    const { ticket } = command
    if (ticket === undefined || !connection.tracking.isOn) {
      connection.send(new Flight(command, this, nowMs))
    } else this.sendTracked(connection, command, ticket, nowMs)
    if (!connection.isDue) {
      connection.isDue = true
      this.options.owner.due(connection)
    }
    return FAILURE_NONE
  }

  private sendTracked(
    connection: NodeConnection,
    command: Command,
    ticket: CopyTicket,
    nowMs: number,
  ): void {
    ticket.sentBy(connection.tracking)
    connection.send(new Flight(TRACK_NEXT, this, nowMs))
    connection.send(new Flight(command, this, nowMs))
    connection.send(new Flight(ticket, this, nowMs))
  }

  /** Whether a command may go there: any, or to a silent one from time to time. */
  private mayAsk(nowMs: number): boolean {
    if (!this.isSilent) return true
    if (nowMs - this.askedMs < ASK_SILENT_MS) return false
    this.askedMs = nowMs
    return true
  }

  private connect(nowMs: number): NodeConnection | undefined {
    if (nowMs < this.dialAgainMs) return undefined
    const { node, dial, login } = this.options
    const keeper = this.refusedGreetings < REFUSED_GREETINGS_MAX ? this.options.keeper : undefined
    this.dialedMs = nowMs
    this.connection = new NodeConnection({ node, dial, login, keeper, owner: this })
    return this.connection
  }

  heard(): void {
    this.silentSinceMs = this.options.clock.nowMs()
    this.isSilent = false
  }

  replied(flight: Flight, reply: unknown): void {
    this.failedDials = 0
    this.options.owner.replied(flight, reply)
  }

  lost(connection: NodeConnection, error: unknown): void {
    if (this.connection === connection) this.connection = undefined
    this.failedDials++
    this.refusedGreetings = connection.hasRefusedGreeting ? this.refusedGreetings + 1 : 0
    const pauseMs = Math.min(RECONNECT_MS_MAX, RECONNECT_MS * this.failedDials)
    this.dialAgainMs = this.options.clock.nowMs() + pauseMs
    const { flights } = connection
    for (let flight = flights.shift(); flight !== undefined; flight = flights.shift()) {
      flight.release()
      flight.settle(undefined, FAILURE_DOWN)
    }
    this.options.owner.lost(error)
  }

  /** Answers what has waited too long, and gives up what does not open. */
  look(nowMs: number): void {
    const { connection } = this
    if (connection === undefined) return
    const { timeoutMs } = this.options
    const { flights } = connection
    for (let index = 0; index < flights.length; index++) {
      const flight = flights.at(index)
      if (flight === undefined || nowMs - flight.sinceMs < timeoutMs) break
      if (!flight.isSettled && this.silentSinceMs <= flight.sinceMs) this.isSilent = true
      flight.settle(undefined, FAILURE_TIMEOUT)
    }
    if (!connection.isReady && nowMs - this.dialedMs >= timeoutMs) {
      connection.end(new Error('a node does not accept a connection in time'))
    } else if (this.isSilentFor(GIVE_UP_BOUNDS * timeoutMs, nowMs)) {
      connection.end(new Error('a node does not answer'))
    }
  }

  /** It owes an answer, and has said nothing for so long. */
  isSilentFor(ms: number, nowMs: number): boolean {
    return this.count > 0 && nowMs - this.silentSinceMs >= ms
  }

  /** The connection is given up, and all that waits on it answered; what is known of the node stays. */
  giveUp(why: string): void {
    this.connection?.end(new Error(why))
    // How often a silent node is tried is said by mayAsk().
    this.dialAgainMs = Number.NEGATIVE_INFINITY
  }
}
