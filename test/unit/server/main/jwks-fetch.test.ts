/** What may be at the other end of the URL of keys. */
import { createServer as createTcpServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { fetchJwks } from '../../../../src/server/main/jwks-fetch.ts'
import { startJwksServer } from '../../../support/jwks-server.ts'

const ask = (url: string, timeMsMax = 60_000) =>
  fetchJwks({ url, ca: undefined, token: undefined }, timeMsMax)

test('keys are fetched as they are published', async () => {
  const { url } = await startJwksServer((_, response) => response.end('{"keys":[]}'))
  expect(await ask(url)).toEqual({ text: '{"keys":[]}' })
})

test('the token is shown, and nothing else of ours', async () => {
  let seen: object = {}
  const { url } = await startJwksServer(({ headers }, response) => {
    seen = headers
    response.end('x')
  })
  await fetchJwks({ url, ca: undefined, token: 'a.b.c' }, 60_000)
  expect(seen).toMatchObject({ authorization: 'Bearer a.b.c', 'accept-encoding': 'identity' })
  await ask(url)
  expect(Object.keys(seen).sort()).toEqual(['accept', 'accept-encoding', 'connection', 'host'])
})

test('a redirect is not followed', async () => {
  const target = await startJwksServer((_, response) => response.end('{}'))
  const { url } = await startJwksServer((_, response) => {
    response.writeHead(302, { location: target.url }).end()
  })
  expect(await ask(url)).toBe('it answers with a redirect (302), which is not followed')
  expect(target.requestCount).toBe(0)
})

test.each([401, 404, 500, 204])('status %i is no answer', async (status) => {
  const { url } = await startJwksServer((_, response) => response.writeHead(status).end())
  expect(await ask(url)).toBe(`it answers with status ${status}`)
})

test('an encoding is not taken: a few bytes of it may be gigabytes', async () => {
  const { url } = await startJwksServer((_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end('x')
  })
  expect(await ask(url)).toContain('encoding')
})

test('of an endless answer a bounded part is read', async () => {
  let sent = 0
  const { url, server } = await startJwksServer((_, response) => {
    const chunk = Buffer.alloc(64 * 1024, 'x')
    const pour = (): void => {
      while (!response.destroyed && sent < 1024 ** 3) {
        sent += chunk.length
        if (!response.write(chunk)) return void response.once('drain', pour)
      }
    }
    pour()
  })
  const closed = new Promise<void>((resolve) =>
    server.once('connection', (socket) => socket.once('close', () => resolve())),
  )
  expect(await ask(url)).toBe('it answers with more than 262144 bytes')
  await closed
  expect(sent).toBeLessThan(32 * 1024 * 1024)
})

test('who says nothing is not waited for', async () => {
  const { url } = await startJwksServer(() => undefined)
  expect(await ask(url, 50)).toBe('it does not answer within 0.05 s')
})

test('nor is who never comes to an end', async () => {
  const { url } = await startJwksServer((_, response) => response.write('{'))
  expect(await ask(url, 50)).toBe('it does not answer within 0.05 s')
})

test.each([
  ['garbage', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ['headers without an end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}`],
  ['nothing', ''],
  ['half an answer', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"keys"'],
])('%s is no answer', async (_, bytes) => {
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end(bytes))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as { port: number }
  expect(await ask(`http://127.0.0.1:${port}/`)).toMatch(/^(it cannot be asked \(|the connection)/)
})

test('a port that nobody listens on is said so, without what was shown', async () => {
  const request = { url: 'https://127.0.0.1:1/', ca: undefined, token: 'hunter2' }
  expect(await fetchJwks(request, 60_000)).toBe('it cannot be asked (ECONNREFUSED)')
})
