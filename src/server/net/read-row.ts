/**
 * How much of one connection is read in a row, before everybody else is looked at. A turn is bounded for each
 * read (`-R`), and libuv reads a stream up to 32 times in a row while each read fills its memory: 2 MiB. Of TLS,
 * each record is a read of its own, so that a row is four times as long, and of tiny records, a thousand in one read of
 * the kernel's, many times.
 *
 * Who has had its row is not read until the next turn of the event loop.
 */

/** With values of 64 KiB, eight turns. */
export const ROW_BYTES_MAX: number = 512 * 1024
/** What a record counts for at least: what it costs beside its bytes. */
export const RECORD_BYTES_MIN: number = 4096

/** What one connection has had in a row. */
export class ReadRow {
  private bytes = 0
  private readonly readOn: () => void

  /** `readOn` has it read again, which `goesOn` has denied. */
  constructor(readOn: () => void) {
    this.readOn = readOn
  }

  /** To be asked after each read that another may follow at once. False: not before the others' turn. */
  goesOn(length: number): boolean {
    this.bytes += length
    if (this.bytes < ROW_BYTES_MAX) return true
    this.bytes = 0
    setImmediate(this.readOn)
    return false
  }

  end(): void {
    this.bytes = 0
  }
}
