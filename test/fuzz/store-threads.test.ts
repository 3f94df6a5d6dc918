/**
 * Many threads on one store: every answer that any of them got is one that an item could have given
 * at one instant of the call (support/history/history-checker.ts), no value is torn, no increment is
 * lost, and the integrity check finds nothing, while eviction, compaction, expiry and flushes are
 * always at work; with as many threads as cores, with more, and with threads that are stopped in the
 * middle. The threads are store-threads.worker.mjs, the store is that of .modules/.
 *
 * A long run, which goes through all rows in turns, prints its progress and ends at the first violation:
 *
 *     npm run build:modules && MINUTES=30 npx vitest run --project fuzz --bail 1 test/fuzz/store-threads.test.ts
 *
 * SEED= repeats the requests of a run, though not what the threads make of them; STORE_DIST= names
 * another build.
 */

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { readStoreCounters } from '../../src/storage/counters.ts'
import { createStoreMemory, type StoreMemory } from '../../src/storage/geometry.ts'
import { checkHeapIntegrity } from '../../src/storage/heap-integrity.ts'
import { addNamespace } from '../../src/storage/namespaces.ts'
import { Store } from '../../src/storage/store.ts'
import { WriteOrder } from '../../src/storage/write-order.ts'
import { describeViolation, HistoryChecker } from '../support/history/history-checker.ts'
import type { Operation } from '../support/history/operation.ts'
import { COUNTER_KEY, type RequestSourceOptions } from '../support/history/request-source.js'
import { type Random, randomOf, seedOfRun } from '../unit/storage/model.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const DIST = process.env.STORE_DIST ?? join(ROOT, '.modules')
/** Of one round, all threads together. */
const OPERATIONS = Number(process.env.OPERATIONS ?? 2_000)
const MINUTES = Number(process.env.MINUTES ?? 0)
const ROUNDS = MINUTES === 0 ? 2 : 10
const MIB = 1024 * 1024
const KIB = 1024
/** Words that the threads share; word 0 is the tick. */
const NOW = 1
/** Threads that have not begun the round yet. */
const READY = 2
/** Atomic operations of a thread between two stops, by round; 0 for none. */
const STOP_EVERY: readonly number[] = [0, 300, 0, 50, 2000]
const START_SECOND = 1_000_000
/** Writes between two looks at whether memory is short. */
const FILLED_AT_ONCE = 50

interface Run {
  readonly name: string
  readonly memoryBytes: number
  readonly evicts: boolean
  readonly coldKeyCount: number
  readonly valueBytesMax: number
  /** Whether items may leave, or writes be refused, because memory is short. */
  readonly isShort: boolean
  /** Requests between two flushes of a thread, 0 for none. */
  readonly flushEvery: number
  /** Whether the threads move the limit of the memory, down to this part of it and up to its double; 0: not. */
  readonly limitShare: number
  /** Whether all threads share one CPU and half of them hardly get it. */
  readonly isCrowded: boolean
  /** The quota of another namespace, which is filled and flushed; no such if it is left out. */
  readonly quotaBytes?: number
}

const RUNS: readonly Run[] = [
  {
    name: 'eviction never rests',
    memoryBytes: 1.5 * MIB,
    evicts: true,
    coldKeyCount: 2000,
    valueBytesMax: 80 * KIB,
    isShort: true,
    flushEvery: 20_000,
    isCrowded: false,
    limitShare: 0,
  },
  {
    name: 'eviction never rests and threads are stopped in the middle',
    memoryBytes: 1.5 * MIB,
    evicts: true,
    coldKeyCount: 2000,
    valueBytesMax: 80 * KIB,
    isShort: true,
    flushEvery: 20_000,
    isCrowded: true,
    limitShare: 0,
  },
  {
    name: 'the limit of the memory moves',
    memoryBytes: 4 * MIB,
    evicts: true,
    coldKeyCount: 6000,
    valueBytesMax: 80 * KIB,
    isShort: true,
    flushEvery: 20_000,
    isCrowded: false,
    limitShare: 0.4,
  },
  {
    name: 'another namespace takes its memory and leaves it',
    memoryBytes: 4 * MIB,
    evicts: true,
    coldKeyCount: 6000,
    valueBytesMax: 80 * KIB,
    isShort: true,
    flushEvery: 20_000,
    isCrowded: false,
    limitShare: 0,
    quotaBytes: 1.5 * MIB,
  },
  {
    name: 'with -M the limit of the memory moves and nothing is forgotten',
    memoryBytes: 3 * MIB,
    evicts: false,
    coldKeyCount: 4000,
    valueBytesMax: 80 * KIB,
    isShort: true,
    flushEvery: 0,
    isCrowded: false,
    limitShare: 0.5,
  },
  {
    name: 'with an index that grows all the while nothing is forgotten',
    memoryBytes: 32 * MIB,
    evicts: true,
    coldKeyCount: 1_000_000,
    valueBytesMax: 200,
    isShort: false,
    flushEvery: 0,
    isCrowded: false,
    limitShare: 0,
  },
  {
    name: 'with room for everything nothing is forgotten',
    memoryBytes: 64 * MIB,
    evicts: true,
    coldKeyCount: 500,
    valueBytesMax: 80 * KIB,
    isShort: false,
    flushEvery: 400,
    isCrowded: false,
    limitShare: 0,
  },
  {
    name: 'with -M and full memory nothing is forgotten',
    memoryBytes: 2 * MIB,
    evicts: false,
    coldKeyCount: 3000,
    valueBytesMax: 80 * KIB,
    isShort: true,
    flushEvery: 0,
    isCrowded: false,
    limitShare: 0,
  },
]

class StoreThread {
  readonly #worker: Worker
  #answer: (operations: Operation[]) => void = () => undefined
  #fail: (error: Error) => void = () => undefined

  constructor(workerData: object) {
    this.#worker = new Worker(new URL('./store-threads.worker.mjs', import.meta.url), {
      workerData,
    })
    this.#worker.on('message', (operations) => this.#answer(operations))
    this.#worker.on('error', (error) => this.#fail(error))
  }

  /** Resolves with the next message. */
  next(): Promise<Operation[]> {
    return new Promise((resolve, reject) => {
      this.#answer = resolve
      this.#fail = reject
    })
  }

  ask(message: object): Promise<Operation[]> {
    this.#worker.postMessage(message)
    return this.next()
  }

  async end(): Promise<void> {
    await this.#worker.terminate()
  }
}

interface Totals {
  operations: number
  refused: number
  evictions: number
  /** What memory was too short for: evicted items and refused writes. */
  shortages: number
}

/**
 * Fills a store with items that no thread asks for until one is evicted or refused, so that memory is
 * short whatever the threads do; with -M, where these would never leave, most are deleted at random.
 */
function fillUp(memory: StoreMemory, run: Run, random: Random): void {
  const store = new Store(memory, 0)
  const order = new WriteOrder()
  const value = Buffer.alloc(900)
  const keys: Buffer[] = []
  const isShort = () => {
    const { evictions, noMemoryWrites } = readStoreCounters(memory)
    return evictions + noMemoryWrites > 0
  }
  // To read the counters costs as much as many writes.
  while (keys.length % FILLED_AT_ONCE !== 0 || !isShort()) {
    const key = Buffer.from(`filling ${keys.length}`)
    order.setKey(key, 0, key.length)
    order.setValue(value, 0, random.below(900))
    order.nowSeconds = START_SECOND
    store.write(order)
    keys.push(key)
  }
  if (run.evicts) return
  for (const key of keys) {
    if (random.below(5) > 0) store.remove(key, 0, key.length, 0, 0, START_SECOND)
  }
}

/** One store, filled from empty, checked after each of ROUNDS rounds. */
async function campaign(run: Run, threadCount: number, seed: number): Promise<Totals> {
  const itemBytesMax = 100 * KIB
  const memory = createStoreMemory({
    memoryBytes: run.memoryBytes,
    memoryBytesMax: run.limitShare === 0 ? run.memoryBytes : 2 * run.memoryBytes,
    itemBytesMax,
    evicts: run.evicts,
    workerCount: threadCount,
    seed: [seed, 0x05060708],
  })
  if (run.isShort) fillUp(memory, run, randomOf(seed))
  const { quotaBytes } = run
  const tenant =
    quotaBytes === undefined
      ? undefined
      : addNamespace(memory, { namespace: 1, quotaBytes, seed: [seed, 9] })
  const mayVanish = run.evicts && run.isShort
  const counts = !mayVanish && run.flushEvery === 0
  const shared = new Int32Array(new SharedArrayBuffer(12))
  shared[NOW] = START_SECOND
  const threads = Array.from({ length: threadCount }, (_, workerIndex) => {
    const source: RequestSourceOptions = {
      seed: seed + workerIndex * 7919,
      process: workerIndex,
      processCount: threadCount,
      hotKeyCount: 6,
      coldKeyCount: run.coldKeyCount,
      valueBytesMax: run.valueBytesMax,
      itemBytesMax,
      expires: true,
      // Where nothing may be forgotten, a delayed flush must not be replaced by another's.
      flushEvery: mayVanish || workerIndex === 0 ? run.flushEvery : 0,
      delaysFlushes: workerIndex === 0,
      counts,
      extendsByCas: true,
    }
    return new StoreThread({
      dist: pathToFileURL(DIST).href,
      memory,
      tenant,
      workerIndex,
      source,
      shared,
      isCrowded: run.isCrowded && canCrowd,
      limitBytes:
        run.limitShare === 0 ? [] : [run.limitShare, 1, 2].map((share) => share * run.memoryBytes),
    })
  })
  try {
    await Promise.all(threads.map((thread) => thread.next()))
    const checker = new HistoryChecker({ mayVanish, itemBytesMax })
    const count = Math.floor(OPERATIONS / threadCount)
    const totals: Totals = { operations: 0, refused: 0, evictions: 0, shortages: 0 }
    let increments = 0
    for (let round = 0; round < ROUNDS; round++) {
      const history: Operation[] = []
      if (counts && round === 0) {
        history.push(...(await threads[0]!.ask({ keys: [], startsCounter: true })))
      }
      shared[READY] = threadCount
      const stopEvery = STOP_EVERY[round % STOP_EVERY.length]
      const parts = threads.map((thread) => thread.ask({ count, stopEvery }))
      for (const part of await Promise.all(parts)) {
        for (const operation of part) history.push(operation)
      }
      const keys = new Set(history.map(({ key }) => key).filter((key) => key !== ''))
      for (const operation of await threads[0]!.ask({ keys: [...keys] })) history.push(operation)
      expect(checkHeapIntegrity(tenant === undefined ? [memory] : [memory, tenant])).toEqual([])
      const violation = checker.check(history)
      if (violation !== undefined) throw new Error(describeViolation(violation))
      increments += history.filter(
        ({ key, verb, result }) => key === COUNTER_KEY && verb === 'increment' && result === 'done',
      ).length
      if (counts) {
        const last = history.findLast(({ key, verb }) => key === COUNTER_KEY && verb === 'get')
        expect(last?.value.trim()).toBe(String(increments))
      }
      totals.operations += history.length
      totals.refused += history.filter(({ result }) => result === 'no-memory').length
    }
    const { evictions, noMemoryWrites } = readStoreCounters(memory)
    totals.evictions = evictions
    totals.shortages = evictions + noMemoryWrites
    return totals
  } finally {
    await Promise.all(threads.map((thread) => thread.end()))
  }
}

/** Other systems than Linux have no priorities of threads; there the row is as the first one. */
const canCrowd = existsSync('/proc/thread-self') && spawnSync('taskset', ['-V']).status === 0

const THREAD_COUNTS = [1, 2, 4, 8]
const seed = seedOfRun()
const secondsPerTest = (MINUTES * 60) / (THREAD_COUNTS.length * RUNS.length)

for (const [row, run] of RUNS.entries()) {
  for (const threadCount of THREAD_COUNTS) {
    const name = `${threadCount} threads, ${run.name}: every history has an explanation`
    test(name, { timeout: 600_000 + secondsPerTest * 1000 }, async () => {
      expect(
        existsSync(join(DIST, 'src/storage/store.js')),
        'run npm run build:modules first',
      ).toBe(true)
      const endMs = performance.now() + secondsPerTest * 1000
      const sums: Totals = { operations: 0, refused: 0, evictions: 0, shortages: 0 }
      let turn = 0
      do {
        const totals = await campaign(run, threadCount, seed + row * 1000 + turn++ * 101)
        sums.operations += totals.operations
        sums.refused += totals.refused
        sums.evictions += totals.evictions
        sums.shortages += totals.shortages
        if (!run.evicts) expect(totals.evictions).toBe(0)
        if (run.isShort) expect(totals.shortages).toBeGreaterThan(0)
        else expect(totals).toMatchObject({ evictions: 0, refused: 0 })
        // With eviction there is always a way to make room, but for others who take it first.
        if (run.evicts) expect(totals.refused).toBeLessThan(totals.operations / 100)
      } while (performance.now() < endMs)
      console.log(`${threadCount} threads, ${run.name}: ${turn} stores, ${JSON.stringify(sums)}`)
    })
  }
}
