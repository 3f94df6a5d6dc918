/** Expiries as the protocols send them, as the engine takes them: milliseconds from now, in text. */
import { absoluteExpiry } from '../local/absolute-expiry.ts'

export const EXPIRY_NEVER = '0'
/** It is over before it begins. */
export const EXPIRY_AT_ONCE = '-1'
/** As it is. */
export const EXPIRY_KEPT = ''

export function engineExpiry(wireExpiry: number, nowSeconds: number): string {
  if (wireExpiry === 0) return EXPIRY_NEVER
  const seconds = absoluteExpiry(wireExpiry, nowSeconds) - nowSeconds
  return seconds > 0 ? String(seconds * 1000) : EXPIRY_AT_ONCE
}

/** Seconds until then; rounded up, as an item is there until its last millisecond is over. */
export function secondsLeft(ms: number): number {
  return Math.ceil(ms / 1000)
}
