/**
 * The last ten minutes as the page at / draws them, so that one that is just opened has a history: a
 * row of readings every two seconds in a ring of fixed size, and rates made of two neighbours.
 *
 *     SERIES:   | gets | sets | ... | cpu |       a column each
 *     row 0     |  sums of counters, or levels    |  at
 *     ...          HISTORY_ROWS rows, the oldest is written over
 *
 * Invariant: nothing here grows. A counter that went back was reset: what it has counted since is what it
 * shows, so `stats reset` makes no rate negative.
 */
import type { MetricValues } from '../../observe/metric-reader.ts'
import type { MetricName } from '../../observe/metrics.ts'

export const SAMPLE_INTERVAL_MS = 2000
/** One more than points are shown, for a rate needs two readings. */
const HISTORY_ROWS = 301

type Series = readonly [kind: 'rate' | 'level', ...metrics: readonly MetricName[]]

export type SeriesName =
  | 'hits'
  | 'misses'
  | 'sets'
  | 'deletes'
  | 'touches'
  | 'arithmetic'
  | 'evicted'
  | 'expired'
  | 'refused_writes'
  | 'connections'
  | 'strangers'
  | 'bytes_in'
  | 'bytes_out'
  | 'logins'
  | 'failed_logins'
  | 'refused_commands'
  | 'item_bytes'
  | 'index_bytes'
  | 'cpu'

/** What is drawn, in the order of the columns. */
const SERIES: Readonly<Record<SeriesName, Series>> = {
  hits: ['rate', 'get_hits'],
  misses: ['rate', 'get_misses'],
  sets: ['rate', 'cmd_set'],
  deletes: ['rate', 'delete_hits', 'delete_misses'],
  touches: ['rate', 'cmd_touch'],
  arithmetic: ['rate', 'incr_hits', 'incr_misses', 'decr_hits', 'decr_misses'],
  evicted: ['rate', 'evictions'],
  expired: ['rate', 'reclaimed', 'crawler_reclaimed'],
  refused_writes: ['rate', 'store_no_memory'],
  connections: ['level', 'curr_connections'],
  strangers: ['level', 'unauthenticated_connections'],
  bytes_in: ['rate', 'bytes_read'],
  bytes_out: ['rate', 'bytes_written'],
  logins: ['rate', 'login_successes'],
  failed_logins: ['rate', 'auth_errors'],
  refused_commands: ['rate', 'auth_refused_commands', 'auth_denied_commands'],
  item_bytes: ['level', 'bytes'],
  index_bytes: ['level', 'index_bytes'],
  cpu: ['rate', 'rusage_user', 'rusage_system'],
}

export const SERIES_NAMES: readonly SeriesName[] = Object.keys(SERIES) as SeriesName[]

const COLUMNS = SERIES_NAMES.length + 1
/** The last column: when the row was read. */
const AT = COLUMNS - 1

export class StatusHistory {
  private readonly cells: Float64Array
  private readonly rowCount: number
  /** Rows that were ever written. */
  private written = 0

  constructor(rowCount: number = HISTORY_ROWS) {
    this.rowCount = rowCount
    this.cells = new Float64Array(rowCount * COLUMNS)
  }

  /** How many rows were ever added: a new number for each. */
  get sequence(): number {
    return this.written
  }

  /** `atMs` is on a clock that is never set. */
  add(values: MetricValues, atMs: number): void {
    const start = (this.written % this.rowCount) * COLUMNS
    for (const [column, name] of SERIES_NAMES.entries()) {
      const [, ...metrics] = SERIES[name]
      this.cells[start + column] = metrics.reduce((sum, metric) => sum + values[metric], 0)
    }
    this.cells[start + AT] = atMs
    this.written++
  }

  /** By series its points, oldest first: one less than there are rows. */
  points(): Readonly<Record<string, readonly number[]>> {
    const rows = Math.min(this.written, this.rowCount)
    const first = this.written - rows + 1
    const count = Math.max(0, rows - 1)
    return Object.fromEntries(
      SERIES_NAMES.map((name, column) => [
        name,
        Array.from({ length: count }, (_, index) => this.point(name, column, first + index)),
      ]),
    )
  }

  private point(name: SeriesName, column: number, row: number): number {
    const value = this.cell(row, column)
    if (SERIES[name][0] === 'level') return value
    const before = this.cell(row - 1, column)
    const seconds = (this.cell(row, AT) - this.cell(row - 1, AT)) / 1000
    if (seconds <= 0) return 0
    return short((value < before ? value : value - before) / seconds)
  }

  private cell(row: number, column: number): number {
    return this.cells[(row % this.rowCount) * COLUMNS + column]!
  }
}

/** Four digits are more than can be drawn. */
function short(value: number): number {
  return value >= 1000 ? Math.round(value) : Number(value.toPrecision(4))
}
