/**
 * What a client may do to the server, by malice or by accident, and what it costs: every limit at its
 * edge, slow and lying clients, full memory. Each test has a second client that must be served well
 * all the while, or looks at the server's memory.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as connectSocket, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { parseResponses, requestFrame, storeFrame, words } from '../support/binary-frames.ts'
import { type ServerOptions, startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { whenClosed } from '../support/when-closed.ts'

const GET = 0x00
const SET = 0x01
const DELETE = 0x04
const NOOP = 0x0a
const VERSION = 0x0b
const GETK = 0x0c
const APPEND = 0x0e
const STAT = 0x10
const SETQ = 0x11
const VERBOSITY = 0x1b

const OK = 0x00
const NOT_FOUND = 0x01
const TOO_LARGE = 0x03
const NO_MEMORY = 0x82

const KIB = 1024
const MIB = 1024 * 1024
const ALICE = { name: 'alice', password: 'correct horse' }

async function start(flags: readonly string[], options: ServerOptions = {}): Promise<TestServer> {
  const server = await startSaslcached({ ...options, flags })
  onTestFinished(async () => await server.stop())
  return server
}

async function connect(server: TestServer): Promise<BinaryClient> {
  const client = await BinaryClient.connect(server)
  onTestFinished(() => client.destroy())
  return client
}

/** A socket without a parser behind it. */
async function connectRaw(server: TestServer): Promise<Socket> {
  const socket = connectSocket({ host: server.host, port: server.port, noDelay: true })
  onTestFinished(() => {
    socket.destroy()
  })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

async function expectServed(client: BinaryClient): Promise<void> {
  expect(await client.request({ opcode: NOOP, opaque: 77 })).toMatchObject({
    opcode: NOOP,
    status: OK,
    opaque: 77,
  })
}

async function stats(client: BinaryClient, group = ''): Promise<Record<string, number>> {
  client.send(requestFrame({ opcode: STAT, key: group }))
  const rows: Record<string, number> = {}
  for (;;) {
    const { key, value } = await client.receive()
    if (key.length === 0) return rows
    rows[key.toString()] = Number(value.toString())
  }
}

/** Asks for statistics until they satisfy `isTrue`. */
async function untilStats(
  client: BinaryClient,
  group: string,
  isTrue: (rows: Record<string, number>) => boolean,
): Promise<Record<string, number>> {
  const endMs = performance.now() + 90_000
  for (;;) {
    const rows = await stats(client, group)
    if (isTrue(rows)) return rows
    if (performance.now() > endMs) throw new Error(`not in 90 s: ${JSON.stringify(rows)}`)
  }
}

/** Bytes of any value, the same for the same seed. */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed >>> 0
  for (let offset = 0; offset < length; offset++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[offset] = state >>> 24
  }
  return bytes
}

describe('the number of connections', () => {
  test('-c: one more is told so and closed, and there is room when one leaves', async () => {
    const server = await start(['-c', '10'])
    const clients = await Promise.all(Array.from({ length: 10 }, () => connect(server)))
    for (const client of clients) await expectServed(client)
    const rejected = await connectRaw(server)
    const said: Buffer[] = []
    rejected.on('data', (chunk) => said.push(chunk))
    await whenClosed(rejected)
    expect(Buffer.concat(said).toString()).toBe('ERROR Too many open connections\r\n')
    const [first, second] = clients as [BinaryClient, BinaryClient]
    const full = await stats(first)
    expect([full.rejected_connections, full.curr_connections, full.max_connections]).toEqual([
      1, 10, 10,
    ])
    second.destroy()
    await untilStats(first, '', ({ curr_connections: count }) => count === 9)
    await expectServed(await connect(server))
  })

  test('strangers beyond their limit wait unread, and are served when one has logged in', async () => {
    const server = await start(['--prelogin-conn-limit', '3'], { users: [ALICE] })
    const watcher = await connect(server)
    await watcher.loginPlain(ALICE.name, ALICE.password)
    // While one waits, a stranger has a second: on a busy machine that may be over before it has logged in.
    const isServedByALogin = async (): Promise<boolean> => {
      const strangers = await Promise.all(Array.from({ length: 3 }, () => connect(server)))
      await Promise.all(strangers.map((stranger) => stranger.request({ opcode: VERSION })))
      const waiting = await connect(server)
      waiting.send(requestFrame({ opcode: VERSION, opaque: 9 }))
      const crowded = await untilStats(
        watcher,
        'auth',
        (rows) => rows.waiting_connections === 1 || waiting.pendingCount > 0,
      )
      const wasUnread = waiting.pendingCount === 0 && crowded.unauthenticated_connections === 3
      const loggedIn = strangers[0]?.loginPlain(ALICE.name, ALICE.password).then(
        () => true,
        () => false,
      )
      const isIn = (await loggedIn) === true && wasUnread
      if (isIn) expect(await waiting.receive()).toMatchObject({ opcode: VERSION, opaque: 9 })
      for (const each of [...strangers, waiting]) each.destroy()
      await untilStats(
        watcher,
        'auth',
        (rows) => rows.unauthenticated_connections === 0 && rows.waiting_connections === 0,
      )
      return isIn
    }
    await expect.poll(isServedByALogin, { timeout: 120_000 }).toBe(true)
  })

  test('a crowd that only sits there moves on, long before the login deadline', async () => {
    const flags = ['--prelogin-conn-limit', '3', '--login-timeout', '600']
    const server = await start(flags, { users: [ALICE] })
    const watcher = await connect(server)
    await watcher.loginPlain(ALICE.name, ALICE.password)
    const crowd = await Promise.all(Array.from({ length: 3 }, () => connect(server)))
    // Connected is not let in: who comes after them could be served, and gone from among strangers, before the last is.
    await untilStats(watcher, 'auth', (rows) => rows.unauthenticated_connections === 3)
    const client = await connect(server)
    await client.loginPlain(ALICE.name, ALICE.password)
    await expectServed(client)
    // Another worker may have closed it, so the client can be served before it is told.
    expect(await Promise.any(crowd.map((stranger) => stranger.closed()))).toEqual([])
  })

  test('strangers who ask and never read do not keep their places', async () => {
    const flags = ['--prelogin-conn-limit', '3', '--login-timeout', '600']
    const server = await start(flags, { users: [ALICE] })
    const watcher = await connect(server)
    await watcher.loginPlain(ALICE.name, ALICE.password)
    const question = requestFrame({ opcode: VERSION })
    const questions = Buffer.concat(Array.from({ length: 400_000 }, () => question))
    const crowd = await Promise.all(Array.from({ length: 3 }, () => connectRaw(server)))
    for (const stranger of crowd) stranger.pause().write(questions)
    // Each is told to log in some time, instead of being asked to read first.
    await untilStats(watcher, 'auth', (rows) => rows.auth_refused_commands === crowd.length)
    const client = await connect(server)
    await client.loginPlain(ALICE.name, ALICE.password)
    await expectServed(client)
  })

  test('strangers who fill every place cannot keep a user out', async () => {
    const flags = ['-c', '8', '--prelogin-conn-limit', '4', '--login-timeout', '600']
    const server = await start(flags, { users: [ALICE] })
    const crowd = await Promise.all(Array.from({ length: 8 }, () => connect(server)))
    const client = await connect(server)
    await client.loginPlain(ALICE.name, ALICE.password)
    await expectServed(client)
    // The worker that has to drop one may not have come to it.
    await untilStats(client, '', (rows) => (rows.rejected_connections ?? 0) >= 1)
    for (const stranger of crowd) stranger.destroy()
  })

  test('an address that keeps reconnecting cannot keep users of others out', async () => {
    const flags = ['-c', '40', '--login-timeout', '600']
    const server = await start(flags, { users: [ALICE] })
    const flood = new Set<Socket>()
    let isFlooding = true
    onTestFinished(() => {
      isFlooding = false
      for (const socket of flood) socket.destroy()
    })
    const reconnect = (): void => {
      if (!isFlooding) return
      const { host, port } = server
      const socket = connectSocket({ host, port, localAddress: '127.0.0.2' })
      flood.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        flood.delete(socket)
        setTimeout(reconnect, 5)
      })
    }
    for (let index = 0; index < 60; index++) reconnect()
    const crowd = await server.waitForLog(({ event }) => event === 'full_of_strangers')
    expect(crowd).toMatchObject({ most_from: '127.0.0.2' })
    const isLetIn = async (): Promise<boolean> => {
      const client = await connect(server)
      await client.loginPlain(ALICE.name, ALICE.password)
      await expectServed(client)
      client.destroy()
      return true
    }
    // Beside a crowd who says nothing for a moment is cut, and a busy machine keeps us from it for that long.
    for (let index = 0; index < 10; index++) await expect.poll(isLetIn).toBe(true)
  })

  test('10,000 connections are held and served', async (context) => {
    const wanted = 10_000
    const limits = readFileSync('/proc/self/limits', 'utf8')
    const filesMax = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1])
    if (filesMax < wanted + 500) {
      context.skip(`only ${filesMax} open files are allowed (ulimit -Hn)`)
    }
    const server = await start(['-c', String(wanted + 10)])
    const client = await connect(server)
    await expectServed(client)
    const before = server.residentBytes
    const sockets: Socket[] = []
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy()
    })
    while (sockets.length < wanted) {
      const batch = Array.from({ length: 250 }, () =>
        connectSocket({ host: server.host, port: server.port }),
      )
      sockets.push(...batch)
      await Promise.all(batch.map(async (socket) => await once(socket, 'connect')))
    }
    await untilStats(client, '', ({ curr_connections: count }) => count === wanted + 1)
    const perConnection = (server.residentBytes - before) / wanted
    expect(perConnection).toBeLessThan(16 * KIB)
    const sample = sockets.filter((_, index) => index % 100 === 0)
    await Promise.all(
      sample.map(async (socket, index) => {
        socket.write(requestFrame({ opcode: NOOP, opaque: index }))
        const [bytes] = (await once(socket, 'data')) as [Buffer]
        expect(parseResponses(bytes).frames[0]?.opaque).toBe(index)
      }),
    )
    for (const socket of sockets) socket.destroy()
    await untilStats(client, '', ({ curr_connections: count }) => count === 1)
  })
})

describe('slow and lying clients', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached({ flags: ['-m', '64', '-c', '1000'] })
  })
  afterAll(async () => await server?.stop())

  test('a client that asks and never reads costs bounded memory and hinders nobody', async () => {
    const other = await connect(server)
    const value = noise(512 * KIB, 1)
    await other.request({ opcode: SET, extras: words(0, 0), key: 'large', value })
    const before = server.residentBytes
    const greedy = await connectRaw(server)
    greedy.pause()
    const asked = 2_000
    const frame = requestFrame({ opcode: GET, key: 'large' })
    greedy.write(Buffer.concat(Array.from({ length: asked }, () => frame)))
    // One gigabyte of replies is due; the server stops when the sockets are full.
    let written = -1
    for (;;) {
      const { bytes_written: now = 0 } = await stats(other)
      if (now - written < 2 * KIB * KIB && written > 0) break
      written = now
      for (let index = 0; index < 50; index++) await expectServed(other)
    }
    expect(server.residentBytes - before).toBeLessThan(128 * MIB)
    const found = await other.request({ opcode: GET, key: 'large' })
    expect(found.value.equals(value)).toBe(true)
    // As soon as it reads, it gets everything.
    let received = 0
    greedy.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (received >= asked * (24 + 4 + value.length)) greedy.end()
    })
    greedy.resume()
    await once(greedy, 'close')
    expect(received).toBe(asked * (24 + 4 + value.length))
    expect(server.residentBytes - before).toBeLessThan(128 * MIB)
  })

  test('a client that sets the log level without end does not flood the log', async () => {
    const server = await start([])
    const client = await connect(server)
    const frame = requestFrame({ opcode: VERBOSITY, extras: words(0) })
    client.send(Buffer.concat(Array.from({ length: 20_000 }, () => frame)))
    await client.receiveMany(20_000)
    await server.waitForLog(({ event }) => event === 'verbosity')
    const lines = server.log().filter(({ event }) => event === 'verbosity')
    expect(lines.length).toBeLessThan(200)
  })

  test('a reader that stalls for too long is closed', async () => {
    const strict = await start(['--stalled-write-timeout', '0.5'])
    const other = await connect(strict)
    await other.request({
      opcode: SET,
      extras: words(0, 0),
      key: 'large',
      value: noise(512 * KIB, 2),
    })
    const stalled = await connectRaw(strict)
    stalled.pause()
    const frame = requestFrame({ opcode: GET, key: 'large' })
    stalled.write(Buffer.concat(Array.from({ length: 200 }, () => frame)))
    await untilStats(other, 'auth', (rows) => rows.stalled_kicks === 1)
    await untilStats(other, '', ({ curr_connections: count }) => count === 1)
  })

  test('bodies that never come cost what was sent of them, not what was announced', async () => {
    const other = await connect(server)
    await expectServed(other)
    const before = server.residentBytes
    const header = requestFrame({
      opcode: SET,
      extras: words(0, 0),
      key: 'half',
      bodyLength: 12 + MIB,
    })
    const holders = await Promise.all(Array.from({ length: 200 }, () => connectRaw(server)))
    const { bytes_read: readBefore = 0 } = await stats(other)
    const beginning = Buffer.concat([header, noise(1000, 3)])
    for (const holder of holders) holder.write(beginning)
    // 200 MiB are announced; 200 KB have come.
    const sentBytes = holders.length * beginning.length
    await untilStats(other, '', ({ bytes_read: read = 0 }) => read - readBefore >= sentBytes)
    expect(server.residentBytes - before).toBeLessThan(32 * MIB)
    for (const holder of holders) holder.destroy()
    await untilStats(other, '', ({ curr_connections: count = 0 }) => count === 1)
    expect((await other.request({ opcode: GET, key: 'half' })).status).toBe(NOT_FOUND)
  })

  test('requests that stop half-way hold 64 MiB together; who wants more is refused and in step', async () => {
    const other = await connect(server)
    const before = server.residentBytes
    const value = Buffer.alloc(1_000_000, 'v')
    const cut = value.length - 1000
    const binaries: BinaryClient[] = []
    const texts: TextClient[] = []
    for (let client = 0; client < 50; client++) {
      const binary = await connect(server)
      binary.send(storeFrame(SET, `half-${client}`, value).subarray(0, 32 + cut))
      binaries.push(binary)
      const text = new TextClient(server)
      text.send(`set half-text-${client} 0 0 ${value.length}\r\n`)
      text.socket.write(value.subarray(0, cut))
      texts.push(text)
    }
    const sentBytes = 100 * cut
    const rows = await untilStats(other, '', ({ bytes_read = 0 }) => bytes_read >= sentBytes)
    // Where that took a second, those that stand still have given way to others, for a quarter of the room.
    expect(rows.read_buf_bytes).toBeGreaterThan(40 * MIB)
    expect(rows.read_buf_bytes).toBeLessThan(66 * MIB)
    // A quarter of the memory has values that arrive there: 14 of these.
    expect(rows.store_no_memory).toBeGreaterThanOrEqual(18)
    expect(server.residentBytes - before).toBeLessThan(192 * MIB)
    // Small requests are taken as ever, and so is a list of keys that is not much longer than a read.
    await other.request({ opcode: SET, extras: words(0, 0), key: 'small', value: noise(60_000, 3) })
    await expectServed(other)
    // More lists than there is room for, also where half requests have given way by now.
    const lists = Array.from({ length: 20 }, () => new TextClient(server))
    for (const list of lists) list.send(`get ${'k '.repeat(2_000_000)}`)
    const ended = await Promise.race(lists.map((list) => list.untilEnd()))
    expect(ended).toBe('SERVER_ERROR out of memory reading request\r\n')
    for (const list of lists) list.socket.destroy()
    // Each gets one answer to its request, and then one to the next.
    let storedCount = 0
    for (const [client, binary] of binaries.entries()) {
      binary.send(
        Buffer.concat([
          storeFrame(SET, `half-${client}`, value).subarray(32 + cut),
          requestFrame({ opcode: NOOP, opaque: 7 }),
        ]),
      )
      const { status } = await binary.receive()
      expect([OK, NO_MEMORY]).toContain(status)
      if (status === OK) storedCount++
      expect(await binary.receive()).toMatchObject({ opcode: NOOP, opaque: 7 })
    }
    for (const text of texts) {
      text.socket.write(value.subarray(cut))
      const answer = await text.ask('\r\nmn\r\n', 'MN\r\n')
      expect(answer).toMatch(/^(STORED|SERVER_ERROR out of memory storing object)\r\nMN\r\n$/)
      if (answer.startsWith('STORED')) storedCount++
    }
    // Those that arrive in the store take nothing from others.
    expect(storedCount).toBeGreaterThanOrEqual(14)
    const { read_buf_bytes: left } = await stats(other)
    expect(left).toBe(0)
  })

  test('a value of nearly a gigabyte is refused at once and swallowed as it comes', async () => {
    const client = await connect(server)
    const announced = 0x3fff0000
    const frame = requestFrame({
      opcode: SET,
      extras: words(0, 0),
      key: 'huge',
      bodyLength: 12 + announced,
      opaque: 5,
    })
    const before = server.residentBytes
    client.send(frame)
    expect(await client.receive()).toMatchObject({ status: TOO_LARGE, opaque: 5 })
    const chunk = noise(4 * MIB, 4)
    for (let sent = 0; sent < 64 * MIB; sent += chunk.length) {
      if (!client.socket.write(chunk)) await once(client.socket, 'drain')
    }
    expect(client.pendingCount).toBe(0)
    expect(server.residentBytes - before).toBeLessThan(48 * MIB)
    client.destroy()
    await expectServed(await connect(server))
  })

  test('a refused value is swallowed to its last byte, and the stream is in step', async () => {
    const client = await connect(server)
    for (const length of [MIB + 1, MIB + 24, 3 * MIB]) {
      // The value is full of frames that would do harm.
      const trap = storeFrame(SET, 'smuggled', 'v')
      const value = Buffer.alloc(length, trap)
      client.send(Buffer.concat([storeFrame(SET, 'k', value), requestFrame({ opcode: NOOP })]))
      expect((await client.receive()).status).toBe(TOO_LARGE)
      expect(await client.receive()).toMatchObject({ opcode: NOOP, status: OK })
    }
    expect((await client.request({ opcode: GET, key: 'smuggled' })).status).toBe(NOT_FOUND)
  })

  test('a conversation byte by byte is answered like any other', async () => {
    const client = await connect(server)
    await client.sendInPieces(
      Buffer.concat([
        storeFrame(SET, 'slow', 'a value', { flags: 3 }),
        requestFrame({ opcode: GETK, key: 'slow' }),
        storeFrame(SETQ, 'slow', 'b'),
        requestFrame({ opcode: GET, key: 'slow', opaque: 4 }),
      ]),
      1,
    )
    const [stored, first, second] = await client.receiveMany(3)
    expect(stored?.status).toBe(OK)
    expect([first?.key.toString(), first?.value.toString()]).toEqual(['slow', 'a value'])
    expect([second?.value.toString(), second?.opaque]).toEqual(['b', 4])
  })

  test('a conversation cut in two at any byte is answered alike', async () => {
    const bytes = Buffer.concat([
      storeFrame(SET, 'split', 'value'),
      requestFrame({ opcode: GETK, key: 'split' }),
      requestFrame({ opcode: 0x99, value: 'unknown' }),
      requestFrame({ opcode: APPEND, key: 'split none', value: 'x' }),
      requestFrame({ opcode: 0x1c, extras: words(100), key: 'split', value: 'trailing' }),
      requestFrame({ opcode: NOOP, opaque: 9 }),
    ])
    const cuts = Array.from({ length: bytes.length - 1 }, (_, index) => index + 1)
    const expected = ['1:0', '12:0', '153:129', '14:5', '28:0', '10:0']
    for (let from = 0; from < cuts.length; from += 40) {
      await Promise.all(
        cuts.slice(from, from + 40).map(async (cut) => {
          const client = await BinaryClient.connect(server)
          client.send(bytes.subarray(0, cut))
          // Another connection's answer shows that the server has looked at what came before.
          const other = await BinaryClient.connect(server)
          await expectServed(other)
          other.destroy()
          client.send(bytes.subarray(cut))
          const replies = await client.receiveMany(expected.length)
          const seen = replies.map(({ opcode, status }) => `${opcode}:${status}`)
          expect([cut, seen]).toEqual([cut, expected])
          client.destroy()
        }),
      )
    }
  })

  test('20,000 requests in one write are all answered, in order', async () => {
    const client = await connect(server)
    const other = await connect(server)
    const count = 20_000
    const frames = Array.from({ length: count }, (_, opaque) =>
      opaque % 2 === 0
        ? storeFrame(SET, `pipelined ${opaque >> 1}`, String(opaque), { opaque })
        : requestFrame({ opcode: GET, key: `pipelined ${opaque >> 1}`, opaque }),
    )
    client.send(Buffer.concat(frames))
    await expectServed(other)
    const replies = await client.receiveMany(count)
    for (const [index, { opaque, status, value }] of replies.entries()) {
      expect(opaque).toBe(index)
      expect(status).toBe(OK)
      expect(value.toString()).toBe(index % 2 === 0 ? '' : String(index - 1))
    }
    expect((await stats(other)).conn_yields).toBeGreaterThan(0)
  })

  test('who sends much and ends its side gets all its answers before the end', async () => {
    const client = await connect(server)
    const count = 5_000
    const frames = Array.from({ length: count }, (_, opaque) =>
      requestFrame({ opcode: NOOP, opaque }),
    )
    client.send(Buffer.concat(frames))
    client.end()
    const replies = await client.closed()
    expect(replies.length).toBe(count)
    expect(replies.every(({ opaque }, index) => opaque === index)).toBe(true)
  })

  test('who ends its side in the middle of a request is closed', async () => {
    const client = await connect(server)
    client.send(storeFrame(SET, 'unfinished', 'a value').subarray(0, 35))
    client.end()
    expect(await client.closed()).toEqual([])
    const other = await connect(server)
    expect((await other.request({ opcode: GET, key: 'unfinished' })).status).toBe(NOT_FOUND)
  })
})

describe('the size of values', () => {
  test('-I bounds the item: value, key and header together, as in memcached', async () => {
    const server = await start([])
    const client = await connect(server)
    const set = async (length: number): Promise<number> =>
      (await client.request(setFields('edge', noise(length, 5)))).status
    let stored = MIB - 200
    let refused = MIB
    expect([await set(stored), await set(refused)]).toEqual([OK, TOO_LARGE])
    while (refused - stored > 1) {
      const middle = (stored + refused) >> 1
      if ((await set(middle)) === OK) stored = middle
      else refused = middle
    }
    expect(MIB - stored).toBeLessThan(100)
    expect(await set(stored)).toBe(OK)
    const found = await client.request({ opcode: GET, key: 'edge' })
    expect(found.value.equals(noise(stored, 5))).toBe(true)
    // At every size that is refused the old item goes, whoever notices it.
    for (const length of [refused, MIB, MIB + 1]) {
      expect(await set(10)).toBe(OK)
      const before = (await stats(client)).store_too_large ?? 0
      expect(await set(length)).toBe(TOO_LARGE)
      expect((await client.request({ opcode: GET, key: 'edge' })).status).toBe(NOT_FOUND)
      expect((await stats(client)).store_too_large).toBe(before + 1)
    }
  })

  test('with -I 64m a value of almost 64 MiB comes back whole', async () => {
    const server = await start(['-I', '64m', '-m', '256'])
    const socket = await connectRaw(server)
    const value = Buffer.alloc(64 * MIB - 4 * KIB, noise(MIB - 1, 6))
    const hash = createHash('sha256')
    let received = 0
    const expected = 24 + 24 + 4 + value.length
    const done = new Promise<void>((resolve, reject) => {
      socket.once('close', () => reject(new Error(`closed after ${received} of ${expected}`)))
      socket.on('data', (chunk: Buffer) => {
        // The header of the answer to SET, then header and flags of that to GET.
        const skip = Math.max(0, 52 - received)
        if (chunk.length > skip) hash.update(chunk.subarray(skip))
        received += chunk.length
        if (received >= expected) resolve()
      })
    })
    socket.write(storeFrame(SET, 'film', value))
    socket.write(requestFrame({ opcode: GET, key: 'film' }))
    await done
    expect(received).toBe(expected)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(value).digest('hex'))
    const client = await connect(server)
    const tooMuch = requestFrame({
      opcode: SET,
      extras: words(0, 0),
      key: 'film',
      bodyLength: 12 + 64 * MIB + 1,
    })
    client.send(tooMuch)
    expect((await client.receive()).status).toBe(TOO_LARGE)
  })
})

function setFields(key: string, value: Buffer) {
  return { opcode: SET, extras: words(0, 0), key, value }
}

describe('full memory', () => {
  const limitMib = 16

  test('three times its memory in values of all sizes: old items leave, nothing fails', async () => {
    const server = await start(['-m', String(limitMib)])
    const client = await connect(server)
    const noisy = noise(256 * KIB, 7)
    const total = 3 * limitMib * MIB
    const written: [string, number][] = []
    let bytes = 0
    let rssAtHalf = 0
    while (bytes < total) {
      const lot: Buffer[] = []
      for (let index = 0; index < 50; index++) {
        const size = Math.floor(2 ** (((noisy[written.length] ?? 0) / 256) * 18))
        const key = `item ${written.length}`
        written.push([key, size])
        lot.push(storeFrame(SET, key, noisy.subarray(0, size)))
        bytes += size
      }
      client.send(Buffer.concat(lot))
      for (const { status } of await client.receiveMany(lot.length)) expect(status).toBe(OK)
      if (rssAtHalf === 0 && bytes > total / 2) rssAtHalf = server.residentBytes
    }
    const rows = await stats(client)
    expect(rows.evictions).toBeGreaterThan(0)
    expect(rows.bytes).toBeLessThanOrEqual(limitMib * MIB)
    expect(rows.limit_maxbytes).toBe(limitMib * MIB)
    expect(server.residentBytes - rssAtHalf).toBeLessThan(24 * MIB)
    const [newest, size] = written.at(-1) as [string, number]
    const found = await client.request({ opcode: GET, key: newest })
    expect(found.value.equals(noisy.subarray(0, size))).toBe(true)
  })

  test('with -M a full server says so, keeps what it has and takes more after a delete', async () => {
    const server = await start(['-m', String(limitMib), '-M'])
    const client = await connect(server)
    const value = noise(100 * KIB, 8)
    const stored: string[] = []
    for (;;) {
      const key = `kept ${stored.length}`
      const { status, value: text } = await client.request(setFields(key, value))
      if (status !== OK) {
        expect(status).toBe(NO_MEMORY)
        expect(text.toString()).toMatch(/^Out of memory/)
        break
      }
      stored.push(key)
      expect(stored.length * value.length).toBeLessThan(limitMib * MIB)
    }
    expect(stored.length * value.length).toBeGreaterThan((limitMib * MIB) / 2)
    for (const key of stored) {
      const found = await client.request({ opcode: GET, key })
      expect([key, found.status, found.value.equals(value)]).toEqual([key, OK, true])
    }
    const full = await stats(client)
    expect([full.evictions, full.store_no_memory]).toEqual([0, 1])
    for (const key of stored.slice(0, stored.length / 2)) {
      expect((await client.request({ opcode: DELETE, key })).status).toBe(OK)
    }
    expect((await client.request(setFields('again', value))).status).toBe(OK)
  })
})

describe('idle_timeout', () => {
  test('closes who is silent, and who stops in the middle of a request; not who speaks', async () => {
    const server = await start(['-o', 'idle_timeout=12'])
    const [active, silent, stopped] = await Promise.all([
      connect(server),
      connect(server),
      connect(server),
    ])
    await expectServed(silent)
    stopped.send(storeFrame(SET, 'k', 'value').subarray(0, 30))
    while (!silent.isClosed || !stopped.isClosed) {
      await expectServed(active)
      await delay(50)
    }
    expect((await stats(active)).idle_kicks).toBe(2)
  })
})
