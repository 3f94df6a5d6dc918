import { expect, test } from 'vitest'
import { Turns } from '../../../../src/server/worker/turns.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

/** Connections that take `ms` a turn and give it away `timesMore` times. */
function makeTurns(ms: number) {
  const clock = new ManualClock()
  const turns = new Turns(clock)
  const served: string[] = []
  const defer = (name: string, timesMore = 0): void => {
    turns.defer({
      continueServing() {
        served.push(name)
        clock.passBusily(ms)
        if (timesMore > 0) defer(name, timesMore - 1)
      },
    })
  }
  return { clock, served, defer }
}

test('nobody is gone on with before others were read from', () => {
  const { clock, served, defer } = makeTurns(0)
  defer('a')
  expect(served).toEqual([])
  clock.turn()
  expect(served).toEqual(['a'])
})

test('one that gives its turn away again waits for the next round', () => {
  const { clock, served, defer } = makeTurns(0)
  defer('a', 1)
  defer('b')
  clock.turn()
  expect(served).toEqual(['a', 'b'])
  clock.turn()
  expect(served).toEqual(['a', 'b', 'a'])
  clock.turn()
  expect(served).toHaveLength(3)
})

test('a round that takes long ends, and those that are left come first in the next', () => {
  const { clock, served, defer } = makeTurns(2)
  defer('a', 1)
  for (const name of ['b', 'c', 'd']) defer(name)
  clock.turn()
  expect(served).toEqual(['a', 'b'])
  clock.turn()
  expect(served).toEqual(['a', 'b', 'c', 'd'])
  clock.turn()
  expect(served).toEqual(['a', 'b', 'c', 'd', 'a'])
})

test('one that takes longer than a round has its turn all the same', () => {
  const { clock, served, defer } = makeTurns(100)
  defer('a')
  defer('b')
  clock.turn()
  expect(served).toEqual(['a'])
  clock.turn()
  expect(served).toEqual(['a', 'b'])
})
