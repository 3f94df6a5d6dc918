/** A node that says nothing must not make everybody wait for it: what goes there is refused at once, until it speaks. */
import { expect, onTestFinished, test } from 'vitest'
import { Engine } from '../../../src/remote/engine.ts'
import { FAILURE_DOWN, FAILURE_NONE, FAILURE_TIMEOUT } from '../../../src/remote/failure.ts'
import type { Command } from '../../../src/remote/flight.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { ManualCluster } from '../../support/manual-cluster.ts'

const TIMEOUT_MS = 1000
/** 12182 and 5061: the second and the first half of the slots. */
const SILENT_KEY = 'foo'
const OTHER_KEY = 'bar'

interface Bench {
  readonly clock: ManualClock
  readonly views: ManualCluster[]
  readonly engine: Engine
  /** Of each look at the cluster whether it was seen. */
  readonly seen: boolean[]
  /** What it came to: the failure, once there. */
  ask(key: string): number[]
  /** Lets promises of the library come to their ends. */
  settled(): Promise<void>
}

async function start(): Promise<Bench> {
  const clock = new ManualClock()
  const views: ManualCluster[] = []
  const seen: boolean[] = []
  const engine = new Engine({
    settings: {
      seeds: [{ host: '192.0.2.1', port: 1 }],
      user: undefined,
      password: undefined,
      tls: undefined,
      timeoutMs: TIMEOUT_MS,
      connections: 1,
      missesOnFailure: false,
      near: undefined,
    },
    clock,
    dial: (node, events) => {
      const view = views.at(-1)
      if (view === undefined) throw new Error('no view was made')
      return view.dial(node, events, (run) => clock.soon(run))
    },
    make: () => {
      const view = new ManualCluster([1, 2])
      views.push(view)
      return view
    },
    onTrouble: () => undefined,
    onView: (isSeen) => seen.push(isSeen),
  })
  onTestFinished(() => engine.close())
  await engine.opened()
  return {
    clock,
    views,
    engine,
    seen,
    ask: (key) => {
      const failures: number[] = []
      const command: Command = {
        key: Buffer.from(key),
        args: ['GET', key],
        bytes: 10,
        settle: (_reply, failure) => failures.push(failure),
      }
      engine.send(command, 0)
      clock.turn()
      clock.turn()
      return failures
    },
    settled: async () => {
      for (let turn = 0; turn < 20; turn++) await Promise.resolve()
    },
  }
}

const sentOf = ({ views }: Bench, key: string): ManualCluster['sent'] =>
  views.flatMap((view) => view.sent).filter(({ words }) => words[1] === key)

test('what goes to a silent node is refused at once, and the others are asked as before', async () => {
  const bench = await start()
  const first = bench.ask(SILENT_KEY)
  bench.clock.pass(TIMEOUT_MS + 60)
  expect(first).toEqual([FAILURE_TIMEOUT])
  bench.ask(SILENT_KEY)
  for (let count = 0; count < 100; count++) expect(bench.ask(SILENT_KEY)).toEqual([FAILURE_DOWN])
  expect(sentOf(bench, SILENT_KEY)).toHaveLength(2)
  const other = bench.ask(OTHER_KEY)
  sentOf(bench, OTHER_KEY)[0]?.answer('value')
  await bench.settled()
  expect(other).toEqual([FAILURE_NONE])
})

test('links are counted, those to silent nodes and lost ones apart, and so are looks at the cluster', async () => {
  const bench = await start()
  expect(bench.seen).toEqual([true])
  bench.ask(SILENT_KEY)
  bench.ask(OTHER_KEY)
  sentOf(bench, OTHER_KEY)[0]?.fail('read ECONNRESET')
  expect(bench.engine.countLinks()).toEqual({ links: 2, silent: 0, lost: 1 })
  bench.clock.pass(TIMEOUT_MS + 60)
  expect(bench.engine.countLinks()).toEqual({ links: 2, silent: 1, lost: 1 })
  bench.clock.pass(1000)
  await bench.settled()
  expect(bench.seen.slice(1)).toContain(true)
})

test('a silent node is asked now and then, also through another view, and served again when it answers', async () => {
  const bench = await start()
  bench.ask(SILENT_KEY)
  bench.clock.pass(TIMEOUT_MS + 60)
  for (let tenth = 0; tenth < 40; tenth++) {
    bench.ask(SILENT_KEY)
    bench.clock.pass(100)
    await bench.settled()
  }
  expect(bench.views.length).toBeGreaterThan(1)
  const asked = sentOf(bench, SILENT_KEY)
  expect(asked.length).toBeGreaterThan(8)
  expect(asked.length).toBeLessThan(18)
  bench.clock.pass(300)
  const last = bench.ask(SILENT_KEY)
  sentOf(bench, SILENT_KEY).at(-1)?.answer('value')
  await bench.settled()
  expect(last).toEqual([FAILURE_NONE])
  const again = [bench.ask(SILENT_KEY), bench.ask(SILENT_KEY)]
  for (const sent of sentOf(bench, SILENT_KEY).slice(-2)) sent.answer('value')
  await bench.settled()
  expect(again).toEqual([[FAILURE_NONE], [FAILURE_NONE]])
})

test('a node that answers others is not silent, though one command takes too long', async () => {
  const bench = await start()
  const quick = bench.ask(SILENT_KEY)
  bench.clock.pass(200)
  const slow = bench.ask(SILENT_KEY)
  bench.clock.pass(700)
  sentOf(bench, SILENT_KEY)[0]?.answer('value')
  await bench.settled()
  expect(quick).toEqual([FAILURE_NONE])
  bench.clock.pass(400)
  expect(slow).toEqual([FAILURE_TIMEOUT])
  expect([bench.ask(SILENT_KEY), bench.ask(SILENT_KEY)]).toEqual([[], []])
})
