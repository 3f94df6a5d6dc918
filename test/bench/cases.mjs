/**
 * What is measured, as data: one record a case, and the figure each must reach. A new case is a new
 * row here and nothing else. Every case is one load on one server; run.mjs puts the same load on
 * each server in turn.
 *
 * `load` are the generator's options, spelled as load.c spells them in camel case. Each of `judges` names
 * a figure and its bound: `of: 'ratio'` is saslcached's figure divided by memcached's (or by its own
 * with one thread or without namespaces, see `versus`), `of: 'value'` is saslcached's own.
 */

import { MEMORY_MIB } from './servers.mjs'

/**
 * @typedef {object} Judge
 * @property {'cpuUs' | 'requestsPerSecond' | 'latencyP99Us' | 'latencyP999Us' | 'latencyMaxMs' |
 *   'connectionKib'} figure
 * @property {'ratio' | 'value'} of
 * @property {number} [most]
 * @property {number} [least]
 * @property {boolean} [orTheirs] what the other server did in the same run is enough, too
 *
 * @typedef {object} Case
 * @property {string} name
 * @property {readonly string[]} sets which --set runs it
 * @property {string} what one line for people
 * @property {Readonly<Record<string, string | number | boolean>>} load
 * @property {readonly Readonly<Record<string, string | number | boolean>>[]} [besides] loads that go on
 *   at the same time, on keys of other lengths
 * @property {'memcached' | 'one thread' | 'no namespaces'} versus whom saslcached is compared with
 * @property {boolean} hasLogin the server demands a login and each connection logs in first
 * @property {boolean} hasNamespaces saslcached has several, and its users have a role and are not in the default one
 * @property {boolean} isFresh a new server for every round, for figures about its first seconds
 * @property {number} threads worker threads of the server
 * @property {boolean} isPinned the server has as many cores as threads, and the generator its own
 * @property {number} connectionLimit -c of the server
 * @property {number} memoryMib -m of the server
 * @property {number} [seconds] the window of a round, where it is not the same as for all
 * @property {number} [rounds] likewise
 * @property {readonly Judge[]} judges the first names the figure whose ratio the table shows
 */

const CONNECTIONS = 50
const PIPELINE = 50

/** saslcached holds a quarter of -c for clients that have not logged in; memcached's default is 1024. */
const LOGIN_LIMIT_SHARE = 4
const CONNECTION_LIMIT = 1024
/** What a case is unless it says otherwise. */
const USUAL = {
  versus: 'memcached',
  hasLogin: false,
  hasNamespaces: false,
  isFresh: false,
  threads: 1,
  isPinned: true,
  connectionLimit: CONNECTION_LIMIT,
  memoryMib: MEMORY_MIB,
}
const IDLE_CONNECTIONS = 10_000
/** About half of what one thread serves unpipelined on the machines this was written on. */
const HALF_LOAD_RATE = 40_000
/** Some 450,000 items fit. */
const STALL_KEYS = 1_000_000
const STALL_MEMORY_MIB = 64
const STALL_SECONDS = 600
/**
 * Values of all sizes at once, at full memory: of each size as many bytes as fill half of it. Keys of another
 * length are other keys. The largest value is one that memcached's largest item has room for.
 */
const STALL_MIX = [
  { valueBytes: 100, keyBytes: 20, keys: 200_000, rate: 10_000 },
  { valueBytes: 1000, keyBytes: 21, keys: 32_000, rate: 3000 },
  { valueBytes: 10_000, keyBytes: 22, keys: 3200, rate: 500 },
  { valueBytes: 100_000, keyBytes: 23, keys: 320, rate: 60 },
  { valueBytes: 1_000_000, keyBytes: 24, keys: 32, rate: 10 },
]
/** Eight threads on fewer cores: below this share of one thread's rate they hinder each other. */
const COLLAPSE_RATIO = 0.8

/** Enough keys to leave the processor's cache, few enough that no server evicts at -m 256. */
const keysFor = (valueBytes) => Math.min(10_000, Math.floor((64 * 1024 * 1024) / (valueBytes + 64)))

const sizeName = (bytes) => {
  if (bytes >= 1_000_000) return `${bytes / 1_000_000}M`
  return bytes < 1024 ? `${bytes}B` : `${bytes / 1024}K`
}

const MIXES = {
  gets: '10 gets to a set',
  sets: 'sets only',
  multi: `gets of ${PIPELINE} keys in one request, counted by the key`,
}

/** @returns {Case} */
function requests({
  sets,
  dialect,
  pipeline,
  valueBytes,
  ratio,
  hasLogin = false,
  hasNamespaces = false,
  threads = 1,
  isMulti = false,
  most,
}) {
  const mix = isMulti ? 'multi' : ratio === '0:1' ? 'sets' : 'gets'
  const parts = [dialect, `x${pipeline}`, sizeName(valueBytes), mix]
  if (hasLogin) parts.push('login')
  if (hasNamespaces) parts.push('namespaces')
  if (threads > 1) parts.push(`t${threads}`)
  return {
    ...USUAL,
    name: parts.join('-'),
    sets,
    what:
      `${dialect}, ${pipeline === 1 ? 'unpipelined' : `pipelined x${pipeline}`}, ` +
      `${CONNECTIONS} connections${hasLogin ? ' that logged in' : ''}${hasNamespaces ? ' to a namespace' : ''}, ${sizeName(valueBytes)} values, ` +
      `${MIXES[mix]}, ${threads} thread${threads > 1 ? 's' : ''}`,
    load: {
      mode: 'load',
      dialect,
      connections: CONNECTIONS,
      pipeline,
      valueBytes,
      keys: keysFor(valueBytes),
      ratio,
      ...(isMulti ? { multi: true } : {}),
      prefill: true,
      missesFail: true,
    },
    hasLogin,
    hasNamespaces,
    threads,
    judges: [{ figure: 'cpuUs', of: 'ratio', most }],
  }
}

/** @returns {Case} */
function stallMix() {
  const [load, ...besides] = STALL_MIX.map((part) => ({
    mode: 'load',
    dialect: 'binary',
    connections: CONNECTIONS / STALL_MIX.length,
    ratio: '1:1',
    prefill: true,
    mayRefuse: true,
    ...part,
  }))
  return {
    ...USUAL,
    name: 'longest-stall-mix',
    sets: ['stall'],
    what: 'binary, values of 100 bytes to 1 MB at fixed rates, a set to each get, evicting all the time',
    load,
    besides,
    memoryMib: STALL_MEMORY_MIB,
    seconds: STALL_SECONDS,
    rounds: 1,
    judges: [{ figure: 'latencyMaxMs', of: 'value', most: 10, orTheirs: true }],
  }
}

/** The speed the first release has to reach. */
const SPINE = [
  ...[false, true].flatMap((hasLogin) => [
    requests({
      sets: ['spine'],
      dialect: 'binary',
      pipeline: 1,
      valueBytes: 100,
      ratio: '10:1',
      hasLogin,
      most: 1.25,
    }),
    requests({
      sets: ['spine'],
      dialect: 'binary',
      pipeline: PIPELINE,
      valueBytes: 100,
      ratio: '10:1',
      hasLogin,
      most: 0.7,
    }),
  ]),
  {
    ...USUAL,
    name: 'login-plain',
    sets: ['spine', 'engine'],
    what: `connect, AUTH PLAIN, close; ${CONNECTIONS} at once, warm`,
    load: { mode: 'login', dialect: 'binary', connections: CONNECTIONS },
    hasLogin: true,
    judges: [{ figure: 'requestsPerSecond', of: 'ratio', least: 1 }],
  },
  {
    ...USUAL,
    name: 'login-storm',
    sets: ['spine', 'engine'],
    what: '1000 clients of ten users connect and log in at once, just after the start',
    load: {
      mode: 'login',
      dialect: 'binary',
      connections: 1000,
      requests: 1000,
      warmup: 0,
      userCount: 10,
    },
    hasLogin: true,
    isFresh: true,
    // Keys are derived on a pool of threads: one worker uses more than one core here.
    isPinned: false,
    connectionLimit: LOGIN_LIMIT_SHARE * 1000 + 64,
    judges: [{ figure: 'latencyMaxMs', of: 'value', most: 500 }],
  },
]

/** What does not fit the matrix: latency when the server has time to spare, memory of the waiting. */
const OTHER = [
  {
    ...USUAL,
    name: 'binary-x1-100B-half-load',
    sets: ['engine', 'binary'],
    what: `binary, unpipelined, ${HALF_LOAD_RATE} requests a second at fixed times`,
    load: {
      mode: 'load',
      dialect: 'binary',
      connections: CONNECTIONS,
      valueBytes: 100,
      rate: HALF_LOAD_RATE,
      prefill: true,
      missesFail: true,
    },
    judges: [
      { figure: 'latencyP99Us', of: 'ratio', most: 1.5 },
      { figure: 'latencyP999Us', of: 'ratio', most: 1.5 },
    ],
  },
  ...[1, 4].map((threads) => ({
    ...USUAL,
    name: threads === 1 ? 'idle-10k' : `idle-10k-t${threads}`,
    sets: ['engine'],
    what:
      `${IDLE_CONNECTIONS} connections that logged in and wait; memory for each, ` +
      `${threads} thread${threads > 1 ? 's' : ''}`,
    load: { mode: 'idle', dialect: 'binary', connections: IDLE_CONNECTIONS },
    hasLogin: true,
    isFresh: true,
    threads,
    connectionLimit: IDLE_CONNECTIONS + 64,
    judges: [{ figure: 'connectionKib', of: 'value', most: 10 }],
  })),
  {
    ...USUAL,
    name: 'longest-stall',
    sets: ['stall'],
    what:
      `binary, ${HALF_LOAD_RATE} requests a second at fixed times, a set to each get, on twice as many ` +
      'items as fit: evicting all the time',
    load: {
      mode: 'load',
      dialect: 'binary',
      connections: CONNECTIONS,
      valueBytes: 100,
      keys: STALL_KEYS,
      ratio: '1:1',
      rate: HALF_LOAD_RATE,
      prefill: true,
      // memcached refuses some while it evicts.
      mayRefuse: true,
    },
    memoryMib: STALL_MEMORY_MIB,
    seconds: STALL_SECONDS,
    rounds: 1,
    judges: [{ figure: 'latencyMaxMs', of: 'value', most: 10 }],
  },
  stallMix(),
]

/** CPU per request with more threads than one, against one; and with many more than there are cores. */
const THREADS = [
  ...[1, PIPELINE].map((pipeline) => ({
    ...requests({
      sets: ['threads'],
      dialect: 'binary',
      pipeline,
      valueBytes: 100,
      ratio: '10:1',
      threads: 2,
      most: pipeline === 1 ? 1.1 : 1.15,
    }),
    versus: 'one thread',
  })),
  ...[1, PIPELINE].map((pipeline) => ({
    ...requests({
      sets: ['threads'],
      dialect: 'binary',
      pipeline,
      valueBytes: 100,
      ratio: '10:1',
      threads: 8,
    }),
    versus: 'one thread',
    judges: [{ figure: 'requestsPerSecond', of: 'ratio', least: COLLAPSE_RATIO }],
  })),
]

/** What saslcached's CPU a request is to be of memcached's at most, cell by cell. */
function mostOf({ dialect, pipeline, valueBytes, ratio }) {
  if (ratio === '1:0') return 0.6
  if (pipeline === 1) return valueBytes > 4096 ? 1.05 : 1
  if (valueBytes > 100) return 0.5
  if (ratio === '0:1') return 0.55
  return dialect === 'meta' ? 0.45 : 0.5
}

/** A large value, and one that is nearly as large as an item may be. */
const LARGE_VALUES = [65536, 262144, 1_000_000]

/** The whole matrix: each dialect, alone and pipelined, small and larger values, mixed and sets. */
const ENGINE = ['binary', 'text', 'meta'].flatMap((dialect) => [
  ...[1, PIPELINE].flatMap((pipeline) =>
    [100, 4096].flatMap((valueBytes) =>
      ['10:1', '0:1'].map((ratio) => cell({ dialect, pipeline, valueBytes, ratio })),
    ),
  ),
  ...LARGE_VALUES.flatMap((valueBytes) =>
    ['10:1', '0:1'].map((ratio) => cell({ dialect, pipeline: 1, valueBytes, ratio })),
  ),
  ...(dialect === 'binary' ? [] : [100, 4096]).map((valueBytes) =>
    cell({ dialect, pipeline: PIPELINE, valueBytes, ratio: '1:0', isMulti: true }),
  ),
])

/** A cell of the matrix. */
function cell(load) {
  return requests({ sets: ['engine', load.dialect], most: mostOf(load), ...load })
}

/** A login before the load makes no difference to the targets. */
const ENGINE_LOGIN = [1, PIPELINE].map((pipeline) =>
  requests({
    sets: ['engine'],
    dialect: 'binary',
    pipeline,
    valueBytes: 100,
    ratio: '10:1',
    hasLogin: true,
    most: pipeline === 1 ? 1 : 0.5,
  }),
)

const IDLE_TLS_CONNECTIONS = 2000

/** The same over TLS 1.3, beside memcached -Z (--memcached: one that was built with TLS). */
const OVER_TLS = [
  ...[
    { pipeline: 1, valueBytes: 100, most: 1.15 },
    { pipeline: PIPELINE, valueBytes: 100, most: 0.6 },
    { pipeline: 1, valueBytes: 65536, most: 1.4 },
  ].map((cell) => {
    const plain = requests({ sets: ['tls'], dialect: 'binary', ratio: '10:1', ...cell })
    return {
      ...plain,
      name: `${plain.name}-tls`,
      what: `${plain.what}, over TLS 1.3`,
      load: { ...plain.load, tls: true },
    }
  }),
  ...[false, true].map((resume) => ({
    ...USUAL,
    name: resume ? 'handshakes-resumed' : 'handshakes-full',
    sets: ['tls'],
    what:
      `connect, handshake (${resume ? 'resumed' : 'full, P-256'}), version, close; ` +
      `${CONNECTIONS} at once`,
    load: { mode: 'handshake', connections: CONNECTIONS, tls: true, ...(resume ? { resume } : {}) },
    judges: [{ figure: 'requestsPerSecond', of: 'ratio', least: resume ? 1 : 0.85 }],
  })),
  {
    ...USUAL,
    name: 'idle-tls',
    sets: ['tls'],
    what: `${IDLE_TLS_CONNECTIONS} connections over TLS that wait; memory for each`,
    load: { mode: 'idle', dialect: 'binary', connections: IDLE_TLS_CONNECTIONS, tls: true },
    isFresh: true,
    connectionLimit: LOGIN_LIMIT_SHARE * IDLE_TLS_CONNECTIONS,
    judges: [{ figure: 'connectionKib', of: 'value', most: 60 }],
  },
]

/** The same requests by users with a role in a namespace, and by users without either, of which memcached has none. */
const NAMESPACES = [1, PIPELINE].flatMap((pipeline) =>
  ['10:1', '0:1'].map((ratio) => ({
    ...requests({
      sets: ['namespaces'],
      dialect: 'binary',
      pipeline,
      valueBytes: 100,
      ratio,
      hasLogin: true,
      hasNamespaces: true,
      most: 1.02,
    }),
    versus: 'no namespaces',
  })),
)

/** @type {readonly Case[]} */
export const CASES = [
  ...SPINE,
  ...ENGINE,
  ...ENGINE_LOGIN,
  ...NAMESPACES,
  ...OTHER,
  ...THREADS,
  ...OVER_TLS,
]

export const SETS = [...new Set(CASES.flatMap((each) => each.sets))]

/**
 * The cases of a set that `only` names, whole or in part; all of the set when `only` is empty. A
 * whole name means that case alone, although it may begin another's. The same load may stand in two
 * sets with two targets: the named set's own is taken.
 *
 * @param {string} set
 * @param {readonly string[]} only
 * @returns {Case[]}
 */
export function casesOf(set, only) {
  const cases = CASES.filter((each) => each.sets.includes(set))
  const isWhole = (part) => cases.some((each) => each.name === part)
  const isNamed = (each, part) => (isWhole(part) ? each.name === part : each.name.includes(part))
  return only.length === 0
    ? cases
    : cases.filter((each) => only.some((part) => isNamed(each, part)))
}

/**
 * Rounds of a set and their seconds, unless the command line names others: the large matrix is made of
 * shorter ones, so that all of it takes some ten minutes.
 *
 * @param {string} set
 */
export const lengthOf = (set) =>
  set === 'engine' ? { rounds: 3, seconds: 1 } : { rounds: 5, seconds: 2 }
