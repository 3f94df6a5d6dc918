/**
 * Right from their handles, on real sockets, connections must be read, written and ended as they are by
 * sockets of Node: each test is asked of both ways.
 */
import { once } from 'node:events'
import net from 'node:net'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { UNKNOWN_PEER } from '../../../../src/base/peer.ts'
import type { LateMemory, Receiver, Transport } from '../../../../src/connection/transport.ts'
import type { AcceptedHandle } from '../../../../src/server/net/accepted-handle.ts'
import { BareHandles } from '../../../../src/server/net/bare-handles.ts'
import { HandleTransport } from '../../../../src/server/net/handle-transport.ts'
import { HandleWriter } from '../../../../src/server/net/handle-writer.ts'
import { ROW_BYTES_MAX } from '../../../../src/server/net/read-row.ts'
import {
  AcceptedSocket,
  READ_BUFFER_BYTES,
  SocketTransport,
} from '../../../../src/server/net/socket-transport.ts'

const READ_BYTES = 1000
const PIPE = { peer: UNKNOWN_PEER, channel: { kind: 'tcp', listenerIndex: 0 } } as const

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

/** Writes down what it is told. */
class Recorder implements Receiver {
  readonly told: string[] = []
  received = ''
  /** Where the next bytes are to come. */
  rooms: (Uint8Array | undefined)[] = []
  readonly intake = { nextRoom: (): Uint8Array | undefined => this.rooms.shift() }
  /** Whether it goes on reading after bytes have come. */
  readsOn = true
  onReceive: () => void = () => undefined
  private wake: () => void = () => undefined

  receive(bytes: Uint8Array, length: number): boolean {
    this.received += Buffer.from(bytes.subarray(0, length)).toString('latin1')
    this.tell('bytes')
    this.onReceive()
    return this.readsOn
  }

  heard(): void {}

  receiveEnd(): void {
    this.tell('end')
  }

  onDrained(): void {
    this.tell('drained')
  }

  finish(): void {
    this.tell('finish')
  }

  async until(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
  }

  async untilTold(word: string): Promise<void> {
    await this.until(() => this.told.includes(word))
  }

  private tell(word: string): void {
    if (word !== 'bytes' || this.told.at(-1) !== 'bytes') this.told.push(word)
    this.wake()
  }
}

interface Pair {
  readonly transport: Transport
  readonly client: net.Socket
  readonly recorder: Recorder
}

type Serve = (handle: AcceptedHandle) => Transport

async function accept(path?: string): Promise<[AcceptedHandle, net.Socket]> {
  const server = net.createServer({ pauseOnConnect: true })
  server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path })
  await once(server, 'listening')
  const { _handle: listening } = server as unknown as {
    _handle: { onconnection: (status: number, handle: AcceptedHandle) => void }
  }
  const accepted = new Promise<AcceptedHandle>((resolve) => {
    listening.onconnection = (_, handle) => resolve(handle)
  })
  const client = net.connect(
    path === undefined
      ? { port: (server.address() as net.AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true }
      : { path, allowHalfOpen: true },
  )
  client.on('error', () => undefined)
  ends.push(() => {
    client.destroy()
    server.close()
  })
  return [await accepted, client]
}

async function pair(serve: Serve, path?: string): Promise<Pair> {
  const [handle, client] = await accept(path)
  const transport = serve(handle)
  const recorder = new Recorder()
  transport.attach(recorder)
  ends.push(() => transport.destroy())
  return { transport, client, recorder }
}

const writer = new HandleWriter()
const readBuffer = Buffer.alloc(READ_BYTES)
const without: string[] = []
const bare = BareHandles.of(readBuffer, writer, () => without.push('read'), setImmediate)
const parts = { readBuffer, sendBufferBytesMax: 1024, writer, bare }

const bySocket: Serve = (handle) => new SocketTransport(handle, PIPE, parts)
const byHandle: Serve = (handle) => {
  if (!bare?.takes(handle)) throw new Error('this release of Node has other handles')
  return new HandleTransport(handle, PIPE, bare)
}

beforeAll(async () => {
  const { transport, client } = await pair(bySocket)
  transport.write(Buffer.from('x'))
  await once(client, 'data')
})

test('every release of Node that is supported has handles to be served from', () => {
  expect(bare).toBeDefined()
  expect(without).toEqual([])
})

describe.each([
  ['a socket of Node', bySocket],
  ['its handle', byHandle],
])('a connection that is served by %s', (_, serve) => {
  test('is read, answered, and ended by both sides', async () => {
    const { transport, client, recorder } = await pair(serve)
    client.end('question')
    await recorder.untilTold('end')
    expect(recorder.received).toBe('question')
    expect(transport.write(Buffer.from('answer'))).toBe(0)
    transport.end()
    const [answer] = (await once(client, 'data')) as [Buffer]
    expect(answer.toString()).toBe('answer')
    await recorder.untilTold('finish')
    expect(recorder.told).toEqual(['bytes', 'end', 'finish'])
  })

  test('is still read after our end, until that of the peer', async () => {
    const { transport, client, recorder } = await pair(serve)
    transport.end()
    client.resume()
    await once(client, 'end')
    client.end('late')
    await recorder.untilTold('finish')
    expect(recorder.received).toBe('late')
    expect(recorder.told).toEqual(['bytes', 'end', 'finish'])
  })

  test('has not ended when a read has filled the buffer to its last byte', async () => {
    const { client, recorder } = await pair(serve)
    client.write('x'.repeat(3 * READ_BYTES))
    await recorder.until(() => recorder.received.length === 3 * READ_BYTES)
    // In the meantime the kernel was asked for more and had none.
    client.write('more')
    await recorder.until(() => recorder.received.endsWith('more'))
    expect(recorder.told).toEqual(['bytes'])
    client.end()
    await recorder.untilTold('end')
  })

  test('is finished without an end when its peer resets it', async () => {
    const { client, recorder } = await pair(serve)
    client.write('x')
    await recorder.untilTold('bytes')
    client.resetAndDestroy()
    await recorder.untilTold('finish')
    expect(recorder.told).toEqual(['bytes', 'finish'])
  })

  test('is left alone from the read that asks for it until it is resumed', async () => {
    const { transport, client, recorder } = await pair(serve)
    recorder.readsOn = false
    client.write('first')
    await recorder.untilTold('bytes')
    client.end('second')
    // A round trip on another connection: what there was to read could have been read by then.
    const other = await pair(serve)
    other.client.write('x')
    await other.recorder.untilTold('bytes')
    expect(recorder.received).toBe('first')
    recorder.readsOn = true
    transport.resume()
    await recorder.untilTold('end')
    expect(recorder.received).toBe('firstsecond')
  })

  test('is lost when its peer resets it while it is left alone, and not before', async () => {
    const { transport, client, recorder } = await pair(serve)
    // A socket of Node is written to by its handle from its second write on.
    transport.write(Buffer.from('x'))
    recorder.readsOn = false
    client.write('first')
    await recorder.untilTold('bytes')
    expect(transport.isReset?.()).toBe(false)
    client.resetAndDestroy()
    while (!transport.isReset?.()) await new Promise((resolve) => setImmediate(resolve))
  })

  test('is not lost after our end, whoever has not ended yet', async () => {
    const { transport, client, recorder } = await pair(serve)
    transport.write(Buffer.from('x'))
    recorder.readsOn = false
    client.write('first')
    await recorder.untilTold('bytes')
    transport.end()
    for await (const part of client) expect(String(part)).toBe('x')
    expect(transport.isReset?.()).toBe(false)
    transport.resume()
    client.end()
    await recorder.untilTold('finish')
    expect(transport.isReset?.()).toBe(false)
  })

  test('is not lost when its peer has only ended its stream, and still reads', async () => {
    const { transport, client, recorder } = await pair(serve)
    transport.write(Buffer.from('x'))
    client.end()
    await recorder.untilTold('end')
    expect(transport.isReset?.()).toBe(false)
    transport.write(Buffer.from('y'))
    transport.end()
    let received = ''
    for await (const part of client) received += String(part)
    expect(received).toBe('xy')
  })

  test('says when a reader that fell behind has taken all, in order', async () => {
    const { transport, client, recorder } = await pair(serve)
    const large = Buffer.alloc(20 * 1024 * 1024, 'large')
    expect(transport.write(large)).toBeGreaterThan(0)
    transport.write(Buffer.from('small'))
    transport.end()
    const parts: Buffer[] = []
    for await (const part of client) parts.push(part)
    expect(Buffer.concat(parts).equals(Buffer.concat([large, Buffer.from('small')]))).toBe(true)
    await recorder.untilTold('drained')
    expect(transport.unsentBytes).toBe(0)
  })

  test('hears nothing more after it was dropped in the middle of a read, but that it is gone', async () => {
    const { transport, client, recorder } = await pair(serve)
    recorder.onReceive = () => transport.destroy()
    client.write('x'.repeat(3 * READ_BYTES))
    await recorder.untilTold('finish')
    expect(recorder.received.length).toBeLessThanOrEqual(READ_BYTES)
    expect(transport.write(Buffer.from('to nobody'))).toBe(0)
    transport.end()
    transport.resume()
    transport.destroy()
    // It may be a reset: what it had sent was not read.
    await new Promise((resolve) => client.resume().once('close', resolve))
    expect(recorder.told).toEqual(['bytes', 'finish'])
  })

  test('is dropped with what a reader that is gone had not taken', async () => {
    const { transport, client, recorder } = await pair(serve)
    expect(transport.write(Buffer.alloc(20 * 1024 * 1024))).toBeGreaterThan(0)
    client.resetAndDestroy()
    await recorder.untilTold('finish')
    expect(recorder.told).not.toContain('drained')
  })
})

describe('a client that never pauses lets others have their turn', () => {
  const SENT_BYTES = 8 * 1024 * 1024
  const wide = Buffer.alloc(READ_BUFFER_BYTES)
  const wideBare = BareHandles.of(wide, writer, () => without.push('read'), setImmediate)
  const wideParts = { ...parts, readBuffer: wide, bare: wideBare }
  const socketOf = (handle: AcceptedHandle): net.Socket =>
    new net.Socket({
      handle,
      allowHalfOpen: true,
      pauseOnCreate: true,
    } as net.SocketConstructorOpts)

  test.each<[string, Serve]>([
    ['a socket of Node', (handle) => new SocketTransport(handle, PIPE, wideParts)],
    [
      'a socket that Node has wrapped',
      (handle) => new SocketTransport(new AcceptedSocket(socketOf(handle)), PIPE, wideParts),
    ],
    [
      'its handle',
      (handle) => {
        if (!wideBare?.takes(handle)) throw new Error('this release of Node has other handles')
        return new HandleTransport(handle, PIPE, wideBare)
      },
    ],
  ])('served by %s', async (_, serve) => {
    const { client, recorder } = await pair(serve)
    let [row, longest, total] = [0, 0, 0]
    const others = () => {
      row = 0
      if (total < SENT_BYTES) setImmediate(others)
    }
    setImmediate(others)
    recorder.receive = (_bytes, length) => {
      row += length
      total += length
      longest = Math.max(longest, row)
      if (total === SENT_BYTES) recorder.onReceive()
      return true
    }
    const isThere = new Promise<void>((resolve) => {
      recorder.onReceive = resolve
    })
    client.write(Buffer.alloc(SENT_BYTES, 'x'))
    await isThere
    expect(longest).toBeGreaterThan(0)
    expect(longest).toBeLessThan(ROW_BYTES_MAX + READ_BUFFER_BYTES)
  })
})

/** Memory of a store, of which a part is a room. */
class Ground {
  readonly bytes: Uint8Array = new Uint8Array(new SharedArrayBuffer(10_000))
  readonly rooms: [start: number, length: number][] = []

  room(start: number, length: number): Uint8Array {
    this.rooms.push([start, length])
    return new Uint8Array(this.bytes.buffer, start, length)
  }

  /** What is in the rooms, and whether all around them is as it was. */
  get content(): string {
    const parts = this.rooms.map(([start, length]) => this.bytes.slice(start, start + length))
    return Buffer.concat(parts).toString('latin1')
  }

  get isWholeAround(): boolean {
    const rest = this.bytes.slice()
    for (const [start, length] of this.rooms) rest.fill(0, start, start + length)
    return rest.every((byte) => byte === 0)
  }
}

const DIGITS = '0123456789'

describe('the room that a receiver names', () => {
  test('has the next bytes, as many as fit, and those behind them come as before', async () => {
    const { client, recorder } = await pair(byHandle)
    const ground = new Ground()
    recorder.rooms = [ground.room(1001, 300), ground.room(2002, 3000), undefined]
    client.write('head')
    await recorder.until(() => recorder.received === 'head')
    const sent = DIGITS.repeat(400)
    client.write(sent)
    await recorder.until(() => recorder.received.length === 4 + sent.length)
    expect(recorder.received).toBe(`head${sent}`)
    expect(ground.content).toBe(sent.slice(0, 3300))
    expect(ground.isWholeAround).toBe(true)
    client.end('end')
    await recorder.untilTold('end')
    expect(recorder.received).toBe(`head${sent}end`)
    expect(ground.content).toBe(sent.slice(0, 3300))
  })

  test('is not written to any more once it is left', async () => {
    const { transport, client, recorder } = await pair(byHandle)
    const ground = new Ground()
    recorder.rooms = [ground.room(1001, 3000)]
    client.write('head')
    await recorder.until(() => recorder.received === 'head')
    transport.leaveRoom?.()
    // Nor is another one, however often one is named.
    recorder.rooms = Array.from({ length: 100 }, (_, index) => ground.room(4000 + index, 3000))
    client.write(DIGITS.repeat(400))
    await recorder.until(() => recorder.received.length === 4004)
    client.end()
    await recorder.untilTold('end')
    expect(ground.bytes.every((byte) => byte === 0)).toBe(true)
  })

  test('can be left in the middle of the read that filled it', async () => {
    const { transport, client, recorder } = await pair(byHandle)
    const ground = new Ground()
    recorder.rooms = [ground.room(1001, 300)]
    client.write('head')
    await recorder.until(() => recorder.received === 'head')
    recorder.onReceive = () => transport.leaveRoom?.()
    client.write(DIGITS.repeat(400))
    await recorder.until(() => recorder.received.length === 4004)
    expect(recorder.received).toBe(`head${DIGITS.repeat(400)}`)
    expect(ground.content).toBe(DIGITS.repeat(30))
    expect(ground.isWholeAround).toBe(true)
  })

  test('is nothing that a connection writes to when it was reset or dropped', async () => {
    for (const end of ['reset', 'drop']) {
      const { transport, client, recorder } = await pair(byHandle)
      const ground = new Ground()
      recorder.rooms = [ground.room(1001, 3000)]
      client.write('head')
      await recorder.until(() => recorder.received === 'head')
      if (end === 'drop') transport.destroy()
      client.write('more')
      if (end === 'reset') client.resetAndDestroy()
      // With bytes before it the kernel's word of a reset comes as an end.
      await recorder.until(() => recorder.told.some((word) => word === 'finish' || word === 'end'))
      transport.leaveRoom?.()
      expect(ground.isWholeAround).toBe(true)
    }
  })

  test('is named again for a connection that was left alone in between', async () => {
    const { transport, client, recorder } = await pair(byHandle)
    const ground = new Ground()
    recorder.rooms = [ground.room(1001, 300)]
    recorder.readsOn = false
    client.write('head')
    await recorder.until(() => recorder.received === 'head')
    client.write(DIGITS.repeat(30))
    recorder.readsOn = true
    transport.resume()
    await recorder.until(() => recorder.received.length === 304)
    expect(ground.content).toBe(DIGITS.repeat(30))
    expect(ground.isWholeAround).toBe(true)
  })
})

/** Shared memory that a reply lies in. */
class Lent implements LateMemory {
  isLate = false
  releases = 0
  readonly bytes: Uint8Array
  private tell: () => void = () => undefined
  readonly released: Promise<void> = new Promise((resolve) => {
    this.tell = resolve
  })

  constructor(length: number, fill: number) {
    this.bytes = new Uint8Array(new SharedArrayBuffer(length)).fill(fill)
  }

  release(): void {
    this.releases++
    this.tell()
  }
}

const HEAD = Buffer.from('head')
const TAIL = Buffer.from('tail')

/** What a peer has to get of it. */
function replyOf({ bytes }: Lent): Buffer {
  return Buffer.concat([HEAD, bytes, TAIL])
}

describe('bytes that lie in several places', () => {
  test("leave in order, and are the caller's again where the kernel takes all of them", async () => {
    const { transport, client } = await pair(byHandle)
    const lent = new Lent(1000, 7)
    expect(transport.writeParts?.([HEAD, lent.bytes, TAIL], lent)).toBe(0)
    expect(lent).toMatchObject({ isLate: false, releases: 0 })
    transport.end()
    const parts: Buffer[] = []
    for await (const part of client) parts.push(part)
    expect(Buffer.concat(parts)).toEqual(replyOf(lent))
  })

  test('are released when a reader that fell behind has taken them, not before', async () => {
    const { transport, client, recorder } = await pair(byHandle)
    const lent = new Lent(20 * 1024 * 1024, 7)
    const next = new Lent(100, 8)
    expect(transport.writeParts?.([HEAD, lent.bytes, TAIL], lent)).toBeGreaterThan(0)
    expect(transport.writeParts?.([HEAD, next.bytes, TAIL], next)).toBeGreaterThan(0)
    expect([lent.isLate, next.isLate]).toEqual([true, true])
    transport.end()
    // A round trip on another connection: whatever could have been released by then, is.
    const other = await pair(byHandle)
    other.client.write('x')
    await other.recorder.untilTold('bytes')
    expect([lent.releases, next.releases]).toEqual([0, 0])
    const parts: Buffer[] = []
    for await (const part of client) parts.push(part)
    expect(Buffer.concat(parts).equals(Buffer.concat([replyOf(lent), replyOf(next)]))).toBe(true)
    await recorder.untilTold('drained')
    expect([lent.releases, next.releases]).toEqual([1, 1])
  })

  test.each([
    ['its reader resets the connection', (it: Pair) => it.client.resetAndDestroy()],
    ['the connection is dropped', (it: Pair) => it.transport.destroy()],
  ])('are released once when %s', async (_, end) => {
    const it = await pair(byHandle)
    const lent = new Lent(20 * 1024 * 1024, 7)
    expect(it.transport.writeParts?.([HEAD, lent.bytes, TAIL], lent)).toBeGreaterThan(0)
    end(it)
    await lent.released
    await it.recorder.untilTold('finish')
    expect(lent.releases).toBe(1)
    const late = new Lent(100, 8)
    expect(it.transport.writeParts?.([HEAD, late.bytes, TAIL], late)).toBe(0)
    expect(late).toMatchObject({ isLate: false, releases: 0 })
  })
})

test('of many that end at once, each is looked at in a turn of its own', () => {
  const turns: (() => void)[] = []
  const seen: number[] = []
  const others = BareHandles.of(
    readBuffer,
    writer,
    () => undefined,
    (run) => turns.push(run),
  )
  for (let id = 0; id < 10; id++) {
    others?.doubt({ lookAgain: () => seen.push(id) } as unknown as HandleTransport)
  }
  expect(seen).toEqual([])
  for (let count = 1; count <= 10; count++) {
    turns.shift()?.()
    expect(seen).toHaveLength(count)
  }
  expect(turns).toEqual([])
})
