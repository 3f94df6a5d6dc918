/**
 * Memory of a large value that passes through: filled in pieces, sent, and given back to the system at
 * once. Left to the collector, which sees a small object whatever its bytes, a worker that sent
 * twelve values of 900 MiB kept 9 GiB of them; and unmapping a gigabyte takes 100 ms, so it is given
 * back in pieces, too.
 *
 * The buffer is a resizable one, as shrinking is the one way in which Node 20 gives pages back when
 * told to. V8 compiles code that reads or writes the elements of such a view less well, for ordinary
 * views, too: so nobody gets at them. Bytes come in by `put` and leave by a socket's write.
 *
 * Invariant: whoever shrinks it has made sure that no socket sends from it any more. Its views then
 * have length 0; a write that came too late would send nothing, never somebody else's bytes.
 */
export class PassingMemory {
  private readonly memory: ArrayBuffer
  private readonly bytes: Uint8Array

  /** Throws a RangeError where the system has no room. Pages are touched as they are filled. */
  constructor(length: number) {
    this.memory = new ArrayBuffer(length, { maxByteLength: length })
    this.bytes = new Uint8Array(this.memory, 0, length)
  }

  /** Bytes that are not given back yet. */
  get heldBytes(): number {
    return this.memory.byteLength
  }

  put(piece: Uint8Array, offset: number): void {
    this.bytes.set(piece, offset)
  }

  /** The first `length` bytes, to be sent. */
  first(length: number): Uint8Array {
    return this.bytes.subarray(0, length)
  }

  /** Gives up to `length` bytes at its end back to the system, and returns how many. */
  shrink(length: number): number {
    const held = this.memory.byteLength
    const left = Math.max(0, held - length)
    this.memory.resize(left)
    return held - left
  }
}
