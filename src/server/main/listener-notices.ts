/**
 * What a listener is, said at the start: whom it serves, and what it means where it is not encrypted.
 */
import type { Config } from '../../config/config.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'
import { findMechanism } from '../../sasl/mechanisms.ts'
import { isLocalAddress, type SharedSocket } from '../net/shared-socket.ts'
import type { Say } from './say.ts'

/** What the audit says of a listener that speaks TLS. */
const CLIENT_CERTIFICATES = {
  none: 'no client certificates',
  request: 'client certificates if there are',
  require: 'client certificates required',
  once: 'client certificates required',
} as const

/** What the audit says of a listener at the start. */
export function listenerEvent({ address, tls, identity }: SharedSocket): AuditEvent {
  return {
    event: 'listener',
    address: address.text,
    family: address.family,
    port: address.port,
    tls: tls === undefined ? 'none' : CLIENT_CERTIFICATES[tls],
    identity,
  }
}

export function sayListening(socket: SharedSocket, say: Say): void {
  const { address, identity, tls, protocol, tag } = socket
  const isAsGiven = address.given === address.text
  const shown = isAsGiven ? address.text : `${address.given} (${address.text})`
  say('info', 'listening', `listening on ${shown}${tls === undefined ? '' : ', with TLS'}`, {
    address: address.text,
    given: isAsGiven ? undefined : address.given,
    family: address.family,
    port: address.port === 0 ? undefined : address.port,
    as_user: identity,
    client_certificates: tls,
    protocol,
    tag,
  })
}

/** Says of listeners that others can listen to what that means. */
export function warnAboutClear(sockets: readonly SharedSocket[], config: Config, say: Say): void {
  const { required, passwordsInTheClear, mechanisms } = config.auth
  const exposed = sockets.filter(
    (socket) => socket.tls === undefined && !isLocalAddress(socket.address),
  )
  const addresses = exposed.map(({ address }) => address.text)
  if (config.tls !== undefined && passwordsInTheClear) {
    say(
      'warn',
      'passwords_in_the_clear',
      '--plain-in-the-clear: PASSWORDS ARE TAKEN UNENCRYPTED although there is TLS; whoever can listen to the network has them',
    )
  }
  if (addresses.length === 0) return
  const fields = { addresses: addresses.join(', ') }
  const where = `in the clear on ${addresses.join(', ')}`
  if (!required || (passwordsInTheClear && mechanisms.some(sendsPassword))) {
    const what = required ? 'passwords that are sent as they are, and all data' : 'all data'
    const message = `${where}: whoever can listen to the network reads ${what}; use TLS (-Z)`
    say('warn', 'listening_in_the_clear', message, fields)
    return
  }
  if (!mechanisms.some(isScram)) {
    const message = `${where}: nobody can log in there from another machine, because passwords are only taken over TLS; add SCRAM to --mechanisms`
    say('warn', 'listening_in_the_clear', message, fields)
    return
  }
  const message = `${where}: passwords are not taken there from other machines (SCRAM is), and whoever can listen to the network reads all data`
  say('warn', 'listening_in_the_clear', message, fields)
}

function sendsPassword(name: string): boolean {
  return findMechanism(name)?.sendsPassword === true
}

/** All others are taken nowhere but over TLS: they send what is as good as a password, or take a certificate. */
function isScram(name: string): boolean {
  return findMechanism(name)?.hash !== undefined
}
