/**
 * Hot path. Values among the gathered replies that are not copied into the send buffer: they leave in the
 * same write, from where they are stored.
 *
 *     the send buffer:   | header | header, line end | line end, END |
 *                                 ^ first value      ^ second value      each a part, or several
 *
 * Invariant: what a part refers to stays pinned until `release`, which follows the write, at once if the
 * kernel took all of it, else when it has ended; a late write keeps this object, and the send buffer
 * gets another.
 */
import type { PinnedParts, Pins } from '../command/commands.ts'
import type { LateMemory } from './transport.ts'

export class ReplyParts implements PinnedParts, LateMemory {
  isLate = false
  /** Of all parts. */
  bytes = 0
  /** Where in the send buffer the next part belongs. */
  place = 0
  private parts: Uint8Array[] = []
  private readonly places: number[] = []
  private readonly pins: Pins[] = []
  private readonly segments: number[] = []

  addPart(bytes: Uint8Array, pins: Pins, segment: number): void {
    this.parts.push(bytes)
    this.places.push(this.place)
    this.pins.push(pins)
    this.segments.push(segment)
    this.bytes += bytes.length
  }

  /** All that is to be sent, in order; `used` bytes of it are in `buffer`, from its beginning on. */
  joinWith(buffer: Uint8Array, used: number): Uint8Array[] {
    const { parts, places } = this
    const chunks: Uint8Array[] = []
    let from = 0
    for (let index = 0; index < parts.length; index++) {
      const place = places[index]!
      if (place > from) chunks.push(viewOf(buffer, from, place))
      chunks.push(parts[index]!)
      from = place
    }
    if (used > from) chunks.push(viewOf(buffer, from, used))
    return chunks
  }

  release(): void {
    const { pins, segments } = this
    for (let index = 0; index < pins.length; index++) pins[index]!.release(segments[index]!)
    this.parts = []
    this.places.length = 0
    pins.length = 0
    segments.length = 0
    this.bytes = 0
    this.isLate = false
  }
}

function viewOf(buffer: Uint8Array, start: number, end: number): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset + start, end - start)
}
