/**
 * The dialects of the server's own code over a store of their own, without sockets, threads or a clock:
 * what a test feeds to their connections is all that happens.
 */

import { type CommandStore, Commands } from '../../src/command/commands.ts'
import { LocalCommands } from '../../src/command/local/local-commands.ts'
import { ItemDump } from '../../src/command/operations/dump.ts'
import { ItemSizes } from '../../src/command/operations/item-sizes.ts'
import type { RowSource } from '../../src/command/operations/rows.ts'
import { Transfers } from '../../src/command/transfers/transfers.ts'
import { BinaryDialect } from '../../src/connection/binary-dialect.ts'
import type { Dialect } from '../../src/connection/connection.ts'
import { createNamespaceShares } from '../../src/connection/namespace-shares.ts'
import { ReplyMemory } from '../../src/connection/reply-memory.ts'
import { SEND_BUFFER_BYTES, SendBuffer } from '../../src/connection/send-buffer.ts'
import { TextDialect } from '../../src/connection/text-dialect.ts'
import type { ConnectionLimits } from '../../src/connection/worker-context.ts'
import { counterLane, createCounterMemory } from '../../src/observe/counters.ts'
import type { PrefixTable } from '../../src/observe/prefix-table.ts'
import { createStoreMemory, type StoreMemory } from '../../src/storage/geometry.ts'
import { Store } from '../../src/storage/store.ts'
import { type ManualConnection, openManualConnection } from './manual-connection.ts'
import { createObservers } from './observers.ts'
import { type ManualCounts, manualCounts } from './turn-counts.ts'

const MEBIBYTE = 1024 * 1024

export interface ManualServerOptions {
  readonly memoryBytes?: number
  readonly itemBytesMax?: number
  readonly evicts?: boolean
  readonly valueBytesMax?: number
  readonly saslBytesMax?: number
  readonly requestsPerTurnMax?: number
  /** Undefined: no times are taken. */
  readonly nowMs?: () => number
  readonly replyBytesMax?: number
  /** The rows of all groups but `sizes`. */
  readonly stats?: (group: string) => RowSource | undefined
  readonly shutdownEnabled?: boolean
  /** What is behind the command face instead of the store. */
  readonly behindFace?: CommandStore
  /** It is elsewhere: many requests of a connection may be under way. */
  readonly isStoreElsewhere?: boolean
  /** Told of what operators' commands do outside of the store. */
  readonly onOperation?: (name: string) => void
  readonly namespaceOf?: (name: string) => number | undefined
  readonly refreshCertificates?: () => Promise<string | undefined>
}

export interface ManualServer {
  readonly memory: StoreMemory
  readonly store: Store
  readonly lane: Float64Array
  readonly counted: ManualCounts
  readonly sendBuffer: SendBuffer
  readonly replyMemory: ReplyMemory
  readonly commands: Commands
  readonly binary: Dialect
  readonly text: Dialect
  readonly prefixes: PrefixTable
  readonly sizes: ItemSizes
  open(dialect: 'text' | 'binary', limits?: Partial<ConnectionLimits>): ManualConnection
}

export const MANUAL_NOW = 1_700_000_000

export function createManualServer(options: ManualServerOptions = {}): ManualServer {
  const itemBytesMax = options.itemBytesMax ?? MEBIBYTE
  const memory = createStoreMemory({
    memoryBytes: options.memoryBytes ?? 8 * MEBIBYTE,
    itemBytesMax,
    evicts: options.evicts ?? true,
    workerCount: 1,
    seed: [1, 2],
  })
  const store = new Store(memory, 0)
  const lane = counterLane(createCounterMemory(1), 0)
  const sendBuffer = new SendBuffer()
  const { observer, prefixes, watchers } = createObservers(store, lane)
  const local = new LocalCommands(store, lane, observer, { flushEnabled: true, casEnabled: true })
  local.setTime(MANUAL_NOW)
  const commands = new Commands(options.behindFace ?? local)
  const { onOperation = () => undefined } = options
  const replyMemory: ReplyMemory = new ReplyMemory({
    lane,
    bytesMax: options.replyBytesMax ?? 64 * MEBIBYTE,
    valueBytesMax: options.valueBytesMax ?? itemBytesMax,
    shares: createNamespaceShares(1),
    workerIndex: 0,
    namespaceCount: () => 1,
  })
  const transfers = new Transfers(commands, {
    valueBytesMax: options.valueBytesMax ?? itemBytesMax,
    crowdedBytesMin: SEND_BUFFER_BYTES,
    memory: replyMemory,
  })
  const sizes = new ItemSizes(store, observer.observed, true)
  const counted = manualCounts(lane, options.nowMs)
  const { counts } = counted
  const dialectOptions = {
    counts,
    replyMemory,
    isStoreElsewhere: options.isStoreElsewhere ?? false,
    valueBytesMax: options.valueBytesMax ?? itemBytesMax,
    saslBytesMax: options.saslBytesMax ?? 1000,
    requestsPerTurnMax: options.requestsPerTurnMax ?? 500,
    version: '0',
    operations: {
      shutdownEnabled: options.shutdownEnabled ?? false,
      watchEnabled: true,
      dumpEnabled: true,
      cluster: { current: undefined },
      stats: (group: string): RowSource | undefined => {
        onOperation(`stats ${group}`)
        return group === 'sizes' ? sizes.count() : options.stats?.(group)
      },
      resetStats: () => onOperation('stats reset'),
      prefixes,
      sizes,
      dump: (form: number) => {
        onOperation('dump')
        return new ItemDump(store, form)
      },
      setMemoryLimit: (mib: number) => {
        onOperation('memory limit')
        return mib === 64
      },
      setVerbosity: () => onOperation('verbosity'),
      shutdown: () => onOperation('shutdown'),
      refreshCertificates: options.refreshCertificates,
      ...(options.namespaceOf === undefined ? {} : { namespaceOf: options.namespaceOf }),
    },
  }
  const parts = {
    memory,
    store,
    lane,
    counts,
    counted,
    sendBuffer,
    replyMemory,
    commands,
    binary: new BinaryDialect(commands, transfers, sendBuffer, lane, dialectOptions),
    text: new TextDialect(commands, transfers, sendBuffer, lane, {
      ...dialectOptions,
      watchers,
    }),
    prefixes,
    sizes,
  }
  return {
    ...parts,
    open: (dialect, limits = {}) => openManualConnection(parts, parts[dialect], { limits }),
  }
}
