/**
 * The table of options: the single source for the command line, the environment, the TOML file,
 * --print-config, --help and config/saslcached.toml. An option exists everywhere or nowhere.
 *
 * Invariant: an option's name is its TOML key (in the table named by its group) and, in capitals
 * behind SASLCACHED_, its environment variable. Names follow memcached's long flags; a bare number
 * that needs a unit carries it at the end of its name. Relations between options (-I and -m, say)
 * are config.ts's business.
 */
import { parseAddressBlock } from '../base/address-block.ts'
import {
  choice,
  choiceOrNumber,
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
import { audience, claimPath, SIGNED_BY, tokenAlgorithm } from './oauth-kinds.ts'

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace'
export type LogFormat = 'auto' | 'json' | 'pretty'
export type Protocol = 'auto' | 'binary' | 'ascii'
/** What a client's certificate is to a listener: not asked for, verified if there is one, required. */
export type TlsVerify = 'none' | 'request' | 'require' | 'once'
/** The lowest version that is spoken. */
export type TlsMinVersion = '1.2' | '1.3'

export type Group =
  | 'network'
  | 'tls'
  | 'memory'
  | 'snapshot'
  | 'authentication'
  | 'oauth'
  | 'limits'
  | 'http'
  | 'process'
  | 'log'

/** Tables of the TOML file and their headings in --help, in this order. */
export const GROUPS: Readonly<Record<Group, string>> = {
  network: 'Listening',
  tls: 'TLS',
  memory: 'Memory',
  snapshot: 'Warm restart',
  authentication: 'Logins and rights',
  oauth: 'Logins by token (OAUTHBEARER)',
  limits: 'Limits',
  http: 'Metrics and health over HTTP',
  process: 'Process',
  log: 'Logging',
}

export interface OptionValues {
  port: number
  listen: readonly string[]
  unix_socket: string
  unix_mask: number
  unix_group: string
  listen_as: readonly string[]
  cluster_nodes: readonly string[]
  udp_port: number
  listen_backlog: number
  protocol: Protocol
  tls: boolean
  tls_cert: readonly string[]
  tls_key: readonly string[]
  tls_key_password_file: readonly string[]
  tls_ca: string
  tls_crl: string
  tls_verify: TlsVerify
  tls_min_version: TlsMinVersion
  tls_ciphers: string
  tls_user_from: 'off' | 'cn' | 'dns' | 'email' | 'uri'
  require_tls: boolean
  plain_in_the_clear: boolean
  memory_limit_mib: number
  memory_limit_max_mib: number | 'auto'
  max_item_size: number
  disable_evictions: boolean
  eviction: 'size-aware' | 's3-fifo'
  disable_cas: boolean
  snapshot: string
  snapshot_every_minutes: number
  snapshot_key_file: string
  restore: 'serve' | 'wait'
  restore_stale: boolean
  no_auth: boolean
  users_file: string
  auth_file: string
  mechanisms: readonly string[]
  scram_iterations: number
  disable_flush_all: boolean
  disable_dumping: boolean
  disable_watch: boolean
  enable_shutdown: boolean
  oauth_issuer: string
  oauth_audience: readonly string[]
  oauth_jwks_file: string
  oauth_jwks_url: string
  oauth_jwks_ca_file: string
  oauth_jwks_token_file: string
  oauth_algorithms: readonly string[]
  oauth_clock_skew_seconds: number
  oauth_user_claim: string
  oauth_roles_claim: string
  oauth_roles_prefix: string
  conn_limit: number
  wait_for_place: boolean
  prelogin_conn_limit: number | 'auto'
  login_timeout_seconds: number
  login_attempts: number
  prelogin_request_size: number
  key_derivations: number | 'auto'
  key_derivation_queue: number
  throttle: 'on' | 'off'
  throttle_failures: number
  throttle_min_seconds: number
  throttle_max_seconds: number
  throttle_allow: readonly string[]
  max_reqs_per_event: number
  idle_timeout_seconds: number
  stalled_write_timeout_seconds: number
  send_buffer_size: number
  watcher_logbuf_kib: number
  worker_logbuf_kib: number
  drain_timeout_seconds: number
  http: readonly string[]
  http_auth: boolean
  http_open: boolean
  http_host: readonly string[]
  histograms: boolean
  threads: number | 'auto'
  run_as_user: string
  pidfile: string
  daemon: boolean
  audit_log: string
  audit_on_failure: 'continue' | 'refuse-logins'
  audit_keys: 'hashed' | 'clear'
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

function network(word: string): string | Refusal {
  const block = parseAddressBlock(word)
  return typeof block === 'string' ? new Refusal(block) : word
}

function nonEmpty(word: string): string | Refusal {
  return word === '' ? new Refusal('has an empty address in it') : word
}

function nonEmptyPath(word: string): string | Refusal {
  if (word === '') return new Refusal('has an empty path in it')
  return /\p{Cc}/u.test(word) ? new Refusal('has a control character in it') : word
}

/** As people and OpenSSL write it, and as memcached counts; what is older is not spoken, see load.ts. */
function tlsVersion(): Kind<TlsMinVersion> {
  const words = choice<TlsMinVersion>(['1.2', '1.3'], {
    '1.0': 'is broken, and not spoken here; use 1.2 or 1.3',
    '1.1': 'is broken, and not spoken here; use 1.2 or 1.3',
  })
  return {
    ...words,
    placeholder: '<version>',
    // In a file it is easily written as a number.
    accept: (value) => words.accept(typeof value === 'number' ? String(value) : value),
  }
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
  unix_group: {
    group: 'network',
    long: 'unix-group',
    kind: text('<group>', 'the name or the number of a group'),
    default: '',
    description: 'group of the Unix sockets, for which -a has to let it in: 770',
  },
  listen_as: {
    group: 'network',
    long: 'listen-as',
    kind: list('<user=addr>', 'a list of user=address', nonEmpty),
    default: [],
    description: 'loopback addresses or Unix sockets where everybody is that user, without login',
    repeatable: true,
  },
  cluster_nodes: {
    group: 'network',
    long: 'cluster-nodes',
    kind: list('<nodes>', 'a list of nodes', nonEmpty),
    default: [],
    description: 'nodes for clients that ask by config get cluster: host:port, name=address:port',
    repeatable: true,
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
  tls: {
    group: 'tls',
    long: 'tls',
    kind: flag(),
    default: false,
    description: 'speak TLS on every TCP address that is not marked notls:',
  },
  tls_cert: {
    group: 'tls',
    long: 'tls-cert',
    kind: list('<file>', 'a list of paths', nonEmptyPath),
    default: [],
    description: 'certificate with those that signed it, in PEM; with more, one a name',
    repeatable: true,
  },
  tls_key: {
    group: 'tls',
    long: 'tls-key',
    kind: list('<file>', 'a list of paths', nonEmptyPath),
    default: [],
    description: 'private key of each certificate, in PEM; without it, in the file of that',
    repeatable: true,
  },
  tls_key_password_file: {
    group: 'tls',
    long: 'tls-key-password-file',
    kind: list('<file>', 'a list of paths', nonEmptyPath),
    default: [],
    description: 'file with the password of an encrypted key; one for all, or one a key',
    repeatable: true,
  },
  tls_ca: {
    group: 'tls',
    long: 'tls-ca',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'certificates of who signs those of clients, in PEM',
  },
  tls_crl: {
    group: 'tls',
    long: 'tls-crl',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'lists of revoked client certificates, in PEM, one of each authority',
  },
  tls_verify: {
    group: 'tls',
    long: 'tls-verify',
    kind: choiceOrNumber<TlsVerify>(['none', 'request', 'require', 'once']),
    default: 'none',
    description: 'client certificates: none, request, require or once; a wrong one is refused',
  },
  tls_min_version: {
    group: 'tls',
    long: 'tls-min-version',
    kind: tlsVersion(),
    default: '1.2',
    description: 'lowest version of TLS: 1.2 or 1.3',
  },
  tls_ciphers: {
    group: 'tls',
    long: 'tls-ciphers',
    kind: text('<list>', 'a list of ciphers'),
    default: '',
    description: 'ciphers as OpenSSL writes them; by default those with forward secrecy',
  },
  tls_user_from: {
    group: 'tls',
    long: 'tls-user-from',
    kind: choice(['off', 'cn', 'dns', 'email', 'uri']),
    default: 'off',
    description: "what of a client's certificate is its user, for EXTERNAL",
  },
  require_tls: {
    group: 'tls',
    long: 'require-tls',
    kind: flag(),
    default: false,
    description: 'take no password over plain TCP but from this machine; so with any TLS',
  },
  plain_in_the_clear: {
    group: 'tls',
    long: 'plain-in-the-clear',
    kind: flag(),
    default: false,
    description: 'take passwords over plain TCP although there is TLS',
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
  eviction: {
    group: 'memory',
    long: 'eviction',
    kind: choice<'size-aware' | 's3-fifo'>(['size-aware', 's3-fifo']),
    default: 'size-aware',
    description: 'evict what is read least: for its size (size-aware), or at all (s3-fifo)',
  },
  disable_cas: {
    group: 'memory',
    short: 'C',
    long: 'disable-cas',
    kind: flag(),
    default: false,
    description: 'do without CAS values',
  },
  snapshot: {
    group: 'snapshot',
    long: 'snapshot',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'file that items outlive a stop in; none: a start is empty',
  },
  snapshot_every_minutes: {
    group: 'snapshot',
    long: 'snapshot-every',
    kind: integer(0, 10_080),
    default: 0,
    defaultInWords: '0',
    description: 'minutes between further snapshots, for --restore-stale; 0 is at a stop only',
  },
  snapshot_key_file: {
    group: 'snapshot',
    long: 'snapshot-key-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'key to encrypt it with, from openssl rand -hex 32; none: in the clear',
  },
  restore: {
    group: 'snapshot',
    long: 'restore',
    kind: choice(['serve', 'wait']),
    default: 'serve',
    description: 'serve while items come back, or wait until they are',
  },
  restore_stale: {
    group: 'snapshot',
    long: 'restore-stale',
    kind: flag(),
    default: false,
    description: 'also take the snapshot of a server that crashed, though it may be out of date',
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
  oauth_issuer: {
    group: 'oauth',
    long: 'oauth-issuer',
    kind: text('<issuer>', 'the issuer of tokens'),
    default: '',
    description: 'issuer (iss) whose tokens are taken, on TLS; none: no tokens are',
  },
  oauth_audience: {
    group: 'oauth',
    long: 'oauth-audience',
    kind: list('<list>', 'a list of audiences', audience),
    default: [],
    description: 'audience (aud) that tokens for this server name; one of a list will do',
    repeatable: true,
  },
  oauth_jwks_file: {
    group: 'oauth',
    long: 'oauth-jwks-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'public keys of the issuer, a JWK Set; read again when it changes',
  },
  oauth_jwks_url: {
    group: 'oauth',
    long: 'oauth-jwks-url',
    kind: text('<url>', 'a URL'),
    default: '',
    description: 'the same by https, fetched every ten minutes and for keys not known',
  },
  oauth_jwks_ca_file: {
    group: 'oauth',
    long: 'oauth-jwks-ca-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'CA of that server, PEM; none: those that Node trusts',
  },
  oauth_jwks_token_file: {
    group: 'oauth',
    long: 'oauth-jwks-token-file',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'token to show to that server; read for each fetch',
  },
  oauth_algorithms: {
    group: 'oauth',
    long: 'oauth-algorithms',
    kind: list('<list>', 'a list of algorithms', tokenAlgorithm),
    default: SIGNED_BY,
    description: 'algorithms that tokens may be signed by',
    repeatable: true,
  },
  oauth_clock_skew_seconds: {
    group: 'oauth',
    long: 'oauth-clock-skew',
    kind: integer(0, 600),
    default: 60,
    description: "seconds by which the issuer's clock may differ",
  },
  oauth_user_claim: {
    group: 'oauth',
    long: 'oauth-user-claim',
    kind: claimPath(),
    default: 'sub',
    description: 'claim that names the user; dots lead into objects',
  },
  oauth_roles_claim: {
    group: 'oauth',
    long: 'oauth-roles-claim',
    kind: claimPath(),
    default: '',
    description: 'claim with the roles of who is no user here: resource_access.cache.roles',
  },
  oauth_roles_prefix: {
    group: 'oauth',
    long: 'oauth-roles-prefix',
    kind: text('<text>', 'the beginning of roles'),
    default: '',
    description: 'what roles in tokens begin with; without one none is admin or operator',
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
  throttle: {
    group: 'limits',
    long: 'throttle',
    kind: choice(['on', 'off']),
    default: 'on',
    description: 'slow down, then refuse, sources and users whose logins fail: on or off',
  },
  throttle_failures: {
    group: 'limits',
    long: 'throttle-failures',
    kind: integer(2, 10_000),
    default: 10,
    description: 'failed logins of an address or a user until it is refused for a while',
  },
  throttle_min_seconds: {
    group: 'limits',
    long: 'throttle-min',
    kind: seconds(0.1, DAY_SECONDS, false),
    default: 1,
    description: 'time for which an address or a user is refused first; each time it doubles',
  },
  throttle_max_seconds: {
    group: 'limits',
    long: 'throttle-max',
    kind: seconds(1, DAY_SECONDS, false),
    default: 60,
    description: 'longest time for which an address or a user is refused',
  },
  throttle_allow: {
    group: 'limits',
    long: 'throttle-allow',
    kind: list('<nets>', 'a list of networks', network),
    default: [],
    description: 'networks whose failed logins are not counted: 192.0.2.0/24, 2001:db8::/32',
    repeatable: true,
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
  http: {
    group: 'http',
    long: 'http',
    kind: list('<addr>', 'a list of addresses', nonEmpty),
    default: [],
    description: 'answers /metrics, /live, /ready: port of loopback, host:port, Unix socket',
    repeatable: true,
  },
  http_auth: {
    group: 'http',
    long: 'http-auth',
    kind: flag(),
    default: false,
    description: 'ask for a user with the right stats; by TLS where others could read it',
  },
  http_open: {
    group: 'http',
    long: 'http-open',
    kind: flag(),
    default: false,
    description: 'show metrics on public addresses without a login',
  },
  http_host: {
    group: 'http',
    long: 'http-host',
    kind: list('<name>', 'a list of host names', nonEmpty),
    default: [],
    description: 'names with a dot that HTTP clients without a login may call the server by',
    repeatable: true,
  },
  histograms: {
    group: 'http',
    long: 'histograms',
    kind: flag(),
    default: false,
    description: 'take the times of requests and of the garbage collector, for the metrics',
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
  audit_log: {
    group: 'log',
    long: 'audit-log',
    kind: text('<file>', 'a path'),
    default: '',
    description: 'file for the audit, a line an event; - is standard output, none is off',
  },
  audit_on_failure: {
    group: 'log',
    long: 'audit-on-failure',
    kind: choice(['continue', 'refuse-logins']),
    default: 'continue',
    description: 'when the audit cannot be written: continue or refuse-logins',
  },
  audit_keys: {
    group: 'log',
    long: 'audit-keys',
    kind: choice(['hashed', 'clear']),
    default: 'hashed',
    description: 'keys of refused commands in the audit: hashed or clear',
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
