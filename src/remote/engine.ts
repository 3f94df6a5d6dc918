/**
 * The way to the nodes: sends commands, and answers each within the bound. They go by connections of our own
 * (node-link.ts); who has which slot is known from the library (topology.ts), which is also given what a node has not
 * carried out: a command whose slot is elsewhere, or whose function is missing.
 *
 * Invariants: a command is settled once, at the latest a period of the timer after `timeoutMs`, whatever becomes of
 * it beneath. What waits for a node is bounded, and counted until nothing is held for it any more. A command is
 * sent a second time only where the engine said that it did not carry it out.
 */
import { AS_BYTES, type ClusterClient } from './cluster-client.ts'
import {
  FAILURE_DOWN,
  FAILURE_NONE,
  FAILURE_TIMEOUT,
  failureOf,
  isFunctionMissing,
  isRedirection,
} from './failure.ts'
import type { Command, Flight } from './flight.ts'
import type { NodeConnection } from './node-connection.ts'
import type { LinkOwner } from './node-link.ts'
import { ReplyError } from './reply-reader.ts'
import { type LinkCounts, Topology, type TopologyOptions, words } from './topology.ts'

/** How late an answer for want of one may be. */
const LOOK_MS = 50
const CONNECT_AGAIN_MS = 500

export interface EngineClock {
  nowMs(): number
  /** Calls `step` every `ms` until the function that it returns is called. */
  every(ms: number, step: () => void): () => void
  /** Calls `step` when what has arrived meanwhile was looked at. */
  soon(step: () => void): void
}

export interface EngineOptions extends TopologyOptions {
  readonly clock: EngineClock
}

export class Engine implements LinkOwner {
  private readonly options: EngineOptions
  private readonly topology: Topology
  /** Those that have something to write. */
  private dueConnections: NodeConnection[] = []
  private isClosed = false
  private readonly flushDue: () => void = () => this.flush()
  /** What the library was given. */
  private readonly strays: Set<Flight> = new Set()
  private readonly endLooks: () => void
  private sinceConnectMs = 0

  constructor(options: EngineOptions) {
    this.options = options
    this.topology = new Topology(options, this)
    this.endLooks = options.clock.every(LOOK_MS, () => this.look())
  }

  /** Is fulfilled when the cluster has been seen, or when it could not be for now. */
  async opened(): Promise<void> {
    await this.topology.opened
  }

  /** Sends it; those of one `lane` (a connection, say) reach a node in the order in which they were sent. */
  send(command: Command, lane: number): void {
    const link = this.topology.linkOf(command.key, lane)
    const failure = link?.send(command, this.options.clock.nowMs()) ?? FAILURE_DOWN
    if (failure !== FAILURE_NONE) command.settle(undefined, failure)
  }

  countLinks(): LinkCounts {
    return this.topology.countLinks()
  }

  due(connection: NodeConnection): void {
    if (this.dueConnections.length === 0) this.options.clock.soon(this.flushDue)
    this.dueConnections.push(connection)
  }

  replied(flight: Flight, reply: unknown): void {
    if (!(reply instanceof ReplyError)) {
      flight.release()
      flight.settle(reply, FAILURE_NONE)
    } else void this.refused(flight, reply)
  }

  private async refused(flight: Flight, error: ReplyError): Promise<void> {
    const { cluster } = this.topology
    const isUndone = isRedirection(error) || isFunctionMissing(error)
    if (!isUndone || cluster === undefined || flight.isSettled) this.fail(flight, error)
    else {
      this.strays.add(flight)
      await this.again(cluster, flight, error)
      this.strays.delete(flight)
    }
    flight.release()
  }

  /** It was not carried out: the slot is elsewhere, or the functions are not there. */
  private async again(cluster: ClusterClient, flight: Flight, why: unknown): Promise<void> {
    const { args, key } = flight.command
    let error = why
    // A node to which the library was redirected may lack the functions, too.
    for (let attempt = 0; attempt < 2 && !flight.isSettled; attempt++) {
      try {
        if (isFunctionMissing(error)) await this.topology.loadFunctions(cluster, key)
        if (flight.isSettled) return
        flight.settle(await cluster.sendCommand(key, false, args, AS_BYTES), FAILURE_NONE)
        return
      } catch (again) {
        error = again
        if (!isFunctionMissing(again)) break
      }
    }
    this.fail(flight, error)
  }

  private fail(flight: Flight, error: unknown): void {
    const failure = failureOf(error)
    flight.settle(undefined, failure)
    if (failure === FAILURE_DOWN) void this.topology.renew()
  }

  lost(error: unknown): void {
    if (this.isClosed) return
    this.options.onTrouble(words(error))
    void this.topology.renew()
  }

  private flush(): void {
    const { dueConnections } = this
    this.dueConnections = []
    for (const connection of dueConnections) connection.flush()
  }

  private look(): void {
    const { settings, clock } = this.options
    const nowMs = clock.nowMs()
    const { topology, strays } = this
    topology.look(nowMs)
    for (const flight of strays) {
      if (nowMs - flight.sinceMs >= settings.timeoutMs) flight.settle(undefined, FAILURE_TIMEOUT)
    }
    if (nowMs - this.sinceConnectMs < CONNECT_AGAIN_MS) return
    this.sinceConnectMs = nowMs
    if (topology.cluster === undefined) void topology.renew()
  }

  close(): void {
    this.isClosed = true
    this.endLooks()
    this.topology.close()
    for (const flight of this.strays) flight.settle(undefined, FAILURE_DOWN)
  }
}
