/**
 * Edits users.toml for `saslcached user add|set|passwd|remove|list|show|check`. A person's comments, order and
 * layout survive: only the lines of the user in question change.
 *
 * Invariant: the file is replaced as a whole (a new file renamed over it) by a text that has been
 * read back and found good, by one editor at a time; whoever reads it sees the old or the new,
 * never half. Owner and mode of the old file stay; a new one is for its owner alone.
 */
import { randomBytes } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { dirname } from 'node:path'
import { assert } from '../base/assert.ts'
import type { Access, Role } from './access.ts'
import { CredentialFileError } from './credential-file-error.ts'
import { quoteName } from './file-problems.ts'
import { prepare, problemWith } from './prepare.ts'
import { readTomlLayout, type TomlStatement } from './toml-layout.ts'
import { UserEditError } from './user-edit-error.ts'
import type { ReadResult, UserEntry } from './user-entry.ts'
import { DECOY_KEY_BYTES, parseUsersFile } from './users-file.ts'
import { checkFolder, lockFile, readText, replaceFile } from './users-file-replacement.ts'
import {
  type AccessSettings,
  formatAccess,
  formatKey,
  formatVerifiers,
  newlineOf,
  replaceAccess,
} from './users-file-text.ts'
import {
  encodeBase64,
  hashPassword,
  hashPasswordWith,
  parseVerifier,
  SCRAM_HASHES,
  type Verifier,
} from './verifier.ts'

export interface EditOptions {
  /** Of new verifiers; default as in hashPassword. */
  readonly iterations?: number
  readonly randomBytes?: (count: number) => Uint8Array
  /** How long to wait for another editor of the same file. */
  readonly lockWaitMs?: number
}

export interface AddUserOptions extends EditOptions {
  readonly access?: AccessSettings
}

export interface SetPasswordOptions extends EditOptions {
  /** The present password stays good beside the new one, until the next change without this. */
  readonly keepOld?: boolean
}

export interface ListedUser {
  readonly name: string
  readonly line: number
  /** Mechanisms that the user can use besides PLAIN; empty with a password in the clear. */
  readonly hashes: readonly string[]
  /** 1, or 2 during a rotation. */
  readonly passwordCount: number
  readonly isPlaintext: boolean
  /** The least of the user's verifiers; 0 with a password in the clear. */
  readonly iterations: number
  /** Undefined: it may do everything. */
  readonly access: Access | undefined
  readonly roles: readonly string[] | undefined
  /** Those of `access` that none of the roles gives. */
  readonly rightsBesideRoles: number | undefined
}

/** What a user is known by. */
const CREDENTIAL_SETTINGS: readonly string[] = ['verifiers', 'password', 'password_login']

/** Adds a user, who logs in without a password if there is none; makes the file if there is none. */
export async function addUser(
  path: string,
  name: string,
  password: string | undefined,
  options: AddUserOptions = {},
): Promise<void> {
  checkInput(name, password)
  const change = (text: string | undefined): string =>
    withNewUser(text, path, name, password, options)
  await edit(path, options, change, options.access !== undefined)
}

/** Throws what `addUser` would, whatever the password: nobody is asked for one in vain. */
export async function checkNewUser(
  path: string,
  name: string,
  options: AddUserOptions = {},
): Promise<void> {
  checkInput(name, undefined)
  const change = (text: string | undefined): string =>
    withNewUser(text, path, name, undefined, options)
  await checkEdit(path, change, options.access !== undefined)
}

/** Without a password: one who has none. */
function withNewUser(
  text: string | undefined,
  path: string,
  name: string,
  password: string | undefined,
  options: AddUserOptions,
): string {
  const before = text ?? newFileText(options)
  const users = readUsers(before, path)
  if (findUser(users, name) !== undefined) {
    throw new UserEditError(
      'user-exists',
      `user ${quoteName(name)} exists already in ${path}; change the password with \`saslcached user passwd\``,
    )
  }
  const newline = newlineOf(before)
  const gap = before === '' || before.endsWith(newline + newline) ? '' : newline
  const end = before === '' || before.endsWith('\n') ? '' : newline
  const credential =
    password === undefined
      ? 'password_login = false'
      : formatVerifiers(hashPassword(password, options), newline)
  const lines = [`[users.${formatKey(name)}]`, credential, ...formatAccess(options.access)]
  return `${before}${end}${gap}${lines.map((line) => line + newline).join('')}`
}

/** Changes what a user may do: what is given replaces what stands there. With `isReset` nothing else stays. */
export async function setAccess(
  path: string,
  name: string,
  access: AccessSettings,
  isReset: boolean,
  options: EditOptions = {},
): Promise<void> {
  await edit(
    path,
    options,
    (text) => {
      const before = text ?? ''
      if (findUser(readUsers(before, path), name) === undefined) throw noSuchUser(path, name)
      return replaceAccess(before, statementsOf(before, path, name), access, isReset)
    },
    true,
  )
}

/** A user of the file. Throws a CredentialFileError if the file is not good. */
export async function findEntry(path: string, name: string): Promise<UserEntry> {
  const { text } = await readText(path)
  if (text === undefined) throw new UserEditError('file', `${path}: there is no such file`)
  const user = findUser(readUsers(text, path), name)
  if (user === undefined) throw noSuchUser(path, name)
  return user
}

/** Replaces a user's password; with keepOld the present one stays good beside it. */
export async function setPassword(
  path: string,
  name: string,
  password: string,
  options: SetPasswordOptions = {},
): Promise<void> {
  checkInput(name, password)
  await edit(path, options, (text) => {
    const before = text ?? ''
    const user = findUser(readUsers(before, path), name)
    if (user === undefined) throw noSuchUser(path, name)
    const verifiers =
      options.keepOld === true
        ? addSecondPassword(user, password, options)
        : hashPassword(password, options)
    return replaceVerifiers(before, path, name, verifiers)
  })
}

/** Throws what `setPassword` would, whatever the password. */
export async function checkPasswordChange(path: string, name: string): Promise<void> {
  checkInput(name, undefined)
  await checkEdit(path, (text) => {
    const before = text ?? ''
    if (findUser(readUsers(before, path), name) === undefined) throw noSuchUser(path, name)
    return before
  })
}

export async function removeUser(
  path: string,
  name: string,
  options: EditOptions = {},
): Promise<void> {
  await edit(path, options, (text) => {
    const before = text ?? ''
    if (findUser(readUsers(before, path), name) === undefined) throw noSuchUser(path, name)
    return cutUser(before, path, name)
  })
}

/** The users of the file, in its order. Throws a CredentialFileError if the file is not good. */
export async function listUsers(path: string): Promise<ListedUser[]> {
  const { text } = await readText(path)
  if (text === undefined) throw new UserEditError('file', `${path}: there is no such file`)
  const file = readFile(text, path)
  return file.users.map(({ name, line, verifiers, passwords, access, roles }) => {
    const parsed = verifiers.map(parseVerifier).filter((found) => typeof found !== 'string')
    const hashes = SCRAM_HASHES.map((hash) => hash.name).filter((hash) =>
      parsed.some((verifier) => verifier.hash.name === hash),
    )
    const counts = hashes.map((hash) => parsed.filter((v) => v.hash.name === hash).length)
    return {
      name,
      line,
      hashes,
      passwordCount: Math.max(passwords.length, ...counts),
      isPlaintext: passwords.length > 0,
      iterations: parsed.length === 0 ? 0 : Math.min(...parsed.map((v) => v.iterations)),
      access,
      roles,
      rightsBesideRoles: access && access.rights & ~rightsOfRoles(file.roles, roles ?? []),
    }
  })
}

function checkInput(name: string, password: string | undefined): void {
  const problem =
    problemWith('name', name) ??
    (password === undefined ? undefined : problemWith('password', password))
  if (problem !== undefined) throw new UserEditError('invalid', problem)
}

function noSuchUser(path: string, name: string): UserEditError {
  return new UserEditError('no-such-user', `there is no user ${quoteName(name)} in ${path}`)
}

function readFile(text: string, path: string): ReadResult {
  const result = parseUsersFile(text, path)
  if (result.problems.length > 0) throw new CredentialFileError(result.problems)
  return result
}

function readUsers(text: string, path: string): readonly UserEntry[] {
  return readFile(text, path).users
}

function rightsOfRoles(roles: readonly Role[], names: readonly string[]): number {
  return roles.reduce((all, { name, rights }) => (names.includes(name) ? all | rights : all), 0)
}

function findUser(users: readonly UserEntry[], name: string): UserEntry | undefined {
  const prepared = prepare(name)
  return users.find((user) => user.name === prepared)
}

/** New verifiers beside the newest present ones, with their salts, so that the two go together. */
function addSecondPassword(
  user: UserEntry,
  password: string,
  options: EditOptions,
): readonly string[] {
  const [oldPassword] = user.passwords
  const present = oldPassword === undefined ? user.verifiers : hashPassword(oldPassword, options)
  return SCRAM_HASHES.flatMap((hash) => {
    const newest = present
      .map(parseVerifier)
      .find((found): found is Verifier => typeof found !== 'string' && found.hash === hash)
    if (newest === undefined) return []
    const added = hashPasswordWith(password, newest)
    const kept = present.find((text) => text.startsWith(`${hash.name}$`))
    assert(kept !== undefined, 'what was parsed is there')
    if (added === kept) {
      throw new UserEditError('invalid', 'the new password is the present one')
    }
    return [added, kept]
  })
}

function newFileText(options: EditOptions): string {
  const decoyKey = (options.randomBytes ?? randomBytes)(DECOY_KEY_BYTES)
  return (
    '# Users of saslcached. Edit by hand or with `saslcached user add|set|passwd|remove`; a running\n' +
    '# server notices by itself.\n' +
    '\n' +
    '# Secret from which the salts of users that do not exist are made, so that they look real.\n' +
    `decoy_key = "${encodeBase64(decoyKey)}"\n`
  )
}

/** The statements of one user; the first is its table header. */
function statementsOf(text: string, path: string, name: string): TomlStatement[] {
  const prepared = prepare(name)
  const own = readTomlLayout(text).filter(
    ({ path: [top, user] }) => top === 'users' && user !== undefined && prepare(user) === prepared,
  )
  const [header] = own
  if (header?.kind === 'table' && header.path.length === 2) return own
  const place = header === undefined ? path : `${path}:${header.line}`
  throw new UserEditError(
    'layout',
    `${place}: user ${quoteName(name)} is not written as a table [users.${formatKey(name)}], so it can ` +
      'only be changed by hand',
  )
}

function replaceVerifiers(
  text: string,
  path: string,
  name: string,
  verifiers: readonly string[],
): string {
  const [header, ...rest] = statementsOf(text, path, name)
  assert(header !== undefined, 'a user has a header')
  const stale = rest.filter(
    ({ path: keys }) => keys.length === 3 && CREDENTIAL_SETTINGS.includes(keys[2] ?? ''),
  )
  const [first] = stale
  assert(first !== undefined, 'a user has a password or verifiers')
  // `password_login = true` may stand beside the one that matters.
  const replaced = stale.find(({ path: keys }) => keys[2] !== 'password_login') ?? first
  const fresh = formatVerifiers(verifiers, newlineOf(text))
  return text.slice(0, replaced.start) + fresh + text.slice(replaced.end)
}

function cutUser(text: string, path: string, name: string): string {
  const statements = statementsOf(text, path, name)
  const [header] = statements
  const last = statements[statements.length - 1]
  assert(header !== undefined && last !== undefined, 'a user has statements')
  const start = text.lastIndexOf('\n', header.start) + 1
  const newlineAt = text.indexOf('\n', last.end)
  const end = newlineAt === -1 ? text.length : newlineAt + 1
  const before = text.slice(0, start)
  const after = text.slice(end)
  // One empty line in place of the two that the user stood between, none at the end of the file.
  if (after === '') return before.replace(/(\r?\n)(?:\r?\n)+$/, '$1')
  const isApart = before === '' || /\n\r?\n$/.test(before)
  return before + (isApart ? after.replace(/^\r?\n/, '') : after)
}

/**
 * Reads, changes, checks and replaces the file, alone. With `isAskedFor` a text that is not good is what
 * was asked for (a role that there is not, say), and not a layout that is beyond us.
 */
async function edit(
  path: string,
  options: EditOptions,
  change: (text: string | undefined) => string,
  isAskedFor = false,
): Promise<void> {
  // Behind a symbolic link it is the file that is replaced, not the link.
  const target = await realpath(path).catch(() => path)
  const release = await lockFile(target, options.lockWaitMs)
  try {
    const { text, mode, owner } = await readText(target)
    const changed = change(text)
    checkText(changed, path, isAskedFor)
    await replaceFile(target, changed, mode, owner)
  } finally {
    await release()
  }
}

/** Throws what `edit` would, as far as that can be known now; changes nothing, and waits for nobody. */
async function checkEdit(
  path: string,
  change: (text: string | undefined) => string,
  isAskedFor = false,
): Promise<void> {
  const target = await realpath(path).catch(() => path)
  await checkFolder(dirname(target))
  const { text } = await readText(target)
  checkText(change(text), path, isAskedFor)
}

/** What we write must be what we read; a layout that is beyond us ends here, before any harm. */
function checkText(text: string, path: string, isAskedFor: boolean): void {
  const [problem] = parseUsersFile(text, path).problems
  if (problem === undefined) return
  if (isAskedFor) throw new UserEditError('invalid', problem.message)
  throw new UserEditError(
    'layout',
    `${path} is laid out in a way that only a person can change: ${problem.message}`,
  )
}
