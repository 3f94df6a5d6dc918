/**
 * Memory that somebody was refused: slow readers, and requests that do not go on, give way to others then, and to nobody
 * while there is room. The connections, the stores and the bounds are the server's own; the clock is the test's.
 */
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { STATE_CLOSED, STATE_SERVING } from '../../../src/connection/connection-state.ts'
import { createNamespaceShares } from '../../../src/connection/namespace-shares.ts'
import { PACE_BYTES_MIN } from '../../../src/connection/pace.ts'
import { COUNTER, createCounterMemory } from '../../../src/observe/counters.ts'
import { UnfinishedBudget } from '../../../src/server/worker/unfinished-budget.ts'
import { type ManualConnection, openManualConnection } from '../../support/manual-connection.ts'
import { createManualServer, type ManualServer } from '../../support/manual-server.ts'

const MEBIBYTE = 1024 * 1024
const VALUE_BYTES = 1_000_000
/** Each holds a value and a send buffer: no value more fits the 64 MiB, which are not full. */
const HOLDERS = 59
const PACE_BYTES_A_TICK: number = Math.ceil(PACE_BYTES_MIN / 10)
const REPLY_REFUSED = 'SERVER_ERROR out of memory writing get response\r\n'
const SET_REFUSED = 'SERVER_ERROR out of memory storing object\r\n'

function ask({ connection }: ManualConnection, text: string): void {
  const bytes = Buffer.from(text)
  connection.receive(bytes, bytes.length)
}

function serve({ deferred }: ManualConnection): void {
  while (deferred.length > 0) deferred.shift()?.continueServing()
}

interface Time {
  /** Tells these connections the time, ten times a second, as a worker does. `move` comes before each look. */
  pass(ms: number, peers: readonly ManualConnection[], move?: () => void): void
}

function time(look: (nowMs: number) => void): Time {
  let nowMs = 0
  return {
    pass(ms, peers, move = () => undefined) {
      for (const endMs = nowMs + ms; nowMs < endMs; ) {
        nowMs += 100
        move()
        for (const { context } of peers) context.nowMs = nowMs
        look(nowMs)
        for (const { connection } of peers) {
          if (connection.state !== STATE_CLOSED) connection.checkDeadlines()
        }
      }
    },
  }
}

interface Readers {
  readonly server: ManualServer
  readonly readers: readonly ManualConnection[]
  readonly other: ManualConnection
  readonly clock: Time
  /** What the other one is told that asks for a large value. */
  read(): Promise<string>
}

/** Who reads nothing holds all but a part of the bound in which no value fits. */
function openReaders(holders = HOLDERS): Readers {
  const server = createManualServer({ memoryBytes: 64 * MEBIBYTE })
  const writer = server.open('text')
  ask(writer, `set big 0 0 ${VALUE_BYTES}\r\n${'v'.repeat(VALUE_BYTES)}\r\n`)
  const turn = (peer: ManualConnection): void => {
    ask(peer, 'get big\r\n')
    serve(peer)
  }
  const readers = Array.from({ length: holders }, () => server.open('text'))
  for (const reader of readers) turn(reader)
  const other = server.open('text')
  return {
    server,
    readers,
    other,
    clock: time((nowMs) => server.replyMemory.look(nowMs)),
    async read() {
      const before = other.transport.output.length
      ask(other, 'get big\r\n')
      while (other.deferred.length > 0) {
        other.deferred.shift()?.continueServing()
        // What was given up goes back to the system by and by.
        await setImmediate()
      }
      const answer = other.transport.output.subarray(before, before + 100).toString()
      other.transport.unsentBytes = 0
      other.connection.onDrained()
      return answer
    },
  }
}

function closed(peers: readonly ManualConnection[]): number {
  return peers.filter(({ connection }) => connection.state === STATE_CLOSED).length
}

test('readers that stand still are given up where a value is refused that does not fit, not before, and no more than have to', async () => {
  const { server, readers, clock, read } = openReaders()
  clock.pass(10_000, readers)
  expect(closed(readers)).toBe(0)
  expect(await read()).toBe(REPLY_REFUSED)
  clock.pass(100, readers)
  expect(closed(readers)).toBeGreaterThan(0)
  expect(server.lane[COUNTER.stalled_kicks]).toBe(closed(readers))
  expect(await read()).toContain('VALUE big')
  const held = server.lane[COUNTER.unread_reply_bytes]!
  expect(held).toBeGreaterThan(0)
  // Nobody is refused any more.
  const gone = closed(readers)
  clock.pass(10_000, readers)
  expect(closed(readers)).toBe(gone)
})

test('readers that trickle are given up for somebody refused, those who take what they have to are not', async () => {
  const { readers, clock, read } = openReaders()
  const fast = readers.filter((_, index) => index % 2 === 0)
  const slow = readers.filter((_, index) => index % 2 === 1)
  const move = (): void => {
    for (const { transport } of fast) transport.unsentBytes -= PACE_BYTES_A_TICK
    for (const { transport } of slow) transport.unsentBytes -= 4096
  }
  clock.pass(2000, readers, move)
  expect(closed(readers)).toBe(0)
  expect(await read()).toBe(REPLY_REFUSED)
  clock.pass(200, readers, move)
  expect([closed(fast), closed(slow) > 0]).toEqual([0, true])
})

test('a reader that owes less than blocks it gives way, too', async () => {
  const { server, clock, read } = openReaders(HOLDERS - 1)
  const few = server.open('text', { sendBufferBytesMax: 16 * MEBIBYTE })
  ask(few, 'get big\r\n')
  serve(few)
  expect(few.connection.isServing).toBe(true)
  expect(await read()).toBe(REPLY_REFUSED)
  clock.pass(900, [few])
  expect(await read()).toBe(REPLY_REFUSED)
  clock.pass(100, [few])
  expect(few.connection.state).toBe(STATE_CLOSED)
})

interface Writers {
  readonly writers: readonly ManualConnection[]
  readonly other: ManualConnection
  readonly lane: Float64Array
  readonly clock: Time
  /** Sends a whole set in pieces and returns the answer. */
  write(bytes?: number): string
}

const HALF = `set half 0 0 ${VALUE_BYTES}\r\n${'x'.repeat(VALUE_BYTES - 100)}`
const MISSING = `${'x'.repeat(100)}\r\n`
const PIECE_BYTES = 64 * 1024

function send(peer: ManualConnection, text: string): void {
  for (let at = 0; at < text.length; at += PIECE_BYTES) {
    ask(peer, text.slice(at, at + PIECE_BYTES))
    serve(peer)
  }
}

interface WritersOptions {
  readonly count: number
  /** What each has sent. */
  readonly half: string
  readonly itemBytesMax: number
  readonly evicts: boolean
}

/** With -M values of less than 8 MiB wait outside of the store until they are complete. */
const WAITING = { count: 64, half: HALF, itemBytesMax: MEBIBYTE, evicts: false }

function openWriters(options: WritersOptions = WAITING): Writers {
  const { itemBytesMax, evicts } = options
  const server = createManualServer({ memoryBytes: 64 * MEBIBYTE, itemBytesMax, evicts })
  const budget = new UnfinishedBudget(
    {
      workerIndex: 0,
      counters: createCounterMemory(1),
      unfinished: createNamespaceShares(1),
      valueBytesMax: itemBytesMax,
      saslBytesMax: 64 * 1024,
    },
    () => 1,
  )
  const open = (): ManualConnection =>
    openManualConnection(server, server.text, {
      hasRoomFor: (...wanted) => budget.hasRoomFor(...wanted),
      countUnfinished: (...change) => budget.count(...change),
      refuseArriving: (namespace) => budget.refuseArriving(namespace),
      isInputWanted: (...held) => budget.isWantedOf(...held),
    })
  const writers = Array.from({ length: options.count }, open)
  for (const writer of writers) send(writer, options.half)
  const other = open()
  return {
    writers,
    other,
    lane: server.lane,
    clock: time((nowMs) => budget.look(nowMs)),
    write(length = 500_000) {
      const before = other.transport.output.length
      send(other, `set other 0 0 ${length}\r\n${'y'.repeat(length)}\r\n`)
      other.transport.unsentBytes = 0
      other.connection.onDrained()
      return other.transport.output.subarray(before).toString()
    },
  }
}

function refused(peers: readonly ManualConnection[]): ManualConnection[] {
  return peers.filter(({ transport }) => transport.output.toString() === SET_REFUSED)
}

test('half requests that do not go on are refused where another finds no room, and their connections go on', () => {
  const { writers, lane, clock, write } = openWriters()
  clock.pass(10_000, writers)
  expect(refused(writers)).toHaveLength(0)
  expect(write()).toBe(SET_REFUSED)
  clock.pass(100, writers)
  const gone = refused(writers)
  expect(gone.length).toBeGreaterThan(0)
  expect(gone.length).toBeLessThan(writers.length / 2)
  expect(lane[COUNTER.stalled_requests]).toBe(gone.length)
  expect(write()).toBe('STORED\r\n')
  clock.pass(10_000, writers)
  expect(refused(writers)).toHaveLength(gone.length)
  // The rest of the request is skipped when it comes; the others are stored.
  const [first] = gone
  send(first!, `${MISSING}mn\r\n`)
  expect(first?.transport.output.toString()).toBe(`${SET_REFUSED}MN\r\n`)
  const kept = writers.find((writer) => !gone.includes(writer))
  send(kept!, `${MISSING}mn\r\n`)
  expect(kept?.transport.output.toString()).toBe('STORED\r\nMN\r\n')
})

test('a request that comes as fast as it has to is kept, whoever lacks room', () => {
  const { writers, clock, write } = openWriters()
  const [fast] = writers
  const slow = writers.slice(1)
  // Of a request that another began after: it is answered, and the next one begins.
  send(fast!, `${MISSING}${HALF.slice(0, 600_000)}`)
  expect(fast?.transport.output.toString()).toBe('STORED\r\n')
  clock.pass(2000, writers, () => send(fast!, 'x'.repeat(PACE_BYTES_A_TICK)))
  expect(write()).toBe(SET_REFUSED)
  clock.pass(200, writers, () => send(fast!, 'x'.repeat(PACE_BYTES_A_TICK)))
  expect(refused(slow).length).toBeGreaterThan(0)
  expect(fast?.connection.state).toBe(STATE_SERVING)
  expect(fast?.transport.output.toString()).toBe('STORED\r\n')
})

test('large values that do not go on arriving in the store are refused where it has no room for another', () => {
  const bytes = 9 * MEBIBYTE
  const half = `set half 0 0 ${bytes}\r\n${'x'.repeat(bytes - 100)}`
  const { writers, lane, clock, write } = openWriters({
    count: 3,
    half,
    itemBytesMax: 16 * MEBIBYTE,
    evicts: true,
  })
  clock.pass(10_000, writers)
  expect(refused(writers)).toHaveLength(0)
  expect(write(bytes)).toBe(SET_REFUSED)
  clock.pass(100, writers)
  expect(refused(writers)).toHaveLength(writers.length)
  expect(lane[COUNTER.stalled_requests]).toBe(writers.length)
  expect(writers.every(({ transport }) => transport.leftRooms === 1)).toBe(true)
  expect(write(bytes)).toBe('STORED\r\n')
  for (const writer of writers) {
    send(writer, `${MISSING}mn\r\n`)
    expect(writer.transport.output.toString()).toBe(`${SET_REFUSED}MN\r\n`)
  }
})
