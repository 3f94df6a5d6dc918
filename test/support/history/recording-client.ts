/**
 * A connection that sends random requests in one dialect and records what it is answered: one after
 * the other or several in one write, in which case they are answered in order.
 */
import { connect, type Socket } from 'node:net'
import type { Target } from '../binary-client.ts'
import type { Answer, Dialect } from './dialects.ts'
import { EXPIRY_UNKNOWN, type Operation } from './operation.ts'
import {
  PLAIN_REQUEST,
  type Request,
  RequestSource,
  type RequestSourceOptions,
} from './request-source.js'

const DEADLINE_MS = 60_000
/** In one write: of all clients together as many may overlap on one key as can be explained (history-checker.ts). */
const SAME_KEY_MAX = 3
/** The server looks at the clock ten times a second, and a thread that is stopped looks late. */
const SERVER_CLOCK_LAG_MS = 2000

/** What all connections of one history share. */
export class Recording {
  operations: Operation[] = []
  #tick = 0
  #second = 0

  tick(): number {
    return ++this.#tick
  }

  nowSeconds(): number {
    return Math.floor(Date.now() / 1000)
  }

  /** Says once a second which it is: the server has acted in it, too. */
  noteSecond(): void {
    const nowSeconds = this.nowSeconds()
    if (nowSeconds === this.#second) return
    this.#second = nowSeconds
    this.operations.push({
      ...PLAIN_REQUEST,
      process: -1,
      verb: 'maintain',
      result: 'done',
      began: this.tick(),
      ended: this.tick(),
      nowSeconds,
      seenExpiry: EXPIRY_UNKNOWN,
      cas: 0,
    })
  }

  /** Hands out what was recorded. */
  take(): Operation[] {
    const operations = this.operations
    this.operations = []
    return operations
  }
}

interface Sent {
  readonly request: Request
  readonly began: number
  readonly nowSeconds: number
}

export class RecordingClient {
  readonly #recording: Recording
  readonly #dialect: Dialect
  readonly #source: RequestSource
  readonly #process: number
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  readonly #sent: Sent[] = []
  #wake: (error?: Error) => void = () => undefined

  constructor(
    target: Target,
    dialect: Dialect,
    recording: Recording,
    options: RequestSourceOptions,
  ) {
    this.#recording = recording
    this.#dialect = dialect
    this.#source = new RequestSource(options)
    this.#process = options.process
    this.#socket = connect({ host: target.host, port: target.port })
    this.#socket.setNoDelay(true)
    this.#socket.on('error', (error) => this.#wake(error))
    this.#socket.on('close', () => this.#wake(new Error('the server closed the connection')))
  }

  async login(user: string, password: string): Promise<void> {
    const answered = new Promise<Buffer>((resolve, reject) => {
      this.#wake = (error) => reject(error)
      let received = Buffer.alloc(0)
      this.#socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk])
        if (this.#dialect.decodeLogin(received) !== undefined) resolve(received)
      })
    })
    this.#socket.write(this.#dialect.encodeLogin(user, password))
    const login = this.#dialect.decodeLogin(await answered)
    if (login?.succeeded !== true) throw new Error(`${this.#dialect.name}: login refused`)
  }

  /** Begins to record; after login(), if there is one. */
  start(): void {
    this.#socket.removeAllListeners('data')
    this.#socket.on('data', (chunk) => {
      try {
        this.#receive(chunk)
      } catch (error) {
        this.#wake(error as Error)
      }
    })
  }

  /** Sends so many requests, up to `pipelined` of them at a time. */
  async run(count: number, pipelined: number): Promise<void> {
    for (let left = count; left > 0; ) {
      const size = Math.min(left, 1 + this.#source.below(pipelined))
      const requests: Request[] = []
      while (requests.length < size) {
        const request = { ...this.#source.next(this.#recording.nowSeconds()) }
        if (requests.filter(({ key }) => key === request.key).length === SAME_KEY_MAX) break
        requests.push(request)
      }
      await this.ask(requests)
      left -= requests.length
    }
  }

  async ask(requests: readonly Request[]): Promise<void> {
    const bytes = Buffer.concat(requests.map((request) => this.#dialect.encode(request)))
    const answered = new Promise<void>((resolve, reject) => {
      const deadline = setTimeout(() => {
        reject(new Error(`${this.#sent.length} requests were not answered in time`))
      }, DEADLINE_MS)
      this.#wake = (error) => {
        clearTimeout(deadline)
        if (error === undefined) resolve()
        else reject(error)
      }
    })
    const nowSeconds = Math.floor((Date.now() - SERVER_CLOCK_LAG_MS) / 1000)
    for (const request of requests) {
      this.#sent.push({ request, began: this.#recording.tick(), nowSeconds })
    }
    // Large ones leave in two parts, so that the server has to wait for the rest.
    const cut = this.#source.below(4) === 0 ? this.#source.below(bytes.length) : 0
    this.#socket.write(bytes.subarray(0, cut))
    this.#socket.write(bytes.subarray(cut))
    await answered
  }

  close(): void {
    this.#wake = () => undefined
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    this.#recording.noteSecond()
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    for (;;) {
      const sent = this.#sent[0]
      if (sent === undefined) break
      const answer = this.#dialect.decode(sent.request.verb, this.#received)
      if (answer === undefined) return
      this.#received = this.#received.subarray(answer.length)
      this.#sent.shift()
      this.#record(sent, answer)
    }
    if (this.#received.length > 0) throw new Error('an answer that nobody asked for')
    this.#wake()
  }

  #record({ request, began, nowSeconds }: Sent, answer: Answer): void {
    const { verb, key, expiry, token, delta, valueBytes } = request
    const isRead = verb === 'get' || verb === 'gat'
    const actsAsSet =
      this.#dialect.dropsTooLarge &&
      answer.result === 'too-large' &&
      (verb === 'add' || verb === 'replace')
    this.#source.sawCas(key, answer.cas)
    this.#recording.operations.push({
      process: this.#process,
      key,
      verb: actsAsSet ? 'set' : verb,
      result: answer.result,
      began,
      ended: this.#recording.tick(),
      nowSeconds,
      value: valueBytes > 0 ? request.value : answer.value,
      valueBytes,
      flags: isRead ? answer.flags : request.flags,
      expiry,
      seenExpiry: EXPIRY_UNKNOWN,
      token,
      cas: answer.cas,
      delta,
    })
  }
}
