/**
 * What monitoring reads: the names that Prometheus' memcached_exporter and memcached-tool take from
 * `stats` and its groups, as facts, with the form that each value must have. The exporter skips a
 * name that is missing and reports the whole server as down (`memcached_up 0`) for a value that it
 * cannot parse.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const NUMBER = /^\d+(\.\d+)?$/
/** Seconds, a point, microseconds: the exporter splits it there. */
const TIME = /^\d+\.\d{6}$/
const YES_OR_NO = /^(yes|no)$/

/** memcached_exporter, from `stats`. */
const GENERAL: readonly (readonly [names: string, form: RegExp])[] = [
  ['uptime time bytes limit_maxbytes curr_items total_items bytes_read bytes_written', NUMBER],
  ['curr_connections total_connections rejected_connections conn_yields', NUMBER],
  ['listen_disabled_num accepting_conns evictions reclaimed store_too_large', NUMBER],
  ['store_no_memory direct_reclaims crawler_items_checked crawler_reclaimed', NUMBER],
  ['moves_to_cold moves_to_warm moves_within_lru', NUMBER],
  ['get_hits get_misses delete_hits delete_misses incr_hits incr_misses', NUMBER],
  ['decr_hits decr_misses cas_hits cas_misses cas_badval touch_hits touch_misses', NUMBER],
  ['cmd_set cmd_flush', NUMBER],
  ['rusage_user rusage_system', TIME],
  ['version', /^\d+\.\d+\.\d+\S*$/],
]

/** memcached_exporter and memcached-tool, from `stats items`, for each class. */
const ITEMS =
  'number age hits_to_hot hits_to_warm hits_to_cold hits_to_temp crawler_reclaimed evicted ' +
  'evicted_nonzero evicted_time evicted_unfetched expired_unfetched outofmemory reclaimed ' +
  'tailrepairs mem_requested moves_to_cold moves_to_warm moves_within_lru number_hot ' +
  'number_warm number_cold age_hot age_warm'

/** memcached_exporter and memcached-tool, from `stats slabs`, for each class. */
const SLABS =
  'get_hits delete_hits incr_hits decr_hits cas_hits cas_badval touch_hits cmd_set chunk_size ' +
  'chunks_per_page total_pages total_chunks used_chunks free_chunks free_chunks_end'

/** memcached_exporter, from `stats settings`; all but the first only where the crawler is on. */
const SETTINGS: readonly (readonly [name: string, form: RegExp])[] = [
  ['maxconns', NUMBER],
  ['lru_crawler', YES_OR_NO],
  ['lru_crawler_sleep', NUMBER],
  ['lru_crawler_tocrawl', NUMBER],
  ['lru_maintainer_thread', YES_OR_NO],
  ['hot_lru_pct', NUMBER],
  ['warm_lru_pct', NUMBER],
  ['hot_max_factor', NUMBER],
  ['warm_max_factor', NUMBER],
]

/** All names of `stats` of memcached 1.6.45 in their order; two stand only under a condition. */
const STATS_IN_ORDER =
  'pid uptime time version libevent pointer_size rusage_user rusage_system max_connections ' +
  'curr_connections total_connections rejected_connections connection_structures ' +
  'response_obj_oom response_obj_count response_obj_bytes read_buf_count read_buf_bytes ' +
  'read_buf_bytes_free read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta ' +
  'get_hits get_misses get_expired get_flushed delete_misses delete_hits incr_misses incr_hits ' +
  'decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses ' +
  'store_too_large store_no_memory auth_cmds auth_errors bytes_read bytes_written ' +
  'limit_maxbytes accepting_conns listen_disabled_num time_in_listen_disabled_us threads ' +
  'conn_yields hash_power_level hash_bytes hash_is_expanding slab_reassign_rescues ' +
  'slab_reassign_chunk_rescues slab_reassign_inline_reclaim slab_reassign_busy_items ' +
  'slab_reassign_busy_deletes slab_reassign_busy_nomem slab_reassign_last_busy_status ' +
  'slab_reassign_running slabs_moved lru_crawler_running lru_crawler_starts ' +
  'lru_maintainer_juggles malloc_fails log_worker_dropped ' +
  'log_worker_written log_watcher_skipped log_watcher_sent log_watchers unexpected_napi_ids ' +
  'round_robin_fallback bytes curr_items total_items slab_global_page_pool expired_unfetched ' +
  'evicted_unfetched evicted_active evictions reclaimed crawler_reclaimed ' +
  'crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru ' +
  'direct_reclaims lru_bumps_dropped'

/** All names of `stats settings` of memcached 1.6.45 in their order. */
const SETTINGS_IN_ORDER =
  'maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask ' +
  'shutdown_command growth_factor chunk_size num_threads num_threads_per_udp stat_key_prefix ' +
  'detail_enabled reqs_per_event cas_enabled tcp_backlog binding_protocol auth_enabled_sasl ' +
  'auth_enabled_ascii item_size_max maxconns_fast hashpower_init slab_reassign slab_automove ' +
  'slab_automove_ratio slab_automove_window slab_chunk_max lru_crawler lru_crawler_sleep ' +
  'lru_crawler_tocrawl tail_repair_time flush_enabled dump_enabled hash_algorithm ' +
  'lru_maintainer_thread lru_segmented hot_lru_pct warm_lru_pct hot_max_factor ' +
  'warm_max_factor temp_lru temporary_ttl idle_timeout watcher_logbuf_size ' +
  'worker_logbuf_size read_buf_mem_limit track_sizes inline_ascii_response ext_item_size ' +
  'ext_item_age ext_low_ttl ext_recache_rate ext_wbuf_size ext_compact_under ext_drop_under ' +
  'ext_max_sleep ext_max_frag slab_automove_freeratio ext_drop_unread ssl_enabled ' +
  'ssl_chain_cert ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers ssl_ca_cert ssl_wbuf_size ' +
  'ssl_session_cache ssl_kernel_tls ssl_min_version num_napi_ids memory_file client_flags_size'

async function statsOf(target: TestServer, group = ''): Promise<[name: string, value: string][]> {
  const client = new TextClient(target)
  const text = await client.ask(group === '' ? 'stats\r\n' : `stats ${group}\r\n`, 'END\r\n')
  const lines = text.split('\r\n').slice(0, -2)
  return lines.map((line) => {
    const [, name = '', value = ''] = /^STAT (\S+) (.+)$/.exec(line) ?? []
    expect(name, line).not.toBe('')
    return [name, value]
  })
}

describe('a server with items in it', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached()
  })
  afterAll(async () => {
    await server.stop()
  })

  test.each(GENERAL)('stats has %s, in the form %s', async (names, form) => {
    const stats = new Map(await statsOf(server))
    for (const name of names.split(' '))
      expect([name, stats.get(name)]).toEqual([name, expect.stringMatching(form)])
  })

  test.each([
    ['items', /^items:(\d+):(\w+)$/, ITEMS],
    ['slabs', /^(\d+):(\w+)$/, SLABS],
  ])('stats %s has every number that monitors read, for each class', async (group, form, names) => {
    const client = new TextClient(server)
    await client.ask('set k 0 0 5\r\nhello\r\n')
    const classes = new Map<string, Map<string, string>>()
    for (const [name, value] of await statsOf(server, group)) {
      const [, slab, key] = form.exec(name) ?? []
      if (slab === undefined || key === undefined) {
        expect(['active_slabs', 'total_malloced']).toContain(name)
        expect(value).toMatch(NUMBER)
        continue
      }
      const rows = classes.get(slab) ?? new Map<string, string>()
      classes.set(slab, rows.set(key, value))
    }
    expect(classes.size).toBeGreaterThan(0)
    for (const rows of classes.values()) {
      for (const name of names.split(' ')) {
        expect([name, rows.get(name)]).toEqual([name, expect.stringMatching(/^\d+$/)])
      }
    }
  })

  test.each(SETTINGS)('stats settings has %s, in the form %s', async (name, form) => {
    expect(new Map(await statsOf(server, 'settings')).get(name)).toMatch(form)
  })

  test('stats has the names of memcached 1.6.45 and no others, in its order', async () => {
    const names = (await statsOf(server)).map(([name]) => name)
    expect(names).toEqual(STATS_IN_ORDER.split(' '))
  })

  test('stats settings has the names of memcached 1.6.45 and no others, in its order', async () => {
    const names = (await statsOf(server, 'settings')).map(([name]) => name)
    expect(names).toEqual(SETTINGS_IN_ORDER.split(' '))
  })
})

test('stats settings tells what was configured, the port that was found, and what a client changed', async () => {
  const flags = '-m 100 -c 77 -b 99 -R 33 -I 2m -a 770 -v -F -X -A -C -M -B ascii'.split(' ')
  const server = await startSaslcached({ flags: [...flags, '-o', 'idle_timeout=70'] })
  try {
    const settings = Object.fromEntries(await statsOf(server, 'settings'))
    expect(settings).toMatchObject({
      maxbytes: '104857600',
      maxconns: '77',
      tcpport: String(server.port),
      udpport: '0',
      inter: '127.0.0.1',
      verbosity: '1',
      evictions: 'off',
      domain_socket: 'NULL',
      umask: '770',
      shutdown_command: 'yes',
      reqs_per_event: '33',
      cas_enabled: 'no',
      tcp_backlog: '99',
      binding_protocol: 'ascii',
      auth_enabled_sasl: 'no',
      auth_enabled_ascii: 'no',
      item_size_max: '2097152',
      maxconns_fast: 'yes',
      flush_enabled: 'no',
      dump_enabled: 'no',
      idle_timeout: '70',
      ssl_enabled: 'no',
      client_flags_size: '4',
    })
    const names = (await statsOf(server)).map(([name]) => name)
    expect(names[names.indexOf('auth_errors') + 1]).toBe('idle_kicks')
    const client = new TextClient(server)
    expect(await client.ask('verbosity 5\r\n')).toBe('OK\r\n')
    await server.waitForLog(({ event }) => event === 'verbosity')
    await expect
      .poll(async () => Object.fromEntries(await statsOf(server, 'settings')).verbosity)
      .toBe('2')
  } finally {
    await server.stop()
  }
})
