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
