/** What the log says at the start of listeners that others can listen to. */
import { expect, test } from 'vitest'
import { warnAboutClear } from '../../../../src/server/main/listener-notices.ts'
import type { SharedSocket } from '../../../../src/server/net/shared-socket.ts'
import { load } from '../../config/support.ts'

const TLS = ['--tls', 'true', '--tls-cert', '/c.pem', '--tls-key', '/k.pem']

function socket(text: string, tls?: 'none'): SharedSocket {
  const family = text.startsWith('/') ? 'unix' : text.startsWith('[') ? 'IPv6' : 'IPv4'
  return { fd: 0, address: { text, given: text, family, port: 1, isDualStack: false }, tls }
}

async function warningsOf(sockets: readonly SharedSocket[], ...flags: string[]): Promise<string[]> {
  const warnings: string[] = []
  warnAboutClear(sockets, await load({ flags }), (_, event, message, fields) => {
    warnings.push(`${event} ${fields?.addresses ?? ''}: ${message}`)
  })
  return warnings
}

test('loopback, Unix sockets and TLS are not warned about', async () => {
  const sockets = [socket('127.0.0.1:1'), socket('[::1]:1'), socket('/run/a.sock')]
  expect(await warningsOf([...sockets, socket('0.0.0.0:1', 'none')], ...TLS)).toEqual([])
})

test.each<[string[], RegExp]>([
  [[], /reads passwords that are sent as they are, and all data; use TLS/],
  [['--no-auth', 'true'], /reads all data; use TLS/],
  [['--mechanisms', 'SCRAM-SHA-256'], /passwords are not taken there .*reads all data/],
  [TLS, /passwords are not taken there .*reads all data/],
  [[...TLS, '--mechanisms', 'PLAIN'], /nobody can log in there from another machine/],
])('with %j others are told of by address, and what they would read', async (flags, told) => {
  const sockets = [socket('127.0.0.1:1'), socket('0.0.0.0:2'), socket('[::]:3')]
  const [warning, ...more] = await warningsOf(sockets, ...flags)
  expect(warning).toMatch(/^listening_in_the_clear 0\.0\.0\.0:2, \[::\]:3: /)
  expect(warning).toMatch(told)
  expect(more).toEqual([])
})

test('passwords in the clear beside TLS are said at every start, wherever it listens', async () => {
  const [warning] = await warningsOf(
    [socket('127.0.0.1:1')],
    ...TLS,
    '--plain-in-the-clear',
    'true',
  )
  expect(warning).toMatch(/^passwords_in_the_clear .*PASSWORDS ARE TAKEN UNENCRYPTED/)
})
