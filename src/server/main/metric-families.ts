/**
 * All metrics with labels, from the memory that the threads share: what is told beside METRIC_LIST
 * (observe/metric-reader.ts). The main thread reads; no worker is asked anything.
 */
import { verbLabels } from '../../connection/turn-counts.ts'
import { DEFAULT_NAMESPACE } from '../../credential/namespaces.ts'
import type { DatedCertificate } from '../../credential/tls-certificates.ts'
import { sumCounter } from '../../observe/counters.ts'
import type { HistogramSample, MetricFamily, ValueSample } from '../../observe/metric-family.ts'
import type { CounterName, StoreMetricName } from '../../observe/metrics.ts'
import { HISTOGRAM_SLOTS, histogramSample } from '../../observe/power-histogram.ts'
import { type SharedLanes, sumSharedLanes } from '../../observe/shared-lanes.ts'
import { userFamilies } from '../../observe/user-counts.ts'
import { readStoreMetrics } from '../../storage/counters.ts'
import { eventFamilies } from '../worker/event-counters.ts'
import { loopFamilies } from '../worker/loop-measures.ts'
import type { NamespaceMemory, SharedMemory } from '../worker/worker-messages.ts'

export interface MetricFamilySources {
  readonly shared: SharedMemory
  /** Those beside the default one, as they are now. */
  readonly namespaces: () => readonly NamespaceMemory[]
  readonly datedCertificates: () => readonly DatedCertificate[]
  readonly residentBytes: () => number
}

/** Each is read anew whenever its `samples()` are asked for. */
export function metricFamilies(sources: MetricFamilySources): readonly MetricFamily[] {
  const { users, events, loops, requests, latencies } = sources.shared.measures
  return [
    requestFamily(requests),
    ...(latencies === undefined ? [] : [durationFamily(latencies)]),
    ...userFamilies(users),
    ...namespaceFamilies(sources),
    ...eventFamilies(events),
    ...loopFamilies(loops),
    ...memoryFamilies(sources),
    certificateFamily(sources),
  ]
}

/** What is told of the process and of the default namespace to who is not to be told of other namespaces, or their users. */
export function ownMetricFamilies(sources: MetricFamilySources): readonly MetricFamily[] {
  const { events, loops } = sources.shared.measures
  return [
    ...namespaceFamilies({ ...sources, namespaces: () => [] }),
    ...eventFamilies(events),
    ...loopFamilies(loops),
    ...memoryFamilies(sources),
    certificateFamily(sources),
  ]
}

/** Verbs that nobody has used are left out: there are many, and most clients use few. */
function requestFamily(requests: SharedLanes): MetricFamily {
  return {
    name: 'requests',
    kind: 'counter',
    help: 'Requests answered, refused ones included, by dialect and verb.',
    samples: (): ValueSample[] =>
      [...sumSharedLanes(requests)].flatMap((value, slot) => {
        const labels = value > 0 ? verbLabels(slot) : undefined
        return labels === undefined ? [] : [{ labels, value }]
      }),
  }
}

function durationFamily(latencies: SharedLanes): MetricFamily {
  return {
    name: 'request_duration_seconds',
    kind: 'histogram',
    help: 'From the read that brought the end of a request to the write of its answer.',
    samples: (): HistogramSample[] => {
      const sums = sumSharedLanes(latencies)
      return Array.from({ length: sums.length / HISTOGRAM_SLOTS }, (_, slot) => {
        const labels = verbLabels(slot)
        return labels && histogramSample(sums, slot * HISTOGRAM_SLOTS, labels)
      }).filter((sample) => sample !== undefined)
    },
  }
}

interface Reading {
  readonly store: Readonly<Record<StoreMetricName, number>>
  counted(name: CounterName): number
}

const NAMESPACE_VALUES: readonly (readonly [
  name: string,
  kind: 'counter' | 'gauge',
  help: string,
  value: (reading: Reading) => number,
])[] = [
  ['gets', 'counter', 'Keys looked up.', ({ counted }) => counted('cmd_get')],
  ['hits', 'counter', 'Keys that were found.', ({ counted }) => counted('get_hits')],
  ['misses', 'counter', 'Keys that were not found.', ({ counted }) => counted('get_misses')],
  ['sets', 'counter', 'Values to be stored.', ({ counted }) => counted('cmd_set')],
  ['items', 'gauge', 'Items held.', ({ store }) => store.items],
  ['item_bytes', 'gauge', 'Items held, with header and padding.', ({ store }) => store.bytes],
  ['quota_bytes', 'gauge', 'Memory guaranteed.', ({ store }) => store.memory_bytes],
  [
    'used_bytes',
    'gauge',
    'Memory of segments in use.',
    ({ store }) => (store.segments_sealed + store.segments_open) * store.segment_bytes,
  ],
  ['evictions', 'counter', 'Items evicted.', ({ store }) => store.evictions],
  [
    'expired',
    'counter',
    'Items that had expired or been flushed when eviction or the crawler met them.',
    ({ store }) => store.reclaimed + store.crawler_reclaimed,
  ],
  [
    'refused_writes',
    'counter',
    'Writes for which no room could be made.',
    ({ store }) => store.no_memory_writes,
  ],
]

function namespaceFamilies({ shared, namespaces }: MetricFamilySources): MetricFamily[] {
  const all = (): readonly Pick<NamespaceMemory, 'name' | 'store' | 'counters'>[] => [
    { ...DEFAULT_NAMESPACE, store: shared.store, counters: shared.counters },
    ...namespaces(),
  ]
  return NAMESPACE_VALUES.map(([name, kind, help, value]) => ({
    name: `namespace_${name}`,
    kind,
    help: `${help.slice(0, -1)}, by namespace.`,
    samples: (): ValueSample[] =>
      all().map((namespace) => ({
        labels: { namespace: namespace.name },
        value: value({
          store: readStoreMetrics(namespace.store),
          // Since the start, whatever `stats reset` has cleared: a counter of these never goes back.
          counted: (counter) => sumCounter(namespace.counters, counter, 'since-start'),
        }),
      })),
  }))
}

function memoryFamilies({ shared, residentBytes }: MetricFamilySources): MetricFamily[] {
  const { measures, watch, connectionTable, workerTable, throttle, audit, counters, prefixes } =
    shared
  const lanes = Object.values(measures)
  const others = {
    counters: [counters, lanes],
    prefixes,
    watch,
    connections: [connectionTable, workerTable],
    throttle,
    audit,
  }
  return [
    {
      name: 'resident_bytes',
      kind: 'gauge',
      help: 'Memory of the process that is in RAM, that of the items included as far as it was touched.',
      samples: () => [{ labels: {}, value: residentBytes() }],
    },
    {
      name: 'shared_memory_bytes',
      kind: 'gauge',
      help: 'Address space that the threads share beside the items, by use; touched as it is needed.',
      samples: () =>
        Object.entries(others).map(([use, memory]) => ({
          labels: { use },
          value: sharedBytes(memory),
        })),
    },
  ]
}

/** Certificates of one name, such as an RSA and an ECDSA key have them, are one series: the first to end. */
function certificateFamily({ datedCertificates }: MetricFamilySources): MetricFamily {
  return {
    name: 'tls_certificate_not_after_seconds',
    kind: 'gauge',
    help: 'Until when certificates, and lists of revoked ones, are good, in seconds since 1970.',
    samples: (): ValueSample[] => {
      const ends = new Map<string, ValueSample>()
      for (const { role, name, validToMs } of datedCertificates()) {
        const key = `${role} ${name}`
        const value = Math.min(validToMs / 1000, ends.get(key)?.value ?? Infinity)
        ends.set(key, { labels: { role, certificate: name }, value })
      }
      return [...ends.values()]
    },
  }
}

/** Of all shared buffers in a record. */
function sharedBytes(memory: unknown): number {
  if (memory instanceof SharedArrayBuffer) return memory.byteLength
  if (typeof memory !== 'object' || memory === null) return 0
  return Object.values(memory).reduce<number>((sum, part) => sum + sharedBytes(part), 0)
}
