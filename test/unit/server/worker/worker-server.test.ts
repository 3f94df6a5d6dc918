/** A worker, its main thread, its clients and its time all in one test. */
import { describe, expect, test } from 'vitest'
import { ACCESS_ALL, type Access } from '../../../../src/credential/access.ts'
import type { CredentialSnapshot } from '../../../../src/credential/credential-snapshot.ts'
import { RIGHT, RIGHTS_ALL } from '../../../../src/credential/rights.ts'
import { COUNTER, counterLane, createCounterMemory } from '../../../../src/observe/counters.ts'
import { createPrefixMemory, DEFAULT_DELIMITER } from '../../../../src/observe/prefix-table.ts'
import { LOOK_INTERVAL_MS, Watchdog } from '../../../../src/server/main/watchdog.ts'
import { ListenError } from '../../../../src/server/net/listen-error.ts'
import type { SharedMemory } from '../../../../src/server/worker/worker-messages.ts'
import { createStoreMemory } from '../../../../src/storage/geometry.ts'
import { addNamespace } from '../../../../src/storage/namespaces.ts'
import type { ManualNewcomer } from '../../../support/manual-newcomer.ts'
import {
  ManualWorker,
  manualSettings,
  manualShared,
  withUsers,
} from '../../../support/manual-worker.ts'
import { snapshotOf } from '../../sasl/fixture.ts'

const MEBIBYTE = 1024 * 1024
const ALICE = snapshotOf({ alice: 'secret' })
const BOB = snapshotOf({ bob: 'secret' })

async function started(...parts: ConstructorParameters<typeof ManualWorker>) {
  const worker = new ManualWorker(...parts)
  await worker.start()
  expect(worker.takePosted()).toEqual([{ kind: 'listening' }])
  return worker
}

/** As alice; her key is derived on another thread. */
/** Gives the worker turns until it has answered: a key is derived on another thread. */
async function untilAnswered({ clock }: ManualWorker, answered: Promise<unknown>): Promise<void> {
  let isAnswered = false
  void answered.then(() => {
    isAnswered = true
  })
  while (!isAnswered) {
    clock.turn()
    await new Promise(setImmediate)
  }
}

async function logIn(worker: ManualWorker, { transport }: ManualNewcomer): Promise<void> {
  const answered = transport.nextWrite()
  transport.deliver(Buffer.from('set auth 0 0 12\r\nalice secret\r\n'))
  await untilAnswered(worker, answered)
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
    expect(worker.takePosted()).toEqual([
      { kind: 'refused', message: 'no such address', isFollowing: false },
    ])
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
    await logIn(worker, client)
    worker.receive({ kind: 'credentials', credentials: BOB, reloadId: 7 })
    expect(worker.takePosted()).toEqual([
      { kind: 'remembered', login: expect.objectContaining({ name: 'alice' }) },
      { kind: 'credentials-in-force', reloadId: 7 },
    ])
    expect([client.transport.isOpen, stranger.transport.isOpen]).toEqual([false, true])
    expect(worker.logged.map(({ event }) => event)).toEqual(['login', 'removed_users_cut'])
  })

  test('cut off nobody who is still among them', async () => {
    const worker = await started(withUsers(ALICE))
    const client = worker.connect()
    await logIn(worker, client)
    worker.receive({ kind: 'credentials', credentials: ALICE, reloadId: 1 })
    expect(client.transport.isOpen).toBe(true)
    expect(worker.ask(client, 'get a\r\n')).toBe('END\r\n')
  })
})

/** The users of a snapshot, with such access. */
function withAccess(snapshot: CredentialSnapshot, access: Partial<Access>): CredentialSnapshot {
  const users = snapshot.users.map((user) => ({ ...user, access: { ...ACCESS_ALL, ...access } }))
  const shop = { name: 'shop', id: 1, memoryBytes: 1024 * 1024 }
  return { ...snapshot, users, namespaces: [...snapshot.namespaces, shop] }
}

const DENIED = 'CLIENT_ERROR permission denied: this user lacks the right\r\n'
const NO_KEY = 'CLIENT_ERROR permission denied: this user may not use this key\r\n'

describe('rights that change', () => {
  test('hold for who is logged in from the next request on', async () => {
    const worker = await started({ ...withUsers(ALICE), logLevel: 'debug' })
    const client = worker.connect()
    await logIn(worker, client)
    expect(worker.ask(client, 'set a:1 0 0 1\r\nx\r\n')).toBe('STORED\r\n')
    const readOnly = withAccess(ALICE, { rights: RIGHT.read, keyPrefixes: ['a:'] })
    worker.receive({ kind: 'credentials', credentials: readOnly, reloadId: 1 })
    expect(worker.ask(client, 'set a:1 0 0 1\r\ny\r\n')).toBe(DENIED)
    expect(worker.ask(client, 'get a:1 b\r\n')).toBe(NO_KEY)
    expect(worker.ask(client, 'get a:1\r\n')).toBe('VALUE a:1 0 1\r\nx\r\nEND\r\n')
    worker.receive({ kind: 'credentials', credentials: ALICE, reloadId: 2 })
    expect(worker.ask(client, 'set b 0 0 1\r\ny\r\n')).toBe('STORED\r\n')
    const denied = worker.logged.filter(({ event }) => event === 'command_denied')
    expect(denied.map(({ fields }) => fields)).toEqual([
      { user: 'alice', peer: '192.0.2.1:40000', command: 'set', lacks: 'right' },
      { user: 'alice', peer: '192.0.2.1:40000', command: 'get', lacks: 'key' },
    ])
  })

  test('hold for a value that is half here', async () => {
    const worker = await started(withUsers(ALICE))
    const client = worker.connect()
    await logIn(worker, client)
    const value = 'x'.repeat(600_000)
    worker.ask(client, `set a 0 0 ${value.length}\r\n${value.slice(0, 300_000)}`)
    const readOnly = withAccess(ALICE, { rights: RIGHT.read })
    worker.receive({ kind: 'credentials', credentials: readOnly, reloadId: 1 })
    expect(worker.ask(client, `${value.slice(300_000)}\r\nget a\r\n`)).toBe(`${DENIED}END\r\n`)
  })

  test('cut off who watches and may not any more, and who is in the midst of a dump', async () => {
    const worker = await started(withUsers(ALICE))
    const [watcher, dumper, reader] = [worker.connect(), worker.connect(), worker.connect()]
    for (const client of [watcher, dumper, reader]) await logIn(worker, client)
    for (let n = 0; n < 3000; n++) worker.ask(reader, `set key:${n} 0 0 1 noreply\r\nx\r\n`)
    expect(worker.ask(watcher, 'watch mutations\r\n')).toBe('OK\r\n')
    // The reader of the dump takes nothing, so the dump stands still.
    dumper.transport.unsentBytes = 10_000_000
    dumper.transport.deliver(Buffer.from('lru_crawler metadump all\r\n'))
    const fewer = withAccess(ALICE, { rights: RIGHTS_ALL & ~RIGHT.watch & ~RIGHT.dump })
    worker.receive({ kind: 'credentials', credentials: fewer, reloadId: 1 })
    const isOpen = [watcher, dumper, reader].map(({ transport }) => transport.isOpen)
    expect(isOpen).toEqual([false, false, true])
  })

  test('leave a dump and a watch alone that are still allowed', async () => {
    const worker = await started(withUsers(ALICE))
    const watcher = worker.connect()
    await logIn(worker, watcher)
    expect(worker.ask(watcher, 'watch mutations\r\n')).toBe('OK\r\n')
    const fewer = withAccess(ALICE, { rights: RIGHT.watch })
    worker.receive({ kind: 'credentials', credentials: fewer, reloadId: 1 })
    expect(watcher.transport.isOpen).toBe(true)
  })

  test('cut off who is in another namespace now', async () => {
    const worker = await started(withUsers(ALICE))
    const client = worker.connect()
    await logIn(worker, client)
    const moved = withAccess(ALICE, { namespace: 'shop' })
    worker.receive({ kind: 'credentials', credentials: moved, reloadId: 1 })
    expect(client.transport.isOpen).toBe(false)
    expect(worker.logged.map(({ event }) => event)).toEqual(['login', 'moved_users_cut'])
  })
})

/** With a namespace beside the default one. */
function sharedWithTenant(): SharedMemory {
  const store = createStoreMemory({
    memoryBytes: 8 * MEBIBYTE,
    itemBytesMax: 64 * 1024,
    evicts: true,
    workerCount: 1,
    seed: [1, 2],
    quotaBytesMin: 2 * MEBIBYTE,
  })
  const tenant = {
    name: 'shop',
    id: 1,
    store: addNamespace(store, { namespace: 1, quotaBytes: 2 * MEBIBYTE, seed: [1, 7] }),
    counters: createCounterMemory(1),
    prefixes: createPrefixMemory(DEFAULT_DELIMITER, [1, 7]),
  }
  return { ...manualShared(), store, namespaces: [tenant] }
}

describe('a listener that stands for a user', () => {
  const MONITOR = withAccess(snapshotOf({ alice: 'secret' }), { rights: RIGHT.stats })
  const sockets = manualSettings(manualShared()).sockets.map((socket) => ({
    ...socket,
    identity: 'alice',
  }))

  test('makes who connects that user, with its rights and no more', async () => {
    const worker = await started({ ...withUsers(MONITOR), sockets })
    const client = worker.connect('127.0.0.1')
    expect(worker.ask(client, 'version\r\n')).toBe('VERSION 0\r\n')
    expect(worker.ask(client, 'stats\r\n')).toMatch(/^STAT pid [\s\S]*END\r\n$/)
    expect(worker.ask(client, 'get a\r\nset a 0 0 1\r\nx\r\n')).toBe(DENIED + DENIED)
    // It is no stranger whose time to log in runs out.
    worker.clock.pass(60_000)
    expect(worker.ask(client, 'version\r\n')).toBe('VERSION 0\r\n')
  })

  test('does not have who connects wait among strangers', async () => {
    const settings = { ...withUsers(MONITOR), unauthenticatedConnectionsMax: 1 }
    const plain = manualSettings(manualShared()).sockets
    const worker = await started({ ...settings, sockets: [...plain, ...sockets] })
    const [stranger, waiting] = [worker.connect(), worker.connect()]
    expect([stranger.state, waiting.state]).toEqual(['open', 'new'])
    const client = worker.connect('127.0.0.1', 1)
    expect(worker.ask(client, 'stats\r\n')).toContain('STAT curr_connections 3\r\n')
    client.transport.leave()
    stranger.transport.leave()
    expect(waiting.state).toBe('open')
  })

  test('takes a login as another user', async () => {
    const worker = await started({ ...withUsers(ALICE), sockets })
    const client = worker.connect('127.0.0.1')
    const plain = Buffer.from('\0alice\0secret')
    const answered = client.transport.nextWrite()
    client.transport.deliver(
      Buffer.from(`sasl auth PLAIN ${plain.length}\r\n${plain.toString('latin1')}\r\n`, 'latin1'),
    )
    await untilAnswered(worker, answered)
    expect(worker.logged.map(({ event }) => event)).toEqual(['login'])
  })

  test('lets as many in as its namespace has places, and asks others for a login', async () => {
    const shared = sharedWithTenant()
    // Of 100 places each of two namespaces has 12, and the other 76 are for whoever comes first.
    const settings = { ...withUsers(MONITOR), sockets, unauthenticatedConnectionsMax: 100 }
    const worker = await started(settings, shared)
    const clients = Array.from({ length: 88 }, () => worker.connect('127.0.0.1'))
    for (const client of clients) expect(worker.ask(client, 'stats\r\n')).toContain('STAT pid')
    const next = worker.connect('127.0.0.1')
    expect(worker.ask(next, 'stats\r\n')).toBe('CLIENT_ERROR unauthenticated\r\n')
    expect(worker.logged.map(({ event, fields }) => [event, fields?.reason])).toEqual([
      ['login_failed', 'namespace-full'],
    ])
    clients[0]?.transport.leave()
    expect(worker.ask(worker.connect('127.0.0.1'), 'stats\r\n')).toContain('STAT pid')
  })

  test('has those whom it does not let in wait among strangers', async () => {
    const limits = { unauthenticatedConnectionsMax: 2 }
    const worker = await started({ ...withUsers(BOB), ...limits, sockets })
    const states = Array.from({ length: 4 }, () => worker.connect('127.0.0.1').state)
    expect(states).toEqual(['open', 'open', 'new', 'new'])
    // A user of that name comes with a reload: who waits is let in when a place comes free, and others at once.
    worker.receive({ kind: 'credentials', credentials: MONITOR, reloadId: 1 })
    expect(worker.ask(worker.connect('127.0.0.1'), 'stats\r\n')).toContain('STAT pid')
  })

  test('has those wait, too, for whom its namespace has no place', async () => {
    const settings = { ...withUsers(MONITOR), sockets, unauthenticatedConnectionsMax: 2 }
    const worker = await started(settings, sharedWithTenant())
    const clients = Array.from({ length: 92 }, () => worker.connect('127.0.0.1'))
    expect(clients.slice(0, 90).every(({ state }) => state === 'open')).toBe(true)
    expect(clients.slice(90).map(({ state }) => state)).toEqual(['new', 'new'])
    // A place of a user that comes free is for who comes next, one of a stranger for who waits.
    clients[1]?.transport.leave()
    clients[88]?.transport.leave()
    expect(clients[90]?.state).toBe('open')
  })

  test('lets nobody in without a login once its user is gone, and cuts off who was', async () => {
    const worker = await started({ ...withUsers(MONITOR), sockets })
    const client = worker.connect('127.0.0.1')
    worker.receive({ kind: 'credentials', credentials: BOB, reloadId: 1 })
    expect(client.transport.isOpen).toBe(false)
    const next = worker.connect('127.0.0.1')
    expect(worker.ask(next, 'stats\r\n')).toBe('CLIENT_ERROR unauthenticated\r\n')
    worker.clock.pass(10_300)
    expect(next.transport.isOpen).toBe(false)
  })
})

describe('a worker that stops', () => {
  test('accepts no more at once, and has stopped when the last client is gone', async () => {
    const worker = await started(withUsers(ALICE))
    const idle = worker.connect()
    const half = worker.connect()
    await logIn(worker, half)
    worker.takePosted()
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
  })

  test('is not taken for stuck while others drain, and does nothing else', async () => {
    const shared = manualShared()
    const worker = await started({}, shared)
    worker.receive({ kind: 'stop', deadlineMs: 60_000 })
    expect(worker.takePosted()).toHaveLength(2)
    const watchdog = new Watchdog(shared.workerTable)
    for (let second = 0; second < 60; second++) {
      worker.clock.pass(LOOK_INTERVAL_MS)
      expect(watchdog.look()).toBe('well')
    }
    expect(worker.clock.periodCount).toBe(1)
    expect(worker.takePosted()).toEqual([])
  })

  test('cuts off who is not done by the deadline, and counts them', async () => {
    const worker = await started(withUsers(ALICE))
    const client = worker.connect()
    await logIn(worker, client)
    worker.takePosted()
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
    const shared = manualShared()
    const worker = await started({}, shared)
    worker.source.options.onAcceptError('EMFILE')
    worker.source.options.onAcceptError('EMFILE')
    const told = { event: 'accept_failed', fields: { code: 'EMFILE', failures: 1 } }
    expect(worker.logged).toMatchObject([told])
    const lane = counterLane(shared.counters, 0)
    expect(lane[COUNTER.rejected_connections]).toBe(2)
    expect(lane[COUNTER.rejected_full]).toBe(2)
    worker.clock.pass(10_000)
    worker.source.options.onAcceptError('EMFILE')
    expect(worker.logged).toMatchObject([told, { fields: { failures: 3 } }])
  })
})
