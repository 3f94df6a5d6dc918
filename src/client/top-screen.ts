/**
 * What `top` shows: two samples of the statistics of a server, as lines. Pure: samples and the size of the
 * screen in, lines out.
 *
 * Invariant: no line is longer than the screen is wide, and what a server says is printable in it.
 */
import { printable } from './printable.ts'
import type { StatRow } from './session.ts'

export interface Sample {
  readonly atMs: number
  readonly general: ReadonlyMap<string, string>
  /** Of `stats namespaces`, where the server and the user have it. */
  readonly namespaces: readonly StatRow[]
}

/** Requests by verb, each the sum of counters of `stats`. */
const VERBS: readonly (readonly [name: string, counters: readonly string[]])[] = [
  ['get', ['cmd_get']],
  ['set', ['cmd_set']],
  ['delete', ['delete_hits', 'delete_misses']],
  ['incr', ['incr_hits', 'incr_misses', 'decr_hits', 'decr_misses']],
  ['cas', ['cas_hits', 'cas_misses', 'cas_badval']],
  ['touch', ['cmd_touch']],
  ['flush', ['cmd_flush']],
  ['login', ['auth_cmds']],
]

const CELL_WIDTH = 18
const GAP = '  '
const NAMESPACE_COLUMNS = ['items', 'bytes', 'quota', 'get/s', 'set/s', 'hit%', 'evict/s'] as const
const NAMESPACE_NAME_WIDTH = 14

export class Rates {
  readonly #before: Sample
  readonly #now: Sample
  readonly #seconds: number

  constructor(before: Sample, now: Sample) {
    this.#before = before
    this.#now = now
    this.#seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000)
  }

  /** The present value of a counter; 0 of one that the server does not have. */
  value(name: string): number {
    return numberIn(this.#now.general, name)
  }

  text(name: string): string {
    return this.#now.general.get(name) ?? ''
  }

  /** How much it grew; after a `stats reset` it is its present value. */
  growth(name: string): number {
    return growthOf(numberIn(this.#before.general, name), this.value(name))
  }

  perSecond(...names: readonly string[]): number {
    return names.reduce((sum, name) => sum + this.growth(name), 0) / this.#seconds
  }

  /** Of the gets between the samples; undefined if there was none. */
  get hitRatio(): number | undefined {
    const gets = this.growth('get_hits') + this.growth('get_misses')
    return gets === 0 ? undefined : this.growth('get_hits') / gets
  }

  namespaces(): readonly string[][] {
    const before = byName(this.#before.namespaces)
    return [...byName(this.#now.namespaces)].map(([name, now]) => {
      const old = before.get(name) ?? new Map<string, string>()
      const rate = (field: string): number =>
        growthOf(numberIn(old, field), numberIn(now, field)) / this.#seconds
      const gets = rate('cmd_get')
      return [
        name,
        shortNumber(numberIn(now, 'curr_items')),
        shortBytes(numberIn(now, 'bytes')),
        shortBytes(numberIn(now, 'quota_bytes')),
        shortNumber(gets),
        shortNumber(rate('cmd_set')),
        gets === 0 ? '-' : percent(rate('get_hits') / gets),
        shortNumber(rate('evictions')),
      ]
    })
  }
}

export function formatTop(
  server: string,
  before: Sample,
  now: Sample,
  { columns, rows }: { readonly columns: number; readonly rows: number },
): string[] {
  const rates = new Rates(before, now)
  const limit = rates.value('limit_maxbytes')
  const bytes = rates.value('bytes')
  const used = limit === 0 ? '' : ` (${percent(bytes / limit)} of ${shortBytes(limit)})`
  const lines = [
    `${server}  ${rates.text('version')}  up ${duration(rates.value('uptime'))}`,
    '',
    ...cells(columns, [
      ['hit ratio', rates.hitRatio === undefined ? '-' : percent(rates.hitRatio)],
      ['connections', shortNumber(rates.value('curr_connections'))],
      ['new/s', shortNumber(rates.perSecond('total_connections'))],
      ['items', shortNumber(rates.value('curr_items'))],
      ['evicted/s', shortNumber(rates.perSecond('evictions'))],
      ['expired/s', shortNumber(rates.perSecond('reclaimed'))],
      ['in/s', shortBytes(rates.perSecond('bytes_read'))],
      ['out/s', shortBytes(rates.perSecond('bytes_written'))],
    ]),
    `memory ${shortBytes(bytes)}${used}`,
    '',
    'requests/s',
    ...cells(
      columns,
      VERBS.map(([name, counters]) => [name, shortNumber(rates.perSecond(...counters))] as const),
    ),
    ...namespaceLines(rates.namespaces()),
  ]
  const room = Math.max(1, rows - 1)
  return [...lines.slice(0, room), 'q quits'].map((line) => cut(line, columns))
}

/** The same in one line, for a log. */
export function formatTopLine(before: Sample, now: Sample): string {
  const rates = new Rates(before, now)
  const requests = VERBS.map(
    ([name, counters]) => `${name}/s=${Math.round(rates.perSecond(...counters))}`,
  )
  const { hitRatio } = rates
  return [
    ...requests,
    `hit_ratio=${hitRatio === undefined ? '-' : hitRatio.toFixed(3)}`,
    `bytes=${rates.value('bytes')}`,
    `items=${rates.value('curr_items')}`,
    `evictions/s=${Math.round(rates.perSecond('evictions'))}`,
    `connections=${rates.value('curr_connections')}`,
  ].join(' ')
}

export function topJson(before: Sample, now: Sample): Record<string, unknown> {
  const rates = new Rates(before, now)
  const round = (number: number): number => Number(number.toFixed(3))
  return {
    seconds: round((now.atMs - before.atMs) / 1000),
    requests_per_second: Object.fromEntries(
      VERBS.map(([name, counters]) => [name, round(rates.perSecond(...counters))]),
    ),
    hit_ratio: rates.hitRatio === undefined ? null : round(rates.hitRatio),
    bytes: rates.value('bytes'),
    items: rates.value('curr_items'),
    evictions_per_second: round(rates.perSecond('evictions')),
    connections: rates.value('curr_connections'),
  }
}

/** Name and value side by side, as many as fit. */
function cells(columns: number, pairs: readonly (readonly [string, string])[]): string[] {
  const perLine = Math.max(1, Math.floor((columns + GAP.length) / (CELL_WIDTH + GAP.length)))
  const lines: string[] = []
  for (let at = 0; at < pairs.length; at += perLine) {
    const line = pairs.slice(at, at + perLine).map(([name, value]) => {
      return `${name} ${value.padStart(CELL_WIDTH - 1 - name.length)}`
    })
    lines.push(line.join(GAP))
  }
  return lines
}

function namespaceLines(rows: readonly string[][]): string[] {
  if (rows.length < 2) return []
  const line = ([name = '', ...values]: readonly string[]): string =>
    cut(printable(name), NAMESPACE_NAME_WIDTH).padEnd(NAMESPACE_NAME_WIDTH) +
    values.map((value) => value.padStart(9)).join('')
  return ['', line(['namespace', ...NAMESPACE_COLUMNS]), ...rows.map(line)]
}

function byName(rows: readonly StatRow[]): ReadonlyMap<string, Map<string, string>> {
  const names = new Map<string, Map<string, string>>()
  for (const [row, value] of rows) {
    // A name may have colons, a field has none.
    const at = row.lastIndexOf(':')
    const name = row.slice(0, Math.max(0, at))
    const fields = names.get(name) ?? new Map<string, string>()
    names.set(name, fields.set(row.slice(at + 1), value))
  }
  return names
}

function numberIn(fields: ReadonlyMap<string, string>, name: string): number {
  const number = Number(fields.get(name))
  return Number.isFinite(number) ? number : 0
}

function growthOf(before: number, now: number): number {
  return now >= before ? now - before : now
}

function cut(line: string, columns: number): string {
  const shown = printable(line)
  return shown.length <= columns ? shown : shown.slice(0, Math.max(0, columns))
}

function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(1)}%`
}

function duration(seconds: number): string {
  const days = Math.floor(seconds / 86_400)
  const clock = new Date((Math.min(seconds, 1e12) % 86_400) * 1000).toISOString().slice(11, 19)
  return days === 0 ? clock : `${days}d ${clock}`
}

function shortNumber(number: number): string {
  return scaled(number, 1000, ['', 'k', 'M', 'G', 'T'])
}

function shortBytes(bytes: number): string {
  return scaled(bytes, 1024, ['', 'K', 'M', 'G', 'T'])
}

function scaled(number: number, step: number, units: readonly string[]): string {
  let value = number
  let unit = 0
  // What would round to four digits takes the next unit.
  while (value >= step * 0.9995 && unit < units.length - 1) {
    value /= step
    unit++
  }
  const digits = unit === 0 && Number.isInteger(number) ? 0 : value < 99.95 ? 1 : 0
  return `${value.toFixed(digits)}${units[unit] ?? ''}`
}
