/**
 * What a user, or a role, may do: with which rights, on which keys, in which namespace. How those of a
 * user and of its roles go together is decided here, once, for files and for tokens.
 *
 * Rights add up. Prefixes and namespaces do not: were those of two roles joined, a right that one of
 * them gives on its own keys would hold on the keys of the other as well. So they are stated in one place,
 * and what is stated holds for all rights.
 */
import { NAMESPACE_DEFAULT_NAME } from './principal.ts'
import { namesOf, RIGHT, RIGHTS_ALL, RIGHTS_BEYOND_KEYS, type Right, rightsOf } from './rights.ts'

export interface Access {
  /** Bits of RIGHT. */
  readonly rights: number
  /** Keys have to begin with one of them; undefined: any key will do. */
  readonly keyPrefixes: readonly string[] | undefined
  /** Its name. */
  readonly namespace: string
}

/** What one place states: a user's own entry, or a role. */
export interface AccessPart {
  /** For messages: `role "shop"`. */
  readonly place: string
  /** Undefined: it states none. */
  readonly rights: number | undefined
  readonly keyPrefixes: readonly string[] | undefined
  readonly namespace: string | undefined
}

/** Two places that contradict each other. */
export interface AccessConflict {
  readonly setting: 'rights' | 'key_prefixes' | 'namespace'
  readonly message: string
}

export interface Role {
  readonly name: string
  readonly rights: number
  readonly keyPrefixes: readonly string[] | undefined
  readonly namespace: string | undefined
}

/** Who has no entry may do everything, everywhere, as far as the server offers it at all. */
export const ACCESS_ALL: Access = {
  rights: RIGHTS_ALL,
  keyPrefixes: undefined,
  namespace: NAMESPACE_DEFAULT_NAME,
}

function builtIn(name: string, rights: number): Role {
  return { name, rights, keyPrefixes: undefined, namespace: undefined }
}

const READ_WRITE: readonly Right[] = ['read', 'write', 'delete', 'arithmetic', 'touch']

/** Roles that are there without being stated; a file cannot state them otherwise. */
export const BUILT_IN_ROLES: readonly Role[] = [
  builtIn('readonly', RIGHT.read),
  builtIn('readwrite', rightsOf(READ_WRITE)),
  builtIn('monitor', RIGHT.stats),
  builtIn('operator', rightsOf([...READ_WRITE, 'flush', 'stats', 'dump', 'watch'])),
  builtIn('admin', RIGHTS_ALL),
]

/** Limits, each with its message and its test. */
export const ROLES_MAX = 256
export const ROLES_PER_USER_MAX = 16
/** Each user of a file may have as many, and each worker keeps them; what a request costs hardly depends on it. */
export const KEY_PREFIXES_MAX = 32

export function partOfRole(role: Role): AccessPart {
  const { name, rights, keyPrefixes, namespace } = role
  return { place: `role ${JSON.stringify(name)}`, rights, keyPrefixes, namespace }
}

/** Joins what a user states and what its roles state. */
export function joinAccess(parts: readonly AccessPart[]): Access | AccessConflict {
  const bound = parts.filter(({ keyPrefixes }) => keyPrefixes !== undefined)
  const [first, second] = bound
  if (first !== undefined && second !== undefined) {
    const message = `${first.place} and ${second.place} both state key_prefixes; each would hold for the rights of the other: state them in one place`
    return { setting: 'key_prefixes', message }
  }
  const housed = parts.filter(({ namespace }) => namespace !== undefined)
  const other = housed.find(({ namespace }) => namespace !== housed[0]?.namespace)
  if (other !== undefined) {
    const message = `${housed[0]?.place} and ${other.place} state different namespaces; a user has one`
    return { setting: 'namespace', message }
  }
  const stated = parts.flatMap(({ rights }) => (rights === undefined ? [] : [rights]))
  const keyPrefixes = first?.keyPrefixes
  const joined = stated.length === 0 ? RIGHTS_ALL : stated.reduce((all, rights) => all | rights, 0)
  const beyond = keyPrefixes === undefined ? 0 : joined & RIGHTS_BEYOND_KEYS
  if (beyond !== 0 && stated.length > 0) {
    const names = namesOf(beyond).join(', ')
    const message = `${names} cannot be bound to key_prefixes, which ${first?.place} states: it is about more than keys`
    return { setting: 'rights', message }
  }
  return {
    rights: joined & ~beyond,
    keyPrefixes,
    namespace: housed[0]?.namespace ?? NAMESPACE_DEFAULT_NAME,
  }
}

export function isConflict(joined: Access | AccessConflict): joined is AccessConflict {
  return 'message' in joined
}
