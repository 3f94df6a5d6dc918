/**
 * CAS uniques without anybody to ask: the milliseconds of the clock, and behind them 23 bits that begin at
 * random and count up.
 *
 *    63                22            0
 *   +-------------------+------------+
 *   | ms since 2020     | counter    |
 *   +-------------------+------------+
 *
 * Two gates give an item the same one only if both write it within a millisecond and their counters meet, which
 * begin anywhere among 8 million. What compares before it writes is given a greater one than the item had by the
 * engine (functions.ts), whatever the clocks say. Never 0, which means none.
 */

const EPOCH_MS: number = Date.UTC(2020, 0, 1)
const COUNTER_BITS = 23
const COUNTER_MASK = 2 ** COUNTER_BITS - 1
const MS_PER_HIGH = 2 ** (32 - COUNTER_BITS)

export class CasClock {
  high = 0
  low = 0
  private readonly epochMs: () => number
  private counter: number

  /** `random` is below 1. */
  constructor(epochMs: () => number, random: () => number) {
    this.epochMs = epochMs
    this.counter = Math.floor(random() * 2 ** COUNTER_BITS)
  }

  /** Makes the next one. */
  take(): void {
    const ms = Math.max(1, Math.floor(this.epochMs() - EPOCH_MS))
    this.counter = (this.counter + 1) & COUNTER_MASK
    this.high = Math.floor(ms / MS_PER_HIGH) >>> 0
    this.low = ((ms % MS_PER_HIGH) * 2 ** COUNTER_BITS + this.counter) >>> 0
  }
}
