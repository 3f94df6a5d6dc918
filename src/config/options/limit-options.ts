/** Limits on what clients, and strangers before all, may take. */
import { parseAddressBlock } from '../../base/address-block.ts'
import { INT32_MAX } from '../../base/int32-max.ts'
import { choice, flag, integer, integerOrAuto, list, Refusal, seconds, size } from '../kind.ts'
import type { Options } from './option.ts'

export interface LimitValues {
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
}

const CONNECTIONS_MAX = 1_000_000
const DAY_SECONDS = 86_400

function network(word: string): string | Refusal {
  const block = parseAddressBlock(word)
  return typeof block === 'string' ? new Refusal(block) : word
}

export const LIMIT_OPTIONS: Options<LimitValues> = {
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
    description: 'password checks at a time; auto is one a core',
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
}
