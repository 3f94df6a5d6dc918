import { join } from 'node:path'
import { expect, test } from 'vitest'
import { load, makeDirectory, problemsOf } from './support.ts'

const OPEN = ['--no-auth', 'true']
const TLS = ['--tls', 'true', '--tls-cert', '/c.pem', '--tls-key', '/k.pem']
const LOGIN = ['--http-auth', 'true']

function flagsOf(...addresses: readonly string[]): readonly string[] {
  return addresses.flatMap((address) => ['--http', address])
}

test('nobody is answered over HTTP unless asked for', async () => {
  expect((await load({ flags: OPEN })).http).toBe(undefined)
})

test.each([
  ['9150', { host: '127.0.0.1', port: 9150 }],
  ['-1', { host: '127.0.0.1', port: 0 }],
  ['0.0.0.0:9150', { host: '0.0.0.0', port: 9150 }],
  ['[::1]:9150', { host: '::1', port: 9150 }],
  ['*:9150', { host: '*', port: 9150 }],
  ['localhost:0', { host: 'localhost', port: 0 }],
])('--http %s', async (text, address) => {
  const { http } = await load({ flags: [...OPEN, ...flagsOf(text)] })
  expect(http?.listen).toMatchObject([address])
  expect(http?.sockets).toEqual([])
})

test('what has a slash is the path of a socket, relative to the file that names it', async () => {
  const directory = makeDirectory()
  const toml = '[http]\nhttp = ["./h.sock", "/run/h.sock"]\n'
  const { http } = await load({ directory, flags: OPEN, toml })
  expect(http?.sockets).toEqual([join(directory, 'h.sock'), '/run/h.sock'])
  expect(http?.listen).toEqual([])
})

test.each([
  ['a', 'has no port: write a:9150'],
  ['10.0.0.1', 'has no port: write 10.0.0.1:9150'],
  ['mtls:0.0.0.0:1', 'asks for certificates of clients, which HTTP does not do here: use btls:'],
  ['proto[ascii]:a:1', 'has a prefix that is not about HTTP: there are notls: and btls:'],
  ['tag[x]:a:1', 'has a prefix that is not about HTTP: there are notls: and btls:'],
  ['btls:127.0.0.1:1', 'asks for TLS, which takes -Z'],
  [`/${'x'.repeat(107)}`, 'is longer than 107 bytes, which no socket can be'],
])('--http %s is refused', async (text, what) => {
  expect(await problemsOf({ flags: [...OPEN, ...flagsOf(text)] })).toEqual([
    `--http: ${JSON.stringify(text)} ${what}`,
  ])
})

test('ports that cannot be are refused', async () => {
  for (const text of ['65536', '127.0.0.1:65536', ':', 'a:b', '[::1', '']) {
    const problems = await problemsOf({ flags: [...OPEN, ...flagsOf(text)] })
    expect([text, problems]).toEqual([text, [expect.stringMatching(/^--http: ".*" /)]])
  }
})

test('an address is listed once, and a port that the system picks as often as asked', async () => {
  const twice = [...OPEN, ...flagsOf('9150', '127.0.0.1:9150', '/h.sock', '/../h.sock')]
  expect(await problemsOf({ flags: twice })).toEqual([
    '--http: "/h.sock" is listed twice',
    '--http: "127.0.0.1:9150" is listed twice',
  ])
  const { http } = await load({ flags: [...OPEN, ...flagsOf('-1', '-1')] })
  expect(http?.listen).toHaveLength(2)
})

test.each([
  [['--http', '11211'], '"127.0.0.1:11211" is where clients of the cache connect, *:11211'],
  [['-l', '127.0.0.1', '--http', '11211'], 'connect, 127.0.0.1:11211: take another port'],
  [['-l', '127.0.0.1', '--http', '*:11211'], '"*:11211" is where clients'],
  [['-l', '[::0]', '--http', '[::1]:11211'], 'connect, [::0]:11211'],
  [['-l', 'localhost', '--http', 'LOCALHOST:11211'], 'connect, localhost:11211'],
  [['--listen-as', 'm=127.0.0.1:9150', '--http', '9150'], 'connect, 127.0.0.1:9150'],
  [['-s', '/run/a', '--http', '/run/a'], '"/run/a" is where clients of the cache connect'],
  [['--listen-as', 'm=/run/a', '--http', '/run/a'], '"/run/a" is where clients of the cache'],
  [['--http', '9150', '--http', '0.0.0.0:9150'], '"0.0.0.0:9150" is listed twice'],
])('%j is refused: the server itself listens there', async (flags, what) => {
  expect(await problemsOf({ flags })).toEqual([expect.stringContaining(what)])
})

test.each([
  [['-s', '/run/a', '--http', '11211'], {}],
  [['-l', '127.0.0.2', '--http', '11211'], {}],
  [['-l', '[::]', '--http', '11211'], {}],
  [['--http', '11211'], { LISTEN_FDS: '1' }],
])('%j is taken, with %j: nothing known listens there', async (flags, environment) => {
  expect((await load({ flags, environment })).http?.listen).toHaveLength(1)
})

test('with certificates, what others reach speaks TLS, and this machine need not', async () => {
  const addresses = [
    '127.0.0.1:1',
    '[::1]:2',
    'localhost:3',
    '10.0.0.1:4',
    '*:5',
    'cache.example:6',
  ]
  const { http } = await load({ flags: [...TLS, ...flagsOf(...addresses)] })
  expect(http?.listen.map(({ tls }) => tls)).toEqual([
    ...[undefined, undefined, undefined],
    ...['none', 'none', 'none'],
  ])
  const forced = await load({ flags: [...TLS, ...flagsOf('btls:127.0.0.1:1', 'notls:*:2')] })
  expect(forced.http?.listen.map(({ tls }) => tls)).toEqual(['none', undefined])
})

test('nobody is asked for a password where others could read it', async () => {
  const asks = (...flags: readonly string[]) => problemsOf({ flags: [...LOGIN, ...flags] })
  const exposed = (text: string, how: string): string =>
    `--http-auth: asks for passwords on ${text}, where others could read them: ${how}`
  expect(await asks(...flagsOf('0.0.0.0:1'))).toEqual([exposed('0.0.0.0:1', 'with -Z')])
  expect(await asks(...TLS, ...flagsOf('notls:*:1'))).toEqual([
    exposed('notls:*:1', 'without notls:'),
  ])
  const safe = flagsOf('127.0.0.1:1', '[::1]:2', '/h.sock')
  expect((await load({ flags: [...LOGIN, ...safe] })).http?.asksForLogin).toBe(true)
  const overTls = await load({ flags: [...LOGIN, ...TLS, ...flagsOf('*:1')] })
  expect(overTls.http).toMatchObject({ asksForLogin: true, listen: [{ tls: 'none' }] })
})

test('what rules HTTP is refused where there is none, or where it contradicts itself', async () => {
  const ruling = [...LOGIN, '--http-open', 'true', '--http-host', 'a.example']
  const takes = 'takes an address: --http ADDRESS'
  expect(await problemsOf({ flags: ruling })).toEqual(
    ['auth', 'open', 'host'].map((what) => `--http-${what}: ${takes}`),
  )
  expect(await problemsOf({ flags: [...OPEN, ...LOGIN, ...flagsOf('1')] })).toEqual([
    '--http-auth: asks for a login, and with --no-auth there are no users',
  ])
  expect(await problemsOf({ flags: [...LOGIN, '--http-open', 'true', ...flagsOf('1')] })).toEqual([
    '--http-open: contradicts --http-auth: who logs in need not be a stranger',
  ])
})

test('names are those of the operator, in lower case', async () => {
  const toml = '[http]\nhttp = ["9150"]\nhttp_host = ["Cache.Example", "b"]\nhttp_open = true\n'
  const { http } = await load({ flags: OPEN, toml })
  expect(http).toMatchObject({ hostNames: ['cache.example', 'b'], isOpen: true })
})
