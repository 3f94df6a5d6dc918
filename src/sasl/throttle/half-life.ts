/**
 * A count that halves with time: `words[countIndex]`, halved as often as a whole half-life has passed since
 * `words[sinceIndex]`, which moves on by as many. Times are ticks.
 */
export function halveWithTime(
  words: Int32Array,
  countIndex: number,
  sinceIndex: number,
  halfLifeTicks: number,
  now: number,
): void {
  const steps = Math.floor((now - words[sinceIndex]!) / halfLifeTicks)
  if (steps <= 0) return
  words[countIndex]! >>= Math.min(steps, 31)
  words[sinceIndex]! += steps * halfLifeTicks
}
