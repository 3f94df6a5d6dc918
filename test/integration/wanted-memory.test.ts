/**
 * Clients that hold the memory of replies or of requests that have not come whole, and do not go on: within seconds others have
 * room again, over real sockets.
 */
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const VALUE = 'v'.repeat(1_000_000)
const HOLDERS = 80
const SECOND_MS = 1000
const USERS = `
[users.reader]
password = "s3cret"
rights = ["read"]
[users.cart]
password = "s3cret"
rights = ["read", "write"]
key_prefixes = ["cart:"]
`

function auth(name: string): string {
  const message = `\0${name}\0s3cret`
  return `sasl auth PLAIN ${message.length}\r\n${message}\r\n`
}

async function start(): Promise<{ server: TestServer; client: TextClient }> {
  const server = await startSaslcached({
    users: [{ name: 'first', password: 's3cret' }],
    usersFileEnd: USERS,
    flags: ['-t', '1', '-c', '1024'],
  })
  onTestFinished(async () => await server.stop())
  const client = new TextClient(server)
  expect(await client.ask(auth('first'))).toBe('SASL_OK\r\n')
  expect(await client.ask(`set big 0 0 ${VALUE.length}\r\n${VALUE}\r\n`)).toBe('STORED\r\n')
  return { server, client }
}

/** Reads `bytes` each time that it is resumed, and nothing before. */
function openReader(server: TestServer, bytes: number): Socket {
  const socket = connect({
    port: server.port,
    host: server.host,
    onread: { buffer: Buffer.alloc(bytes), callback: () => false },
  })
  socket.on('error', () => undefined)
  onTestFinished(() => {
    socket.destroy()
  })
  socket.pause()
  return socket
}

async function stat(client: TextClient, name: string): Promise<number> {
  const rows = await client.ask('stats auth\r\n', 'END\r\n')
  return Number(new RegExp(`^STAT ${name} (\\d+)`, 'm').exec(rows)?.[1])
}

async function isGiven(client: TextClient): Promise<boolean> {
  const answer = await client.ask('get big\r\nmn\r\n', 'MN\r\n')
  return answer.startsWith('VALUE big')
}

test.each([
  ['stand still', 0],
  ['trickle', 250],
])(
  'readers that %s are cut while somebody is refused a large value, which is then given',
  async (_, everyMs) => {
    const { server, client } = await start()
    const readers = Array.from({ length: HOLDERS }, () => openReader(server, 4096))
    for (const reader of readers) reader.write(`${auth('reader')}${'get big\r\n'.repeat(30)}`)
    if (everyMs > 0) {
      const timer = setInterval(() => {
        for (const reader of readers) reader.resume()
      }, everyMs)
      onTestFinished(() => clearInterval(timer))
    }
    const refused = async () => await stat(client, 'unread_reply_oom')
    await expect.poll(refused, { timeout: 60_000 }).toBeGreaterThan(0)
    // Not once, between two who take the room.
    const isAlwaysGiven = async () => {
      for (let count = 0; count < 20; count++) if (!(await isGiven(client))) return false
      return true
    }
    await expect.poll(isAlwaysGiven, { timeout: 15 * SECOND_MS }).toBe(true)
    expect(await stat(client, 'stalled_kicks')).toBeGreaterThan(0)
    await server.waitForLog(({ event }) => event === 'unread_replies')
  },
)

test('half sets that do not go on are refused while somebody finds no room for one, which is then stored', async () => {
  const { server, client } = await start()
  const holders: TextClient[] = []
  const hold = async () => {
    const holder = new TextClient(server)
    expect(await holder.ask(auth('cart'))).toBe('SASL_OK\r\n')
    holder.send(`set cart:h${holders.length} 0 0 ${VALUE.length}\r\n${VALUE.slice(100)}`)
    holders.push(holder)
  }
  while (holders.length < HOLDERS) await hold()
  const set = async () => await client.ask(`set mine 0 0 ${VALUE.length}\r\n${VALUE}\r\n`)
  const stalled = async () => await stat(client, 'stalled_requests')
  // A half set that grows has its old room and its new one for a moment, and another is refused in it. So room for one more can be
  // left when all have come: then one more comes.
  const haveGivenWay = async () => {
    const isStored = (await set()) === 'STORED\r\n'
    const isOver = (await stalled()) > 0
    if (isStored && !isOver) await hold()
    return isOver
  }
  await expect.poll(haveGivenWay, { timeout: 60_000 }).toBe(true)
  await expect.poll(set, { timeout: 15 * SECOND_MS }).toBe('STORED\r\n')
  await server.waitForLog(({ event }) => event === 'stalled_requests')
  // They are told, as those who found no room themselves, and go on behind what they left.
  const refused = 'SERVER_ERROR out of memory storing object\r\n'
  const told = () => holders.filter((holder) => holder.received === refused)
  const count = await stalled()
  // What they are told is on its way when it is counted.
  await expect.poll(() => told().length).toBeGreaterThanOrEqual(count)
  const [first] = told()
  expect(await first?.ask(`${VALUE.slice(0, 100)}\r\nmn\r\n`, 'MN\r\n')).toBe(`${refused}MN\r\n`)
})
