/**
 * Values that arrive where they stay (arriving-value.ts), by four threads at once in a memory that is short: no byte of
 * another, and a memory that is whole afterwards. STEPS= and SEED= make a run longer, and repeat it.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { checkIntegrity } from '../../src/storage/integrity.ts'
import { memoryOf, seedOfRun } from '../unit/storage/model.ts'

const MIB = 1024 * 1024
const THREADS = 4
const STEPS = Number(process.env.STEPS ?? 5000)
const DIST = pathToFileURL(join(import.meta.dirname, '../../.modules/src/storage')).href

interface Counts {
  readonly begun: number
  readonly stored: number
  readonly abandoned: number
  readonly hits: number
  readonly wrong: number
}

test('values that arrive while segments are emptied are whole, and so is the memory', async () => {
  const seed = seedOfRun()
  const memory = memoryOf({ memoryBytes: 3 * MIB, itemBytesMax: MIB, workerCount: THREADS })
  const counts = await Promise.all(
    Array.from({ length: THREADS }, async (_, workerIndex): Promise<Counts> => {
      const workerData = { dist: DIST, memory, workerIndex, seed, steps: STEPS }
      const worker = new Worker(new URL('./arriving-threads.worker.mjs', import.meta.url), {
        workerData,
      })
      return await new Promise((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
    }),
  )
  console.log(JSON.stringify(counts))
  const sum = (of: keyof Counts): number => counts.reduce((all, each) => all + each[of], 0)
  expect(checkIntegrity(memory)).toEqual([])
  expect(sum('wrong')).toBe(0)
  expect(sum('stored')).toBeGreaterThan(STEPS / 1000)
  expect(sum('abandoned')).toBeGreaterThan(STEPS / 1000)
  expect(sum('hits')).toBeGreaterThan(STEPS / 1000)
})
