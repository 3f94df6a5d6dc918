/** The threads that derive keys give way to the event loops, where they can be told from others. */
import { pbkdf2 } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { expect, test } from 'vitest'
import { nicerThan, standOut, yieldToEventLoops } from '../../../../src/server/main/thread-pool.ts'

const TASKS = '/proc/self/task'
const POOL_SIZE = 4

const work = () =>
  new Promise((resolve) => {
    pbkdf2('any', 'salt', 8000, 32, 'sha256', resolve)
  })

function niceThreads(): string[] {
  const nice = nicerThan(getPriority(process.pid))
  return readdirSync(TASKS).filter((thread) => getPriority(Number(thread)) === nice)
}

test('the threads of the pool, and no others, are made to give way', async () => {
  const count = await yieldToEventLoops(work)
  const nice = niceThreads()
  expect(nice).toHaveLength(count)
  // Beside other work of the process, as here, they may not stand out; then none is taken.
  expect([0, POOL_SIZE]).toContain(count)
  expect(nice).not.toContain(String(process.pid))
  const line = Number(process.versions.node.split('.')[0])
  if (line < 24) return
  expect(count).toBe(POOL_SIZE)
  for (const thread of nice) {
    expect(readFileSync(`${TASKS}/${thread}/comm`, 'latin1')).toMatch(/^libuv-worker/)
  }
})

test.each([
  [0, 10],
  [5, 15],
  [-5, 5],
  [15, 19],
])('threads of a process at nice %i give way at %i', (own, expected) => {
  expect(nicerThan(own)).toBe(expected)
})

const MS = 1_000_000

test.each([
  [
    'as many as there must be have worked, the others hardly',
    [5, 4, 6, 1.2, 0.1],
    3,
    ['1', '2', '3'],
  ],
  ['another has worked, too', [5, 4, 6, 3], 3, undefined],
  ['one of them has not worked', [5, 4, 0.5, 0.1], 3, undefined],
  ['there are too few threads', [5, 4], 3, undefined],
  ['there is none to be told from', [5, 4, 6], 3, ['1', '2', '3']],
] as const)('%s', (_, grownMs, size, expected) => {
  const grown = grownMs.map((ms, index) => ({ thread: String(index + 1), ns: ms * MS }))
  // This thread works all the time, and is none of the pool.
  const all = [...grown, { thread: String(process.pid), ns: 50 * MS }]
  expect(standOut(all, size)?.sort()).toEqual(expected)
})
