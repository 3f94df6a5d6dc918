/**
 * Who is told what a route tells.
 *
 * Invariant: a route that takes a right is answered to who is known to have it, or where nobody is asked
 * and only this machine can ask, or the operator has said that it is for all.
 */
import type { Pipe } from '../../base/pipe.ts'
import { unreachable } from '../../base/unreachable.ts'
import type { Right } from '../../credential/rights.ts'
import { type Asked, refusal } from './asked.ts'
import type { BasicLogin, LoginVerdict } from './basic-login.ts'
import { isMeantForUs } from './host-guard.ts'
import type { Route, RouteAnswer } from './route.ts'

const STATUS_UNAUTHORIZED = 401
const STATUS_FORBIDDEN = 403
const STATUS_MISDIRECTED = 421

const CHALLENGE = 'Basic realm="saslcached", charset="UTF-8"'

export interface HttpAccessOptions {
  /** Undefined where nobody is asked who they are. */
  readonly login: Pick<BasicLogin, 'check'> | undefined
  /** Metrics are for whoever reaches the port. */
  readonly isOpen: boolean
  /** Names that the server may be asked by. */
  readonly hostNames: readonly string[]
}

/** Who is at the other end of a connection: a login that waits holds this, and not the connection. */
export interface HttpClient extends Pipe {
  /** Nobody else on a network reaches the address that it came to. */
  readonly isLocal: boolean
}

export interface HttpAccess {
  /** See RouteRequest. */
  readonly seesAll: boolean
  readonly refusal: RouteAnswer | undefined
}

const FULL_ACCESS: HttpAccess = { seesAll: true, refusal: undefined }

/** What `route` answers to this client. */
export async function accessTo(
  route: Route,
  asked: Asked,
  client: HttpClient,
  options: HttpAccessOptions,
): Promise<HttpAccess> {
  if (route.right === undefined) return FULL_ACCESS
  const { login } = options
  if (login === undefined) {
    return { seesAll: true, refusal: refuseStranger(asked, client, options) }
  }
  const { right, tellsOfAll = false } = route
  // What a browser remembers of this server's password goes to the name that it was given for.
  const outcome = await login.check(asked.authorization, client, right)
  if (outcome === 'allowed') return FULL_ACCESS
  if (outcome === 'allowed-own' && !tellsOfAll) return { seesAll: false, refusal: undefined }
  return { seesAll: false, refusal: refusalOf(outcome, right) }
}

/** Where there is no login. */
function refuseStranger(
  { host }: Asked,
  { isLocal }: HttpClient,
  { isOpen, hostNames }: HttpAccessOptions,
): RouteAnswer | undefined {
  if (!isLocal && !isOpen) {
    return refusal(
      STATUS_FORBIDDEN,
      'On an address that others reach, this takes a login (--http-auth) or an operator who wants no login (--http-open).',
    )
  }
  if (isMeantForUs(host, hostNames)) return undefined
  return refusal(STATUS_MISDIRECTED, 'This server does not go by that name (--http-host).')
}

/** What is answered to who may not be told what they ask for. */
function refusalOf(outcome: LoginVerdict, right: Right): RouteAnswer {
  switch (outcome) {
    case 'allowed':
    case 'allowed-own':
      return refusal(
        STATUS_FORBIDDEN,
        'This tells of all namespaces: it takes a user with the right admin.',
      )
    case 'denied':
      return refusal(STATUS_FORBIDDEN, `This takes a user with the right ${right} over everything.`)
    case 'unknown':
    case 'refused': {
      // As on every listener, a connection that guesses is not kept.
      const close = outcome === 'refused' ? { connection: 'close' } : {}
      const headers = { 'www-authenticate': CHALLENGE, ...close }
      return { ...refusal(STATUS_UNAUTHORIZED, 'This takes a login.'), headers }
    }
    default:
      return unreachable(outcome)
  }
}
