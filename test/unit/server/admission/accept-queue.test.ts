import { expect, test } from 'vitest'
import { COUNTER, COUNTER_NAMES } from '../../../../src/observe/counters.ts'
import { AcceptQueue } from '../../../../src/server/admission/accept-queue.ts'
import { WorkerTable } from '../../../../src/server/admission/worker-table.ts'
import { createWorkerTableMemory } from '../../../../src/server/admission/worker-table-memory.ts'
import { ManualNewcomer } from '../../../support/manual-newcomer.ts'

/** A server with `places`, and what became of everybody who came. */
function makeServer(
  heldMax: number,
  places: number,
  workerTable: WorkerTable = new WorkerTable(createWorkerTableMemory(1, 0), 0),
  proven: readonly string[] = [],
) {
  const provenKeys = proven.map((address) =>
    JSON.stringify(new ManualNewcomer(address).peer.networkKey),
  )

  const lane = new Float64Array(COUNTER_NAMES.length)
  const inside: string[] = []
  const refused: string[] = []
  const closed: string[] = []
  const names = new Map<object, string>()
  let nowMs = 0
  /** Runs while somebody is let in, before it is decided. */
  let meanwhile: () => void = () => undefined
  const acceptQueue: AcceptQueue = new AcceptQueue({
    heldMax,
    workerTable,
    lane,
    isProven: (key) => provenKeys.includes(JSON.stringify(key)),
    admit: (newcomer) => {
      meanwhile()
      const name = names.get(newcomer)!
      if (name.startsWith('crowd')) acceptQueue.turnedAway('crowd')
      else if (inside.length >= places) acceptQueue.turnedAway('full')
      else inside.push(name)
    },
    refuse: (newcomer) => refused.push(names.get(newcomer)!),
    monotonicMs: () => nowMs,
  })
  return {
    acceptQueue,
    lane,
    inside,
    refused,
    closed,
    arrive(name: string, address?: string): void {
      const newcomer = new ManualNewcomer(address)
      newcomer.close = () => closed.push(name)
      names.set(newcomer, name)
      acceptQueue.arrive(newcomer)
    },
    leave(name: string): void {
      inside.splice(inside.indexOf(name), 1)
      acceptQueue.letIn()
    },
    pass(ms: number): void {
      nowMs += ms
    },
    setMeanwhile(run: () => void): void {
      meanwhile = run
    },
  }
}

test('where nobody may wait, whoever finds the server full is refused at once, and counted', () => {
  const server = makeServer(0, 1)
  server.arrive('a')
  server.arrive('b')
  expect(server).toMatchObject({ inside: ['a'], refused: ['b'] })
  expect(server.lane[COUNTER.rejected_connections]).toBe(1)
  expect(server.lane[COUNTER.rejected_full]).toBe(1)
  expect(server.lane[COUNTER.listen_disabled_num]).toBe(0)
})

test('those who may wait are let in one for each place that comes free, in order', () => {
  const server = makeServer(10, 2)
  for (const name of ['a', 'b', 'c', 'd', 'e']) server.arrive(name)
  expect(server.inside).toEqual(['a', 'b'])
  server.leave('a')
  expect(server.inside).toEqual(['b', 'c'])
  server.leave('c')
  server.leave('b')
  expect(server.inside).toEqual(['d', 'e'])
  expect(server).toMatchObject({ refused: [], closed: [] })
  expect(server.lane[COUNTER.rejected_connections]).toBe(0)
})

test('one of the source that crowds the server is refused, and nobody stands behind it', () => {
  const server = makeServer(10, 1)
  server.arrive('crowd 1')
  server.arrive('a')
  server.arrive('b')
  server.arrive('crowd 2')
  server.arrive('c')
  expect(server).toMatchObject({ inside: ['a'], refused: ['crowd 1'] })
  server.leave('a')
  server.leave('b')
  expect(server).toMatchObject({ inside: ['c'], refused: ['crowd 1', 'crowd 2'] })
  expect(server.lane[COUNTER.rejected_connections]).toBe(2)
  expect(server.lane[COUNTER.rejected_crowd]).toBe(2)
})

test('as many wait as may, the next one is refused', () => {
  const server = makeServer(2, 1)
  for (const name of ['a', 'b', 'c', 'd']) server.arrive(name)
  expect(server).toMatchObject({ inside: ['a'], refused: ['d'] })
  expect(server.lane[COUNTER.rejected_connections]).toBe(1)
})

test('a newcomer does not pass those who wait, also when a place is free', () => {
  const server = makeServer(10, 1)
  server.arrive('a')
  server.arrive('b')
  server.inside.length = 0
  server.arrive('c')
  expect(server.inside).toEqual([])
  server.acceptQueue.letIn()
  expect(server.inside).toEqual(['b'])
})

test('a place that comes free while somebody is let in is not given away twice', () => {
  const server = makeServer(10, 1)
  for (const name of ['a', 'b', 'c']) server.arrive(name)
  server.setMeanwhile(() => {
    server.setMeanwhile(() => undefined)
    server.leave('a')
  })
  server.acceptQueue.letIn()
  expect(server.inside).toEqual(['b'])
})

test('how often and how long the server was full is counted', () => {
  const server = makeServer(10, 1)
  server.arrive('a')
  server.arrive('b')
  server.pass(20)
  server.arrive('c')
  expect(server.acceptQueue.isFull).toBe(true)
  server.leave('a')
  server.pass(5)
  server.leave('b')
  expect(server.acceptQueue.isFull).toBe(false)
  expect(server.lane[COUNTER.listen_disabled_num]).toBe(1)
  expect(server.lane[COUNTER.time_in_listen_disabled_us]).toBe(25_000)
})

test('when the server stops, all that wait are closed', () => {
  const server = makeServer(10, 1)
  for (const name of ['a', 'b', 'c']) server.arrive(name)
  server.acceptQueue.dismiss()
  expect(server.closed).toEqual(['b', 'c'])
  server.leave('a')
  expect(server.inside).toEqual([])
})

test.each([
  ['one address', () => '198.51.100.1'],
  ['an IPv4 /24', (index: number) => `198.51.100.${index % 256}`],
  ['4,096 /64s of one /48', (index: number) => `2001:db8:1:${(index % 4096).toString(16)}::1`],
])('%s can fill the line, but neither keep others out of it nor in it', (_, addressOf) => {
  const server = makeServer(100, 1)
  server.arrive('inside')
  for (let index = 0; index < 600; index++) server.arrive(`attack ${index}`, addressOf(index))
  for (const other of [1, 2, 3]) server.arrive(`other ${other}`, `192.0.${other}.1`)
  for (let index = 600; index < 1200; index++) server.arrive(`attack ${index}`, addressOf(index))
  expect(server.refused.filter((name) => name.startsWith('other'))).toEqual([])
  server.lane.fill(0)
  server.inside.length = 0
  server.acceptQueue.letIn()
  for (let turn = 0; turn < 2 * 260 && server.inside.length > 0; turn++) {
    if (server.inside[0]?.startsWith('other 3')) break
    server.leave(server.inside[0] as string)
  }
  expect(server.inside).toEqual(['other 3'])
})

test('who owns a /48 has one turn of each round, as an address has', () => {
  const server = makeServer(100, 1)
  server.arrive('inside')
  for (let index = 0; index < 90; index++) {
    server.arrive(`attack ${index}`, `2001:db8:1:${index.toString(16)}::1`)
  }
  server.arrive('other', '192.0.2.1')
  server.leave('inside')
  server.leave('attack 0')
  expect(server.inside).toEqual(['other'])
})

test('of one source, who came first is let in first', () => {
  const server = makeServer(10, 1)
  server.arrive('inside')
  server.arrive('a', '192.0.2.1')
  server.arrive('b', '192.0.2.2')
  server.arrive('c', '192.0.2.1')
  server.leave('inside')
  server.leave('a')
  server.leave('b')
  expect(server.inside).toEqual(['c'])
})

test('a worker that holds none takes room from one that holds all, which drops its newest', () => {
  const memory = createWorkerTableMemory(2, 0)
  const one = makeServer(4, 1, new WorkerTable(memory, 0))
  const other = makeServer(4, 1, new WorkerTable(memory, 1))
  one.arrive('inside', '198.51.100.1')
  for (const name of ['a', 'b', 'c', 'd']) one.arrive(name, '198.51.100.1')
  other.arrive('inside', '192.0.2.1')
  other.arrive('newcomer', '192.0.2.1')
  expect(other.refused).toEqual([])
  one.acceptQueue.settleWithOthers()
  expect(one.refused).toEqual(['d'])
  expect(one.lane[COUNTER.rejected_displaced]).toBe(1)
  other.leave('inside')
  expect(other.inside).toEqual(['newcomer'])
})

test('a crowd that is refused is refused in parts, and others have their turn between', () => {
  const server = makeServer(1000, 1)
  for (const name of ['inside', 'held']) server.arrive(name)
  for (let index = 0; index < 500; index++) server.arrive(`crowd ${index}`)
  server.leave('inside')
  const atOnce = server.refused.length
  expect(atOnce).toBeLessThan(100)
  server.acceptQueue.letIn()
  expect(server.refused.length).toBeGreaterThan(atOnce)
})

test('who comes from where somebody logged in rightly is let in before a crowd, and needs no room of theirs', () => {
  const server = makeServer(100, 1, undefined, ['192.0.2.1', '192.0.2.2'])
  server.arrive('inside')
  // From as many addresses and networks, so that nobody has more than others.
  for (let index = 0; index < 100; index++) server.arrive(`attack ${index}`, `198.${index}.1.1`)
  expect(server.refused).toEqual([])
  server.arrive('known 1', '192.0.2.1')
  server.arrive('known 2', '192.0.2.2')
  server.arrive('known 3', '192.0.2.1')
  expect(server.refused).toHaveLength(3)
  for (let index = 0; index < 100; index++) server.arrive(`more ${index}`, `198.${index}.2.1`)
  expect(server.refused.filter((name) => name.startsWith('known'))).toEqual([])
  server.leave('inside')
  server.leave('known 1')
  server.leave('known 2')
  expect(server.inside).toEqual(['known 3'])
  server.leave('known 3')
  expect(server.inside[0]).toMatch(/^(attack|more)/)
})

test('of a known source 32 go before, and those beyond take turns with all others', () => {
  const server = makeServer(200, 1, undefined, ['192.0.2.1'])
  server.arrive('inside')
  server.arrive('other', '203.0.113.1')
  for (let index = 0; index < 50; index++) server.arrive(`known ${index}`, '192.0.2.1')
  let inside = 'inside'
  for (let turn = 0; inside !== 'other'; turn++) {
    expect(turn).toBeLessThan(34)
    server.leave(inside)
    inside = server.inside[0] ?? ''
  }
})

test('room that another worker takes is that of a crowd before that of who is known', () => {
  const memory = createWorkerTableMemory(2, 0)
  const one = makeServer(4, 1, new WorkerTable(memory, 0), ['192.0.2.1'])
  const other = makeServer(4, 1, new WorkerTable(memory, 1), ['192.0.2.9'])
  one.arrive('inside')
  one.arrive('attack', '198.51.100.1')
  for (const name of ['a', 'b', 'c']) one.arrive(name, '192.0.2.1')
  other.arrive('inside', '192.0.2.9')
  other.arrive('newcomer', '192.0.2.9')
  one.acceptQueue.settleWithOthers()
  expect(one.refused).toEqual(['attack'])
})
