/**
 * One connection to one node: commands go out in one write a turn, and replies belong to them by their position.
 *
 *     new -> dialed -> opened -> greeted -> ended
 *                               `- from here on commands leave
 *
 * Greeted: the login was accepted, and the node has said whether it tracks (tracking.ts), where it is asked to.
 *
 * Invariants: what comes out of it is for commands that went into it, in their order; a reply that nobody waits for, or
 * that is malformed, ends it. When it has ended, all that waited is lost, nothing is sent again, and nothing of it
 * is used any more: another connection begins with none of its bytes.
 */
import type { Argument } from './cluster-client.ts'
import { CommandBuffer } from './command-buffer.ts'
import { isRedirection } from './failure.ts'
import { type Flight, FlightQueue } from './flight.ts'
import type { Dial, NodePipe, NodePipeEvents } from './node-pipe.ts'
import type { Seed } from './remote-settings.ts'
import { ReplyError, ReplyReader, type ReplySink } from './reply-reader.ts'
import { type CopyKeeper, SPEAK_RESP3, TRACK, TRACK_NEXT, Tracking, takePush } from './tracking.ts'

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
  /** Told of changes; undefined: the node is not asked to. */
  readonly keeper?: CopyKeeper | undefined
  readonly owner: ConnectionOwner
}

export class NodeConnection implements NodePipeEvents, ReplySink {
  readonly flights: FlightQueue = new FlightQueue()
  /** It is to be flushed at the end of the turn. */
  isDue = false
  isReady = false
  readonly tracking: Tracking = new Tracking()
  /** It was ended over a greeting that asks to track, or that was answered by what is no reply. */
  hasRefusedGreeting = false
  private readonly options: ConnectionOptions
  private readonly pipe: NodePipe
  private readonly out: CommandBuffer = new CommandBuffer()
  private readonly reader: ReplyReader = new ReplyReader(this)
  private isEnded = false
  /** What has been asked and is to be answered before commands leave. */
  private readonly greeting: (readonly Argument[])[] = []
  private greetingError: ReplyError | undefined = undefined

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
    const { login, keeper } = this.options
    const { greeting } = this
    if (login !== undefined) greeting.push(login)
    if (keeper !== undefined) greeting.push(SPEAK_RESP3, TRACK)
    if (greeting.length === 0) {
      this.begin()
      return
    }
    const words = new CommandBuffer()
    for (const command of greeting) words.append(command)
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
    this.hasRefusedGreeting = this.asksToTrack
    this.end(new Error(reader.trouble ?? 'a node breaks the protocol'))
  }

  take(reply: unknown): boolean {
    if (this.isEnded) return false
    if (!this.isReady) return this.takeGreeting(reply)
    const flight = this.flights.shift()
    if (flight === undefined) return false
    if (reply instanceof ReplyError && this.tracking.isOn) this.lookAt(flight, reply)
    this.options.owner.replied(flight, reply)
    return true
  }

  private takeGreeting(reply: unknown): boolean {
    const { greeting, options, tracking } = this
    const asked = greeting.shift()
    if (asked === undefined) return false
    if (reply instanceof ReplyError) {
      if (asked === options.login) {
        this.end(reply)
        return false
      }
      this.greetingError ??= reply
    }
    if (greeting.length > 0) return true
    if (this.greetingError === undefined) tracking.isOn = options.keeper !== undefined
    else options.keeper?.refused(this.greetingError)
    this.begin()
    return true
  }

  private get asksToTrack(): boolean {
    return this.greeting.length > 0 && this.options.keeper !== undefined
  }

  push(push: unknown): boolean {
    const { keeper } = this.options
    if (keeper === undefined || this.isEnded) return false
    takePush(push, this.tracking, keeper)
    return true
  }

  /** An error says that keys are elsewhere, or that a read is not tracked. */
  private lookAt(flight: Flight, error: ReplyError): void {
    if (flight.command === TRACK_NEXT) this.tracking.end()
    else if (isRedirection(error)) this.tracking.turnOver()
  }

  ended(error: unknown): void {
    this.hasRefusedGreeting = this.asksToTrack
    this.end(error ?? new Error('a node has closed a connection'))
  }

  /** Gives it up. */
  end(error: unknown): void {
    if (this.isEnded) return
    this.isEnded = true
    this.tracking.end()
    this.pipe.close()
    this.options.owner.lost(this, error)
  }
}
