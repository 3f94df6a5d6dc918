/**
 * A bound that several parties share. Half of it is for whoever comes first; of the other half each party has an equal
 * share, which no other takes, and which is `shareMin` at least: that half grows with the parties where it must. Where
 * there is one party, it may have all.
 */
export interface SharedBound {
  /** Half of the bound. */
  readonly commonMax: number
  readonly shareMin: number
}

/** Whether one of `parties` may have `own` while all of them together have `all`. */
export function isWithinShare(
  own: number,
  all: number,
  parties: number,
  { commonMax, shareMin }: SharedBound,
): boolean {
  if (parties === 1) return all <= 2 * commonMax
  return own <= Math.max(commonMax / parties, shareMin) || all <= commonMax
}
