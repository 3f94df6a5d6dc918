/**
 * The benchmark: `npm run bench`. Compiles the load generator, starts each server, puts the same
 * load on them in alternating rounds, and prints what a request costs each of them.
 *
 * Its invariant: a line in the table stands for rounds in which every reply was verified. A wrong
 * reply ends the benchmark; it never becomes a figure. What is measured is in cases.mjs, how a
 * server is started in servers.mjs, how rounds become figures in report.mjs.
 *
 * Exit codes: 0 done; 1 a wrong reply, a server that failed, or (--check) a target missed; 2 wrong
 * usage, or something is missing here; 130 and 143 stopped by SIGINT or SIGTERM, after the table of what
 * was complete.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { CASES, casesOf, lengthOf, SETS } from './cases.mjs'
import { chartOf } from './charts.mjs'
import { Children } from './children.mjs'
import * as full from './full.mjs'
import { COMPILER, compileGenerator, runGenerator } from './generator.mjs'
import { coreTicks, machineText, placement, processTicks } from './machine.mjs'
import * as memory from './memory.mjs'
import * as missRatio from './miss-ratio.mjs'
import { Progress } from './progress.mjs'
import { figuresOf, formatTable, medians, printedTogether, rowsOf, verdictOf } from './report.mjs'
import {
  MissingError,
  memcachedServer,
  outputOf,
  PASSWORD,
  saslcachedServer,
  startServer,
  USER,
  writeCertificate,
  writeUsers,
} from './servers.mjs'
import * as slices from './slices.mjs'
import * as strangers from './strangers.mjs'
import { ENGINE_LOADS } from './traces.mjs'

/** Stopped by a signal, it has so long to show what it has. */
const STOP_DEADLINE_MS = 10_000

const ROOT = resolve(import.meta.dirname, '..', '..')
const PROGRAM = join(ROOT, 'dist', 'bin', 'saslcached.js')

/** Above this share of its core the generator, and not the server, may set the pace. */
const SATURATED_SHARE = 0.95
/** The builds or releases of Node that stand beside each other are A, B and so on. */
const A = 'A'.charCodeAt(0)

/** The unit of /proc/stat (USER_HZ), the same on every Linux that node runs on. */
const TICKS_PER_SECOND = 100
/** Others that took more than this share of a core in a round have moved its figures. */
const DISTURBED_SHARE = 0.1

/**
 * Sets that are not loads of the generator: what they are made of (`PARTS`, which --only chooses from),
 * and what measures them.
 */
const engineLoads = { measure: missRatio.measureEngineLoads, PARTS: ENGINE_LOADS }
const PROGRAMS = {
  'miss-ratio': missRatio,
  'engine-loads': engineLoads,
  memory,
  full,
  strangers,
  slices,
}

/** What a set measures, of all that --only may name. */
function partsOf(set, only) {
  if (PROGRAMS[set] === undefined) return casesOf(set, only)
  const { PARTS } = PROGRAMS[set]
  return only.length === 0
    ? PARTS
    : PARTS.filter((each) => only.some((part) => each.name.includes(part)))
}

const SET_NAMES = [...SETS, ...Object.keys(PROGRAMS)]

const HELP = `Usage: npm run bench -- [options]

Measures saslcached beside memcached: the same load on each in turn, every reply verified.

  --quick            one round of one second a case: a look, not a figure
  --set NAME         which cases (spine):
                     ${SET_NAMES.join(', ')}
  --only NAME        only this case, or those with NAME in theirs; may be repeated
  --list             print the cases and end
  --rounds N         rounds that count, of each case; figures are medians (5; engine 3, stall 1; starts in slices 10)
  --seconds N        measured seconds of a round (2; engine 1, stall 600, slices 4)
  --minutes N        the same in minutes
  --servers NAMES    who takes part (memcached,saslcached)
  --memcached PATH   the memcached to compare with (memcached)
  --command WORDS    how saslcached is started (as by npm start); repeated, one build stands
                     beside another: the last one is judged
  --flags WORDS      more flags for saslcached
  --slowness N       miss-ratio: take N times as long, on a machine that falls behind (1)
  --node PATH        run saslcached on this node; repeated: on each of them, the last one is judged
  --json FILE        also write everything, round by round, to FILE
  --svg FILE         also draw it into FILE: CPU by case, misses by memory, or the slowest reply of each second
  --check            exit with 1 when a target is missed
  --help

A target is a bound on saslcached's figure or on its ratio to memcached's, as the last column says.
test/bench/README.md tells how to read the table.
`

class UsageError extends Error {}

function parseOptions() {
  let values
  try {
    values = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        set: { type: 'string', default: 'spine' },
        only: { type: 'string', multiple: true, default: [] },
        list: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        minutes: { type: 'string' },
        servers: { type: 'string', default: 'memcached,saslcached' },
        memcached: { type: 'string', default: 'memcached' },
        command: { type: 'string', multiple: true, default: [] },
        flags: { type: 'string', default: '' },
        slowness: { type: 'string' },
        node: { type: 'string', multiple: true, default: [process.execPath] },
        json: { type: 'string' },
        svg: { type: 'string' },
        check: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError(error.message, { cause: error })
  }
  const number = (name, fallback, isRight, what) => {
    const value = values[name] === undefined ? fallback : Number(values[name])
    if (!isRight(value)) throw new UsageError(`--${name} ${values[name]}: not ${what}`)
    return value
  }
  const words = (text) => text.split(' ').filter((word) => word !== '')
  const isOurs = PROGRAMS[values.set]?.HAS_MEMCACHED === false
  const servers = isOurs ? ['saslcached'] : values.servers.split(',')
  const unknown = servers.find((name) => name !== 'memcached' && name !== 'saslcached')
  if (unknown !== undefined) throw new UsageError(`--servers ${unknown}: not memcached, saslcached`)
  if (!SET_NAMES.includes(values.set)) {
    throw new UsageError(`--set ${values.set}: not one of ${SET_NAMES.join(', ')}`)
  }
  if (Math.max(values.node.length, values.command.length) > 1 && PROGRAMS[values.set] && !isOurs) {
    throw new UsageError(`--set ${values.set}: takes one --node or --command at a time`)
  }
  const cases = partsOf(values.set, values.only)
  if (cases.length === 0) {
    throw new UsageError(`--only ${values.only.join(' ')}: no such case; --list prints them`)
  }
  const isLength = (value) => value === undefined || value > 0
  const seconds = number('seconds', undefined, isLength, 'a number above 0')
  const minutes = number('minutes', undefined, isLength, 'a number above 0')
  return {
    ...values,
    cases,
    servers,
    rounds: number(
      'rounds',
      undefined,
      (value) => value === undefined || (Number.isInteger(value) && value > 0),
      'a whole number above 0',
    ),
    seconds: minutes === undefined ? seconds : minutes * 60,
    slowness: number('slowness', 1, (value) => value >= 1, 'a number from 1'),
    commands: values.command.length
      ? values.command.map(words)
      : values.node.map((node) => [node, '--single-threaded-gc', PROGRAM]),
    flags: words(values.flags),
  }
}

/** What every part of a run needs; made once, passed down. */
function makeBench(options, folder, children) {
  if (outputOf(COMPILER, '--version') === null) {
    throw new MissingError(
      `No C compiler (${COMPILER}) here to build the load generator (Debian: apt-get install gcc libc6-dev).`,
    )
  }
  const files = {
    ...writeUsers(folder),
    ...(options.cases.some((each) => each.load?.tls) ? writeCertificate(folder) : {}),
  }
  const ours = () =>
    options.commands.map((words, index) =>
      saslcachedServer(words, options.flags, files, String.fromCharCode(A + index)),
    )
  const servers = options.servers.flatMap((name) =>
    name === 'memcached' ? [memcachedServer(options.memcached, files)] : ours(),
  )
  const hasTls = options.cases.some((each) => each.load?.tls)
  const program = compileGenerator(folder, 'load', hasTls)
  return { options, folder, servers, program, children }
}

/** What the machine has done so far, to tell later who did it. */
const stampOf = (place, pid) => ({
  ms: performance.now(),
  server: processTicks(pid),
  cores: coreTicks(place.cores),
  generatorCore: place.isPinned ? coreTicks([place.generatorCore]) : null,
})

/**
 * The share of the cores in use that went to neither server, generator nor idling: to other
 * processes, or to the hypervisor. Of two pinned cores the worse one counts.
 */
function disturbance(place, before, after, generatorSeconds) {
  const ticksOfCore = ((after.ms - before.ms) / 1000) * TICKS_PER_SECOND
  const serverTicks = after.server - before.server
  const generatorTicks = generatorSeconds * TICKS_PER_SECOND
  const shareOf = (from, to, ours, coreCount) => {
    const others = Math.max(0, to.busy - from.busy - ours)
    return Math.max(others, to.stolen - from.stolen) / (ticksOfCore * coreCount)
  }
  const ours = place.isPinned ? serverTicks : serverTicks + generatorTicks
  const share = shareOf(before.cores, after.cores, ours, place.cores.length)
  return place.isPinned
    ? Math.max(share, shareOf(before.generatorCore, after.generatorCore, generatorTicks, 1))
    : share
}

async function measureRound(bench, each, place, running, seconds) {
  const before = stampOf(place, running.pid)
  const generate = (load) =>
    runGenerator(
      bench.program,
      place.generator,
      {
        port: running.port,
        serverPid: running.pid,
        seconds,
        ...load,
        ...(each.hasLogin ? { user: USER, password: PASSWORD } : {}),
      },
      bench.children,
    )
  const loads = [each.load, ...(each.besides ?? [])]
  const printed = await Promise.all(loads.map(generate)).then(printedTogether, (error) => {
    throw new Error(`${running.name}, ${each.name}: ${error.message}\n${running.logTail()}`)
  })
  const after = stampOf(place, running.pid)
  const othersShare = disturbance(place, before, after, printed.generatorCpuSecondsInAll)
  return { printed, figures: figuresOf(printed, each.load.connections), othersShare }
}

/** The largest share that others had in any measurement of a round. */
const noiseOf = (round) => Math.max(...round.map(({ othersShare }) => othersShare))

/**
 * Whether to go on: until enough rounds were quiet, and at most for twice as many as asked for,
 * because a busy machine may never be quiet.
 */
function needsRound(rounds, wantedCount) {
  const quietCount = rounds.filter((round) => noiseOf(round) <= DISTURBED_SHARE).length
  return quietCount < wantedCount && rounds.length < (wantedCount === 1 ? 1 : 2 * wantedCount)
}

/** The rounds that count. They are chosen by what others did, never by what was measured. */
function quietest(rounds, wantedCount) {
  return [...rounds].sort((a, b) => noiseOf(a) - noiseOf(b)).slice(0, wantedCount)
}

/** Who takes part in a case: the judged one last. */
function contestantsOf(bench, each) {
  const { threads, hasNamespaces, versus } = each
  const ours = bench.servers.filter((server) => server.name === 'saslcached')
  const nameOf = (server) => (ours.length > 1 ? `${server.name} ${server.label}` : server.name)
  const contestant = (server, isJudged, settings = {}) => ({
    name: nameOf(server),
    server,
    threads,
    hasNamespaces,
    isJudged,
    ...settings,
  })
  switch (versus) {
    case 'one thread':
      return ours.flatMap((server) => [
        contestant(server, false, { name: `${nameOf(server)} -t 1`, threads: 1 }),
        contestant(server, true, { name: `${nameOf(server)} -t ${threads}` }),
      ])
    case 'no namespaces':
      return ours.flatMap((server) => [
        contestant(server, false, { name: `${nameOf(server)} without`, hasNamespaces: false }),
        contestant(server, true),
      ])
    default:
      return bench.servers.map((server) => contestant(server, server === ours.at(-1)))
  }
}

/** How often and how long: as the command line says, else as the case does, else as for its set. */
function lengthsOf({ set, quick, rounds, seconds }, each) {
  const usual = quick ? { rounds: 1, seconds: 1 } : { ...lengthOf(set), ...pick(each) }
  return { rounds: rounds ?? usual.rounds, seconds: seconds ?? usual.seconds }
}

const pick = ({ rounds, seconds }) => ({
  ...(rounds === undefined ? {} : { rounds }),
  ...(seconds === undefined ? {} : { seconds }),
})

async function measureCase(bench, each) {
  const place = placement(each.threads, each.isPinned)
  const contestants = contestantsOf(bench, each)
  const start = async ({ name, server, threads, hasNamespaces }) => ({
    name,
    ...(await startServer(
      server,
      {
        threads,
        connectionLimit: each.connectionLimit,
        memoryMib: each.memoryMib,
        hasLogin: each.hasLogin,
        hasNamespaces,
        dialect: each.load.dialect,
        tls: each.load.tls,
      },
      place.server,
      join(bench.folder, `${name.replaceAll(' ', '')}.log`),
      bench.children,
    )),
  })
  const { rounds: wantedCount, seconds } = lengthsOf(bench.options, each)
  /** One array a round, with one measurement a server. */
  const rounds = []
  let running = []
  try {
    if (!each.isFresh) {
      for (const contestant of contestants) running.push(await start(contestant))
      // The first seconds of a process are not its normal ones (a compiler at work, tables that
      // grow), so each takes the load once before it counts.
      for (const server of running) await measureRound(bench, each, place, server, 1)
    }
    while (needsRound(rounds, wantedCount)) {
      const round = []
      for (const [index, contestant] of contestants.entries()) {
        const mine = each.isFresh ? await start(contestant) : running[index]
        if (each.isFresh) running = [mine]
        round.push(await measureRound(bench, each, place, mine, seconds))
        if (each.isFresh) await mine.stop()
      }
      rounds.push(round)
    }
  } catch (error) {
    // Rounds that were complete when it was stopped are figures like others.
    if (!bench.children.isStopped || rounds.length === 0) throw error
  } finally {
    for (const server of running) await server.stop()
  }
  const result = resultOf(each, contestants, quietest(rounds, wantedCount), rounds.length)
  return { ...result, missingCount: Math.max(0, wantedCount - rounds.length) }
}

function resultOf(each, contestants, rounds, measuredCount) {
  const servers = contestants.map(({ name, isJudged }, index) => ({
    name,
    isJudged,
    median: medians(rounds.map((round) => round[index].figures)),
    rounds: rounds.map((round) => round[index]),
  }))
  const figures = (isJudged) =>
    servers.find((server) => server.isJudged === isJudged)?.rounds.map((round) => round.figures) ??
    null
  const verdicts = each.judges.map((judge) => verdictOf(judge, figures(true), figures(false)))
  return {
    name: each.name,
    what: each.what,
    load: each.load,
    besides: each.besides,
    threads: each.threads,
    hasLogin: each.hasLogin,
    verdicts,
    ratio: verdicts[0].ratio,
    measuredCount,
    servers,
  }
}

/** What a reader must know before believing a line. */
function warningsOf(result) {
  const warnings = []
  if (result.missingCount > 0) {
    warnings.push(`${result.name}: stopped before the last ${result.missingCount} of its rounds.`)
  }
  for (const server of result.servers) {
    const { generatorShare, serverShare } = server.median
    const where = `${result.name}, ${server.name}`
    if (generatorShare > SATURATED_SHARE && serverShare < SATURATED_SHARE) {
      warnings.push(
        `${where}: the generator used its whole core and the server did not, so "per second" is ` +
          'a lower bound; CPU per request stands.',
      )
    }
    const { sendLateMs, latencyMaxMs } = server.median
    if (sendLateMs > latencyMaxMs / 2) {
      warnings.push(
        `${where}: the generator itself sent up to ${sendLateMs.toFixed(1)} ms late, so the slowest ` +
          'replies may be its doing.',
      )
    }
    const refusals = server.rounds.reduce((sum, { printed }) => sum + (printed.refusals ?? 0), 0)
    if (refusals > 0) {
      warnings.push(`${where}: ${refusals} sets were refused for want of memory.`)
    }
    const disturbed = server.rounds.filter(({ othersShare }) => othersShare > DISTURBED_SHARE)
    if (disturbed.length > 0) {
      const most = Math.max(...disturbed.map(({ othersShare }) => othersShare))
      warnings.push(
        `${where}: in ${disturbed.length} of ${server.rounds.length} rounds others took up to ` +
          `${Math.round(most * 100)}% of a core in use.`,
      )
    }
  }
  return warnings
}

/** Who is compared, on what; with `isTimed` also where and for how long. */
function headerLines(bench, isTimed) {
  const { options } = bench
  return [
    machineText(),
    ...bench.servers.map((server) =>
      server.name === 'saslcached'
        ? `saslcached${options.commands.length > 1 ? ` ${server.label}` : ''}: ${[server.version.split('\n')[0], server.runtime, server.words.join(' ')].filter(Boolean).join(', ')}`
        : `memcached: ${server.version.split('\n')[0]}, logins from ${server.loginNote}`,
    ),
    ...(isTimed ? timingLines(options) : []),
  ]
}

function timingLines(options) {
  const { rounds, seconds } = lengthsOf(options, options.cases[0])
  const place = placement(1, true)
  return [
    !place.isPinned
      ? 'not pinned: no taskset, or one core only'
      : `one server thread on core ${place.cores.join(', ')}, generator on core ${place.generatorCore}`,
    `${rounds} round${rounds > 1 ? 's' : ''} of ${seconds} s, alternating` +
      `${rounds > 1 ? ', the quietest of at most twice as many' : ''}; figures are medians, ratios are taken within a round`,
  ]
}

/** All cases of the set; `failure` is what ended it early, null when nothing did. */
async function measureCases(bench) {
  const results = []
  let failure = null
  const progress = new Progress(bench.options.cases.length)
  for (const each of bench.options.cases) {
    progress.begin(`${each.name}: ${each.what}`)
    try {
      results.push(await measureCase(bench, each))
      if (bench.children.isStopped) break
    } catch (error) {
      // What was measured before stands, and took minutes: it is shown first.
      failure = error
      break
    }
  }
  return {
    text: formatTable(results.flatMap(rowsOf)),
    results,
    warnings: results.flatMap(warningsOf),
    missed: results
      .filter(({ verdicts }) => verdicts.some(({ isReached }) => isReached === false))
      .map((result) => result.name),
    failure,
  }
}

function draw(file, results) {
  const drawn = chartOf(results)
  if (drawn === null) console.error(`${file}: not drawn: two servers that were compared are needed`)
  else writeFileSync(file, drawn)
}

async function run(options) {
  const folder = mkdtempSync(join(tmpdir(), 'saslcached-bench-'))
  const children = new Children()
  const clear = () => {
    children.kill()
    rmSync(folder, { recursive: true, force: true })
  }
  const end = () => {
    clear()
    process.exit(children.exitCode)
  }
  // Whatever waits for a process fails then, which ends the set as a failure does.
  const stop = (signal) => {
    if (children.isStopped) end()
    children.stop(signal)
    setTimeout(end, STOP_DEADLINE_MS).unref()
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  try {
    const bench = makeBench(options, folder, children)
    const program = PROGRAMS[options.set]
    const header = headerLines(bench, program === undefined)
    console.log(`${header.join('\n')}\n`)
    const names = options.cases.map((each) => each.name)
    const { text, results, warnings, missed, failure } =
      program === undefined ? await measureCases(bench) : await program.measure(bench, names)
    if (results.length > 0) console.log(`\n${text}`)
    if (warnings.length > 0) console.log(`\nRead with care:\n- ${warnings.join('\n- ')}`)
    if (options.json !== undefined) {
      writeFileSync(
        options.json,
        `${JSON.stringify({ header, time: new Date().toISOString(), results, warnings }, null, 2)}\n`,
      )
    }
    if (options.svg !== undefined) draw(options.svg, results)
    if (children.isStopped) {
      console.error(`\nStopped by ${children.signal}: above is what was complete.`)
      return children.exitCode
    }
    if (failure !== null) throw failure
    if (options.check && missed.length > 0) {
      console.error(`\nMissed: ${missed.join(', ')}`)
      return 1
    }
    return 0
  } catch (error) {
    if (!children.isStopped) throw error
    return children.exitCode
  } finally {
    clear()
  }
}

async function main() {
  try {
    const options = parseOptions()
    if (options.help) {
      process.stdout.write(HELP)
      return 0
    }
    if (options.list) {
      const programs = Object.entries(PROGRAMS).flatMap(([set, { PARTS }]) =>
        PARTS.map(({ name, what }) => ({ name, what, sets: [set] })),
      )
      for (const each of [...CASES, ...programs]) {
        console.log(`${each.name.padEnd(28)}  ${each.sets.join(',').padEnd(14)}  ${each.what}`)
      }
      return 0
    }
    return await run(options)
  } catch (error) {
    console.error(error instanceof UsageError ? `${error.message} (see --help)` : error.message)
    return error instanceof UsageError || error instanceof MissingError ? 2 : 1
  }
}

const exitCode = await main()
// Stopped, it does not wait for what a set still has under way.
if (exitCode > 128) process.exit(exitCode)
process.exitCode = exitCode
