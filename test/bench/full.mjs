/**
 * The set `full`: a server filled far beyond its memory with items of all sizes, and what it is then.
 * Resident memory is looked at all the while, and so is what the server says it holds; in the end
 * a part of the items is read back.
 *
 * Its invariant: whatever comes back is what was stored, or the run ends with an error; items are never
 * more than `-m`. How fast it goes is not measured.
 */
import { connect } from 'node:net'
import { join } from 'node:path'
import { driveServer } from './cache-driver.mjs'
import { residentMib } from './machine.mjs'
import { fixedMibMost, readStats } from './memory.mjs'
import { Progress } from './progress.mjs'
import { formatColumns, programReport } from './report.mjs'
import { startServer } from './servers.mjs'
import { Fill } from './traces.mjs'

const MIB = 2 ** 20
const KEY_BYTES = 20
const CONNECTION_LIMIT = 1024
const THREADS = 2
/** How many times its memory a server is sent. */
const FILL_FACTOR = 1.3
const LOOK_MS = 250
/** Items of the last so many are looked for; the rest of what is held is older. */
const RECENT_SHARE = 0.02
const SAMPLE_COUNT = 200
const QUICK_MEMORY_MIB = 32

const full = (name, memoryMib) => ({
  name,
  what: `filled ${FILL_FACTOR} times over at -m ${memoryMib} with values of all sizes, ${THREADS} threads`,
  memoryMib,
})

/** What --only and --list take. */
export const PARTS = [full('full-64m', 64), full('full-1g', 1024), full('full-8g', 8192)]

/** Most values are 16 bytes to 64 KiB, evenly over the logarithm; one of 64 is up to 900,000 bytes. */
const SMALL_BITS_LEAST = 4
const SMALL_BITS_MOST = 16
const LARGE_EACH = 64
const LARGE_BYTES_MOST = 900_000

class Mix extends Fill {
  constructor() {
    super(KEY_BYTES, LARGE_BYTES_MOST)
  }

  valueBytesOf(id) {
    const share = (Math.imul(id + 1, 0x9e3779b1) >>> 0) / 2 ** 32
    if (id % LARGE_EACH === 0) return Math.ceil(share * LARGE_BYTES_MOST)
    return Math.floor(2 ** (SMALL_BITS_LEAST + share * (SMALL_BITS_MOST - SMALL_BITS_LEAST)))
  }
}

/** The same items, read from the last on. */
class Recent extends Mix {
  constructor(count) {
    super()
    this.isWrite = false
    this.id = count
  }

  next() {
    this.id--
  }
}

/** Whether a value is held, read by text; fails when it is another. */
function readValue(port, key, value) {
  return new Promise((resolve, reject) => {
    const pieces = []
    const socket = connect(port, '127.0.0.1', () => socket.write(`get ${key}\r\nquit\r\n`))
    socket.on('data', (piece) => pieces.push(piece))
    socket.on('error', reject)
    socket.on('close', () => {
      const answer = Buffer.concat(pieces)
      const begin = answer.indexOf('\r\n') + 2
      if (answer.equals(Buffer.from('END\r\n'))) resolve(false)
      else if (answer.subarray(begin).equals(Buffer.concat([value, Buffer.from('\r\nEND\r\n')]))) {
        resolve(true)
      } else reject(new Error(`${key} is not what was stored: ${answer.subarray(0, begin)}`))
    })
  })
}

/** Looks at the server until told to stop; returns the most that it held. */
function watchOver({ port, pid }) {
  const most = { residentMib: 0, itemBytes: 0 }
  let isOver = false
  const look = async () => {
    for (let isLast = false; !isLast; ) {
      isLast = isOver
      most.residentMib = Math.max(most.residentMib, residentMib(pid))
      const stats = await readStats(port)
      most.itemBytes = Math.max(most.itemBytes, Number(stats.get('bytes')))
      if (!isLast) await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
    return most
  }
  const end = look()
  // What goes wrong here is told by the await, which may come later.
  end.catch(() => {})
  return () => {
    isOver = true
    return end
  }
}

async function measureServer(bench, server, { name, memoryMib }) {
  const settings = {
    threads: THREADS,
    connectionLimit: CONNECTION_LIMIT,
    memoryMib,
    hasLogin: false,
    dialect: 'binary',
  }
  const log = join(bench.folder, `${server.name}.log`)
  const running = await startServer(server, settings, [], log, bench.children)
  const drive = (stream, requests) =>
    driveServer(stream, {
      port: running.port,
      login: null,
      warm: 0,
      requests,
      requestsPerSecond: null,
      slowness: 1,
    })
  try {
    const startMib = residentMib(running.pid)
    const mix = new Mix()
    let count = 0
    for (let bytes = 0; bytes < memoryMib * MIB * FILL_FACTOR; count++) {
      bytes += KEY_BYTES + mix.valueBytesOf(count)
    }
    const stopWatching = watchOver(running)
    await drive(mix, count)
    const most = await stopWatching()
    const stats = await readStats(running.port)
    if (Number(stats.get('evictions')) === 0) throw new Error(`not full after ${count} sets`)
    if (most.itemBytes > memoryMib * MIB) throw new Error(`${most.itemBytes} bytes of items`)
    const readCount = Math.ceil(count * RECENT_SHARE)
    const { reads, misses } = await drive(new Recent(count), readCount)
    const key = Buffer.alloc(KEY_BYTES)
    const values = Buffer.alloc(LARGE_BYTES_MOST, 'value')
    let wholeCount = 0
    for (let index = 0; index < SAMPLE_COUNT; index++) {
      const id = count - 1 - Math.floor((index * count) / SAMPLE_COUNT)
      mix.writeKey(key, 0, id)
      const value = values.subarray(0, mix.valueBytesOf(id))
      if (await readValue(running.port, key.toString('latin1'), value)) wholeCount++
    }
    return {
      startMib,
      setCount: count,
      itemCount: Number(stats.get('curr_items')),
      itemBytesMost: most.itemBytes,
      overMibMost: most.residentMib - memoryMib,
      recentShare: 1 - misses / reads,
      wholeCount,
    }
  } catch (error) {
    throw new Error(`${server.name}, ${name}: ${error.message}\n${running.logTail()}`, {
      cause: error,
    })
  } finally {
    await running.stop()
  }
}

const COLUMNS = [
  'part',
  'server',
  'RSS at start',
  'sets',
  'items held',
  'bytes/-m',
  'most over -m',
  'recent held',
  'compared',
  'target',
]
const LEFT_COLUMNS = new Set(['part', 'server', 'target'])

function rowsOf({ name, memoryMib, servers, verdict }) {
  return Object.entries(servers).map(([server, figures], index) => [
    index === 0 ? name : '',
    server,
    figures.startMib.toFixed(1),
    figures.setCount.toLocaleString('en-US'),
    figures.itemCount.toLocaleString('en-US'),
    (figures.itemBytesMost / MIB / memoryMib).toFixed(3),
    figures.overMibMost.toFixed(1),
    `${(figures.recentShare * 100).toFixed(1)} %`,
    `${figures.wholeCount}`,
    server === 'saslcached' ? `${verdict.bound}  ${verdict.isReached ? 'reached' : 'MISSED'}` : '',
  ])
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
      const part = bench.options.quick ? { ...each, memoryMib: QUICK_MEMORY_MIB } : each
      const servers = {}
      for (const server of bench.servers) {
        servers[server.name] = await measureServer(bench, server, part)
      }
      const most = fixedMibMost(THREADS)
      const ours = servers.saslcached
      const verdict = {
        bound: `over -m <= ${most} MiB`,
        isReached: ours === undefined ? null : ours.overMibMost <= most,
      }
      results.push({ ...part, servers, verdict })
    }
  } catch (error) {
    // What was measured before stands, and is shown first.
    failure = error
  }
  const text = formatColumns(COLUMNS, LEFT_COLUMNS, results.flatMap(rowsOf))
  return programReport(results, text, failure)
}
