/**
 * The bytes that come from a server, read as lines and as blocks of a known length, each within a bound
 * and a deadline: the server may be anybody's.
 *
 * Invariant: `#bytes` from `#offset` on has been received and not taken. More is read from the socket
 * only while somebody waits for it, so a server that sends without being asked is not held in memory
 * beyond the socket's own buffer. Once something failed, everything fails in the same way.
 */
import type { Duplex } from 'node:stream'
import { ClientError } from './client-error.ts'

/** A statistic, a line of a dump, a list of mechanisms; what is longer is none. */
export const ANSWER_LINE_BYTES_MAX: number = 16 * 1024
/**
 * Of a value, which is held whole, and for a moment twice. Servers can be told to hold larger ones, but who
 * answers may be anybody.
 */
export const VALUE_BYTES_MAX: number = 128 * 1024 * 1024
/** A value has more time the longer it is: as if it came at this speed. */
const BYTES_PER_SECOND_MIN = 64 * 1024

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const EMPTY = Buffer.alloc(0)

/** The first byte of a TLS alert: the server was spoken to in the clear, and is not used to that. */
const TLS_ALERT = 0x15

export class Wire {
  readonly timeoutMs: number
  readonly #socket: Duplex
  #bytes: Buffer = EMPTY
  #offset = 0
  #failure: ClientError | undefined
  #hasEnded = false
  #hasReceived = false
  #isCorked = false
  #wake: () => void = () => undefined

  constructor(socket: Duplex, timeoutMs: number) {
    this.#socket = socket
    this.timeoutMs = timeoutMs
    socket.on('readable', () => this.#wake())
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#hasEnded = true
        this.#wake()
      })
    }
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#failure ??= lost(error)
      this.#wake()
    })
  }

  /** Whether the server closed the connection without having said anything. */
  get wasClosedUnheard(): boolean {
    return this.#hasEnded && !this.#hasReceived
  }

  /** What is written in one turn leaves in one piece. A string has a byte in each character. */
  write(bytes: Uint8Array | string): void {
    if (this.#socket.destroyed) return
    if (!this.#isCorked) {
      this.#isCorked = true
      this.#socket.cork()
      process.nextTick(() => {
        this.#isCorked = false
        this.#socket.uncork()
      })
    }
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  close(): void {
    this.#socket.destroy()
  }

  /** The deadline of an exchange that begins now and carries that many bytes of a value. */
  deadline(valueBytes = 0): number {
    return performance.now() + this.timeoutMs + (valueBytes / BYTES_PER_SECOND_MIN) * 1000
  }

  /** The connection is of no further use; `error` for whoever still waits. */
  fail(error: ClientError): ClientError {
    this.#failure ??= error
    this.#socket.destroy()
    return this.#failure
  }

  nonsense(what: string): ClientError {
    return this.fail(new ClientError('protocol', `the server's answer makes no sense: ${what}`))
  }

  /** A line without its end, in Latin-1: each character is a byte. */
  async line(deadlineMs: number): Promise<string> {
    let searchedBytes = 0
    for (;;) {
      const end = this.#bytes.indexOf(LINE_FEED, this.#offset + searchedBytes)
      if (end !== -1 && end - this.#offset <= ANSWER_LINE_BYTES_MAX) {
        const hasReturn = end > this.#offset && this.#bytes[end - 1] === CARRIAGE_RETURN
        const text = this.#bytes.toString('latin1', this.#offset, hasReturn ? end - 1 : end)
        this.#offset = end + 1
        return text
      }
      searchedBytes = this.#bytes.length - this.#offset
      if (end !== -1 || searchedBytes > ANSWER_LINE_BYTES_MAX) {
        throw this.nonsense(`a line is longer than ${ANSWER_LINE_BYTES_MAX} bytes`)
      }
      this.#keep(await this.#more(deadlineMs))
    }
  }

  /** Exactly `count` bytes, which the caller has held against a bound. */
  async take(count: number, deadlineMs: number): Promise<Buffer> {
    const held = this.#bytes.length - this.#offset
    if (held >= count) {
      const taken = this.#bytes.subarray(this.#offset, this.#offset + count)
      this.#offset += count
      return taken
    }
    const pieces = [this.#bytes.subarray(this.#offset)]
    this.#bytes = EMPTY
    this.#offset = 0
    let received = held
    // Memory grows with what has come, not with what was announced.
    while (received < count) {
      const piece = await this.#more(deadlineMs)
      received += piece.length
      pieces.push(piece)
    }
    const last = pieces.pop() ?? EMPTY
    const used = last.length - (received - count)
    pieces.push(last.subarray(0, used))
    this.#bytes = last.subarray(used)
    return Buffer.concat(pieces, count)
  }

  #keep(piece: Buffer): void {
    const rest = this.#bytes.subarray(this.#offset)
    this.#bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    this.#offset = 0
  }

  /** Bytes that have come, at least one. */
  async #more(deadlineMs: number): Promise<Buffer> {
    for (;;) {
      const piece = this.#socket.read() as Buffer | null
      if (piece !== null) {
        if (!this.#hasReceived && piece[0] === TLS_ALERT) {
          throw this.fail(new ClientError('unreachable', 'the server speaks TLS there: give --tls'))
        }
        this.#hasReceived = true
        return piece
      }
      if (this.#failure !== undefined) throw this.#failure
      if (this.#hasEnded) {
        const message = this.#hasReceived
          ? 'the server closed the connection before its answer was whole'
          : 'the server closed the connection without an answer'
        throw this.fail(new ClientError('unreachable', message))
      }
      await this.#wait(deadlineMs)
    }
  }

  async #wait(deadlineMs: number): Promise<void> {
    const waitMs = deadlineMs - performance.now()
    if (waitMs <= 0) {
      throw this.fail(
        new ClientError(
          'timeout',
          `the server did not answer within ${this.timeoutMs / 1000} s; --timeout gives it longer`,
        ),
      )
    }
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      // A watcher waits for ever; timers cannot.
      if (waitMs < TIMER_MS_MAX) timer = setTimeout(resolve, Math.ceil(waitMs))
    })
    clearTimeout(timer)
    this.#wake = () => undefined
  }
}

const TIMER_MS_MAX = 2 ** 31 - 1

/** What the system says of a connection that was there. */
function lost(error: NodeJS.ErrnoException): ClientError {
  const { code = '' } = error
  if (/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/.test(code)) {
    const message = 'the server asks for a certificate of the client: give --tls-cert and --tls-key'
    return new ClientError('login', message, { cause: error })
  }
  if (/ALERT/.test(code)) {
    const message = `the server refused the TLS connection (${code}): look at --tls-cert and --tls-ca`
    return new ClientError('identity', message, { cause: error })
  }
  const message = `the connection was lost (${code === '' ? error.message : code})`
  return new ClientError('unreachable', message, { cause: error })
}
