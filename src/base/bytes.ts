/**
 * Copies between byte arrays, shared or not. Hot path: nothing is allocated below BULK_BYTES_MIN.
 *
 * Invariant: a ByteBlock's two views cover exactly the same bytes. Callers guarantee the ranges;
 * nothing is checked here beyond what typed arrays check themselves.
 *
 * Two ways to copy (test/bench/copy.bench.mjs has the figures):
 * - short: pairs of getInt32/setInt32 on DataViews, which need no alignment and no allocation;
 * - long: Buffer's `fill`, with a pattern as long as the range. It is the one copy of Node 20 that
 *   ends in a memcpy also where memory is shared: 2.5 us for 64 KiB, where `set` takes 6 us with both
 *   ends at the same offset modulo 8, and 32 us, a byte at a time, with any others.
 */

/** From this length on, the fixed price of `subarray` and `fill` is lower than that of a loop. */
const BULK_BYTES_MIN = 320

const { fill } = Buffer.prototype

/** One stretch of bytes, with the views that the copies need. */
export class ByteBlock {
  readonly bytes: Uint8Array
  readonly view: DataView

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
}

/** Copies `length` bytes. The two ranges must not overlap. */
export function copyBytes(
  source: ByteBlock,
  sourceOffset: number,
  target: ByteBlock,
  targetOffset: number,
  length: number,
): void {
  if (length >= BULK_BYTES_MIN) {
    const copied = source.bytes.subarray(sourceOffset, sourceOffset + length)
    fill.call(target.bytes, copied, targetOffset, targetOffset + length)
    return
  }
  const from = source.view
  const to = target.view
  let done = 0
  for (; done <= length - 16; done += 16) {
    const a = from.getInt32(sourceOffset + done, true)
    const b = from.getInt32(sourceOffset + done + 4, true)
    const c = from.getInt32(sourceOffset + done + 8, true)
    const d = from.getInt32(sourceOffset + done + 12, true)
    to.setInt32(targetOffset + done, a, true)
    to.setInt32(targetOffset + done + 4, b, true)
    to.setInt32(targetOffset + done + 8, c, true)
    to.setInt32(targetOffset + done + 12, d, true)
  }
  for (; done <= length - 4; done += 4) {
    to.setInt32(targetOffset + done, from.getInt32(sourceOffset + done, true), true)
  }
  for (; done < length; done++) {
    to.setUint8(targetOffset + done, from.getUint8(sourceOffset + done))
  }
}

/**
 * The same of arrays that are not shared, without views of their own. A short `copy` or `set` of a part makes a view
 * first, for the collector to take away.
 */
export function copyPart(
  source: Uint8Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
  length: number,
): void {
  if (length >= BULK_BYTES_MIN) {
    target.set(source.subarray(sourceOffset, sourceOffset + length), targetOffset)
    return
  }
  for (let done = 0; done < length; done++) {
    target[targetOffset + done] = source[sourceOffset + done]!
  }
}
