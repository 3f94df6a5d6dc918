import { expect, test } from 'vitest'
import { Refusal } from '../../../src/config/kind.ts'
import { formatListenAddress, parseListenAddress } from '../../../src/config/listen.ts'
import { load, problemsOf } from './support.ts'

const TLS = ['--tls', 'true', '--tls-cert', '/c.pem', '--tls-key', '/k.pem']

test.each([
  ['10.0.0.1', '10.0.0.1', 11_211],
  ['10.0.0.1:5', '10.0.0.1', 5],
  ['localhost', 'localhost', 11_211],
  ['cache_1.example.org.:65535', 'cache_1.example.org.', 65_535],
  ['::1', '::1', 11_211],
  ['::', '::', 11_211],
  ['[::1]', '::1', 11_211],
  ['[::1]:5', '::1', 5],
  ['[fe80::1%eth0]:5', 'fe80::1%eth0', 5],
  ['fe80::1%eth0.100', 'fe80::1%eth0.100', 11_211],
  ['::ffff:10.0.0.1', '::ffff:10.0.0.1', 11_211],
  ['*', '*', 11_211],
  ['*:5', '*', 5],
  ['localhost:0', 'localhost', 0],
  ['localhost:-1', 'localhost', 0],
  ['127.0.0.1: 5', '127.0.0.1', 5],
  ['127.0.0.1:+0005', '127.0.0.1', 5],
])('-l %s is host %s and port %i', (text, host, port) => {
  expect(parseListenAddress(text, 11_211)).toEqual({ host, port })
})

test.each([
  ['notls:127.0.0.1:5', { security: 'notls' }],
  ['btls:127.0.0.1:5', { security: 'btls' }],
  [
    'mtls:proto[binary]:tag_tools_:127.0.0.1:5',
    { security: 'mtls', protocol: 'binary', tag: 'tools' },
  ],
  ['proto[ascii]:127.0.0.1:5', { protocol: 'ascii' }],
  ['proto[negotiating]:tag[a.b]:127.0.0.1:5', { protocol: 'auto', tag: 'a.b' }],
  ['tag_12345678_:127.0.0.1:5', { tag: '12345678' }],
])('-l %s has what memcached reads in front of an address', (text, traits) => {
  expect(parseListenAddress(text, 11_211)).toEqual({ host: '127.0.0.1', port: 5, ...traits })
})

test.each(['notls:::1', 'btls:[::1]:11211', 'tag_x_:::1'])('-l %s is an IPv6 address', (text) => {
  expect(parseListenAddress(text, 11_211)).toMatchObject({ host: '::1', port: 11_211 })
})

const ORDER =
  'has a prefix twice, or in the wrong place: the order is notls: or btls: or mtls:, ' +
  'then proto[NAME]:, then tag_NAME_:'

const FORM = 'is not an address: write host, host:port or [IPv6]:port'
const IPV4 = 'is not an IPv4 address: write four numbers without zeros in front'
const PORT = 'has a port that is not a whole number from 0 to 65535'

test.each([
  ['', FORM],
  ['a b', FORM],
  ['-host', FORM],
  ['host..name', FORM],
  [`${'a.'.repeat(130)}`, FORM],
  ['a:b:c', FORM],
  ['12345::1::2', FORM],
  [':5', FORM],
  ['1.2.3', IPV4],
  ['1.2.3.256', IPV4],
  ['10.0.0.010', IPV4],
  ['[1.2.3.4]:5', 'has no IPv6 address between its brackets'],
  ['[]:5', 'has no IPv6 address between its brackets'],
  ['[::1]5', FORM],
  ['host:', PORT],
  ['host:x', PORT],
  ['host:65536', PORT],
  ['host:-2', PORT],
  ['[::1]:', PORT],
  ['proto[http]:127.0.0.1', 'has a protocol that is not one of ascii, binary, negotiating'],
  ['proto[]:127.0.0.1', 'has a protocol that is not one of ascii, binary, negotiating'],
  ['proto[ascii:127.0.0.1', ORDER],
  ['tag__:127.0.0.1', 'has a tag that is not 1 to 8 characters long'],
  ['tag[123456789]:127.0.0.1', 'has a tag that is not 1 to 8 characters long'],
  ['notls:btls:127.0.0.1', ORDER],
  ['proto[ascii]:notls:127.0.0.1', ORDER],
  ['tag_x_:proto[ascii]:127.0.0.1', ORDER],
  ['tag_x_:mtls:127.0.0.1', ORDER],
  ['btls:', FORM],
  ['mtls:[1.2.3.4]:5', 'has no IPv6 address between its brackets'],
])('-l %j is refused', (text, reason) => {
  const refusal = parseListenAddress(text, 11_211)
  expect(refusal).toBeInstanceOf(Refusal)
  expect((refusal as Refusal).reason).toBe(reason)
})

test('an address is written as it is read', () => {
  for (const text of ['10.0.0.1:5', '[::1]:5', '*:11211']) {
    const address = parseListenAddress(text, 1)
    expect(address).not.toBeInstanceOf(Refusal)
    expect(formatListenAddress(address as { host: string; port: number })).toBe(text)
  }
})

test('fd:NAME is a socket that is passed at the start, with what may stand in front of an address', async () => {
  const { network, auth } = await load({
    flags: [...TLS, '-l', 'fd:web,notls:proto[ascii]:tag[in]:fd:a.socket,10.0.0.5'],
  })
  expect(network.passed).toEqual([
    { name: 'web', tls: 'none' },
    { name: 'a.socket', security: 'notls', protocol: 'ascii', tag: 'in' },
  ])
  expect(network.listen).toEqual([{ host: '10.0.0.5', port: 11_211, tls: 'none' }])
  expect(auth.passwordsInTheClear).toBe(false)
})

test('with TLS on passed sockets alone, passwords are not taken in the clear', async () => {
  const { network, auth } = await load({ flags: [...TLS, '-p', '0', '-l', 'fd:web'] })
  expect(network).toMatchObject({ listen: [], passed: [{ name: 'web', tls: 'none' }] })
  expect(auth.passwordsInTheClear).toBe(false)
})

test('an IPv6 address that begins with fd: is one', async () => {
  const { network } = await load({ flags: ['-l', 'fd::1,[fd::2]:5'] })
  expect(network.listen.map(formatListenAddress)).toEqual(['[fd::1]:11211', '[fd::2]:5'])
  expect(network.passed).toEqual([])
})

test('fd:NAME may stand for a user', async () => {
  const { network } = await load({ flags: ['--listen-as', 'alice=fd:monitor'] })
  expect(network.passed).toEqual([{ name: 'monitor', identity: 'alice' }])
})

test.each([
  [['-l', 'fd:'], 'names no socket: write fd: and its name'],
  [['-l', 'fd:a:b'], 'names no socket'],
  [['-l', `fd:${'n'.repeat(256)}`], 'names no socket'],
  [['-l', 'mtls:fd:a'], 'asks for TLS, which takes -Z'],
  [['-l', 'fd:a', '--listen-as', 'alice=fd:a'], 'is listened on already'],
])('%j is refused: %s', async (flags, reason) => {
  expect((await problemsOf({ flags })).join('\n')).toContain(reason)
})
