/**
 * The server as a process: how it starts, refuses to start, stops, and what it leaves in the system. Here
 * it is run as an operator runs it, with nothing of the test's own between them.
 */

import { once } from 'node:events'
import { chmodSync, chownSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { BinaryClient } from '../support/binary-client.ts'
import { requestFrame, storeFrame } from '../support/binary-frames.ts'
import { freePort } from '../support/free-port.js'
import { SERVER_PROGRAM, startSaslcached, type TestServer } from '../support/server.ts'
import {
  connect,
  EXIT_CONFIG,
  EXIT_OS,
  events,
  expectServed,
  isRoot,
  PASSWORD,
  run,
  serve,
  stop,
  temporary,
  until,
  untilStarted,
  usersFile,
} from '../support/server-process.ts'

const SET = 0x01
const STAT = 0x10
const OK = 0x00
/** As Debian has it, also of the user `nobody`. */
const NOBODY_GROUP = 65_534
const LOADED_MODULES = join(import.meta.dirname, '..', 'support', 'loaded-modules.cjs')

test('the build leaves an executable program, also for the command that npm has linked to it', () => {
  expect(statSync(SERVER_PROGRAM).mode & 0o777).toBe(0o755)
})

test('what is not used of -m takes no memory: 64 GiB start as 64 MiB do', async () => {
  const started = async (memoryMib: string): Promise<TestServer> => {
    const server = await startSaslcached({ flags: ['-m', memoryMib, '-t', '1'] })
    onTestFinished(async () => await server.stop())
    // A collection follows.
    await server.waitForLog(({ event }) => event === 'started')
    return server
  }
  const [small, large] = [await started('64'), await started('65536')]
  await expect
    .poll(() => large.residentBytes - small.residentBytes, { timeout: 60_000 })
    .toBeLessThan(12 * 1024 * 1024)
})

test.each([
  ['open files', { openFilesMax: 64 }, ['-t', '16'], 'ulimit -n'],
  ['open files, from the first one', { openFilesMax: 26 }, [], 'ulimit -n'],
  ['memory', { addressSpaceKib: 8_000_000 }, ['-m', '30000'], 'lower -m'],
])('a start that is short of %s says so, with exit code 71', async (_, options, flags, told) => {
  const refused = run(['--no-auth', '-l', '127.0.0.1', '-p', '-1', ...flags], options)
  expect((await refused.exited).code).toBe(EXIT_OS)
  expect(refused.stderr).toContain(told)
  expect(refused.stderr).not.toMatch(/\n\s+at /)
  expect(events(refused)).not.toContain('crashed')
})

// Imported rather than required, node:http brings along undici: 10 MiB and, on Node 22, 10 GB of addresses.
test.each([
  ['nothing of HTTP', [], []],
  ['no client of HTTP where it serves it', ['--http', '127.0.0.1:0'], ['http']],
])('a server loads %s', async (_, flags, loaded) => {
  const list = join(temporary(), 'modules')
  const server = run(['--no-auth', '-l', '127.0.0.1', '-p', '-1', ...flags], {
    environment: { LOADED_MODULES: list },
    nodeFlags: ['--require', LOADED_MODULES],
  })
  await untilStarted(server)
  await stop(server)
  const modules = JSON.parse(readFileSync(list, 'utf8')) as string[]
  const found = ['http', 'http2', 'internal/deps/undici/undici'].filter((name) =>
    modules.includes(`NativeModule ${name}`),
  )
  expect(found).toEqual(loaded)
})

test(':: is IPv6 alone where it is given, so that 0.0.0.0 can stand beside it', async () => {
  const port = await freePort()
  const server = run(['--no-auth', '-l', '0.0.0.0,::', '-p', String(port)])
  await untilStarted(server)
  for (const host of ['127.0.0.1', '::1']) await expectServed(await connect({ host, port }))
  await stop(server)
})

test.each(['SIGTERM', 'SIGINT', 'SIGUSR1'] as const)(
  '%s closes idle connections and ends with exit code 0',
  async (signal) => {
    // Had they to be waited for, it would be for longer than this test takes.
    const server = await serve(['--no-auth', '--drain-timeout', '600'])
    const clients = await Promise.all(Array.from({ length: 5 }, () => connect(server)))
    for (const client of clients) await expectServed(client)
    await stop(server, signal)
    for (const client of clients) expect(await client.closed()).toEqual([])
    expect(events(server)).toContain('stopped')
  },
)

async function statsOf(client: BinaryClient): Promise<Map<string, number>> {
  const stats = new Map<string, number>()
  client.send(requestFrame({ opcode: STAT }))
  for (;;) {
    const { key, value } = await client.receive()
    if (key.length === 0) return stats
    stats.set(key.toString(), Number(value.toString()))
  }
}

async function statOf(client: BinaryClient, name: string): Promise<number> {
  return (await statsOf(client)).get(name) ?? Number.NaN
}

test.each([
  ['SIGTERM', 1],
  ['SIGTERM', 4],
  ['SIGUSR1', 4],
] as const)(
  'a request under way when %s comes at -t %d is finished; newcomers are not accepted',
  async (signal, threads) => {
    const flags = ['--drain-timeout', '60', '-t', String(threads)]
    const server = await serve(['--no-auth', ...flags])
    const clients = await Promise.all(Array.from({ length: 2 * threads }, () => connect(server)))
    const idle = await connect(server)
    for (const client of clients) await expectServed(client)
    const frame = storeFrame(SET, 'k', 'x'.repeat(1000))
    const readBefore = await statOf(idle, 'bytes_read')
    for (const client of clients) client.send(frame.subarray(0, 500))
    // Of the difference, the questions themselves are 24 bytes each.
    for (let asked = 1; ; asked++) {
      const halves = (await statOf(idle, 'bytes_read')) - readBefore - 24 * asked
      if (halves >= 500 * clients.length) break
      await delay(5)
    }
    server.child.kill(signal)
    expect(await idle.closed()).toEqual([])
    await until(
      () => (server.stdout.includes('no more connections') ? true : undefined),
      'the stop',
    )
    const late = connectSocket({ host: server.host, port: server.port })
    const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNREFUSED')
    for (const client of clients) {
      client.send(frame.subarray(500))
      expect((await client.receive()).status).toBe(OK)
      expect(await client.closed()).toEqual([])
    }
    expect(await server.exited).toEqual({ code: 0, signal: null })
  },
)

test('who does not finish is cut off at the drain deadline, still with exit code 0', async () => {
  const server = await serve(['--no-auth', '--drain-timeout', '0.5'])
  const client = await connect(server)
  await expectServed(client)
  const other = await connect(server)
  client.send(storeFrame(SET, 'k', 'x'.repeat(1000)).subarray(0, 500))
  await expectServed(other)
  await stop(server)
  await client.closed()
})

test('a second SIGTERM while stopping changes nothing', async () => {
  const server = await serve(['--no-auth'])
  await expectServed(await connect(server))
  server.child.kill('SIGTERM')
  server.child.kill('SIGTERM')
  expect(await server.exited).toEqual({ code: 0, signal: null })
})

test('SIGHUP without users to read again does no harm', async () => {
  const server = await serve(['--no-auth'])
  server.child.kill('SIGHUP')
  await until(
    () => (events(server).includes('reload_requested') ? true : undefined),
    'the line about SIGHUP',
  )
  await expectServed(await connect(server))
  await stop(server)
})

test('more connections than the system allows open files are warned of at the start', async () => {
  const few = await serve(['-c', '1000'], { openFilesMax: 300 })
  await stop(few)
  const warning = JSON.parse(
    few.stdout.split('\n').find((line) => line.includes('open_files_limited')) ?? '{}',
  )
  expect(warning).toMatchObject({ level: 'warn', connections: 1000, open_files: 300 })
  expect(warning.connections_max).toBeLessThan(300)
  const enough = await serve(['-c', '200'], { openFilesMax: 300 })
  await stop(enough)
  expect(events(enough)).not.toContain('open_files_limited')
})

// libuv closes whoever comes while no file is left, without a word.
test('strangers who take all open files keep nobody out, and are counted', async () => {
  const environment = { SASLCACHED_USERNAME: 'alice', SASLCACHED_PASSWORD: PASSWORD }
  const server = await serve(['-c', '1024', '-t', '2'], { openFilesMax: 160, environment })
  await until(() => (events(server).includes('started') ? true : undefined), 'the start')
  const ownFiles = readdirSync(`/proc/${server.pid}/fd`).length
  const strangers = Array.from({ length: 300 }, () => connectSocket(server))
  onTestFinished(() => {
    for (const stranger of strangers) stranger.destroy()
  })
  for (const stranger of strangers) stranger.on('error', () => undefined).resume()
  await until(
    () => (events(server).includes('full_of_strangers') ? true : undefined),
    'the line about the crowd',
  )
  const client = await connect(server)
  await client.loginPlain('alice', PASSWORD)
  await expectServed(client)
  const stats = await statsOf(client)
  const held = stats.get('max_connections') ?? 0
  expect(held).toBeGreaterThan(50)
  expect(held + ownFiles).toBeLessThan(160 - 8)
  expect(stats.get('rejected_connections')).toBeGreaterThan(0)
  expect(stats.get('curr_connections')).toBeLessThanOrEqual(held)
  await stop(server)
  expect(events(server)).not.toContain('accept_failed')
})

test.runIf(isRoot)('-u warns of files that the user may not have later', async () => {
  const folder = temporary()
  // The user may enter it and write nothing there.
  chmodSync(folder, 0o755)
  const users = usersFile(folder)
  const server = await serve(['-u', 'nobody', '--users-file', users])
  await until(() => (events(server).includes('started') ? true : undefined), 'the start')
  expect(server.stdout).toContain(`chown nobody ${users}`)
  expect(events(server)).toContain('file_out_of_reach')
  await stop(server)
})

test.runIf(isRoot)(
  '-u refuses the start where the next stop could write no snapshot, and takes none',
  async () => {
    const folder = temporary()
    chmodSync(folder, 0o755)
    const path = join(folder, 'items')
    const flags = ['--no-auth', '--snapshot', path]
    await stop(await serve(flags))
    const written = readFileSync(path)
    const refused = run([...flags, '-u', 'nobody', '-p', '-1'])
    expect((await refused.exited).code).toBe(EXIT_CONFIG)
    expect(refused.stderr).toBe(
      `saslcached: no snapshot could be written: nobody (-u) may not write to ${folder}, and what is there stays as it is; ` +
        `give the folder to that user (chown nobody ${folder})\n`,
    )
    expect(readFileSync(path)).toEqual(written)
    // A group of the user's is enough.
    chownSync(folder, 0, NOBODY_GROUP)
    chmodSync(folder, 0o770)
    const taken = await serve([...flags, '-u', 'nobody'])
    await until(() => (events(taken).includes('snapshot_found') ? true : undefined), 'the snapshot')
    await stop(taken)
    expect(readdirSync(folder)).toEqual(['items'])
  },
)

test.runIf(isRoot)('-u gives root up, groups included, after binding', async () => {
  const server = await serve(['--no-auth', '-u', 'nobody'])
  await until(() => (events(server).includes('started') ? true : undefined), 'the start')
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8')
  expect(/^Uid:\s+(.*)$/m.exec(status)?.[1]?.split('\t')).toEqual(Array(4).fill('65534'))
  expect(/^Gid:\s+(.*)$/m.exec(status)?.[1]?.split('\t')).toEqual(Array(4).fill('65534'))
  expect(/^Groups:\s*(.*?)\s*$/m.exec(status)?.[1]).toBe('65534')
  await expectServed(await connect(server))
  await stop(server)
})
