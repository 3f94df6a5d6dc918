/**
 * The environment: every option as SASLCACHED_<NAME>, the names that memcached images in use today
 * have for some of them, and one user by name and password.
 *
 * A variable that is set to nothing counts as not set: compose files pass `${VAR:-}` through. An
 * unknown SASLCACHED_ variable is a problem, because a misspelt limit would silently not hold; its
 * value is not repeated, because it may be a misspelt password. Kubernetes sets variables named
 * after services in every pod (a service called saslcached yields SASLCACHED_PORT=tcp://...):
 * those are nobody's mistake and are passed over.
 */
import type { CredentialOrigin } from './config.ts'
import { type Exposure, exposureOf } from './exposure.ts'
import { Refusal, withoutLineEnd } from './kind.ts'
import { environmentName, OPTION_NAMES, OPTIONS, type OptionName } from './options.ts'
import { type ConfigProblem, nearestName } from './problem.ts'
import { readSmallFile } from './read-file.ts'
import { Secret } from './secret.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface EnvironmentValue {
  readonly option: OptionName
  readonly value: unknown
  /** The variable's name. */
  readonly where: string
}

const PREFIX = 'SASLCACHED_'

/** The file to read options from, if --config does not name one. */
export const CONFIG_VARIABLE = 'SASLCACHED_CONFIG'

/** Of the commands that ask a server: whoever has them set runs all others with them, too, where they mean nothing. */
export const CLIENT_SERVER_VARIABLE = 'SASLCACHED_SERVER'
export const CLIENT_PROFILE_VARIABLE = 'SASLCACHED_PROFILE'

/** memcached's own: where to write the ports that were bound. */
export const PORT_FILE_VARIABLE = 'MEMCACHED_PORT_FILENAME'

/** Of images of memcached: flags, read by cli/extra-flags.ts. */
export const EXTRA_FLAGS_VARIABLE = 'MEMCACHED_EXTRA_FLAGS'

/** memcached's own: the password file of its SASL build. */
export const PWDB_VARIABLE = 'MEMCACHED_SASL_PWDB'

/** Names of user, password and password file, ours before those of images in use today. */
const USER_VARIABLES = [
  ['SASLCACHED_USERNAME', 'SASLCACHED_PASSWORD', 'SASLCACHED_PASSWORD_FILE'],
  ['MEMCACHED_USERNAME', 'MEMCACHED_PASSWORD', 'MEMCACHED_PASSWORD_FILE'],
] as const

/** What has a password in it: nothing that the process hands on or writes down of itself is to have it. */
export const SECRET_VARIABLES: readonly string[] = USER_VARIABLES.map(([, password]) => password)

/** Whose password MEMCACHED_PASSWORD alone is, as in Bitnami's image. */
const USER_OF_BITNAMI = 'root'

/** As credential/prepare.ts bounds them before SASLprep. */
const USER_BYTES_MAX = 1024
const PASSWORD_BYTES_MAX = 1024

export function readOptionsEnvironment(
  environment: Environment,
  problems: ConfigProblem[],
): readonly EnvironmentValue[] {
  const values: EnvironmentValue[] = []
  const known = new Set<string>([
    CONFIG_VARIABLE,
    CLIENT_SERVER_VARIABLE,
    CLIENT_PROFILE_VARIABLE,
    ...USER_VARIABLES[0],
  ])
  for (const option of OPTION_NAMES) {
    const own = environmentName(option)
    known.add(own)
    const names = [own, ...(OPTIONS[option].aliases ?? [])]
    const where = names.find(
      (name) => isSet(environment, name) && !isServiceLink(environment, name),
    )
    if (where === undefined) continue
    const text = environment[where] ?? ''
    const parsed: unknown = OPTIONS[option].kind.parse(text)
    if (parsed instanceof Refusal) {
      problems.push({ where, message: `${JSON.stringify(text)} ${parsed.reason}` })
    } else {
      values.push({ option, value: parsed, where })
    }
  }
  for (const name of Object.keys(environment).sort()) {
    if (!name.startsWith(PREFIX) || known.has(name) || isServiceLink(environment, name)) continue
    const nearest = nearestName(name.slice(PREFIX.length), [...known].map(withoutPrefix))
    const hint = nearest === undefined ? '' : `; did you mean ${PREFIX}${nearest}?`
    problems.push({ where: name, message: `is not a variable that is read here${hint}` })
  }
  return values
}

/** The user that the environment names, or undefined. */
export function readEnvironmentUser(
  environment: Environment,
  problems: ConfigProblem[],
  notices: string[],
): Extract<CredentialOrigin, { kind: 'inline' }> | undefined {
  const families = USER_VARIABLES.filter((names) => names.some((name) => isSet(environment, name)))
  const [family, ...others] = families
  if (family === undefined) return undefined
  for (const names of others) {
    notices.push(`${names[0]} and ${names[1]} are not used: ${family[0]} takes their place`)
  }
  const [userName, passwordName, fileName] = family
  const hasPassword = isSet(environment, passwordName)
  const hasFile = isSet(environment, fileName)
  let user = environment[userName] ?? ''
  if (user === '' && family === USER_VARIABLES[1]) {
    user = USER_OF_BITNAMI
    notices.push(`${userName} is not set: the user is ${user}, as in Bitnami's image`)
  }
  if (user === '') {
    const given = hasPassword ? passwordName : fileName
    problems.push({ where: given, message: `is set without ${userName}` })
  } else if (Buffer.byteLength(user) > USER_BYTES_MAX) {
    problems.push({ where: userName, message: `is longer than ${USER_BYTES_MAX} bytes` })
  }
  if (!hasPassword && !hasFile) {
    problems.push({ where: userName, message: `is set without ${passwordName} or ${fileName}` })
  }
  if (hasPassword && hasFile) {
    problems.push({ where: fileName, message: `is set together with ${passwordName}; set one` })
  }
  let password = environment[passwordName] ?? ''
  let where: string = passwordName
  let exposure: Exposure | undefined
  if (hasFile && !hasPassword) {
    const path = withoutLineEnd(environment[fileName] ?? '')
    where = `${fileName}: ${path}`
    // Two bytes more than a password may have: a line end is not part of it.
    const reading = readSmallFile(path, PASSWORD_BYTES_MAX + 2, undefined, (stats) => {
      exposure = exposureOf(path, stats)
      return undefined
    })
    if (reading.kind !== 'text') {
      problems.push({ where, message: reading.why })
      return undefined
    }
    password = reading.text.replace(/\r?\n$/, '')
    if (password === '') problems.push({ where, message: 'has no password in it' })
  }
  // No client sends one: a file with more lines, or a variable out of a file with CR LF.
  if (/[\r\n]/.test(password)) {
    problems.push({ where, message: 'has a line end in the password; a password is one line' })
  }
  if (/[\r\n]/.test(user)) {
    problems.push({ where: userName, message: 'has a line end in it, which no name has' })
  }
  if (Buffer.byteLength(password) > PASSWORD_BYTES_MAX) {
    problems.push({ where, message: `has a password of more than ${PASSWORD_BYTES_MAX} bytes` })
  }
  const source = hasFile ? fileName : passwordName
  return {
    kind: 'inline',
    user,
    password: new Secret(password),
    from: `${userName}, ${source}`,
    warning:
      exposure &&
      `the file ${exposure.what}: ${exposure.remedy}; until then "saslcached stats" and the like refuse it`,
  }
}

function isSet(environment: Environment, name: string): boolean {
  return (environment[name] ?? '') !== ''
}

/** What Kubernetes and Docker links set for a service: `..._PORT=tcp://10.0.0.1:11211` and so on. */
function isServiceLink(environment: Environment, name: string): boolean {
  if (/_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$/.test(name)) return true
  if (/_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name)) return true
  return name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(environment[name] ?? '')
}

function withoutPrefix(name: string): string {
  return name.slice(PREFIX.length)
}
