/** What /status.json tells, against counters and stores that the test fills itself. */

import { expect, test } from 'vitest'
import {
  COUNTER,
  type CounterMemory,
  counterLane,
  createCounterMemory,
} from '../../../../src/observe/counters.ts'
import type { MetricFamily } from '../../../../src/observe/metric-family.ts'
import { Status, type StatusSources } from '../../../../src/server/http/status.ts'
import type { NamespaceMemory } from '../../../../src/server/worker/worker-messages.ts'
import { createStoreMemory, type StoreMemory } from '../../../../src/storage/geometry.ts'
import { LendingRing } from '../../../../src/storage/lending.ts'
import { addNamespace } from '../../../../src/storage/namespaces.ts'
import { STORED } from '../../../../src/storage/result.ts'
import { Client } from '../../storage/client.ts'

const MIB = 1024 * 1024

const PROCESS = {
  uptime: 10,
  time: 1_700_000_000,
  rusage_user: 1,
  rusage_system: 1,
  max_connections: 1024,
  accepting_conns: 1,
  threads: 1,
  time_since_server_cert_refresh: 0,
}

function newStore(): StoreMemory {
  return createStoreMemory({
    memoryBytes: 8 * MIB,
    itemBytesMax: 64 * 1024,
    evicts: true,
    workerCount: 1,
    seed: [1, 2],
    quotaBytesMin: 2 * MIB,
  })
}

class House {
  readonly store: StoreMemory = newStore()
  readonly counters: CounterMemory = createCounterMemory(1)
  readonly lane: Float64Array = counterLane(this.counters, 0)
  readonly shop: Pick<NamespaceMemory, 'name' | 'store' | 'counters'> = {
    name: 'shop',
    store: addNamespace(this.store, { namespace: 1, quotaBytes: 2 * MIB, seed: [3, 4] }),
    counters: createCounterMemory(1),
  }
  holds: string[] = []
  families: MetricFamily[] = []
  nowMs = 0
  readonly status: Status

  constructor(sources: Partial<StatusSources> = {}) {
    this.status = new Status({
      facts: { version: '1.2.3', evicts: true },
      namespaces: () => [
        { name: 'default', store: this.store, counters: this.counters },
        this.shop,
      ],
      process: () => PROCESS,
      holds: () => this.holds,
      users: () => new Map([['shop', 3]]),
      throttled: () => [{ kind: 'source', name: '192.0.2.7', seconds: 12 }],
      families: () => this.families,
      nowMs: () => this.nowMs,
      ...sources,
    })
  }

  /** Writes an item into each namespace. */
  write(): void {
    const ring = new LendingRing()
    const clients = [this.store, this.shop.store].map((store) => new Client({}, store))
    for (const { store } of clients) store.joinLending(ring)
    for (const client of clients) expect(client.write('key', 'value')).toBe(STORED)
  }

  sample(): void {
    this.nowMs += 2000
    this.status.sample()
  }

  read() {
    return JSON.parse(this.status.text())
  }
}

test('requests and items of all namespaces are added up, and stand by namespace as well', () => {
  const house = new House()
  const shopLane = counterLane(house.shop.counters, 0)
  house.lane[COUNTER.cmd_get]! += 10
  house.lane[COUNTER.curr_connections]! += 4
  shopLane[COUNTER.cmd_get]! += 5
  shopLane[COUNTER.get_hits]! += 2
  house.write()
  house.sample()
  const { metrics, namespaces } = house.read()
  expect(metrics).toMatchObject({ cmd_get: 15, get_hits: 2, curr_connections: 4, items: 2 })
  expect(metrics.memory_bytes).toBe(8 * MIB)
  expect(namespaces).toMatchObject([
    { name: 'default', users: 0, gets: 10, items: 1, quota_bytes: 6 * MIB },
    { name: 'shop', users: 3, gets: 5, hits: 2, items: 1, quota_bytes: 2 * MIB },
  ])
})

test('what the server waits for is told at once', () => {
  const house = new House()
  house.sample()
  expect(house.read()).toMatchObject({ ready: true, holds: [] })
  house.holds = ['draining']
  expect(house.read()).toMatchObject({ ready: false, holds: ['draining'] })
})

test('a rate comes with the second sample', () => {
  const house = new House()
  house.sample()
  expect(house.read().history.hits).toEqual([])
  house.lane[COUNTER.get_hits]! += 50
  house.sample()
  expect(house.read()).toMatchObject({ interval_ms: 2000, sequence: 2, history: { hits: [25] } })
})

test('the picture of the segments has a cell each, with its owner', () => {
  const house = new House()
  house.write()
  house.sample()
  const { segments } = house.read()
  expect(segments.cells).toHaveLength(segments.segments)
  expect(segments.live_percents).toHaveLength(segments.segments)
  const open = segments.uses.indexOf('open')
  const owners = segments.owners.filter((_: number, cell: number) => segments.cells[cell] === open)
  expect(owners.sort()).toEqual([0, 1])
})

test('who is refused is told, and that nobody can be', () => {
  const house = new House()
  expect(house.read().throttled).toEqual([{ kind: 'source', name: '192.0.2.7', seconds: 12 }])
  const open = new House({ throttled: () => undefined, users: () => undefined })
  expect(open.read()).toMatchObject({ throttled: null, namespaces: [{ users: null }, {}] })
})

test('a full document of a large store stays small', () => {
  const house = new House()
  for (let sample = 0; sample < 400; sample++) {
    house.lane.fill(123_456_789 * sample)
    house.sample()
  }
  expect(house.read().history.hits).toHaveLength(300)
  expect(house.status.text().length).toBeLessThan(64 * 1024)
})

test('users, logins and latency come from the families that have them', () => {
  const house = new House()
  const buckets = [
    { le: 1e-6, count: 1 },
    { le: 2e-6, count: 3 },
  ]
  house.families = [
    {
      name: 'user_requests',
      help: '',
      kind: 'counter',
      samples: () => [
        { labels: { user: 'idle' }, value: 1 },
        { labels: { user: '<img src=x>' }, value: 7 },
      ],
    },
    {
      name: 'logins',
      help: '',
      kind: 'counter',
      samples: () => [{ labels: { mechanism: 'PLAIN', reason: 'wrong-password' }, value: 4 }],
    },
    {
      name: 'request_duration_seconds',
      help: '',
      kind: 'histogram',
      samples: () => [{ labels: { verb: 'get' }, buckets, sum: 5e-6, count: 4 }],
    },
  ]
  expect(house.read()).toMatchObject({
    users: [
      { user: '<img src=x>', user_requests: 7 },
      { user: 'idle', user_requests: 1 },
    ],
    logins: [{ labels: { mechanism: 'PLAIN', reason: 'wrong-password' }, value: 4 }],
    latency: {
      bounds: [1e-6, 2e-6],
      samples: [{ labels: { verb: 'get' }, counts: [1, 3], count: 4 }],
    },
  })
})

test('of a thousand users the busiest are told', () => {
  const house = new House()
  const samples = Array.from({ length: 1000 }, (_, user) => ({
    labels: { user: `user ${user}` },
    value: user,
  }))
  house.families = [{ name: 'user_requests', help: '', kind: 'counter', samples: () => samples }]
  const { users } = house.read()
  expect(users).toHaveLength(50)
  expect(users[0]).toEqual({ user: 'user 999', user_requests: 999 })
  expect(house.read().latency).toBeNull()
})
