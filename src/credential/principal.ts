/**
 * Who a connection is after a successful login, and what that allows. Principals are made here alone,
 * whatever has vouched for them; mechanisms, sessions and the gate only pass them on.
 */
import type { KeyPrefixes } from './key-prefixes.ts'
import { RIGHTS_ALL } from './rights.ts'

/** What vouched for a name: a password, a certificate, a signed token, or where a connection came in. */
export type PrincipalOrigin = 'users' | 'certificate' | 'token' | 'listener'

/** The namespace of whoever has no other: its number, and its name. */
export const NAMESPACE_DEFAULT = 0
export const NAMESPACE_DEFAULT_NAME = 'default'

/** `expiresAt` of who may stay for as long as the connection lasts. */
export const NEVER: number = Number.POSITIVE_INFINITY

export interface Principal {
  /** Prepared (SASLprep). */
  readonly name: string
  readonly origin: PrincipalOrigin
  /** Bits of RIGHT. */
  readonly rights: number
  /** Keys have to begin with one of them; undefined: any key will do. */
  readonly keyPrefixes: KeyPrefixes | undefined
  /** The number of the namespace whose items it sees. */
  readonly namespace: number
  /** Roles that came with the login, in the place of what the users file says of the name. */
  readonly roles: readonly string[] | undefined
  /** Seconds since 1970 by the server's clock, or NEVER. */
  readonly expiresAt: number
}

/** An Access, in the form in which requests are held against it. */
export interface Grant {
  readonly rights: number
  readonly keyPrefixes: KeyPrefixes | undefined
  readonly namespace: number
}

export const GRANT_ALL: Grant = {
  rights: RIGHTS_ALL,
  keyPrefixes: undefined,
  namespace: NAMESPACE_DEFAULT,
}

/** The principal of a user of the credential store. */
export function userPrincipal(
  name: string,
  grant: Grant = GRANT_ALL,
  origin: PrincipalOrigin = 'users',
  expiresAt: number = NEVER,
): Principal {
  const { rights, keyPrefixes, namespace } = grant
  return { name, origin, rights, keyPrefixes, namespace, roles: undefined, expiresAt }
}

/** The principal of a name that is no user, with what its roles grant. */
export function rolePrincipal(
  name: string,
  grant: Grant,
  origin: PrincipalOrigin,
  roles: readonly string[],
  expiresAt: number,
): Principal {
  return { ...userPrincipal(name, grant, origin, expiresAt), roles }
}
