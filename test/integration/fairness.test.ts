/**
 * Clients that ask for much do not keep others waiting: each answer that costs more than a request
 * ends its client's turn, however many are pipelined. What is asserted is the order of events and the
 * number of turns, never times.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { requestFrame, storeFrame, words } from '../support/binary-frames.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const CLIENTS = 4
const REQUESTS = 50
const PREFIXES = 2000
const ITEMS = 2000
const NOOP = 0x0a
const LARGE = 300_000

/** Sends and waits until `count` answers that end in `end` have come; says how many bytes they are. */
async function flood(server: TestServer, input: Buffer, end: string): Promise<number> {
  const socket = connect(server.port, server.host)
  onTestFinished(() => void socket.destroy())
  socket.write(input)
  let tail = ''
  let bytes = 0
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    bytes += chunk.length
    tail = (tail + chunk.toString('latin1')).slice(-100)
    if (tail.endsWith(end)) return bytes
  }
  throw new Error(`closed after ${JSON.stringify(tail)}`)
}

function repeated(request: string | Buffer, count: number): Buffer {
  const bytes = Buffer.from(request as string, 'latin1')
  return Buffer.concat(Array.from({ length: count }, () => bytes))
}

async function yieldCount(client: TextClient): Promise<number> {
  const stats = await client.ask('stats\r\n', 'END\r\n')
  return Number(/^STAT conn_yields (\d+)\r$/m.exec(stats)?.[1])
}

/** So many prefixes are counted. */
async function countPrefixes(client: TextClient, count: number): Promise<void> {
  await client.ask('stats detail on\r\n', 'OK\r\n')
  let gets = ''
  for (let index = 0; index < count; index++) gets += `get prefix-${index}:key\r\n`
  await client.ask(`${gets}mn\r\n`, 'MN\r\n')
}

describe('a turn ends', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startSaslcached({ flags: ['-t', '1'] })
  })
  afterAll(async () => {
    await server.stop()
  })

  const value = 'v'.repeat(LARGE)
  const key = `large-${'k'.repeat(10)}`
  const stat = (group: string): Buffer => requestFrame({ opcode: 0x10, key: group })
  const get = (opcode: number, extras?: Buffer): Buffer => requestFrame({ opcode, key, extras })
  const cases: readonly (readonly [string, string | Buffer, number])[] = [
    ['stats', 'stats\r\n', 1],
    ['stats settings', 'stats settings\r\n', 1],
    ['stats slabs', 'stats slabs\r\n', 1],
    ['stats items', 'stats items\r\n', 1],
    ['stats auth', 'stats auth\r\n', 1],
    ['stats store', 'stats store\r\n', 1],
    ['stats conns', 'stats conns\r\n', 2],
    ['stats sizes', 'stats sizes\r\n', 2],
    ['stats detail dump', 'stats detail dump\r\n', 4],
    ['stats cachedump', 'stats cachedump 1 0\r\n', 3],
    ['metadump', 'lru_crawler metadump all\r\n', 5],
    ['mgdump', 'lru_crawler mgdump all\r\n', 2],
    ['STAT', stat(''), 1],
    ['STAT settings', stat('settings'), 1],
    ['STAT conns', stat('conns'), 2],
    ['get of a large value', `get ${key}\r\n`, 1],
    ['a list of large values', `get ${`${key} `.repeat(3)}\r\n`, 3],
    ['gat of a large value', `gat 0 ${key}\r\n`, 1],
    ['mg of a large value', `mg ${key} v\r\n`, 1],
    ['GET of a large value', get(0x00), 1],
    ['GETK of a large value', get(0x0c), 1],
    ['GAT of a large value', get(0x1d, words(0)), 1],
    // It is copied as it comes, a read at a time: there is no turn to end.
    ['set of a large value', `set ${key} 0 0 ${LARGE}\r\n${value}\r\n`, 0],
    ['ms of a large value', `ms ${key} ${LARGE}\r\n${value}\r\n`, 0],
    ['SET of a large value', storeFrame(0x01, key, value), 0],
    ['append to a large value', `append ${key} 0 0 1\r\nx\r\n`, 1],
    ['prepend to a large value', `prepend ${key} 0 0 1\r\nx\r\n`, 1],
    ['APPEND to a large value', requestFrame({ opcode: 0x0e, key, value: 'x' }), 1],
  ]
  test.each(cases)('with every answer to %s', async (_, request, turnsEach) => {
    const client = new TextClient(server)
    for (let index = 0; index < 100; index++) onTestFinished(openIdle(server))
    await countPrefixes(client, PREFIXES)
    await client.ask('stats sizes_enable\r\n')
    let sets = `set ${key} 0 0 ${LARGE}\r\n${value}\r\n`
    for (let index = 0; index < ITEMS; index++) sets += `set k${index} 0 0 3\r\nabc\r\n`
    await client.ask(`${sets}mn\r\n`, 'MN\r\n')
    const before = await yieldCount(client)
    const isBinary = typeof request !== 'string'
    const last = isBinary ? requestFrame({ opcode: NOOP, opaque: 0x6d6e0d0a }) : 'mn\r\n'
    const end = isBinary ? `mn\r\n${'\0'.repeat(8)}` : 'MN\r\n'
    const input = Buffer.concat([repeated(request, REQUESTS), Buffer.from(last as string)])
    const floods = Array.from({ length: CLIENTS }, () => flood(server, input, end))
    const lengths = await Promise.all(floods)
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(REQUESTS * 4)
    // The last of them may end a turn that would have ended anyway.
    const wanted = CLIENTS * (REQUESTS - 1) * turnsEach
    expect((await yieldCount(client)) - before).toBeGreaterThanOrEqual(wanted)
  })
})

function openIdle(server: TestServer): () => void {
  const socket = connect(server.port, server.host)
  socket.on('error', () => undefined)
  return () => void socket.destroy()
}

describe('16 clients with 300 dumps each', () => {
  test('let another client be answered long before they have their answers', async () => {
    const server = await startSaslcached({ flags: ['-t', '1'] })
    const client = new TextClient(server)
    await client.ask('set k 0 0 1\r\nv\r\n')
    await countPrefixes(client, 10_000)
    const dumpBytes = (await client.ask('stats detail dump\r\n', 'END\r\n')).length
    const received: number[] = []
    const flooders: Socket[] = []
    for (let index = 0; index < 16; index++) {
      const socket = connect(server.port, server.host)
      await once(socket, 'connect')
      received.push(0)
      socket.on('data', (chunk) => {
        received[index] = (received[index] ?? 0) + chunk.length
      })
      flooders.push(socket)
    }
    for (const socket of flooders) socket.write('stats detail dump\r\n'.repeat(300))
    // The first of them is being answered.
    await Promise.race(flooders.map((socket) => once(socket, 'data')))
    for (let count = 0; count < 20; count++) {
      expect(await client.ask('get k\r\n', 'END\r\n')).toBe('VALUE k 0 1\r\nv\r\nEND\r\n')
      const stats = await client.ask('stats\r\n', 'END\r\n')
      // Nobody has been given all answers, nor have they been made.
      expect(Number(/^STAT bytes_written (\d+)\r$/m.exec(stats)?.[1])).toBeLessThan(
        16 * 300 * dumpBytes,
      )
    }
    for (const bytes of received) expect(bytes).toBeLessThan(300 * dumpBytes)
    for (const socket of flooders) socket.destroy()
    expect(await client.ask('get k\r\n', 'END\r\n')).toBe('VALUE k 0 1\r\nv\r\nEND\r\n')
    await server.stop()
  })

  test('who do not read have no more made for them than what may be unread', async () => {
    const server = await startSaslcached({ flags: ['-t', '1'] })
    const client = new TextClient(server)
    await countPrefixes(client, 10_000)
    const dumpBytes = (await client.ask('stats detail dump\r\n', 'END\r\n')).length
    for (let index = 0; index < 4; index++) {
      const socket = connect(server.port, server.host)
      onTestFinished(() => void socket.destroy())
      await once(socket, 'connect')
      socket.pause()
      socket.write('stats detail dump\r\n'.repeat(300))
    }
    // They are stuck: their replies are unread.
    for (;;) {
      const conns = await client.ask('stats conns\r\n', 'END\r\n')
      if (conns.match(/state conn_mwrite/g)?.length === 4) break
    }
    const stats = await client.ask('stats\r\n', 'END\r\n')
    const written = Number(/^STAT bytes_written (\d+)\r$/m.exec(stats)?.[1])
    expect(written).toBeLessThan(4 * 300 * dumpBytes * 0.2)
    await server.stop()
  })
})

test('a server that stops completes answers under way', async () => {
  const server = await startSaslcached({ flags: ['-t', '1', '--drain-timeout', '60'] })
  const client = new TextClient(server)
  await countPrefixes(client, 10_000)
  const dump = await client.ask('stats detail dump\r\n', 'END\r\n')
  expect(dump.match(/^PREFIX /gm)).toHaveLength(10_000)
  client.send('stats detail dump\r\n'.repeat(5))
  await once(client.socket, 'data')
  const stopped = server.stop()
  expect(await client.untilEnd()).toBe(dump.repeat(5))
  await stopped
})

test('stats conns is whole while connections come and go', async () => {
  const server = await startSaslcached({ flags: ['-t', '2', '-c', '2000'] })
  const client = new TextClient(server)
  const staying: Socket[] = []
  for (let index = 0; index < 600; index++) {
    const socket = connect(server.port, server.host)
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
    staying.push(socket)
  }
  let isOver = false
  const churn = async (): Promise<void> => {
    while (!isOver) {
      const socket = connect(server.port, server.host)
      await once(socket, 'connect')
      socket.destroy()
    }
  }
  const churning = Promise.all([churn(), churn()])
  // Who is connected for the kernel may not be accepted yet.
  await expect
    .poll(async () => {
      const rows = await client.ask('stats conns\r\n', 'END\r\n')
      return staying.every(({ localPort }) => rows.includes(`tcp:127.0.0.1:${localPort}\r\n`))
    })
    .toBe(true)
  for (let count = 0; count < 10; count++) {
    const rows = (await client.ask('stats conns\r\n', 'END\r\n')).split('\r\n')
    const found = rows.flatMap((row) => /^STAT (\d+):addr tcp:(\S+)$/.exec(row)?.slice(1) ?? [])
    const ids = found.filter((_, index) => index % 2 === 0).map(Number)
    expect(ids).toEqual([...new Set(ids)])
    const addresses = new Set(found.filter((_, index) => index % 2 === 1))
    for (const socket of staying) expect(addresses).toContain(`127.0.0.1:${socket.localPort}`)
    expect(rows).toHaveLength(4 * ids.length + 2)
  }
  isOver = true
  await churning
  await server.stop()
})
