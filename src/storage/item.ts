/**
 * The item record: how an item lies in a segment. Hot path: fields are read and written as words.
 *
 *      word   31            24 23            16 15                            0
 *           +---------------------------------------------------------------+
 *       0   |                         value length                          |
 *       1   |                            CAS low                            |
 *       2   |     state     |   key length   |           CAS high            |
 *       3   |              expiry (Unix seconds, 0 never)                   |
 *       4   |                         client flags                          |
 *       5   |                  last access (Unix seconds)                   |
 *           +---------------------------------------------------------------+
 *       6.. | key, then value right after it, then padding to 8 (or 16)      |
 *
 * Invariant: key length, key and the bytes of the record never change while it lies where it is (the
 * value length may, within the padding); all else changes only under the stripe lock of its key. Header and key never leave the segment in
 * which the record begins; the value of a record with STATE_SPANS may.
 */

export const ITEM_HEADER_BYTES = 24
export const ITEM_HEADER_WORDS = 6
export const KEY_BYTES_MAX = 250

export const VALUE_LENGTH_WORD = 0
export const ITEM_CAS_LOW_WORD = 1
export const TRAITS_WORD = 2
export const EXPIRY_WORD = 3
export const CLIENT_FLAGS_WORD = 4
export const LAST_ACCESS_WORD = 5

/** State bits that callers see and set. */
export const STATE_FETCHED = 1
export const STATE_STALE = 2
export const STATE_WIN_SENT = 4
/** The bits that setState may change. */
export const STATE_MASK = 0x3f
/** Set: the value continues in a further segment. */
export const STATE_SPANS = 0x40
/** Set: no bucket refers to this record any more. */
export const STATE_DEAD = 0x80

export function traitsOf(casHigh: number, keyLength: number, state: number): number {
  return (state << 24) | (keyLength << 16) | casHigh
}

export function casHighOf(traits: number): number {
  return traits & 0xffff
}

export function keyLengthOf(traits: number): number {
  return (traits >>> 16) & 0xff
}

export function stateOf(traits: number): number {
  return traits >>> 24
}

export function isDead(traits: number): boolean {
  return traits < 0
}

export function spans(traits: number): boolean {
  return (traits & (STATE_SPANS << 24)) !== 0
}

/** Bytes of a record, padding included. */
export function recordBytesOf(keyLength: number, valueLength: number, unitShift: number): number {
  const unit = (1 << unitShift) - 1
  return (ITEM_HEADER_BYTES + keyLength + valueLength + unit) & ~unit
}
