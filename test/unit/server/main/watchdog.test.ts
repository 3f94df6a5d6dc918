import { expect, test } from 'vitest'
import { createRosterMemory, Roster } from '../../../../src/server/admission/roster.ts'
import { type Verdict, Watch } from '../../../../src/server/main/watchdog.ts'

function looks(watch: Watch, count: number, beat: () => void): Verdict[] {
  return Array.from({ length: count }, () => {
    beat()
    return watch.look()
  })
}

test('a worker without a sign of life is stuck after five looks and lost after thirty', () => {
  const memory = createRosterMemory(2, 0)
  const alive = new Roster(memory, 0)
  const watch = new Watch(memory)
  const verdicts = looks(watch, 30, () => alive.beat())
  expect(verdicts.indexOf('stuck')).toBe(4)
  expect(verdicts.indexOf('lost')).toBe(29)
})

test('a worker that comes back is well again', () => {
  const memory = createRosterMemory(2, 0)
  const rosters = [new Roster(memory, 0), new Roster(memory, 1)]
  const watch = new Watch(memory)
  looks(watch, 10, () => rosters[0]?.beat())
  const verdicts = looks(watch, 3, () => rosters.forEach((roster) => void roster.beat()))
  expect(verdicts).toEqual(['well', 'well', 'well'])
})
