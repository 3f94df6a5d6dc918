/** The process, its log and its audit, and what is answered over HTTP. */
import type { LogLevel } from '../../base/log-level.ts'
import {
  choice,
  count,
  flag,
  integerOrAuto,
  type Kind,
  list,
  Refusal,
  text,
  withoutLineEnd,
} from '../kind.ts'
import { nonEmpty, type Options } from './option.ts'

export type LogFormat = 'auto' | 'json' | 'pretty'

export interface ProcessValues {
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

/**
 * memcached takes the first character of any word. Only one that is repeated means the same: what stands before `::` in a key stands
 * before its first colon, but for keys with both.
 */
function delimiter(): Kind<string> {
  const parse = (given: string): string | Refusal => {
    const word = withoutLineEnd(given).trimEnd()
    if (word === '' || /^([!-~])\1*$/.test(word)) return word.charAt(0)
    return new Refusal('is not one visible ASCII character')
  }
  return {
    ...text('<char>', 'a character'),
    parse,
    accept: (value) =>
      typeof value === 'string' ? parse(value) : new Refusal('must be a character'),
  }
}

export const PROCESS_OPTIONS: Options<ProcessValues> = {
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
    description: 'run in the background; the log stays only with -v or --log-level',
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
