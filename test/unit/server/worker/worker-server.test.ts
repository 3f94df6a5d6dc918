/** A worker, its main thread, its clients and its time all in one test. */
import { describe, expect, test } from 'vitest'
import { ListenError } from '../../../../src/server/net/listen-error.ts'
import type { ManualNewcomer } from '../../../support/manual-newcomer.ts'
import { ManualWorker, manualShared, withUsers } from '../../../support/manual-worker.ts'
import { snapshotOf } from '../../sasl/fixture.ts'

const ALICE = snapshotOf({ alice: 'secret' })
const BOB = snapshotOf({ bob: 'secret' })

async function started(...parts: ConstructorParameters<typeof ManualWorker>) {
  const worker = new ManualWorker(...parts)
  await worker.start()
  expect(worker.takePosted()).toEqual([{ kind: 'listening' }])
  return worker
}

/** As alice; her key is derived on another thread. */
async function logIn({ transport }: ManualNewcomer): Promise<void> {
  const answered = transport.nextWrite()
  transport.deliver(Buffer.from('set auth 0 0 12\r\nalice secret\r\n'))
  await answered
  expect(transport.output.toString('latin1')).toBe('STORED\r\n')
  transport.unsentBytes = 0
}

describe('a worker that starts', () => {
  test('listens on every socket of the server and says so', async () => {
    const worker = await started()
    expect(worker.source.listened.map(({ address }) => address.port)).toEqual([11211])
  })

  test('that cannot listen says why and nothing else', async () => {
    const worker = new ManualWorker()
    worker.source.error = new ListenError('no such address')
    await worker.start()
    expect(worker.takePosted()).toEqual([{ kind: 'refused', message: 'no such address' }])
  })

  test('tells what its release of Node does not have', async () => {
    const worker = await started()
    worker.source.options.onWithout('write')
    expect(worker.takePosted()).toEqual([{ kind: 'without', internal: 'write' }])
  })
})

describe('a client of a worker', () => {
  test('is served by its dialect, and seen by who asks for the connections', async () => {
    const worker = await started()
    const client = worker.connect('2001:db8::7')
    expect(worker.ask(client, 'set a 0 0 1\r\nx\r\n')).toBe('STORED\r\n')
    worker.clock.pass(3000)
    const rows = worker.ask(worker.connect(), 'stats conns\r\n').split('\r\n')
    expect(rows).toContain('STAT 1:addr tcp:192.0.2.100:11211')
    expect(rows).toContain('STAT 1:state conn_listening')
    expect(rows).toContain('STAT 2:addr tcp6:[2001:db8::7]:40000')
    expect(rows).toContain('STAT 2:listen_addr tcp:192.0.2.100:11211')
    expect(rows).toContain('STAT 2:secs_since_last_cmd 3')
    client.transport.leave()
    expect(worker.ask(worker.connect(), 'stats conns\r\n')).not.toContain('2001:db8')
  })

  test('expires items by the time of the server', async () => {
    const worker = await started()
    const client = worker.connect()
    worker.ask(client, 'set a 0 10 1\r\nx\r\n')
    worker.clock.pass(9000)
    expect(worker.ask(client, 'get a\r\n')).toBe('VALUE a 0 1\r\nx\r\nEND\r\n')
    worker.clock.pass(2000)
    expect(worker.ask(client, 'get a\r\n')).toBe('END\r\n')
  })

  test('that is not logged in is cut off when its time is up', async () => {
    const worker = await started(withUsers(ALICE))
    const client = worker.connect()
    expect(worker.ask(client, 'get a\r\n')).toBe('CLIENT_ERROR unauthenticated\r\n')
    worker.clock.pass(9900)
    expect(client.transport.isOpen).toBe(true)
    worker.clock.pass(300)
    expect(client.transport.isOpen).toBe(false)
  })

  test('that finds no place waits, and is refused where nobody may wait', async () => {
    const waits = await started({ connectionsMax: 1 })
    const first = waits.connect()
    const second = waits.connect()
    expect(second.state).toBe('new')
    expect(waits.ask(first, 'stats\r\n')).toContain('STAT accepting_conns 0\r\n')
    first.transport.leave()
    expect(second.state).toBe('open')
    const refuses = await started({ connectionsMax: 1, heldConnectionsMax: 0 })
    refuses.connect()
    const refused = refuses.connect()
    expect(refused.state).toBe('refused')
    expect(refused.notice).toBe('ERROR Too many open connections\r\n')
  })

  test('asks for another verbosity, of which the main thread hears once a tick', async () => {
    const worker = await started()
    const client = worker.connect()
    expect(worker.ask(client, 'verbosity 1\r\nverbosity 2\r\n')).toBe('OK\r\nOK\r\n')
    expect(worker.takePosted()).toEqual([])
    worker.clock.pass(200)
    expect(worker.takePosted()).toEqual([{ kind: 'verbosity', level: 2 }])
    worker.receive({ kind: 'log-level', level: 'trace', verbosity: 2 })
    expect(worker.ask(client, 'stats settings\r\n')).toContain('STAT verbosity 2\r\n')
  })

  test('asks for the end of the server', async () => {
    const worker = await started()
    worker.ask(worker.connect(), 'shutdown\r\n')
    expect(worker.takePosted()).toContainEqual({ kind: 'shutdown' })
  })

  test('that watches is sent what others do, until it leaves', async () => {
    const worker = await started()
    const watcher = worker.connect('192.0.2.9')
    const periods = worker.clock.periodCount
    expect(worker.ask(watcher, 'watch connevents\r\n')).toBe('OK\r\n')
    expect(worker.clock.periodCount).toBe(periods + 1)
    const other = worker.connect('192.0.2.7')
    other.transport.leave()
    worker.clock.pass(10)
    const lines = watcher.transport.output.toString('latin1')
    expect(lines).toMatch(/type=conn_new rip=192\.0\.2\.7/)
    expect(lines).toMatch(/type=conn_close rip=192\.0\.2\.7/)
    watcher.transport.leave()
    expect(worker.clock.periodCount).toBe(periods)
  })
})

describe('the settings as operators see them', () => {
  test('are those of now: the limit, the port and what was switched on', async () => {
    const worker = await started()
    const rows = worker.ask(worker.connect(), 'stats settings\r\n')
    expect(rows).toContain('STAT maxbytes 8388608\r\n')
    expect(rows).toContain('STAT tcpport 11211\r\n')
    expect(rows).toContain('STAT verbosity 0\r\n')
    expect(rows).toContain('STAT evictions on\r\n')
  })
})

describe('other users', () => {
  test('are in force before the main thread is told, and cut off who is there no more', async () => {
    const worker = await started(withUsers(ALICE))
    const client = worker.connect()
    const stranger = worker.connect()
    await logIn(client)
    worker.receive({ kind: 'credentials', credentials: BOB, reloadId: 7 })
    expect(worker.takePosted()).toEqual([{ kind: 'credentials-in-force', reloadId: 7 }])
    expect([client.transport.isOpen, stranger.transport.isOpen]).toEqual([false, true])
    expect(worker.logged.map(({ event }) => event)).toEqual(['login', 'removed_users_cut'])
  })

  test('cut off nobody who is still among them', async () => {
    const worker = await started(withUsers(ALICE))
    const client = worker.connect()
    await logIn(client)
    worker.receive({ kind: 'credentials', credentials: ALICE, reloadId: 1 })
    expect(client.transport.isOpen).toBe(true)
    expect(worker.ask(client, 'get a\r\n')).toBe('END\r\n')
  })
})

describe('a worker that stops', () => {
  test('accepts no more at once, and has stopped when the last client is gone', async () => {
    const worker = await started(withUsers(ALICE))
    const idle = worker.connect()
    const half = worker.connect()
    await logIn(half)
    worker.ask(half, 'set a 0 0 5\r\nxx')
    worker.receive({ kind: 'stop', deadlineMs: 5000 })
    expect(worker.takePosted()).toEqual([{ kind: 'accepts-no-more' }])
    expect(worker.source.isPaused).toBe(true)
    expect(worker.connect().state).toBe('closed')
    expect([idle.transport.isOpen, half.transport.isOpen]).toEqual([false, true])
    idle.transport.leave()
    expect(worker.ask(half, 'xxx\r\n')).toBe('STORED\r\n')
    expect(half.transport.isOpen).toBe(false)
    half.transport.leave()
    expect(worker.takePosted()).toEqual([{ kind: 'stopped', cutCount: 0 }])
    expect(worker.clock.periodCount).toBe(0)
  })

  test('cuts off who is not done by the deadline, and counts them', async () => {
    const worker = await started(withUsers(ALICE))
    const client = worker.connect()
    await logIn(client)
    worker.ask(client, 'set a 0 0 5\r\nxx')
    worker.receive({ kind: 'stop', deadlineMs: 5000 })
    worker.clock.pass(4999)
    expect(worker.takePosted()).toEqual([{ kind: 'accepts-no-more' }])
    worker.clock.pass(1)
    expect(worker.takePosted()).toEqual([{ kind: 'stopped', cutCount: 1 }])
  })

  test('without a client has stopped at once, however often it is told to', async () => {
    const worker = await started()
    for (let count = 0; count < 2; count++) worker.receive({ kind: 'stop', deadlineMs: 1 })
    worker.clock.pass(1000)
    expect(worker.takePosted()).toEqual([
      { kind: 'accepts-no-more' },
      { kind: 'stopped', cutCount: 0 },
    ])
  })

  test('closes those that wait for a place', async () => {
    const worker = await started({ connectionsMax: 1 })
    worker.connect()
    const waiting = worker.connect()
    worker.receive({ kind: 'stop', deadlineMs: 1 })
    expect(waiting.state).toBe('closed')
  })
})

describe('newcomers', () => {
  test('are held off while the main thread says so', async () => {
    const worker = await started()
    worker.receive({ kind: 'accept', accepts: false })
    expect(worker.source.isPaused).toBe(true)
    worker.clock.pass(1000)
    expect(worker.source.isPaused).toBe(true)
    worker.receive({ kind: 'accept', accepts: true })
    expect(worker.source.isPaused).toBe(false)
  })

  test('are not let in again by a worker that has stopped', async () => {
    const worker = await started()
    worker.receive({ kind: 'stop', deadlineMs: 1 })
    worker.receive({ kind: 'accept', accepts: true })
    expect(worker.source.isPaused).toBe(true)
  })

  test('are left to the worker that has fewer connections', async () => {
    const shared = manualShared(2)
    const one = await started({ workerIndex: 0 }, shared)
    const other = await started({ workerIndex: 1 }, shared, one.clock)
    one.clock.pass(100)
    expect([one.source.isPaused, other.source.isPaused]).toEqual([false, false])
    const client = one.connect()
    expect([one.source.isPaused, other.source.isPaused]).toEqual([true, false])
    client.transport.leave()
    expect(one.source.isPaused).toBe(false)
  })

  test('that could not be accepted are told of in the log', async () => {
    const worker = await started()
    worker.source.options.onAcceptError('EMFILE')
    expect(worker.logged).toMatchObject([{ event: 'accept_failed', fields: { code: 'EMFILE' } }])
  })
})
