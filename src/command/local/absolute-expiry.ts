/** Expiries as the protocols send them, made absolute. */

/** Wire expiries up to this many seconds (30 days) are relative, later ones Unix time. */
const RELATIVE_EXPIRY_SECONDS_MAX = 60 * 60 * 24 * 30

/**
 * A wire expiry as an absolute one: 0 is never, up to 30 days is counted from `nowSeconds`, more is
 * Unix time already (in the past: expired at once).
 */
export function absoluteExpiry(wireExpiry: number, nowSeconds: number): number {
  if (wireExpiry === 0 || wireExpiry > RELATIVE_EXPIRY_SECONDS_MAX) return wireExpiry
  return nowSeconds + wireExpiry
}
