/**
 * Opens a session: connects, finds out what the server speaks, and logs in.
 *
 * The first question is one that text servers of every sort answer without a login, and harmlessly:
 *
 *   sasl mech, version, version
 *
 *   SASL_MECH <list>               saslcached: SASL over text
 *   NOT_SUPPORTED, or ERROR        no logins there; the versions follow
 *   CLIENT_ERROR unauthenticated   memcached -Y: login by `set`; it drops what came with the question
 *   closed without a word          the binary dialect alone (memcached -S): again, in binary
 *
 * It has more than the 24 bytes of a binary header, for which a binary server would wait.
 */
import { unreachable } from '../base/unreachable.ts'
import { BinarySession } from './binary-session.ts'
import { ClientError } from './client-error.ts'
import { type ClientPipe, openPipe, type PipeTarget } from './client-pipe.ts'
import {
  isLoginNeedless,
  type Login,
  logIn,
  loginFailed,
  PLAIN_NAME,
  refusePasswordInTheClear,
} from './login.ts'
import { excerpt } from './printable.ts'
import type { Session } from './session.ts'
import { TextSession } from './text-session.ts'
import { Wire } from './wire.ts'

export interface SessionTarget extends PipeTarget {
  /** Undefined: nobody logs in. */
  readonly login: Login | undefined
}

const QUESTION = 'sasl mech\r\nversion\r\nversion\r\n'
const NO_LOGINS =
  'the server takes no logins, so it cannot be known to be the right one: leave the user out to go on without'

/** Throws ClientError. */
export async function openSession(target: SessionTarget): Promise<Session> {
  const pipe = await openPipe(target)
  const wire = new Wire(pipe.socket, target.timeoutMs)
  try {
    const offer = await readOffer(wire)
    if (offer !== undefined) return await logInOverText(wire, offer, target, pipe)
  } catch (error) {
    wire.close()
    throw error
  }
  return await openBinary(target)
}

type Offer =
  | { readonly kind: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly kind: 'set' }
  | { readonly kind: 'open' }

/** What a text server answers to the question; undefined of one that is none. */
async function readOffer(wire: Wire): Promise<Offer | undefined> {
  wire.write(QUESTION)
  const deadlineMs = wire.deadline()
  let first: string
  try {
    first = await wire.line(deadlineMs)
  } catch (error) {
    if (wire.wasClosedUnheard) return undefined
    throw error
  }
  const offer = parseOffer(first)
  if (offer === undefined) throw wire.nonsense(`"${excerpt(first)}"`)
  if (offer.kind === 'set') return offer
  await wire.line(deadlineMs)
  await wire.line(deadlineMs)
  return offer
}

function parseOffer(line: string): Offer | undefined {
  if (line.startsWith('SASL_MECH')) {
    return { kind: 'sasl', mechanisms: line.split(' ').slice(1).filter(Boolean) }
  }
  if (line === 'CLIENT_ERROR unauthenticated') return { kind: 'set' }
  if (/too many open connections/i.test(line)) {
    throw new ClientError('unreachable', 'the server has too many connections')
  }
  return line === 'ERROR' || line === 'NOT_SUPPORTED' ? { kind: 'open' } : undefined
}

async function logInOverText(
  wire: Wire,
  offer: Offer,
  { login }: SessionTarget,
  pipe: ClientPipe,
): Promise<Session> {
  const session = new TextSession(wire)
  const offered = offer.kind === 'sasl' ? offer.mechanisms : []
  if (login === undefined || isLoginNeedless(login, offered)) return session
  switch (offer.kind) {
    case 'open':
      throw new ClientError('login', NO_LOGINS)
    case 'sasl':
      await logIn(session, offer.mechanisms, login, pipe)
      session.isLoggedIn = true
      return session
    case 'set': {
      const { user = '', password, mechanism } = login
      if (mechanism !== undefined && mechanism !== PLAIN_NAME) {
        const message = `the server offers no ${mechanism}: it takes the password itself`
        throw new ClientError('login', message)
      }
      if (user === '' || user.includes(' ')) {
        const message = 'the server takes a user name without blanks: give --user'
        throw new ClientError('login', message)
      }
      refusePasswordInTheClear(login, pipe)
      if (!(await session.logInBySet(user, password?.reveal() ?? ''))) throw loginFailed(user)
      session.isLoggedIn = true
      return session
    }
    default:
      return unreachable(offer)
  }
}

async function openBinary(target: SessionTarget): Promise<Session> {
  const pipe = await openPipe(target)
  const wire = new Wire(pipe.socket, target.timeoutMs)
  const session = new BinarySession(wire)
  try {
    const offered = await session.mechanisms()
    const { login } = target
    if (login === undefined || isLoginNeedless(login, offered ?? [])) return session
    if (offered === undefined) throw new ClientError('login', NO_LOGINS)
    await logIn(session, offered, login, pipe)
    session.isLoggedIn = true
    return session
  } catch (error) {
    wire.close()
    if (wire.wasClosedUnheard && target.tls === undefined && 'host' in target.address) {
      const message =
        'the server closes the connection without a word: if it speaks TLS, give --tls'
      throw new ClientError('unreachable', message, { cause: error })
    }
    throw error
  }
}
