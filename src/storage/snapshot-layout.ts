/**
 * How items lie in a snapshot: in chunks, each of which is checked before anything in it is believed.
 *
 *     chunk:    byte 0         1             2          3
 *             +--------------+-------------+----------+----------+
 *             | kind         | namespace   | ending   | 0        |  then, by kind:
 *             +--------------+-------------+----------+----------+
 *     CHUNK_ITEMS:    records, one after the other
 *     CHUNK_PIECE:    bytes of the value of the last record before, which is large; `ending` tells of the last
 *     CHUNK_SUMMARY:  JSON, see snapshot-summary.ts
 *
 *     record:   0                4        5       6       7         8          12             16
 *             +----------------+--------+-------+-------+---------+----------+--------------+
 *             | value length   | key    | traits| CAS   | CAS     | CAS      | last access, |  expiry, client flags,
 *             |                | length |       | form  | 39..32  | 31..0    | Unix seconds |  upper word of a wide CAS
 *             +----------------+--------+-------+-------+---------+----------+--------------+  (if there), key, value
 *
 * Numbers are little-endian, and nothing is aligned. The namespace is a place in the summary's list. A record
 * with CAS_FORM_LARGE is the last of its chunk: its value is in the chunks of pieces that follow.
 */

export const CHUNK_ITEMS = 1
export const CHUNK_PIECE = 2
export const CHUNK_SUMMARY = 3
export const CHUNK_HEADER_BYTES = 4
/** The longest chunk: what is in memory of a snapshot at a time. */
export const CHUNK_BYTES_MAX: number = 1024 * 1024

/** `ending` of a piece: more follow, it is the last, or the item changed meanwhile and is to be forgotten. */
export const PIECE_CONTINUES = 0
export const PIECE_LAST = 1
export const PIECE_ABANDONED = 2

export const RECORD_HEADER_BYTES = 16
export const RECORD_KEY_LENGTH = 4
export const RECORD_TRAITS = 5
export const RECORD_CAS_FORM = 6
export const RECORD_CAS_MIDDLE = 7
export const RECORD_CAS_LOW = 8
export const RECORD_LAST_ACCESS = 12

/** Traits: bits 0 to 2 are the item's state, 3 and 4 count its reads. */
export const TRAIT_FREQUENCY_SHIFT = 3
export const TRAIT_MAIN = 0x20
export const TRAIT_EXPIRY = 0x40
export const TRAIT_FLAGS = 0x80

export const CAS_FORM_WIDE = 1
export const CAS_FORM_LARGE = 2

/** A snapshot that is not as this server writes it, though its checksums are right. */
export class SnapshotError extends Error {}
