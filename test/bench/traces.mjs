/**
 * Streams of requests to a cache, made from the published parameters of real ones: what a
 * miss ratio is measured on. The same seed gives the same stream, request by request, whoever
 * answers it. Hot path: nothing is allocated per request; a Trace leaves the request in its fields.
 *
 * A stream is cache-aside: a read that misses is followed by a write of that key, which is for the
 * driver to do (store-miss-ratio.mjs in this process, miss-ratio.mjs over sockets). Reads and writes
 * are drawn independently of each other, so a stream has the popularity, the sizes, the TTLs and the
 * mix of a cluster, and not its correlations in time.
 *
 * What is published: key and value means, common TTLs, operations, Zipf's alpha, the mean number of
 * requests to an object and the share of objects requested once, of Twitter's clusters in a week of
 * March 2020 (github.com/twitter/cache-trace, stat/2020Mar.md, CC-BY; Yang, Yue, Rashmi, "A large
 * scale analysis of hundreds of in-memory cache clusters at Twitter", OSDI 2020). How it is brought
 * down to a run of seconds:
 *
 * - **Keys**: as many as fill 384 MiB, at most 1,200,000. Memory is 1/24, 1/12 and 1/6 of what they need.
 * - **Popularity**: p(rank) in proportion to (rank + shift)^-alpha. A pure Zipf law (shift 0) with an
 *   alpha above 1 would meet a few thousand keys in a run of millions, and any memory holds those; a
 *   week of billions meets the tail. So there the shift is the smallest that leaves the hottest tenth
 *   of the keys at most 90 % of the requests. The tail falls with the published alpha.
 * - **One-hit wonders**: requests to keys that never come again, as many as the published share of
 *   such objects by the published mean frequency.
 * - **Value sizes**: log-uniform over a factor of 16, around the published mean; a key's size stays.
 * - **Time**: REQUESTS_PER_SECOND requests are a second, and TTLs are scaled by one factor for each
 *   cluster, which brings the shortest to four seconds where it can pass within the trace's week.
 */

/** @typedef {Readonly<{ everyRequests: number, runRequests: number, keyShare: number }>} Scan */

/**
 * @typedef {object} Workload
 * @property {string} name
 * @property {string} what one line for people
 * @property {number} keyBytes
 * @property {number} valueBytes the mean
 * @property {number} alpha
 * @property {number} writeShare of the requests; adds are not in it, they are the fills after misses
 * @property {number} oneHitShare of the requests
 * @property {readonly (readonly [number, number])[]} ttls seconds as published, and their share
 * @property {number} shortestTtlSeconds what the shortest of them is in the stream
 * @property {number} requestsPerSecond of the stream's time
 * @property {Scan | null} scan
 * @property {number} [keyCount] if it does not follow from the sizes; Zipf's law is not shifted then
 * @property {readonly [number, number]} [valueSizes] the least and the largest
 * @property {readonly number[]} [memorySizes] in MiB
 */

/** What a driver answers first and does not count; then what it counts. */
export const WARM_REQUESTS = 2_000_000
export const MEASURED_REQUESTS = 1_000_000

const REQUESTS_PER_SECOND = 250_000
/** For values of tens of kilobytes: what loopback can carry, and a tenth of the keys need. */
const LARGE_VALUE_BYTES = 10_000
const LARGE_VALUE_SLOWDOWN = 10

const KEY_COUNT_MAX = 1_200_000
const FOOTPRINT_BYTES_MAX = 384 * 2 ** 20
/** About what servers add to key and value; only the number of keys depends on it. */
const RECORD_OVERHEAD_BYTES = 50
const MEMORY_DIVISORS = [24, 12, 6]

const HOT_KEY_SHARE = 0.1
const HOT_REQUEST_SHARE_MAX = 0.9
const VALUE_SPREAD = 16
/** Where writes are more than this, a key that comes once is written; else it is read (and filled). */
const WRITE_MOSTLY_SHARE = 0.5

const HOUR = 3600
const DAY = 24 * HOUR
/** A TTL that passes in the stream, and one that does not. */
const PASSES_SECONDS = 4
const LASTS_SECONDS = 1000

/** @returns {Workload} */
function cluster(number, published) {
  const {
    key,
    value,
    alpha,
    write = 0,
    oneHit,
    frequency,
    ttls,
    shortest = PASSES_SECONDS,
  } = published
  return {
    name: `cluster${number}`,
    what:
      `keys ${key} B, values ${value} B, alpha ${alpha}, ` +
      `${Math.round(write * 100)} % writes, ${((100 * oneHit) / frequency).toFixed(1)} % one-hit`,
    keyBytes: key,
    valueBytes: value,
    alpha,
    writeShare: write,
    oneHitShare: oneHit / frequency,
    ttls,
    shortestTtlSeconds: shortest,
    requestsPerSecond:
      value > LARGE_VALUE_BYTES ? REQUESTS_PER_SECOND / LARGE_VALUE_SLOWDOWN : REQUESTS_PER_SECOND,
    scan: null,
  }
}

/**
 * Writes are sets, cas and increments; the last are driven as sets. TTLs that the source does not
 * list (it names the common ones) share in those it does. A TTL of 30 or 15 days does not pass in a
 * week; the 5 days of cluster 17 are as much of the run as they are of the week, and the 12 hours of
 * cluster 18 as long as it takes to fill the largest memory.
 *
 * @type {readonly Workload[]}
 */
// biome-ignore format: a table
export const WORKLOADS = [
  cluster(52, { key: 20, value: 273, alpha: 1.2117, write: 0.02, oneHit: 0.1936, frequency: 32.6,
    ttls: [[DAY, 0.65], [14 * DAY, 0.27], [12 * HOUR, 0.07]] }),
  cluster(17, { key: 19, value: 212, alpha: 2.1106, write: 0, oneHit: 0.3887, frequency: 60.8,
    ttls: [[5 * DAY, 1]], shortest: 8 }),
  cluster(18, { key: 18, value: 37, alpha: 2.0994, write: 0.01, oneHit: 0.0071, frequency: 660.5,
    ttls: [[12 * HOUR, 1]], shortest: 8 }),
  cluster(24, { key: 32, value: 699, alpha: 1.3726, write: 0, oneHit: 0.0565, frequency: 134.8,
    ttls: [[14 * DAY, 0.71], [60, 0.19], [30 * DAY, 0.03], [DAY, 0.02], [HOUR, 0.02]] }),
  cluster(29, { key: 36, value: 799, alpha: 1.2323, write: 0.13, oneHit: 0.2304, frequency: 22.5,
    ttls: [[HOUR, 0.67], [2 * HOUR, 0.33]] }),
  cluster(44, { key: 25, value: 22, alpha: 1.4084, write: 0, oneHit: 0.2024, frequency: 60.5,
    ttls: [[30 * DAY, 1]], shortest: LASTS_SECONDS }),
  cluster(45, { key: 10, value: 120, alpha: 0.6372, write: 0, oneHit: 0.4874, frequency: 2.9,
    ttls: [[15 * DAY, 1]], shortest: LASTS_SECONDS }),
  cluster(12, { key: 44, value: 1030, alpha: 0.3048, write: 0.8, oneHit: 0.8143, frequency: 1.3,
    ttls: [[300, 1]] }),
  cluster(22, { key: 54, value: 4, alpha: 0.7624, write: 0.28, oneHit: 0.4148, frequency: 4.3,
    ttls: [[DAY, 0.85], [HOUR, 0.11], [1800, 0.03]] }),
  cluster(37, { key: 72, value: 20134, alpha: 0.4251, write: 0.37, oneHit: 0.1488, frequency: 3.8,
    ttls: [[20, 0.91], [300, 0.06], [2 * HOUR, 0.02], [600, 0.01]] }),
  {
    ...cluster(0, { key: 24, value: 250, alpha: 1, oneHit: 0, frequency: 1,
      ttls: [[DAY, 1]], shortest: LASTS_SECONDS }),
    name: 'scan',
    what: 'keys 24 B, values 250 B, alpha 1; now and then half of the requests read a table in order',
    scan: { everyRequests: 300_000, runRequests: 150_000, keyShare: 0.25 },
  },
]

/**
 * @param {string} name
 * @param {{ keyCount: number, alpha: number, key: number, sizes: [number, number], memory: number[] }} load
 * @returns {Workload}
 */
function engineLoad(name, { keyCount, alpha, key, sizes: [from, to], memory }) {
  const published = { key, value: Math.round((to - from) / Math.log(to / from)), alpha }
  const ttls = [[DAY, 1]]
  return {
    ...cluster(0, { ...published, oneHit: 0, frequency: 1, ttls, shortest: LASTS_SECONDS }),
    name,
    what: `${keyCount} keys of ${key} B, values ${from} to ${to} B, alpha ${alpha}`,
    keyCount,
    valueSizes: [from, to],
    memorySizes: memory,
  }
}

/**
 * What the engine is tuned on (`--set engine-loads`): the sizes, the popularity and the number of keys are
 * given, Zipf's law is not shifted, and nothing expires. `mix` has the most different sizes.
 *
 * @type {readonly Workload[]}
 */
// biome-ignore format: a table
export const ENGINE_LOADS = [
  engineLoad('c52', { keyCount: 800_000, alpha: 1.21, key: 20, sizes: [60, 900], memory: [16, 32, 64] }),
  engineLoad('c24', { keyCount: 300_000, alpha: 1, key: 32, sizes: [200, 2000], memory: [16, 32, 64] }),
  engineLoad('c29', { keyCount: 400_000, alpha: 0.9, key: 36, sizes: [300, 2000], memory: [16, 32, 64] }),
  engineLoad('c22', { keyCount: 3_000_000, alpha: 0.8, key: 54, sizes: [4, 8], memory: [16, 32, 64] }),
  engineLoad('mix', { keyCount: 500_000, alpha: 0.7, key: 30, sizes: [30, 8000], memory: [16, 32, 64] }),
]

/** @param {string} name */
export function workloadOf(name) {
  return [...WORKLOADS, ...ENGINE_LOADS].find((each) => each.name === name) ?? null
}

/** @param {Workload} workload */
const recordBytesOf = ({ keyBytes, valueBytes }) => keyBytes + valueBytes + RECORD_OVERHEAD_BYTES

/** @param {Workload} workload */
export const keyCountOf = (workload) =>
  workload.keyCount ??
  Math.min(KEY_COUNT_MAX, Math.floor(FOOTPRINT_BYTES_MAX / recordBytesOf(workload)))

/**
 * The memory sizes (-m) that a workload is measured at, in MiB.
 *
 * @param {Workload} workload
 */
export function memorySizesMib(workload) {
  if (workload.memorySizes !== undefined) return workload.memorySizes
  const footprintMib = (keyCountOf(workload) * recordBytesOf(workload)) / 2 ** 20
  return MEMORY_DIVISORS.map((divisor) => Math.round(footprintMib / divisor))
}

/**
 * Weights (rank + shift)^-alpha of the ranks 1 to count.
 *
 * @param {number} count
 * @param {number} alpha
 * @param {number} shift
 */
function weightsOf(count, alpha, shift) {
  const weights = new Float64Array(count)
  for (let index = 0; index < count; index++) weights[index] = (index + 1 + shift) ** -alpha
  return weights
}

/** Share of the requests that go to the first tenth of the keys; the sums are integrals, to 1e-3. */
function hotShare(count, alpha, shift) {
  const sumTo = (rank) => {
    const [from, to] = [0.5 + shift, rank + 0.5 + shift]
    return alpha === 1
      ? Math.log(to / from)
      : (to ** (1 - alpha) - from ** (1 - alpha)) / (1 - alpha)
  }
  return sumTo(count * HOT_KEY_SHARE) / sumTo(count)
}

/**
 * The smallest shift that leaves the hottest tenth no more than its share; 0 for alpha up to 1.
 *
 * @param {number} count
 * @param {number} alpha
 */
export function shiftOf(count, alpha) {
  if (alpha <= 1 || hotShare(count, alpha, 0) <= HOT_REQUEST_SHARE_MAX) return 0
  let [low, high] = [0, count]
  while (high - low > 0.5) {
    const middle = (low + high) / 2
    if (hotShare(count, alpha, middle) > HOT_REQUEST_SHARE_MAX) low = middle
    else high = middle
  }
  return high
}

/**
 * Draws ranks from any list of weights in constant time (Walker's alias method): a column is drawn
 * evenly, then the rank it belongs to or the one it borrows from. Exact for every alpha, unlike the
 * usual inversions, which hold only below or only above 1.
 *
 *     each column has a height of 1     in memory: | keep 0 | alias 0 | keep 1 | alias 1 | ...
 *     |   | 0 | 0 | 1 |  <- alias
 *     | 0 +---+   |   |  <- keep
 *     |   | 1 +---+ 3 |
 *     |   |   | 2 |   |
 */
export class Sampler {
  /** @param {Float64Array} weights */
  constructor(weights) {
    const count = weights.length
    this.count = count
    this.columns = new Float64Array(2 * count)
    let sum = 0
    for (const weight of weights) sum += weight
    const heights = weights.map((weight) => (weight * count) / sum)
    const poor = new Uint32Array(count)
    const rich = new Uint32Array(count)
    let poorCount = 0
    let richCount = 0
    for (let rank = 0; rank < count; rank++) {
      if (heights[rank] < 1) poor[poorCount++] = rank
      else rich[richCount++] = rank
      // Stands where rounding leaves a column without a partner.
      this.columns[2 * rank] = 1
    }
    while (poorCount > 0 && richCount > 0) {
      const rank = poor[--poorCount]
      const lender = rich[richCount - 1]
      this.columns[2 * rank] = heights[rank]
      this.columns[2 * rank + 1] = lender
      heights[lender] -= 1 - heights[rank]
      if (heights[lender] < 1) poor[poorCount++] = rich[--richCount]
    }
  }

  /**
   * @param {number} evenly in [0, 1)
   * @param {number} coin in [0, 1)
   * @returns {number} an index into the weights
   */
  draw(evenly, coin) {
    const column = Math.floor(evenly * this.count)
    return coin < this.columns[2 * column] ? column : this.columns[2 * column + 1] | 0
  }
}

let popularity = null

/** The last sampler made is kept: a workload is run several times, and a million keys take a while. */
function popularityOf(workload) {
  const { alpha } = workload
  const keyCount = keyCountOf(workload)
  if (popularity?.keyCount !== keyCount || popularity.alpha !== alpha) {
    const shift = workload.keyCount === undefined ? shiftOf(keyCount, alpha) : 0
    popularity = { keyCount, alpha, sampler: new Sampler(weightsOf(keyCount, alpha, shift)) }
  }
  return popularity.sampler
}

/** Ids of the scanned table and of keys that come once; below are the keys of the Zipf law. */
const SCAN_ID = 0x40000000
const ONE_HIT_ID = 0x80000000
const SIZE_STEPS = 4096
const TTL_STEPS = 1024
const HEX = Buffer.from('0123456789abcdef')
const KEY_NUMBER_BYTES = 8

/** Spreads ids over 32 bits, each to one of its own. */
const scramble = (id) => {
  let hash = Math.imul(id ^ (id >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/**
 * Keys of one length, each with its own number: `key-key-` and so on, and eight hexadecimal digits.
 *
 * @param {number} keyBytes at least eight
 */
function keyWriter(keyBytes) {
  const prefix = Buffer.alloc(keyBytes, 'key-')
  return (target, offset, id) => {
    const end = offset + keyBytes
    target.set(prefix, offset)
    let rest = scramble(id)
    for (let at = end - 1; at >= end - KEY_NUMBER_BYTES; at--) {
      target[at] = HEX[rest & 15]
      rest >>>= 4
    }
  }
}

/**
 * Sizes at evenly spaced quantiles of a log-uniform law with the given mean, or the given ends.
 *
 * @param {Workload} workload
 */
function sizeTable({ valueBytes: mean, valueSizes }) {
  const least = (mean * Math.log(VALUE_SPREAD)) / (VALUE_SPREAD - 1)
  const [from, to] = valueSizes ?? [least, least * VALUE_SPREAD]
  return Uint32Array.from({ length: SIZE_STEPS }, (_, step) =>
    Math.max(1, Math.round(from * (to / from) ** ((step + 0.5) / SIZE_STEPS))),
  )
}

/** @param {Workload} workload */
function ttlTable({ ttls, shortestTtlSeconds }) {
  const shortest = Math.min(...ttls.map(([seconds]) => seconds))
  const total = ttls.reduce((sum, [, share]) => sum + share, 0)
  const table = new Uint32Array(TTL_STEPS)
  let from = 0
  let passed = 0
  for (const [seconds, share] of ttls) {
    passed += share
    const to = Math.round((passed / total) * TTL_STEPS)
    table.fill(Math.round((seconds / shortest) * shortestTtlSeconds), from, to)
    from = to
  }
  return table
}

/**
 * A stream. `next()` makes the fields those of the next request:
 * `id` (a key), `isWrite`, `second` (whole seconds of the stream's time since its start).
 */
export class Trace {
  /**
   * @param {Workload} workload
   * @param {number} seed
   */
  constructor(workload, seed) {
    this.workload = workload
    this.id = 0
    this.isWrite = false
    this.second = 0
    /** Requests made so far. */
    this.count = 0
    this.keyCount = keyCountOf(workload)
    this.keyBytes = workload.keyBytes
    this.oneHitCount = 0
    this.scanAt = 0
    this.scanKeyCount = Math.floor(this.keyCount * (workload.scan?.keyShare ?? 0))
    this.sizes = sizeTable(workload)
    this.valueBytesMax = this.sizes[SIZE_STEPS - 1]
    this.ttls = ttlTable(workload)
    const { writeShare, oneHitShare } = workload
    this.sampler = popularityOf(workload)
    this.isOneHitWritten = writeShare > WRITE_MOSTLY_SHARE
    const writes = this.isOneHitWritten ? writeShare - oneHitShare : writeShare
    this.otherWriteShare = Math.max(0, writes / (1 - oneHitShare))
    /** `(target, offset, id)`: writes the key, `keyBytes` bytes of printable ASCII. */
    this.writeKey = keyWriter(workload.keyBytes)
    this.state0 = scramble(seed) | 0
    this.state1 = scramble(seed + 1) | 0
    this.state2 = scramble(seed + 2) | 0
    this.state3 = 1
    for (let round = 0; round < 16; round++) this.random()
  }

  /** Evenly in [0, 1): sfc32, whose state is small and whose period is long enough for any run. */
  random() {
    const sum = (((this.state0 + this.state1) | 0) + this.state3) | 0
    this.state3 = (this.state3 + 1) | 0
    this.state0 = this.state1 ^ (this.state1 >>> 9)
    this.state1 = (this.state2 + (this.state2 << 3)) | 0
    this.state2 = (((this.state2 << 21) | (this.state2 >>> 11)) + sum) | 0
    return (sum >>> 0) / 4294967296
  }

  next() {
    const { oneHitShare, requestsPerSecond, scan } = this.workload
    const number = this.count++
    this.second = Math.floor(number / requestsPerSecond)
    if (
      scan !== null &&
      (number & 1) === 0 &&
      number % scan.everyRequests >= scan.everyRequests - scan.runRequests
    ) {
      this.id = SCAN_ID + (this.scanAt++ % this.scanKeyCount)
      this.isWrite = false
      return
    }
    if (oneHitShare > 0 && this.random() < oneHitShare) {
      this.id = ONE_HIT_ID + this.oneHitCount++
      this.isWrite = this.isOneHitWritten
      return
    }
    this.id = this.sampler.draw(this.random(), this.random())
    this.isWrite = this.otherWriteShare > 0 && this.random() < this.otherWriteShare
  }

  /** Bytes of that key's value. */
  valueBytesOf(id) {
    return this.sizes[scramble(id) % SIZE_STEPS]
  }

  /** Relative, in seconds of the stream's time. */
  ttlSecondsOf(id) {
    return this.ttls[(scramble(id) >>> 12) % TTL_STEPS]
  }

  /** Whether any TTL can pass within so many requests. */
  expiresWithin(requests) {
    return Math.min(...this.ttls) * this.workload.requestsPerSecond < requests
  }
}

/** A stream of sets of ever new keys: what fills a server's memory. As a Trace to its drivers. */
export class Fill {
  constructor(keyBytes, valueBytes) {
    this.id = -1
    this.isWrite = true
    this.keyBytes = keyBytes
    this.valueBytesMax = valueBytes
    this.writeKey = keyWriter(keyBytes)
  }

  next() {
    this.id++
  }

  valueBytesOf() {
    return this.valueBytesMax
  }

  ttlSecondsOf() {
    return 0
  }
}

/**
 * The requests of a run: a tenth of them where a second has a tenth.
 *
 * @param {Workload} workload
 * @param {number} requests
 */
export const requestsOf = ({ requestsPerSecond }, requests) =>
  Math.round((requests * requestsPerSecond) / REQUESTS_PER_SECOND)

/**
 * The misses that no server can avoid, whatever its memory: the first read of a key, and the first
 * after it expired. Counted over the requests after `warm`.
 *
 * @param {Workload} workload
 * @param {number} seed
 * @param {number} warm
 * @param {number} measured
 */
export function leastMisses(workload, seed, warm, measured) {
  const trace = new Trace(workload, seed)
  const expiry = new Uint32Array(trace.keyCount + trace.scanKeyCount)
  let reads = 0
  let misses = 0
  for (let number = 0; number < warm + measured; number++) {
    trace.next()
    const { id, second, isWrite } = trace
    const isOneHit = id >= ONE_HIT_ID
    const place = id >= SCAN_ID ? id - SCAN_ID + trace.keyCount : id
    const isMiss = isOneHit || expiry[place] <= second
    if (!isWrite && number >= warm) {
      reads++
      if (isMiss) misses++
    }
    if (!isOneHit && (isWrite || isMiss)) expiry[place] = second + trace.ttlSecondsOf(id)
  }
  return { reads, misses }
}
