/**
 * Reads all metrics at once, from whatever thread: `stats` shows them in groups, and whoever shows
 * them all walks METRIC_LIST. What is not in shared memory is given to it, the clock included.
 *
 * Invariant: a value is what was counted since the last `stats reset` for metrics that it clears, and
 * what is so at this moment for all others.
 */
import { COUNTER_NAMES, type CounterMemory, metricZeros, sumLanes, ZERO_SLOT } from './counters.ts'
import {
  METRIC_LIST,
  type MetricName,
  metricsOf,
  type ProcessMetricName,
  type StoreMetricName,
} from './metrics.ts'

export type MetricValues = Readonly<Record<MetricName, number>>

export interface MetricSources {
  readonly counters: CounterMemory
  /** The store's counters, and what it holds. */
  readonly store: () => Readonly<Record<StoreMetricName, number>>
  /** The clock, the use of the CPU and the settings in force. */
  readonly process: () => Readonly<Record<ProcessMetricName, number>>
}

export class MetricReader {
  private readonly sources: MetricSources
  private readonly zeros: Float64Array

  constructor(sources: MetricSources) {
    this.sources = sources
    this.zeros = metricZeros(sources.counters)
  }

  read(): MetricValues {
    const values = this.raw()
    for (const { name } of METRIC_LIST) values[name] -= this.zeros[ZERO_SLOT[name]]!
    return values
  }

  /** Makes the values of this moment the new zeros of those metrics that a reset clears. */
  reset(): void {
    const values = this.raw()
    for (const { name, isCleared } of METRIC_LIST) {
      if (isCleared) this.zeros[ZERO_SLOT[name]] = values[name]
    }
  }

  private raw(): Record<MetricName, number> {
    const { counters, store, process } = this.sources
    const values = { ...store(), ...process() } as Record<MetricName, number>
    const sums = sumLanes(counters)
    for (const [slot, name] of COUNTER_NAMES.entries()) values[name] = sums[slot]!
    return values
  }
}

/**
 * Of the readings of all namespaces, the default one's first: what is counted of requests and items is
 * added up; all else is of the process, and the first's.
 */
export function sumOfNamespaces(readings: readonly MetricValues[]): MetricValues {
  const [own, ...others] = readings
  const sum = { ...own } as Record<MetricName, number>
  for (const name of metricsOf('commands', 'items', 'memory')) {
    if (name === 'segment_bytes') continue
    for (const values of others) sum[name] += values[name]
  }
  return sum
}
