/**
 * The `stats` groups: views of the table of metrics (observe/metrics.ts), and what else operators ask
 * the server for. The general group is memcached's own (general-rows.ts); what is only ours stands in
 * `auth` and `store`, in the order of the table.
 *
 * Everything here is for people and monitors, a few times a minute: nothing is on the hot path. But
 * any client may ask, as often as it likes: rows come in steps of bounded work, and whoever carries
 * them to a client lets others have their turns in between.
 */
import { MetricReader, type MetricSources, type MetricValues } from '../../observe/metric-reader.ts'
import { type MetricGroup, type MetricName, metricsOf } from '../../observe/metrics.ts'
import { generalRows, isOfLruMaintainer, isOfTls, type ProcessFacts } from './general-rows.ts'
import type { ItemSizes } from './item-sizes.ts'
import { FixedRows, type RowSource, type StatRows } from './rows.ts'

/** One row of `stats conns`. */
export interface ConnectionFacts {
  readonly id: number
  readonly peer: string
  readonly listenAddress: string
  readonly state: string
  readonly idleSeconds: number
  /** Whether it is encrypted; undefined on a server without TLS. */
  readonly isTls?: boolean | undefined
}

/** One namespace, for who is told of all of them. */
export interface NamespaceFacts {
  readonly name: string
  readonly stats: Stats
  /** What it may hold now: its quota, less what it does not use, and what others lend it. */
  readonly heldBytes: number
}

/** All connections, in steps as in a RowSource. */
export interface ConnectionSource {
  next(): readonly ConnectionFacts[] | undefined
}

/** What the statistics need. */
export interface ServerFacts extends ProcessFacts {
  readonly metrics: MetricSources
  /** Rows of `stats settings`. */
  readonly settings: () => StatRows
  readonly connections: () => ConnectionSource
  readonly sizes: ItemSizes
  /** Seconds since the use of the item that was not used for longest. */
  readonly itemAge: () => number
  /** The announced mechanisms; undefined where nobody logs in. */
  readonly mechanisms: () => string | undefined
  /** Who is refused because logins failed, a few rows at most. */
  readonly throttled: () => StatRows
  /** False: without the rows that a memcached without its LRU maintainer does not have. */
  readonly showsLruMaintainer: boolean
  /** Every namespace, the own one first; undefined where only the own one is told of. */
  readonly namespaces?: () => readonly NamespaceFacts[]
}

const ALL_NAMESPACES = 'namespaces'
/** `stats namespace NAME`: what `stats` is to its users. */
const NAMED = 'namespace '

/** Whether only who is told of all namespaces has that group. */
export function tellsOfAll(group: string): boolean {
  return group === ALL_NAMESPACES || group.startsWith(NAMED)
}

/** Groups of a bounded number of rows, which are made in one step. */
const GROUPS: ReadonlyMap<string, (stats: Stats, values: MetricValues) => StatRows> = new Map([
  ['', (stats, values) => stats.general(values)],
  ['settings', (stats) => stats.facts.settings()],
  ['items', (stats, values) => stats.items(values)],
  ['slabs', (stats, values) => stats.slabs(values)],
  ['auth', (stats, values) => stats.auth(values)],
  ['store', (_, values) => groupRows(values, 'items', 'memory')],
])

class ConnectionRows implements RowSource {
  private readonly connections: ConnectionSource

  constructor(connections: ConnectionSource) {
    this.connections = connections
  }

  next(): StatRows | undefined {
    return this.connections
      .next()
      ?.flatMap(({ id, peer, listenAddress, state, idleSeconds, isTls }) => [
        [`${id}:addr`, peer] as const,
        [`${id}:listen_addr`, listenAddress] as const,
        [`${id}:state`, state] as const,
        [`${id}:secs_since_last_cmd`, String(idleSeconds)] as const,
        ...(isTls === undefined ? [] : [[`${id}:tls`, isTls ? 'yes' : 'no'] as const]),
      ])
  }
}

export class Stats {
  readonly facts: ServerFacts
  private readonly metrics: MetricReader

  constructor(facts: ServerFacts) {
    this.facts = facts
    this.metrics = new MetricReader(facts.metrics)
  }

  /**
   * The rows of a group, `''` being the general one; undefined when there is no such group. With
   * `seesAll` they are of all namespaces together.
   */
  group(name: string, seesAll = false): RowSource | undefined {
    const { connections, sizes } = this.facts
    switch (name) {
      case 'conns':
        return new ConnectionRows(connections())
      case 'sizes':
        return sizes.isEnabled ? sizes.count() : new FixedRows(sizes.status())
    }
    const namespaces = seesAll ? this.facts.namespaces?.() : undefined
    if (namespaces !== undefined) {
      if (name === ALL_NAMESPACES) return new FixedRows(namespaceRows(namespaces))
      if (name.startsWith(NAMED)) return namedRows(namespaces, name.slice(NAMED.length))
    }
    const make = GROUPS.get(name)
    if (make === undefined) return undefined
    return new FixedRows(make(this, namespaces === undefined ? this.read() : sumOf(namespaces)))
  }

  read(): MetricValues {
    return this.metrics.read()
  }

  reset(): void {
    this.metrics.reset()
  }

  general(values: MetricValues): StatRows {
    const settings = new Map(this.facts.settings())
    const hasIdleTimeout = settings.get('idle_timeout') !== '0'
    const hasTls = settings.get('ssl_enabled') === 'yes'
    return generalRows(values, this.facts).filter(
      ([name]) =>
        (name !== 'idle_kicks' || hasIdleTimeout) &&
        (hasTls || !isOfTls(name)) &&
        !this.isLeftOut(name),
    )
  }

  /** One class: this store has no slab classes, and tools that draw them draw one. */
  items(values: MetricValues): StatRows {
    if (values.items === 0) return []
    const rows = rowsOf('items:1:', {
      number: values.items,
      number_hot: 0,
      number_warm: 0,
      number_cold: values.items,
      age_hot: 0,
      age_warm: 0,
      age: this.facts.itemAge(),
      mem_requested: values.bytes,
      evicted: values.evictions,
      evicted_nonzero: 0,
      evicted_time: 0,
      outofmemory: values.store_no_memory,
      tailrepairs: 0,
      reclaimed: values.reclaimed,
      expired_unfetched: values.expired_unfetched,
      evicted_unfetched: values.evicted_unfetched,
      evicted_active: values.evicted_active,
      crawler_reclaimed: values.crawler_reclaimed,
      crawler_items_checked: values.crawler_checked,
      lrutail_reflocked: 0,
      moves_to_cold: 0,
      moves_to_warm: 0,
      moves_within_lru: values.reinserted,
      direct_reclaims: 0,
      hits_to_hot: 0,
      hits_to_warm: 0,
      hits_to_cold: values.get_hits,
      hits_to_temp: 0,
    })
    return rows.filter(([name]) => !this.isLeftOut(name.slice('items:1:'.length)))
  }

  /** Whether a row is one of memcached's LRU maintainer, and is not wanted. */
  private isLeftOut(name: string): boolean {
    return !this.facts.showsLruMaintainer && isOfLruMaintainer(name)
  }

  /** The segments in the words of slabs: a page is a segment, a chunk is 8 bytes of it. */
  slabs(values: MetricValues): StatRows {
    const usedSegments = values.segments_open + values.segments_sealed
    const chunksPerPage = values.segment_bytes / CHUNK_BYTES
    const usedChunks = Math.ceil(values.bytes / CHUNK_BYTES)
    const rows = rowsOf('1:', {
      chunk_size: CHUNK_BYTES,
      chunks_per_page: chunksPerPage,
      total_pages: usedSegments,
      total_chunks: usedSegments * chunksPerPage,
      used_chunks: usedChunks,
      free_chunks: Math.max(0, usedSegments * chunksPerPage - usedChunks),
      free_chunks_end: 0,
      get_hits: values.get_hits,
      cmd_set: values.cmd_set,
      delete_hits: values.delete_hits,
      incr_hits: values.incr_hits,
      decr_hits: values.decr_hits,
      cas_hits: values.cas_hits,
      cas_badval: values.cas_badval,
      touch_hits: values.touch_hits,
    })
    return [
      ...rows,
      ['active_slabs', usedSegments > 0 ? '1' : '0'],
      ['total_malloced', String(usedSegments * values.segment_bytes)],
    ]
  }

  auth(values: MetricValues): StatRows {
    const mechanisms = this.facts.mechanisms()
    if (mechanisms === undefined) return groupRows(values, 'auth')
    const { throttled } = this.facts
    return [...groupRows(values, 'auth', 'logins'), ['mechanisms', mechanisms], ...throttled()]
  }
}

/** What is counted of requests and items is added up; all else is of the process, and the first's. */
function sumOf(namespaces: readonly NamespaceFacts[]): MetricValues {
  const [own, ...others] = namespaces.map(({ stats }) => stats.read())
  const sum = { ...own } as Record<MetricName, number>
  for (const name of metricsOf('commands', 'items', 'memory')) {
    if (name === 'segment_bytes') continue
    for (const values of others) sum[name] += values[name]
  }
  return sum
}

function namespaceRows(namespaces: readonly NamespaceFacts[]): StatRows {
  return namespaces.flatMap(({ name, stats, heldBytes }) => {
    const values = stats.read()
    return rowsOf(`${name}:`, {
      quota_bytes: values.memory_bytes,
      limit_bytes: heldBytes,
      lent_bytes: Math.max(0, values.memory_bytes - heldBytes),
      borrowed_bytes: Math.max(0, heldBytes - values.memory_bytes),
      bytes: values.bytes,
      curr_items: values.items,
      evictions: values.evictions,
      cmd_get: values.cmd_get,
      get_hits: values.get_hits,
      cmd_set: values.cmd_set,
    })
  })
}

function namedRows(namespaces: readonly NamespaceFacts[], name: string): RowSource | undefined {
  return namespaces.find((namespace) => namespace.name === name)?.stats.group('')
}

function groupRows(values: MetricValues, ...groups: MetricGroup[]): StatRows {
  return metricsOf(...groups).map((name) => [name, String(values[name])] as const)
}

const CHUNK_BYTES = 8

function rowsOf(prefix: string, values: Readonly<Record<string, number>>): StatRows {
  return Object.entries(values).map(([name, value]) => [`${prefix}${name}`, String(value)] as const)
}
