/**
 * The set `memory`: what a full server holds and what it takes for that. Each server is filled at -m 256
 * with more items than fit, then takes a load on fifty connections so that every thread has its
 * buffers, and then is looked at: items (`stats`) and resident memory (/proc).
 *
 * Its invariant: a server that is measured is full, which is to say that it has evicted. Sizes do not
 * depend on who else uses the machine, so one run of each is enough and nobody is pinned.
 */
import { connect } from 'node:net'
import { join } from 'node:path'
import { driveServer } from './cache-driver.mjs'
import { runGenerator } from './generator.mjs'
import { residentMib } from './machine.mjs'
import { Progress } from './progress.mjs'
import { formatColumns, programReport } from './report.mjs'
import { MEMORY_MIB, startServer } from './servers.mjs'
import { Fill } from './traces.mjs'

const KEY_BYTES = 20
const CONNECTION_LIMIT = 1024
/** Least memory of an item in any server, key and value aside: with it, every fill is more than fits. */
const OVERHEAD_BYTES_LEAST = 20
const FILL_FACTOR = 1.1
const LOAD_SECONDS = 2
/** --quick: enough to see that it works, too little for a figure. */
const QUICK_MEMORY_MIB = 8
const QUICK_LOAD_SECONDS = 0.2
const STATS_DEADLINE_MS = 10_000

/** MiB over -m: for one thread, and for each further one. */
const FIXED_MIB_MOST = 60
const THREAD_MIB_MOST = 12
export const fixedMibMost = (threads) => FIXED_MIB_MOST + (threads - 1) * THREAD_MIB_MOST

const items = (valueBytes, leastRatio) => ({
  name: `items-${valueBytes}B`,
  what: `items held for each MiB of resident memory, values of ${valueBytes} bytes`,
  valueBytes,
  threads: 1,
  leastRatio,
})

const fixed = (threads) => ({
  name: `fixed-t${threads}`,
  what: `resident memory over -m when full, ${threads} thread${threads > 1 ? 's' : ''}`,
  valueBytes: 300,
  threads,
  leastRatio: null,
})

/** What --only and --list take. */
export const PARTS = [
  items(8, 1.6),
  items(100, 1.15),
  items(300, 0.95),
  items(1000, 0.95),
  fixed(1),
  fixed(2),
  fixed(4),
]

/**
 * The server's own statistics, by name.
 *
 * @param {number} port
 * @returns {Promise<Map<string, string>>}
 */
export function readStats(port) {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () => socket.write('stats\r\n'))
    socket.setTimeout(STATS_DEADLINE_MS, () => socket.destroy(new Error('no reply to stats')))
    socket.setEncoding('latin1')
    socket.on('data', (piece) => {
      text += piece
      if (!text.endsWith('END\r\n')) return
      socket.end()
      resolve(
        new Map(
          [...text.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, name, value]) => [name, value]),
        ),
      )
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`stats ended early: ${text.slice(0, 100)}`)))
  })
}

async function measureServer(bench, server, part) {
  const settings = {
    threads: part.threads,
    connectionLimit: CONNECTION_LIMIT,
    memoryMib: part.memoryMib,
    hasLogin: false,
    dialect: 'binary',
  }
  const log = join(bench.folder, `${server.name}.log`)
  const running = await startServer(server, settings, [], log, bench.children)
  try {
    const leastBytes = KEY_BYTES + part.valueBytes + OVERHEAD_BYTES_LEAST
    const requests = Math.ceil((part.memoryMib * 2 ** 20 * FILL_FACTOR) / leastBytes)
    await driveServer(new Fill(KEY_BYTES, part.valueBytes), {
      port: running.port,
      login: null,
      warm: 0,
      requests,
      requestsPerSecond: null,
      slowness: 1,
    })
    const load = { mode: 'load', dialect: 'binary', port: running.port, prefill: true }
    await runGenerator(
      bench.program,
      [],
      {
        ...load,
        connections: 50,
        valueBytes: part.valueBytes,
        seconds: LOAD_SECONDS,
        pipeline: 10,
        // memcached has no room for a moment where all that it looks at is in use.
        mayRefuse: server.name === 'memcached',
      },
      bench.children,
    )
    const stats = await readStats(running.port)
    const evictions = Number(stats.get('evictions'))
    if (evictions === 0) throw new Error(`not full after ${requests} sets`)
    const rssMib = residentMib(running.pid)
    const itemCount = Number(stats.get('curr_items'))
    return {
      itemCount,
      evictions,
      rssMib,
      itemsPerMib: itemCount / rssMib,
      bytesPerItem: (part.memoryMib * 2 ** 20) / itemCount,
      overMib: rssMib - part.memoryMib,
    }
  } catch (error) {
    throw new Error(`${server.name}, ${part.name}: ${error.message}\n${running.logTail()}`, {
      cause: error,
    })
  } finally {
    await running.stop()
  }
}

/** Holds the figures of a part against its bound: what is compared, the bound in words, the outcome. */
export function judgePart({ leastRatio, threads }, { memcached, saslcached }) {
  if (saslcached === undefined) return { value: null, bound: '', isReached: null }
  if (leastRatio === null) {
    const most = fixedMibMost(threads)
    const value = saslcached.overMib
    return { value, bound: `over -m <= ${most} MiB`, isReached: value <= most }
  }
  const bound = `items per MiB >= ${leastRatio}`
  if (memcached === undefined) return { value: null, bound, isReached: null }
  const value = saslcached.itemsPerMib / memcached.itemsPerMib
  return { value, bound, isReached: value >= leastRatio }
}

const COLUMNS = [
  'part',
  'server',
  'items',
  'bytes of -m each',
  'RSS MiB',
  'over -m',
  'items per MiB',
  'ratio',
  'target',
]
const LEFT_COLUMNS = new Set(['part', 'server', 'target'])

function rowsOf({ name, servers, leastRatio, verdict }) {
  return Object.entries(servers).map(([server, figures], index) => {
    const isOurs = server === 'saslcached'
    const outcome = verdict.isReached === null ? '' : verdict.isReached ? '  reached' : '  MISSED'
    return [
      index === 0 ? name : '',
      server,
      figures.itemCount.toLocaleString('en-US'),
      figures.bytesPerItem.toFixed(1),
      figures.rssMib.toFixed(1),
      figures.overMib.toFixed(1),
      figures.itemsPerMib.toFixed(0),
      isOurs && leastRatio !== null && verdict.value !== null ? verdict.value.toFixed(2) : '',
      isOurs ? verdict.bound + outcome : '',
    ]
  })
}

/**
 * @param {any} bench see run.mjs
 * @param {readonly string[]} names of parts
 */
export async function measure(bench, names) {
  const results = []
  let failure = null
  const progress = new Progress(names.length)
  try {
    for (const each of PARTS.filter(({ name }) => names.includes(name))) {
      progress.begin(`${each.name}: ${each.what}`)
      const part = bench.options.quick
        ? { ...each, memoryMib: QUICK_MEMORY_MIB, loadSeconds: QUICK_LOAD_SECONDS }
        : { ...each, memoryMib: MEMORY_MIB, loadSeconds: LOAD_SECONDS }
      const servers = {}
      for (const server of bench.servers) {
        servers[server.name] = await measureServer(bench, server, part)
      }
      results.push({ ...part, servers, verdict: judgePart(part, servers) })
    }
  } catch (error) {
    // What was measured before stands, and is shown first.
    failure = error
  }
  const text = formatColumns(COLUMNS, LEFT_COLUMNS, results.flatMap(rowsOf))
  return programReport(results, text, failure)
}
