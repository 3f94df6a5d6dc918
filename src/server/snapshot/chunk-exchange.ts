/**
 * Memory through which chunks of a snapshot go to a second thread that restores them, and how far it came.
 *
 *     word 0        1      2       3 ...
 *     +-----------+------+-------+----------------------------+---------------------------+-----------------+
 *     | GIVEN     | DONE | ENDED | length, position of slot 0 | length, position of slot 1 | counts          |
 *     +-----------+------+-------+----------------------------+---------------------------+-----------------+
 *     then two slots of CHUNK_BYTES_MAX: chunk n is in slot n mod 2
 *
 * Invariant: a slot is the second thread's from when GIVEN counts its chunk until DONE does, and else the first
 * one's. So chunks need no lock, and only GIVEN, DONE and ENDED are waited for.
 */
import { CHUNK_BYTES_MAX } from '../../storage/snapshot-layout.ts'

/** Chunks given so far; GIVEN_END: no more come, and those that wait are not wanted. */
export const GIVEN = 0
export const DONE = 1
/** The second thread uses the stores no more: how it ended. */
export const ENDED = 2
export const GIVEN_END: number = -1
export const ENDED_WELL = 1
export const ENDED_BADLY = 2

export const SLOTS = 2
const SLOTS_WORD = 3
export const SLOT_LENGTH = 0
/** Where it stopped: at the length if all of the chunk is taken. */
export const SLOT_POSITION = 1
const SLOT_WORDS = 2
/** In the order of COUNTED. */
const COUNTS_WORD: number = SLOTS_WORD + SLOTS * SLOT_WORDS
export const COUNTED = ['restored', 'expired', 'superseded', 'dropped'] as const
const HEADER_BYTES = 64

export interface ChunkExchange {
  readonly words: Int32Array
  readonly slots: readonly Uint8Array[]
}

export function createExchangeMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + SLOTS * CHUNK_BYTES_MAX)
}

export function exchangeOf(memory: SharedArrayBuffer): ChunkExchange {
  const slots = Array.from(
    { length: SLOTS },
    (_, slot) => new Uint8Array(memory, HEADER_BYTES + slot * CHUNK_BYTES_MAX, CHUNK_BYTES_MAX),
  )
  return { words: new Int32Array(memory, 0, HEADER_BYTES / 4), slots }
}

export function slotWord(chunk: number, field: number): number {
  return SLOTS_WORD + (chunk % SLOTS) * SLOT_WORDS + field
}

export function countWord(place: number): number {
  return COUNTS_WORD + place
}
