/**
 * Where users come from: files, the environment.
 *
 * Invariant: a source that was named and cannot be read is a problem; one that nobody named is left out.
 */
import { dirname, join } from 'node:path'
import type { CredentialOrigin } from './config.ts'
import { PWDB_VARIABLE, readEnvironmentUser } from './environment.ts'
import { environmentPath, type GivenOptions } from './given-options.ts'
import { whyUnreadable } from './read-file.ts'

const USERS_FILE_NAME = 'users.toml'

export function credentialOrigins(given: GivenOptions): readonly CredentialOrigin[] {
  const sources: CredentialOrigin[] = []
  const users = usersFile(given)
  const explicit = given.values.users_file !== ''
  const mustExist = given.inputs.usersFileMustExist ?? true
  const usersTrouble = whyUnreadable(users)
  if (usersTrouble === undefined) {
    sources.push({ kind: 'users-file', path: users })
  } else if (mustExist && (explicit || usersTrouble.kind === 'unreadable')) {
    const where = explicit ? given.source('users_file') : users
    given.problems.push({
      where,
      message: explicit ? `${users} ${usersTrouble.why}` : usersTrouble.why,
    })
  }
  const authFile = given.path('auth_file')
  if (authFile !== undefined) {
    const trouble = whyUnreadable(authFile)
    if (trouble === undefined) sources.push({ kind: 'authfile', path: authFile })
    else if (mustExist) given.problem('auth_file', `${authFile} ${trouble.why}`)
  }
  const { environment } = given.inputs
  const pwdb = environmentPath(environment, PWDB_VARIABLE)
  if (pwdb !== undefined) {
    const trouble = whyUnreadable(pwdb)
    if (trouble === undefined) sources.push({ kind: 'pwdb', path: pwdb })
    else if (mustExist) {
      given.problems.push({ where: PWDB_VARIABLE, message: `${pwdb} ${trouble.why}` })
    }
  }
  // Whoever edits a file may have there who logs in elsewhere, without a password.
  const user = mustExist
    ? readEnvironmentUser(environment, given.problems, given.notices)
    : undefined
  if (user !== undefined) sources.push(user)
  if (given.values.no_auth && sources.length > 0) {
    given.notices.push(
      `${given.source('no_auth')}: the users that are configured are not asked for`,
    )
  }
  return sources
}

export function usersFile(given: GivenOptions): string {
  const set = given.path('users_file')
  if (set !== undefined) return set
  const directory = given.file === undefined ? given.directory : dirname(given.file)
  return join(directory, USERS_FILE_NAME)
}
