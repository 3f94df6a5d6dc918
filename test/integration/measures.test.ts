/**
 * What two real workers count with labels, as the thread that made their memory reads it: the threads of
 * dist/ on a socket, without the main thread's other parts.
 */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { clockBase } from '../../src/base/clock.ts'
import type { HistogramSample } from '../../src/observe/metric-family.ts'
import { metricFamilies } from '../../src/server/main/metric-families.ts'
import { BoundSockets } from '../../src/server/net/bound-sockets.ts'
import { createMeasureMemory } from '../../src/server/worker/measure-memory.ts'
import type {
  FromWorker,
  SharedMemory,
  WorkerSettings,
} from '../../src/server/worker/worker-messages.ts'
import { manualSettings, manualShared, withUsers } from '../support/manual-worker.ts'
import { SERVER_PROGRAM } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { snapshotOf } from '../unit/sasl/fixture.ts'

const WORKERS = 2
const CLIENTS = 12
const sockets = new BoundSockets()
const shared: SharedMemory = {
  ...manualShared(WORKERS),
  measures: createMeasureMemory(WORKERS, true),
}
const threads: Worker[] = []

function startWorker(settings: WorkerSettings): Promise<FromWorker> {
  const thread = new Worker(join(SERVER_PROGRAM, '..', 'worker.js'), { workerData: settings })
  threads.push(thread)
  return new Promise((resolve, reject) => {
    thread.once('message', resolve)
    thread.once('error', reject)
  })
}

beforeAll(async () => {
  await sockets.bindTcp({ host: '127.0.0.1', port: 0 })
  const settings = {
    ...manualSettings(shared),
    ...withUsers(snapshotOf({ alice: 'secret', bob: 'hidden' })),
    clock: clockBase(),
    sockets: sockets.shared,
  }
  const started = Array.from({ length: WORKERS }, (_, workerIndex) =>
    startWorker({ ...settings, workerIndex }),
  )
  expect(await Promise.all(started)).toEqual(started.map(() => ({ kind: 'listening' })))
})
afterAll(async () => {
  await Promise.all(threads.map((thread) => thread.terminate()))
  sockets.close()
})

function samplesOf(name: string) {
  const families = metricFamilies({ shared, namespaces: () => [], residentBytes: () => 0 })
  return families.find((family) => family.name === name)?.samples() ?? []
}

/** The samples of a family by the values of their labels. */
function valuesOf(name: string): Record<string, number> {
  return Object.fromEntries(
    samplesOf(name).map((sample) => [
      Object.values(sample.labels).join(' '),
      'value' in sample ? sample.value : sample.count,
    ]),
  )
}

/** Logged in, with the answer to a request behind it: the turn of the login is over. */
async function logIn(login: string): Promise<TextClient> {
  const target = { host: '127.0.0.1', port: sockets.shared[0]?.address.port ?? 0 }
  const client = new TextClient(target)
  client.send(`set auth 0 0 ${login.length}\r\n${login}\r\n`)
  expect(await client.until('\r\n')).toMatch(/^(STORED|CLIENT_ERROR .*)\r\n$/)
  return client
}

test('what workers count by user, verb and mechanism is read as one', async () => {
  const clients: TextClient[] = []
  for (let index = 0; index < CLIENTS; index++) {
    clients.push(await logIn(index % 3 === 0 ? 'bob hidden' : 'alice secret'))
  }
  await logIn('alice wrong')
  for (const client of clients) {
    client.send('set k 0 0 1\r\nx\r\nget k\r\nget none\r\n')
    await client.until('END\r\nEND\r\n')
  }
  // When this is answered, the turns before it have been counted.
  for (const client of clients) {
    client.send('mn\r\n')
    await client.until('MN\r\n')
  }
  expect(valuesOf('user_connections')).toEqual({ bob: 4, alice: 8 })
  expect(valuesOf('user_hits')).toEqual({ bob: 4, alice: 8 })
  expect(valuesOf('user_misses')).toEqual({ bob: 4, alice: 8 })
  expect(valuesOf('requests')).toMatchObject({ 'text get': 2 * CLIENTS })
  expect(valuesOf('logins')).toEqual({ PLAIN: CLIENTS })
  expect(valuesOf('login_failures')).toEqual({ 'PLAIN wrong-password': 1 })
  expect(valuesOf('namespace_hits')).toEqual({ default: CLIENTS })
  expect(valuesOf('request_duration_seconds')).toMatchObject({ 'text get': 2 * CLIENTS })
  for (const { buckets, count, sum } of samplesOf(
    'request_duration_seconds',
  ) as HistogramSample[]) {
    expect(sum).toBeGreaterThan(0)
    expect(buckets.at(-1)?.count).toBeLessThanOrEqual(count)
  }
})
