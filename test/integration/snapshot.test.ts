/** Items over a restart, as users and operators meet it: with threads, logins, namespaces and signals. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { freePort } from '../support/free-port.js'
import { inheritedEnvironment } from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM, startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const USERS_FILE_END = `
[namespaces.shop]
memory = "16m"
[users.sally]
password = "s3cret"
namespace = "shop"
`
const LARGE = 'L'.repeat(1_500_000)

function freshPath(): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-snapshot-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'snapshot')
}

async function start(snapshot: string, ...flags: string[]): Promise<TestServer> {
  const server = await startSaslcached({
    users: [{ name: 'root', password: 's3cret' }],
    usersFileEnd: USERS_FILE_END,
    flags: ['-I', '2m', '-m', '128', '--snapshot', snapshot, '--enable-shutdown', ...flags],
  })
  onTestFinished(() => server.signal('SIGKILL'))
  // A stop that comes before is one of the start, which cuts who has come.
  await server.waitForLog(({ event }) => event === 'started')
  return server
}

async function login(server: TestServer, name: string): Promise<TextClient> {
  const client = new TextClient(server)
  const message = `\0${name}\0s3cret`
  const answer = await client.ask(`sasl auth PLAIN ${message.length}\r\n${message}\r\n`)
  expect(answer).toBe('SASL_OK\r\n')
  return client
}

async function restored(server: TestServer): Promise<void> {
  await server.waitForLog(({ event }) => event === 'snapshot_restored')
}

test('users find their items after a stop, each their own, encrypted on the disk meanwhile', async () => {
  const snapshot = freshPath()
  const key = `${snapshot}-key`
  writeFileSync(key, 'ab'.repeat(32), { mode: 0o600 })
  const first = await start(snapshot, '-t', '2', '--snapshot-key-file', key)
  const [root, sally] = await Promise.all([login(first, 'root'), login(first, 'sally')])
  expect(await root.ask('set key 7 1000 6\r\nsecret\r\n')).toBe('STORED\r\n')
  expect(await root.ask(`set large 0 0 ${LARGE.length}\r\n${LARGE}\r\n`)).toBe('STORED\r\n')
  expect(await sally.ask('set key 0 0 4\r\nshop\r\n')).toBe('STORED\r\n')
  const before = await root.ask('gets key\r\n', 'END\r\n')
  await first.stop()
  expect(existsSync(`${snapshot}.lock`)).toBe(false)
  expect(readFileSync(snapshot).includes('secret')).toBe(false)

  const second = await start(snapshot, '-t', '1', '--snapshot-key-file', key, '--restore', 'wait')
  expect(existsSync(snapshot)).toBe(false)
  const [root2, sally2] = await Promise.all([login(second, 'root'), login(second, 'sally')])
  expect(await root2.ask('gets key\r\n', 'END\r\n')).toBe(before)
  expect(await root2.ask('get large\r\n', 'END\r\n')).toBe(
    `VALUE large 0 ${LARGE.length}\r\n${LARGE}\r\nEND\r\n`,
  )
  expect(await sally2.ask('get key large\r\n', 'END\r\n')).toBe('VALUE key 0 4\r\nshop\r\nEND\r\n')
  expect(await root2.ask('ms key 2 c\r\nhi\r\n', '\r\n')).not.toContain(` c1\r\n`)
  root2.send('shutdown\r\n')
  expect(await second.exited).toEqual({ code: 0, signal: undefined })
  expect(existsSync(snapshot)).toBe(true)
})

test('a snapshot that two threads bring back is there as a whole', async () => {
  const snapshot = freshPath()
  const values = Array.from({ length: 3000 }, (_, index) =>
    String(index).repeat(4096).slice(0, 4096),
  )
  const sets = values.map((value, index) => `set key${index} 0 0 4096 noreply\r\n${value}\r\n`)
  const first = await start(snapshot, '-t', '1')
  const root = await login(first, 'root')
  root.send(sets.join(''))
  expect(await root.ask(`set large 0 0 ${LARGE.length}\r\n${LARGE}\r\n`)).toBe('STORED\r\n')
  await first.stop()
  const second = await start(snapshot, '--restore', 'wait')
  const done = await second.waitForLog(({ event }) => event === 'snapshot_restored')
  expect(done).toMatchObject({ restored: 3001, superseded: 0, dropped: 0 })
  const root2 = await login(second, 'root')
  for (const index of [0, 1500, 2999]) {
    const answer = await root2.ask(`get key${index}\r\n`, 'END\r\n')
    expect(answer).toBe(`VALUE key${index} 0 4096\r\n${values[index]}\r\nEND\r\n`)
  }
  expect(await root2.ask('get large\r\n', 'END\r\n')).toContain(LARGE)
})

/** Whether some worker listens there, as the kernel tells, without a connection that it would have to accept. */
function isListened(port: number): boolean {
  const local = port.toString(16).toUpperCase().padStart(4, '0')
  return readFileSync('/proc/net/tcp', 'latin1').includes(`:${local} 00000000:0000 0A `)
}

interface StartingServer {
  readonly port: number
  stop(): Promise<unknown>
}

/** Resolves as soon as some worker listens, which is before the server is ready. */
async function startUntilListening(snapshot: string, threads: number): Promise<StartingServer> {
  const port = await freePort()
  const flags = ['--no-auth', '-l', '127.0.0.1', '-p', String(port), '-t', String(threads)]
  const server = spawn(SERVER_NODE, [SERVER_PROGRAM, ...flags, '--snapshot', snapshot], {
    env: inheritedEnvironment(),
    stdio: 'ignore',
  })
  onTestFinished(() => void server.kill('SIGKILL'))
  const ended = new Promise((resolve) => server.once('exit', resolve))
  while (!isListened(port)) await delay(1)
  return {
    port,
    stop: async () => {
      server.kill('SIGTERM')
      return await ended
    },
  }
}

test.each([false, true])(
  'a stop as soon as the workers listen loses nothing, whether a client has come: %s',
  async (comes) => {
    const snapshot = freshPath()
    let stored = 0
    // The first of them has nothing to lose; where in its start the signal comes is another moment each time.
    for (let run = 0; run < 5; run++) {
      const server = await startUntilListening(snapshot, 2)
      if (comes || run === 0) {
        const client = new TextClient({ host: '127.0.0.1', port: server.port })
        expect(await client.ask(`set key${stored++} 0 0 1\r\nv\r\n`)).toBe('STORED\r\n')
      }
      expect(await server.stop()).toBe(0)
      expect(existsSync(snapshot)).toBe(true)
      expect(existsSync(`${snapshot}.taken`)).toBe(false)
    }
    const last = await startUntilListening(snapshot, 2)
    const client = new TextClient({ host: '127.0.0.1', port: last.port })
    for (let key = 0; key < stored; key++) {
      const answer = `VALUE key${key} 0 1\r\nv\r\nEND\r\n`
      await expect.poll(() => client.ask(`get key${key}\r\n`, 'END\r\n')).toBe(answer)
    }
    expect(await last.stop()).toBe(0)
  },
)

test('a stop while the server starts and clients store without a pause ends it, with a snapshot', async () => {
  const snapshot = freshPath()
  const sets = Array.from({ length: 500 }, (_, key) => `set key${key} 0 0 1 noreply\r\nv\r\n`)
  for (const pauseMs of [0, 1, 3, 7, 15, 30]) {
    const server = await startUntilListening(snapshot, 4)
    for (let count = 0; count < 8; count++) {
      const client = new TextClient({ host: '127.0.0.1', port: server.port })
      client.send(sets.join('').repeat(20))
    }
    await delay(pauseMs)
    expect(await server.stop()).toBe(0)
    expect(existsSync(snapshot)).toBe(true)
  }
})

test('a signal behind the shutdown of a client is the first, which gives no snapshot up', async () => {
  const snapshot = freshPath()
  const server = await start(snapshot, '--drain-timeout', '600')
  const [client, other] = await Promise.all([login(server, 'root'), login(server, 'root')])
  // What it has begun is there when it is answered, or it would be taken for idle.
  expect(await other.ask('mn\r\nset key 0 0 3\r\nne')).toBe('MN\r\n')
  client.send('shutdown\r\n')
  await server.waitForLog(({ event }) => event === 'stopping')
  await delay(1200)
  server.signal('SIGTERM')
  await delay(200)
  expect(await other.ask('w\r\n')).toBe('STORED\r\n')
  expect(await server.exited).toEqual({ code: 0, signal: undefined })
  expect(server.output()).not.toContain('given up')
  expect(existsSync(snapshot)).toBe(true)
})

test('after kill -9 the cache starts empty', async () => {
  const snapshot = freshPath()
  const first = await start(snapshot)
  const client = await login(first, 'root')
  await client.ask('set key 0 0 3\r\nold\r\n')
  await first.stop()
  const second = await start(snapshot)
  await restored(second)
  second.signal('SIGKILL')
  await second.exited
  const third = await start(snapshot)
  expect(await (await login(third, 'root')).ask('get key\r\n', 'END\r\n')).toBe('END\r\n')
  expect(existsSync(snapshot)).toBe(false)
})

test('a second server on the file does not start, and the first goes on', async () => {
  const snapshot = freshPath()
  const first = await start(snapshot)
  const { status, stderr } = spawnSync(
    SERVER_NODE,
    [SERVER_PROGRAM, '--no-auth', '-l', '127.0.0.1', '-p', '-1', '--snapshot', snapshot],
    { encoding: 'utf8', env: inheritedEnvironment() },
  )
  expect([status, stderr]).toEqual([
    71,
    `saslcached: the snapshot ${snapshot} belongs to another server, process ${first.pid}: ` +
      'stop that one, or give this one a --snapshot of its own\n',
  ])
  await first.stop()
  expect(existsSync(snapshot)).toBe(true)
})

test('a start that fails leaves the snapshot for the next', async () => {
  const snapshot = freshPath()
  const first = await start(snapshot)
  const client = await login(first, 'root')
  await client.ask('set key 0 0 3\r\nold\r\n')
  await first.stop()
  const { status } = spawnSync(
    SERVER_NODE,
    [
      ...[SERVER_PROGRAM, '--no-auth', '-l', '127.0.0.1', '-p', '-1', '--snapshot', snapshot],
      ...['--snapshot-key-file', `${snapshot}-no-key`],
    ],
    { encoding: 'utf8', env: inheritedEnvironment() },
  )
  expect(status).toBe(78)
  const second = await start(snapshot, '--restore', 'wait')
  expect(await (await login(second, 'root')).ask('get key\r\n', 'END\r\n')).toContain('old')
})

test('a key that others can read is refused, without the key', () => {
  const key = `${freshPath()}-key`
  writeFileSync(key, 'ab'.repeat(32), { mode: 0o644 })
  const { status, stderr } = spawnSync(
    SERVER_NODE,
    [
      ...[SERVER_PROGRAM, '--no-auth', '-l', '127.0.0.1', '-p', '-1'],
      ...['--snapshot', `${key}.snapshot`, '--snapshot-key-file', key],
    ],
    { encoding: 'utf8', env: inheritedEnvironment() },
  )
  expect(status).toBe(78)
  expect(stderr).toMatch('can be read or changed by others: chmod 600')
  expect(stderr).not.toContain('abab')
})
