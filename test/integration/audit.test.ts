/** The audit log of a real server: what stands in it, rotation under load, a disk that is full. */
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

interface Line {
  readonly run: string
  readonly seq: number
  readonly event: string
  readonly [field: string]: unknown
}

const directory = mkdtempSync(join(tmpdir(), 'audit-'))
const PASSWORD = 'correct-horse'
const SECRETS = [PASSWORD, 'battery-staple', 'shop:secret-key', 'secret-value']
const USERS = [
  { name: 'admin', password: PASSWORD },
  { name: 'reader', password: PASSWORD },
]
let fileCount = 0

afterAll(() => rmSync(directory, { recursive: true }))

async function start(path: string, ...flags: string[]): Promise<TestServer> {
  return await startSaslcached({ users: USERS, flags: ['-t', '2', '--audit-log', path, ...flags] })
}

function newPath(): string {
  return join(directory, `audit${fileCount++}.log`)
}

function linesOf(...paths: readonly string[]): Line[] {
  return paths.flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line),
  )
}

/** Sends lines, and resolves with what came once each has been answered by one. */
async function ask(port: number, ...lines: readonly string[]): Promise<string[]> {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  for await (const bytes of send(socket, lines)) {
    received += bytes
    if (received.split('\r\n').length > lines.length) break
  }
  socket.destroy()
  return received.split('\r\n').slice(0, -1)
}

function send(socket: ReturnType<typeof connect>, lines: readonly string[]): typeof socket {
  socket.write(lines.map((line) => `${line}\r\n`).join(''))
  return socket
}

function login(user: string, password = PASSWORD): string {
  const value = `${user} ${password}`
  return `set auth 0 0 ${value.length}\r\n${value}`
}

function expectNoGap(lines: readonly Line[]): void {
  expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, index) => index + 1))
  expect(new Set(lines.map(({ run }) => run)).size).toBe(1)
}

test('it has what happened, in order, and nothing that is secret', async () => {
  const path = newPath()
  // The order of two threads is nobody's promise.
  const server = await start(path, '-vvv', '-t', '1')
  const restricted = USERS.map(
    ({ name, password }) =>
      `[users.${name}]\npassword = "${password}"\n${name === 'reader' ? 'rights = ["read"]\n' : ''}`,
  )
  server.replaceUsers(`${restricted.join('')}[users.new]\npassword = "${PASSWORD}"\n`)
  await server.waitForLog(({ event }) => event === 'credentials_reloaded')
  expect(await ask(server.port, login('admin'), 'flush_all', 'verbosity 1')).toEqual([
    'STORED',
    'OK',
    'OK',
  ])
  const [, refused] = await ask(
    server.port,
    login('reader'),
    'set shop:secret-key 0 0 12\r\nsecret-value',
  )
  expect(refused).toMatch(/^CLIENT_ERROR/)
  await ask(server.port, login('reader', 'battery-staple'))
  await ask(server.port, login('battery-staple'))
  await server.stop()

  const text = readFileSync(path, 'utf8')
  for (const secret of SECRETS) expect(text + server.output()).not.toContain(secret)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const lines = linesOf(path)
  expectNoGap(lines)
  expect(lines.map(({ event }) => event)).toEqual([
    'start',
    'listener',
    'reload',
    'login',
    'operation',
    'operation',
    'login',
    'refused',
    'login',
    'login',
    'stop',
  ])
  const by = (event: string): Line[] => lines.filter((line) => line.event === event)
  expect(by('reload')).toMatchObject([{ added: ['new'], changed: ['reader'], outcome: 'success' }])
  expect(by('operation')).toMatchObject([
    { user: 'admin', operation: 'flush' },
    { user: 'admin', operation: 'verbosity', number: 1 },
  ])
  expect(by('refused')).toMatchObject([
    { user: 'reader', command: 'set', lacks: 'right', key: expect.stringMatching(/^hmac:/) },
  ])
  expect(by('login')).toMatchObject([
    { outcome: 'success', user: 'admin', mechanism: 'PLAIN' },
    { outcome: 'success', user: 'reader' },
    { outcome: 'failure', user: 'reader', reason: 'wrong-password' },
    { outcome: 'failure', reason: 'unknown-user', unknown_user: expect.stringMatching(/^14 /) },
  ])
  expect(by('stop')).toMatchObject([{ by: 'SIGTERM' }])
})

/** How many events lines stand for. */
function eventsOf(lines: readonly Line[]): number {
  return lines.reduce((sum, { count }) => sum + Number(count ?? 1), 0)
}

test('who asks for what is refused, as fast as can be, costs the audit no line, and waits for it', async () => {
  const path = newPath()
  const server = await startSaslcached({
    users: USERS,
    usersFileEnd: `[users.limited]\npassword = "${PASSWORD}"\nrights = ["read"]\n`,
    flags: ['-t', '2', '--audit-log', path, '--audit-on-failure', 'refuse-logins'],
  })
  const refusals = 'set k 0 0 1 noreply\r\nx\r\n'.repeat(4000)
  const flooders = Array.from({ length: 5 }, () => new TextClient(server))
  for (const client of flooders)
    expect(await client.ask(`${login('limited')}\r\n`)).toBe('STORED\r\n')
  await Promise.all(flooders.map((client) => client.ask(`${refusals}mn\r\n`, 'MN\r\n')))
  await server.stop()
  const lines = linesOf(path)
  expectNoGap(lines)
  const refused = lines.filter(({ event }) => event === 'refused')
  expect(eventsOf(refused)).toBe(20_000)
  // Of one user, ten a second of each thread in full.
  expect(refused.length).toBeLessThan(10_000)
  expect(lines.some(({ event }) => event === 'lost')).toBe(false)
})

test('rotation under load loses no line, by name and by SIGHUP', async () => {
  const path = newPath()
  const server = await start(path)
  let count = 0
  let isOver = false
  const load = Array.from({ length: 8 }, async () => {
    while (!isOver) {
      await ask(server.port, login('admin'))
      count++
    }
  })
  const rotate = async (to: string, signals: boolean): Promise<void> => {
    renameSync(path, to)
    if (signals) server.signal('SIGHUP')
    await expect.poll(() => existsSync(path) && readFileSync(path).length > 0).toBe(true)
  }
  await rotate(`${path}.1`, true)
  await rotate(`${path}.2`, false)
  isOver = true
  await Promise.all(load)
  await server.stop()
  const lines = linesOf(`${path}.1`, `${path}.2`, path)
  expectNoGap(lines)
  expect(eventsOf(lines.filter(({ event }) => event === 'login'))).toBe(count)
})

test('a full disk refuses logins where that is wanted, and costs lines where it is not', async () => {
  const careful = await start('/dev/full', '--audit-on-failure', 'refuse-logins')
  const careless = await start('/dev/full')
  expect(await ask(careful.port, login('admin'))).toEqual(['CLIENT_ERROR authentication failure'])
  expect(await ask(careless.port, login('admin'))).toEqual(['STORED'])
  await careful.waitForLog(({ reason }) => reason === 'audit')
  for (const server of [careful, careless]) {
    await server.waitForLog(({ event }) => event === 'audit_failed')
    const { length } = server.log().filter(({ event }) => event === 'audit_failed')
    expect(length).toBe(1)
    await server.stop()
  }
})

test('it goes to standard output beside the log', async () => {
  const server = await start('-')
  await server.waitForLog(({ event }) => event === 'started')
  await ask(server.port, login('admin'))
  await server.waitForLog(({ seq, event }) => event === 'login' && seq === 3)
  await server.stop()
})

test('a file that cannot be opened fails the start, with the reason', async () => {
  await expect(start(join(directory, 'no-such', 'audit.log'))).rejects.toThrow(
    /cannot open the audit log .*no-such.*: there is no such directory/,
  )
  const link = newPath()
  symlinkSync(newPath(), link)
  const refused = await start(link).catch((error: unknown) => String(error))
  expect(refused).toMatch(/cannot open the audit log .*: it is a symbolic link/)
  expect(refused).not.toMatch(/^ +at /m)
})
