/**
 * From rounds to figures to a table. Pure functions over plain records: nothing here measures.
 *
 * A ratio is taken within a round, one server right after the other, and the median is taken of the
 * ratios; so a machine that is slow for a while is slow for both sides of one division.
 */

/** @param {readonly number[]} values at least one */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

/**
 * The figures of one round from what the generator printed.
 *
 * @typedef {object} Figures
 * @property {number} requestsPerSecond
 * @property {number} cpuUs server CPU per request, all threads, user and system
 * @property {number} latencyP50Us
 * @property {number} latencyP99Us
 * @property {number} latencyP999Us
 * @property {number} latencyMaxMs
 * @property {number} sendLateMs at a fixed rate: the most that the generator itself was late
 * @property {number} rssMib
 * @property {number} connectionKib what the server's memory grew in the run, by the connections held
 * @property {number} serverShare of one core
 * @property {number} generatorShare of one core
 *
 * @param {any} printed
 * @param {number} connections
 * @returns {Figures}
 */
export function figuresOf(printed, connections) {
  return {
    requestsPerSecond: printed.requestsPerSecond,
    cpuUs: printed.serverCpuUsPerRequest,
    latencyP50Us: printed.latencyUs.p50,
    latencyP99Us: printed.latencyUs.p99,
    latencyP999Us: printed.latencyUs.p999,
    latencyMaxMs: printed.latencyUs.max / 1000,
    sendLateMs: printed.sendLateUs / 1000,
    rssMib: printed.serverRssKib / 1024,
    connectionKib: (printed.serverRssKib - printed.serverRssKibBefore) / connections,
    serverShare: printed.serverCpuShare,
    generatorShare: printed.generatorCpuShare,
  }
}

/**
 * What several generators printed that loaded one server at the same time, as if it were one: requests and
 * processor time are added; of latencies the worst stands, for percentiles cannot be added.
 *
 * @param {readonly any[]} printed at least one
 */
export function printedTogether(printed) {
  const [first] = printed
  if (printed.length === 1) return first
  const sum = (figure) => printed.reduce((total, each) => total + (each[figure] ?? 0), 0)
  const most = (figureOf) => Math.max(...printed.map(figureOf))
  const requests = sum('requests')
  const seconds = most((each) => each.slowestUs.length)
  return {
    ...first,
    requests,
    requestsPerSecond: sum('requestsPerSecond'),
    refusals: sum('refusals'),
    latencyUs: Object.fromEntries(
      Object.keys(first.latencyUs).map((name) => [name, most((each) => each.latencyUs[name])]),
    ),
    sendLateUs: most((each) => each.sendLateUs),
    slowestUs: Array.from({ length: seconds }, (_, second) =>
      most((each) => each.slowestUs[second] ?? 0),
    ),
    // Each of them read the same process.
    serverCpuUsPerRequest: (first.serverCpuSeconds * 1e6) / requests,
    serverRssKib: most((each) => each.serverRssKib),
    generatorCpuShare: sum('generatorCpuShare'),
    generatorCpuSecondsInAll: sum('generatorCpuSecondsInAll'),
  }
}

/**
 * Each figure's median over the rounds.
 *
 * @param {readonly Figures[]} rounds
 * @returns {Figures}
 */
export function medians(rounds) {
  const names = Object.keys(rounds[0])
  return Object.fromEntries(names.map((name) => [name, median(rounds.map((round) => round[name]))]))
}

/**
 * The ratio of one figure, round by round.
 *
 * @param {readonly Figures[]} ours
 * @param {readonly Figures[]} theirs
 * @param {string} figure
 */
export function ratioOf(ours, theirs, figure) {
  const ratios = ours.map((round, index) => round[figure] / theirs[index][figure])
  return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) }
}

/**
 * Whether a figure is within its bound; null when there is none or it was not measured on both sides.
 *
 * @param {import('./cases.mjs').Judge} judge
 * @param {number | null} value
 */
export function isReached(judge, value) {
  if (value === null) return null
  if (judge.most !== undefined && value > judge.most) return false
  if (judge.least !== undefined && value < judge.least) return false
  return true
}

/**
 * @typedef {object} Verdict
 * @property {import('./cases.mjs').Judge} judge
 * @property {{ median: number, least: number, most: number } | null} ratio of that figure
 * @property {number | null} value what is held against the bound
 * @property {boolean | null} isReached
 *
 * @param {import('./cases.mjs').Judge} judge
 * @param {readonly Figures[] | null} ours
 * @param {readonly Figures[] | null} theirs
 * @returns {Verdict}
 */
export function verdictOf(judge, ours, theirs) {
  const ratio = ours && theirs ? ratioOf(ours, theirs, judge.figure) : null
  const own = ours ? medians(ours)[judge.figure] : null
  const value = judge.of === 'value' ? own : (ratio?.median ?? null)
  const isExcused = judge.orTheirs && ours && theirs ? own <= medians(theirs)[judge.figure] : false
  return { judge, ratio, value, isReached: isExcused || isReached(judge, value) }
}

const FIGURE_NAMES = {
  cpuUs: 'CPU',
  requestsPerSecond: 'rate',
  latencyP99Us: 'p99',
  latencyP999Us: 'p99.9',
  latencyMaxMs: 'slowest ms',
  connectionKib: 'KiB each',
}

/** The bound, what is held against it where no other column shows that, and the outcome. */
function verdictText({ judge, value, isReached: outcome }, index) {
  const bound = judge.most === undefined ? `>= ${judge.least}` : `<= ${judge.most}`
  const isShown = value !== null && (judge.of === 'value' || index > 0)
  const own = isShown ? ` (${value.toFixed(judge.of === 'value' ? 1 : 2)})` : ''
  const word = outcome === null ? '' : outcome ? '  reached' : '  MISSED'
  return `${FIGURE_NAMES[judge.figure]} ${bound}${own}${word}`
}

const count = (value) => Math.round(value).toLocaleString('en-US')
const percent = (value) => `${Math.round(value * 100)}%`

const COLUMNS = [
  'case',
  'server',
  'per second',
  'CPU us',
  'ratio (range)',
  'p50 us',
  'p99 us',
  'p99.9 us',
  'max ms',
  'RSS MiB',
  'CPU srv/gen',
  'target',
]
const LEFT_COLUMNS = new Set(['case', 'server', 'target'])

/**
 * The lines of one case, one a server.
 *
 * @param {any} result see run.mjs
 * @returns {string[][]}
 */
export function rowsOf(result) {
  return result.servers.map((server, index) => {
    const f = server.median
    const ratio = server.isJudged ? result.ratio : null
    const theirs = result.verdicts
      .filter(({ judge }) => judge.of === 'value')
      .map(({ judge }) => `(${f[judge.figure].toFixed(1)})`)
    return [
      index === 0 ? result.name : '',
      server.name,
      count(f.requestsPerSecond),
      f.cpuUs.toFixed(f.cpuUs < 10 ? 2 : 1),
      ratio === null
        ? ''
        : `${ratio.median.toFixed(2)} (${ratio.least.toFixed(2)}-${ratio.most.toFixed(2)})`,
      count(f.latencyP50Us),
      count(f.latencyP99Us),
      count(f.latencyP999Us),
      f.latencyMaxMs.toFixed(1),
      f.rssMib.toFixed(1),
      `${percent(f.serverShare)}/${percent(f.generatorShare)}`,
      (server.isJudged ? result.verdicts.map(verdictText) : theirs).join('; '),
    ]
  })
}

/**
 * Lines of a table: a head, a rule, a line a row. Words are aligned to the left, figures to the right.
 *
 * @param {readonly string[]} columns
 * @param {ReadonlySet<string>} leftColumns
 * @param {readonly (readonly string[])[]} rows
 */
export function formatColumns(columns, leftColumns, rows) {
  const all = [columns, ...rows]
  const widths = columns.map((_, column) => Math.max(...all.map((row) => row[column].length)))
  const line = (row) =>
    row
      .map((cell, column) =>
        leftColumns.has(columns[column])
          ? cell.padEnd(widths[column])
          : cell.padStart(widths[column]),
      )
      .join('  ')
      .trimEnd()
  return [
    line(columns),
    widths.map((width) => '-'.repeat(width)).join('  '),
    ...rows.map(line),
  ].join('\n')
}

/**
 * What run.mjs takes from a set whose every part has a target of its own: `results` are the parts, each with
 * a `name` and a `verdict`; `failure` is what ended it early, or null.
 */
export function programReport(results, text, failure) {
  return {
    text,
    results,
    warnings: [],
    missed: results.filter(({ verdict }) => verdict.isReached === false).map(({ name }) => name),
    failure,
  }
}

/** @param {readonly (readonly string[])[]} rows */
export const formatTable = (rows) => formatColumns(COLUMNS, LEFT_COLUMNS, rows)
