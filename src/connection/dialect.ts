/**
 * What a connection asks of a dialect and of a suspended request. The connection is a parameter, so that
 * this file needs not that of the connection, which needs this one.
 */
import type { LargeBody } from '../command/transfers/large-body.ts'

/** Takes whole requests off the bytes, carries them out and writes the replies. */
export interface DialectOf<Connection> {
  /** Bytes that the turn of the moment, or the last one, copied in or out of the store. */
  readonly copiedBytes: number
  /**
   * Serves what is complete in `bytes[start, end)` and returns how far it came. Stops early when
   * the connection no longer serves. Sets `wantedBytes` of the intake when a request is incomplete.
   */
  serve(connection: Connection, bytes: Uint8Array, start: number, end: number): number
  /** Answers the request whose large value has arrived, or for which there was no room. */
  serveLarge(connection: Connection, body: LargeBody, hasRoom: boolean): void
  /**
   * Refuses the request that begins at `start` and is not complete, for there is no room to keep the
   * rest of it: what is stored stays as it is. Returns its length on the wire, unless the client is not
   * logged in or that length cannot be known, and the connection ends.
   */
  refuseUnfinished(connection: Connection, bytes: Uint8Array, start: number, end: number): number
}

/** What a request waits for. */
export interface Settling {
  /** Calls `run` once, when it is there, and never within this call. */
  onSettled(run: () => void): void
}

/**
 * A request that is not answered yet. It stays at the head of the receive buffer, and nothing behind it
 * is served until it is done.
 */
export interface SuspendedRequestOf<Connection> {
  /** Length of the request on the wire; 0 if it was taken off the buffer already. */
  readonly frameBytes: number
  /** Bits of RIGHT without which it does not go on, if nobody else looks at them on its way. */
  readonly rights?: number
  /**
   * Goes on with the request at `start` of `bytes`; true when it is answered. When it is not, it has
   * given its turn away, or the connection does not serve.
   */
  proceed(connection: Connection, bytes: Uint8Array, start: number): boolean
  /** Gives back what it holds, as the connection ends; begins that anew if it is gone on with. */
  cancel(): void
  /**
   * True: others wait for what it holds. While its peer takes no replies it is cancelled, and begun anew
   * when the peer does.
   */
  readonly othersWait?: boolean
  /** True: what comes meanwhile is kept, one read of it, before the connection is left alone. */
  readonly readsOn?: boolean
  /** True: what is left of it changes nothing and may be long, so that it ends once nobody is there to read it. */
  readonly isLongRead?: boolean
}
