/**
 * What a client can ask a server for, whatever the dialect. Requests may be made before earlier ones are
 * answered: they leave together, and the answers come in their order.
 */
import type { Wire } from './wire.ts'

export interface Item {
  readonly value: Buffer
  readonly flags: number
  /** In decimal digits: 64 bits. */
  readonly cas: string
  /** Seconds; 'never', or undefined where the dialect does not tell. */
  readonly ttl: number | 'never' | undefined
}

export type StatRow = readonly [name: string, value: string]

/** What a statistics group comes to: rows, or a word such as RESET. */
export interface StatReport {
  readonly rows: readonly StatRow[]
  readonly words: readonly string[]
}

export interface Session {
  readonly dialect: 'text' | 'binary'
  /** Whether a login was asked for and went well: a server may need none of who names nobody. */
  isLoggedIn: boolean
  version(): Promise<string>
  /** Undefined: a miss. */
  get(key: Uint8Array): Promise<Item | undefined>
  /** False: it was not stored. `ttlSeconds` 0: for ever. */
  set(key: Uint8Array, value: Uint8Array, ttlSeconds: number, flags: number): Promise<boolean>
  /** False: there is none. */
  delete(key: Uint8Array): Promise<boolean>
  /** Of a namespace that is named, or of the own one. */
  flush(namespace?: string): Promise<void>
  stats(group: string): Promise<StatReport>
  /** Lines as they come, from when the server has agreed; of the text dialect alone. */
  lines(request: LineRequest): AsyncGenerator<string, void, undefined>
  close(): void
}

/** A list that ends, or a stream that goes on until the connection is closed. */
export type LineRequest = { readonly namespace?: string | undefined } & (
  | { readonly kind: 'metadump' }
  | { readonly kind: 'watch'; readonly words: readonly string[] }
)

/**
 * A row more of a statistics group is not taken: a server that never comes to an end would fill our
 * memory. `stats conns` has five rows a connection.
 */
export const STAT_ROWS_MAX = 1_000_000
export const STAT_BYTES_MAX: number = 32 * 1024 * 1024

/** Answers in the order of their requests. */
export class AnswerQueue {
  #last: Promise<unknown> = Promise.resolve()

  take<Answer>(read: () => Promise<Answer>): Promise<Answer> {
    const answer = this.#last.then(read)
    this.#last = answer.catch(() => undefined)
    return answer
  }
}

/** Memcached reads more than 30 days as a date. */
const RELATIVE_SECONDS_MAX = 30 * 24 * 60 * 60

/** A time to live as it is said on the wire. */
export function wireExpiryOf(ttlSeconds: number): number {
  if (ttlSeconds <= RELATIVE_SECONDS_MAX) return ttlSeconds
  return Math.floor(Date.now() / 1000) + ttlSeconds
}

/** What holds rows to their bounds while they come. */
export class RowCollector {
  readonly rows: StatRow[] = []
  readonly #wire: Wire
  #bytes = 0

  constructor(wire: Wire) {
    this.#wire = wire
  }

  add(name: string, value: string): void {
    this.#bytes += name.length + value.length
    if (this.rows.length >= STAT_ROWS_MAX || this.#bytes > STAT_BYTES_MAX) {
      throw this.#wire.nonsense('its statistics have no end')
    }
    this.rows.push([name, value])
  }
}
