/**
 * What a release of Node may lack is taken from the one at hand: the server logs in, stores and reads
 * the documented way, and its log says so once.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { inheritedEnvironment, runProgram } from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM, startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient, type TextTarget } from '../support/text-client.ts'
import { connectTls, TestTls, TlsTunnel } from '../support/tls.ts'

const HIDER = join(import.meta.dirname, '..', 'support', 'hide-internals.mjs')
const ALICE = { name: 'alice', password: 'wonderland' }
const LOGIN = 'set login 0 0 16\r\nalice wonderland\r\n'
const VALUE_BYTES = 900_000
/** More than the sockets of both sides hold, so that replies have to wait for their reader. */
const LARGE_GETS = 12

async function start(hidden: string, flags: readonly string[] = []): Promise<TestServer> {
  const server = await startSaslcached({
    users: [ALICE],
    flags: ['-t', '2', ...flags],
    environment: { NODE_OPTIONS: `--import=${HIDER}`, HIDE_INTERNALS: hidden },
  })
  onTestFinished(async () => await server.stop())
  return server
}

/** Logs in, sets and gets in both dialects, in small and in large, one by one and in a row. */
async function use(server: TestServer): Promise<void> {
  const binary = await BinaryClient.connect(server)
  onTestFinished(() => binary.destroy())
  await binary.loginPlain(ALICE.name, ALICE.password)
  await useText(server)
  const found = await binary.request({ opcode: 0x00, key: 'small' })
  expect(found.value.toString()).toBe('word')
  const clients = await Promise.all(
    Array.from({ length: 30 }, async () => await BinaryClient.connect(server)),
  )
  for (const client of clients) {
    await client.loginPlain(ALICE.name, ALICE.password)
    expect((await client.request({ opcode: 0x00, key: 'small' })).value.toString()).toBe('word')
    client.end()
    await client.closed()
  }
}

async function useText(target: TextTarget): Promise<void> {
  const text = new TextClient(target)
  expect(await text.ask('get small\r\n')).toBe('CLIENT_ERROR unauthenticated\r\n')
  const client = new TextClient(target)
  expect(await client.ask(LOGIN)).toBe('STORED\r\n')
  expect(await client.ask('set small 0 0 4\r\nword\r\n')).toBe('STORED\r\n')
  expect(await client.ask('get small\r\n', 'END\r\n')).toBe('VALUE small 0 4\r\nword\r\nEND\r\n')
  const large = 'x'.repeat(VALUE_BYTES)
  expect(await client.ask(`set large 0 0 ${VALUE_BYTES}\r\n${large}\r\n`)).toBe('STORED\r\n')
  client.socket.pause()
  client.send('get large\r\n'.repeat(LARGE_GETS) + 'mn\r\n')
  client.socket.resume()
  const replies = await client.until('MN\r\n')
  expect(replies).toBe(
    `${`VALUE large 0 ${VALUE_BYTES}\r\n${large}\r\nEND\r\n`.repeat(LARGE_GETS)}MN\r\n`,
  )
  client.socket.end('mg small v\r\n')
  expect(await client.untilEnd()).toBe('VA 4\r\nword\r\n')
}

function warnings(server: TestServer): unknown[] {
  return server
    .log()
    .flatMap((record) => (record.event === 'node_internals' ? [record.internal] : []))
}

/** What Node itself says about what it is used for. */
const NODE_WARNING = /\(node:\d+\)|Warning:/

test('with all that it uses of Node the server says nothing of it', async () => {
  const server = await start('')
  await use(server)
  expect(warnings(server)).toEqual([])
  expect(server.output()).not.toMatch(NODE_WARNING)
})

test.each([
  ['onconnection', 'accept'],
  ['pause', 'accept'],
  ['socket-handle', 'accept'],
  ['onread', 'accept'],
  ['bytes-read', 'read'],
  ['shutdown-request', 'read'],
  ['write-queue-size', 'write'],
  ['write-buffer', 'write'],
  ['onconnection write-queue-size', 'accept'],
])(
  'without %s the server serves, and warns once of what is slower: %s',
  async (hidden, internal) => {
    const server = await start(hidden)
    await use(server)
    const said = await server.waitForLog(({ event }) => event === 'node_internals')
    expect(warnings(server)).toEqual([internal])
    expect(said.message).toContain('more CPU')
    expect(said).toMatchObject({ level: 'warn', node: expect.stringMatching(/^\d+\.\d+\.\d+$/) })
    expect(server.output()).not.toMatch(NODE_WARNING)
  },
)

test('without a say in where it is read to a large value is copied, and the log says so once', async () => {
  const server = await start('next-buffer', ['-t', '1'])
  await use(server)
  const said = await server.waitForLog(({ event }) => event === 'node_internals')
  await useText(server)
  expect(warnings(server)).toEqual(['room'])
  expect(said.message).toContain('more CPU')
})

test('a Unix socket is served the documented way as well', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-internals-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'socket')
  const environment = {
    NODE_OPTIONS: `--import=${HIDER}`,
    HIDE_INTERNALS: 'onconnection bound-socket',
    SASLCACHED_USERNAME: ALICE.name,
    SASLCACHED_PASSWORD: ALICE.password,
  }
  const flags = ['-s', path, '-t', '2', '--log-format', 'json']
  const child = spawn(SERVER_NODE, [SERVER_PROGRAM, ...flags], {
    env: { ...inheritedEnvironment(), ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  for await (const line of createInterface(child.stdout)) {
    if (line.includes('"event":"started"')) break
  }
  await useText({ path })
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})

test.each(['tls-use-user-buffer', 'tls-wrap', 'write-queue-size'])(
  'without %s TLS is spoken the documented way, and sessions are resumed twice',
  async (hidden) => {
    const files = new TestTls()
    onTestFinished(() => files.remove())
    const server = await start(`${hidden} ticket-callback`, files.server.flags)
    const tunnel = await TlsTunnel.to(server.port)
    onTestFinished(() => tunnel.close())
    await useText(tunnel)
    await server.waitForLog(({ event }) => event === 'node_internals')
    expect(warnings(server)).toEqual(['tls'])
    expect(server.output()).not.toMatch(NODE_WARNING)
    const tickets: Buffer[] = []
    const first = await connectTls(server.port)
    first.on('session', (ticket: Buffer) => tickets.push(ticket))
    first.write('version\r\n')
    await once(first, 'data')
    first.destroy()
    expect(tickets).toHaveLength(2)
    for (const session of tickets) {
      const resumed = await connectTls(server.port, { session })
      expect(resumed.isSessionReused()).toBe(true)
      resumed.destroy()
    }
  },
)

test('newcomers over -c are refused the documented way as well', async () => {
  const server = await start('onconnection', ['-c', '10', '-o', 'maxconns_fast'])
  const logins = Array.from({ length: 10 }, async () => {
    expect(await new TextClient(server).ask(LOGIN)).toBe('STORED\r\n')
  })
  await Promise.all(logins)
  expect(await new TextClient(server).untilEnd()).toBe('ERROR Too many open connections\r\n')
})

test('-u is refused where the groups of root would stay', async () => {
  if (process.getuid?.() !== 0) return
  const ended = await runProgram(
    [SERVER_NODE, SERVER_PROGRAM, '--no-auth', '-p', '-1', '-u', 'nobody'],
    {
      environment: { NODE_OPTIONS: `--import=${HIDER}`, HIDE_INTERNALS: 'initgroups' },
    },
  )
  expect(ended.exitCode).toBe(71)
  expect(ended.stderr).toMatch(
    /^saslcached: -u nobody: this release of Node \(v[\d.]+\) cannot change groups\n$/,
  )
})

const HAS_BOUND_SOCKET = await runProgram([
  SERVER_NODE,
  '-p',
  "typeof require('node:net').BoundSocket",
]).then(({ stdout }) => stdout.trim() === 'function')

test.each([
  ['bound-socket', true],
  ['server-handle', HAS_BOUND_SOCKET],
  ['bound-socket server-handle', false],
])('without %s the server starts, or says why it cannot: %s', async (hidden, starts) => {
  if (starts) {
    await use(await start(hidden))
    return
  }
  const ended = await runProgram([SERVER_NODE, SERVER_PROGRAM, '--no-auth', '-p', '-1'], {
    environment: { NODE_OPTIONS: `--import=${HIDER}`, HIDE_INTERNALS: hidden },
  })
  expect(ended.exitCode).toBe(71)
  expect(ended.stderr).toMatch(/^saslcached: this release of Node \(v[\d.]+\) is not supported\n$/)
})
