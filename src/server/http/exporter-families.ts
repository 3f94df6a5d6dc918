/**
 * The metrics of Prometheus' memcached_exporter, made as it makes them: from the rows of `stats`,
 * `stats items`, `stats slabs` and `stats settings`, under its names, types and labels (0.16), so that
 * dashboards and alerts that were made for it go on. A row that is not there has no metric, as there.
 *
 * `memcached_slab_items_age_seconds` is missing: it takes a walk over items, which only workers do.
 * docs/metrics.md says which of the others have a meaning here.
 */
import type { Labels, ValueSample } from '../../observe/metric-family.ts'
import type { ExposedFamily } from './exposition.ts'

export interface ExporterRows {
  readonly general: ReadonlyMap<string, string>
  /** Of the one class, without what its rows begin with. */
  readonly items: ReadonlyMap<string, string>
  readonly slabs: ReadonlyMap<string, string>
  readonly settings: ReadonlyMap<string, string>
}

type Row = readonly [
  name: string,
  kind: 'counter' | 'gauge',
  from: keyof ExporterRows,
  row: string,
  help: string,
]

// biome-ignore format: a table has a line a row.
const ROWS: readonly Row[] = [
  ['uptime_seconds', 'counter', 'general', 'uptime', 'Since the server started.'],
  ['time_seconds', 'gauge', 'general', 'time', 'Since 1970, by the clock of the server.'],
  ['process_user_cpu_seconds_total', 'counter', 'general', 'rusage_user', 'Of CPU outside of the kernel.'],
  ['process_system_cpu_seconds_total', 'counter', 'general', 'rusage_system', 'Of CPU in the kernel.'],
  ['read_bytes_total', 'counter', 'general', 'bytes_read', 'Bytes received.'],
  ['written_bytes_total', 'counter', 'general', 'bytes_written', 'Bytes sent.'],
  ['current_connections', 'gauge', 'general', 'curr_connections', 'Connections that are open.'],
  ['max_connections', 'gauge', 'settings', 'maxconns', 'Connections that there may be.'],
  ['connections_total', 'counter', 'general', 'total_connections', 'Connections accepted.'],
  ['connections_rejected_total', 'counter', 'general', 'rejected_connections', 'Connections turned away for want of a place.'],
  ['connections_yielded_total', 'counter', 'general', 'conn_yields', 'Times that a connection gave its turn away.'],
  ['connections_listener_disabled_total', 'counter', 'general', 'listen_disabled_num', 'Times that newcomers had to wait for a place.'],
  ['accepting_connections', 'gauge', 'general', 'accepting_conns', '1 while newcomers are served.'],
  ['current_bytes', 'gauge', 'general', 'bytes', 'Bytes of the items.'],
  ['limit_bytes', 'gauge', 'general', 'limit_maxbytes', 'Bytes that there may be for items.'],
  ['current_items', 'gauge', 'general', 'curr_items', 'Items that are stored.'],
  ['items_total', 'counter', 'general', 'total_items', 'Items stored so far.'],
  ['items_evicted_total', 'counter', 'general', 'evictions', 'Items evicted before they expired.'],
  ['items_reclaimed_total', 'counter', 'general', 'reclaimed', 'Items whose room was taken when they had expired.'],
  ['item_too_large_total', 'counter', 'general', 'store_too_large', 'Values refused because they are too large.'],
  ['item_no_memory_total', 'counter', 'general', 'store_no_memory', 'Values refused for want of memory.'],
  ['direct_reclaims_total', 'counter', 'general', 'direct_reclaims', 'Always 0: there is no such step here.'],
  ['lru_crawler_starts_total', 'counter', 'general', 'lru_crawler_starts', 'Always 0: the crawler is never started, it always goes.'],
  ['lru_crawler_reclaimed_total', 'counter', 'general', 'crawler_reclaimed', 'Expired items that the crawler met.'],
  ['lru_crawler_items_checked_total', 'counter', 'general', 'crawler_items_checked', 'Items that the crawler looked at.'],
  ['lru_crawler_moves_to_cold_total', 'counter', 'general', 'moves_to_cold', 'Always 0: there are no such queues here.'],
  ['lru_crawler_moves_to_warm_total', 'counter', 'general', 'moves_to_warm', 'Always 0: there are no such queues here.'],
  ['lru_crawler_moves_within_lru_total', 'counter', 'general', 'moves_within_lru', 'Items that eviction kept.'],
  ['malloced_bytes', 'gauge', 'slabs', 'total_malloced', 'Bytes of the segments in use.'],
  ['slab_current_items', 'gauge', 'items', 'number', 'Items that are stored.'],
  ['slab_items_crawler_reclaimed_total', 'counter', 'items', 'crawler_reclaimed', 'Expired items that the crawler met.'],
  ['slab_items_evicted_total', 'counter', 'items', 'evicted', 'Items evicted before they expired.'],
  ['slab_items_evicted_nonzero_total', 'counter', 'items', 'evicted_nonzero', 'Always 0: this is not counted here.'],
  ['slab_items_evicted_time_seconds', 'counter', 'items', 'evicted_time', 'Always 0: this is not counted here.'],
  ['slab_items_evicted_unfetched_total', 'counter', 'items', 'evicted_unfetched', 'Items evicted without having been read.'],
  ['slab_items_expired_unfetched_total', 'counter', 'items', 'expired_unfetched', 'Items expired without having been read.'],
  ['slab_items_outofmemory_total', 'counter', 'items', 'outofmemory', 'Values refused for want of memory.'],
  ['slab_items_reclaimed_total', 'counter', 'items', 'reclaimed', 'Items whose room was taken when they had expired.'],
  ['slab_items_tailrepairs_total', 'counter', 'items', 'tailrepairs', 'Always 0: there is nothing to repair.'],
  ['slab_mem_requested_bytes', 'counter', 'items', 'mem_requested', 'Bytes of the items.'],
  ['slab_items_moves_to_cold', 'counter', 'items', 'moves_to_cold', 'Always 0: there are no such queues here.'],
  ['slab_items_moves_to_warm', 'counter', 'items', 'moves_to_warm', 'Always 0: there are no such queues here.'],
  ['slab_items_moves_within_lru', 'counter', 'items', 'moves_within_lru', 'Items that eviction kept.'],
  ['slab_hot_items', 'gauge', 'items', 'number_hot', 'Always 0: there are no such queues here.'],
  ['slab_warm_items', 'gauge', 'items', 'number_warm', 'Always 0: there are no such queues here.'],
  ['slab_cold_items', 'gauge', 'items', 'number_cold', 'Items that are stored.'],
  ['slab_hot_age_seconds', 'gauge', 'items', 'age_hot', 'Always 0: there are no such queues here.'],
  ['slab_warm_age_seconds', 'gauge', 'items', 'age_warm', 'Always 0: there are no such queues here.'],
  ['slab_chunk_size_bytes', 'gauge', 'slabs', 'chunk_size', 'Items take a multiple of so many bytes.'],
  ['slab_chunks_per_page', 'gauge', 'slabs', 'chunks_per_page', 'Chunks of a segment.'],
  ['slab_current_pages', 'gauge', 'slabs', 'total_pages', 'Segments in use.'],
  ['slab_current_chunks', 'gauge', 'slabs', 'total_chunks', 'Chunks of the segments in use.'],
  ['slab_chunks_used', 'gauge', 'slabs', 'used_chunks', 'Chunks that items take.'],
  ['slab_chunks_free', 'gauge', 'slabs', 'free_chunks', 'Chunks of segments in use that no item takes.'],
  ['slab_chunks_free_end', 'gauge', 'slabs', 'free_chunks_end', 'Always 0: this is not counted here.'],
]

const LOOKED_FOR = ['get', 'delete', 'incr', 'decr', 'cas', 'touch'] as const
const LRUS = { hot: 'hot', warm: 'warm', cold: 'cold', temp: 'temporary' } as const
/** The one class. */
const SLAB: Labels = { slab: '1' }

export function exporterFamilies(rows: ExporterRows): ExposedFamily[] {
  const version = rows.general.get('version') ?? ''
  return [
    family('up', 'gauge', 'Always 1: who answers is there.', [{ labels: {}, value: 1 }]),
    family('version', 'gauge', 'The version of the server.', [{ labels: { version }, value: 1 }]),
    ...ROWS.map(([name, kind, from, row, help]) =>
      family(name, kind, help, sampleOf(rows[from], row, name.startsWith('slab_') ? SLAB : {})),
    ),
    family(
      'commands_total',
      'counter',
      'Requests, by what became of them.',
      commands(rows.general),
    ),
    family(
      'slab_commands_total',
      'counter',
      'Requests that found an item.',
      slabCommands(rows.slabs),
    ),
    family('slab_lru_hits_total', 'counter', 'Reads that found an item.', lruHits(rows.items)),
  ]
}

function commands(general: ExporterRows['general']): ValueSample[] {
  return [
    ...LOOKED_FOR.flatMap((command) => [
      ...sampleOf(general, `${command}_hits`, { command, status: 'hit' }),
      ...sampleOf(general, `${command}_misses`, { command, status: 'miss' }),
    ]),
    ...sampleOf(general, 'cas_badval', { command: 'cas', status: 'badval' }),
    ...sampleOf(general, 'cmd_flush', { command: 'flush', status: 'hit' }),
    ...sets(general, ['cas_misses', 'cas_hits', 'cas_badval'], {}),
  ]
}

function slabCommands(slabs: ExporterRows['slabs']): ValueSample[] {
  return [
    ...LOOKED_FOR.flatMap((command) =>
      sampleOf(slabs, `${command}_hits`, { ...SLAB, command, status: 'hit' }),
    ),
    ...sampleOf(slabs, 'cas_badval', { ...SLAB, command: 'cas', status: 'badval' }),
    ...sets(slabs, ['cas_hits', 'cas_badval'], SLAB),
  ]
}

function lruHits(items: ExporterRows['items']): ValueSample[] {
  return Object.entries(LRUS).flatMap(([row, lru]) =>
    sampleOf(items, `hits_to_${row}`, { ...SLAB, lru }),
  )
}

/** `cmd_set` counts those of `cas` as well. */
function sets(
  rows: ReadonlyMap<string, string>,
  ofCas: readonly string[],
  labels: Labels,
): ValueSample[] {
  const all = rows.get('cmd_set')
  if (all === undefined) return []
  const cas = ofCas.reduce((sum, row) => sum + Number(rows.get(row)), 0)
  return [{ labels: { ...labels, command: 'set', status: 'hit' }, value: Number(all) - cas }]
}

function sampleOf(rows: ReadonlyMap<string, string>, row: string, labels: Labels): ValueSample[] {
  const value = rows.get(row)
  return value === undefined ? [] : [{ labels, value: Number(value) }]
}

function family(
  name: string,
  kind: 'counter' | 'gauge',
  help: string,
  samples: readonly ValueSample[],
): ExposedFamily {
  return { name: `memcached_${name}`, kind, help, samples }
}
