/**
 * Logins by token over real TLS, with an issuer of the test's own that publishes its keys over HTTP on
 * loopback, and the example of docs/oauth.md as it stands there.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { requestFrame } from '../support/binary-frames.ts'
import { hasPrerequisites, runProgram } from '../support/program.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import {
  AUDIENCE,
  bearer,
  claimsOf,
  ISSUER,
  type Json,
  keySetText,
  type SigningKey,
  signingKey,
  tokenOf,
} from '../support/token-issuer.ts'

const GUIDE = join(import.meta.dirname, '..', '..', 'docs', 'oauth.md')
const WEB = 'system:serviceaccount:shop:web'
const SASL_LIST = 0x20
const SASL_AUTH = 0x21
const SASL_STEP = 0x22

const first = signingKey('RS256', 'first')
const second = signingKey('ES256', 'second')
const third = signingKey('ES256', 'third')

let published = [first]
/** The issuer takes questions and answers none. */
let hangs = false
let issuer: Server
let folder: string
let server: TestServer

function claims(changes: Json = {}): Json {
  const now = Math.floor(Date.now() / 1000)
  return claimsOf({ sub: WEB, iat: now, exp: now + 600, ...changes })
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'saslcached-oauth-'))
  const pair = ['-keyout', 'key.pem', '-out', 'cert.pem', '-days', '2', '-subj', '/CN=localhost']
  const made = await runProgram(
    ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
      .concat(pair)
      .concat(['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']),
    { directory: folder },
  )
  expect(made.exitCode).toBe(0)
  issuer = createServer((_, response) => {
    if (!hangs) response.end(keySetText(...published))
  })
  await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve))
  const { port } = issuer.address() as AddressInfo
  const usersFile = join(folder, 'users.toml')
  writeFileSync(
    usersFile,
    `[users.alice]
password = "wonderland"
[users."${WEB}"]
password_login = false
roles = ["readwrite"]
`,
    { mode: 0o600 },
  )
  server = await startSaslcached({
    users: [{ name: 'unused', password: 'unused' }],
    flags: [
      ...['--users-file', usersFile, '--tls'],
      ...['--tls-cert', join(folder, 'cert.pem'), '--tls-key', join(folder, 'key.pem')],
      ...['--oauth-issuer', ISSUER, '--oauth-audience', AUDIENCE, '--oauth-roles-claim', 'roles'],
      ...['--oauth-jwks-url', `http://127.0.0.1:${port}/jwks`, '--oauth-clock-skew', '0'],
    ],
  })
})

afterAll(async () => {
  await server.stop()
  issuer.closeAllConnections()
  issuer.close()
  rmSync(folder, { recursive: true, force: true })
})

class TlsClient {
  readonly socket: TLSSocket
  readonly ended: Promise<void>
  private received = Buffer.alloc(0)
  private wake: () => void = () => undefined

  constructor() {
    const ca = readFileSync(join(folder, 'cert.pem'))
    this.socket = connect({ host: '127.0.0.1', port: server.port, servername: 'localhost', ca })
    this.socket.on('data', (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes])
      this.wake()
    })
    this.ended = new Promise((resolve) => this.socket.once('end', resolve))
    onTestFinished(() => void this.socket.destroy())
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(bytes)
  }

  private async take(isWhole: () => number): Promise<Buffer> {
    while (isWhole() < 0) await new Promise<void>((resolve) => (this.wake = resolve))
    const length = isWhole()
    const taken = this.received.subarray(0, length)
    this.received = this.received.subarray(length)
    return taken
  }

  async line(): Promise<string> {
    const line = await this.take(() => {
      const end = this.received.indexOf('\r\n')
      return end < 0 ? -1 : end + 2
    })
    return line.toString().trimEnd()
  }

  /** A request of the binary protocol: the status and the body of its reply. */
  async ask(opcode: number, key: string, value: Uint8Array): Promise<[number, string]> {
    this.send(requestFrame({ opcode, key, value: Buffer.from(value).toString('latin1') }))
    const frame = await this.take(() => {
      const { received } = this
      const whole = received.length < 24 ? Number.POSITIVE_INFINITY : 24 + received.readUInt32BE(8)
      return received.length < whole ? -1 : whole
    })
    return [frame.readUInt16BE(6), frame.toString('latin1', 24)]
  }

  async textLogin(token: string): Promise<string> {
    const message = bearer(token)
    this.send(`sasl auth OAUTHBEARER ${message.length}\r\n`)
    this.send(Buffer.concat([message, Buffer.from('\r\n')]))
    return await this.line()
  }
}

function token(changes: Json = {}, key: SigningKey = first): string {
  return tokenOf(key, claims(changes))
}

describe('a client with a token', () => {
  test('logs in over the binary protocol, and is refused as RFC 7628 has it', async () => {
    const client = new TlsClient()
    const none = new Uint8Array(0)
    const [status, list] = await client.ask(SASL_LIST, '', none)
    expect([status, list]).toEqual([
      0,
      'SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN OAUTHBEARER',
    ])
    const late = bearer(token({ exp: 1 }))
    expect(await client.ask(SASL_AUTH, 'OAUTHBEARER', late)).toEqual([
      0x21,
      '{"status":"invalid_token"}',
    ])
    const acknowledgement = Buffer.from('\u0001')
    expect(await client.ask(SASL_STEP, 'OAUTHBEARER', acknowledgement)).toEqual([
      0x20,
      'Auth failure.',
    ])
    expect(await client.ask(SASL_AUTH, 'OAUTHBEARER', bearer(token()))).toEqual([
      0,
      'Authenticated',
    ])
    expect(await client.ask(0x0a, '', none)).toEqual([0, ''])
    const failed = await server.waitForLog(({ event }) => event === 'login_failed')
    expect(failed).toMatchObject({ reason: 'token-expired', mechanism: 'OAUTHBEARER' })
    const login = await server.waitForLog(({ event }) => event === 'login')
    expect(login).toMatchObject({ user: WEB, mechanism: 'OAUTHBEARER' })
    expect(server.output()).not.toContain(token().split('.')[1])
  })

  test('has the rights of its user, or of its roles', async () => {
    const user = new TlsClient()
    expect(await user.textLogin(token({ roles: ['readonly'] }))).toBe('SASL_OK')
    user.send('set shared 0 0 1\r\nx\r\n')
    expect(await user.line()).toBe('STORED')
    const reader = new TlsClient()
    expect(await reader.textLogin(token({ sub: 'guest', roles: ['readonly'] }))).toBe('SASL_OK')
    reader.send('mg shared v\r\nset shared 0 0 1\r\ny\r\n')
    expect([await reader.line(), await reader.line()]).toEqual(['VA 1', 'x'])
    expect(await reader.line()).toMatch(/^CLIENT_ERROR/)
    const nobody = new TlsClient()
    expect(await nobody.textLogin(token({ sub: 'guest', roles: ['other'] }))).toBe(
      'SASL_CONTINUE 26',
    )
  })

  test('is no administrator for a role that its issuer calls admin', async () => {
    const admin = token({ sub: 'guest', roles: ['admin', 'operator'] })
    expect(await new TlsClient().textLogin(admin)).toBe('SASL_CONTINUE 26')
    const reader = new TlsClient()
    expect(await reader.textLogin(token({ sub: 'guest', roles: ['admin', 'readonly'] }))).toBe(
      'SASL_OK',
    )
    reader.send('flush_all\r\n')
    expect(await reader.line()).toMatch(/^CLIENT_ERROR/)
  })

  test('signed with a key that the issuer has published since is let in', async () => {
    const early = new TlsClient()
    expect(await early.textLogin(token({}, second))).toBe('SASL_CONTINUE 26')
    published = [first, second]
    process.kill(server.pid, 'SIGHUP')
    await server.waitForLog(
      ({ event, ids }) => event === 'token_keys_loaded' && ids === 'first second',
    )
    expect(await new TlsClient().textLogin(token({}, second))).toBe('SASL_OK')
    expect(await new TlsClient().textLogin(token())).toBe('SASL_OK')
  })

  test('has the issuer asked for a key that nobody knows yet, and keeps nobody waiting while it hangs', async () => {
    hangs = true
    server.signal('SIGHUP')
    const late = new TlsClient()
    expect(await late.textLogin(token({}, third))).toBe('SASL_CONTINUE 26')
    expect(await new TlsClient().textLogin(token())).toBe('SASL_OK')
    issuer.closeAllConnections()
    await server.waitForLog(({ event }) => event === 'token_keys_refused')
    expect(await new TlsClient().textLogin(token())).toBe('SASL_OK')
    hangs = false
    published = [first, third]
    // The issuer is asked once in ten seconds, whatever tokens strangers show.
    await expect
      .poll(async () => await new TlsClient().textLogin(token({}, third)), {
        timeout: 40_000,
        interval: 200,
      })
      .toBe('SASL_OK')
    expect(await new TlsClient().textLogin(token({}, second))).toBe('SASL_CONTINUE 26')
  })

  test('is cut when the token expires, and stays when it has shown a newer one', async () => {
    const soon = Math.floor(Date.now() / 1000) + 12
    const cut = new TlsClient()
    const kept = new TlsClient()
    expect(await cut.textLogin(token({ exp: soon }))).toBe('SASL_OK')
    expect(await kept.textLogin(token({ exp: soon }))).toBe('SASL_OK')
    expect(await kept.textLogin(token())).toBe('SASL_OK')
    await cut.ended
    expect(Date.now() / 1000).toBeGreaterThanOrEqual(soon - 0.01)
    kept.send('mn\r\n')
    expect(await kept.line()).toBe('MN')
    await server.waitForLog(
      ({ event, connections }) => event === 'logins_expired' && connections === 1,
    )
  })
})

const PYMEMCACHE = [
  {
    packages: 'python3 python3-pymemcache',
    probe: ['/usr/bin/python3', '-c', 'import pymemcache'],
  },
]

if (hasPrerequisites('the guide to tokens', PYMEMCACHE)) {
  test('the example of the guide logs in, stores and reads back', async () => {
    const block = /<!-- example: oauth-pymemcache -->\n```python\n([\s\S]*?)\n```/.exec(
      readFileSync(GUIDE, 'utf8'),
    )
    writeFileSync(join(folder, 'token'), `${token()}\n`)
    const example = (block?.[1] ?? '')
      .replace('/var/run/secrets/cache/token', join(folder, 'token'))
      .replace('/etc/cache/ca.pem', join(folder, 'cert.pem'))
      .replace('11211', String(server.port))
    writeFileSync(join(folder, 'example.py'), example)
    const python = ['/usr/bin/python3', join(folder, 'example.py')]
    expect(await runProgram(python)).toMatchObject({ exitCode: 0, stdout: 'hello\n' })
    writeFileSync(join(folder, 'token'), token({ aud: 'another' }))
    const refused = await runProgram(python)
    expect(refused.exitCode).toBe(1)
    expect(refused.stderr).toContain('PermissionError: the cache does not take the token')
  })
}
