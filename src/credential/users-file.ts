/**
 * The format of users.toml: text to checked users, every problem with its line. Reads no files.
 *
 *   decoy_key = "<base64>"          # optional secret, see credential-snapshot.ts
 *   [users.alice]
 *   verifiers = ["SCRAM-SHA-256$4096:...", "SCRAM-SHA-1$4096:..."]
 *   [users."bob@example.com"]
 *   password = "in the clear"       # or two of them, in an array
 *   [users.monitor]
 *   password_login = false          # known by a certificate, a token or a listener
 *
 * Who may do what, where, is read by users-file-access.ts.
 *
 * Invariant: the verifiers of one hash share salt and iterations, so that one derivation checks two
 * passwords and one SCRAM challenge serves both.
 */
import { parse, TomlError } from 'smol-toml'
import { describeTomlError } from '../base/toml-trouble.ts'
import type { CredentialFileProblem } from './credential-file-error.ts'
import { FileProblems, isTable, type TomlPath } from './file-problems.ts'
import { prepare, problemWith } from './prepare.ts'
import { TomlLines } from './toml-layout.ts'
import type { ReadResult, UserEntry } from './user-entry.ts'
import { PASSWORDS_PER_USER_MAX, USERS_MAX } from './user-entry.ts'
import { ACCESS_SETTINGS, AccessReader } from './users-file-access.ts'
import { decodeBase64, encodeBase64, parseVerifier, type Verifier } from './verifier.ts'

export const DECOY_KEY_BYTES = 32
const DECOY_KEY_BYTES_MIN = 16
const PASSWORD_EXPECTED = 'password must be a string, or an array of one or two strings'

/** What may stand at the top of the file, and in a user. */
const FILE_SETTINGS = ['decoy_key', 'namespaces', 'roles', 'users']
const USER_SETTINGS = ['password', 'verifiers', 'password_login', ...ACCESS_SETTINGS]
const SETTINGS = [...FILE_SETTINGS, ...USER_SETTINGS]

export function parseUsersFile(text: string, file: string): ReadResult {
  let document: unknown
  try {
    document = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = describeTomlError(error, text, SETTINGS) + hintOfAccounts(text)
    return readingOfNothing([
      { file, line: error.line, message: `this is not valid TOML: ${what}` },
    ])
  }
  return new UsersFileReader(text, file).read(document)
}

/** Whoever has the file of memcached's own takes it for this one. */
function hintOfAccounts(text: string): string {
  return /^[^:=\s]+:[^=\s]+$/m.test(text.split('\n')[0] ?? '')
    ? '; a file of lines user:password is given with -Y'
    : ''
}

class UsersFileReader {
  readonly #file: string
  readonly #lines: TomlLines
  readonly #problems: FileProblems
  readonly #access: AccessReader
  readonly #users = new Map<string, UserEntry>()

  constructor(text: string, file: string) {
    this.#file = file
    this.#lines = new TomlLines(text)
    this.#problems = new FileProblems(file, this.#lines)
    this.#access = new AccessReader(file, this.#lines, this.#problems)
  }

  read(document: unknown): ReadResult {
    const top = isTable(document) ? document : {}
    this.#problems.refuseUnknown(top, FILE_SETTINGS, [])
    const decoyKey = this.#readDecoyKey(top.decoy_key)
    this.#access.readNamespaces(top.namespaces)
    this.#access.readRoles(top.roles)
    const table = top.users ?? {}
    if (!isTable(table)) this.#add(['users'], 'users must be a table: [users.alice]')
    const users = isTable(table) ? Object.entries(table) : []
    if (users.length > USERS_MAX) {
      const message = `the file has ${users.length} users; at most ${USERS_MAX} are allowed`
      this.#add(['users'], message)
    } else {
      for (const [rawName, user] of users) {
        const entry = this.#readUser(rawName, user)
        if (entry !== undefined) this.#users.set(entry.name, entry)
      }
    }
    const { roles, namespaces } = this.#access
    const problems = this.#problems.list()
    return { users: [...this.#users.values()], decoyKey, roles, namespaces, problems }
  }

  #readDecoyKey(text: unknown): Uint8Array | undefined {
    if (text === undefined) return undefined
    if (typeof text !== 'string') {
      return this.#add(['decoy_key'], 'decoy_key must be a string in base64')
    }
    const key = decodeBase64(text)
    if (key !== undefined && key.length >= DECOY_KEY_BYTES_MIN) return Uint8Array.from(key)
    return this.#add(
      ['decoy_key'],
      `decoy_key must be at least ${DECOY_KEY_BYTES_MIN} random bytes in base64; ` +
        'remove the line to have a fresh one at every start',
    )
  }

  #readUser(rawName: string, user: unknown): UserEntry | undefined {
    const path = ['users', rawName]
    const nameProblem = problemWith('name', rawName)
    if (nameProblem !== undefined) return this.#add(path, nameProblem)
    const name = prepare(rawName)
    const twin = this.#users.get(name)
    if (twin !== undefined) {
      return this.#add(path, `this user is the same as that of line ${twin.line} after SASLprep`)
    }
    if (!isTable(user)) {
      return this.#add(path, 'a user must be a table with password or verifiers')
    }
    const problemsBefore = this.#problems.count
    this.#problems.refuseUnknown(user, USER_SETTINGS, path)
    const passwords = this.#readPasswords(user.password, path)
    const verifiers = this.#readVerifiers(user.verifiers, path)
    this.#checkPasswordLogin(user, path, problemsBefore)
    const { access, roles } = this.#access.readAccess(user, path)
    if (this.#problems.count > problemsBefore) return undefined
    const line = this.#lines.find(path)
    return { name, file: this.#file, line, verifiers, passwords, access, roles }
  }

  /** A user has a password in one form, or says that it has none. */
  #checkPasswordLogin(user: Record<string, unknown>, path: TomlPath, problemsBefore: number): void {
    const { password, verifiers, password_login: passwordLogin } = user
    if (passwordLogin !== undefined && typeof passwordLogin !== 'boolean') {
      this.#add([...path, 'password_login'], 'password_login must be true or false')
    }
    if (this.#problems.count > problemsBefore) return
    const hasPassword = password !== undefined || verifiers !== undefined
    if (password !== undefined && verifiers !== undefined) {
      this.#add(
        [...path, 'password'],
        'this user has a password and verifiers; keep one of them, preferably the verifiers',
      )
    } else if (hasPassword && passwordLogin === false) {
      this.#add([...path, 'password_login'], 'this user has a password; keep one of the two')
    } else if (!hasPassword && passwordLogin !== false) {
      this.#add(
        path,
        'this user has neither password nor verifiers: set one with `saslcached user passwd`',
      )
    }
  }

  #readPasswords(setting: unknown, path: readonly string[]): string[] {
    if (setting === undefined) return []
    const texts: readonly unknown[] = Array.isArray(setting) ? setting : [setting]
    const isRight = texts.length >= 1 && texts.length <= PASSWORDS_PER_USER_MAX
    if (!isRight || !texts.every((text) => typeof text === 'string')) {
      this.#add([...path, 'password'], PASSWORD_EXPECTED)
      return []
    }
    for (const [index, text] of texts.entries()) {
      const problem = problemWith('password', text)
      if (problem !== undefined) this.#add([...path, 'password', index], problem)
    }
    return [...texts]
  }

  #readVerifiers(setting: unknown, userPath: readonly string[]): string[] {
    if (setting === undefined) return []
    const path = [...userPath, 'verifiers']
    if (!Array.isArray(setting)) {
      this.#add(path, 'verifiers must be an array of strings')
      return []
    }
    if (setting.length === 0) {
      this.#add(path, 'verifiers is empty: give the user a password with `saslcached user passwd`')
    }
    const texts: string[] = []
    for (const [index, text] of setting.entries()) {
      if (typeof text === 'string') texts.push(text)
      else this.#add([...path, index], 'a verifier must be a string')
    }
    this.#checkVerifiers(setting, path)
    return texts
  }

  #checkVerifiers(texts: readonly unknown[], path: readonly string[]): void {
    const firstOfHash = new Map<string, { verifier: Verifier; count: number }>()
    for (const [index, text] of texts.entries()) {
      if (typeof text !== 'string') continue
      const verifier = parseVerifier(text)
      if (typeof verifier === 'string') {
        this.#add([...path, index], verifier)
        continue
      }
      const hash = verifier.hash.name
      const first = firstOfHash.get(hash)
      if (first === undefined) {
        firstOfHash.set(hash, { verifier, count: 1 })
        continue
      }
      first.count += 1
      if (first.count > PASSWORDS_PER_USER_MAX) {
        this.#add(
          [...path, index],
          `this user has more than ${PASSWORDS_PER_USER_MAX} ${hash} verifiers; remove the oldest`,
        )
      } else if (!haveSameParameters(first.verifier, verifier)) {
        this.#add(
          [...path, index],
          `the two ${hash} verifiers of this user differ in salt or iterations, so they cannot be ` +
            'used together; `saslcached user passwd` makes a second one that fits',
        )
      }
    }
  }

  #add(path: TomlPath, message: string): undefined {
    return this.#problems.add(path, message)
  }
}

function haveSameParameters(a: Verifier, b: Verifier): boolean {
  return (
    a.hash.name === b.hash.name &&
    a.iterations === b.iterations &&
    encodeBase64(a.salt) === encodeBase64(b.salt)
  )
}

/** What is read of a file that is no good at all. */
export function readingOfNothing(problems: readonly CredentialFileProblem[]): ReadResult {
  return { users: [], decoyKey: undefined, roles: [], namespaces: [], problems }
}
