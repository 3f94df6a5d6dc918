/**
 * Which server, as whom, and how: from the command line, a profile that it names, the environment, and
 * the default profile, the first of them that says something. A profile that is named comes before the
 * environment, so that `flush --profile test` never goes to the server that a variable means.
 */

import { CLIENT_PROFILE_VARIABLE, CLIENT_SERVER_VARIABLE } from '../config/environment.ts'
import { readSmallFile } from '../config/read-file.ts'
import { Secret } from '../config/secret.ts'
import { PASSWORD_BYTES_MAX, problemWith } from '../credential/prepare.ts'
import { parseAddress, SERVER_DEFAULT, type ServerAddress } from './address.ts'
import { ClientError } from './client-error.ts'
import type { TlsSettings } from './client-pipe.ts'
import type { SessionTarget } from './connect.ts'
import { CLIENT_MECHANISMS, EXTERNAL_NAME } from './login.ts'
import { readPrivateFile } from './private-file.ts'
import { type Profile, profileFile, readProfile } from './profile.ts'

/** What a command line says of the server, each undefined where it says nothing. */
export interface ServerOptions {
  readonly server?: string
  readonly profile?: string
  readonly config?: string
  readonly user?: string
  readonly passwordFile?: string
  readonly mechanism?: string
  readonly plainInTheClear?: boolean
  readonly tls?: boolean
  readonly tlsCa?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsKeyPasswordFile?: string
  readonly tlsName?: string
  readonly tlsInsecure?: boolean
  readonly timeout?: string
}

/** Any text will do for these, so that an empty one has to be looked for. */
const TEXT_OPTIONS = [
  ...(['server', 'profile', 'config', 'user', 'passwordFile'] as const),
  ...(['tlsCa', 'tlsCert', 'tlsKey', 'tlsKeyPasswordFile', 'tlsName'] as const),
]

type Environment = Readonly<Record<string, string | undefined>>

const TIMEOUT_SECONDS_DEFAULT = 5
const TIMEOUT_SECONDS_MAX = 3600
const PEM_BYTES_MAX = 1024 * 1024

/** Variables of the server that name its one user: in its container they are there already. */
const PREFIXES = ['SASLCACHED_', 'MEMCACHED_']

/** Throws ClientError. `ask` prompts for a password; undefined where nobody can be asked. */
export async function resolveTarget(
  options: ServerOptions,
  environment: Environment,
  ask: ((user: string) => Promise<string>) | undefined,
): Promise<SessionTarget> {
  refuseEmpty(options)
  const named = options.profile ?? textOf(environment[CLIENT_PROFILE_VARIABLE])
  const file = options.config ?? profileFile(environment)
  const profile = readProfile(file, options.config !== undefined, named)
  const [strong, weak]: readonly Profile[] = named === undefined ? [{}, profile] : [profile, {}]
  const server =
    options.server ??
    strong?.server ??
    textOf(environment[CLIENT_SERVER_VARIABLE]) ??
    weak?.server ??
    SERVER_DEFAULT
  refusePasswordBehind(options.user)
  const user = options.user ?? strong?.user ?? variable(environment, 'USERNAME') ?? weak?.user
  const tls = tlsOf(options, profile)
  const mechanism = mechanismOf(options.mechanism)
  const address = addressOf(server)
  const timeoutMs = timeoutMsOf(options.timeout)
  if (user === undefined && tls?.certificate === undefined && mechanism === undefined) {
    return { address, tls, timeoutMs, login: undefined }
  }
  if (user === undefined && mechanism !== undefined && mechanism !== EXTERNAL_NAME) {
    throw new ClientError('settings', `--mechanism ${mechanism} needs a user: give --user`)
  }
  const password =
    user === undefined || mechanism === EXTERNAL_NAME
      ? undefined
      : await passwordOf(options, [strong, weak], environment, user, ask)
  const allowsPlainInTheClear = options.plainInTheClear === true
  const login = { user, password, mechanism, allowsPlainInTheClear }
  return { address, tls, timeoutMs, login }
}

function textOf(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value
}

function variable(environment: Environment, name: string): string | undefined {
  for (const prefix of PREFIXES) {
    const value = textOf(environment[prefix + name])
    if (value !== undefined) return value
  }
  return undefined
}

/** What a script wrote as "$USER" is not to mean something else where the variable is not set. */
function refuseEmpty(options: ServerOptions): void {
  const name = TEXT_OPTIONS.find((each) => options[each] === '')
  if (name === undefined) return
  const flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  throw new ClientError('settings', `--${flag} is empty: give a value, or leave it out`)
}

/** Whoever wrote a password behind the name should not see it again. */
function refusePasswordBehind(user: string | undefined): void {
  if (user?.includes(':') !== true) return
  const message =
    '--user takes a name without a colon: a password belongs on no command line (a name that has one can come from SASLCACHED_USERNAME or a profile)'
  throw new ClientError('settings', message)
}

function addressOf(text: string): ServerAddress {
  const address = parseAddress(text)
  if (typeof address !== 'string') return address
  // Who wrote a password in front of the host should not see it again.
  const shown = text.includes('@') ? '' : `${JSON.stringify(text)} `
  throw new ClientError('settings', `the server ${shown}${address}`)
}

async function passwordOf(
  { passwordFile }: ServerOptions,
  [strong, weak]: readonly (Profile | undefined)[],
  environment: Environment,
  user: string,
  ask: ((user: string) => Promise<string>) | undefined,
): Promise<Secret> {
  const file = passwordFile ?? strong?.password_file
  if (file !== undefined) return readPassword(file)
  const given = variable(environment, 'PASSWORD')
  if (given !== undefined) return checked(given, 'in the environment')
  const fileInEnvironment = variable(environment, 'PASSWORD_FILE') ?? weak?.password_file
  if (fileInEnvironment !== undefined) return readPassword(fileInEnvironment)
  if (ask !== undefined) return checked(await ask(user), 'that was typed')
  throw new ClientError(
    'settings',
    `there is no password for ${JSON.stringify(user)}, and no terminal to ask on: give --password-file, or SASLCACHED_PASSWORD_FILE`,
  )
}

function readPassword(file: string): Secret {
  const text = readPrivateFile(file, PASSWORD_BYTES_MAX + 2)
  if (text === undefined) throw new ClientError('settings', `there is no password file ${file}`)
  return checked(text.replace(/\r?\n$/, ''), `in ${file}`)
}

function checked(password: string, where: string): Secret {
  const problem = problemWith('password', password)
  if (problem !== undefined) throw new ClientError('settings', `${problem} (the one ${where})`)
  if (/[\r\n]/.test(password)) {
    throw new ClientError('settings', `the password ${where} has more than one line`)
  }
  return new Secret(password)
}

function tlsOf(options: ServerOptions, profile: Profile): TlsSettings | undefined {
  const ca = options.tlsCa ?? profile.ca
  const certificate = options.tlsCert ?? profile.cert
  const key = options.tlsKey ?? profile.key
  const { tlsName = profile.tls_name, tlsInsecure } = options
  const isAsked = options.tls ?? profile.tls
  // Whoever names a file of TLS means TLS: to go on in the clear would be the opposite.
  const given = [ca, certificate, key, tlsName, tlsInsecure]
  if (isAsked !== true && given.every((value) => value === undefined)) return undefined
  if (isAsked === false) {
    throw new ClientError('settings', 'tls = false stands beside settings of TLS: take one away')
  }
  if (key === undefined && certificate !== undefined) {
    throw new ClientError('settings', 'a certificate needs its key: give --tls-key')
  }
  if (certificate === undefined && key !== undefined) {
    throw new ClientError('settings', 'a key needs its certificate: give --tls-cert')
  }
  const keyPasswordFile = options.tlsKeyPasswordFile ?? profile.key_password_file
  return {
    ca: ca === undefined ? undefined : readPem(ca),
    certificate: certificate === undefined ? undefined : readPem(certificate),
    key: key === undefined ? undefined : readKey(key),
    keyPassword: keyPasswordFile === undefined ? undefined : readPassword(keyPasswordFile).reveal(),
    name: tlsName,
    isVerified: tlsInsecure !== true,
  }
}

function readPem(file: string): string {
  const reading = readSmallFile(file, PEM_BYTES_MAX)
  if (reading.kind !== 'text') throw new ClientError('settings', `${file} ${reading.why}`)
  return requirePem(file, reading.text)
}

function readKey(file: string): string {
  const text = readPrivateFile(file, PEM_BYTES_MAX)
  if (text === undefined) throw new ClientError('settings', `there is no key file ${file}`)
  return requirePem(file, text)
}

function requirePem(file: string, text: string): string {
  // Node takes a text without a certificate for an empty list, and trusts nobody without a word.
  if (text.includes('-----BEGIN ')) return text
  throw new ClientError('settings', `${file} has nothing in PEM`)
}

function mechanismOf(given: string | undefined): string | undefined {
  if (given === undefined) return undefined
  const name = given.toUpperCase()
  if (CLIENT_MECHANISMS.includes(name)) return name
  const message = `--mechanism is none of ${CLIENT_MECHANISMS.join(', ')}`
  throw new ClientError('settings', message)
}

function timeoutMsOf(given: string | undefined): number {
  if (given === undefined) return TIMEOUT_SECONDS_DEFAULT * 1000
  const seconds = /^\d{1,4}(\.\d{1,3})?$/.test(given) ? Number(given) : Number.NaN
  if (!(seconds > 0 && seconds <= TIMEOUT_SECONDS_MAX)) {
    throw new ClientError('settings', '--timeout is not a number of seconds up to 3600')
  }
  return seconds * 1000
}
