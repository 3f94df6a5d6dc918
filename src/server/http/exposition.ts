/**
 * Metrics as Prometheus reads them: its text format 0.0.4, or OpenMetrics 1.0 for who asks for that. Both
 * have the same names and values. Where memcached_exporter has a counter whose name does not end in
 * `_total`, OpenMetrics, which demands that, is told of no type instead of another name.
 *
 * Invariant: whatever a name or a label has in it, it neither ends its line nor its quotes.
 */
import type { Bucket, Labels, MetricFamily } from '../../observe/metric-family.ts'

export type Exposition = 'text' | 'openmetrics'

/** A family under the name that its samples have. */
export interface ExposedFamily {
  readonly name: string
  readonly help: string
  readonly kind: MetricFamily['kind']
  readonly samples: ReturnType<MetricFamily['samples']>
}

export const CONTENT_TYPE: Readonly<Record<Exposition, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

const TOTAL = '_total'

/** Which of them a client would rather have. What it does not know it did not ask for. */
export function expositionFor(accept: string): Exposition {
  let best: Exposition = 'text'
  let bestQuality = 0
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    const named = new Map(parameters.map((each) => splitAt(each, '=')))
    const quality = Number(named.get('q') ?? 1)
    const version = named.get('version')
    let kind: Exposition | undefined
    if (type === 'application/openmetrics-text') {
      if (version === undefined || version === '1.0.0') kind = 'openmetrics'
    } else if (type === 'text/plain' || type === 'text/*' || type === '*/*') kind = 'text'
    if (kind !== undefined && quality > bestQuality) {
      best = kind
      bestQuality = quality
    }
  }
  return best
}

/** A family of our own, under our prefix. */
export function exposeFamily(family: MetricFamily): ExposedFamily {
  const { name, help, kind } = family
  const suffix = kind === 'counter' ? TOTAL : ''
  return { name: `saslcached_${name}${suffix}`, help, kind, samples: family.samples() }
}

/** Families without a sample are left out. */
export function expose(families: readonly ExposedFamily[], form: Exposition): string {
  const parts = families
    .filter(({ samples }) => samples.length > 0)
    .map((family) => head(family, form) + samplesOf(family))
  return parts.join('') + (form === 'openmetrics' ? '# EOF\n' : '')
}

function head({ name, help, kind }: ExposedFamily, form: Exposition): string {
  if (form === 'text') return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${kind}\n`
  const isTotal = kind === 'counter' && name.endsWith(TOTAL)
  const family = isTotal ? name.slice(0, -TOTAL.length) : name
  const type = kind === 'counter' && !isTotal ? 'unknown' : kind
  return `# HELP ${family} ${escapeLabel(help)}\n# TYPE ${family} ${type}\n`
}

function samplesOf({ name, samples }: ExposedFamily): string {
  let text = ''
  for (const sample of samples) {
    if ('value' in sample) text += line(name, sample.labels, sample.value)
    else {
      const { labels, buckets, sum, count } = sample
      const all: readonly Bucket[] = [...buckets, { le: Number.POSITIVE_INFINITY, count }]
      for (const { le, count: upTo } of all) {
        text += line(`${name}_bucket`, { ...labels, le: canonical(le) }, upTo)
      }
      text += line(`${name}_sum`, labels, sum) + line(`${name}_count`, labels, count)
    }
  }
  return text
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`)
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${numberText(value)}\n`
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (Number.isFinite(value)) return String(value)
  return value > 0 ? '+Inf' : '-Inf'
}

/** As OpenMetrics would have limits of buckets: the same text in both forms, since it is a label. */
function canonical(le: number): string {
  const text = numberText(le)
  return /^-?\d+$/.test(text) ? `${text}.0` : text
}

function escapeHelp(text: string): string {
  return visible(text).replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"')
}

/** Text that is no Unicode would void the whole answer, and NUL ends it for Prometheus' parser. */
function visible(text: string): string {
  return text.replace(/[^\P{Cc}\n]|\p{Cs}/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

function splitAt(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, ''] : [text.slice(0, at).trim(), text.slice(at + 1).trim()]
}
