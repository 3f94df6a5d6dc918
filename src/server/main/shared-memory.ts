/** The memory that all workers of a server see, made before the first of them starts. */
import { EXIT_CONFIG, EXIT_OS } from '../../base/exit-code.ts'
import { NAMESPACES_MAX } from '../../base/namespaces-max.ts'
import { createStripeMemory } from '../../command/remote/write-stripes.ts'
import type { Config } from '../../config/config.ts'
import { createNamespaceShares } from '../../connection/namespace-shares.ts'
import type { Namespace } from '../../credential/namespaces.ts'
import { NAMESPACE_DEFAULT } from '../../credential/principal.ts'
import { createCounterMemory } from '../../observe/counters.ts'
import { createPrefixMemory, DEFAULT_DELIMITER } from '../../observe/prefix-table.ts'
import { createWatchMemory, startObserving } from '../../observe/watch-memory.ts'
import { createThrottleMemory } from '../../sasl/throttle/login-throttle.ts'
import { createStoreMemory, type StoreMemory } from '../../storage/geometry.ts'
import { createNamespacePlaces } from '../admission/namespace-places.ts'
import { createWorkerTableMemory } from '../admission/worker-table-memory.ts'
import { createConnectionTableMemory } from '../worker/connection-table.ts'
import { createMeasureMemory } from '../worker/measure-memory.ts'
import { createAuditMemory } from '../worker/worker-audit.ts'
import type { SharedMemory } from '../worker/worker-messages.ts'
import { NamespaceMemories } from './namespace-memory.ts'
import type { Say } from './say.ts'
import { StartError } from './start-error.ts'

const MEBIBYTE = 1024 * 1024

/**
 * Where the items are elsewhere the store stays empty: it is made for small items and gives each namespace little, so that
 * neither -I nor what the users file says of memory asks more of it than it has.
 */
const UNUSED_ITEM_BYTES_MAX = 1024
const UNUSED_QUOTA_BYTES: number = 512 * 1024
/** Each thread has open segments of its own. */
const UNUSED_QUOTA_BYTES_A_THREAD: number = 128 * 1024
/** Address space, and no memory: of all namespaces that there may be, and of the default one. */
const UNUSED_QUOTAS: number = NAMESPACES_MAX + 8

/** The namespaces change while the server runs; all else stays as it is. */
export interface ServerMemory {
  readonly shared: SharedMemory
  readonly namespaces: NamespaceMemories
}

type CreateStore = typeof createStoreMemory

/** `createStore` is a parameter because a test has a system that gives little. Throws StartError. */
export function createSharedMemory(
  config: Config,
  listenerCount: number,
  say: Say,
  createStore: CreateStore = createStoreMemory,
  wanted: readonly Namespace[] = [],
): ServerMemory {
  const { limits, log } = config
  const workerCount = config.process.threads
  const quotaBytes = config.store === undefined ? undefined : unusedQuotaBytes(workerCount)
  const quotas = wanted.filter(({ id }) => id !== NAMESPACE_DEFAULT)
  const leastBytes =
    quotaBytes === undefined
      ? Math.min(...quotas.map(({ memoryBytes }) => memoryBytes))
      : UNUSED_QUOTA_BYTES
  const store = reserveStore(ownStore(config), say, createStore, leastBytes)
  const { prefixDelimiter, tracksSizes } = log
  const watch = createWatchMemory(workerCount, limits.workerLogBytesMax)
  startObserving(watch, prefixDelimiter !== undefined, tracksSizes)
  const delimiter = prefixDelimiter?.charCodeAt(0) ?? DEFAULT_DELIMITER
  const namespaces = new NamespaceMemories({ store, quotaBytes, delimiter, randomSeed })
  const problems = namespaces.problemsOf(wanted)
  if (problems.length > 0) throw new StartError(problems.join('; '), EXIT_CONFIG)
  namespaces.begin(wanted)
  const shared = {
    store,
    namespaces: namespaces.all,
    // The last lane is the main thread's, for logins over HTTP.
    counters: createCounterMemory(workerCount + 1),
    watch,
    prefixes: createPrefixMemory(delimiter, randomSeed()),
    connectionTable: createConnectionTableMemory(limits.connectionsMax),
    // In `stats conns` the listeners have the first numbers, connections count on from there.
    workerTable: createWorkerTableMemory(
      workerCount,
      listenerCount,
      limits.connectionsMax,
      randomSeed(),
    ),
    places: createNamespacePlaces(),
    unfinished: createNamespaceShares(workerCount),
    replies: createNamespaceShares(workerCount),
    measures: createMeasureMemory(workerCount, log.takesTimes),
    audit:
      config.audit === undefined
        ? undefined
        : createAuditMemory(config.audit.refusesLogins, config.audit.showsKeys),
    throttle: createThrottleMemory((bytes) => crypto.getRandomValues(bytes)),
    stripes: config.store?.near === undefined ? undefined : createStripeMemory(randomSeed()[0]),
  }
  return { shared, namespaces }
}

function unusedQuotaBytes(threads: number): number {
  return UNUSED_QUOTA_BYTES + threads * UNUSED_QUOTA_BYTES_A_THREAD
}

/** As configured, but for a store that stays empty. */
function ownStore(config: Config): Config {
  if (config.store === undefined) return config
  const { memory, process: processConfig } = config
  const leastBytes = UNUSED_QUOTAS * unusedQuotaBytes(processConfig.threads)
  const limitBytes = Math.max(memory.limitBytes, leastBytes)
  const limitBytesMax = Math.max(memory.limitBytesMax, limitBytes)
  return {
    ...config,
    memory: { ...memory, limitBytes, limitBytesMax, itemBytesMax: UNUSED_ITEM_BYTES_MAX },
  }
}

function reserveStore(
  config: Config,
  say: Say,
  createStore: CreateStore,
  quotaBytesMin: number,
): StoreMemory {
  const { limitBytes, limitBytesMax } = config.memory
  const reserved = tryToReserve(config, limitBytesMax, createStore, quotaBytesMin)
  if (!(reserved instanceof RangeError)) return reserved
  if (limitBytesMax > limitBytes) {
    const least = tryToReserve(config, limitBytes, createStore, quotaBytesMin)
    if (!(least instanceof RangeError)) {
      const message =
        `the system does not reserve ${limitBytesMax / MEBIBYTE} MiB of address space ` +
        '(--memory-limit-max): cache_memlimit cannot go above -m'
      say('warn', 'memory_limit_fixed', message, { memory_bytes: limitBytes })
      return least
    }
  }
  const message =
    `the system does not give the memory of -m ${limitBytes / MEBIBYTE}: ` +
    'lower -m, or allow more (ulimit -v, vm.overcommit_memory)'
  throw new StartError(message, EXIT_OS, reserved)
}

function tryToReserve(
  config: Config,
  memoryBytesMax: number,
  createStore: CreateStore,
  quotaBytesMin: number,
): StoreMemory | RangeError {
  const { memory, process: processConfig } = config
  try {
    return createStore({
      memoryBytes: memory.limitBytes,
      memoryBytesMax,
      itemBytesMax: memory.itemBytesMax,
      evicts: memory.evicts,
      ranksBySize: memory.ranksBySize,
      // The thread that keeps the snapshot is one of those who use the store, and a second restores beside it.
      workerCount: processConfig.threads + (config.snapshot === undefined ? 0 : 2),
      seed: randomSeed(),
      ...(Number.isFinite(quotaBytesMin) && { quotaBytesMin }),
    })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return error
  }
}

/** The seed of a keyed hash: strangers must not be able to pick keys, or addresses, that collide. */
function randomSeed(): readonly [number, number] {
  const lanes = crypto.getRandomValues(new Uint32Array(2))
  return [lanes[0]!, lanes[1]!]
}
