/**
 * Two gates before one cluster, or two threads of one that has a near cache, and connections to both in all three
 * dialects, pipelined and not, that meet on the same few keys: what all of them were answered is linearizable for each key
 * (support/history/history-checker.ts), those included who compare a CAS that either gate gave; no value is torn, and no
 * increment is lost.
 *
 *     npm run build && MINUTES=30 npx vitest run --project fuzz --bail 1 test/fuzz/gates.test.ts
 *
 * SEED= repeats the requests of a run.
 */
import { expect, test } from 'vitest'
import { CasNames } from '../support/history/cas-names.ts'
import { BinaryDialect, ClassicDialect, MetaDialect } from '../support/history/dialects.ts'
import { describeViolation, HistoryChecker } from '../support/history/history-checker.ts'
import { casOf } from '../support/history/item-model.ts'
import type { Verb } from '../support/history/operation.ts'
import { Recording, RecordingClient } from '../support/history/recording-client.ts'
import { COUNTER_KEY, PLAIN_REQUEST } from '../support/history/request-source.js'
import { hasPrerequisites } from '../support/program.ts'
import { REDIS, RedisCluster } from '../support/redis-cluster.ts'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'
import { seedOfRun } from '../unit/storage/model.ts'

const KIB = 1024
/** Of one round, all connections together. */
const REQUESTS = Number(process.env.OPERATIONS ?? 4000)
/** Copies are made of what is read much more often than it changes. */
const NEAR_READ_SHARE = 99
/** When a node tells of a change depends on the machine, and with it whether copies last until the next read. */
const NEAR_ROUNDS_MAX = 20
const NEAR_HITS_LEAST = 100
const MINUTES = Number(process.env.MINUTES ?? 0)
const CONNECTIONS = 12
const PIPELINED_MAX = 6
const ITEM_KIB_MAX = 40

/** Those whose value and CAS belong together in an answer. */
const SHOWS_VALUE: ReadonlySet<Verb> = new Set(['get', 'gat', 'set', 'add', 'replace'])

const ADD_COUNTER = {
  ...PLAIN_REQUEST,
  verb: 'add',
  key: COUNTER_KEY,
  value: '0',
  valueBytes: 1,
} as const

/** The hottest key is there from the beginning. */
const ADD_HOT = { ...ADD_COUNTER, key: 'hot:0' } as const

interface Mix {
  /** How many different keys: often asked for, and others. */
  readonly hotKeyCount: number
  readonly coldKeyCount: number
  /** In percent, of requests that only read. */
  readonly readShare: number
}

class Campaign {
  private readonly recording: Recording = new Recording()
  private readonly names: CasNames = new CasNames()
  private readonly checker: HistoryChecker = new HistoryChecker({
    mayVanish: false,
    itemBytesMax: ITEM_KIB_MAX * KIB,
    casValues: this.names.values,
  })
  private readonly clients: readonly RecordingClient[]
  private increments = 0
  /** Writes that compared a CAS, and were done. */
  compared = 0

  constructor(gates: readonly TestServer[], seed: number, mix: Mix) {
    this.clients = Array.from({ length: CONNECTIONS }, (_, process) => {
      const { names } = this
      const dialect = [new BinaryDialect(names), new ClassicDialect(names), new MetaDialect(names)][
        process % 3
      ]!
      // Each dialect comes to each gate.
      const gate = gates[Math.floor(process / 3) % gates.length]!
      const client = new RecordingClient(gate, dialect, this.recording, {
        seed: seed + process * 7919,
        process,
        processCount: CONNECTIONS,
        ...mix,
        valueBytesMax: 20 * KIB,
        itemBytesMax: ITEM_KIB_MAX * KIB,
        expires: true,
        flushEvery: 0,
        delaysFlushes: false,
        counts: true,
        extendsByCas: false,
      })
      client.start()
      return client
    })
  }

  async begin(): Promise<void> {
    await this.clients[0]!.ask([ADD_COUNTER, ADD_HOT])
  }

  /** Runs once, and looks at what was answered; resolves to the number of operations. */
  async round(): Promise<number> {
    const { clients, recording, names } = this
    const count = Math.floor(REQUESTS / CONNECTIONS)
    // The first connection of each dialect waits for every answer, the others pipeline.
    await Promise.all(
      clients.map((client, index) => client.run(count, index < 3 ? 1 : PIPELINED_MAX)),
    )
    const keys = new Set(recording.operations.map(({ key }) => key))
    keys.delete('')
    for (const [index, key] of [...keys].entries()) {
      await clients[index % CONNECTIONS]!.ask([{ ...PLAIN_REQUEST, key }])
    }
    const history = recording.take()
    for (const { verb, key, value, cas } of history) {
      if (cas !== 0 && SHOWS_VALUE.has(verb)) names.values.set(casOf(key, cas), value)
    }
    this.compared += history.filter(({ token, result }) => token !== 0 && result === 'done').length
    const violation = this.checker.check(history)
    if (violation !== undefined) throw new Error(describeViolation(violation))
    this.increments += history.filter(
      ({ key, verb, result }) => key === COUNTER_KEY && verb === 'increment' && result === 'done',
    ).length
    const last = history.findLast(({ key, verb }) => key === COUNTER_KEY && verb === 'get')
    expect(last?.value.trim()).toBe(String(this.increments))
    expect(this.increments).toBeGreaterThan(0)
    return history.length
  }

  close(): void {
    for (const client of this.clients) client.close()
  }
}

async function nearHitsOf(gates: readonly TestServer[]): Promise<number> {
  let hits = 0
  for (const gate of gates) {
    const rows = await new TextClient(gate).ask('stats store\r\n', 'END\r\n')
    hits += Number(/STAT near_hits (\d+)/.exec(rows)?.[1])
  }
  return hits
}

if (hasPrerequisites('histories through two gates', [REDIS])) {
  const timeout = 600_000 + MINUTES * 60_000
  const plain = {
    flags: [
      ['-t', '1'],
      ['-t', '2'],
    ],
    mix: { hotKeyCount: 12, coldKeyCount: 300, readShare: 0 },
  }
  // Copies live for longer than a round: none is dropped for being too old.
  const near = {
    flags: [['-t', '2', '--near-cache', '8m', '--near-cache-ttl', '60']],
    mix: { hotKeyCount: 2, coldKeyCount: 5, readShare: NEAR_READ_SHARE },
  }
  test.each([
    ['two gates before one cluster', plain],
    ['two threads with near caches', near],
  ])('%s: every history has an explanation', { timeout }, async (name, kind) => {
    const cluster = await RedisCluster.start({ hasReplicas: false })
    const gates: TestServer[] = []
    let campaign: Campaign | undefined
    try {
      const flags = [
        ...['--store', 'cluster', '--store-nodes', cluster.seeds, '--store-timeout', '20'],
        ...['-I', `${ITEM_KIB_MAX}k`],
      ]
      gates.push(
        ...(await Promise.all(
          kind.flags.map((own) => startSaslcached({ flags: [...flags, ...own] })),
        )),
      )
      campaign = new Campaign(gates, seedOfRun(), kind.mix)
      await campaign.begin()
      const endMs = performance.now() + MINUTES * 60_000
      let operations = 0
      let hits = 0
      for (let rounds = 1; ; rounds++) {
        operations += await campaign.round()
        hits = await nearHitsOf(gates)
        const needsMore = kind === near && hits < NEAR_HITS_LEAST && rounds < NEAR_ROUNDS_MAX
        if (!needsMore && performance.now() >= endMs) break
      }
      const { compared } = campaign
      console.log(`${name}: ${operations} operations, ${compared} by their CAS, ${hits} by copies`)
      expect(kind === near ? hits : compared).toBeGreaterThan(0)
    } finally {
      campaign?.close()
      await Promise.all(gates.map((gate) => gate.stop()))
      await cluster.stop()
    }
  })
}
