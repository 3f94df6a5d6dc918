/**
 * Appending and prepending to values of many megabytes, in all dialects: in order, whole, with all
 * conditions, while others are served, and without holding more than values under way may.
 */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { requestFrame } from '../support/binary-frames.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const MIB = 1024 * 1024
/** What one turn copies of a large value at most. */
const PIECE_BYTES = 512 * 1024
const APPEND = 0x0e
const PREPEND = 0x0f
const APPENDQ = 0x19
const PREPENDQ = 0x1a
const NOOP = 0x0a
const OK = 0x00
const NOT_FOUND = 0x01
const EXISTS = 0x02
const NOT_STORED = 0x05

let server: TestServer

beforeAll(async () => {
  server = await startSaslcached({ flags: ['-m', '128', '-I', '32m', '-t', '2'] })
})

afterAll(async () => {
  await server.stop()
})

function textOf(length: number): string {
  return randomBytes(Math.ceil(length / 2))
    .toString('hex')
    .slice(0, length)
}

async function store(client: TextClient, key: string, value: string): Promise<void> {
  expect(await client.ask(`set ${key} 7 0 ${value.length}\r\n${value}\r\n`)).toBe('STORED\r\n')
}

async function read(client: TextClient, key: string): Promise<string> {
  const answer = await client.ask(`get ${key}\r\n`, 'END\r\n')
  return answer === 'END\r\n' ? '' : answer.slice(answer.indexOf('\r\n') + 2, -7)
}

async function expectValue(client: TextClient, key: string, value: string): Promise<void> {
  const found = await read(client, key)
  expect(found.length).toBe(value.length)
  // Not by toBe: nobody wants to read the difference.
  expect(found === value).toBe(true)
}

async function statOf(client: TextClient, name: string): Promise<number> {
  const answer = await client.ask('stats\r\n', 'END\r\n')
  return Number(new RegExp(`STAT ${name} (\\d+)`).exec(answer)?.[1])
}

test('text, meta and binary append and prepend to a large value, each with its answer, in order', async () => {
  const client = new TextClient(server)
  const binary = await BinaryClient.connect(server)
  onTestFinished(() => binary.destroy())
  let value = textOf(9 * MIB + 5)
  await store(client, 'all', value)
  client.send('append all 1 1 3\r\n-b-\r\nprepend all 1 1 3\r\n-a-\r\nget small\r\n')
  expect(await client.until('END\r\n')).toBe('STORED\r\nSTORED\r\nEND\r\n')
  value = `-a-${value}-b-`
  expect(
    await client.ask('ms all 3 MA s Oxyz k\r\n-c-\r\nms all 3 MP q\r\n-d-\r\nmn\r\n', 'MN\r\n'),
  ).toBe(`HD s${value.length + 3} Oxyz kall\r\nMN\r\n`)
  value = `-d-${value}-c-`
  const long = textOf(3 * MIB)
  expect(await client.ask(`append all 0 0 ${long.length} noreply\r\n${long}\r\nmn\r\n`)).toBe(
    'MN\r\n',
  )
  value += long
  binary.send(
    Buffer.concat([
      requestFrame({ opcode: APPEND, key: 'all', value: '-e-', opaque: 1 }),
      requestFrame({ opcode: APPENDQ, key: 'all', value: '-f-', opaque: 2 }),
      requestFrame({ opcode: PREPENDQ, key: 'all', value: '-g-', opaque: 3 }),
      requestFrame({ opcode: PREPEND, key: 'all', value: long, opaque: 4 }),
      requestFrame({ opcode: NOOP, opaque: 5 }),
    ]),
  )
  for (const opaque of [1, 4, 5]) {
    expect(await binary.receive()).toMatchObject({ status: OK, opaque })
  }
  value = `${long}-g-${value}-e--f-`
  await expectValue(client, 'all', value)
  expect(await client.ask('mg all f t\r\n')).toBe('HD f7 t-1\r\n')
})

test('what is added is as large as what it is added to, and a missing item is made by meta N alone', async () => {
  const client = new TextClient(server)
  const value = textOf(10 * MIB)
  const upload = `${value}\r\n`
  await store(client, 'short', 'short')
  expect(await client.ask(`append short 0 0 ${value.length}\r\n${upload}`)).toBe('STORED\r\n')
  await expectValue(client, 'short', `short${value}`)
  expect(await client.ask(`prepend none 0 0 ${value.length}\r\n${upload}`)).toBe('NOT_STORED\r\n')
  expect(await client.ask(`ms none ${value.length} MA\r\n${upload}`)).toBe('NS\r\n')
  expect(await client.ask(`ms vivified ${value.length} MP N100 F3\r\n${upload}`)).toBe('HD\r\n')
  expect(await client.ask('mg vivified s f\r\n')).toBe(`HD s${value.length} f3\r\n`)
  expect(await client.ask(`ms vivified ${value.length} MA N100\r\n${upload}`)).toBe('HD\r\n')
  await expectValue(client, 'vivified', value + value)
})

test('a CAS is compared, and E gives one', async () => {
  const client = new TextClient(server)
  const binary = await BinaryClient.connect(server)
  onTestFinished(() => binary.destroy())
  await store(client, 'cas', textOf(5 * MIB))
  const cas = BigInt(/c(\d+)/.exec(await client.ask('mg cas c\r\n'))![1]!)
  expect(await client.ask(`ms cas 1 MA C${cas + 1n}\r\nx\r\n`)).toBe('EX\r\n')
  expect(await client.ask(`ms cas 1 MA C${cas} E${cas + 1000n} c\r\nx\r\n`)).toBe(
    `HD c${cas + 1000n}\r\n`,
  )
  const key = 'cas'
  expect(await binary.request({ opcode: APPEND, key, value: 'y', cas })).toMatchObject({
    status: EXISTS,
  })
  const done = await binary.request({ opcode: PREPEND, key, value: 'y', cas: cas + 1000n })
  expect(done).toMatchObject({ status: OK })
  expect(await client.ask('mg cas c s\r\n')).toBe(`HD c${done.cas} s${5 * MIB + 2}\r\n`)
  const missing = await binary.request({ opcode: APPEND, key: 'nothing', value: 'y' })
  expect([NOT_FOUND, NOT_STORED]).toContain(missing.status)
})

test('what would exceed -I is refused and the item stays', async () => {
  const client = new TextClient(server)
  const value = textOf(20 * MIB)
  await store(client, 'full', value)
  const upload = `${value}\r\n`
  expect(await client.ask(`append full 0 0 ${value.length}\r\n${upload}`)).toBe('NOT_STORED\r\n')
  expect(await client.ask(`ms full ${value.length} MP\r\n${upload}`)).toBe('NS\r\n')
  await expectValue(client, 'full', value)
})

test('an append gives its turn away after each piece, to whoever wants something', async () => {
  const client = new TextClient(server)
  const value = textOf(16 * MIB)
  await store(client, 'turns', value)
  const before = await statOf(client, 'conn_yields')
  expect(await client.ask('append turns 0 0 1\r\nx\r\n')).toBe('STORED\r\n')
  const turns = (await statOf(client, 'conn_yields')) - before
  expect(turns).toBeGreaterThanOrEqual(value.length / PIECE_BYTES - 1)
})

test('clients of all workers that append to one value at once all find theirs in it, each once', async () => {
  const reader = new TextClient(server)
  const value = textOf(3 * MIB)
  await store(reader, 'shared', value)
  const clients = Array.from({ length: 10 }, () => new TextClient(server))
  const words = clients.map((_, index) => `<${index}>`)
  await Promise.all(
    clients.map(async (client, index) => {
      const isAfter = index % 2 === 0
      const request = isAfter ? 'append shared 0 0 3' : 'ms shared 3 MP'
      expect(await client.ask(`${request}\r\n${words[index]}\r\n`)).toMatch(/^(STORED|HD)\r\n$/)
    }),
  )
  const found = await read(reader, 'shared')
  expect(found.length).toBe(value.length + 3 * clients.length)
  expect(found.slice(15, -15) === value).toBe(true)
  for (const [index, word] of words.entries()) {
    const side = index % 2 === 0 ? found.slice(-15) : found.slice(0, 15)
    expect(side.split(word).length, word).toBe(2)
  }
})

test('who vanishes while appending leaves the value as it was, holds nothing, and holds nobody up', async () => {
  const own = await startSaslcached({ flags: ['-m', '128', '-I', '32m', '-t', '2'] })
  onTestFinished(() => own.stop())
  const reader = new TextClient(own)
  const value = textOf(30 * MIB)
  await store(reader, 'left', value)
  // All together would be far more than may be under way at once.
  for (let round = 0; round < 20; round++) {
    const client = new TextClient(own)
    client.send('append left 0 0 1\r\nx\r\n')
    await new Promise<void>((resolve) => {
      client.socket.write('version\r\n', () => resolve())
    })
    client.socket.destroy()
  }
  // What one who left has under way counts until its worker has heard of that.
  await expect
    .poll(() => reader.ask('append left 0 0 1\r\ny\r\n'), { timeout: 60_000 })
    .toBe('STORED\r\n')
  const found = await read(reader, 'left')
  expect(found.slice(0, value.length) === value).toBe(true)
  expect(found.slice(value.length)).toMatch(/^x*yx*$/)
  expect(await statOf(reader, 'evictions')).toBe(0)
})

test('an append to a value that is deleted and set again all the while ends, and the value is never torn', async () => {
  const writer = new TextClient(server)
  const appender = new TextClient(server)
  const values = ['1', '2'].map((digit) => digit.repeat(6 * MIB))
  await store(writer, 'torn', values[0]!)
  let isDone = false
  const writing = (async (): Promise<void> => {
    for (let count = 1; !isDone; count++) {
      await store(writer, 'torn', values[count % 2]!)
      if (count % 3 === 0) expect(await writer.ask('delete torn\r\n')).toBe('DELETED\r\n')
    }
  })()
  for (let round = 0; round < 12; round++) {
    expect(await appender.ask('append torn 0 0 1\r\nx\r\n')).toMatch(/^(STORED|NOT_STORED)\r\n$/)
    const found = await read(appender, 'torn')
    const isWhole = found === '' || values.includes(found.replace(/x+$/, ''))
    expect(isWhole).toBe(true)
  }
  isDone = true
  await writing
})
