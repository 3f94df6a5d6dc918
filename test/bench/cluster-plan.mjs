/**
 * What clients see when a master of a large cluster dies, simulated: gates before masters, each one thread that
 * serves what comes in order of arrival. docs/cluster-plan.md reads its tables.
 *
 *   node test/bench/cluster-plan.mjs [--gates 100] [--masters 50] [--help]
 *
 *     client -> gate (half of its CPU a request) -> network -> master -> network -> gate (the other half) -> client
 *
 * Clients are closed loops: a connection sends a batch of requests, waits for all replies, which leave in the order of the
 * requests, thinks, and goes on. So a client that waits for a dead master does not ask the others.
 *
 * Its invariant: the same options and seed give the same table. Times are seconds.
 */
import { parseArgs } from 'node:util'

const OPTIONS = {
  gates: ['100', 'gates, one thread each'],
  masters: ['50', 'masters'],
  connections: ['50', 'connections of clients to each gate'],
  batch: ['1', 'requests that a client sends at once'],
  rate: ['5000', 'requests a second that the clients of a gate ask for while all is well'],
  'gate-us': ['30', "a gate's CPU for a request, microseconds"],
  'master-us': ['2', "a master's CPU for a request, microseconds"],
  'network-us': ['100', 'one way between gate and master, microseconds'],
  'timeout-ms': ['1000', 'a gate gives up on a request after that'],
  'failover-ms': ['5000', 'until a replica serves in place of the master'],
  'breaker-failures': [
    '0',
    'after so many timeouts in a row a gate refuses what goes to that master at once; 0: never',
  ],
  'breaker-ms': ['500', 'and tries it again with one request after that'],
  refuses: [
    false,
    "the dead master's machine refuses connections (a process died), instead of silence",
  ],
  seconds: ['10', 'simulated'],
  'dies-at': ['2', 'second in which the first master dies'],
  seed: ['1', 'of all that is random'],
}

const ASK = 0
const AT_MASTER = 1
const AT_GATE = 2
const GIVE_UP = 3
/** Bounds of the histogram of latencies: 10 us, and 5 % more each. */
const LATENCY_LEAST = 1e-5
const LATENCY_STEP = 1.05
const LATENCY_BUCKETS = 300
const SLICE_SECONDS = 0.5

/** Uniform in (0, 1]: mulberry32. */
export function randomFrom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 1) / 2 ** 32
  }
}

/** Events by time, the earliest first: a binary heap over typed arrays. */
export class Events {
  constructor() {
    this.capacity = 1024
    this.times = new Float64Array(this.capacity)
    this.words = new Float64Array(this.capacity)
    this.count = 0
  }

  push(time, word) {
    if (this.count === this.capacity) this.grow()
    let place = this.count++
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (this.times[parent] <= time) break
      this.times[place] = this.times[parent]
      this.words[place] = this.words[parent]
      place = parent
    }
    this.times[place] = time
    this.words[place] = word
  }

  /** Takes the earliest: its word; `time` has its time. */
  pop() {
    this.time = this.times[0]
    const word = this.words[0]
    const time = this.times[--this.count]
    const last = this.words[this.count]
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      if (child >= this.count) break
      if (child + 1 < this.count && this.times[child + 1] < this.times[child]) child++
      if (this.times[child] >= time) break
      this.times[place] = this.times[child]
      this.words[place] = this.words[child]
      place = child
    }
    this.times[place] = time
    this.words[place] = last
    return word
  }

  grow() {
    const grown = (array) => {
      const larger = new Float64Array(2 * this.capacity)
      larger.set(array)
      return larger
    }
    this.times = grown(this.times)
    this.words = grown(this.words)
    this.capacity *= 2
  }
}

/** Requests that ended in one slice of time. */
class Slice {
  constructor() {
    this.latencies = new Uint32Array(LATENCY_BUCKETS)
    this.done = 0
    this.failed = 0
  }

  count(latency, isFailed) {
    this.done++
    if (isFailed) this.failed++
    const steps = Math.log(Math.max(latency / LATENCY_LEAST, 1)) / Math.log(LATENCY_STEP)
    this.latencies[Math.min(Math.floor(steps), LATENCY_BUCKETS - 1)]++
  }

  quantile(share) {
    let left = share * this.done
    let bucket = 0
    while (bucket < LATENCY_BUCKETS - 1 && left > this.latencies[bucket])
      left -= this.latencies[bucket++]
    return LATENCY_LEAST * LATENCY_STEP ** (bucket + 1)
  }
}

/**
 * @param {{
 *   gates: number, masters: number, connections: number, batch: number, rate: number, gateSeconds: number,
 *   masterSeconds: number, networkSeconds: number, timeoutSeconds: number, failoverSeconds: number,
 *   breakerFailures: number, breakerSeconds: number, refuses: boolean, seconds: number, diesAt: number, seed: number
 * }} plan
 * @returns one record for each half second: requests and failed ones a second, p50 and p99 of the latency in seconds,
 *   the share of connections that wait for the dead master at its end
 */
export function simulate(plan) {
  const { gates, masters, connections, batch } = plan
  const random = randomFrom(plan.seed)
  const events = new Events()
  const slices = Array.from({ length: Math.ceil(plan.seconds / SLICE_SECONDS) }, () => new Slice())
  const gateFreeAt = new Float64Array(gates)
  const masterFreeAt = new Float64Array(masters)
  const failures = new Int32Array(gates)
  const triesAt = new Float64Array(gates)
  const connectionCount = gates * connections
  const left = new Int32Array(connectionCount)
  const sentAt = new Float64Array(connectionCount)
  const stuckUntil = new Float64Array(connectionCount)
  const failedInBatch = new Int32Array(connectionCount)
  const aliveAgainAt = plan.diesAt + plan.failoverSeconds
  // So that `rate` is reached while all is well.
  const thinkSeconds = Math.max((connections * batch) / plan.rate - 4 * plan.networkSeconds, 0)
  const thought = (time) => time - Math.log(random()) * thinkSeconds
  // An event's word: kind, whether the request fails, and connection.
  const word = (kind, connection, fails = 0) => (connection * 2 + fails) * 4 + kind
  const gateOf = (connection) => Math.floor(connection / connections)

  /** The gate works `seconds` for something that came at `time`; when that is done. */
  const work = (gate, time, seconds) => {
    gateFreeAt[gate] = Math.max(time, gateFreeAt[gate]) + seconds
    return gateFreeAt[gate]
  }

  const ask = (connection, time) => {
    const gate = gateOf(connection)
    left[connection] = batch
    sentAt[connection] = time
    failedInBatch[connection] = 0
    for (let request = 0; request < batch; request++) {
      const handedOn = work(gate, time, plan.gateSeconds / 2)
      events.push(handedOn + plan.networkSeconds, word(AT_MASTER, connection))
    }
  }

  const reachMaster = (connection, time) => {
    const gate = gateOf(connection)
    const master = Math.min(Math.floor(random() * masters), masters - 1)
    const isDead = master === 0 && time >= plan.diesAt && time < aliveAgainAt
    if (!isDead) {
      if (master === 0) failures[gate] = 0
      masterFreeAt[master] = Math.max(time, masterFreeAt[master]) + plan.masterSeconds
      events.push(masterFreeAt[master] + plan.networkSeconds, word(AT_GATE, connection))
      return
    }
    const isOpen = plan.breakerFailures > 0 && failures[gate] >= plan.breakerFailures
    if (plan.refuses) {
      events.push(time + plan.networkSeconds, word(AT_GATE, connection, 1))
    } else if (isOpen && time < triesAt[gate]) {
      events.push(time - plan.networkSeconds, word(AT_GATE, connection, 1))
    } else {
      if (isOpen) triesAt[gate] = time + plan.breakerSeconds
      stuckUntil[connection] = time + plan.timeoutSeconds
      events.push(time + plan.timeoutSeconds, word(GIVE_UP, connection, 1))
    }
  }

  const giveUp = (connection, time) => {
    const gate = gateOf(connection)
    if (++failures[gate] === plan.breakerFailures) triesAt[gate] = time + plan.breakerSeconds
    events.push(time, word(AT_GATE, connection, 1))
  }

  const answer = (connection, fails, time) => {
    const ended = work(gateOf(connection), time, plan.gateSeconds / 2)
    failedInBatch[connection] += fails
    if (--left[connection] > 0) return
    // Replies leave in order, and the client waits for the last: all of a batch take as long.
    const slice = slices[Math.floor(ended / SLICE_SECONDS)]
    for (let request = 0; request < batch; request++) {
      slice?.count(ended - sentAt[connection], request < failedInBatch[connection])
    }
    events.push(thought(ended), word(ASK, connection))
  }

  for (let connection = 0; connection < connectionCount; connection++) {
    events.push(thought(0), word(ASK, connection))
  }
  const stuck = []
  while (events.count > 0) {
    const event = events.pop()
    const { time } = events
    while (time >= (stuck.length + 1) * SLICE_SECONDS && stuck.length < slices.length) {
      const end = (stuck.length + 1) * SLICE_SECONDS
      stuck.push(
        stuckUntil.reduce((sum, until) => sum + (until > end ? 1 : 0), 0) / connectionCount,
      )
    }
    if (time >= plan.seconds) break
    const connection = Math.floor(event / 8)
    const kind = event % 4
    const fails = Math.floor(event / 4) % 2
    if (kind === ASK) ask(connection, time)
    else if (kind === AT_MASTER) reachMaster(connection, time)
    else if (kind === GIVE_UP) giveUp(connection, time)
    else answer(connection, fails, time)
  }
  return slices.map((slice, index) => ({
    until: (index + 1) * SLICE_SECONDS,
    requestsPerSecond: slice.done / SLICE_SECONDS,
    failedPerSecond: slice.failed / SLICE_SECONDS,
    p50: slice.quantile(0.5),
    p99: slice.quantile(0.99),
    waiting: stuck[index] ?? 0,
  }))
}

/** @param {ReturnType<typeof simulate>} records */
export function formatPlan(records) {
  const rows = records.map(({ until, requestsPerSecond, failedPerSecond, p50, p99, waiting }) => [
    until.toFixed(1),
    Math.round(requestsPerSecond).toLocaleString('en'),
    `${((100 * failedPerSecond) / Math.max(requestsPerSecond, 1)).toFixed(2)} %`,
    `${(p50 * 1000).toFixed(2)}`,
    `${(p99 * 1000).toFixed(1)}`,
    `${(100 * waiting).toFixed(1)} %`,
  ])
  const all = [['until s', 'requests/s', 'failed', 'p50 ms', 'p99 ms', 'waiting'], ...rows]
  return all.map((row) => row.map((cell) => cell.padStart(12)).join('')).join('\n')
}

/** The plan that words of a command line describe. */
export function planOf(words) {
  const options = Object.fromEntries(
    Object.entries(OPTIONS).map(([name, [value]]) => [
      name,
      { type: typeof value === 'boolean' ? 'boolean' : 'string', default: value },
    ]),
  )
  const { values } = parseArgs({ args: words, options: { ...options, help: { type: 'boolean' } } })
  if (values.help) return null
  const number = (name) => {
    const value = Number(values[name])
    if (!Number.isFinite(value) || value < 0)
      throw new Error(`--${name} takes a number, not ${values[name]}`)
    return value
  }
  return {
    gates: number('gates'),
    masters: number('masters'),
    connections: number('connections'),
    batch: number('batch'),
    rate: number('rate'),
    gateSeconds: number('gate-us') / 1e6,
    masterSeconds: number('master-us') / 1e6,
    networkSeconds: number('network-us') / 1e6,
    timeoutSeconds: number('timeout-ms') / 1000,
    failoverSeconds: number('failover-ms') / 1000,
    breakerFailures: number('breaker-failures'),
    breakerSeconds: number('breaker-ms') / 1000,
    refuses: values.refuses,
    seconds: number('seconds'),
    diesAt: number('dies-at'),
    seed: number('seed'),
  }
}

function helpText() {
  const lines = Object.entries(OPTIONS).map(
    ([name, [value, what]]) =>
      `  --${name.padEnd(18)} ${what}${value === false ? '' : ` (${value})`}`,
  )
  return `Usage: node test/bench/cluster-plan.mjs [options]\n\n${lines.join('\n')}`
}

if (process.argv[1] === import.meta.filename) {
  try {
    const plan = planOf(process.argv.slice(2))
    console.log(plan === null ? helpText() : formatPlan(simulate(plan)))
  } catch (error) {
    console.error(error.message)
    process.exitCode = 64
  }
}
