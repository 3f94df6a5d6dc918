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
import { learnShutdownRequest } from './node-internals.ts'

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
  private readonly onWithout: () => void
  private readonly soon: (run: () => void) => void
  /** Undefined until the first handle was looked at. */
  private areWhole: boolean | undefined = undefined

  private constructor(
    readBuffer: Buffer,
    writer: HandleWriter,
    shutdownRequest: new () => ShutdownRequest,
    onWithout: () => void,
    soon: (run: () => void) => void,
  ) {
    this.readBuffer = readBuffer
    this.writer = writer
    this.shutdownRequest = shutdownRequest
    this.onWithout = onWithout
    this.soon = soon
  }

  /**
   * Undefined where streams cannot be ended so. `onWithout` is called once, when handles are not as expected.
   * `soon` calls back in a later turn of the event loop, when the end of a connection may have one.
   */
  static of(
    readBuffer: Buffer,
    writer: HandleWriter,
    onWithout: () => void,
    soon: (run: () => void) => void,
  ): BareHandles | undefined {
    const request = learnShutdownRequest()
    if (request !== undefined) return new BareHandles(readBuffer, writer, request, onWithout, soon)
    onWithout()
    return undefined
  }

  takes(handle: AcceptedHandle): handle is BareHandle {
    if (!this.writer.isReady || this.areWhole === false) return false
    if (this.areWhole === undefined) {
      this.areWhole = isWhole(handle as unknown as Readonly<Record<string, unknown>>)
      if (!this.areWhole) this.onWithout()
    }
    return this.areWhole
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
