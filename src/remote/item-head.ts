/**
 * How an item lies in the engine: one string, the head before the value.
 *
 *    0        1       2          6            14
 *   +---------+-------+----------+------------+---------
 *   | version | state | flags    | CAS unique | value
 *   +---------+-------+----------+------------+---------
 *     1         1       4          8            ...        numbers are big-endian
 *
 * Its expiry is the engine's own. The functions (functions.ts) read and write the same head.
 */

import { copyPart } from '../base/bytes.ts'

export const HEAD_BYTES = 14
const VERSION = 1

export const HEAD_STALE = 1
export const HEAD_WIN_SENT = 2
export const HEAD_FETCHED = 4

const STATE_OFFSET = 1
const FLAGS_OFFSET = 2
const CAS_OFFSET = 6

/** A new item: its head and a copy of its value. */
export function encodeItem(
  flags: number,
  casHigh: number,
  casLow: number,
  bytes: Uint8Array,
  valueOffset: number,
  valueLength: number,
): Buffer {
  const item = Buffer.allocUnsafe(HEAD_BYTES + valueLength)
  item[0] = VERSION
  item[STATE_OFFSET] = 0
  item.writeUInt32BE(flags, FLAGS_OFFSET)
  item.writeUInt32BE(casHigh, CAS_OFFSET)
  item.writeUInt32BE(casLow, CAS_OFFSET + 4)
  copyPart(bytes, valueOffset, item, HEAD_BYTES, valueLength)
  return item
}

export function encodeFlags(flags: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(flags, 0)
  return bytes
}

export function encodeCas(high: number, low: number): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeUInt32BE(high, 0)
  bytes.writeUInt32BE(low, 4)
  return bytes
}

/** False: some other program has stored that. */
export function isItem(item: unknown): item is Buffer {
  return item instanceof Uint8Array && item.length >= HEAD_BYTES && item[0] === VERSION
}

export function headStateOf(item: Buffer): number {
  return item[STATE_OFFSET] ?? 0
}

export function flagsOf(item: Buffer): number {
  return item.readUInt32BE(FLAGS_OFFSET)
}

export function casHighOf(item: Buffer): number {
  return item.readUInt32BE(CAS_OFFSET)
}

export function casLowOf(item: Buffer): number {
  return item.readUInt32BE(CAS_OFFSET + 4)
}
