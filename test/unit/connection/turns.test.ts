/** How turns are given away and come back, whatever the peer does meanwhile. */
import { expect, test } from 'vitest'
import type { Connection, Dialect } from '../../../src/connection/connection.ts'
import { SendBuffer } from '../../../src/connection/send-buffer.ts'
import { COUNTER_NAMES } from '../../../src/observe/counters.ts'
import { openManualConnection } from '../../support/manual-connection.ts'

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
