/** The audit's numbers and what is lost, with a file that takes what the test lets it take. */
import { beforeEach, expect, test } from 'vitest'
import type { AuditEvent } from '../../../../src/observe/audit-line.ts'
import { Audit } from '../../../../src/server/main/audit.ts'
import { reloadEvent } from '../../../../src/server/main/audit-reload.ts'
import {
  AuditQueue,
  createAuditMemory,
  WorkerAudit,
} from '../../../../src/server/worker/worker-audit.ts'
import { snapshotOf } from '../../sasl/fixture.ts'

let lines: string[] = []
let said: string[] = []
let isFull = false
let isMoved = false
let reopenCount = 0
let canReopen = true
const memory = { current: createAuditMemory(true, false) }
let audit: Audit

beforeEach(() => {
  lines = []
  said = []
  isFull = false
  isMoved = false
  reopenCount = 0
  canReopen = true
  memory.current = createAuditMemory(true, false)
  audit = new Audit({
    file: {
      append(line) {
        if (!isFull) lines.push(line)
        return !isFull
      },
      reopen() {
        reopenCount++
        if (canReopen) isMoved = false
        return canReopen
      },
      get isMoved() {
        return isMoved
      },
      close: () => undefined,
    },
    queue: new AuditQueue(memory.current),
    say: (_, event) => said.push(event),
    run: 'r',
    now: () => new Date(0),
  })
})

function told(): [number, string, unknown][] {
  return lines.map((line) => {
    const { seq, event, count } = JSON.parse(line)
    return [seq, event, count]
  })
}

const LOGIN: AuditEvent = { event: 'login', user: 'alice' }

test('events have numbers without a gap', () => {
  for (let index = 0; index < 3; index++) audit.record(LOGIN)
  expect(told().map(([sequence]) => sequence)).toEqual([1, 2, 3])
})

test('what a full disk did not take shows as a gap, and as a count when there is room again', () => {
  audit.record(LOGIN)
  isFull = true
  for (let index = 0; index < 5; index++) audit.record(LOGIN)
  audit.look()
  isFull = false
  audit.record(LOGIN)
  expect(told()).toEqual([
    [1, 'login', undefined],
    [7, 'lost', 5],
    [8, 'login', undefined],
  ])
  // Once a look, however often lines are lost between.
  audit.look()
  expect(said).toEqual(['audit_failed', 'audit_lines_lost'])
})

test('the count is written as soon as there is room, also if nothing happens any more', () => {
  isFull = true
  audit.record(LOGIN)
  isFull = false
  audit.look()
  audit.look()
  expect(told()).toEqual([[2, 'lost', 1]])
})

test('where it must be recorded nobody logs in while it is not', () => {
  const worker = new WorkerAudit(memory.current, (event) => audit.recordOfWorker(event))
  const careless = new WorkerAudit({ ...memory.current, refusesLogins: false }, () => undefined)
  expect(worker.mayLogIn).toBe(true)
  isFull = true
  worker.throttle('began', { kind: 'source', name: '192.0.2.1' })
  expect([worker.mayLogIn, careless.mayLogIn]).toEqual([false, true])
  isFull = false
  audit.look()
  expect(worker.mayLogIn).toBe(true)
})

test('what waits between the threads is bounded, and what is over is counted as lost', () => {
  const posted: AuditEvent[] = []
  const worker = new WorkerAudit(memory.current, (event) => posted.push(event))
  for (let index = 0; index < 25_000; index++) {
    worker.throttle('began', { kind: 'source', name: '192.0.2.1' })
  }
  expect(posted).toHaveLength(10_000)
  expect(worker.mayLogIn).toBe(false)
  for (const event of posted) audit.recordOfWorker(event)
  expect(worker.mayLogIn).toBe(true)
  expect(told()[0]).toEqual([15_001, 'lost', 15_000])
  expect(told().at(-1)?.[0]).toBe(25_001)
})

test('requests have a part of the way between the threads: nobody keeps logins out of the audit by them', () => {
  const posted: AuditEvent[] = []
  const worker = new WorkerAudit(memory.current, (event) => posted.push(event))
  const peer = '192.0.2.1:5'
  const principal = { name: 'mallory' } as never
  for (let index = 0; index < 10_000; index++) {
    // From then on whoever makes more waits.
    expect(worker.isBehind).toBe(index >= 1250)
    worker.refusal({ principal, peer, command: 'set', lack: 'right', key: undefined })
    worker.operation({ principal, peer, operation: 'flush', number: 0 })
  }
  expect(posted).toHaveLength(7500)
  expect(worker.mayLogIn).toBe(true)
  worker.throttle('began', { kind: 'source', name: '192.0.2.1' })
  expect(posted.at(-1)).toMatchObject({ event: 'throttle' })
  for (const event of posted) audit.recordOfWorker(event)
  expect(worker.isBehind).toBe(false)
})

test('keys stand in refusals as hashes that are the same for the same key, or as they are', () => {
  const keysOf = (showsKeys: boolean): unknown[] => {
    const events: AuditEvent[] = []
    const worker = new WorkerAudit({ ...memory.current, showsKeys }, (event) => events.push(event))
    for (const key of ['shop:1', 'shop:1', 'shop:2', '\n\u00ff']) {
      worker.refusal({
        principal: { name: 'alice' } as never,
        peer: '192.0.2.1:5',
        command: 'set',
        lack: 'key',
        key: Buffer.from(key, 'latin1'),
      })
    }
    return events.map((event) => (event.event === 'refused' ? event.key : undefined))
  }
  const [first, same, other] = keysOf(false)
  expect(first).toMatch(/^hmac:[0-9a-f]{16}$/)
  expect(same).toBe(first)
  expect(other).not.toBe(first)
  expect(keysOf(true)).toEqual(['shop:1', 'shop:1', 'shop:2', '\n\u00ff'])
})

test('a file that was renamed is opened anew, and one look is enough', () => {
  isMoved = true
  audit.look()
  audit.look()
  expect(reopenCount).toBe(1)
})

test('a file that cannot be opened again is said once, and once more when it happens again', () => {
  isMoved = true
  canReopen = false
  for (let look = 0; look < 3; look++) audit.look()
  expect(reopenCount).toBe(3)
  expect(said).toEqual(['audit_not_reopened'])
  canReopen = true
  audit.look()
  isMoved = true
  canReopen = false
  audit.look()
  expect(said).toEqual(['audit_not_reopened', 'audit_not_reopened'])
})

test('a reload is told by the names of who is new, gone or another, without what they log in with', () => {
  const event = reloadEvent(
    snapshotOf({ alice: 'secret', bob: 'secret', carol: 'secret' }),
    snapshotOf({ alice: 'other', carol: 'secret', dave: 'secret' }),
  )
  expect(event).toMatchObject({ added: ['dave'], removed: ['bob'] })
  audit.record(event)
  expect(lines.join('')).not.toMatch(/SCRAM|secret|\$/)
})
