/**
 * Metrics with labels, as those have them who show them to monitoring: what METRIC_LIST cannot hold,
 * since it names numbers that are there once. A family is one name with samples that differ in their
 * labels. Whoever counts makes a family; whoever shows them walks a list of families and knows none.
 *
 * Invariants: `samples()` is a reading of this moment, bounded in number whatever clients do. Within a
 * reading no two samples of a family have the same labels, and all have the same label names. Names
 * are as Prometheus has them, without the prefix of the server and without the suffix of their kind
 * (`_total`, `_bucket`), in base units: seconds, bytes. Label values may be any text: who shows
 * them escapes them.
 */

export type MetricKind = 'counter' | 'gauge' | 'histogram'

/** Names to values, in the order in which they are shown. */
export type Labels = Readonly<Record<string, string>>

/** Of a counter or a gauge. */
export interface ValueSample {
  readonly labels: Labels
  readonly value: number
}

/** Observations that are at most `le`, those of lower buckets included. */
export interface Bucket {
  readonly le: number
  readonly count: number
}

/** Of a histogram. */
export interface HistogramSample {
  readonly labels: Labels
  /** In rising order of `le`; that of infinity is not among them, since its count is `count`. */
  readonly buckets: readonly Bucket[]
  /** Of all values observed. */
  readonly sum: number
  /** Of all observations: at least that of the last bucket. */
  readonly count: number
}

interface Family<Kind extends MetricKind, Sample> {
  readonly name: string
  readonly help: string
  readonly kind: Kind
  samples(): readonly Sample[]
}

export type ValueFamily = Family<'counter' | 'gauge', ValueSample>
export type HistogramFamily = Family<'histogram', HistogramSample>
export type MetricFamily = ValueFamily | HistogramFamily
