/** What a connection's deadlines demand, with a clock that stands still. */
import { beforeEach, expect, test } from 'vitest'
import {
  STATE_AWAITING,
  STATE_DETECTING,
  STATE_DRAINING,
  STATE_SERVING,
  STATE_WATCHING,
} from '../../../src/connection/connection-state.ts'
import {
  DEADLINE_DRAIN,
  DEADLINE_DROP,
  DEADLINE_IDLE,
  DEADLINE_NONE,
  Deadlines,
} from '../../../src/connection/deadlines.ts'
import { ReplyWriter } from '../../../src/connection/reply-writer.ts'
import { SendBuffer } from '../../../src/connection/send-buffer.ts'
import { COUNTER, counterLane, createCounterMemory } from '../../../src/observe/counters.ts'
import { type ManualConnection, openManualConnection } from '../../support/manual-connection.ts'

const LIMITS = {
  loginTimeoutMs: 1000,
  crowdedLoginTimeoutMs: 500,
  idleTimeoutMs: 5000,
  stalledWriteTimeoutMs: 2000,
}

let lane: Float64Array
let parts: ManualConnection
let deadlines: Deadlines

beforeEach(() => {
  lane = counterLane(createCounterMemory(1), 0)
  const dialect = undefined as never
  parts = openManualConnection({ sendBuffer: new SendBuffer(), lane }, dialect, { limits: LIMITS })
  deadlines = new Deadlines(
    parts.context,
    new ReplyWriter(parts.context, parts.transport, parts.connection.gate),
    parts.transport.peer,
  )
})

interface Now {
  readonly ms: number
  readonly state?: number
  readonly isLoggedIn?: boolean
  readonly isBlocked?: boolean
  readonly owesAnswer?: boolean
}

function at({ ms, state, isLoggedIn, isBlocked, owesAnswer }: Now): number {
  parts.context.nowMs = ms
  return deadlines.check(
    state ?? STATE_SERVING,
    isLoggedIn ?? false,
    isBlocked ?? false,
    owesAnswer ?? false,
    0,
  )
}

test('a stranger is ended one tick after the login deadline, at once if it takes no replies', () => {
  expect([at({ ms: 999 }), at({ ms: 1000 }), at({ ms: 1100 })]).toEqual([
    DEADLINE_NONE,
    DEADLINE_NONE,
    DEADLINE_DRAIN,
  ])
  expect(at({ ms: 1100, isBlocked: true })).toBe(DEADLINE_DROP)
  expect(lane[COUNTER.login_timeouts]).toBe(2)
})

test('while others wait it has less time, and less again if it has said nothing', () => {
  parts.context.isCrowded = true
  at({ ms: 250, state: STATE_DETECTING })
  expect(at({ ms: 250, state: STATE_DETECTING })).toBe(DEADLINE_DROP)
  expect(at({ ms: 499 })).toBe(DEADLINE_NONE)
  expect(at({ ms: 500 })).toBe(DEADLINE_DROP)
})

test('a login step under way is waited for, and one that failed buys a stranger no time', () => {
  at({ ms: 1000, state: STATE_AWAITING })
  expect(at({ ms: 2000, state: STATE_AWAITING })).toBe(DEADLINE_NONE)
  deadlines.loginChanged(false, false)
  expect([at({ ms: 2000 }), at({ ms: 2000 })]).toEqual([DEADLINE_NONE, DEADLINE_DRAIN])
})

test('whoever was logged in has the time to log in again', () => {
  parts.context.nowMs = 5000
  deadlines.loginChanged(true, false)
  expect([at({ ms: 5999 }), at({ ms: 5999 })]).toEqual([DEADLINE_NONE, DEADLINE_NONE])
  at({ ms: 6000 })
  expect(at({ ms: 6000 })).toBe(DEADLINE_DRAIN)
})

test('a client is idle unless it is owed an answer, waits for one, or watches', () => {
  const client = { ms: 5000, isLoggedIn: true }
  expect(at({ ...client, ms: 4999 })).toBe(DEADLINE_NONE)
  expect(at({ ...client, owesAnswer: true })).toBe(DEADLINE_NONE)
  expect(at({ ...client, state: STATE_AWAITING })).toBe(DEADLINE_NONE)
  expect(at({ ...client, state: STATE_WATCHING })).toBe(DEADLINE_NONE)
  expect(lane[COUNTER.idle_kicks]).toBe(0)
  expect(at(client)).toBe(DEADLINE_IDLE)
  expect(lane[COUNTER.idle_kicks]).toBe(1)
})

test('a reader that stands still is dropped, one that goes on is not', () => {
  const blocked = { isLoggedIn: true, isBlocked: true }
  parts.transport.unsentBytes = 100
  expect(at({ ...blocked, ms: 10_000 })).toBe(DEADLINE_NONE)
  expect(at({ ...blocked, ms: 11_999 })).toBe(DEADLINE_NONE)
  parts.transport.unsentBytes = 99
  expect(at({ ...blocked, ms: 12_000 })).toBe(DEADLINE_NONE)
  expect(at({ ...blocked, ms: 14_000 })).toBe(DEADLINE_DROP)
  expect(lane[COUNTER.stalled_kicks]).toBe(1)
})

test('the end of a stream is waited for as long as a client takes replies, a stranger has a second', () => {
  deadlines.drains()
  const draining = { state: STATE_DRAINING, ms: 1000 }
  parts.transport.unsentBytes = 100
  expect(at({ ...draining, ms: 999 })).toBe(DEADLINE_NONE)
  expect(at(draining)).toBe(DEADLINE_DROP)
  expect(at({ ...draining, isLoggedIn: true })).toBe(DEADLINE_NONE)
  parts.transport.unsentBytes = 0
  expect(at({ ...draining, isLoggedIn: true })).toBe(DEADLINE_DROP)
})
