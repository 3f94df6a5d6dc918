/**
 * Logins that depend on the TLS connection under them, over real ones: channel binding and client
 * certificates, by libsasl2 and by bytes. One server; what its log says of each login is looked at.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type SecureVersion, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestAuthority, type TestPair } from '../support/authority.ts'
import { BinaryClient } from '../support/binary-client.ts'
import {
  LIBGSASL,
  LIBSASL2,
  Libsasl2,
  type Libsasl2Answer,
  type Libsasl2Carrier,
} from '../support/libsasl2.ts'
import { hasPrerequisites } from '../support/program.ts'
import { type LogRecord, startSaslcached, type TestServer } from '../support/server.ts'
import { type Conversation, scramLogin } from '../unit/sasl/fixture.ts'

const OK = 0x00
const AUTH_ERROR = 0x20
const AUTH_CONTINUE = 0x21
const KEY_NOT_FOUND = 0x01
const OP_GET = 0x00
const WITHOUT_CERTIFICATE =
  'SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN'.split(' ')

const authority = new TestAuthority()
const folder = mkdtempSync(join(tmpdir(), 'saslcached-tls-logins-'))
const pairs = {
  alice: authority.issue({ subject: '/CN=alice' }),
  machine: authority.issue({ subject: '/CN=machine' }),
  nobody: authority.issue({ subject: '/CN=nobody' }),
  both: authority.issue({ subject: '/CN=alice/CN=bob' }),
}
const sockets: TLSSocket[] = []
let server: TestServer
let loginCount = 0

/** All have the same password but the machine, which has none. */
function writeUsers(...names: readonly string[]): void {
  const users = names.map((name) => {
    const login = name === 'machine' ? 'password_login = false' : 'password = "secret"'
    return `[users.${name}]\n${login}\n`
  })
  server.replaceUsers(users.join('\n'))
  // Just after the start nobody may watch the file yet.
  server.signal('SIGHUP')
}

beforeAll(async () => {
  const own = authority.issue({ names: 'DNS:localhost,IP:127.0.0.1' })
  const path = (name: string): string => join(folder, name)
  writeFileSync(path('ca.pem'), authority.certificate)
  writeFileSync(path('own.pem'), own.certificate)
  writeFileSync(path('own.key'), own.key, { mode: 0o600 })
  server = await startSaslcached({
    users: ['alice', 'bob'].map((name) => ({ name, password: 'secret' })),
    flags: [
      ...['-Z', '--tls-cert', path('own.pem'), '--tls-key', path('own.key')],
      ...['--tls-ca', path('ca.pem'), '--tls-verify', 'request', '--tls-user-from', 'cn'],
      ...['--login-attempts', '100'],
    ],
  })
  writeUsers('alice', 'bob', 'machine')
  await server.waitForLog(({ event }) => event === 'credentials_reloaded')
})

afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  authority.remove()
  rmSync(folder, { recursive: true, force: true })
  await server.stop()
})

interface TlsClient {
  readonly binary: BinaryClient
  readonly socket: TLSSocket
}

async function connectTls(
  pair?: TestPair,
  maxVersion: SecureVersion = 'TLSv1.3',
): Promise<TlsClient> {
  const { host, port } = server
  const own = pair === undefined ? {} : { cert: pair.certificate, key: pair.key }
  const socket = connect({ host, port, ca: authority.certificate, maxVersion, ...own })
  sockets.push(socket)
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve)
    socket.once('error', reject)
  })
  expect(socket.getProtocol()).toBe(maxVersion)
  return { binary: new BinaryClient(socket), socket }
}

/** What a client on this connection binds to, by its own means. */
function bindingOf(socket: TLSSocket, type: string): Buffer {
  if (type === 'tls-server-end-point') {
    return createHash('sha256').update(socket.getPeerCertificate().raw).digest()
  }
  return socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
}

/** Carries messages over a connection. */
function carrierOver({ binary }: TlsClient): Libsasl2Carrier & { mechanism: string } {
  const answer = ({ status, value }: { status: number; value: Buffer }): Libsasl2Answer => {
    if (status === AUTH_CONTINUE) return { kind: 'challenge', bytes: value }
    return { kind: status === OK ? 'success' : 'failure' }
  }
  return {
    mechanism: '',
    async start(mechanism, response) {
      this.mechanism = mechanism
      return answer(await binary.startSasl(mechanism, response ?? ''))
    },
    async step(response) {
      return answer(await binary.stepSasl(this.mechanism, response))
    },
  }
}

/** What the log has of the login that was just answered. */
async function nextLogin(): Promise<LogRecord> {
  loginCount += 1
  const isLogin = ({ event }: LogRecord): boolean => event === 'login' || event === 'login_failed'
  await server.waitForLogins(loginCount)
  const record = server.log().filter(isLogin)[loginCount - 1]
  if (record === undefined) throw new Error('the log lost a login')
  return record
}

async function isLoggedIn({ binary }: TlsClient): Promise<boolean> {
  const { status } = await binary.request({ opcode: OP_GET, key: 'key' })
  return status === KEY_NOT_FOUND
}

describe.each([
  ['TLSv1.3', 'tls-exporter'],
  ['TLSv1.3', 'tls-server-end-point'],
  ['TLSv1.2', 'tls-server-end-point'],
] as const)('over %s, bound by %s,', (version, type) => {
  const login = async (data: (socket: TLSSocket) => Buffer, mechanism: string): Promise<string> => {
    const client = await connectTls(undefined, version)
    expect(await client.binary.listMechanisms()).toEqual(WITHOUT_CERTIFICATE)
    const session = carrierOver(client) as unknown as Conversation
    const gs2Header = `p=${type},,`
    const bindingData = data(client.socket)
    const { kind } = await scramLogin(session, {
      ...{ mechanism, user: 'alice', password: 'secret', gs2Header, bindingData },
    })
    expect(await isLoggedIn(client)).toBe(kind === 'success')
    return kind
  }

  test.each(['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'SCRAM-SHA-1-PLUS'])(
    'a client logs in by %s, and is refused with anything else',
    async (mechanism) => {
      expect(await login((socket) => bindingOf(socket, type), mechanism)).toBe('success')
      expect(await nextLogin()).toMatchObject({ event: 'login', user: 'alice', mechanism })
      expect(await login(() => Buffer.alloc(32, 1), mechanism)).toBe('failure')
      const reason = { event: 'login_failed', user: 'alice', reason: 'channel-binding' }
      expect(await nextLogin()).toMatchObject({ ...reason, mechanism })
    },
  )
})

test('the binding of another connection to the same server is refused', async () => {
  const [one, other] = [await connectTls(), await connectTls()]
  const step = await scramLogin(carrierOver(one) as unknown as Conversation, {
    ...{ mechanism: 'SCRAM-SHA-256-PLUS', user: 'alice', password: 'secret' },
    ...{ gs2Header: 'p=tls-exporter,,', bindingData: bindingOf(other.socket, 'tls-exporter') },
  })
  expect(step.kind).toBe('failure')
  expect(await nextLogin()).toMatchObject({ reason: 'channel-binding' })
})

test('a client that was told that nothing can be bound to is refused', async () => {
  const step = await scramLogin(carrierOver(await connectTls()) as unknown as Conversation, {
    ...{ mechanism: 'SCRAM-SHA-256', user: 'alice', password: 'secret', gs2Header: 'y,,' },
  })
  expect(step.kind).toBe('failure')
  expect(await nextLogin()).toMatchObject({ reason: 'downgrade', user: 'alice' })
})

describe('a client certificate', () => {
  test.each([
    ['of a user lets it in by EXTERNAL, with an empty message', 'alice', '', OK],
    ['of a user lets it in by EXTERNAL, with its name', 'alice', 'alice', OK],
    ['of a user lets nobody else in', 'alice', 'bob', 'bad-authzid'],
    ['of a user without a password lets it in', 'machine', '', OK],
    ['that names nobody lets nobody in', 'nobody', '', 'certificate-of-nobody'],
    ['that names two lets nobody in', 'both', '', 'certificate-of-several'],
    ['that is not there lets nobody in', undefined, '', 'no-certificate'],
  ] as const)('%s', async (_what, name, authzid, outcome) => {
    const client = await connectTls(name === undefined ? undefined : pairs[name])
    const isNamed = name === 'alice' || name === 'machine'
    const list = isNamed ? ['EXTERNAL', ...WITHOUT_CERTIFICATE] : WITHOUT_CERTIFICATE
    expect(await client.binary.listMechanisms()).toEqual(list)
    const { status } = await client.binary.startSasl('EXTERNAL', authzid)
    expect(status).toBe(outcome === OK ? OK : AUTH_ERROR)
    expect(await isLoggedIn(client)).toBe(outcome === OK)
    expect(await nextLogin()).toMatchObject(
      outcome === OK
        ? { event: 'login', user: name, mechanism: 'EXTERNAL' }
        : { event: 'login_failed', mechanism: 'EXTERNAL', reason: outcome },
    )
  })

  test('lets a text client in, with an empty block or its name', async () => {
    for (const block of ['0\r\n\r\n', '5\r\nalice\r\n']) {
      const { socket } = await connectTls(pairs.alice)
      socket.removeAllListeners('data')
      let received = ''
      socket.on('data', (bytes: Buffer) => {
        received += bytes.toString()
      })
      socket.write(`sasl auth EXTERNAL ${block}get key\r\n`)
      await expect.poll(() => received).toBe('SASL_OK\r\nEND\r\n')
      expect(await nextLogin()).toMatchObject({ user: 'alice', mechanism: 'EXTERNAL' })
    }
  })

  test('does not stand in for a password, nor is there one to guess without', async () => {
    const client = await connectTls(pairs.machine)
    expect((await client.binary.attemptPlain('machine', 'secret')).status).toBe(AUTH_ERROR)
    expect(await nextLogin()).toMatchObject({ user: 'machine', reason: 'no-password' })
    expect((await client.binary.attemptPlain('alice', 'secret')).status).toBe(OK)
    expect(await nextLogin()).toMatchObject({ user: 'alice', mechanism: 'PLAIN' })
  })
})

if (hasPrerequisites('libsasl2', [LIBSASL2])) {
  describe('libsasl2', () => {
    const libsasl2 = new Libsasl2()
    beforeAll(async () => await libsasl2.build())
    afterAll(() => libsasl2.remove())

    test.each([
      ['TLSv1.3', 'tls-exporter'],
      ['TLSv1.2', 'tls-server-end-point'],
    ] as const)('logs in over %s with what %s gives it', async (version, type) => {
      const client = await connectTls(undefined, version)
      const mechanisms = (await client.binary.listMechanisms()).join(' ')
      const binding = { type, data: bindingOf(client.socket, type) }
      const login = { mechanisms, user: 'alice', password: 'secret', binding }
      const result = await libsasl2.login(login, carrierOver(client))
      expect(result.initialResponse).toContain(`p=${type},`)
      expect(result).toMatchObject({ outcome: 'success', mechanism: 'SCRAM-SHA-256' })
      expect(await isLoggedIn(client)).toBe(true)
      expect(await nextLogin()).toMatchObject({ user: 'alice', mechanism: 'SCRAM-SHA-256' })
    })

    test('logs in by its certificate', async () => {
      const client = await connectTls(pairs.machine)
      const login = { mechanisms: 'EXTERNAL', external: 'machine' }
      const result = await libsasl2.login(login, carrierOver(client))
      expect(result).toMatchObject({ outcome: 'success', mechanism: 'EXTERNAL' })
      expect(await isLoggedIn(client)).toBe(true)
      expect(await nextLogin()).toMatchObject({ user: 'machine', mechanism: 'EXTERNAL' })
    })
  })
}

if (hasPrerequisites('libgsasl', [LIBGSASL])) {
  describe('libgsasl', () => {
    const libgsasl = new Libsasl2('gsasl')
    beforeAll(async () => await libgsasl.build())
    afterAll(() => libgsasl.remove())

    const ALICE = { user: 'alice', password: 'secret' }

    test.each([
      ['SCRAM-SHA-256-PLUS', WITHOUT_CERTIFICATE.join(' ')],
      ['SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN'],
    ])(
      'logs in by %s from the list %s, and nowhere else with that',
      async (mechanism, mechanisms) => {
        const [client, other] = [await connectTls(), await connectTls()]
        const binding = { type: 'tls-exporter', data: bindingOf(client.socket, 'tls-exporter') }
        const login = { ...ALICE, mechanisms, binding }
        const result = await libgsasl.login(login, carrierOver(client))
        expect(result).toMatchObject({ outcome: 'success', mechanism })
        expect(result.initialResponse).toMatch(/^p=tls-exporter,,n=alice,r=/)
        expect(await isLoggedIn(client)).toBe(true)
        expect(await nextLogin()).toMatchObject({ user: 'alice', mechanism })

        const moved = await libgsasl.login(login, carrierOver(other))
        expect(moved).toMatchObject({ outcome: 'failure', mechanism })
        expect(await nextLogin()).toMatchObject({ reason: 'channel-binding' })
      },
    )

    test('logs in by SCRAM where it has nothing to bind to, and checks the answer to it', async () => {
      const client = await connectTls()
      const login = { ...ALICE, mechanisms: 'SCRAM-SHA-256' }
      const result = await libgsasl.login(login, carrierOver(client))
      expect(result).toMatchObject({ outcome: 'success', mechanism: 'SCRAM-SHA-256' })
      expect(result.initialResponse).toMatch(/^n,,n=alice,r=/)
      expect(await nextLogin()).toMatchObject({ user: 'alice', mechanism: 'SCRAM-SHA-256' })
    })

    test.each([
      ['', 'success', { event: 'login', user: 'machine' }],
      ['machine', 'success', { event: 'login', user: 'machine' }],
      ['alice', 'failure', { event: 'login_failed', reason: 'bad-authzid' }],
    ])('by its certificate, as %j: %s', async (authzid, outcome, record) => {
      const client = await connectTls(pairs.machine)
      const login = { mechanisms: 'EXTERNAL', authzid }
      expect(await libgsasl.login(login, carrierOver(client))).toMatchObject({ outcome })
      expect(await isLoggedIn(client)).toBe(outcome === 'success')
      expect(await nextLogin()).toMatchObject({ mechanism: 'EXTERNAL', ...record })
    })
  })
}

test('who logged in by a certificate is cut off when the user is removed; the others stay', async () => {
  const [alice, machine] = [await connectTls(pairs.alice), await connectTls(pairs.machine)]
  for (const { binary } of [alice, machine]) {
    expect((await binary.startSasl('EXTERNAL', '')).status).toBe(OK)
    await nextLogin()
  }
  writeUsers('alice', 'bob')
  await machine.binary.closed()
  // Every worker has them when that is said; before there were three.
  await server.waitForLog(({ event, users }) => event === 'credentials_reloaded' && users === 2)
  expect(await isLoggedIn(alice)).toBe(true)
  const late = await connectTls(pairs.machine)
  expect(await late.binary.listMechanisms()).toEqual(WITHOUT_CERTIFICATE)
  expect((await late.binary.startSasl('EXTERNAL', '')).status).toBe(AUTH_ERROR)
  expect(await nextLogin()).toMatchObject({ reason: 'certificate-of-nobody' })
})
