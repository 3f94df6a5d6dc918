/**
 * The rows of `stats settings`: memcached's names in its order (1.6.45, built with everything but
 * its proxy), with what holds here. A setting of a part that only memcached has says no, 0 or NULL.
 */
import type { Config, TlsConfig } from '../../config/config.ts'
import type { TlsVerify } from '../../config/options/tls-options.ts'
import { SEND_BUFFER_BYTES } from '../../connection/send-buffer.ts'

/** Client flags are 32 bits, as protocol.txt has them. */
const CLIENT_FLAGS_BYTES = 4
/** By memcached's numbers of them. */
const VERIFY_MODES: readonly TlsVerify[] = ['none', 'request', 'require', 'once']
/** SSL_FILETYPE_PEM of OpenSSL. */
const PEM_FORMAT = 1

/** Where copies are kept. */
function nearRows(near: NonNullable<Config['store']>['near']): [string, string | number][] {
  if (near === undefined) return []
  return [
    ['near_cache', near.bytesMax],
    ['near_cache_ttl', (near.ttlMs / 1000).toFixed(3)],
  ]
}

export function settingsRows(
  config: Config,
  threadCount: number,
): readonly (readonly [string, string])[] {
  const { network, memory, auth, limits, log } = config
  const rows: [string, string | number | boolean][] = [
    ['maxbytes', memory.limitBytes],
    ['maxconns', limits.connectionsMax],
    ['tcpport', network.listen[0]?.port ?? 0],
    ['udpport', 0],
    ['inter', listenedOn(config)],
    ['verbosity', log.verbosity],
    ['oldest', 0],
    ['evictions', memory.evicts ? 'on' : 'off'],
    ['domain_socket', network.unixSocket ?? 'NULL'],
    ['umask', network.unixMask.toString(8)],
    ['shutdown_command', auth.shutdownEnabled],
    ['growth_factor', '1.00'],
    ['chunk_size', 8],
    ['num_threads', threadCount],
    ['num_threads_per_udp', 0],
    ['stat_key_prefix', log.prefixDelimiter ?? ':'],
    ['detail_enabled', log.prefixDelimiter !== undefined],
    ['reqs_per_event', limits.requestsPerTurnMax],
    ['cas_enabled', memory.casEnabled],
    ['tcp_backlog', network.backlog],
    ['binding_protocol', network.protocol === 'auto' ? 'auto-negotiate' : network.protocol],
    ['auth_enabled_sasl', auth.required],
    ['auth_enabled_ascii', auth.required],
    ['item_size_max', memory.itemBytesMax],
    ['maxconns_fast', !limits.waitsForPlace],
    ['hashpower_init', 0],
    ['slab_reassign', false],
    ['slab_automove', 0],
    ['slab_automove_ratio', '0.00'],
    ['slab_automove_window', 0],
    ['slab_chunk_max', memory.itemBytesMax],
    ['lru_crawler', false],
    ['lru_crawler_sleep', 0],
    ['lru_crawler_tocrawl', 0],
    ['tail_repair_time', 0],
    ['flush_enabled', auth.flushEnabled],
    ['dump_enabled', auth.dumpEnabled],
    ['hash_algorithm', 'halfsiphash'],
    ['lru_maintainer_thread', false],
    ['lru_segmented', false],
    ['hot_lru_pct', 0],
    ['warm_lru_pct', 0],
    ['hot_max_factor', '0.00'],
    ['warm_max_factor', '0.00'],
    ['temp_lru', false],
    ['temporary_ttl', 0],
    ['idle_timeout', Math.floor(limits.idleTimeoutMs / 1000)],
    ['watcher_logbuf_size', limits.watcherBufferBytesMax],
    ['worker_logbuf_size', limits.workerLogBytesMax],
    ['read_buf_mem_limit', 0],
    ['track_sizes', log.tracksSizes],
    ['inline_ascii_response', false],
    ['ext_item_size', 0],
    ['ext_item_age', 0],
    ['ext_low_ttl', 0],
    ['ext_recache_rate', 0],
    ['ext_wbuf_size', 0],
    ['ext_compact_under', 0],
    ['ext_drop_under', 0],
    ['ext_max_sleep', 0],
    ['ext_max_frag', '0.00'],
    ['slab_automove_freeratio', '0.000'],
    ['ext_drop_unread', false],
    ...tlsRows(config.tls),
    ['num_napi_ids', 0],
    ['memory_file', 'NULL'],
    ['client_flags_size', CLIENT_FLAGS_BYTES],
    ...nearRows(config.store?.near),
  ]
  return rows.map(([name, value]) => [name, format(value)] as const)
}

function tlsRows(tls: TlsConfig | undefined): [string, string | number | boolean][] {
  const pathsOf = (file: 'certificateFile' | 'keyFile'): string =>
    tls?.pairs.map((pair) => pair[file]).join(',') ?? 'NULL'
  return [
    ['ssl_enabled', tls !== undefined],
    ['ssl_chain_cert', pathsOf('certificateFile')],
    ['ssl_key', pathsOf('keyFile')],
    ['ssl_verify_mode', VERIFY_MODES.indexOf(tls?.verify ?? 'none')],
    ['ssl_keyformat', PEM_FORMAT],
    ['ssl_ciphers', tls?.ciphers ?? 'NULL'],
    ['ssl_ca_cert', tls?.caFile ?? 'NULL'],
    ['ssl_wbuf_size', SEND_BUFFER_BYTES],
    ['ssl_session_cache', tls !== undefined],
    ['ssl_kernel_tls', false],
    ['ssl_min_version', `tlsv${tls?.minVersion ?? '1.2'}`],
  ]
}

/** -l as it was given; NULL is every interface. */
function listenedOn({ listenGiven: given, network }: Config): string {
  if (given.length > 0) return given.join(',')
  // Without -l, only --no-auth names addresses.
  const hosts = network.listen.map(({ host }) => host).filter((host) => host !== '*')
  return hosts.length === 0 ? 'NULL' : hosts.join(',')
}

function format(value: string | number | boolean): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return String(value)
}
