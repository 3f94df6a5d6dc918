/** The listener over real sockets, with routes that count, and a clock that a test moves. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { Agent, request, ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { queryObjects } from 'node:v8'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import {
  HttpListener,
  type HttpListenerOptions,
} from '../../../../src/server/http/http-listener.ts'
import type { Route } from '../../../../src/server/http/route.ts'
import { BoundSockets } from '../../../../src/server/net/bound-sockets.ts'
import { whenClosed } from '../../../support/when-closed.ts'

/** More than the system takes for a client that does not read. */
const LARGE = Buffer.alloc(64 * 1024 * 1024, 'x')
const ANSWER_MS = 10_000
const HEADER_MS = 5000
const KEEP_ALIVE_MS = 75_000
const LOOK_MS = 500
const PIPELINED_MAX = 16
/** What is waited for takes turns of the event loop, each when a busy machine lets it. */
const PATIENT = { timeout: 60_000 }

let nowMs = 0
let port = 0
let sockets: BoundSockets
let madeCount = 0
/** Requests that get no answer. */
let neverCount = 0
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
  {
    path: '/never',
    freshMs: 0,
    form: () => `${neverCount++}`,
    answer: () => new Promise(() => undefined),
  },
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
  neverCount = 0
  failures = []
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  listener = await listen({})
})

/** Bound anew. */
async function listen(given: Partial<HttpListenerOptions>): Promise<HttpListener> {
  const made = new HttpListener({
    routes: () => ROUTES,
    login: undefined,
    isOpen: true,
    connectionsMax: 256,
    hostNames: [],
    nowMs: () => nowMs,
    onFailure: (path) => failures.push(path),
    ...given,
  })
  sockets = new BoundSockets()
  await sockets.bindTcp({ host: '127.0.0.1', port: 0 })
  const [socket] = sockets.shared
  if (socket === undefined) throw new Error('nothing was bound')
  port = socket.address.port
  await made.listen(socket, undefined)
  return made
}

afterEach(() => {
  listener.close()
  vi.useRealTimers()
})

/** Who takes too long by then is cut off. */
function lookAt(atMs: number): void {
  nowMs = atMs
  vi.advanceTimersByTime(LOOK_MS)
}

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
  lookAt(ANSWER_MS - 1)
  // It was told nothing of an end, and others are served.
  expect(await get('/counted')).toBe('0')
  lookAt(ANSWER_MS)
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
  // It takes a turn or two until the server knows.
  expect(await get('/counted')).toBe('0')
  lookAt(ANSWER_MS)
  expect(await get('/counted', { agent })).toBe('1')
  agent.destroy()
})

test('a route that never answers keeps its client no longer than others', async () => {
  const socket = open('/never')
  const closed = whenClosed(socket)
  await vi.waitUntil(() => neverCount > 0, PATIENT)
  lookAt(ANSWER_MS)
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
  await vi.waitUntil(() => neverCount > 0, PATIENT)
  listener.close()
  await closed
  expect(await get('/counted')).toBe(undefined)
})

/** What is answered to bytes as they are, when the connection has ended. */
async function textOf(bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('error', () => undefined)
  socket.setEncoding('latin1').on('data', (more: string) => {
    text += more
  })
  socket.write(bytes)
  await whenClosed(socket)
  return text
}

/** At most the first status line. */
async function statusOf(bytes: string): Promise<string | undefined> {
  return (await textOf(bytes)).split('\r\n')[0]
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
async function fillWithServed(): Promise<() => number> {
  let closedCount = 0
  for (let index = 0; index < 256; index++) {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (index % 4)}` })
    socket.on('error', () => undefined)
    socket.on('close', () => closedCount++)
    socket.write('GET /never HTTP/1.1\r\nHost: a\r\n\r\n')
  }
  await vi.waitUntil(() => neverCount === 256, PATIENT)
  return () => closedCount
}

test('whoever waits for answers, or does not read them, holds no place against a newcomer', async () => {
  await fillWithServed()
  nowMs = 1001
  expect(await get('/counted', { localAddress: '127.0.0.9' })).toBe('0')
  expect(await get('/counted', { localAddress: '127.0.0.2' })).toBe('0')
})

test('an address that is filled has none of the places of another', async () => {
  const closedCount = await fillWithServed()
  await sockets.bindTcp({ host: '127.0.0.2', port: 0 })
  const [, other] = sockets.shared
  if (other === undefined) throw new Error('nothing was bound')
  await listener.listen(other, undefined)
  const target = { host: '127.0.0.2', port: other.address.port }
  expect(await get('/counted', target)).toBe('0')
  expect(closedCount()).toBe(0)
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

/** How many requests Node's parser makes of what comes. */
function countRequests(): () => number {
  let count = 0
  const seen = (): void => {
    count++
  }
  subscribe('http.server.request.start', seen)
  onTestFinished(() => void unsubscribe('http.server.request.start', seen))
  return () => count
}

test('nothing holds a connection that has closed, whatever its requests wait for', async () => {
  const waiting: (() => void)[] = []
  const login = {
    check: async (): Promise<'allowed'> => {
      await new Promise<void>((resolve) => waiting.push(resolve))
      return 'allowed'
    },
  }
  const routes: readonly Route[] = [...ROUTES, { ...ROUTES[0]!, path: '/guarded', right: 'stats' }]
  listener.close()
  listener = await listen({ routes: () => routes, login })
  const opened = Array.from({ length: 40 }, (_, index) => {
    const path = index % 2 === 0 ? '/never' : '/guarded'
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(16))
    return socket
  })
  await vi.waitUntil(() => neverCount >= 20 && waiting.length >= 20, PATIENT)
  for (const socket of opened) socket.destroy()
  // Who sent more than one is not read, and so not missed before.
  lookAt(ANSWER_MS)
  const held = (): number => queryObjects(ServerResponse, { format: 'count' })
  await vi.waitUntil(() => held() === 0, { timeout: 10_000, interval: 500 })
  // Those logins wait still.
  expect(waiting.length).toBeGreaterThanOrEqual(20)
})

test('a burst of requests is no more work than of those that are answered', async () => {
  const count = countRequests()
  const burst = 'GET /counted HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1500)
  const text = await textOf(burst)
  expect(count()).toBe(PIPELINED_MAX)
  expect(text.split('HTTP/1.1 200 OK').length - 1).toBe(PIPELINED_MAX)
  expect(text.match(/connection: close/gi)).toHaveLength(1)
})

test('requests of one address that are there at once do not come before that of another', async () => {
  const order: string[] = []
  const from = (localAddress: string): Socket => {
    const socket = connect({ port, host: '127.0.0.1', localAddress })
    socket.on('error', () => undefined)
    socket.on('data', (bytes: Buffer) => {
      for (const _ of String(bytes).matchAll(/HTTP\/1\.1 200/g)) order.push(localAddress)
    })
    return socket
  }
  const crowd = Array.from({ length: 30 }, () => from('127.0.0.2'))
  const probe = from('127.0.0.3')
  await Promise.all([...crowd, probe].map(async (socket) => await once(socket, 'connect')))
  const one = 'GET /counted HTTP/1.1\r\nHost: a\r\n\r\n'
  for (const socket of crowd) socket.write(one.repeat(10))
  probe.write(one)
  await vi.waitUntil(() => order.length === 301, PATIENT)
  expect(order.indexOf('127.0.0.3')).toBeLessThan(60)
  for (const socket of [...crowd, probe]) socket.destroy()
})

test('who ends its side has the answers to what it sent before', async () => {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.setEncoding('latin1').on('data', (more: string) => {
    text += more
  })
  socket.end('GET /counted HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3))
  await whenClosed(socket)
  expect(text.split('HTTP/1.1 200 OK').length - 1).toBe(3)
})

test('a request that comes a byte at a time is answered, and one that stops on its way is told so', async () => {
  const socket = connect(port, '127.0.0.1')
  socket.setNoDelay()
  for (const character of BEGIN.replace('Connection: close\r\n', '')) {
    await new Promise<void>((resolve) => socket.write(character, () => resolve()))
  }
  socket.write('\r\n')
  expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /)
  const closed = whenClosed(socket)
  lookAt(KEEP_ALIVE_MS - 1)
  socket.write('GET /')
  expect(await get('/counted')).not.toBe(undefined)
  const answer = once(socket, 'data')
  // From its first byte on, and not from the answer before.
  lookAt(nowMs + HEADER_MS)
  expect(String((await answer)[0])).toMatch(/^HTTP\/1\.1 408 /)
  await closed
})

test('who asks nothing more is cut off when it has been kept for long enough', async () => {
  const socket = open('/counted')
  await once(socket, 'data')
  const closed = whenClosed(socket)
  lookAt(KEEP_ALIVE_MS - 1)
  socket.write('GET /counted HTTP/1.1\r\nHost: a\r\n\r\n')
  expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /)
  await vi.waitUntil(() => {
    lookAt(nowMs + KEEP_ALIVE_MS)
    return socket.closed || socket.readableEnded
  }, PATIENT)
  await closed
})

test('who speaks something else is told so at once', async () => {
  expect(await statusOf('get key\r\n')).toBe('HTTP/1.1 400 Bad Request')
  expect(await statusOf('\r\r\nGET /counted\r\n')).toBe('HTTP/1.1 400 Bad Request')
  expect(await statusOf(`${BEGIN}a b: c\r\n\r\n`)).toBe('HTTP/1.1 400 Bad Request')
})
