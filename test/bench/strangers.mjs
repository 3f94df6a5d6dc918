/**
 * The set `strangers`: what a client that is logged in notices of others who are not. Each attack
 * (attack.c) is put on a server while the client goes on with its gets and sets, from one address and
 * from two hundred.
 *
 * A round is three measurements, one right after the other: the server quiet; the same attack on another
 * process of the same server, which shows what of the difference is the machine's; the attack on the
 * server itself. Ratios are taken within a round, medians of them are shown.
 *
 * Of each get there are two times: what the client waited, and what the server's worker computed meanwhile,
 * where the kernel tells (load.c, --server-thread). What others take of the cores is in the first alone.
 *
 * Its invariant: the attacker never takes the core of the server under attack, nor precedence on that of
 * the client. It is niced, on the client's core, and bounded in rate and connections. Where the kernel lets it, the client
 * comes before all others there: being niced alone, they take slices of some milliseconds from it.
 */

import { spawn, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/free-port.js'
import { compileGenerator, generatorArguments, runGenerator } from './generator.mjs'
import { busiestThread, coreTicks, placement, processTicks, threadTimes } from './machine.mjs'
import { Progress } from './progress.mjs'
import { formatColumns, median, programReport } from './report.mjs'
import { MissingError, PASSWORD, startServer, USER, writeCertificate } from './servers.mjs'

/** Of which a quarter may be strangers: enough of them to hold all that unfinished requests may. */
const CONNECTION_LIMIT = 4096
const MANY_SOURCES = 200
const WARMUP_SECONDS = 1
/** Attacks before the first that counts: V8 still compiles what they take, with threads that have the server's core as well. */
const WARMUP_ATTACKS = 3
/** The client has logged in and stored its items by then; the rest of its warm-up is under attack. */
const ATTACK_AFTER_MS = 400
/** For the server to see that the attackers are gone. */
const PAUSE_MS = 300
const ATTACK_SECONDS_MOST = 60
/** Of who must not take the client's core from it: ten steps behind the client, whatever that has. */
const ATTACK_PRIORITY = Math.min(19, getPriority() + 10)
/** What gives the client its core whenever it wants it, as on a machine of its own: it sleeps in between. */
const CLIENT_FIRST = ['chrt', '--fifo', '1']
const P99_RATIO_MOST = 2
/** Of the cores in use: a round in which others took more is measured again, if there is one left. */
const DISTURBED_SHARE = 0.1
/** The unit of /proc/stat (USER_HZ), the same on every Linux that node runs on. */
const TICKS_PER_SECOND = 100

const GETS_PER_SECOND = 2000
const SMALL_SETS_PER_SECOND = 200
const LARGE_SETS_PER_SECOND = 10
/** More than a server keeps of a request without asking for room. */
const LARGE_BYTES = 300_000

/**
 * What strangers do. `connections` at a time; `rate` is connections a second of those that come and
 * go, and pieces sent a second of those that stay (50 requests in a piece, or one byte).
 */
const ATTACKS = [
  { name: 'connects', connections: 100, rate: 2000, what: 'connect and leave' },
  { name: 'silent', connections: 1500, rate: 1000, what: 'connect and say nothing' },
  {
    name: 'half-requests',
    connections: 600,
    rate: 1000,
    what: 'hold a login of 64 KiB unfinished',
  },
  { name: 'wrong-passwords', connections: 200, rate: 500, what: 'PLAIN, each with a new password' },
  { name: 'text-passwords', connections: 200, rate: 500, what: 'the same in text' },
  {
    name: 'pipelined-logins',
    connections: 100,
    rate: 100,
    what: 'PLAIN, twenty in one write, each with a new password',
  },
  { name: 'garbage', connections: 200, rate: 1000, what: 'send 200 bytes of anything' },
  { name: 'abandoned-scram', connections: 200, rate: 1000, what: 'begin SCRAM and leave' },
  {
    name: 'long-names',
    connections: 200,
    rate: 500,
    what: 'SCRAM with names of 1 KB for SASLprep',
  },
  { name: 'versions', connections: 20, rate: 2000, what: 'ask for the version, x50' },
  { name: 'mechanism-lists', connections: 20, rate: 2000, what: 'ask for the mechanisms, x50' },
  { name: 'unknown-commands', connections: 20, rate: 2000, what: 'send unknown commands, x50' },
  { name: 'slow-readers', connections: 200, rate: 2000, what: 'ask, x50, and read nothing' },
  { name: 'byte-by-byte', connections: 200, rate: 10_000, what: 'send a login byte by byte' },
  { name: 'churn', connections: 100, rate: 1000, what: 'send half a login, end or reset' },
  {
    name: 'tls-hellos',
    connections: 200,
    rate: 500,
    tls: true,
    what: 'begin a TLS handshake and leave when it is answered',
  },
  { name: 'tls-half-hellos', connections: 1000, rate: 1000, tls: true, what: 'hold half a hello' },
  {
    name: 'tls-silent',
    connections: 600,
    rate: 500,
    tls: true,
    what: 'say hello and nothing more',
  },
  {
    name: 'tls-drops',
    connections: 300,
    rate: 500,
    tls: true,
    what: 'begin 300 TLS handshakes, and leave at one moment when all are answered',
  },
  {
    name: 'tls-garbage',
    connections: 300,
    rate: 500,
    tls: true,
    what: 'begin 300 TLS handshakes, and send what nobody can decrypt at one moment when all are answered',
  },
]

/** What --only and --list take. */
export const PARTS = ATTACKS.flatMap((attack) =>
  [1, MANY_SOURCES].map((sources) => ({
    ...attack,
    attack: attack.name,
    name: `${attack.name}-${sources}`,
    sources,
    what: `${attack.what}, from ${sources === 1 ? 'one address' : `${sources} addresses`}`,
  })),
)

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * The same server with TLS on the port that it has, where attacks go, and another in the clear for the client:
 * so that the generator needs no OpenSSL.
 */
function withTls(server, { certificate, key }, clearPort) {
  return {
    ...server,
    command(settings) {
      const { words, environment } = server.command(settings)
      const tls = ['-Z', '--tls-cert', certificate, '--tls-key', key]
      return { words: [...words, ...tls, '-l', `notls:127.0.0.1:${clearPort}`], environment }
    },
  }
}

/** Starts an attack; what is returned ends it and gives what it printed. */
function startAttack(program, prefix, { attack, connections, rate, sources }, port, children) {
  const words = [...prefix, program]
  const parameters = generatorArguments({
    port,
    attack,
    connections,
    rate,
    sources,
    seconds: ATTACK_SECONDS_MOST,
  })
  const child = spawn(words[0], [...words.slice(1), ...parameters], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.add(child)
  if (child.pid !== undefined) setPriority(child.pid, ATTACK_PRIORITY)
  let printed = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (text) => {
    printed += text
  })
  const end = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      children.delete(child)
      if (code === 0) resolve(JSON.parse(printed))
      else reject(new Error(`the attack ${attack} ended with ${code}`))
    })
  })
  // What goes wrong here is told by the await, which comes later.
  end.catch(() => {})
  return () => {
    child.kill('SIGTERM')
    return end
  }
}

/** The client's work: gets, small sets, large sets, each with keys of its own. */
function clientLoads(running, seconds) {
  const usual = {
    mode: 'load',
    dialect: 'binary',
    port: running.clearPort,
    serverPid: running.pid,
    user: USER,
    password: PASSWORD,
    warmup: WARMUP_SECONDS,
    seconds,
  }
  const sets = { ...usual, ratio: '0:1', connections: 2, mayRefuse: true }
  return [
    {
      ...usual,
      ratio: '1:0',
      connections: 8,
      rate: GETS_PER_SECOND,
      valueBytes: 100,
      prefill: true,
      missesFail: true,
      ...(running.thread === undefined ? {} : { serverThread: running.thread }),
    },
    { ...sets, rate: SMALL_SETS_PER_SECOND, valueBytes: 100, keyBytes: 24, keys: 1000 },
    { ...sets, rate: LARGE_SETS_PER_SECOND, valueBytes: LARGE_BYTES, keyBytes: 28, keys: 20 },
  ]
}

/** Ticks of CPU so far: of the cores in use, and of the servers. */
function stampOf({ cores, generatorCore }, servers) {
  const { busy, stolen } = coreTicks(generatorCore === null ? cores : [...cores, generatorCore])
  return {
    busy: busy + stolen,
    servers: servers.reduce((sum, { pid }) => sum + processTicks(pid), 0),
    ms: performance.now(),
  }
}

/** One measurement, on the first of `servers`; `attack` starts the attack, or is null. */
async function measureOnce(bench, place, servers, seconds, attack) {
  const [running] = servers
  const client = [...place.generator, ...place.clientFirst]
  const before = stampOf(place, servers)
  const loads = clientLoads(running, seconds).map((load) =>
    runGenerator(bench.program, client, load, bench.children).then(
      (printed) => ({ printed, error: null }),
      (error) => ({ printed: null, error: error.message }),
    ),
  )
  await pause(ATTACK_AFTER_MS)
  const stopAttack = attack?.()
  const [gets, ...sets] = await Promise.all(loads)
  const attacked = (await stopAttack?.()) ?? null
  const after = stampOf(place, servers)
  await pause(PAUSE_MS)
  const errors = [gets, ...sets].flatMap(({ error }) => error ?? [])
  const refusals = sets.reduce((sum, { printed }) => sum + (printed?.refusals ?? 0), 0)
  const generatorSeconds =
    [gets, ...sets].reduce(
      (sum, { printed }) => sum + (printed?.generatorCpuSecondsInAll ?? 0),
      0,
    ) + (attacked === null ? 0 : attacked.cpuShare * attacked.seconds)
  const ours = after.servers - before.servers + generatorSeconds * TICKS_PER_SECOND
  const coreCount = place.cores.length + (place.generatorCore === null ? 0 : 1)
  const ticks = ((after.ms - before.ms) / 1000) * TICKS_PER_SECOND * coreCount
  return {
    othersShare: Math.max(0, after.busy - before.busy - ours) / ticks,
    // A client that was cut has waited for ever.
    p50Us: gets.printed?.latencyUs.p50 ?? Number.POSITIVE_INFINITY,
    p99Us: gets.printed?.latencyUs.p99 ?? Number.POSITIVE_INFINITY,
    // Without the right to ask the kernel there is none.
    computedP99Us: gets.printed?.computedUs?.p99 ?? Number.NaN,
    serverShare: gets.printed?.serverCpuShare ?? 0,
    failedSets: refusals + errors.length,
    errors,
    attackerShare: attacked?.cpuShare ?? 0,
    eventsPerSecond: attacked === null ? 0 : attacked.events / attacked.seconds,
  }
}

/** The largest share of the cores that others had in any measurement of a round. */
const noiseOf = ({ quiet, control, attacked }) =>
  Math.max(quiet.othersShare, control.othersShare, attacked.othersShare)

/** As in run.mjs: until enough rounds were quiet, and for at most twice as many as asked for. */
function needsRound(rounds, wantedCount) {
  const quietCount = rounds.filter((round) => noiseOf(round) <= DISTURBED_SHARE).length
  return quietCount < wantedCount && rounds.length < (wantedCount === 1 ? 1 : 2 * wantedCount)
}

/** Nothing where it takes a right that we have not (root, or RLIMIT_RTPRIO). */
function clientFirst() {
  const [program, ...words] = CLIENT_FIRST
  return spawnSync(program, [...words, 'true']).status === 0 ? CLIENT_FIRST : []
}

/** Both servers with the attack in the middle, as often as asked for. */
async function measurePart(bench, server, part, program) {
  const { quick, rounds = quick ? 1 : 5, seconds = quick ? 0.5 : 2 } = bench.options
  const place = { ...placement(1, true), clientFirst: clientFirst() }
  const settings = {
    threads: 1,
    connectionLimit: CONNECTION_LIMIT,
    hasLogin: true,
    dialect: 'binary',
  }
  const certificate = part.tls ? writeCertificate(bench.folder) : null
  const start = async (name, prefix) => {
    const clearPort = part.tls ? await freePort() : null
    const started = await startServer(
      certificate === null ? server : withTls(server, certificate, clearPort),
      settings,
      prefix,
      join(bench.folder, `${name}.log`),
      bench.children,
    )
    return { ...started, clearPort: clearPort ?? started.port }
  }
  const running = []
  try {
    const own = await start('attacked', place.server)
    running.push(own)
    const other = await start('control', place.generator)
    running.push(other)
    // It is a thread that has a priority, not a process.
    for (const thread of readdirSync(`/proc/${other.pid}/task`)) {
      setPriority(Number(thread), ATTACK_PRIORITY)
    }
    const attackOn = ({ port }) => startAttack(program, place.generator, part, port, bench.children)
    // The first seconds of a process are not its normal ones, nor are those of its first attacks.
    const before = threadTimes(own.pid)
    await measureOnce(bench, place, running, 1, null)
    own.thread = busiestThread(own.pid, before)
    for (let count = 0; count < WARMUP_ATTACKS; count++)
      await measureOnce(bench, place, running, seconds, () => attackOn(own))
    const measured = []
    while (needsRound(measured, rounds)) {
      measured.push({
        quiet: await measureOnce(bench, place, running, seconds, null),
        control: await measureOnce(bench, place, running, seconds, () => attackOn(other)),
        attacked: await measureOnce(bench, place, running, seconds, () => attackOn(own)),
      })
    }
    // Chosen by what others did, never by what was measured.
    const quietest = [...measured].sort((a, b) => noiseOf(a) - noiseOf(b)).slice(0, rounds)
    return resultOf(part, quietest)
  } catch (error) {
    const tails = running.map((each) => each.logTail()).join('\n')
    throw new Error(`${part.name}: ${error.message}\n${tails}`, { cause: error })
  } finally {
    for (const each of running) await each.stop()
  }
}

/**
 * Medians over the rounds, and whether the client was left in peace.
 *
 * @param {any} part
 * @param {readonly any[]} rounds each with what was measured quiet, as a control, and under attack
 */
export function resultOf(part, rounds) {
  const figure = (which, name) => median(rounds.map((round) => round[which][name]))
  const ratios = (which) => rounds.map(({ quiet, [which]: other }) => other.p99Us / quiet.p99Us)
  const ratio = median(ratios('attacked'))
  const computedRatios = (which) =>
    rounds.map(({ quiet, [which]: other }) => other.computedP99Us / quiet.computedP99Us)
  const failedSets = rounds.reduce((sum, { attacked }) => sum + attacked.failedSets, 0)
  return {
    name: part.name,
    what: part.what,
    rounds,
    quietP50Us: figure('quiet', 'p50Us'),
    attackedP50Us: figure('attacked', 'p50Us'),
    quietP99Us: figure('quiet', 'p99Us'),
    controlP99Us: figure('control', 'p99Us'),
    attackedP99Us: figure('attacked', 'p99Us'),
    ratio,
    ratioLeast: Math.min(...ratios('attacked')),
    ratioMost: Math.max(...ratios('attacked')),
    controlRatio: median(ratios('control')),
    quietComputedP99Us: figure('quiet', 'computedP99Us'),
    attackedComputedP99Us: figure('attacked', 'computedP99Us'),
    computedRatio: median(computedRatios('attacked')),
    controlComputedRatio: median(computedRatios('control')),
    overControl: median(rounds.map(({ control, attacked }) => attacked.p99Us / control.p99Us)),
    failedSets,
    eventsPerSecond: figure('attacked', 'eventsPerSecond'),
    attackerShare: figure('attacked', 'attackerShare'),
    serverShare: figure('attacked', 'serverShare'),
    verdict: { isReached: ratio <= P99_RATIO_MOST && failedSets === 0 },
  }
}

const COLUMNS = [
  'attack',
  'events/s',
  'p50 us',
  'attacked',
  'p99 us',
  'control',
  'attacked',
  'ratio (range)',
  'control ratio',
  'over control',
  'computed us',
  'attacked',
  'ratio',
  'control',
  'failed sets',
  'CPU srv/att',
  'target',
]
const LEFT_COLUMNS = new Set(['attack', 'target'])

const percent = (share) => `${Math.round(share * 100)}%`
const us = (value) => (Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : 'cut')

const computed = (value) => (Number.isNaN(value) ? '-' : us(value))

/** @param {ReturnType<typeof resultOf>} result */
export function rowOf(result) {
  return [
    result.name,
    us(result.eventsPerSecond),
    us(result.quietP50Us),
    us(result.attackedP50Us),
    us(result.quietP99Us),
    us(result.controlP99Us),
    us(result.attackedP99Us),
    `${result.ratio.toFixed(2)} (${result.ratioLeast.toFixed(2)}-${result.ratioMost.toFixed(2)})`,
    result.controlRatio.toFixed(2),
    result.overControl.toFixed(2),
    computed(result.quietComputedP99Us),
    computed(result.attackedComputedP99Us),
    Number.isNaN(result.computedRatio) ? '-' : result.computedRatio.toFixed(2),
    Number.isNaN(result.controlComputedRatio) ? '-' : result.controlComputedRatio.toFixed(2),
    String(result.failedSets),
    `${percent(result.serverShare)}/${percent(result.attackerShare)}`,
    `p99 <= ${P99_RATIO_MOST}, no set fails  ${result.verdict.isReached ? 'reached' : 'MISSED'}`,
  ]
}

function warningsOf({ name, rounds, controlRatio }) {
  const errors = rounds.flatMap(({ quiet, control, attacked }) =>
    [quiet, control, attacked].flatMap((measured) => measured.errors),
  )
  const disturbed = rounds.filter((round) => noiseOf(round) > DISTURBED_SHARE)
  const most = Math.max(0, ...disturbed.map(noiseOf))
  return [
    ...[...new Set(errors)].map((error) => `${name}: the client was stopped: ${error}`),
    ...(controlRatio > P99_RATIO_MOST
      ? [
          `${name}: the machine alone makes p99 ${controlRatio.toFixed(2)} of that of a quiet server.`,
        ]
      : []),
    ...(disturbed.length > 0
      ? [
          `${name}: in ${disturbed.length} of ${rounds.length} rounds others took up to ` +
            `${Math.round(most * 100)}% of the cores in use.`,
        ]
      : []),
  ]
}

/**
 * @param {any} bench see run.mjs
 * @param {readonly string[]} names of parts
 */
export async function measure(bench, names) {
  const server = bench.servers.find(({ name }) => name === 'saslcached')
  if (server === undefined) throw new MissingError('The set strangers is about saslcached alone.')
  const program = compileGenerator(bench.folder, 'attack')
  const results = []
  let failure = null
  const progress = new Progress(names.length)
  try {
    for (const part of PARTS.filter(({ name }) => names.includes(name))) {
      progress.begin(`${part.name}: ${part.what}`)
      results.push(await measurePart(bench, server, part, program))
    }
  } catch (error) {
    // What was measured before stands, and is shown first.
    failure = error
  }
  const text = formatColumns(COLUMNS, LEFT_COLUMNS, results.map(rowOf))
  return { ...programReport(results, text, failure), warnings: results.flatMap(warningsOf) }
}
