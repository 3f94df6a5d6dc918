/**
 * memcached's flags that have no option of ours: the suboptions of -o, and the short flags that
 * tune parts which only memcached has. Each is known by name, so that a start script written for
 * memcached either works here or says why it cannot.
 *
 * `option`: it sets an option of ours. `ignored`: it tunes a part that does not exist here, the
 * server works without it and says so at start. `refused`: ignoring it would break a promise.
 */

import { unreachable } from '../base/unreachable.ts'
import { choice, integer, type Kind, Refusal, ratio, text } from './kind.ts'
import { OPTIONS, type OptionName } from './options.ts'
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

export type NameMeaning =
  /**
   * `value` is what the bare name means; without it a value must be given. `meanings` are values of
   * memcached's that are other words here.
   */
  | {
      readonly kind: 'option'
      readonly option: OptionName
      readonly value?: string
      readonly meanings?: Readonly<Record<string, string>>
    }
  | { readonly kind: 'accepted'; readonly takes?: Kind<unknown> }
  /** `takes` is the value that memcached insists on; a wrong one is refused here as well. */
  | { readonly kind: 'ignored'; readonly why: string; readonly takes?: Kind<unknown> }
  | { readonly kind: 'refused'; readonly why: string }

const ACCEPTED: NameMeaning = { kind: 'accepted' }
const NO_SLABS = 'there are no slabs here'
const NO_LRU = 'there are no LRU lists here'
const NO_HASH_TUNING = 'the index sizes itself'
const NO_NETWORK_POOL = 'buffers are bounded for each connection instead'
const NO_EXTSTORE = 'items are kept in memory only; give it more with -m'
const NO_PROXY = 'this server keeps items and routes nothing; run a proxy as a server of its own'
const NO_FILTER =
  'there is no system call filter here; let the container or the service manager set one'

const UINT32_MAX = 0xffff_ffff
const NUMBER = integer(0, UINT32_MAX)
const RATIO = ratio()

/** `takes` makes it an error to leave the value out, as memcached does. */
function ignored(why: string, takes?: Kind<unknown>): NameMeaning {
  return takes === undefined ? { kind: 'ignored', why } : { kind: 'ignored', why, takes }
}

function refused(why: string): NameMeaning {
  return { kind: 'refused', why }
}

/** The suboptions of -o of memcached 1.6.45, of every way to build it. */
export const EXTENDED: Readonly<Record<string, NameMeaning>> = {
  idle_timeout: { kind: 'option', option: 'idle_timeout_seconds' },
  // The default since memcached 1.6, and ours.
  maxconns_fast: { kind: 'option', option: 'wait_for_place', value: 'false' },
  no_maxconns_fast: { kind: 'option', option: 'wait_for_place', value: 'true' },
  modern: ACCEPTED,
  // Of the defaults of memcached 1.4 that it selects, what a client notices.
  no_modern: { kind: 'option', option: 'wait_for_place', value: 'true' },
  hashpower: ignored(NO_HASH_TUNING, NUMBER),
  no_hashexpand: ignored(NO_HASH_TUNING),
  hash_algorithm: ignored(
    'the hash is keyed with a random seed and cannot be chosen',
    choice(['jenkins', 'murmur3', 'xxh3']),
  ),
  tail_repair_time: ignored(NO_LRU, NUMBER),
  lru_crawler: ignored(NO_LRU),
  no_lru_crawler: ignored(NO_LRU),
  lru_crawler_sleep: ignored(NO_LRU, NUMBER),
  lru_crawler_tocrawl: ignored(NO_LRU, NUMBER),
  lru_maintainer: { kind: 'option', option: 'disable_lru_maintainer', value: 'false' },
  no_lru_maintainer: { kind: 'option', option: 'disable_lru_maintainer', value: 'true' },
  hot_lru_pct: ignored(NO_LRU, integer(1, 80)),
  warm_lru_pct: ignored(NO_LRU, integer(1, 80)),
  hot_max_factor: ignored(NO_LRU, RATIO),
  warm_max_factor: ignored(NO_LRU, RATIO),
  temporary_ttl: ignored(NO_LRU, NUMBER),
  slab_reassign: ignored(NO_SLABS),
  no_slab_reassign: ignored(NO_SLABS),
  slab_automove: ignored(NO_SLABS),
  no_slab_automove: ignored(NO_SLABS),
  slab_automove_ratio: ignored(NO_SLABS, RATIO),
  slab_automove_window: ignored(NO_SLABS, NUMBER),
  slab_automove_freeratio: ignored(NO_SLABS, RATIO),
  slab_chunk_max: ignored(NO_SLABS, NUMBER),
  slab_sizes: ignored(NO_SLABS, text('<list>', 'a list of sizes')),
  no_chunked_items: ignored(NO_SLABS),
  track_sizes: { kind: 'option', option: 'track_sizes', value: 'true' },
  watcher_logbuf_size: { kind: 'option', option: 'watcher_logbuf_kib' },
  worker_logbuf_size: { kind: 'option', option: 'worker_logbuf_kib' },
  read_buf_mem_limit: ignored(NO_NETWORK_POOL, NUMBER),
  resp_obj_mem_limit: ignored(NO_NETWORK_POOL, NUMBER),
  inline_ascii_resp: ignored('replies are made when they are sent'),
  no_inline_ascii_resp: ACCEPTED,
  drop_privileges: refused(NO_FILTER),
  no_drop_privileges: ACCEPTED,
  // It loosens the filter of drop_privileges, which is not here.
  relaxed_privileges: ACCEPTED,
  sock_cookie_id: refused('sockets cannot be given a cookie here; let the firewall match the port'),
  ext_path: refused(NO_EXTSTORE),
  ext_page_size: refused(NO_EXTSTORE),
  ext_wbuf_size: refused(NO_EXTSTORE),
  ext_threads: refused(NO_EXTSTORE),
  ext_io_depth: refused(NO_EXTSTORE),
  ext_item_size: refused(NO_EXTSTORE),
  ext_item_age: refused(NO_EXTSTORE),
  ext_low_ttl: refused(NO_EXTSTORE),
  ext_drop_unread: refused(NO_EXTSTORE),
  ext_recache_rate: refused(NO_EXTSTORE),
  ext_compact_under: refused(NO_EXTSTORE),
  ext_drop_under: refused(NO_EXTSTORE),
  ext_max_frag: refused(NO_EXTSTORE),
  ext_max_sleep: refused(NO_EXTSTORE),
  proxy_config: refused(NO_PROXY),
  proxy_arg: refused(NO_PROXY),
  proxy_uring: refused(NO_PROXY),
  proxy_memprofile: refused(NO_PROXY),
  ssl_chain_cert: { kind: 'option', option: 'tls_cert' },
  ssl_key: { kind: 'option', option: 'tls_key' },
  ssl_keyformat: {
    kind: 'accepted',
    takes: choice(['1'], { '2': 'is DER; make it PEM: openssl pkey -inform DER -in key.der' }),
  },
  ssl_verify_mode: { kind: 'option', option: 'tls_verify' },
  ssl_ciphers: { kind: 'option', option: 'tls_ciphers' },
  ssl_ca_cert: { kind: 'option', option: 'tls_ca' },
  ssl_wbuf_size: ignored('a thread gathers its replies in 128 KiB, also without TLS', NUMBER),
  // Sessions are resumed by tickets, always.
  ssl_session_cache: ACCEPTED,
  ssl_kernel_tls: ignored('the cryptography stays in the process'),
  ssl_min_version: {
    kind: 'option',
    option: 'tls_min_version',
    meanings: { '0': '1.2', '1': '1.2', '2': '1.2', '3': '1.3' },
  },
}

/** A flag of memcached that is known here and sets no option. */
export interface ForeignFlag {
  readonly short: string
  readonly long?: string
  /** What help shows for its value, `<num>`; empty for a flag that takes none. */
  readonly placeholder: string
  readonly verdict: NameMeaning
}

export const FOREIGN_FLAGS: readonly ForeignFlag[] = [
  // Login is always on; --no-auth is the only way to turn it off.
  { short: 'S', long: 'enable-sasl', placeholder: '', verdict: ACCEPTED },
  {
    short: 'f',
    long: 'slab-growth-factor',
    placeholder: '<num>',
    verdict: ignored(NO_SLABS, RATIO),
  },
  {
    short: 'n',
    long: 'slab-min-size',
    placeholder: '<num>',
    verdict: ignored(NO_SLABS, NUMBER),
  },
  {
    short: 'k',
    long: 'lock-memory',
    placeholder: '',
    verdict: ignored('memory cannot be locked from here'),
  },
  {
    short: 'L',
    long: 'enable-largepages',
    placeholder: '',
    verdict: ignored('page sizes are left to the system'),
  },
  {
    short: 'r',
    long: 'enable-coredumps',
    placeholder: '',
    verdict: ignored('the core file limit is left as it is'),
  },
  {
    short: 'N',
    long: 'napi-ids',
    placeholder: '<num>',
    verdict: ignored('a connection goes to the thread that has fewest', NUMBER),
  },
  {
    short: 'e',
    long: 'memory-file',
    placeholder: '<file>',
    verdict: { kind: 'option', option: 'snapshot' },
  },
  {
    short: 'Z',
    long: 'enable-ssl',
    placeholder: '',
    verdict: { kind: 'option', option: 'tls', value: 'true' },
  },
]

/** What becomes of a flag, for help and docs/memcached.md. */
export function describeVerdict(verdict: NameMeaning): string {
  switch (verdict.kind) {
    case 'option':
      return `works: the same as --${OPTIONS[verdict.option].long}`
    case 'accepted':
      return 'accepted: what it asks for is so already'
    case 'ignored':
      return `no effect: ${verdict.why}`
    case 'refused':
      return `refused: ${verdict.why}`
    default:
      return unreachable(verdict)
  }
}

/** Files a use of a foreign flag where it belongs. */
export function collectForeignFlag(
  flag: string,
  verdict: NameMeaning,
  value: string | undefined,
  into: FlagCollection,
): void {
  if (verdict.kind === 'refused') {
    into.problems.push({ where: flag, message: `is not available: ${verdict.why}` })
    return
  }
  if (verdict.kind === 'option') {
    into.uses.push({ option: verdict.option, flag, value: verdict.value ?? value ?? '' })
    return
  }
  if (verdict.takes !== undefined) {
    if (value === undefined || value === '') {
      into.problems.push({ where: flag, message: 'needs a value' })
      return
    }
    const parsed = verdict.takes.parse(value)
    if (parsed instanceof Refusal) {
      into.problems.push({ where: flag, message: `${JSON.stringify(value)} ${parsed.reason}` })
      return
    }
  }
  if (verdict.kind === 'ignored') into.notices.push(`${flag} has no effect: ${verdict.why}`)
}

/** Reads the argument of one -o: suboptions separated by commas, `name` or `name=value`. */
export function collectExtended(flag: string, argument: string, into: FlagCollection): void {
  // As getsubopt has it: a comma at the end, or nothing at all, does no harm.
  if (argument.trim() === '') return
  for (const part of argument.replace(/,\s*$/, '').split(',')) {
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
      collectForeignFlag(where, verdict, value, into)
    } else if (verdict.value !== undefined) {
      into.uses.push({ option: verdict.option, flag: where, value: verdict.value })
    } else if (value === undefined || value === '') {
      const { placeholder } = OPTIONS[verdict.option].kind
      into.problems.push({ where, message: `needs a value: ${name}=${placeholder}` })
    } else {
      const { meanings = {} } = verdict
      const meant = Object.hasOwn(meanings, value) ? meanings[value] : undefined
      into.uses.push({ option: verdict.option, flag: where, value: meant ?? value })
    }
  }
}
