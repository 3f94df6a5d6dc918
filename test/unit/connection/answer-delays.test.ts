/** Late answers leave at times of their own, few in one turn of the event loop. */
import { expect, test } from 'vitest'
import { AnswerDelays } from '../../../src/connection/answer-delays.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/** Notes when each of them is released. */
function makeDelays() {
  const clock = new ManualClock()
  const delays = new AnswerDelays(clock)
  const released: string[] = []
  const until = (name: string, dueMs: number) => {
    const delayed = delays.until(dueMs)
    void delayed.released.then(() => released.push(name))
    return delayed
  }
  return { clock, delays, released, until }
}

const settled = (): Promise<void> => new Promise(setImmediate)

test('each leaves when it is due, whatever the order in which they came', async () => {
  const { clock, delays, released, until } = makeDelays()
  until('late', 500)
  until('early', 100)
  until('middle', 300)
  for (const [atMs, names] of [
    [99, []],
    [104, ['early']],
    [299, ['early']],
    [304, ['early', 'middle']],
    [499, ['early', 'middle']],
    [504, ['early', 'middle', 'late']],
  ] as const) {
    clock.pass(atMs - clock.nowMs())
    await settled()
    expect(released).toEqual(names)
  }
  expect(delays.size).toBe(0)
})

test('of a hundred that are due at once, each leaves in a turn of its own', () => {
  const clock = new ManualClock()
  const turns: (() => void)[] = []
  const delays = new AnswerDelays({
    nowMs: () => clock.nowMs(),
    after: (delayMs, run) => clock.after(delayMs, run),
    soon: (run) => turns.push(run),
  })
  for (let index = 0; index < 100; index++) void delays.until(500)
  void delays.until(450)
  clock.pass(499)
  // Others that are looked for meanwhile ask for no second turn.
  void delays.until(499)
  clock.pass(100)
  expect(delays.size).toBe(102)
  expect(turns).toHaveLength(102)
  for (let left = 101; left >= 0; left--) {
    turns.shift()?.()
    expect(delays.size).toBe(left)
  }
  clock.pass(1000)
  expect(turns).toEqual([])
})

test('one that comes while others leave is not forgotten', async () => {
  const { clock, delays, released, until } = makeDelays()
  for (let index = 0; index < 4; index++) until(String(index), 100)
  clock.pass(100)
  while (delays.size > 0) clock.turn()
  until('next', 150)
  until('sooner', 120)
  clock.pass(100)
  await settled()
  expect(released.slice(4)).toEqual(['sooner', 'next'])
})

test('who gives it up is not released again', async () => {
  const { clock, delays, released, until } = makeDelays()
  const first = until('first', 100)
  until('second', 100)
  first.release()
  expect(delays.size).toBe(1)
  clock.pass(200)
  await settled()
  expect(released).toEqual(['first', 'second'])
  expect(delays.size).toBe(0)
})
