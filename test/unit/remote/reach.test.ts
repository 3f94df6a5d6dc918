import { expect, test } from 'vitest'
import { RequestCounts } from '../../../src/command/remote/request-counts.ts'
import { COUNTER, counterLane, createCounterMemory } from '../../../src/observe/counters.ts'
import {
  FAILURE_BUSY,
  FAILURE_DOWN,
  FAILURE_FULL,
  FAILURE_NONE,
  FAILURE_REFUSED,
  FAILURE_TIMEOUT,
} from '../../../src/remote/failure.ts'
import type { Command } from '../../../src/remote/flight.ts'
import { lostMs, Reach } from '../../../src/remote/reach.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const TIMEOUT_MS = 1000

class Bench {
  readonly clock: ManualClock = new ManualClock()
  sent: Command[] = []
  /** All that was told, in order. */
  readonly told: boolean[] = []
  /** What each probe comes to; undefined: nothing comes back. */
  outcome: number | undefined = undefined
  heard = false
  readonly reach: Reach = new Reach({
    engine: {
      send: (command) => {
        this.sent.push(command)
        if (this.outcome !== undefined) command.settle(null, this.outcome)
      },
    },
    clock: this.clock,
    timeoutMs: TIMEOUT_MS,
    takeHeard: () => this.heard,
    onChange: (isReached) => this.told.push(isReached),
  })
}

test('it is out of reach until a node has carried something out', () => {
  const bench = new Bench()
  expect(bench.told).toEqual([false])
  void bench.reach.look()
  expect(bench.told).toEqual([false])
  bench.sent[2]?.settle(null, FAILURE_NONE)
  expect(bench.told).toEqual([false, true])
})

test('a look is over when one node has answered, or when none will', async () => {
  const bench = new Bench()
  const overs: string[] = []
  const look = (name: string): Promise<unknown> => bench.reach.look().then(() => overs.push(name))
  const first = look('first')
  const [one, two, ...others] = bench.sent
  one?.settle(null, FAILURE_DOWN)
  await Promise.resolve()
  expect(overs).toEqual([])
  two?.settle(null, FAILURE_NONE)
  await first
  expect(bench.told).toEqual([false, true])
  for (const other of others) other.settle(null, FAILURE_TIMEOUT)
  bench.outcome = FAILURE_DOWN
  await look('second')
  bench.heard = true
  await look('third')
  expect(overs).toEqual(['first', 'second', 'third'])
})

test.each([
  ['a node without memory', FAILURE_FULL, true],
  ['a node that refuses', FAILURE_REFUSED, true],
  ['no answer in time', FAILURE_TIMEOUT, false],
  ['a node or cluster that is down', FAILURE_DOWN, false],
  ['too much that waits', FAILURE_BUSY, false],
])('%s', (_, outcome, isReached) => {
  const bench = new Bench()
  bench.outcome = outcome
  void bench.reach.look()
  expect(bench.told.at(-1)).toBe(isReached)
})

test('it is lost when nothing was carried out for a while, and not before', () => {
  const bench = new Bench()
  bench.outcome = FAILURE_NONE
  void bench.reach.look()
  bench.outcome = FAILURE_DOWN
  bench.clock.pass(lostMs(TIMEOUT_MS) - 1)
  expect(bench.told.at(-1)).toBe(true)
  bench.clock.pass(1)
  expect(bench.told).toEqual([false, true, false])
  bench.outcome = FAILURE_NONE
  bench.clock.pass(1000)
  expect(bench.told).toEqual([false, true, false, true])
})

test('while requests of others are answered nothing is asked', () => {
  const bench = new Bench()
  bench.heard = true
  bench.clock.pass(10_000)
  expect(bench.sent).toEqual([])
  expect(bench.told).toEqual([false, true])
})

test('one node of three that answers is enough, and what is asked for is no item', () => {
  const bench = new Bench()
  bench.outcome = FAILURE_DOWN
  bench.clock.pass(lostMs(TIMEOUT_MS))
  const keys = new Set(bench.sent.map(({ key }) => key.toString()))
  expect(keys.size).toBe(16)
  for (const key of keys) expect(key).toMatch(/^mc:probe-\d+$/)
  expect(bench.sent.every(({ args }) => args[0] === 'GET')).toBe(true)
})

test('after the end nothing is asked', () => {
  const bench = new Bench()
  bench.reach.close()
  bench.clock.pass(10_000)
  expect(bench.sent).toEqual([])
  expect(bench.clock.periodCount).toBe(0)
})

test('requests are counted by what became of them, and while they wait', () => {
  const lane = counterLane(createCounterMemory(1), 0)
  const counts = new RequestCounts(lane)
  expect(counts.takeHeard()).toBe(false)
  const outcomes = [
    [FAILURE_TIMEOUT, 'cluster_late', false],
    [FAILURE_DOWN, 'cluster_down', false],
    [FAILURE_BUSY, 'cluster_busy', false],
    [FAILURE_NONE, 'cluster_answered', true],
    [FAILURE_FULL, 'cluster_full', true],
    [FAILURE_REFUSED, 'cluster_refused', true],
  ] as const
  for (const _ of outcomes) counts.begin()
  expect(lane[COUNTER.cluster_waiting]).toBe(outcomes.length)
  for (const [failure, name, isHeard] of outcomes) {
    counts.end(failure)
    expect(lane[COUNTER[name]]).toBe(1)
    expect(counts.takeHeard()).toBe(isHeard)
  }
  expect(lane[COUNTER.cluster_waiting]).toBe(0)
})
