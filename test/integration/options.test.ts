/**
 * What flags of memcached do to a server that runs, seen from a socket. The list of all of them,
 * against the configuration, is in test/unit/cli/compatibility.test.ts.
 */
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
