/**
 * Logs in at a server: which mechanism, and its messages. The order is strongest first, and a password is
 * sent as it is (PLAIN, and the `set` of memcached -Y) only where nobody but the server can read it, or
 * where the operator asked for that: what a server offers is no reason, because whoever is in between
 * offers what it likes.
 */
import type { Channel } from '../base/channel.ts'
import type { Secret } from '../config/secret.ts'
import { findScramHash } from '../credential/verifier.ts'
import { bindingData } from '../sasl/channel-binding.ts'
import { ClientError } from './client-error.ts'
import { excerpt } from './printable.ts'
import { type Binding, ScramClient, UNPROVEN } from './scram-client.ts'

export interface Login {
  /** Undefined: the server knows us by our certificate (EXTERNAL). */
  readonly user: string | undefined
  readonly password: Secret | undefined
  /** The only one to use. */
  readonly mechanism: string | undefined
  readonly allowsPlainInTheClear: boolean
}

/** What a login is done over. */
export interface LoginPipe {
  readonly channel: Channel
  readonly isPrivate: boolean
}

/** Carries the messages of SASL in a dialect. */
export interface SaslCarrier {
  start(mechanism: string, response: Uint8Array): Promise<SaslAnswer>
  step(response: Uint8Array): Promise<SaslAnswer>
}

export type SaslAnswer =
  | { readonly kind: 'challenge' | 'success'; readonly bytes: Uint8Array }
  | { readonly kind: 'failure' }

const PLUS = '-PLUS'
/** The two that are asked about by name elsewhere. */
export const PLAIN_NAME = 'PLAIN'
export const EXTERNAL_NAME = 'EXTERNAL'
const BARE_SCRAMS = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1']
const PREFERENCE: readonly string[] = [
  ...BARE_SCRAMS.map((name) => name + PLUS),
  ...BARE_SCRAMS,
  PLAIN_NAME,
]
export const CLIENT_MECHANISMS: readonly string[] = [...PREFERENCE, EXTERNAL_NAME]

const BINDING_TYPES: readonly string[] = ['tls-exporter', 'tls-server-end-point']

const IN_THE_CLEAR =
  'the password would go over the network as it is, for everybody in between to read: use --tls, or say --plain-in-the-clear'
const TO_WHOEVER_ANSWERS =
  'the password would go as it is to whoever answers, because --tls-insecure has no certificate verified: leave that out, and name the authority with --tls-ca FILE, or say --plain-in-the-clear'

/** Whether there is nothing to log in with but a certificate, which the server does not ask for. */
export function isLoginNeedless({ user, mechanism }: Login, offered: readonly string[]): boolean {
  return user === undefined && mechanism === undefined && !offered.includes(EXTERNAL_NAME)
}

/** The mechanism for a list that a server offers. Throws ClientError. */
export function chooseMechanism(offered: readonly string[], login: Login, pipe: LoginPipe): string {
  const binding = findBinding(pipe.channel)
  const mayUse = (name: string): boolean => {
    if (name === PLAIN_NAME) return maySendPassword(login, pipe)
    return !name.endsWith(PLUS) || binding !== undefined
  }
  const { mechanism } = login
  if (mechanism !== undefined) {
    if (!offered.includes(mechanism)) {
      const list = excerpt(offered.join(', ')) || 'none'
      throw new ClientError('login', `the server does not offer ${mechanism}; it offers ${list}`)
    }
    if (mechanism === PLAIN_NAME) refusePasswordInTheClear(login, pipe)
    if (!mayUse(mechanism)) {
      throw new ClientError('login', `${mechanism} needs TLS: there is nothing to bind to`)
    }
    return mechanism
  }
  if (login.user === undefined) return EXTERNAL_NAME
  const chosen = PREFERENCE.find((name) => offered.includes(name) && mayUse(name))
  if (chosen !== undefined) return chosen
  if (offered.includes(PLAIN_NAME)) {
    throw new ClientError(
      'login',
      `the server offers no login that hides the password, and ${whoWouldRead(pipe)}`,
    )
  }
  const list = excerpt(offered.join(', ')) || 'nothing'
  throw new ClientError('login', `there is no way to log in: the server offers ${list}`)
}

export function maySendPassword(login: Login, { isPrivate }: LoginPipe): boolean {
  return isPrivate || login.allowsPlainInTheClear
}

export function refusePasswordInTheClear(login: Login, pipe: LoginPipe): void {
  if (!maySendPassword(login, pipe)) throw new ClientError('login', whoWouldRead(pipe))
}

/** Of a pipe that is not private, and what to do about it. */
function whoWouldRead({ channel }: LoginPipe): string {
  return channel.kind === 'tls' ? TO_WHOEVER_ANSWERS : IN_THE_CLEAR
}

/** Throws ClientError if the server does not let us in, or does not prove itself. */
export async function logIn(
  carrier: SaslCarrier,
  offered: readonly string[],
  login: Login,
  pipe: LoginPipe,
): Promise<void> {
  const mechanism = chooseMechanism(offered, login, pipe)
  const { user = '' } = login
  const password = login.password?.reveal() ?? ''
  if (mechanism === EXTERNAL_NAME) {
    await sayOnce(carrier, mechanism, Buffer.from(user))
    return
  }
  if (mechanism === PLAIN_NAME) {
    await sayOnce(carrier, mechanism, Buffer.from(`\0${user}\0${password}`))
    return
  }
  const hash = findScramHash(mechanism.replace(/-PLUS$/, ''))
  if (hash === undefined) throw new ClientError('settings', `${mechanism} is not known here`)
  const binding = bindingFor(mechanism, offered, pipe.channel)
  const scram = new ScramClient({ hash, user, password, binding })
  let answer = await carrier.start(mechanism, scram.first)
  // server-first, and the signature as a challenge of its own or with the success.
  for (let round = 0; round < 3; round++) {
    if (answer.kind === 'failure') throw loginFailed(user)
    if (answer.kind === 'success') {
      if (!scram.isServerProven && answer.bytes.length > 0) {
        await proveOnSuccess(scram, answer.bytes)
      }
      if (!scram.isServerProven) throw new ClientError('identity', UNPROVEN)
      return
    }
    answer = await carrier.step(await scram.next(answer.bytes))
  }
  throw new ClientError('protocol', 'the login makes no sense: it does not come to an end')
}

/** A success carries text in some servers ("Authenticated"), and the signature in others. */
async function proveOnSuccess(scram: ScramClient, bytes: Uint8Array): Promise<void> {
  if (Buffer.from(bytes).toString('latin1').startsWith('v=')) await scram.next(bytes)
}

async function sayOnce(
  carrier: SaslCarrier,
  mechanism: string,
  message: Uint8Array,
): Promise<void> {
  let answer = await carrier.start(mechanism, message)
  // An empty initial response is taken for none by some: it is asked for.
  if (answer.kind === 'challenge' && answer.bytes.length === 0) answer = await carrier.step(message)
  if (answer.kind !== 'success') throw loginFailed(undefined)
}

export function loginFailed(user: string | undefined): ClientError {
  const who = user === undefined ? '' : ` as ${JSON.stringify(user)}`
  return new ClientError(
    'login',
    `the server does not let us in${who}: the user or the password is wrong, or too many logins failed lately`,
  )
}

function bindingFor(mechanism: string, offered: readonly string[], channel: Channel): Binding {
  const binding = findBinding(channel)
  if (binding === undefined) return { flag: 'n' }
  if (mechanism.endsWith(PLUS)) return binding
  // Where we name the bare mechanism although -PLUS is offered, `y` would be a lie (RFC 5802, 6).
  return { flag: offered.some((name) => name.endsWith(PLUS)) ? 'n' : 'y' }
}

function findBinding(channel: Channel): Binding | undefined {
  for (const type of BINDING_TYPES) {
    const data = bindingData(channel, type)
    if (data !== undefined) return { flag: 'p', type, data }
  }
  return undefined
}
