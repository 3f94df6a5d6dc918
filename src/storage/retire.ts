/**
 * The end of a record: marks it dead and takes its bytes off the segments it lies in. Hot path.
 *
 * Invariant: the stripe of its key is held and no slot refers to it any more. The mark comes before
 * the bytes, because taking off the last bytes may free the segment, and then the record belongs to
 * somebody else. Whoever trusts the mark without a lock must therefore wait for the bytes.
 */
import { SEGMENT_HEAD_ITEM } from './control-block.ts'
import { recordBytesAt, STATE_DEAD, spans, TRAITS_WORD } from './item.ts'
import type { MemoryView } from './memory-view.ts'
import type { SegmentPool } from './pool.ts'

/** Retires the record at `location`; returns its bytes. */
export function retire(view: MemoryView, pool: SegmentPool, location: number): number {
  const words = view.locationArena(location)
  const base = view.locationBase(location)
  const traits = words[base + TRAITS_WORD]!
  const recordBytes = recordBytesAt(words, base, view.unitShift)
  const segment = view.locationSegment(location)
  words[base + TRAITS_WORD] = traits | (STATE_DEAD << 24)
  if (spans(traits)) retireParts(view, pool, location, recordBytes)
  else pool.dropLive(segment, recordBytes)
  return recordBytes
}

function retireParts(
  view: MemoryView,
  pool: SegmentPool,
  location: number,
  recordBytes: number,
): void {
  let part = view.locationSegment(location)
  let room = view.segmentBytes - view.locationOffset(location)
  let left = recordBytes
  while (left > room) {
    const next = view.continuation(part)
    view.control[view.segmentRecord(next) + SEGMENT_HEAD_ITEM] = 0
    pool.dropLive(part, room)
    left -= room
    room = view.segmentBytes
    part = next
  }
  pool.dropLive(part, left)
}
