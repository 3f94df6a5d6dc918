/** What the options of TLS mean together, and which of them contradict each other. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { load, makeDirectory, problemsOf } from './support.ts'

const PAIR = ['--tls-cert', '/c.pem', '--tls-key', '/k.pem']
const ON = ['--tls', 'true', ...PAIR]
const CA = ['--tls-ca', '/ca.pem']
const ASKING = [...ON, ...CA, '--tls-verify', 'request']

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

test('a key may be in the file of its certificate, and one password be that of all keys', async () => {
  const certificates = ['--tls', 'true', '--tls-cert', '/c.pem', '--tls-cert', '/d.pem']
  const { tls } = await load({ flags: [...certificates, '--tls-key-password-file', '/p'] })
  expect(tls?.pairs).toEqual([
    { certificateFile: '/c.pem', keyFile: '/c.pem', keyPasswordFile: '/p' },
    { certificateFile: '/d.pem', keyFile: '/d.pem', keyPasswordFile: '/p' },
  ])
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
  [
    ['--tls', 'true'],
    [
      '--tls: needs a certificate: --tls-cert FILE and --tls-key FILE; "saslcached tls self-signed" makes both, to try',
    ],
  ],
  [
    [...ON, '--tls-cert', '/d.pem'],
    ['--tls-cert: takes a key for each certificate, --tls-key FILE; there are 2 and 1'],
  ],
  [
    [...ON, '--tls-key-password-file', '/p', '--tls-key-password-file', '/q'],
    ['--tls-key-password-file: takes one file for all keys, or one for each; there are 2 for 1'],
  ],
  [
    [...ON, '--tls-crl', '/crl.pem'],
    ['--tls-crl: is about certificates of clients, which takes --tls-ca FILE'],
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
    [
      '--tls-verify: asks for client certificates, which takes --tls-ca FILE: without it every client would be refused',
    ],
  ],
  [
    [...ON, '-l', 'mtls:127.0.0.1'],
    [
      '-l: asks for client certificates, which takes --tls-ca FILE: without it every client would be refused',
    ],
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

test('EXTERNAL comes with what names the user in a certificate, before all others if it is not listed', async () => {
  const mechanismsOf = async (...flags: string[]): Promise<readonly string[]> => {
    const { auth } = await load({ flags: [...ASKING, ...flags] })
    expect(auth.certificateField).toBe(flags[1])
    return auth.mechanisms
  }
  expect(await mechanismsOf('--tls-user-from', 'cn')).toEqual([
    'EXTERNAL',
    'SCRAM-SHA-256',
    'SCRAM-SHA-1',
    'PLAIN',
  ])
  const listed = ['--mechanisms', 'SCRAM-SHA-1,external,PLAIN']
  expect(await mechanismsOf('--tls-user-from', 'uri', ...listed)).toEqual([
    'SCRAM-SHA-1',
    'EXTERNAL',
    'PLAIN',
  ])
  const alone = ['--mechanisms', 'EXTERNAL']
  expect(await mechanismsOf('--tls-user-from', 'dns', ...alone)).toEqual(['EXTERNAL'])
})

test('EXTERNAL without that, or beside PLAIN alone, is refused, and -PLUS is not to be chosen', async () => {
  expect(await problemsOf({ flags: ['--mechanisms', 'EXTERNAL,SCRAM-SHA-1'] })).toEqual([
    '--mechanisms: has EXTERNAL; say with --tls-user-from what of a certificate is the user',
  ])
  const besidePlain =
    '--tls-user-from: takes a SCRAM in --mechanisms, or no PLAIN: libsasl2 prefers EXTERNAL to PLAIN even where it has no certificate'
  for (const list of ['PLAIN', 'EXTERNAL,PLAIN']) {
    const flags = [...ASKING, '--tls-user-from', 'cn', '--mechanisms', list]
    expect(await problemsOf({ flags })).toEqual([besidePlain])
  }
  expect(await problemsOf({ flags: ['--mechanisms', 'PLAIN,scram-sha-1-plus'] })).toEqual([
    '--mechanisms: SCRAM-SHA-1-PLUS cannot be chosen: it stands beside SCRAM-SHA-1 wherever there is TLS',
  ])
  const [problem] = await problemsOf({ flags: ['--mechanisms', 'PLAIN-PLUS-PLUS'] })
  expect(problem).toContain('"PLAIN-PLUS-PLUS" has a mechanism that is not one of')
  expect(await problemsOf({ flags: ['--tls-user-from', 'ou'] })).toEqual([
    '--tls-user-from: "ou" is not one of off, cn, dns, email, uri',
  ])
})

test('a user out of a certificate takes a listener that asks for one', async () => {
  const flags = ['--tls-user-from', 'cn']
  expect(await problemsOf({ flags })).toEqual(['--tls-user-from: takes TLS: add -Z'])
  const unasked = ['--tls-user-from: takes client certificates: --tls-verify request']
  expect(await problemsOf({ flags: [...ON, ...CA, ...flags] })).toEqual(unasked)
  const listen = ['-l', 'btls:127.0.0.1:1']
  expect(await problemsOf({ flags: [...ASKING, ...flags, ...listen] })).toEqual(unasked)
  const { auth } = await load({ flags: [...ON, ...CA, ...flags, '-l', 'mtls:127.0.0.1:1'] })
  expect(auth.certificateField).toBe('cn')
})
