/**
 * A server with several worker threads, and connections in all three dialects, with a login and
 * without, pipelined and not, that meet on the same few keys: what all of them were answered is
 * linearizable for each key (support/history/history-checker.ts), no value is torn, and no increment
 * is lost. store-threads.test.ts asks the store by itself, and much more of it in the same time.
 *
 * A long run, which goes through all rows, prints its progress and ends at the first violation:
 *
 *     npm run build && MINUTES=30 npx vitest run --project fuzz --bail 1 test/fuzz/server-threads.test.ts
 *
 * SEED= repeats the requests of a run, TEST_NODE= names the `node` that runs the server.
 */
import { expect, test } from 'vitest'
import { BinaryDialect, ClassicDialect, MetaDialect } from '../support/history/dialects.ts'
import { describeViolation, HistoryChecker } from '../support/history/history-checker.ts'
import { Recording, RecordingClient } from '../support/history/recording-client.ts'
import { COUNTER_KEY, PLAIN_REQUEST } from '../support/history/request-source.js'
import { startSaslcached } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { seedOfRun } from '../unit/storage/model.ts'

const KIB = 1024
const MIB = 1024 * KIB
/** Of one round, all connections together. */
const REQUESTS = Number(process.env.OPERATIONS ?? 2000)
const MINUTES = Number(process.env.MINUTES ?? 0)
const ROUNDS = MINUTES === 0 ? 1 : 10
const CONNECTIONS = 12
const PIPELINED_MAX = 6
const ITEM_KIB_MAX = 150
const USER = { name: 'alice', password: 's3cret' }

interface Run {
  readonly name: string
  readonly flags: readonly string[]
  readonly mayVanish: boolean
  readonly flushEvery: number
  readonly coldKeyCount: number
  readonly logsIn: boolean
  /** Limits of the memory, in MiB, that a further client sets in turn meanwhile. */
  readonly limitsMib: readonly number[]
}

const RUNS: readonly Run[] = [
  {
    name: 'memory is short, and there are flushes',
    flags: ['-m', '2'],
    mayVanish: true,
    flushEvery: 2000,
    coldKeyCount: 1000,
    logsIn: true,
    limitsMib: [],
  },
  {
    name: 'the limit of the memory moves',
    flags: ['-m', '9'],
    mayVanish: true,
    flushEvery: 2000,
    coldKeyCount: 5000,
    logsIn: true,
    limitsMib: [8, 12, 8, 9],
  },
  {
    name: 'there is room for everything',
    flags: ['-m', '64'],
    mayVanish: false,
    flushEvery: 0,
    coldKeyCount: 300,
    logsIn: false,
    limitsMib: [],
  },
]

/** The limit that `stats` shows, to whichever worker asks. */
async function limitOf(client: TextClient): Promise<string | undefined> {
  const stats = await client.ask('stats\r\n', 'END\r\n')
  return /^STAT limit_maxbytes (\d+)\r$/m.exec(stats)?.[1]
}

async function campaign(run: Run, threadCount: number, seed: number): Promise<number> {
  const server = await startSaslcached({
    users: run.logsIn ? [USER] : [],
    flags: [...run.flags, '-t', String(threadCount), '-I', `${ITEM_KIB_MAX}k`],
  })
  const operator = new TextClient(server)
  const recording = new Recording()
  const clients: RecordingClient[] = []
  try {
    for (let process = 0; process < CONNECTIONS; process++) {
      const dialect = [new BinaryDialect(), new ClassicDialect(), new MetaDialect()][process % 3]!
      const client = new RecordingClient(server, dialect, recording, {
        seed: seed + process * 7919,
        process,
        processCount: CONNECTIONS,
        hotKeyCount: 12,
        coldKeyCount: run.coldKeyCount,
        valueBytesMax: 130 * KIB,
        itemBytesMax: ITEM_KIB_MAX * KIB,
        expires: true,
        flushEvery: run.flushEvery,
        delaysFlushes: false,
        counts: !run.mayVanish,
        extendsByCas: dialect.name !== 'classic',
      })
      clients.push(client)
      if (run.logsIn) await client.login(USER.name, USER.password)
      client.start()
    }
    if (run.logsIn) {
      const login = `${USER.name} ${USER.password}`
      await operator.ask(`set login 0 0 ${login.length}\r\n${login}\r\n`)
    }
    const checker = new HistoryChecker({
      mayVanish: run.mayVanish,
      itemBytesMax: ITEM_KIB_MAX * KIB,
    })
    const add = {
      ...PLAIN_REQUEST,
      verb: 'add',
      key: COUNTER_KEY,
      value: '0',
      valueBytes: 1,
    } as const
    if (!run.mayVanish) await clients[0]!.ask([add])
    let operations = 0
    let increments = 0
    for (let round = 0; round < ROUNDS; round++) {
      const count = Math.floor(REQUESTS / CONNECTIONS)
      // The first connection of each dialect waits for every answer, the others pipeline.
      const runs = clients.map((client, index) => client.run(count, index < 3 ? 1 : PIPELINED_MAX))
      let isRunning = true
      const ended = Promise.all(runs).finally(() => {
        isRunning = false
      })
      for (let turn = 0; isRunning && run.limitsMib.length > 0; turn++) {
        const mib = run.limitsMib[turn % run.limitsMib.length]
        expect(await operator.ask(`cache_memlimit ${mib}\r\n`)).toBe('OK\r\n')
        expect(await limitOf(operator)).toBe(`${mib! * MIB}`)
      }
      await ended
      const keys = new Set(recording.operations.map(({ key }) => key))
      keys.delete('')
      for (const [index, key] of [...keys].entries()) {
        await clients[index % CONNECTIONS]!.ask([{ ...PLAIN_REQUEST, key }])
      }
      const history = recording.take()
      const violation = checker.check(history)
      if (violation !== undefined) throw new Error(describeViolation(violation))
      operations += history.length
      increments += history.filter(
        ({ key, verb, result }) => key === COUNTER_KEY && verb === 'increment' && result === 'done',
      ).length
      if (!run.mayVanish) {
        const last = history.findLast(({ key, verb }) => key === COUNTER_KEY && verb === 'get')
        expect(last?.value.trim()).toBe(String(increments))
        expect(history.filter(({ result }) => result === 'no-memory')).toEqual([])
      }
    }
    return operations
  } finally {
    for (const client of clients) client.close()
    operator.socket.destroy()
    await server.stop()
  }
}

const THREAD_COUNTS = [1, 2, 4, 8]
const seed = seedOfRun()
const secondsPerTest = (MINUTES * 60) / (THREAD_COUNTS.length * RUNS.length)

for (const [row, run] of RUNS.entries()) {
  for (const threadCount of THREAD_COUNTS) {
    const name = `-t ${threadCount}, ${run.name}: every history has an explanation`
    test(name, { timeout: 600_000 + secondsPerTest * 1000 }, async () => {
      const endMs = performance.now() + secondsPerTest * 1000
      let operations = 0
      let turn = 0
      do {
        operations += await campaign(run, threadCount, seed + row * 1000 + turn++ * 101)
      } while (performance.now() < endMs)
      console.log(`-t ${threadCount}, ${run.name}: ${turn} servers, ${operations} operations`)
    })
  }
}
