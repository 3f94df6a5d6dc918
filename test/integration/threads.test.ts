/**
 * Several workers in one process: what they share, and what becomes of the process when one of them
 * fails. How connections spread is read off the system: each worker has an epoll instance of its own.
 */
import { once } from 'node:events'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { runProgram } from '../support/program.ts'
import {
  SERVER_NODE,
  SERVER_PROGRAM,
  type ServerOptions,
  startSaslcached,
  type TestServer,
} from '../support/server.ts'

const BREAKER = join(import.meta.dirname, '..', 'support', 'break-worker.mjs')
const DEADLINE_MS = 60_000

interface Client {
  readonly socket: Socket
  ask(request: string, end: string): Promise<string>
}

async function connectTo(server: TestServer): Promise<Client> {
  const socket = connect(server.port, server.host)
  let received = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text
  })
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  return {
    socket,
    async ask(request, end) {
      received = ''
      socket.write(request)
      while (!received.endsWith(end)) {
        if (socket.destroyed) throw new Error(`closed after ${JSON.stringify(received)}`)
        await Promise.race([once(socket, 'data'), once(socket, 'close')])
      }
      return received
    },
  }
}

async function start(threads: number, options: ServerOptions = {}): Promise<TestServer> {
  const flags = ['-t', String(threads), ...(options.flags ?? [])]
  return await startSaslcached({ ...options, flags })
}

/** Descriptors in each epoll instance of the process. */
function pollSizes(pid: number): number[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${fd}`) !== 'anon_inode:[eventpoll]') return []
      return [readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8').match(/^tfd:/gm)?.length ?? 0]
    } catch {
      return []
    }
  })
}

function statOf(text: string, name: string): string | undefined {
  return new RegExp(`^STAT ${name} (.*)\r$`, 'm').exec(text)?.[1]
}

test('connections that come one by one reach every worker', async () => {
  const server = await start(4)
  const before = pollSizes(server.pid)
  const connectAll = async (): Promise<number> => {
    for (let count = 0; count < 40; count++) {
      await (await connectTo(server)).ask('version\r\n', '\r\n')
    }
    const gains = pollSizes(server.pid).map((size, index) => size - (before[index] ?? 0))
    // A worker that passes has taken its listening socket out, so a gain may be one less.
    return gains.filter((gain) => gain >= 4).length
  }
  // One that has no processor for a while is not waited for by the others.
  await expect.poll(connectAll).toBe(4)
  await server.stop()
})

test('what one worker stores every worker serves, counts and flushes', async () => {
  const server = await start(4)
  const clients = await Promise.all(Array.from({ length: 12 }, () => connectTo(server)))
  for (const [index, client] of clients.entries()) {
    expect(await client.ask(`set k${index} 0 0 1\r\n${index % 10}\r\n`, '\r\n')).toBe('STORED\r\n')
  }
  const keys = clients.map((_, index) => `k${index}`).join(' ')
  for (const client of clients) {
    const values = await client.ask(`get ${keys}\r\n`, 'END\r\n')
    expect(values.match(/^VALUE/gm)).toHaveLength(12)
  }
  const stats = (await clients[0]?.ask('stats\r\n', 'END\r\n')) ?? ''
  expect(statOf(stats, 'cmd_set')).toBe('12')
  expect(statOf(stats, 'get_hits')).toBe('144')
  expect(statOf(stats, 'curr_items')).toBe('12')
  expect(statOf(stats, 'curr_connections')).toBe('12')
  expect(statOf(stats, 'threads')).toBe('4')
  await clients[1]?.ask('stats reset\r\n', 'RESET\r\n')
  for (const client of clients) {
    const after = await client.ask('stats\r\n', 'END\r\n')
    expect([statOf(after, 'cmd_set'), statOf(after, 'total_items')]).toEqual(['0', '0'])
  }
  await clients[2]?.ask('flush_all\r\n', 'OK\r\n')
  for (const client of clients)
    expect(await client.ask(`get ${keys}\r\n`, 'END\r\n')).toBe('END\r\n')
  await server.stop()
})

test('stats conns shows the connections of all workers, to each of them', async () => {
  const server = await start(4)
  const clients = await Promise.all(Array.from({ length: 8 }, () => connectTo(server)))
  for (const client of clients) await client.ask('version\r\n', '\r\n')
  const ports = clients.map(({ socket }) => `tcp:127.0.0.1:${socket.localPort}`).sort()
  for (const client of clients) {
    const rows = await client.ask('stats conns\r\n', 'END\r\n')
    const peers = [...rows.matchAll(/^STAT \d+:addr (.*)\r$/gm)].map(([, peer]) => peer)
    expect(peers.filter((peer) => peer !== `tcp:${server.address}`).sort()).toEqual(ports)
  }
  await server.stop()
})

test('stats detail counts on all workers, and every worker tells the sum', async () => {
  const server = await start(4)
  const clients = await Promise.all(Array.from({ length: 8 }, () => connectTo(server)))
  await clients[0]?.ask('stats detail on\r\n', 'OK\r\n')
  for (const client of clients) await client.ask('set a:1 0 0 1\r\nx\r\n', '\r\n')
  for (const client of clients) await client.ask('get a:1 b:1\r\n', 'END\r\n')
  for (const client of clients) {
    const dump = await client.ask('stats detail dump\r\n', 'END\r\n')
    expect(dump.split('\r\n').sort()).toEqual([
      '',
      'END',
      'PREFIX a get 8 hit 8 set 8 del 0',
      'PREFIX b get 8 hit 0 set 0 del 0',
    ])
  }
  await clients[3]?.ask('stats detail off\r\n', 'OK\r\n')
  for (const client of clients) await client.ask('get a:1\r\n', 'END\r\n')
  expect(await clients[0]?.ask('stats detail dump\r\n', 'END\r\n')).toContain('a get 8')
  await server.stop()
})

test('-c holds for all workers together', async () => {
  const server = await start(4, { flags: ['-c', '6'] })
  const clients = await Promise.all(Array.from({ length: 6 }, () => connectTo(server)))
  for (const client of clients) await client.ask('version\r\n', '\r\n')
  for (let count = 0; count < 3; count++) {
    const late = await connectTo(server)
    const [text] = (await once(late.socket, 'data')) as [string]
    expect(text).toBe('ERROR Too many open connections\r\n')
  }
  const stats = (await clients[0]?.ask('stats\r\n', 'END\r\n')) ?? ''
  expect(statOf(stats, 'curr_connections')).toBe('6')
  expect(statOf(stats, 'rejected_connections')).toBe('3')
  clients[5]?.socket.destroy()
  await expect
    .poll(async () =>
      statOf((await clients[0]?.ask('stats\r\n', 'END\r\n')) ?? '', 'curr_connections'),
    )
    .toBe('5')
  expect(await (await connectTo(server)).ask('version\r\n', '\r\n')).toMatch(/^VERSION /)
  await server.stop()
})

test('strangers beyond the limit wait for a place, whichever workers they are with', async () => {
  const users = [{ name: 'alice', password: 'wonderland' }]
  const server = await start(4, { users, flags: ['--prelogin-conn-limit', '2', '-c', '40'] })
  const login = 'set k 0 0 16\r\nalice wonderland\r\n'
  // Whom the crowd has cut, as it was not heard in time, comes again, as clients do.
  const logIn = async (): Promise<Client> => {
    for (;;) {
      const client = await connectTo(server)
      const answer = await client.ask(login, '\r\n').catch(() => undefined)
      if (answer === undefined) continue
      expect(answer).toBe('STORED\r\n')
      return client
    }
  }
  const clients = await Promise.all(Array.from({ length: 20 }, logIn))
  const stats = (await clients[0]?.ask('stats auth\r\n', 'END\r\n')) ?? ''
  expect(statOf(stats, 'login_successes')).toBe('20')
  expect(statOf(stats, 'unauthenticated_connections')).toBe('0')
  expect(statOf(stats, 'waiting_connections')).toBe('0')
  await server.stop()
})

test('a user who is removed is cut off by every worker', async () => {
  const users = [
    { name: 'alice', password: 'wonderland' },
    { name: 'mallory', password: 'intruder' },
  ]
  const server = await start(4, { users })
  const alice = await connectTo(server)
  expect(await alice.ask('set k 0 0 16\r\nalice wonderland\r\n', '\r\n')).toBe('STORED\r\n')
  const cut = await Promise.all(Array.from({ length: 8 }, () => connectTo(server)))
  for (const client of cut) await client.ask('set k 0 0 16\r\nmallory intruder\r\n', '\r\n')
  const ends = cut.map(({ socket }) => once(socket, 'end'))
  server.replaceUsers('[users.alice]\npassword = "wonderland"\n')
  server.signal('SIGHUP')
  await Promise.all(ends)
  expect(await alice.ask('get k\r\n', 'END\r\n')).toBe('END\r\n')
  await server.stop()
})

test('users that a reload brings are known to every worker when it is announced', async () => {
  const server = await start(4, { users: [{ name: 'alice', password: 'wonderland' }] })
  const entries = ['alice', 'bob'].map((name) => `[users.${name}]\npassword = "wonderland"\n`)
  server.replaceUsers(entries.join(''))
  server.signal('SIGHUP')
  await server.waitForLog(({ event, users }) => event === 'credentials_reloaded' && users === 2)
  const clients = await Promise.all(Array.from({ length: 12 }, () => connectTo(server)))
  for (const client of clients) {
    expect(await client.ask('set k 0 0 14\r\nbob wonderland\r\n', '\r\n')).toBe('STORED\r\n')
  }
  await server.stop()
})

test('-b bounds those who wait at the door for all workers together', async () => {
  const server = await start(4, {
    flags: ['-c', '11', '-b', '10', '-o', 'no_maxconns_fast'],
  })
  // One by one: -b is the length of the kernel's queue as well, and who overflows that is late.
  const clients: Client[] = []
  for (let count = 0; count < 11; count++) clients.push(await connectTo(server))
  for (const client of clients) await client.ask('version\r\n', '\r\n')
  const late: Client[] = []
  for (let count = 0; count < 19; count++) late.push(await connectTo(server))
  const waiting = () => late.filter((client) => !client.socket.readableEnded)
  await expect.poll(() => waiting().length, { timeout: DEADLINE_MS }).toBe(10)
  const answers = waiting().map((client) => client.ask('version\r\n', '\r\n'))
  for (const client of clients.slice(1)) client.socket.destroy()
  expect((await Promise.all(answers)).every((answer) => answer.startsWith('VERSION '))).toBe(true)
  await server.stop()
})

async function startBreakable(threads: number): Promise<{
  readonly server: TestServer
  readonly breakWorker: (what: 'throw' | 'exit' | 'hang') => void
}> {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-threads-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'break')
  const server = await start(threads, {
    environment: { NODE_OPTIONS: `--import ${BREAKER}`, BREAK_WORKER: file },
  })
  return { server, breakWorker: (what) => writeFileSync(file, what) }
}

test.each(['throw', 'exit'] as const)(
  'a worker that fails (%s) takes the process down at once, with a fatal line and exit code 70',
  async (what) => {
    const { server, breakWorker } = await startBreakable(4)
    const client = await connectTo(server)
    await client.ask('version\r\n', '\r\n')
    breakWorker(what)
    expect(await server.exited).toEqual({ code: 70, signal: undefined })
    const crash = server.log().find(({ event }) => event === 'crashed')
    expect(crash).toMatchObject({ level: 'fatal' })
    expect(String(crash?.stack)).toContain(
      what === 'throw' ? 'broken on purpose' : 'a worker thread ended with code 3',
    )
  },
)

test('a worker that cannot start fails the start', async () => {
  const command = [SERVER_NODE, SERVER_PROGRAM, '-l', '127.0.0.1', '-p', '-1', '--no-auth']
  const result = await runProgram([...command, '-t', '4', '--log-format', 'json'], {
    environment: {
      NODE_OPTIONS: `--import ${BREAKER}`,
      BREAK_WORKER: '/nonexistent',
      BREAK_WORKER_AT_START: '1',
    },
  })
  expect(result.overran).toBe(false)
  expect(result.exitCode).toBe(70)
  expect(result.stdout).toContain('broken at start')
  expect(result.stdout).not.toContain('"event":"started"')
})

test('a worker that is stuck makes the server unhealthy', async () => {
  const { server, breakWorker } = await startBreakable(2)
  const health = async () =>
    await runProgram([SERVER_NODE, SERVER_PROGRAM, 'health', server.address])
  await expect.poll(async () => (await health()).exitCode).toBe(0)
  breakWorker('hang')
  await server.waitForLog(({ event }) => event === 'worker_stuck', DEADLINE_MS)
  expect((await health()).exitCode).toBe(1)
  server.signal('SIGKILL')
  await server.exited
})
