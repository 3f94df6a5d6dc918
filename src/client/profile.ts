/**
 * Profiles: servers by name, in a TOML file of the person's own.
 *
 *   [prod]
 *   server = "cache.example:11211"
 *   user = "ops"
 *   password_file = "prod.password"
 *   tls = true
 *   ca = "/etc/ssl/cache-ca.pem"
 *
 * Paths are relative to the file. A password itself is not taken: a file of its own can be kept by other
 * means.
 */
import { dirname, join, resolve } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import { describeTomlError } from '../base/toml-trouble.ts'
import { nearestName } from '../config/problem.ts'
import { ClientError } from './client-error.ts'
import { readPrivateFile } from './private-file.ts'

export interface Profile {
  readonly server?: string
  readonly user?: string
  readonly password_file?: string
  readonly tls?: boolean
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly key_password_file?: string
  /** The name that the certificate is for. */
  readonly tls_name?: string
}

type Setting = keyof Profile
const PATHS: readonly Setting[] = ['password_file', 'ca', 'cert', 'key', 'key_password_file']
const SETTINGS: readonly Setting[] = ['server', 'user', 'tls', 'tls_name', ...PATHS]

export const PROFILE_DEFAULT = 'default'
const FILE_BYTES_MAX = 256 * 1024

type Environment = Readonly<Record<string, string | undefined>>

/** Where profiles are if nobody says otherwise; undefined without a home. */
export function profileFile({ XDG_CONFIG_HOME, HOME }: Environment): string | undefined {
  // The XDG base directory specification has relative paths ignored.
  if (XDG_CONFIG_HOME?.startsWith('/') === true) return join(XDG_CONFIG_HOME, PLACE)
  return HOME === undefined || HOME === '' ? undefined : join(HOME, '.config', PLACE)
}

const PLACE = join('saslcached', 'client.toml')

/**
 * The profile of that name in a file; without a name the default one, which need not be there. Throws
 * ClientError.
 */
export function readProfile(
  file: string | undefined,
  mustExist: boolean,
  name: string | undefined,
): Profile {
  const text = file === undefined ? undefined : readPrivateFile(file, FILE_BYTES_MAX)
  if (file === undefined || text === undefined) {
    if (!mustExist && name === undefined) return {}
    const where = file ?? 'a file of profiles: HOME is not set'
    throw new ClientError('settings', `there is no ${where}, in which profiles stand`)
  }
  const document = parseToml(file, text)
  const wanted = name ?? PROFILE_DEFAULT
  const table = Object.hasOwn(document, wanted) ? document[wanted] : undefined
  if (table === undefined) {
    if (name === undefined) return {}
    const names = Object.keys(document)
    const nearest = nearestName(name, names) ?? (names.length <= 10 ? names.join(', ') : undefined)
    const hint = nearest === undefined || nearest === '' ? '' : `; there is ${nearest}`
    throw new ClientError('settings', `${file} has no profile ${JSON.stringify(name)}${hint}`)
  }
  return checkProfile(`${file}: [${wanted}]`, table, resolve(dirname(file)))
}

function parseToml(file: string, text: string): Record<string, unknown> {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = describeTomlError(error, text, SETTINGS)
    throw new ClientError('settings', `${file}:${error.line}: is not TOML: ${what}`)
  }
}

function checkProfile(where: string, table: unknown, base: string): Profile {
  if (typeof table !== 'object' || table === null || Array.isArray(table)) {
    throw new ClientError('settings', `${where} is not a table`)
  }
  const profile: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(table)) {
    const setting = SETTINGS.find((known) => known === name)
    if (setting === undefined) throw new ClientError('settings', unknownSetting(where, name))
    const expected = setting === 'tls' ? 'boolean' : 'string'
    if (typeof value !== expected || value === '') {
      const form = expected === 'boolean' ? 'true or false' : 'a text'
      throw new ClientError('settings', `${where} ${name} is not ${form}`)
    }
    profile[setting] = PATHS.includes(setting) ? resolve(base, String(value)) : value
  }
  return profile
}

function unknownSetting(where: string, name: string): string {
  if (/^pass(word|wd)?$/.test(name)) {
    return `${where} has a password in it: put it into a file of its own, and name that as password_file`
  }
  const nearest = nearestName(name, SETTINGS)
  const hint =
    nearest === undefined ? `; there are ${SETTINGS.join(', ')}` : `; did you mean ${nearest}?`
  return `${where} has an unknown setting ${JSON.stringify(name)}${hint}`
}
