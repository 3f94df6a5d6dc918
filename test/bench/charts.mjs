/**
 * Pictures of what the bench measured, as SVG: `npm run bench -- --set NAME --svg FILE` draws a run, and
 *
 *   node test/bench/charts.mjs results.json picture.svg
 *
 * one that was kept with --json. What is drawn follows from what the results are:
 *
 *     miss-ratio         a panel a workload: the miss ratio of each server over -m
 *     a fixed rate       the slowest reply of each second, over time
 *     anything else      saslcached's CPU a request, a bar a case, as a multiple of the other's
 *
 * Pure functions from records to text. Colours follow the reader's theme (prefers-color-scheme).
 */
import { readFileSync, writeFileSync } from 'node:fs'

const WIDTH = 860
const MARGIN = 16
const HEAD = 56
const FONT_PX = 12
/** About the width of a character of that size. */
const CHARACTER_PX = 7.2

const STYLE = `
  text { font: ${FONT_PX}px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .note { fill: #59636e }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .sheet { fill: #ffffff }
  .grid { stroke: #d1d9e0; fill: none }
  .one { stroke: #59636e; stroke-dasharray: 4 3; fill: none }
  .ours, .theirs, .least { fill: none; stroke-width: 2; stroke-linejoin: round }
  .ours { stroke: #0b67c2 }
  .theirs { stroke: #b35900 }
  .least { stroke: #8c959f; stroke-dasharray: 3 3; stroke-width: 1.5 }
  .bar { fill: #0b67c2 }
  .missed { fill: #c9462c }
  .range { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note { fill: #9198a1 }
    .sheet { fill: #0d1117 }
    .grid { stroke: #3d444d }
    .one { stroke: #9198a1 }
    .ours { stroke: #4ea1ff }
    .theirs { stroke: #ffa657 }
    .bar { fill: #4ea1ff }
    .missed { fill: #ff7b72 }
    .range { stroke: #e6edf3 }
  }`

const escaped = (text) =>
  String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const text = (x, y, content, names = '') =>
  `<text x="${round(x)}" y="${round(y)}"${names === '' ? '' : ` class="${names}"`}>${escaped(content)}</text>`

const line = (x1, y1, x2, y2, name) =>
  `<path class="${name}" d="M${round(x1)} ${round(y1)}L${round(x2)} ${round(y2)}"/>`

const path = (points, name) =>
  `<path class="${name}" d="${points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${round(x)} ${round(y)}`).join('')}"/>`

const round = (value) => Math.round(value * 10) / 10

/** One sheet: a title, a line below it, and what is drawn. */
function sheet(title, note, height, parts) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${round(height)}" role="img" aria-label="${escaped(title).replaceAll('"', '&quot;')}">`,
    `<style>${STYLE}\n</style>`,
    `<rect class="sheet" width="${WIDTH}" height="${round(height)}"/>`,
    text(MARGIN, 26, title, 'title'),
    text(MARGIN, 46, note, 'note'),
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

/** Swatches and names, from the right edge. */
function legend(entries) {
  let x = WIDTH - MARGIN
  const parts = []
  for (const [name, label] of [...entries].reverse()) {
    x -= label.length * CHARACTER_PX
    parts.push(text(x, 26, label))
    x -= 28
    parts.push(line(x, 22, x + 22, 22, name))
    x -= 16
  }
  return parts
}

/** A number above `value` with one digit that counts. */
function niceAbove(value) {
  const unit = 10 ** Math.floor(Math.log10(value))
  return unit * Math.ceil(value / unit)
}

const sum = (values) => values.reduce((total, value) => total + value, 0)

/* ---- CPU by case ------------------------------------------------------------------------------ */

const ROW_HEIGHT = 22
const NAME_WIDTH = 235
const TEXT_WIDTH = 230

const microseconds = (value) => value.toFixed(value < 10 ? 2 : 1)

/** Bars of the ratio, the range of its rounds across them; a case that misses its target is of another colour. */
export function cpuChart(rows) {
  const most = niceAbove(Math.max(1.2, ...rows.map(({ ratio }) => ratio.most)))
  const width = WIDTH - 2 * MARGIN - NAME_WIDTH - TEXT_WIDTH
  const left = MARGIN + NAME_WIDTH
  const x = (ratio) => left + (ratio / most) * width
  const bottom = HEAD + 20 + rows.length * ROW_HEIGHT
  const parts = []
  for (let tick = 0; tick <= most + 0.01; tick += most > 4 ? 1 : 0.25) {
    parts.push(
      line(x(tick), HEAD + 14, x(tick), bottom, Math.abs(tick - 1) < 0.01 ? 'one' : 'grid'),
    )
    parts.push(text(x(tick), HEAD + 8, tick.toFixed(most > 4 ? 0 : 2), 'note middle'))
  }
  for (const [index, { name, ratio, verdicts, servers }] of rows.entries()) {
    const y = HEAD + 20 + index * ROW_HEIGHT
    const isMissed = verdicts[0].isReached === false
    const [theirs] = servers
    const ours = servers.find(({ isJudged }) => isJudged)
    const [{ judge }] = verdicts
    const bound =
      judge.of === 'ratio' && judge.most !== undefined
        ? `, aim ${judge.most}${isMissed ? ': missed' : ''}`
        : ''
    parts.push(
      text(left - 8, y + 14, name, 'end'),
      `<rect class="${isMissed ? 'missed' : 'bar'}" x="${round(left)}" y="${y + 4}" width="${round(x(ratio.median) - left)}" height="12"/>`,
      line(x(ratio.least), y + 10, x(ratio.most), y + 10, 'range'),
      text(
        WIDTH - MARGIN,
        y + 14,
        `${microseconds(ours.median.cpuUs)} of ${microseconds(theirs.median.cpuUs)} us${bound}`,
        'note end',
      ),
    )
  }
  const mean = sum(rows.map(({ ratio }) => ratio.median)) / rows.length
  return sheet(
    'CPU a request, as a multiple of the other server’s',
    `Shorter is better; the line is the range of the rounds. Mean of ${rows.length} cases: ${mean.toFixed(2)}.`,
    bottom + MARGIN,
    parts,
  )
}

/* ---- miss ratio over memory --------------------------------------------------------------------- */

const PANELS_A_ROW = 3
const PANEL_HEIGHT = 170
const PANEL_GAP = 22

function missPanel(name, sizes, left, top, width) {
  const height = PANEL_HEIGHT - 50
  const most = niceAbove(
    Math.max(
      ...sizes.flatMap(({ servers }) => Object.values(servers).map((each) => each.missRatio)),
    ),
  )
  const mibs = sizes.map(({ memoryMib }) => Math.log2(memoryMib))
  const [least, largest] = [Math.min(...mibs), Math.max(...mibs)]
  const x = (mib) =>
    left + 36 + ((Math.log2(mib) - least) / Math.max(1e-9, largest - least)) * (width - 48)
  const y = (ratio) => top + 24 + height - (ratio / most) * height
  const series = (of) =>
    sizes.filter((size) => of(size) !== undefined).map((size) => [x(size.memoryMib), y(of(size))])
  const parts = [text(left + 36, top + 12, name)]
  for (const share of [0, 0.5, 1]) {
    parts.push(line(left + 36, y(share * most), left + width - 12, y(share * most), 'grid'))
    parts.push(text(left + 31, y(share * most) + 4, (share * most).toPrecision(2), 'note end'))
  }
  for (const { memoryMib } of sizes) {
    parts.push(text(x(memoryMib), top + height + 40, memoryMib, 'note middle'))
  }
  parts.push(
    path(
      series(({ leastMissRatio }) => leastMissRatio ?? undefined),
      'least',
    ),
    path(
      series(({ servers }) => servers.memcached?.missRatio),
      'theirs',
    ),
    path(
      series(({ servers }) => servers.saslcached?.missRatio),
      'ours',
    ),
  )
  return parts
}

export function missRatioChart(results) {
  const names = [...new Set(results.map(({ workload }) => workload))]
  const width = (WIDTH - 2 * MARGIN) / PANELS_A_ROW
  const parts = legend([
    ['theirs', 'memcached'],
    ['ours', 'saslcached'],
    ['least', 'first reads alone'],
  ])
  for (const [index, name] of names.entries()) {
    const row = Math.floor(index / PANELS_A_ROW)
    const sizes = results
      .filter(({ workload }) => workload === name)
      .sort((a, b) => a.memoryMib - b.memoryMib)
    const left = MARGIN + (index % PANELS_A_ROW) * width
    parts.push(...missPanel(name, sizes, left, HEAD + row * (PANEL_HEIGHT + PANEL_GAP), width))
  }
  const rows = Math.ceil(names.length / PANELS_A_ROW)
  return sheet(
    'Misses by memory',
    'Share of the reads that missed, over -m in MiB; the same requests on both servers.',
    HEAD + rows * (PANEL_HEIGHT + PANEL_GAP),
    parts,
  )
}

/* ---- the slowest reply over time ---------------------------------------------------------------- */

const PLOT_HEIGHT = 220
/** Milliseconds at the lowest line: below it no reply is told apart. */
const FLOOR_MS = 0.1

const durationText = (ms) => (ms < 1000 ? `${Number(ms.toPrecision(2))} ms` : `${ms / 1000} s`)

function latencyPanel({ name, servers }, top) {
  const left = MARGIN + 44
  const width = WIDTH - MARGIN - left
  const series = servers.map(({ isJudged, rounds }) => ({
    isJudged,
    ms: rounds[0].printed.slowestUs.map((us) => Math.max(FLOOR_MS, us / 1000)),
  }))
  const decades = Math.max(
    3,
    Math.ceil(Math.log10(Math.max(...series.flatMap(({ ms }) => ms)) / FLOOR_MS)),
  )
  const seconds = Math.max(2, ...series.map(({ ms }) => ms.length))
  const x = (second) => left + (second / (seconds - 1)) * width
  const y = (ms) => top + 20 + PLOT_HEIGHT * (1 - Math.log10(ms / FLOOR_MS) / decades)
  const parts = [text(left, top + 10, name)]
  for (let decade = 0; decade <= decades; decade++) {
    const ms = FLOOR_MS * 10 ** decade
    parts.push(line(left, y(ms), left + width, y(ms), ms === 10 ? 'one' : 'grid'))
    parts.push(text(left - 6, y(ms) + 4, durationText(ms), 'note end'))
  }
  for (const { isJudged, ms } of series) {
    parts.push(
      path(
        ms.map((value, second) => [x(second), y(value)]),
        isJudged ? 'ours' : 'theirs',
      ),
    )
  }
  parts.push(
    text(left, top + PLOT_HEIGHT + 38, '0 s', 'note'),
    text(left + width, top + PLOT_HEIGHT + 38, `${seconds} s`, 'note end'),
  )
  return parts
}

export function latencyChart(results) {
  const height = PLOT_HEIGHT + 60
  return sheet(
    'The slowest reply of each second',
    'At a fixed rate, from the time at which a request was due.',
    HEAD + results.length * height,
    [
      ...legend([
        ['theirs', 'memcached'],
        ['ours', 'saslcached'],
      ]),
      ...results.flatMap((result, index) => latencyPanel(result, HEAD + index * height)),
    ],
  )
}

/**
 * The picture that fits, of what the bench left; null where there is none: too little was measured.
 *
 * @param {readonly any[]} results see run.mjs
 */
export function chartOf(results) {
  if (results[0]?.workload !== undefined) return missRatioChart(results)
  const timed = results.filter(
    ({ load, loads, servers }) =>
      (load?.rate !== undefined || loads !== undefined) &&
      servers.every(({ rounds }) => rounds[0].printed.slowestUs.length > 0),
  )
  if (timed.length > 0 && timed.length === results.length) return latencyChart(timed)
  const compared = results.filter(
    ({ ratio, verdicts }) => ratio && verdicts[0].judge.figure === 'cpuUs',
  )
  return compared.length > 0 ? cpuChart(compared) : null
}

if (process.argv[1] === import.meta.filename) {
  const [, , from, to] = process.argv
  if (to === undefined) {
    console.error('Usage: node test/bench/charts.mjs RESULTS.json PICTURE.svg')
    process.exitCode = 2
  } else {
    const drawn = chartOf(JSON.parse(readFileSync(from, 'utf8')).results)
    if (drawn === null) {
      console.error(`${from}: nothing in it to draw: it takes two servers that were compared`)
      process.exitCode = 1
    } else writeFileSync(to, drawn)
  }
}
