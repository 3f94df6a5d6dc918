import { expect, test } from 'vitest'
import { Coalesced } from '../../../src/base/coalesced.ts'

/** Runs that end when the test says so. */
function makeRuns() {
  const ends: ((result: number | Error) => void)[] = []
  const runs = new Coalesced<number>(
    () =>
      new Promise((resolve, reject) => {
        ends.push((result) => (typeof result === 'number' ? resolve(result) : reject(result)))
      }),
  )
  const end = (index: number, result: number | Error): void => {
    const found = ends[index]
    if (found === undefined) throw new Error(`run ${index} has not begun`)
    found(result)
  }
  return { runs, ends, end }
}

test('however many ask during a run, one more is made for all of them', async () => {
  const { runs, ends, end } = makeRuns()
  const first = runs.run()
  const others = [runs.run(), runs.run(), runs.run()]
  expect(ends).toHaveLength(1)
  end(0, 1)
  expect(await first).toBe(1)
  await new Promise(setImmediate)
  expect(ends).toHaveLength(2)
  const later = runs.run()
  end(1, 2)
  expect(await Promise.all(others)).toEqual([2, 2, 2])
  await new Promise(setImmediate)
  end(2, 3)
  expect(await later).toBe(3)
  expect(ends).toHaveLength(3)
})

test('a run that fails fails for those who asked for it, and the next is made', async () => {
  const { runs, end } = makeRuns()
  const first = runs.run()
  const second = runs.run()
  end(0, new Error('no'))
  await expect(first).rejects.toThrow('no')
  await new Promise(setImmediate)
  end(1, 2)
  expect(await second).toBe(2)
})

test('when all is quiet a run begins at once', async () => {
  const { runs, ends, end } = makeRuns()
  for (const index of [0, 1, 2]) {
    const run = runs.run()
    expect(ends).toHaveLength(index + 1)
    end(index, index)
    expect(await run).toBe(index)
    await new Promise(setImmediate)
  }
})
