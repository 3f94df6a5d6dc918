/**
 * Random numbers that a seed repeats (mulberry32). Plain JavaScript, because workers import it too.
 */

/** A function that returns an integer from 0 to `bound` - 1. */
export function randomBelow(seed) {
  let state = seed | 0
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * bound)
  }
}
