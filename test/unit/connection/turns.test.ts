/** How turns are given away and come back, whatever the peer does meanwhile. */
import { expect, test } from 'vitest'
import { AuthGate } from '../../../src/connection/auth-gate.ts'
import {
  Connection,
  type ConnectionContext,
  type Dialect,
} from '../../../src/connection/connection.ts'
import { SendBuffer } from '../../../src/connection/send-buffer.ts'
import type { Transport } from '../../../src/connection/transport.ts'
import { COUNTER_NAMES } from '../../../src/observe/counters.ts'

const REPLY_BYTES = 100

/** A peer that takes nothing until it is told to, which the kernel cannot be made to do to the byte. */
class StuckTransport implements Transport {
  readonly peer: string = '192.0.2.1:1'
  unsentBytes = 0
  write(bytes: Uint8Array): number {
    this.unsentBytes += bytes.length
    return this.unsentBytes
  }
  resume(): void {}
  end(): void {}
  destroy(): void {}
}

/** Each byte is a request; each turn serves one, answers with REPLY_BYTES, and is given away. */
class OneATurn implements Dialect {
  servedCount = 0
  serve(connection: Connection, _bytes: Uint8Array, start: number, end: number): number {
    this.servedCount++
    context.sendBuffer.used += REPLY_BYTES
    if (start + 1 < end) connection.yieldTurn()
    return start + 1
  }
  serveLarge(): void {}
  refuseUnfinished(): number {
    return 0
  }
}

const dialect = new OneATurn()
const deferred: Connection[] = []
const context: ConnectionContext = {
  limits: {
    loginTimeoutMs: 1000,
    crowdedLoginTimeoutMs: 1000,
    idleTimeoutMs: 0,
    stalledWriteTimeoutMs: 0,
    sendBufferBytesMax: 1,
  },
  lane: new Float64Array(COUNTER_NAMES.length),
  sendBuffer: new SendBuffer(),
  nowMs: 0,
  isCrowded: false,
  isStopping: false,
  lingerMs: 0,
  hasRoomFor: () => true,
  detect: () => dialect,
  defer: (connection) => deferred.push(connection),
  onGateChanged: () => undefined,
  onClosed: () => undefined,
}

test('a peer that reads again between two turns has one turn coming, not two', () => {
  const transport = new StuckTransport()
  const { lane } = context
  const gate = new AuthGate(
    { sasl: undefined, loginAttemptsMax: 1, lane, onLogin: () => undefined },
    transport.peer,
  )
  const connection = new Connection(context, transport, gate, 1)
  connection.receive(new Uint8Array(10), 10)
  expect(dialect.servedCount).toBe(1)
  for (let turn = 2; turn <= 10; turn++) {
    expect(deferred.splice(0)).toEqual([connection])
    // The kernel takes all that it was given, and only then the turn comes.
    transport.unsentBytes = 0
    connection.onDrained()
    expect(deferred).toEqual([])
    connection.continueServing()
    expect(dialect.servedCount).toBe(turn)
  }
  expect(deferred).toEqual([])
})
