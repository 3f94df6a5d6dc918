/**
 * The rows of `stats` without a group: memcached's own list in its order (1.6.45), so that tools and
 * exporters find what they read. True where it has a meaning here, 0 where it is about a part that only
 * memcached has. The list is memcached's: what is only ours stands in groups of its own.
 */
import type { MetricValues } from '../../observe/metric-reader.ts'
import type { MetricName } from '../../observe/metrics.ts'
import type { StatRows } from './rows.ts'

/** What the rows tell beside metrics. */
export interface ProcessFacts {
  readonly pid: number
  readonly version: string
  /** What stands for libevent here, with its version. */
  readonly eventLoop: string
}

/** A metric that has no other name there, or a name and what stands behind it. */
type Row =
  | MetricName
  | readonly [
      name: string,
      value: MetricName | number | ((values: MetricValues, facts: ProcessFacts) => string | number),
    ]

const ROWS: readonly Row[] = [
  ['pid', (_, facts) => facts.pid],
  'uptime',
  'time',
  ['version', (_, facts) => facts.version],
  ['libevent', (_, facts) => facts.eventLoop],
  ['pointer_size', 64],
  ['rusage_user', ({ rusage_user }) => rusage_user.toFixed(6)],
  ['rusage_system', ({ rusage_system }) => rusage_system.toFixed(6)],
  'max_connections',
  'curr_connections',
  'total_connections',
  'rejected_connections',
  ['connection_structures', 'curr_connections'],
  ['response_obj_oom', 0],
  ['response_obj_count', 0],
  ['response_obj_bytes', 0],
  'read_buf_count',
  'read_buf_bytes',
  ['read_buf_bytes_free', 0],
  'read_buf_oom',
  ['reserved_fds', 0],
  'cmd_get',
  'cmd_set',
  'cmd_flush',
  'cmd_touch',
  'cmd_meta',
  'get_hits',
  'get_misses',
  'get_expired',
  'get_flushed',
  'delete_misses',
  'delete_hits',
  'incr_misses',
  'incr_hits',
  'decr_misses',
  'decr_hits',
  'cas_misses',
  'cas_hits',
  'cas_badval',
  'touch_hits',
  'touch_misses',
  'store_too_large',
  'store_no_memory',
  'auth_cmds',
  'auth_errors',
  'idle_kicks',
  'bytes_read',
  'bytes_written',
  ['limit_maxbytes', 'memory_bytes'],
  'accepting_conns',
  'listen_disabled_num',
  'time_in_listen_disabled_us',
  'threads',
  'conn_yields',
  ['hash_power_level', ({ bucket_count }) => Math.floor(Math.log2(Math.max(1, bucket_count)))],
  ['hash_bytes', 'index_bytes'],
  ['hash_is_expanding', 0],
  ['slab_reassign_rescues', 0],
  ['slab_reassign_chunk_rescues', 0],
  ['slab_reassign_inline_reclaim', 0],
  ['slab_reassign_busy_items', 0],
  ['slab_reassign_busy_deletes', 0],
  ['slab_reassign_busy_nomem', 0],
  ['slab_reassign_last_busy_status', () => 'none'],
  ['slab_reassign_running', 0],
  ['slabs_moved', 0],
  ['lru_crawler_running', 0],
  ['lru_crawler_starts', 0],
  ['lru_maintainer_juggles', 0],
  ['malloc_fails', 0],
  'log_worker_dropped',
  'log_worker_written',
  'log_watcher_skipped',
  'log_watcher_sent',
  'log_watchers',
  'ssl_new_sessions',
  'ssl_handshake_errors',
  'ssl_proto_errors',
  'time_since_server_cert_refresh',
  ['unexpected_napi_ids', 0],
  ['round_robin_fallback', 0],
  'bytes',
  ['curr_items', 'items'],
  'total_items',
  ['slab_global_page_pool', 'segments_free'],
  'expired_unfetched',
  'evicted_unfetched',
  'evicted_active',
  'evictions',
  'reclaimed',
  'crawler_reclaimed',
  ['crawler_items_checked', 'crawler_checked'],
  ['lrutail_reflocked', 0],
  ['moves_to_cold', 0],
  ['moves_to_warm', 0],
  ['moves_within_lru', 'reinserted'],
  ['direct_reclaims', 0],
  ['lru_bumps_dropped', 0],
]

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

export function isOfLruMaintainer(name: string): boolean {
  return LRU_MAINTAINER_ROWS.has(name)
}

/** What it has with -Z alone. */
const TLS_ROWS: ReadonlySet<string> = new Set([
  'ssl_new_sessions',
  'ssl_handshake_errors',
  'ssl_proto_errors',
  'time_since_server_cert_refresh',
])

export function isOfTls(name: string): boolean {
  return TLS_ROWS.has(name)
}

export function generalRows(values: MetricValues, facts: ProcessFacts): StatRows {
  return ROWS.map((row) => {
    if (typeof row === 'string') return [row, String(values[row])] as const
    const [name, value] = row
    if (typeof value === 'function') return [name, String(value(values, facts))] as const
    return [name, String(typeof value === 'string' ? values[value] : value)] as const
  })
}
