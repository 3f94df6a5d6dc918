/**
 * The three dialects as a campaign's owners speak them: quiet requests, identities of requests
 * (opaque, O token) and barriers, so that each answer can be told to belong to one request. Written from
 * the protocol's description, apart from src/.
 *
 * What an answer belongs to: in binary and meta to the request whose identity it bears; in the classic
 * dialect, which has none, to the oldest request that must be answered. Requests before that one are
 * silent, which only quiet ones may be.
 */
import { parseResponses, requestFrame, words } from '../binary-frames.ts'
import { readValue, writePiece } from '../history/marked-value.js'

export type Verb =
  | 'get'
  | 'gets'
  | 'set'
  | 'add'
  | 'replace'
  | 'append'
  | 'prepend'
  | 'increment'
  | 'delete'
  | 'touch'
  | 'barrier'

export interface Request {
  readonly verb: Verb
  /** Of `gets` several; of a barrier none. */
  readonly keys: readonly string[]
  readonly isQuiet: boolean
  /** Which other answers can be told from: no two requests of one connection share one. */
  readonly identity: number
  readonly flags: number
  /** The piece written (marked-value.js); 0 where the value is `digits`. */
  readonly pieceId: number
  readonly valueBytes: number
  readonly digits: string
}

export interface Hit {
  /** What the value is made of, as marked-value.js reads it. */
  readonly text: string
  readonly flags: number
}

export type Outcome =
  | 'done'
  | 'missing'
  | 'exists'
  | 'not-stored'
  | 'no-memory'
  /** An answer that no request of an owner has, in `words`. */
  | 'strange'

export interface Answer {
  readonly outcome: Outcome
  /** Of `get` and `gets`, by key. */
  readonly hits: ReadonlyMap<string, Hit>
  /** Of `increment`. */
  readonly number: string
  readonly words: string
}

/** Requests of one connection that were sent and are not answered, in order. */
export class WaitingRequests {
  readonly #requests: Request[] = []
  #head = 0

  get count(): number {
    return this.#requests.length - this.#head
  }

  push(request: Request): void {
    this.#requests.push(request)
  }

  /** The oldest that `isWanted`, as its distance from the head; -1 if there is none. */
  find(isWanted: (request: Request) => boolean): number {
    for (let index = this.#head; index < this.#requests.length; index++) {
      if (isWanted(this.#requests[index]!)) return index - this.#head
    }
    return -1
  }

  at(index: number): Request | undefined {
    return index < 0 ? undefined : this.#requests[this.#head + index]
  }

  /** Takes the oldest one out. */
  shift(): Request | undefined {
    const request = this.at(0)
    if (request !== undefined) this.#head++
    if (this.count === 0) {
      this.#requests.length = 0
      this.#head = 0
    }
    return request
  }
}

export interface Decoded {
  /** Whom it belongs to among those that wait; -1: to nobody. */
  readonly index: number
  readonly answer: Answer
  readonly length: number
}

/** `turned-away`: the server was full, and did not look at the login. */
export type LoginOutcome = 'in' | 'refused' | 'turned-away'

const TURNED_AWAY = 'ERROR Too many open connections'

export interface CampaignDialect {
  readonly name: string
  /** Whether a get can be one that is not answered on a miss. */
  readonly hasQuietGet: boolean
  encode(request: Request): Buffer
  /** The answer at the front of `bytes`; undefined if it is not whole yet. */
  decode(bytes: Buffer, waiting: WaitingRequests): Decoded | undefined
  encodeLogin(user: string, password: string): Buffer
  /** What became of the login, undefined while the answer is not whole. */
  decodeLogin(bytes: Buffer): LoginOutcome | undefined
}

const NO_HITS: ReadonlyMap<string, Hit> = new Map()
const PLAIN: Answer = { outcome: 'done', hits: NO_HITS, number: '', words: '' }

function bytesOfValue({ pieceId, valueBytes, digits }: Request): Buffer {
  if (pieceId === 0) return Buffer.from(digits)
  const value = Buffer.allocUnsafe(valueBytes)
  writePiece(value, 0, pieceId, valueBytes)
  return value
}

/** Opcodes: ordinary and quiet. */
const OPCODES: Readonly<Partial<Record<Verb, readonly [number, number]>>> = {
  get: [0x00, 0x09],
  set: [0x01, 0x11],
  add: [0x02, 0x12],
  replace: [0x03, 0x13],
  delete: [0x04, 0x14],
  increment: [0x05, 0x15],
  barrier: [0x0a, 0x0a],
  append: [0x0e, 0x19],
  prepend: [0x0f, 0x1a],
  touch: [0x1c, 0x1c],
}
const OP_SASL_AUTH = 0x21
const TOUCH_SECONDS = 3600

const STATUS_OUTCOMES: Readonly<Record<number, Outcome>> = {
  0: 'done',
  1: 'missing',
  2: 'exists',
  5: 'not-stored',
  130: 'no-memory',
}

export class BinaryCampaignDialect implements CampaignDialect {
  readonly name: string = 'binary'
  readonly hasQuietGet: boolean = true

  encode(request: Request): Buffer {
    const { verb, keys, isQuiet, identity, flags } = request
    const opcode = OPCODES[verb]?.[isQuiet ? 1 : 0]
    if (opcode === undefined) throw new Error(`there is no opcode for ${verb}`)
    const stores = verb === 'set' || verb === 'add' || verb === 'replace'
    const hasValue = stores || verb === 'append' || verb === 'prepend'
    let extras: Buffer | undefined
    if (stores) extras = words(flags, 0)
    // The last word says that a missing number is not to be made.
    if (verb === 'increment') extras = words(0, Number(request.digits), 0, 0, 0xffffffff)
    if (verb === 'touch') extras = words(TOUCH_SECONDS)
    return requestFrame({
      opcode,
      extras,
      key: keys[0],
      value: hasValue ? bytesOfValue(request) : undefined,
      opaque: identity,
    })
  }

  decode(bytes: Buffer, waiting: WaitingRequests): Decoded | undefined {
    if (bytes.length < 24) return undefined
    const length = 24 + bytes.readUInt32BE(8)
    if (bytes[0] !== 0x81) return strange(bytes.toString('latin1', 0, 100), bytes.length)
    if (bytes.length < length) return undefined
    const frame = parseResponses(bytes.subarray(0, length)).frames[0]!
    const index = waiting.find(({ identity }) => identity === frame.opaque)
    const request = waiting.at(index)
    const shown = `opcode ${frame.opcode} status ${frame.status} opaque ${frame.opaque}`
    if (request === undefined) return strange(shown, length)
    const opcodes = OPCODES[request.verb]
    const outcome = STATUS_OUTCOMES[frame.status]
    if (!opcodes?.includes(frame.opcode) || outcome === undefined) {
      const words = `${shown} ${frame.value.toString('latin1', 0, 100)}`
      return { index, answer: { ...PLAIN, outcome: 'strange', words }, length }
    }
    const answer = { ...PLAIN, outcome, words: shown }
    if (outcome !== 'done') return { index, answer, length }
    if (request.verb === 'get') {
      const { value, extras } = frame
      const hit = { text: readValue(value, 0, value.length), flags: extras.readUInt32BE(0) }
      return { index, answer: { ...answer, hits: new Map([[request.keys[0]!, hit]]) }, length }
    }
    if (request.verb === 'increment') {
      return { index, answer: { ...answer, number: `${frame.value.readBigUInt64BE(0)}` }, length }
    }
    return { index, answer, length }
  }

  encodeLogin(user: string, password: string): Buffer {
    return requestFrame({ opcode: OP_SASL_AUTH, key: 'PLAIN', value: `\0${user}\0${password}` })
  }

  decodeLogin(bytes: Buffer): LoginOutcome | undefined {
    if (bytes[0] === TURNED_AWAY.charCodeAt(0)) return 'turned-away'
    if (bytes.length < 24 || bytes.length < 24 + bytes.readUInt32BE(8)) return undefined
    return bytes.readUInt16BE(6) === 0 ? 'in' : 'refused'
  }
}

function strange(words: string, length: number): Decoded {
  return { index: -1, answer: { ...PLAIN, outcome: 'strange', words }, length }
}

function lineAt(bytes: Buffer, start: number): string | undefined {
  const end = bytes.indexOf('\r\n', start)
  return end < 0 ? undefined : bytes.toString('latin1', start, end)
}

function lineWith(line: string, value?: Buffer): Buffer {
  const head = Buffer.from(`${line}\r\n`, 'latin1')
  return value === undefined ? head : Buffer.concat([head, value, Buffer.from('\r\n')])
}

const LINE_OUTCOMES: Readonly<Record<string, Outcome>> = {
  STORED: 'done',
  DELETED: 'done',
  TOUCHED: 'done',
  HD: 'done',
  NOT_FOUND: 'missing',
  EN: 'missing',
  NF: 'missing',
  EXISTS: 'exists',
  EX: 'exists',
  NOT_STORED: 'not-stored',
  NS: 'not-stored',
}

function outcomeOf(line: string): Outcome {
  if (line.startsWith('SERVER_ERROR out of memory')) return 'no-memory'
  return LINE_OUTCOMES[line] ?? 'strange'
}

/** What both text dialects have in common: the login, and `mn` as a barrier. */
abstract class LineDialect {
  encodeLogin(user: string, password: string): Buffer {
    const body = `${user} ${password}`
    return lineWith(`set login 0 0 ${body.length}`, Buffer.from(body))
  }

  decodeLogin(bytes: Buffer): LoginOutcome | undefined {
    const line = lineAt(bytes, 0)
    if (line === undefined) return undefined
    if (line === TURNED_AWAY) return 'turned-away'
    return line === 'STORED' ? 'in' : 'refused'
  }

  /** An answer to the oldest request that is not quiet. */
  protected toOldest(waiting: WaitingRequests, answer: Answer, length: number): Decoded {
    return { index: waiting.find(({ isQuiet }) => !isQuiet), answer, length }
  }
}

export class ClassicCampaignDialect extends LineDialect implements CampaignDialect {
  readonly name: string = 'classic'
  readonly hasQuietGet: boolean = false

  encode(request: Request): Buffer {
    const { verb, keys, isQuiet, flags, digits } = request
    const noreply = isQuiet ? ' noreply' : ''
    switch (verb) {
      case 'get':
      case 'gets':
        return lineWith(`get ${keys.join(' ')}`)
      case 'increment':
        return lineWith(`incr ${keys[0]} ${digits}${noreply}`)
      case 'delete':
        return lineWith(`delete ${keys[0]}${noreply}`)
      case 'touch':
        return lineWith(`touch ${keys[0]} ${TOUCH_SECONDS}${noreply}`)
      case 'barrier':
        return lineWith('mn')
      default: {
        const value = bytesOfValue(request)
        return lineWith(`${verb} ${keys[0]} ${flags} 0 ${value.length}${noreply}`, value)
      }
    }
  }

  decode(bytes: Buffer, waiting: WaitingRequests): Decoded | undefined {
    const line = lineAt(bytes, 0)
    if (line === undefined) return undefined
    const length = line.length + 2
    const oldest = waiting.at(waiting.find(({ isQuiet }) => !isQuiet))
    const isRead = oldest?.verb === 'get' || oldest?.verb === 'gets'
    if (isRead && (line === 'END' || line.startsWith('VALUE '))) {
      return this.#values(bytes, waiting)
    }
    if (oldest?.verb === 'barrier' && line === 'MN') return this.toOldest(waiting, PLAIN, length)
    if (oldest?.verb === 'increment' && /^\d+$/.test(line)) {
      return this.toOldest(waiting, { ...PLAIN, number: line }, length)
    }
    // An error ends the answer to a list of keys, without END.
    const isRefusedRead = isRead && line.startsWith('SERVER_ERROR out of memory')
    const mayBeStrange = (isRead && !isRefusedRead) || oldest?.verb === 'barrier'
    const outcome = mayBeStrange ? 'strange' : outcomeOf(line)
    return this.toOldest(waiting, { ...PLAIN, outcome, words: line }, length)
  }

  #values(bytes: Buffer, waiting: WaitingRequests): Decoded | undefined {
    const hits = new Map<string, Hit>()
    let at = 0
    for (;;) {
      const line = lineAt(bytes, at)
      if (line === undefined) return undefined
      at += line.length + 2
      if (line === 'END') {
        const outcome = hits.size === 0 ? 'missing' : 'done'
        return this.toOldest(waiting, { ...PLAIN, outcome, hits }, at)
      }
      if (line.startsWith('SERVER_ERROR out of memory')) {
        return this.toOldest(waiting, { ...PLAIN, outcome: 'no-memory', words: line }, at)
      }
      const [word, key, flags, valueBytes] = line.split(' ')
      const valueEnd = at + Number(valueBytes)
      if (word !== 'VALUE' || key === undefined || hits.has(key)) {
        return this.toOldest(waiting, { ...PLAIN, outcome: 'strange', words: line }, at)
      }
      if (bytes.length < valueEnd + 2) return undefined
      if (bytes.toString('latin1', valueEnd, valueEnd + 2) !== '\r\n') {
        const words = `no line end behind ${line}`
        return this.toOldest(waiting, { ...PLAIN, outcome: 'strange', words }, at)
      }
      hits.set(key, { text: readValue(bytes, at, Number(valueBytes)), flags: Number(flags) })
      at = valueEnd + 2
    }
  }
}

/** Modes of ms. */
const MODES: Readonly<Partial<Record<Verb, string>>> = {
  set: 'S',
  add: 'E',
  replace: 'R',
  append: 'A',
  prepend: 'P',
}

export class MetaCampaignDialect extends LineDialect implements CampaignDialect {
  readonly name: string = 'meta'
  readonly hasQuietGet: boolean = true

  encode(request: Request): Buffer {
    const { verb, keys, isQuiet, identity, flags, digits } = request
    const end = `O${identity}${isQuiet ? ' q' : ''}`
    switch (verb) {
      case 'get':
        return lineWith(`mg ${keys[0]} f v ${end}`)
      case 'increment':
        return lineWith(`ma ${keys[0]} v D${digits} ${end}`)
      case 'delete':
        return lineWith(`md ${keys[0]} ${end}`)
      case 'touch':
        return lineWith(`mg ${keys[0]} T${TOUCH_SECONDS} ${end}`)
      case 'barrier':
        return lineWith('mn')
      default: {
        const value = bytesOfValue(request)
        return lineWith(`ms ${keys[0]} ${value.length} M${MODES[verb]} F${flags} ${end}`, value)
      }
    }
  }

  decode(bytes: Buffer, waiting: WaitingRequests): Decoded | undefined {
    const line = lineAt(bytes, 0)
    if (line === undefined) return undefined
    const length = line.length + 2
    if (line === 'MN') {
      const index = waiting.find(({ verb }) => verb === 'barrier')
      return { index, answer: PLAIN, length }
    }
    const [code = '', ...rest] = line.split(' ')
    const token = rest.find((word) => /^O\d+$/.test(word))
    if (token === undefined) {
      return this.toOldest(waiting, { ...PLAIN, outcome: outcomeOf(line), words: line }, length)
    }
    const index = waiting.find(({ identity }) => identity === Number(token.slice(1)))
    const request = waiting.at(index)
    if (code !== 'VA') {
      return { index, answer: { ...PLAIN, outcome: outcomeOf(code), words: line }, length }
    }
    const valueEnd = length + Number(rest[0])
    if (bytes.length < valueEnd + 2) return undefined
    const text = readValue(bytes, length, Number(rest[0]))
    if (request?.verb === 'increment') {
      return { index, answer: { ...PLAIN, number: text, words: line }, length: valueEnd + 2 }
    }
    const flags = Number(rest.find((word) => /^f\d+$/.test(word))?.slice(1) ?? 0)
    const hits = new Map([[request?.keys[0] ?? '', { text, flags }]])
    return { index, answer: { ...PLAIN, hits, words: line }, length: valueEnd + 2 }
  }
}
