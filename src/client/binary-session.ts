/**
 * The binary dialect: memcached -S, saslcached -B binary. It has no dumps and no `watch`, and tells of an
 * item no time to live.
 */
import {
  HEADER_BYTES,
  MAGIC_REQUEST,
  MAGIC_RESPONSE,
  OP_DELETE,
  OP_FLUSH,
  OP_GET,
  OP_SASL_AUTH,
  OP_SASL_LIST_MECHS,
  OP_SASL_STEP,
  OP_SET,
  OP_STAT,
  OP_VERSION,
  STATUS_AUTH_CONTINUE,
  STATUS_AUTH_ERROR,
  STATUS_KEY_NOT_FOUND,
  STATUS_NO_ACCESS,
  STATUS_NOT_STORED,
  STATUS_OK,
  STATUS_UNKNOWN_COMMAND,
} from '../protocol/binary/wire.ts'
import { ClientError } from './client-error.ts'
import type { SaslAnswer, SaslCarrier } from './login.ts'
import { excerpt } from './printable.ts'
import {
  AnswerQueue,
  type Item,
  RowCollector,
  type Session,
  type StatReport,
  wireExpiryOf,
} from './session.ts'
import { ANSWER_LINE_BYTES_MAX, VALUE_BYTES_MAX, type Wire } from './wire.ts'

interface Packet {
  readonly opcode: number
  readonly key?: Uint8Array
  readonly extras?: Uint8Array
  readonly value?: Uint8Array
}

interface Response {
  readonly status: number
  readonly extras: Buffer
  readonly key: Buffer
  readonly value: Buffer
  readonly cas: string
}

const EMPTY = Buffer.alloc(0)
const FLAGS_BYTES = 4

export class BinarySession implements Session, SaslCarrier {
  readonly dialect = 'binary'
  isLoggedIn = false
  readonly #wire: Wire
  readonly #answers = new AnswerQueue()
  #opaque = 0

  constructor(wire: Wire) {
    this.#wire = wire
  }

  /** What the server offers to log in by; undefined where it knows no logins. */
  async mechanisms(): Promise<readonly string[] | undefined> {
    const { status, value } = await this.#ask({ opcode: OP_SASL_LIST_MECHS })
    if (status === STATUS_UNKNOWN_COMMAND) return undefined
    if (status !== STATUS_OK) throw refusalOf(status, value)
    return value.toString('latin1').split(' ').filter(Boolean)
  }

  async version(): Promise<string> {
    const { status, value } = await this.#ask({ opcode: OP_VERSION })
    if (status !== STATUS_OK) throw refusalOf(status, value)
    return value.toString('latin1')
  }

  async get(key: Uint8Array): Promise<Item | undefined> {
    const response = await this.#ask({ opcode: OP_GET, key }, VALUE_BYTES_MAX)
    const { status, extras, value, cas } = response
    if (status === STATUS_KEY_NOT_FOUND) return undefined
    if (status !== STATUS_OK) throw refusalOf(status, value)
    if (extras.length !== FLAGS_BYTES) throw this.#wire.nonsense('a value comes without its flags')
    return { value, cas, flags: extras.readUInt32BE(), ttl: undefined }
  }

  async set(
    key: Uint8Array,
    value: Uint8Array,
    ttlSeconds: number,
    flags: number,
  ): Promise<boolean> {
    const extras = Buffer.alloc(8)
    extras.writeUInt32BE(flags, 0)
    extras.writeUInt32BE(wireExpiryOf(ttlSeconds), FLAGS_BYTES)
    const response = await this.#ask({ opcode: OP_SET, key, extras, value })
    if (response.status === STATUS_NOT_STORED) return false
    if (response.status !== STATUS_OK) throw refusalOf(response.status, response.value)
    return true
  }

  async delete(key: Uint8Array): Promise<boolean> {
    const { status, value } = await this.#ask({ opcode: OP_DELETE, key })
    if (status === STATUS_KEY_NOT_FOUND) return false
    if (status !== STATUS_OK) throw refusalOf(status, value)
    return true
  }

  async flush(namespace?: string): Promise<void> {
    if (namespace !== undefined) {
      throw new ClientError(
        'refused',
        'this server speaks the binary protocol alone, in which no namespace can be named',
      )
    }
    const { status, value } = await this.#ask({ opcode: OP_FLUSH })
    if (status !== STATUS_OK) throw refusalOf(status, value)
  }

  stats(group: string): Promise<StatReport> {
    const opaque = this.#send({ opcode: OP_STAT, key: Buffer.from(group, 'latin1') })
    return this.#answers.take(async () => {
      const deadlineMs = this.#wire.deadline()
      const collector = new RowCollector(this.#wire)
      for (;;) {
        const { status, key, value } = await this.#read(
          OP_STAT,
          opaque,
          ANSWER_LINE_BYTES_MAX,
          deadlineMs,
        )
        if (status !== STATUS_OK) throw refusalOf(status, value)
        if (key.length === 0) break
        collector.add(key.toString('latin1'), value.toString('latin1'))
      }
      return { rows: collector.rows, words: collector.rows.length === 0 ? ['OK'] : [] }
    })
  }

  // biome-ignore lint/correctness/useYield: there is no line, and callers need not know that.
  async *lines(): AsyncGenerator<string, void, undefined> {
    throw new ClientError(
      'refused',
      'this server speaks the binary protocol alone, which has no dump and no watch',
    )
  }

  close(): void {
    this.#wire.close()
  }

  async start(mechanism: string, response: Uint8Array): Promise<SaslAnswer> {
    return await this.#sasl(OP_SASL_AUTH, mechanism, response)
  }

  async step(response: Uint8Array): Promise<SaslAnswer> {
    return await this.#sasl(OP_SASL_STEP, this.#mechanism, response)
  }

  #mechanism = ''

  async #sasl(opcode: number, mechanism: string, value: Uint8Array): Promise<SaslAnswer> {
    this.#mechanism = mechanism
    const response = await this.#ask({ opcode, key: Buffer.from(mechanism, 'latin1'), value })
    if (response.status === STATUS_OK) return { kind: 'success', bytes: response.value }
    if (response.status === STATUS_AUTH_CONTINUE)
      return { kind: 'challenge', bytes: response.value }
    if (response.status === STATUS_AUTH_ERROR) return { kind: 'failure' }
    const refusal = refusalOf(response.status, response.value)
    // What is refused within a login is the login, whatever the server says of it.
    throw refusal.kind === 'refused' ? new ClientError('login', refusal.message) : refusal
  }

  #ask(packet: Packet, bodyBytesMax = ANSWER_LINE_BYTES_MAX): Promise<Response> {
    const opaque = this.#send(packet)
    const sentBytes = packet.value?.length ?? 0
    return this.#answers.take(() =>
      this.#read(packet.opcode, opaque, bodyBytesMax, this.#wire.deadline(sentBytes)),
    )
  }

  /** Returns the opaque, by which the answer is known. */
  #send({ opcode, key = EMPTY, extras = EMPTY, value = EMPTY }: Packet): number {
    const opaque = (this.#opaque + 1) >>> 0
    this.#opaque = opaque
    const header = Buffer.alloc(HEADER_BYTES)
    header[0] = MAGIC_REQUEST
    header[1] = opcode
    header.writeUInt16BE(key.length, 2)
    header[4] = extras.length
    header.writeUInt32BE(extras.length + key.length + value.length, 8)
    header.writeUInt32BE(opaque, 12)
    this.#wire.write(Buffer.concat([header, extras, key]))
    if (value.length > 0) this.#wire.write(value)
    return opaque
  }

  async #read(
    opcode: number,
    opaque: number,
    bodyBytesMax: number,
    deadlineMs: number,
  ): Promise<Response> {
    const header = await this.#wire.take(HEADER_BYTES, deadlineMs)
    const keyBytes = header.readUInt16BE(2)
    const extrasBytes = header[4] ?? 0
    const bodyBytes = header.readUInt32BE(8)
    const isOurs =
      header[0] === MAGIC_RESPONSE && header[1] === opcode && header.readUInt32BE(12) === opaque
    if (!isOurs) throw this.#wire.nonsense('it is none to the request')
    if (bodyBytes > bodyBytesMax) {
      throw this.#wire.nonsense(`it announces a body of ${bodyBytes} bytes`)
    }
    if (keyBytes + extrasBytes > bodyBytes) throw this.#wire.nonsense('its parts do not fit')
    const bodyDeadlineMs = Math.max(deadlineMs, this.#wire.deadline(bodyBytes))
    const body = await this.#wire.take(
      bodyBytes,
      bodyBytes > ANSWER_LINE_BYTES_MAX ? bodyDeadlineMs : deadlineMs,
    )
    return {
      status: header.readUInt16BE(6),
      extras: body.subarray(0, extrasBytes),
      key: body.subarray(extrasBytes, extrasBytes + keyBytes),
      value: body.subarray(extrasBytes + keyBytes),
      cas: header.readBigUInt64BE(16).toString(),
    }
  }
}

function refusalOf(status: number, body: Buffer): ClientError {
  const text = excerpt(body.toString('latin1')) || `status 0x${status.toString(16)}`
  if (status === STATUS_AUTH_ERROR || status === STATUS_NO_ACCESS) {
    return new ClientError(
      'permission',
      'the server does not allow that: this user lacks the right, or nobody is logged in (--user)',
    )
  }
  if (status === STATUS_UNKNOWN_COMMAND) {
    return new ClientError('refused', 'the server does not know that')
  }
  return new ClientError('refused', `the server refuses that: ${text}`)
}
