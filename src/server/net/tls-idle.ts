/**
 * What a client over TLS sends that brings nothing: wishes for new keys (KeyUpdate, RFC 8446, 4.6.3), which cost us much more
 * than it, and padding. Nothing tells us of them but bytes that come and bring nothing.
 */
import { recordOverheadBytes } from './tls-record-size.ts'
import type { SessionFacts } from './tls-session.ts'

/**
 * Padding that each record may have once its client is logged in. A stranger's has none, or nine wishes for new keys
 * could come with each byte of data: it is among the bytes that bring nothing, and a login takes few records.
 */
const PADDING_BYTES_MAX = 256
/** Bytes that may bring nothing at a time: half a record is among them, and two thousand new keys. */
const IDLE_BYTES_MAX = 64 * 1024
/** So many of them are forgotten each time that isTooMuch() is asked. */
const IDLE_BYTES_FORGOTTEN = 1

export class IdleBytes {
  /** What has come in all, encrypted, as of the last look; and what of it can have brought something since. */
  private seenBytes: number
  private usefulBytes = 0
  private usefulRecords = 0
  private idleBytes = 0
  /** Of each record (tls-record-size.ts). */
  private readonly overheadBytes: number

  constructor(secure: SessionFacts, bytesRead: number) {
    this.seenBytes = bytesRead
    this.overheadBytes = recordOverheadBytes(secure)
  }

  /** A record was decrypted. */
  take(length: number): void {
    this.usefulBytes += length
    this.usefulRecords++
  }

  /** To be asked ten times a second. `waitingBytes` were decrypted, and not taken yet. */
  isTooMuch(bytesRead: number, waitingBytes: number, isLoggedIn: boolean): boolean {
    const besides = this.overheadBytes + (isLoggedIn ? PADDING_BYTES_MAX : 0)
    const useful = this.usefulBytes + this.usefulRecords * besides
    const idle = this.idleBytes + bytesRead - this.seenBytes - useful
    this.idleBytes = Math.max(0, idle - IDLE_BYTES_FORGOTTEN)
    this.seenBytes = bytesRead
    this.usefulBytes = 0
    this.usefulRecords = 0
    // Each byte that waits may be a record.
    return idle - waitingBytes * (1 + besides) > IDLE_BYTES_MAX
  }
}
