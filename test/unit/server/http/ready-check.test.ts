/** What `saslcached health` makes of what answers over HTTP: only a server that says so is not ready. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { HttpConfig, ListenAddress } from '../../../../src/config/config.ts'
import { askWhyNotReady } from '../../../../src/server/http/ready-check.ts'
import { TestAuthority } from '../../../support/authority.ts'

const LONG_MS = 20_000
const DRAINING = 'draining: the server is stopping'

async function listen(server: Server, where: string | number = 0): Promise<number> {
  if (typeof where === 'string') server.listen(where)
  else server.listen(where, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const address = server.address() as AddressInfo | string
  return typeof address === 'string' ? 0 : address.port
}

function at(port: number, more: Partial<ListenAddress> = {}): HttpConfig {
  const address = { host: '127.0.0.1', port, ...more }
  const rest = { sockets: [], asksForLogin: false, isOpen: false, hostNames: [] }
  return { ...rest, listen: [address as ListenAddress] }
}

const says =
  (status: number, body: string): RequestListener =>
  ({ url }, response) => {
    response.writeHead(url === '/ready' ? status : 404).end(body)
  }

test('a server that says why it is not ready is taken at its word', async () => {
  const port = await listen(createServer(says(503, `${DRAINING}\n`)))
  expect(await askWhyNotReady(at(port), LONG_MS)).toBe(DRAINING)
  expect(await askWhyNotReady(at(port, { host: '*' }), LONG_MS)).toBe(DRAINING)
})

test('any other answer is not one that it is not ready', async () => {
  for (const status of [200, 401, 404, 429, 500]) {
    const port = await listen(createServer(says(status, DRAINING)))
    expect([status, await askWhyNotReady(at(port), LONG_MS)]).toEqual([status, undefined])
  }
})

test('a Unix socket is asked first', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-ready-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'h.sock')
  await listen(createServer(says(503, 'stuck: a worker thread is stuck\n')), path)
  const port = await listen(createServer(says(200, 'ready\n')))
  const reasons = await askWhyNotReady({ ...at(port), sockets: [path] }, LONG_MS)
  expect(reasons).toBe('stuck: a worker thread is stuck')
})

test('over TLS whoever answers is believed, whatever its certificate says', async () => {
  const authority = new TestAuthority()
  onTestFinished(() => authority.remove())
  const { certificate: cert, key } = authority.issue({ names: 'DNS:elsewhere.example' })
  const port = await listen(createTlsServer({ cert, key }, says(503, DRAINING)))
  expect(await askWhyNotReady(at(port, { tls: 'none' }), LONG_MS)).toBe(DRAINING)
})

test('where nobody answers, or nobody can be asked, nothing is said against it', async () => {
  const gone = createTcpServer()
  const port = await listen(gone)
  gone.close()
  await once(gone, 'close')
  expect(await askWhyNotReady(at(port), LONG_MS)).toBe(undefined)
  // The system picked a port that is not known here.
  expect(await askWhyNotReady(at(0), LONG_MS)).toBe(undefined)
})

test('one that takes the connection, or begins to answer, and then says nothing is given up', async () => {
  const silent = createTcpServer((socket) => socket.on('error', () => undefined).resume())
  expect(await askWhyNotReady(at(await listen(silent)), 50)).toBe(undefined)
  const slow = createTcpServer((socket) => {
    socket.on('error', () => undefined).resume()
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nre')
  })
  expect(await askWhyNotReady(at(await listen(slow)), 50)).toBe(undefined)
})

test('of an answer without end no more than a part is kept', async () => {
  const port = await listen(
    createServer((_, response) => {
      response.writeHead(503)
      for (let count = 0; count < 64; count++) response.write('x'.repeat(64 * 1024))
      response.end()
    }),
  )
  expect((await askWhyNotReady(at(port), LONG_MS))?.length).toBe(1024)
})
