/**
 * All that was given becomes one Config. Whatever is wrong anywhere is
 * collected first and thrown as one ConfigError, so that one start shows all of it.
 *
 * Relative paths are resolved against the directory of the file they are written in, or against
 * the working directory when they come from a flag or a variable.
 */

import type { LogLevel } from '../base/log-level.ts'
import type { Config, Setting } from './config.ts'
import { credentialOrigins, usersFile } from './credential-origins.ts'
import { type ConfigInputs, GivenOptions } from './given-options.ts'
import { resolveHttp } from './http.ts'
import { formatSize } from './kind.ts'
import { resolveMechanisms } from './login-mechanisms.ts'
import { resolveNetwork, takenByServer } from './network.ts'
import { announcedMechanisms, resolveOAuth } from './oauth.ts'
import { OPTION_NAMES, OPTIONS, type OptionName, type OptionValues } from './options.ts'
import { ConfigError, type ConfigProblem } from './problem.ts'
import { resolveStore } from './store.ts'
import { resolveTls, takesPasswordsInTheClear } from './tls.ts'

/** What address space is reserved for `cache_memlimit` to grow into: free until it is used. */
const LIMIT_MAX_FACTOR = 4
const LIMIT_MAX_MIB_MIN = 1024
const ALIGNED_MIB: readonly number[] = [16 * 1024, 32 * 1024, 64 * 1024]
/** As memcached: more are worth it for few, and each costs memory. */
const AUTO_THREADS_MAX = 4
const MIB = 1024 * 1024
const MINUTE_MS = 60_000
/** Options that are about nothing but the snapshot. */
const SNAPSHOT_OPTIONS = [
  'snapshot_every_minutes',
  'snapshot_key_file',
  'restore',
  'restore_stale',
] as const
/** Of each address: monitors and probes are few. */
const HTTP_CONNECTIONS_MAX = 256
const LEVEL_BY_VERBOSITY: readonly LogLevel[] = ['info', 'debug', 'trace', 'trace']

export interface NetworkInputs {
  readonly network: Config['network']
  readonly http: Config['http']
  readonly problems: readonly ConfigProblem[]
}

/**
 * Where the server of this configuration listens, for the health check. A configuration that was
 * broken after the start does not make a running server ill, so problems do not throw here: what
 * is wrong counts as not set.
 */
export async function loadNetwork(inputs: ConfigInputs): Promise<NetworkInputs> {
  const given = new GivenOptions(inputs)
  await given.readAll()
  const network = resolveNetwork(given)
  const http = httpConfig(given, network, given.values.tls)
  return { ...deepFreeze({ network, http }), problems: given.problems }
}

/** Throws ConfigError with everything that is wrong. */
export async function loadConfig(inputs: ConfigInputs): Promise<Config> {
  const given = new GivenOptions(inputs)
  await given.readAll()
  const config = resolveAll(given)
  if (given.problems.length > 0) throw new ConfigError(given.problems)
  return deepFreeze(config)
}

/** The Config, which is worth nothing when there are problems. */
function resolveAll(given: GivenOptions): Config {
  const values = given.values
  const network = resolveNetwork(given)
  const tls = resolveTls(given, network)
  const http = httpConfig(given, network, tls !== undefined)
  return {
    network,
    tls,
    http,
    memory: {
      limitBytes: values.memory_limit_mib * MIB,
      limitBytesMax: limitMaxMib(given) * MIB,
      itemBytesMax: itemBytesMax(given),
      evicts: !values.disable_evictions,
      ranksBySize: values.eviction === 'size-aware',
      casEnabled: !values.disable_cas,
    },
    auth: resolveAuth(given, network),
    limits: {
      connectionsMax: values.conn_limit,
      waitsForPlace: values.wait_for_place,
      // As many as wait to be accepted elsewhere.
      heldConnectionsMax: values.wait_for_place ? network.backlog : 0,
      httpConnectionsMax: httpConnectionsMax(http),
      unauthenticatedConnectionsMax: unauthenticatedMax(given),
      loginTimeoutMs: milliseconds(values.login_timeout_seconds),
      loginAttemptsMax: values.login_attempts,
      preLoginRequestBytesMax: values.prelogin_request_size,
      keyDerivationsMax:
        values.key_derivations === 'auto' ? given.coreCount : values.key_derivations,
      derivationQueueMax: values.key_derivation_queue,
      throttle: resolveThrottle(given),
      requestsPerTurnMax: values.max_reqs_per_event,
      idleTimeoutMs: milliseconds(values.idle_timeout_seconds),
      stalledWriteTimeoutMs: milliseconds(values.stalled_write_timeout_seconds),
      sendBufferBytesMax: values.send_buffer_size,
      watcherBufferBytesMax: values.watcher_logbuf_kib * 1024,
      workerLogBytesMax: values.worker_logbuf_kib * 1024,
      drainTimeoutMs: milliseconds(values.drain_timeout_seconds),
    },
    process: {
      threads:
        values.threads === 'auto' ? Math.min(AUTO_THREADS_MAX, given.coreCount) : values.threads,
      daemonize: values.daemon,
      keepsOutput: keepsOutput(given),
      pidFile: given.path('pidfile'),
      runAsUser: values.run_as_user === '' ? undefined : values.run_as_user,
    },
    store: resolveStore(given),
    snapshot: resolveSnapshot(given),
    audit: resolveAudit(given),
    log: {
      level:
        values.log_level === 'auto'
          ? (LEVEL_BY_VERBOSITY[values.verbose] ?? 'trace')
          : values.log_level,
      verbosity: Math.min(values.verbose, LEVEL_BY_VERBOSITY.length - 1),
      format: values.log_format,
      prefixDelimiter: values.prefix_delimiter === '' ? undefined : values.prefix_delimiter,
      tracksSizes: values.track_sizes,
      takesTimes: values.histograms,
      showsLruMaintainer: !values.disable_lru_maintainer,
    },
    listenGiven: values.listen,
    file: given.file,
    notices: given.notices,
    settings: settings(given),
  }
}

function resolveAuth(given: GivenOptions, network: Config['network']): Config['auth'] {
  const values = given.values
  return {
    required: !values.no_auth,
    sources: credentialOrigins(given),
    usersFile: usersFile(given),
    passwordsInTheClear: takesPasswordsInTheClear(given, network),
    mechanisms: mechanisms(given),
    certificateField: values.tls_user_from === 'off' ? undefined : values.tls_user_from,
    iterations: values.scram_iterations,
    flushEnabled: !values.disable_flush_all,
    dumpEnabled: !values.disable_dumping,
    watchEnabled: !values.disable_watch,
    shutdownEnabled: values.enable_shutdown,
    tokens: tokens(given),
  }
}

function resolveThrottle(given: GivenOptions): Config['limits']['throttle'] {
  const values = given.values
  if (values.throttle === 'off') return undefined
  const { throttle_min_seconds: first, throttle_max_seconds: longest } = values
  // A default is what it can be beside a longest time that was asked for.
  if (first > longest && given.isGiven('throttle_min_seconds')) {
    given.problem('throttle_min_seconds', `${first} is longer than --throttle-max, ${longest}`)
  }
  return {
    failuresMax: values.throttle_failures,
    refusalMsMin: milliseconds(Math.min(first, longest)),
    refusalMsMax: milliseconds(longest),
    allowed: values.throttle_allow,
  }
}

function resolveSnapshot(given: GivenOptions): Config['snapshot'] {
  const { snapshot_every_minutes: minutes, restore, restore_stale: takesStale } = given.values
  const path = given.path('snapshot')
  if (path === undefined) {
    // Whoever relies on them would lose the items.
    for (const option of SNAPSHOT_OPTIONS) {
      if (!given.isDefault(option)) given.problem(option, 'takes a snapshot: --snapshot FILE')
    }
    return undefined
  }
  return {
    path,
    everyMs: minutes * MINUTE_MS,
    keyFile: given.path('snapshot_key_file'),
    waits: restore === 'wait',
    takesStale,
  }
}

/** As memcached does, a server in the background has an output where a log was asked for. */
function keepsOutput({ values }: GivenOptions): boolean {
  return !values.daemon || values.verbose !== 0 || values.log_level !== 'auto'
}

function resolveAudit(given: GivenOptions): Config['audit'] {
  const { audit_log: log, audit_on_failure: onFailure, audit_keys: keys } = given.values
  const path = log === '-' ? log : given.path('audit_log')
  if (path === undefined) {
    // Whoever relies on them would be without an audit.
    for (const option of ['audit_on_failure', 'audit_keys'] as const) {
      if (!given.isDefault(option)) given.problem(option, 'takes an audit: --audit-log FILE')
    }
    return undefined
  }
  if (path === '-' && !keepsOutput(given)) {
    const daemon = given.source('daemon')
    const message = `- is standard output, which ${daemon} leaves behind without -v or --log-level: name a file`
    given.problem('audit_log', message)
  }
  return { path, refusesLogins: onFailure === 'refuse-logins', showsKeys: keys === 'clear' }
}

function httpConfig(
  given: GivenOptions,
  network: Config['network'],
  hasTls: boolean,
): Config['http'] {
  return resolveHttp({
    values: given.values,
    base: given.baseOf('http'),
    taken: takenByServer(given, network),
    hasTls,
    problem: (option, message) => given.problem(option, message),
  })
}

function httpConnectionsMax(http: Config['http']): number {
  return http === undefined ? 0 : (http.listen.length + http.sockets.length) * HTTP_CONNECTIONS_MAX
}

function limitMaxMib(given: GivenOptions): number {
  const { memory_limit_mib: mib, memory_limit_max_mib: own } = given.values
  if (own === 'auto') {
    const wanted = Math.max(LIMIT_MAX_FACTOR * mib, LIMIT_MAX_MIB_MIN)
    // Beyond these the store aligns items to more bytes, which would cost room for nothing.
    const bound = ALIGNED_MIB.find((each) => mib <= each)
    return bound === undefined ? mib : Math.min(wanted, bound)
  }
  if (own < mib) given.problem('memory_limit_max_mib', `${own} MiB is less than -m ${mib}`)
  return own
}

function itemBytesMax(given: GivenOptions): number {
  const { max_item_size: bytes, memory_limit_mib: mib } = given.values
  if (bytes > (mib * MIB) / 2 && given.values.store === 'local') {
    // Blame what was set: -m 1 alone is too small for the default item.
    const blamed = given.isGiven('max_item_size') ? 'max_item_size' : 'memory_limit_mib'
    const message =
      blamed === 'max_item_size'
        ? `${formatSize(bytes)} is more than half of the memory of ${mib} MiB; it takes -m ${Math.ceil((2 * bytes) / MIB)}`
        : `${mib} MiB is less than twice the largest item of ${formatSize(bytes)}; lower -I as well`
    given.problem(blamed, message)
  }
  return bytes
}

function mechanisms(given: GivenOptions): readonly string[] {
  const values = given.values
  return resolveMechanisms(
    { ...values, mechanisms: announcedMechanisms(values) },
    (option, message) => given.problem(option, message),
  )
}

function tokens(given: GivenOptions): Config['auth']['tokens'] {
  return resolveOAuth({
    values: given.values,
    path: (option) => given.path(option),
    problem: (option, message) => given.problem(option, message),
  })
}

function unauthenticatedMax(given: GivenOptions): number {
  const { conn_limit: limit, prelogin_conn_limit: own } = given.values
  if (own === 'auto') return Math.max(1, Math.floor(limit / 4))
  if (own > limit) {
    given.problem(
      'prelogin_conn_limit',
      `${own} is more than the ${limit} connections that there may be`,
    )
  }
  return own
}

function settings(given: GivenOptions): readonly Setting[] {
  return OPTION_NAMES.map((name) => ({
    group: OPTIONS[name].group,
    name,
    value: formatValue(name, given.values),
    source: given.givenBy(name) ?? 'default',
  }))
}

/** One option as TOML, from a record of all. */
function formatValue<Name extends OptionName>(name: Name, values: OptionValues): string {
  return OPTIONS[name].kind.format(values[name])
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000)
}

function deepFreeze<T extends object>(record: T): T {
  for (const value of Object.values(record)) {
    if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) deepFreeze(value)
  }
  return Object.freeze(record)
}
