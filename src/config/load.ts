/**
 * Flags over MEMCACHED_EXTRA_FLAGS over environment over file over defaults become one Config. Whatever is wrong anywhere is
 * collected first and thrown as one ConfigError, so that one start shows all of it.
 *
 * Relative paths are resolved against the directory of the file they are written in, or against
 * the working directory when they come from a flag or a variable.
 */
import { dirname, join, resolve } from 'node:path'
import { resolveClusterNodes } from './cluster.ts'
import type {
  Config,
  CredentialOrigin,
  ListenAddress,
  Setting,
  TlsConfig,
  TlsPair,
} from './config.ts'
import { availableCores } from './cores.ts'
import {
  CONFIG_VARIABLE,
  type Environment,
  PORT_FILE_VARIABLE,
  PWDB_VARIABLE,
  readEnvironmentUser,
  readOptionsEnvironment,
} from './environment.ts'
import type { FlagCollection, FlagUse } from './extended.ts'
import { resolveHttp } from './http.ts'
import { formatSize, Refusal, withoutLineEnd } from './kind.ts'
import { formatListenAddress, parseListenAddress, SOCKET_PATH_BYTES_MAX } from './listen.ts'
import { type IdentityListener, readIdentityListeners } from './listen-as.ts'
import { refusalOfMechanisms, resolveMechanisms } from './login-mechanisms.ts'
import { announcedMechanisms, resolveOAuth } from './oauth.ts'
import {
  type LogLevel,
  OPTION_NAMES,
  OPTIONS,
  type OptionName,
  type OptionValues,
} from './options.ts'
import { ConfigError, type ConfigProblem } from './problem.ts'
import { readSmallFile, whyUnreadable } from './read-file.ts'

/** Where the configuration and the users are looked for when nothing says otherwise. */
const CONFIG_DIRECTORY = '/etc/saslcached'
const CONFIG_FILE_NAME = 'saslcached.toml'
const USERS_FILE_NAME = 'users.toml'
const CONFIG_FILE_BYTES_MAX = 1024 * 1024

/** What address space is reserved for `cache_memlimit` to grow into: free until it is used. */
const LIMIT_MAX_FACTOR = 4
const LIMIT_MAX_MIB_MIN = 1024
const ALIGNED_MIB: readonly number[] = [16 * 1024, 32 * 1024, 64 * 1024]
/** As memcached: more are worth it for few, and each costs memory. */
const AUTO_THREADS_MAX = 4
const MIB = 1024 * 1024
const MINUTE_MS = 60_000
const BACKLOG_MAX = 65_535
/** Options that are about nothing but the snapshot. */
const SNAPSHOT_OPTIONS = [
  'snapshot_every_minutes',
  'snapshot_key_file',
  'restore',
  'restore_stale',
] as const
/** Options that are about nothing but TLS. */
const TLS_OPTIONS = [
  'tls_cert',
  'tls_key',
  'tls_key_password_file',
  'tls_ca',
  'tls_crl',
  'tls_verify',
  'tls_min_version',
  'tls_ciphers',
  'tls_user_from',
] as const
const LEVEL_BY_VERBOSITY: readonly LogLevel[] = ['info', 'debug', 'trace', 'trace']

export interface ConfigInputs {
  readonly flags: FlagCollection
  /** Those of MEMCACHED_EXTRA_FLAGS, over which `flags` win. */
  readonly extraFlags?: FlagCollection | undefined
  /** --config FILE. */
  readonly configFile?: string | undefined
  readonly environment: Environment
  /** Replaces /etc/saslcached. */
  readonly directory?: string
  readonly coreCount?: number
  /** Names of the mechanisms that there are; undefined where none will be used: any name will do. */
  readonly mechanisms?: readonly string[]
  /** False for commands that make the users file. Default true. */
  readonly usersFileMustExist?: boolean
}

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
  const loader = new Loader(inputs)
  await loader.readAll()
  return { ...deepFreeze(loader.resolvePlaces()), problems: loader.problems }
}

/** A value that won, and where it came from. */
interface Origin {
  readonly source: string
  /** What relative paths in the value are relative to. */
  readonly base: string
}

/** Throws ConfigError with everything that is wrong. */
export async function loadConfig(inputs: ConfigInputs): Promise<Config> {
  const loader = new Loader(inputs)
  await loader.readAll()
  const config = loader.resolve()
  if (loader.problems.length > 0) throw new ConfigError(loader.problems)
  return deepFreeze(config)
}

class Loader {
  readonly problems: ConfigProblem[]
  readonly #inputs: ConfigInputs
  readonly #directory: string
  readonly #coreCount: number
  readonly #values: OptionValues = defaults()
  readonly #origins = new Map<OptionName, Origin>()
  readonly #notices: string[]
  #file: string | undefined

  constructor(inputs: ConfigInputs) {
    this.#inputs = inputs
    const { flags, extraFlags } = inputs
    this.problems = [...(extraFlags?.problems ?? []), ...flags.problems]
    this.#notices = [...(extraFlags?.notices ?? []), ...flags.notices]
    this.#directory = inputs.directory ?? CONFIG_DIRECTORY
    this.#coreCount = inputs.coreCount ?? availableCores()
  }

  /** Lowest precedence first: what is read later replaces what was there. */
  async readAll(): Promise<void> {
    await this.#readFile()
    this.#readEnvironment()
    const { flags, extraFlags } = this.#inputs
    if (extraFlags !== undefined) this.#readFlags(extraFlags)
    this.#readFlags(flags)
  }

  async #readFile(): Promise<void> {
    const { configFile, environment } = this.#inputs
    const named =
      configFile === undefined ? environmentPath(environment, CONFIG_VARIABLE) : resolve(configFile)
    const path = named ?? join(this.#directory, CONFIG_FILE_NAME)
    const reading = readSmallFile(path, CONFIG_FILE_BYTES_MAX)
    // Nobody has to have a file where we look by ourselves.
    if (named === undefined && reading.kind === 'missing') return
    this.#file = path
    if (reading.kind !== 'text') {
      this.problems.push({ where: path, message: reading.why })
      return
    }
    // Only a start that has a file pays for the parser.
    const { readOptionsFile } = await import('./file.ts')
    for (const { option, value, where } of readOptionsFile(path, reading.text, this.problems)) {
      this.#set(option, value, { source: where, base: dirname(path) })
    }
  }

  #readEnvironment(): void {
    const { environment } = this.#inputs
    for (const { option, value, where } of readOptionsEnvironment(environment, this.problems)) {
      this.#set(option, value, { source: where, base: process.cwd() })
    }
  }

  #readFlags({ uses }: FlagCollection): void {
    const joined = new Set<OptionName>()
    for (const use of uses) {
      // A variable of a start script that is not set: going on without it would be a surprise.
      const parsed: unknown =
        use.value.trim() === ''
          ? new Refusal('is no value; leave the flag out if there is none')
          : OPTIONS[use.option].kind.parse(use.value)
      if (parsed instanceof Refusal) {
        this.problems.push({ where: use.flag, message: refusalOfFlag(use, parsed) })
        continue
      }
      const value = joined.has(use.option) ? joinValues(this.#values[use.option], parsed) : parsed
      if (OPTIONS[use.option].repeatable === true) joined.add(use.option)
      this.#set(use.option, value, { source: use.flag, base: process.cwd() })
    }
  }

  /** The Config, which is worth nothing when there are problems. */
  resolve(): Config {
    const values = this.#values
    const network = this.resolveNetwork()
    const tls = this.#resolveTls(network)
    return {
      network,
      tls,
      http: this.#resolveHttp(tls !== undefined),
      memory: {
        limitBytes: values.memory_limit_mib * MIB,
        limitBytesMax: this.#resolveLimitMax() * MIB,
        itemBytesMax: this.#resolveItemSize(),
        evicts: !values.disable_evictions,
        ranksBySize: values.eviction === 'size-aware',
        casEnabled: !values.disable_cas,
      },
      auth: this.#resolveAuth(network),
      limits: {
        connectionsMax: values.conn_limit,
        waitsForPlace: values.wait_for_place,
        unauthenticatedConnectionsMax: this.#resolveUnauthenticated(),
        loginTimeoutMs: milliseconds(values.login_timeout_seconds),
        loginAttemptsMax: values.login_attempts,
        preLoginRequestBytesMax: values.prelogin_request_size,
        keyDerivationsMax:
          values.key_derivations === 'auto' ? Math.max(2, this.#coreCount) : values.key_derivations,
        derivationQueueMax: values.key_derivation_queue,
        throttle: this.#resolveThrottle(),
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
          values.threads === 'auto' ? Math.min(AUTO_THREADS_MAX, this.#coreCount) : values.threads,
        daemonize: values.daemon,
        pidFile: this.#path('pidfile'),
        runAsUser: values.run_as_user === '' ? undefined : values.run_as_user,
      },
      snapshot: this.#resolveSnapshot(),
      audit: this.#resolveAudit(),
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
      file: this.#file,
      notices: this.#notices,
      settings: this.#settings(),
    }
  }

  #resolveAuth(network: Config['network']): Config['auth'] {
    const values = this.#values
    return {
      required: !values.no_auth,
      sources: this.#resolveSources(),
      usersFile: this.#usersFile(),
      passwordsInTheClear: this.#resolvePasswordsInTheClear(network),
      mechanisms: this.#resolveMechanisms(),
      certificateField: values.tls_user_from === 'off' ? undefined : values.tls_user_from,
      iterations: values.scram_iterations,
      flushEnabled: !values.disable_flush_all,
      dumpEnabled: !values.disable_dumping,
      watchEnabled: !values.disable_watch,
      shutdownEnabled: values.enable_shutdown,
      tokens: this.#resolveTokens(),
    }
  }

  #resolveThrottle(): Config['limits']['throttle'] {
    const values = this.#values
    if (values.throttle === 'off') return undefined
    const { throttle_min_seconds: first, throttle_max_seconds: longest } = values
    // A default is what it can be beside a longest time that was asked for.
    if (first > longest && this.#origins.has('throttle_min_seconds')) {
      this.#problem('throttle_min_seconds', `${first} is longer than --throttle-max, ${longest}`)
    }
    return {
      failuresMax: values.throttle_failures,
      refusalMsMin: milliseconds(Math.min(first, longest)),
      refusalMsMax: milliseconds(longest),
      allowed: values.throttle_allow,
    }
  }

  #resolveSnapshot(): Config['snapshot'] {
    const { snapshot_every_minutes: minutes, restore, restore_stale: takesStale } = this.#values
    const path = this.#path('snapshot')
    if (path === undefined) {
      // Whoever relies on them would lose the items.
      for (const option of SNAPSHOT_OPTIONS) {
        if (!isDefault(option, this.#values))
          this.#problem(option, 'takes a snapshot: --snapshot FILE')
      }
      return undefined
    }
    return {
      path,
      everyMs: minutes * MINUTE_MS,
      keyFile: this.#path('snapshot_key_file'),
      waits: restore === 'wait',
      takesStale,
    }
  }

  #resolveAudit(): Config['audit'] {
    const { audit_log: given, audit_on_failure: onFailure, audit_keys: keys } = this.#values
    const path = given === '-' ? given : this.#path('audit_log')
    if (path === undefined) {
      // Whoever relies on them would be without an audit.
      for (const option of ['audit_on_failure', 'audit_keys'] as const) {
        if (!isDefault(option, this.#values))
          this.#problem(option, 'takes an audit: --audit-log FILE')
      }
      return undefined
    }
    return { path, refusesLogins: onFailure === 'refuse-logins', showsKeys: keys === 'clear' }
  }

  resolveNetwork(): Config['network'] {
    const values = this.#values
    const unixSocket = this.#path('unix_socket')
    if (unixSocket !== undefined && Buffer.byteLength(unixSocket) > SOCKET_PATH_BYTES_MAX) {
      this.#problem(
        'unix_socket',
        `${JSON.stringify(unixSocket)} is longer than ${SOCKET_PATH_BYTES_MAX} bytes, which no socket can be`,
      )
    }
    const listen = this.#resolveListen()
    const known = this.#resolveListenAs(listen)
    const identityAddresses = known.flatMap((each) => ('address' in each ? [each.address] : []))
    if (unixSocket !== undefined && values.listen.length > 0) {
      const where = this.#source('unix_socket')
      this.#notices.push(`${this.#source('listen')} has no effect: ${where} turns TCP off`)
    }
    if (unixSocket === undefined && listen.length + known.length === 0 && values.port === 0) {
      this.#problem('port', '0 turns TCP off, and there is no Unix socket to listen on instead')
    }
    return {
      listen: [...(unixSocket === undefined ? listen : []), ...identityAddresses],
      unixSocket,
      identitySockets: known.flatMap((each) => ('path' in each ? [each] : [])),
      unixMask: values.unix_mask,
      unixGroup: this.#resolveUnixGroup(
        unixSocket !== undefined || known.some((each) => 'path' in each),
      ),
      clusterNodes: resolveClusterNodes(values.cluster_nodes, (message) =>
        this.#problem('cluster_nodes', message),
      ),
      // The system cuts it to its own limit (somaxconn), 0 is one for it.
      backlog: Math.min(Math.max(1, values.listen_backlog), BACKLOG_MAX),
      protocol: values.protocol,
      portFile: environmentPath(this.#inputs.environment, PORT_FILE_VARIABLE),
    }
  }

  /** Connecting takes the permission to write. */
  #resolveUnixGroup(hasSocket: boolean): string | undefined {
    const { unix_group: group, unix_mask: mask } = this.#values
    if (group === '') return undefined
    if (!hasSocket) {
      this.#problem('unix_group', 'takes a Unix socket: -s PATH or --listen-as USER=PATH')
    } else if ((mask & 0o020) === 0) {
      const shown = mask.toString(8).padStart(3, '0')
      this.#problem('unix_group', `gives the group nothing while -a is ${shown}: add -a 770`)
    }
    return group
  }

  #resolveListen(): readonly ListenAddress[] {
    const { port, listen, no_auth: noAuth } = this.#values
    const tls = this.#values.tls ? { tls: this.#values.tls_verify } : {}
    if (listen.length === 0) {
      // Whoever turns login off and says nothing else gets nobody but this machine.
      if (port === 0) return []
      const anyOrGiven = Math.max(0, port)
      if (!noAuth) return [{ host: '*', port: anyOrGiven, ...tls }]
      return [
        { host: '127.0.0.1', port: anyOrGiven, ...tls },
        { host: '::1', port: anyOrGiven, isSecond: true, ...tls },
      ]
    }
    const addresses: ListenAddress[] = []
    const seen = new Set<string>()
    for (const [index, text] of listen.entries()) {
      // As memcached: the same -l again is once enough, except where the system picks the port.
      if (port > 0 && !/:(-1|0)$/.test(text) && listen.indexOf(text) < index) continue
      const address = parseListenAddress(text, Math.max(0, port))
      if (address instanceof Refusal) {
        this.#problem('listen', `${JSON.stringify(text)} ${address.reason}`)
        continue
      }
      const key = formatListenAddress(address).toLowerCase()
      if (address.port !== 0 && seen.has(key)) {
        this.#problem('listen', `${JSON.stringify(text)} is listed twice`)
      }
      seen.add(key)
      // With -p 0, an address without a port of its own asks for nothing.
      if (port !== 0 || address.port !== 0) addresses.push(this.#secured(address, text))
    }
    return addresses
  }

  /** Listeners that stand for a user; `others` are those that do not. */
  #resolveListenAs(others: readonly ListenAddress[]): readonly IdentityListener[] {
    const { listen_as: given, no_auth: noAuth } = this.#values
    if (noAuth && given.length > 0) {
      const where = this.#source('no_auth')
      this.#problem('listen_as', `names users, and with ${where} everybody may do everything`)
    }
    const base = this.#origins.get('listen_as')?.base ?? ''
    const taken = [...others.map(formatListenAddress), this.#path('unix_socket') ?? '']
    const { listeners, problems } = readIdentityListeners(given, base, taken)
    for (const problem of problems) this.#problem('listen_as', problem)
    return listeners
  }

  /** The address with what it speaks. */
  #secured(address: ListenAddress, text: string): ListenAddress {
    const { tls: isOn, tls_verify: verify } = this.#values
    const { security } = address
    if (!isOn) {
      if (security === 'btls' || security === 'mtls') {
        this.#problem('listen', `${JSON.stringify(text)} asks for TLS, which takes -Z`)
      }
      return address
    }
    if (security === 'notls') return address
    if (security === 'btls') return { ...address, tls: 'none' }
    return { ...address, tls: security === 'mtls' ? 'require' : verify }
  }

  #resolveTls({ listen, unixSocket }: Config['network']): TlsConfig | undefined {
    const { tls: isOn, ...values } = this.#values
    const caFile = this.#path('tls_ca')
    if (!isOn) {
      // In the clear instead would be a surprise.
      for (const option of TLS_OPTIONS.filter((name) => this.#origins.has(name))) {
        if (!isDefault(option, this.#values)) this.#problem(option, 'takes TLS: add -Z')
      }
      return undefined
    }
    if (unixSocket !== undefined) {
      this.#notices.push(`${this.#source('tls')} has no effect: a Unix socket is not encrypted`)
      return undefined
    }
    const speaksTls = listen.some(({ tls }) => tls !== undefined)
    if (listen.length > 0 && !speaksTls) {
      this.#problem('tls', 'is on, and every address of -l is marked notls:')
    }
    const asks = listen.some(({ tls }) => tls !== undefined && tls !== 'none')
    if (!asks && values.tls_user_from !== 'off') {
      this.#problem('tls_user_from', 'takes client certificates: --tls-verify request')
    }
    if (caFile === undefined && asks) {
      const blamed = values.tls_verify === 'none' ? 'listen' : 'tls_verify'
      this.#problem(blamed, 'asks for client certificates, which takes --tls-ca FILE')
    }
    const crlFile = this.#path('tls_crl')
    if (crlFile !== undefined && caFile === undefined) {
      this.#problem('tls_crl', 'is about certificates of clients, which takes --tls-ca FILE')
    }
    return {
      pairs: this.#resolvePairs(),
      caFile,
      crlFile,
      minVersion: values.tls_min_version,
      ciphers: values.tls_ciphers === '' ? undefined : values.tls_ciphers,
      verify: values.tls_verify,
    }
  }

  /** Where the server is found. */
  resolvePlaces(): Pick<Config, 'network' | 'http'> {
    return { network: this.resolveNetwork(), http: this.#resolveHttp(this.#values.tls) }
  }

  #resolveHttp(hasTls: boolean): Config['http'] {
    return resolveHttp({
      values: this.#values,
      base: this.#origins.get('http')?.base ?? '',
      hasTls,
      problem: (option, message) => this.#problem(option, message),
    })
  }

  /** Certificates with their keys; what belongs together has the same place in its list. */
  #resolvePairs(): readonly TlsPair[] {
    const { tls_cert: certificates, tls_key: keys, tls_key_password_file: passwords } = this.#values
    const counts = `${certificates.length} and ${keys.length}`
    if (certificates.length === 0) {
      this.#problem(
        'tls',
        'needs a certificate: --tls-cert FILE and --tls-key FILE; "saslcached tls self-signed" makes both, to try',
      )
    } else if (keys.length > 0 && keys.length !== certificates.length) {
      const blamed = keys.length > certificates.length ? 'tls_key' : 'tls_cert'
      this.#problem(blamed, `takes a key for each certificate, --tls-key FILE; there are ${counts}`)
    }
    if (passwords.length > 1 && passwords.length !== certificates.length) {
      const message = `takes one file for all keys, or one for each; there are ${passwords.length} for ${certificates.length}`
      this.#problem('tls_key_password_file', message)
    }
    return certificates.map((file, index) => {
      const certificateFile = this.#resolvePath('tls_cert', file)
      const key = keys[index]
      const password = passwords.length === 1 ? passwords[0] : passwords[index]
      return {
        certificateFile,
        keyFile: key === undefined ? certificateFile : this.#resolvePath('tls_key', key),
        keyPasswordFile:
          password === undefined ? undefined : this.#resolvePath('tls_key_password_file', password),
      }
    })
  }

  /** Where there is TLS, whoever has a password to say can use it. */
  #resolvePasswordsInTheClear({ listen }: Config['network']): boolean {
    const { require_tls: isRequired, plain_in_the_clear: isAllowed } = this.#values
    if (isRequired && isAllowed) {
      this.#problem('plain_in_the_clear', `contradicts ${this.#source('require_tls')}`)
    }
    return isAllowed || !(isRequired || listen.some(({ tls }) => tls !== undefined))
  }

  #resolveLimitMax(): number {
    const { memory_limit_mib: mib, memory_limit_max_mib: own } = this.#values
    if (own === 'auto') {
      const wanted = Math.max(LIMIT_MAX_FACTOR * mib, LIMIT_MAX_MIB_MIN)
      // Beyond these the store aligns items to more bytes, which would cost room for nothing.
      const bound = ALIGNED_MIB.find((each) => mib <= each)
      return bound === undefined ? mib : Math.min(wanted, bound)
    }
    if (own < mib) this.#problem('memory_limit_max_mib', `${own} MiB is less than -m ${mib}`)
    return own
  }

  #resolveItemSize(): number {
    const { max_item_size: bytes, memory_limit_mib: mib } = this.#values
    if (bytes > (mib * MIB) / 2) {
      // Blame what was set: -m 1 alone is too small for the default item.
      const blamed = this.#origins.has('max_item_size') ? 'max_item_size' : 'memory_limit_mib'
      const message =
        blamed === 'max_item_size'
          ? `${formatSize(bytes)} is more than half of the memory of ${mib} MiB; it takes -m ${Math.ceil((2 * bytes) / MIB)}`
          : `${mib} MiB is less than twice the largest item of ${formatSize(bytes)}; lower -I as well`
      this.#problem(blamed, message)
    }
    return bytes
  }

  #resolveMechanisms(): readonly string[] {
    const values = this.#values
    return resolveMechanisms(
      { ...values, mechanisms: announcedMechanisms(values) },
      (option, message) => this.#problem(option, message),
    )
  }

  #resolveTokens(): Config['auth']['tokens'] {
    return resolveOAuth({
      values: this.#values,
      path: (option) => this.#path(option),
      problem: (option, message) => this.#problem(option, message),
    })
  }

  #resolveUnauthenticated(): number {
    const { conn_limit: limit, prelogin_conn_limit: own } = this.#values
    if (own === 'auto') return Math.max(1, Math.floor(limit / 4))
    if (own > limit) {
      this.#problem(
        'prelogin_conn_limit',
        `${own} is more than the ${limit} connections that there may be`,
      )
    }
    return own
  }

  #resolveSources(): readonly CredentialOrigin[] {
    const sources: CredentialOrigin[] = []
    const users = this.#usersFile()
    const explicit = this.#values.users_file !== ''
    const mustExist = this.#inputs.usersFileMustExist ?? true
    const usersTrouble = whyUnreadable(users)
    if (usersTrouble === undefined) {
      sources.push({ kind: 'users-file', path: users })
    } else if (mustExist && (explicit || usersTrouble.kind === 'unreadable')) {
      const where = explicit ? this.#source('users_file') : users
      this.problems.push({
        where,
        message: explicit ? `${users} ${usersTrouble.why}` : usersTrouble.why,
      })
    }
    const authFile = this.#path('auth_file')
    if (authFile !== undefined) {
      const trouble = whyUnreadable(authFile)
      if (trouble === undefined) sources.push({ kind: 'authfile', path: authFile })
      else if (mustExist) this.#problem('auth_file', `${authFile} ${trouble.why}`)
    }
    const { environment } = this.#inputs
    const pwdb = environmentPath(environment, PWDB_VARIABLE)
    if (pwdb !== undefined) {
      const trouble = whyUnreadable(pwdb)
      if (trouble === undefined) sources.push({ kind: 'pwdb', path: pwdb })
      else if (mustExist) {
        this.problems.push({ where: PWDB_VARIABLE, message: `${pwdb} ${trouble.why}` })
      }
    }
    const user = readEnvironmentUser(environment, this.problems, this.#notices)
    if (user !== undefined) sources.push(user)
    if (this.#values.no_auth && sources.length > 0) {
      this.#notices.push(
        `${this.#source('no_auth')}: the users that are configured are not asked for`,
      )
    }
    return sources
  }

  #usersFile(): string {
    const set = this.#path('users_file')
    if (set !== undefined) return set
    const directory = this.#file === undefined ? this.#directory : dirname(this.#file)
    return join(directory, USERS_FILE_NAME)
  }

  #path(
    option:
      | 'unix_socket'
      | 'users_file'
      | 'auth_file'
      | 'pidfile'
      | 'audit_log'
      | 'snapshot'
      | 'snapshot_key_file'
      | 'tls_ca'
      | 'tls_crl'
      | 'oauth_jwks_file'
      | 'oauth_jwks_ca_file'
      | 'oauth_jwks_token_file',
  ): string | undefined {
    const value = this.#values[option]
    return value === '' ? undefined : this.#resolvePath(option, value)
  }

  /** `path`, which an option had as its value or a part of it. */
  #resolvePath(option: OptionName, path: string): string {
    return resolve(this.#origins.get(option)?.base ?? '', path)
  }

  #settings(): readonly Setting[] {
    return OPTION_NAMES.map((name) => ({
      group: OPTIONS[name].group,
      name,
      value: formatValue(name, this.#values),
      source: this.#origins.get(name)?.source ?? 'default',
    }))
  }

  #set(option: OptionName, value: unknown, origin: Origin): void {
    if (option === 'mechanisms' && !this.#knowMechanisms(value, origin)) return
    // The option's own kind made the value: the table's type ties the two together.
    Object.assign(this.#values, { [option]: value })
    this.#origins.set(option, origin)
  }

  /** False, and a problem, if the list `value` has a mechanism that there is not. */
  #knowMechanisms(value: unknown, origin: Origin): boolean {
    const known = this.#inputs.mechanisms
    if (known === undefined) return true
    const message = refusalOfMechanisms(value as OptionValues['mechanisms'], known)
    if (message !== undefined) this.problems.push({ where: origin.source, message })
    return message === undefined
  }

  #source(option: OptionName): string {
    return this.#origins.get(option)?.source ?? `--${OPTIONS[option].long}`
  }

  #problem(option: OptionName, message: string): void {
    this.problems.push({ where: this.#source(option), message })
  }
}

function environmentPath(environment: Environment, name: string): string | undefined {
  const path = withoutLineEnd(environment[name] ?? '')
  return path === '' ? undefined : resolve(path)
}

function defaults(): OptionValues {
  return Object.fromEntries(
    OPTION_NAMES.map((name) => [name, OPTIONS[name].default]),
  ) as unknown as OptionValues
}

/** One option as TOML, from a record of all. */
function formatValue<Name extends OptionName>(name: Name, values: OptionValues): string {
  return OPTIONS[name].kind.format(values[name])
}

/** Lists are joined, counts are added. */
function joinValues(before: unknown, value: unknown): unknown {
  if (Array.isArray(before) && Array.isArray(value)) return [...before, ...value]
  return typeof before === 'number' && typeof value === 'number' ? before + value : value
}

function refusalOfFlag(use: FlagUse, refusal: Refusal): string {
  const message = `${JSON.stringify(use.value)} ${refusal.reason}`
  // `-m=64` is a value of "=64" to every getopt; memcached takes it for 0.
  return /^-[^-]$/.test(use.flag) && use.value.startsWith('=')
    ? `${message}; write ${use.flag} ${use.value.slice(1)}, without the equals sign`
    : message
}

function isDefault(option: OptionName, values: OptionValues): boolean {
  return String(values[option]) === String(OPTIONS[option].default)
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
