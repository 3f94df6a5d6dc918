import { expect, onTestFinished, test } from 'vitest'
import { REMOTE_ITEM_BYTES_MAX } from '../../../src/base/remote-item-bytes-max.ts'
import { Engine, type EngineOptions } from '../../../src/remote/engine.ts'
import {
  FAILURE_BUSY,
  FAILURE_DOWN,
  FAILURE_FULL,
  FAILURE_NONE,
  FAILURE_REFUSED,
  FAILURE_TIMEOUT,
} from '../../../src/remote/failure.ts'
import type { Command } from '../../../src/remote/flight.ts'
import { WAITING_BYTES_MAX, WAITING_MAX } from '../../../src/remote/node-link.ts'
import type { RemoteSettings } from '../../../src/remote/remote-settings.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { ManualCluster } from '../../support/manual-cluster.ts'

const SETTINGS: RemoteSettings = {
  seeds: [{ host: '192.0.2.1', port: 1 }],
  user: 'gate',
  password: 'a secret',
  tls: undefined,
  timeoutMs: 1000,
  connections: 1,
  missesOnFailure: false,
  near: undefined,
}

interface Bench {
  readonly engine: Engine
  readonly clock: ManualClock
  /** Every view that was made, the last one at the end. */
  readonly clusters: ManualCluster[]
  readonly troubles: string[]
  readonly cluster: () => ManualCluster
}

async function start(
  make: EngineOptions['make'] | undefined = undefined,
  ports: readonly number[] = [1],
): Promise<Bench> {
  const clock = new ManualClock()
  const clusters: ManualCluster[] = []
  const troubles: string[] = []
  const cluster = (): ManualCluster => {
    const last = clusters.at(-1)
    if (last === undefined) throw new Error('no view was made')
    return last
  }
  const engine = new Engine({
    settings: SETTINGS,
    clock,
    dial: (node, events) => cluster().dial(node, events, (run) => clock.soon(run)),
    make: (seeds) => {
      const cluster = make?.(seeds) ?? new ManualCluster(ports)
      if (cluster instanceof ManualCluster) clusters.push(cluster)
      return cluster
    },
    onTrouble: (trouble) => troubles.push(trouble),
  })
  onTestFinished(() => engine.close())
  await engine.opened()
  return { engine, clock, clusters, troubles, cluster }
}

class Asked implements Command {
  readonly key: Buffer
  readonly args: readonly (string | Buffer)[]
  readonly bytes: number
  readonly outcomes: [unknown, number][] = []

  constructor(key = 'key', bytes = 10) {
    this.key = Buffer.from(key)
    this.args = ['GET', this.key]
    this.bytes = bytes
  }

  settle(reply: unknown, failure: number): void {
    this.outcomes.push([Buffer.isBuffer(reply) ? reply.toString() : reply, failure])
  }
}

/** What follows from a promise of the library's has been done. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

function ask({ engine, clock }: Bench, key?: string, bytes?: number): Asked {
  const asked = new Asked(key, bytes)
  engine.send(asked, 0)
  // For the connection to open, for the login, and for what is to be written at the end of the turn.
  for (let turn = 0; turn < 3; turn++) clock.turn()
  return asked
}

test('the functions are loaded on every master at the start', async () => {
  const bench = await start(undefined, [1, 2, 3])
  expect(bench.cluster().loads).toBe(3)
})

test('a reply is given once, and what comes behind the bound is not', async () => {
  const bench = await start()
  const { clock, cluster } = bench
  const good = ask(bench)
  cluster().sent[0]?.answer('value')
  await settled()
  expect(good.outcomes).toEqual([['value', FAILURE_NONE]])
  const late = ask(bench)
  clock.pass(999)
  expect(late.outcomes).toEqual([])
  clock.pass(60)
  expect(late.outcomes).toEqual([[undefined, FAILURE_TIMEOUT]])
  cluster().sent[1]?.answer('too late')
  await settled()
  expect(late.outcomes).toHaveLength(1)
})

test.each([
  ['OOM command not allowed when used memory > maxmemory.', FAILURE_FULL],
  ['CLUSTERDOWN Hash slot not served', FAILURE_DOWN],
  ['NOPERM this user has no permissions to run the get command', FAILURE_REFUSED],
  ['WRONGTYPE Operation against a key', FAILURE_REFUSED],
  ['FOREIGN the key holds what no gate has stored', FAILURE_REFUSED],
  ['Socket closed unexpectedly', FAILURE_DOWN],
])('%j is told as failure %d', async (message, failure) => {
  const bench = await start()
  const asked = ask(bench)
  bench.cluster().sent[0]?.fail(message)
  await settled()
  expect(asked.outcomes).toEqual([[undefined, failure]])
})

test('a command that a node has not carried out is sent to whoever has the slot', async () => {
  const bench = await start()
  const asked = ask(bench)
  bench.cluster().sent[0]?.fail('MOVED 12182 192.0.2.2:1')
  await settled()
  const [, second] = bench.cluster().sent
  expect(second).toMatchObject({ words: ['GET', 'key'], port: 0 })
  second?.answer('value')
  await settled()
  expect(asked.outcomes).toEqual([['value', FAILURE_NONE]])
})

test('a connection that is lost has nothing sent again', async () => {
  const bench = await start()
  ask(bench)
  bench.cluster().sent[0]?.fail('Socket closed unexpectedly')
  await settled()
  const sent = bench.clusters.flatMap((cluster) => cluster.sent)
  expect(sent).toHaveLength(1)
})

test('functions that are gone are loaded once for all who need them, and the commands sent again', async () => {
  const bench = await start()
  const before = bench.cluster().loads
  const asked = [ask(bench), ask(bench), ask(bench)]
  for (const sent of bench.cluster().sent.slice()) sent.fail('ERR Function not found')
  await settled()
  expect(bench.cluster().loads).toBe(before + 1)
  for (const sent of bench.cluster().sent.slice(3)) sent.answer('done')
  await settled()
  for (const { outcomes } of asked) expect(outcomes).toEqual([['done', FAILURE_NONE]])
})

test('a node that always lacks the functions is not asked for ever', async () => {
  const bench = await start()
  const asked = ask(bench)
  for (let attempt = 0; attempt < 3; attempt++) {
    bench.cluster().sent.at(-1)?.fail('ERR Function not found')
    await settled()
  }
  expect(asked.outcomes).toEqual([[undefined, FAILURE_REFUSED]])
  expect(bench.cluster().sent).toHaveLength(3)
})

test('what waits for a node is bounded in number, also after it was answered', async () => {
  const bench = await start()
  const asked = Array.from({ length: WAITING_MAX }, () => ask(bench))
  expect(asked.every(({ outcomes }) => outcomes.length === 0)).toBe(true)
  expect(ask(bench).outcomes).toEqual([[undefined, FAILURE_BUSY]])
  bench.clock.pass(1100)
  expect(asked.every(({ outcomes }) => outcomes.length === 1)).toBe(true)
  expect(ask(bench).outcomes).toEqual([[undefined, FAILURE_BUSY]])
  bench.cluster().sent[0]?.answer('late')
  await settled()
  expect(ask(bench).outcomes).toEqual([])
})

test('what waits for a node is bounded in bytes, and one node is not held against another', async () => {
  const bench = await start(undefined, [1, 2])
  // 12182 and 5061: one in each half of the slots.
  expect(ask(bench, 'foo', WAITING_BYTES_MAX).outcomes).toEqual([])
  expect(ask(bench, 'foo', 1).outcomes).toEqual([[undefined, FAILURE_BUSY]])
  expect(ask(bench, 'bar', WAITING_BYTES_MAX).outcomes).toEqual([])
  bench.cluster().sent[0]?.answer('value')
  await settled()
  expect(ask(bench, 'foo', 1).outcomes).toEqual([])
})

test('an item that is larger than what may wait goes behind less than that, and nothing behind it', async () => {
  const bench = await start()
  expect(ask(bench, 'foo', WAITING_BYTES_MAX - 1).outcomes).toEqual([])
  expect(ask(bench, 'foo', REMOTE_ITEM_BYTES_MAX).outcomes).toEqual([])
  expect(ask(bench, 'foo', 1).outcomes).toEqual([[undefined, FAILURE_BUSY]])
})

test('a node that is silent has the cluster looked at anew, and the old view is given up', async () => {
  const bench = await start()
  const asked = ask(bench)
  bench.clock.pass(1400)
  await settled()
  expect(bench.clusters).toHaveLength(1)
  bench.clock.pass(200)
  await settled()
  expect(bench.clusters).toHaveLength(2)
  expect(bench.clusters[0]?.isDestroyed).toBe(true)
  expect(asked.outcomes).toEqual([[undefined, FAILURE_TIMEOUT]])
  const again = ask(bench)
  bench.cluster().sent[0]?.answer('value')
  await settled()
  expect(again.outcomes).toEqual([['value', FAILURE_NONE]])
})

test('while the cluster cannot be seen all is told so at once, and it is looked for again', async () => {
  let isThere = false
  const bench = await start(() => {
    const cluster = new ManualCluster()
    if (!isThere) cluster.connect = () => Promise.reject(new Error('none of the nodes'))
    return cluster
  })
  expect(ask(bench).outcomes).toEqual([[undefined, FAILURE_DOWN]])
  expect(bench.troubles).toEqual(['none of the nodes'])
  isThere = true
  bench.clock.pass(1500)
  await settled()
  expect(ask(bench).outcomes).toEqual([])
})

test('no trouble names a secret, a command or a value', async () => {
  const bench = await start()
  ask(bench, 'a private key')
  bench.cluster().sent[0]?.fail('NOAUTH Authentication required.')
  await settled()
  bench.clock.pass(5000)
  await settled()
  expect(bench.troubles.join()).not.toMatch(/a secret|a private key/)
})

test('a close answers what is under way, and ends the looks', async () => {
  const bench = await start()
  const asked = ask(bench)
  bench.engine.close()
  expect(asked.outcomes).toEqual([[undefined, FAILURE_DOWN]])
  expect(bench.clock.periodCount).toBe(0)
})
