/**
 * Servers that are not what they should be: each ends a command with a clear error, within its bounds.
 */
import { createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { openSession } from '../../../src/client/connect.ts'
import type { Session } from '../../../src/client/session.ts'
import { Secret } from '../../../src/config/secret.ts'

const HELLO = 'ERROR\r\nVERSION 1.6.45\r\nVERSION 1.6.45\r\n'
/** Long enough for a busy machine where an answer is expected; where none is, a test gives less. */
const TIMEOUT_MS = 10_000

/** A server whose connections are `serve`'s; it and they end with the test. */
async function serve(
  handle: (socket: Socket, index: number) => void,
): Promise<{ host: string; port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    handle(socket, sockets.size - 1)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { host: '127.0.0.1', port: (server.address() as { port: number }).port }
}

/** Says `hello` to the question that a client begins with, then does `next` for each request. */
function greeting(
  hello: string,
  next: (socket: Socket, request: string) => void = () => undefined,
) {
  return (socket: Socket): void => {
    socket.once('data', () => {
      socket.write(hello)
      socket.on('data', (request) => next(socket, request.toString('latin1')))
    })
  }
}

/** An open memcached with one answer to everything. */
function saying(answer: string | Uint8Array, isEnd = false) {
  return greeting(HELLO, (socket) => {
    if (isEnd) socket.end(answer)
    else socket.write(answer)
  })
}

async function sessionAt(
  address: { host: string; port: number },
  timeoutMs: number = TIMEOUT_MS,
): Promise<Session> {
  const session = await openSession({ address, tls: undefined, timeoutMs, login: undefined })
  onTestFinished(() => session.close())
  return session
}

const KEY = Buffer.from('key')
const LONG = 'x'.repeat(100_000)

async function all(lines: AsyncIterable<string>): Promise<void> {
  for await (const _ of lines);
}

const ASK: Readonly<Record<string, (session: Session) => Promise<unknown>>> = {
  get: (session) => session.get(KEY),
  set: (session) => session.set(KEY, KEY, 0, 0),
  stats: (session) => session.stats(''),
  version: (session) => session.version(),
  dump: (session) => all(session.lines({ kind: 'metadump' })),
  watch: (session) => all(session.lines({ kind: 'watch', words: [] })),
}

test.each([
  ['a line without end', 'version', LONG],
  ['a statistic without end', 'stats', `STAT a ${LONG}`],
  ['a length beyond all', 'get', 'VA 99999999999 f0 c1 t-1\r\nabc'],
  ['a length that would fill this machine', 'get', 'VA 134217729 f0 c1 t-1\r\nabc'],
  ['a length that is none', 'get', 'VA -1 f0 c1 t-1\r\nabc\r\n'],
  ['a length that is too short', 'get', 'VA 2 f0 c1 t-1\r\nabcdef\r\n'],
  ['a value without its flags', 'get', 'VA 3 s3\r\nabc\r\n'],
  ['another answer than one to a get', 'get', 'STORED\r\n'],
  ['another answer than one to a set', 'set', 'OK\r\n'],
  ['statistics of something else', 'stats', 'HTTP/1.1 400 Bad Request\r\n'],
  ['a dump of something else', 'dump', 'OK\r\nkey=a exp=-1\r\nhello\r\n'],
])('%s is refused as an answer to %s', async (_, command, answer) => {
  const session = await sessionAt(await serve(saying(answer)))
  await expect(ASK[command]?.(session)).rejects.toMatchObject({ kind: 'protocol' })
  // Nothing more comes of this connection.
  await expect(session.version()).rejects.toMatchObject({ kind: 'protocol' })
})

test('a flood of statistics ends at a bound', async () => {
  const row = `STAT ${'n'.repeat(8000)} 1\r\n`
  const flood = (socket: Socket): void => {
    while (!socket.destroyed && socket.write(row.repeat(16)));
    socket.once('drain', () => flood(socket))
  }
  const address = await serve(greeting(HELLO, flood))
  const session = await sessionAt(address)
  await expect(session.stats('')).rejects.toMatchObject({ kind: 'protocol' })
})

test.each(Object.keys(ASK))('half an answer to %s and an end is told as such', async (command) => {
  const half = { get: 'VA 10 f0 c1 t-1\r\nabc', dump: 'key=a exp=-1\r\n', watch: 'OK\r\n' }
  const answer = half[command as 'get'] ?? 'STA'
  const session = await sessionAt(await serve(saying(answer, true)))
  await expect(ASK[command]?.(session)).rejects.toMatchObject({
    kind: 'unreachable',
    message: 'the server closed the connection before its answer was whole',
  })
})

/** Of little patience, which must do for the greeting, too: on a busy machine not at once. */
async function hastySessionAt(address: { host: string; port: number }): Promise<Session> {
  for (let timeoutMs = 200; ; timeoutMs *= 2) {
    try {
      return await sessionAt(address, timeoutMs)
    } catch (error) {
      if (timeoutMs > 20_000) throw error
    }
  }
}

test.each(['get', 'set', 'stats', 'version', 'dump'])(
  'a server that never answers %s is not waited for',
  async (command) => {
    const session = await hastySessionAt(await serve(saying('')))
    await expect(ASK[command]?.(session)).rejects.toMatchObject({ kind: 'timeout' })
  },
)

test('a server that says nothing at all is not waited for', async () => {
  await expect(sessionAt(await serve(() => undefined), 50)).rejects.toMatchObject({
    kind: 'timeout',
  })
})

test('an answer that comes byte by byte has one deadline, not one a byte', async () => {
  const drip = (socket: Socket): void => {
    // Faster than any deadline between bytes.
    const timer = setInterval(() => socket.write('STAT a 1\r\n'), 5)
    socket.on('close', () => clearInterval(timer))
  }
  const address = await serve(greeting(HELLO, drip))
  const session = await hastySessionAt(address)
  await expect(session.stats('')).rejects.toMatchObject({ kind: 'timeout' })
})

test('escapes in an error are shown, not obeyed', async () => {
  const session = await sessionAt(await serve(saying('SERVER_ERROR \u001b]0;owned\u0007\r\n')))
  await expect(session.version()).rejects.toThrow('the server refuses that: \\x1b]0;owned\\x07')
})

test('a server that speaks TLS is told from one that does not answer', async () => {
  const alert = Buffer.from('15030100020246', 'hex')
  const address = await serve((socket) => socket.once('data', () => socket.end(alert)))
  await expect(sessionAt(address)).rejects.toThrow('the server speaks TLS there: give --tls')
})

/** A binary server: closes what is text, then answers with `response`, whose opaque is filled in. */
function binaryServer(response: (request: Buffer) => Buffer) {
  return (socket: Socket, index: number): void => {
    socket.on('data', (request) => {
      if (index === 0) socket.destroy()
      else socket.write(response(request))
    })
  }
}

function packet(request: Buffer, change: (header: Buffer) => void): Buffer {
  const header = Buffer.alloc(24)
  header[0] = 0x81
  header[1] = request[1] ?? 0
  request.copy(header, 12, 12, 16)
  change(header)
  return header
}

test.each([
  ['another magic', (header: Buffer) => (header[0] = 0x80)],
  ['another opcode', (header: Buffer) => (header[1] = 0x00)],
  ['another opaque', (header: Buffer) => (header[15] = 0xff)],
  ['a body beyond all', (header: Buffer) => header.writeUInt32BE(0x7fffffff, 8)],
  ['a key longer than its body', (header: Buffer) => header.writeUInt16BE(9, 2)],
])('a binary answer with %s is refused', async (_, change) => {
  const address = await serve(binaryServer((request) => packet(request, change)))
  await expect(sessionAt(address)).rejects.toMatchObject({ kind: 'protocol' })
})

const ALICE = {
  user: 'alice',
  password: new Secret('wonderland'),
  mechanism: undefined,
  allowsPlainInTheClear: false,
}
const OFFER = 'SASL_MECH SCRAM-SHA-256\r\nVERSION 1\r\nVERSION 1\r\n'

test.each([
  ['AUTH_ERROR', /does not let us in as "alice"/],
  ['CLIENT_ERROR authentication failure', /does not let us in as "alice"/],
  ['CLIENT_ERROR too many failures', /too many failures/],
  ['SERVER_ERROR no users', /no users/],
])('a login that is answered with %s, first or last, is a refused login', async (line, message) => {
  for (const refusedAt of [1, 2]) {
    let requests = 0
    const address = await serve(
      greeting(OFFER, (socket, request) => {
        requests++
        const challenge = `r=${/r=([^,\r]*)/.exec(request)?.[1]}x,s=QSXCR+Q6sek8bf92,i=4096`
        if (requests === refusedAt) socket.write(`${line}\r\n`)
        else socket.write(`SASL_CONTINUE ${challenge.length}\r\n${challenge}\r\n`)
      }),
    )
    const target = { address, tls: undefined, timeoutMs: TIMEOUT_MS, login: ALICE }
    const failed = openSession(target)
    await expect(failed).rejects.toMatchObject({ kind: 'login' })
    await expect(failed).rejects.toThrow(message)
    expect(requests).toBe(refusedAt)
  }
})

test.each([
  ['offers PLAIN alone', 'SASL_MECH PLAIN\r\nVERSION 1\r\nVERSION 1\r\n'],
  ['takes no logins', HELLO],
  ['wants it as memcached -Y does', 'CLIENT_ERROR unauthenticated\r\n'.repeat(3)],
])('a server that %s gets no password in the clear', async (_, hello) => {
  let received = ''
  const address = await serve((socket) => {
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1')
    })
    greeting(hello)(socket)
  })
  const target = { address, tls: undefined, timeoutMs: TIMEOUT_MS, login: ALICE }
  await expect(openSession(target)).rejects.toMatchObject({ kind: 'login' })
  expect(received).toBe('sasl mech\r\nversion\r\nversion\r\n')
})
