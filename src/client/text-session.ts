/**
 * The text and meta dialects: saslcached, memcached -Y, a memcached without login. Keys with bytes that
 * no text line can have go as base64, which the meta commands take.
 */
import { KEY_BYTES_MAX } from '../base/key-bytes-max.ts'
import { ClientError } from './client-error.ts'
import type { SaslAnswer, SaslCarrier } from './login.ts'
import { excerpt } from './printable.ts'
import {
  AnswerQueue,
  type Item,
  type LineRequest,
  RowCollector,
  type Session,
  type StatReport,
  wireExpiryOf,
} from './session.ts'
import { VALUE_BYTES_MAX, type Wire } from './wire.ts'

const LINE_END = '\r\n'
const CHALLENGE_BYTES_MAX = 8192
/** Of a key in a line: what is neither blank nor control. */
const PLAIN_KEY: RegExp = new RegExp(`^[\\x21-\\x7e\\x80-\\xff]{1,${KEY_BYTES_MAX}}$`)
const NUMBER = /^\d{1,20}$/

export class TextSession implements Session, SaslCarrier {
  readonly dialect = 'text'
  isLoggedIn = false
  readonly #wire: Wire
  readonly #answers = new AnswerQueue()

  constructor(wire: Wire) {
    this.#wire = wire
  }

  async version(): Promise<string> {
    const line = await this.#ask(`version${LINE_END}`)
    if (!line.startsWith('VERSION ')) throw this.#refusal(line)
    return line.slice('VERSION '.length)
  }

  get(key: Uint8Array): Promise<Item | undefined> {
    const { text, flag } = wireKey(key)
    this.#wire.write(`mg ${text}${flag} v f c t${LINE_END}`)
    return this.#answers.take(() => this.#readItem())
  }

  async set(
    key: Uint8Array,
    value: Uint8Array,
    ttlSeconds: number,
    flags: number,
  ): Promise<boolean> {
    const { text, flag } = wireKey(key)
    const expiry = wireExpiryOf(ttlSeconds)
    // The classic form where it can be: an older server would take the data behind a line that it does not
    // know for further commands.
    const line =
      flag === ''
        ? `set ${text} ${flags} ${expiry} ${value.length}`
        : `ms ${text} ${value.length}${flag} T${expiry} F${flags}`
    this.#wire.write(line + LINE_END)
    this.#wire.write(value)
    const answer = await this.#ask(LINE_END, value.length)
    if (answer === 'STORED' || answer === 'HD') return true
    if (answer === 'NOT_STORED' || answer === 'NS') return false
    throw this.#refusal(answer)
  }

  async delete(key: Uint8Array): Promise<boolean> {
    const { text, flag } = wireKey(key)
    const line = flag === '' ? `delete ${text}` : `md ${text}${flag}`
    const answer = await this.#ask(line + LINE_END)
    if (answer === 'DELETED' || answer === 'HD') return true
    if (answer === 'NOT_FOUND' || answer === 'NF') return false
    throw this.#refusal(answer)
  }

  async flush(namespace?: string): Promise<void> {
    const answer = await this.#ask(`${within(namespace)}flush_all${LINE_END}`)
    if (answer !== 'OK') throw this.#refusal(answer)
  }

  stats(group: string): Promise<StatReport> {
    this.#wire.write(group === '' ? `stats${LINE_END}` : `stats ${group}${LINE_END}`)
    return this.#answers.take(() => this.#readStats())
  }

  async *lines(request: LineRequest): AsyncGenerator<string, void, undefined> {
    const words = request.kind === 'watch' ? ['watch', ...request.words] : METADUMP
    this.#wire.write(within(request.namespace) + words.join(' ') + LINE_END)
    const endless = request.kind === 'watch'
    // memcached before 1.6.43 begins a dump without saying OK.
    let line = await this.#wire.line(this.#wire.deadline())
    if (line !== 'OK' && !isDumpLine(line)) throw this.#refusal(line)
    if (line === 'OK') line = await this.#next(endless)
    while (endless || line !== 'END') {
      if (!endless && !isDumpLine(line)) throw this.#refusal(line)
      yield line
      line = await this.#next(endless)
    }
  }

  close(): void {
    this.#wire.close()
  }

  async start(mechanism: string, response: Uint8Array): Promise<SaslAnswer> {
    return await this.#sasl(`sasl auth ${mechanism} ${response.length}${LINE_END}`, response)
  }

  async step(response: Uint8Array): Promise<SaslAnswer> {
    return await this.#sasl(`sasl auth ${response.length}${LINE_END}`, response)
  }

  /** The login of memcached -Y: false if it failed. The caller has seen to it that nobody reads it. */
  async logInBySet(user: string, password: string): Promise<boolean> {
    const token = Buffer.from(`${user} ${password}`)
    this.#wire.write(`set login 0 0 ${token.length}${LINE_END}`)
    this.#wire.write(token)
    const answer = await this.#ask(LINE_END)
    if (answer === 'STORED') return true
    if (isRefusedLogin(answer)) return false
    throw this.#refusal(answer)
  }

  #next(isEndless: boolean): Promise<string> {
    return this.#wire.line(isEndless ? Number.POSITIVE_INFINITY : this.#wire.deadline())
  }

  /** One line for a request. */
  #ask(request: string, valueBytes = 0): Promise<string> {
    this.#wire.write(request)
    return this.#answers.take(() => this.#wire.line(this.#wire.deadline(valueBytes)))
  }

  async #sasl(line: string, response: Uint8Array): Promise<SaslAnswer> {
    this.#wire.write(line)
    this.#wire.write(response)
    const answer = await this.#ask(LINE_END)
    if (answer === 'SASL_OK') return { kind: 'success', bytes: Buffer.alloc(0) }
    if (answer === 'AUTH_ERROR' || isRefusedLogin(answer)) return { kind: 'failure' }
    const length = /^SASL_CONTINUE (\d{1,5})$/.exec(answer)?.[1]
    if (length === undefined) throw this.#loginRefusal(answer)
    return { kind: 'challenge', bytes: await this.#block(length, CHALLENGE_BYTES_MAX) }
  }

  async #readItem(): Promise<Item | undefined> {
    const line = await this.#wire.line(this.#wire.deadline())
    if (line === 'EN') return undefined
    const [code, length = '', ...tokens] = line.split(' ')
    if (code !== 'VA') throw this.#refusal(line)
    const value = await this.#block(length, VALUE_BYTES_MAX)
    const flagged = new Map(tokens.map((token) => [token.slice(0, 1), token.slice(1)]))
    const ttl = flagged.get('t') ?? ''
    const cas = flagged.get('c') ?? ''
    const flags = flagged.get('f') ?? ''
    if (!NUMBER.test(cas) || !NUMBER.test(flags) || !/^(-1|\d{1,20})$/.test(ttl)) {
      throw this.#wire.nonsense('a value comes without what was asked for beside it')
    }
    return { value, cas, flags: Number(flags), ttl: ttl === '-1' ? 'never' : Number(ttl) }
  }

  /** A block of data and its line end. */
  async #block(lengthText: string, bytesMax: number): Promise<Buffer> {
    const length = NUMBER.test(lengthText) ? Number(lengthText) : Number.NaN
    if (!(length <= bytesMax)) {
      throw this.#wire.nonsense(`it announces a block of ${excerpt(lengthText, 24)} bytes`)
    }
    const bytes = await this.#wire.take(length + 2, this.#wire.deadline(length))
    if (bytes.toString('latin1', length) !== LINE_END) {
      throw this.#wire.nonsense('a block is not as long as it says')
    }
    return bytes.subarray(0, length)
  }

  async #readStats(): Promise<StatReport> {
    const deadlineMs = this.#wire.deadline()
    const collector = new RowCollector(this.#wire)
    const words: string[] = []
    for (;;) {
      const line = await this.#wire.line(deadlineMs)
      const [, name, value = ''] = /^STAT (\S+)(?: (.*))?$/s.exec(line) ?? []
      if (name !== undefined) {
        collector.add(name, value)
      } else if (line.startsWith('PREFIX ')) {
        const [prefix = '', ...rest] = line.slice('PREFIX '.length).split(' ')
        collector.add(prefix, rest.join(' '))
      } else if (line === 'END') {
        return { rows: collector.rows, words }
      } else if (collector.rows.length === 0 && /^(RESET|OK)$/.test(line)) {
        return { rows: [], words: [line] }
      } else {
        throw this.#refusal(line)
      }
    }
  }

  /** What is refused within a login is the login, whatever the server says of it. */
  #loginRefusal(line: string): ClientError {
    const refusal = this.#refusal(line)
    return refusal.kind === 'refused' ? new ClientError('login', refusal.message) : refusal
  }

  /** An error line is an answer like others; what is no answer at all ends the connection. */
  #refusal(line: string): ClientError {
    if (!/^(ERROR|CLIENT_ERROR|SERVER_ERROR|NOT_SUPPORTED|BUSY|AUTH_ERROR)\b/.test(line)) {
      return this.#wire.nonsense(`"${excerpt(line)}"`)
    }
    return refusalOf(line)
  }
}

const METADUMP: readonly string[] = ['lru_crawler', 'metadump', 'all']

function isRefusedLogin(line: string): boolean {
  return line.startsWith('CLIENT_ERROR authentication failure')
}

function isDumpLine(line: string): boolean {
  return line.startsWith('key=') || line === 'END'
}

/** What an error line means for whoever asked. */
function refusalOf(line: string): ClientError {
  const shown = excerpt(line.replace(/^(CLIENT|SERVER)_ERROR:? /, ''))
  if (line === 'CLIENT_ERROR unauthenticated') {
    return new ClientError('login', 'the server wants a login: give --user, or a profile')
  }
  if (/too many open connections/i.test(line)) {
    return new ClientError('unreachable', 'the server has too many connections')
  }
  if (/permission denied|not allowed|not enabled/.test(line)) {
    return new ClientError('permission', `the server does not allow that: ${shown}`)
  }
  if (line === 'ERROR') return new ClientError('refused', 'the server does not know that')
  return new ClientError('refused', `the server refuses that: ${shown}`)
}

/** A key as a line has it, and the flag that says so. */
function wireKey(key: Uint8Array): { readonly text: string; readonly flag: '' | ' b' } {
  const bytes = Buffer.from(key)
  const text = bytes.toString('latin1')
  if (PLAIN_KEY.test(text)) return { text, flag: '' }
  return { text: bytes.toString('base64'), flag: ' b' }
}

/** What stands before a command that is carried out in a namespace by its name; of saslcached alone. */
function within(namespace: string | undefined): string {
  return namespace === undefined ? '' : `namespace ${namespace} `
}
