/** A thread of a gate with a near cache, before one node without a store: the test says what the node says, and when. */

import { onTestFinished } from 'vitest'
import { NearCache } from '../../src/command/remote/near-cache.ts'
import { RemoteCommands } from '../../src/command/remote/remote-commands.ts'
import { RequestCounts } from '../../src/command/remote/request-counts.ts'
import { WriteStripes } from '../../src/command/remote/write-stripes.ts'
import { COUNTER, COUNTER_NAMES } from '../../src/observe/counters.ts'
import type { CounterName } from '../../src/observe/metrics.ts'
import {
  OUTCOME_HIT,
  OUTCOME_NOT_FOUND,
  OUTCOME_OK,
  OUTCOME_PENDING,
  Request,
} from '../../src/protocol/request.ts'
import { VERB_GET, VERB_SET } from '../../src/protocol/verbs.ts'
import { CasClock } from '../../src/remote/cas-clock.ts'
import { Engine } from '../../src/remote/engine.ts'
import { Generation } from '../../src/remote/generation.ts'
import { encodeItem } from '../../src/remote/item-head.ts'
import type { NodePipe, NodePipeEvents } from '../../src/remote/node-pipe.ts'
import type { ManualClock } from './manual-clock.ts'
import { commandsIn, ManualCluster, type Sent } from './manual-cluster.ts'

export const NEAR_TTL_MS = 1000
export const STORE_TIMEOUT_MS = 5000

/** What a node says to each command of a greeting; undefined: it closes the connection. */
export type Greets = Readonly<Record<'HELLO' | 'CLIENT TRACKING', string | undefined>>
export const TRACKS: Greets = {
  HELLO: '%1\r\n$5\r\nproto\r\n:3\r\n',
  'CLIENT TRACKING': '+OK\r\n',
}

/** An item as GET has it. */
export function itemReply(value: string, state = 0): string {
  const item = encodeItem(7, 0, 1, Buffer.from(value), 0, value.length)
  item[1] = state
  return `$${item.length}\r\n${item.toString('latin1')}\r\n`
}

/** One connection to the node: replies are to be given in the order of the commands. */
export class ManualNode implements NodePipe {
  isClosed = false
  private readonly events: NodePipeEvents
  private readonly greets: Greets
  private readonly commands: string[] = []

  constructor(events: NodePipeEvents, greets: Greets, soon: (run: () => void) => void) {
    this.events = events
    this.greets = greets
    soon(() => {
      if (!this.isClosed) events.opened()
    })
    this.soon = soon
  }

  private readonly soon: (run: () => void) => void

  write(bytes: Buffer): boolean {
    for (const words of commandsIn(bytes.toString('latin1'))) {
      const name = words[0] === 'CLIENT' ? words.slice(0, 2).join(' ') : words[0]
      if (name === 'HELLO' || name === 'CLIENT TRACKING') {
        const greeting = this.greets[name]
        this.soon(() => (greeting === undefined ? this.end() : this.say(greeting)))
      } else this.commands.push(words.join(' '))
    }
    return true
  }

  close(): void {
    this.isClosed = true
  }

  say(text: string): void {
    if (!this.isClosed) this.events.received(Buffer.from(text, 'latin1'), text.length)
  }

  /** It tells of changes; of all keys without any. */
  tell(...keys: string[]): void {
    const list = keys.map((key) => `$${key.length}\r\n${key}\r\n`).join('')
    const whole = keys.length === 0 ? '_\r\n' : `*${keys.length}\r\n${list}`
    this.say(`>2\r\n$10\r\ninvalidate\r\n${whole}`)
  }

  end(): void {
    if (!this.isClosed) this.events.ended(undefined)
    this.isClosed = true
  }

  /** What was asked since the last call. */
  asked(): string[] {
    return this.commands.splice(0)
  }
}

/** What a request came to: undefined: it is not answered; null: there is nothing. */
export type Answer = () => string | null | undefined

export interface ThreadOptions {
  readonly clock: ManualClock
  /** All threads of a gate have the same. */
  readonly stripes: SharedArrayBuffer
  readonly bytesMax?: number
  readonly greets?: Greets
}

export class NearThread {
  readonly near: NearCache
  readonly refusals: string[] = []
  private readonly nodes: ManualNode[] = []
  private cluster: ManualCluster | undefined = undefined
  private readonly lane: Float64Array = new Float64Array(COUNTER_NAMES.length)
  private readonly clock: ManualClock
  private readonly engine: Engine
  private readonly commands: RemoteCommands
  private readonly generation: Generation
  private readonly request: Request = new Request()

  private constructor(options: ThreadOptions) {
    const { clock, stripes, bytesMax = 1024 * 1024, greets = TRACKS } = options
    const { lane } = this
    this.clock = clock
    this.near = new NearCache({
      bytesMax,
      ttlMs: NEAR_TTL_MS,
      stripes: new WriteStripes(stripes),
      lane,
      clock,
      onRefusal: ({ message }) => this.refusals.push(message),
    })
    this.engine = new Engine({
      settings: {
        seeds: [{ host: '192.0.2.1', port: 1 }],
        user: undefined,
        password: undefined,
        tls: undefined,
        timeoutMs: STORE_TIMEOUT_MS,
        connections: 1,
        missesOnFailure: false,
        near: undefined,
      },
      clock,
      keeper: this.near,
      dial: (_, events) => {
        const node = new ManualNode(events, greets, (run) => clock.soon(run))
        this.nodes.push(node)
        return node
      },
      make: () => {
        this.cluster = new ManualCluster([1])
        return this.cluster
      },
      onTrouble: () => undefined,
    })
    onTestFinished(() => this.engine.close())
    this.generation = new Generation(this.engine, clock, 'default')
    this.commands = new RemoteCommands({
      engine: this.engine,
      generation: this.generation,
      casClock: new CasClock(
        () => Date.UTC(2026, 0, 1),
        () => 0,
      ),
      lane,
      counts: new RequestCounts(lane),
      after: (delayMs, run) => clock.after(delayMs, run),
      itemBytesMax: 1024 * 1024,
      flushEnabled: true,
      casEnabled: true,
      missesOnFailure: false,
      near: this.near,
    })
    this.request.flags = 7
  }

  /** It has seen the cluster, and has no connection. */
  static async create(options: ThreadOptions): Promise<NearThread> {
    const thread = new NearThread(options)
    await thread.engine.opened()
    return thread
  }

  static async start(options: ThreadOptions): Promise<NearThread> {
    const thread = await NearThread.create(options)
    thread.confirm()
    return thread
  }

  /** What the library was given. */
  get strays(): readonly Sent[] {
    return this.cluster?.sent ?? []
  }

  /** The connection of the moment. */
  get node(): ManualNode {
    const node = this.nodes.at(-1)
    if (node === undefined) throw new Error('no connection was made')
    return node
  }

  count(name: CounterName): number {
    return this.lane[COUNTER[name]] ?? 0
  }

  /** What is to be written is written; a new connection opens and is greeted. */
  turn(): void {
    for (let turn = 0; turn < 6; turn++) this.clock.turn()
  }

  /** The node is asked for the generation, and nothing else waits there. */
  confirm(generation = 1): void {
    this.generation.wait({ heldBytes: 0, ready: () => undefined })
    this.turn()
    this.node.asked()
    const text = String(generation)
    this.node.say(`$${text.length}\r\n${text}\r\n`)
  }

  execute(verb: number, key: string, fill: (request: Request) => void = () => undefined): Answer {
    const { request, commands } = this
    request.verb = verb
    request.keyOffset = 0
    request.keyLength = key.length
    request.valueOffset = key.length
    request.valueLength = 0
    request.expiry = 0
    request.lowerFlags = 0
    request.upperFlags = 0
    fill(request)
    const value = verb === VERB_SET ? 'w'.repeat(request.valueLength) : ''
    if (commands.execute(request, Buffer.from(key + value)) !== OUTCOME_PENDING) {
      throw new Error('is answered at once')
    }
    const pending = commands.takePending()
    this.turn()
    let answer: string | null | undefined
    return () => {
      if (answer === undefined && pending.isSettled) answer = this.load(pending.load())
      return answer
    }
  }

  private load(outcome: number): string | null {
    const { result } = this.commands
    if (outcome === OUTCOME_NOT_FOUND) return null
    if (outcome !== OUTCOME_HIT) return outcome === OUTCOME_OK ? 'OK' : `outcome ${outcome}`
    const value = Buffer.alloc(result.valueBytes)
    result.copyValue(value, 0)
    result.release()
    return value.toString()
  }

  get(key: string): Answer {
    return this.execute(VERB_GET, key)
  }

  /** Reads until a read is to be kept, whose commands have left; each before was answered by `item`. */
  heat(key: string, item: string): Answer {
    for (let reads = 0; reads < 100; reads++) {
      const answer = this.get(key)
      const asked = this.node.asked()
      if (asked[0] === 'CLIENT CACHING YES') return answer
      if (asked.length > 0) this.node.say(item)
    }
    throw new Error('a key that is read a hundred times is not hot')
  }

  /** There is a copy of it afterwards. */
  keep(key: string, value: string, leftMs = -1): void {
    const answer = this.heat(key, itemReply(value))
    this.node.say(`+OK\r\n${itemReply(value)}:${leftMs}\r\n`)
    if (answer() !== value) throw new Error('the read that is kept is not answered')
  }
}
