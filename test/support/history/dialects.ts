/**
 * The three dialects as a recorded history needs them: a request as bytes, and the answer out of the
 * bytes that come back. Written from the protocol's description, apart from src/.
 *
 * Which answer belongs to which request is left to the caller: answers come in the order of requests.
 */
import { parseResponses, requestFrame, words } from '../binary-frames.ts'
import { readValue } from './marked-value.js'
import type { Result, Verb } from './operation.ts'
import { type Request, writeValueOf } from './request-source.js'

export interface Answer {
  readonly result: Result
  /** Of reads, increments and decrements. */
  readonly value: string
  readonly flags: number
  /** 0 if the answer does not show it. */
  readonly cas: number
  /** Bytes of the answer. */
  readonly length: number
}

/** CAS uniques as the numbers of a history. */
export interface CasNumbers {
  nameOf(unique: bigint): number
  uniqueOf(name: number): bigint
}

/** As they are: they are small. */
const PLAIN_NUMBERS: CasNumbers = { nameOf: Number, uniqueOf: BigInt }

export interface Dialect {
  readonly name: string
  /** Whether a value that is too large deletes the old item whatever the mode, as memcached's ms. */
  readonly dropsTooLarge: boolean
  encode(request: Request): Buffer
  /** The answer to `verb` at the front of `bytes`; undefined if it is not whole yet. */
  decode(verb: Verb, bytes: Buffer): Answer | undefined
  encodeLogin(user: string, password: string): Buffer
  /** Whether the login succeeded, and the bytes of the answer to it. */
  decodeLogin(bytes: Buffer): { readonly succeeded: boolean; readonly length: number } | undefined
}

const NOTHING = { value: '', flags: 0, cas: 0 }

function valueBytesOf(request: Request): Buffer {
  const value = Buffer.alloc(request.valueBytes)
  if (request.valueBytes > 0) writeValueOf(request, value, 0)
  return value
}

const OP_SASL_AUTH = 0x21

const OPCODES: Readonly<Partial<Record<Verb, number>>> = {
  get: 0x00,
  set: 0x01,
  add: 0x02,
  replace: 0x03,
  delete: 0x04,
  increment: 0x05,
  decrement: 0x06,
  flush: 0x08,
  append: 0x0e,
  prepend: 0x0f,
  touch: 0x1c,
  gat: 0x1d,
}

const STATUSES: Readonly<Record<number, Result>> = {
  0: 'done',
  1: 'missing',
  2: 'exists',
  3: 'too-large',
  5: 'not-stored',
  6: 'not-numeric',
  130: 'no-memory',
}

export class BinaryDialect implements Dialect {
  readonly name: string = 'binary'
  readonly dropsTooLarge: boolean = false
  readonly #numbers: CasNumbers

  constructor(numbers: CasNumbers = PLAIN_NUMBERS) {
    this.#numbers = numbers
  }

  encode(request: Request): Buffer {
    const { verb, key, token, flags, expiry, delta } = request
    let extras: Buffer | undefined
    switch (verb) {
      case 'set':
      case 'add':
      case 'replace':
        extras = words(flags, expiry)
        break
      case 'increment':
      case 'decrement':
        // The last word says that a missing number is not to be made.
        extras = words(0, delta, 0, 0, 0xffffffff)
        break
      case 'touch':
      case 'gat':
        extras = words(expiry)
        break
      default:
        break
    }
    const opcode = OPCODES[verb]
    if (opcode === undefined) throw new Error(`there is no opcode for ${verb}`)
    const cas = this.#numbers.uniqueOf(token)
    return requestFrame({ opcode, extras, key, value: valueBytesOf(request), cas })
  }

  decode(verb: Verb, bytes: Buffer): Answer | undefined {
    const frame = this.#frame(bytes)
    if (frame === undefined) return undefined
    const { status, extras, value } = frame
    const length = 24 + extras.length + frame.key.length + value.length
    const result = STATUSES[status]
    if (result === undefined) throw new Error(`status ${status} ${value.toString('latin1')}`)
    if (result !== 'done') return { ...NOTHING, result, length }
    const cas = this.#numbers.nameOf(frame.cas)
    switch (verb) {
      case 'get':
      case 'gat':
        return {
          result,
          value: readValue(value, 0, value.length),
          flags: extras.readUInt32BE(0),
          cas,
          length,
        }
      case 'increment':
      case 'decrement':
        return { result, value: String(value.readBigUInt64BE(0)), flags: 0, cas, length }
      default:
        return { ...NOTHING, result, cas, length }
    }
  }

  encodeLogin(user: string, password: string): Buffer {
    return requestFrame({ opcode: OP_SASL_AUTH, key: 'PLAIN', value: `\0${user}\0${password}` })
  }

  decodeLogin(bytes: Buffer): { succeeded: boolean; length: number } | undefined {
    const frame = this.#frame(bytes)
    if (frame === undefined) return undefined
    return { succeeded: frame.status === 0, length: 24 + frame.value.length }
  }

  #frame(bytes: Buffer) {
    if (bytes.length < 24) return undefined
    const length = 24 + bytes.readUInt32BE(8)
    if (bytes.length < length) return undefined
    return parseResponses(bytes.subarray(0, length)).frames[0]
  }
}

/** What both text dialects answer in words. */
function wordsResult(verb: Verb, line: string): Result | undefined {
  if (line.startsWith('SERVER_ERROR object too large')) return 'too-large'
  if (line.startsWith('SERVER_ERROR out of memory')) return 'no-memory'
  if (line.startsWith('CLIENT_ERROR cannot increment or decrement')) return 'not-numeric'
  switch (line) {
    case 'OK':
    case 'HD':
    case 'STORED':
    case 'DELETED':
    case 'TOUCHED':
      return 'done'
    case 'EN':
    case 'NF':
    case 'NOT_FOUND':
      return 'missing'
    case 'EX':
    case 'EXISTS':
      return 'exists'
    case 'NS':
    case 'NOT_STORED':
      if (verb === 'add') return 'exists'
      return verb === 'replace' ? 'missing' : 'not-stored'
    default:
      return undefined
  }
}

function lineOf(bytes: Buffer): string | undefined {
  const end = bytes.indexOf('\r\n')
  return end < 0 ? undefined : bytes.toString('latin1', 0, end)
}

function command(line: string, request: Request): Buffer {
  const head = Buffer.from(`${line}\r\n`, 'latin1')
  if (request.valueBytes === 0) return head
  return Buffer.concat([head, valueBytesOf(request), Buffer.from('\r\n')])
}

abstract class LineDialect {
  encodeLogin(user: string, password: string): Buffer {
    const body = `${user} ${password}`
    return Buffer.from(`set auth 0 0 ${body.length}\r\n${body}\r\n`, 'latin1')
  }

  decodeLogin(bytes: Buffer): { succeeded: boolean; length: number } | undefined {
    const line = lineOf(bytes)
    if (line === undefined) return undefined
    return { succeeded: line === 'STORED', length: line.length + 2 }
  }
}

export class ClassicDialect extends LineDialect implements Dialect {
  readonly name: string = 'classic'
  readonly dropsTooLarge: boolean = false
  readonly #numbers: CasNumbers
  /** Every other read asks for the CAS. */
  #asksForCas = false

  constructor(numbers: CasNumbers = PLAIN_NUMBERS) {
    super()
    this.#numbers = numbers
  }

  encode(request: Request): Buffer {
    const { verb, key, flags, expiry, valueBytes, token, delta } = request
    this.#asksForCas = !this.#asksForCas
    const s = this.#asksForCas ? 's' : ''
    switch (verb) {
      case 'get':
        return command(`get${s} ${key}`, request)
      case 'gat':
        return command(`gat${s} ${expiry} ${key}`, request)
      case 'touch':
        return command(`touch ${key} ${expiry}`, request)
      case 'increment':
        return command(`incr ${key} ${delta}`, request)
      case 'decrement':
        return command(`decr ${key} ${delta}`, request)
      case 'delete':
        return command(`delete ${key}`, request)
      case 'flush':
        return command('flush_all', request)
      default:
        if (token === 0) return command(`${verb} ${key} ${flags} ${expiry} ${valueBytes}`, request)
        return command(
          `cas ${key} ${flags} ${expiry} ${valueBytes} ${this.#numbers.uniqueOf(token)}`,
          request,
        )
    }
  }

  decode(verb: Verb, bytes: Buffer): Answer | undefined {
    const line = lineOf(bytes)
    if (line === undefined) return undefined
    const length = line.length + 2
    if (line === 'END') return { ...NOTHING, result: 'missing', length }
    if (/^\d+$/.test(line)) return { ...NOTHING, result: 'done', value: line, length }
    if (line.startsWith('VALUE ')) {
      const [, , ...words] = line.split(' ')
      const [flags, valueBytes] = words.map(Number)
      const cas = this.#numbers.nameOf(BigInt(words[2] ?? 0))
      const end = length + valueBytes!
      const tail = '\r\nEND\r\n'
      if (bytes.length < end + tail.length) return undefined
      const found = bytes.toString('latin1', end, end + tail.length)
      if (found !== tail) throw new Error(`${JSON.stringify(found)} after a value`)
      const value = readValue(bytes, length, valueBytes!)
      return { result: 'done', value, flags: flags!, cas, length: end + tail.length }
    }
    const result = wordsResult(verb, line)
    if (result === undefined) throw new Error(`${verb} was answered ${JSON.stringify(line)}`)
    return { ...NOTHING, result, length }
  }
}

/** Modes of ms and ma. */
const MODES: Readonly<Partial<Record<Verb, string>>> = {
  set: 'S',
  add: 'E',
  replace: 'R',
  append: 'A',
  prepend: 'P',
  increment: 'I',
  decrement: 'D',
}

export class MetaDialect extends LineDialect implements Dialect {
  readonly name: string = 'meta'
  readonly dropsTooLarge: boolean = true
  readonly #numbers: CasNumbers

  constructor(numbers: CasNumbers = PLAIN_NUMBERS) {
    super()
    this.#numbers = numbers
  }

  encode(request: Request): Buffer {
    const { verb, key, flags, expiry, valueBytes, token, delta } = request
    const compare = token === 0 ? '' : ` C${this.#numbers.uniqueOf(token)}`
    switch (verb) {
      case 'get':
        return command(`mg ${key} f c v`, request)
      case 'gat':
        return command(`mg ${key} f c v T${expiry}`, request)
      case 'touch':
        return command(`mg ${key} T${expiry}`, request)
      case 'increment':
      case 'decrement':
        return command(`ma ${key} c v M${MODES[verb]} D${delta}${compare}`, request)
      case 'delete':
        return command(`md ${key}${compare}`, request)
      case 'flush':
        return command('flush_all', request)
      default: {
        const mode = MODES[verb]
        return command(`ms ${key} ${valueBytes} c M${mode} F${flags} T${expiry}${compare}`, request)
      }
    }
  }

  decode(verb: Verb, bytes: Buffer): Answer | undefined {
    const line = lineOf(bytes)
    if (line === undefined) return undefined
    const length = line.length + 2
    const [code, ...rest] = line.split(' ')
    const result = code === 'VA' ? 'done' : (wordsResult(verb, line) ?? wordsResult(verb, code!))
    if (result === undefined) throw new Error(`${verb} was answered ${JSON.stringify(line)}`)
    const flags = Number(digitsAfter('f', rest))
    const cas = this.#numbers.nameOf(BigInt(digitsAfter('c', rest)))
    if (code !== 'VA') return { result, value: '', flags, cas, length }
    const valueBytes = Number(rest[0])
    const end = length + valueBytes + 2
    if (bytes.length < end) return undefined
    return { result, value: readValue(bytes, length, valueBytes), flags, cas, length: end }
  }
}

function digitsAfter(letter: string, tokens: readonly string[]): string {
  const token = tokens.find((candidate) => candidate[0] === letter && /^.\d+$/.test(candidate))
  return token?.slice(1) ?? '0'
}
