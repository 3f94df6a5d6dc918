/** Counters with labels of closed lists, in the lanes of several workers. */
import { expect, test } from 'vitest'
import { LabeledCounters } from '../../../src/observe/labeled-counters.ts'

const COUNTERS = new LabeledCounters([
  { name: 'doors', help: 'Opened.', labels: { colour: ['red', 'other'] } },
  { name: 'rooms', help: 'Entered.', labels: { floor: ['1', '2', '3'], by: ['stairs', 'lift'] } },
])

test('every combination is counted for itself, over all workers', () => {
  const memory = COUNTERS.createMemory(2)
  const counts = [COUNTERS.countingInto(memory, 0), COUNTERS.countingInto(memory, 1)]
  let expected = 0
  for (const floor of ['1', '2', '3']) {
    for (const by of ['stairs', 'lift']) {
      expected++
      for (let times = 0; times < expected; times++) counts[times % 2]!('rooms', floor, by)
    }
  }
  const [doors, rooms] = COUNTERS.families(memory)
  expect(doors?.samples()).toEqual([])
  expect(rooms?.samples()).toEqual([
    { labels: { floor: '1', by: 'stairs' }, value: 1 },
    { labels: { floor: '1', by: 'lift' }, value: 2 },
    { labels: { floor: '2', by: 'stairs' }, value: 3 },
    { labels: { floor: '2', by: 'lift' }, value: 4 },
    { labels: { floor: '3', by: 'stairs' }, value: 5 },
    { labels: { floor: '3', by: 'lift' }, value: 6 },
  ])
})

test('whatever is in no list is counted as the last of it, and makes no series of its own', () => {
  const memory = COUNTERS.createMemory(1)
  const count = COUNTERS.countingInto(memory, 0)
  for (const colour of ['red', 'RED', '', '__proto__', 'x"} 1\n', 'other']) count('doors', colour)
  expect(COUNTERS.families(memory)[0]?.samples()).toEqual([
    { labels: { colour: 'red' }, value: 1 },
    { labels: { colour: 'other' }, value: 5 },
  ])
})
