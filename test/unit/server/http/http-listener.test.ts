/** The listener over real sockets, with routes that count, and a clock that a test moves. */
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { HttpListener } from '../../../../src/server/http/http-listener.ts'
import type { Route } from '../../../../src/server/http/route.ts'
import { BoundSockets } from '../../../../src/server/net/bound-sockets.ts'
import { whenClosed } from '../../../support/when-closed.ts'

/** More than the system takes for a client that does not read. */
const LARGE = Buffer.alloc(64 * 1024 * 1024, 'x')
const ANSWER_MS = 10_000
/** What is waited for takes turns of the event loop, each when a busy machine lets it. */
const PATIENT = { timeout: 60_000 }

let nowMs = 0
let port = 0
let sockets: BoundSockets
let madeCount = 0
let failures: string[] = []
let listener: HttpListener

const ROUTES: readonly Route[] = [
  {
    path: '/counted',
    freshMs: 1000,
    answer: () => ({ status: 200, contentType: 'text/plain', body: `${madeCount++}` }),
  },
  {
    path: '/large',
    freshMs: 1000,
    answer: () => ({ status: 200, contentType: 'text/plain', body: LARGE }),
  },
  { path: '/never', freshMs: 0, answer: () => new Promise(() => undefined) },
  {
    path: '/fails',
    freshMs: 0,
    answer: () => {
      throw new Error('a secret of the inside')
    },
  },
]

beforeEach(async () => {
  nowMs = 0
  madeCount = 0
  failures = []
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  listener = new HttpListener({
    routes: () => ROUTES,
    login: undefined,
    isOpen: true,
    connectionsMax: 256,
    hostNames: [],
    nowMs: () => nowMs,
    onFailure: (path) => failures.push(path),
  })
  sockets = new BoundSockets()
  await sockets.bindTcp({ host: '127.0.0.1', port: 0 })
  const [socket] = sockets.shared
  if (socket === undefined) throw new Error('nothing was bound')
  port = socket.address.port
  await listener.listen(socket, undefined)
})

afterEach(() => {
  listener.close()
  vi.useRealTimers()
})

interface Asked {
  readonly localAddress?: string
  readonly agent?: Agent
  readonly host?: string
  readonly port?: number
}

/** The body; undefined if the connection is closed instead. */
async function get(path: string, asked: Asked = {}): Promise<string | undefined> {
  const { localAddress, agent = false, ...elsewhere } = asked
  return await new Promise((resolve) => {
    const target = { host: '127.0.0.1', port, path, agent, ...elsewhere }
    const from = localAddress === undefined ? {} : { localAddress }
    request({ ...target, ...from }, (response) => {
      let text = ''
      response.setEncoding('latin1').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    })
      .on('error', () => resolve(undefined))
      .end()
  })
}

function open(path: string): Socket {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
  return socket
}

test('a thousand connections in turn are answered from one rendering a second', async () => {
  for (let count = 0; count < 500; count++) expect(await get('/counted')).toBe('0')
  nowMs = 999
  for (let count = 0; count < 500; count++) expect(await get('/counted')).toBe('0')
  nowMs = 1000
  expect(await get('/counted')).toBe('1')
})

test('two hundred at once, of several sources, are answered from one', async () => {
  const agent = new Agent({ keepAlive: true })
  const sources = Array.from({ length: 200 }, (_, index) => `127.0.0.${2 + (index % 4)}`)
  for (let round = 0; round < 2; round++) {
    const bodies = await Promise.all(
      sources.map((localAddress) => get('/counted', { localAddress, agent })),
    )
    expect(bodies).toEqual(sources.map(() => '0'))
  }
  agent.destroy()
})

test('whoever keeps connections and does not ask gives way to newcomers', async () => {
  const agent = new Agent({ keepAlive: true })
  const closed = vi.fn()
  const sources = Array.from({ length: 256 }, (_, index) => `127.0.0.${2 + (index % 4)}`)
  agent.on('free', (socket) => socket.once('close', closed))
  await Promise.all(sources.map((localAddress) => get('/counted', { localAddress, agent })))
  expect(closed).not.toHaveBeenCalled()
  expect(await get('/counted', { localAddress: '127.0.0.9' })).toBe('0')
  await vi.waitUntil(() => closed.mock.calls.length > 0, PATIENT)
  expect(closed).toHaveBeenCalledTimes(1)
  agent.destroy()
})

test('who reads nothing of an answer is cut off when its time is over', async () => {
  const socket = open('/large')
  await once(socket, 'data')
  socket.pause()
  vi.advanceTimersByTime(ANSWER_MS - 1)
  // It was told nothing of an end, and others are served.
  expect(await get('/counted')).toBe('0')
  vi.advanceTimersByTime(1)
  let received = 0
  socket.on('data', (bytes: Buffer) => {
    received += bytes.length
  })
  socket.resume()
  await whenClosed(socket)
  expect(received).toBeLessThan(LARGE.length)
})

test('who reads in time gets all of it, and nothing is left that would cut the next', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  expect((await get('/large', { agent }))?.length).toBe(LARGE.length)
  await vi.waitUntil(() => vi.getTimerCount() === 0, PATIENT)
  expect(await get('/counted', { agent })).toBe('0')
  agent.destroy()
})

test('a route that never answers keeps its client no longer than others', async () => {
  const socket = open('/never')
  const closed = whenClosed(socket)
  await vi.waitUntil(() => vi.getTimerCount() > 0, PATIENT)
  vi.advanceTimersByTime(ANSWER_MS)
  await closed
})

test('a route that fails tells the client nothing of why', async () => {
  expect(await get('/fails')).toBe(
    'This could not be answered; the log of the server has the reason.\n',
  )
  expect(failures).toEqual(['/fails'])
})

test('one that is closed answers nobody any more, and cuts off who is there', async () => {
  const socket = open('/never')
  const closed = whenClosed(socket)
  await vi.waitUntil(() => vi.getTimerCount() > 0, PATIENT)
  listener.close()
  await closed
  expect(await get('/counted')).toBe(undefined)
})

/** What is answered to bytes as they are, when the connection has ended; at most the first status line. */
async function statusOf(bytes: string): Promise<string | undefined> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('error', () => undefined)
  socket.setEncoding('latin1').on('data', (more: string) => {
    text += more
  })
  socket.write(bytes)
  await whenClosed(socket)
  return text.split('\r\n')[0]
}

/** A head of so many bytes, most of which are no name and no value. */
function headOf(length: number): string {
  const end = 'b\r\n\r\n'
  return `${BEGIN}a:${' '.repeat(length - BEGIN.length - 2 - end.length)}${end}`
}

const BEGIN = 'GET /counted HTTP/1.1\r\nHost: a\r\nConnection: close\r\n'

test.each([
  ['blanks in a line', `${BEGIN}a:${' '.repeat(1_000_000)}b\r\n\r\n`],
  ['lines without a value', `${BEGIN}${'a:\r\n'.repeat(8000)}\r\n`],
  ['line ends before the request', `${'\r\n'.repeat(50_000)}${BEGIN}\r\n`],
  ['a head one byte too long', headOf(8193)],
])('%s: more than a head may have is no request', async (_, bytes) => {
  // Who goes on sending may meet a closed connection before it reads why.
  expect(['HTTP/1.1 431 Request Header Fields Too Large', '']).toContain(await statusOf(bytes))
  expect(madeCount).toBe(0)
})

test('requests in a row, each short enough, are answered however many come at once', async () => {
  const one = `GET /counted HTTP/1.1\r\nHost: a\r\nx: ${'y'.repeat(3000)}\r\n\r\n`
  expect(await statusOf(`${one.repeat(6)}${headOf(8192)}`)).toBe('HTTP/1.1 200 OK')
  expect(madeCount).toBe(1)
})

/** Whoever is there is never answered, and all places of the address are taken. */
async function fillWithServed(): Promise<void> {
  for (let index = 0; index < 256; index++) {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (index % 4)}` })
    socket.on('error', () => undefined)
    socket.write('GET /never HTTP/1.1\r\nHost: a\r\n\r\n')
  }
  // Each has a time in which its answer must be taken.
  await vi.waitUntil(() => vi.getTimerCount() === 256, PATIENT)
}

test('whoever waits for answers, or does not read them, holds no place against a newcomer', async () => {
  await fillWithServed()
  nowMs = 1001
  expect(await get('/counted', { localAddress: '127.0.0.9' })).toBe('0')
  expect(await get('/counted', { localAddress: '127.0.0.2' })).toBe('0')
})

test('an address that is filled has none of the places of another', async () => {
  await fillWithServed()
  await sockets.bindTcp({ host: '127.0.0.2', port: 0 })
  const [, other] = sockets.shared
  if (other === undefined) throw new Error('nothing was bound')
  await listener.listen(other, undefined)
  const target = { host: '127.0.0.2', port: other.address.port }
  expect(await get('/counted', target)).toBe('0')
  // All of those are there still.
  await vi.waitUntil(() => vi.getTimerCount() === 256, PATIENT)
})

test('each address has a number of its own, and none of those that clients come to', async () => {
  const indices: number[] = []
  const routes: readonly Route[] = [{ ...ROUTES[0]!, right: 'stats' }]
  const asking = new HttpListener({
    routes: () => routes,
    login: {
      check: async (_, { channel }) => {
        indices.push(channel.listenerIndex)
        return await Promise.resolve('allowed')
      },
    },
    isOpen: false,
    connectionsMax: 2,
    hostNames: [],
    nowMs: () => nowMs,
    onFailure: (path) => failures.push(path),
  })
  const bound = new BoundSockets()
  for (const host of ['127.0.0.1', '127.0.0.2']) await bound.bindTcp({ host, port: 0 })
  for (const socket of bound.shared) await asking.listen(socket, undefined)
  for (const { address } of bound.shared) {
    const [host = ''] = address.text.split(':')
    expect(await get('/counted', { host, port: address.port })).toBe('0')
  }
  asking.close()
  expect(indices).toEqual([-1, -2])
})
