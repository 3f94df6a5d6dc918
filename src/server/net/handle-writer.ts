/**
 * Hot path. Writes to a socket past stream.Writable, through the handle that Node keeps under it.
 * This is the one file that knows how; whoever uses it must work without it, too.
 *
 * How a handle's `writeBuffer` is called is not documented, and there are two ways:
 *
 * - Up to Node 26.9 it takes a request object and bytes and returns a status. The object is only used
 *   when the kernel does not take all bytes at once: then it gets an async id and its `oncomplete` is
 *   called in the end. So one object serves all writes until one of them is kept waiting. Its
 *   constructor is not exported by Node.
 * - From 26.10 on it takes null and bytes. It returns a status, or a request object where the kernel
 *   did not take all: its `oncomplete` is called in the end, unless `writeStatus` has the end already.
 *
 * Which of them it is, and the constructor, is learned from the first ordinary write of the worker
 * (test/bench/socket-layer.mjs has the figures). Until then, and where another release of Node does
 * it in a third way, `isReady` stays false and every write is an ordinary one.
 *
 * Invariant: a request object that the handle has in use is never handed to it again.
 */
import type { LateMemory } from '../../connection/transport.ts'

/** A connected socket's handle, as far as it is used here. */
export interface WritableHandle {
  /** Bytes that wait for the kernel to take them. */
  readonly writeQueueSize?: number
  writeBuffer?(request: WriteRequest | null, bytes: Uint8Array): number | WriteRequest
  writev?(
    request: WriteRequest | null,
    chunks: Uint8Array[],
    areBuffers: true,
  ): number | WriteRequest
}

export interface WriteRequest {
  oncomplete?: ((status: number) => void) | null
  /** The handle keeps the request, and the request the memory, until the kernel has the bytes. */
  buffer?: Uint8Array | Uint8Array[] | null
  /** From 26.10 on: the end of a write that came before the request was returned. */
  writeStatus?: number | null
  getAsyncId(): number
}

/** What a request object that no write has used yet says. */
const NO_ASYNC_ID = -1

/** For a write whose end cannot be known; no errno of Linux. */
const UNKNOWN_STATUS = -4095

const NO_BYTES = new Uint8Array(0)

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

/** A write of no bytes is never late. */
const UNHEARD: LateWrite = { onWriteWaits: () => undefined, onWritten: () => undefined }

export class HandleWriter {
  /** True once writes can go to handles directly. */
  isReady = false
  /** Requests come from the handle, instead of being given to it. */
  private returnsRequests = false
  private requestClass: new () => WriteRequest = NoRequest
  private request: WriteRequest = new NoRequest()
  private hasGivenUp = false
  private readonly onUnsupported: () => void

  /** `onUnsupported` is called once, when it is certain that every write will be an ordinary one. */
  constructor(onUnsupported: () => void = () => undefined) {
    this.onUnsupported = onUnsupported
  }

  /**
   * Lets the next ordinary write through `handle` tell how writes are made; false where there is
   * nothing to learn. `endLearning` is to be called after that write.
   */
  learnFrom(handle: WritableHandle): boolean {
    if (this.hasGivenUp) return false
    const ordinary = handle.writeBuffer
    if (typeof ordinary !== 'function' || typeof handle.writeQueueSize !== 'number') {
      this.giveUp()
      return false
    }
    handle.writeBuffer = (request, bytes) => {
      delete handle.writeBuffer
      const result = ordinary.call(handle, request, bytes)
      if (!this.isReady) this.learn(request, result)
      return result
    }
    return true
  }

  /** After the first ordinary write through `handle`: one that went another way teaches nothing. */
  endLearning(handle: WritableHandle): void {
    if (!Object.hasOwn(handle, 'writeBuffer')) return
    delete handle.writeBuffer
    if (!this.isReady) this.giveUp()
  }

  /**
   * Writes, if ready. Returns the status, 0 or an error's number. `onLate` is called when bytes
   * that the kernel did not take at once are written or have failed; their memory must not change
   * while `handle.writeQueueSize` is above 0.
   */
  write(handle: WritableHandle, bytes: Uint8Array, onLate: LateWrite): number {
    if (this.returnsRequests) {
      const result = handle.writeBuffer!(null, bytes)
      return typeof result === 'number'
        ? result
        : this.takeReturned(result, bytes, onLate, undefined)
    }
    const request = this.request
    const status = handle.writeBuffer!(request, bytes)
    if (request.getAsyncId() !== NO_ASYNC_ID) {
      this.request = new this.requestClass()
      this.keep(request, bytes, onLate, undefined)
    }
    return typeof status === 'number' ? status : this.failUnknown()
  }

  /**
   * Begins a write whose end comes in a later phase of the loop, and returns it: for a TLS handle, which has
   * taken the bytes in when this returns. Its end is not told, which would be a call for each write, unless
   * `tellEnd` asks for it; until then `isUnderWay` knows. A number is the status of one that has ended already.
   */
  begin(handle: WritableHandle, bytes: Uint8Array): WriteRequest | number {
    const given = this.returnsRequests ? null : new this.requestClass()
    const result = handle.writeBuffer!(given, bytes)
    if (typeof result === 'number') {
      if (result !== 0 || given === null) return result
      // One that has ended before it was asked for its end has failed: Node does not say why.
      return this.isUnderWay(given) ? given : UNKNOWN_STATUS
    }
    if (given !== null || !isRequest(result)) return this.failUnknown()
    return result.writeStatus ?? result
  }

  isUnderWay(request: WriteRequest): boolean {
    return request.getAsyncId() !== NO_ASYNC_ID
  }

  /** Of a write that is under way. */
  tellEnd(request: WriteRequest, onLate: LateWrite): void {
    request.oncomplete = (status) => onLate.onWritten(status)
  }

  /**
   * The same for bytes that lie in several places, for handles that have `writev`. Once it is late,
   * `memory` is released when the write has ended, however it did.
   */
  writeParts(
    handle: WritableHandle,
    chunks: Uint8Array[],
    memory: LateMemory,
    onLate: LateWrite,
  ): number {
    const request = this.returnsRequests ? null : this.request
    const result = handle.writev!(request, chunks, true)
    const isNumber = typeof result === 'number'
    // Where nobody can tell when it ends, the memory is never anybody else's again.
    if (!isNumber && (request !== null || !isRequest(result))) memory.isLate = true
    if (request === null) {
      return isNumber ? result : this.takeReturned(result, chunks, onLate, memory)
    }
    if (request.getAsyncId() !== NO_ASYNC_ID) {
      this.request = new this.requestClass()
      this.keep(request, chunks, onLate, memory)
    }
    return isNumber ? result : this.failUnknown()
  }

  /**
   * Whether a connection of which nothing is read was reset: the kernel then refuses a write of no bytes, too, which
   * otherwise does nothing. False where that cannot be told, or where a write waits, whose end tells it.
   */
  isReset(handle: WritableHandle): boolean {
    if (!this.isReady || handle.writeQueueSize !== 0) return false
    return this.write(handle, NO_BYTES, UNHEARD) !== 0
  }

  /** For a request that the handle returned. */
  private takeReturned(
    request: WriteRequest,
    bytes: Uint8Array | Uint8Array[],
    onLate: LateWrite,
    memory: LateMemory | undefined,
  ): number {
    if (!isRequest(request)) return this.failUnknown()
    const { writeStatus } = request
    if (typeof writeStatus === 'number') {
      request.buffer = bytes
      request.writeStatus = null
      return writeStatus
    }
    this.keep(request, bytes, onLate, memory)
    return 0
  }

  /** For a request that the handle has in use, until its end. */
  private keep(
    request: WriteRequest,
    bytes: Uint8Array | Uint8Array[],
    onLate: LateWrite,
    memory: LateMemory | undefined,
  ): void {
    request.buffer = bytes
    if (memory === undefined) {
      request.oncomplete = (lateStatus) => onLate.onWritten(lateStatus)
    } else {
      memory.isLate = true
      request.oncomplete = (lateStatus) => {
        memory.release()
        onLate.onWritten(lateStatus)
      }
    }
    onLate.onWriteWaits()
  }

  /** The handle did what it did not do while we learned: connections that write to theirs are lost. */
  private failUnknown(): number {
    this.isReady = false
    this.giveUp()
    return UNKNOWN_STATUS
  }

  private learn(request: WriteRequest | null, result: number | WriteRequest): void {
    if (request === null) {
      this.returnsRequests = typeof result === 'number' || isRequest(result)
      this.isReady = this.returnsRequests
    } else if (typeof result === 'number') this.adopt(request.constructor as new () => WriteRequest)
    if (!this.isReady) this.giveUp()
  }

  private adopt(requestClass: new () => WriteRequest): void {
    const request = new requestClass()
    if (typeof request.getAsyncId !== 'function' || request.getAsyncId() !== NO_ASYNC_ID) return
    this.requestClass = requestClass
    this.request = request
    this.isReady = true
  }

  private giveUp(): void {
    if (this.hasGivenUp) return
    this.hasGivenUp = true
    this.onUnsupported()
  }
}

function isRequest(result: unknown): boolean {
  return typeof result === 'object' && result !== null && 'oncomplete' in result
}
