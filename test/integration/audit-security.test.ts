/**
 * What the audit has of all that decides who gets in, on a real server with TLS: versions and
 * certificates of logins, handshakes that failed, listeners, reloads that came to something and those
 * that did not, commands that a flag takes away, throttling; and a disk that fills and has room again.
 */
import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LogRecord, startSaslcached, type TestServer } from '../support/server.ts'
import { connectTls, TestTls } from '../support/tls.ts'
import { AUDIENCE, ISSUER, keySetText, signingKey } from '../support/token-issuer.ts'
import { whenClosed } from '../support/when-closed.ts'

const PASSWORD = 'correct-horse'
const USERS = [
  { name: 'alice', password: PASSWORD },
  { name: 'monitor', password: PASSWORD },
]
const MONITOR_SOCKET = 'monitor.sock'

const tls = new TestTls()
const alice = tls.authority.issue({ subject: '/O=Shop, Inc./CN=alice', names: '' })
const directory = mkdtempSync(join(tmpdir(), 'audit-security-'))
const at = (name: string): string => join(directory, name)
const audit = at('audit.log')
let server: TestServer

beforeAll(async () => {
  writeFileSync(at('jwks.json'), keySetText(signingKey('ES256', 'one')))
  server = await startSaslcached({
    users: USERS,
    flags: [
      ...['-t', '2', '-F', '-X', '-W', '--audit-log', audit, '--audit-keys', 'hashed'],
      ...[...tls.server.flags, '--tls-ca', tls.caFile, '--tls-verify', '1'],
      ...['--tls-user-from', 'cn', '--mechanisms', 'EXTERNAL,SCRAM-SHA-256,PLAIN,OAUTHBEARER'],
      ...['--listen-as', `monitor=${at(MONITOR_SOCKET)}`],
      ...['--oauth-issuer', ISSUER, '--oauth-audience', AUDIENCE],
      ...['--oauth-jwks-file', at('jwks.json')],
      ...['--throttle', 'on', '--throttle-failures', '3', '--login-attempts', '100'],
    ],
  })
})

afterAll(async () => {
  await server.stop()
  tls.remove()
  rmSync(directory, { recursive: true, force: true })
})

type Line = LogRecord & { readonly seq: number }

function linesOf(path: string): Line[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as Line)
}

/** The first line, past or future, that has all this; undefined stands for what is not there. */
async function line(fields: Readonly<Record<string, unknown>>): Promise<LogRecord> {
  let found: LogRecord | undefined
  await expect
    .poll(() => {
      found = linesOf(audit).find((each) =>
        Object.entries(fields).every(([name, value]) => each[name] === value),
      )
      return found !== undefined
    })
    .toBe(true)
  return found ?? {}
}

async function ask(socket: TLSSocket | ReturnType<typeof connect>, text: string): Promise<string> {
  socket.write(text)
  let received = ''
  while (!received.endsWith('\r\n')) received += String((await once(socket, 'data'))[0])
  return received
}

function login(user: string, password: string): string {
  const value = `${user} ${password}`
  return `set auth 0 0 ${value.length}\r\n${value}\r\n`
}

test('listeners say whether they speak TLS, and who comes in there as whom', async () => {
  expect(await line({ event: 'listener', family: 'IPv4' })).toMatchObject({
    tls: 'client certificates if there are',
  })
  expect(await line({ event: 'listener', family: 'unix' })).toMatchObject({
    tls: 'none',
    identity: 'monitor',
  })
})

test('a login has its TLS version, and the subject and fingerprint of a certificate', async () => {
  const fingerprint = new X509Certificate(alice.certificate).fingerprint256
    .replaceAll(':', '')
    .toLowerCase()
  const options: ConnectionOptions = { cert: alice.certificate, key: alice.key }
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await connectTls(server.port, { ...options, maxVersion: version })
    expect(await ask(socket, 'sasl auth EXTERNAL 0\r\n\r\n')).toBe('SASL_OK\r\n')
    socket.destroy()
    expect(await line({ event: 'login', tls: version, mechanism: 'EXTERNAL' })).toMatchObject({
      outcome: 'success',
      user: 'alice',
      certificate: 'O=Shop\\, Inc.,CN=alice',
      fingerprint,
    })
  }
  const socket = await connectTls(server.port)
  expect(await ask(socket, login('alice', PASSWORD))).toBe('STORED\r\n')
  const bare = await line({ event: 'login', mechanism: 'PLAIN' })
  expect(bare).toMatchObject({ user: 'alice', tls: 'TLSv1.3' })
  expect(bare).not.toHaveProperty('certificate')
  socket.destroy()
})

test('a login by certificate ends with the certificate, and no session brings it back', async () => {
  // How long openssl takes here says how busy the machine is.
  const beganMs = Date.now()
  tls.authority.issue({ subject: '/CN=somebody', names: '' })
  const endsAtMs = Date.now() + 12_000 + 5 * (Date.now() - beganMs)
  const pair = tls.authority.issue({ subject: '/CN=alice', names: '', endsAtMs })
  const options: ConnectionOptions = {
    cert: pair.certificate,
    key: pair.key,
    maxVersion: 'TLSv1.2',
  }
  const socket = await connectTls(server.port, options)
  const session = socket.getSession()
  expect(await ask(socket, 'sasl auth EXTERNAL 0\r\n\r\n')).toBe('SASL_OK\r\n')
  socket.resume()
  await once(socket, 'end')
  await server.waitForLog(({ event }) => event === 'logins_expired')
  // Over TLS 1.2 a client that resumes is done before the server has looked.
  const resumed = await connectTls(server.port, { ...options, session })
  expect(resumed.isSessionReused()).toBe(true)
  resumed.on('error', () => undefined)
  resumed.resume()
  await whenClosed(resumed)
  await line({ event: 'handshake', reason: 'CERT_HAS_EXPIRED' })
})

test('who comes in by a listener is a login, and commands that a flag takes away are refusals', async () => {
  const socket = connect(at(MONITOR_SOCKET))
  expect(await ask(socket, 'flush_all\r\n')).toMatch(/ERROR/)
  expect(await ask(socket, 'lru_crawler metadump all\r\n')).toMatch(/ERROR/)
  expect(await ask(socket, 'watch fetchers\r\n')).toMatch(/ERROR/)
  expect(await ask(socket, 'shutdown\r\n')).toMatch(/ERROR/)
  socket.destroy()
  await line({ event: 'login', outcome: 'success', user: 'monitor', mechanism: 'listener' })
  for (const command of ['flush', 'dump-items', 'watch', 'shutdown']) {
    await line({ event: 'refused', user: 'monitor', command, lacks: 'option' })
  }
  expect(linesOf(audit).filter(({ event }) => event === 'operation')).toEqual([])
})

test('a handshake that failed is a line of its own', async () => {
  const stranger = connect(server.port, '127.0.0.1')
  stranger.on('error', () => undefined)
  stranger.write('GET / HTTP/1.1\r\n\r\n')
  stranger.resume()
  await whenClosed(stranger)
  expect(await line({ event: 'handshake' })).toMatchObject({
    outcome: 'failure',
    peer: expect.stringMatching(/^127\.0\.0\.1:/),
    reason: expect.stringMatching(/./),
  })
})

test('reloads of certificates and token keys say what is another, and which file is wrong', async () => {
  const pair = tls.authority.issue({ names: 'DNS:new.example' })
  writeFileSync(tls.server.certificateFile, 'nothing\n')
  await line({ event: 'reload', what: 'certificates', outcome: 'failure' })
  writeFileSync(tls.server.certificateFile, pair.certificate)
  writeFileSync(tls.server.keyFile, pair.key)
  const reloaded = await line({ event: 'reload', what: 'certificates', outcome: 'success' })
  expect(reloaded).toMatchObject({ changed: ['new.example'], generation: expect.any(Number) })
  const refused = linesOf(audit).filter(({ outcome, what }) => {
    return outcome === 'failure' && what === 'certificates'
  })
  expect(refused[0]).toMatchObject({ files: [tls.server.certificateFile] })

  writeFileSync(at('jwks.json'), '{')
  const broken = await line({ event: 'reload', what: 'token-keys', outcome: 'failure' })
  expect(broken).toMatchObject({ files: [at('jwks.json')] })
  writeFileSync(at('jwks.json'), keySetText(signingKey('ES256', 'two')))
  const keys = await line({ event: 'reload', what: 'token-keys', outcome: 'success' })
  expect(keys).toMatchObject({ added: ['two'], removed: ['one'] })
  expect(readFileSync(audit, 'utf8')).not.toContain('PRIVATE KEY')
})

test('throttling is a line when it begins', async () => {
  const elsewhere = { localAddress: '127.0.9.9' } as ConnectionOptions
  for (const password of ['a', 'b', 'c']) {
    const socket = await connectTls(server.port, elsewhere)
    expect(await ask(socket, login('nobody', password))).toMatch(/ERROR/)
    socket.destroy()
  }
  await line({ event: 'throttle', state: 'began', source: '127.0.9.9' })
  await line({ event: 'login', outcome: 'failure', reason: 'unknown-user' })
})

/** How large a file the server may make; undefined: as large as it likes. */
function limitFiles({ pid }: TestServer, bytes: number | undefined): void {
  const limit = `--fsize=${bytes ?? 'unlimited'}:`
  const { status, stderr } = spawnSync('prlimit', [`--pid=${pid}`, limit])
  if (status !== 0) throw new Error(String(stderr))
}

test('a line that the disk had half room for is torn, counted, and the next begins a line', async () => {
  const path = at('full.log')
  const flags = ['-t', '1', '-F', '--audit-log', path, '--listen-as', `monitor=${at('full.sock')}`]
  const own = await startSaslcached({ users: USERS, flags })
  // Before that, lines of the start may still be on their way.
  await own.waitForLog(({ event }) => event === 'started')
  const socket = connect(at('full.sock'))
  const lastOf = (): string => readFileSync(path, 'utf8').split('\n').at(-2) ?? ''
  expect(await ask(socket, 'flush_all\r\n')).toMatch(/ERROR/)
  await expect.poll(lastOf).toMatch(/"refused"/)
  const { size } = statSync(path)
  limitFiles(own, size + 40)
  for (let count = 0; count < 3; count++)
    expect(await ask(socket, 'flush_all\r\n')).toMatch(/ERROR/)
  await own.waitForLog(({ event }) => event === 'audit_failed')
  await expect.poll(() => statSync(path).size).toBe(size + 40)
  limitFiles(own, undefined)
  const { lost } = await own.waitForLog(({ event }) => event === 'audit_lines_lost')
  // The others came when the disk had room again.
  const lostCount = Number(lost)
  expect(lostCount).toBeOneOf([1, 2, 3])
  expect(await ask(socket, 'flush_all\r\n')).toMatch(/ERROR/)
  await expect.poll(lastOf).toMatch(/"refused"/)
  socket.destroy()
  await own.stop()
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  const torn = lines.findIndex((each) => !each.endsWith('}'))
  expect(torn).toBeGreaterThan(0)
  const whole = lines.toSpliced(torn, 1).map((each) => JSON.parse(each) as Line)
  expect(whole.slice(torn - 1).map(({ event, count }) => [event, count])).toEqual([
    ['refused', undefined],
    ['lost', lostCount],
    ...Array.from({ length: 4 - lostCount }, () => ['refused', undefined]),
    ['stop', undefined],
  ])
  const numbers = whole.map(({ seq }) => seq)
  const all = Array.from({ length: torn + 6 }, (_, index) => index + 1)
  expect(numbers).toEqual(all.toSpliced(torn, lostCount))
})
