/**
 * The item record: how an item lies in a segment. Hot path: fields are read and written as words.
 *
 *      word   31                    24 23            16 15                     0
 *           +---------------------------------------------------------------+
 *       0   |                         CAS, bits 31..0                       |
 *       1   | dead, spans, 3 layout,  |  key length    |    value length     |
 *           | win, stale, fetched     |                |                     |
 *       2   | CAS, bits 39..32        |        last access (Unix seconds)    |
 *           +---------------------------------------------------------------+
 *      3.. if LAYOUT_EXPIRY  |      expiry (Unix seconds, 0 never)          |
 *          if LAYOUT_FLAGS   |               client flags                   |
 *          if LAYOUT_WIDE    |               value length                   |
 *                            |             CAS, bits 63..32                 |
 *           +---------------------------------------------------------------+
 *           | key, then value right after it, then padding to 4 (8, 16)     |
 *
 * So a header has 12 bytes and a word for each of expiry and flags that is wanted. A record that is
 * wide, for a value of 64 KiB or more or a CAS of more than 40 bits, has all of these words, and the
 * fields of words 1 and 2 that it repeats are 0.
 *
 * Of the last access 24 bits are kept: it is the latest second before now that has them, so an item
 * that nobody reads for 194 days seems to have been read lately. Nothing but the ages in answers
 * depends on it.
 *
 * Invariant: layout, key length, key and the bytes of the record never change while it lies where it
 * is (the value length may, within the padding); all else changes only under the stripe lock of its
 * key. Header and key never leave the segment in which the record begins; the value of a record with
 * STATE_SPANS may.
 */

/**
 * Records up to this size are filled under the stripe lock, larger ones before it is taken. Only they are
 * overwritten where they lie, so longer values can be sent from there (pins.ts). A value that comes again in
 * its length then goes to memory that is in the processor's caches, and leaves nothing dead behind.
 */
export const COPIED_LOCKED_BYTES_MAX: number = 16 * 1024

/** Bytes of the shortest and of the longest header. */
export const HEADER_BYTES_MIN = 12
export const HEADER_BYTES_MAX = 28

export const ITEM_CAS_LOW_WORD = 0
export const TRAITS_WORD = 1
const ACCESS_WORD = 2
const EXPIRY_WORD = 3
/** Only if LAYOUT_WIDE, which has all words. */
const WIDE_LENGTH_WORD = 5
const WIDE_CAS_WORD = 6

/** State bits that callers see and set. */
export const STATE_FETCHED = 1
export const STATE_STALE = 2
export const STATE_WIN_SENT = 4
/** The bits that setState may change. */
export const STATE_MASK = 0x07
/** Set: the value continues in a further segment. */
export const STATE_SPANS = 0x40
/** Set: no bucket refers to this record any more. */
export const STATE_DEAD = 0x80

/** Which optional words a record has. LAYOUT_WIDE never without the others: see LAYOUT_ALL. */
export const LAYOUT_EXPIRY = 1
export const LAYOUT_FLAGS = 2
const LAYOUT_WIDE = 4
export const LAYOUT_ALL = 7
const LAYOUT_SHIFT = 27

const NARROW_VALUE_BYTES_MAX = 0xffff
/** What a header that is not wide holds of the upper word of a CAS. */
export const NARROW_CAS_HIGH_MAX = 0xff
const ACCESS_MASK = 0xffffff

/** Words of the header by layout, a nibble each, so that no branch is needed to find the key. */
const HEADER_WORDS_BY_LAYOUT = 0x76655443

/** The words that an item needs. `hasWideCas`: its CAS, or the next one, may exceed 40 bits. */
export function layoutFor(
  expiry: number,
  flags: number,
  valueLength: number,
  hasWideCas: boolean,
): number {
  if (valueLength > NARROW_VALUE_BYTES_MAX || hasWideCas) return LAYOUT_ALL
  return (expiry !== 0 ? LAYOUT_EXPIRY : 0) | (flags !== 0 ? LAYOUT_FLAGS : 0)
}

export function traitsOf(
  layout: number,
  keyLength: number,
  valueLength: number,
  state: number,
): number {
  const shortLength = (layout & LAYOUT_WIDE) !== 0 ? 0 : valueLength
  return (state << 24) | (layout << LAYOUT_SHIFT) | (keyLength << 16) | shortLength
}

export function layoutOf(traits: number): number {
  return (traits >>> LAYOUT_SHIFT) & LAYOUT_ALL
}

export function isWide(traits: number): boolean {
  return (traits & (LAYOUT_WIDE << LAYOUT_SHIFT)) !== 0
}

export function keyLengthOf(traits: number): number {
  return (traits >>> 16) & 0xff
}

/** The bits of STATE_MASK. */
export function stateOf(traits: number): number {
  return (traits >>> 24) & STATE_MASK
}

export function isDead(traits: number): boolean {
  return traits < 0
}

export function spans(traits: number): boolean {
  return (traits & (STATE_SPANS << 24)) !== 0
}

export function headerWordsOf(traits: number): number {
  return (HEADER_WORDS_BY_LAYOUT >>> ((traits >>> (LAYOUT_SHIFT - 2)) & (LAYOUT_ALL << 2))) & 0xf
}

export function headerBytesOf(traits: number): number {
  return headerWordsOf(traits) << 2
}

export function valueLengthAt(words: Int32Array, base: number): number {
  const traits = words[base + TRAITS_WORD]!
  if (!isWide(traits)) return traits & NARROW_VALUE_BYTES_MAX
  return words[base + WIDE_LENGTH_WORD]!
}

/** Only within the padding, or while the record is being filled. */
export function setValueLengthAt(words: Int32Array, base: number, valueLength: number): void {
  const traits = words[base + TRAITS_WORD]!
  if (!isWide(traits)) {
    words[base + TRAITS_WORD] = (traits & ~NARROW_VALUE_BYTES_MAX) | valueLength
  } else {
    words[base + WIDE_LENGTH_WORD] = valueLength
  }
}

export function casHighAt(words: Int32Array, base: number): number {
  const traits = words[base + TRAITS_WORD]!
  if (!isWide(traits)) return words[base + ACCESS_WORD]! >>> 24
  return words[base + WIDE_CAS_WORD]! >>> 0
}

/** A CAS of more than 40 bits is only for a record of LAYOUT_ALL. */
export function setCasAt(words: Int32Array, base: number, casHigh: number, casLow: number): void {
  words[base + ITEM_CAS_LOW_WORD] = casLow
  const traits = words[base + TRAITS_WORD]!
  if (!isWide(traits)) {
    words[base + ACCESS_WORD] = (words[base + ACCESS_WORD]! & ACCESS_MASK) | (casHigh << 24)
  } else {
    words[base + WIDE_CAS_WORD] = casHigh
  }
}

/** As uint32; 0 is never. */
export function expiryAt(words: Int32Array, base: number): number {
  if ((words[base + TRAITS_WORD]! & (LAYOUT_EXPIRY << LAYOUT_SHIFT)) === 0) return 0
  return words[base + EXPIRY_WORD]! >>> 0
}

/** For a record without LAYOUT_EXPIRY nothing but 0, which it has already. */
export function setExpiryAt(words: Int32Array, base: number, expiry: number): void {
  if ((words[base + TRAITS_WORD]! & (LAYOUT_EXPIRY << LAYOUT_SHIFT)) === 0) return
  words[base + EXPIRY_WORD] = expiry
}

export function clientFlagsAt(words: Int32Array, base: number): number {
  const layout = layoutOf(words[base + TRAITS_WORD]!)
  if ((layout & LAYOUT_FLAGS) === 0) return 0
  return words[base + EXPIRY_WORD + (layout & LAYOUT_EXPIRY)]! >>> 0
}

/** For a record without LAYOUT_FLAGS nothing but 0, which it has already. */
export function setClientFlagsAt(words: Int32Array, base: number, flags: number): void {
  const layout = layoutOf(words[base + TRAITS_WORD]!)
  if ((layout & LAYOUT_FLAGS) === 0) return
  words[base + EXPIRY_WORD + (layout & LAYOUT_EXPIRY)] = flags
}

/** The second of the last access, seen from `nowSeconds`. */
export function lastAccessAt(words: Int32Array, base: number, nowSeconds: number): number {
  return nowSeconds - ((nowSeconds - words[base + ACCESS_WORD]!) & ACCESS_MASK)
}

export function setLastAccessAt(words: Int32Array, base: number, nowSeconds: number): void {
  const access = words[base + ACCESS_WORD]!
  if (((access ^ nowSeconds) & ACCESS_MASK) === 0) return
  words[base + ACCESS_WORD] = (access & ~ACCESS_MASK) | (nowSeconds & ACCESS_MASK)
}

/** Bytes of a record of that layout, padding included. */
export function recordBytesOf(
  layout: number,
  keyLength: number,
  valueLength: number,
  unitShift: number,
): number {
  const unit = (1 << unitShift) - 1
  const headerWords = (HEADER_WORDS_BY_LAYOUT >>> (layout << 2)) & 0xf
  return ((headerWords << 2) + keyLength + valueLength + unit) & ~unit
}

/** Bytes of the record that lies there, padding included. */
export function recordBytesAt(words: Int32Array, base: number, unitShift: number): number {
  const traits = words[base + TRAITS_WORD]!
  const unit = (1 << unitShift) - 1
  return (headerBytesOf(traits) + keyLengthOf(traits) + valueLengthAt(words, base) + unit) & ~unit
}

/** Writes the header of a new record, all but the CAS, whose upper bits become 0. */
export function fillHeader(
  words: Int32Array,
  base: number,
  layout: number,
  keyLength: number,
  valueLength: number,
  state: number,
  flags: number,
  expiry: number,
  nowSeconds: number,
): void {
  words[base + TRAITS_WORD] = traitsOf(layout, keyLength, valueLength, state)
  words[base + ACCESS_WORD] = nowSeconds & ACCESS_MASK
  let at = base + EXPIRY_WORD
  if ((layout & LAYOUT_EXPIRY) !== 0) words[at++] = expiry
  if ((layout & LAYOUT_FLAGS) !== 0) words[at] = flags
  if ((layout & LAYOUT_WIDE) !== 0) {
    words[base + WIDE_LENGTH_WORD] = valueLength
    words[base + WIDE_CAS_WORD] = 0
  }
}
