/**
 * Who a connection is after a successful login, and what that allows. Principals are made here alone,
 * whatever has vouched for them; mechanisms, sessions and the gate only pass them on.
 */

/** What vouched for a name: so far always the users' files and the environment. */
export type PrincipalOrigin = 'users'

/** Every right, also those that are yet to be named: a bit for each. */
export const RIGHTS_ALL = -1

/** The one namespace that there is. */
export const NAMESPACE_DEFAULT = 0

/** `expiresAt` of who may stay for as long as the connection lasts. */
export const NEVER: number = Number.POSITIVE_INFINITY

export interface Principal {
  /** Prepared (SASLprep). */
  readonly name: string
  readonly origin: PrincipalOrigin
  /** Bits, so that one test tells whether a verb is allowed. */
  readonly rights: number
  readonly namespace: number
  /** Seconds since 1970 by the server's clock, or NEVER. */
  readonly expiresAt: number
}

/** The principal of a user of the credential store. */
export function userPrincipal(name: string): Principal {
  return {
    name,
    origin: 'users',
    rights: RIGHTS_ALL,
    namespace: NAMESPACE_DEFAULT,
    expiresAt: NEVER,
  }
}
