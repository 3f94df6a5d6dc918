/**
 * One connection to one node: commands go out in one write a turn, and replies belong to them by their position.
 *
 *     new -> dialed -> opened -> logged in -> ended
 *                               `- from here on commands leave
 *
 * Invariants: what comes out of it is for commands that went into it, in their order; a reply that nobody waits for, or
 * that is malformed, ends it. When it has ended, all that waited is lost, nothing is sent again, and nothing of it
 * is used any more: another connection begins with none of its bytes.
 */
import type { Argument } from './cluster-client.ts'
import { CommandBuffer } from './command-buffer.ts'
import { type Flight, FlightQueue } from './flight.ts'
import type { Dial, NodePipe, NodePipeEvents } from './node-pipe.ts'
import type { Seed } from './remote-settings.ts'
import { ReplyError, ReplyReader, type ReplySink } from './reply-reader.ts'

export interface ConnectionOwner {
  /** The node said something. */
  heard(): void
  replied(flight: Flight, reply: unknown): void
  /** It has ended; its flights are lost. */
  lost(connection: NodeConnection, error: unknown): void
}

export interface ConnectionOptions {
  readonly node: Seed
  readonly dial: Dial
  /** The command to log in with, if any. */
  readonly login: readonly Argument[] | undefined
  readonly owner: ConnectionOwner
}

export class NodeConnection implements NodePipeEvents, ReplySink {
  readonly flights: FlightQueue = new FlightQueue()
  /** It is to be flushed at the end of the turn. */
  isDue = false
  isReady = false
  private readonly options: ConnectionOptions
  private readonly pipe: NodePipe
  private readonly out: CommandBuffer = new CommandBuffer()
  private readonly reader: ReplyReader = new ReplyReader(this)
  private isEnded = false

  constructor(options: ConnectionOptions) {
    this.options = options
    this.pipe = options.dial(options.node, this)
  }

  send(flight: Flight): void {
    this.flights.push(flight)
    this.out.append(flight.command.args)
  }

  flush(): void {
    this.isDue = false
    const { out } = this
    if (!this.isReady || this.isEnded || out.length === 0) return
    out.clear(this.pipe.write(out.view()))
  }

  opened(): void {
    const { login } = this.options
    if (login === undefined) {
      this.begin()
      return
    }
    const words = new CommandBuffer()
    words.append(login)
    this.pipe.write(words.view())
  }

  private begin(): void {
    this.isReady = true
    this.flush()
  }

  received(bytes: Buffer, length: number): void {
    if (this.isEnded) return
    this.options.owner.heard()
    const { reader } = this
    if (reader.read(bytes, length)) return
    this.end(new Error(reader.trouble ?? 'a node breaks the protocol'))
  }

  take(reply: unknown): boolean {
    if (this.isEnded) return false
    if (!this.isReady) return this.takeLogin(reply)
    const flight = this.flights.shift()
    if (flight === undefined) return false
    this.options.owner.replied(flight, reply)
    return true
  }

  private takeLogin(reply: unknown): boolean {
    if (this.options.login === undefined) return false
    if (reply instanceof ReplyError) this.end(reply)
    else this.begin()
    return !this.isEnded
  }

  ended(error: unknown): void {
    this.end(error ?? new Error('a node has closed a connection'))
  }

  /** Gives it up. */
  end(error: unknown): void {
    if (this.isEnded) return
    this.isEnded = true
    this.pipe.close()
    this.options.owner.lost(this, error)
  }
}
