import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkHealth, HealthError, healthTarget } from '../../../../src/server/net/health-check.ts'
import { run } from '../../cli/support.ts'

const NETWORK = {
  listen: [],
  unixSocket: undefined,
  identitySockets: [],
  passed: [],
  unixMask: 0o700,
  unixGroup: undefined,
  clusterNodes: [],
  backlog: 1,
  protocol: 'auto',
  portFile: undefined,
} as const

/** Until an answer that comes. */
const ANSWER_MS = 20_000

/** A version reply as memcached writes it. */
function reply(fields: {
  magic?: number
  opcode?: number
  status?: number
  opaque?: Buffer
}): Buffer {
  const version = Buffer.from('1.6.45')
  const bytes = Buffer.alloc(24 + version.length)
  bytes[0] = fields.magic ?? 0x81
  bytes[1] = fields.opcode ?? 0x0b
  bytes.writeUInt16BE(fields.status ?? 0, 6)
  bytes.writeUInt32BE(version.length, 8)
  fields.opaque?.copy(bytes, 12)
  version.copy(bytes, 24)
  return bytes
}

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-health-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Listens on a free port, or on `path`, and lets `answer` talk to who comes. */
async function serve(
  answer: (socket: Socket, request: Buffer) => void,
  path?: string,
): Promise<{ server: Server; port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (request) => answer(socket, request))
  })
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, '127.0.0.1', resolve)
    else server.listen(path, resolve)
  })
  const address = server.address()
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 }
}

const answerWell = (socket: Socket, request: Buffer): void => {
  socket.write(reply({ opaque: request.subarray(12, 16) }))
}

test('a server that answers is healthy, over TCP and over a Unix socket', async () => {
  const { port } = await serve(answerWell)
  expect(await checkHealth({ host: '127.0.0.1', port }, ANSWER_MS)).toBe('1.6.45')
  const path = join(makeDirectory(), 's')
  await serve(answerWell, path)
  expect(await checkHealth({ path }, ANSWER_MS)).toBe('1.6.45')
})

test('the request is a version request of 24 bytes and nothing else', async () => {
  let seen: Buffer = Buffer.alloc(0)
  const { port } = await serve((socket, request) => {
    seen = request
    answerWell(socket, request)
  })
  await checkHealth({ host: '127.0.0.1', port }, ANSWER_MS)
  expect(seen.length).toBe(24)
  expect([seen[0], seen[1]]).toEqual([0x80, 0x0b])
  expect(seen.subarray(2, 12)).toEqual(Buffer.alloc(10))
  expect(seen.subarray(16)).toEqual(Buffer.alloc(8))
})

test('an answer may come byte by byte', async () => {
  const { port } = await serve((socket, request) => {
    socket.setNoDelay(true)
    const bytes = reply({ opaque: request.subarray(12, 16) })
    const send = (offset: number): void => {
      if (offset < bytes.length) {
        socket.write(bytes.subarray(offset, offset + 1), () => setImmediate(send, offset + 1))
      }
    }
    send(0)
  })
  expect(await checkHealth({ host: '127.0.0.1', port }, ANSWER_MS)).toBe('1.6.45')
})

test.each<[string, (socket: Socket, request: Buffer) => void, RegExp]>([
  ['nothing', () => undefined, /^no answer within 50 ms$/],
  [
    'half an answer',
    (socket) => socket.write(reply({}).subarray(0, 20)),
    /^no answer within 50 ms$/,
  ],
  ['another opaque', (socket) => socket.write(reply({})), /is not one to a memcached version/],
  ['text', (socket) => socket.write('ERROR\r\n'.repeat(9)), /is not one to a memcached version/],
  [
    'an error',
    (socket, request) => socket.write(reply({ status: 0x81, opaque: request.subarray(12, 16) })),
    /^the server answered with status 0x81$/,
  ],
  [
    'a closed connection',
    (socket) => socket.end(),
    /was closed before an answer came; if it speaks TLS, write btls:127\.0\.0\.1:\d+, or give --tls$/,
  ],
])('a server that answers with %s is not healthy', async (_what, answer, message) => {
  const { port } = await serve(answer)
  // Only who waits in vain is to wait for a short time: an answer may be late on a busy machine.
  const timeoutMs = message.source.includes('50 ms') ? 50 : ANSWER_MS
  const failure = await checkHealth({ host: '127.0.0.1', port }, timeoutMs).catch(
    (error: unknown) => error,
  )
  expect(failure).toBeInstanceOf(HealthError)
  expect((failure as HealthError).message).toMatch(message)
})

test('nobody listening is not healthy', async () => {
  const path = join(makeDirectory(), 'none')
  await expect(checkHealth({ path }, ANSWER_MS)).rejects.toThrow(
    'cannot be reached: there is no such socket: is the server running',
  )
  const nobody = { host: '127.0.0.1', port: 1 }
  for (const target of [nobody, { ...nobody, host: 'localhost' }]) {
    await expect(checkHealth(target, ANSWER_MS)).rejects.toThrow(
      'cannot be reached: nobody listens there: is the server running',
    )
  }
})

test('what does not speak TLS is said to, and not healthy', async () => {
  const { port } = await serve((socket) => socket.write('ERROR\r\n'))
  await expect(checkHealth({ host: '127.0.0.1', port, tls: 'none' }, ANSWER_MS)).rejects.toThrow(
    'cannot be reached: it does not speak TLS',
  )
})

test.each([
  [
    { host: '*', port: 1 },
    { host: '127.0.0.1', port: 1 },
  ],
  [
    { host: '0.0.0.0', port: 1 },
    { host: '127.0.0.1', port: 1 },
  ],
  [
    { host: '::', port: 1 },
    { host: '::1', port: 1 },
  ],
  [
    { host: '10.0.0.1', port: 1 },
    { host: '10.0.0.1', port: 1 },
  ],
])('a server on %j is asked at %j', (address, target) => {
  expect(healthTarget({ ...NETWORK, listen: [address, { host: 'x', port: 2 }] })).toEqual(target)
})

test('a Unix socket is asked before anything else', () => {
  const network = { ...NETWORK, unixSocket: '/run/s', listen: [{ host: '*', port: 1 }] }
  expect(healthTarget(network)).toEqual({ path: '/run/s' })
})

test('a port that the system picked is read from the port file', () => {
  const portFile = join(makeDirectory(), 'ports')
  const network = { ...NETWORK, listen: [{ host: '*', port: 0 }], portFile }
  expect(() => healthTarget(network)).toThrow(`${portFile} cannot be read`)
  writeFileSync(portFile, '')
  expect(() => healthTarget(network)).toThrow(`${portFile} names no port yet`)
  writeFileSync(portFile, 'TCP INET: 40001\nTCP INET6: 40002\n')
  expect(healthTarget(network)).toEqual({ host: '127.0.0.1', port: 40_001 })
  expect(() => healthTarget({ ...network, portFile: undefined })).toThrow('name the address')
})

test('"saslcached health" asks the configured server, or the one it is given', async () => {
  const { port } = await serve(answerWell)
  const healthyAt = (address: string) => ({
    exitCode: 0,
    out: `healthy: version 1.6.45 at ${address}\n`,
    err: '',
  })
  const healthy = healthyAt(`127.0.0.1:${port}`)
  expect(await run(['health', '-p', String(port)])).toEqual(healthy)
  expect(await run(['health', `127.0.0.1:${port}`])).toEqual(healthy)
  expect(await run(['health'], { environment: { SASLCACHED_PORT: String(port) } })).toEqual(healthy)
  const path = join(makeDirectory(), 's')
  await serve(answerWell, path)
  expect(await run(['health', '-s', path])).toEqual(healthyAt(path))
  expect(await run(['health', path])).toEqual(healthyAt(path))
})

test('"saslcached health" fails with 1, and shows what is wrong with the configuration', async () => {
  const path = join(makeDirectory(), 'none')
  const environment = { SASLCACHED_USERNAME: 'half', SASLCACHED_THREADS: 'x' }
  expect(await run(['health', '-s', path], { environment })).toEqual({
    exitCode: 1,
    out: '',
    err:
      `unhealthy: ${path}: cannot be reached: there is no such socket: is the server running, with -s and this path?\n` +
      '  SASLCACHED_THREADS: "x" is not a whole number from 1 to 256, or auto\n',
  })
})
