/** The threads that derive keys give way to the event loops, where they can be told from others. */
import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { expect, test } from 'vitest'
import { yieldToEventLoops } from '../../../../src/server/main/thread-pool.ts'

const TASKS = '/proc/self/task'

test('only the threads of the pool are made to give way', async () => {
  const count = await yieldToEventLoops()
  const threads = readdirSync(TASKS).map((thread) => ({
    isOfPool: readFileSync(`${TASKS}/${thread}/comm`, 'latin1').startsWith('libuv-worker'),
    nice: getPriority(Number(thread)),
  }))
  const ofPool = threads.filter(({ isOfPool }) => isOfPool)
  expect(ofPool).toHaveLength(count)
  for (const { nice } of ofPool) expect(nice).toBe(10)
  const own = getPriority(process.pid)
  for (const { isOfPool, nice } of threads) if (!isOfPool) expect(nice).toBe(own)
  // Node 20 does not name them.
  const line = Number(process.versions.node.split('.')[0])
  if (line >= 24) expect(count).toBeGreaterThan(0)
})
