const NOTHING = Buffer.alloc(0)

/** What was read although that was to stop, in one piece: a record may have one byte, and there are thousands in a read. */
export class KeptBytes {
  private bytes: Buffer = NOTHING
  private usedBytes = 0

  /** They are copied. */
  add(bytes: Uint8Array, length: number): void {
    const wantedBytes = this.usedBytes + length
    if (this.bytes.length < wantedBytes) {
      const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.bytes.length, wantedBytes))
      grown.set(this.bytes.subarray(0, this.usedBytes))
      this.bytes = grown
    }
    this.bytes.set(bytes.subarray(0, length), this.usedBytes)
    this.usedBytes = wantedBytes
  }

  /** All of them, which are not kept any more. */
  take(): Buffer {
    // As of most connections that close.
    if (this.usedBytes === 0) return NOTHING
    const taken = this.bytes.subarray(0, this.usedBytes)
    this.bytes = NOTHING
    this.usedBytes = 0
    return taken
  }
}
