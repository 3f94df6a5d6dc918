/**
 * The store elsewhere, as one worker goes to it: the connections to its nodes, and who carries out the requests of each
 * namespace. Made only where there is one.
 */
import type { Clock } from '../../base/clock.ts'
import { collectGarbage } from '../../base/collect-garbage.ts'
import { HALVE_MS, NearCache } from '../../command/remote/near-cache.ts'
import { RemoteCommands } from '../../command/remote/remote-commands.ts'
import { RequestCounts } from '../../command/remote/request-counts.ts'
import { WriteStripes } from '../../command/remote/write-stripes.ts'
import { COUNTER, counterLane } from '../../observe/counters.ts'
import type { LogEvent } from '../../observe/log.ts'
import { CasClock } from '../../remote/cas-clock.ts'
import { clusterMaker } from '../../remote/cluster-client.ts'
import { Engine } from '../../remote/engine.ts'
import { Generation } from '../../remote/generation.ts'
import { Reach } from '../../remote/reach.ts'
import type { NearSettings, RemoteSettings } from '../../remote/remote-settings.ts'
import { words } from '../../remote/topology.ts'
import { nodeDialer } from '../net/node-dialer.ts'
import type { ThreadClock } from './thread-clock.ts'
import type { WorkerSettings } from './worker-messages.ts'

/** Undefined: the items are in this process, and nothing of what this is made of is loaded. */
export function createRemote(
  settings: WorkerSettings,
  clock: Clock,
  threadClock: ThreadClock,
  write: (event: LogEvent) => void,
): RemoteService | undefined {
  const { remote } = settings
  if (remote === undefined) return undefined
  const epochMs = (): number => clock.epochMs(threadClock.nowMs())
  return new RemoteService({
    remote,
    settings,
    clock: threadClock,
    epochMs,
    random: Math.random,
    write,
  })
}

/** The same trouble is told so often at most. */
const TROUBLE_MS = 10_000
const TROUBLES_MAX = 100
/** What Redis and Valkey say to CLUSTER where there is none. */
const NOT_A_CLUSTER = /cluster support disabled/i

/** For the metrics. */
const COUNT_LINKS_MS = 500

function nothing(): void {}

interface RemoteServiceOptions {
  readonly remote: RemoteSettings
  readonly settings: WorkerSettings
  readonly clock: ThreadClock
  readonly epochMs: () => number
  readonly random: () => number
  readonly write: (event: LogEvent) => void
}

export class RemoteService {
  private readonly options: RemoteServiceOptions
  private readonly engine: Engine
  private readonly casClock: CasClock
  private readonly counts: RequestCounts
  private readonly reach: Reach
  private readonly endCounts: () => void
  private readonly near: NearCache | undefined
  private readonly endTicks: () => void
  private readonly toldMs: Map<string, number> = new Map()

  constructor(options: RemoteServiceOptions) {
    this.options = options
    const { remote, settings, clock, epochMs, random } = options
    this.casClock = new CasClock(epochMs, random)
    const lane = counterLane(settings.counters, settings.workerIndex)
    const near = this.createNear(remote.near, lane)
    this.near = near
    this.endTicks = near === undefined ? nothing : clock.every(HALVE_MS, () => near.tick())
    this.engine = new Engine({
      settings: remote,
      make: clusterMaker(remote),
      dial: nodeDialer(remote.tls),
      clock,
      keeper: near,
      onTrouble: (trouble) => this.tell(trouble),
      onView: (isSeen) => {
        lane[isSeen ? COUNTER.cluster_views : COUNTER.cluster_view_failures]!++
      },
    })
    this.endCounts = clock.every(COUNT_LINKS_MS, () => {
      const { links, silent, lost } = this.engine.countLinks()
      lane[COUNTER.cluster_links] = links
      lane[COUNTER.cluster_links_silent] = silent
      lane[COUNTER.cluster_links_lost] = lost
    })
    lane[COUNTER.cluster_unreachable] = 1
    const counts = new RequestCounts(lane)
    this.counts = counts
    this.reach = new Reach({
      engine: this.engine,
      clock,
      timeoutMs: remote.timeoutMs,
      takeHeard: () => counts.takeHeard(),
      onChange: (isReached) => this.reached(isReached, lane),
    })
  }

  /** This thread's share of it. */
  private createNear(near: NearSettings | undefined, lane: Float64Array): NearCache | undefined {
    const { settings, clock } = this.options
    const { stripes, threadCount } = settings
    if (near === undefined || stripes === undefined) return undefined
    return new NearCache({
      bytesMax: Math.floor(near.bytesMax / threadCount),
      ttlMs: near.ttlMs,
      stripes: new WriteStripes(stripes),
      lane,
      clock,
      onRefusal: (error) => this.tell(`no near cache: a node does not track: ${words(error)}`),
    })
  }

  /** Carries out the requests of a namespace, and counts them in its lane. */
  commandsOf(name: string, lane: Float64Array): RemoteCommands {
    const { engine, casClock, counts, near } = this
    const { remote, settings, clock } = this.options
    return new RemoteCommands({
      engine,
      casClock,
      generation: new Generation(engine, clock, name),
      lane,
      counts,
      after: (delayMs, run) => clock.after(delayMs, run),
      itemBytesMax: settings.valueBytesMax,
      flushEnabled: settings.flushEnabled,
      casEnabled: settings.casEnabled,
      missesOnFailure: remote.missesOnFailure,
      near,
    })
  }

  /** Is fulfilled when it is known whether the cluster can be reached, or after the time that a request may take. */
  async opened(): Promise<void> {
    const { clock, remote } = this.options
    const late = new Promise<void>((resolve) => clock.after(remote.timeoutMs, resolve))
    const known = this.engine.opened().then(() => this.reach.look())
    await Promise.race([known, late])
    // Of the library, which was loaded for that.
    collectGarbage(false)
  }

  close(): void {
    this.endCounts()
    this.endTicks()
    this.reach.close()
    this.engine.close()
  }

  private reached(isReached: boolean, lane: Float64Array): void {
    const wasReached = lane[COUNTER.cluster_unreachable] === 0
    lane[COUNTER.cluster_unreachable] = isReached ? 0 : 1
    if (isReached === wasReached) return
    const { write } = this.options
    const fields = {}
    if (isReached) {
      write({ level: 'info', event: 'store_reached', message: 'the store is in reach', fields })
    } else {
      const message = 'no node of the store can be reached'
      write({ level: 'error', event: 'store_unreachable', message, fields })
    }
  }

  private tell(trouble: string): void {
    const { clock, write } = this.options
    const { toldMs } = this
    const nowMs = clock.nowMs()
    if (nowMs - (toldMs.get(trouble) ?? Number.NEGATIVE_INFINITY) < TROUBLE_MS) return
    if (toldMs.size >= TROUBLES_MAX) toldMs.clear()
    toldMs.set(trouble, nowMs)
    if (NOT_A_CLUSTER.test(trouble)) {
      const message =
        'a node of --store-nodes is not a cluster: --store cluster takes "cluster-enabled yes" there, for a single node as well'
      write({ level: 'error', event: 'store_not_a_cluster', message, fields: {} })
      return
    }
    write({
      level: 'warn',
      event: 'store_trouble',
      message: 'the store has trouble',
      fields: { trouble },
    })
  }
}
