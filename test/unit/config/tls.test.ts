/** What the options of TLS mean together, and which of them contradict each other. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { load, makeDirectory, problemsOf } from './support.ts'

const PAIR = ['--tls-cert', '/c.pem', '--tls-key', '/k.pem']
const ON = ['--tls', 'true', ...PAIR]
const CA = ['--tls-ca', '/ca.pem']

test('without -Z there is no TLS, and a password may come in the clear', async () => {
  const { tls, auth, network } = await load({})
  expect(tls).toBeUndefined()
  expect(auth.passwordsInTheClear).toBe(true)
  expect(network.listen).toEqual([{ host: '*', port: 11_211 }])
})

test('-Z speaks TLS everywhere, and takes no password in the clear', async () => {
  const { tls, auth, network } = await load({ flags: ON })
  expect(tls).toEqual({
    pairs: [{ certificateFile: '/c.pem', keyFile: '/k.pem' }],
    caFile: undefined,
    minVersion: '1.2',
    ciphers: undefined,
    verify: 'none',
  })
  expect(auth.passwordsInTheClear).toBe(false)
  expect(network.listen).toEqual([{ host: '*', port: 11_211, tls: 'none' }])
})

test('each listener is what is written in front of it, or as all others', async () => {
  const listen = 'notls:127.0.0.1:1,btls:127.0.0.1:2,mtls:127.0.0.1:3,127.0.0.1:4'
  const flags = [...ON, ...CA, '--tls-verify', 'request', '-l', listen]
  const { network } = await load({ flags })
  expect(network.listen.map(({ tls }) => tls)).toEqual([undefined, 'none', 'require', 'request'])
})

test("memcached's suboptions say the same as our own words", async () => {
  const suboptions =
    'ssl_chain_cert=/c.pem,ssl_key=/k.pem,ssl_ca_cert=/ca.pem,ssl_verify_mode=3,' +
    'ssl_ciphers=HIGH,ssl_min_version=3,ssl_session_cache,ssl_wbuf_size=32'
  const theirs = await load({ flags: ['--tls', 'true', '-o', suboptions] })
  const ours = await load({
    flags: [
      ...[...ON, ...CA, '--tls-verify', 'once', '--tls-ciphers', 'HIGH'],
      ...['--tls-min-version', '1.3'],
    ],
  })
  expect(theirs.tls).toEqual(ours.tls)
  expect(theirs.network).toEqual(ours.network)
})

test.each([
  ['0', '1.2'],
  ['1', '1.2'],
  ['2', '1.2'],
  ['3', '1.3'],
])('-o ssl_min_version=%s is TLS %s: what is older is not spoken', async (number, version) => {
  const { tls } = await load({ flags: [...ON, '-o', `ssl_min_version=${number}`] })
  expect(tls?.minVersion).toBe(version)
})

test('the file has a table of its own, whose paths belong to its directory', async () => {
  const directory = makeDirectory()
  const toml = '[tls]\ntls = true\ntls_cert = ["c.pem", "d.pem"]\ntls_key = ["k.pem", "l.pem"]\n'
  const { tls } = await load({ directory, toml: `${toml}tls_min_version = 1.3\n` })
  expect(tls?.pairs).toEqual([
    { certificateFile: join(directory, 'c.pem'), keyFile: join(directory, 'k.pem') },
    { certificateFile: join(directory, 'd.pem'), keyFile: join(directory, 'l.pem') },
  ])
  expect(tls?.minVersion).toBe('1.3')
})

test('variables say the same', async () => {
  const environment = {
    SASLCACHED_TLS: 'yes',
    SASLCACHED_TLS_CERT: '/c.pem',
    SASLCACHED_TLS_KEY: '/k.pem',
    SASLCACHED_PLAIN_IN_THE_CLEAR: 'true',
  }
  const { tls, auth } = await load({ environment })
  expect(tls?.pairs).toEqual([{ certificateFile: '/c.pem', keyFile: '/k.pem' }])
  expect(auth.passwordsInTheClear).toBe(true)
})

test('--require-tls holds without TLS of our own: a tunnel on this machine may have it', async () => {
  const { tls, auth } = await load({ flags: ['--require-tls', 'true'] })
  expect(tls).toBeUndefined()
  expect(auth.passwordsInTheClear).toBe(false)
})

test('a Unix socket is not encrypted, and says so', async () => {
  const { tls, notices } = await load({ flags: [...ON, '-s', '/tmp/s'] })
  expect(tls).toBeUndefined()
  expect(notices).toEqual(['--tls has no effect: a Unix socket is not encrypted'])
})

test.each([
  [['--tls', 'true'], ['--tls: needs a certificate: --tls-cert FILE and --tls-key FILE']],
  [
    ['--tls', 'true', '--tls-cert', '/c.pem'],
    ['--tls-cert: takes a key for each certificate, --tls-key FILE; there are 1 and 0'],
  ],
  [
    [...ON, '--tls-key', '/l.pem'],
    ['--tls-key: takes a key for each certificate, --tls-key FILE; there are 1 and 2'],
  ],
  [PAIR, ['--tls-cert: takes TLS: add -Z', '--tls-key: takes TLS: add -Z']],
  [['-o', 'ssl_verify_mode=2'], ['-o ssl_verify_mode: takes TLS: add -Z']],
  [['-l', 'btls:127.0.0.1'], ['-l: "btls:127.0.0.1" asks for TLS, which takes -Z']],
  [['-l', 'mtls:127.0.0.1'], ['-l: "mtls:127.0.0.1" asks for TLS, which takes -Z']],
  [[...ON, '-l', 'notls:127.0.0.1'], ['--tls: is on, and every address of -l is marked notls:']],
  [
    [...ON, '--tls-verify', 'require'],
    ['--tls-verify: asks for client certificates, which takes --tls-ca FILE'],
  ],
  [
    [...ON, '-l', 'mtls:127.0.0.1'],
    ['-l: asks for client certificates, which takes --tls-ca FILE'],
  ],
  [
    [...ON, '--require-tls', 'true', '--plain-in-the-clear', 'true'],
    ['--plain-in-the-clear: contradicts --require-tls'],
  ],
  [
    [...ON, '--tls-min-version', '1.1'],
    ['--tls-min-version: "1.1" is broken, and not spoken here; use 1.2 or 1.3'],
  ],
])('%j contradicts itself', async (flags, problems) => {
  expect(await problemsOf({ flags })).toEqual(problems)
})

test('a contradiction in a file is told with its line', async () => {
  const toml = '[network]\nlisten = ["btls:127.0.0.1"]\n\n[tls]\ntls_cert = ["c.pem"]\n'
  expect(await problemsOf({ toml })).toEqual([
    'saslcached.toml:2: "btls:127.0.0.1" asks for TLS, which takes -Z',
    'saslcached.toml:5: takes TLS: add -Z',
  ])
})
