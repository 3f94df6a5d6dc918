/**
 * Values of many megabytes, in all dialects: whole or not at all, however their senders behave, and
 * what is half received is bounded.
 */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { requestFrame, storeFrame } from '../support/binary-frames.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const MIB = 1024 * 1024
const NO_MEMORY = 'SERVER_ERROR out of memory storing object\r\n'
const GET = 0x00
const SET = 0x01
const ADD = 0x02
const OK = 0x00
const EXISTS = 0x02
const OUT_OF_MEMORY = 0x82

let server: TestServer

beforeAll(async () => {
  server = await startSaslcached({ flags: ['-m', '128', '-I', '32m'] })
})

afterAll(async () => {
  await server.stop()
})

async function connectBinary(): Promise<BinaryClient> {
  const client = await BinaryClient.connect(server)
  onTestFinished(() => client.destroy())
  return client
}

function latin1(bytes: Buffer): string {
  return bytes.toString('latin1')
}

/** What the server answers to `request` on a connection of its own, `length` bytes of it. */
async function readAnswer(request: string | Buffer, length: number): Promise<Buffer> {
  const socket = connect({ host: server.host, port: server.port })
  onTestFinished(() => {
    socket.destroy()
  })
  socket.write(request)
  const chunks: Buffer[] = []
  let received = 0
  for await (const chunk of socket) {
    chunks.push(chunk as Buffer)
    received += (chunk as Buffer).length
    if (received >= length) break
  }
  return Buffer.concat(chunks)
}

async function expectValue(key: string, value: Buffer, flags = 0): Promise<void> {
  const line = `VALUE ${key} ${flags} ${value.length}\r\n`
  const end = '\r\nEND\r\n'
  const answer = await readAnswer(`get ${key}\r\n`, line.length + value.length + end.length)
  expect(latin1(answer.subarray(0, line.length))).toBe(line)
  expect(latin1(answer.subarray(-end.length))).toBe(end)
  // Not by toEqual: nobody wants to read the difference.
  expect(answer.subarray(line.length, -end.length).equals(value)).toBe(true)
}

async function expectBinaryValue(key: string, value: Buffer, flags: number): Promise<void> {
  const length = 24 + 4 + value.length
  const answer = await readAnswer(requestFrame({ opcode: GET, key }), length)
  expect(answer.readUInt16BE(6)).toBe(OK)
  expect(answer.readUInt32BE(24)).toBe(flags)
  expect(answer.length).toBe(length)
  expect(answer.subarray(28).equals(value)).toBe(true)
}

/** Sends the head and the beginning of a set, and waits until the server has taken it. */
async function begin(key: string, value: Buffer, sentBytes: number): Promise<TextClient> {
  const client = new TextClient(server)
  client.send(`set ${key} 0 0 ${value.length}\r\n`)
  await new Promise<void>((resolve) => {
    client.socket.write(value.subarray(0, sentBytes), () => resolve())
  })
  return client
}

test('a value of 20 MiB is stored by every dialect and read by the others', async () => {
  const text = new TextClient(server)
  const binary = await connectBinary()
  const value = randomBytes(20 * MIB)
  expect(await text.ask(`set text 7 0 ${value.length}\r\n${latin1(value)}\r\n`)).toBe('STORED\r\n')
  await expectBinaryValue('text', value, 7)
  expect(await text.ask(`ms meta ${value.length} c k Oabc F5\r\n${latin1(value)}\r\n`)).toMatch(
    /^HD c\d+ kmeta Oabc\r\n$/,
  )
  await expectValue('meta', value, 5)
  binary.send(storeFrame(SET, 'binary', value, { flags: 9, opaque: 3 }))
  expect(await binary.receive()).toMatchObject({ status: OK, opaque: 3 })
  await expectValue('binary', value, 9)
  binary.send(storeFrame(ADD, 'binary', value))
  expect(await binary.receive()).toMatchObject({ status: EXISTS })
  expect(await text.ask(`cas binary 0 0 ${value.length} 1\r\n${latin1(value)}\r\n`)).toBe(
    'EXISTS\r\n',
  )
  expect(
    await text.ask(`ms binary ${value.length} MR\r\n${latin1(value)}\r\nmn\r\n`, 'MN\r\n'),
  ).toBe('HD\r\nMN\r\n')
})

test('a large value without its line end is a bad data chunk, and the next command is served', async () => {
  const client = new TextClient(server)
  const value = randomBytes(10 * MIB)
  expect(
    await client.ask(`set bad 0 0 ${value.length}\r\n${latin1(value)}xxmn\r\n`, 'MN\r\n'),
  ).toBe('CLIENT_ERROR bad data chunk\r\nMN\r\n')
  expect(await client.ask('get bad\r\n')).toBe('END\r\n')
})

test('what clients that vanish in the middle have sent is given back', async () => {
  const value = randomBytes(30 * MIB)
  for (let round = 0; round < 6; round++) {
    const client = await begin(`vanished-${round}`, value, 25 * MIB)
    client.socket.destroy()
  }
  const client = new TextClient(server)
  expect(await client.ask(`set after 0 0 ${value.length}\r\n${latin1(value)}\r\n`)).toBe(
    'STORED\r\n',
  )
  await expectValue('after', value)
})

test('half-received values hold half of the memory at most; who wants more is refused and in sync', async () => {
  const value = randomBytes(30 * MIB)
  const first = await begin('first', value, 28 * MIB)
  await begin('stalled', value, 28 * MIB)
  const second = new TextClient(server)
  expect(await second.ask('mn\r\n')).toBe('MN\r\n')
  second.send('set second 0 0 1\r\no\r\n')
  expect(await second.until('\r\n')).toBe('STORED\r\n')
  expect(
    await second.ask(
      `set second 0 0 ${20 * MIB}\r\n${latin1(value.subarray(0, 20 * MIB))}\r\nmn\r\n`,
      'MN\r\n',
    ),
  ).toBe(`${NO_MEMORY}MN\r\n`)
  expect(await second.ask('get second\r\n'), 'the old value is not served as the new one').toBe(
    'END\r\n',
  )
  const binary = await connectBinary()
  binary.send(storeFrame(SET, 'third', value.subarray(0, 20 * MIB)))
  expect(await binary.receive()).toMatchObject({ status: OUT_OF_MEMORY })
  expect(await binary.request({ opcode: GET, key: 'second' })).toMatchObject({ status: 1 })
  first.socket.write(value.subarray(28 * MIB))
  expect(await first.ask('\r\n')).toBe('STORED\r\n')
  await expectValue('first', value)
})
