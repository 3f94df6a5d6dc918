/**
 * What one worker answers requests with: its view of the store, those who carry requests out, the
 * dialects in front of them, and those who are told of what was done (watchers, counts by prefix).
 */
import type { Clock } from '../../base/clock.ts'
import { Commands } from '../../command/commands.ts'
import { LocalCommands } from '../../command/local/local-commands.ts'
import { secondsSinceOldestUse } from '../../command/local/oldest-use.ts'
import { RequestObserver } from '../../command/local/request-observer.ts'
import { ItemDump } from '../../command/operations/dump.ts'
import { ItemSizes } from '../../command/operations/item-sizes.ts'
import { type ConnectionSource, Stats } from '../../command/operations/stats.ts'
import { Transfers } from '../../command/transfers/transfers.ts'
import { BinaryDialect, type DialectOptions } from '../../connection/binary-dialect.ts'
import type { Dialect } from '../../connection/connection.ts'
import { ReplyMemory } from '../../connection/reply-memory.ts'
import { SEND_BUFFER_BYTES, SendBuffer } from '../../connection/send-buffer.ts'
import { TextDialect } from '../../connection/text-dialect.ts'
import { Watchers } from '../../connection/watchers.ts'
import { sumCounter } from '../../observe/counters.ts'
import { PrefixTable } from '../../observe/prefix-table.ts'
import { WatchLog } from '../../observe/watch-log.ts'
import { MAGIC_REQUEST } from '../../protocol/binary/wire.ts'
import type { SaslEnvironment } from '../../sasl/environment.ts'
import { readStoreMetrics } from '../../storage/counters.ts'
import { Store } from '../../storage/store.ts'
import { OperatorFacts } from './operator-facts.ts'
import type { ThreadClock } from './thread-clock.ts'
import { throttledRows } from './throttle-log.ts'
import type { WorkerSettings } from './worker-messages.ts'

const MEBIBYTE = 1024 * 1024

/** Period at which watchers are sent the events of other workers; their own come with the turns. */
const WATCH_MS = 10
/** Expired items dropped per tick at most: a millisecond's work, and 20,000 items a second. */
const MAINTENANCE_BUDGET = 2000
/** What unread replies hold in the process, or two of the largest items for each worker. */
const REPLY_BYTES_MAX = 64 * MEBIBYTE

export interface ItemServiceOptions {
  readonly settings: WorkerSettings
  readonly lane: Float64Array
  readonly sasl: SaslEnvironment | undefined
  readonly clock: Clock
  readonly threadClock: ThreadClock
  readonly connections: () => ConnectionSource
  readonly isAccepting: () => boolean
  /** A client wants to see more of the log, or less. */
  readonly onVerbosity: (level: number) => void
  /** A client that may do so asks for the end. */
  readonly onShutdown: () => void
}

export class ItemService {
  readonly sendBuffer: SendBuffer = new SendBuffer()
  readonly watchLog: WatchLog
  readonly watchers: Watchers
  readonly replyMemory: ReplyMemory
  readonly facts: OperatorFacts

  private readonly options: ItemServiceOptions
  private readonly store: Store
  private readonly prefixes: PrefixTable
  private readonly sizes: ItemSizes
  private readonly commands: LocalCommands
  private readonly binary: BinaryDialect
  private readonly text: TextDialect
  private endWatching: () => void = () => undefined

  constructor(options: ItemServiceOptions) {
    this.options = options
    const { settings, lane, clock, threadClock } = options
    const { casEnabled, flushEnabled } = settings
    this.store = new Store(settings.store, settings.workerIndex)
    this.watchLog = new WatchLog(settings.watch, settings.workerIndex, lane, () =>
      Math.round(clock.epochMs(threadClock.nowMs()) * 1000),
    )
    this.prefixes = new PrefixTable(settings.prefixes, this.watchLog.observed)
    this.sizes = new ItemSizes(this.store, this.watchLog.observed, casEnabled)
    this.watchers = new Watchers({
      log: this.watchLog,
      lane,
      bufferBytesMax: settings.watcherBufferBytesMax,
      onActiveChanged: (isActive) => this.drainRegularly(isActive),
    })
    const observer = new RequestObserver(this.store, this.watchLog, this.prefixes, () =>
      this.watchers.drain(),
    )
    this.store.witnessEvictions(observer)
    this.commands = new LocalCommands(this.store, lane, observer, { flushEnabled, casEnabled })
    this.facts = new OperatorFacts({
      settings,
      clock,
      threadClock,
      isAccepting: options.isAccepting,
      prefixes: this.prefixes,
      sizes: this.sizes,
    })
    this.replyMemory = new ReplyMemory({
      lane,
      bytesMax: Math.max(REPLY_BYTES_MAX, 2 * settings.threadCount * settings.valueBytesMax),
      heldByAll: () => sumCounter(settings.counters, 'unread_reply_bytes'),
    })
    const { binary, text } = this.createDialects()
    this.binary = binary
    this.text = text
  }

  /** The dialect that a first byte asks for. */
  detect(firstByte: number): Dialect {
    const { protocol } = this.options.settings
    if (protocol !== 'auto') return protocol === 'binary' ? this.binary : this.text
    return firstByte === MAGIC_REQUEST ? this.binary : this.text
  }

  /** Expiries have whole seconds: a clock that moves with the tick is exact enough for them. */
  setTime(nowSeconds: number): void {
    this.commands.setTime(nowSeconds)
  }

  /** To be called by the worker's coarse timer. */
  maintain(): void {
    this.store.maintain(this.commands.nowSeconds, MAINTENANCE_BUDGET)
  }

  private createDialects(): { readonly binary: BinaryDialect; readonly text: TextDialect } {
    const { settings, lane, onVerbosity, onShutdown } = this.options
    const { store, sendBuffer, replyMemory, prefixes, sizes, watchers } = this
    const { shutdownEnabled, watchEnabled, dumpEnabled } = settings
    const commands = new Commands(this.commands)
    const stats = this.createStats()
    const options: DialectOptions = {
      valueBytesMax: settings.valueBytesMax,
      saslBytesMax: settings.saslBytesMax,
      requestsPerTurnMax: settings.requestsPerTurnMax,
      version: settings.version,
      operations: {
        shutdownEnabled,
        watchEnabled,
        dumpEnabled,
        stats: (group) => stats.group(group),
        resetStats: () => stats.reset(),
        prefixes,
        sizes,
        dump: (form) => new ItemDump(store, form),
        setMemoryLimit: (mib) => store.setMemoryLimit(mib * MEBIBYTE),
        setVerbosity: onVerbosity,
        shutdown: onShutdown,
      },
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

  private createStats(): Stats {
    const { settings, connections, sasl } = this.options
    const { store, commands, facts, sizes } = this
    return new Stats({
      pid: process.pid,
      version: settings.version,
      eventLoop: `libuv-${process.versions.uv}`,
      metrics: {
        counters: settings.counters,
        store: () => readStoreMetrics(settings.store),
        process: () => facts.processMetrics(),
      },
      settings: () => facts.settingsRows(),
      connections,
      sizes,
      itemAge: () => secondsSinceOldestUse(store, commands.nowSeconds),
      mechanisms: () => sasl?.mechanisms,
      throttled: () => throttledRows(sasl?.throttle),
      showsLruMaintainer: settings.showsLruMaintainer,
    })
  }

  private drainRegularly(isActive: boolean): void {
    this.endWatching()
    this.endWatching = () => undefined
    if (!isActive) return
    this.endWatching = this.options.threadClock.every(WATCH_MS, () => this.watchers.drain())
  }
}
