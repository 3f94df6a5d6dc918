/**
 * Whether the connections of a worker are served right from their handles (handle-transport.ts), and what
 * that takes: handles that have everything which is used of them, a writer that has learned how they are
 * written to, and the class of the request by which a stream is ended, which Node does not export.
 *
 * Invariant: nothing is relied on before it was looked at, on the first handle that comes.
 */
import type { AcceptedHandle } from './accepted-handle.ts'
import type {
  BareHandle,
  HandleParts,
  HandleTransport,
  ShutdownRequest,
} from './handle-transport.ts'
import type { HandleWriter } from './handle-writer.ts'
import { type Internal, learnShutdownRequest, onreadNamesBuffer } from './node-internals.ts'

type BareInternal = Extract<Internal, 'read' | 'room'>

const CALLS = [
  'useUserBuffer',
  'readStart',
  'readStop',
  'shutdown',
  'writeBuffer',
  'writev',
] as const
const NUMBERS = ['bytesRead', 'writeQueueSize'] as const

export class BareHandles implements HandleParts {
  readonly readBuffer: Buffer
  readonly writer: HandleWriter
  readonly shutdownRequest: new () => ShutdownRequest
  private readonly onWithout: (internal: BareInternal) => void
  private readonly soon: (run: () => void) => void
  /** Undefined until the first handle was looked at. */
  private areWhole: boolean | undefined = undefined
  /** Undefined until the first read was to go elsewhere than the one before. */
  private areTurned: boolean | undefined = undefined

  private constructor(
    readBuffer: Buffer,
    writer: HandleWriter,
    shutdownRequest: new () => ShutdownRequest,
    onWithout: (internal: BareInternal) => void,
    soon: (run: () => void) => void,
  ) {
    this.readBuffer = readBuffer
    this.writer = writer
    this.shutdownRequest = shutdownRequest
    this.onWithout = onWithout
    this.soon = soon
  }

  /**
   * Undefined where streams cannot be ended so. `onWithout` is called once for each thing in which handles are not as expected.
   * `soon` calls back in a later turn of the event loop, when the end of a connection may have one.
   */
  static of(
    readBuffer: Buffer,
    writer: HandleWriter,
    onWithout: (internal: BareInternal) => void,
    soon: (run: () => void) => void,
  ): BareHandles | undefined {
    const request = learnShutdownRequest()
    if (request !== undefined) return new BareHandles(readBuffer, writer, request, onWithout, soon)
    onWithout('read')
    return undefined
  }

  takes(handle: AcceptedHandle): handle is BareHandle {
    if (!this.writer.isReady || this.areWhole === false) return false
    if (this.areWhole === undefined) {
      this.areWhole = isWhole(handle as unknown as Readonly<Record<string, unknown>>)
      if (!this.areWhole) this.onWithout('read')
    }
    return this.areWhole
  }

  get takesNextBuffer(): boolean {
    if (this.areTurned === undefined) {
      this.areTurned = onreadNamesBuffer()
      if (!this.areTurned) this.onWithout('room')
    }
    return this.areTurned
  }

  /** In turns of their own: strangers end a thousand at once. */
  doubt(transport: HandleTransport): void {
    this.soon(() => transport.lookAgain())
  }
}

function isWhole(handle: Readonly<Record<string, unknown>>): boolean {
  return (
    CALLS.every((name) => typeof handle[name] === 'function') &&
    NUMBERS.every((name) => typeof handle[name] === 'number')
  )
}
