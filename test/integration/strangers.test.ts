/**
 * Clients that are not logged in beside one that is, over real sockets: whatever they half send, its
 * items stay, its sets are stored and its pipelines answered, each request once and in order. And
 * clients that are logged in but read nothing: what they make the server hold is bounded.
 */
import { connect as connectSocket, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { requestFrame, storeFrame } from '../support/binary-frames.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const GET = 0x00
const SET = 0x01
const STAT = 0x10
const OK = 0x00
const NO_MEMORY = 0x82
const MIB = 1024 * 1024
const ALICE = { name: 'alice', password: 'correct horse' }
const TEXT_LOGIN = `set login 0 0 ${ALICE.name.length + 1 + ALICE.password.length}\r\n${ALICE.name} ${ALICE.password}\r\n`
/** What docs/limits.md says that strangers hold together, and each of them in any case. */
const STRANGER_BYTES_MAX = 32 * MIB
const STRANGER_BYTES_ALWAYS = 4096
const STRANGERS = 1100

async function start(flags: readonly string[]): Promise<TestServer> {
  const server = await startSaslcached({ users: [ALICE], flags: ['-t', '1', ...flags] })
  onTestFinished(async () => await server.stop())
  return server
}

async function login(server: TestServer): Promise<BinaryClient> {
  const client = await BinaryClient.connect(server)
  onTestFinished(() => client.destroy())
  await client.loginPlain(ALICE.name, ALICE.password)
  return client
}

async function loginText(server: TestServer): Promise<TextClient> {
  const client = new TextClient(server)
  expect(await client.ask(TEXT_LOGIN)).toBe('STORED\r\n')
  return client
}

async function stats(client: BinaryClient, group: string): Promise<Record<string, number>> {
  client.send(requestFrame({ opcode: STAT, key: group }))
  const rows: Record<string, number> = {}
  for (;;) {
    const { key, value } = await client.receive()
    if (key.length === 0) return rows
    rows[key.toString()] = Number(value.toString())
  }
}

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

function open(server: TestServer): Socket {
  const socket = connectSocket({ host: server.host, port: server.port })
  socket.on('error', () => undefined)
  onTestFinished(() => {
    socket.destroy()
  })
  return socket
}

/** More strangers than there is memory for, each with as much of a request as it may send. */
async function fillWithHalfRequests(server: TestServer, watcher: BinaryClient): Promise<Socket[]> {
  const strangers: Socket[] = []
  const login = Buffer.concat([
    Buffer.from('set login 0 0 65536\r\n'),
    Buffer.alloc(65_500, 'half a login '),
  ])
  for (let index = 0; index < STRANGERS; index++) {
    const stranger = open(server)
    stranger.write(login)
    strangers.push(stranger)
  }
  const sentBytes = STRANGERS * login.length
  await untilStats(watcher, '', ({ bytes_read = 0 }) => bytes_read >= sentBytes)
  return strangers
}

/** When this is answered, what was sent before on other connections has been read. */
async function untilRead(client: BinaryClient): Promise<void> {
  for (let round = 0; round < 20; round++) await stats(client, 'settings')
}

/** What comes until the server ends the connection. */
async function answerUntilEnd(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await new Promise((resolve) => socket.once('close', resolve))
  return Buffer.concat(chunks)
}

test('strangers with half requests take nothing from who is logged in, and change nothing', async () => {
  const server = await start(['-c', '8192', '-m', '64', '--login-timeout', '60'])
  const alice = await login(server)
  const victims = Array.from({ length: 20 }, (_, index) => `victim ${index}`)
  const value = Buffer.alloc(500_000, 'v')
  for (const key of victims) {
    const stored = storeFrame(SET, key, Buffer.concat([Buffer.from(key), value]))
    alice.send(stored)
    expect((await alice.receive()).status).toBe(OK)
  }
  const writer = await loginText(server)
  expect(await writer.ask('set text_victim 0 0 3\r\nold\r\n')).toBe('STORED\r\n')
  const strangers = await fillWithHalfRequests(server, alice)
  const held = await stats(alice, 'auth')
  expect(held.unauthenticated_buf_bytes).toBeLessThanOrEqual(
    STRANGER_BYTES_MAX + strangers.length * STRANGER_BYTES_ALWAYS,
  )
  expect(held.unauthenticated_buf_oom).toBeGreaterThan(0)

  // A set that begins to arrive while there is no memory for it, by text and by binary.
  const text = open(server)
  text.write(`set text_victim 0 0 65536\r\n${'x'.repeat(60_000)}`)
  await untilRead(alice)
  text.write('x'.repeat(5530))
  await untilRead(alice)
  text.destroy()
  const binary = open(server)
  const binaryAnswer = answerUntilEnd(binary)
  const frame = storeFrame(SET, victims[1] ?? '', value)
  binary.write(frame.subarray(0, 11))
  await untilRead(alice)
  binary.write(frame.subarray(11, 40))
  expect((await binaryAnswer).readUInt16BE(6)).toBe(0x20)
  expect(await writer.ask('get text_victim\r\n', 'END\r\n')).toBe(
    'VALUE text_victim 0 3\r\nold\r\nEND\r\n',
  )

  // Sets of half a megabyte that arrive in pieces, and a pipeline of small ones.
  for (const [index, key] of victims.entries()) {
    const next = storeFrame(SET, key, Buffer.concat([Buffer.from(`${key} anew`), value]))
    alice.send(next.subarray(0, 200_000))
    await stats(await login(server), 'settings')
    alice.send(next.subarray(200_000))
    expect([index, (await alice.receive()).status]).toEqual([index, OK])
  }
  for (const key of victims) {
    const found = await alice.request({ opcode: GET, key })
    expect(found.value.subarray(0, -value.length).toString()).toBe(`${key} anew`)
  }
  const pipeline = await loginText(server)
  const sent: string[] = []
  const expected: string[] = []
  for (let index = 0; index < 20_000; index++) {
    sent.push(`ms k${index % 100} 10 O${index}\r\n0123456789\r\n`)
    expected.push(`HD O${index}\r\n`)
  }
  const answer = await pipeline.ask(`${sent.join('')}mn\r\n`, 'MN\r\n')
  expect(answer === `${expected.join('')}MN\r\n`).toBe(true)
  for (const stranger of strangers) stranger.destroy()
  await untilStats(alice, 'auth', ({ unauthenticated_buf_bytes: bytes = 0 }) => bytes === 0)
})

test('a pipeline behind a request that is not complete is answered, whatever others hold', async () => {
  const server = await start(['-m', '64', '-I', '1m'])
  const alice = await login(server)
  const text = await loginText(server)
  expect(await text.ask('set half 0 0 3\r\nold\r\n')).toBe('STORED\r\n')
  const half = storeFrame(SET, 'half', Buffer.alloc(1_000_000))
  const holders: BinaryClient[] = []
  // A quarter of the memory takes some of them as they arrive; the others wait.
  for (let index = 0; index < 90; index++) {
    const holder = await login(server)
    holder.send(half.subarray(0, half.length - 1))
    holders.push(holder)
  }
  const rows = await untilStats(alice, '', ({ read_buf_oom: refused = 0 }) => refused > 0)
  // A quarter of the room, and what was refused, may have been made free by now.
  expect(rows.read_buf_bytes).toBeGreaterThan(40 * MIB)

  // The old value stays where a new one was refused for want of room to wait for it.
  expect((await Promise.race(holders.map((holder) => holder.receive()))).status).toBe(NO_MEMORY)
  expect(await text.ask('get half\r\n', 'END\r\n')).toBe('VALUE half 0 3\r\nold\r\nEND\r\n')

  const sets = Array.from({ length: 20_000 }, (_, index) => `set k${index} 0 0 5\r\nvalue\r\n`)
  const answer = await text.ask(`${sets.join('')}mn\r\n`, 'MN\r\n')
  expect(answer === `${'STORED\r\n'.repeat(20_000)}MN\r\n`).toBe(true)
})

test('who reads nothing makes the server hold no more than is set apart for unread replies', async () => {
  const server = await start(['-m', '64', '-c', '2048'])
  const alice = await login(server)
  const value = Buffer.alloc(1_000_000, 'v')
  expect(
    (await alice.request({ opcode: SET, extras: Buffer.alloc(8), key: 'big', value })).status,
  ).toBe(OK)
  const before = server.residentBytes
  const readers: Socket[] = []
  for (let index = 0; index < 400; index++) {
    const reader = open(server)
    reader.pause()
    reader.write(`${TEXT_LOGIN}get big\r\nget big\r\nget big\r\nget big\r\nget big\r\nget big\r\n`)
    readers.push(reader)
  }
  await untilStats(alice, 'auth', ({ unread_reply_oom: refused = 0 }) => refused > 0)
  let heldMax = 0
  // Others are served all the while; a value of that size is given or refused, never late.
  for (let count = 0; count < 200; count++) {
    const { unread_reply_bytes: held = 0 } = await stats(alice, 'auth')
    heldMax = Math.max(heldMax, held)
    expect((await alice.request({ opcode: GET, key: 'small' })).status).toBe(1)
  }
  expect(heldMax).toBeGreaterThan(32 * MIB)
  expect(heldMax).toBeLessThan(96 * MIB)
  expect(server.residentBytes - before).toBeLessThan(160 * MIB)
  for (const reader of readers) reader.destroy()
  await untilStats(alice, 'auth', ({ unread_reply_bytes: held = 0 }) => held === 0)
  const found = await alice.request({ opcode: GET, key: 'big' })
  expect(found.value.equals(value)).toBe(true)
  // What is freed goes back by and by, also while others ask.
  const grownBytes = async (): Promise<number> => {
    await stats(alice, 'auth')
    return server.residentBytes - before
  }
  await expect.poll(grownBytes, { timeout: 60_000 }).toBeLessThan(64 * MIB)
})
