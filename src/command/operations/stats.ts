/**
 * The `stats` groups. The general one is memcached's own list in its order (1.6.45), so that tools
 * and exporters find what they read: true where it has a meaning here, 0 where it is about a part
 * that only memcached has. Our own counters stand in groups of their own, `auth` and `store`.
 *
 * Everything here is for people and monitors, a few times a minute: nothing is on the hot path. But
 * any client may ask, as often as it likes: rows come in steps of bounded work, and whoever carries
 * them to a client lets others have their turns in between.
 */
import {
  COUNTER_NAMES,
  type CounterMemory,
  type CounterName,
  counterSums,
  resetCounters,
} from '../../observe/counters.ts'
import type { PrefixDump, PrefixTable } from '../../observe/prefix-table.ts'
import { readStoreCounters, type StoreCounters } from '../../storage/counters.ts'
import type { StoreMemory } from '../../storage/geometry.ts'
import type { ItemSizes } from './item-sizes.ts'

export type StatRows = readonly (readonly [name: string, value: string])[]

/** The rows of a group. A step takes about 0.1 ms at most, however many rows there are in all. */
export interface RowSource {
  /** The next rows, maybe none; undefined after the last. */
  next(nowSeconds: number): StatRows | undefined
}

/** One row of `stats conns`. */
export interface ConnectionFacts {
  readonly id: number
  readonly peer: string
  readonly listenAddress: string
  readonly state: string
  readonly idleSeconds: number
}

/** All connections, in steps as in a RowSource. */
export interface ConnectionSource {
  next(): readonly ConnectionFacts[] | undefined
}

/** What the statistics need beyond the counters. */
export interface ServerFacts {
  readonly version: string
  /** Whole, by the server's clock (base/clock.ts): memcached's `time` does not follow a step either. */
  readonly uptimeSeconds: () => number
  readonly epochSeconds: () => number
  readonly connectionsMax: number
  readonly threadCount: number
  /** Rows of `stats settings`. */
  readonly settings: () => StatRows
  readonly store: StoreMemory
  readonly counters: CounterMemory
  /** From createZeros. */
  readonly zeros: SharedArrayBuffer
  readonly connections: () => ConnectionSource
  readonly isAccepting: () => boolean
  readonly sizes: ItemSizes
  /** Seconds since the use of the item that was not used for longest. */
  readonly itemAge: () => number
  readonly prefixes: PrefixTable
  /** False with -X: no `stats detail`. */
  readonly dumpEnabled: boolean
  /** Own rows of `stats auth`. */
  readonly auth: () => StatRows
  /** False: without the rows that a memcached without its LRU maintainer does not have. */
  readonly showsLruMaintainer: boolean
}

type Reader = (counter: (name: CounterName) => number, store: StoreCounters) => number | string

const ZERO: Reader = () => 0

/** memcached's general list in its order. `counter` names a counter of the same name. */
function generalReaders(facts: ServerFacts): readonly (readonly [string, Reader | 'counter'])[] {
  const usage = process.resourceUsage()
  return [
    ['pid', () => process.pid],
    ['uptime', () => facts.uptimeSeconds()],
    ['time', () => facts.epochSeconds()],
    ['version', () => facts.version],
    ['libevent', () => `libuv-${process.versions.uv}`],
    ['pointer_size', () => 64],
    ['rusage_user', () => (usage.userCPUTime / 1e6).toFixed(6)],
    ['rusage_system', () => (usage.systemCPUTime / 1e6).toFixed(6)],
    ['max_connections', () => facts.connectionsMax],
    ['curr_connections', 'counter'],
    ['total_connections', 'counter'],
    ['rejected_connections', 'counter'],
    ['connection_structures', (counter) => counter('curr_connections')],
    ['response_obj_oom', ZERO],
    ['response_obj_count', ZERO],
    ['response_obj_bytes', ZERO],
    ['read_buf_count', 'counter'],
    ['read_buf_bytes', 'counter'],
    ['read_buf_bytes_free', ZERO],
    ['read_buf_oom', 'counter'],
    ['reserved_fds', ZERO],
    ['cmd_get', 'counter'],
    ['cmd_set', 'counter'],
    ['cmd_flush', 'counter'],
    ['cmd_touch', 'counter'],
    ['cmd_meta', 'counter'],
    ['get_hits', 'counter'],
    ['get_misses', 'counter'],
    ['get_expired', 'counter'],
    ['get_flushed', 'counter'],
    ['delete_misses', 'counter'],
    ['delete_hits', 'counter'],
    ['incr_misses', 'counter'],
    ['incr_hits', 'counter'],
    ['decr_misses', 'counter'],
    ['decr_hits', 'counter'],
    ['cas_misses', 'counter'],
    ['cas_hits', 'counter'],
    ['cas_badval', 'counter'],
    ['touch_hits', 'counter'],
    ['touch_misses', 'counter'],
    ['store_too_large', 'counter'],
    ['store_no_memory', 'counter'],
    ['auth_cmds', 'counter'],
    ['auth_errors', 'counter'],
    ['idle_kicks', 'counter'],
    ['bytes_read', 'counter'],
    ['bytes_written', 'counter'],
    ['limit_maxbytes', (_, store) => store.memoryBytes],
    ['accepting_conns', () => (facts.isAccepting() ? 1 : 0)],
    ['listen_disabled_num', 'counter'],
    ['time_in_listen_disabled_us', 'counter'],
    ['threads', () => facts.threadCount],
    ['conn_yields', 'counter'],
    ['hash_power_level', (_, store) => Math.floor(Math.log2(Math.max(1, store.bucketCount)))],
    ['hash_bytes', (_, store) => store.indexBytes],
    ['hash_is_expanding', ZERO],
    ['slab_reassign_rescues', ZERO],
    ['slab_reassign_chunk_rescues', ZERO],
    ['slab_reassign_inline_reclaim', ZERO],
    ['slab_reassign_busy_items', ZERO],
    ['slab_reassign_busy_deletes', ZERO],
    ['slab_reassign_busy_nomem', ZERO],
    ['slab_reassign_last_busy_status', () => 'none'],
    ['slab_reassign_running', ZERO],
    ['slabs_moved', ZERO],
    ['lru_crawler_running', ZERO],
    ['lru_crawler_starts', ZERO],
    ['lru_maintainer_juggles', ZERO],
    ['malloc_fails', ZERO],
    ['log_worker_dropped', 'counter'],
    ['log_worker_written', 'counter'],
    ['log_watcher_skipped', 'counter'],
    ['log_watcher_sent', 'counter'],
    ['log_watchers', 'counter'],
    ['unexpected_napi_ids', ZERO],
    ['round_robin_fallback', ZERO],
    ['bytes', (_, store) => store.bytes],
    ['curr_items', (_, store) => store.items],
    ['total_items', (_, store) => store.totalItems],
    ['slab_global_page_pool', (_, store) => store.segmentsFree],
    ['expired_unfetched', (_, store) => store.expiredUnfetched],
    ['evicted_unfetched', (_, store) => store.evictedUnfetched],
    ['evicted_active', (_, store) => store.evictedActive],
    ['evictions', (_, store) => store.evictions],
    ['reclaimed', (_, store) => store.reclaimed],
    ['crawler_reclaimed', (_, store) => store.crawlerReclaimed],
    ['crawler_items_checked', (_, store) => store.crawlerChecked],
    ['lrutail_reflocked', ZERO],
    ['moves_to_cold', ZERO],
    ['moves_to_warm', ZERO],
    ['moves_within_lru', (_, store) => store.reinserted],
    ['direct_reclaims', ZERO],
    ['lru_bumps_dropped', ZERO],
  ]
}

/** What 1.6.45 leaves out of `stats` and `stats items` with -o no_lru_maintainer. */
const LRU_MAINTAINER_ROWS: ReadonlySet<string> = new Set([
  'lru_maintainer_juggles',
  'evicted_active',
  'moves_to_cold',
  'moves_to_warm',
  'moves_within_lru',
  'direct_reclaims',
  'lru_bumps_dropped',
  'number_hot',
  'number_warm',
  'number_cold',
  'age_hot',
  'age_warm',
  'hits_to_hot',
  'hits_to_warm',
  'hits_to_cold',
  'hits_to_temp',
])

/** Store counters that `stats reset` sets back; the others say what is held now. */
const RESETTABLE = [
  'totalItems',
  'expiredUnfetched',
  'evictedUnfetched',
  'evictedActive',
  'evictions',
  'reclaimed',
  'reinserted',
  'crawlerReclaimed',
  'crawlerChecked',
  'promoted',
  'ghostHits',
  'compactedSegments',
  'noMemoryWrites',
] as const satisfies readonly (keyof StoreCounters)[]

/** What all workers share of `stats reset`. */
export function createZeros(): SharedArrayBuffer {
  return new SharedArrayBuffer(RESETTABLE.length * 8)
}

/** Groups of a bounded number of rows, which are made in one step. */
const GROUPS: ReadonlyMap<string, (stats: Stats) => StatRows> = new Map([
  ['', (stats) => stats.general()],
  ['settings', (stats) => stats.facts.settings()],
  ['items', (stats) => stats.items()],
  ['slabs', (stats) => stats.slabs()],
  ['sizes_enable', (stats) => stats.facts.sizes.enable()],
  ['sizes_disable', (stats) => stats.facts.sizes.disable()],
  ['auth', (stats) => stats.auth()],
  ['store', (stats) => stats.store()],
])

/** All rows in one step, as they were when it was made. */
class FixedRows implements RowSource {
  private rows: StatRows | undefined

  constructor(rows: StatRows) {
    this.rows = rows
  }

  next(): StatRows | undefined {
    const { rows } = this
    this.rows = undefined
    return rows
  }
}

class ConnectionRows implements RowSource {
  private readonly connections: ConnectionSource

  constructor(connections: ConnectionSource) {
    this.connections = connections
  }

  next(): StatRows | undefined {
    return this.connections
      .next()
      ?.flatMap(({ id, peer, listenAddress, state, idleSeconds }) => [
        [`${id}:addr`, peer] as const,
        [`${id}:listen_addr`, listenAddress] as const,
        [`${id}:state`, state] as const,
        [`${id}:secs_since_last_cmd`, String(idleSeconds)] as const,
      ])
  }
}

/** The lines of `stats detail dump`, put together a step at a time: one row, as in memcached. */
class DetailRows implements RowSource {
  private readonly dump: PrefixDump
  private readonly lines: string[] = []
  private isOver = false

  constructor(dump: PrefixDump) {
    this.dump = dump
  }

  next(): StatRows | undefined {
    if (this.isOver) return undefined
    const lines = this.dump.next()
    if (lines !== undefined) {
      this.lines.push(lines)
      return []
    }
    this.isOver = true
    return [['detailed', `${this.lines.join('')}END\r\n`]]
  }
}

/** `stats detail` as the binary dialect has it, where the words are one key. */
const DETAIL_START = 'detail '

export class Stats {
  readonly facts: ServerFacts
  /** What the store's counters were at the last `stats reset`, in the order of RESETTABLE. */
  private readonly zeros: Float64Array

  constructor(facts: ServerFacts) {
    this.facts = facts
    this.zeros = new Float64Array(facts.zeros)
  }

  /** The rows of a group, `''` being the general one; undefined when there is no such group. */
  group(name: string): RowSource | undefined {
    const { connections, sizes } = this.facts
    switch (name) {
      case 'reset':
        this.reset()
        return new FixedRows([])
      case 'conns':
        return new ConnectionRows(connections())
      case 'sizes':
        return sizes.isEnabled ? sizes.count() : new FixedRows(sizes.status())
    }
    if (name.startsWith(DETAIL_START)) return this.detail(name.slice(DETAIL_START.length))
    const make = GROUPS.get(name)
    return make === undefined ? undefined : new FixedRows(make(this))
  }

  private reset(): void {
    resetCounters(this.facts.counters)
    this.facts.prefixes.clear()
    const counters = readStoreCounters(this.facts.store)
    for (const [index, name] of RESETTABLE.entries()) this.zeros[index] = counters[name]
  }

  /** on, off or dump: the dump is one row, as in memcached. */
  private detail(word: string): RowSource | undefined {
    const { prefixes, dumpEnabled } = this.facts
    if (!dumpEnabled) return undefined
    switch (word) {
      case 'on':
      case 'off':
        prefixes.enable(word === 'on')
        return new FixedRows([])
      case 'dump':
        return new DetailRows(prefixes.dump())
      default:
        return undefined
    }
  }

  private storeCounters(): StoreCounters {
    const counters: Record<keyof StoreCounters, number> = {
      ...readStoreCounters(this.facts.store),
    }
    for (const [index, name] of RESETTABLE.entries()) counters[name] -= this.zeros[index]!
    return counters
  }

  general(): StatRows {
    const { counters, settings } = this.facts
    const store = this.storeCounters()
    const counter = counterSums(counters)
    const hasIdleTimeout = settings().some(
      ([name, value]) => name === 'idle_timeout' && value !== '0',
    )
    const rows: [string, string][] = []
    for (const [name, reader] of generalReaders(this.facts)) {
      if (name === 'idle_kicks' && !hasIdleTimeout) continue
      if (this.isLeftOut(name)) continue
      const value = reader === 'counter' ? counter(name as CounterName) : reader(counter, store)
      rows.push([name, String(value)])
    }
    return rows
  }

  /** One class: this store has no slab classes, and tools that draw them draw one. */
  items(): StatRows {
    const store = this.storeCounters()
    const counter = counterSums(this.facts.counters)
    if (store.items === 0) return []
    const rows = rowsOf('items:1:', {
      number: store.items,
      number_hot: 0,
      number_warm: 0,
      number_cold: store.items,
      age_hot: 0,
      age_warm: 0,
      age: this.facts.itemAge(),
      mem_requested: store.bytes,
      evicted: store.evictions,
      evicted_nonzero: 0,
      evicted_time: 0,
      outofmemory: counter('store_no_memory'),
      tailrepairs: 0,
      reclaimed: store.reclaimed,
      expired_unfetched: store.expiredUnfetched,
      evicted_unfetched: store.evictedUnfetched,
      evicted_active: store.evictedActive,
      crawler_reclaimed: store.crawlerReclaimed,
      crawler_items_checked: store.crawlerChecked,
      lrutail_reflocked: 0,
      moves_to_cold: 0,
      moves_to_warm: 0,
      moves_within_lru: store.reinserted,
      direct_reclaims: 0,
      hits_to_hot: 0,
      hits_to_warm: 0,
      hits_to_cold: counter('get_hits'),
      hits_to_temp: 0,
    })
    return rows.filter(([name]) => !this.isLeftOut(name.slice('items:1:'.length)))
  }

  /** Whether a row is one of memcached's LRU maintainer, and is not wanted. */
  private isLeftOut(name: string): boolean {
    return !this.facts.showsLruMaintainer && LRU_MAINTAINER_ROWS.has(name)
  }

  /** The segments in the words of slabs: a page is a segment, a chunk is 8 bytes of it. */
  slabs(): StatRows {
    const store = this.storeCounters()
    const counter = counterSums(this.facts.counters)
    const usedSegments = store.segmentsOpen + store.segmentsSealed
    const chunksPerPage = store.segmentBytes / CHUNK_BYTES
    const usedChunks = Math.ceil(store.bytes / CHUNK_BYTES)
    const rows = rowsOf('1:', {
      chunk_size: CHUNK_BYTES,
      chunks_per_page: chunksPerPage,
      total_pages: usedSegments,
      total_chunks: usedSegments * chunksPerPage,
      used_chunks: usedChunks,
      free_chunks: Math.max(0, usedSegments * chunksPerPage - usedChunks),
      free_chunks_end: 0,
      get_hits: counter('get_hits'),
      cmd_set: counter('cmd_set'),
      delete_hits: counter('delete_hits'),
      incr_hits: counter('incr_hits'),
      decr_hits: counter('decr_hits'),
      cas_hits: counter('cas_hits'),
      cas_badval: counter('cas_badval'),
      touch_hits: counter('touch_hits'),
    })
    return [
      ...rows,
      ['active_slabs', usedSegments > 0 ? '1' : '0'],
      ['total_malloced', String(usedSegments * store.segmentBytes)],
    ]
  }

  auth(): StatRows {
    const counter = counterSums(this.facts.counters)
    const own = COUNTER_NAMES.filter((name) => AUTH_COUNTERS.has(name))
    return [...own.map((name) => [name, String(counter(name))] as const), ...this.facts.auth()]
  }

  store(): StatRows {
    return Object.entries(this.storeCounters()).map(
      ([name, value]) =>
        [name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`), String(value)] as const,
    )
  }
}

const AUTH_COUNTERS: ReadonlySet<CounterName> = new Set<CounterName>([
  'unauthenticated_connections',
  'waiting_connections',
  'auth_cmds',
  'auth_errors',
  'auth_challenges',
  'auth_attempts_exceeded',
  'auth_refused_commands',
  'login_timeouts',
  'request_too_large',
  'protocol_errors',
  'stalled_kicks',
  'unauthenticated_buf_bytes',
  'unauthenticated_buf_oom',
  'unread_reply_bytes',
  'unread_reply_oom',
])

const CHUNK_BYTES = 8

function rowsOf(prefix: string, values: Readonly<Record<string, number>>): StatRows {
  return Object.entries(values).map(([name, value]) => [`${prefix}${name}`, String(value)] as const)
}
