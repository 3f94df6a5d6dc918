/**
 * A connection that was accepted and that nobody reads yet: what admission weighs, holds, and has
 * opened, refused or closed in the end. It costs a file descriptor and this record.
 */
import type { Pipe, Transport } from '../../connection/transport.ts'

/** Exactly one of the three is called, once. */
export interface Newcomer extends Pipe {
  /** It is served: nothing is read until somebody is attached to the transport. */
  open(): Transport
  /** It is told `notice`, and closed when that is sent. */
  refuse(notice: Uint8Array): void
  close(): void
}
