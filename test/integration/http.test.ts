/** The HTTP listener, as monitors use it and as strangers abuse it. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, request as ask } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runProgram } from '../support/program.ts'
import { SERVER_NODE, SERVER_PROGRAM, startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const FOLDER = mkdtempSync(join(tmpdir(), 'saslcached-http-'))
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }))

interface Answer {
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
  readonly isSameConnection: boolean
}

interface Asked {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** The source, over TCP. */
  readonly localAddress?: string
  readonly agent?: Agent
}

const LIVE = 'GET /live HTTP/1.1\r\nHost: a\r\n'

/** From a Unix socket, or a port. */
function get(target: string | number, path: string, asked: Asked = {}): Promise<Answer> {
  const { method = 'GET', headers = {}, body, localAddress = '127.0.0.1', agent = false } = asked
  const where =
    typeof target === 'string'
      ? { socketPath: target }
      : { host: '127.0.0.1', port: target, localAddress }
  return new Promise((resolve, reject) => {
    const request = ask({ ...where, path, method, headers, agent }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: text,
          isSameConnection: request.reusedSocket,
        }),
      )
    })
    request.on('error', reject).end(body)
  })
}

/** What the server sends to who sends these bytes, until it closes. */
async function send(target: string | number, bytes: string): Promise<string> {
  const socket = typeof target === 'string' ? connect(target) : connect(target, '127.0.0.1')
  let received = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    received += chunk
  })
  socket.on('error', () => undefined)
  socket.write(bytes)
  // once() would take a reset for a failure of the test.
  await new Promise((resolve) => socket.once('close', resolve))
  return received
}

describe('without a login', () => {
  let server: TestServer
  const path = join(FOLDER, 'h.sock')
  let port: number
  beforeAll(async () => {
    server = await startSaslcached({ flags: ['--http', '127.0.0.1:-1', '--http', path] })
    const line = await server.waitForLog(
      ({ event, family }) => event === 'http_listening' && family === 'IPv4',
    )
    port = Number(String(line.address).split(':')[1])
  })
  afterAll(async () => {
    await server.stop()
  })

  test('/live and /ready say so', async () => {
    expect(await get(path, '/live')).toMatchObject({ status: 200, body: 'live\n' })
    expect(await get(path, '/ready')).toMatchObject({ status: 200, body: 'ready\n' })
  })

  test('no answer is kept, framed, or read by a page of others', async () => {
    for (const each of ['/metrics', '/live', '/nothing']) {
      const { headers } = await get(path, each)
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'content-security-policy': expect.stringContaining("default-src 'none'"),
      })
      expect(headers).not.toHaveProperty('access-control-allow-origin')
    }
  })

  test.each(['/metrics/', '/../metrics', '/%6detrics', '//metrics', '/./metrics', '/etc/passwd'])(
    'there is nothing at %s',
    async (each) => {
      expect(await get(path, each)).toMatchObject({ status: 404 })
    },
  )

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'])('%s is refused', async (method) => {
    const answer = await get(path, '/metrics', { method })
    expect(answer).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } })
  })

  test('an upgrade is passed over, and the request answered', async () => {
    const upgrade =
      'GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\n' +
      'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n'
    const received = await send(path, upgrade)
    expect(received).toMatch(/^HTTP\/1.1 200 /)
    expect(received).toMatch(/\r\n\r\nlive\n$/)
  })

  test('CONNECT, another host as target, two hosts and what is no HTTP get nothing', async () => {
    expect(await send(path, 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('')
    const proxied = 'GET http://a/metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
    expect(await send(path, proxied)).toMatch(/^HTTP\/1.1 400 /)
    const twice = 'GET /live HTTP/1.1\r\nHost: a\r\nHost: b.example\r\nConnection: close\r\n\r\n'
    expect(await send(path, twice)).toMatch(/^HTTP\/1.1 400 /)
    expect(await send(path, 'get key\r\n')).toMatch(/^HTTP\/1.1 400 /)
  })

  test('HEAD has the headers of GET and no body', async () => {
    const { status, headers, body } = await get(path, '/live', { method: 'HEAD' })
    expect({ status, length: headers['content-length'], body }).toEqual({
      status: 200,
      length: '5',
      body: '',
    })
  })

  test('a body is refused, announced or in pieces', async () => {
    expect(
      await get(path, '/live', { body: 'x', headers: { 'content-length': '1' } }),
    ).toMatchObject({ status: 413 })
    const chunked = { 'transfer-encoding': 'chunked' }
    expect(await get(path, '/live', { body: 'x', headers: chunked })).toMatchObject({ status: 413 })
  })

  test('a header without end is cut where it is too long', async () => {
    const header = `GET /live HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(9000)}`
    expect(await send(path, header)).toMatch(/^HTTP\/1.1 431 /)
  })

  test('who does not send a header to its end, or nothing at all, is closed', async () => {
    const begun = 'GET /metrics HTTP/1.1\r\nHost: a\r\n'
    const answers = await Promise.all([send(path, begun), send(path, '')])
    expect(answers[0]).toMatch(/^HTTP\/1.1 408 /)
    expect(answers[1]).toMatch(/^(HTTP\/1.1 408 .*)?/)
  })

  test('a page that has its own name resolve to this machine reads nothing', async () => {
    for (const host of ['evil.example', 'evil.example:9150', '127.0.0.1.evil.example', 'a b']) {
      const answer = await get(path, '/metrics', { headers: { host } })
      expect([host, answer.status]).toEqual([host, 421])
    }
    for (const host of ['127.0.0.1:9150', '[::1]:9150', 'localhost', 'cache', 'a.localhost']) {
      const answer = await get(path, '/metrics', { headers: { host } })
      expect([host, answer.status]).toEqual([host, 200])
    }
  })

  test('strangers who connect and say nothing are bounded, and keep nobody out', async () => {
    const hanging: Socket[] = []
    const open = new Set<Socket>()
    // More than one source may have, and more than all.
    for (let count = 0; count < 400; count++) {
      const localAddress = `127.0.0.${2 + (count % 5)}`
      const socket = connect({ port, host: '127.0.0.1', localAddress })
      hanging.push(socket)
      socket.on('error', () => undefined)
      socket.once('connect', () => open.add(socket)).once('close', () => open.delete(socket))
      await once(socket, 'connect')
    }
    // From one of their sources, and from another.
    expect(await send(port, `${LIVE}Connection: close\r\n\r\n`)).toMatch(/^HTTP\/1.1 200 /)
    expect(await get(path, '/live')).toMatchObject({ status: 200 })
    await expect.poll(() => open.size).toBeLessThanOrEqual(256)
    for (const socket of hanging) socket.destroy()
  })

  test('who fills an address takes no place of another', async () => {
    const agents = Array.from({ length: 4 }, () => new Agent({ keepAlive: true, maxSockets: 64 }))
    const fill = async (): Promise<readonly Answer[]> =>
      await Promise.all(
        Array.from({ length: 256 }, (_, index) =>
          get(port, '/live', {
            localAddress: `127.0.0.${2 + (index % 4)}`,
            agent: agents[index % 4]!,
          }),
        ),
      )
    expect((await fill()).map(({ status }) => status)).toEqual(Array(256).fill(200))
    for (let count = 0; count < 5; count++) {
      expect(await get(path, '/live')).toMatchObject({ status: 200 })
    }
    expect((await fill()).map(({ isSameConnection }) => isSameConnection)).toEqual(
      Array(256).fill(true),
    )
    for (const agent of agents) agent.destroy()
  })

  test('two hundred scrapers at once, a thousand times, hold up nobody who gets', async () => {
    const client = new TextClient(server)
    let isOver = false
    const gets = async (): Promise<number> => {
      let count = 0
      for (; !isOver; count++) await client.ask('get nothing\r\n', 'END\r\n')
      return count
    }
    const getting = gets()
    const scrape = async (index: number): Promise<void> => {
      const localAddress = `127.0.0.${2 + (index % 5)}`
      for (let count = 0; count < 5; count++) {
        const answer = await get(port, '/metrics', { localAddress })
        expect(answer).toMatchObject({ status: 200 })
      }
    }
    await Promise.all(Array.from({ length: 200 }, (_, index) => scrape(index)))
    isOver = true
    expect(await getting).toBeGreaterThan(5)
  })

  test('a client that asks and asks without waiting for answers is cut off', async () => {
    const request = 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'
    const received = await send(path, request.repeat(2000))
    expect(received.split('HTTP/1.1 200 OK').length - 1).toBeLessThanOrEqual(16)
    expect(await get(path, '/live')).toMatchObject({ status: 200 })
  })

  test('the same is shown as what memcached_exporter makes of stats', async () => {
    const client = new TextClient(server)
    await client.ask('set a 0 0 1\r\nx\r\nget a b\r\n', 'END\r\n')
    const stats = new Map<string, string>()
    for (const group of ['', ' items', ' slabs', ' settings']) {
      const text = await client.ask(`stats${group}\r\n`, 'END\r\n')
      for (const [, name = '', value = ''] of text.matchAll(
        /^STAT (?:items:1:|1:)?(\S+) (.*)\r$/gm,
      )) {
        if (group === '' || !stats.has(name)) stats.set(name, value)
      }
    }
    // What was kept from before is not shown any more.
    let shown = ''
    await expect
      .poll(async () => {
        shown = (await get(path, '/metrics')).body
        return shown
      })
      .toContain('memcached_current_items 1\n')
    const shownAs = (series: string): string | undefined =>
      shown
        .split('\n')
        .find((line) => line.startsWith(`${series} `))
        ?.slice(series.length + 1)
    const expected: Readonly<Record<string, string>> = {
      memcached_up: '1',
      'memcached_commands_total{command="get",status="hit"}': stats.get('get_hits') ?? '',
      'memcached_commands_total{command="get",status="miss"}': stats.get('get_misses') ?? '',
      'memcached_commands_total{command="set",status="hit"}': stats.get('cmd_set') ?? '',
      memcached_current_bytes: stats.get('bytes') ?? '',
      memcached_limit_bytes: stats.get('limit_maxbytes') ?? '',
      memcached_max_connections: stats.get('maxconns') ?? '',
      memcached_malloced_bytes: stats.get('total_malloced') ?? '',
      'memcached_slab_current_items{slab="1"}': '1',
      'memcached_slab_lru_hits_total{slab="1",lru="cold"}': stats.get('hits_to_cold') ?? '',
      [`memcached_version{version="${stats.get('version')}"}`]: '1',
      saslcached_get_hits_total: stats.get('get_hits') ?? '',
    }
    for (const [series, value] of Object.entries(expected)) {
      expect([series, shownAs(series)]).toEqual([series, value])
    }
  })
})

describe('with --http-auth', () => {
  let server: TestServer
  const users = [
    { name: 'monitor', password: 'right' },
    { name: 'reader', password: 'right' },
  ]
  const path = join(FOLDER, 'auth.sock')
  const basic = (name: string, password: string): Asked => ({
    headers: { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` },
  })

  beforeAll(async () => {
    server = await startSaslcached({
      users: users.slice(0, 1),
      usersFileEnd: '[users.reader]\npassword = "right"\nrights = ["read"]\n',
      flags: ['--http', path, '--http-auth'],
    })
  })
  afterAll(async () => {
    await server.stop()
  })

  test('a user with the right stats sees the metrics, and others are told to log in', async () => {
    expect(await get(path, '/metrics', basic('monitor', 'right'))).toMatchObject({ status: 200 })
    for (const asked of [{}, basic('monitor', 'wrong'), basic('nobody', 'right')]) {
      const { status, headers, body } = await get(path, '/metrics', asked)
      expect({ status, body }).toEqual({ status: 401, body: 'This takes a login.\n' })
      expect(headers['www-authenticate']).toMatch(/^Basic realm=/)
    }
    expect(await get(path, '/metrics', basic('reader', 'right'))).toMatchObject({ status: 403 })
  })

  test('probes need none', async () => {
    expect(await get(path, '/ready')).toMatchObject({ status: 200 })
  })

  test.each(['Basic', 'Basic !', 'Basic YQ==', 'Bearer x', `Basic ${'a'.repeat(5000)}`])(
    'this is no login: %.10s',
    async (authorization) => {
      expect(await get(path, '/metrics', { headers: { authorization } })).toMatchObject({
        status: 401,
      })
    },
  )

  test('failures are told of as others are, without the password', async () => {
    await get(path, '/metrics', basic('monitor', 'a-wrong-one'))
    await server.waitForLog(
      ({ event, user, mechanism }) =>
        event === 'login_failed' && user === 'monitor' && mechanism === 'http-basic',
    )
    expect(server.output()).not.toContain('a-wrong-one')
    // Until what was kept from before is shown no more.
    await expect
      .poll(async () => (await get(path, '/metrics', basic('monitor', 'right'))).body)
      .toMatch(/^saslcached_login_failed_wrong_password_total [1-9]/m)
    const { body } = await get(path, '/metrics', basic('monitor', 'right'))
    expect(body).toMatch(/^saslcached_logins_total\{mechanism="http-basic"\} [1-9]/m)
    expect(body).toMatch(
      /^saslcached_login_failures_total\{mechanism="http-basic",reason="wrong-password"\} [1-9]/m,
    )
  })
})

describe('with --http-auth and namespaces', () => {
  const path = join(FOLDER, 'namespaces.sock')
  const as = (name: string): Asked => ({
    headers: { authorization: `Basic ${Buffer.from(`${name}:right`).toString('base64')}` },
  })
  let server: TestServer

  beforeAll(async () => {
    server = await startSaslcached({
      users: [{ name: 'boss', password: 'right' }],
      usersFileEnd: [
        'roles = ["admin"]',
        '[users.monitor]\npassword = "right"\nroles = ["monitor"]',
        '[users.shopper]\npassword = "right"\nnamespace = "shop"',
        '[users.shopmonitor]\npassword = "right"\nnamespace = "shop"\nroles = ["monitor"]',
        '[namespaces.shop]\nmemory = "16m"\n',
      ].join('\n'),
      flags: ['--http', path, '--http-auth'],
    })
    const environment = {
      HOME: '/nonexistent',
      SASLCACHED_SERVER: server.address,
      SASLCACHED_USERNAME: 'shopper',
      SASLCACHED_PASSWORD: 'right',
    }
    const command = [SERVER_NODE, SERVER_PROGRAM, 'set', 'theirs', 'value']
    expect(await runProgram(command, { environment })).toMatchObject({ exitCode: 0 })
  })
  afterAll(async () => {
    await server.stop()
  })

  test('who has stats is told what stats on the wire tells, and nothing of other namespaces', async () => {
    const { status, body } = await get(path, '/metrics', as('monitor'))
    expect(status).toBe(200)
    expect(body).toContain('memcached_current_items 0\n')
    expect(body).toContain('saslcached_namespace_items{namespace="default"} 0\n')
    expect(body).toContain('saslcached_logins_total{mechanism="http-basic"}')
    expect(body).not.toMatch(/shop|user=|saslcached_requests_total/)
    for (const document of ['/', '/status.json']) {
      expect(await get(path, document, as('monitor'))).toMatchObject({
        status: 403,
        body: 'This tells of all namespaces: it takes a user with the right admin.\n',
      })
    }
  })

  test('an administrator is told of all, also after others were told less', async () => {
    await get(path, '/metrics', as('monitor'))
    const { body } = await get(path, '/metrics', as('boss'))
    expect(body).toContain('memcached_current_items 1\n')
    expect(body).toContain('saslcached_namespace_items{namespace="shop"} 1\n')
    expect(body).toContain('saslcached_user_requests_total{user="shopper"}')
    expect(await get(path, '/', as('boss'))).toMatchObject({ status: 200 })
    expect(await get(path, '/status.json', as('boss'))).toMatchObject({ status: 200 })
  })

  test('users of another namespace are told nothing', async () => {
    for (const name of ['shopper', 'shopmonitor']) {
      expect(await get(path, '/metrics', as(name))).toMatchObject({ status: 403 })
    }
  })
})
