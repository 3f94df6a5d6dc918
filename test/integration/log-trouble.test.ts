/** A log that cannot be written, or that nobody reads, keeps the server neither from serving nor from ending. */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  readlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { SERVER_NODE, SERVER_PROGRAM } from '../support/server.ts'
import {
  connect,
  events,
  expectEndSoon,
  expectServed,
  PASSWORD,
  type Serving,
  serve,
  stop,
  temporary,
  until,
  usersFile,
} from '../support/server-process.ts'

const GET = 0x00
const REFUSED = 0x20

/** A server whose standard output is a full disk, after logins that it could not log. */
async function serveOnFullDisk(): Promise<Serving> {
  const full = openSync('/dev/full', 'w')
  onTestFinished(() => closeSync(full))
  const server = await serve(['-vvv', '--users-file', usersFile(temporary())], { stdout: full })
  for (let round = 0; round < 10; round++) {
    const client = await BinaryClient.connect(server)
    await client.attemptPlain('alice', 'wrong')
    await client.loginPlain('alice', PASSWORD)
    await expectServed(client)
    client.destroy()
  }
  return server
}

test('a full disk under the log does not keep the server from serving', async () => {
  await expectRefusedThenServed(await serveOnFullDisk())
})

test('a full disk under the log does not keep the server from ending', async () => {
  await expectEndSoon(await serveOnFullDisk())
})

/** A pipe that takes nothing, and that nobody reads. */
function fullPipe(): number {
  const fifo = join(temporary(), 'log')
  expect(spawnSync('mkfifo', [fifo]).status).toBe(0)
  const filler = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
  onTestFinished(() => closeSync(filler))
  const lines = Buffer.alloc(4096, 10)
  expect(() => {
    for (;;) writeSync(filler, lines)
  }).toThrow('EAGAIN')
  const stdout = openSync(fifo, constants.O_WRONLY)
  onTestFinished(() => closeSync(stdout))
  return stdout
}

test('a pipe that nobody reads, full from the start, keeps the server neither from serving nor from ending', async () => {
  const stdout = fullPipe()
  const server = await serve(['--log-format', 'json', '--users-file', usersFile(temporary())], {
    stdout,
  })
  await expectRefusedThenServed(server)
  await expectEndSoon(server)
})

/** Starts a server in the background; returns its process once it serves. */
function serveInBackground(flags: readonly string[], stdout: number, stderr: number): number {
  const pidFile = join(temporary(), 'pid')
  const args = ['-d', '-P', pidFile, '--no-auth', '-l', '127.0.0.1', '-p', '-1', ...flags]
  const stdio = ['ignore', stdout, stderr] as const
  const { status } = spawnSync(SERVER_NODE, [SERVER_PROGRAM, ...args], { stdio: [...stdio] })
  expect(status).toBe(0)
  const pid = Number(readFileSync(pidFile, 'utf8'))
  onTestFinished(() => {
    if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
  })
  return pid
}

async function endOf(pid: number): Promise<void> {
  process.kill(pid, 'SIGTERM')
  await until(() => (existsSync(`/proc/${pid}`) ? undefined : true), 'the end')
}

test.each([
  ['-v', [/"event":"started"/, /"event":"stopped"/]],
  ['--log-level=info', [/"event":"started"/, /"event":"stopped"/]],
  [undefined, []],
])('in the background with %s the log has what is expected', async (flag, expected) => {
  const log = join(temporary(), 'log')
  const file = openSync(log, 'a')
  onTestFinished(() => closeSync(file))
  const pid = serveInBackground(flag === undefined ? [] : [flag], file, file)
  expect(readlinkSync(`/proc/${pid}/fd/1`)).toBe(flag === undefined ? '/dev/null' : log)
  if (flag !== undefined) expect(readlinkSync(`/proc/${pid}/fd/2`)).toBe(log)
  await endOf(pid)
  const text = readFileSync(log, 'utf8')
  for (const line of expected) expect(text).toMatch(line)
  if (expected.length === 0) expect(text).toBe('')
})

test('in the background a pipe that nobody reads does not keep the server from ending', async () => {
  const stdout = fullPipe()
  const errors = openSync('/dev/null', 'w')
  onTestFinished(() => closeSync(errors))
  await endOf(serveInBackground(['-vvv', '--log-format', 'json'], stdout, errors))
})

test('the last lines of the log are in the order of what happened', async () => {
  for (let round = 0; round < 3; round++) {
    const server = await serve(['-vvv', '-t', '4', '--no-auth', '--log-format', 'json'])
    const clients = await Promise.all(Array.from({ length: 30 }, () => connect(server)))
    for (const client of clients) await expectServed(client)
    await stop(server)
    const told = events(server)
    expect(told.filter((event) => event === 'disconnected')).toHaveLength(clients.length)
    expect(
      told.slice(told.indexOf('stopping')).filter((event) => event !== 'disconnected'),
    ).toEqual(['stopping', 'stopped'])
    expect(told.at(-1)).toBe('stopped')
  }
})

async function expectRefusedThenServed(server: Serving): Promise<void> {
  const client = await connect(server)
  expect((await client.attemptPlain('alice', 'wrong')).status).toBe(REFUSED)
  await client.loginPlain('alice', PASSWORD)
  await expectServed(client)
}

test('a log whose reader has gone does not stop the server', async () => {
  const server = await serve(['-vvv', '--no-auth'])
  server.child.stdout?.destroy()
  for (let round = 0; round < 10; round++) {
    const client = await BinaryClient.connect(server)
    await client.request({ opcode: GET, key: 'k' })
    client.destroy()
  }
  await expectServed(await connect(server))
  await stop(server)
})

test('a log whose reader has stopped reading does not stop the server', async () => {
  const users = usersFile(temporary())
  const server = await serve(['-vvv', '--users-file', users, '--throttle', 'off'])
  server.child.stdout?.pause()
  for (let round = 0; round < 100; round++) {
    const client = await BinaryClient.connect(server)
    await client.attemptPlain('x'.repeat(1000), 'wrong')
    client.destroy()
  }
  const client = await connect(server)
  await client.loginPlain('alice', PASSWORD)
  await expectServed(client)
  server.child.stdout?.resume()
  await stop(server)
})
