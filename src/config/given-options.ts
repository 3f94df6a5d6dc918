/**
 * What was given for each option, and where: flags over MEMCACHED_EXTRA_FLAGS over environment over file over defaults.
 *
 * Invariant: the value of an option is the one of its highest source, whole; only what one source repeats is joined. Whatever
 * is wrong is collected, with where it stands.
 */
import { dirname, join, resolve } from 'node:path'
import { availableCores } from './cores.ts'
import { CONFIG_VARIABLE, type Environment, readOptionsEnvironment } from './environment.ts'
import type { FlagCollection, FlagUse } from './extended.ts'
import { Refusal, withoutLineEnd } from './kind.ts'
import { refusalOfMechanisms } from './login-mechanisms.ts'
import { OPTION_NAMES, OPTIONS, type OptionName, type OptionValues } from './options.ts'
import type { ConfigProblem } from './problem.ts'
import { readSmallFile } from './read-file.ts'

/** Where the configuration and the users are looked for when nothing says otherwise. */
const CONFIG_DIRECTORY = '/etc/saslcached'
const CONFIG_FILE_NAME = 'saslcached.toml'
const CONFIG_FILE_BYTES_MAX = 1024 * 1024

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

/** A value that won, and where it came from. */
interface Origin {
  readonly source: string
  /** What relative paths in the value are relative to. */
  readonly base: string
}

/** Options whose value is a path. */
type PathOption =
  | 'unix_socket'
  | 'users_file'
  | 'auth_file'
  | 'pidfile'
  | 'audit_log'
  | 'snapshot'
  | 'snapshot_key_file'
  | 'store_password_file'
  | 'store_tls_ca'
  | 'store_tls_cert'
  | 'store_tls_key'
  | 'tls_ca'
  | 'tls_crl'
  | 'oauth_jwks_file'
  | 'oauth_jwks_ca_file'
  | 'oauth_jwks_token_file'

export class GivenOptions {
  readonly inputs: ConfigInputs
  readonly values: OptionValues = defaults()
  readonly problems: ConfigProblem[]
  readonly notices: string[]
  readonly directory: string
  readonly coreCount: number
  /** The configuration file that was read. */
  file: string | undefined
  readonly #origins = new Map<OptionName, Origin>()

  constructor(inputs: ConfigInputs) {
    this.inputs = inputs
    const { flags, extraFlags } = inputs
    this.problems = [...(extraFlags?.problems ?? []), ...flags.problems]
    this.notices = [...(extraFlags?.notices ?? []), ...flags.notices]
    this.directory = inputs.directory ?? CONFIG_DIRECTORY
    this.coreCount = inputs.coreCount ?? availableCores()
  }

  /** Lowest precedence first: what is read later replaces what was there. */
  async readAll(): Promise<void> {
    await this.#readFile()
    this.#readEnvironment()
    const { flags, extraFlags } = this.inputs
    if (extraFlags !== undefined) this.#readFlags(extraFlags)
    this.#readFlags(flags)
  }

  /** Whether anybody said it, be it the default. */
  isGiven(option: OptionName): boolean {
    return this.#origins.has(option)
  }

  isDefault(option: OptionName): boolean {
    return String(this.values[option]) === String(OPTIONS[option].default)
  }

  /** What relative paths in the value are relative to. */
  baseOf(option: OptionName): string {
    return this.#origins.get(option)?.base ?? ''
  }

  /** The absolute path, undefined where there is none. */
  path(option: PathOption): string | undefined {
    const value = this.values[option]
    return value === '' ? undefined : this.resolvePath(option, value)
  }

  /** `path`, which an option had as its value or a part of it. */
  resolvePath(option: OptionName, path: string): string {
    return resolve(this.baseOf(option), path)
  }

  /** Where it was given, or the flag that would. */
  source(option: OptionName): string {
    return this.#origins.get(option)?.source ?? `--${OPTIONS[option].long}`
  }

  /** Undefined: it was not given. */
  givenBy(option: OptionName): string | undefined {
    return this.#origins.get(option)?.source
  }

  problem(option: OptionName, message: string): void {
    this.problems.push({ where: this.source(option), message })
  }

  async #readFile(): Promise<void> {
    const { configFile, environment } = this.inputs
    const named =
      configFile === undefined ? environmentPath(environment, CONFIG_VARIABLE) : resolve(configFile)
    const path = named ?? join(this.directory, CONFIG_FILE_NAME)
    const reading = readSmallFile(path, CONFIG_FILE_BYTES_MAX)
    // Nobody has to have a file where we look by ourselves.
    if (named === undefined && reading.kind === 'missing') return
    this.file = path
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
    const { environment } = this.inputs
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
      const value = joined.has(use.option) ? joinValues(this.values[use.option], parsed) : parsed
      if (OPTIONS[use.option].repeatable === true) joined.add(use.option)
      this.#set(use.option, value, { source: use.flag, base: process.cwd() })
    }
  }

  #set(option: OptionName, value: unknown, origin: Origin): void {
    if (option === 'mechanisms' && !this.#knowMechanisms(value, origin)) return
    // The option's own kind made the value: the table's type ties the two together.
    Object.assign(this.values, { [option]: value })
    this.#origins.set(option, origin)
  }

  /** False, and a problem, if the list `value` has a mechanism that there is not. */
  #knowMechanisms(value: unknown, origin: Origin): boolean {
    const known = this.inputs.mechanisms
    if (known === undefined) return true
    const message = refusalOfMechanisms(value as OptionValues['mechanisms'], known)
    if (message !== undefined) this.problems.push({ where: origin.source, message })
    return message === undefined
  }
}

export function environmentPath(environment: Environment, name: string): string | undefined {
  const path = withoutLineEnd(environment[name] ?? '')
  return path === '' ? undefined : resolve(path)
}

function defaults(): OptionValues {
  return Object.fromEntries(
    OPTION_NAMES.map((name) => [name, OPTIONS[name].default]),
  ) as unknown as OptionValues
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
