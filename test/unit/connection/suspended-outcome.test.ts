/**
 * Requests whose outcome comes later, from a store elsewhere: a connection answers them in order, takes
 * nothing of what is behind them meanwhile, and gives up what nobody waits for any more.
 */

import { describe, expect, test } from 'vitest'
import type { ConnectionLimits } from '../../../src/connection/worker-context.ts'
import {
  OUTCOME_HIT,
  OUTCOME_NO_MEMORY,
  OUTCOME_NOT_FOUND,
  OUTCOME_OK,
  OUTCOME_STORE_DOWN,
  OUTCOME_TOO_LARGE,
} from '../../../src/protocol/request.ts'
import { VERB_FLUSH, VERB_GET, VERB_META_GET, VERB_SET } from '../../../src/protocol/verbs.ts'
import { requestFrame, storeFrame } from '../../support/binary-frames.ts'
import { LateStore } from '../../support/late-store.ts'
import type { ManualConnection } from '../../support/manual-connection.ts'
import { createManualServer } from '../../support/manual-server.ts'

const SET = 0x01
const GETK = 0x0c

interface Late {
  readonly store: LateStore
  open(dialect: 'text' | 'binary', limits?: Partial<ConnectionLimits>): ManualConnection
}

function lateServer(): Late {
  const store = new LateStore()
  const server = createManualServer({ behindFace: store })
  return { store, open: (dialect, limits) => server.open(dialect, limits) }
}

/** Sends bytes; returns whether the connection is read from on. */
function send({ connection }: ManualConnection, bytes: string | Buffer): boolean {
  // What was read is somebody else's afterwards.
  const readBuffer = Buffer.from(bytes as string, 'latin1')
  const goesOn = connection.receive(readBuffer, readBuffer.length)
  readBuffer.fill(0xee)
  return goesOn
}

const output = ({ transport }: ManualConnection): string => transport.output.toString('latin1')

/** Outcomes that are there are answered. */
async function settle(peer: ManualConnection): Promise<void> {
  for (let round = 0; round < 10; round++) {
    await Promise.resolve()
    for (const connection of peer.deferred.splice(0)) connection.continueServing()
  }
}

test('a set is answered when its outcome is there, and what is behind it only then begun', async () => {
  const { store, open } = lateServer()
  const peer = open('text')
  expect(send(peer, 'set k 0 0 1\r\nx\r\nmg other v\r\n')).toBe(false)
  expect(store.requests.map(({ verb, key }) => [verb, key])).toEqual([[VERB_SET, 'k']])
  expect(output(peer)).toBe('')
  store.requests[0]?.answer(OUTCOME_OK)
  await settle(peer)
  expect(output(peer)).toBe('STORED\r\n')
  expect(store.requests.map(({ verb, key }) => [verb, key])).toEqual([
    [VERB_SET, 'k'],
    [VERB_META_GET, 'other'],
  ])
  store.requests[1]?.answer(OUTCOME_HIT, 'value')
  await settle(peer)
  expect(output(peer)).toBe('STORED\r\nVA 5\r\nvalue\r\n')
  expect(store.result.isHeld).toBe(false)
  expect(peer.connection.stateName).toBe('conn_read')
})

test('who waits is read from once more, and what comes is kept and not read behind', async () => {
  const { store, open } = lateServer()
  const peer = open('text')
  expect(send(peer, 'set k 0 0 1\r\nx\r\n')).toBe(true)
  expect(send(peer, 'set other 0 0 1\r')).toBe(false)
  expect(store.requests).toHaveLength(1)
  let resumed = 0
  peer.transport.resume = () => {
    resumed++
  }
  store.requests[0]?.answer(OUTCOME_OK)
  await settle(peer)
  expect(output(peer)).toBe('STORED\r\n')
  expect(resumed).toBe(1)
  expect(send(peer, '\ny\r\n')).toBe(true)
  expect(store.requests.map(({ key }) => key)).toEqual(['k', 'other'])
  // The peer's end is heard of, and the answer is sent all the same.
  peer.connection.receiveEnd()
  expect(peer.transport.isOpen).toBe(true)
  store.requests[1]?.answer(OUTCOME_OK)
  await settle(peer)
  expect(output(peer)).toBe('STORED\r\nSTORED\r\n')
  expect(peer.transport.isOpen).toBe(false)
})

test('who has sent its end behind two requests is answered both', async () => {
  const { store, open } = lateServer()
  const peer = open('text')
  send(peer, 'set k 0 0 1\r\nx\r\nset other 0 0 1\r\ny\r\n')
  peer.connection.receiveEnd()
  for (const index of [0, 1]) {
    store.requests[index]?.answer(OUTCOME_OK)
    await settle(peer)
  }
  expect(output(peer)).toBe('STORED\r\nSTORED\r\n')
  expect(peer.transport.isOpen).toBe(false)
})

test('two connections wait at once, and each gets what its own request asked for', async () => {
  const { store, open } = lateServer()
  const first = open('binary')
  const second = open('binary')
  send(first, requestFrame({ opcode: GETK, key: 'first', opaque: 1 }))
  send(second, requestFrame({ opcode: GETK, key: 'second', opaque: 2 }))
  store.requests[1]?.answer(OUTCOME_HIT, 'two')
  await settle(second)
  store.requests[0]?.answer(OUTCOME_HIT, 'one')
  await settle(first)
  for (const [peer, text, opaque] of [
    [first, 'firstone', 1],
    [second, 'secondtwo', 2],
  ] as const) {
    const answer = peer.transport.output
    expect(answer.readUInt32BE(12)).toBe(opaque)
    expect(answer.subarray(28).toString()).toBe(text)
  }
})

test.each(['text', 'binary'] as const)(
  'a pipeline of %s requests is answered in order',
  async (dialect) => {
    const { store, open } = lateServer()
    const peer = open(dialect)
    const one = dialect === 'text' ? Buffer.from('set k 0 0 1\r\nx\r\n') : storeFrame(SET, 'k', 'x')
    send(peer, Buffer.concat([one, one, one]))
    for (let index = 0; index < 3; index++) {
      expect(store.requests).toHaveLength(index + 1)
      store.requests[index]?.answer(index === 1 ? OUTCOME_NO_MEMORY : OUTCOME_OK)
      await settle(peer)
    }
    if (dialect === 'text') {
      expect(output(peer)).toBe('STORED\r\nSERVER_ERROR out of memory storing object\r\nSTORED\r\n')
    } else {
      expect(peer.transport.output.readUInt16BE(6)).toBe(0)
      expect(peer.transport.output.readUInt16BE(24 + 6)).toBe(0x82)
    }
  },
)

test('a list of keys waits for each, and ends with the first that is refused', async () => {
  const { store, open } = lateServer()
  const peer = open('text')
  send(peer, 'get a b c\r\nget d e\r\n')
  const outcomes: [number, string?][] = [
    [OUTCOME_HIT, 'one'],
    [OUTCOME_NOT_FOUND],
    [OUTCOME_HIT, 'three'],
    [OUTCOME_NO_MEMORY],
  ]
  for (const [index, [outcome, value]] of outcomes.entries()) {
    expect(store.requests).toHaveLength(index + 1)
    expect(store.requests[index]?.verb).toBe(VERB_GET)
    store.requests[index]?.answer(outcome, value)
    await settle(peer)
  }
  expect(store.requests.map(({ key }) => key)).toEqual(['a', 'b', 'c', 'd'])
  expect(output(peer)).toBe(
    'VALUE a 0 3\r\none\r\nVALUE c 0 5\r\nthree\r\nEND\r\n' +
      'SERVER_ERROR out of memory writing get response\r\n',
  )
  expect(peer.connection.stateName).toBe('conn_read')
})

test.each([
  ['closes', ({ connection }: ManualConnection) => connection.close()],
  ['is drained', ({ connection }: ManualConnection) => connection.drain()],
])(
  'a connection that %s gives its request up, and what comes for it is dropped',
  async (_, end) => {
    for (const request of ['set k 0 0 1\r\nx\r\n', 'get a b\r\n', 'mg k v\r\n']) {
      const { store, open } = lateServer()
      const peer = open('text')
      send(peer, request)
      expect(store.requests[0]?.isCancelled).toBe(false)
      end(peer)
      expect(store.requests[0]?.isCancelled).toBe(true)
      store.requests[0]?.answer(OUTCOME_HIT, 'late')
      await settle(peer)
      expect(output(peer)).toBe('')
      expect(store.requests).toHaveLength(1)
    }
  },
)

test('whoever waits for an outcome is not idle, and a stop waits for its answer', async () => {
  const { store, open } = lateServer()
  const peer = open('text', { idleTimeoutMs: 1000 })
  send(peer, 'set k 0 0 1\r\nx\r\n')
  peer.context.nowMs = 10_000
  peer.connection.checkDeadlines()
  peer.context.isStopping = true
  peer.connection.stop()
  expect(peer.transport.isOpen).toBe(true)
  store.requests[0]?.answer(OUTCOME_OK)
  await settle(peer)
  expect(output(peer)).toBe('STORED\r\n')
  expect(peer.transport.isOpen).toBe(false)
})

describe('a set whose value is too large', () => {
  const TOO_LARGE = 2 * 1024 * 1024
  const head = (dialect: 'text' | 'binary'): Buffer =>
    dialect === 'text'
      ? Buffer.from(`set k 0 0 ${TOO_LARGE}\r\n`)
      : storeFrame(SET, 'k', Buffer.alloc(TOO_LARGE)).subarray(0, 24 + 8 + 1)
  const next = (dialect: 'text' | 'binary'): Buffer =>
    dialect === 'text'
      ? Buffer.from('mg other v\r\n')
      : requestFrame({ opcode: GETK, key: 'other' })

  test.each(['text', 'binary'] as const)(
    'is answered in %s when the old item is gone, and what is behind it comes then',
    async (dialect) => {
      const { store, open } = lateServer()
      const peer = open(dialect)
      const ending = dialect === 'text' ? 2 : 0
      send(peer, head(dialect))
      expect(store.requests.map(({ verb, key }) => [verb, key])).toEqual([[VERB_SET, 'k']])
      // The value is skipped whether it comes before the outcome or behind it.
      send(peer, Buffer.alloc(TOO_LARGE / 2))
      expect(output(peer)).toBe('')
      expect(peer.connection.bufferedBytes).toBeLessThan(4096)
      store.requests[0]?.answer(OUTCOME_TOO_LARGE)
      await settle(peer)
      if (dialect === 'text') {
        expect(output(peer)).toBe('SERVER_ERROR object too large for cache\r\n')
      } else expect(peer.transport.output.readUInt16BE(6)).toBe(3)
      send(peer, Buffer.concat([Buffer.alloc(TOO_LARGE / 2 + ending), next(dialect)]))
      expect(store.requests.map(({ key }) => key)).toEqual(['k', 'other'])
    },
  )

  test.each(['text', 'binary'] as const)(
    'is answered in %s that it was not deleted, where it could not be',
    async (dialect) => {
      const { store, open } = lateServer()
      const peer = open(dialect)
      send(peer, head(dialect))
      send(peer, Buffer.alloc(TOO_LARGE + (dialect === 'text' ? 2 : 0)))
      send(peer, next(dialect))
      expect(store.requests).toHaveLength(1)
      store.requests[0]?.answer(OUTCOME_STORE_DOWN)
      await settle(peer)
      if (dialect === 'text') {
        expect(output(peer)).toBe('SERVER_ERROR the store is out of reach\r\n')
      } else expect(peer.transport.output.readUInt16BE(6)).toBe(0x86)
      expect(store.requests.map(({ key }) => key)).toEqual(['k', 'other'])
    },
  )
})

test.each([
  [OUTCOME_OK, 'OK\r\n'],
  [OUTCOME_STORE_DOWN, 'SERVER_ERROR the store is out of reach\r\n'],
])(
  'flush_all of a namespace that is named is answered with its outcome, %i',
  async (outcome, line) => {
    const store = new LateStore()
    const server = createManualServer({ behindFace: store, namespaceOf: () => 0 })
    const peer = server.open('text')
    send(peer, 'namespace shop flush_all\r\nmg k v\r\n')
    expect(store.requests.map(({ verb }) => verb)).toEqual([VERB_FLUSH])
    expect(output(peer)).toBe('')
    store.requests[0]?.answer(outcome)
    await settle(peer)
    expect(output(peer)).toBe(line)
    expect(store.requests.map(({ verb }) => verb)).toEqual([VERB_FLUSH, VERB_META_GET])
  },
)

test('a connection that ends while a namespace is flushed for it is told nothing', async () => {
  const store = new LateStore()
  const peer = createManualServer({ behindFace: store, namespaceOf: () => 0 }).open('text')
  send(peer, 'namespace shop flush_all\r\n')
  peer.connection.close()
  store.requests[0]?.answer(OUTCOME_OK)
  await settle(peer)
  expect(output(peer)).toBe('')
})
