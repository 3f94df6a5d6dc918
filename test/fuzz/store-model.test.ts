/**
 * The store against a Map, over random operations: with room for everything, with so little memory
 * that eviction never rests, with -M, and with several workers' views on one store.
 */
import { expect, test } from 'vitest'
import { readStoreCounters } from '../../src/storage/counters.ts'
import { checkIntegrity } from '../../src/storage/integrity.ts'
import { Store } from '../../src/storage/store.ts'
import { ModelDriver, memoryOf, randomOf, seedOfRun } from '../unit/storage/model.ts'

/** Of each row. Where memory is to be short it is so from the first; a long run sets OPERATIONS=. */
const OPERATIONS = Number(process.env.OPERATIONS ?? 50_000)
const SLICES = 10
const MIB = 1024 * 1024

interface Run {
  readonly name: string
  readonly memoryBytes: number
  readonly evicts: boolean
  readonly workerCount: number
  readonly keyCount: number
  readonly valueBytesMax: number
  readonly mayForget: boolean
  readonly mayRefuse: boolean
  readonly limits?: readonly number[]
}

const RUNS: Run[] = [
  {
    name: 'with room for everything the store answers as a Map does',
    memoryBytes: 64 * MIB,
    evicts: true,
    workerCount: 1,
    keyCount: 5000,
    valueBytesMax: 100_000,
    mayForget: false,
    mayRefuse: false,
  },
  {
    name: 'while eviction never rests every hit is right',
    memoryBytes: MIB / 2,
    evicts: true,
    workerCount: 1,
    keyCount: 800,
    valueBytesMax: 20_000,
    mayForget: true,
    mayRefuse: false,
  },
  {
    name: 'with -M and full memory nothing is forgotten',
    memoryBytes: MIB,
    evicts: false,
    workerCount: 1,
    keyCount: 1500,
    valueBytesMax: 20_000,
    mayForget: false,
    mayRefuse: true,
  },
  {
    name: 'three workers in turn see one store',
    memoryBytes: 2 * MIB,
    evicts: true,
    workerCount: 3,
    keyCount: 3000,
    valueBytesMax: 30_000,
    mayForget: true,
    mayRefuse: true,
  },
  {
    name: 'while the limit of the memory moves every hit is right',
    memoryBytes: 2 * MIB,
    evicts: true,
    workerCount: 2,
    keyCount: 3000,
    valueBytesMax: 30_000,
    mayForget: true,
    mayRefuse: true,
    limits: [MIB, 2 * MIB, 4 * MIB],
  },
  {
    name: 'with -M and a limit that moves nothing is forgotten',
    memoryBytes: 2 * MIB,
    evicts: false,
    workerCount: 2,
    keyCount: 3000,
    valueBytesMax: 30_000,
    mayForget: false,
    mayRefuse: true,
    limits: [MIB, 2 * MIB, 4 * MIB],
  },
]

for (const run of RUNS) {
  test(run.name, () => {
    const random = randomOf(seedOfRun())
    const itemBytesMax = Math.min(MIB / 2, run.memoryBytes / 4)
    const memory = memoryOf({
      memoryBytes: run.memoryBytes,
      memoryBytesMax: 2 * run.memoryBytes,
      evicts: run.evicts,
      workerCount: run.workerCount,
      itemBytesMax,
    })
    const stores = Array.from({ length: run.workerCount }, (_, index) => new Store(memory, index))
    const driver = new ModelDriver(stores, random, {
      keyCount: run.keyCount,
      valueBytesMax: run.valueBytesMax,
      itemBytesMax,
      mayForget: run.mayForget,
      mayRefuse: run.mayRefuse,
      expires: true,
      flushes: true,
      ...(run.limits === undefined ? {} : { limits: run.limits }),
    })
    // Whether a short random run by itself needs more memory than there is depends on its seed.
    if (run.mayForget || run.mayRefuse) driver.fill(1.5 * run.memoryBytes)
    // Else nothing but that is in memory until the first flush, which may come late.
    if (!run.evicts) driver.thin()
    for (let slice = 0; slice < SLICES; slice++) {
      driver.run(OPERATIONS / SLICES)
      expect(checkIntegrity(memory)).toEqual([])
    }
    driver.reconcile()
    expect(checkIntegrity(memory)).toEqual([])
    const counters = readStoreCounters(memory)
    expect(driver.hits).toBeGreaterThan(OPERATIONS / 100)
    if (run.mayForget) expect(counters.evictions).toBeGreaterThan(0)
    else expect(counters.evictions).toBe(0)
    if (!run.evicts) expect(driver.refused).toBeGreaterThan(0)
    console.log(
      `hits ${driver.hits} forgotten ${driver.forgotten} refused ${driver.refused}`,
      JSON.stringify(counters),
    )
  })
}
