/**
 * The set `miss-ratio`: the same cache-aside streams (traces.mjs) on both servers at equal -m, three
 * sizes each, after a login on saslcached. A miss ratio is no matter of speed: nobody is pinned, and
 * a busy machine only makes it take longer.
 *
 * Its invariant: figures stand for streams that kept their pace. Items expire in real time, so a run
 * that fell behind gave its items less of the stream to live through; it is marked, and the remedy
 * (`--slowness`) is named.
 */
import { join } from 'node:path'
import { driveServer } from './cache-driver.mjs'
import { residentMib } from './machine.mjs'
import { readStats } from './memory.mjs'
import { Progress } from './progress.mjs'
import { formatColumns } from './report.mjs'
import { PASSWORD, startServer, USER } from './servers.mjs'
import {
  leastMisses,
  MEASURED_REQUESTS,
  memorySizesMib,
  requestsOf,
  Trace,
  WARM_REQUESTS,
  WORKLOADS,
  workloadOf,
} from './traces.mjs'

const SEED = 1
const QUICK_SHARE = 0.02
/** Real seconds by the stream's: above this a run is marked. */
const LATE_SHARE = 1.05
const CONNECTION_LIMIT = 256

/**
 * What saslcached has to reach, by set: the ratio on average, and each single one, which must be below 1 in any
 * case. What both servers hold as a whole says nothing of either, and is left out.
 */
const MISS_RATIO_GOAL = { set: 'miss-ratio', meanMost: 0.78, eachMost: 1 }
export const ENGINE_LOADS_GOAL = { set: 'engine-loads', meanMost: 0.8, eachMost: 0.92 }

/** What --only and --list take. */
export const PARTS = WORKLOADS

async function measureServer(bench, server, workload, { memoryMib, warm, measured }) {
  const { slowness } = bench.options
  const hasLogin = server.name === 'saslcached'
  const settings = {
    threads: 1,
    connectionLimit: CONNECTION_LIMIT,
    memoryMib,
    hasLogin,
    dialect: 'binary',
  }
  const log = join(bench.folder, `${server.name}.log`)
  const running = await startServer(server, settings, [], log, bench.children)
  try {
    const trace = new Trace(workload, SEED)
    const requests = warm + measured
    const isPaced = trace.expiresWithin(requests)
    const { seconds, ...counts } = await driveServer(trace, {
      port: running.port,
      login: hasLogin ? { user: USER, password: PASSWORD } : null,
      warm,
      requests,
      requestsPerSecond: isPaced ? workload.requestsPerSecond : null,
      slowness,
    })
    return {
      ...counts,
      evictions: hasLogin ? null : Number((await readStats(running.port)).get('evictions')),
      missRatio: counts.misses / counts.reads,
      bytesMissRatio: counts.missedBytes / counts.readBytes,
      rssMib: residentMib(running.pid),
      lateness: isPaced ? seconds / ((requests / workload.requestsPerSecond) * slowness) : 1,
    }
  } catch (error) {
    throw new Error(
      `${server.name}, ${workload.name} at ${memoryMib} MiB: ${error.message}\n${running.logTail()}`,
      { cause: error },
    )
  } finally {
    await running.stop()
  }
}

/** Measures one workload at one size; records are plain, for --json. */
async function measureSize(bench, workload, memoryMib, run, least) {
  const servers = {}
  for (const server of bench.servers) {
    servers[server.name] = await measureServer(bench, server, workload, { memoryMib, ...run })
  }
  const { memcached, saslcached } = servers
  return {
    workload: workload.name,
    memoryMib,
    ...run,
    seed: SEED,
    leastMissRatio: least.misses / least.reads,
    servers,
    ratio: memcached && saslcached ? saslcached.misses / memcached.misses : null,
    bytesRatio: memcached && saslcached ? saslcached.missedBytes / memcached.missedBytes : null,
  }
}

const COLUMNS = [
  'workload',
  '-m MiB',
  'memcached',
  'saslcached',
  'ratio',
  'bytes',
  'least',
  'RSS MiB',
]
const ratioText = (value) => (value === undefined || value === null ? '' : value.toFixed(4))

/** @param {readonly any[]} results */
export function formatMissRatios(results) {
  const rows = results.map(
    ({ workload, memoryMib, servers, ratio, bytesRatio, leastMissRatio }, index) => [
      results[index - 1]?.workload === workload ? '' : workload,
      String(memoryMib),
      ratioText(servers.memcached?.missRatio),
      ratioText(servers.saslcached?.missRatio),
      ratio === null ? '' : ratio.toFixed(2),
      bytesRatio === null ? '' : bytesRatio.toFixed(2),
      ratioText(leastMissRatio),
      [servers.memcached, servers.saslcached]
        .filter((server) => server !== undefined)
        .map(({ rssMib }) => rssMib.toFixed(0))
        .join(' / '),
    ],
  )
  return formatColumns(COLUMNS, new Set(['workload']), rows)
}

const describeResult = ({ workload, memoryMib, ratio }) =>
  `${workload} at ${memoryMib} MiB (${ratio.toFixed(2)})`

/** Nothing had to leave memcached: whoever misses then misses what was never there. */
const holdsAll = ({ servers }) => servers.memcached?.evictions === 0

/**
 * The mean of the ratios where memcached's cache was full, and whether that and each single one is low enough.
 */
export function judgeRatios(results, { meanMost, eachMost } = MISS_RATIO_GOAL) {
  const compared = results.filter(({ ratio }) => ratio !== null)
  const judged = compared.filter((each) => !holdsAll(each))
  const leftOut = compared.filter(holdsAll).map(describeResult)
  if (judged.length === 0) return { mean: null, worse: [], leftOut, isReached: null }
  const mean = judged.reduce((sum, { ratio }) => sum + ratio, 0) / judged.length
  const worse = judged.filter(({ ratio }) => ratio >= 1 || ratio > eachMost).map(describeResult)
  return { mean, worse, leftOut, isReached: worse.length === 0 && mean <= meanMost }
}

function summaryOf(results, goal = MISS_RATIO_GOAL) {
  const { mean, worse, leftOut, isReached } = judgeRatios(results, goal)
  const { meanMost, eachMost } = goal
  const whole =
    leftOut.length === 0 ? '' : `\nnothing evicted, so not judged: ${leftOut.join(', ')}`
  if (mean === null) return whole
  const each = eachMost === 1 ? 'fewer misses everywhere' : `<= ${eachMost} each`
  const also = worse.length === 0 ? '' : `; not so in ${worse.join(', ')}`
  return (
    `\nmean ratio ${mean.toFixed(2)}, target <= ${meanMost} and ${each}` +
    `${also}: ${isReached ? 'reached' : 'MISSED'}${whole}`
  )
}

function warningsOf(results) {
  return results.flatMap(({ workload, memoryMib, servers }) =>
    Object.entries(servers).flatMap(([name, { lateness, refusedSets }]) => {
      const where = `${workload} at ${memoryMib} MiB, ${name}`
      const late =
        `${where}: took ${lateness.toFixed(2)} times its time, so items expired early; ` +
        '--slowness 3 gives the machine more.'
      const refused = `${where}: refused ${refusedSets} sets for want of memory.`
      return [...(lateness > LATE_SHARE ? [late] : []), ...(refusedSets > 0 ? [refused] : [])]
    }),
  )
}

async function measureWorkload(bench, workload, results) {
  const share = bench.options.quick ? QUICK_SHARE : 1
  const run = {
    warm: requestsOf(workload, WARM_REQUESTS * share),
    measured: requestsOf(workload, MEASURED_REQUESTS * share),
  }
  const least = leastMisses(workload, SEED, run.warm, run.measured)
  for (const memoryMib of memorySizesMib(workload)) {
    results.push(await measureSize(bench, workload, memoryMib, run, least))
  }
}

/**
 * @param {typeof MISS_RATIO_GOAL} goal
 * @param {any} bench see run.mjs
 * @param {readonly string[]} names of workloads
 */
async function measureFor(goal, bench, names) {
  const results = []
  let failure = null
  const progress = new Progress(names.length)
  try {
    for (const name of names) {
      const workload = workloadOf(name)
      progress.begin(`${workload.name}: ${workload.what}`)
      await measureWorkload(bench, workload, results)
    }
  } catch (error) {
    // What was measured before stands, and took minutes: it is shown first.
    failure = error
  }
  const isMissed = judgeRatios(results, goal).isReached === false
  return {
    text: formatMissRatios(results) + summaryOf(results, goal),
    results,
    warnings: warningsOf(results),
    missed: isMissed ? [goal.set] : [],
    failure,
  }
}

/** The set `miss-ratio`, and `engine-loads`, which is measured alike. */
export const measure = (bench, names) => measureFor(MISS_RATIO_GOAL, bench, names)
export const measureEngineLoads = (bench, names) => measureFor(ENGINE_LOADS_GOAL, bench, names)
