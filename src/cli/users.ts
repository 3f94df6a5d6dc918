/**
 * `saslcached user add|passwd|remove|list` and `saslcached hash-password`. credential/ edits the
 * file; a running server notices by itself.
 */
import { EXIT_CONFIG, EXIT_OK } from '../base/exit-code.ts'
import { unreachable } from '../base/unreachable.ts'
import { type ConfigInputs, loadConfig } from '../config/load.ts'
import { CredentialFileError } from '../credential/credential-file-error.ts'
import { problemWith } from '../credential/prepare.ts'
import {
  addUser,
  formatKey,
  type ListedUser,
  listUsers,
  removeUser,
  setPassword,
  UserEditError,
} from '../credential/users-file-editor.ts'
import { hashPassword } from '../credential/verifier.ts'
import { MECHANISM_NAMES } from '../server/main/mechanisms.ts'
import { CommandFailure, type Io, indent } from './io.ts'
import { readPassword } from './password.ts'

export type UserCommand = 'add' | 'passwd' | 'remove' | 'list' | 'hash-password'

export interface UserRequest {
  readonly command: UserCommand
  /** Undefined for list, and for hash-password when only verifiers are wanted. */
  readonly user: string | undefined
  /** For passwd: the old password stays valid beside the new one. */
  readonly keepOld: boolean
}

/** Throws ConfigError, or CommandFailure with what the person can do about it. */
export async function runUserCommand(
  io: Io,
  inputs: ConfigInputs,
  request: UserRequest,
): Promise<number> {
  const config = await loadConfig({
    ...inputs,
    mechanisms: MECHANISM_NAMES,
    usersFileMustExist: false,
  })
  const { iterations, usersFile } = config.auth
  try {
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
      await addUser(file, user, await newPassword(io, `Password for ${shown}`), { iterations })
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
      const password = await newPassword(io, `New password for ${shown}`)
      await setPassword(file, user, password, { iterations, keepOld })
      const old = keepOld ? '; the old one works as well until the next change' : ''
      io.err(`the password of user ${shown} in ${file} was set${old}\n`)
      return
    }
    case 'remove':
      await removeUser(file, user)
      io.err(`user ${shown} was removed from ${file}\n`)
      return
    case 'hash-password': {
      const verifiers = hashPassword(await newPassword(io, 'Password'), { iterations })
      io.out(request.user === undefined ? lines(verifiers) : formatEntry(user, verifiers))
      return
    }
    default:
      return unreachable(command)
  }
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

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join('')
}

function formatList(users: readonly ListedUser[]): string {
  const rows = users.map(({ name, hashes, iterations, passwordCount, isPlaintext }) => [
    // A name in the file may hold anything; a terminal must not be driven by it.
    /^[\w@./+-]+$/.test(name) ? name : JSON.stringify(name),
    isPlaintext ? 'password in the clear' : `${hashes.join(' ')} (${iterations})`,
    passwordCount > 1 ? `${passwordCount} passwords` : '',
  ])
  const widths = [0, 1].map((column) =>
    Math.max(0, ...rows.map((row) => (row[column] ?? '').length)),
  )
  return lines(
    rows.map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    ),
  )
}
