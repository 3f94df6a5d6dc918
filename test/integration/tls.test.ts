/**
 * TLS on the wire: what is served over it, what is refused, and what a stranger can do with half a
 * handshake, a broken one, or many.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { TestAuthority } from '../support/authority.ts'
import { BinaryClient } from '../support/binary-client.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { connectTls, TestTls, TlsTunnel } from '../support/tls.ts'
import { TlsRecords } from '../support/tls-records.ts'

const ALICE = { name: 'alice', password: 'wonderland' }
const LOGIN = 'set login 0 0 16\r\nalice wonderland\r\n'
const LARGE_BYTES = 900_000

let tls: TestTls
let server: TestServer
let tunnel: TlsTunnel

beforeAll(async () => {
  tls = new TestTls()
  server = await startSaslcached({
    users: [ALICE],
    flags: [
      ...[...tls.server.flags, '--tls-ca', tls.caFile, '-t', '2'],
      ...['-l', 'notls:tag_clear_:127.0.0.1:-1,mtls:tag_mutual_:127.0.0.1:-1'],
      ...['-l', 'btls:proto[binary]:tag_binary_:127.0.0.1:-1'],
    ],
  })
  // The ports of the listeners are in the lines before.
  await server.waitForLog(({ event }) => event === 'started')
  tunnel = await TlsTunnel.to(server.port)
})

afterAll(async () => {
  tunnel.close()
  await server.stop()
  tls.remove()
})

/** The port of the listener with a tag. */
function portOf(tag: string, of: TestServer = server): number {
  const line = of.log().find((record) => record.event === 'listening' && record.tag === tag)
  return Number(line?.port)
}

async function connectAs(options: ConnectionOptions = {}, port = server.port): Promise<TLSSocket> {
  const socket = await connectTls(port, options)
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  return socket
}

function rawTo(port: number): Socket {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  return socket
}

/** The end of a socket, whatever brought it about; what still comes is read and dropped. */
async function closed(socket: Socket): Promise<void> {
  socket.resume()
  if (socket.closed) return
  await new Promise<void>((resolve) => socket.once('close', () => resolve()))
}

/** Sends bytes, and resolves to what came until the server has closed. */
async function answerTo(bytes: Uint8Array, port: number): Promise<Buffer> {
  const socket = rawTo(port)
  const pieces: Buffer[] = []
  socket.on('data', (piece) => pieces.push(piece))
  socket.write(bytes)
  await closed(socket)
  return Buffer.concat(pieces)
}

/** One request over TLS, and the first bytes of its answer. */
async function ask(socket: TLSSocket, text: string): Promise<string> {
  socket.write(text, 'latin1')
  const [answer] = (await once(socket, 'data')) as [Buffer]
  return answer.toString('latin1')
}

/** Until all of it has come, in whatever pieces. */
async function receive(socket: TLSSocket, wanted: string): Promise<void> {
  let received = ''
  while (received.length < wanted.length) {
    const [piece] = (await once(socket, 'data')) as [Buffer]
    received += piece.toString('latin1')
  }
  expect(received).toBe(wanted)
}

async function statistic(name: string): Promise<number> {
  const client = new TextClient(tunnel)
  await client.ask(LOGIN)
  const rows = await client.ask('stats\r\n', 'END\r\n')
  return Number(new RegExp(`STAT ${name} (\\d+)`).exec(rows)?.[1])
}

/** Until so many handshakes have failed: what one worker refuses, another may not know of at once. */
async function counted(failures: number): Promise<void> {
  await expect
    .poll(async () => await statistic('ssl_handshake_errors'), { timeout: 60_000 })
    .toBeGreaterThanOrEqual(failures)
}

/** A ClientHello as a real client sends it. */
async function realHello(): Promise<Buffer> {
  const { createServer } = await import('node:net')
  const listener = createServer()
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const { port } = listener.address() as { port: number }
  const client = connectTls(port).catch(() => undefined)
  const [accepted] = (await once(listener, 'connection')) as [Socket]
  const [hello] = (await once(accepted, 'data')) as [Buffer]
  accepted.destroy()
  listener.close()
  await client
  return hello
}

describe('what is served', () => {
  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'a client of %s logs in and is served',
    async (version) => {
      const socket = await connectAs({ minVersion: version, maxVersion: version })
      expect(socket.getProtocol()).toBe(version)
      expect(await ask(socket, LOGIN)).toBe('STORED\r\n')
      expect(await ask(socket, 'set a 0 0 5\r\nhello\r\n')).toBe('STORED\r\n')
      expect(await ask(socket, 'get a\r\n')).toBe('VALUE a 0 5\r\nhello\r\nEND\r\n')
    },
  )

  test('the server shows its own certificate, which its authority signed', async () => {
    const ca = tls.authority.certificate
    const socket = await connectAs({ ca, rejectUnauthorized: true, servername: 'localhost' })
    expect(socket.authorized).toBe(true)
    expect(socket.getCipher().name).toBe('TLS_AES_128_GCM_SHA256')
  })

  test('ALPN is taken when offered', async () => {
    const socket = await connectAs({ ALPNProtocols: ['memcached', 'http/1.1'] })
    expect(socket.alpnProtocol).toBe('memcached')
  })

  test('both dialects, requests cut anywhere, and values of many records', async () => {
    const binary = await BinaryClient.connect(tunnel)
    onTestFinished(() => binary.destroy())
    await binary.loginPlain(ALICE.name, ALICE.password)
    const text = new TextClient(tunnel)
    await text.ask(LOGIN)
    const value = Buffer.alloc(LARGE_BYTES, 'abcdefg').toString('latin1')
    text.send(`set large 0 0 ${LARGE_BYTES}\r\n${value.slice(0, 100_000)}`)
    text.send(value.slice(100_000))
    expect(await text.ask('\r\n')).toBe('STORED\r\n')
    const found = await binary.request({ opcode: 0x00, key: 'large' })
    expect(found.value.equals(Buffer.from(value, 'latin1'))).toBe(true)
    const replies = await text.ask('get large\r\nget large\r\nmn\r\n', 'MN\r\n')
    expect(replies).toBe(`VALUE large 0 ${LARGE_BYTES}\r\n${value}\r\nEND\r\n`.repeat(2) + 'MN\r\n')
  })

  test('five thousand requests in a row are answered in order', async () => {
    const text = new TextClient(tunnel)
    await text.ask(LOGIN)
    const count = 5000
    let requests = ''
    for (let index = 0; index < count; index++) requests += `set k${index} 0 0 4\r\nword\r\n`
    text.send(requests)
    for (let index = 0; index < count; index++) text.send(`mg k${index} k\r\n`)
    text.send('mn\r\n')
    const replies = await text.until('MN\r\n')
    const lines = replies.split('\r\n')
    expect(lines.slice(0, count).every((line) => line === 'STORED')).toBe(true)
    expect(lines.slice(count, 2 * count)).toEqual(
      Array.from({ length: count }, (_, index) => `HD kk${index}`),
    )
  })

  test('a session is resumed by every worker', async () => {
    const first = await connectAs()
    const sessions: Buffer[] = []
    first.on('session', (session: Buffer) => sessions.push(session))
    expect(await ask(first, 'version\r\n')).toMatch(/^VERSION /)
    const [session] = sessions
    expect(session).toBeDefined()
    for (let count = 0; count < 8; count++) {
      const socket = await connectAs({ session: session! })
      expect(socket.isSessionReused()).toBe(true)
      expect(await ask(socket, 'version\r\n')).toMatch(/^VERSION /)
    }
  })

  test('a listener speaks the dialects that it was given', async () => {
    const socket = await connectAs({}, portOf('binary'))
    const version = Buffer.alloc(24)
    version.set([0x80, 0x0b])
    expect((await ask(socket, version.toString('latin1'))).charCodeAt(0)).toBe(0x81)
    const other = await connectAs({}, portOf('binary'))
    other.write('version\r\n'.repeat(3))
    await closed(other)
    const text = new TextClient(tunnel)
    expect(await text.ask('version\r\n')).toMatch(/^VERSION /)
  })

  test('a listener in the clear beside them is in the clear', async () => {
    const clear = new TextClient({ host: '127.0.0.1', port: portOf('clear') })
    // From this machine a password is taken all the same.
    expect(await clear.ask(LOGIN)).toBe('STORED\r\n')
    const rows = await clear.ask('stats conns\r\n', 'END\r\n')
    expect(rows).toMatch(/^STAT \d+:tls no\r$/m)
    expect(rows).toMatch(/^STAT \d+:tls yes\r$/m)
  })

  test('what the peer said before its goodbye is answered', async () => {
    const socket = await connectAs()
    const pieces: Buffer[] = []
    socket.on('data', (piece: Buffer) => pieces.push(piece))
    socket.end(`${LOGIN}get none\r\n`)
    await closed(socket)
    expect(Buffer.concat(pieces).toString()).toBe('STORED\r\nEND\r\n')
  })
})

describe('client certificates', () => {
  test('where one is required, who has none or a wrong one is not served', async () => {
    const port = portOf('mutual')
    const other = new TestAuthority('/CN=Another authority')
    onTestFinished(() => other.remove())
    const wrong = other.issue({ subject: '/CN=alice' })
    const expired = tls.authority.issue({ subject: '/CN=alice', days: -1 })
    const unnamed = [
      {},
      { cert: wrong.certificate, key: wrong.key },
      { cert: expired.certificate, key: expired.key },
    ]
    for (const options of unnamed) {
      const socket = await connectAs(options, port).catch(() => undefined)
      if (socket === undefined || socket.destroyed) continue
      let received = ''
      socket.on('data', (piece: Buffer) => {
        received += piece.toString()
      })
      socket.write('version\r\n')
      await closed(socket)
      expect(received).toBe('')
    }
    await counted(unnamed.length)
    const right = tls.authority.issue({ subject: '/CN=alice' })
    const socket = await connectAs({ cert: right.certificate, key: right.key }, port)
    expect(await ask(socket, 'version\r\n')).toMatch(/^VERSION /)
  })

  test('a session that was begun without one is not resumed where one is required', async () => {
    const first = await connectAs()
    const sessions: Buffer[] = []
    first.on('session', (session: Buffer) => sessions.push(session))
    await ask(first, 'version\r\n')
    const before = await statistic('ssl_handshake_errors')
    const options = { session: sessions[0]! }
    const socket = await connectAs(options, portOf('mutual')).catch(() => undefined)
    let received = ''
    socket?.on('data', (piece: Buffer) => {
      received += piece.toString()
    })
    socket?.write('version\r\n')
    await counted(before + 1)
    expect(received).toBe('')
  })
})

describe('what is refused', () => {
  test('plain bytes get no answer, and are counted once', async () => {
    for (const text of ['version\r\n', 'GET / HTTP/1.1\r\n\r\n', '\x80\x0b\0\0\0\0\0\0']) {
      const before = await statistic('ssl_handshake_errors')
      const protocolBefore = await statistic('ssl_proto_errors')
      expect(await answerTo(Buffer.from(text, 'latin1'), server.port)).toHaveLength(0)
      expect((await statistic('ssl_handshake_errors')) - before).toBe(1)
      expect((await statistic('ssl_proto_errors')) - protocolBefore).toBe(1)
    }
  })

  test('a TLS client on a port in the clear is sent away', async () => {
    const hello = await realHello()
    const socket = rawTo(portOf('clear'))
    socket.write(hello)
    socket.end()
    const pieces: Buffer[] = []
    socket.on('data', (piece) => pieces.push(piece))
    await closed(socket)
    expect(Buffer.concat(pieces).toString('latin1')).toMatch(/^(CLIENT_ERROR|ERROR|$)/)
  })

  test('who only connects, and who leaves in silence, is no error', async () => {
    const before = await statistic('ssl_handshake_errors')
    const socket = rawTo(server.port)
    await once(socket, 'connect')
    socket.end()
    await closed(socket)
    expect(await statistic('ssl_handshake_errors')).toBe(before)
  })

  test('every kind of broken handshake ends, and nobody else notices', async () => {
    const hello = await realHello()
    const alert = Buffer.from([0x15, 3, 3, 0, 2, 2, 40])
    const garbage = Buffer.alloc(hello.length, 0xa5)
    hello.copy(garbage, 0, 0, 6)
    const broken: readonly [string, Buffer][] = [
      ['garbage behind a right beginning', garbage],
      [
        'no cipher that is known',
        Buffer.concat([hello.subarray(0, 44), Buffer.alloc(hello.length - 44)]),
      ],
      ['an alert behind the hello', Buffer.concat([hello, alert])],
      ['garbage behind the hello', Buffer.concat([hello, Buffer.alloc(100, 0xff)])],
      [
        'application data behind the hello',
        Buffer.concat([hello, Buffer.from([0x17, 3, 3, 0, 1, 0])]),
      ],
      ['two hellos', Buffer.concat([hello, hello])],
      ['a record of no bytes', Buffer.from([0x16, 3, 1, 0, 0])],
      ['more than a hello can be', Buffer.concat([hello, Buffer.alloc(60_000)])],
    ]
    const counts: [string, number][] = []
    for (const [name, bytes] of broken) {
      const before = await statistic('ssl_handshake_errors')
      await answerTo(bytes, server.port)
      counts.push([name, (await statistic('ssl_handshake_errors')) - before])
    }
    expect(counts).toEqual(broken.map(([name]) => [name, 1]))
  })

  test.each([
    ['TLS 1.1', { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' }],
    ['no forward secrecy', { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:AES128-GCM-SHA256' }],
    ['another protocol', { ALPNProtocols: ['http/1.1'] }],
  ] as const)('%s is not spoken', async (_, options) => {
    await expect(connectTls(server.port, options as ConnectionOptions)).rejects.toThrow()
  })

  test('a connection is never keyed anew', async () => {
    const socket = await connectAs({ maxVersion: 'TLSv1.2' })
    await ask(socket, 'version\r\n')
    const error = await new Promise<Error | null>((resolve) => {
      socket.once('close', () => resolve(new Error('closed')))
      socket.renegotiate({}, resolve)
    })
    expect(error).not.toBeNull()
    const text = new TextClient(tunnel)
    expect(await text.ask('version\r\n')).toMatch(/^VERSION /)
  })

  test('who asks for new keys again and again is dropped, who does so sometimes is not', async () => {
    const before = await statistic('ssl_proto_errors')
    const client = await TlsRecords.connect(server.port)
    onTestFinished(() => void client.under.destroy())
    for (const socket of [client.socket, client.under]) socket.on('error', () => undefined)
    const answer = once(client.socket, 'data')
    client.under.write(Buffer.concat([client.keyUpdates(200), client.data(LOGIN)]))
    expect(String((await answer)[0])).toBe('STORED\r\n')
    // No deadline is left that would end it: without the bound of tls-idle.ts it stays, and OpenSSL makes a key
    // and an answer for each wish.
    client.under.write(client.keyUpdates(10_000))
    await closed(client.under)
    expect(await statistic('ssl_proto_errors')).toBe(before + 1)
  })

  test('who leaves in the middle, of the handshake or of a reply, is gone', async () => {
    const hello = await realHello()
    for (const length of [1, 5, 6, 100, hello.length]) {
      const socket = rawTo(server.port)
      await once(socket, 'connect')
      socket.write(hello.subarray(0, length))
      socket.resetAndDestroy()
    }
    const reader = await connectAs()
    expect(await ask(reader, LOGIN)).toBe('STORED\r\n')
    expect(await ask(reader, `set big 0 0 ${LARGE_BYTES}\r\n${'x'.repeat(LARGE_BYTES)}\r\n`)).toBe(
      'STORED\r\n',
    )
    reader.pause()
    reader.write('get big\r\n'.repeat(20))
    reader.destroy()
    const text = new TextClient(tunnel)
    await text.ask(LOGIN)
    expect(await text.ask('get none\r\n')).toBe('END\r\n')
  })
})

describe('a server with little patience', () => {
  let impatient: TestServer

  beforeAll(async () => {
    impatient = await startSaslcached({
      users: [ALICE],
      flags: [
        ...[...tls.server.flags, '-t', '1', '-c', '64', '--login-timeout', '10'],
        ...['--stalled-write-timeout', '1'],
      ],
    })
  })

  afterAll(async () => await impatient.stop())

  test('half handshakes are cut by the login deadline, and keep nobody out meanwhile', async () => {
    const hello = await realHello()
    const halves = Array.from({ length: 40 }, (_, index) => {
      const socket = rawTo(impatient.port)
      if (index % 2 === 0) socket.write(hello.subarray(0, 50))
      else socket.write(hello)
      return closed(socket)
    })
    const client = await connectAs({}, impatient.port)
    expect(await ask(client, LOGIN)).toBe('STORED\r\n')
    await Promise.all(halves)
    expect(await ask(client, 'get none\r\n')).toBe('END\r\n')
    const rows = await ask(client, 'stats\r\n')
    expect(Number(/STAT curr_connections (\d+)/.exec(rows)?.[1])).toBe(1)
  })

  test('who does not read what was asked for is cut, and the memory with it', async () => {
    const reader = await connectAs({}, impatient.port)
    expect(await ask(reader, LOGIN)).toBe('STORED\r\n')
    expect(await ask(reader, `set big 0 0 ${LARGE_BYTES}\r\n${'x'.repeat(LARGE_BYTES)}\r\n`)).toBe(
      'STORED\r\n',
    )
    reader.pause()
    for (let count = 0; count < 50; count++) reader.write('get big\r\n')
    const other = await connectAs({}, impatient.port)
    expect(await ask(other, LOGIN)).toBe('STORED\r\n')
    await expect
      .poll(
        async () => {
          const rows = await ask(other, 'stats auth\r\n')
          const stalled = Number(/STAT stalled_kicks (\d+)/.exec(rows)?.[1])
          const held = Number(/STAT unread_reply_bytes (\d+)/.exec(rows)?.[1])
          return { stalled, held }
        },
        { timeout: 60_000 },
      )
      .toEqual({ stalled: 1, held: 0 })
  })

  test('requests in two records of one segment leave nothing counted as unread', async () => {
    const client = await connectAs({}, impatient.port)
    expect(await ask(client, LOGIN)).toBe('STORED\r\n')
    const version = await ask(client, 'version\r\n')
    for (let round = 0; round < 30; round++) {
      // One write of the kernel, a record each.
      client.cork()
      client.write('version\r\n')
      client.write('mn\r\n')
      client.uncork()
      await receive(client, `${version}MN\r\n`)
      expect(await ask(client, 'version\r\n')).toBe(version)
    }
    const other = await connectAs({}, impatient.port)
    expect(await ask(other, LOGIN)).toBe('STORED\r\n')
    const held = async (): Promise<string | undefined> =>
      /STAT unread_reply_bytes (\d+)/.exec(await ask(other, 'stats auth\r\n'))?.[1]
    await expect.poll(held, { timeout: 60_000 }).toBe('0')
  })

  test('when the server stops, what is owed is sent, and the stream ends in order', async () => {
    // One thread: what came before `other` has been read when that is answered.
    const flags = [...tls.server.flags, '-t', '1', '--drain-timeout', '60']
    const stopping = await startSaslcached({ users: [ALICE], flags })
    const client = await connectAs({}, stopping.port)
    expect(await ask(client, LOGIN)).toBe('STORED\r\n')
    expect(await ask(client, `set big 0 0 ${LARGE_BYTES}\r\n${'x'.repeat(LARGE_BYTES)}\r\n`)).toBe(
      'STORED\r\n',
    )
    const idle = await connectAs({}, stopping.port)
    let received = 0
    client.on('data', (piece: Buffer) => {
      received += piece.length
    })
    client.pause()
    client.write('get big\r\n'.repeat(10))
    const other = await connectAs({}, stopping.port)
    expect(await ask(other, 'version\r\n')).toMatch(/^VERSION /)
    const stopped = stopping.stop()
    idle.resume()
    await once(idle, 'end')
    client.resume()
    await closed(client)
    const reply = LARGE_BYTES + `VALUE big 0 ${LARGE_BYTES}\r\n\r\nEND\r\n`.length
    expect(received % reply).toBe(0)
    expect(received).toBeGreaterThan(0)
    await stopped
  })
})
