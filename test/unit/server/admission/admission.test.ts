import { describe, expect, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
import { NO_SLOT } from '../../../../src/base/slots.ts'
import type { Connection } from '../../../../src/connection/connection.ts'
import { COUNTER, COUNTER_NAMES } from '../../../../src/observe/counters.ts'
import { Admission } from '../../../../src/server/admission/admission.ts'
import { WorkerTable } from '../../../../src/server/admission/worker-table.ts'
import { createWorkerTableMemory } from '../../../../src/server/admission/worker-table-memory.ts'
import { ManualNewcomer } from '../../../support/manual-newcomer.ts'

/** A connection as far as admission looks at one. */
class Client {
  readonly gate: { isOpen: boolean } = { isOpen: false }
  lastActivityMs = 0
  slot: number = NO_SLOT
  isClosed = false
  isClosedUnread = false
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

function makeAdmission(
  limits: { connectionsMax: number; strangersMax: number },
  known: readonly string[] = [],
  isIdentified?: () => boolean,
) {
  const lane = new Float64Array(COUNTER_NAMES.length)
  const served: string[] = []
  const crowds: [address: string, count: number, total: number][] = []
  const turnedAway: string[] = []
  const clients = new Map<object, Client>()
  const workerTable = new WorkerTable(createWorkerTableMemory(1, 0), 0)
  const admission: Admission = new Admission({
    ...limits,
    waitMs: 10_000,
    workerTable,
    isProven: ({ low }) => known.some((address) => new Peer(address, '').networkKey.low === low),
    lane,
    ...(isIdentified === undefined ? {} : { isIdentified }),
    serve: (newcomer) => {
      const client = clients.get(newcomer)!
      served.push(client.name)
      return Object.assign(client, {
        close: () => {
          client.isClosed = true
          admission.closed(client as unknown as Connection, 0)
        },
      }) as unknown as Connection
    },
    turnAway: (newcomer) => turnedAway.push(clients.get(newcomer)!.name),
    onCrowd: (...crowd) => crowds.push(crowd),
  })
  return {
    admission,
    lane,
    served,
    turnedAway,
    crowds,
    isCrowded: () => workerTable.isCrowded,
    accept(name: string, nowMs = 0, address = '192.0.2.1'): Client {
      const client = new Client(name)
      client.lastActivityMs = nowMs
      const newcomer = new ManualNewcomer(address)
      newcomer.close = () => {
        client.isClosedUnread = true
      }
      clients.set(newcomer, client)
      admission.accept(newcomer, nowMs)
      return client
    },
    login(client: Client, nowMs = 0): void {
      client.gate.isOpen = true
      admission.gateChanged(client as unknown as Connection, nowMs)
    },
  }
}

test('strangers up to the limit are served, the next one waits unread until one logs in', () => {
  const server = makeAdmission({ connectionsMax: 10, strangersMax: 2 })
  const first = server.accept('a')
  server.accept('b')
  expect(server.isCrowded()).toBe(false)
  server.accept('c')
  expect(server.served).toEqual(['a', 'b'])
  expect(server.isCrowded()).toBe(true)
  expect(server.lane[COUNTER.waiting_connections]).toBe(1)
  server.login(first)
  expect(server.served).toEqual(['a', 'b', 'c'])
  expect(server.isCrowded()).toBe(false)
})

test('who was to be let in and is not when it is served is a stranger like any, within the limit', () => {
  // Its namespace had a place, which another worker took.
  const server = makeAdmission({ connectionsMax: 10, strangersMax: 1 }, [], () => true)
  const first = server.accept('a')
  const second = server.accept('b')
  expect([first.isClosed, second.isClosed]).toEqual([false, true])
  expect(server.lane[COUNTER.unauthenticated_connections]).toBe(1)
  server.login(first)
  expect(server.accept('c').isClosed).toBe(false)
})

test('those who wait are served in the order in which they came, when a served one leaves', () => {
  const server = makeAdmission({ connectionsMax: 10, strangersMax: 1 })
  const first = server.accept('a')
  const second = server.accept('b')
  server.accept('c')
  server.admission.closed(first as unknown as Connection, 0)
  expect(server.served).toEqual(['a', 'b'])
  server.admission.closed(second as unknown as Connection, 0)
  expect(server.served).toEqual(['a', 'b', 'c'])
  expect(server.lane[COUNTER.curr_connections]).toBe(1)
})

test('whoever waits too long is dropped, and counted as a login that timed out', () => {
  const server = makeAdmission({ connectionsMax: 10, strangersMax: 1 })
  server.accept('a', 0)
  const late = server.accept('b', 1000)
  server.admission.checkDeadlines(10_999)
  expect(late.isClosedUnread).toBe(false)
  server.admission.checkDeadlines(11_000)
  expect(late.isClosedUnread).toBe(true)
  expect(server.lane[COUNTER.login_timeouts]).toBe(1)
  expect(server.isCrowded()).toBe(false)
})

test('whoever waited too long is not served when a place comes free, and counted alike', () => {
  const server = makeAdmission({ connectionsMax: 10, strangersMax: 1 })
  server.accept('a', 0)
  const late = server.accept('b', 1000)
  const [first] = server.admission.connections
  server.admission.closed(first as Connection, 11_000)
  expect(late.isClosedUnread).toBe(true)
  expect(server.served).toEqual(['a'])
  expect(server.lane[COUNTER.login_timeouts]).toBe(1)
  expect(server.lane[COUNTER.curr_connections]).toBe(0)
})

test('with every place taken a newcomer takes that of whoever has waited longest', () => {
  const server = makeAdmission({ connectionsMax: 3, strangersMax: 1 })
  server.accept('a')
  const waited = server.accept('b')
  server.accept('c')
  server.accept('d')
  expect(waited.isClosedUnread).toBe(true)
  expect(server.turnedAway).toEqual([])
  expect(server.lane[COUNTER.rejected_connections]).toBe(1)
  expect(server.lane[COUNTER.rejected_displaced]).toBe(1)
  expect(server.lane[COUNTER.curr_connections]).toBe(3)
})

test('with every place taken the source with most strangers makes room, and is itself turned away', () => {
  const server = makeAdmission({ connectionsMax: 4, strangersMax: 1 })
  server.accept('served', 0, '192.0.2.9')
  const few = server.accept('few', 0, '192.0.2.1')
  const longest = server.accept('longest', 0, '192.0.2.9')
  const later = server.accept('later', 0, '192.0.2.9')
  server.accept('one more', 0, '192.0.2.9')
  expect(server.turnedAway).toEqual(['one more'])
  server.accept('newcomer', 0, '192.0.2.2')
  expect(longest.isClosedUnread).toBe(true)
  expect([few.isClosedUnread, later.isClosedUnread]).toEqual([false, false])
  expect(server.turnedAway).toEqual(['one more'])
  expect(server.lane[COUNTER.curr_connections]).toBe(4)
})

test('addresses of one IPv6 /64 are one source', () => {
  const server = makeAdmission({ connectionsMax: 3, strangersMax: 1 })
  server.accept('a', 0, '2001:db8::1')
  const waited = server.accept('b', 0, '2001:db8::2')
  const other = server.accept('c', 0, '2001:db8:0:1::1')
  server.accept('d', 0, '2001:db8::3')
  expect(server.turnedAway).toEqual(['d'])
  server.accept('e', 0, '2001:db8:0:2::1')
  expect([waited.isClosedUnread, other.isClosedUnread]).toEqual([true, false])
})

test('a login takes a client out of what its source is measured by', () => {
  const server = makeAdmission({ connectionsMax: 3, strangersMax: 2 })
  server.login(server.accept('a', 0, '192.0.2.9'))
  server.accept('b', 0, '192.0.2.8')
  server.accept('c', 0, '192.0.2.8')
  server.accept('d', 1000, '192.0.2.9')
  expect(server.turnedAway).toEqual([])
  expect(server.lane[COUNTER.rejected_connections]).toBe(1)
})

test('one that comes alone is served as the second, however many of one source wait before it', () => {
  const server = makeAdmission({ connectionsMax: 10, strangersMax: 1 })
  const first = server.accept('crowd 0', 0, '192.0.2.9')
  for (let index = 1; index < 5; index++) server.accept(`crowd ${index}`, 0, '192.0.2.9')
  server.accept('alone', 0, '192.0.2.1')
  server.admission.closed(first as unknown as Connection, 0)
  const [second] = server.admission.connections
  server.admission.closed(second as Connection, 0)
  expect(server.served).toEqual(['crowd 0', 'crowd 1', 'alone'])
})

test('a crowd is told of with its source and numbers, and not again for some seconds', () => {
  const server = makeAdmission({ connectionsMax: 3, strangersMax: 1 })
  for (const name of ['a', 'b']) server.accept(name, 0, '192.0.2.9')
  server.accept('c', 0, '192.0.2.1')
  server.accept('d', 0, '192.0.2.9')
  server.accept('e', 9_999, '192.0.2.9')
  expect(server.crowds).toEqual([['192.0.2.9', 2, 3]])
  server.accept('f', 10_000, '192.0.2.9')
  expect(server.crowds.length).toBe(2)
})

test('with every place taken a silent stranger makes room, one that just spoke does not', () => {
  const server = makeAdmission({ connectionsMax: 2, strangersMax: 2 })
  const silent = server.accept('silent', 0)
  const speaking = server.accept('speaking', 0)
  speaking.lastActivityMs = 900
  server.accept('newcomer', 1000)
  expect(silent.isClosed).toBe(true)
  expect(speaking.isClosed).toBe(false)
  expect(server.served).toContain('newcomer')
})

test('with every place taken by clients that are logged in, a newcomer is turned away', () => {
  const server = makeAdmission({ connectionsMax: 1, strangersMax: 1 })
  server.login(server.accept('a'))
  server.accept('b')
  expect(server.turnedAway).toEqual(['b'])
  expect(server.lane[COUNTER.total_connections]).toBe(1)
})

test('a client that lost its login is a stranger again', () => {
  const server = makeAdmission({ connectionsMax: 4, strangersMax: 1 })
  const client = server.accept('a')
  server.login(client)
  expect(server.lane[COUNTER.unauthenticated_connections]).toBe(0)
  client.gate.isOpen = false
  server.admission.gateChanged(client as unknown as Connection, 0)
  expect(server.lane[COUNTER.unauthenticated_connections]).toBe(1)
  server.accept('b')
  expect(server.served).toEqual(['a'])
})

describe('where somebody logged in rightly', () => {
  const KNOWN = '203.0.113.5'

  test('a busy address is let in among attackers with one connection each', () => {
    const server = makeAdmission({ connectionsMax: 20, strangersMax: 20 }, [KNOWN])
    for (let index = 0; index < 20; index++) server.accept(`a${index}`, 0, `10.0.${index}.1`)
    // They have all just spoken.
    for (let index = 0; index < 10; index++) server.accept(`good${index}`, 100, KNOWN)
    expect(server.turnedAway).toEqual([])
    expect(server.served.filter((name) => name.startsWith('good'))).toHaveLength(10)
    // Attackers displace each other, and nobody of the known address.
    for (let index = 0; index < 200; index++) server.accept(`b${index}`, 1000, `10.1.${index}.1`)
    const good = [...server.admission.connections].filter((connection) =>
      (connection as unknown as Client).name.startsWith('good'),
    )
    expect(good).toHaveLength(10)
  })

  test('nobody waits behind strangers that fill the places before login', () => {
    const server = makeAdmission({ connectionsMax: 1000, strangersMax: 20 }, [KNOWN])
    for (let index = 0; index < 100; index++) server.accept(`a${index}`, 0, `10.0.${index}.1`)
    for (let index = 0; index < 8; index++) server.accept(`good${index}`, 0, KNOWN)
    expect(server.served.filter((name) => name.startsWith('good'))).toHaveLength(8)
    server.accept('good8', 0, KNOWN)
    expect(server.served).not.toContain('good8')
  })

  test('an address does not fill the server for that', () => {
    const server = makeAdmission({ connectionsMax: 100, strangersMax: 1000 }, [KNOWN])
    for (let index = 0; index < 100; index++) server.accept(`good${index}`, 0, KNOWN)
    for (let index = 0; index < 60; index++) server.accept(`a${index}`, 1000, `10.0.${index}.1`)
    expect(server.turnedAway).toEqual([])
    const others = [...server.admission.connections].filter((connection) =>
      (connection as unknown as Client).name.startsWith('a'),
    )
    expect(others).toHaveLength(60)
  })

  test('places are counted alike whoever comes and goes', () => {
    const server = makeAdmission({ connectionsMax: 30, strangersMax: 10 }, [KNOWN])
    let seed = 4711
    for (let step = 0; step < 3000; step++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
      const open = [...server.admission.connections]
      if (seed % 3 === 0 && open.length > 0) {
        server.admission.closed(open[seed % open.length]!, step)
      } else server.accept(`c${step}`, step, seed % 2 === 0 ? KNOWN : `10.0.${seed % 7}.1`)
    }
    for (const connection of [...server.admission.connections]) {
      server.admission.closed(connection, 3000)
    }
    server.admission.dismissWaiting()
    for (const connection of [...server.admission.connections]) {
      server.admission.closed(connection, 3000)
    }
    expect(server.lane[COUNTER.curr_connections]).toBe(0)
    for (let index = 0; index < 10; index++) server.accept(`last${index}`, 4000, '192.0.2.9')
    expect(server.served.slice(-10).every((name) => name.startsWith('last'))).toBe(true)
  })
})
