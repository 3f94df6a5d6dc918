/** What watchers cost the turns of others: those who do not read nothing, the others a portion at a time. */
import { beforeEach, expect, test, vi } from 'vitest'
import type { Connection } from '../../../src/connection/connection.ts'
import { Watchers } from '../../../src/connection/watchers.ts'
import { COUNTER, counterLane, createCounterMemory } from '../../../src/observe/counters.ts'
import { GET_FOUND } from '../../../src/observe/watch-line.ts'
import { DRAIN_RECORDS_MAX, WATCHERS_MAX, WatchLog } from '../../../src/observe/watch-log.ts'
import { createWatchMemory, WATCH_FETCHERS } from '../../../src/observe/watch-memory.ts'
import { CONNECTION_TAGS_MAX, ConnectionTags } from '../../../src/sasl/key-tag.ts'

/** Each line has a key that is escaped, and each tag is a hash. */
const calls = vi.hoisted(() => ({ lines: 0, tags: 0 }))

vi.mock('../../../src/base/escape-key.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../../src/base/escape-key.ts')>()
  const escapeKey: typeof original.escapeKey = (key) => {
    calls.lines++
    return original.escapeKey(key)
  }
  return { escapeKey }
})

vi.mock('node:crypto', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:crypto')>()
  const createHmac: typeof original.createHmac = (...of) => {
    calls.tags++
    return original.createHmac(...of)
  }
  return { ...original, createHmac }
})

beforeEach(() => {
  calls.lines = 0
  calls.tags = 0
})

const WORKER_COUNT = 4
const RING_BYTES = 64 * 1024
const BUFFER_BYTES = 256 * 1024
/** Of records with a key of at most 8 bytes. */
const RING_RECORDS = Math.floor(RING_BYTES / 48)
const TENANT = 3

interface Peer {
  readonly connection: Connection
  readonly transport: { unsentBytes: number }
  /** The lines that it was sent. */
  received(): string[]
}

interface Bench {
  readonly logs: readonly WatchLog[]
  readonly lane: Float64Array
  readonly watchers: Watchers
  /** What the worker is to call soon. */
  readonly due: (() => void)[]
  add(ownNamespace?: number, unsentBytes?: number): Peer
  /** Drains until nothing is due; how often. */
  finish(): number
}

function createPeer(namespace: number): Peer {
  let sent = ''
  const transport = { unsentBytes: 0 }
  const push = (bytes: Uint8Array): void => {
    sent += Buffer.from(bytes).toString('latin1')
  }
  const gate = { namespace }
  const connection = { gate, transport, watch: () => true, push } as unknown as Connection
  return {
    connection,
    transport,
    received: () => sent.replace('OK\r\n', '').split('\n').slice(0, -1),
  }
}

function createBench(): Bench {
  const memory = createWatchMemory(WORKER_COUNT, RING_BYTES)
  const counters = createCounterMemory(WORKER_COUNT)
  const logs = Array.from(
    { length: WORKER_COUNT },
    (_, index) => new WatchLog(memory, index, counterLane(counters, index), () => 0),
  )
  const lane = counterLane(counters, 0)
  const due: (() => void)[] = []
  const watchers = new Watchers({
    log: logs[0]!,
    lane,
    secret: memory.secret,
    bufferBytesMax: BUFFER_BYTES,
    onActiveChanged: () => undefined,
    soon: (run) => due.push(run),
  })
  return {
    logs,
    lane,
    watchers,
    due,
    add(ownNamespace = 0, unsentBytes = 0) {
      const peer = createPeer(ownNamespace)
      expect(watchers.add(peer.connection, WATCH_FETCHERS, ownNamespace)).toBe(true)
      peer.transport.unsentBytes = unsentBytes
      return peer
    },
    finish() {
      let drains = 0
      for (; due.length > 0; drains++) due.shift()!()
      return drains
    },
  }
}

function write(log: WatchLog, key: string, namespace = 0, connectionId = 7): void {
  const bytes = Buffer.from(key, 'latin1')
  log.record.kind = WATCH_FETCHERS
  log.record.status = GET_FOUND
  log.record.connectionId = connectionId
  log.write(namespace, bytes, 0, bytes.length)
}

function fill({ logs }: Bench, namespace = 0): void {
  for (const [worker, log] of logs.entries()) {
    for (let index = 0; index < RING_RECORDS; index++) write(log, `${worker}-${index}`, namespace)
  }
}

function keyOf(line: string): string {
  return / key=(\S+) /.exec(line)?.[1] ?? line
}

test.each([
  ['all', 0, WATCHERS_MAX],
  ['a tenant', TENANT, 4],
])(
  'watchers of %s that do not read have no line written and no tag made',
  (_, namespace, count) => {
    const bench = createBench()
    for (let index = 0; index < count; index++) bench.add(namespace, BUFFER_BYTES)
    fill(bench, namespace)
    bench.watchers.drain()
    expect(calls).toEqual({ lines: 0, tags: 0 })
    expect(bench.lane[COUNTER.log_watcher_skipped]).toBe(count * DRAIN_RECORDS_MAX)
    bench.finish()
    expect(calls).toEqual({ lines: 0, tags: 0 })
    expect(bench.lane[COUNTER.log_watcher_skipped]).toBe(count * WORKER_COUNT * RING_RECORDS)
  },
)

test('a drain takes a portion, and all comes in the end, what one thread wrote in its order', () => {
  const bench = createBench()
  const peer = bench.add()
  // Its buffer is not what ends the portion.
  peer.transport.unsentBytes = -Infinity
  fill(bench)
  bench.watchers.drain()
  expect(peer.received()).toHaveLength(DRAIN_RECORDS_MAX)
  // The turns of others meanwhile take theirs, and there is still one that goes on by itself.
  bench.watchers.drain()
  expect(peer.received()).toHaveLength(2 * DRAIN_RECORDS_MAX)
  expect(bench.due).toHaveLength(1)
  const all = WORKER_COUNT * RING_RECORDS
  expect(bench.finish()).toBe(Math.ceil(all / DRAIN_RECORDS_MAX) - 2)
  const keys = peer.received().map(keyOf)
  expect(keys).toHaveLength(all)
  for (let worker = 0; worker < WORKER_COUNT; worker++) {
    expect(keys.filter((key) => key.startsWith(`${worker}-`))).toEqual(
      Array.from({ length: RING_RECORDS }, (_, index) => `${worker}-${index}`),
    )
  }
})

test('a watcher that goes while something is left has nothing gone on with', () => {
  const bench = createBench()
  const peer = bench.add()
  fill(bench)
  bench.watchers.drain()
  const before = peer.received()
  bench.watchers.remove(peer.connection)
  expect(bench.finish()).toBe(1)
  expect(peer.received()).toEqual(before)
})

test('a line is written once for all who see it, and a tag is made once for each connection', () => {
  const bench = createBench()
  const own = Array.from({ length: WATCHERS_MAX }, () => bench.add())
  const ofTenant = Array.from({ length: 2 }, () => bench.add(TENANT))
  const log = bench.logs[1]!
  for (let index = 0; index < 60; index++) write(log, `own${index}`, 0, index % 3)
  for (let index = 0; index < 60; index++) write(log, `his${index}`, TENANT, index % 3)
  // One that comes later counts from one, and shares the rest of the line all the same.
  bench.watchers.drain()
  const late = bench.add(TENANT)
  write(log, 'late', TENANT, 2)
  bench.watchers.drain()
  expect(calls).toEqual({ lines: 121, tags: 3 })
  for (const peer of own) expect(peer.received()).toEqual(own[0]!.received())
  expect(own[0]!.received()[59]).toBe(
    'ts=0.0 gid=60 type=item_get key=own59 status=found clsid=1 cfd=2 size=0',
  )
  for (const peer of ofTenant) expect(peer.received()).toEqual(ofTenant[0]!.received())
  const last = ofTenant[0]!.received().at(-1)!
  expect(last).toMatch(/^ts=0\.0 gid=61 type=item_get key=late /)
  expect(late.received()).toEqual([last.replace('gid=61', 'gid=1')])
  expect(last).not.toContain('cfd=2 ')
})

test('an operator in the namespace of a tenant is told the connection, the tenant its tag', () => {
  const bench = createBench()
  const tenant = bench.add(TENANT)
  const operator = createPeer(0)
  bench.watchers.add(operator.connection, WATCH_FETCHERS, TENANT)
  write(bench.logs[2]!, 'k', TENANT, 5)
  bench.watchers.drain()
  expect(operator.received()[0]).toContain(' cfd=5 ')
  expect(tenant.received()[0]).not.toContain(' cfd=5 ')
})

test('what was skipped is told in front of the next line that fits', () => {
  const bench = createBench()
  const peer = bench.add()
  const log = bench.logs[0]!
  write(log, 'a')
  bench.watchers.drain()
  const lineBytes = peer.received()[0]!.length + 1
  // For the line, but not for what is told in front of it: one byte less first.
  for (const roomBytes of [0, lineBytes - 1]) {
    peer.transport.unsentBytes = BUFFER_BYTES - roomBytes
    write(log, 'b')
    bench.watchers.drain()
  }
  peer.transport.unsentBytes = BUFFER_BYTES - lineBytes
  write(log, 'c')
  bench.watchers.drain()
  peer.transport.unsentBytes = BUFFER_BYTES - lineBytes - 'skipped=3\n'.length
  write(log, 'd')
  write(log, 'e')
  bench.watchers.drain()
  expect(peer.received().map(keyOf)).toEqual(['a', 'skipped=3', 'd'])
  expect(bench.lane[COUNTER.log_watcher_skipped]).toBe(4)
})

test('the tags that are kept are bounded, and the same when they are made again', () => {
  const tags = new ConnectionTags(Buffer.alloc(32, 1))
  const first = tags.of(TENANT, 0)
  expect(tags.of(TENANT + 1, 0)).not.toBe(first)
  for (let id = 1; id <= CONNECTION_TAGS_MAX; id++) tags.of(TENANT, id)
  calls.tags = 0
  expect(tags.of(TENANT, 0)).toBe(first)
  expect(calls.tags).toBe(1)
})
