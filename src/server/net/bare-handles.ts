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
/** Of connections that may have ended, so many are looked at in a turn of the event loop. */
const DOUBTED_PER_TURN = 4
const NUMBERS = ['bytesRead', 'writeQueueSize'] as const

export class BareHandles implements HandleParts {
  readonly readBuffer: Buffer
  readonly writer: HandleWriter
  readonly shutdownRequest: new () => ShutdownRequest
  private readonly onWithout: () => void
  /** Undefined until the first handle was looked at. */
  private areWhole: boolean | undefined = undefined
  private doubted: HandleTransport[] = []

  private constructor(
    readBuffer: Buffer,
    writer: HandleWriter,
    shutdownRequest: new () => ShutdownRequest,
    onWithout: () => void,
  ) {
    this.readBuffer = readBuffer
    this.writer = writer
    this.shutdownRequest = shutdownRequest
    this.onWithout = onWithout
  }

  /** Undefined where streams cannot be ended so. `onWithout` is called once, when handles are not as expected. */
  static of(
    readBuffer: Buffer,
    writer: HandleWriter,
    onWithout: () => void,
  ): BareHandles | undefined {
    const request = learnShutdownRequest()
    if (request !== undefined) return new BareHandles(readBuffer, writer, request, onWithout)
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

  doubt(transport: HandleTransport): void {
    if (this.doubted.length === 0) setImmediate(() => this.lookAgain())
    this.doubted.push(transport)
  }

  private lookAgain(): void {
    const looked = this.doubted.splice(0, DOUBTED_PER_TURN)
    if (this.doubted.length > 0) setImmediate(() => this.lookAgain())
    for (const transport of looked) transport.lookAgain()
  }
}

function isWhole(handle: Readonly<Record<string, unknown>>): boolean {
  return (
    CALLS.every((name) => typeof handle[name] === 'function') &&
    NUMBERS.every((name) => typeof handle[name] === 'number')
  )
}
