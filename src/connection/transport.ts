/**
 * What a connection needs of the byte pipe under it. `server/` implements it over sockets; nothing
 * here knows which kind of socket, or that there is one.
 */
export interface Transport {
  /** The peer as `address:port`, or the path of a unix socket; for the log and for fairness. */
  readonly peer: string
  /** Bytes accepted by `write` that the kernel has not taken yet. */
  readonly unsentBytes: number
  /**
   * Queues bytes, in order. Returns `unsentBytes`; while that is above 0 the memory of `bytes` must
   * not change.
   */
  write(bytes: Uint8Array): number
  /** Calls `Connection.receive` again, which had said to be left alone. */
  resume(): void
  /** Sends what is queued, then the end of the stream. The peer may still send. */
  end(): void
  /** Drops the pipe at once, whatever is queued. */
  destroy(): void
}
