/**
 * An owner of keys in a campaign: a client that logs in with one connection in each dialect, works on
 * keys in which nobody else writes, and therefore knows what every answer must be. Requests go out on one of
 * the connections at a time; the next ones wait until all of them are answered.
 *
 * What it finds wrong it reports and goes on: a campaign is to show everything that can happen, and
 * one fault must not hide another. Where nobody can know what a key holds any more (its connection was
 * cut before the answer), the next read tells.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import type { Target } from '../binary-client.ts'
import { PIECE_BYTES_MIN, pieceText } from '../history/marked-value.js'
import { type RandomBelow, randomBelow } from '../random-below.js'
import {
  type Answer,
  BinaryCampaignDialect,
  type CampaignDialect,
  ClassicCampaignDialect,
  type Hit,
  type LoginOutcome,
  MetaCampaignDialect,
  type Request,
  type Verb,
  WaitingRequests,
} from './dialects.ts'
import { COUNTER_KEYS, counterKey, LARGE_KEYS, largeKey, SMALL_KEYS, smallKey } from './keys.js'

const ANSWER_DEADLINE_MS = 30_000
const LOGIN_DEADLINE_MS = 30_000
const LOGIN_RETRY_MS = 20
/** A value that grew longer than this by appending is written anew. */
const EXTENDED_BYTES_MAX = 30_000
const PIPELINED_MAX = 60
const SMALL_BYTES = 2000
const MEDIUM_BYTES = 20_000

export interface OwnerOptions {
  readonly number: number
  readonly ownerCount: number
  readonly seed: number
  readonly user: string
  readonly password: string
  /** Items may be evicted: an absent one is no violation. */
  readonly mayVanish: boolean
  /** A read may be refused for want of room for replies; never a write. */
  readonly mayRefuseReads: boolean
  readonly largeBytesMax: number
  /** After so many batches a connection is closed and made anew; 0 is never. */
  readonly reconnectEvery: number
  /** Where it always comes from. */
  readonly localAddress: string
  /** Half of its connections are made there, over TLS; 0: none. */
  readonly tlsPort: number
  /** All of them are. */
  readonly isAllTls?: boolean
  readonly report: (kind: string, what: string) => void
}

/** What a key holds, as far as its owner knows. */
interface Known extends Hit {
  readonly bytes: number
}

class Connection {
  readonly dialect: CampaignDialect
  readonly socket: Socket
  readonly waiting: WaitingRequests = new WaitingRequests()
  received: Buffer = Buffer.alloc(0)
  lastIdentity = 0
  isClosed = false
  wake: () => void = () => undefined

  constructor(dialect: CampaignDialect, socket: Socket) {
    this.dialect = dialect
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.isClosed = true
      this.wake()
    })
  }
}

export class Owner {
  /** Requests that were answered. */
  answeredCount = 0
  readonly #target: Target
  readonly #options: OwnerOptions
  readonly #random: RandomBelow
  readonly #known = new Map<string, Known>()
  /** Keys of which nobody knows what they hold. */
  readonly #uncertain = new Set<string>()
  /** Keys whose last write was refused: what they held before must still be there. */
  readonly #refused = new Set<string>()
  readonly #connections: Connection[] = []
  #pieceCount = 0
  #batchCount = 0

  constructor(target: Target, options: OwnerOptions) {
    this.#target = target
    this.#options = options
    this.#random = randomBelow(options.seed + options.number * 7919)
  }

  /** How many items it holds, if none was evicted. */
  get itemCount(): number {
    return this.#known.size
  }

  async open(): Promise<void> {
    const dialects = [
      new BinaryCampaignDialect(),
      new ClassicCampaignDialect(),
      new MetaCampaignDialect(),
    ]
    for (const dialect of dialects) this.#connections.push(await this.#logIn(dialect))
    const keys = [
      ...Array.from({ length: SMALL_KEYS }, (_, index) => smallKey(this.#options.number, index)),
      ...Array.from({ length: LARGE_KEYS }, (_, index) => largeKey(this.#options.number, index)),
    ]
    for (const key of keys) {
      const bytes = key.includes('large') ? this.#largeLength() : this.#smallLength()
      await this.#ask(this.#connections[0]!, [this.#write('set', key, bytes)])
    }
  }

  close(): void {
    for (const { socket } of this.#connections) socket.destroy()
  }

  /** One batch of random requests on a random connection. */
  async runBatch(): Promise<void> {
    const { reconnectEvery } = this.#options
    const index = this.#random(this.#connections.length)
    if (reconnectEvery > 0 && ++this.#batchCount % reconnectEvery === 0) {
      const { socket, dialect } = this.#connections[index]!
      socket.destroy()
      this.#connections[index] = await this.#logIn(dialect)
    }
    await this.#askOn(index, this.#randomBatch())
  }

  /** So many sets in one write, all of them small, on the connection of each dialect. */
  async runLongPipelines(count: number): Promise<void> {
    for (const index of this.#connections.keys()) {
      const requests = Array.from({ length: count }, () =>
        this.#write('set', this.#anySmallKey(), PIECE_BYTES_MIN + this.#random(150)),
      )
      await this.#askOn(index, requests)
    }
  }

  /** Sets and reads of large values, one after the other. */
  async runLargeValues(count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      const key = largeKey(this.#options.number, this.#random(LARGE_KEYS))
      const connectionIndex = this.#random(this.#connections.length)
      await this.#askOn(connectionIndex, [this.#write('set', key, this.#largeLength())])
      await this.#askOn(connectionIndex, [this.#plain('get', [key])])
    }
  }

  /** Reads every key it knows of. */
  async readAll(): Promise<void> {
    for (const key of [...this.#known.keys(), ...this.#uncertain]) {
      await this.#askOn(this.#random(this.#connections.length), [this.#plain('get', [key])])
    }
  }

  /** Asks on that connection; where it was cut, a new one takes its place. */
  async #askOn(index: number, requests: readonly Request[]): Promise<void> {
    const connection = this.#connections[index]!
    await this.#ask(connection, requests)
    if (!connection.isClosed) return
    connection.socket.destroy()
    this.#connections[index] = await this.#logIn(connection.dialect)
  }

  #connect(): Socket {
    const { tlsPort, isAllTls = false, localAddress } = this.#options
    const { host, port } = this.#target
    const isTls = tlsPort !== 0 && (isAllTls || this.#random(2) !== 0)
    if (!isTls) return connect({ host, port, localAddress })
    const options = { host, port: tlsPort, localAddress, rejectUnauthorized: false }
    return connectTls(options)
  }

  async #logIn(dialect: CampaignDialect): Promise<Connection> {
    const { user, password, report } = this.#options
    const endMs = performance.now() + LOGIN_DEADLINE_MS
    while (performance.now() < endMs) {
      const socket = this.#connect()
      const connection = new Connection(dialect, socket)
      socket.write(dialect.encodeLogin(user, password))
      const outcome = await new Promise<LoginOutcome | undefined>((resolve) => {
        socket.on('data', (chunk) => {
          connection.received = Buffer.concat([connection.received, chunk])
          const decoded = dialect.decodeLogin(connection.received)
          if (decoded !== undefined) resolve(decoded)
        })
        connection.wake = () => resolve(undefined)
      })
      if (outcome === 'in') {
        connection.received = Buffer.alloc(0)
        socket.removeAllListeners('data')
        socket.on('data', (chunk) => this.#receive(connection, chunk))
        return connection
      }
      socket.destroy()
      if (outcome === 'refused') {
        report('login', `${dialect.name}: a right password was refused`)
      }
      await delay(LOGIN_RETRY_MS)
    }
    throw new Error(`owner ${this.#options.number} did not get in for ${LOGIN_DEADLINE_MS} ms`)
  }

  /** Sends the requests and a barrier behind them, and waits for all answers. */
  async #ask(connection: Connection, requests: readonly Request[]): Promise<void> {
    const { dialect, socket, waiting } = connection
    const sent = [...requests, this.#plain('barrier', [])].map((request) => ({
      ...request,
      isQuiet: request.isQuiet && (request.verb !== 'get' || dialect.hasQuietGet),
      identity: ++connection.lastIdentity,
    }))
    for (const request of sent) waiting.push(request)
    const bytes = Buffer.concat(sent.map((request) => dialect.encode(request)))
    const answered = new Promise<void>((resolve) => {
      connection.wake = () => {
        if (connection.isClosed || waiting.count === 0) resolve()
      }
    })
    // In two parts, so that the server has to wait for the rest of a request.
    const cut = this.#random(2) === 0 ? this.#random(bytes.length) : 0
    socket.write(bytes.subarray(0, cut))
    if (this.#random(2) === 0) await new Promise((resolve) => setImmediate(resolve))
    socket.write(bytes.subarray(cut))
    connection.wake()
    const timer = setTimeout(() => {
      const shown = describe(waiting.at(0))
      this.#report('missing', `${dialect.name}: ${waiting.count} not answered, from ${shown} on`)
      socket.destroy()
    }, ANSWER_DEADLINE_MS)
    await answered
    clearTimeout(timer)
    if (!connection.isClosed) return
    const lost = waiting.count
    this.#report(
      'cut',
      `${dialect.name}: the connection was closed with ${lost} of ${sent.length} requests unanswered`,
    )
    for (let request = waiting.shift(); request !== undefined; request = waiting.shift()) {
      for (const key of request.keys) this.#forget(key)
    }
  }

  #receive(connection: Connection, chunk: Buffer): void {
    const { dialect, waiting } = connection
    const { received } = connection
    let bytes = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    while (bytes.length > 0) {
      const decoded = dialect.decode(bytes, waiting)
      if (decoded === undefined) break
      bytes = bytes.subarray(decoded.length)
      this.#take(connection, decoded.index, decoded.answer)
      if (connection.socket.destroyed) return
    }
    connection.received = bytes
    connection.wake()
  }

  #take(connection: Connection, index: number, answer: Answer): void {
    const { dialect, waiting, socket } = connection
    const request = waiting.at(index)
    if (request === undefined) {
      this.#report('unasked', `${dialect.name}: ${answer.words}, answered twice or never asked for`)
      socket.destroy()
      return
    }
    for (let passed = 0; passed < index; passed++) {
      const silent = waiting.shift()!
      this.#answeredCount()
      if (silent.isQuiet) this.#settle(dialect, silent, undefined)
      else {
        const shown = `${describe(silent)}, but ${describe(request)} was (${answer.words})`
        this.#report('missing', `${dialect.name}: not answered: ${shown}`)
        for (const key of silent.keys) this.#forget(key)
      }
    }
    waiting.shift()
    this.#answeredCount()
    this.#settle(dialect, request, answer)
  }

  #answeredCount(): void {
    this.answeredCount++
  }

  /** Holds an answer, or the silence to a quiet request, against what is known. */
  #settle({ name }: CampaignDialect, request: Request, answer: Answer | undefined): void {
    const { verb, keys } = request
    if (verb === 'barrier') {
      if (answer?.outcome !== 'done') this.#report('strange', `${name}: ${answer?.words}`)
      return
    }
    const outcome = answer?.outcome
    if (outcome === 'strange') {
      this.#report('strange', `${name}: ${describe(request)}: ${answer?.words}`)
      for (const key of keys) this.#forget(key)
      return
    }
    if (outcome === 'no-memory') {
      const isRead = verb === 'get' || verb === 'gets'
      if (isRead && this.#options.mayRefuseReads) return
      this.#report('refused', `${name}: ${describe(request)}: ${answer?.words}`)
      for (const key of keys) this.#refused.add(key)
      return
    }
    if (verb === 'get' || verb === 'gets') {
      for (const key of keys) this.#settleRead(name, request, key, answer?.hits.get(key))
      return
    }
    this.#settleWrite(name, request, answer)
  }

  #settleRead(name: string, request: Request, key: string, hit: Hit | undefined): void {
    const known = this.#known.get(key)
    if (this.#uncertain.delete(key)) {
      if (hit === undefined) this.#known.delete(key)
      else this.#known.set(key, { ...hit, bytes: EXTENDED_BYTES_MAX })
      return
    }
    if (hit === undefined) {
      if (known !== undefined) this.#lose(name, request, key)
      return
    }
    if (known !== undefined && known.text === hit.text && known.flags === hit.flags) return
    const wanted = known === undefined ? 'nothing' : `${short(known.text)} flags ${known.flags}`
    this.#report(
      'changed',
      `${name}: ${key} holds ${short(hit.text)} flags ${hit.flags} instead of ${wanted}`,
    )
    this.#forget(key)
  }

  #settleWrite(name: string, request: Request, answer: Answer | undefined): void {
    const { verb } = request
    const key = request.keys[0]!
    const known = this.#known.get(key)
    const isUncertain = this.#uncertain.delete(key)
    const needsItem = verb !== 'set' && verb !== 'add'
    if (isUncertain && answer === undefined && needsItem && verb !== 'delete') {
      this.#forget(key)
      return
    }
    // Silence is what a quiet request is answered where it did what it asked for. In the text
    // dialects it tells nothing; `add`, which would need to know, is never quiet there.
    const isDone =
      answer === undefined ? !needsItem || known !== undefined : answer.outcome === 'done'
    if (!isDone) {
      if (verb === 'set') this.#report('refused', `${name}: ${describe(request)}: ${answer?.words}`)
      else if (verb === 'add') {
        if (known !== undefined) return
        if (!isUncertain) {
          this.#report('changed', `${name}: ${key} is there although its owner has not stored it`)
        }
        this.#forget(key)
      } else if (known !== undefined && !isUncertain) this.#lose(name, request, key)
      return
    }
    if (verb === 'delete') {
      if (answer !== undefined && known === undefined && !isUncertain) {
        this.#report('changed', `${name}: ${key} was there although its owner has not stored it`)
      }
      this.#known.delete(key)
      return
    }
    if (verb === 'add' && known !== undefined && !isUncertain) this.#lose(name, request, key)
    if (isUncertain && verb !== 'set' && verb !== 'add' && verb !== 'replace') {
      this.#forget(key)
      return
    }
    const written = this.#textOf(request)
    const bytes = request.pieceId === 0 ? request.digits.length : request.valueBytes
    const flags = request.flags
    this.#refused.delete(key)
    if (verb === 'set' || verb === 'add' || verb === 'replace') {
      if (verb === 'replace' && known === undefined && !isUncertain) {
        this.#report('changed', `${name}: ${key} was there although its owner has not stored it`)
      }
      this.#known.set(key, { text: written, flags, bytes })
      return
    }
    if (known === undefined) {
      if (answer !== undefined) {
        this.#report('changed', `${name}: ${key} was there although its owner has not stored it`)
        this.#forget(key)
      }
      return
    }
    if (verb === 'append') {
      this.#known.set(key, { ...known, text: known.text + written, bytes: known.bytes + bytes })
    } else if (verb === 'prepend') {
      this.#known.set(key, { ...known, text: written + known.text, bytes: known.bytes + bytes })
    } else if (verb === 'increment') {
      const sum = String(Number(known.text) + Number(request.digits))
      if (answer !== undefined && answer.number !== sum) {
        this.#report('changed', `${name}: ${key} counted to ${answer.number} instead of ${sum}`)
      }
      this.#known.set(key, { ...known, text: answer?.number ?? sum })
    }
  }

  /** A key is not there that should be. */
  #lose(name: string, request: Request, key: string): void {
    if (!this.#options.mayVanish) {
      const shown = short(this.#known.get(key)?.text ?? '')
      const kind = this.#refused.has(key) ? 'lost by a refusal' : 'lost'
      this.#report(kind, `${name}: ${key}, which held ${shown}, is gone (${describe(request)})`)
    }
    this.#refused.delete(key)
    this.#known.delete(key)
  }

  #forget(key: string): void {
    this.#known.delete(key)
    this.#uncertain.add(key)
  }

  #report(kind: string, what: string): void {
    this.#options.report(kind, `owner ${this.#options.number}, ${what}`)
  }

  #randomBatch(): Request[] {
    const random = this.#random
    const { number } = this.#options
    const kind = random(100)
    if (kind < 8) {
      const key = largeKey(number, random(LARGE_KEYS))
      return [
        random(3) === 0 ? this.#write('set', key, this.#largeLength()) : this.#plain('get', [key]),
      ]
    }
    const count = kind < 30 ? 1 : 1 + random(PIPELINED_MAX)
    return Array.from({ length: count }, () => this.#randomRequest())
  }

  #randomRequest(): Request {
    const random = this.#random
    const kind = random(100)
    const key = this.#anySmallKey()
    if (kind < 30) return this.#plain('get', [key], random(4) === 0)
    if (kind < 55) return this.#write('set', key, this.#smallLength(), random(3) === 0)
    if (kind < 60) return this.#write('add', key, this.#smallLength())
    if (kind < 65) return this.#write('replace', key, this.#smallLength())
    if (kind < 75) {
      const known = this.#known.get(key)
      if ((known?.bytes ?? 0) > EXTENDED_BYTES_MAX) return this.#write('set', key, SMALL_BYTES)
      return this.#write(
        random(2) === 0 ? 'append' : 'prepend',
        key,
        9 + random(100),
        random(4) === 0,
      )
    }
    if (kind < 80) return this.#plain('delete', [key], random(3) === 0)
    if (kind < 84) return this.#plain('touch', [key])
    const counter = counterKey(this.#options.number, random(COUNTER_KEYS))
    if (kind < 88) {
      return { ...this.#plain('set', [counter], random(4) === 0), digits: String(random(1000)) }
    }
    if (kind < 92) return this.#plain('get', [counter])
    return { ...this.#plain('increment', [counter], random(4) === 0), digits: String(random(100)) }
  }

  #plain(verb: Verb, keys: readonly string[], isQuiet = false): Request {
    return { verb, keys, isQuiet, identity: 0, flags: 0, pieceId: 0, valueBytes: 0, digits: '' }
  }

  #write(verb: Verb, key: string, valueBytes: number, isQuiet = false): Request {
    const { number, ownerCount } = this.#options
    const pieceId = 1 + number + this.#pieceCount++ * ownerCount
    const flags = this.#random(2 ** 31)
    return { ...this.#plain(verb, [key], isQuiet), flags, pieceId, valueBytes }
  }

  #textOf({ pieceId, digits }: Request): string {
    return pieceId === 0 ? digits : pieceText(pieceId)
  }

  #anySmallKey(): string {
    return smallKey(this.#options.number, this.#random(SMALL_KEYS))
  }

  #smallLength(): number {
    const bound = this.#random(10) === 0 ? MEDIUM_BYTES : SMALL_BYTES
    return PIECE_BYTES_MIN + this.#random(bound)
  }

  #largeLength(): number {
    const { largeBytesMax } = this.#options
    return Math.ceil(largeBytesMax / 2) + this.#random(Math.floor(largeBytesMax / 2))
  }
}

function describe(request: Request | undefined): string {
  if (request === undefined) return 'nothing'
  const { verb, keys, isQuiet, valueBytes } = request
  const words = [isQuiet ? `quiet ${verb}` : verb, ...keys.slice(0, 3)]
  if (valueBytes > 0) words.push(`of ${valueBytes} bytes`)
  return words.join(' ')
}

/** The end of a value is what was appended last. */
function short(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 30)}...${text.slice(-30)}`
}
