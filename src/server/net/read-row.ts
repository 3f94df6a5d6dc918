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
