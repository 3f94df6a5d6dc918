/** Sockets that systemd, or another who starts the server, has opened for it: served as they are named, or refused for what they are. */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { connect as connectSocket, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { BoundSockets } from '../../src/server/net/bound-sockets.ts'
import { BinaryClient } from '../support/binary-client.ts'
import { hasPrerequisites } from '../support/program.ts'
import {
  connect,
  connectUnix,
  EXIT_CONFIG,
  EXIT_OS,
  expectServed,
  PASSWORD,
  type Run,
  run,
  serve,
  stop,
  temporary,
  until,
  untilStarted,
  usersFile,
} from '../support/server-process.ts'
import { TextClient } from '../support/text-client.ts'

const GET = 0x00
const NOT_FOUND = 0x01
const AUTH_ERROR = 0x20

/** Of a handle of Node's. */
function descriptorOf(owner: unknown): number {
  const { _handle: handle } = owner as { _handle: { fd: number } }
  return handle.fd
}

/** A socket that this process has bound, and accepts nothing from. */
async function listening(host = '127.0.0.1'): Promise<{ fd: number; host: string; port: number }> {
  const sockets = new BoundSockets()
  onTestFinished(() => sockets.close())
  await sockets.bindTcp({ host, port: 0 })
  const [socket] = sockets.shared
  if (socket === undefined) throw new Error('nothing was bound')
  return { fd: socket.fd, host, port: socket.address.port }
}

async function refusal(server: Run): Promise<{ code: number | null; said: string }> {
  const { code } = await server.exited
  return { code, said: server.stderr }
}

const ACTIVATE = { packages: 'systemd', probe: ['systemd-socket-activate', '--version'] }

describe.runIf(hasPrerequisites('systemd-socket-activate', [ACTIVATE]))('of systemd', () => {
  test('several by name: one that asks for a login, one that stands for a user', async () => {
    const directory = temporary()
    const path = join(directory, 'monitor.sock')
    // Nobody else takes an address of these, whatever its ports are used for.
    const host = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`
    const port = randomInt(20_000, 30_000)
    const launcher = ['systemd-socket-activate', '-l', `${host}:${port}`, '-l', path]
    const server = run(
      [
        ...['-l', 'fd:web', '--listen-as', 'alice=fd:monitor', '-t', '2', '--log-format', 'json'],
        ...['--users-file', usersFile(directory)],
      ],
      { launcher: [...launcher, '--fdname=web:monitor'] },
    )
    await until(() => (existsSync(path) ? true : undefined), 'the socket')
    // The first connection starts the server, which then answers it.
    const stranger = await connect({ host, port })
    expect((await stranger.request({ opcode: GET, key: 'a' })).status).toBe(AUTH_ERROR)
    const web = await connect({ host, port })
    await web.loginPlain('alice', PASSWORD)
    await expectServed(web)
    const monitor = await connectUnix(path)
    expect((await monitor.request({ opcode: GET, key: 'a' })).status).toBe(NOT_FOUND)
    await untilStarted(server)
    expect(server.stdout).toContain(`"address":"${host}:${port}","given":"fd:web"`)
    expect(server.stdout).toContain(`"address":"${path}","given":"fd:monitor"`)
    await stop(server)
    // The file is of who made it.
    expect(existsSync(path)).toBe(true)
  })
})

test('those that nothing is said of take the place of -l, -p and -s', async () => {
  const { fd, host, port } = await listening()
  const path = join(temporary(), 'own.sock')
  const server = run(['--no-auth', '-s', path, '-t', '2'], { passed: [fd] })
  await untilStarted(server)
  await expectServed(await connect({ host, port }))
  expect(existsSync(path)).toBe(false)
  expect(server.stdout).toContain(`${path}: not listened on, since 1 sockets were passed`)
  const client = new TextClient({ host, port })
  client.send('stats settings\r\n')
  const settings = await client.until('END\r\n')
  expect(settings).toContain(
    `STAT tcpport ${port}\r\nSTAT udpport 0\r\nSTAT inter ${host}:${port}\r\n`,
  )
  expect(settings).toContain('STAT domain_socket NULL\r\n')
  await stop(server)
})

test('who connects between two servers is answered by the second one', async () => {
  const { fd, host, port } = await listening()
  const first = run(['--no-auth'], { passed: [fd] })
  await untilStarted(first)
  await stop(first)
  const between = connectSocket({ host, port })
  await once(between, 'connect')
  const second = run(['--no-auth'], { passed: [fd] })
  const client = new BinaryClient(between)
  onTestFinished(() => client.destroy())
  await expectServed(client)
  await stop(second)
})

test('variables that are for another process are passed over without a word', async () => {
  const environment = { LISTEN_PID: '1', LISTEN_FDS: '7', LISTEN_FDNAMES: 'a' }
  const server = await serve(['--no-auth'], { environment })
  await expectServed(await connect(server))
  await stop(server)
  expect(server.stderr).toBe('')
})

/** Makes what its first word says its descriptor 3, and becomes the program behind it: Node has no such sockets. */
const OTHER_SOCKETS = `
import os, sys
from socket import *
made = eval(sys.argv[1])
if made.fileno() != 3: os.dup2(made.fileno(), 3)
os.set_inheritable(3, True)
os.execvp(sys.argv[2], sys.argv[2:])`

describe.runIf(
  hasPrerequisites('sockets of other kinds', [
    { packages: 'python3', probe: ['python3', '--version'] },
  ]),
)('is refused of other kinds', () => {
  test.each([
    ['datagrams', 'socket(AF_INET, SOCK_DGRAM)', 'of TCP or Unix'],
    ['datagrams between processes', 'socket(AF_UNIX, SOCK_DGRAM)', 'of TCP or Unix'],
    ['packets in sequence', 'socketpair(AF_UNIX, SOCK_SEQPACKET)[0]', 'of TCP or Unix'],
    ['the end of a pair', 'socketpair()[0]', 'that listens'],
  ])('%s', async (_, made, which) => {
    const launcher = ['python3', '-c', OTHER_SOCKETS, made]
    const server = run(['--no-auth'], { launcher, passed: [], environment: { LISTEN_FDS: '1' } })
    expect(await refusal(server)).toEqual({
      code: EXIT_OS,
      said: `saslcached: cannot listen on fd:unknown, which was passed as descriptor 3: it is no stream socket ${which}; the socket unit is to have ListenStream=\n`,
    })
  })
})

describe('is refused', () => {
  test('a file', async () => {
    const file = openSync('/dev/null', 'r')
    onTestFinished(() => closeSync(file))
    expect(await refusal(run(['--no-auth'], { passed: [file] }))).toEqual({
      code: EXIT_OS,
      said: 'saslcached: cannot listen on fd:unknown, which was passed as descriptor 3: it is no socket\n',
    })
  })

  test('a connection', async () => {
    const listener = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void listener.close())
    await once(listener, 'listening')
    const { port } = listener.address() as { port: number }
    const connection = connectSocket({ host: '127.0.0.1', port })
    onTestFinished(() => void connection.destroy())
    await once(connection, 'connect')
    const { code, said } = await refusal(run(['--no-auth'], { passed: [descriptorOf(connection)] }))
    expect(said).toContain('it is a connection; the socket unit is to have Accept=no')
    expect(code).toBe(EXIT_OS)
  })

  test.each([
    [
      'a descriptor that is not there',
      { LISTEN_FDS: '40' },
      [],
      'passed as descriptor 4: it is no',
    ],
    ['no number of them', { LISTEN_FDS: '-1' }, [], 'LISTEN_FDS is "-1"'],
    ['more than 128', { LISTEN_FDS: '129' }, [], 'LISTEN_FDS is "129"'],
    ['names for others', { LISTEN_FDNAMES: 'a:b' }, [], 'LISTEN_FDNAMES has 2 names for 1 sockets'],
    ['a name that none has', {}, ['-l', 'fd:web'], 'no socket of that name was passed'],
    ['-d', {}, ['-d'], '-d cannot serve sockets that were passed'],
  ])('%s', async (_, environment, args, why) => {
    const { fd } = await listening()
    const { code, said } = await refusal(run(['--no-auth', ...args], { passed: [fd], environment }))
    expect(said).toContain(why)
    expect(code).toBe(EXIT_OS)
  })

  test('a name where none are passed', async () => {
    const { code, said } = await refusal(run(['--no-auth', '-l', 'fd:web']))
    expect(said).toContain('cannot listen on fd:web: no socket of that name was passed')
    expect(code).toBe(EXIT_OS)
  })

  test('what others reach, where it stands for a user or nobody logs in, unless it is named', async () => {
    const { fd } = await listening('0.0.0.0')
    const users = usersFile(temporary())
    const environment = { LISTEN_FDNAMES: 'web' }
    const asUser = ['--users-file', users, '--listen-as', 'alice=fd:web']
    expect(await refusal(run(asUser, { passed: [fd], environment }))).toMatchObject({
      code: EXIT_CONFIG,
      said: expect.stringContaining('--listen-as takes a socket of this machine alone'),
    })
    expect(await refusal(run(['--no-auth'], { passed: [fd], environment }))).toMatchObject({
      code: EXIT_CONFIG,
      said: expect.stringContaining('if that is meant, name it: -l fd:web'),
    })
    const named = run(['--no-auth', '-l', 'fd:web'], { passed: [fd], environment })
    await untilStarted(named)
    await stop(named)
  })
})
