/**
 * Hot path. Writes to a socket past stream.Writable, through the handle that Node keeps under it.
 * This is the one file that knows how; whoever uses it must work without it, too.
 *
 * The handle's `writeBuffer` takes bytes and a request object. The object is only used when the
 * kernel does not take all bytes at once: then it gets an async id and its `oncomplete` is called in
 * the end. So one object serves all writes until one of them is kept waiting
 * (test/bench/socket-layer.mjs has the figures). Its constructor is not exported by Node; it is
 * learned from the first ordinary write of the worker. Until then, and where another release of Node
 * does it differently, `isReady` stays false and every write is an ordinary one.
 *
 * Invariant: a request object that the handle has in use is never handed to it again.
 */

/** A connected socket's handle, as far as it is used here. */
export interface WritableHandle {
  /** Bytes that wait for the kernel to take them. */
  readonly writeQueueSize?: number
  writeBuffer?(request: WriteRequest, bytes: Uint8Array): number
}

interface WriteRequest {
  oncomplete?: (status: number) => void
  /** The handle keeps the request, and the request the memory, until the kernel has the bytes. */
  buffer?: Uint8Array
  getAsyncId(): number
}

/** What a request object that no write has used yet says. */
const NO_ASYNC_ID = -1

class NoRequest implements WriteRequest {
  getAsyncId(): number {
    return NO_ASYNC_ID
  }
}

/** Gets to know of writes that the kernel did not take at once. */
export interface LateWrite {
  onWriteWaits(): void
  onWritten(status: number): void
}

export class HandleWriter {
  /** True once writes can go to handles directly. */
  isReady = false
  private requestClass: new () => WriteRequest = NoRequest
  private request: WriteRequest = new NoRequest()

  /** Lets the next ordinary write through `handle` tell the class of its request. */
  learnFrom(handle: WritableHandle): void {
    const ordinary = handle.writeBuffer
    if (typeof ordinary !== 'function' || typeof handle.writeQueueSize !== 'number') return
    handle.writeBuffer = (request, bytes) => {
      delete handle.writeBuffer
      this.adopt(request.constructor as new () => WriteRequest)
      return ordinary.call(handle, request, bytes)
    }
  }

  /**
   * Writes, if ready. Returns the status, 0 or an error's number. `onLate` is called when bytes
   * that the kernel did not take at once are written or have failed; their memory must not change
   * while `handle.writeQueueSize` is above 0.
   */
  write(handle: WritableHandle, bytes: Uint8Array, onLate: LateWrite): number {
    const request = this.request
    const status = handle.writeBuffer!(request, bytes)
    if (request.getAsyncId() !== NO_ASYNC_ID) {
      request.buffer = bytes
      request.oncomplete = (lateStatus) => onLate.onWritten(lateStatus)
      onLate.onWriteWaits()
      this.request = new this.requestClass()
    }
    return status
  }

  private adopt(requestClass: new () => WriteRequest): void {
    const request = new requestClass()
    if (typeof request.getAsyncId !== 'function' || request.getAsyncId() !== NO_ASYNC_ID) return
    this.requestClass = requestClass
    this.request = request
    this.isReady = true
  }
}
