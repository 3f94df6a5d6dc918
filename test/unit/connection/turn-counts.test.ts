/**
 * What is counted of requests by dialect, verb and user, and how long they take by the clock of the test:
 * on connections of the server's own code, whose turns come when the test gives them.
 */
import { expect, test } from 'vitest'
import { TIMED_TURNS, verbLabels } from '../../../src/connection/turn-counts.ts'
import { userPrincipal } from '../../../src/credential/principal.ts'
import { HISTOGRAM_SLOTS, histogramSample } from '../../../src/observe/power-histogram.ts'
import { userFamilies } from '../../../src/observe/user-counts.ts'
import { OUTCOME_OK } from '../../../src/protocol/request.ts'
import { requestFrame, storeFrame } from '../../support/binary-frames.ts'
import { LateStore } from '../../support/late-store.ts'
import type { ManualConnection } from '../../support/manual-connection.ts'
import {
  createManualServer,
  type ManualServer,
  type ManualServerOptions,
} from '../../support/manual-server.ts'

interface Timed {
  readonly server: ManualServer
  /** Moved by the test; each look at it takes a microsecond. */
  nowMs: number
  looks: number
}

function timedServer(options: ManualServerOptions = {}): Timed {
  const timed = { nowMs: 1000, looks: 0 } as { -readonly [Field in keyof Timed]: Timed[Field] }
  timed.server = createManualServer({
    ...options,
    nowMs: () => {
      timed.looks++
      return timed.nowMs
    },
  })
  return timed
}

function send({ connection }: ManualConnection, bytes: string | Buffer): void {
  const read = Buffer.from(bytes as string, 'latin1')
  connection.receive(read, read.length)
}

/** Requests by `dialect verb`. */
function requestsOf({ counted }: ManualServer): Record<string, number> {
  return Object.fromEntries(
    [...counted.requests].flatMap((value, slot) =>
      value === 0
        ? []
        : [[`${verbLabels(slot)?.dialect} ${verbLabels(slot)?.verb}`, value] as const],
    ),
  )
}

/** The number and the sum in milliseconds of the times of each. */
function timesOf({ counted }: ManualServer): Record<string, readonly [number, number]> {
  return Object.fromEntries(
    [...counted.requests.keys()].flatMap((slot) => {
      const labels = verbLabels(slot)
      const sample = labels && histogramSample(counted.latencies, slot * HISTOGRAM_SLOTS, labels)
      if (sample === undefined || labels === undefined) return []
      const name = `${labels.dialect} ${labels.verb}`
      return [[name, [sample.count, Math.round(sample.sum * 1000)]] as const]
    }),
  )
}

test('requests are counted by dialect and verb, and wrong ones as unknown', () => {
  const { server } = timedServer()
  const text = server.open('text')
  send(text, 'set k 0 0 1\r\nx\r\nget k\r\nget k other\r\nmg k v\r\nmn\r\nnonsense\r\nget k\r\n')
  send(
    server.open('binary'),
    Buffer.concat([storeFrame(0x01, 'k', 'v'), requestFrame({ opcode: 0x00, key: 'k' })]),
  )
  expect(requestsOf(server)).toEqual({
    'text set': 1,
    'text get': 3,
    'meta mg': 1,
    'meta mn': 1,
    'text unknown': 1,
    'binary set': 1,
    'binary get': 1,
  })
})

test('a request that has not come in whole is not counted before it has, and then once', () => {
  const { server } = timedServer()
  const peer = server.open('text')
  for (const byte of 'set k 0 0 3\r\nabc\r\n') {
    expect(requestsOf(server)).toEqual({})
    send(peer, byte)
  }
  expect(requestsOf(server)).toEqual({ 'text set': 1 })
})

test('a large value that arrives in pieces is one request', () => {
  const { server } = timedServer()
  const peer = server.open('text')
  send(peer, 'set k 0 0 600000\r\n')
  for (let piece = 0; piece < 6; piece++) {
    send(peer, 'x'.repeat(100_000))
    while (peer.deferred.length > 0) peer.deferred.shift()?.continueServing()
  }
  expect(requestsOf(server)).toEqual({})
  send(peer, '\r\n')
  while (peer.deferred.length > 0) peer.deferred.shift()?.continueServing()
  expect(peer.transport.output.toString()).toBe('STORED\r\n')
  expect(requestsOf(server)).toEqual({ 'text set': 1 })
})

test('all requests of a turn took as long as the turn, for two looks at the clock', () => {
  const timed = timedServer()
  const { server } = timed
  const peer = server.open('text')
  peer.transport.write = () => {
    timed.nowMs += 3
    return 0
  }
  send(peer, 'get a\r\nget b\r\nmg c v\r\n')
  expect(timesOf(server)).toEqual({ 'text get': [2, 6], 'meta mg': [1, 3] })
  expect(timed.looks).toBe(2)
})

test('of a busy worker some turns are timed, and stand for those before them: each request is counted once by the next tick', () => {
  const timed = timedServer()
  const { server } = timed
  const peer = server.open('text')
  peer.transport.write = () => {
    timed.nowMs += 2
    return 0
  }
  const turns = TIMED_TURNS + 1000
  // By turns, as a client does that reads, and writes what it has changed.
  for (let turn = 0; turn < turns; turn++) {
    send(peer, turn % 2 === 0 ? 'mg k v\r\n' : 'md k\r\n')
    if (turn === TIMED_TURNS - 1) expect(timed.looks).toBe(2 * TIMED_TURNS)
  }
  const looks = timed.looks - 2 * TIMED_TURNS
  expect(looks).toBeGreaterThan(100)
  expect(looks).toBeLessThan(400)
  expect(requestsOf(server)).toEqual({ 'meta mg': turns / 2, 'meta md': turns / 2 })
  server.counted.counts.tick()
  // Each took two milliseconds, whoever was asked.
  expect(timesOf(server)).toEqual({ 'meta mg': [turns / 2, turns], 'meta md': [turns / 2, turns] })
  // The next ones are timed again.
  send(peer, 'mg k v\r\n')
  expect(timed.looks - 2 * TIMED_TURNS).toBe(looks + 2)
})

test('what waits for another turn is timed, also where the turn that leaves it is not', () => {
  const timed = timedServer({ requestsPerTurnMax: 2 })
  const { server } = timed
  const peer = server.open('text')
  let waited = 0
  for (let turn = 0; turn < TIMED_TURNS + 50; turn++) {
    send(peer, 'mn\r\nmn\r\nmg k v\r\n')
    timed.nowMs += 4
    waited += 4
    while (peer.deferred.length > 0) peer.deferred.shift()?.continueServing()
  }
  expect(timesOf(server)['meta mg']).toEqual([TIMED_TURNS + 50, waited])
})

test('a turn without a whole request has no time', () => {
  const { server } = timedServer()
  send(server.open('text'), 'get ')
  expect(timesOf(server)).toEqual({})
})

test('a request that waits for another turn is timed from the read that brought it', () => {
  const timed = timedServer({ requestsPerTurnMax: 2 })
  const peer = timed.server.open('text')
  send(peer, 'mg a v\r\nmn\r\nmg b v\r\nmg c v\r\n')
  expect(timesOf(timed.server)).toEqual({ 'meta mg': [1, 0], 'meta mn': [1, 0] })
  timed.nowMs += 7
  peer.deferred.shift()?.continueServing()
  expect(timesOf(timed.server)).toEqual({ 'meta mg': [3, 14], 'meta mn': [1, 0] })
  // What comes then waits for nobody.
  timed.nowMs += 50
  send(peer, 'mg c v\r\n')
  expect(timesOf(timed.server)['meta mg']).toEqual([4, 14])
})

test('a request whose outcome comes later is counted and timed when it is answered', async () => {
  const store = new LateStore()
  const timed = timedServer({ behindFace: store })
  const { server } = timed
  const peer = server.open('text')
  send(peer, 'mg k v\r\nmn\r\n')
  expect(requestsOf(server)).toEqual({})
  timed.nowMs += 9
  store.requests[0]?.answer(OUTCOME_OK)
  for (let round = 0; round < 10; round++) await Promise.resolve()
  expect(timesOf(server)).toEqual({ 'meta mg': [1, 9], 'meta mn': [1, 9] })
  expect(requestsOf(server)).toEqual({ 'meta mg': 1, 'meta mn': 1 })
})

test('a request whose connection ends before the answer is not counted', () => {
  const store = new LateStore()
  const { server } = timedServer({ behindFace: store })
  const peer = server.open('binary')
  send(peer, requestFrame({ opcode: 0x00, key: 'k' }))
  expect(store.requests).toHaveLength(1)
  peer.connection.close()
  expect(requestsOf(server)).toEqual({})
})

test('a long list that takes many turns is one request', () => {
  const timed = timedServer({ requestsPerTurnMax: 5 })
  const { server } = timed
  const peer = server.open('text')
  send(peer, `get ${Array.from({ length: 40 }, (_, index) => `k${index}`).join(' ')}\r\n`)
  expect(requestsOf(server)).toEqual({})
  while (peer.deferred.length > 0) {
    timed.nowMs += 1
    peer.deferred.shift()?.continueServing()
  }
  expect(peer.transport.output.toString()).toBe('END\r\n')
  expect(requestsOf(server)).toEqual({ 'text get': 1 })
  expect(timesOf(server)['text get']?.[1]).toBeGreaterThan(1)
})

test('without histograms no clock is read, and nothing is timed', () => {
  const server = createManualServer()
  send(server.open('text'), 'get a\r\nget b\r\n')
  expect(requestsOf(server)).toEqual({ 'text get': 2 })
  expect(timesOf(server)).toEqual({})
})

test('what a turn did is that of the user whose connection it was', () => {
  const { server } = timedServer()
  const { users, userMemory } = server.counted
  const shop = server.open('text')
  const blog = server.open('text')
  for (const [peer, name] of [
    [shop, 'shop'],
    [blog, 'blog'],
  ] as const) {
    peer.connection.gate.become(userPrincipal(name))
    peer.connection.gate.user = users.numberOf(name, false)
  }
  send(shop, 'set k 0 0 1\r\nx\r\nget k\r\nget none\r\nget none none k\r\n')
  send(blog, 'mg k v\r\nget none\r\n')
  const values = Object.fromEntries(
    userFamilies(userMemory).map((family) => [
      family.name,
      family.samples().map((sample) => ('value' in sample ? sample.value : undefined)),
    ]),
  )
  expect(values).toMatchObject({
    user_requests: [4, 2],
    user_hits: [2, 1],
    user_misses: [3, 1],
    user_read_bytes: [50, 18],
    user_written_bytes: [shop.transport.output.length, blog.transport.output.length],
  })
})
