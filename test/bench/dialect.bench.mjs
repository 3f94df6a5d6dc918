/**
 * Nanoseconds of one request in a dialect, all of it but the socket: decode, execute, encode, on a
 * real store. Run after `npm run build:modules`: `node test/bench/dialect.bench.mjs [name ...]`; a name
 * chooses the cases that contain it. BENCH_DIST= names another build, VALUE= the bytes of a value
 * (100), DEPTH= the requests of one read (50), KEYS= how many keys (10,000, of 20 bytes, evenly chosen), ACCESS=rights or
 * ACCESS=prefixes a user who may not do everything, PASSES= how often all is measured (30), HISTOGRAMS=1 with times
 * taken. Each figure is the lower quartile of short slices, on a busy machine the others measure its other work.
 *
 * BENCH_DIST=BEFORE/.modules,.modules has several builds take turns in this one process; each has the median, and the
 * quartiles, of what its slices took of the first one's beside them.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const MODULES = [
  'command/commands.js',
  'command/local/local-commands.js',
  'command/local/request-observer.js',
  'command/transfers/transfers.js',
  'connection/auth-gate.js',
  'connection/binary-dialect.js',
  'connection/connection.js',
  'connection/reply-memory.js',
  'connection/send-buffer.js',
  'connection/text-dialect.js',
  'connection/turn-counts.js',
  'observe/counters.js',
  'observe/prefix-table.js',
  'observe/watch-log.js',
  'observe/watch-memory.js',
  'storage/geometry.js',
  'storage/store.js',
]

/** All that the modules of a build export. */
async function loadBuild(dist) {
  const load = (path) => import(pathToFileURL(`${resolve(dist)}/src/${path}`).href)
  const newer = load('connection/namespace-shares.js').catch(() => undefined)
  return Object.assign({}, await newer, ...(await Promise.all(MODULES.map(load))))
}

const DISTS = (process.env.BENCH_DIST ?? '.modules').split(',')
const VALUE_BYTES = Number(process.env.VALUE ?? 100)
const DEPTH = Number(process.env.DEPTH ?? 50)
const KEY_COUNT = Math.min(
  Number(process.env.KEYS ?? 10_000),
  Math.floor((64 * 1024 * 1024) / (VALUE_BYTES + 64)),
)
const BATCHES = 400
const PASSES = Number(process.env.PASSES ?? 30)
/** What is compiled, and what is warm, comes in the first ones. */
const PASSES_WARM = 3
/** Reads of a slice: one of a few milliseconds has its own lines in the processor's caches. */
const SLICE_READS = 40

const value = Buffer.alloc(VALUE_BYTES, 'v')
/** Of a user who may read, write and so on, and one who may do that on some keys. */
const PRINCIPALS = {
  rights: { name: 'bench', rights: 31, keyPrefixes: undefined, namespace: 0 },
  prefixes: {
    name: 'bench',
    rights: 31,
    keyPrefixes: ['shop:', 'session:', 'cart:', 'key-'].map((prefix) => Buffer.from(prefix)),
    namespace: 0,
  },
}

const keyOf = (number) => `key-${String(number).padStart(16, '0')}`
const lines = (head, tail = '') => Buffer.from(`${head}\r\n${tail}`)
const withValue = (head) => Buffer.concat([lines(head), value, Buffer.from('\r\n')])

function binaryFrame(opcode, key, extras, body) {
  const header = Buffer.alloc(24)
  header[0] = 0x80
  header[1] = opcode
  header.writeUInt16BE(key.length, 2)
  header[4] = extras.length
  header.writeUInt32BE(extras.length + key.length + body.length, 8)
  return Buffer.concat([header, extras, Buffer.from(key), body])
}

const NOTHING = Buffer.alloc(0)
const binaryGet = (number) => binaryFrame(0, keyOf(number), NOTHING, NOTHING)
const binarySet = (number) => binaryFrame(1, keyOf(number), Buffer.alloc(8), value)
const textGet = (number) => lines(`get ${keyOf(number)}`)
const textSet = (number) => withValue(`set ${keyOf(number)} 1000123 0 ${VALUE_BYTES}`)
const metaGet = (number) => lines(`mg ${keyOf(number)} v f O0000abcd`)
const metaSet = (number) => withValue(`ms ${keyOf(number)} ${VALUE_BYTES} F1000123 O0000abcd`)
const each = (request) => (numbers) => Buffer.concat(numbers.map(request))

/** Name -> what one read holds, made of the numbers of its keys. */
const CASES = {
  'binary get': each(binaryGet),
  'binary set': each(binarySet),
  'text get': each(textGet),
  'text set': each(textSet),
  'text multi-get': (numbers) => lines(`get ${numbers.map(keyOf).join(' ')}`),
  'meta get': each(metaGet),
  'meta set': each(metaSet),
  'meta quiet get, mn': (numbers) =>
    Buffer.concat([
      ...numbers.map((number) => lines(`mg ${keyOf(number)} v f q O0000abcd`)),
      lines('mn'),
    ]),
}

function serverOf(build) {
  const { AuthGate, BinaryDialect, Commands, Connection, LocalCommands, PrefixTable } = build
  const {
    createNamespaceShares,
    createReplyShares,
    ReplyMemory,
    RequestObserver,
    SendBuffer,
    Store,
    TextDialect,
    Transfers,
  } = build
  const { TurnCounts, WatchLog, counterLane, createCounterMemory } = build
  const { createPrefixMemory, createStoreMemory, createWatchMemory } = build
  const memory = createStoreMemory({
    memoryBytes: 256 * 1024 * 1024,
    itemBytesMax: 1 << 20,
    evicts: true,
    workerCount: 1,
    seed: [1, 2],
  })
  const store = new Store(memory, 0)
  const lane = counterLane(createCounterMemory(1), 0)
  const sendBuffer = new SendBuffer()
  const watchLog = new WatchLog(createWatchMemory(1, 65_536), 0, lane, () => 0)
  const prefixes = new PrefixTable(createPrefixMemory(58, [1, 2]), watchLog.observed)
  const observer = new RequestObserver(store, watchLog, prefixes, () => undefined)
  const local = new LocalCommands(store, lane, observer, { flushEnabled: true, casEnabled: true })
  local.setTime(1_700_000_000)
  const counts = new TurnCounts({
    lane,
    users: new Float64Array(64),
    requests: new Float64Array(64),
    latencies: process.env.HISTOGRAMS === undefined ? undefined : new Float64Array(2048),
    itemLane: () => lane,
    nowMs: () => performance.now(),
  })
  const options = {
    counts,
    valueBytesMax: 1 << 20,
    saslBytesMax: 1000,
    requestsPerTurnMax: 1_000_000,
    version: '0',
    operations: {
      shutdownEnabled: false,
      dumpEnabled: false,
      stats: () => undefined,
      setMemoryLimit: () => true,
      setVerbosity: () => undefined,
      prefixes,
      cluster: { current: undefined },
    },
  }
  const commands = new Commands(local)
  const replyMemory = new ReplyMemory({
    lane,
    bytesMax: 1 << 26,
    valueBytesMax: options.valueBytesMax,
    // Older builds have this, and the other shares or none.
    heldByAll: () => 0,
    shares: (createNamespaceShares ?? createReplyShares)?.(1),
    workerIndex: 0,
    namespaceCount: () => 1,
  })
  const transfers = new Transfers(commands, {
    valueBytesMax: options.valueBytesMax,
    crowdedBytesMin: 131_072,
    memory: replyMemory,
  })
  const binary = new BinaryDialect(commands, transfers, sendBuffer, lane, options)
  const text = new TextDialect(commands, transfers, sendBuffer, lane, options)
  const context = {
    limits: {
      loginTimeoutMs: 1000,
      crowdedLoginTimeoutMs: 1000,
      idleTimeoutMs: 0,
      stalledWriteTimeoutMs: 0,
      sendBufferBytesMax: 1 << 20,
    },
    lane,
    counts,
    sendBuffer,
    replyMemory,
    nowMs: 0,
    isCrowded: false,
    isStopping: false,
    lingerMs: 1000,
    detect: (byte) => (byte === 0x80 ? binary : text),
    defer: () => {
      throw new Error('a turn was given away')
    },
    onGateChanged: () => undefined,
    onClosed: () => undefined,
  }
  let connectionCount = 0
  return () => {
    const peer = { text: '192.0.2.1:5', network: '192.0.2.1' }
    const sent = { peer, unsentBytes: 0, bytes: 0 }
    const transport = Object.assign(sent, {
      channel: { kind: 'tcp', listenerIndex: 0 },
      write(bytes) {
        sent.bytes += bytes.length
        return 0
      },
      resume() {},
      end() {},
      destroy() {},
    })
    const gate = new AuthGate({ sasl: undefined, loginAttemptsMax: 5, lane }, transport)
    const principal = PRINCIPALS[process.env.ACCESS]
    if (principal !== undefined) gate.become(principal)
    const connection = new Connection(context, transport, gate, ++connectionCount)
    return { connection, sent }
  }
}

const shared = Buffer.allocUnsafeSlow(64 * 1024)

/** As a worker reads: into one buffer that all connections share. */
function receive(connection, bytes) {
  for (let at = 0; at < bytes.length; at += shared.length) {
    const length = Math.min(shared.length, bytes.length - at)
    shared.set(bytes.subarray(at, at + length))
    connection.receive(shared, length)
  }
}

const builds = []
for (const dist of DISTS) {
  const connect = serverOf(await loadBuild(dist))
  const { connection: filler, sent: filled } = connect()
  for (let number = 0; number < KEY_COUNT; number++) receive(filler, textSet(number))
  if (filled.bytes !== KEY_COUNT * 'STORED\r\n'.length) throw new Error('the store was not filled')
  builds.push({ dist, connect })
}

let state = 1
const randomKey = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor((state / 2 ** 32) * KEY_COUNT)
}

function quantile(values, share) {
  const sorted = [...values].sort((left, right) => left - right)
  return sorted[Math.floor(sorted.length * share)]
}

/** Nanoseconds a request of each build, slice by slice, in turns. */
function measure(batches) {
  const times = builds.map(() => [])
  const connections = builds.map(({ connect }) => connect().connection)
  for (let pass = 0; pass < PASSES + PASSES_WARM; pass++) {
    for (let from = 0; from + SLICE_READS <= batches.length; from += SLICE_READS) {
      for (let turn = 0; turn < builds.length; turn++) {
        const build = (turn + pass) % builds.length
        const start = process.hrtime.bigint()
        for (let index = from; index < from + SLICE_READS; index++) {
          receive(connections[build], batches[index])
        }
        const nanoseconds = Number(process.hrtime.bigint() - start) / (SLICE_READS * DEPTH)
        if (pass >= PASSES_WARM) times[build].push(nanoseconds)
      }
    }
  }
  return times
}

const wanted = process.argv.slice(2)
const chosen = Object.entries(CASES).filter(
  ([name]) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
)
const batchCount = Math.max(
  SLICE_READS,
  Math.floor(BATCHES / Math.ceil((VALUE_BYTES * DEPTH) / 65_536)),
)
console.log(`${process.version}, values of ${VALUE_BYTES} bytes, ${DEPTH} requests a read: ns each`)
for (const [name, make] of chosen) {
  const times = measure(
    Array.from({ length: batchCount }, () =>
      make(Array.from({ length: DEPTH }, () => randomKey())),
    ),
  )
  const figures = times.map((own, build) => {
    const text = quantile(own, 0.25).toFixed(0).padStart(6)
    if (build === 0) return text
    const ratios = own.map((nanoseconds, slice) => nanoseconds / times[0][slice])
    const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(ratios, share).toFixed(2))
    return `${text}  ${middle} (${low}-${high})`
  })
  console.log(`  ${name.padEnd(20)} ${figures.join('   ')}`)
}
