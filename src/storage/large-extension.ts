/**
 * An append or prepend whose result is too long to be written in one go: the result is a LargeValue
 * of its own, filled from the item and from what is added, piece by piece.
 *
 *     after:   | old value, from the item ...            | added |
 *     before:  | added | old value, from the item ...            |
 *
 * Invariant: a piece is copied from the item only under its stripe and only while the item is the
 * one that this was begun for. The bytes of a long one cannot have changed then, for it is never
 * overwritten where it lies; a short one is copied once more under the stripe when the result is linked. So
 * the place alone would do, were it not that memory is used again,
 * by an item of the same key and length, too: the number under which the first segment was sealed
 * tells the two apart. The CAS need not be the same, so marking the item cannot hold this up.
 *
 * Which piece comes when, and how often it is begun anew, is left to the caller; the item's expiry,
 * flags and CAS are those of the moment in which the result is linked.
 */
import type { LargeValue } from './large-value.ts'

export class LargeExtension {
  /** The result, header and key still missing. */
  readonly value: LargeValue
  readonly addedBytes: number
  /** The item that is extended; no bytes at location 0 if there is none and one shall be made. */
  readonly oldBytes: number
  readonly location: number
  readonly sequence: number
  /** Where the old value begins in the new one, and where what is added does. */
  readonly oldOffset: number
  readonly addedOffset: number

  constructor(
    value: LargeValue,
    isAfter: boolean,
    oldBytes: number,
    location: number,
    sequence: number,
  ) {
    this.value = value
    this.addedBytes = value.valueLength - oldBytes
    this.oldBytes = oldBytes
    this.location = location
    this.sequence = sequence
    this.oldOffset = isAfter ? 0 : this.addedBytes
    this.addedOffset = isAfter ? oldBytes : 0
  }

  /** Whether both are to extend the same item. */
  isOfSameItem(other: LargeExtension): boolean {
    return (
      this.location !== 0 && this.location === other.location && this.sequence === other.sequence
    )
  }
}
