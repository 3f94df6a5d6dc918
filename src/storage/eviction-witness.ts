/**
 * How somebody outside sees items being evicted. The reclaimer makes one call for each; this reads
 * the record for whoever wants to know and is skipped when nobody does.
 *
 * A witness is called under the stripe lock of the item: it copies what it needs, and calls nothing
 * of the store.
 */
import {
  EXPIRY_WORD,
  ITEM_HEADER_BYTES,
  keyLengthOf,
  LAST_ACCESS_WORD,
  STATE_FETCHED,
  TRAITS_WORD,
  VALUE_LENGTH_WORD,
} from './item.ts'
import type { MemoryView } from './memory-view.ts'

export interface EvictionWitness {
  /** False: nobody wants to know, `evicted` is not called. */
  readonly isWatching: boolean
  /** The key lies in `bytes`; times are Unix seconds, an expiry of 0 is never. */
  evicted(
    bytes: Uint8Array,
    keyOffset: number,
    keyLength: number,
    valueBytes: number,
    expiry: number,
    lastAccess: number,
    wasFetched: boolean,
  ): void
}

/** Tells the witness of the item at `location`, which is about to go. */
export function tellEviction(witness: EvictionWitness, view: MemoryView, location: number): void {
  if (!witness.isWatching) return
  const words = view.locationArena(location)
  const base = view.locationBase(location)
  const traits = words[base + TRAITS_WORD]!
  const segment = view.locationSegment(location)
  witness.evicted(
    view.segmentBlock(segment).bytes,
    view.segmentByteBase(segment) + view.locationOffset(location) + ITEM_HEADER_BYTES,
    keyLengthOf(traits),
    words[base + VALUE_LENGTH_WORD]!,
    words[base + EXPIRY_WORD]! >>> 0,
    words[base + LAST_ACCESS_WORD]! >>> 0,
    (traits & (STATE_FETCHED << 24)) !== 0,
  )
}
