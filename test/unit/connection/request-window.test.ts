/** Many requests of one connection under way at once, at a store elsewhere that answers when the test says so. */
import { describe, expect, test } from 'vitest'
import { WINDOW_BYTES_MAX, WINDOW_REQUESTS_MAX } from '../../../src/connection/request-window.ts'
import { RIGHT } from '../../../src/credential/rights.ts'
import {
  OUTCOME_HIT,
  OUTCOME_NOT_FOUND,
  OUTCOME_OK,
  OUTCOME_STORE_BUSY,
  OUTCOME_STORE_DOWN,
  OUTCOME_STORE_LATE,
  OUTCOME_STORE_REFUSED,
} from '../../../src/protocol/request.ts'
import { parseResponses, requestFrame, storeFrame } from '../../support/binary-frames.ts'
import { LateStore } from '../../support/late-store.ts'
import type { ManualConnection } from '../../support/manual-connection.ts'
import { createManualServer } from '../../support/manual-server.ts'

interface Bench {
  readonly store: LateStore
  readonly peer: ManualConnection
}

function open(dialect: 'text' | 'binary'): Bench {
  const store = new LateStore()
  const server = createManualServer({ behindFace: store, isStoreElsewhere: true })
  return { store, peer: server.open(dialect) }
}

function send({ peer }: Bench, bytes: string | Buffer): void {
  const readBuffer = Buffer.from(bytes as string, 'latin1')
  peer.connection.receive(readBuffer, readBuffer.length)
  readBuffer.fill(0xee)
}

const output = ({ peer }: Bench): string => peer.transport.output.toString('latin1')

async function settle({ peer }: Bench): Promise<void> {
  for (let round = 0; round < 20; round++) {
    await Promise.resolve()
    for (const connection of peer.deferred.splice(0)) connection.continueServing()
  }
}

const keysOf = ({ store }: Bench): string[] => store.requests.map(({ key }) => key)

test('requests go out together, and are answered in their order whatever comes first', async () => {
  const bench = open('text')
  send(bench, 'get a\r\nset b 0 0 1\r\nx\r\nmg c v\r\ndelete d\r\n')
  expect(keysOf(bench)).toEqual(['a', 'b', 'c', 'd'])
  bench.store.requests[3]?.answer(OUTCOME_OK)
  bench.store.requests[1]?.answer(OUTCOME_OK)
  await settle(bench)
  expect(output(bench)).toBe('')
  bench.store.requests[0]?.answer(OUTCOME_HIT, 'A')
  await settle(bench)
  const first = 'VALUE a 0 1\r\nA\r\nEND\r\nSTORED\r\n'
  expect(output(bench)).toBe(first)
  bench.store.requests[2]?.answer(OUTCOME_NOT_FOUND)
  await settle(bench)
  expect(output(bench)).toBe(`${first}EN\r\nDELETED\r\n`)
})

test('the keys of a list go out together, and its END comes behind the last', async () => {
  const bench = open('text')
  send(bench, 'gets a b c\r\nversion\r\n')
  expect(keysOf(bench)).toEqual(['a', 'b', 'c'])
  bench.store.requests[2]?.answer(OUTCOME_HIT, 'C')
  bench.store.requests[1]?.answer(OUTCOME_NOT_FOUND)
  bench.store.requests[0]?.answer(OUTCOME_HIT, 'A')
  await settle(bench)
  const wanted = 'VALUE a 0 1 0\r\nA\r\nVALUE c 0 1 0\r\nC\r\nEND\r\nVERSION 0\r\n'
  expect(output(bench)).toBe(wanted)
})

test('a list whose key cannot be read ends with the reason, and what is behind it is answered', async () => {
  const bench = open('text')
  send(bench, 'get a b c\r\nget d\r\n')
  bench.store.requests[0]?.answer(OUTCOME_HIT, 'A')
  bench.store.requests[1]?.answer(OUTCOME_STORE_DOWN)
  bench.store.requests[2]?.answer(OUTCOME_HIT, 'C')
  bench.store.requests[3]?.answer(OUTCOME_HIT, 'D')
  await settle(bench)
  expect(output(bench)).toBe(
    'VALUE a 0 1\r\nA\r\nSERVER_ERROR the store is out of reach\r\nVALUE d 0 1\r\nD\r\nEND\r\n',
  )
})

test.each([
  ['a read behind a write', 'set k 0 0 1\r\nx\r\nget k\r\n'],
  ['a write behind a read', 'get k\r\nset k 0 0 1\r\nx\r\n'],
  ['two writes', 'incr k 1\r\nincr k 1\r\n'],
  ['a key of a list behind a write', 'delete k\r\nget a k b\r\n'],
  ['a key sent as base64', 'set k 0 0 1\r\nx\r\nmg aw== b v\r\n'],
])('%s of the same key waits for the one before', async (_, requests) => {
  const bench = open('text')
  send(bench, requests)
  expect(keysOf(bench)).toEqual(['k'])
  bench.store.requests[0]?.answer(OUTCOME_NOT_FOUND)
  await settle(bench)
  expect(bench.store.requests.length).toBeGreaterThan(1)
})

test('reads of one key go out together', () => {
  const bench = open('text')
  send(bench, 'get k\r\nmg k v\r\nget k k\r\n')
  expect(keysOf(bench)).toEqual(['k', 'k', 'k', 'k'])
})

test('flush_all waits for what is before it, and what is behind it waits', async () => {
  const bench = open('text')
  send(bench, 'get a\r\nflush_all\r\nget b\r\n')
  expect(bench.store.requests).toHaveLength(1)
  bench.store.requests[0]?.answer(OUTCOME_NOT_FOUND)
  await settle(bench)
  expect(bench.store.requests).toHaveLength(2)
  bench.store.requests[1]?.answer(OUTCOME_OK)
  await settle(bench)
  expect(bench.store.requests).toHaveLength(3)
  expect(output(bench)).toBe('END\r\nOK\r\n')
})

test('mn and quiet requests keep their places', async () => {
  const bench = open('text')
  send(bench, 'mg a v q\r\nmg b v q\r\nmn\r\nset c 0 0 1 noreply\r\nx\r\nmn\r\n')
  expect(keysOf(bench)).toEqual(['a', 'b', 'c'])
  bench.store.requests[2]?.answer(OUTCOME_OK)
  bench.store.requests[1]?.answer(OUTCOME_HIT, 'B')
  bench.store.requests[0]?.answer(OUTCOME_NOT_FOUND)
  await settle(bench)
  expect(output(bench)).toBe('VA 1\r\nB\r\nMN\r\nMN\r\n')
})

test('a window has an end in requests, and the rest goes out behind it', async () => {
  const bench = open('text')
  const count = WINDOW_REQUESTS_MAX + 10
  send(bench, Array.from({ length: count }, (_, index) => `get k${index}\r\n`).join(''))
  expect(bench.store.requests.length).toBeLessThan(count)
  expect(bench.store.requests.length).toBeGreaterThan(WINDOW_REQUESTS_MAX / 4)
  for (let index = 0; index < count; index++) {
    bench.store.requests[index]?.answer(OUTCOME_NOT_FOUND)
    if (index % 100 === 0 || bench.store.requests.length === index + 1) await settle(bench)
  }
  await settle(bench)
  expect(output(bench)).toBe('END\r\n'.repeat(count))
})

test('a window has an end in bytes', () => {
  const bench = open('text')
  const value = 'v'.repeat(WINDOW_BYTES_MAX / 4)
  const sets = Array.from({ length: 8 }, (_, index) => `set k${index} 0 0 ${value.length}\r\n`)
  send(bench, sets.map((line) => `${line}${value}\r\n`).join(''))
  expect(bench.store.requests.length).toBeLessThanOrEqual(4)
})

const listOf = (count: number, name = 'k'): string[] =>
  Array.from({ length: count }, (_, index) => `${name}${index}`)

test('a list of any length goes out in portions, and its END comes behind the last key', async () => {
  const bench = open('text')
  const keys = listOf(3 * WINDOW_REQUESTS_MAX + 10)
  send(bench, `set a 0 0 1\r\nx\r\ngets ${keys.join(' ')}\r\nversion\r\n`)
  const { requests } = bench.store
  bench.store.requests[0]?.answer(OUTCOME_OK)
  for (let answered = 1; answered <= keys.length; ) {
    expect(requests.length - answered).toBeGreaterThan(0)
    expect(requests.length - answered).toBeLessThanOrEqual(WINDOW_REQUESTS_MAX)
    for (; answered < requests.length; answered++) {
      const outcome = answered % 100 === 0 ? OUTCOME_HIT : OUTCOME_NOT_FOUND
      requests[answered]?.answer(outcome, outcome === OUTCOME_HIT ? 'V' : '')
    }
    await settle(bench)
  }
  expect(keysOf(bench)).toEqual(['a', ...keys])
  const found = keys.filter((_, index) => (index + 1) % 100 === 0)
  const values = found.map((key) => `VALUE ${key} 0 1 0\r\nV\r\n`).join('')
  expect(output(bench)).toBe(`STORED\r\n${values}END\r\nVERSION 0\r\n`)
})

test('of a long list that is there at once each portion has turns of its own', () => {
  const bench = open('text')
  const { store, peer } = bench
  store.known.set('a', 'A')
  const count = 4 * WINDOW_REQUESTS_MAX + 10
  let taken = ''
  // A peer that keeps up.
  peer.transport.write = (bytes) => {
    taken += Buffer.from(bytes).toString('latin1')
    return 0
  }
  send(bench, `get${' a'.repeat(count)}\r\n`)
  let before = 0
  let turns = 0
  for (;;) {
    expect(store.requests.length - before).toBeLessThanOrEqual(WINDOW_REQUESTS_MAX)
    before = store.requests.length
    const connection = peer.deferred.shift()
    if (connection === undefined) break
    connection.continueServing()
    turns++
  }
  expect(turns).toBeGreaterThan(4)
  expect(taken).toBe(`${'VALUE a 0 1\r\nA\r\n'.repeat(count)}END\r\n`)
})

test('a key that the window has and a later portion names goes out when the window is answered', async () => {
  const bench = open('text')
  const keys = listOf(WINDOW_REQUESTS_MAX)
  send(bench, `set k 0 0 1\r\nx\r\nget ${keys.join(' ')} k\r\n`)
  expect(keysOf(bench)).toEqual(['k', ...keys.slice(0, WINDOW_REQUESTS_MAX - 1)])
  for (const request of bench.store.requests.slice(1)) request.answer(OUTCOME_NOT_FOUND)
  await settle(bench)
  expect(bench.store.requests).toHaveLength(WINDOW_REQUESTS_MAX)
  bench.store.requests[0]?.answer(OUTCOME_OK)
  await settle(bench)
  expect(keysOf(bench)).toEqual(['k', ...keys, 'k'])
})

test('an error in any portion ends a long list, and no further key goes out', async () => {
  for (const portion of [0, 1]) {
    const bench = open('text')
    send(bench, `get ${listOf(4 * WINDOW_REQUESTS_MAX).join(' ')}\r\nget last\r\n`)
    const { requests } = bench.store
    for (let index = 0; index < portion * WINDOW_REQUESTS_MAX; index++) {
      requests[index]?.answer(OUTCOME_NOT_FOUND)
    }
    await settle(bench)
    const sent = (portion + 1) * WINDOW_REQUESTS_MAX
    expect(requests).toHaveLength(sent)
    for (const request of requests.slice(sent - WINDOW_REQUESTS_MAX))
      request.answer(OUTCOME_STORE_DOWN)
    await settle(bench)
    expect(keysOf(bench).slice(sent)).toEqual(['last'])
    requests[sent]?.answer(OUTCOME_HIT, 'L')
    await settle(bench)
    const wanted = 'SERVER_ERROR the store is out of reach\r\nVALUE last 0 1\r\nL\r\nEND\r\n'
    expect(output(bench)).toBe(wanted)
  }
})

test('whoever does not take the replies of a long list has no further portion asked for', async () => {
  const bench = open('text')
  const { store, peer } = bench
  send(bench, `get ${listOf(4 * WINDOW_REQUESTS_MAX).join(' ')}\r\n`)
  for (const request of store.requests) request.answer(OUTCOME_HIT, 'v'.repeat(100))
  await settle(bench)
  expect(peer.connection.isServing).toBe(false)
  expect(store.requests).toHaveLength(WINDOW_REQUESTS_MAX)
  peer.transport.unsentBytes = 0
  peer.connection.onDrained()
  await settle(bench)
  expect(store.requests).toHaveLength(2 * WINDOW_REQUESTS_MAX)
  peer.connection.close()
  expect(store.requests.slice(WINDOW_REQUESTS_MAX).every(({ isCancelled }) => isCancelled)).toBe(
    true,
  )
})

test('where values are large, fewer reads are under way', async () => {
  const bench = open('text')
  bench.peer.transport.write = () => 0
  send(bench, 'get large\r\n')
  bench.store.requests[0]?.answer(OUTCOME_HIT, 'v'.repeat(1024 * 1024 - 100))
  await settle(bench)
  send(bench, Array.from({ length: 50 }, (_, index) => `get k${index}\r\n`).join(''))
  await settle(bench)
  expect(bench.store.requests.length).toBeGreaterThan(1)
  expect(bench.store.requests.length).toBeLessThan(10)
})

test('behind large values as many writes are under way as ever: a client that leaves has had them done', async () => {
  const bench = open('text')
  bench.peer.transport.write = () => 0
  send(bench, 'get large\r\n')
  bench.store.requests[0]?.answer(OUTCOME_HIT, 'v'.repeat(1024 * 1024 - 100))
  await settle(bench)
  const sets = Array.from({ length: 50 }, (_, index) => `set k${index} 0 0 1\r\nx\r\n`)
  send(bench, sets.join(''))
  await settle(bench)
  expect(bench.store.requests).toHaveLength(51)
})

test('a connection that ends gives up all that is under way', () => {
  const bench = open('text')
  send(bench, 'get a\r\nget b c\r\nset d 0 0 1\r\nx\r\n')
  bench.peer.connection.close()
  expect(bench.store.requests.map(({ isCancelled }) => isCancelled)).toEqual([
    true,
    true,
    true,
    true,
  ])
})

test('in binary, quiet misses and a NOOP are answered as they stand', async () => {
  const bench = open('binary')
  send(
    bench,
    Buffer.concat([
      requestFrame({ opcode: 0x09, key: 'a', opaque: 1 }),
      requestFrame({ opcode: 0x09, key: 'b', opaque: 2 }),
      storeFrame(0x01, 'c', 'x', { opaque: 3 }),
      requestFrame({ opcode: 0x0a, opaque: 4 }),
    ]),
  )
  expect(bench.store.requests).toHaveLength(4)
  for (const request of bench.store.requests.slice(2)) request.answer(OUTCOME_OK)
  bench.store.requests[1]?.answer(OUTCOME_HIT, 'B')
  bench.store.requests[0]?.answer(OUTCOME_NOT_FOUND)
  await settle(bench)
  const { frames } = parseResponses(bench.peer.transport.output)
  expect(frames.map(({ opaque }) => opaque)).toEqual([2, 3, 4])
})

test.each([
  [OUTCOME_STORE_LATE, 'SERVER_ERROR the store did not answer in time\r\n', 0x86],
  [OUTCOME_STORE_DOWN, 'SERVER_ERROR the store is out of reach\r\n', 0x86],
  [OUTCOME_STORE_BUSY, 'SERVER_ERROR too much waits for the store\r\n', 0x85],
  [OUTCOME_STORE_REFUSED, 'SERVER_ERROR the store refused the request\r\n', 0x84],
])('failure %d is told in every dialect', async (outcome, line, status) => {
  const text = open('text')
  send(text, 'get a\r\nset b 0 0 1\r\nx\r\nmg c v\r\nmd d q\r\nincr e 1\r\n')
  for (const request of text.store.requests) request.answer(outcome)
  await settle(text)
  expect(output(text)).toBe(line.repeat(5))
  const binary = open('binary')
  send(binary, requestFrame({ opcode: 0x09, key: 'a' }))
  binary.store.requests[0]?.answer(outcome)
  await settle(binary)
  const { frames } = parseResponses(binary.peer.transport.output)
  expect(frames.map((frame) => frame.status)).toEqual([status])
})

test('what is there at once is answered in the same turn, and what is behind it is served', () => {
  const text = open('text')
  text.store.known.set('a', 'A')
  send(text, 'get a\r\ngets a a\r\nmg a v\r\nmn\r\nget b\r\n')
  // The whole waits for what is not there.
  expect(output(text)).toBe('')
  const other = open('text')
  other.store.known.set('a', 'A')
  send(other, 'get a\r\nget a a\r\nmg a v\r\nmn\r\n')
  const value = 'VALUE a 0 1\r\nA\r\n'
  expect(output(other)).toBe(`${value}END\r\n${value}${value}END\r\nVA 1\r\nA\r\nMN\r\n`)
  send(other, 'get a\r\n')
  expect(output(other)).toMatch(/MN\r\nVALUE a 0 1\r\nA\r\nEND\r\n$/)
  expect(other.peer.deferred).toHaveLength(0)
  const binary = open('binary')
  binary.store.known.set('a', 'A')
  const frames = [1, 2].map((opaque) => requestFrame({ opcode: 0x00, key: 'a', opaque }))
  send(binary, Buffer.concat(frames))
  const { frames: answers } = parseResponses(binary.peer.transport.output)
  expect(answers.map(({ opaque, status }) => [opaque, status])).toEqual([
    [1, 0],
    [2, 0],
  ])
})

test.each(['text', 'binary'] as const)(
  '%s: a turn ends behind a window that was answered at once',
  async (dialect) => {
    const bench = open(dialect)
    bench.store.known.set('a', 'A')
    const frame =
      dialect === 'text' ? 'get a\r\n' : requestFrame({ opcode: 0x00, key: 'a' }).toString('latin1')
    const count = WINDOW_REQUESTS_MAX + 10
    send(bench, frame.repeat(count))
    expect(bench.store.requests).toHaveLength(WINDOW_REQUESTS_MAX)
    expect(bench.peer.deferred).toHaveLength(1)
    await settle(bench)
    expect(bench.store.requests).toHaveLength(count)
  },
)

test('what a touch has behind its key may come when it is answered', async () => {
  const bench = open('binary')
  const touch = requestFrame({
    opcode: 0x1c,
    extras: Buffer.from([0, 0, 0, 9]),
    key: 'k',
    value: 'trailing',
  })
  const next = requestFrame({ opcode: 0x0b, opaque: 9 })
  send(bench, touch.subarray(0, 29))
  expect(keysOf(bench)).toEqual(['k'])
  send(bench, touch.subarray(29, 31))
  bench.store.requests[0]?.answer(OUTCOME_OK)
  await settle(bench)
  send(bench, Buffer.concat([touch.subarray(31), next]))
  await settle(bench)
  const { frames } = parseResponses(bench.peer.transport.output)
  expect(frames.map(({ opcode, opaque }) => [opcode, opaque])).toEqual([
    [0x1c, 0],
    [0x0b, 9],
  ])
})

test('what a touch announces behind its key is not read before the touch is answered', () => {
  const touch = requestFrame({ opcode: 0x1c, extras: Buffer.from([0, 0, 0, 9]), key: 'k' })
  const whole = open('binary').peer.connection
  expect(whole.receive(touch, touch.length)).toBe(true)
  const announcing = Buffer.from(touch)
  announcing.writeUInt32BE(1024 * 1024 * 1024, 8)
  for (const kept of [0, 10]) {
    const bench = open('binary')
    const { connection } = bench.peer
    const bytes = Buffer.concat([announcing, Buffer.alloc(kept)])
    expect(connection.receive(bytes, bytes.length)).toBe(false)
    expect(keysOf(bench)).toEqual(['k'])
  }
})

test.each<['text' | 'binary', (key: string) => string]>([
  ['text', (key) => `set ${key} 0 0 1\r\nx\r\n`],
  ['binary', (key) => storeFrame(0x01, key, 'x').toString('latin1')],
])(
  '%s: whoever is refused faster than it is recorded has one refusal a turn',
  async (dialect, request) => {
    const bench = open(dialect)
    const { gate } = bench.peer.connection
    let refusals = 0
    gate.restriction = {
      rights: RIGHT.read,
      keyPrefixes: undefined,
      refused: () => {
        refusals++
        gate.owesRest = true
      },
    }
    send(bench, listOf(5).map(request).join(''))
    expect(refusals).toBe(1)
    expect(bench.peer.deferred).toHaveLength(1)
    for (let turn = 2; turn <= 5; turn++) {
      expect(gate.takeRest()).toBe(true)
      bench.peer.deferred.shift()?.continueServing()
      expect(refusals).toBe(turn)
    }
    expect(bench.store.requests).toHaveLength(0)
  },
)

describe('a list of keys that goes on after its client ended its stream', () => {
  const list = `get ${Array.from({ length: 2 * WINDOW_REQUESTS_MAX }, (_, at) => `k${at}`).join(' ')}\r\n`

  function openHalfClosed(): Bench {
    const bench = open('text')
    send(bench, list)
    bench.peer.connection.receiveEnd()
    bench.peer.connection.checkDeadlines()
    return bench
  }

  test('is answered to its last key', async () => {
    const bench = openHalfClosed()
    const { requests } = bench.store
    for (let at = 0; at < 2 * WINDOW_REQUESTS_MAX; at++) {
      requests[at]?.answer(OUTCOME_NOT_FOUND)
      if (at === requests.length - 1) await settle(bench)
    }
    await settle(bench)
    expect(output(bench)).toBe('END\r\n')
    expect(bench.peer.transport.isOpen).toBe(false)
  })

  test('ends when its client is found to have gone', () => {
    const bench = open('text')
    send(bench, list)
    bench.peer.transport.wasReset = true
    bench.peer.connection.checkDeadlines()
    expect(bench.store.requests.every(({ isCancelled }) => isCancelled)).toBe(true)
    expect(bench.peer.transport.isOpen).toBe(false)
  })

  test('goes on where a request that changes something is behind it, until that is carried out', async () => {
    const bench = open('text')
    send(bench, `${list}delete last\r\n`)
    bench.peer.transport.wasReset = true
    const { requests } = bench.store
    for (let at = 0; at <= 2 * WINDOW_REQUESTS_MAX; at++) {
      bench.peer.connection.checkDeadlines()
      requests[at]?.answer(OUTCOME_NOT_FOUND)
      if (at === requests.length - 1) await settle(bench)
    }
    expect(requests.some(({ isCancelled }) => isCancelled)).toBe(false)
    expect(requests).toHaveLength(2 * WINDOW_REQUESTS_MAX + 1)
  })
})
