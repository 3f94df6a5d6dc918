/** Rights on a real server: monitors that cannot log in, users of a role, and a reload that changes it. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SERVER_NODE, SERVER_PROGRAM, startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const DENIED = 'CLIENT_ERROR permission denied: this user lacks the right\r\n'
let server: TestServer

function saslcached(args: readonly string[], input = '') {
  return spawnSync(SERVER_NODE, [SERVER_PROGRAM, ...args], { input, encoding: 'utf8' })
}

beforeAll(async () => {
  server = await startSaslcached({ users: [{ name: 'alice', password: 's3cret' }] })
})
afterAll(() => server.stop())

test('a user of a role may do what it names, until a reload says otherwise', async () => {
  const file = ['--file', server.usersFile]
  saslcached(['user', 'add', 'bob', '--role', 'readonly', ...file], 'hunter22\n')
  await server.waitForLog(({ event, users }) => event === 'credentials_reloaded' && users === 2)
  const bob = new TextClient(server)
  bob.send('set auth 0 0 12\r\nbob hunter22\r\n')
  expect(await bob.until('\r\n')).toBe('STORED\r\n')
  bob.send('get a\r\nset a 0 0 1\r\nx\r\nmn\r\n')
  expect(await bob.until('MN\r\n')).toBe(`END\r\n${DENIED}MN\r\n`)
  const reloads = server.log().filter(({ event }) => event === 'credentials_reloaded').length
  expect(saslcached(['user', 'set', 'bob', '--role', 'readwrite', ...file]).status).toBe(0)
  await server.waitForLog(
    () => server.log().filter(({ event }) => event === 'credentials_reloaded').length > reloads,
  )
  bob.send('set a 0 0 1\r\nx\r\nget a\r\n')
  expect(await bob.until('END\r\n')).toBe('STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n')
})

test('a monitor that cannot log in reads statistics from its own listeners, and nothing else', async () => {
  const socket = join(server.directory, 'monitor.sock')
  const own = join(server.directory, 'own-users.toml')
  const flags = ['--no-password', '--role', 'monitor', '--file', own]
  expect(saslcached(['user', 'add', 'monitor', ...flags]).status).toBe(0)
  const watched = await startSaslcached({
    users: [{ name: 'alice', password: 's3cret' }],
    flags: ['--users-file', own, '--listen-as', `monitor=127.0.0.1:0,monitor=${socket}`],
  })
  try {
    const listening = await watched.waitForLog(
      ({ as_user: user, family }) => user === 'monitor' && family === 'IPv4',
    )
    const port = Number(listening.port)
    for (const target of [{ host: '127.0.0.1', port }, { path: socket }]) {
      const client = new TextClient(target)
      client.send('stats\r\n')
      expect(await client.until('END\r\n')).toMatch(/^STAT pid \d+\r\n/)
      client.send('stats settings\r\nget a\r\n')
      expect(await client.until('END\r\n')).toContain('STAT maxbytes ')
      expect(await client.until('\r\n')).toBe(DENIED)
      const address = 'path' in target ? target.path : `${target.host}:${target.port}`
      expect(saslcached(['health', address]).stdout).toContain('healthy')
    }
    // The other listener stands for nobody.
    const stranger = new TextClient(watched)
    stranger.send('stats\r\n')
    expect(await stranger.until('\r\n')).toBe('CLIENT_ERROR unauthenticated\r\n')
  } finally {
    await watched.stop()
  }
})

test('a listener for a user that there is not stops the start, and says so', () => {
  const flags = ['--users-file', server.usersFile, '--listen-as', 'nobody=127.0.0.1:0']
  const { status, stderr } = saslcached([...flags, '--check-config'])
  expect(status).toBe(78)
  expect(stderr).toContain('listen_as: there is no user "nobody"')
})
