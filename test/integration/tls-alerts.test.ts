/**
 * Every TLS alert, known or not, and handshakes broken in every way: in the clear in the place of a hello, behind
 * it, and within a session. The connection ends if it must, is counted and told in the log once, and holds nothing
 * afterwards; a client beside it, logged in over TLS, goes on.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { connectTls, TestTls, TlsTunnel } from '../support/tls.ts'
import {
  ALERT,
  APPLICATION_DATA,
  CHANGE_CIPHER_SPEC,
  HANDSHAKE,
  plainRecord,
  type RecordVersion,
  TlsRecords,
} from '../support/tls-records.ts'

const LOGIN = 'set login 0 0 16\r\nalice wonderland\r\n'
const VERSIONS: readonly RecordVersion[] = ['TLSv1.2', 'TLSv1.3']
const WARNING = 1
const FATAL = 2
const CLOSE_NOTIFY = 0
const USER_CANCELED = 90
const NO_RENEGOTIATION = 100
/** RFC 8446, 6, with those that it calls obsolete (RFC 5246, 7.2). */
const NAMED = [
  ...[CLOSE_NOTIFY, 10, 20, 21, 22, 30, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71],
  ...[80, 86, USER_CANCELED, NO_RENEGOTIATION, 109, 110, 111, 112, 113, 114, 115, 116, 120],
]
const NUMBERS = [...NAMED, 1, 99, 121, 200, 255]
/** At a time. */
const CLIENTS = 16
/** In a row OpenSSL takes fewer. */
const FLOOD = 100
const DEADLINE_MS = 60_000

let tls: TestTls
let server: TestServer
let tunnel: TlsTunnel
let beside: TextClient
let before: Counts
/** Of each version, as Node's client sends it. */
const hellos = new Map<RecordVersion, Buffer>()

beforeAll(async () => {
  tls = new TestTls()
  server = await startSaslcached({
    users: [{ name: 'alice', password: 'wonderland' }],
    // What never ends by itself would outlast the test.
    flags: [...tls.server.flags, '-t', '1', '--login-timeout', '600'],
  })
  tunnel = await TlsTunnel.to(server.port)
  for (const version of VERSIONS) hellos.set(version, await captureHello(version))
})

afterAll(async () => {
  tunnel.close()
  await server.stop()
  tls.remove()
})

beforeEach(async () => {
  beside = new TextClient(tunnel)
  expect(await beside.ask(LOGIN)).toBe('STORED\r\n')
  // Those of the last test may not be gone yet.
  await expect.poll(heldBeside, { timeout: DEADLINE_MS }).toEqual(NOTHING_HELD)
  before = await counts()
})

async function captureHello(version: RecordVersion): Promise<Buffer> {
  const listener = createServer()
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const { port } = listener.address() as { port: number }
  const client = connectTls(port, { minVersion: version, maxVersion: version }).catch(
    () => undefined,
  )
  const [accepted] = (await once(listener, 'connection')) as [Socket]
  const [hello] = (await once(accepted, 'data')) as [Buffer]
  accepted.destroy()
  listener.close()
  await client
  return hello
}

async function rowsOf(group = ''): Promise<Record<string, number>> {
  const text = await beside.ask(`stats${group}\r\n`, 'END\r\n')
  return Object.fromEntries(
    [...text.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, name, value]) => [name, Number(value)]),
  )
}

interface Counts {
  readonly handshakes: number
  readonly protocol: number
}

async function counts(): Promise<Counts> {
  const { ssl_handshake_errors: handshakes = 0, ssl_proto_errors: protocol = 0 } = await rowsOf()
  return { handshakes, protocol }
}

const NOTHING_HELD = { connections: 1, strangers: 0, input: 0, replies: 0 }

async function heldBeside(): Promise<typeof NOTHING_HELD> {
  const { curr_connections: connections = 0, read_buf_bytes: input = 0 } = await rowsOf()
  const auth = await rowsOf(' auth')
  const { unauthenticated_connections: strangers = 0, unread_reply_bytes: replies = 0 } = auth
  return { connections, strangers, input, replies }
}

/** How many failed handshakes the log has told of, one by one or in sums. */
function logged(): number {
  let sum = 0
  for (const { event, failed } of server.log()) {
    if (event === 'tls_handshake_failed') sum++
    else if (event === 'tls_handshakes_summed_up') sum += Number(failed)
  }
  return sum
}

/** Since the test began so many have been counted, nothing of them is held, and the client beside is served. */
async function expectCounted(added: Counts): Promise<void> {
  await expect.poll(heldBeside, { timeout: DEADLINE_MS }).toEqual(NOTHING_HELD)
  const { handshakes, protocol } = await counts()
  expect({
    handshakes: handshakes - before.handshakes,
    protocol: protocol - before.protocol,
  }).toEqual(added)
  await expect.poll(logged, { timeout: DEADLINE_MS }).toBe(handshakes)
  expect(await beside.ask('set a 0 0 1\r\nx\r\n')).toBe('STORED\r\n')
  expect(await beside.ask('get a\r\n', 'END\r\n')).toBe('VALUE a 0 1\r\nx\r\nEND\r\n')
}

function raw(): Socket {
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  return socket
}

async function closed(socket: Socket, what: string): Promise<void> {
  socket.resume()
  if (socket.closed) return
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${what}: it is still open`)), DEADLINE_MS)
    socket.once('close', () => {
      clearTimeout(late)
      resolve()
    })
  })
}

/** What is answered to `bytes` until the server closes; `ends`: the client says that it sends no more. */
async function answerTo(what: string, bytes: Uint8Array, ends = false): Promise<Buffer> {
  const socket = raw()
  const pieces: Buffer[] = []
  socket.on('data', (piece) => pieces.push(piece))
  socket.write(bytes)
  if (ends) socket.end()
  await closed(socket, what)
  return Buffer.concat(pieces)
}

/** Runs all of them, a few at a time, and no more once one has failed. */
async function each<Item>(items: readonly Item[], run: (item: Item) => Promise<void>) {
  const left = [...items]
  const one = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await run(item)
  }
  const all = Array.from({ length: CLIENTS }, one)
  await Promise.all(all).finally(() => left.splice(0))
}

interface Alert {
  readonly level: number
  readonly number: number
}

const ALERTS: readonly Alert[] = NUMBERS.flatMap((number) =>
  [WARNING, FATAL].map((level) => ({ level, number })),
)

/**
 * What it does behind a hello, or in a session:
 *
 * - 'ends': the server closes.
 * - 'passes': all goes on.
 * - 'hushes': the session is over for OpenSSL, which has no name for the reason, and for want of one Node tells of no
 *   error. The server cannot know, and holds it like any that says nothing: until the client goes on or leaves, or up to
 *   the deadline for logins, or for idlers.
 */
function effectOf(version: RecordVersion, { level, number }: Alert): 'ends' | 'passes' | 'hushes' {
  // Of 1.3 the level means nothing (RFC 8446, 6).
  const isWarning = version === 'TLSv1.2' && level === WARNING
  if (number === CLOSE_NOTIFY) return isWarning || version === 'TLSv1.3' ? 'ends' : 'hushes'
  if (isWarning) return number === NO_RENEGOTIATION ? 'ends' : 'passes'
  // Who has canceled says goodbye behind it.
  if (version === 'TLSv1.3' && number === USER_CANCELED) return 'passes'
  return NAMED.includes(number) ? 'ends' : 'hushes'
}

/** Of those that are counted as errors; to say goodbye is none. */
function errorCount(version: RecordVersion): number {
  return ALERTS.filter(
    (alert) => alert.number !== CLOSE_NOTIFY && effectOf(version, alert) === 'ends',
  ).length
}

const inWords = ({ level, number }: Alert) => `alert ${number} of level ${level}`

describe('an alert', () => {
  test('in the place of a hello gets no answer, whatever its number', async () => {
    const all = Array.from({ length: 256 }, (_, number) => [
      { level: WARNING, number },
      { level: FATAL, number },
    ]).flat()
    const odd = [0, 3, 255].map((level) => ({ level, number: 40 }))
    await each([...all, ...odd], async ({ level, number }) => {
      const answer = await answerTo(
        inWords({ level, number }),
        plainRecord(ALERT, Uint8Array.of(level, number)),
      )
      expect(answer).toHaveLength(0)
    })
    const count = all.length + odd.length
    await expectCounted({ handshakes: count, protocol: count })
  })

  test.each(VERSIONS)(
    'behind a hello of %s ends the handshake, or the client does',
    async (version) => {
      const hello = hellos.get(version)!
      await each(ALERTS, async (alert) => {
        const bytes = plainRecord(ALERT, Uint8Array.of(alert.level, alert.number))
        const ends = effectOf(version, alert) !== 'ends'
        await answerTo(inWords(alert), Buffer.concat([hello, bytes]), ends)
      })
      await expectCounted({ handshakes: ALERTS.length, protocol: errorCount(version) })
    },
  )

  test.each(VERSIONS)('in a session of %s ends it, or leaves it as it is', async (version) => {
    await each(ALERTS, async (alert) => {
      const client = await TlsRecords.connect(server.port, version)
      onTestFinished(() => void client.under.destroy())
      const answer = once(client.socket, 'data')
      client.under.write(client.data(LOGIN))
      expect(String((await answer)[0])).toBe('STORED\r\n')
      client.under.write(client.record(ALERT, Uint8Array.of(alert.level, alert.number)))
      const effect = effectOf(version, alert)
      if (effect === 'passes') {
        const next = once(client.socket, 'data')
        client.under.write(client.data('get none\r\n'))
        expect(String((await next)[0])).toBe('END\r\n')
      }
      if (effect !== 'ends') client.under.end()
      await closed(client.under, inWords(alert))
    })
    await expectCounted({ handshakes: 0, protocol: errorCount(version) })
  })

  test.each(VERSIONS)(
    'that ends nothing does so when it comes again and again, on %s',
    async (version) => {
      const client = await TlsRecords.connect(server.port, version)
      onTestFinished(() => void client.under.destroy())
      const alert = () => client.record(ALERT, Uint8Array.of(WARNING, USER_CANCELED))
      client.under.write(Buffer.concat(Array.from({ length: FLOOD }, alert)))
      await closed(client.under, 'a flood')
      await expectCounted({ handshakes: 0, protocol: 1 })
    },
  )
})

describe('a handshake', () => {
  /** Of a hello: its message, without the header of the record. */
  const messageOf = (hello: Buffer) => hello.subarray(5)
  const repeated = (bytes: Buffer, count = FLOOD) =>
    Buffer.concat(Array.from({ length: count }, () => bytes))
  const changed = (bytes: Buffer, at: number, ...to: number[]) => {
    const copy = Buffer.from(bytes)
    copy.set(to, at)
    return copy
  }

  /** What is done to a hello; `ends`: to be told of that there is no more to come. */
  const BROKEN: readonly (readonly [
    name: string,
    breaking: (hello: Buffer) => Buffer,
    ends?: boolean,
  ])[] = [
    ['cut off in its first byte', (hello) => hello.subarray(0, 1), true],
    ['cut off in the header of its record', (hello) => hello.subarray(0, 4), true],
    ['cut off before its end', (hello) => hello.subarray(0, hello.length - 1), true],
    ['cut off behind the hello', (hello) => hello, true],
    ['of a record that says it is empty', (hello) => plainRecord(HANDSHAKE, hello, 0x0301, 0)],
    ['of a record that is too long', (hello) => plainRecord(HANDSHAKE, hello, 0x0301, 0x4001)],
    [
      'of a record as long as can be said',
      (hello) => plainRecord(HANDSHAKE, hello, 0x0301, 0xffff),
    ],
    ['of a record of version 2', (hello) => changed(hello, 1, 2, 0)],
    ['of a record of version 5', (hello) => changed(hello, 1, 5, 0)],
    [
      'of SSLv2',
      () => Buffer.from([0x80, 0x2e, 1, 3, 1, 0, 21, 0, 0, 0, 16, ...Array(37).fill(7)]),
    ],
    ['begun with the message of a server', (hello) => changed(hello, 5, 2)],
    ['begun with the end of one', (hello) => changed(hello, 5, 20)],
    ['whose message says it is longer', (hello) => changed(hello, 6, 0xff, 0xff, 0xff)],
    ['whose message says it is shorter', (hello) => changed(hello, 6, 0, 0, 10)],
    ['of garbage', (hello) => changed(hello, 11, ...Array(hello.length - 11).fill(0xa5))],
    ['with its hello twice', (hello) => Buffer.concat([hello, hello])],
    ['with garbage behind its hello', (hello) => Buffer.concat([hello, Buffer.alloc(100, 0xff)])],
    [
      'with data behind its hello',
      (hello) => Buffer.concat([hello, plainRecord(APPLICATION_DATA, Buffer.from('get a\r\n'))]),
    ],
    [
      'with a record of an unknown kind behind its hello',
      (hello) => Buffer.concat([hello, plainRecord(0x99, Uint8Array.of(1))]),
    ],
    [
      'with a heartbeat behind its hello',
      (hello) => Buffer.concat([hello, plainRecord(0x18, Uint8Array.of(1, 0xff, 0xff))]),
    ],
    [
      'with an alert of three bytes behind its hello',
      (hello) => Buffer.concat([hello, plainRecord(ALERT, Uint8Array.of(2, 40, 0))]),
    ],
    [
      'with an alert of no level behind its hello',
      (hello) => Buffer.concat([hello, plainRecord(ALERT, Uint8Array.of(3, 40))]),
    ],
    [
      'with a flood of ChangeCipherSpec',
      (hello) =>
        Buffer.concat([hello, repeated(plainRecord(CHANGE_CIPHER_SPEC, Uint8Array.of(1)))]),
    ],
    [
      'with a ChangeCipherSpec of another content',
      (hello) => Buffer.concat([hello, plainRecord(CHANGE_CIPHER_SPEC, Uint8Array.of(2))]),
    ],
    [
      'with a flood of empty records',
      (hello) => Buffer.concat([hello, repeated(plainRecord(HANDSHAKE, Buffer.alloc(0)))]),
    ],
    [
      'with a flood of warnings',
      (hello) => Buffer.concat([hello, repeated(plainRecord(ALERT, Uint8Array.of(WARNING, 90)))]),
    ],
    [
      'with a second message that never ends',
      (hello) =>
        Buffer.concat([
          hello,
          repeated(
            plainRecord(HANDSHAKE, Buffer.concat([Buffer.from([20, 0xff, 0xff, 0xff]), hello])),
          ),
        ]),
    ],
    ['behind which much comes at once', (hello) => Buffer.concat([hello, Buffer.alloc(60_000)])],
  ]

  test.each(VERSIONS)('of %s that is broken ends, in whatever way it is', async (version) => {
    const hello = hellos.get(version)!
    for (const [name, breaking, ends = false] of BROKEN) {
      const { handshakes } = await counts()
      await answerTo(name, breaking(hello), ends)
      // One by one, so that what is counted wrong has a name.
      const since = async () => (await counts()).handshakes - handshakes
      await expect.poll(since, { message: name, timeout: DEADLINE_MS }).toBe(1)
    }
    const { protocol } = await counts()
    await expectCounted({ handshakes: BROKEN.length, protocol: protocol - before.protocol })
    // All but those that were cut off.
    expect(protocol - before.protocol).toBe(BROKEN.length - 4)
  })

  test('of a version that is not spoken is refused with the alert that says so', async () => {
    const hello = hellos.get('TLSv1.2')!
    // The version of the hello itself, which says nothing of others.
    const answer = await answerTo('an old version', changed(hello, 9, 3, 1))
    expect([...answer.subarray(0, 1), ...answer.subarray(5)]).toEqual([ALERT, FATAL, 70])
    await expectCounted({ handshakes: 1, protocol: 1 })
  })

  test.each(VERSIONS)(
    'of %s that comes byte by byte, in records of a byte, is none that is broken',
    async (version) => {
      const message = messageOf(hellos.get(version)!)
      const records = [...message].map((byte) =>
        plainRecord(HANDSHAKE, Uint8Array.of(byte), 0x0301),
      )
      const socket = raw()
      socket.setNoDelay(true)
      await once(socket, 'connect')
      const answered = once(socket, 'data')
      for (const byte of Buffer.concat(records)) {
        if (!socket.write(Uint8Array.of(byte))) await once(socket, 'drain')
      }
      const [answer] = (await answered) as [Buffer]
      // A ServerHello.
      expect([answer[0], answer[5]]).toEqual([HANDSHAKE, 2])
      socket.destroy()
      await expectCounted({ handshakes: 1, protocol: 0 })
    },
  )
})

describe('a session', () => {
  const broken = (record: Buffer) => {
    record[record.length - 1]! ^= 1
    return record
  }
  /** What a client must not send, by the versions that it may send it in. */
  const WRONG: readonly (readonly [name: string, bytes: (client: TlsRecords) => Buffer])[] = [
    ['a record that was changed', (client) => broken(client.data('get a\r\n'))],
    ['the same record twice', (client) => Buffer.concat(Array(2).fill(client.data('get a\r\n')))],
    ['a record in the clear', () => plainRecord(APPLICATION_DATA, Buffer.from('get a\r\n'))],
    ['an alert in the clear', () => plainRecord(ALERT, Uint8Array.of(FATAL, 40))],
    ['a hello in the clear', () => hellos.get('TLSv1.3')!],
    ['ChangeCipherSpec in the clear', () => plainRecord(CHANGE_CIPHER_SPEC, Uint8Array.of(1))],
    ['a record that is too long', () => plainRecord(APPLICATION_DATA, Buffer.alloc(18_000))],
    ['a record of an unknown kind', (client) => client.record(0x99, Uint8Array.of(1))],
    ['an alert of three bytes', (client) => client.record(ALERT, Uint8Array.of(2, 40, 0))],
    ['an alert of no level', (client) => client.record(ALERT, Uint8Array.of(0, 40))],
    [
      'the end of a handshake',
      (client) => client.record(HANDSHAKE, Uint8Array.of(20, 0, 0, 32, ...Array(32).fill(7))),
    ],
    ['a certificate', (client) => client.record(HANDSHAKE, Uint8Array.of(11, 0, 0, 4, 0, 0, 0, 0))],
    ['a message of no kind', (client) => client.record(HANDSHAKE, Uint8Array.of(99, 0, 0, 0))],
    ['a ticket', (client) => client.record(HANDSHAKE, Uint8Array.of(4, 0, 0, 6, 0, 0, 0, 9, 0, 0))],
    [
      'a flood of empty records',
      (client) => Buffer.concat(Array.from({ length: FLOOD }, () => client.data(''))),
    ],
  ]

  test.each(VERSIONS)('of %s ends with the first thing that is wrong', async (version) => {
    for (const [name, bytes] of WRONG) {
      const { protocol } = await counts()
      const client = await TlsRecords.connect(server.port, version)
      onTestFinished(() => void client.under.destroy())
      client.under.write(bytes(client))
      await closed(client.under, name)
      const since = async () => (await counts()).protocol - protocol
      await expect.poll(since, { message: name, timeout: DEADLINE_MS }).toBe(1)
    }
    await expectCounted({ handshakes: 0, protocol: WRONG.length })
  })
})
