/**
 * The `stats` groups: views of the table of metrics (observe/metrics.ts), and what else operators ask
 * the server for. The general group is memcached's own (general-rows.ts); what is only ours stands in
 * `auth` and `store`, in the order of the table.
 *
 * Everything here is for people and monitors, a few times a minute: nothing is on the hot path. But
 * any client may ask, as often as it likes: rows come in steps of bounded work, and whoever carries
 * them to a client lets others have their turns in between.
 */
import {
  MetricReader,
  type MetricSources,
  type MetricValues,
  sumOfNamespaces,
} from '../../observe/metric-reader.ts'
import { type MetricGroup, metricsOf, type StoreMetricName } from '../../observe/metrics.ts'
import { ITEMS_PREFIX, itemRows, slabRows } from './class-rows.ts'
import { generalRows, isOfLruMaintainer, isOfTls, type ProcessFacts } from './general-rows.ts'
import type { ItemSizes } from './item-sizes.ts'
import { FixedRows, type RowSource, rowsOf, type StatRows } from './rows.ts'

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
  /** What stands in the place of metrics that tell what others do, for who is told of the own namespace alone. */
  readonly own: () => Readonly<Partial<Record<StoreMetricName, number>>>
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
  ['slabs', (_, values) => slabRows(values)],
  ['auth', (stats, values) => stats.auth(values)],
  ['store', (_, values) => groupRows(values, 'items', 'memory', 'cluster')],
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

/** A step for each: what its threads have counted is added up for it. */
export class NamespaceRows implements RowSource {
  private readonly namespaces: Iterator<NamespaceFacts>

  constructor(namespaces: readonly NamespaceFacts[]) {
    this.namespaces = namespaces.values()
  }

  next(): StatRows | undefined {
    const { value: namespace } = this.namespaces.next()
    if (namespace === undefined) return undefined
    const { name, stats, heldBytes } = namespace
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
      default:
        break
    }
    const namespaces = seesAll ? this.facts.namespaces?.() : undefined
    if (namespaces !== undefined) {
      if (name === ALL_NAMESPACES) return new NamespaceRows(namespaces)
      if (name.startsWith(NAMED)) return namedRows(namespaces, name.slice(NAMED.length))
    }
    const make = GROUPS.get(name)
    if (make === undefined) return undefined
    const values =
      namespaces === undefined ? { ...this.read(), ...this.facts.own() } : readAll(namespaces)
    return new FixedRows(make(this, values))
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

  items(values: MetricValues): StatRows {
    return itemRows(values, this.facts.itemAge).filter(
      ([name]) => !this.isLeftOut(name.slice(ITEMS_PREFIX.length)),
    )
  }

  /** Whether a row is one of memcached's LRU maintainer, and is not wanted. */
  private isLeftOut(name: string): boolean {
    return !this.facts.showsLruMaintainer && isOfLruMaintainer(name)
  }

  auth(values: MetricValues): StatRows {
    const mechanisms = this.facts.mechanisms()
    if (mechanisms === undefined) return groupRows(values, 'auth')
    const { throttled } = this.facts
    return [...groupRows(values, 'auth', 'logins'), ['mechanisms', mechanisms], ...throttled()]
  }
}

function readAll(namespaces: readonly NamespaceFacts[]): MetricValues {
  return sumOfNamespaces(namespaces.map(({ stats }) => stats.read()))
}

function namedRows(namespaces: readonly NamespaceFacts[], name: string): RowSource | undefined {
  return namespaces.find((namespace) => namespace.name === name)?.stats.group('')
}

function groupRows(values: MetricValues, ...groups: MetricGroup[]): StatRows {
  return metricsOf(...groups).map((name) => [name, String(values[name])] as const)
}
