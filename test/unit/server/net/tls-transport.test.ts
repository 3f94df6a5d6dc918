/**
 * Clients of a TLS listener that go, on real sockets: in each phase of their connection they must be noticed then, not
 * when a deadline has passed. Turns for handshakes are moved by the test.
 */
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { Receiver } from '../../../../src/connection/transport.ts'
import type { AcceptedHandle } from '../../../../src/server/net/accepted-handle.ts'
import { HandleWriter } from '../../../../src/server/net/handle-writer.ts'
import { RECORD_BYTES_MIN, ROW_BYTES_MAX } from '../../../../src/server/net/read-row.ts'
import { AcceptedSocket, READ_BUFFER_BYTES } from '../../../../src/server/net/socket-transport.ts'
import { TlsHandleTransport } from '../../../../src/server/net/tls-handle-transport.ts'
import { TlsHandles } from '../../../../src/server/net/tls-handles.ts'
import { type HandshakeStep, TlsHandshakes } from '../../../../src/server/net/tls-handshakes.ts'
import { TlsNewcomer } from '../../../../src/server/net/tls-newcomer.ts'
import type { TlsParts } from '../../../../src/server/net/tls-phase.ts'
import { TlsSocketTransport } from '../../../../src/server/net/tls-socket-transport.ts'
import { TestAuthority } from '../../../support/authority.ts'
import { tlsMaterial } from '../../../support/tls-material.ts'
import { HANDSHAKE, plainRecord } from '../../../support/tls-records.ts'

const authority = new TestAuthority()
const pair = authority.issue()
authority.remove()

const ends: (() => void)[] = []
afterEach(() => {
  holdsEnds = false
  for (const ending of endings.splice(0)) ending()
  for (const end of ends.splice(0)) end()
})

const turns: HandshakeStep[] = []
/** Ends that wait for their turn, where a test holds them; else they have the next one. */
const endings: (() => unknown)[] = []
let holdsEnds = false
const failures: string[] = []
const handshakes = new TlsHandshakes(
  tlsMaterial([{ certificate: pair.certificate, key: pair.key, names: ['localhost'] }]),
  { nowMs: () => performance.now() },
  { defer: (step) => void turns.push(step) },
)
const parts: TlsParts = {
  readBuffer: Buffer.alloc(READ_BUFFER_BYTES),
  sendBufferBytesMax: 1024,
  handshakes,
  handles: new TlsHandles(new HandleWriter(), () => expect.fail('not as expected inside')),
  soon: (run) => void (holdsEnds ? endings.push(run) : setImmediate(run)),
  lane: new Float64Array(1000),
  epochSeconds: () => 0,
  onHandshake: () => undefined,
  onHandshakeFailed: (_, code) => failures.push(code),
}

type TlsTransport = TlsHandleTransport | TlsSocketTransport

/** Who is told; each `told` is awaited by its word. */
class Recorder implements Receiver {
  readonly intake = { nextRoom: (): undefined => undefined }
  received = ''
  receiveCount = 0
  readsOn = true
  private readonly told: Set<string> = new Set()
  private wake: () => void = () => undefined

  receive(bytes: Uint8Array, length: number): boolean {
    this.received += Buffer.from(bytes.subarray(0, length)).toString('latin1')
    this.receiveCount++
    this.tell('bytes')
    return this.readsOn
  }

  heard(): void {
    this.tell('heard')
  }

  receiveEnd(): void {
    this.tell('end')
  }

  onDrained(): void {
    this.tell('drained')
  }

  finish(): void {
    this.tell('finish')
  }

  hasHeard(word: string): boolean {
    return this.told.has(word)
  }

  async until(word: string): Promise<void> {
    while (!this.told.has(word)) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
  }

  private tell(word: string): void {
    this.told.add(word)
    this.wake()
  }
}

/** A listener whose connections are accepted as a handle, or as a socket of Node. */
async function accept(asSocket: boolean): Promise<[AcceptedHandle, net.Socket]> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true })
  server.listen({ port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  const { _handle: listening } = server as unknown as {
    _handle: { onconnection: (status: number, handle: AcceptedHandle) => void }
  }
  const accepted = new Promise<AcceptedHandle>((resolve) => {
    if (asSocket) server.once('connection', (socket) => resolve(new AcceptedSocket(socket)))
    else listening.onconnection = (_, handle) => resolve(handle)
  })
  const { port } = server.address() as net.AddressInfo
  const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  client.on('error', () => undefined)
  ends.push(() => {
    client.destroy()
    server.close()
  })
  return [await accepted, client]
}

/** The first bytes of a client of Node's. */
async function clientHello(): Promise<Buffer> {
  const [one, other] = await accept(true)
  const client = tls.connect({ socket: other, rejectUnauthorized: false })
  client.on('error', () => undefined)
  const [hello] = (await once((one as AcceptedSocket).socket.resume(), 'data')) as [Buffer]
  client.destroy()
  return hello
}

const hello = await clientHello()

function serve(handle: AcceptedHandle) {
  const transport = new TlsNewcomer(handle, 0, 'none', parts).open() as TlsTransport
  expect(transport).toBeInstanceOf(
    handle instanceof AcceptedSocket ? TlsSocketTransport : TlsHandleTransport,
  )
  const recorder = new Recorder()
  transport.attach(recorder)
  ends.push(() => transport.destroy())
  return { transport, recorder }
}

/** Sockets of Node are not asked. */
function isReset(transport: TlsTransport): boolean {
  return transport instanceof TlsHandleTransport && transport.isReset()
}

async function nextTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

/** Gives every handshake that waits its turn. */
function giveTurns(): void {
  for (const turn of turns.splice(0)) turn.continueServing()
}

/** The same as long as `awaited` has not come. */
async function giveTurnsUntil<Result>(awaited: Promise<Result>): Promise<Result> {
  let isOver = false
  void awaited.finally(() => {
    isOver = true
  })
  while (!isOver) {
    giveTurns()
    await nextTurn()
  }
  return await awaited
}

async function secured(asSocket: boolean) {
  const [handle, socket] = await accept(asSocket)
  const served = serve(handle)
  const client = tls.connect({ socket, rejectUnauthorized: false })
  client.on('error', () => undefined)
  await giveTurnsUntil(once(client, 'secureConnect'))
  client.write('x')
  await giveTurnsUntil(served.recorder.until('bytes'))
  served.transport.write(Buffer.from('y'))
  await once(client, 'data')
  return { ...served, client, socket }
}

afterAll(() => {
  expect(handshakes.waitingCount).toBe(0)
})

/** A record of data that nobody can decrypt, as long as any is. */
const GARBAGE = Buffer.concat([Uint8Array.of(0x17, 3, 3, 0, 32), Buffer.alloc(32, 7)])

const LEAVES: readonly [how: string, leave: (client: net.Socket) => void][] = [
  ['ends its stream', (client) => client.end()],
  ['closes', (client) => client.destroy()],
  ['resets it', (client) => client.resetAndDestroy()],
]

describe.each([
  ['a handle', false],
  ['a socket of Node', true],
])('accepted as %s, a client that', (_, asSocket) => {
  test.each(LEAVES)('%s before its hello is whole is noticed', async (how, leave) => {
    const [handle, client] = await accept(asSocket)
    const { transport, recorder } = serve(handle)
    client.write(hello.subarray(0, 20))
    while (transport.receivedBytes < 20) await nextTurn()
    leave(client)
    await recorder.until('finish')
    expect(failures.at(-1)).toBe(how === 'resets it' ? 'ECONNRESET' : 'not-finished')
  })

  test.each(LEAVES)(
    '%s while its handshake waits is noticed, and costs no handshake',
    async (_how, leave) => {
      const [handle, client] = await accept(asSocket)
      const { recorder } = serve(handle)
      client.write(hello)
      await recorder.until('heard')
      leave(client)
      await recorder.until('finish')
      expect(handshakes.waitingCount).toBe(0)
      giveTurns()
    },
  )

  test.each(LEAVES)('%s in the middle of the handshake is noticed', async (_how, leave) => {
    const [handle, client] = await accept(asSocket)
    const { recorder } = serve(handle)
    client.write(hello)
    await recorder.until('heard')
    giveTurns()
    await once(client, 'data')
    leave(client)
    await recorder.until('finish')
    expect(failures.at(-1)).toBe('ECONNRESET')
  })

  test('sends its hello in two records waits for no turn before the second', async () => {
    const [handle, client] = await accept(asSocket)
    const { transport, recorder } = serve(handle)
    const [first, second] = [hello.subarray(5, 10), hello.subarray(10)].map((content) =>
      plainRecord(HANDSHAKE, content, 0x0301),
    ) as [Buffer, Buffer]
    client.write(first)
    while (transport.receivedBytes < first.length) await nextTurn()
    await nextTurn()
    expect(handshakes.waitingCount).toBe(0)
    client.write(second)
    await recorder.until('heard')
    expect(handshakes.waitingCount).toBe(1)
    giveTurns()
    const [answer] = (await once(client, 'data')) as [Buffer]
    expect(answer[0]).toBe(HANDSHAKE)
  })

  test('claims a hello that is longer than any is dropped, and costs no handshake', async () => {
    const [handle, client] = await accept(asSocket)
    const { recorder } = serve(handle)
    // 131 396 bytes, for which OpenSSL takes the room.
    client.write(plainRecord(HANDSHAKE, Uint8Array.of(1, 2, 1, 0x44), 0x0301))
    await recorder.until('finish')
    expect(failures.at(-1)).toBe('not-a-client-hello')
    expect(turns).toHaveLength(0)
  })

  test('sends more than a hello while it waits is served all the same', async () => {
    const [handle, client] = await accept(asSocket)
    const { recorder } = serve(handle)
    client.write(hello)
    await recorder.until('heard')
    // An alert that it closes, say: it is part of what the handshake begins with.
    client.write(Buffer.from([0x15, 3, 3, 0, 2, 1, 0]))
    giveTurns()
    await recorder.until('finish')
  })

  test('sends without end while it waits is dropped', async () => {
    const [handle, client] = await accept(asSocket)
    const { recorder } = serve(handle)
    client.write(hello)
    await recorder.until('heard')
    client.write(Buffer.alloc(64 * 1024))
    await recorder.until('finish')
    expect(failures.at(-1)).toBe('not-a-client-hello')
    giveTurns()
  })

  test('sends each byte in a record of its own while it is not read has them passed on as one', async () => {
    const { transport, recorder, client, socket } = await secured(asSocket)
    recorder.readsOn = false
    const digits = Array.from({ length: 1000 }, (_, index) => String(index % 10))
    socket.cork()
    for (const digit of digits) client.write(digit)
    socket.uncork()
    while (recorder.received.length < 2) await nextTurn()
    // What had come with the first of them is here by then.
    for (let count = 0; count < 5; count++) await nextTurn()
    recorder.readsOn = true
    const before = recorder.receiveCount
    transport.resume()
    while (recorder.received.length < 1 + digits.length) await nextTurn()
    expect(recorder.received).toBe(`x${digits.join('')}`)
    // Node's own buffers hand on what they were given.
    if (!asSocket) expect(recorder.receiveCount - before).toBeLessThan(digits.length / 2)
  })

  test('never pauses, with a thousand small records, lets others have their turn', async () => {
    const { recorder, client } = await secured(asSocket)
    const [recordBytes, records] = [512, 1024]
    const wantedBytes = recorder.received.length + recordBytes * records
    let [row, longest] = [0, 0]
    const receive = recorder.receive.bind(recorder)
    recorder.receive = (...args) => {
      longest = Math.max(longest, ++row)
      return receive(...args)
    }
    expect(client.setMaxSendFragment(recordBytes)).toBe(true)
    client.write(Buffer.alloc(recordBytes * records, 'z'))
    while (recorder.received.length < wantedBytes) {
      await nextTurn()
      row = 0
    }
    expect(recorder.received).toHaveLength(wantedBytes)
    expect(longest).toBeGreaterThan(1)
    // What was decrypted all the same comes as one, before the others' turn has begun.
    expect(longest).toBeLessThanOrEqual(ROW_BYTES_MAX / RECORD_BYTES_MIN + 1)
  })

  test('resets its connection has sent no end', async () => {
    const { recorder, socket } = await secured(asSocket)
    socket.resetAndDestroy()
    await recorder.until('finish')
    expect(recorder.hasHeard('end')).toBe(false)
  })

  test('ends its stream while it is not read is told of when it is', async () => {
    const { transport, recorder, client } = await secured(asSocket)
    recorder.readsOn = false
    recorder.received = ''
    client.end('last')
    while (recorder.received !== 'last') await nextTurn()
    expect(isReset(transport)).toBe(false)
    recorder.readsOn = true
    transport.resume()
    await recorder.until('end')
    transport.end()
    expect(isReset(transport)).toBe(false)
    await recorder.until('finish')
    expect(isReset(transport)).toBe(false)
  })
})

async function served(bytes: Uint8Array) {
  const [handle, socket] = await accept(false)
  const served = serve(handle)
  socket.write(bytes)
  return { ...served, socket }
}

/** A client that has come so far, and what it is told of when it goes. */
const PHASES: readonly [
  phase: string,
  told: string,
  come: () => Promise<{ transport: TlsTransport; recorder: Recorder; socket: net.Socket }>,
][] = [
  [
    'that have said nothing',
    'finish',
    async () => {
      const come = await served(new Uint8Array(0))
      await nextTurn()
      return come
    },
  ],
  ['in the middle of their hello', 'finish', async () => await served(hello.subarray(0, 20))],
  [
    'whose handshakes wait',
    'finish',
    async () => {
      const come = await served(hello)
      await come.recorder.until('heard')
      return come
    },
  ],
  [
    'in the middle of their handshakes',
    'finish',
    async () => {
      const come = await served(hello)
      await come.recorder.until('heard')
      giveTurns()
      await once(come.socket, 'data')
      return come
    },
  ],
  ['that could log in now', 'end', async () => await secured(false)],
]

test('many that end their handshakes at one moment are read in turns, and all are served', async () => {
  const clients = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const [handle, socket] = await accept(false)
      const served = serve(handle)
      const client = tls.connect({ socket, rejectUnauthorized: false })
      client.on('error', () => undefined)
      await served.recorder.until('heard')
      return { ...served, client }
    }),
  )
  const countOpen = (): number => clients.filter(({ transport }) => transport.channel.tls).length
  giveTurns()
  while (turns.length === 0) await nextTurn()
  // What comes of those whose turn it was not is nothing, however long they wait.
  for (let count = 0; count < 20; count++) await nextTurn()
  const atOnce = countOpen()
  expect(atOnce).toBeLessThanOrEqual(8)
  expect(turns.length).toBeGreaterThanOrEqual(clients.length - atOnce)
  let most = 0
  while (countOpen() < clients.length) {
    const before = countOpen()
    turns.shift()?.continueServing()
    await nextTurn()
    most = Math.max(most, countOpen() - before)
  }
  expect(most).toBe(1)
  for (const { client, recorder } of clients) {
    client.write('x')
    await recorder.until('bytes')
  }
})

describe.each(PHASES)('many %s', (_, told, come) => {
  test.each(LEAVES)('where each %s at one moment end one in each turn', async (_how, leave) => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => come()))
    const countEnded = (): number =>
      clients.filter(({ recorder }) => recorder.hasHeard(told) || recorder.hasHeard('finish'))
        .length
    await nextTurn()
    const turnsBefore = turns.length
    holdsEnds = true
    for (const { socket } of clients) leave(socket)
    while (endings.length < clients.length && countEnded() === 0) await nextTurn()
    for (let count = 0; count < 5; count++) await nextTurn()
    expect(countEnded()).toBe(0)
    expect(endings).toHaveLength(clients.length)
    expect(turns.length).toBe(turnsBefore)
    // Who has left costs no handshake, also where its turn comes before its end.
    const wrote = clients.map(({ transport }) => transport.sentBytes)
    giveTurns()
    await nextTurn()
    expect(clients.map(({ transport }) => transport.sentBytes)).toEqual(wrote)
    for (let ended = 1; ended <= clients.length; ended++) {
      endings[ended - 1]!()
      while (countEnded() < ended) await nextTurn()
      for (let count = 0; count < 5; count++) await nextTurn()
      expect(countEnded()).toBe(ended)
    }
  })
})

describe.each(PHASES.slice(-2))('many %s', (_, _told, come) => {
  test('that send at one moment what OpenSSL refuses end one in each turn', async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => come()))
    const countEnded = (): number =>
      clients.filter(({ recorder }) => recorder.hasHeard('finish')).length
    holdsEnds = true
    for (const { socket } of clients) socket.write(GARBAGE)
    while (endings.length < clients.length && countEnded() === 0) {
      giveTurns()
      await nextTurn()
    }
    // What comes behind is not read.
    const read = clients.map(({ transport }) => transport.receivedBytes)
    for (const { transport, socket } of clients) {
      socket.write(GARBAGE)
      transport.resume()
    }
    for (let count = 0; count < 20; count++) await nextTurn()
    expect(clients.map(({ transport }) => transport.receivedBytes)).toEqual(read)
    expect(countEnded()).toBe(0)
    expect(endings).toHaveLength(clients.length)
    for (let ended = 1; ended <= clients.length; ended++) {
      endings[ended - 1]!()
      while (countEnded() < ended) await nextTurn()
      for (let count = 0; count < 5; count++) await nextTurn()
      expect(countEnded()).toBe(ended)
    }
  })
})

test('a client that resets its connection while it is not read is lost', async () => {
  const { transport, recorder, client, socket } = await secured(false)
  recorder.readsOn = false
  recorder.received = ''
  client.write('last')
  while (recorder.received !== 'last') await nextTurn()
  expect(isReset(transport)).toBe(false)
  socket.resetAndDestroy()
  while (!isReset(transport)) await nextTurn()
})
