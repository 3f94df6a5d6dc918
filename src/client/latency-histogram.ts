/**
 * Latencies in buckets that are a thirty-second of a power of two wide: every quantile is right to 3 %,
 * and the memory is bounded whatever comes.
 *
 *   bucket   0 ... 63   one microsecond each
 *   bucket  64 ... 95   two each (64 to 127 us), and so on: 32 buckets a doubling
 */
const LINEAR = 64
const PER_DOUBLING = 32
/** Up to 2^32 us, more than an hour. */
const BUCKETS = LINEAR + PER_DOUBLING * (32 - 6)

export class LatencyHistogram {
  readonly #counts = new Float64Array(BUCKETS)
  #count = 0
  #maxUs = 0

  get count(): number {
    return this.#count
  }

  get maxUs(): number {
    return this.#maxUs
  }

  add(microseconds: number): void {
    this.#count++
    if (microseconds > this.#maxUs) this.#maxUs = microseconds
    this.#counts[bucketOf(microseconds)]! += 1
  }

  /** The upper end of the bucket that holds the quantile, the largest seen at most; 0 of nothing. */
  quantileUs(quantile: number): number {
    let left = Math.ceil(this.#count * quantile)
    if (left === 0) return 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#counts[bucket]!
      if (left <= 0) return Math.min(this.#maxUs, upperEndOf(bucket))
    }
    return this.#maxUs
  }
}

function bucketOf(microseconds: number): number {
  const whole = Math.min(0xffff_ffff, Math.max(0, Math.floor(microseconds))) >>> 0
  if (whole < LINEAR) return whole
  const exponent = 31 - Math.clz32(whole)
  const step = (whole >>> (exponent - 5)) - PER_DOUBLING
  return LINEAR + (exponent - 6) * PER_DOUBLING + step
}

function upperEndOf(bucket: number): number {
  if (bucket < LINEAR) return bucket + 1
  const exponent = Math.floor((bucket - LINEAR) / PER_DOUBLING) + 6
  const step = (bucket - LINEAR) % PER_DOUBLING
  return (PER_DOUBLING + step + 1) * 2 ** (exponent - 5)
}
