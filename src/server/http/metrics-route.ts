/** `/metrics`: all that is counted, for Prometheus and whoever reads its formats. */
import {
  ITEMS_PREFIX,
  itemRows,
  SLABS_PREFIX,
  slabRows,
} from '../../command/operations/class-rows.ts'
import { generalRows } from '../../command/operations/general-rows.ts'
import type { StatRows } from '../../command/operations/rows.ts'
import type { MetricFamily } from '../../observe/metric-family.ts'
import type { MetricValues } from '../../observe/metric-reader.ts'
import { exporterFamilies } from './exporter-families.ts'
import {
  CONTENT_TYPE,
  type ExposedFamily,
  type Exposition,
  expose,
  exposeFamily,
  expositionFor,
} from './exposition.ts'
import { ownFamilies } from './own-families.ts'
import type { Route } from './route.ts'

/** However many scrape, what is shown is this old at most. */
const FRESH_MS = 1000

export interface MetricsSource {
  /** Of all namespaces together, or of the default one alone. */
  readonly read: (seesAll: boolean) => MetricValues
  /** Rows of `stats settings`. */
  readonly settings: StatRows
  readonly version: string
  /** Metrics with labels, which others count. */
  readonly families: (seesAll: boolean) => readonly MetricFamily[]
}

/** Behind the exposition, in the form for who sees the default namespace alone. */
const OWN = ' own'

export function metricsRoute(source: MetricsSource): Route {
  return {
    path: '/metrics',
    right: 'stats',
    freshMs: FRESH_MS,
    form: ({ accept, seesAll }) => expositionFor(accept) + (seesAll ? '' : OWN),
    answer: (form) => {
      const seesAll = !form.endsWith(OWN)
      const exposition = (seesAll ? form : form.slice(0, -OWN.length)) as Exposition
      return {
        status: 200,
        contentType: CONTENT_TYPE[exposition],
        body: expose(familiesFor(source, seesAll), exposition),
      }
    },
  }
}

function familiesFor(source: MetricsSource, seesAll: boolean): ExposedFamily[] {
  const values = source.read(seesAll)
  const facts = { pid: process.pid, version: source.version, eventLoop: '' }
  const rows = {
    general: new Map(generalRows(values, facts)),
    items: ofClass(
      itemRows(values, () => 0),
      ITEMS_PREFIX,
    ),
    slabs: ofClass(slabRows(values), SLABS_PREFIX),
    settings: new Map(source.settings),
  }
  const own = [...ownFamilies(values), ...source.families(seesAll)]
  return [...exporterFamilies(rows), ...own.map(exposeFamily)]
}

function ofClass(rows: StatRows, prefix: string): ReadonlyMap<string, string> {
  return new Map(
    rows.map(([name, value]) => [
      name.startsWith(prefix) ? name.slice(prefix.length) : name,
      value,
    ]),
  )
}
