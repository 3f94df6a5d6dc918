/**
 * What one worker answers requests with: the namespaces that it serves, the dialects in front of them, and
 * those who watch what is done.
 *
 * Invariant: nothing of a namespace that was left is referred to here, nor can a request reach it.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { Commands } from '../../command/commands.ts'
import type { ClusterParts } from '../../command/operations/cluster-lines.ts'
import type { OperationParts } from '../../command/operations/operations.ts'
import type { ConnectionSource } from '../../command/operations/stats.ts'
import { Transfers } from '../../command/transfers/transfers.ts'
import { BinaryDialect } from '../../connection/binary-dialect.ts'
import type { Dialect } from '../../connection/connection.ts'
import type { DialectOptions } from '../../connection/dialect-options.ts'
import { ReplyMemory } from '../../connection/reply-memory.ts'
import { SEND_BUFFER_BYTES, SendBuffer } from '../../connection/send-buffer.ts'
import { TextDialect } from '../../connection/text-dialect.ts'
import type { TurnCounts } from '../../connection/turn-counts.ts'
import { Watchers } from '../../connection/watchers.ts'
import { DEFAULT_NAMESPACE } from '../../credential/namespaces.ts'
import type { LogEvent } from '../../observe/log.ts'
import { WatchLog } from '../../observe/watch-log.ts'
import { MAGIC_REQUEST } from '../../protocol/binary/wire.ts'
import type { SaslEnvironment } from '../../sasl/environment.ts'
import { memoryLimitOf } from '../../storage/counters.ts'
import { LendingRing } from '../../storage/lending.ts'
import { NamespacePlaces } from '../admission/namespace-places.ts'
import { OperatorFacts } from './operator-facts.ts'
import { createRemote, type RemoteService } from './remote-service.ts'
import { Tenant, type TenantOptions } from './tenant.ts'
import type { ThreadClock } from './thread-clock.ts'
import { UnfinishedBudget } from './unfinished-budget.ts'
import type { NamespaceMemory, WorkerSettings } from './worker-messages.ts'
import { throttledRows } from './worker-throttle.ts'

const MEBIBYTE = 1024 * 1024

/** Period at which watchers are sent the events of other workers; their own come with the turns. */
const WATCH_MS = 10
/** Expired items dropped per tick at most: a millisecond's work, and 20,000 items a second. */
const MAINTENANCE_BUDGET = 2000
/**
 * The same of each namespace beside the default one. It does not depend on how many there are: how fast expired
 * items go is seen by their owner.
 */
const TENANT_MAINTENANCE_BUDGET = 100
/** What unread replies hold in the process, or two of the largest items for each worker. */
const REPLY_BYTES_MAX = 64 * MEBIBYTE

export interface ItemServiceOptions {
  readonly settings: WorkerSettings
  readonly lane: Float64Array
  readonly counts: (itemLane: (namespace: number) => Float64Array | undefined) => TurnCounts
  readonly sasl: SaslEnvironment | undefined
  readonly clock: Clock
  readonly threadClock: ThreadClock
  readonly connections: () => ConnectionSource
  readonly isAccepting: () => boolean
  /** A client wants to see more of the log, or less. */
  readonly onVerbosity: (level: number) => void
  /** A client that may do so asks for the end. */
  readonly onShutdown: () => void
  readonly write: (event: LogEvent) => void
  /** Undefined without TLS. */
  readonly refreshCertificates: OperationParts['refreshCertificates']
}

export class ItemService {
  readonly sendBuffer: SendBuffer = new SendBuffer()
  readonly watchLog: WatchLog
  readonly watchers: Watchers
  readonly replyMemory: ReplyMemory
  readonly facts: OperatorFacts
  readonly cluster: ClusterParts
  readonly counts: TurnCounts
  readonly places: NamespacePlaces
  readonly unfinished: UnfinishedBudget

  private readonly options: ItemServiceOptions
  private readonly remote: RemoteService | undefined
  /** By the number of their namespace, the default one first. */
  private readonly tenants: Map<number, Tenant> = new Map()
  private readonly first: Tenant
  private readonly lending: LendingRing = new LendingRing()
  private readonly commands: Commands
  private readonly binary: BinaryDialect
  private readonly text: TextDialect
  private endWatching: () => void = () => undefined

  constructor(options: ItemServiceOptions) {
    this.options = options
    const { settings, lane, clock, threadClock, write } = options
    this.remote = createRemote(settings, clock, threadClock, write)
    const namespaceCount = (): number => this.tenants.size
    const { places: memory, connectionsMax } = settings
    this.places = new NamespacePlaces({ memory, connectionsMax, namespaceCount })
    this.unfinished = new UnfinishedBudget(settings, namespaceCount)
    this.watchLog = new WatchLog(settings.watch, settings.workerIndex, lane, () =>
      Math.round(clock.epochMs(threadClock.nowMs()) * 1000),
    )
    this.watchers = new Watchers({
      log: this.watchLog,
      lane,
      secret: settings.watch.secret,
      bufferBytesMax: settings.watcherBufferBytesMax,
      onActiveChanged: (isActive) => this.drainRegularly(isActive),
      soon: (run) => threadClock.soon(run),
    })
    const { store, counters, prefixes } = settings
    this.cluster = { current: settings.cluster }
    this.first = this.open({ ...DEFAULT_NAMESPACE, store, counters, prefixes })
    this.facts = new OperatorFacts({
      settings,
      clock,
      threadClock,
      isAccepting: options.isAccepting,
      prefixes: this.first.prefixes,
      sizes: this.first.sizes,
    })
    this.commands = new Commands(this.first.commands, (id) => this.tenants.get(id)?.commands)
    this.addNamespaces(settings.namespaces)
    this.replyMemory = new ReplyMemory({
      lane,
      bytesMax: Math.max(REPLY_BYTES_MAX, 2 * settings.threadCount * settings.valueBytesMax),
      valueBytesMax: settings.valueBytesMax,
      shares: settings.replies,
      workerIndex: settings.workerIndex,
      namespaceCount,
    })
    this.counts = options.counts((id) => this.tenants.get(id)?.lane)
    const { binary, text } = this.createDialects()
    this.binary = binary
    this.text = text
  }

  /** The dialect that a first byte asks for. */
  detect(firstByte: number, listenerIndex: number): Dialect {
    const { settings } = this.options
    const protocol = settings.sockets[listenerIndex]?.protocol ?? settings.protocol
    if (protocol !== 'auto') return protocol === 'binary' ? this.binary : this.text
    return firstByte === MAGIC_REQUEST ? this.binary : this.text
  }

  /** Expiries have whole seconds: a clock that moves with the tick is exact enough for them. */
  setTime(nowSeconds: number): void {
    for (const { commands } of this.tenants.values()) commands.setTime(nowSeconds)
  }

  /** Is fulfilled when requests can be carried out, or it is not known when they can be. */
  async opened(): Promise<void> {
    await this.remote?.opened()
  }

  /** Nobody asks any more. */
  close(): void {
    this.remote?.close()
  }

  /** Looks at who lacks memory that others hold; to be called by the worker's coarse timer before the deadlines. */
  lookForWants(nowMs: number): void {
    this.replyMemory.look(nowMs)
    this.unfinished.look(nowMs)
  }

  /** To be called by the worker's coarse timer. */
  maintain(): void {
    const { nowSeconds } = this.first.commands
    for (const tenant of this.tenants.values()) {
      const budget = tenant === this.first ? MAINTENANCE_BUDGET : TENANT_MAINTENANCE_BUDGET
      tenant.store.maintain(nowSeconds, budget)
    }
  }

  /** What a snapshot had is back. */
  endRestore(): void {
    for (const { store } of this.tenants.values()) store.noteChanges(undefined)
  }

  /** From now on these namespaces are served, too. */
  addNamespaces(memories: readonly NamespaceMemory[]): void {
    for (const memory of memories) {
      if (this.lending.members.length === 0) this.first.store.joinLending(this.lending)
      const tenant = this.open(memory)
      tenant.commands.setTime(this.first.commands.nowSeconds)
      tenant.store.joinLending(this.lending)
    }
  }

  /** The same for no more. Its connections must have been closed: nothing of it is under way. */
  leaveNamespaces(ids: readonly number[]): void {
    for (const id of ids) {
      const tenant = this.tenants.get(id)
      if (tenant === undefined || tenant === this.first) continue
      assert(tenant.store.quiesce(), `something is under way in namespace ${id}`)
      this.commands.forget(id)
      this.counts.forget(id)
      this.tenants.delete(id)
      tenant.store.leaveLending()
    }
    if (this.tenants.size === 1) this.first.store.leaveLending()
  }

  private open(memory: NamespaceMemory): Tenant {
    const { settings, onVerbosity, onShutdown } = this.options
    const { shutdownEnabled, watchEnabled, dumpEnabled } = settings
    const tenant = new Tenant({
      settings,
      memory,
      remote: this.remote,
      watchLog: this.watchLog,
      passOn: () => this.watchers.drain(),
      facts: () => this.factsFor(memory),
      steering: {
        shutdownEnabled,
        watchEnabled,
        dumpEnabled,
        of: (id) => this.tenants.get(id)?.operations,
        namespaceOf: (name) => [...this.tenants.values()].find((it) => it.name === name)?.id,
        setMemoryLimit: (mib) => this.first.store.setMemoryLimit(mib * MEBIBYTE),
        setVerbosity: onVerbosity,
        shutdown: onShutdown,
        cluster: this.cluster,
        refreshCertificates: this.options.refreshCertificates,
      },
    })
    tenant.store.noteChanges(settings.touched?.[tenant.id])
    this.tenants.set(tenant.id, tenant)
    return tenant
  }

  private createDialects(): { readonly binary: BinaryDialect; readonly text: TextDialect } {
    const { settings, lane } = this.options
    const { commands, sendBuffer, replyMemory, watchers, counts } = this
    const options: DialectOptions = {
      valueBytesMax: settings.valueBytesMax,
      saslBytesMax: settings.saslBytesMax,
      requestsPerTurnMax: settings.requestsPerTurnMax,
      version: settings.version,
      operations: this.first.operations,
      counts,
      replyMemory,
      isStoreElsewhere: this.remote !== undefined,
    }
    const transfers = new Transfers(commands, {
      valueBytesMax: settings.valueBytesMax,
      crowdedBytesMin: SEND_BUFFER_BYTES,
      memory: replyMemory,
    })
    return {
      binary: new BinaryDialect(commands, transfers, sendBuffer, lane, options),
      text: new TextDialect(commands, transfers, sendBuffer, lane, { ...options, watchers }),
    }
  }

  /**
   * What the users of a namespace are told beside its metrics. Those of the default one are told of the
   * process; the others see no connection, and not how much the process works for others.
   */
  private factsFor({ id, store }: NamespaceMemory): ReturnType<TenantOptions['facts']> {
    const { settings, connections, sasl } = this.options
    const isFirst = id === DEFAULT_NAMESPACE.id
    return {
      pid: process.pid,
      version: settings.version,
      eventLoop: `libuv-${process.versions.uv}`,
      process: () => {
        const metrics = this.facts.processMetrics()
        return isFirst ? metrics : { ...metrics, rusage_user: 0, rusage_system: 0 }
      },
      settings: () => {
        const rows = this.facts.settingsRows()
        if (isFirst) return rows
        const quota = String(memoryLimitOf(store))
        return rows.map(([name, value]) => [name, name === 'maxbytes' ? quota : value] as const)
      },
      connections: isFirst ? connections : () => ({ next: () => undefined }),
      mechanisms: () => sasl?.mechanisms,
      // Sources and users of others are nothing to tell a tenant.
      throttled: () => (isFirst ? throttledRows(sasl?.throttle) : []),
      showsLruMaintainer: settings.showsLruMaintainer,
      ...(isFirst && { namespaces: () => [...this.tenants.values()].map((it) => it.asFacts) }),
    }
  }

  private drainRegularly(isActive: boolean): void {
    this.endWatching()
    this.endWatching = () => undefined
    if (!isActive) return
    this.endWatching = this.options.threadClock.every(WATCH_MS, () => this.watchers.drain())
  }
}
