/**
 * One namespace, as one worker serves it: its view of the store, who carries requests out there, and what its
 * users may ask about it. What is of the process (connections, settings, the watch log) is the same for all.
 */
import type { CommandStore } from '../../command/commands.ts'
import { LocalCommands } from '../../command/local/local-commands.ts'
import { secondsSinceOldestUse } from '../../command/local/oldest-use.ts'
import { RequestObserver } from '../../command/local/request-observer.ts'
import { ItemDump } from '../../command/operations/dump.ts'
import { ItemSizes } from '../../command/operations/item-sizes.ts'
import type { OperationParts } from '../../command/operations/operations.ts'
import { type NamespaceFacts, type ServerFacts, Stats } from '../../command/operations/stats.ts'
import { counterLane } from '../../observe/counters.ts'
import { PrefixTable } from '../../observe/prefix-table.ts'
import type { WatchLog } from '../../observe/watch-log.ts'
import { readOwnSegments, readStoreMetrics } from '../../storage/counters.ts'
import { Store } from '../../storage/store.ts'
import type { RemoteService } from './remote-service.ts'
import type { NamespaceMemory, WorkerSettings } from './worker-messages.ts'

export interface TenantOptions {
  readonly settings: WorkerSettings
  readonly memory: NamespaceMemory
  readonly watchLog: WatchLog
  /** Undefined: the items are in this process. */
  readonly remote: RemoteService | undefined
  /** Makes room in the watch log. */
  readonly passOn: () => void
  /** What `stats` tells beside the metrics of the namespace. */
  readonly facts: (tenant: Tenant) => Omit<ServerFacts, 'metrics' | 'own' | 'sizes' | 'itemAge'> & {
    readonly process: ServerFacts['metrics']['process']
  }
  /** What operators steer; the same for all. */
  readonly steering: Pick<
    OperationParts,
    | 'shutdownEnabled'
    | 'watchEnabled'
    | 'dumpEnabled'
    | 'setMemoryLimit'
    | 'setVerbosity'
    | 'shutdown'
    | 'cluster'
    | 'refreshCertificates'
    | 'of'
    | 'namespaceOf'
  >
}

export class Tenant {
  readonly name: string
  readonly id: number
  readonly store: Store
  readonly prefixes: PrefixTable
  readonly sizes: ItemSizes
  readonly commands: CommandStore & Pick<LocalCommands, 'setTime'>
  readonly operations: OperationParts
  /** Counts what its requests find. */
  readonly lane: Float64Array

  private readonly memory: NamespaceMemory
  private readonly stats: Stats

  constructor(options: TenantOptions) {
    const { settings, memory, watchLog, steering } = options
    const { casEnabled, flushEnabled } = settings
    this.memory = memory
    this.name = memory.name
    this.id = memory.id
    this.store = new Store(memory.store, settings.workerIndex)
    this.prefixes = new PrefixTable(memory.prefixes, watchLog.observed)
    this.sizes = new ItemSizes(this.store, watchLog.observed, casEnabled)
    const observer = new RequestObserver(this.store, watchLog, this.prefixes, options.passOn)
    this.store.observeEvictions(observer)
    this.lane = counterLane(memory.counters, settings.workerIndex)
    this.commands =
      options.remote?.commandsOf(this.name, this.lane) ??
      new LocalCommands(this.store, this.lane, observer, { flushEnabled, casEnabled })
    const { process, ...facts } = options.facts(this)
    this.stats = new Stats({
      ...facts,
      metrics: {
        counters: memory.counters,
        store: () => readStoreMetrics(memory.store),
        process,
      },
      own: () => readOwnSegments(memory.store),
      sizes: this.sizes,
      itemAge: () => secondsSinceOldestUse(this.store, this.commands.nowSeconds),
    })
    this.operations = {
      ...steering,
      stats: (group, seesAll) => this.stats.group(group, seesAll),
      resetStats: () => this.stats.reset(),
      prefixes: this.prefixes,
      sizes: this.sizes,
      dump: (form) => new ItemDump(this.store, form),
    }
  }

  /** For who is told of all namespaces. */
  get asFacts(): NamespaceFacts {
    const { segments, segment_bytes } = readStoreMetrics(this.memory.store)
    return { name: this.name, stats: this.stats, heldBytes: segments * segment_bytes }
  }
}
