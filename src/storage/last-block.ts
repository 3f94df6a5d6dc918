/**
 * The ByteBlock made last for an array of a caller: those are few, and mostly the same. Hot path:
 * nothing is allocated for an array that comes again.
 */
import { ByteBlock } from '../base/bytes.ts'

/** Views of larger arrays are not kept: they would keep the array of a large value alive. */
const KEPT_BYTES_MAX: number = 4 * 1024 * 1024

export class LastBlock {
  private block: ByteBlock = new ByteBlock(new Uint8Array(0))

  of(bytes: Uint8Array): ByteBlock {
    let block = this.block
    if (block.bytes !== bytes) {
      block = new ByteBlock(bytes)
      if (bytes.length <= KEPT_BYTES_MAX) this.block = block
    }
    return block
  }
}
