/**
 * Hot path. A Transport right on the handle of a TCP or Unix socket, without a net.Socket. A connection then costs so
 * little to make that thousands a second, of strangers who come and go, do not keep the garbage collector busy while
 * clients wait (test/bench/README.md has the figures).
 *
 * All sockets of a worker read into one shared buffer, which is free again when `Receiver.receive` returns. Replies are
 * written to the handle by handle-writer.ts. Until that has learned how, from a first ordinary write, and where Node's
 * handles are not as expected (bare-handles.ts), connections have a socket-transport.ts instead.
 *
 * A handle calls `onread` without an argument. How much it read is told by the difference of `bytesRead`; why it read
 * nothing, by what `readStart` returns in a later turn of the event loop:
 *
 *     0           it does not read any more, and can: the peer has sent its end
 *     EALREADY    it still reads
 *     any other   the connection is broken
 *
 * What `onread` returns is the memory for the next read, as with the documented option `onread.buffer` of a socket where
 * that is a function. So the kernel reads a large value right to where it is stored: the receiver names the room after
 * each read, and the read itself is made while nothing else of the worker runs. At any other time the memory is
 * changed by `useUserBuffer`, which allocates in Node each time, and is done once a connection at most.
 *
 * Handles are closed a few a turn (bare-handles.ts), so that a thousand strangers who leave at once keep nobody waiting.
 *
 * Invariant: the handle is closed once. `finish` is called then, and nothing after it.
 */
import type { Channel } from '../../base/channel.ts'
import type { Peer } from '../../base/peer.ts'
import type { Pipe } from '../../base/pipe.ts'
import type { LateMemory, NextRead, Receiver, Transport } from '../../connection/transport.ts'
import type { AcceptedHandle } from './accepted-handle.ts'
import type { HandleWriter, LateWrite } from './handle-writer.ts'
import { ROW_BYTES_MAX } from './read-row.ts'

/** What reading a handle returns that is read already: -114 on every Linux. */
export const EALREADY = -114
/** What `shutdown` returns where there is nothing left to shut down: it has, or the peer is gone. */
export const SHUT_DOWN = 1
export const ENOTCONN = -107

const TRANSPORT: unique symbol = Symbol('transport')

/** An accepted handle, as far as it is used here. */
export interface BareHandle extends AcceptedHandle {
  /** Called with the handle as `this` for every read, and for the end. */
  onread: ((this: BareHandle) => Uint8Array | undefined) | undefined
  /** In all; the read that `onread` tells of is counted already. */
  readonly bytesRead: number
  [TRANSPORT]?: HandleTransport
  useUserBuffer(buffer: Uint8Array): void
  readStart(): number
  readStop(): number
  /** Returns a status; if that is 0, `oncomplete` follows. */
  shutdown(request: ShutdownRequest): number
  close(onClosed?: (this: BareHandle) => void): void
}

export interface ShutdownRequest {
  oncomplete?: (this: ShutdownRequest, status: number) => void
  handle?: BareHandle
}

/** What the transports of a worker share. */
export interface HandleParts {
  readonly readBuffer: Buffer
  /** Whether what `onread` returns is heeded. To be asked in an `onread` that was told of bytes. */
  readonly takesNextBuffer: boolean
  readonly writer: HandleWriter
  readonly shutdownRequest: new () => ShutdownRequest
  /** Has the transport `lookAgain` in one of the loop's next turns. */
  doubt(transport: HandleTransport): void
}

export class HandleTransport implements Transport, LateWrite {
  readonly peer: Peer
  readonly channel: Channel
  private readonly handle: BareHandle
  private readonly parts: HandleParts
  private receiver: Receiver | undefined = undefined
  /** Where the next read goes: the read buffer, or a room of the receiver's. */
  private target: Uint8Array
  /** What `onread` returns in the middle of that would reach a reader in Node that has been replaced: no room is named again. */
  private hasLeftRoom = false
  /** Of `bytesRead`, what the receiver has had. */
  private readBytes = 0
  /** Of it, in a row (read-row.ts): a number, not an object more of each connection. */
  private rowBytes = 0
  /** Writes that the kernel did not take at once and that have not ended yet. */
  private waitingWrites = 0
  private isReading = false
  private hasPeerEnded = false
  private isEnding = false
  private hasEnded = false
  private isClosed = false

  constructor(handle: BareHandle, { peer, channel }: Pipe, parts: HandleParts) {
    this.handle = handle
    this.peer = peer
    this.channel = channel
    this.parts = parts
    this.target = parts.readBuffer
  }

  attach(receiver: Receiver): void {
    const { handle } = this
    this.receiver = receiver
    handle[TRANSPORT] = this
    handle.onread = onRead
    handle.useUserBuffer(this.parts.readBuffer)
    this.resume()
  }

  /** For a connection that is not served: closes behind what was written. */
  refuse(): void {
    this.destroy()
  }

  get unsentBytes(): number {
    return this.waitingWrites > 0 ? (this.handle.writeQueueSize ?? 0) : 0
  }

  write(bytes: Uint8Array): number {
    // A handle that is closed takes nothing.
    if (this.isClosed) return 0
    if (this.parts.writer.write(this.handle, bytes, this) !== 0) this.destroy()
    return this.unsentBytes
  }

  writeParts(chunks: Uint8Array[], memory: LateMemory): number {
    if (this.isClosed) return 0
    if (this.parts.writer.writeParts(this.handle, chunks, memory, this) !== 0) this.destroy()
    return this.unsentBytes
  }

  resume(): void {
    if (this.isClosed || this.hasPeerEnded) return
    this.isReading = true
    const status = this.handle.readStart()
    if (status !== 0 && status !== EALREADY) this.destroy()
  }

  leaveRoom(): void {
    const { handle, parts, target } = this
    if (this.isClosed || target === parts.readBuffer) return
    this.hasLeftRoom = true
    this.target = parts.readBuffer
    handle.useUserBuffer(parts.readBuffer)
  }

  end(): void {
    if (this.isEnding || this.isClosed) return
    this.isEnding = true
    const { handle, parts } = this
    const request = new parts.shutdownRequest()
    request.oncomplete = onShutdown
    request.handle = handle
    handle[TRANSPORT] = this
    const status = handle.shutdown(request)
    if (status === SHUT_DOWN || status === ENOTCONN) this.ended()
    else if (status !== 0) this.destroy()
  }

  destroy(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.handle[TRANSPORT] = this
    this.handle.close(onClosed)
  }

  isReset(): boolean {
    // After our end there is nothing to write to.
    if (this.isClosed || this.isEnding || (this.isReading && !this.hasPeerEnded)) return false
    return this.parts.writer.isReset(this.handle)
  }

  onWriteWaits(): void {
    this.waitingWrites++
  }

  onWritten(status: number): void {
    this.waitingWrites--
    if (status !== 0) this.destroy()
    else if (this.waitingWrites === 0 && !this.isClosed) this.receiver?.onDrained()
  }

  /** There may be bytes where they were to come. Returns where the next are to, if that is elsewhere. */
  onRead(): Uint8Array | undefined {
    const { handle, parts, receiver, target } = this
    const { bytesRead } = handle
    const length = bytesRead - this.readBytes
    this.readBytes = bytesRead
    if (this.isClosed || receiver === undefined) return undefined
    if (length === 0) {
      parts.doubt(this)
      return undefined
    }
    let goesOn = receiver.receive(target, length)
    if (this.isClosed) return undefined
    // Only a read that fills its memory is followed by another at once.
    if (length < target.length) this.rowBytes = 0
    else if (goesOn) goesOn = this.staysInRow(length)
    if (!goesOn) {
      this.isReading = false
      handle.readStop()
    }
    return this.turnTo(receiver.intake)
  }

  private staysInRow(length: number): boolean {
    this.rowBytes += length
    if (this.rowBytes < ROW_BYTES_MAX) return true
    this.rowBytes = 0
    setImmediate(readOn, this)
    return false
  }

  /** Returns what the next read needs, if it is not what this one did. */
  private turnTo(next: NextRead): Uint8Array | undefined {
    if (this.hasLeftRoom) return undefined
    const { parts } = this
    const target = next.nextRoom() ?? parts.readBuffer
    if (target === this.target || !parts.takesNextBuffer) return undefined
    this.target = target
    return target
  }

  /** In a later turn than the one in which nothing was read. False: it is known already. */
  lookAgain(): boolean {
    if (!this.isReading || this.isClosed || this.hasPeerEnded) return false
    const status = this.handle.readStart()
    if (status === EALREADY) return true
    if (status !== 0) {
      this.destroy()
      return true
    }
    this.handle.readStop()
    this.hasPeerEnded = true
    this.receiver?.receiveEnd()
    if (this.hasEnded) this.destroy()
    return true
  }

  /** Our end of the stream is with the kernel. */
  ended(): void {
    this.hasEnded = true
    if (this.hasPeerEnded) this.destroy()
  }

  closed(): void {
    this.receiver?.finish()
  }
}

function onRead(this: BareHandle): Uint8Array | undefined {
  return this[TRANSPORT]?.onRead()
}

function readOn(transport: HandleTransport): void {
  transport.resume()
}

function onClosed(this: BareHandle): void {
  this[TRANSPORT]?.closed()
}

function onShutdown(this: ShutdownRequest, status: number): void {
  const transport = this.handle?.[TRANSPORT]
  if (status === 0) transport?.ended()
  else transport?.destroy()
}
