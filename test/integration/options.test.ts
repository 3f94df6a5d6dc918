/**
 * What flags of memcached do to a server that runs, seen from a socket. The list of all of them,
 * against the configuration, is in test/unit/cli/compatibility.test.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { MEMCACHED_FLAGS, MEMCACHED_SUBOPTIONS } from '../support/memcached-flags.ts'
import { runProgram } from '../support/program.ts'
import {
  SERVER_NODE,
  SERVER_PROGRAM,
  type ServerOptions,
  startSaslcached,
  type TestServer,
} from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const EXIT_CONFIG = 78

async function start(flags: readonly string[], options: ServerOptions = {}): Promise<TestServer> {
  const server = await startSaslcached({ ...options, flags })
  onTestFinished(async () => await server.stop())
  return server
}

test('every flag that is refused keeps the server from starting, all in one message', async () => {
  const flags = MEMCACHED_FLAGS.filter(({ fate }) => fate === 'refused')
  const suboptions = MEMCACHED_SUBOPTIONS.filter(([, fate]) => fate === 'refused')
  const { exitCode, stdout, stderr } = await runProgram([
    SERVER_NODE,
    SERVER_PROGRAM,
    '--no-auth',
    ...flags.flatMap(({ short, value }) => [short, value ?? []].flat()),
    ...['-o', suboptions.map(([use]) => use).join(','), '-U', '11211'],
  ])
  expect({ exitCode, stdout }).toEqual({ exitCode: EXIT_CONFIG, stdout: '' })
  const told = stderr.split('\n').map((line) => line.split(':')[0]?.trim())
  expect(told).toEqual([
    'saslcached',
    ...flags.map(({ short }) => short),
    ...suboptions.map(([use]) => `-o ${use.split('=')[0]}`),
    '-U',
    '',
  ])
})

test('every flag that has no effect is mentioned once in the log, and the server serves', async () => {
  const flags = MEMCACHED_FLAGS.filter(({ fate }) => fate === 'no effect')
  const suboptions = MEMCACHED_SUBOPTIONS.filter(([, fate]) => fate === 'no effect')
  const server = await start([
    ...flags.flatMap(({ short, value }) => [short, value ?? []].flat()),
    ...suboptions.flatMap(([use]) => ['-o', use]),
  ])
  const client = new TextClient(server)
  expect(await client.ask('mn\r\n')).toBe('MN\r\n')
  await server.waitForLog(({ event }) => event === 'started')
  const notices = server.log().filter(({ event }) => event === 'notice')
  expect(notices.map(({ level, message }) => [level, String(message).split(' has no')[0]])).toEqual(
    [
      ...flags.map(({ short }) => short),
      ...suboptions.map(([use]) => `-o ${use.split('=')[0]}`),
    ].map((flag) => ['info', flag]),
  )
  // Nothing looks like an error: what remains is about --no-auth and, in CI, about root.
  const others = server.log().filter(({ level }) => level !== 'info')
  const expected = ['no_authentication', 'running_as_root']
  expect(others.filter(({ event }) => !expected.includes(String(event)))).toEqual([])
})

async function statsOf(client: TextClient): Promise<Record<string, string>> {
  const text = await client.ask('stats\r\n', 'END\r\n')
  return Object.fromEntries(
    [...text.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, name, value]) => [name, value]),
  )
}

async function greet(client: TextClient): Promise<void> {
  expect(await client.ask('mn\r\n')).toBe('MN\r\n')
}

test.each([[[]], [['-o', 'maxconns_fast']]])(
  'with %j whoever comes over -c is told so, closed and counted',
  async (flags) => {
    const server = await start(['-c', '2', ...flags])
    const first = new TextClient(server)
    const second = new TextClient(server)
    await greet(first)
    await greet(second)
    const third = new TextClient(server)
    expect(await third.untilEnd()).toBe('ERROR Too many open connections\r\n')
    expect(await statsOf(first)).toMatchObject({
      rejected_connections: '1',
      listen_disabled_num: '0',
      accepting_conns: '1',
    })
    second.socket.destroy()
    await expect.poll(async () => (await statsOf(first)).curr_connections).toBe('1')
    await greet(new TextClient(server))
  },
)

test('with -o no_maxconns_fast whoever comes over -c waits, in order, up to -b of them', async () => {
  const server = await start(['-t', '1', '-c', '2', '-b', '2', '-o', 'no_maxconns_fast'])
  const first = new TextClient(server)
  const second = new TextClient(server)
  await greet(first)
  await greet(second)
  const third = new TextClient(server)
  third.send('set who 0 0 5\r\nthird\r\n')
  await expect.poll(async () => (await statsOf(first)).accepting_conns).toBe('0')
  const fourth = new TextClient(server)
  fourth.send('get who\r\n')
  // The kernel hands connections over in order: once a fifth is refused, the fourth is held.
  const fifth = new TextClient(server)
  expect(await fifth.untilEnd()).toBe('ERROR Too many open connections\r\n')
  expect(await statsOf(first)).toMatchObject({ rejected_connections: '1', curr_connections: '2' })
  expect([third.received, fourth.received]).toEqual(['', ''])
  second.socket.destroy()
  expect(await third.until('\r\n')).toBe('STORED\r\n')
  third.socket.destroy()
  expect(await fourth.until('END\r\n')).toBe('VALUE who 0 5\r\nthird\r\nEND\r\n')
  expect(await statsOf(first)).toMatchObject({ listen_disabled_num: '1', accepting_conns: '1' })
})

/** `[address, port]` of each listener, in the order of the log. */
async function listeners(server: TestServer): Promise<{ host: string; port: number }[]> {
  await server.waitForLog(({ event }) => event === 'started')
  return server
    .log()
    .filter(({ event }) => event === 'listening')
    .map(({ address }) => {
      const [, host = '', port] = /^\[?([^\]]*?)\]?:(\d+)$/.exec(String(address)) ?? []
      return { host, port: Number(port) }
    })
}

test('every address of -l is served: in lists, repeated, IPv6, with and without ports', async () => {
  // The first -l is that of every server of the tests: 127.0.0.1.
  const server = await start(['-l', '127.0.0.2,[::1]:-1;127.0.0.3:-1', '-l', 'notls:::1'])
  const found = await listeners(server)
  const hosts = ['127.0.0.1', '127.0.0.2', '::1', '127.0.0.3', '::1']
  expect(found.map(({ host }) => host)).toEqual(hosts)
  for (const target of found) await greet(new TextClient(target))
  const text = await new TextClient(server).ask('stats settings\r\n', 'END\r\n')
  // As they were given.
  expect(text).toContain('STAT inter 127.0.0.1,127.0.0.2,[::1]:-1,127.0.0.3:-1,notls:::1\r\n')
})

test('the log shows a name of -l as it was given, with what it stands for', async () => {
  const server = await start(['-l', 'localhost'])
  await server.waitForLog(({ event }) => event === 'started')
  const named = server.log().filter(({ given }) => given !== undefined)
  expect(named.length).toBeGreaterThan(0)
  for (const { given, address, message } of named) {
    expect(given).toMatch(/^localhost:\d+$/)
    expect(message).toBe(`listening on ${given} (${address})`)
  }
})

test('a server of -m 1 and -I 1k keeps items of up to 1k', async () => {
  const client = new TextClient(await start(['-m', '1', '-I', '1k']))
  const value = 'x'.repeat(900)
  for (let index = 0; index < 3000; index++) {
    expect(await client.ask(`set key${index} 0 0 900\r\n${value}\r\n`)).toBe('STORED\r\n')
  }
  expect(await client.ask('mg key2999\r\n')).toBe('HD\r\n')
  const large = 'x'.repeat(1025)
  expect(await client.ask(`set k 0 0 1025\r\n${large}\r\n`)).toMatch(/^SERVER_ERROR object too /)
})

test.each([
  ['proto[http]:127.0.0.1:0', 'ascii, binary, negotiating'],
  ['tag[]:127.0.0.1:0', '1 to 8 characters'],
  ['btls:127.0.0.1:0', 'takes -Z'],
  ['fooble:x', 'port'],
  ['127.0.0.1:70000', 'port'],
])('-l %s is refused and says why', async (address, told) => {
  const { exitCode, stderr } = await runProgram([
    ...[SERVER_NODE, SERVER_PROGRAM, '--no-auth', '-l', address],
  ])
  expect(exitCode).toBe(EXIT_CONFIG)
  expect(stderr).toContain(`-l: "${address}" `)
  expect(stderr).toContain(told)
})

const VERSION_REQUEST = String.fromCharCode(0x80, 0x0b).padEnd(24, '\0')
const VERSION_RESPONSE = '\x81\x0b'

test('with -B auto the first byte decides, with -B binary and -B ascii nothing does', async () => {
  const auto = await start(['-B', 'auto'])
  await greet(new TextClient(auto))
  expect(await new TextClient(auto).ask(VERSION_REQUEST, 'saslcached')).toContain(VERSION_RESPONSE)
  const binary = await start(['-B', 'binary'])
  expect(await new TextClient(binary).ask(VERSION_REQUEST, 'saslcached')).toContain(
    VERSION_RESPONSE,
  )
  const text = new TextClient(binary)
  text.send(`version\r\n${'x'.repeat(24)}\r\n`)
  expect(await text.untilEnd()).toBe('')
  const ascii = await start(['-B', 'ascii'])
  await greet(new TextClient(ascii))
  expect(await new TextClient(ascii).ask(`${VERSION_REQUEST}\r\n`)).toBe('ERROR\r\n')
})

test('-o idle_timeout closes who says nothing, counted in idle_kicks', async () => {
  const server = await start(['-o', 'idle_timeout=3'])
  const idle = new TextClient(server)
  await greet(idle)
  expect(await idle.untilEnd()).toBe('')
  // Who is slow to ask is closed, too.
  const kicks = async (): Promise<number> =>
    Number((await statsOf(new TextClient(server))).idle_kicks)
  await expect.poll(kicks).toBeGreaterThanOrEqual(1)
})

test('-R bounds the requests of a turn; a connection that is cut short counts in conn_yields', async () => {
  const server = await start(['-R', '10'])
  const client = new TextClient(server)
  const before = Number((await statsOf(client)).conn_yields)
  client.send(`${'get nothing\r\n'.repeat(100)}mn\r\n`)
  expect(await client.until('MN\r\n')).toBe(`${'END\r\n'.repeat(100)}MN\r\n`)
  expect(Number((await statsOf(client)).conn_yields) - before).toBeGreaterThanOrEqual(9)
})

test('-F, -X, -A and -C change what commands answer', async () => {
  const plain = new TextClient(await start([]))
  await plain.ask('set k 0 0 1\r\nx\r\n')
  expect(await plain.ask('gets k\r\n', 'END\r\n')).toMatch(/^VALUE k 0 1 [1-9]\d*\r\n/)
  expect(await plain.ask('shutdown\r\n')).toBe('SERVER_ERROR: shutdown not enabled\r\n')
  expect(await plain.ask('lru_crawler metadump all\r\n', 'END\r\n')).toMatch(/^OK\r\nkey=k /)
  expect(await plain.ask('flush_all\r\n')).toBe('OK\r\n')
  const server = await start(['-FXAC'])
  const other = new TextClient(server)
  await other.ask('set k 0 0 1\r\nx\r\n')
  expect(await other.ask('gets k\r\n', 'END\r\n')).toMatch(/^VALUE k 0 1 0\r\n/)
  expect(await other.ask('lru_crawler metadump all\r\n')).toBe('ERROR metadump not allowed\r\n')
  expect(await other.ask('stats cachedump 1 0\r\n')).toMatch(/^CLIENT_ERROR .* not allowed/)
  expect(await other.ask('flush_all\r\n')).toBe('CLIENT_ERROR flush_all not allowed\r\n')
  other.send('shutdown\r\n')
  expect(await other.untilEnd()).toBe('')
  expect(await server.exited).toEqual({ code: 0, signal: undefined })
})

test('-I takes units; -M answers that memory is full instead of evicting', async () => {
  const server = await start(['-m', '8', '-I', '512k', '-M'])
  const client = new TextClient(server)
  const large = 'x'.repeat(600 * 1024)
  expect(await client.ask(`set large 0 0 ${large.length}\r\n${large}\r\n`)).toBe(
    'SERVER_ERROR object too large for cache\r\n',
  )
  const value = 'x'.repeat(400 * 1024)
  const answers: string[] = []
  for (let index = 0; index < 30; index++) {
    answers.push(await client.ask(`set key${index} 0 0 ${value.length}\r\n${value}\r\n`))
  }
  expect(new Set(answers)).toEqual(
    new Set(['STORED\r\n', 'SERVER_ERROR out of memory storing object\r\n']),
  )
  expect(await client.ask('mg key0\r\n')).toBe('HD\r\n')
  expect(await statsOf(client)).toMatchObject({ evictions: '0', limit_maxbytes: '8388608' })
})

test('-Y lets the users of a password file of memcached in', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-options-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'passwords')
  writeFileSync(file, 'carol:s3cret\ndave:other\n', { mode: 0o600 })
  // With a users file of its own as well: the sources are joined.
  const users = [{ name: 'alice', password: 'wonder' }]
  const server = await start(['-Y', file], { users })
  const login = async (token: string): Promise<string> =>
    await new TextClient(server).ask(`set auth 0 0 ${token.length}\r\n${token}\r\n`)
  expect(await login('carol s3cret')).toBe('STORED\r\n')
  expect(await login('dave other')).toBe('STORED\r\n')
  expect(await login('alice wonder')).toBe('STORED\r\n')
  expect(await login('carol wonder')).toBe('CLIENT_ERROR authentication failure\r\n')
})

test.each([
  [[], false],
  [['-v'], true],
  [['-vvv'], true],
])('with %j the log tells of every client: %s', async (flags, tellsOfClients) => {
  const server = await start(flags)
  const client = new TextClient(server)
  await greet(client)
  client.send('quit\r\n')
  await client.untilEnd()
  server.signal('SIGTERM')
  await server.exited
  const told = server.log().map(({ event }) => event)
  expect(told.includes('connected')).toBe(tellsOfClients)
  expect(told).toContain('stopped')
})
