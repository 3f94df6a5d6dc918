/**
 * Who logs in over HTTP, over TLS, is held to what holds for every login: the throttle that all ways in share,
 * the audit, and a users file that can take the login away again. And whoever probes a server that stops.
 */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, RequestOptions } from 'node:http'
import { request as askPlain, createServer } from 'node:http'
import { Agent, request } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { connect as handshake, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runProgram } from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM, startSaslcached, type TestServer } from '../support/server.ts'
import { connectTls, TestTls } from '../support/tls.ts'
import { TlsRecords } from '../support/tls-records.ts'
import { whenClosed } from '../support/when-closed.ts'

const FAILURES_MAX = 3
/** A source of its own, which nobody else here is refused with. */
const GUESSER = '127.0.0.9'
/** Of wishes for new keys, with a request behind them. */
const ROUNDS = 60
const STUCK = 'stuck: a worker thread is stuck'
const STAYS = '[users.monitor]\npassword = "right"\n'

let tls: TestTls
let server: TestServer
let auditLog: string
let port: number

beforeAll(async () => {
  tls = new TestTls()
  auditLog = join(tls.directory, 'audit.log')
  server = await startSaslcached({
    users: ['leaver', 'victim', 'shared', 'scraper'].map((name) => ({ name, password: 'right' })),
    usersFileEnd: STAYS,
    throttles: true,
    flags: [
      ...tls.server.flags,
      ...['--http', 'btls:127.0.0.1:0', '--http-auth', '--audit-log', auditLog],
      // Whoever is refused is so for longer than the test takes.
      ...['--throttle-failures', String(FAILURES_MAX), '--throttle-min', '600'],
      ...['--throttle-max', '600'],
    ],
  })
  const { address, tls: isTls } = await server.waitForLog(({ event }) => event === 'http_listening')
  expect(isTls).toBe(true)
  port = Number(String(address).split(':')[1])
})

afterAll(async () => {
  await server.stop()
  tls.remove()
})

interface Answer {
  readonly status: number | undefined
  readonly connection: string | undefined
  /** In PEM. */
  readonly certificate: string | undefined
  readonly isSameConnection: boolean
}

/** Over TLS, looking at the certificate; by default on a connection of its own. */
async function get(user: string, password: string, options: RequestOptions = {}): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const auth = `${user}:${password}`
    const target = { host: '127.0.0.1', servername: 'localhost', port, path: '/metrics', auth }
    const asked = request(
      { ca: tls.authority.certificate, agent: false, ...target, ...options },
      (response: IncomingMessage) => {
        const certificate = (response.socket as TLSSocket).getPeerX509Certificate()?.toString()
        response.resume().on('end', () =>
          resolve({
            status: response.statusCode,
            connection: response.headers.connection,
            certificate,
            isSameConnection: asked.reusedSocket,
          }),
        )
      },
    )
    asked.on('error', reject).end()
  })
}

test('a right password is answered over TLS, and nobody without TLS', async () => {
  expect(await get('monitor', 'right')).toMatchObject({ status: 200 })
  const plain = await new Promise((resolve) => {
    askPlain({ port, host: '127.0.0.1', path: '/metrics' }, () => resolve('answered'))
      .on('error', () => resolve('cut'))
      .end()
  })
  expect(plain).toBe('cut')
})

test('two logins in a request are none: who stands in between may have looked at the other', async () => {
  const authorization = ['leaver:right', 'leaver:wrong'].map(
    (login) => `Basic ${Buffer.from(login).toString('base64')}`,
  )
  for (const given of [authorization, [...authorization].reverse()]) {
    const socket = await connectTls(port)
    const lines = given.map((each) => `Authorization: ${each}\r\n`).join('')
    socket.write(`GET /metrics HTTP/1.1\r\nHost: x\r\n${lines}\r\n`)
    const [answer] = await once(socket, 'data')
    socket.destroy()
    expect(String(answer)).toMatch(/^HTTP\/1\.1 400 /)
  }
})

test('who asks for new keys again and again and for nothing else is cut off, who does so sometimes is not', async () => {
  const client = await TlsRecords.connect(port)
  for (const socket of [client.socket, client.under]) socket.on('error', () => undefined)
  const answer = once(client.socket, 'data')
  const live = 'GET /live HTTP/1.1\r\nHost: x\r\n\r\n'
  client.under.write(Buffer.concat([client.keyUpdates(200), client.data(live)]))
  expect(String((await answer)[0])).toMatch(/^HTTP\/1\.1 200 /)
  const isClosed = whenClosed(client.under)
  client.under.write(client.keyUpdates(15_000))
  await isClosed
})

test('who asks for new keys again and again, and for a page now and then, is cut off', async () => {
  const client = await TlsRecords.connect(port)
  for (const socket of [client.socket, client.under]) socket.on('error', () => undefined)
  const live = 'GET /live HTTP/1.1\r\nHost: x\r\n\r\n'
  const isClosed = whenClosed(client.under)
  let rounds = 0
  // Each is far below the bound, all of them are far above it.
  for (; rounds < ROUNDS && !client.under.closed; rounds++) {
    const answer = once(client.socket, 'data')
    client.under.write(Buffer.concat([client.keyUpdates(3000), client.data(live)]))
    await Promise.race([answer, isClosed])
  }
  expect(rounds).toBeLessThan(ROUNDS)
})

test('who sends a byte in each record is not', async () => {
  const client = await TlsRecords.connect(port)
  for (const socket of [client.socket, client.under]) socket.on('error', () => undefined)
  const live = `GET /live HTTP/1.1\r\nHost: x\r\nx:${'y'.repeat(5000)}\r\n\r\n`
  for (let round = 0; round < 4; round++) {
    const answer = once(client.socket, 'data')
    client.under.write(Buffer.concat([...live].map((character) => client.data(character))))
    expect(String((await answer)[0])).toMatch(/^HTTP\/1\.1 200 /)
  }
  client.under.destroy()
})

test('a head that is too long is refused over TLS, too, and one after another is not', async () => {
  const socket = await connectTls(port)
  socket.on('error', () => undefined)
  const live = `GET /live HTTP/1.1\r\nHost: x\r\nx:${' '.repeat(8000)}y\r\n\r\n`
  for (let count = 0; count < 3; count++) {
    socket.write(live)
    expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /)
  }
  const isClosed = whenClosed(socket)
  const answer = once(socket, 'data')
  socket.write(live.replace('x:', `x:${' '.repeat(200)}`))
  expect(String((await answer)[0])).toMatch(/^HTTP\/1\.1 431 /)
  await isClosed
})

/** A ClientHello, to be sent without being a client. */
async function helloOf(): Promise<Buffer> {
  return await new Promise((resolve) => {
    const socket = new Duplex({
      read: () => undefined,
      write: (bytes: Buffer) => resolve(bytes),
    })
    handshake({ socket, rejectUnauthorized: false })
  })
}

async function connectFrom(localAddress: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** Connections to the server that the system has, and the server has not accepted yet. */
function unacceptedCount(): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1, -1)
  return rows.filter((row) => {
    const [, to = '', , state, , , , , , inode] = row.trim().split(/\s+/)
    return to.endsWith(local) && state === '01' && inode === '0'
  }).length
}

test('however many hellos one address sends at once, that of another waits for a few of them', async () => {
  const hello = await helloOf()
  const crowd: Socket[] = []
  for (let count = 0; count < 60; count++) crowd.push(await connectFrom('127.0.0.7'))
  const probe = await connectFrom('127.0.0.8')
  const answered: Socket[] = []
  const all = [...crowd, probe]
  const answers = all.map(async (socket) => {
    await once(socket, 'data')
    answered.push(socket)
  })
  // All of them are there when it looks: libuv accepts one connection a turn.
  await expect.poll(unacceptedCount).toBe(0)
  server.signal('SIGSTOP')
  try {
    for (const socket of all) {
      await new Promise<void>((resolve) => socket.write(hello, () => resolve()))
    }
  } finally {
    server.signal('SIGCONT')
  }
  await Promise.all(answers)
  for (const socket of all) socket.destroy()
  expect(answered.indexOf(probe)).toBeLessThan(30)
})

test('no connection is keyed anew', async () => {
  const socket = await connectTls(port, { maxVersion: 'TLSv1.2' })
  socket.on('error', () => undefined)
  const error = await new Promise<Error | null>((resolve) => {
    socket.once('close', () => resolve(new Error('closed')))
    socket.renegotiate({}, resolve)
  })
  socket.destroy()
  expect(error).not.toBeNull()
})

test('the audit has a line of each login, without the password', async () => {
  await get('monitor', 'right')
  await get('monitor', 'a-wrong-one')
  const lines = (): Record<string, unknown>[] =>
    readFileSync(auditLog, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ mechanism }) => mechanism === 'http-basic')
  await expect
    .poll(lines)
    .toEqual(
      expect.arrayContaining([
        expect.objectContaining({ event: 'login', user: 'monitor', outcome: 'success' }),
        expect.objectContaining({ event: 'login', user: 'monitor', reason: 'wrong-password' }),
      ]),
    )
  expect(readFileSync(auditLog, 'utf8')).not.toContain('a-wrong-one')
})

test('who guesses over HTTP is refused by every way in, and others are not', async () => {
  const from = { localAddress: GUESSER, servername: 'localhost' }
  for (let count = 0; count < FAILURES_MAX; count++) {
    const answer = await get('victim', 'wrong', from)
    expect(answer).toMatchObject({ status: 401, connection: 'close' })
  }
  await server.waitForLog(({ event }) => event === 'throttle_began')
  expect(await get('victim', 'right', from)).toMatchObject({ status: 401 })
  const client = await connectTls(server.port, from)
  client.setEncoding('latin1').write('set auth 0 0 12\r\nvictim right\r\n')
  const answer = await new Promise((resolve) => client.once('data', resolve))
  expect(answer).toMatch(/^CLIENT_ERROR /)
  client.destroy()
  expect(await get('monitor', 'right')).toMatchObject({ status: 200 })
})

/** The first word of the answer to a login in text over TLS, from there. */
async function logInByText(from: string, user: string, password: string): Promise<string> {
  const options = { localAddress: from, servername: 'localhost' }
  const client = await connectTls(server.port, options)
  const login = `${user} ${password}`
  client.write(`set x 0 0 ${login.length}\r\n${login}\r\n`)
  const [answer] = await once(client, 'data')
  client.destroy()
  return String(answer).split(/\s/)[0] ?? ''
}

test.each([
  ['shared', '127.0.0.10'],
  ['scraper', '127.0.0.11'],
])('amid guesses, what one port found right the other lets in: %s from %s', async (user, from) => {
  const overHttp = async (password: string): Promise<string> =>
    (await get(user, password, { localAddress: from })).status === 200 ? 'STORED' : 'CLIENT_ERROR'
  const overText = (password: string): Promise<string> => logInByText(from, user, password)
  const [first, other] = user === 'shared' ? [overText, overHttp] : [overHttp, overText]
  expect(await first('right')).toBe('STORED')
  for (let guess = 0; guess < 2 * FAILURES_MAX; guess++) {
    expect(await first(`guess${guess}`)).toBe('CLIENT_ERROR')
  }
  // One check is taken at most every 0.2 s: this one is, and the next would be refused unseen.
  const [guessed, ...allowed] = await Promise.all([
    first('guess'),
    ...Array.from({ length: 4 }, () => other('right')),
  ])
  expect([guessed, ...allowed]).toEqual(['CLIENT_ERROR', ...Array(4).fill('STORED')])
})

test('a removed user is refused at once, on a connection that has logged in', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const ask = (user: string): Promise<Answer> => get(user, 'right', { agent })
  expect(await ask('leaver')).toMatchObject({ status: 200 })
  expect(await ask('leaver')).toMatchObject({ status: 200, isSameConnection: true })
  server.replaceUsers(STAYS)
  await server.waitForLog(({ event, users }) => event === 'credentials_reloaded' && users === 1)
  expect(await ask('leaver')).toMatchObject({ status: 401, isSameConnection: true })
  expect(await ask('monitor')).toMatchObject({ status: 200 })
  agent.destroy()
})

test('newcomers are shown the new certificate, and who is there stays', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const before = await get('monitor', 'right', { agent })
  expect(before.certificate).toBe(tls.server.certificate)
  const next = tls.authority.issue({ names: 'DNS:localhost' })
  writeFileSync(tls.server.certificateFile, next.certificate)
  writeFileSync(tls.server.keyFile, next.key)
  server.signal('SIGHUP')
  await expect.poll(async () => (await get('monitor', 'right')).certificate).toBe(next.certificate)
  expect(await get('monitor', 'right', { agent })).toMatchObject({
    status: 200,
    isSameConnection: true,
  })
  agent.destroy()
})

test('health says why a server that answers is not ready', async () => {
  const ready = createServer((_, response) => response.writeHead(503).end(`${STUCK}\n`))
  ready.listen(0, '127.0.0.1')
  await once(ready, 'listening')
  const http = (ready.address() as AddressInfo).port
  const flags = [...tls.server.flags, '-l', '127.0.0.1', '-p', String(server.port)]
  const command = [SERVER_NODE, SERVER_PROGRAM, 'health', ...flags]
  expect(await runProgram([...command, '--http', `notls:127.0.0.1:${http}`])).toMatchObject({
    exitCode: 1,
    stderr: `unhealthy: ${server.address}: not ready: ${STUCK}\n`,
  })
  ready.close()
  await once(ready, 'close')
  // Whoever keeps the port from answering does not have the server restarted.
  const silent = await runProgram([...command, '--http', `notls:127.0.0.1:${http}`])
  expect(silent).toMatchObject({ exitCode: 0, stderr: '' })
})

test('a server that finishes what is under way is not ready, and not healthy', async () => {
  const socketPath = join(tls.directory, 'h.sock')
  const stopping = await startSaslcached({
    flags: ['--http', socketPath, '--drain-timeout', '120'],
  })
  const client = connect(stopping.port, '127.0.0.1')
  client.setEncoding('latin1').write('mn\r\nset k 0 0 4\r\nva')
  await new Promise((resolve) => client.once('data', resolve))
  stopping.signal('SIGTERM')
  await stopping.waitForLog(({ event }) => event === 'stopping')
  const ready = await new Promise((resolve, reject) => {
    askPlain({ socketPath, path: '/ready' }, (response) => {
      let text = ''
      response.on('data', (bytes: Buffer) => {
        text += bytes
      })
      response.on('end', () => resolve({ status: response.statusCode, text }))
    })
      .on('error', reject)
      .end()
  })
  expect(ready).toEqual({ status: 503, text: 'draining: the server is stopping\n' })
  const flags = ['-l', '127.0.0.1', '-p', String(stopping.port), '--http', socketPath]
  const health = await runProgram([SERVER_NODE, SERVER_PROGRAM, 'health', ...flags])
  expect(health).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/^unhealthy: /) })
  // What was under way is finished.
  const answer = new Promise((resolve, reject) => {
    client.once('data', resolve).once('close', () => reject(new Error('it was cut off')))
  })
  client.write('lu\r\n')
  expect(await answer).toBe('STORED\r\n')
  client.destroy()
  await stopping.stop()
})

test('who guesses at one Unix socket has nobody refused at another', async () => {
  const paths = ['monitors.sock', 'others.sock'].map((name) => join(tls.directory, name))
  const guessed = await startSaslcached({
    users: ['guessed', 'monitor'].map((name) => ({ name, password: 'right' })),
    throttles: true,
    flags: [
      ...paths.flatMap((path) => ['--http', path]),
      ...['--http-auth', '--throttle-failures', String(FAILURES_MAX)],
      ...['--throttle-min', '600', '--throttle-max', '600'],
    ],
  })
  const statusOf = async (socketPath: string, auth: string): Promise<number | undefined> =>
    await new Promise((resolve, reject) => {
      askPlain({ socketPath, path: '/metrics', auth, agent: false }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode))
      })
        .on('error', reject)
        .end()
    })
  const [here = '', there = ''] = paths
  for (let count = 0; count < FAILURES_MAX; count++) {
    expect(await statusOf(there, 'guessed:wrong')).toBe(401)
  }
  expect(await statusOf(there, 'monitor:right')).toBe(401)
  expect(await statusOf(here, 'monitor:right')).toBe(200)
  await guessed.stop()
})
