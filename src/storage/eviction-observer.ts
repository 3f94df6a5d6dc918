/**
 * How somebody outside sees items being evicted. record-fate.ts makes one call for each; this reads
 * the record for whoever wants to know and is skipped when nobody does.
 *
 * An observer is called under the stripe lock of the item: it copies what it needs, and calls nothing
 * of the store.
 */
import {
  expiryAt,
  headerBytesOf,
  keyLengthOf,
  lastAccessAt,
  STATE_FETCHED,
  TRAITS_WORD,
  valueLengthAt,
} from './item.ts'
import type { MemoryView } from './memory-view.ts'

export interface EvictionObserver {
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

/** Tells the observer of the item at `location`, which is about to go. */
export function tellEviction(
  observer: EvictionObserver,
  view: MemoryView,
  location: number,
  nowSeconds: number,
): void {
  if (!observer.isWatching) return
  const words = view.locationArena(location)
  const base = view.locationBase(location)
  const traits = words[base + TRAITS_WORD]!
  const segment = view.locationSegment(location)
  observer.evicted(
    view.segmentBlock(segment).bytes,
    view.segmentByteBase(segment) + view.locationOffset(location) + headerBytesOf(traits),
    keyLengthOf(traits),
    valueLengthAt(words, base),
    expiryAt(words, base),
    lastAccessAt(words, base, nowSeconds),
    (traits & (STATE_FETCHED << 24)) !== 0,
  )
}
