/** Keys in the lines that operators read: everything but letters, digits and `-_.~` as %XX. */

const KEPT_AS_IS = /^[A-Za-z0-9\-_.~]*$/

/** Percent-encodes a key as memcached does. */
export function escapeKey(key: Buffer): string {
  const text = key.toString('latin1')
  if (KEPT_AS_IS.test(text)) return text
  let escaped = ''
  for (const byte of key) {
    const character = String.fromCharCode(byte)
    escaped += KEPT_AS_IS.test(character)
      ? character
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return escaped
}
