/**
 * Hot path. Base64 (RFC 4648, 4) of binary keys, bytes to bytes; nothing is allocated.
 *
 * Invariant: only whole groups of four with correct padding are accepted, so a key has one length.
 * Differs from memcached: characters outside the alphabet are an error, not skipped.
 */

/** Character -> its six bits; above 63: not in the alphabet. */
const SEXTETS: Uint8Array = sextets()

const PADDING = 0x3d

function sextets(): Uint8Array {
  const table = new Uint8Array(256).fill(0xff)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  for (let index = 0; index < alphabet.length; index++) table[alphabet.charCodeAt(index)] = index
  return table
}

/** Decodes `[start, end)` into `target` from 0; returns the length, 0 if it is not base64. */
export function decodeBase64Key(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
): number {
  const length = end - start
  if (length === 0 || (length & 3) !== 0) return 0
  let padding = 0
  if (bytes[end - 1] === PADDING) padding = bytes[end - 2] === PADDING ? 2 : 1
  const last = end - 4
  let written = 0
  for (let at = start; at < end; at += 4) {
    const padded = at === last ? padding : 0
    const a = SEXTETS[bytes[at]!]!
    const b = SEXTETS[bytes[at + 1]!]!
    const c = padded === 2 ? 0 : SEXTETS[bytes[at + 2]!]!
    const d = padded >= 1 ? 0 : SEXTETS[bytes[at + 3]!]!
    if ((a | b | c | d) > 63) return 0
    target[written++] = (a << 2) | (b >> 4)
    if (padded < 2) target[written++] = ((b & 15) << 4) | (c >> 2)
    if (padded < 1) target[written++] = ((c & 3) << 6) | d
  }
  return written
}
