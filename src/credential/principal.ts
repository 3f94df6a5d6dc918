/**
 * Who a connection is after a successful login, and what that allows. Principals are made here alone,
 * whatever has vouched for them; mechanisms, sessions and the gate only pass them on.
 */

import { RIGHTS_ALL } from './rights.ts'

/** What vouched for a name: a password, a certificate, a signed token, or where a connection came in. */
export type PrincipalOrigin = 'users' | 'certificate' | 'token' | 'listener'

/** The namespace of whoever has no other. */
export const NAMESPACE_DEFAULT = 0

/** `expiresAt` of who may stay for as long as the connection lasts. */
export const NEVER: number = Number.POSITIVE_INFINITY

export interface Principal {
  /** Prepared (SASLprep). */
  readonly name: string
  readonly origin: PrincipalOrigin
  /** Bits of RIGHT. */
  readonly rights: number
  /** Index of the namespace whose items it sees. */
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
