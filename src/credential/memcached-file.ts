/**
 * memcached's own password files: `user:password` lines, as `memcached -Y` and MEMCACHED_SASL_PWDB
 * read them. Reads no files.
 *
 * What memcached 1.6 does (authfile.c, sasl_defs.c): the name ends at the first colon. With -Y the
 * rest of the line is the password, colons included, and a line without a colon refuses the file.
 * In a PWDB file the name is `user@realm`, whose realm the SASL library appends to what the client
 * says, and the password may be followed by further fields (`user@realm:password:::`). Neither
 * knows comments.
 *
 * Differs from memcached:
 * - `alice@host` signs in as `alice` too, whatever the host, unless the file has an `alice` of its
 *   own;
 * - in a PWDB file the password ends at the next colon, where memcached takes everything up to any
 *   later colon for a correct password as well, and a warning says so of a field that is not empty;
 * - empty lines and lines that begin with `#` are skipped: a comment must not become a user;
 * - no line is cut at 255 bytes, and there may be more than eight users.
 */
import type { CredentialFileProblem } from './credential-file-error.ts'
import { quoteName } from './file-problems.ts'
import { prepare, problemWith } from './prepare.ts'
import type { ReadResult, UserEntry } from './user-entry.ts'
import { PASSWORDS_PER_USER_MAX, USERS_MAX } from './user-entry.ts'

/** `authfile` is the file of -Y, `pwdb` that of MEMCACHED_SASL_PWDB. */
export type MemcachedFileKind = 'authfile' | 'pwdb'

interface Account {
  readonly line: number
  readonly passwords: string[]
}

export function parseMemcachedFile(
  text: string,
  file: string,
  kind: MemcachedFileKind,
): ReadResult {
  const problems: CredentialFileProblem[] = []
  const warnings: CredentialFileProblem[] = []
  const accounts = new Map<string, Account>()
  const aliases = new Map<string, Account>()
  const lines = text.replace(/^\uFEFF/, '').split('\n')
  for (const [index, rawLine] of lines.entries()) {
    const line = index + 1
    const content = rawLine.endsWith('\r') ? rawLine.slice(0, -1) : rawLine
    if (content.trim() === '' || content.startsWith('#')) continue
    const colon = content.indexOf(':')
    if (colon === -1) {
      problems.push({ file, line, message: 'a line must be user:password; this one has no colon' })
      continue
    }
    const rawName = content.slice(0, colon)
    const rest = content.slice(colon + 1)
    const [field = '', ...further] = rest.split(':')
    const password = kind === 'pwdb' ? field : rest
    const problem = problemWith('name', rawName) ?? problemWith('password', password)
    if (problem !== undefined) {
      problems.push({ file, line, message: problem })
      continue
    }
    const name = prepare(rawName)
    if (kind === 'pwdb' && further.some((text) => text !== '')) {
      warnings.push({ file, line, message: whatIsNoPassword(name) })
    }
    addPassword(accounts, name, password, line)
    const at = name.lastIndexOf('@')
    if (at > 0) addPassword(aliases, name.slice(0, at), password, line)
  }
  for (const [name, account] of aliases) {
    if (!accounts.has(name)) accounts.set(name, account)
  }
  for (const [name, account] of accounts) {
    if (account.passwords.length <= PASSWORDS_PER_USER_MAX) continue
    problems.push({
      file,
      line: account.line,
      message:
        `user ${quoteName(name)} has ${account.passwords.length} passwords (a host after @ does not ` +
        `count); at most ${PASSWORDS_PER_USER_MAX} are allowed`,
    })
  }
  if (accounts.size > USERS_MAX) {
    const message = `the file has ${accounts.size} users; at most ${USERS_MAX} are allowed`
    problems.push({ file, line: 0, message })
  }
  const users = [...accounts].map(
    ([name, { line, passwords }]): UserEntry => ({ name, file, line, verifiers: [], passwords }),
  )
  const sorted = problems.sort((a, b) => a.line - b.line)
  return { users, decoyKey: undefined, roles: [], namespaces: [], problems: sorted, warnings }
}

function whatIsNoPassword(name: string): string {
  return (
    `the password of user ${quoteName(name)} ends at the second colon of its line, as this file has fields; ` +
    'set one that has a colon in it with `saslcached user add`, or give the file with -Y'
  )
}

function addPassword(
  accounts: Map<string, Account>,
  name: string,
  password: string,
  line: number,
): void {
  const account = accounts.get(name)
  if (account === undefined) accounts.set(name, { line, passwords: [password] })
  else if (!account.passwords.includes(password)) account.passwords.push(password)
}
