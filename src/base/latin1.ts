/**
 * Bytes as a string of one character a byte. `latin1Slice` is what `toString('latin1')` calls after
 * it has looked at its arguments; on the hot path that look is a tenth of a reply, and the typings
 * of Node leave the method out.
 */

interface Latin1Sliceable {
  latin1Slice(start: number, end: number): string
}

/** The bytes `[start, end)` as a latin1 string. */
export function latin1Slice(bytes: Buffer, start: number, end: number): string {
  return (bytes as unknown as Latin1Sliceable).latin1Slice(start, end)
}
