/** Keys in the lines that operators read: everything but letters, digits and `-_.~` as %XX. */

const KEPT_AS_IS = /^[A-Za-z0-9\-_.~]*$/
/** Of each byte. Whoever chooses the keys chooses how many are escaped: one look-up each, and no text made anew. */
const ESCAPED: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte)
  if (KEPT_AS_IS.test(character)) return character
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
})

/** Percent-encodes a key as memcached does. */
export function escapeKey(key: Buffer): string {
  const text = key.toString('latin1')
  if (KEPT_AS_IS.test(text)) return text
  let escaped = ''
  for (const byte of key) escaped += ESCAPED[byte]!
  return escaped
}
