/**
 * Copies between byte arrays, shared or not. Hot path: nothing is allocated below BULK_BYTES_MIN.
 *
 * Invariant: a ByteBlock's two views cover exactly the same bytes. Callers guarantee the ranges;
 * nothing is checked here beyond what typed arrays check themselves.
 *
 * Three ways to copy, because no single one is fast on Node 20 (test/bench/copy.bench.mjs):
 * - short: pairs of getInt32/setInt32 on DataViews, which need no alignment and no allocation;
 * - long, both ends at the same offset modulo 8: `set`, which copies shared memory eight bytes at a
 *   time, but only then;
 * - long, ends at different offsets modulo 8: `set` on shared memory falls to one byte at a time,
 *   five to eight times slower, so the bytes go through a private buffer that is given the offset of
 *   the shared end. Between private buffers the alignment does not matter.
 */

/** From this length on, the fixed price of `subarray` and `set` is lower than that of a loop. */
const BULK_BYTES_MIN = 384

/** Bounce chunks stay within the first-level cache. */
const BOUNCE_BYTES = 16 * 1024

/** One stretch of bytes, with the views that the copies need. */
export class ByteBlock {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Where the bytes start within an 8-byte word of memory. */
  readonly phase: number

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.phase = bytes.byteOffset & 7
  }
}

const bounce = new ByteBlock(new Uint8Array(BOUNCE_BYTES + 8))

/** Copies `length` bytes. The two ranges must not overlap. */
export function copyBytes(
  source: ByteBlock,
  sourceOffset: number,
  target: ByteBlock,
  targetOffset: number,
  length: number,
): void {
  if (length >= BULK_BYTES_MIN) {
    copyBulk(source, sourceOffset, target, targetOffset, length)
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

function copyBulk(
  source: ByteBlock,
  sourceOffset: number,
  target: ByteBlock,
  targetOffset: number,
  length: number,
): void {
  const sourcePhase = (source.phase + sourceOffset) & 7
  const targetPhase = (target.phase + targetOffset) & 7
  if (sourcePhase === targetPhase) {
    target.bytes.set(source.bytes.subarray(sourceOffset, sourceOffset + length), targetOffset)
    return
  }
  // Whichever end is shared decides the offset; with both private either would do.
  const intoShared = isShared(target)
  const bounced = bounce.bytes
  const phase = intoShared ? targetPhase : sourcePhase
  if (intoShared && isShared(source)) {
    copyBetweenShared(source, sourceOffset, target, targetOffset, length)
    return
  }
  for (let done = 0; done < length; done += BOUNCE_BYTES) {
    const chunk = Math.min(length - done, BOUNCE_BYTES)
    bounced.set(source.bytes.subarray(sourceOffset + done, sourceOffset + done + chunk), phase)
    target.bytes.set(bounced.subarray(phase, phase + chunk), targetOffset + done)
  }
}

/** Both ends shared and out of step: two hops within the bounce buffer, one for each offset. */
function copyBetweenShared(
  source: ByteBlock,
  sourceOffset: number,
  target: ByteBlock,
  targetOffset: number,
  length: number,
): void {
  const bounced = bounce.bytes
  const sourcePhase = (source.phase + sourceOffset) & 7
  const targetPhase = (target.phase + targetOffset) & 7
  for (let done = 0; done < length; done += BOUNCE_BYTES) {
    const chunk = Math.min(length - done, BOUNCE_BYTES)
    const start = sourceOffset + done
    bounced.set(source.bytes.subarray(start, start + chunk), sourcePhase)
    bounced.copyWithin(targetPhase, sourcePhase, sourcePhase + chunk)
    target.bytes.set(bounced.subarray(targetPhase, targetPhase + chunk), targetOffset + done)
  }
}

function isShared(block: ByteBlock): boolean {
  return block.bytes.buffer instanceof SharedArrayBuffer
}
