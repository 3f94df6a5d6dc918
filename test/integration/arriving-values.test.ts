/**
 * Values that are read to where they stay: two threads store, overwrite, flush and evict them, their senders stop,
 * reset or are sent away in the middle, and whatever is read afterwards is right to the byte.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { storeFrame } from '../support/binary-frames.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { versionOf } from '../support/versioned-value.ts'
import { randomOf, seedOfRun } from '../unit/storage/model.ts'

const KIB = 1024
const KEYS = 12

let server: TestServer

beforeAll(async () => {
  server = await startSaslcached({ flags: ['-m', '64', '-I', '8m', '-t', '2'] })
  // The first connection of a thread is served by a socket of Node, until there has been a reply.
  for (let count = 0; count < 20; count++) {
    const socket = connect(server.port, server.host)
    socket.write('mn\r\n')
    await once(socket, 'data')
    socket.destroy()
  }
})

afterAll(async () => {
  await server.stop()
})

type Way = (key: string, value: Buffer) => Buffer

const WAYS: readonly Way[] = [
  (key, value) => framed(`set ${key} 0 0 ${value.length}\r\n`, value),
  (key, value) => framed(`ms ${key} ${value.length}\r\n`, value),
  (key, value) => storeFrame(0x01, key, value),
]

function framed(line: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(line), value, Buffer.from('\r\n')])
}

function open(): Socket {
  const socket = connect(server.port, server.host)
  socket.on('error', () => undefined)
  onTestFinished(() => {
    socket.destroy()
  })
  return socket
}

/** The value of a key, if there is one: right to the byte, or it throws. */
async function lengthOf(reader: BinaryClient, key: string): Promise<number> {
  const { status, value } = await reader.request({ opcode: 0x00, key })
  if (status !== 0) return -1
  if (!value.equals(versionOf(value.readUInt32LE(), value.length))) {
    throw new Error(`the value of ${key} is not as it was sent`)
  }
  return value.length
}

async function answerOf(socket: Socket): Promise<Buffer> {
  const [answer] = (await once(socket, 'data')) as [Buffer]
  return answer
}

test.each([64, 65, 256, 1000, 5000])(
  'a value of %i KiB is stored and read to the byte, in pieces of any length',
  async (kib) => {
    const random = randomOf(seedOfRun())
    const reader = await BinaryClient.connect(server)
    onTestFinished(() => reader.destroy())
    for (const way of WAYS) {
      const socket = open()
      socket.setNoDelay(true)
      for (let round = 0; round < 6; round++) {
        const value = versionOf(round, kib * KIB + random.below(3))
        const request = way('value', value)
        for (let at = 0; at < request.length; ) {
          const length = round === 0 ? request.length : 1 + random.below(120 * KIB)
          const part = request.subarray(at, at + length)
          if (!socket.write(part)) await once(socket, 'drain')
          at += part.length
        }
        await answerOf(socket)
        expect(await lengthOf(reader, 'value')).toBe(value.length)
      }
    }
  },
)

test('requests behind such a value in one stream are served in order, and no byte of them is in it', async () => {
  const client = new TextClient(server)
  const reader = await BinaryClient.connect(server)
  onTestFinished(() => reader.destroy())
  let stream = Buffer.alloc(0)
  let answers = ''
  for (let round = 0; round < 20; round++) {
    const value = versionOf(round, 64 * KIB + round * 1000)
    const request = framed(`set row${round} 0 0 ${value.length}\r\n`, value)
    stream = Buffer.concat([
      stream,
      request,
      Buffer.from(`mn\r\nset small 0 0 2\r\n${round + 10}\r\n`),
    ])
    answers += 'STORED\r\nMN\r\nSTORED\r\n'
  }
  client.socket.write(stream)
  client.send('version\r\n')
  expect(await client.until('VERSION')).toContain(answers)
  for (let round = 0; round < 20; round++) {
    expect(await lengthOf(reader, `row${round}`)).toBe(64 * KIB + round * 1000)
  }
})

test('what senders who stop, reset or are sent away in the middle leave is nothing, and nobody gets a byte of it', async () => {
  const random = randomOf(seedOfRun())
  const clients = Array.from({ length: 8 }, async (_, index) => {
    const reader = await BinaryClient.connect(server)
    onTestFinished(() => reader.destroy())
    const text = new TextClient(server)
    let version = 0
    for (let step = 0; step < 40; step++) {
      const key = `key${random.below(KEYS)}`
      const value = versionOf(version++ * 8 + index, 64 * KIB + random.below(700 * KIB))
      const request = WAYS[random.below(WAYS.length)]!(key, value)
      const socket = open()
      await once(socket, 'connect')
      const dice = random.below(8)
      if (dice < 4) {
        socket.write(request)
        await answerOf(socket)
        socket.destroy()
      } else {
        socket.write(request.subarray(0, 1 + random.below(request.length - 1)))
        // An answer on another connection: what was sent has mostly been read.
        await lengthOf(reader, key)
        if (dice === 4) socket.resetAndDestroy()
        else if (dice === 5) socket.end()
        else if (dice === 6) socket.destroy()
        // Else it stays as it is.
      }
      if (random.below(40) === 0) await text.ask('flush_all\r\n')
      if (random.below(4) === 0) await text.ask(`delete key${random.below(KEYS)}\r\n`)
      for (let count = 0; count < 3; count++) await lengthOf(reader, `key${random.below(KEYS)}`)
    }
  })
  await Promise.all(clients)
})

test('what a user sends who is removed in the middle of a value is read, and lands nowhere', async () => {
  const small = await startSaslcached({
    users: [
      { name: 'alice', password: 'wonderland' },
      { name: 'mallory', password: 'intruder' },
    ],
    flags: ['-m', '16', '-t', '1'],
  })
  onTestFinished(async () => await small.stop())
  const alice = await BinaryClient.connect(small)
  onTestFinished(() => alice.destroy())
  await alice.loginPlain('alice', 'wonderland')
  const mallory = connect({ port: small.port, host: small.host, allowHalfOpen: true })
  mallory.on('error', () => undefined)
  onTestFinished(() => {
    mallory.destroy()
  })
  mallory.write('set login 0 0 16\r\nmallory intruder\r\n')
  expect((await answerOf(mallory)).toString()).toBe('STORED\r\n')
  const ended = once(mallory, 'end')
  mallory.resume()
  mallory.write(`set k 0 0 900000\r\n${'m'.repeat(300_000)}`)
  small.replaceUsers('[users.alice]\npassword = "wonderland"\n')
  await ended
  // The room is somebody else's soon, while the rest still comes.
  const sent = new Promise<void>((resolve) => mallory.write('m'.repeat(500_000), () => resolve()))
  for (let round = 0; round < 300; round++) {
    const value = versionOf(round, 90 * KIB)
    const request = { opcode: 0x01, key: `key${round}`, value, extras: Buffer.alloc(8) }
    expect((await alice.request(request)).status).toBe(0)
  }
  await sent
  let found = 0
  for (let round = 0; round < 300; round++) if ((await lengthOf(alice, `key${round}`)) > 0) found++
  expect(found).toBeGreaterThan(50)
  expect(await lengthOf(alice, 'k')).toBe(-1)
})
