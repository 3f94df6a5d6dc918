/**
 * The table of options: the single source for the command line, the environment, the TOML file,
 * --print-config, --help and config/saslcached.toml. An option exists everywhere or nowhere.
 *
 * Invariant: an option's name is its TOML key (in the table named by its group) and, in capitals
 * behind SASLCACHED_, its environment variable. Names follow memcached's long flags; a bare number
 * that needs a unit carries it at the end of its name. Relations between options (-I and -m, say)
 * are config.ts's business.
 */
import {
  choice,
  count,
  flag,
  integer,
  integerOrAuto,
  type Kind,
  list,
  mebibytes,
  octalMode,
  Refusal,
  seconds,
  size,
  text,
  withoutLineEnd,
} from './kind.ts'

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace'
export type LogFormat = 'auto' | 'json' | 'pretty'
export type Protocol = 'auto' | 'binary' | 'ascii'

export type Group = 'network' | 'memory' | 'authentication' | 'limits' | 'process' | 'log'

/** Tables of the TOML file and their headings in --help, in this order. */
export const GROUPS: Readonly<Record<Group, string>> = {
  network: 'Listening',
  memory: 'Memory',
  authentication: 'Logins and rights',
  limits: 'Limits',
  process: 'Process',
  log: 'Logging',
}

export interface OptionValues {
  port: number
  listen: readonly string[]
  unix_socket: string
  unix_mask: number
  udp_port: number
  listen_backlog: number
  protocol: Protocol
  memory_limit_mib: number
  memory_limit_max_mib: number | 'auto'
  max_item_size: number
  disable_evictions: boolean
  disable_cas: boolean
  no_auth: boolean
  users_file: string
  auth_file: string
  mechanisms: readonly string[]
  scram_iterations: number
  disable_flush_all: boolean
  disable_dumping: boolean
  disable_watch: boolean
  enable_shutdown: boolean
  conn_limit: number
  wait_for_place: boolean
  prelogin_conn_limit: number | 'auto'
  login_timeout_seconds: number
  login_attempts: number
  prelogin_request_size: number
  key_derivations: number | 'auto'
  key_derivation_queue: number
  max_reqs_per_event: number
  idle_timeout_seconds: number
  stalled_write_timeout_seconds: number
  send_buffer_size: number
  watcher_logbuf_kib: number
  worker_logbuf_kib: number
  drain_timeout_seconds: number
  threads: number | 'auto'
  run_as_user: string
  pidfile: string
  daemon: boolean
  verbose: number
  log_level: LogLevel | 'auto'
  log_format: LogFormat
  prefix_delimiter: string
  track_sizes: boolean
  disable_lru_maintainer: boolean
}

export type OptionName = keyof OptionValues

export interface Option<T> {
  readonly group: Group
  /** One character, as in memcached's getopt string. */
  readonly short?: string
  readonly long: string
  readonly kind: Kind<T>
  readonly default: T
  /** One line: the comment in config/saslcached.toml and, without the default, the line in help. */
  readonly description: string
  /** For help, where the default is long. */
  readonly defaultInWords?: string
  /** Environment variables of container images in use today that mean the same. */
  readonly aliases?: readonly string[]
  /** The flag may be given several times and the values are joined. */
  readonly repeatable?: boolean
}

const CONNECTIONS_MAX = 1_000_000
const DAY_SECONDS = 86_400
/** memcached takes whatever an int can be, where more does no harm. */
const INT32_MAX = 2_147_483_647

/**
 * Lets every client in that was tried: those without SCRAM use PLAIN, the libmemcached family takes
 * SCRAM-SHA-256, or SCRAM-SHA-1 where its libsasl2 is old. SCRAM-SHA-512 is not announced unless
 * asked for: libsasl2 prefers it and then spends a fifth to a half more time on every connection,
 * for nothing that a password gains by it.
 */
const ANNOUNCED_MECHANISMS: readonly string[] = ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN']

/** Whether there is such a mechanism is seen by whoever knows which there are (load.ts). */
function mechanismName(word: string): string {
  return word.toUpperCase()
}

function nonEmpty(word: string): string | Refusal {
  return word === '' ? new Refusal('has an empty address in it') : word
}

/** As memcached does, takes the first character of a longer word. */
function delimiter(): Kind<string> {
  const parse = (given: string): string | Refusal => {
    const word = withoutLineEnd(given)
    if (word === '') return ''
    return /^[!-~]/.test(word)
      ? word.charAt(0)
      : new Refusal('must begin with a visible ASCII character')
  }
  return {
    ...text('<char>', 'a character'),
    parse,
    accept: (value) =>
      typeof value === 'string' ? parse(value) : new Refusal('must be a character'),
  }
}

export const OPTIONS: { readonly [Name in OptionName]: Option<OptionValues[Name]> } = {
  port: {
    group: 'network',
    short: 'p',
    long: 'port',
    kind: integer(-1, 65_535),
    default: 11_211,
    description: 'TCP port; -1 picks a free one, 0 turns TCP off',
    aliases: ['MEMCACHED_PORT_NUMBER'],
  },
  listen: {
    group: 'network',
    short: 'l',
    long: 'listen',
    kind: list('<addr>', 'a list of addresses', nonEmpty),
    default: [],
    description: 'addresses: host, host:port or [IPv6]:port; none means all interfaces',
    aliases: ['MEMCACHED_LISTEN_ADDRESS'],
    repeatable: true,
  },
  unix_socket: {
    group: 'network',
    short: 's',
    long: 'unix-socket',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'Unix socket to listen on instead of TCP',
  },
  unix_mask: {
    group: 'network',
    short: 'a',
    long: 'unix-mask',
    kind: octalMode(),
    default: 0o700,
    description: 'permissions of the Unix socket, in octal',
  },
  udp_port: {
    group: 'network',
    short: 'U',
    long: 'udp-port',
    kind: udpPort(),
    default: 0,
    description: 'only 0 is accepted: there is no UDP here',
  },
  listen_backlog: {
    group: 'network',
    short: 'b',
    long: 'listen-backlog',
    kind: integer(0, INT32_MAX),
    default: 1024,
    description: 'connections that may wait to be accepted',
  },
  protocol: {
    group: 'network',
    short: 'B',
    long: 'protocol',
    kind: choice<Protocol>(['auto', 'binary', 'ascii'], {
      http: 'is not a memcached dialect; use auto, binary or ascii',
    }),
    default: 'auto',
    description: 'dialect to speak: auto, binary or ascii, which is text and meta',
  },
  memory_limit_mib: {
    group: 'memory',
    short: 'm',
    long: 'memory-limit',
    // As much as the store can address, 64 GiB.
    kind: mebibytes(1, 65_536),
    default: 64,
    description: 'memory for items, in MiB',
    aliases: ['MEMCACHED_CACHE_SIZE'],
  },
  memory_limit_max_mib: {
    group: 'memory',
    long: 'memory-limit-max',
    kind: integerOrAuto(1, 65_536),
    default: 'auto',
    description: 'highest limit cache_memlimit may set; four times -m, at least 1024',
  },
  max_item_size: {
    group: 'memory',
    short: 'I',
    long: 'max-item-size',
    kind: size(1024, 1024 * 1024 * 1024),
    default: 1024 * 1024,
    description: 'largest item, 1k to 1024m, at most half of the memory',
    aliases: ['MEMCACHED_MAX_ITEM_SIZE'],
  },
  disable_evictions: {
    group: 'memory',
    short: 'M',
    long: 'disable-evictions',
    kind: flag(),
    default: false,
    description: 'answer "out of memory" instead of evicting items',
  },
  disable_cas: {
    group: 'memory',
    short: 'C',
    long: 'disable-cas',
    kind: flag(),
    default: false,
    description: 'do without CAS values',
  },
  no_auth: {
    group: 'authentication',
    long: 'no-auth',
    kind: flag(),
    default: false,
    description: 'serve without login; on loopback unless -l says otherwise',
  },
  users_file: {
    group: 'authentication',
    long: 'users-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'users; by default users.toml beside the configuration file',
  },
  auth_file: {
    group: 'authentication',
    short: 'Y',
    long: 'auth-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'password file of memcached: lines of user:password',
  },
  mechanisms: {
    group: 'authentication',
    long: 'mechanisms',
    kind: list('<list>', 'a list of mechanism names', mechanismName),
    default: ANNOUNCED_MECHANISMS,
    defaultInWords: ANNOUNCED_MECHANISMS.join(', '),
    description: 'SASL mechanisms to announce, in this order',
    repeatable: true,
  },
  scram_iterations: {
    group: 'authentication',
    long: 'scram-iterations',
    kind: integer(4096, 10_000_000),
    default: 4096,
    description: 'PBKDF2 iterations for new verifiers',
  },
  disable_flush_all: {
    group: 'authentication',
    short: 'F',
    long: 'disable-flush-all',
    kind: flag(),
    default: false,
    description: 'refuse flush_all',
  },
  disable_dumping: {
    group: 'authentication',
    short: 'X',
    long: 'disable-dumping',
    kind: flag(),
    default: false,
    description: 'refuse lists of all keys: metadump, mgdump, cachedump',
  },
  disable_watch: {
    group: 'authentication',
    short: 'W',
    long: 'disable-watch',
    kind: flag(),
    default: false,
    description: 'refuse watch, which shows keys and clients',
  },
  enable_shutdown: {
    group: 'authentication',
    short: 'A',
    long: 'enable-shutdown',
    kind: flag(),
    default: false,
    description: 'let clients that are logged in shut the server down',
  },
  conn_limit: {
    group: 'limits',
    short: 'c',
    long: 'conn-limit',
    kind: integer(1, CONNECTIONS_MAX),
    default: 1024,
    description: 'connections at a time',
    aliases: ['MEMCACHED_MAX_CONNECTIONS'],
  },
  wait_for_place: {
    group: 'limits',
    long: 'wait-for-place',
    kind: flag(),
    default: false,
    description: 'let clients over -c wait, up to -b of them, instead of refusing them',
  },
  prelogin_conn_limit: {
    group: 'limits',
    long: 'prelogin-conn-limit',
    kind: integerOrAuto(1, CONNECTIONS_MAX),
    default: 'auto',
    description: 'connections not logged in; auto is a quarter of -c',
  },
  login_timeout_seconds: {
    group: 'limits',
    long: 'login-timeout',
    kind: seconds(0.1, DAY_SECONDS, false),
    default: 10,
    description: 'time for a client to log in',
  },
  login_attempts: {
    group: 'limits',
    long: 'login-attempts',
    kind: integer(1, 1000),
    default: 5,
    description: 'failed logins until a connection is closed',
  },
  prelogin_request_size: {
    group: 'limits',
    long: 'prelogin-request-size',
    kind: size(4096, 16 * 1024 * 1024),
    default: 64 * 1024,
    description: 'largest request before login',
  },
  key_derivations: {
    group: 'limits',
    long: 'key-derivations',
    kind: integerOrAuto(1, 1024),
    default: 'auto',
    description: 'password checks at a time; auto is one a core, at least 2',
  },
  key_derivation_queue: {
    group: 'limits',
    long: 'key-derivation-queue',
    kind: integer(1, CONNECTIONS_MAX),
    default: 4096,
    description: 'password checks that may wait; more fail at once',
  },
  max_reqs_per_event: {
    group: 'limits',
    short: 'R',
    long: 'max-reqs-per-event',
    kind: integer(1, INT32_MAX),
    // memcached's 20 costs a turn of the event loop here; a turn is bounded in bytes as well.
    default: 500,
    description: 'requests of one connection served in a row',
  },
  idle_timeout_seconds: {
    group: 'limits',
    long: 'idle-timeout',
    kind: seconds(1, INT32_MAX, true),
    default: 0,
    defaultInWords: '0',
    description: 'idle time until a connection is closed; 0 is never',
  },
  stalled_write_timeout_seconds: {
    group: 'limits',
    long: 'stalled-write-timeout',
    kind: seconds(0.1, DAY_SECONDS, true),
    default: 60,
    description: 'time a client may leave replies unread; 0 is forever',
  },
  send_buffer_size: {
    group: 'limits',
    long: 'send-buffer-size',
    kind: size(16 * 1024, 1024 * 1024 * 1024),
    default: 256 * 1024,
    description: 'unread replies that stop the reading of requests',
  },
  watcher_logbuf_kib: {
    group: 'limits',
    long: 'watcher-logbuf',
    kind: integer(1, 65_536),
    default: 256,
    description: 'events a watcher may leave unread, in KiB; more are skipped',
  },
  worker_logbuf_kib: {
    group: 'limits',
    long: 'worker-logbuf',
    kind: integer(1, 65_536),
    default: 64,
    description: 'events of a thread not yet passed on to watchers, in KiB',
  },
  drain_timeout_seconds: {
    group: 'limits',
    long: 'drain-timeout',
    kind: seconds(0.1, 3600, true),
    default: 5,
    description: 'time to finish requests at shutdown',
  },
  threads: {
    group: 'process',
    short: 't',
    long: 'threads',
    kind: integerOrAuto(1, 256),
    default: 'auto',
    description: 'worker threads; auto: one a processor, at most 4',
    aliases: ['MEMCACHED_THREADS'],
  },
  run_as_user: {
    group: 'process',
    short: 'u',
    long: 'user',
    kind: text('<user>', 'a user name'),
    default: '',
    description: 'user to become after binding, if started as root',
  },
  pidfile: {
    group: 'process',
    short: 'P',
    long: 'pidfile',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'file to write the process id to',
  },
  daemon: {
    group: 'process',
    short: 'd',
    long: 'daemon',
    kind: flag(),
    default: false,
    description: 'run in the background',
  },
  verbose: {
    group: 'log',
    short: 'v',
    long: 'verbose',
    kind: count(3),
    default: 0,
    description: 'say more, from 0 to 3: -v, -vv, -vvv',
    repeatable: true,
  },
  log_level: {
    group: 'log',
    long: 'log-level',
    kind: choice<LogLevel | 'auto'>(['auto', 'trace', 'debug', 'info', 'warn', 'error', 'fatal']),
    default: 'auto',
    description: 'level: fatal, error, warn, info, debug, trace; auto follows -v',
  },
  log_format: {
    group: 'log',
    long: 'log-format',
    kind: choice<LogFormat>(['auto', 'json', 'pretty']),
    default: 'auto',
    description: 'form of lines: json or pretty; auto is pretty on a terminal',
  },
  prefix_delimiter: {
    group: 'log',
    short: 'D',
    long: 'prefix-delimiter',
    kind: delimiter(),
    default: '',
    description: 'count by key prefix, which this character ends; none: when asked, with :',
  },
  track_sizes: {
    group: 'log',
    long: 'track-sizes',
    kind: flag(),
    default: false,
    description: 'answer stats sizes without stats sizes_enable',
  },
  disable_lru_maintainer: {
    group: 'log',
    long: 'disable-lru-maintainer',
    kind: flag(),
    default: false,
    description: "leave out of the statistics what memcached's LRU maintainer counts",
  },
}

export const OPTION_NAMES: readonly OptionName[] = Object.keys(OPTIONS) as OptionName[]

/** SASLCACHED_ and the option's name in capitals. */
export function environmentName(name: OptionName): string {
  return `SASLCACHED_${name.toUpperCase()}`
}

function udpPort(): Kind<number> {
  const number = integer(0, 65_535)
  const check = (value: number | Refusal): number | Refusal =>
    value === 0 || value instanceof Refusal
      ? value
      : new Refusal('cannot be served: UDP has no login and lends itself to amplification; use 0')
  return {
    placeholder: '<num>',
    parse: (value) => check(number.parse(value)),
    accept: (value) => check(number.accept(value)),
    format: String,
  }
}
