/** The login deadline, by a clock that is moved by hand: whom it ends, and what puts it off. */
import { expect, test } from 'vitest'
import type { Peer } from '../../../src/base/peer.ts'
import { COUNTER } from '../../../src/observe/counters.ts'
import { requestFrame } from '../../support/binary-frames.ts'
import { type ManualConnection, openManualConnection } from '../../support/manual-connection.ts'
import { createManualServer } from '../../support/manual-server.ts'
import { fixture, snapshotOf } from '../sasl/fixture.ts'

const SASL_AUTH = 0x21
const TICK_MS = 100
const LOGIN_TIMEOUT_MS = 1000

const server = createManualServer()
const { environment } = fixture(snapshotOf({ alice: 'secret' }), {
  derive: async (_, { hash }) => Buffer.alloc(hash.digestBytes),
})

function openStranger(): ManualConnection {
  return openManualConnection(server, server.binary, {
    sasl: environment,
    loginAttemptsMax: 1000,
    limits: { loginTimeoutMs: LOGIN_TIMEOUT_MS },
  })
}

/** The next tick of the worker's coarse timer. */
function tick({ context, connection, transport }: ManualConnection): void {
  context.nowMs += TICK_MS
  transport.unsentBytes = 0
  connection.checkDeadlines()
}

test.each([
  [1, 12],
  [3, 4],
])('a failed login every %i ticks does not put off the login deadline', async (ticks, attempts) => {
  const timeouts = server.lane[COUNTER.login_timeouts]!
  const errors = server.lane[COUNTER.auth_errors]!
  const stranger = openStranger()
  const late: Peer[] = []
  stranger.context.onLoginTimeout = (peer) => late.push(peer)
  const attempt = requestFrame({ opcode: SASL_AUTH, key: 'PLAIN', value: '\0alice\0wrong' })
  let attemptCount = 0
  while (stranger.transport.isOpen && stranger.context.nowMs < 10 * LOGIN_TIMEOUT_MS) {
    stranger.connection.receive(Buffer.from(attempt), attempt.length)
    attemptCount++
    while (stranger.connection.stateName === 'conn_parse_cmd') {
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (let count = 0; count < ticks; count++) tick(stranger)
  }
  expect(stranger.context.nowMs).toBeLessThanOrEqual(LOGIN_TIMEOUT_MS + 3 * TICK_MS)
  expect(attemptCount).toBeLessThanOrEqual(attempts)
  expect(server.lane[COUNTER.login_timeouts]).toBe(timeouts + 1)
  expect(late).toEqual([stranger.transport.peer])
  expect(server.lane[COUNTER.auth_errors]).toBe(errors + attemptCount)
})
