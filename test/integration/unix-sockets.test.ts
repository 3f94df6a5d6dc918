/** Unix sockets of a server: whose they are, what they replace, and what is left of them. */
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { BinaryClient } from '../support/binary-client.ts'
import { storeFrame } from '../support/binary-frames.ts'
import {
  connect,
  connectUnix,
  EXIT_OS,
  EXIT_SOFTWARE,
  events,
  expectServed,
  isRoot,
  run,
  stop,
  temporary,
  until,
  untilStarted,
} from '../support/server-process.ts'

const SET = 0x01
const GET = 0x00
const OK = 0x00
const BREAKER = join(import.meta.dirname, '..', 'support', 'break-worker.mjs')

test.runIf(isRoot)('with -u the Unix socket belongs to the user, as in memcached', async () => {
  const path = join(temporary(), 'server.sock')
  const server = run(['--no-auth', '-u', 'nobody', '-s', path])
  await untilStarted(server)
  expect([lstatSync(path).uid, lstatSync(path).gid]).toEqual([65534, 65534])
  await stop(server)
})

test('a Unix socket that is served is not taken, and its server goes on', async () => {
  const directory = temporary()
  const path = join(directory, 'server.sock')
  const first = run(['--no-auth', '-s', path])
  await untilStarted(first)
  const second = run(['--no-auth', '-s', path])
  expect((await second.exited).code).toBe(EXIT_OS)
  expect(second.stderr).toBe(
    `saslcached: cannot listen on ${path}: a server is running there (stop it, or choose another path with -s or --http)\n`,
  )
  await expectServed(await connectUnix(path))
  expect(readdirSync(directory)).toEqual(['server.sock'])
  await stop(first)
  expect(readdirSync(directory)).toEqual([])
})

test('a Unix socket that another server has put in the place of ours stays when we end', async () => {
  const directory = temporary()
  const path = join(directory, 'server.sock')
  const first = run(['--no-auth', '-s', path])
  await untilStarted(first)
  // What memcached does to it.
  unlinkSync(path)
  const second = run(['--no-auth', '-s', path])
  await untilStarted(second)
  await stop(first)
  await expectServed(await connectUnix(path))
  await stop(second)
  expect(readdirSync(directory)).toEqual([])
})

test('a server that crashes takes its Unix socket and its pid file along', async () => {
  const directory = temporary()
  const [path, pidFile] = [join(directory, 'server.sock'), join(directory, 'pid')]
  const breaker = join(directory, 'break')
  const server = run(['--no-auth', '-t', '2', '-s', path, '-P', pidFile], {
    environment: { BREAK_WORKER: breaker },
    nodeFlags: ['--import', BREAKER],
  })
  await untilStarted(server)
  writeFileSync(breaker, 'throw')
  expect((await server.exited).code).toBe(EXIT_SOFTWARE)
  expect(readdirSync(directory)).toEqual(['break'])
})

test('a Unix socket of the longest path there is, with a name of one letter, is served', async () => {
  const directory = join(temporary(), 'x')
  const long = `${directory}${'x'.repeat(105 - directory.length)}`
  mkdirSync(long)
  const path = join(long, 's')
  expect(path).toHaveLength(107)
  const server = run(['--no-auth', '-s', path])
  await untilStarted(server)
  await expectServed(await connectUnix(path))
  await stop(server)
})

test('-s with -a listens on a socket of that mode, also where an old one was left', async () => {
  const path = join(temporary(), 'server.sock')
  for (const mode of ['700', '666']) {
    const server = run(['--no-auth', '-s', path, '-a', mode])
    await until(() => (events(server).includes('started') ? true : undefined), 'the start')
    expect((statSync(path).mode & 0o777).toString(8)).toBe(mode)
    const socket = connectSocket({ path })
    await once(socket, 'connect')
    const client = new BinaryClient(socket)
    await expectServed(client)
    client.destroy()
    // The second server finds what the first left when it was killed.
    if (mode === '700') {
      server.child.kill('SIGKILL')
      await server.exited
      expect(existsSync(path)).toBe(true)
    } else {
      await stop(server)
      expect(existsSync(path)).toBe(false)
    }
  }
})

test('four workers share several addresses, or a Unix socket, and one store', async () => {
  const portFile = join(temporary(), 'port')
  const tcp = run(['--no-auth', '-t', '4', '-l', '127.0.0.1', '-l', '127.0.0.2', '-p', '-1'], {
    environment: { MEMCACHED_PORT_FILENAME: portFile },
  })
  const text = await until(
    () => (existsSync(portFile) ? readFileSync(portFile, 'utf8') : undefined),
    'the port file',
  )
  const ports = [...text.matchAll(/^TCP INET: (\d+)$/gm)].map(([, port]) => Number(port))
  expect(ports).toHaveLength(2)
  const overTcp = (index: number) =>
    connect({ host: index % 2 === 0 ? '127.0.0.1' : '127.0.0.2', port: ports[index % 2] ?? 0 })
  await expectOneStore(await Promise.all(Array.from({ length: 16 }, (_, index) => overTcp(index))))
  await stop(tcp)

  const path = join(temporary(), 'server.sock')
  const unix = run(['--no-auth', '-t', '4', '-s', path])
  await until(() => (events(unix).includes('started') ? true : undefined), 'the start')
  const overUnix = async () => {
    const socket = connectSocket({ path })
    await once(socket, 'connect')
    const client = new BinaryClient(socket)
    onTestFinished(() => client.destroy())
    return client
  }
  await expectOneStore(await Promise.all(Array.from({ length: 16 }, overUnix)))
  await stop(unix, 'SIGUSR1')
  expect(existsSync(path)).toBe(false)
})

/** What each client stores, every other reads. */
async function expectOneStore(clients: readonly BinaryClient[]): Promise<void> {
  for (const [index, client] of clients.entries()) {
    client.send(storeFrame(SET, `k${index}`, String(index)))
    expect((await client.receive()).status).toBe(OK)
  }
  for (const client of clients) {
    for (const index of clients.keys()) {
      const { value } = await client.request({ opcode: GET, key: `k${index}` })
      expect(value.toString()).toBe(String(index))
    }
  }
}
