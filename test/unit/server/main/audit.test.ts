/** The audit's numbers and what is lost, with a file that takes what the test lets it take. */
import { beforeEach, describe, expect, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
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
/** Of the workers; it goes on where a test makes more than one actor may in a second. */
let nowMs = 0
const memory = { current: createAuditMemory(true, false) }
let audit: Audit

beforeEach(() => {
  nowMs = 0
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
  const worker = new WorkerAudit(memory.current, (event) => audit.recordOfWorker(event), {
    nowMs: Date.now,
  })
  const careless = new WorkerAudit({ ...memory.current, refusesLogins: false }, () => undefined, {
    nowMs: Date.now,
  })
  expect(worker.mayLogIn).toBe(true)
  isFull = true
  worker.throttle('began', { kind: 'source', name: '192.0.2.1' })
  expect([worker.mayLogIn, careless.mayLogIn]).toEqual([false, true])
  isFull = false
  audit.look()
  expect(worker.mayLogIn).toBe(true)
})

/** A worker's side whose events wait until the test takes them; time goes on by `stepMs` with each event. */
function worker(stepMs = 1000): { readonly side: WorkerAudit; readonly posted: AuditEvent[] } {
  const posted: AuditEvent[] = []
  const side = new WorkerAudit(memory.current, (event) => posted.push(event), {
    nowMs: () => {
      nowMs += stepMs
      return nowMs
    },
  })
  return { side, posted }
}

function refuse(side: WorkerAudit, user: string, peer: string, command = 'set'): void {
  const principal = { name: user } as never
  side.refusal({ principal, peer: at(peer), command, lack: 'right', key: undefined })
}

/** `192.0.2.1:5`, or with brackets for IPv6. */
function at(text: string): Peer {
  return new Peer(text.replace(/:\d+$/, ''), text)
}

/** How many events the lines stand for, by what `name` gives. */
function countsBy(name: (line: Record<string, unknown>) => string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of lines) {
    const line = JSON.parse(text)
    counts[name(line)] = (counts[name(line)] ?? 0) + (line.count ?? 1)
  }
  return counts
}

function writeAll({ side, posted }: ReturnType<typeof worker>): void {
  for (let round = 0; round < 10; round++) {
    side.flush()
    for (const event of posted.splice(0)) audit.recordOfWorker(event)
  }
}

test('refusals that nobody keeps up with are counted together, and none is lost', () => {
  const one = worker()
  for (let index = 0; index < 20_000; index++) {
    const user = `user${index % 300}`
    refuse(one.side, user, `192.0.2.${(index % 300) % 250}:${1000 + index}`)
  }
  // The way between the threads is bounded.
  expect(one.posted.length).toBe(5000)
  writeAll(one)
  expect(lines.length).toBe(5300)
  const counts = countsBy(({ user }) => String(user))
  expect(Object.keys(counts)).toHaveLength(300)
  expect(Object.values(counts).reduce((sum, count) => sum + count)).toBe(20_000)
  expect(told().map(([sequence]) => sequence)).toEqual(lines.map((_, index) => index + 1))
  expect(JSON.parse(lines.at(-1)!)).toEqual({
    time: new Date(0).toISOString(),
    run: 'r',
    seq: 5300,
    event: 'refused',
    user: expect.stringMatching(/^user/),
    // Whose ports differ has its address.
    peer: expect.stringMatching(/^192\.0\.2\.\d+$/),
    command: 'set',
    lacks: 'right',
    count: expect.any(Number),
  })
})

test('more kinds of refusals than are told apart are counted by their user, and those by their kind', () => {
  const one = worker()
  for (let index = 0; index < 5000; index++) refuse(one.side, 'mallory', '192.0.2.1:5')
  for (let index = 0; index < 3000; index++) refuse(one.side, 'mallory', '192.0.2.1:5', `c${index}`)
  refuse(one.side, 'eve', '192.0.2.2:5')
  for (let index = 0; index < 3000; index++) refuse(one.side, `user${index}`, '192.0.2.1:5')
  writeAll(one)
  // 500 in full, 500 users beyond them, and one line for the users beyond these.
  expect(lines.length).toBe(5000 + 500 + 500 + 1)
  const counts = countsBy(({ user }) => String(user))
  expect(counts).toMatchObject({ mallory: 8000, eve: 1, undefined: 3000 - 498 })
  const mallory = lines.map((line) => JSON.parse(line)).filter(({ user }) => user === 'mallory')
  expect(mallory.at(-1)).toMatchObject({ peer: '192.0.2.1:5', lacks: 'right', count: 2500 })
  expect(mallory.at(-1)).not.toHaveProperty('command')
})

test('a flood of refusals, or of failed logins, costs no login, operation or throttling its own line', () => {
  const one = worker()
  const peer = '192.0.2.1:5'
  const principal = { name: 'admin' } as never
  for (let index = 0; index < 10_000; index++) {
    // From then on whoever makes more waits.
    expect(one.side.isBehind('refusals')).toBe(index >= 2500)
    refuse(one.side, 'mallory', peer)
    const failure = { user: '', unknownUser: `${index} hmac`, reason: 'unknown-user' } as const
    one.side.login({ succeeded: false, ...failure, peer: at(peer), mechanism: 'PLAIN' })
    one.side.handshake(at(peer), 'ERR_SSL')
  }
  expect([one.side.isBehind('operations'), one.side.mayLogIn]).toEqual([false, true])
  expect(one.posted).toHaveLength(7500)
  one.side.login({ succeeded: true, principal, peer: at(peer), mechanism: 'PLAIN' })
  one.side.operation({ principal, peer: at(peer), operation: 'flush', number: 0 })
  one.side.throttle('began', { kind: 'source', name: '192.0.2.1' })
  expect(one.posted.slice(7500)).toMatchObject([
    { event: 'login', outcome: 'success', user: 'admin', peer },
    { event: 'operation', user: 'admin', operation: 'flush', peer },
    { event: 'throttle' },
  ])
  writeAll(one)
  const counts = countsBy(({ event, outcome }) => `${event} ${outcome ?? ''}`)
  expect(counts).toEqual({
    'refused ': 10_000,
    'login failure': 10_000,
    'handshake failure': 10_000,
    'login success': 1,
    'operation ': 1,
    'throttle ': 1,
  })
  expect(one.side.isBehind('refusals')).toBe(false)
})

test('who logs in or has operations carried out all the time keeps nobody out, and is counted', () => {
  const one = worker()
  const peer = at('192.0.2.1:5')
  const mallory = { name: 'mallory' } as never
  for (let index = 0; index < 5000; index++) {
    expect(one.side.isBehind('operations')).toBe(index >= 625)
    one.side.login({ succeeded: true, principal: mallory, peer, mechanism: 'PLAIN' })
    one.side.operation({ principal: mallory, peer, operation: 'verbosity', number: 1 })
  }
  expect(one.side.mayLogIn).toBe(true)
  one.side.login({
    succeeded: true,
    principal: { name: 'alice' } as never,
    peer,
    mechanism: 'PLAIN',
  })
  writeAll(one)
  const counts = countsBy(({ event, user }) => `${event} ${user}`)
  expect(counts).toEqual({ 'login mallory': 5000, 'operation mallory': 5000, 'login alice': 1 })
})

test('where it must be recorded nobody logs in whose name could not be told', () => {
  const one = worker()
  const login = (name: string): void => {
    const principal = { name } as never
    one.side.login({ succeeded: true, principal, peer: at('192.0.2.1:5'), mechanism: 'PLAIN' })
  }
  for (let index = 0; index < 1250; index++) login('alice')
  for (let index = 0; index < 999; index++) login(`user${index}`)
  expect(one.side.mayLogIn).toBe(true)
  login('last')
  expect(one.side.mayLogIn).toBe(false)
  writeAll(one)
  expect(one.side.mayLogIn).toBe(true)
  expect(Object.keys(countsBy(({ user }) => String(user)))).toHaveLength(1001)
})

test('what waits in a worker is sent before it ends, whatever the way has room for', () => {
  const one = worker()
  for (let index = 0; index < 6000; index++) refuse(one.side, `user${index}`, '192.0.2.1:5')
  one.side.end()
  for (const event of one.posted.splice(0)) audit.recordOfWorker(event)
  expect(lines.length).toBe(6000)
  expect(one.side.isBehind('refusals')).toBe(false)
})

test('what was lost on a full disk is told with what it was and who made it', () => {
  isFull = true
  audit.record({ event: 'refused', user: 'mallory', count: 7 })
  audit.record({ event: 'login', outcome: 'success', user: 'alice' })
  audit.record({ event: 'stop' })
  isFull = false
  audit.look()
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    {
      seq: 4,
      event: 'lost',
      count: 3,
      events: ['refused 7', 'login 1', 'stop 1'],
      users: ['mallory', 'alice'],
    },
  ])
})

test('keys stand in refusals as hashes that are the same for the same key, or as they are', () => {
  const keysOf = (showsKeys: boolean): unknown[] => {
    const events: AuditEvent[] = []
    const worker = new WorkerAudit(
      { ...memory.current, showsKeys },
      (event) => events.push(event),
      { nowMs: Date.now },
    )
    for (const key of ['shop:1', 'shop:1', 'shop:2', '\n\u00ff']) {
      worker.refusal({
        principal: { name: 'alice' } as never,
        peer: at('192.0.2.1:5'),
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

describe('one who makes many lines', () => {
  const peer = '192.0.2.1:5'

  /** Makes `count` events in each of some seconds, flushed ten times a second, and gives what was posted of each. */
  function seconds(
    make: (side: WorkerAudit, index: number) => void,
    count: number,
  ): AuditEvent[][] {
    const one = worker(0)
    const told: AuditEvent[][] = []
    for (let second = 0; second < 5; second++) {
      for (let tenth = 0; tenth < 10; tenth++) {
        for (let index = 0; index < count / 10; index++) make(one.side, index + tenth * 1000)
        nowMs += 100
        one.side.flush()
      }
      told.push(one.posted.splice(0))
    }
    one.side.end()
    told.push(one.posted.splice(0))
    return told
  }

  const sumOf = (events: readonly AuditEvent[]): number =>
    events.reduce((sum, event) => sum + Number('count' in event ? (event.count ?? 1) : 1), 0)

  const FAILURE = { succeeded: false, peer: at(peer), mechanism: 'SCRAM-SHA-256' } as const
  const MALLORY = { name: 'mallory' } as never

  test.each<[string, (side: WorkerAudit, index: number) => void]>([
    ['a user who is refused', (side) => refuse(side, 'mallory', peer, 'get')],
    [
      'one who is refused all kinds of things',
      (side, index) => refuse(side, 'mallory', `192.0.2.1:${index}`, `c${index}`),
    ],
    [
      'a stranger who leaves',
      (side) =>
        side.login({ ...FAILURE, user: '', unknownUser: undefined, reason: 'aborted' } as never),
    ],
    [
      'a stranger who tries names',
      (side, index) =>
        side.login({ ...FAILURE, user: `user${index}`, reason: 'wrong-password' } as never),
    ],
    [
      'a stranger with many addresses',
      (side, index) => side.handshake(at(`[2001:db8::${index % 100}]:5`), `E${index}`),
    ],
    [
      'a stranger with a thousand networks of one /48',
      (side, index) =>
        side.login({
          ...FAILURE,
          peer: at(`[2001:db8:7:${(index % 1000).toString(16)}::1]:5`),
          user: '',
          unknownUser: undefined,
          reason: 'unknown-mechanism',
        } as never),
    ],
    [
      'a user with a thousand networks of one /48',
      (side, index) => refuse(side, 'mallory', `[2001:db8:7:${(index % 1000).toString(16)}::1]:5`),
    ],
    [
      'one who logs in',
      (side) =>
        side.login({ succeeded: true, principal: MALLORY, peer: at(peer), mechanism: 'PLAIN' }),
    ],
    [
      'an operator',
      (side, number) =>
        side.operation({ principal: MALLORY, peer: at(peer), operation: 'verbosity', number }),
    ],
  ])('%s: so many a second and no more, and none is lost', (_, make) => {
    const told = seconds(make, 5000)
    for (const [index, events] of told.entries())
      expect(events.length, `${index}`).toBeLessThanOrEqual(20)
    expect(sumOf(told.flat())).toBe(25_000)
    // The first in full.
    expect(told[0]!.slice(0, 10).every((event) => !('count' in event))).toBe(true)
    // Once the seconds follow each other, ten a second of all kinds together.
    expect(told[3]!.length).toBeLessThanOrEqual(10)
  })

  test('is bounded together with all strangers, who may own as many networks as they like', () => {
    const told = seconds((side, index) => {
      for (let site = 0; site < 20; site++) {
        side.handshake(at(`[2001:db8:${(index * 20 + site).toString(16)}::1]:5`), 'ERR_SSL')
      }
    }, 100)
    for (const [index, events] of told.entries())
      expect(events.length, `${index}`).toBeLessThanOrEqual(200)
    expect(told[3]!.length).toBeLessThanOrEqual(100)
    expect(sumOf(told.flat())).toBe(10_000)
    expect(told[0]!.slice(0, 100).every((event) => !('count' in event))).toBe(true)
  })

  test('takes no line from others, whose first ones stand alone', () => {
    const one = worker(0)
    for (let index = 0; index < 1000; index++) refuse(one.side, 'mallory', peer)
    refuse(one.side, 'alice', peer)
    refuse(one.side, 'mallory', '198.51.100.7:5')
    expect(one.posted).toHaveLength(12)
    expect(one.posted.slice(10)).toMatchObject([{ user: 'alice' }, { peer: '198.51.100.7:5' }])
    nowMs += 1000
    one.side.flush()
    expect(one.posted.at(-1)).toMatchObject({ user: 'mallory', peer, command: 'set', count: 990 })
    expect(one.posted).toHaveLength(13)
  })

  test('is one of a thousand that are told apart; those beyond are counted together, but for who got in', () => {
    const one = worker(0)
    for (let index = 0; index < 1500; index++) {
      one.side.handshake(at(`10.0.${index >> 8}.${index & 255}:5`), 'ERR_SSL')
      const principal = { name: `user${index}` } as never
      one.side.login({
        succeeded: true,
        principal,
        peer: at(`10.0.${index >> 8}.1:5`),
        mechanism: 'PLAIN',
      })
    }
    one.side.end()
    expect(sumOf(one.posted)).toBe(3000)
    const users = one.posted.flatMap((event) => ('user' in event ? [event.user] : []))
    expect(new Set(users).size).toBe(1500)
  })
})
