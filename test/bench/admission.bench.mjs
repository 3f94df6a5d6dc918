/**
 * Microseconds of one accept at a full server: -c strangers, each of a source of its own, and a newcomer
 * that takes the place of one of them. Run after `npm run build:modules`: `node test/bench/admission.bench.mjs`.
 * STORE_DIST= names another build. Median and slowest of short slices.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const dist = resolve(process.env.STORE_DIST ?? '.modules')
const load = async (name) => await import(pathToFileURL(`${dist}/src/${name}.js`).href)
const { Admission } = await load('server/admission/admission')
const { WorkerTable } = await load('server/admission/worker-table')
const { createWorkerTableMemory } = await load('server/admission/worker-table-memory')
const { SocketNewcomer } = await load('server/net/socket-newcomer')
const { COUNTER_NAMES } = await load('observe/counters')

const WORKERS = 4
const SLICE = 50
const SLICES = 60
const CHANNEL = { kind: 'tcp', listenerIndex: 0 }
/** What fills the server, and where the newcomers come from. */
const SHAPES = {
  'an IPv6 /48': (index) => `2001:db8:1:${(index & 0xffff).toString(16)}::1`,
  'IPv4 addresses': (index) => `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`,
}

function newcomerFrom(address) {
  const getpeername = (out) => {
    out.address = address
    out.port = 40_000
    return 0
  }
  return new SocketNewcomer({ close() {}, getpeername }, CHANNEL)
}

function measure(connectionsMax, addressOf) {
  const memory = createWorkerTableMemory(WORKERS, 0, connectionsMax)
  const admission = new Admission({
    connectionsMax,
    strangersMax: Math.ceil(connectionsMax / 4),
    waitMs: 1e9,
    workerTable: new WorkerTable(memory, 0),
    lane: new Float64Array(COUNTER_NAMES.length),
    serve: () => {
      const connection = { gate: { isOpen: false }, lastActivityMs: 0, slot: -1 }
      connection.close = () => admission.closed(connection, 0)
      return connection
    },
    turnAway() {},
    onCrowd() {},
  })
  let index = 0
  for (; index < connectionsMax; index++) {
    admission.accept(newcomerFrom(addressOf(index)), 0)
  }
  const slices = []
  for (let slice = 0; slice < SLICES; slice++) {
    const start = performance.now()
    for (let count = 0; count < SLICE; count++) {
      admission.accept(newcomerFrom(addressOf(index++)), 0)
    }
    slices.push(((performance.now() - start) * 1000) / SLICE)
  }
  slices.sort((one, other) => one - other)
  return { median: slices[SLICES >> 1], slowest: slices[SLICES - 1] }
}

// So that the first row is not that of code which is not compiled yet.
for (const addressOf of Object.values(SHAPES)) measure(3000, addressOf)
for (const [name, addressOf] of Object.entries(SHAPES)) {
  for (const connectionsMax of [1000, 60_000]) {
    const { median, slowest } = measure(connectionsMax, addressOf)
    const size = String(connectionsMax).padStart(6)
    console.log(
      `${name.padEnd(15)} ${size} sources: ${median.toFixed(1)} us, slowest slice ${slowest.toFixed(1)} us`,
    )
  }
}
