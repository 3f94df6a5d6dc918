/**
 * The way to the nodes: sends commands, and answers each within the bound. What the library does beneath is in
 * cluster-client.ts.
 *
 * Invariants: a command is settled once, at the latest a period of the timer after `timeoutMs`, whatever becomes of
 * it beneath. What waits for a node is bounded, in number and in bytes, and counted until the library has let go of
 * it, not only until it was answered: a node that says nothing takes no more than its share of memory. A command is
 * sent a second time only where the engine said that it did not carry it out.
 *
 * A node that let the bound pass without a word is silent: until it says something, commands for it are refused at once,
 * but for one now and then that asks. Else each connection would soon wait for that node, and none ask the others
 * (docs/cluster-plan.md).
 */
import {
  type Argument,
  AS_BYTES,
  type ClusterClient,
  type ClusterMaker,
  type MasterNode,
} from './cluster-client.ts'
import {
  codeOf,
  FAILURE_BUSY,
  FAILURE_DOWN,
  FAILURE_NONE,
  FAILURE_TIMEOUT,
  failureOf,
  isFunctionMissing,
  isRedirection,
} from './failure.ts'
import { FUNCTIONS } from './functions.ts'
import { slotOf } from './key-slot.ts'
import type { RemoteSettings } from './remote-settings.ts'

/** Of one connection to a node: commands that wait, and the bytes that they bring. */
export const WAITING_MAX = 8192
export const WAITING_BYTES_MAX: number = 32 * 1024 * 1024

/** How late an answer for want of one may be. */
const LOOK_MS = 50
/** A node that has not answered for so long, or cannot be reached, has the cluster looked at anew. */
const SILENCE_MS = 1500
const RENEW_MS_MIN = 1000
const CONNECT_AGAIN_MS = 500
/** How often a silent node is asked. */
const ASK_SILENT_MS = 250

export interface EngineClock {
  nowMs(): number
  /** Calls `step` every `ms` until the function that it returns is called. */
  every(ms: number, step: () => void): () => void
}

/** One command. */
export interface Command {
  readonly key: Buffer
  readonly args: readonly Argument[]
  /** Of what it brings. */
  readonly bytes: number
  /** FAILURE_NONE: `reply` is what came back. */
  settle(reply: unknown, failure: number): void
}

export interface EngineOptions {
  readonly settings: RemoteSettings
  readonly make: ClusterMaker
  readonly clock: EngineClock
  /** To be told of what an operator should know, in words without a secret; the same twice is told once. */
  readonly onTrouble: (trouble: string) => void
}

/** What waits for one node. */
class Load {
  count = 0
  bytes = 0
  /** Since when it owes an answer and has given none. */
  silentSinceMs = 0
  /** It let the bound of a command pass, and has said nothing since. */
  isSilent = false
  private askedMs = Number.NEGATIVE_INFINITY

  /** What is known of the node, for another view of it: nothing waits there yet. */
  renewed(): Load {
    const load = new Load()
    load.isSilent = this.isSilent
    load.askedMs = this.askedMs
    return load
  }

  /** It said something. */
  heard(nowMs: number): void {
    this.silentSinceMs = nowMs
    this.isSilent = false
  }

  /** Whether a command may go there: any, or to a silent one from time to time. */
  mayAsk(nowMs: number): boolean {
    if (this.isSilent && nowMs - this.askedMs < ASK_SILENT_MS) return false
    this.askedMs = nowMs
    return true
  }
}

/** A command under way. */
class Flight {
  readonly command: Command
  readonly load: Load
  readonly sinceMs: number
  isSettled = false

  constructor(command: Command, load: Load, sinceMs: number) {
    this.command = command
    this.load = load
    this.sinceMs = sinceMs
  }

  settle(reply: unknown, failure: number): void {
    if (this.isSettled) return
    this.isSettled = true
    this.command.settle(reply, failure)
  }
}

/** One view of the cluster, and the loads of its nodes. */
class Pool {
  readonly options: EngineOptions
  cluster: ClusterClient | undefined = undefined
  /** By the address of a node. */
  private loads: Map<string, Load> = new Map()
  private readonly loading: Map<string, Promise<void>> = new Map()
  private renewedMs = Number.NEGATIVE_INFINITY
  private isRenewing = false
  private isClosed = false
  /** The first view is there, and its masters are connected to; or it is not to be had for now. */
  readonly opened: Promise<void>

  constructor(options: EngineOptions) {
    this.options = options
    this.opened = this.renew()
  }

  loadOf(node: MasterNode): Load {
    const address = addressOf(node)
    let load = this.loads.get(address)
    if (load === undefined) {
      load = new Load()
      this.loads.set(address, load)
    }
    return load
  }

  /** Looks at the cluster anew, through another view, which takes over when it has seen all of it. */
  async renew(): Promise<void> {
    const { make, settings, clock, onTrouble } = this.options
    const nowMs = clock.nowMs()
    if (this.isRenewing || this.isClosed || nowMs - this.renewedMs < RENEW_MS_MIN) return
    this.isRenewing = true
    this.renewedMs = nowMs
    const known = this.cluster?.masters.map(({ host, port }) => ({ host, port })) ?? []
    const next = make([...settings.seeds, ...known])
    next.on('error', (error) => onTrouble(words(error)))
    next.on('node-error', (error) => onTrouble(words(error)))
    try {
      await next.connect()
      const last = this.cluster
      if (this.isClosed) {
        next.destroy()
        return
      }
      this.cluster = next
      const loads = next.masters.map(
        (node) => [addressOf(node), this.loadOf(node).renewed()] as const,
      )
      this.loads = new Map(loads)
      last?.destroy()
      this.isRenewing = false
      await Promise.allSettled(next.masters.map((node) => this.loadOnce(next, node)))
    } catch (error) {
      onTrouble(words(error))
      next.destroy()
    } finally {
      this.isRenewing = false
    }
  }

  /** Loads the functions on the node of a key. */
  async loadFunctions(cluster: ClusterClient, key: Buffer): Promise<void> {
    const node = cluster.slots[slotOf(key)]?.master
    if (node !== undefined) await this.loadOnce(cluster, node)
  }

  /** One load at a time for each node. */
  private async loadOnce(cluster: ClusterClient, node: MasterNode): Promise<void> {
    const address = addressOf(node)
    const running =
      this.loading.get(address) ??
      this.loadOn(cluster, node).finally(() => this.loading.delete(address))
    this.loading.set(address, running)
    await running
  }

  private async loadOn(cluster: ClusterClient, node: MasterNode): Promise<void> {
    try {
      const client = await cluster.nodeClient(node)
      await client.sendCommand(['FUNCTION', 'LOAD', 'REPLACE', FUNCTIONS])
    } catch (error) {
      this.options.onTrouble(`functions cannot be loaded: ${words(error)}`)
      throw error
    }
  }

  close(): void {
    this.isClosed = true
    this.cluster?.destroy()
  }
}

export class Engine {
  private readonly options: EngineOptions
  private readonly pools: readonly Pool[]
  /** In the order in which they were sent. */
  private flights: Flight[] = []
  private readonly endLooks: () => void
  /** Of masters that owe an answer. */
  private readonly owing: Map<Load, Pool> = new Map()
  private sinceConnectMs = 0

  constructor(options: EngineOptions) {
    this.options = options
    const { settings, clock } = options
    this.pools = Array.from({ length: settings.connections }, () => new Pool(options))
    this.endLooks = clock.every(LOOK_MS, () => this.look())
  }

  /** Is fulfilled when the cluster has been seen, or when it could not be for now. */
  async opened(): Promise<void> {
    await Promise.all(this.pools.map(({ opened }) => opened))
  }

  /** Sends it; those of one `lane` (a connection, say) reach a node in the order in which they were sent. */
  send(command: Command, lane: number): void {
    const pool = this.pools[lane % this.pools.length]
    const cluster = pool?.cluster
    const node = cluster?.slots[slotOf(command.key)]?.master
    if (pool === undefined || cluster === undefined || node === undefined) {
      command.settle(undefined, FAILURE_DOWN)
      return
    }
    const load = pool.loadOf(node)
    if (load.count >= WAITING_MAX || load.bytes + command.bytes > WAITING_BYTES_MAX) {
      command.settle(undefined, FAILURE_BUSY)
      return
    }
    const nowMs = this.options.clock.nowMs()
    if (!load.mayAsk(nowMs)) {
      command.settle(undefined, FAILURE_DOWN)
      return
    }
    const flight = new Flight(command, load, nowMs)
    this.flights.push(flight)
    if (load.count === 0) load.silentSinceMs = nowMs
    load.count++
    load.bytes += command.bytes
    this.owing.set(load, pool)
    void this.fly(pool, cluster, node, flight).then(() => {
      load.count--
      load.bytes -= command.bytes
      if (load.count === 0) this.owing.delete(load)
    })
  }

  private async fly(
    pool: Pool,
    cluster: ClusterClient,
    node: MasterNode,
    flight: Flight,
  ): Promise<void> {
    const { args, key } = flight.command
    const { client } = node
    try {
      const reply = client?.isReady
        ? await client.sendCommand(args, AS_BYTES)
        : await this.connectAndSend(cluster, node, flight)
      flight.load.heard(this.options.clock.nowMs())
      flight.settle(reply, FAILURE_NONE)
    } catch (error) {
      if (codeOf(error) !== '') flight.load.heard(this.options.clock.nowMs())
      if (isRedirection(error) || isFunctionMissing(error)) {
        await this.again(pool, cluster, key, flight, error)
      } else this.fail(pool, flight, error)
    }
  }

  /** The node has not been connected to yet, or is being connected to again: then there is no waiting for it. */
  private async connectAndSend(
    cluster: ClusterClient,
    node: MasterNode,
    flight: Flight,
  ): Promise<unknown> {
    const client = await cluster.nodeClient(node)
    // Whoever asked has been answered meanwhile.
    if (flight.isSettled) return undefined
    return await client.sendCommand(flight.command.args, AS_BYTES)
  }

  /** It was not carried out: the slot is elsewhere, or the functions are not there. */
  private async again(
    pool: Pool,
    cluster: ClusterClient,
    key: Buffer,
    flight: Flight,
    why: unknown,
  ): Promise<void> {
    const { args } = flight.command
    let error = why
    // A node to which the library was redirected may lack the functions, too.
    for (let attempt = 0; attempt < 2 && !flight.isSettled; attempt++) {
      try {
        if (isFunctionMissing(error)) await pool.loadFunctions(cluster, key)
        if (flight.isSettled) return
        flight.settle(await cluster.sendCommand(key, false, args, AS_BYTES), FAILURE_NONE)
        return
      } catch (again) {
        error = again
        if (!isFunctionMissing(again)) break
      }
    }
    this.fail(pool, flight, error)
  }

  private fail(pool: Pool, flight: Flight, error: unknown): void {
    const failure = failureOf(error)
    flight.settle(undefined, failure)
    if (failure === FAILURE_DOWN) void pool.renew()
  }

  /** Answers what has waited too long; has the cluster looked at anew where a node is silent. */
  private look(): void {
    const { settings, clock } = this.options
    const nowMs = clock.nowMs()
    const { flights } = this
    let first = 0
    for (; first < flights.length; first++) {
      const flight = flights[first]
      if (flight === undefined) continue
      const { load, sinceMs } = flight
      if (!flight.isSettled && nowMs - sinceMs < settings.timeoutMs) break
      if (!flight.isSettled && load.silentSinceMs <= sinceMs) load.isSilent = true
      flight.settle(undefined, FAILURE_TIMEOUT)
    }
    if (first > 0) this.flights = flights.slice(first)
    for (const [load, pool] of this.owing) {
      if (nowMs - load.silentSinceMs >= SILENCE_MS) void pool.renew()
    }
    if (nowMs - this.sinceConnectMs < CONNECT_AGAIN_MS) return
    this.sinceConnectMs = nowMs
    for (const pool of this.pools) if (pool.cluster === undefined) void pool.renew()
  }

  close(): void {
    this.endLooks()
    for (const pool of this.pools) pool.close()
    for (const flight of this.flights) flight.settle(undefined, FAILURE_DOWN)
    this.flights = []
  }
}

function addressOf({ host, port }: MasterNode): string {
  return `${host}:${port}`
}

/** What an error says, for the log; never a command or its arguments. */
function words(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown trouble'
  const { message, cause } = error
  const code = 'code' in error ? String(error.code) : ''
  if (message === '') return code || (cause instanceof Error ? words(cause) : error.name)
  return message.slice(0, 200)
}
