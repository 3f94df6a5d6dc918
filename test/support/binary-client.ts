/**
 * A client of the binary dialect for raw tests: it sends exactly the bytes that a test says, splits
 * them where it says, and hands out the replies one by one. It repairs nothing: no reconnects, no
 * retries, no checks of opaque or order, so that a test sees what came over the wire.
 *
 * Every wait has a deadline and says what it waited for. Frames are made and read by
 * binary-frames.ts, apart from src/.
 */
import { connect as connectSocket, type Socket } from 'node:net'
import {
  type FrameFields,
  parseResponses,
  type ResponseFrame,
  requestFrame,
} from './binary-frames.ts'

const DEADLINE_MS = 60_000

const OP_SASL_LIST_MECHS = 0x20
const OP_SASL_AUTH = 0x21
const OP_SASL_STEP = 0x22
const STATUS_OK = 0x00

export interface Target {
  readonly host: string
  readonly port: number
}

export class BinaryClient {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  readonly #frames: ResponseFrame[] = []
  #isClosed = false
  #error: Error | undefined = undefined
  /** Called whenever something changed: bytes came, the connection closed. */
  readonly #waiters = new Set<() => void>()

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk) => {
      const { frames, rest } = parseResponses(Buffer.concat([this.#received, chunk]))
      this.#received = rest
      this.#frames.push(...frames)
      this.#wake()
    })
    socket.on('error', (error) => {
      this.#error = error
    })
    socket.on('close', () => {
      this.#isClosed = true
      this.#wake()
    })
  }

  static async connect(target: Target): Promise<BinaryClient> {
    const socket = connectSocket({ host: target.host, port: target.port })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new BinaryClient(socket)
  }

  /** True once the server has closed the connection and all its bytes have arrived. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Bytes that arrived but are not a whole frame. */
  get unframed(): Buffer {
    return this.#received
  }

  /** Replies that arrived and were not received yet. */
  get pendingCount(): number {
    return this.#frames.length
  }

  get socket(): Socket {
    return this.#socket
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  /** Sends in pieces of `pieceBytes`, each handed to the system before the next. */
  async sendInPieces(bytes: Uint8Array, pieceBytes: number): Promise<void> {
    for (let offset = 0; offset < bytes.length; offset += pieceBytes) {
      const piece = bytes.subarray(offset, offset + pieceBytes)
      await new Promise<void>((resolve, reject) => {
        this.#socket.write(piece, (error) => (error == null ? resolve() : reject(error)))
      })
      // A turn of the event loop, so that neighbours do not leave in one segment.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async receive(deadlineMs: number = DEADLINE_MS): Promise<ResponseFrame> {
    await this.#until(
      () => this.#frames.length > 0 || this.#isClosed,
      deadlineMs,
      () => `no reply within ${deadlineMs} ms`,
    )
    const frame = this.#frames.shift()
    if (frame === undefined) throw this.#closedError('a reply')
    return frame
  }

  async receiveMany(count: number, deadlineMs: number = DEADLINE_MS): Promise<ResponseFrame[]> {
    const frames: ResponseFrame[] = []
    while (frames.length < count) frames.push(await this.receive(deadlineMs))
    return frames
  }

  async request(fields: FrameFields): Promise<ResponseFrame> {
    this.send(requestFrame(fields))
    return await this.receive()
  }

  /** Resolves when the server has closed the connection, with the replies not received yet. */
  async closed(deadlineMs: number = DEADLINE_MS): Promise<readonly ResponseFrame[]> {
    await this.#until(
      () => this.#isClosed,
      deadlineMs,
      () => `the server did not close the connection within ${deadlineMs} ms`,
    )
    return this.#frames.splice(0)
  }

  async listMechanisms(): Promise<string[]> {
    const listed = await this.request({ opcode: OP_SASL_LIST_MECHS })
    return listed.value.toString('latin1').split(' ')
  }

  async startSasl(mechanism: string, initialResponse: string | Uint8Array): Promise<ResponseFrame> {
    return await this.request({ opcode: OP_SASL_AUTH, key: mechanism, value: initialResponse })
  }

  async stepSasl(mechanism: string, response: string | Uint8Array): Promise<ResponseFrame> {
    return await this.request({ opcode: OP_SASL_STEP, key: mechanism, value: response })
  }

  /** One PLAIN attempt; the reply's status says how it went. */
  async attemptPlain(user: string, password: string, authzid = ''): Promise<ResponseFrame> {
    return await this.startSasl('PLAIN', `${authzid}\0${user}\0${password}`)
  }

  async loginPlain(user: string, password: string): Promise<void> {
    const { status, value } = await this.attemptPlain(user, password)
    if (status !== STATUS_OK) {
      throw new Error(`login refused with status 0x${status.toString(16)} ${value.toString()}`)
    }
  }

  /** Says that nothing more will be sent; replies still arrive. */
  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter()
  }

  async #until(isTrue: () => boolean, deadlineMs: number, explain: () => string): Promise<void> {
    if (isTrue()) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(look)
        const unframed = this.#received.length
        reject(new Error(`${explain()}; ${unframed} bytes of an incomplete frame arrived`))
      }, deadlineMs)
      const look = (): void => {
        if (!isTrue()) return
        clearTimeout(timer)
        this.#waiters.delete(look)
        resolve()
      }
      this.#waiters.add(look)
    })
  }

  #closedError(waitedFor: string): Error {
    const message = `the connection closed before ${waitedFor} came`
    return this.#error === undefined
      ? new Error(message)
      : new Error(message, { cause: this.#error })
  }
}
