/**
 * What SASLprep (RFC 4013) asks of each code point, in one byte each: the tables of the saslprep
 * package, read once. A stranger's name is looked at before anything is known of him, so a look
 * must cost next to nothing: through the package itself a name of 1 KiB took 0.6 ms.
 *
 *   code point:  | 13 bits: block | 8 bits: place in it |
 *                  blocks[block] --> which page         pages[page * 256 + place] --> flags
 *
 * A block that is as the one before it shares its page: of 4352 blocks 110 are not.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { assert } from '../base/assert.ts'

export const TO_SPACE = 1
export const TO_NOTHING = 2
/** Prohibited, or unassigned in Unicode 3.2: the whole is not SASLprep's. */
export const REFUSED = 4
export const RIGHT_TO_LEFT = 8
export const LEFT_TO_RIGHT = 16

const BLOCK_BITS = 8
const BLOCK_SIZE = 1 << BLOCK_BITS
const BLOCK_BYTES = BLOCK_SIZE / 8
const BLOCK_WORDS = BLOCK_BYTES / 4
const BLOCK_COUNT = 0x110000 / BLOCK_SIZE

/**
 * What the bitmaps of the package's file say: one bit for each code point, eight to a byte, the first in the highest; each
 * behind its length in bytes.
 */
const FLAGS_OF_FILE = [REFUSED, TO_NOTHING, TO_SPACE, REFUSED, RIGHT_TO_LEFT, LEFT_TO_RIGHT]

/** Shared: threads have one copy. */
export interface CodePointTables {
  readonly blocks: Uint16Array<SharedArrayBuffer>
  readonly pages: Uint8Array<SharedArrayBuffer>
}

/** As the package has them. Its own module keeps 2 MB of memory for them. */
export function readTables(): CodePointTables {
  const file = readFileSync(createRequire(import.meta.url).resolve('saslprep/code-points.mem'))
  const bitmaps: Bitmap[] = []
  let at = 0
  for (const flag of FLAGS_OF_FILE) {
    const start = at + 4
    at = start + file.readUInt32BE(at)
    bitmaps.push(bitmapOf(file.subarray(start, at), flag))
  }
  assert(at === file.length, 'the file of saslprep has six bitmaps')
  const blocks = new Uint16Array(new SharedArrayBuffer(BLOCK_COUNT * Uint16Array.BYTES_PER_ELEMENT))
  const pages = [pageOf(bitmaps, 0)]
  for (let block = 1; block < BLOCK_COUNT; block += 1) {
    if (!isAsBefore(bitmaps, block)) pages.push(pageOf(bitmaps, block))
    blocks[block] = pages.length - 1
  }
  const all = new Uint8Array(new SharedArrayBuffer(pages.length * BLOCK_SIZE))
  for (const [index, page] of pages.entries()) all.set(page, index * BLOCK_SIZE)
  return { blocks, pages: all }
}

interface Bitmap {
  readonly bits: Uint8Array
  /** The same. */
  readonly words: Int32Array
  readonly flag: number
}

function bitmapOf(table: Uint8Array, flag: number): Bitmap {
  const bits = new Uint8Array(BLOCK_COUNT * BLOCK_BYTES)
  // It ends behind its last bit that is set.
  bits.set(table)
  return { bits, words: new Int32Array(bits.buffer), flag }
}

function isAsBefore(bitmaps: readonly Bitmap[], block: number): boolean {
  const start = block * BLOCK_WORDS
  for (const { words } of bitmaps) {
    for (let index = start; index < start + BLOCK_WORDS; index += 1) {
      if (words[index] !== words[index - BLOCK_WORDS]) return false
    }
  }
  return true
}

function pageOf(bitmaps: readonly Bitmap[], block: number): Uint8Array {
  const page = new Uint8Array(BLOCK_SIZE)
  for (const { bits, flag } of bitmaps) {
    for (let index = 0; index < BLOCK_BYTES; index += 1) {
      const byte = bits[block * BLOCK_BYTES + index] ?? 0
      for (let place = 0; byte !== 0 && place < 8; place += 1) {
        if ((byte & (0x80 >> place)) !== 0) page[index * 8 + place]! |= flag
      }
    }
  }
  return page
}

export class CodePoints {
  readonly tables: CodePointTables
  private readonly blocks: Uint16Array
  private readonly pages: Uint8Array

  constructor(tables: CodePointTables) {
    this.tables = tables
    this.blocks = tables.blocks
    this.pages = tables.pages
  }

  flagsOf(codePoint: number): number {
    const page = this.blocks[codePoint >> BLOCK_BITS] ?? 0
    return this.pages[page * BLOCK_SIZE + (codePoint & (BLOCK_SIZE - 1))] ?? 0
  }
}
