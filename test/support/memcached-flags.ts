/**
 * The command line of memcached 1.6.45, however it was built, as facts: every flag and every
 * suboption of -o, a use of it that memcached takes, and what becomes of it here.
 */

/**
 * `works`: it means here what it means there. `accepted`: what it asks for is so already.
 * `no effect`: it tunes a part that is not here, and the server says so at start. `refused`: going
 * on without it would break a promise. `general`: it shows something and ends.
 */
export type Fate = 'works' | 'accepted' | 'no effect' | 'refused' | 'general'

export interface MemcachedFlag {
  readonly short: string
  readonly long: string | undefined
  /** Undefined for a flag that takes none. */
  readonly value: string | undefined
  readonly fate: Fate
  /** What it takes to be of use. */
  readonly beside: readonly string[]
}

function flag(
  short: string,
  long: string | undefined,
  value: string | undefined,
  fate: Fate,
  beside: readonly string[] = [],
): MemcachedFlag {
  return { short, long, value, fate, beside }
}

const CERTIFICATE = ['-o', 'ssl_chain_cert=/tmp/cert.pem'] as const
const KEY = ['-o', 'ssl_key=/tmp/key.pem'] as const
const TLS: readonly string[] = ['-Z', ...CERTIFICATE, ...KEY]

export const MEMCACHED_FLAGS: readonly MemcachedFlag[] = [
  flag('-p', '--port', '11311', 'works'),
  flag('-U', '--udp-port', '0', 'works'),
  flag('-s', '--unix-socket', '/tmp/memcached.sock', 'works'),
  flag('-a', '--unix-mask', '770', 'works'),
  flag('-A', '--enable-shutdown', undefined, 'works'),
  flag('-l', '--listen', '127.0.0.1:11311', 'works'),
  flag('-d', '--daemon', undefined, 'works'),
  flag('-r', '--enable-coredumps', undefined, 'no effect'),
  flag('-u', '--user', 'nobody', 'works'),
  flag('-m', '--memory-limit', '128', 'works'),
  flag('-M', '--disable-evictions', undefined, 'works'),
  flag('-c', '--conn-limit', '2048', 'works'),
  flag('-k', '--lock-memory', undefined, 'no effect'),
  flag('-v', '--verbose', undefined, 'works'),
  flag('-h', '--help', undefined, 'general'),
  flag('-i', '--license', undefined, 'general'),
  flag('-V', '--version', undefined, 'general'),
  flag('-P', '--pidfile', '/tmp/memcached.pid', 'works'),
  flag('-f', '--slab-growth-factor', '1.08', 'no effect'),
  flag('-n', '--slab-min-size', '72', 'no effect'),
  flag('-L', '--enable-largepages', undefined, 'no effect'),
  flag('-D', undefined, ':', 'works'),
  flag('-t', '--threads', '2', 'works'),
  flag('-R', '--max-reqs-per-event', '20', 'works'),
  flag('-C', '--disable-cas', undefined, 'works'),
  flag('-b', '--listen-backlog', '2048', 'works'),
  flag('-B', '--protocol', 'binary', 'works'),
  flag('-I', '--max-item-size', '2m', 'works'),
  flag('-S', '--enable-sasl', undefined, 'accepted'),
  flag('-F', '--disable-flush-all', undefined, 'works'),
  flag('-X', '--disable-dumping', undefined, 'works'),
  flag('-W', '--disable-watch', undefined, 'works'),
  flag('-Y', '--auth-file', '/dev/null', 'works'),
  flag('-e', '--memory-file', '/tmp/memcached.memory', 'works'),
  flag('-Z', '--enable-ssl', undefined, 'works', [...CERTIFICATE, ...KEY]),
  flag('-o', '--extended', 'idle_timeout=60', 'works'),
  flag('-N', '--napi-ids', '2', 'no effect'),
]

/** `[use, fate]` of each suboption of -o, and what it takes to be of use. */
export const MEMCACHED_SUBOPTIONS: readonly (readonly [
  use: string,
  fate: Fate,
  beside?: readonly string[],
])[] = [
  ['maxconns_fast', 'works'],
  ['no_maxconns_fast', 'works'],
  ['hashpower=20', 'no effect'],
  ['no_hashexpand', 'no effect'],
  ['slab_reassign', 'no effect'],
  ['no_slab_reassign', 'no effect'],
  ['slab_automove', 'no effect'],
  ['slab_automove=1', 'no effect'],
  ['no_slab_automove', 'no effect'],
  ['slab_automove_ratio=0.8', 'no effect'],
  ['slab_automove_window=30', 'no effect'],
  ['slab_automove_freeratio=0.01', 'no effect'],
  ['tail_repair_time=3600', 'no effect'],
  ['hash_algorithm=jenkins', 'no effect'],
  ['hash_algorithm=murmur3', 'no effect'],
  ['hash_algorithm=xxh3', 'no effect'],
  ['lru_crawler', 'no effect'],
  ['no_lru_crawler', 'no effect'],
  ['lru_crawler_sleep=100', 'no effect'],
  ['lru_crawler_tocrawl=0', 'no effect'],
  ['lru_maintainer', 'works'],
  ['no_lru_maintainer', 'works'],
  ['hot_lru_pct=20', 'no effect'],
  ['warm_lru_pct=40', 'no effect'],
  ['hot_max_factor=0.20', 'no effect'],
  ['warm_max_factor=2.00', 'no effect'],
  ['temporary_ttl=61', 'no effect'],
  ['idle_timeout=60', 'works'],
  ['watcher_logbuf_size=256', 'works'],
  ['worker_logbuf_size=64', 'works'],
  ['slab_sizes=100-200-300', 'no effect'],
  ['slab_chunk_max=512', 'no effect'],
  ['track_sizes', 'works'],
  ['inline_ascii_resp', 'no effect'],
  ['no_inline_ascii_resp', 'accepted'],
  ['modern', 'accepted'],
  ['no_modern', 'works'],
  ['no_chunked_items', 'no effect'],
  ['drop_privileges', 'refused'],
  ['no_drop_privileges', 'accepted'],
  ['relaxed_privileges', 'accepted'],
  ['resp_obj_mem_limit=64', 'no effect'],
  ['read_buf_mem_limit=64', 'no effect'],
  ['sock_cookie_id=1', 'refused'],
  ['ext_path=/tmp/ext:1G', 'refused'],
  ['ext_page_size=64', 'refused'],
  ['ext_wbuf_size=4', 'refused'],
  ['ext_threads=1', 'refused'],
  ['ext_io_depth=1', 'refused'],
  ['ext_item_size=512', 'refused'],
  ['ext_item_age=60', 'refused'],
  ['ext_low_ttl=0', 'refused'],
  ['ext_drop_unread', 'refused'],
  ['ext_recache_rate=2000', 'refused'],
  ['ext_compact_under=4', 'refused'],
  ['ext_drop_under=4', 'refused'],
  ['ext_max_frag=0.8', 'refused'],
  ['ext_max_sleep=1000000', 'refused'],
  ['proxy_config=routes.lua', 'refused'],
  ['proxy_arg=routes', 'refused'],
  ['proxy_uring', 'refused'],
  ['proxy_memprofile', 'refused'],
  ['ssl_chain_cert=/tmp/cert.pem', 'works', ['-Z', ...KEY]],
  ['ssl_key=/tmp/key.pem', 'works', ['-Z', ...CERTIFICATE]],
  ['ssl_keyformat=1', 'accepted', TLS],
  ['ssl_verify_mode=1', 'works', [...TLS, '-o', 'ssl_ca_cert=/tmp/ca.pem']],
  ['ssl_ciphers=HIGH', 'works', TLS],
  ['ssl_ca_cert=/tmp/ca.pem', 'works', TLS],
  ['ssl_wbuf_size=16', 'no effect', TLS],
  ['ssl_session_cache', 'accepted', TLS],
  ['ssl_kernel_tls', 'no effect', TLS],
  ['ssl_min_version=2', 'works', TLS],
]
