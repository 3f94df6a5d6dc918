/**
 * Hot path. Histograms whose bounds are powers of two, in microseconds: 1 us, 2 us, 4 us ... 8.4 s. They lie
 * in a lane (shared-lanes.ts), one behind the other:
 *
 *   | at most 1 us | at most 2 us | ... | at most 2^23 us | longer | sum, in microseconds |   32 doubles
 *     bucket 0       bucket 1             bucket 23         24       SUM
 *
 * Invariant: a bucket counts what is at most its bound and more than that of the one before, so that
 * counting touches one of them and the sum. Who shows them adds up the lower ones.
 */
import type { Bucket, HistogramSample, Labels } from './metric-family.ts'

const BOUND_COUNT = 24
const OVERFLOW = BOUND_COUNT
const SUM = BOUND_COUNT + 1
/** Doubles from one histogram to the next: whole cache lines. */
export const HISTOGRAM_SLOTS = 32

const MICROSECONDS = 1e6

/** The bucket of a time. */
export function bucketOf(micros: number): number {
  if (micros <= 1) return 0
  if (micros > 2 ** (BOUND_COUNT - 1)) return OVERFLOW
  return 32 - Math.clz32(Math.ceil(micros) - 1)
}

/** Counts `times` observations of the same time in the histogram that begins at `offset`. */
export function observe(lane: Float64Array, offset: number, micros: number, times: number): void {
  lane[offset + bucketOf(micros)]! += times
  lane[offset + SUM]! += micros * times
}

/** The histogram at `offset`, in seconds; undefined if nothing has been observed. */
export function histogramSample(
  slots: Float64Array,
  offset: number,
  labels: Labels,
): HistogramSample | undefined {
  let count = 0
  const buckets: Bucket[] = []
  for (let bucket = 0; bucket < BOUND_COUNT; bucket++) {
    count += slots[offset + bucket]!
    buckets.push({ le: 2 ** bucket / MICROSECONDS, count })
  }
  count += slots[offset + OVERFLOW]!
  if (count === 0) return undefined
  return { labels, buckets, sum: slots[offset + SUM]! / MICROSECONDS, count }
}
