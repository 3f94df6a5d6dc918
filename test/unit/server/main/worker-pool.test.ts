/** The worker threads as the main thread sees them, without a thread. */
import { describe, expect, test } from 'vitest'
import { WorkerTable } from '../../../../src/server/admission/worker-table.ts'
import { StartError } from '../../../../src/server/main/start-error.ts'
import { WorkerPool, type WorkerThread } from '../../../../src/server/main/worker-pool.ts'
import type { FromWorker, ToWorker } from '../../../../src/server/worker/worker-messages.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { manualSettings, manualShared } from '../../../support/manual-worker.ts'

/** A thread that says what a test says. */
class ManualThread implements WorkerThread {
  readonly told: ToWorker[] = []
  isTerminated = false
  private readonly listeners: Record<string, (value: never) => void> = {}

  on(event: string, listener: (value: never) => void): void {
    this.listeners[event] = listener
  }

  postMessage(message: ToWorker): void {
    this.told.push(message)
  }

  async terminate(): Promise<void> {
    this.isTerminated = true
    this.emit('exit', 1)
  }

  post(message: FromWorker): void {
    this.emit('message', message)
  }

  emit(event: 'message' | 'error' | 'exit', value: unknown): void {
    this.listeners[event]?.(value as never)
  }
}

function makePool(workerCount = 2) {
  const shared = manualShared(workerCount)
  const clock = new ManualClock()
  const threads: ManualThread[] = []
  /** What the pool reported, in order. */
  const reported: unknown[][] = []
  const report =
    (name: string) =>
    (...values: readonly unknown[]) =>
      void reported.push([name, ...values])
  const pool = new WorkerPool({
    say: (_, event) => report('say')(event),
    clock,
    spawn: () => {
      const thread = new ManualThread()
      threads.push(thread)
      return thread
    },
    onLog: ({ event }) => report('log')(event),
    onAudit: () => undefined,
    onNamespacesLeft: () => undefined,
    onReloaded: report('reloaded'),
    onCertificates: report('certificates'),
    onRefreshCertificates: report('refresh'),
    onTokenKeysWanted: () => undefined,
    onRemembered: report('remembered'),
    onWithout: report('without'),
    onVerbosity: report('verbosity'),
    onShutdown: report('shutdown'),
    onAcceptsNoMore: report('accepts no more'),
    onStopped: report('stopped'),
    onStuck: report('stuck'),
    onDeath: (error) => report('death')((error as Error).message),
  })
  const settings = Array.from({ length: workerCount }, () => manualSettings(shared))
  return { pool, clock, shared, threads, reported, starting: pool.start(settings) }
}

async function makeStartedPool(workerCount = 2) {
  const made = makePool(workerCount)
  for (const thread of made.threads) thread.post({ kind: 'listening' })
  await made.starting
  return made
}

test('what a worker found right is told to the others, and not to itself', async () => {
  const { threads, reported } = await makeStartedPool(3)
  const login = { name: 'alice', digest: new Uint8Array(32), verifier: 'any' }
  threads[1]?.post({ kind: 'remembered', login })
  const told = [{ kind: 'remembered', login }]
  expect(threads.map((thread) => thread.told)).toEqual([told, [], told])
  expect(reported).toEqual([['remembered', login]])
})

describe('a pool that starts', () => {
  test('has started when all of its workers listen', async () => {
    const { pool, threads, starting } = makePool()
    let hasStarted = false
    const started = starting.then(() => {
      hasStarted = true
    })
    threads[1]?.post({ kind: 'listening' })
    await Promise.resolve()
    expect(hasStarted).toBe(false)
    threads[0]?.post({ kind: 'listening' })
    await started
    expect(pool.size).toBe(2)
  })

  test('fails with what a worker says that cannot listen', async () => {
    const { threads, starting, reported } = makePool()
    threads[0]?.post({ kind: 'refused', message: 'the address is in use', isFollowing: false })
    await expect(starting).rejects.toThrow(StartError)
    expect(reported).toEqual([])
  })

  test('fails where the system has no thread to give, which is no death', async () => {
    const { threads, starting, reported } = makePool()
    const error = Object.assign(new Error('no thread'), { code: 'ERR_WORKER_INIT_FAILED' })
    threads[0]?.emit('error', error)
    threads[0]?.emit('exit', 1)
    await expect(starting).rejects.toBe(error)
    expect(reported).toEqual([])
  })
})

test('what a worker has to say is passed on', async () => {
  const { threads, reported } = await makeStartedPool(1)
  const [thread] = threads
  thread?.post({ kind: 'log', event: { level: 'info', event: 'a', message: '', fields: {} } })
  thread?.post({ kind: 'credentials-in-force', reloadId: 3 })
  thread?.post({ kind: 'without', internal: 'write' })
  thread?.post({ kind: 'verbosity', level: 2 })
  thread?.post({ kind: 'shutdown' })
  expect(reported).toEqual([
    ['log', 'a'],
    ['reloaded', 3],
    ['without', 'write'],
    ['verbosity', 2],
    ['shutdown'],
  ])
})

describe('a pool that stops', () => {
  test('has stopped when every worker has, and adds up what they cut', async () => {
    const { pool, threads, reported } = await makeStartedPool()
    pool.stop(500)
    for (const { told } of threads) expect(told).toEqual([{ kind: 'stop', deadlineMs: 500 }])
    threads[0]?.post({ kind: 'accepts-no-more' })
    expect(reported).toEqual([])
    threads[1]?.post({ kind: 'accepts-no-more' })
    expect(reported).toEqual([['accepts no more']])
    threads[1]?.post({ kind: 'stopped', cutCount: 2 })
    threads[0]?.post({ kind: 'stopped', cutCount: 3 })
    expect(reported.slice(1)).toEqual([['stopped', 5]])
    await pool.end()
    expect(threads.map(({ isTerminated }) => isTerminated)).toEqual([true, true])
    expect(reported).toHaveLength(2)
  })
})

describe('a start that is given up', () => {
  test('is over when no worker does anything any more, whatever each was at', async () => {
    const { pool, threads, reported, starting } = makePool(4)
    starting.catch(() => undefined)
    threads[0]?.post({ kind: 'listening' })
    threads[1]?.post({ kind: 'refused', message: 'in use', isFollowing: false })
    let over: boolean | undefined
    const abandoned = pool.abandon().then((isOver) => {
      over = isOver
    })
    for (const { told } of threads) expect(told).toEqual([{ kind: 'stop', deadlineMs: 0 }])
    threads[0]?.post({ kind: 'accepts-no-more' })
    threads[0]?.post({ kind: 'stopped', cutCount: 1 })
    // It was told before it listened.
    threads[2]?.post({ kind: 'accepts-no-more' })
    threads[2]?.post({ kind: 'stopped', cutCount: 0 })
    threads[2]?.post({ kind: 'listening' })
    await Promise.resolve()
    expect(over).toBeUndefined()
    threads[3]?.emit('exit', 1)
    await abandoned
    expect(over).toBe(true)
    expect(reported).toEqual([])
  })

  test('is told by what failed first, not by a worker that found the socket closed for that', async () => {
    const { threads, starting } = makePool(3)
    threads[1]?.post({ kind: 'refused', message: 'EINVAL', isFollowing: true })
    threads[2]?.post({ kind: 'refused', message: 'EINVAL', isFollowing: true })
    threads[0]?.post({ kind: 'refused', message: 'in use', isFollowing: false })
    await expect(starting).rejects.toThrow(new StartError('in use', 71))
    const alone = makePool(1)
    alone.threads[0]?.post({ kind: 'refused', message: 'EINVAL', isFollowing: true })
    await expect(alone.starting).rejects.toThrow('EINVAL')
  })

  test('tells of no worker that fails meanwhile, which may hold a lock', async () => {
    const { pool, threads, reported, starting } = makePool()
    threads[0]?.post({ kind: 'refused', message: 'in use', isFollowing: false })
    await expect(starting).rejects.toThrow(StartError)
    const abandoned = pool.abandon()
    threads[1]?.emit('error', new Error('too many open files'))
    expect(await abandoned).toBe(false)
    expect(reported).toEqual([])
  })

  test('does not wait for ever for a worker that does not stop', async () => {
    const { pool, threads, clock } = await makeStartedPool()
    const abandoned = pool.abandon()
    threads[0]?.post({ kind: 'stopped', cutCount: 0 })
    clock.pass(3000)
    expect(await abandoned).toBe(false)
  })
})

describe('a worker that dies', () => {
  test('by an exception, or by its end, is a death', async () => {
    const { threads, reported } = await makeStartedPool()
    threads[0]?.emit('error', new Error('a defect'))
    threads[1]?.emit('exit', 3)
    expect(reported).toEqual([
      ['death', 'a defect'],
      ['death', 'a worker thread ended with code 3'],
    ])
  })

  test('of what the system lacks is a death as well, once it has started', async () => {
    const { threads, reported } = await makeStartedPool(1)
    threads[0]?.emit('error', Object.assign(new Error('short'), { code: 'ENOMEM' }))
    expect(reported).toEqual([['death', 'short']])
  })
})

describe('a worker whose event loop stands still', () => {
  /** Seconds in which all beat but the second. */
  function stick({ clock, shared }: Awaited<ReturnType<typeof makeStartedPool>>, seconds: number) {
    const table = new WorkerTable(shared.workerTable, 0)
    for (let second = 0; second < seconds; second++) {
      table.turns.beat()
      clock.pass(1000)
    }
  }

  test('keeps all of them from accepting, until it goes on', async () => {
    const made = await makeStartedPool()
    made.pool.watchOver(made.shared.workerTable)
    stick(made, 4)
    expect(made.reported).toEqual([])
    stick(made, 2)
    expect(made.reported).toEqual([
      ['say', 'worker_stuck'],
      ['stuck', true],
    ])
    for (const { told } of made.threads) expect(told).toEqual([{ kind: 'accept', accepts: false }])
    new WorkerTable(made.shared.workerTable, 1).turns.beat()
    stick(made, 1)
    expect(made.reported.slice(2)).toEqual([
      ['say', 'worker_unstuck'],
      ['stuck', false],
    ])
    expect(made.threads[0]?.told.slice(1)).toEqual([{ kind: 'accept', accepts: true }])
  })

  test('is a death after a while, and nobody is told that it goes on', async () => {
    const made = await makeStartedPool()
    made.pool.watchOver(made.shared.workerTable)
    stick(made, 40)
    expect(made.reported).toEqual([
      ['say', 'worker_stuck'],
      ['stuck', true],
      ['death', 'a worker thread does not turn any more'],
    ])
    expect(made.threads[0]?.told).toHaveLength(1)
  })

  test('is not looked for any more once the threads are ended', async () => {
    const made = await makeStartedPool()
    made.pool.watchOver(made.shared.workerTable)
    await made.pool.end()
    stick(made, 40)
    expect(made.reported).toEqual([])
  })
})
