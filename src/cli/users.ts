/**
 * `saslcached user add|set|passwd|remove|list|show|check` and `saslcached hash-password`. credential/ edits the
 * file; a running server notices by itself.
 */
import { EXIT_CONFIG, EXIT_OK } from '../base/exit-code.ts'
import { unreachable } from '../base/unreachable.ts'
import type { ConfigInputs } from '../config/given-options.ts'
import { CredentialFileError } from '../credential/credential-file-error.ts'
import { problemWith } from '../credential/prepare.ts'
import { NAMESPACE_DEFAULT_NAME } from '../credential/principal.ts'
import { namesOf, RIGHTS_ALL } from '../credential/rights.ts'
import { UserEditError } from '../credential/user-edit-error.ts'
import { accessOf, type UserEntry } from '../credential/user-entry.ts'
import {
  addUser,
  checkNewUser,
  checkPasswordChange,
  findEntry,
  type ListedUser,
  listUsers,
  removeUser,
  setAccess,
  setPassword,
} from '../credential/users-file-editor.ts'
import { type AccessSettings, formatKey } from '../credential/users-file-text.ts'
import { hashPassword } from '../credential/verifier.ts'
import { loadServerConfig } from '../server/main/load-server-config.ts'
import { CommandFailure, type Io, indent } from './io.ts'
import { readPassword } from './password.ts'

export type UserCommand =
  | 'add'
  | 'set'
  | 'passwd'
  | 'remove'
  | 'list'
  | 'show'
  | 'check'
  | 'hash-password'

export interface UserRequest {
  readonly command: UserCommand
  /** Undefined for list, and for hash-password when only verifiers are wanted. */
  readonly user: string | undefined
  /** For passwd: the old password stays valid beside the new one. */
  readonly keepOld: boolean
  /** For add: the user logs in by other means, or stands behind a listener. */
  readonly hasPassword: boolean
  /** For add and set. */
  readonly access: AccessSettings
  /** For set: what is not given goes. */
  readonly isReset: boolean
  /** For check: a command as a text client says it. */
  readonly words: readonly string[]
}

/** Throws ConfigError, or CommandFailure with what the person can do about it. */
export async function runUserCommand(
  io: Io,
  inputs: ConfigInputs,
  request: UserRequest,
): Promise<number> {
  const config = await loadServerConfig({ ...inputs, usersFileMustExist: false })
  const { iterations, usersFile } = config.auth
  try {
    if (request.command === 'check') {
      const { runUserCheck } = await import('./user-check.ts')
      return await runUserCheck(io, request.user ?? '', request.words, config)
    }
    await run(io, request, usersFile, iterations)
    return EXIT_OK
  } catch (error) {
    if (error instanceof CredentialFileError) {
      throw new CommandFailure(`the users cannot be used\n${indent(error.message)}`, EXIT_CONFIG)
    }
    if (!(error instanceof UserEditError)) throw error
    const isDefault = config.settings.some(
      ({ name, source }) => name === 'users_file' && source === 'default',
    )
    // Whoever cannot write where we look by ourselves can still have a file elsewhere.
    const hint =
      error.code === 'file' && isDefault
        ? '; name another file with --file, and serve it with --users-file'
        : ''
    throw new CommandFailure(`${error.message}${hint}`)
  }
}

async function run(io: Io, request: UserRequest, file: string, iterations: number): Promise<void> {
  const { command, keepOld } = request
  const user = request.user ?? ''
  if (command === 'list') {
    io.out(formatList(await listUsers(file)))
    return
  }
  if (command !== 'hash-password' || request.user !== undefined) refuse(problemWith('name', user))
  const shown = JSON.stringify(user)
  switch (command) {
    case 'add':
      refuse(problemWithNewName(user))
      await add(io, request, file, iterations)
      io.err(`user ${shown} was added to ${file}\n`)
      // The login line of the text protocol is user, blank, password.
      if (user.includes(' ')) {
        io.err(
          'the name has a blank: it can log in over the binary protocol and by SCRAM, but not\n',
        )
        io.err('by the "set" of a text client\n')
      }
      return
    case 'passwd': {
      await checkPasswordChange(file, user)
      const password = await newPassword(io, `New password for ${shown}`)
      await setPassword(file, user, password, { iterations, keepOld })
      const old = keepOld ? '; the old one works as well until the next change' : ''
      io.err(`the password of user ${shown} in ${file} was set${old}\n`)
      return
    }
    case 'set':
      if (!request.isReset && Object.values(request.access).every((value) => value === undefined)) {
        throw new CommandFailure(
          'nothing to set: give --role, --rights, --prefix, --namespace or --reset',
        )
      }
      await setAccess(file, user, request.access, request.isReset)
      io.err(`user ${shown} in ${file} was changed\n`)
      return
    case 'show':
      io.out(formatEntryOf(await findEntry(file, user)))
      return
    case 'remove':
      await removeUser(file, user)
      io.err(`user ${shown} was removed from ${file}\n`)
      return
    case 'hash-password': {
      const verifiers = hashPassword(await newPassword(io, 'Password'), { iterations })
      io.out(request.user === undefined ? lines(verifiers) : formatEntry(user, verifiers))
      return
    }
    case 'check':
      return
    default:
      return unreachable(command)
  }
}

async function add(
  io: Io,
  { user = '', hasPassword, access }: UserRequest,
  file: string,
  iterations: number,
): Promise<void> {
  const options = { iterations, access }
  await checkNewUser(file, user, options)
  const prompt = `Password for ${JSON.stringify(user)}`
  await addUser(file, user, hasPassword ? await newPassword(io, prompt) : undefined, options)
}

/** Files may hold what others made; a new name should be one that people can read and type. */
function problemWithNewName(name: string): string | undefined {
  return /\p{Cc}/u.test(name) ? 'the name contains a control character' : undefined
}

async function newPassword(io: Io, prompt: string): Promise<string> {
  const password = await readPassword(io, prompt)
  refuse(problemWith('password', password))
  return password
}

function refuse(problem: string | undefined): void {
  if (problem !== undefined) throw new CommandFailure(problem)
}

/** An entry to paste into users.toml. */
function formatEntry(user: string, verifiers: readonly string[]): string {
  const list = verifiers.map((verifier) => `  ${JSON.stringify(verifier)},\n`).join('')
  return `[users.${formatKey(user)}]\nverifiers = [\n${list}]\n`
}

/** For people: what a user may do, in words. */
function formatEntryOf(entry: UserEntry): string {
  const { name, verifiers, passwords, roles } = entry
  const { rights, keyPrefixes, namespace } = accessOf(entry)
  const hasPassword = verifiers.length + passwords.length > 0
  return lines([
    `user        ${printable(name)}`,
    `password    ${hasPassword ? 'yes' : 'no: by certificate, token or listener alone'}`,
    `roles       ${(roles ?? []).join(', ') || 'none'}`,
    `rights      ${formatRights(rights)}`,
    `keys        ${keyPrefixes === undefined ? 'all' : `that begin with ${formatTexts(keyPrefixes)}`}`,
    `namespace   ${namespace}`,
  ])
}

function formatRights(rights: number): string {
  return rights === RIGHTS_ALL ? 'all' : namesOf(rights).join(', ')
}

function formatTexts(texts: readonly string[]): string {
  return texts.map((text) => JSON.stringify(text)).join(' or ')
}

/** In a line of a list: nothing of who may do everything. */
function formatAccess({ access, roles = [], rightsBesideRoles = 0 }: ListedUser): string {
  if (access === undefined) return ''
  const { keyPrefixes, namespace } = access
  const hasRights = roles.length === 0 || rightsBesideRoles !== 0
  return [
    ...(roles.length === 0 ? [] : [`roles ${roles.join(',')}`]),
    ...(hasRights ? [`rights ${formatRights(rightsBesideRoles)}`] : []),
    ...(keyPrefixes === undefined ? [] : [`keys ${formatTexts(keyPrefixes)}`]),
    ...(namespace === NAMESPACE_DEFAULT_NAME ? [] : [`namespace ${namespace}`]),
  ].join('; ')
}

function printable(name: string): string {
  // A name in the file may hold anything; a terminal must not be driven by it.
  return /^[\w@./+-]+$/.test(name) ? name : JSON.stringify(name)
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join('')
}

function formatList(users: readonly ListedUser[]): string {
  const rows = users.map((user) => [
    printable(user.name),
    formatPassword(user),
    user.passwordCount > 1 ? `${user.passwordCount} passwords` : '',
    formatAccess(user),
  ])
  const widths = [0, 1, 2].map((column) =>
    Math.max(0, ...rows.map((row) => (row[column] ?? '').length)),
  )
  return lines(
    rows.map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .filter((cell) => cell !== '')
        .join('  ')
        .trimEnd(),
    ),
  )
}

function formatPassword({ hashes, iterations, isPlaintext }: ListedUser): string {
  if (isPlaintext) return 'password in the clear'
  return hashes.length === 0 ? 'no password' : `${hashes.join(' ')} (${iterations})`
}
