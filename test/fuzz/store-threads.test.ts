/**
 * Several threads on one store, more of them than cores: no value is ever torn, no increment and no
 * append is ever lost, and the integrity check finds nothing afterwards. Runs against dist/.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { readStoreCounters } from '../../src/storage/counters.ts'
import { checkIntegrity } from '../../src/storage/integrity.ts'
import { STORED, WRITE_SET } from '../../src/storage/store.ts'
import { Client } from '../unit/storage/client.ts'
import { seedOfRun } from '../unit/storage/model.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const DIST = process.env.STORE_DIST ?? join(ROOT, 'dist')
const OPERATIONS = Number(process.env.OPERATIONS ?? 80_000)
const MIB = 1024 * 1024

interface Report {
  readonly faults: string[]
  readonly increments: number
  readonly appends: number
  readonly hits: number
}

function runWorker(workerData: object): Promise<Report> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./store-threads.worker.mjs', import.meta.url), {
      workerData,
    })
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

// biome-ignore format: a table
const RUNS = [
  // threads, memory, keys, evicts
  [1, 2 * MIB, 300, true],
  [2, 2 * MIB, 300, true],
  [4, 4 * MIB, 300, true],
  [4, 16 * MIB, 30_000, true],
  [4, 8 * MIB, 200, false],
  [8, 8 * MIB, 300, true],
] as const

for (const [workerCount, memoryBytes, keyCount, evicts] of RUNS) {
  const name = `${workerCount} threads, ${memoryBytes / MIB} MiB, ${keyCount} keys`
  test(`${name}${evicts ? '' : ', -M'}: nothing is torn or lost`, async () => {
    expect(existsSync(join(DIST, 'src/storage/store.js')), 'run npm run build first').toBe(true)
    const seed = seedOfRun()
    const client = new Client({ memoryBytes, evicts, workerCount, itemBytesMax: MIB / 2 })
    client.now = 1_000_000
    expect(client.write('counter', '0')).toBe(STORED)
    expect(client.write('appended', '')).toBe(STORED)
    const reports = await Promise.all(
      Array.from({ length: workerCount }, (_, workerIndex) =>
        runWorker({
          dist: pathToFileURL(DIST).href,
          memory: client.memory,
          workerIndex,
          seed: seed + workerIndex * 7919,
          operations: Math.floor(OPERATIONS / workerCount),
          keyCount,
        }),
      ),
    )
    expect(reports.flatMap((report) => report.faults)).toEqual([])
    expect(checkIntegrity(client.memory)).toEqual([])
    const increments = reports.reduce((sum, report) => sum + report.increments, 0)
    const appends = reports.reduce((sum, report) => sum + report.appends, 0)
    expect(client.find('counter')?.value.trim()).toBe(String(increments))
    expect(client.find('appended')?.value.length).toBe(appends)
    expect(increments).toBeGreaterThan(OPERATIONS / 20)
    expect(reports.reduce((sum, report) => sum + report.hits, 0)).toBeGreaterThan(OPERATIONS / 50)
    if (evicts && keyCount > 1000) {
      expect(readStoreCounters(client.memory).evictions).toBeGreaterThan(0)
    }
    expect(client.write('after', 'value', { mode: WRITE_SET })).toBe(STORED)
  })
}
