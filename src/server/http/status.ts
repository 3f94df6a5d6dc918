/**
 * What the page at / shows, as one JSON document (/status.json). Its fields are for that page and may
 * change with it; whoever wants figures for good takes /metrics.
 *
 * Invariant: nothing is made while nobody asks but a row of the history. Reading takes no lock but that of
 * the throttle, for the 64 names that it lists at most, and what the families
 * take. Passwords, keys and values are not known here.
 */
import type {
  HistogramFamily,
  Labels,
  MetricFamily,
  ValueFamily,
} from '../../observe/metric-family.ts'
import { MetricReader, type MetricValues, sumOfNamespaces } from '../../observe/metric-reader.ts'
import type { ProcessMetricName } from '../../observe/metrics.ts'
import type { Throttled } from '../../sasl/throttle/throttled-list.ts'
import { readStoreMetrics } from '../../storage/counters.ts'
import { readSegmentMap, SEGMENT_USES, type SegmentMap } from '../../storage/segment-map.ts'
import type { NamespaceMemory } from '../worker/worker-messages.ts'
import { SAMPLE_INTERVAL_MS, StatusHistory } from './status-history.ts'

/** More segments than that are shown several to a cell. */
const CELLS_MAX = 1024
/** Users that are shown: the busiest. */
const USERS_MAX = 50

export interface StatusSources {
  /** What never changes: version, threads, what is switched on. */
  readonly facts: Readonly<Record<string, string | number | boolean>>
  /** The default namespace first. */
  readonly namespaces: () => readonly Pick<NamespaceMemory, 'name' | 'store' | 'counters'>[]
  readonly process: () => Readonly<Record<ProcessMetricName, number>>
  /** Why the server is not ready; empty if it is. */
  readonly holds: () => readonly string[]
  /** How many users each namespace has, by name; undefined where nobody logs in. */
  readonly users: () => ReadonlyMap<string, number> | undefined
  /** Who is refused just now; undefined where failures are held against nobody. */
  readonly throttled: () => readonly (Throttled & { readonly seconds: number })[] | undefined
  /** Metrics with labels; those of users, of logins by mechanism, and of latency are shown. */
  readonly families: () => readonly MetricFamily[]
  /** On a clock that is never set. */
  readonly nowMs: () => number
}

/** One namespace, and what is counted of it. */
interface Reading {
  readonly name: string
  readonly values: MetricValues
}

export class Status {
  private readonly sources: StatusSources
  private readonly history: StatusHistory

  constructor(sources: StatusSources, history: StatusHistory = new StatusHistory()) {
    this.sources = sources
    this.history = history
  }

  /** To be called every SAMPLE_INTERVAL_MS. */
  sample(): void {
    this.history.add(sumOfNamespaces(this.read().map(({ values }) => values)), this.sources.nowMs())
  }

  /** The document. */
  text(): string {
    return JSON.stringify(this.document())
  }

  private read(): Reading[] {
    const { namespaces, process } = this.sources
    return namespaces().map(({ name, store, counters }) => ({
      name,
      values: new MetricReader({
        counters,
        store: () => readStoreMetrics(store),
        process,
      }).read(),
    }))
  }

  private document(): object {
    const { facts, namespaces, users, throttled } = this.sources
    const holds = this.sources.holds()
    const families = this.sources.families()
    const readings = this.read()
    const memories = namespaces().map(({ store }) => store)
    return {
      facts,
      ready: holds.length === 0,
      holds,
      at_ms: this.sources.nowMs(),
      interval_ms: SAMPLE_INTERVAL_MS,
      sequence: this.history.sequence,
      metrics: sumOfNamespaces(readings.map(({ values }) => values)),
      history: this.history.points(),
      segments: segmentFields(readSegmentMap(memories, CELLS_MAX)),
      namespaces: namespaceFields(readings, users()),
      throttled: throttled() ?? null,
      logins: loginFields(families),
      users: userFields(families),
      latency: latencyFields(families),
    }
  }
}

/** By cell: the place among `uses`, how full of live bytes, and the place among the namespaces. */
function segmentFields(map: SegmentMap): object {
  return {
    segment_bytes: map.segmentBytes,
    segments: map.segmentCount,
    segments_per_cell: map.segmentsPerCell,
    uses: SEGMENT_USES,
    cells: [...map.uses],
    live_percents: [...map.livePercents],
    owners: [...map.owners],
    sums: map.sums.map(({ use, segmentCount, liveBytes }) => ({
      use,
      segments: segmentCount,
      live_bytes: liveBytes,
    })),
  }
}

function namespaceFields(
  readings: readonly Reading[],
  users: ReadonlyMap<string, number> | undefined,
): object[] {
  return readings.map(({ name, values }) => ({
    name,
    users: users === undefined ? null : (users.get(name) ?? 0),
    quota_bytes: values.memory_bytes,
    held_bytes: values.segments * values.segment_bytes,
    bytes: values.bytes,
    items: values.items,
    gets: values.cmd_get,
    hits: values.get_hits,
    sets: values.cmd_set,
    evictions: values.evictions,
    refused_writes: values.store_no_memory,
  }))
}

function isOfValues(family: MetricFamily): family is ValueFamily {
  return family.kind !== 'histogram'
}

function isOfLatency(family: MetricFamily): family is HistogramFamily {
  return family.kind === 'histogram' && /^(request|command)/.test(family.name)
}

/** Of each family that counts logins by mechanism. */
function loginFields(families: readonly MetricFamily[]): object[] {
  return families
    .filter(isOfValues)
    .filter(({ name }) => name.startsWith('login'))
    .flatMap((family) => family.samples().filter(({ labels }) => labels.mechanism !== undefined))
    .map(({ labels, value }) => ({ labels, value }))
}

/** A row a user, with what each family that has users and nothing else for labels counts of it. */
function userFields(families: readonly MetricFamily[]): object[] {
  const rows = new Map<string, Record<string, string | number>>()
  for (const family of families.filter(isOfValues)) {
    for (const { labels, value } of family.samples()) {
      const user = onlyLabel(labels, 'user')
      if (user === undefined) break
      const row = rows.get(user) ?? { user }
      row[family.name] = value
      rows.set(user, row)
    }
  }
  const busyness = (row: Record<string, string | number>): number =>
    Object.values(row).reduce<number>((sum, it) => sum + (typeof it === 'number' ? it : 0), 0)
  return [...rows.values()].sort((a, b) => busyness(b) - busyness(a)).slice(0, USERS_MAX)
}

function onlyLabel(labels: Labels, name: string): string | undefined {
  return Object.keys(labels).length === 1 ? labels[name] : undefined
}

/** Null where latency is not measured. Counts are of observations up to each bound. */
function latencyFields(families: readonly MetricFamily[]): object | null {
  const family = families.find(isOfLatency)
  if (family === undefined) return null
  const samples = family.samples()
  return {
    bounds: samples[0]?.buckets.map(({ le }) => le) ?? [],
    samples: samples.map(({ labels, buckets, count, sum }) => ({
      labels,
      counts: buckets.map((bucket) => bucket.count),
      count,
      sum,
    })),
  }
}
