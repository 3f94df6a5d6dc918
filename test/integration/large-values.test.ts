/**
 * Values of many megabytes, in all dialects: whole or not at all, however their senders behave, and
 * what is half received is bounded.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
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
const NOOP = 0x0a
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

/** All that the server answers to a request that ends in `quit`. */
async function readUntilQuit(request: string): Promise<Buffer> {
  return await readAnswer(request, Number.POSITIVE_INFINITY)
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
  const looker = new TextClient(server)
  const readBytes = async (): Promise<number> =>
    Number(/^STAT bytes_read (\d+)\r$/m.exec(await looker.ask('stats\r\n', 'END\r\n'))?.[1])
  const before = await readBytes()
  const client = new TextClient(server)
  client.send(`set ${key} 0 0 ${value.length}\r\n`)
  client.socket.write(value.subarray(0, sentBytes))
  await expect.poll(readBytes).toBeGreaterThanOrEqual(before + sentBytes)
  looker.socket.destroy()
  return client
}

test('what a touch of a large value has behind its key may come when it is answered', async () => {
  const client = await connectBinary()
  const value = Buffer.alloc(3 * MIB, 'v')
  client.send(storeFrame(SET, 'touched', value))
  expect((await client.receive()).status).toBe(OK)
  const touch = requestFrame({
    opcode: 0x1d,
    extras: Buffer.alloc(4),
    key: 'touched',
    value: 'behind',
  })
  client.send(touch.subarray(0, -'behind'.length))
  const { status, value: read } = await client.receive()
  expect([status, read.equals(value)]).toEqual([OK, true])
  client.send(Buffer.concat([Buffer.from('behind'), requestFrame({ opcode: NOOP, opaque: 7 })]))
  expect((await client.receive()).opaque).toBe(7)
})

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
  // It may not have seen yet that they are gone.
  const set = `set after 0 0 ${value.length}\r\n${latin1(value)}\r\n`
  await expect.poll(async () => await client.ask(set)).toBe('STORED\r\n')
  await expectValue('after', value)
})

test('half-received values hold half of the memory at most; who wants more is refused and in sync', async () => {
  const value = randomBytes(30 * MIB)
  // Who stands still gives way to who finds no room: each goes on, for a quarter of a minute.
  const BEGUN_BYTES = 26 * MIB
  const goOn = (client: TextClient) => {
    let sent = BEGUN_BYTES
    const timer = setInterval(() => {
      client.socket.write(value.subarray(sent, sent + MIB / 16))
      sent += MIB / 16
    }, 250)
    onTestFinished(() => clearInterval(timer))
    return () => {
      clearInterval(timer)
      client.socket.write(value.subarray(sent))
    }
  }
  const first = await begin('first', value, BEGUN_BYTES)
  const sendRest = goOn(first)
  goOn(await begin('slow', value, BEGUN_BYTES))
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
  sendRest()
  expect(await first.ask('\r\n')).toBe('STORED\r\n')
  await expectValue('first', value)
})

test('a list with large values in it is answered in order, and so is what was sent behind it', async () => {
  const client = new TextClient(server)
  const [first, second] = [randomBytes(3 * MIB), randomBytes(4 * MIB)]
  const store = async (key: string, value: Buffer): Promise<string> =>
    await client.ask(`set ${key} 1 0 ${value.length}\r\n${latin1(value)}\r\n`)
  expect(await store('list-a', first)).toBe('STORED\r\n')
  expect(await store('list-b', second)).toBe('STORED\r\n')
  expect(await store('list-small', Buffer.from('small'))).toBe('STORED\r\n')
  const request = 'get list-small list-a none list-b list-small\r\nmg list-a k s v f\r\nmn\r\n'
  const expected =
    `VALUE list-small 1 5\r\nsmall\r\nVALUE list-a 1 ${first.length}\r\n${latin1(first)}\r\n` +
    `VALUE list-b 1 ${second.length}\r\n${latin1(second)}\r\n` +
    'VALUE list-small 1 5\r\nsmall\r\nEND\r\n' +
    `VA ${first.length} klist-a s${first.length} f1\r\n${latin1(first)}\r\nMN\r\n`
  const answer = latin1(await readAnswer(request, expected.length))
  expect(answer.length).toBe(expected.length)
  expect(answer === expected).toBe(true)
  const binary = requestFrame({ opcode: GET, key: 'list-b' })
  const frames = await readAnswer(
    Buffer.concat([binary, binary, requestFrame({ opcode: NOOP, opaque: 9 })]),
    2 * (28 + second.length) + 24,
  )
  expect(frames.subarray(28, 28 + second.length).equals(second)).toBe(true)
  expect(frames.subarray(56 + second.length, -24).equals(second)).toBe(true)
  expect(frames.readUInt32BE(frames.length - 12)).toBe(9)
})

test('a value that is overwritten and deleted while it is read is never torn', async () => {
  const writer = new TextClient(server)
  const values = [1, 2, 3].map((byte) => Buffer.alloc(12 * MIB + byte, byte))
  let isDone = false
  let written = 0
  const write = async (): Promise<void> => {
    for (; !isDone; written++) {
      const value = values[written % 3]!
      writer.send(`set torn 0 0 ${value.length}\r\n`)
      writer.socket.write(value)
      expect(await writer.ask('\r\n')).toBe('STORED\r\n')
      if (written % 5 === 4) expect(await writer.ask('delete torn\r\n')).toBe('DELETED\r\n')
    }
  }
  const writing = write()
  let hits = 0
  for (let read = 0; read < 15 || hits < 4 || written < 6; read++) {
    const answer = await readUntilQuit('get torn\r\nquit\r\n')
    if (latin1(answer) === 'END\r\n') continue
    hits++
    const line = latin1(answer.subarray(0, answer.indexOf(10) + 1))
    const value = answer.subarray(line.length, -7)
    expect(line).toBe(`VALUE torn 0 ${value.length}\r\n`)
    expect(value.equals(values[value[0]! - 1]!)).toBe(true)
  }
  isDone = true
  await writing
})

test('a value that is evicted while it is read is read whole, or not found', async () => {
  const value = Buffer.alloc(20 * MIB, 7)
  const filler = new TextClient(server)
  for (let round = 0; round < 3; round++) {
    const writer = new TextClient(server)
    expect(await writer.ask(`set evicted 0 0 ${value.length}\r\n${latin1(value)}\r\n`)).toBe(
      'STORED\r\n',
    )
    const reading = readUntilQuit('get evicted\r\nquit\r\n')
    let batch = ''
    for (let index = 0; index < 300; index++) {
      batch += `set fill-${round}-${index} 0 0 500000 noreply\r\n${'f'.repeat(500_000)}\r\n`
    }
    filler.send(batch)
    const answer = await reading
    expect(await filler.ask('mn\r\n')).toBe('MN\r\n')
    if (latin1(answer) === 'END\r\n') continue
    expect(answer.subarray(answer.indexOf(10) + 1, -7).equals(value)).toBe(true)
  }
})

test('readers who do not read hold a bounded amount, and further ones are refused', async () => {
  // The bound is one of each worker.
  const single = await startSaslcached({ flags: ['-m', '128', '-I', '32m', '-t', '1'] })
  onTestFinished(() => single.stop())
  const writer = new TextClient(single)
  const value = Buffer.alloc(30 * MIB, 5)
  expect(await writer.ask(`set slow 0 0 ${value.length}\r\n${latin1(value)}\r\n`)).toBe(
    'STORED\r\n',
  )
  const stalled: Socket[] = []
  for (let reader = 0; reader < 2; reader++) {
    const socket = connect({ host: single.host, port: single.port })
    onTestFinished(() => {
      socket.destroy()
    })
    socket.write('get slow\r\n')
    // Its first bytes are here, and it takes no more.
    await once(socket, 'readable')
    stalled.push(socket)
  }
  // An error ends the answer, whatever keys come behind it. All at once: who stands still gives way a moment later.
  const asked = 'get slow\r\nget missing slow other\r\nmg slow v\r\nmn\r\n'
  const refused = 'SERVER_ERROR out of memory writing get response\r\n'
  expect(await writer.ask(asked, 'MN\r\n')).toBe(`${refused.repeat(3)}MN\r\n`)
  for (const socket of stalled) socket.destroy()
  const line = `VALUE slow 0 ${value.length}\r\n`
  // The server may hear of it only after the next question.
  let answer = ''
  do answer = await writer.ask('get slow\r\nmn\r\n', '\r\nMN\r\n')
  while (answer.startsWith('SERVER_ERROR'))
  expect(answer.length).toBe(line.length + value.length + '\r\nEND\r\nMN\r\n'.length)
})

test('what unread replies hold goes back to the system when their readers are gone', async () => {
  const single = await startSaslcached({ flags: ['-m', '128', '-I', '48m', '-t', '1'] })
  onTestFinished(() => single.stop())
  const client = new TextClient(single)
  const valueBytes = 40 * MIB
  const value = 'v'.repeat(valueBytes)
  expect(await client.ask(`set large 0 0 ${valueBytes}\r\n${value}\r\n`)).toBe('STORED\r\n')
  const before = single.residentBytes
  for (let round = 0; round < 12; round++) {
    const reader = connect({ host: single.host, port: single.port })
    reader.on('error', () => undefined)
    onTestFinished(() => {
      reader.destroy()
    })
    reader.write('get large\r\n')
    await once(reader, 'readable')
    expect(single.residentBytes - before).toBeGreaterThan(valueBytes / 2)
    reader.destroy()
    // Not by waiting for so long: each question is a turn of the server's, in which it may do its part.
    const endMs = performance.now() + 30_000
    let keptBytes: number
    do {
      expect(await client.ask('mn\r\n')).toBe('MN\r\n')
      keptBytes = single.residentBytes - before
    } while (keptBytes >= 16 * MIB && performance.now() < endMs)
    expect(keptBytes).toBeLessThan(16 * MIB)
  }
})
