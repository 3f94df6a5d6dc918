/** Values of which a reader of a part of one, or of two of them mixed, is told. */
const PATTERN_BYTES = 251

/** A value that tells by its first bytes what all of it must be. */
export function versionOf(version: number, length: number): Buffer {
  const pattern = Buffer.alloc(PATTERN_BYTES)
  for (let at = 0; at < PATTERN_BYTES; at++) pattern[at] = at * 7 + version
  pattern.writeUInt32LE(version)
  return Buffer.alloc(length, pattern)
}
