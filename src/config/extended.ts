/**
 * memcached's flags that have no option of ours: the suboptions of -o, and the short flags that
 * tune parts which only memcached has. Each is known by name, so that a start script written for
 * memcached either works here or says why it cannot.
 *
 * `option`: it sets an option of ours. `ignored`: it tunes a part that does not exist here, the
 * server works without it and says so at start. `refused`: ignoring it would break a promise.
 */

import type { OptionName } from './options.ts'
import type { ConfigProblem } from './problem.ts'
import { nearestName } from './problem.ts'

/** One use of a flag, in the order of the command line. */
export interface FlagUse {
  readonly option: OptionName
  /** As it was written: `-p`, `--port`, `-o idle_timeout`. */
  readonly flag: string
  readonly value: string
}

/** What the command line had to say. */
export interface FlagCollection {
  readonly uses: FlagUse[]
  readonly problems: ConfigProblem[]
  readonly notices: string[]
}

export type Verdict =
  | { readonly kind: 'option'; readonly option: OptionName }
  | { readonly kind: 'accepted' }
  | { readonly kind: 'ignored'; readonly why: string }
  | { readonly kind: 'refused'; readonly why: string }

const ACCEPTED: Verdict = { kind: 'accepted' }
const NO_SLABS: Verdict = { kind: 'ignored', why: 'there are no slabs here' }
const NO_LRU: Verdict = { kind: 'ignored', why: 'there are no LRU lists here' }
const NO_HASH_TUNING: Verdict = { kind: 'ignored', why: 'the index sizes itself' }
const NO_WATCHERS: Verdict = { kind: 'ignored', why: 'there are no watchers here' }
const NO_EXTSTORE: Verdict = { kind: 'refused', why: 'items are kept in memory only' }
const NO_TLS: Verdict = {
  kind: 'refused',
  why: 'this version has no TLS, and serving in the clear instead would be a surprise',
}

const EXTENDED: Readonly<Record<string, Verdict>> = {
  idle_timeout: { kind: 'option', option: 'idle_timeout_seconds' },
  // What memcached does by default since 1.6 is what happens here.
  maxconns_fast: ACCEPTED,
  no_maxconns_fast: {
    kind: 'refused',
    why: 'a connection over the limit is always told so and closed',
  },
  modern: ACCEPTED,
  no_modern: { kind: 'ignored', why: 'it selects defaults of memcached 1.4' },
  hashpower: NO_HASH_TUNING,
  no_hashexpand: NO_HASH_TUNING,
  hash_algorithm: NO_HASH_TUNING,
  tail_repair_time: NO_LRU,
  lru_crawler: NO_LRU,
  no_lru_crawler: NO_LRU,
  lru_crawler_sleep: NO_LRU,
  lru_crawler_tocrawl: NO_LRU,
  lru_maintainer: NO_LRU,
  no_lru_maintainer: NO_LRU,
  hot_lru_pct: NO_LRU,
  warm_lru_pct: NO_LRU,
  hot_max_factor: NO_LRU,
  warm_max_factor: NO_LRU,
  temporary_ttl: NO_LRU,
  slab_reassign: NO_SLABS,
  no_slab_reassign: NO_SLABS,
  slab_automove: NO_SLABS,
  no_slab_automove: NO_SLABS,
  slab_automove_ratio: NO_SLABS,
  slab_automove_window: NO_SLABS,
  slab_automove_freeratio: NO_SLABS,
  slab_chunk_max: NO_SLABS,
  slab_sizes: NO_SLABS,
  track_sizes: { kind: 'ignored', why: 'sizes are not tracked' },
  no_track_sizes: ACCEPTED,
  watcher_logbuf_size: NO_WATCHERS,
  worker_logbuf_size: NO_WATCHERS,
  read_buf_mem_limit: { kind: 'ignored', why: 'buffers are bounded by connection' },
  resp_obj_mem_limit: { kind: 'ignored', why: 'buffers are bounded by connection' },
  inline_ascii_resp: ACCEPTED,
  no_inline_ascii_resp: ACCEPTED,
  no_chunked_items: NO_SLABS,
  drop_privileges: { kind: 'refused', why: 'there is no system call filter here' },
  no_drop_privileges: ACCEPTED,
  sock_cookie_id: { kind: 'refused', why: 'sockets cannot be given a cookie here' },
  ext_path: NO_EXTSTORE,
  ext_page_size: NO_EXTSTORE,
  ext_wbuf_size: NO_EXTSTORE,
  ext_threads: NO_EXTSTORE,
  ext_io_depth: NO_EXTSTORE,
  ext_item_size: NO_EXTSTORE,
  ext_item_age: NO_EXTSTORE,
  ext_low_ttl: NO_EXTSTORE,
  ext_drop_unread: NO_EXTSTORE,
  ext_recache_rate: NO_EXTSTORE,
  ext_compact_under: NO_EXTSTORE,
  ext_drop_under: NO_EXTSTORE,
  ext_max_frag: NO_EXTSTORE,
  ext_max_sleep: NO_EXTSTORE,
  ssl_chain_cert: NO_TLS,
  ssl_key: NO_TLS,
  ssl_keyformat: NO_TLS,
  ssl_verify_mode: NO_TLS,
  ssl_ciphers: NO_TLS,
  ssl_ca_cert: NO_TLS,
  ssl_wbuf_size: NO_TLS,
  ssl_session_cache: NO_TLS,
  ssl_kernel_tls: NO_TLS,
  ssl_min_version: NO_TLS,
}

/** A flag of memcached that is known here and sets no option. */
export interface ForeignFlag {
  readonly short: string
  readonly long?: string
  readonly takesValue: boolean
  readonly verdict: Verdict
}

export const FOREIGN_FLAGS: readonly ForeignFlag[] = [
  // Login is always on; --no-auth is the only way to turn it off.
  { short: 'S', long: 'enable-sasl', takesValue: false, verdict: ACCEPTED },
  {
    short: 'k',
    long: 'lock-memory',
    takesValue: false,
    verdict: { kind: 'ignored', why: 'memory cannot be locked from here' },
  },
  {
    short: 'r',
    long: 'enable-coredumps',
    takesValue: false,
    verdict: { kind: 'ignored', why: 'the core file limit is left as it is' },
  },
  { short: 'f', long: 'slab-growth-factor', takesValue: true, verdict: NO_SLABS },
  { short: 'n', long: 'slab-min-size', takesValue: true, verdict: NO_SLABS },
  {
    short: 'L',
    long: 'enable-largepages',
    takesValue: false,
    verdict: { kind: 'ignored', why: 'page sizes are left to the system' },
  },
  {
    short: 'D',
    takesValue: true,
    verdict: {
      kind: 'ignored',
      why: 'statistics by key prefix are turned on by stats detail on, with : behind the prefix',
    },
  },
  // Nothing here streams logs to clients: the flag asks for what is so already.
  { short: 'W', long: 'disable-watch', takesValue: false, verdict: ACCEPTED },
  {
    short: 'e',
    long: 'memory-file',
    takesValue: true,
    verdict: { kind: 'refused', why: 'items do not survive a restart' },
  },
  { short: 'Z', long: 'enable-ssl', takesValue: false, verdict: NO_TLS },
  {
    short: 'N',
    long: 'napi_ids',
    takesValue: true,
    verdict: { kind: 'ignored', why: 'connections are spread over threads by the system' },
  },
  {
    short: 'i',
    long: 'license',
    takesValue: false,
    verdict: { kind: 'refused', why: "the licence is MIT; see the package's LICENSE" },
  },
]

/** Files a use of a foreign flag where it belongs. */
export function collectForeignFlag(flag: string, verdict: Verdict, into: FlagCollection): void {
  if (verdict.kind === 'ignored') into.notices.push(`${flag} has no effect: ${verdict.why}`)
  if (verdict.kind === 'refused') {
    into.problems.push({ where: flag, message: `is not available: ${verdict.why}` })
  }
}

/** Reads the argument of one -o: suboptions separated by commas, `name` or `name=value`. */
export function collectExtended(flag: string, argument: string, into: FlagCollection): void {
  for (const part of argument.split(',')) {
    const equals = part.indexOf('=')
    const name = (equals === -1 ? part : part.slice(0, equals)).trim()
    const value = equals === -1 ? undefined : part.slice(equals + 1)
    const where = `${flag} ${name}`
    const verdict = Object.hasOwn(EXTENDED, name) ? EXTENDED[name] : undefined
    if (verdict === undefined) {
      const nearest = nearestName(name, Object.keys(EXTENDED))
      const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`
      into.problems.push(
        name === ''
          ? { where: flag, message: 'has an empty suboption' }
          : { where, message: `is not a known suboption${hint}` },
      )
    } else if (verdict.kind !== 'option') {
      collectForeignFlag(where, verdict, into)
    } else if (value === undefined || value === '') {
      into.problems.push({ where, message: `needs a value: ${name}=<num>` })
    } else {
      into.uses.push({ option: verdict.option, flag: where, value })
    }
  }
}
