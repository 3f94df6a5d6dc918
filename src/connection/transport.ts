/**
 * What a connection needs of the byte pipe under it, and what the pipe tells the connection. `server/`
 * implements it over sockets; nothing here knows which kind of socket, or that there is one.
 */
import type { Pipe } from '../base/pipe.ts'

export interface Transport extends Pipe {
  /** Bytes accepted by `write` that the kernel has not taken yet. */
  readonly unsentBytes: number
  /** Begins to read, into `receiver`. */
  attach(receiver: Receiver): void
  /**
   * Queues bytes, in order. Returns `unsentBytes`; while that is above 0 the memory of `bytes` must
   * not change.
   */
  write(bytes: Uint8Array): number
  /**
   * The same for bytes that lie in several places. If the kernel did not take all of them at once,
   * `memory.isLate` is true afterwards, and it is released when the write has ended; else it is the caller's.
   * Undefined where that cannot be had.
   */
  writeParts?(chunks: Uint8Array[], memory: LateMemory): number
  /**
   * The room that the receiver named is no more: reads into memory of its own again. Undefined where rooms are
   * not asked for.
   */
  leaveRoom?(): void
  /** Calls `Receiver.receive` again, which had said to be left alone. */
  resume(): void
  /** Sends what is queued, then the end of the stream. The peer may still send. */
  end(): void
  /** Drops the pipe at once, whatever is queued. */
  destroy(): void
  /** To be asked ten times a second. True: the peer keeps the pipe itself at work, and is to be dropped. */
  isMisused?(isLoggedIn: boolean): boolean
  /**
   * Whether the peer has reset the pipe while nothing of it is read: a system call, so to be asked seldom. On a Unix
   * socket also one that was closed is; of what came before, nothing is lost.
   */
  isReset?(): boolean
}

/** Memory that must not change until the kernel has what is in it. */
export interface LateMemory {
  isLate: boolean
  release(): void
}

/** Where the next read is to go. */
export interface NextRead {
  /**
   * Where the next bytes are to come, as many as fit, instead of memory of the transport's own; undefined: nowhere
   * else. It holds for one read, unless `Transport.leaveRoom` is called before, and is what `receive` is given then.
   */
  nextRoom(): Uint8Array | undefined
}

/** Who reads a transport: a connection. */
export interface Receiver {
  /** To be asked after each read by a transport that has `leaveRoom`. */
  readonly intake: NextRead
  /**
   * Takes bytes; `bytes` belongs to the transport again when this returns. Returns false to be left
   * alone until `resume`.
   */
  receive(bytes: Uint8Array, length: number): boolean
  /** The peer is there, and says what is not for the receiver: a handshake. */
  heard(): void
  /** The peer sends no more. */
  receiveEnd(): void
  /** All that was written is sent. */
  onDrained(): void
  /** The pipe is gone; nothing is called after this. */
  finish(): void
}
