/**
 * What Node's HTTP server has in the place of a connection: the parser gets one head at a time, and none before its turn.
 * Given all that a client has sent, it makes a request of every head in it before anybody can say that it is enough: a
 * single read has room for two thousand.
 *
 *     socket --> | of a head | ... | whole head, behind it | --> letThrough() --> Node --> answer --> socket
 *
 *     COMING <--first byte-- IDLE      sends a head; or nothing, behind an answer
 *        | a head is whole    ^
 *     WAITING                 |        for its turn
 *        | letThrough()       |
 *     ANSWERED --settled()----+        or at once WAITING, where the next head is here
 *
 * Meanwhile what comes is kept as it is up to a read or two of the socket, and the rest stays with the system.
 *
 * Invariant: Node has one request of a connection at most, and a connection that has closed holds nothing of what it sent.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { HeadMeter, TOO_LONG, UNFINISHED } from './head-meter.ts'

export type IntakeState = 'coming' | 'waiting' | 'answered' | 'idle'

export interface RequestIntakeOptions {
  /** In the clear. */
  readonly socket: Socket
  readonly headBytesMax: number
  /** Requests that are there each before the answer to the one before it has been taken. */
  readonly rowMax: number
  /** What is beside them on the wire with bytes that come at once. */
  readonly overheadBytes: number
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number
  /** Has a head, and waits for letThrough(). */
  readonly onHead: () => void
  /** What Node makes of it. */
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void
}

type Done = (error?: Error | null) => void

interface Chunk {
  readonly chunk: Buffer | string
  readonly encoding: BufferEncoding
}

const NOTHING = Buffer.alloc(0)

const BAD = '400 Bad Request'
const TOO_LATE = '408 Request Timeout'
const TOO_LARGE = '431 Request Header Fields Too Large'
const LF = 0x0a
const CR = 0x0d

export class RequestIntake extends Duplex {
  private readonly options: RequestIntakeOptions
  private readonly meter: HeadMeter
  /** Those of the head first. */
  private bytes: Buffer = NOTHING
  /** So many of them have been looked at. */
  private lookedAt = 0
  /** Requests answered, of which each was there before that. */
  private rowCount = 0
  private hasEnded = false
  private isEnding = false
  private now: IntakeState = 'coming'
  private since: number
  private said = 0

  constructor(options: RequestIntakeOptions) {
    super({ decodeStrings: false })
    this.options = options
    this.meter = new HeadMeter(options.headBytesMax)
    this.since = options.nowMs()
    const { socket } = options
    socket.on('data', (chunk: Buffer) => this.hear(chunk))
    socket.once('end', () => {
      this.hasEnded = true
      this.endIfDone()
    })
    socket.on('error', () => undefined)
    socket.once('close', () => this.destroy())
  }

  get state(): IntakeState {
    return this.now
  }

  /** Of a clock that never goes back. */
  get sinceMs(): number {
    return this.since
  }

  /** What has come, with what it takes on the wire. */
  get saidBytes(): number {
    return this.said
  }

  /** The request under way is the last that is answered: what came behind it is more than anybody sends in a row. */
  get isLast(): boolean {
    return this.rowCount + 1 >= this.options.rowMax && this.bytes.length > 0
  }

  /** Hands the head that waits to Node. */
  letThrough(): void {
    if (this.now !== 'waiting') return
    const { bytes, lookedAt } = this
    // Its time goes on.
    this.now = 'answered'
    this.bytes = lookedAt < bytes.length ? bytes.subarray(lookedAt) : NOTHING
    this.lookedAt = 0
    this.push(bytes.subarray(0, lookedAt))
  }

  /** To be called by Node's server, of which this is a connection. */
  begin(request: IncomingMessage, response: ServerResponse): void {
    this.options.onRequest(request, response)
  }

  /** The answer has been taken: on with the next. */
  settled(): void {
    if (this.now !== 'answered' || this.isEnding || this.writableEnded || this.destroyed) return
    this.enter('idle')
    this.look()
    this.rowCount = this.state === 'waiting' ? this.rowCount + 1 : 0
    if (this.state === 'waiting' || this.isEnding) return
    this.endIfDone()
    this.options.socket.resume()
  }

  /** Ends it, as its head makes no sense. */
  refuse(): void {
    this.tell(BAD)
  }

  /** Ends it, as it takes too long; a client that owes a head is told so. */
  giveUp(): void {
    if (this.now === 'coming') this.tell(TOO_LATE)
    else this.options.socket.destroy()
  }

  /** The last that the client is told, which it may not read. */
  private tell(status: string): void {
    const { socket } = this.options
    this.bytes = NOTHING
    if (this.isEnding || !socket.writable) {
      socket.destroy()
      return
    }
    this.isEnding = true
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
    socket.destroySoon()
  }

  private hear(chunk: Buffer): void {
    this.said += chunk.length + this.options.overheadBytes
    if (this.isEnding) return
    this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk])
    if (this.now === 'waiting' || this.now === 'answered') this.options.socket.pause()
    else this.look()
  }

  /** Whether a head is whole. */
  private look(): void {
    if (this.bytes.length === 0) return
    if (this.now === 'idle') this.enter('coming')
    const end = this.meter.take(this.bytes, this.lookedAt)
    if (end === TOO_LONG) this.tell(TOO_LARGE)
    // Node would say so, but is not given what is not whole.
    else if (end === UNFINISHED && beginsOtherwise(this.bytes)) this.tell(BAD)
    if (end < 0) {
      this.lookedAt = this.bytes.length
      return
    }
    this.lookedAt = end
    this.enter('waiting')
    if (this.bytes.length > end) this.options.socket.pause()
    this.options.onHead()
  }

  /** Who sends no more has the answers to what it has sent. */
  private endIfDone(): void {
    if (!this.hasEnded || this.now === 'waiting' || this.now === 'answered') return
    this.options.socket.destroySoon()
  }

  private enter(state: IntakeState): void {
    this.now = state
    this.since = this.options.nowMs()
  }

  override _read(): void {
    // What is there was pushed.
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: Done): void {
    this.options.socket.write(chunk, encoding, done)
  }

  override _writev(chunks: readonly Chunk[], done: Done): void {
    const { socket } = this.options
    const last = chunks.length - 1
    // The head of an answer and its body leave together.
    socket.cork()
    for (const [index, { chunk, encoding }] of chunks.entries()) {
      if (index === last) socket.write(chunk, encoding, done)
      else socket.write(chunk, encoding)
    }
    socket.uncork()
  }

  override _final(done: Done): void {
    this.options.socket.destroySoon()
    done()
  }

  override _destroy(_: Error | null, done: Done): void {
    this.bytes = NOTHING
    this.options.socket.destroy()
    done()
  }
}

/** Whether the first line is here, and is none of a request. */
function beginsOtherwise(bytes: Buffer): boolean {
  let start = 0
  while (bytes[start] === LF || bytes[start] === CR) start++
  const end = bytes.indexOf(LF, start)
  if (end === -1) return false
  const line = bytes.toString('latin1', Math.max(start, end - 16), end)
  return !/ HTTP\/1\.[01]\r?$/.test(line)
}
