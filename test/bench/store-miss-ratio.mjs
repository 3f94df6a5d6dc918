/**
 * Miss ratios of the item store alone, in this process, on the streams of traces.mjs: what a change
 * of the eviction policy does, within seconds. Time is the stream's. miss-ratio.mjs puts the same
 * streams on whole servers.
 *
 *   npm run build:modules && node test/bench/store-miss-ratio.mjs [--workload NAME ...] [--memory MIB ...]
 *
 * Beside them stand memcached's at the same -m, recorded once (memcached-miss-ratios.json, written by
 * `npm run bench -- --set miss-ratio --servers memcached --json FILE`). STORE_DIST= names another
 * build to compare with.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { loadStore } from './store-build.mjs'
import {
  ENGINE_LOADS,
  leastMisses,
  MEASURED_REQUESTS,
  memorySizesMib,
  requestsOf,
  Trace,
  WARM_REQUESTS,
  WORKLOADS,
  workloadOf,
} from './traces.mjs'

/** An arbitrary second to start at; the store keeps expiries as seconds since 1970. */
const START_SECONDS = 1_700_000_000
/** As a worker does it: this often in a second, and so many items at a time. */
const MAINTENANCE_PER_SECOND = 10
const MAINTENANCE_BUDGET = 2000
const MIB = 2 ** 20
const RECORDED = join(import.meta.dirname, 'memcached-miss-ratios.json')

/**
 * Puts a stream on a new store and counts the reads after the warm-up, and those that missed.
 *
 * @param {Awaited<ReturnType<typeof loadStore>>} build
 * @param {import('./traces.mjs').Workload} workload
 * @param {{ seed: number, memoryBytes: number, warm: number, measured: number, ranksBySize?: boolean }} run
 */
export function driveStore(
  build,
  workload,
  { seed, memoryBytes, warm, measured, ranksBySize = true },
) {
  const { Store, HIT, STORED, WriteOrder } = build
  const trace = new Trace(workload, seed)
  const memory = build.createStoreMemory({
    memoryBytes,
    itemBytesMax: MIB,
    evicts: true,
    ranksBySize,
    workerCount: 1,
    seed: [1, 2],
  })
  const store = new Store(memory, 0)
  const order = new WriteOrder()
  const { keyBytes } = trace
  const key = Buffer.alloc(keyBytes)
  const values = Buffer.alloc(trace.valueBytesMax, 'value')
  const maintenanceRequests = Math.ceil(workload.requestsPerSecond / MAINTENANCE_PER_SECOND)
  let reads = 0
  let misses = 0
  let readBytes = 0
  let missedBytes = 0
  const start = performance.now()
  for (let number = 0; number < warm + measured; number++) {
    trace.next()
    const id = trace.id
    const now = START_SECONDS + trace.second
    const valueBytes = trace.valueBytesOf(id)
    trace.writeKey(key, 0, id)
    let isWrite = trace.isWrite
    if (!isWrite) {
      isWrite = store.lookup(key, 0, keyBytes, now) !== HIT
      if (!isWrite) {
        if (store.flags !== id || store.valueBytes !== valueBytes) {
          throw new Error(`request ${number}: the item of another key`)
        }
        store.markRead(now)
        store.release()
      }
      if (number >= warm) {
        reads++
        readBytes += valueBytes
        if (isWrite) {
          misses++
          missedBytes += valueBytes
        }
      }
    }
    if (isWrite) {
      order.setKey(key, 0, keyBytes)
      order.setValue(values, 0, valueBytes)
      order.flags = id
      order.expiry = now + trace.ttlSecondsOf(id)
      order.nowSeconds = now
      const result = store.write(order)
      if (result !== STORED) throw new Error(`request ${number}: a set was answered ${result}`)
    }
    if (number % maintenanceRequests === 0) store.maintain(now, MAINTENANCE_BUDGET)
  }
  const seconds = (performance.now() - start) / 1000
  const counters = build.readStoreCounters(memory)
  return {
    reads,
    misses,
    readBytes,
    missedBytes,
    counters,
    requestsPerSecond: (warm + measured) / seconds,
  }
}

/** memcached's miss ratio of the very same run; null when that was not recorded. */
function recordedOf(results, workload, mib, { seed, warm, measured }) {
  const result = results.find(
    (each) =>
      each.workload === workload.name &&
      each.memoryMib === mib &&
      each.seed === seed &&
      each.warm === warm &&
      each.measured === measured,
  )
  return result?.servers.memcached.missRatio ?? null
}

async function main() {
  const { values } = parseArgs({
    options: {
      workload: {
        type: 'string',
        multiple: true,
        default: [...WORKLOADS, ...ENGINE_LOADS].map(({ name }) => name),
      },
      memory: { type: 'string', multiple: true },
      requests: { type: 'string', default: String(MEASURED_REQUESTS) },
      warm: { type: 'string', default: String(WARM_REQUESTS) },
      seed: { type: 'string', default: '1' },
      eviction: { type: 'string', default: 'size-aware' },
    },
  })
  const build = await loadStore(process.env.STORE_DIST ?? '.modules')
  const seed = Number(values.seed)
  const { results } = JSON.parse(readFileSync(RECORDED, 'utf8'))
  console.log(
    'workload     MiB  miss ratio   least  memcached  ratio  bytes   live    items  evicted  requests/s',
  )
  for (const name of values.workload) {
    const workload = workloadOf(name)
    if (workload === null) throw new Error(`--workload ${name}: there is none of that name`)
    const warm = requestsOf(workload, Number(values.warm))
    const measured = requestsOf(workload, Number(values.requests))
    const least = leastMisses(workload, seed, warm, measured)
    for (const mib of values.memory?.map(Number) ?? memorySizesMib(workload)) {
      const ranksBySize = values.eviction === 'size-aware'
      const run = { seed, memoryBytes: mib * MIB, warm, measured, ranksBySize }
      const { reads, misses, readBytes, missedBytes, counters, requestsPerSecond } = driveStore(
        build,
        workload,
        run,
      )
      const theirs = recordedOf(results, workload, mib, run)
      console.log(
        name.padEnd(9),
        String(mib).padStart(6),
        (misses / reads).toFixed(4).padStart(11),
        (least.misses / least.reads).toFixed(4).padStart(7),
        (theirs?.toFixed(4) ?? '').padStart(10),
        (theirs === null ? '' : (misses / reads / theirs).toFixed(2)).padStart(6),
        (missedBytes / readBytes).toFixed(4).padStart(6),
        ((counters.bytes + counters.indexBytes) / run.memoryBytes).toFixed(3).padStart(6),
        String(counters.items).padStart(8),
        String(counters.evictions).padStart(8),
        Math.round(requestsPerSecond).toLocaleString('en-US').padStart(11),
      )
    }
  }
}

if (process.argv[1] === import.meta.filename) await main()
