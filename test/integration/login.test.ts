/**
 * Signing in over a real socket: the SASL rules row by row, also against Debian's memcached, then what
 * saslcached does differently on purpose (unknown users, limits before login, re-login, reload).
 */
import { readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DIGESTS, SCRAM } from 'kafkajs/src/broker/saslAuthenticator/scram.js'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import {
  type FrameFields,
  type ResponseFrame,
  requestFrame,
  storeFrame,
  words,
} from '../support/binary-frames.ts'
import { missingPrerequisite } from '../support/program.ts'
import {
  type LogRecord,
  MEMCACHED,
  type ServerKind,
  type ServerOptions,
  startMemcached,
  startSaslcached as startTestServer,
  type TestServer,
  type User,
} from '../support/server.ts'

const GET = 0x00
const SET = 0x01
const QUIT = 0x07
const NOOP = 0x0a
const VERSION = 0x0b
const STAT = 0x10
const SASL_LIST = 0x20
const SASL_AUTH = 0x21
const SASL_STEP = 0x22

const OK = 0x00
const INVALID = 0x04
const REFUSED = 0x20
const CONTINUE = 0x21

const ALICE: User = { name: 'alice', password: 'correct horse' }
const BOB: User = { name: 'bob', password: 'battery staple' }
const UNICODE: User = { name: 'jürgen-日本', password: 'pä:ss wörd:€' }
/** More than the default list, whose choice is another test's business. */
const MECHANISMS = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN']
const ATTEMPTS_MAX = 5
const PRELOGIN_BYTES_MAX = 64 * 1024

type Start = (options?: ServerOptions) => Promise<TestServer>

const missingMemcached = missingPrerequisite([MEMCACHED])
/** As it is shipped: who fails ten times from one address is refused unseen. */
async function startSaslcached(options: ServerOptions = {}): Promise<TestServer> {
  return await startTestServer({ throttles: true, ...options })
}

const SERVERS: [ServerKind, Start][] = [['saslcached', startSaslcached]]
if (missingMemcached === undefined) SERVERS.push(['memcached', startMemcached])
else console.warn(`the reference: ${missingMemcached}`)

async function connectTo(server: TestServer): Promise<BinaryClient> {
  const client = await BinaryClient.connect(server)
  onTestFinished(() => client.destroy())
  return client
}

function expectRefusal(frame: ResponseFrame | undefined, opcode: number): void {
  expect(frame).toMatchObject({ magic: 0x81, opcode, status: REFUSED, cas: 0n })
  expect(frame?.extras.length).toBe(0)
  expect(frame?.key.length).toBe(0)
  expect(frame?.value.toString()).toBe('Auth failure.')
}

function expectSuccess(frame: ResponseFrame, opcode: number = SASL_AUTH): void {
  expect(frame).toMatchObject({ opcode, status: OK, cas: 0n })
  expect(frame.value.toString()).toBe('Authenticated')
  expect(frame.extras.length + frame.key.length).toBe(0)
}

/** Still open and not logged in: VERSION is answered, and so is a login. */
async function expectStillLocked(client: BinaryClient): Promise<void> {
  expect((await client.request({ opcode: VERSION })).status).toBe(OK)
  expect(client.isClosed).toBe(false)
}

async function expectLoggedIn(client: BinaryClient): Promise<void> {
  expect(await client.request({ opcode: NOOP, opaque: 7 })).toMatchObject({ status: OK, opaque: 7 })
}

async function expectStrangers(client: BinaryClient, count: string): Promise<void> {
  client.send(requestFrame({ opcode: STAT, key: 'auth' }))
  const stats = new Map<string, string>()
  for (;;) {
    const { key, value } = await client.receive()
    if (key.length === 0) break
    stats.set(key.toString(), value.toString())
  }
  expect(stats.get('unauthenticated_connections')).toBe(count)
}

function plain(user: User, authzid = ''): string {
  return `${authzid}\0${user.name}\0${user.password}`
}

function plainFrame(message: string | Uint8Array, opaque = 0): Buffer {
  return requestFrame({ opcode: SASL_AUTH, key: 'PLAIN', value: message, opaque })
}

describe.each(SERVERS)('%s', (_, start) => {
  let server: TestServer
  beforeAll(async () => {
    server = await start({ users: [ALICE, BOB, UNICODE], mechanisms: MECHANISMS })
  })
  afterAll(async () => await server?.stop())

  const connect = async (): Promise<BinaryClient> => await connectTo(server)

  test('LIST names the mechanisms, space separated', async () => {
    const client = await connect()
    const listed = await client.request({ opcode: SASL_LIST, opaque: 3 })
    expect(listed).toMatchObject({ opcode: SASL_LIST, status: OK, opaque: 3, cas: 0n })
    expect(listed.value.toString().split(' ').sort()).toEqual([
      'PLAIN',
      'SCRAM-SHA-1',
      'SCRAM-SHA-256',
      'SCRAM-SHA-512',
    ])
  })

  test('VERSION is answered before login', async () => {
    const client = await connect()
    const { status, value } = await client.request({ opcode: VERSION })
    expect(status).toBe(OK)
    expect(value.length).toBeGreaterThan(0)
  })

  test('every other opcode, quiet or not, is refused before login and closes', async () => {
    const opcodes = Array.from({ length: 0x25 }, (_, opcode) => opcode).filter(
      (opcode) => ![VERSION, SASL_LIST, SASL_AUTH, SASL_STEP].includes(opcode),
    )
    await Promise.all(
      opcodes.map(async (opcode) => {
        const client = await BinaryClient.connect(server)
        client.send(requestFrame({ opcode, opaque: opcode }))
        const replies = await client.closed()
        expect([opcode, replies.length]).toEqual([opcode, 1])
        expectRefusal(replies[0], opcode)
        expect(replies[0]?.opaque).toBe(opcode)
      }),
    )
  })

  test('a well-formed SET before login is refused and stores nothing', async () => {
    const stranger = await connect()
    stranger.send(Buffer.concat([storeFrame(SET, 'intruder', 'v'), requestFrame({ opcode: NOOP })]))
    const replies = await stranger.closed()
    expect(replies.length).toBe(1)
    expectRefusal(replies[0], SET)
    const client = await connect()
    await client.loginPlain(ALICE.name, ALICE.password)
    expect((await client.request({ opcode: GET, key: 'intruder' })).status).toBe(0x01)
  })

  test.each([
    ['alice', ALICE],
    ['a name and password of UTF-8', UNICODE],
  ])('PLAIN logs %s in', async (_, user) => {
    const client = await connect()
    expectSuccess(await client.startSasl('PLAIN', plain(user)))
    await expectLoggedIn(client)
  })

  test('PLAIN takes an authorization identity that is the user', async () => {
    const client = await connect()
    expectSuccess(await client.startSasl('PLAIN', plain(ALICE, ALICE.name)))
    await expectLoggedIn(client)
  })

  test.each([
    ['a wrong password', 'PLAIN', '\0alice\0wrong'],
    ['the start of the password', 'PLAIN', '\0alice\0correct hors'],
    ['more than the password', 'PLAIN', '\0alice\0correct horse!'],
    ['the password of another', 'PLAIN', '\0alice\0battery staple'],
    ['an unknown user', 'PLAIN', '\0mallory\0correct horse'],
    ['an unknown mechanism', 'FANCY-1', '\0alice\0correct horse'],
    ['ANONYMOUS', 'ANONYMOUS', 'alice'],
    ['PLAIN without NUL', 'PLAIN', 'alice correct horse'],
    ['PLAIN with one NUL', 'PLAIN', 'alice\0correct horse'],
    ['PLAIN without a user', 'PLAIN', '\0\0correct horse'],
    ['another authorization identity', 'PLAIN', 'bob\0alice\0correct horse'],
    ['PLAIN that is not UTF-8', 'PLAIN', Buffer.from('\0ali\xffce\0correct horse', 'latin1')],
  ] as const)('%s is refused, and the connection may try again', async (_, mechanism, message) => {
    const client = await connect()
    expectRefusal(await client.startSasl(mechanism, message), SASL_AUTH)
    await expectStillLocked(client)
    expectSuccess(await client.startSasl('PLAIN', plain(ALICE)))
    await expectLoggedIn(client)
  })

  test('PLAIN without an initial response asks for it', async () => {
    const client = await connect()
    const asked = await client.startSasl('PLAIN', '')
    expect(asked).toMatchObject({ opcode: SASL_AUTH, status: CONTINUE, cas: 0n })
    expect(asked.value.length).toBe(0)
    expectSuccess(await client.stepSasl('PLAIN', plain(ALICE)), SASL_STEP)
    await expectLoggedIn(client)
  })

  test('the name of a mechanism is compared without case', async () => {
    const client = await connect()
    expectSuccess(await client.startSasl('plaIN', plain(ALICE)))
  })

  test('a mechanism name over 32 bytes is Invalid arguments, and the connection stays', async () => {
    const client = await connect()
    const refused = await client.startSasl('X'.repeat(33), plain(ALICE))
    expect(refused).toMatchObject({ opcode: SASL_AUTH, status: INVALID })
    expect(refused.value.toString()).toBe('Invalid arguments')
    await expectStillLocked(client)
    expectRefusal(await client.startSasl('X'.repeat(32), plain(ALICE)), SASL_AUTH)
  })

  const invalid: [string, FrameFields][] = [
    ['without a mechanism', { opcode: SASL_AUTH, value: plain(ALICE) }],
    ['with extras', { opcode: SASL_AUTH, extras: words(0), key: 'PLAIN', value: plain(ALICE) }],
    ['STEP without a mechanism', { opcode: SASL_STEP, value: 'x' }],
  ]
  test.each(invalid)('a login %s is Invalid arguments, then close', async (_, fields) => {
    const client = await connect()
    client.send(requestFrame(fields))
    expect((await client.closed()).map(({ status }) => status)).toEqual([INVALID])
  })

  test('STEP without START is refused, and the connection stays', async () => {
    const client = await connect()
    expectRefusal(await client.stepSasl('PLAIN', plain(ALICE)), SASL_STEP)
    await expectStillLocked(client)
  })

  test('LIST, AUTH, SET and GET in one write are answered in order', async () => {
    const client = await connect()
    client.send(
      Buffer.concat([
        requestFrame({ opcode: SASL_LIST, opaque: 1 }),
        plainFrame(plain(BOB), 2),
        storeFrame(SET, 'written at once', 'v', { opaque: 3 }),
        requestFrame({ opcode: GET, key: 'written at once', opaque: 4 }),
      ]),
    )
    const replies = await client.receiveMany(4)
    expect(replies.map(({ opaque, status }) => [opaque, status])).toEqual([
      [1, OK],
      [2, OK],
      [3, OK],
      [4, OK],
    ])
    expect(replies[3]?.value.toString()).toBe('v')
  })

  test('a command behind a refused login in one write is refused as well', async () => {
    const client = await connect()
    client.send(
      Buffer.concat([
        plainFrame('\0alice\0wrong', 1),
        storeFrame(SET, 'behind a refusal', 'v', { opaque: 2 }),
        requestFrame({ opcode: NOOP, opaque: 3 }),
      ]),
    )
    const replies = await client.closed()
    expect(replies.map(({ opaque }) => opaque)).toEqual([1, 2])
    expectRefusal(replies[0], SASL_AUTH)
    expectRefusal(replies[1], SET)
  })
})

/** Runs the SCRAM client of kafkajs over `client`; true if it accepts the server's signature. */
async function scram(
  client: BinaryClient,
  mechanism: 'SCRAM-SHA-256' | 'SCRAM-SHA-512',
  user: User,
): Promise<{ readonly accepted: boolean; readonly replies: readonly ResponseFrame[] }> {
  const replies: ResponseFrame[] = []
  const peer = new SCRAM(
    { username: user.name, password: user.password },
    'localhost',
    0,
    { debug: () => undefined, error: () => undefined },
    async ({ request, response }) => {
      // Kafka's framing, a length in front, is not ours.
      const message = (await request.encode()).subarray(4)
      const reply =
        replies.length === 0
          ? await client.startSasl(mechanism, message)
          : await client.stepSasl(mechanism, message)
      replies.push(reply)
      if (reply.status !== CONTINUE) throw new Error('refused')
      const length = Buffer.alloc(4)
      length.writeInt32BE(reply.value.length)
      return await response.parse(await response.decode(Buffer.concat([length, reply.value])))
    },
    mechanism === 'SCRAM-SHA-256' ? DIGESTS.SHA256 : DIGESTS.SHA512,
  )
  const accepted = await peer.authenticate().then(
    () => true,
    () => false,
  )
  return { accepted, replies }
}

/** What a client-first message with this name is answered. */
async function serverFirst(
  server: TestServer,
  name: string,
  mechanism = 'SCRAM-SHA-256',
): Promise<{ readonly nonce: string; readonly salt: string; readonly iterations: string }> {
  const client = await BinaryClient.connect(server)
  try {
    const reply = await client.startSasl(mechanism, `n,,n=${name},r=fixed-nonce`)
    expect(reply.status).toBe(CONTINUE)
    const match = /^r=(\S+),s=([A-Za-z0-9+/=]+),i=(\d+)$/.exec(reply.value.toString())
    expect(match, reply.value.toString()).not.toBeNull()
    const [, nonce = '', salt = '', iterations = ''] = match ?? []
    return { nonce, salt, iterations }
  } finally {
    client.destroy()
  }
}

/** All bytes that come back for `bytes`, until the server closes. */
async function transcript(server: TestServer, bytes: Uint8Array): Promise<string> {
  const client = await BinaryClient.connect(server)
  const received: Buffer[] = []
  client.socket.on('data', (chunk) => received.push(chunk))
  client.send(bytes)
  await client.closed()
  return Buffer.concat(received).toString('hex')
}

async function authStats(client: BinaryClient): Promise<Record<string, number>> {
  client.send(requestFrame({ opcode: STAT, key: 'auth' }))
  const rows: Record<string, number> = {}
  for (;;) {
    const { key, value } = await client.receive()
    if (key.length === 0) return rows
    rows[key.toString()] = Number(value.toString())
  }
}

function usersToml(users: readonly User[], head = ''): string {
  const entries = users.map(
    ({ name, password }) =>
      `[users.${JSON.stringify(name)}]\npassword = ${JSON.stringify(password)}\n`,
  )
  return head + entries.join('\n')
}

describe('SCRAM', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached({ users: [ALICE, BOB], mechanisms: MECHANISMS })
  })
  afterAll(async () => await server?.stop())

  describe.each(['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const)('%s', (mechanism) => {
    test('an independent client checks our signature; an empty STEP ends the login', async () => {
      const client = await connectTo(server)
      const { accepted, replies } = await scram(client, mechanism, ALICE)
      expect(accepted).toBe(true)
      expect(replies.map(({ status }) => status)).toEqual([CONTINUE, CONTINUE])
      expect(replies[1]?.value.toString()).toMatch(/^v=/)
      expectSuccess(await client.stepSasl(mechanism, ''), SASL_STEP)
      await expectLoggedIn(client)
    })

    test('nobody is in before the empty STEP', async () => {
      const client = await connectTo(server)
      expect((await scram(client, mechanism, ALICE)).accepted).toBe(true)
      client.send(requestFrame({ opcode: NOOP }))
      const replies = await client.closed()
      expect(replies.length).toBe(1)
      expectRefusal(replies[0], NOOP)
    })

    test('anything but an empty last STEP fails the login', async () => {
      const client = await connectTo(server)
      expect((await scram(client, mechanism, ALICE)).accepted).toBe(true)
      expectRefusal(await client.stepSasl(mechanism, 'x'), SASL_STEP)
      expectRefusal(await client.stepSasl(mechanism, ''), SASL_STEP)
      await expectStillLocked(client)
    })

    test('a wrong password fails at the proof, and the next login works', async () => {
      const client = await connectTo(server)
      const wrong = { name: ALICE.name, password: 'wrong' }
      const { accepted, replies } = await scram(client, mechanism, wrong)
      expect(accepted).toBe(false)
      expect(replies.map(({ status }) => status)).toEqual([CONTINUE, REFUSED])
      expect((await scram(client, mechanism, ALICE)).accepted).toBe(true)
      expectSuccess(await client.stepSasl(mechanism, ''), SASL_STEP)
    })
  })

  test('LIST and VERSION in the middle of a login do not disturb it', async () => {
    const client = await connectTo(server)
    expect((await scram(client, 'SCRAM-SHA-256', ALICE)).accepted).toBe(true)
    await client.listMechanisms()
    await client.request({ opcode: VERSION })
    expectSuccess(await client.stepSasl('SCRAM-SHA-256', ''), SASL_STEP)
  })

  test('another START ends the login under way', async () => {
    const client = await connectTo(server)
    expect((await scram(client, 'SCRAM-SHA-256', ALICE)).accepted).toBe(true)
    expectSuccess(await client.startSasl('PLAIN', plain(BOB)))
    expectRefusal(await client.stepSasl('SCRAM-SHA-256', ''), SASL_STEP)
  })
})

describe('unknown users', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached({ users: [ALICE, BOB], mechanisms: MECHANISMS })
  })
  afterAll(async () => await server?.stop())

  test('PLAIN: a connection of failures is the same to the byte as with a wrong password', async () => {
    const failures = (name: string): Buffer =>
      Buffer.concat(
        Array.from({ length: ATTEMPTS_MAX }, (_, index) =>
          plainFrame(`\0${name}\0guess ${index}`, index),
        ),
      )
    const known = await transcript(server, failures('alice'))
    const unknown = await transcript(server, failures('mallo'))
    expect(unknown).toBe(known)
    expect(known.length).toBe(ATTEMPTS_MAX * 2 * (24 + 'Auth failure.'.length))
  })

  test.each(['SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])(
    '%s: the challenge has the same shape, and the salt does not change between attempts',
    async (mechanism) => {
      const known = await serverFirst(server, 'alice', mechanism)
      const unknown = await serverFirst(server, 'mallory', mechanism)
      const again = await serverFirst(server, 'mallory', mechanism)
      const other = await serverFirst(server, 'trudy', mechanism)
      expect(unknown.iterations).toBe(known.iterations)
      expect(unknown.salt.length).toBe(known.salt.length)
      expect(unknown.nonce.length).toBe(known.nonce.length)
      expect(again.salt).toBe(unknown.salt)
      expect(other.salt).not.toBe(unknown.salt)
      expect(again.nonce).not.toBe(unknown.nonce)
    },
  )

  test('SCRAM: an unknown user fails at the proof, as a wrong password does', async () => {
    const outcomes = await Promise.all(
      [
        { name: 'alice', password: 'wrong' },
        { name: 'mallory', password: ALICE.password },
      ].map(async (user) => {
        const { replies } = await scram(await connectTo(server), 'SCRAM-SHA-256', user)
        return replies.map(({ opcode, status, value, cas }, index) => ({
          opcode,
          status,
          cas,
          value: index === 0 ? value.length : value.toString(),
        }))
      }),
    )
    expect(outcomes[0]?.length).toBe(2)
    expect(outcomes[1]).toEqual(outcomes[0])
  })

  test('with a decoy_key their salts survive a restart', async () => {
    const file = join(server.directory, 'with-decoy-key.toml')
    writeFileSync(file, usersToml([ALICE], `decoy_key = "${'A'.repeat(43)}="\n`), { mode: 0o600 })
    // Two processes, whether one after the other or not.
    const saltOfAnother = async (): Promise<string> => {
      const flags = ['--users-file', file, '-t', '1']
      const run = await startSaslcached({ users: [BOB], flags })
      try {
        return (await serverFirst(run, 'mallory')).salt
      } finally {
        await run.stop()
      }
    }
    const salts = await Promise.all([saltOfAnother(), saltOfAnother()])
    expect(salts[0]).toBe(salts[1])
    expect((await serverFirst(server, 'mallory')).salt).not.toBe(salts[0])
  })

  test('only the log knows the reason', async () => {
    // Of its own: those above failed so often that nobody's password is looked at.
    const own = await startSaslcached({ users: [ALICE] })
    const client = await connectTo(own)
    await client.attemptPlain('somebody new', 'x')
    await client.attemptPlain('somebody new', 'y')
    await client.attemptPlain('somebody old', 'x')
    await client.attemptPlain(ALICE.name, 'x')
    await own.waitForLog(({ reason }) => reason === 'wrong-password')
    const log = own.log()
    await own.stop()
    const records = log.filter((record) => /^12 chara/.test(String(record.unknown_user)))
    expect(records).toHaveLength(3)
    const [record, again, other] = records
    expect(record).toMatchObject({
      event: 'login_failed',
      mechanism: 'PLAIN',
      reason: 'unknown-user',
    })
    // Repeats can be seen, and nothing that was sent.
    expect(record).toMatchObject({ unknown_user: expect.stringMatching(/^12 characters, \w{8}$/) })
    expect(again?.unknown_user).toBe(record?.unknown_user)
    expect(other?.unknown_user).not.toBe(record?.unknown_user)
    expect(JSON.stringify(log)).not.toContain('somebody')
    expect(String(record?.peer)).toMatch(/^127\.0\.0\.1:\d+$/)
  })
})

describe('the login state', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached({ users: [ALICE, BOB] })
  })
  afterAll(async () => await server?.stop())

  test('LIST leaves a logged-in connection logged in', async () => {
    const client = await connectTo(server)
    await client.loginPlain(ALICE.name, ALICE.password)
    await client.listMechanisms()
    await expectLoggedIn(client)
  })

  test('a second login that succeeds takes the place of the first', async () => {
    const client = await connectTo(server)
    await client.loginPlain(ALICE.name, ALICE.password)
    await client.loginPlain(BOB.name, BOB.password)
    await expectLoggedIn(client)
  })

  test('a second login that fails ends the first', async () => {
    const client = await connectTo(server)
    await client.loginPlain(ALICE.name, ALICE.password)
    expectRefusal(await client.attemptPlain(ALICE.name, 'wrong'), SASL_AUTH)
    client.send(requestFrame({ opcode: NOOP }))
    const replies = await client.closed()
    expect(replies.length).toBe(1)
    expectRefusal(replies[0], NOOP)
  })

  test('a second login that is left for a third ends the first, and its place', async () => {
    const own = await startSaslcached({
      users: [ALICE],
      mechanisms: MECHANISMS,
      flags: ['-t', '1', '--login-timeout', '10'],
    })
    onTestFinished(async () => await own.stop())
    const client = await connectTo(own)
    const watching = await connectTo(own)
    for (const each of [client, watching]) await each.loginPlain(ALICE.name, ALICE.password)
    const first = { opcode: SASL_AUTH, key: 'SCRAM-SHA-256', value: 'n,,n=alice,r=abcdefgh' }
    expect((await client.request(first)).status).toBe(CONTINUE)
    await expectStrangers(watching, '0')
    expect((await client.request(first)).status).toBe(CONTINUE)
    await expectStrangers(watching, '1')
    expectRefusal(await client.request({ opcode: NOOP }), NOOP)
    await client.closed()
    // Nor may who has lost a login so stay longer than any stranger.
    const silent = await connectTo(own)
    await silent.loginPlain(ALICE.name, ALICE.password)
    for (let count = 0; count < 2; count++) await silent.request(first)
    await silent.closed()
  })

  test('commands behind an unfinished login wait their turn, in order', async () => {
    const server = await startSaslcached({ users: [ALICE] })
    onTestFinished(async () => await server.stop())
    const client = await connectTo(server)
    const count = 500
    const frames = [plainFrame(plain(ALICE), 1)]
    for (let index = 0; index < count; index++) {
      frames.push(storeFrame(SET, `key ${index}`, `value ${index}`, { opaque: 2 + index }))
    }
    // The first login of a server always derives a key: what is behind it does wait.
    client.send(Buffer.concat(frames))
    const replies = await client.receiveMany(1 + count)
    expectSuccess(replies[0] as ResponseFrame)
    expect(replies.map(({ opaque }) => opaque)).toEqual(
      Array.from({ length: 1 + count }, (_, index) => 1 + index),
    )
    expect(replies.every(({ status }) => status === OK)).toBe(true)
  })

  test('a client that leaves in the middle of a login disturbs nobody', async () => {
    for (let index = 0; index < 20; index++) {
      const client = await BinaryClient.connect(server)
      client.send(plainFrame(`\0alice\0guess ${index}`))
      client.destroy()
    }
    const client = await connectTo(server)
    await client.loginPlain(ALICE.name, ALICE.password)
    await expectLoggedIn(client)
  })

  test('a client that ends its side behind the login still gets its answers', async () => {
    const client = await connectTo(server)
    client.send(Buffer.concat([plainFrame(plain(ALICE)), requestFrame({ opcode: NOOP })]))
    client.end()
    expect((await client.closed()).map(({ status }) => status)).toEqual([OK, OK])
  })

  test('logins are counted as memcached counts them', async () => {
    const counting = await startSaslcached({ users: [ALICE] })
    onTestFinished(async () => await counting.stop())
    const client = await connectTo(counting)
    await client.attemptPlain(ALICE.name, 'wrong')
    await client.loginPlain(ALICE.name, ALICE.password)
    client.send(requestFrame({ opcode: STAT }))
    const stats = new Map<string, string>()
    for (;;) {
      const { key, value } = await client.receive()
      if (key.length === 0) break
      stats.set(key.toString(), value.toString())
    }
    expect([stats.get('auth_cmds'), stats.get('auth_errors')]).toEqual(['2', '1'])
  })
})

test('an exchange that is left unfinished is an attempt, with a line in the log', async () => {
  const server = await startSaslcached({ users: [ALICE] })
  onTestFinished(() => server.stop())
  const client = await connectTo(server)
  const first = requestFrame({
    opcode: SASL_AUTH,
    key: 'SCRAM-SHA-256',
    value: 'n,,n=alice,r=abcdefgh',
  })
  client.send(Buffer.concat(Array.from({ length: 100 }, () => first)))
  const replies = await client.receiveMany(ATTEMPTS_MAX + 1)
  expect(replies.map(({ status }) => status)).toEqual([
    ...Array.from({ length: ATTEMPTS_MAX }, () => CONTINUE),
    REFUSED,
  ])
  await client.closed()
  const line = await server.waitForLog(({ event }) => event === 'login_failed')
  expect(line).toMatchObject({ user: 'alice', mechanism: 'SCRAM-SHA-256', reason: 'aborted' })
})

describe('limits before login', () => {
  test(`the ${ATTEMPTS_MAX}th failure is answered, then the connection closes`, async () => {
    const server = await startSaslcached({ users: [ALICE] })
    onTestFinished(async () => await server.stop())
    const client = await connectTo(server)
    for (let attempt = 1; attempt < ATTEMPTS_MAX; attempt++) {
      expectRefusal(await client.attemptPlain(ALICE.name, 'wrong'), SASL_AUTH)
      await expectStillLocked(client)
    }
    client.send(plainFrame('\0alice\0wrong'))
    client.send(plainFrame(plain(ALICE)))
    const replies = await client.closed()
    expect(replies.length).toBe(1)
    expectRefusal(replies[0], SASL_AUTH)
    const next = await connectTo(server)
    await next.loginPlain(ALICE.name, ALICE.password)
    expect((await authStats(next)).auth_attempts_exceeded).toBe(1)
  })

  test('a success starts the count anew', async () => {
    const server = await startSaslcached({ users: [ALICE], flags: ['--login-attempts', '2'] })
    onTestFinished(async () => await server.stop())
    const client = await connectTo(server)
    for (let round = 0; round < 4; round++) {
      expectRefusal(await client.attemptPlain(ALICE.name, 'wrong'), SASL_AUTH)
      await client.loginPlain(ALICE.name, ALICE.password)
    }
    await expectLoggedIn(client)
  })

  test('who has not logged in by the deadline is closed without a word; who has, stays', async () => {
    // Time enough to log in on a busy machine.
    const server = await startSaslcached({ users: [ALICE], flags: ['--login-timeout', '6'] })
    onTestFinished(async () => await server.stop())
    const client = await connectTo(server)
    await client.loginPlain(ALICE.name, ALICE.password)
    const startedMs = performance.now()
    const silent = await connectTo(server)
    const asking = await connectTo(server)
    const halfway = await connectTo(server)
    await asking.listMechanisms()
    halfway.send(plainFrame(plain(ALICE)).subarray(0, 30))
    for (const stranger of [silent, asking, halfway]) {
      expect(await stranger.closed()).toEqual([])
      expect(stranger.unframed.length).toBe(0)
    }
    const elapsedMs = performance.now() - startedMs
    expect(elapsedMs).toBeGreaterThan(5_200)
    await expectLoggedIn(client)
    expect((await authStats(client)).login_timeouts).toBe(3)
  })

  test('a login that was lost has the deadline again', async () => {
    const server = await startSaslcached({ users: [ALICE], flags: ['--login-timeout', '6'] })
    onTestFinished(async () => await server.stop())
    const client = await connectTo(server)
    await client.loginPlain(ALICE.name, ALICE.password)
    expectRefusal(await client.attemptPlain(ALICE.name, 'wrong'), SASL_AUTH)
    expect(await client.closed()).toEqual([])
  })

  describe('on size', () => {
    let server: TestServer
    beforeAll(async () => {
      server = await startSaslcached({ users: [ALICE] })
    })
    afterAll(async () => await server?.stop())

    test('a login of 64 KiB is read and refused for what it says', async () => {
      const client = await connectTo(server)
      const value = Buffer.alloc(PRELOGIN_BYTES_MAX - 'PLAIN'.length, 'x')
      expectRefusal(await client.startSasl('PLAIN', value), SASL_AUTH)
      await expectStillLocked(client)
    })

    test('one byte more is refused before its body comes, and closes', async () => {
      const client = await connectTo(server)
      client.send(
        requestFrame({ opcode: SASL_AUTH, key: 'PLAIN', bodyLength: PRELOGIN_BYTES_MAX + 1 }),
      )
      const replies = await client.closed()
      expect(replies.length).toBe(1)
      expectRefusal(replies[0], SASL_AUTH)
    })

    test('a SET before login is refused at its header, whatever body it announces', async () => {
      const client = await connectTo(server)
      const frame = requestFrame({
        opcode: SET,
        key: 'k',
        extras: words(0, 0),
        bodyLength: 1 << 29,
      })
      client.send(frame.subarray(0, 24))
      const replies = await client.closed()
      expect(replies.length).toBe(1)
      expectRefusal(replies[0], SET)
    })

    test('the body of an unknown opcode is not waited for before login', async () => {
      const client = await connectTo(server)
      client.send(requestFrame({ opcode: 0x99, bodyLength: 0xffffffff }))
      const replies = await client.closed()
      expect(replies.length).toBe(1)
      expectRefusal(replies[0], 0x99)
    })
  })

  test('QUIT before login is refused like any command', async () => {
    const server = await startSaslcached({ users: [ALICE] })
    onTestFinished(async () => await server.stop())
    const client = await connectTo(server)
    client.send(requestFrame({ opcode: QUIT }))
    expectRefusal((await client.closed())[0], QUIT)
  })
})

describe('users that change', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached({ users: [ALICE], mechanisms: MECHANISMS })
  })
  afterAll(async () => await server?.stop())

  const tries = async (user: User): Promise<number> => {
    const client = await BinaryClient.connect(server)
    try {
      return (await client.attemptPlain(user.name, user.password)).status
    } finally {
      client.destroy()
    }
  }

  /** Acts, and resolves with the first log line of `event` that came since. */
  const afterEvent = async (event: string, act: () => void): Promise<LogRecord> => {
    const since = new Date().toISOString()
    act()
    return await server.waitForLog(
      (record) => record.event === event && String(record.time) > since,
    )
  }

  test('SIGHUP and each way of writing the file bring the new users into force', async () => {
    const file = server.usersFile
    const staged = join(server.directory, 'staged.toml')
    const ways: readonly [string, (content: string) => void][] = [
      ['written in place', (content) => writeFileSync(file, content)],
      [
        'renamed over',
        (content) => {
          writeFileSync(staged, content, { mode: 0o600 })
          renameSync(staged, file)
        },
      ],
      [
        'a symbolic link that moves on',
        (content) => {
          const target = join(server.directory, 'next-generation.toml')
          writeFileSync(target, content, { mode: 0o600 })
          symlinkSync(target, staged)
          renameSync(staged, file)
        },
      ],
      [
        'SIGHUP',
        (content) => {
          writeFileSync(file, content)
          server.signal('SIGHUP')
        },
      ],
    ]
    let password = ALICE.password
    for (const [way, write] of ways) {
      expect([way, await tries({ name: 'alice', password })]).toEqual([way, OK])
      const next = `password ${way}`
      await afterEvent('credentials_reloaded', () =>
        write(usersToml([{ name: 'alice', password: next }])),
      )
      // The old one was remembered from its success a moment ago: reload has dropped that.
      expect([way, await tries({ name: 'alice', password })]).toEqual([way, REFUSED])
      expect([way, await tries({ name: 'alice', password: next })]).toEqual([way, OK])
      password = next
    }
  })

  test('a connection stays logged in across a reload', async () => {
    await afterEvent('credentials_reloaded', () => server.replaceUsers(usersToml([ALICE])))
    const client = await connectTo(server)
    await client.loginPlain(ALICE.name, ALICE.password)
    await afterEvent('credentials_reloaded', () => server.replaceUsers(usersToml([ALICE, BOB])))
    await expectLoggedIn(client)
    expect(await tries(BOB)).toBe(OK)
  })

  test('a broken file keeps the old users, and the log says file and line', async () => {
    const good = readFileSync(server.usersFile, 'utf8')
    const broken = `${good}\n[users.carol]\npassword = "unfinished\n`
    const brokenLine = broken.split('\n').findIndex((line) => line.includes('unfinished')) + 1
    const record = await afterEvent('credentials_refused', () => server.replaceUsers(broken))
    expect(record.level).toBe('error')
    expect(String(record.message)).toContain(`${server.usersFile}:${brokenLine}`)
    expect(String(record.message)).not.toContain(ALICE.password)
    expect(await tries(ALICE)).toBe(OK)
    expect(await tries(BOB)).toBe(OK)
    expect(await tries({ name: 'carol', password: 'unfinished' })).toBe(REFUSED)
    await afterEvent('credentials_reloaded', () =>
      server.replaceUsers(usersToml([{ name: 'carol', password: 'finished' }])),
    )
    expect(await tries(ALICE)).toBe(REFUSED)
    expect(await tries({ name: 'carol', password: 'finished' })).toBe(OK)
  })

  test('two passwords of one user both work while they are rotated', async () => {
    await afterEvent('credentials_reloaded', () =>
      server.replaceUsers('[users.alice]\npassword = ["the old one", "the new one"]\n'),
    )
    for (const password of ['the old one', 'the new one']) {
      const user = { name: 'alice', password }
      expect([password, await tries(user)]).toEqual([password, OK])
      expect([password, await tries(user)]).toEqual([password, OK])
      const client = await connectTo(server)
      expect((await scram(client, 'SCRAM-SHA-512', user)).accepted).toBe(true)
      expectSuccess(await client.stepSasl('SCRAM-SHA-512', ''), SASL_STEP)
    }
    expect(await tries({ name: 'alice', password: 'neither' })).toBe(REFUSED)
  })
})

test('only configured mechanisms are announced and accepted, in their order', async () => {
  const server = await startSaslcached({
    users: [ALICE],
    mechanisms: ['SCRAM-SHA-256', 'SCRAM-SHA-512'],
  })
  onTestFinished(async () => await server.stop())
  const client = await connectTo(server)
  expect(await client.listMechanisms()).toEqual(['SCRAM-SHA-256', 'SCRAM-SHA-512'])
  expectRefusal(await client.startSasl('PLAIN', plain(ALICE)), SASL_AUTH)
  expect((await scram(client, 'SCRAM-SHA-256', ALICE)).accepted).toBe(true)
})
