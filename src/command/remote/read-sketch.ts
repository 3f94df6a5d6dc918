/**
 * Hot path. How often keys were read lately, roughly and in little memory: two rows of counters by different bits of the
 * hash, of which the lower one counts (a count-min sketch). halve() makes the past count for less.
 *
 * It only errs upwards, where keys share counters in both rows.
 */
const COLUMNS = 65_536
const COLUMN_MASK = COLUMNS - 1
export const COUNT_MAX = 65_535
/** All but the highest bit of each counter of a word, once it was shifted. */
const HALVED_MASK = 0x7fff7fff

export class ReadSketch {
  private readonly counts: Uint16Array = new Uint16Array(2 * COLUMNS)
  private readonly words: Uint32Array = new Uint32Array(this.counts.buffer)

  /** Counts a read; returns how many there were, COUNT_MAX at most. */
  count(hash: number): number {
    const { counts } = this
    const first = hash & COLUMN_MASK
    const second = COLUMNS + ((hash >>> 16) & COLUMN_MASK)
    const one = counts[first]!
    const other = counts[second]!
    if (one < COUNT_MAX) counts[first] = one + 1
    if (other < COUNT_MAX) counts[second] = other + 1
    return Math.min(COUNT_MAX, Math.min(one, other) + 1)
  }

  halve(): void {
    const { words } = this
    for (let at = 0; at < words.length; at++) words[at] = (words[at]! >>> 1) & HALVED_MASK
  }
}
