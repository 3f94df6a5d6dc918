/**
 * The set `slices`: two command lines or two logins beside each other, for a difference of a few percent, which rounds
 * of a second on a machine with other work cannot tell. Both servers share a core, one generator loads them in turns of
 * some ten milliseconds (load.c, --mode slices), and each is started anew several times. paired.mjs makes of that
 * a ratio with an interval; a target is reached or missed only where the whole interval says so.
 *
 * `same` compares a server with itself: how far from 1 its interval is shows what the method is worth here. With two
 * --command or --node it compares the first of them with the last.
 */
import { join } from 'node:path'
import { CASES } from './cases.mjs'
import { runGenerator } from './generator.mjs'
import { placement } from './machine.mjs'
import { isWithin, pairedRatio, quartets } from './paired.mjs'
import { Progress } from './progress.mjs'
import { formatColumns, median, programReport } from './report.mjs'
import { PASSWORD, PLAIN_USER, startServer, USER } from './servers.mjs'

/** The servers are saslcached's alone: memcached need not be here. */
export const HAS_MEMCACHED = false

const STARTS = 10
const SECONDS = 4
/** Until what is called often is compiled on both sides. */
const WARMUP_SECONDS = 3
const QUICK = { starts: 1, seconds: 0.3, warmupSeconds: 0.1 }
/** Some ten milliseconds: short beside what disturbs a machine, long beside what a cold cache costs. */
const TURN_REQUESTS = { 1: 1000, 50: 5000 }

/** What differs: settings of the servers (servers.mjs), or whom the load logs in as at one server. */
const KINDS = [
  { name: 'same', what: 'a server and itself, or the builds that --command names', most: null },
  {
    name: 'metrics',
    what: 'with --http and --histograms, of that without',
    other: { flags: ['--http', '127.0.0.1:0', '--histograms'] },
    most: 1.03,
  },
  {
    name: 'namespaces',
    what: 'users with a role in a namespace, of a server whose users have neither',
    both: { hasLogin: true },
    other: { hasNamespaces: true },
    most: 1.02,
  },
  {
    name: 'tenants',
    what: 'the same, of users without either at the same server',
    both: { hasLogin: true, hasNamespaces: true },
    users: [PLAIN_USER, USER],
    most: 1.02,
  },
]

const LOADS = ['binary', 'text', 'meta'].flatMap((dialect) =>
  [1, 50].flatMap((pipeline) =>
    ['gets', 'sets'].map((mix) => `${dialect}-x${pipeline}-100B-${mix}`),
  ),
)

/** What --only and --list take. */
export const PARTS = KINDS.flatMap((kind) =>
  LOADS.map((name) => ({
    ...kind,
    name: `${kind.name}-${name}`,
    what: `${kind.what}: ${name}`,
    load: CASES.find((each) => each.name === name).load,
  })),
)

/** The two sides of a part: who is started, and how. */
function sidesOf(bench, part) {
  const [first, last] = [bench.servers[0], bench.servers.at(-1)]
  return [
    { server: first, settings: { ...part.both } },
    { server: last, settings: { ...part.both, ...part.other } },
  ].map((side, index) => ({ ...side, user: part.users?.[index] ?? USER }))
}

async function startSide(bench, part, place, { server, settings }, name) {
  const usual = { threads: 1, connectionLimit: 1024, hasLogin: false, dialect: part.load.dialect }
  const log = join(bench.folder, `${name}.log`)
  return await startServer(server, { ...usual, ...settings }, place.server, log, bench.children)
}

/**
 * The turns of one start of both, a row a pair. Which of them is started and asked first changes from start to start.
 */
async function measureStart(bench, part, lengths, isTurned) {
  const place = placement(1, true)
  const sides = sidesOf(bench, part)
  const hasOneServer = part.users !== undefined
  const order = isTurned ? [1, 0] : [0, 1]
  const running = []
  try {
    for (const index of hasOneServer ? [0] : order) {
      running[index] = await startSide(bench, part, place, sides[index], `${part.name}-${index}`)
    }
    if (hasOneServer) running[1] = running[0]
    const [first, other] = order
    const { mode: _, ...load } = part.load
    const logins = part.both?.hasLogin
      ? { user: sides[first].user, otherUser: sides[other].user, password: PASSWORD }
      : {}
    const printed = await runGenerator(
      bench.program,
      place.generator,
      {
        ...load,
        ...logins,
        mode: 'slices',
        port: running[first].port,
        serverPid: running[first].pid,
        otherPort: running[other].port,
        otherPid: running[other].pid,
        sliceRequests: TURN_REQUESTS[load.pipeline],
        warmup: lengths.warmupSeconds,
        seconds: lengths.seconds,
      },
      bench.children,
    )
    return printed.turns.map((pair) => (isTurned ? [pair[1], pair[0]] : [pair[0], pair[1]]))
  } catch (error) {
    const logs = running.map((server) => server.logTail()).join('\n')
    throw new Error(`${part.name}: ${error.message}\n${logs}`, { cause: error })
  } finally {
    for (const server of new Set(running)) await server?.stop()
  }
}

async function measurePart(bench, part) {
  const { quick, rounds, seconds } = bench.options
  const usual = quick ? QUICK : { starts: STARTS, seconds: SECONDS, warmupSeconds: WARMUP_SECONDS }
  const lengths = { ...usual, seconds: seconds ?? usual.seconds }
  const turns = []
  try {
    for (let start = 0; start < (rounds ?? usual.starts); start++) {
      turns.push(await measureStart(bench, part, lengths, start % 2 === 1))
    }
  } catch (error) {
    // Starts that were complete when it was stopped are figures like others; the table says how many.
    if (!bench.children.isStopped || turns.length === 0) throw error
  }
  return resultOf(part, turns)
}

function resultOf(part, turns) {
  const starts = turns.map(quartets)
  const ofMedians = pairedRatio(starts)
  const requests = TURN_REQUESTS[part.load.pipeline]
  const cpuUs = [0, 1].map(
    (side) => median(turns.flat().map((pair) => pair[side])) / 1000 / requests,
  )
  return {
    name: part.name,
    what: part.what,
    cpuUs,
    ofMedians,
    ofSums: pairedRatio(starts, 'sum'),
    starts: starts.map((start) => pairedRatio([start])),
    turns,
    verdict: {
      value: ofMedians.ratio,
      most: part.most,
      isReached: part.most === null ? null : isWithin(ofMedians, part.most),
    },
  }
}

const COLUMNS = [
  'part',
  'CPU us',
  'other',
  'ratio',
  '95 % of it',
  'in sum',
  '95 % of it',
  'starts',
  'turns',
  'target',
]
const LEFT_COLUMNS = new Set(['part', 'target'])

const interval = ({ low, high }) => `${low.toFixed(3)}-${high.toFixed(3)}`

function targetText({ most, isReached }) {
  if (most === null) return ''
  const outcome = isReached === null ? 'not decided' : isReached ? 'reached' : 'MISSED'
  return `CPU <= ${most}  ${outcome}`
}

const rowOf = ({ name, cpuUs, ofMedians, ofSums, turns, verdict }) => [
  name,
  ...cpuUs.map((us) => us.toFixed(2)),
  ofMedians.ratio.toFixed(3),
  interval(ofMedians),
  ofSums.ratio.toFixed(3),
  interval(ofSums),
  String(turns.length),
  String(2 * turns.flat().length),
  targetText(verdict),
]

/**
 * @param {any} bench see run.mjs
 * @param {readonly string[]} names of parts
 */
export async function measure(bench, names) {
  const results = []
  let failure = null
  const progress = new Progress(names.length)
  try {
    for (const part of PARTS.filter(({ name }) => names.includes(name))) {
      progress.begin(`${part.name}: ${part.what}`)
      results.push(await measurePart(bench, part))
      if (bench.children.isStopped) break
    }
  } catch (error) {
    // What was measured before stands, and is shown first.
    failure = error
  }
  return programReport(results, formatColumns(COLUMNS, LEFT_COLUMNS, results.map(rowOf)), failure)
}
