/**
 * METRIC_LIST as families: each metric under its own name, in base units, with no label.
 */
import type { MetricFamily } from '../../observe/metric-family.ts'
import type { MetricValues } from '../../observe/metric-reader.ts'
import { METRIC_LIST, type Metric } from '../../observe/metrics.ts'

const MICROSECONDS_PER_SECOND = 1e6

export function ownFamilies(values: MetricValues): MetricFamily[] {
  return METRIC_LIST.map((metric) => {
    const { name, kind, help } = metric
    const isMicroseconds = metric.unit === 'microseconds'
    const value = isMicroseconds ? values[name] / MICROSECONDS_PER_SECOND : values[name]
    return { name: familyName(metric), kind, help, samples: () => [{ labels: {}, value }] }
  })
}

/** As Prometheus has it: the unit stands at the end, and is a base unit. */
export function familyName({ name, unit }: Pick<Metric, 'name' | 'unit'>): string {
  if (unit === 'microseconds') return name.replace(/_us$/, '_seconds')
  // What ends so is a part of a histogram.
  if (name.endsWith('_count')) return name.replace(/_count$/, 's')
  return unit === 'seconds' && !name.includes('seconds') ? `${name}_seconds` : name
}
