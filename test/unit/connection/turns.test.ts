/** How turns are given away and come back, whatever the peer does meanwhile. */
import { describe, expect, test } from 'vitest'
import type { Connection, Dialect } from '../../../src/connection/connection.ts'
import { SendBuffer } from '../../../src/connection/send-buffer.ts'
import { COUNTER, COUNTER_NAMES } from '../../../src/observe/counters.ts'
import type { SaslEnvironment } from '../../../src/sasl/environment.ts'
import { requestFrame } from '../../support/binary-frames.ts'
import { openManualConnection } from '../../support/manual-connection.ts'
import { createManualServer } from '../../support/manual-server.ts'
import { fixture, snapshotOf } from '../sasl/fixture.ts'

const REPLY_BYTES = 100

/** Each byte is a request; each turn serves one, answers with REPLY_BYTES, and is given away. */
class OneATurn implements Dialect {
  readonly sendBuffer: SendBuffer = new SendBuffer()
  readonly copiedBytes: number = 0
  servedCount = 0

  serve(connection: Connection, _bytes: Uint8Array, start: number, end: number): number {
    this.servedCount++
    this.sendBuffer.used += REPLY_BYTES
    if (start + 1 < end) connection.yieldTurn()
    return start + 1
  }

  serveLarge(): void {}

  refuseUnfinished(): number {
    return 0
  }
}

test('a peer that reads again between two turns has one turn coming, not two', () => {
  const dialect = new OneATurn()
  const lane = new Float64Array(COUNTER_NAMES.length)
  const { connection, transport, deferred } = openManualConnection(
    { sendBuffer: dialect.sendBuffer, lane },
    dialect,
    { limits: { sendBufferBytesMax: 1 } },
  )
  connection.receive(new Uint8Array(10), 10)
  expect(dialect.servedCount).toBe(1)
  for (let turn = 2; turn <= 10; turn++) {
    expect(deferred.splice(0)).toEqual([connection])
    // All that was answered is taken, and only then the turn comes.
    transport.unsentBytes = 0
    connection.onDrained()
    expect(deferred).toEqual([])
    connection.continueServing()
    expect(dialect.servedCount).toBe(turn)
  }
  expect(deferred).toEqual([])
})

/** Answers each byte at once. */
class AtOnce extends OneATurn {
  override serve(_connection: Connection, _bytes: Uint8Array, start: number, end: number): number {
    this.servedCount += end - start
    this.sendBuffer.used += REPLY_BYTES
    return end
  }
}

interface Crowd {
  readonly hasRoom?: boolean
  readonly isTurn?: (canWait: boolean) => boolean
}

function crowdedConnection(
  sasl: SaslEnvironment | undefined,
  { hasRoom = true, isTurn = () => false }: Crowd = {},
) {
  const dialect = new AtOnce()
  const lane = new Float64Array(COUNTER_NAMES.length)
  const manual = openManualConnection({ sendBuffer: dialect.sendBuffer, lane }, dialect, {
    ...(sasl === undefined ? {} : { sasl }),
    isStrangersTurn: isTurn,
    hasRoomFor: () => hasRoom,
  })
  return { ...manual, dialect, lane }
}

test('a stranger waits for a round while others do, and is not read from meanwhile', () => {
  const { environment } = fixture(snapshotOf({ alice: 'secret' }))
  const { connection, deferred, dialect } = crowdedConnection(environment)
  expect(connection.receive(new Uint8Array(10), 10)).toBe(false)
  expect(dialect.servedCount).toBe(0)
  expect(deferred).toEqual([connection])
  connection.continueServing()
  expect(dialect.servedCount).toBe(10)
  expect(deferred).toHaveLength(1)
})

test('a stranger who waits and goes leaves nothing to serve', () => {
  const { environment } = fixture(snapshotOf({ alice: 'secret' }))
  const { connection, dialect } = crowdedConnection(environment)
  connection.receive(new Uint8Array(10), 10)
  connection.close()
  connection.continueServing()
  expect(dialect.servedCount).toBe(0)
  expect(connection.bufferedBytes).toBe(0)
})

test('whoever is logged in does not wait for a round of strangers', () => {
  const { connection, deferred, dialect } = crowdedConnection(undefined)
  expect(connection.receive(new Uint8Array(10), 10)).toBe(true)
  expect(dialect.servedCount).toBe(10)
  expect(deferred).toEqual([])
})

describe('where there is no room for what strangers send,', () => {
  const { environment } = fixture(snapshotOf({ alice: 'secret' }))

  test('one who is not in turn is dropped, and a small login waits all the same', () => {
    const large = crowdedConnection(environment, { hasRoom: false })
    expect(large.connection.receive(new Uint8Array(5000), 5000)).toBe(false)
    expect(large.dialect.servedCount).toBe(0)
    expect(large.transport.isOpen).toBe(false)
    expect(large.lane[COUNTER.unauthenticated_buf_oom]).toBe(1)
    const small = crowdedConnection(environment, { hasRoom: false })
    small.connection.receive(new Uint8Array(100), 100)
    expect(small.dialect.servedCount).toBe(0)
    expect(small.deferred).toEqual([small.connection])
    expect(small.transport.isOpen).toBe(true)
  })

  test('one is served before those who wait, if the turn allows it to who cannot', () => {
    const options = { hasRoom: false, isTurn: (canWait: boolean) => !canWait }
    const large = crowdedConnection(environment, options)
    large.connection.receive(new Uint8Array(5000), 5000)
    expect(large.dialect.servedCount).toBe(5000)
    const small = crowdedConnection(environment, options)
    small.connection.receive(new Uint8Array(100), 100)
    expect(small.dialect.servedCount).toBe(0)
  })

  test.each([
    ['text', Buffer.from(`set login 0 0 9000\r\n${'x'.repeat(8000)}`)],
    ['binary', requestFrame({ opcode: 0x21, key: 'PLAIN', value: 'x'.repeat(9000) })],
  ] as const)('who goes on with half a login is told so in turn alone, in %s', (name, half) => {
    const server = createManualServer({ saslBytesMax: 10_000 })
    for (const isLastInTurn of [true, false]) {
      let isTurn = true
      const { connection, transport } = openManualConnection(server, server[name], {
        sasl: environment,
        hasRoomFor: () => false,
        isStrangersTurn: () => isTurn,
      })
      connection.receive(half, 3000)
      expect(transport.isOpen).toBe(true)
      isTurn = isLastInTurn
      connection.receive(half.subarray(3000, 8000), 5000)
      expect(transport.isOpen).toBe(false)
      expect(transport.output.length > 0).toBe(isLastInTurn)
    }
  })
})

test('a client whose request waits for its turn is read on while what waits is short', () => {
  const server = createManualServer()
  const { connection, transport, deferred } = server.open('text', { sendBufferBytesMax: 1e7 })
  let resumed = 0
  transport.resume = () => {
    resumed++
  }
  const send = (text: string): boolean => {
    const bytes = Buffer.from(text)
    return connection.receive(bytes, bytes.length)
  }
  const value = 'v'.repeat(300_000)
  expect(send(`set k 0 0 ${value.length}\r\n${value}\r\n`)).toBe(true)
  // That was costly, so what comes next waits.
  expect(send('get k\r\n')).toBe(true)
  expect(deferred).toEqual([connection])
  expect(send(`get ${'x'.repeat(200)}\r\n`)).toBe(true)
  expect(send('mn\r\n'.repeat(200))).toBe(false)
  expect(transport.output.toString()).toBe('STORED\r\n')
  for (let next = deferred.shift(); next !== undefined; next = deferred.shift()) {
    next.continueServing()
  }
  const answers = `VALUE k 0 300000\r\n${value}\r\nEND\r\nEND\r\n${'MN\r\n'.repeat(200)}`
  expect(transport.output.toString() === `STORED\r\n${answers}`).toBe(true)
  expect(resumed).toBe(1)
})
