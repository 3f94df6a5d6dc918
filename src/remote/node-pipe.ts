/** A pipe of bytes to one node, in the clear or over TLS; who opens it is in server/net/node-dialer.ts. */
import type { Seed } from './remote-settings.ts'

export interface NodePipe {
  /** True: `bytes` have been handed over, and may be written to; false: they are read later. */
  write(bytes: Buffer): boolean
  /** No event comes afterwards. */
  close(): void
}

/** Each comes in a turn of its own, never within dial(). */
export interface NodePipeEvents {
  opened(): void
  /** Of `bytes` the first `length`, which are others' afterwards. */
  received(bytes: Buffer, length: number): void
  /** Once, and as the last; `error` is undefined where the other end has just closed. */
  ended(error: unknown): void
}

export type Dial = (node: Seed, events: NodePipeEvents) => NodePipe
