/** The end of a switch that knows every case: one that is added and forgotten does not compile. */

/** Throws an Error; the type of `value` says that nothing comes here. */
export function unreachable(value: never): never {
  throw new Error(`assertion failed: unexpected ${String(value)}`)
}
